"""A fitted micro-price as a value: a table of how far the mid leans, looked up in constant time.

``P = mid + G(I, S)``: I is the bid's share of both best sizes, S the spread in ticks, G the expected move of the mid
from here until it has forgotten where it was (Stoikov 2018). The fit is :mod:`tapebook.research.microprice`, the
feature that reads the table on a tape :class:`tapebook.features.fair_prices.StoikovPrice`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.fair_prices import table_place
from tapebook.market.errors import ConfigurationError

__all__ = ["MicropriceTable"]


@dataclass(frozen=True)
class MicropriceTable:
    """A table of leans.

    Parameters
    ----------
    edges
        Inner edges of the buckets of the share, ascending, shape (n - 1,).
    g_ticks
        Expected move of the mid in ticks, shape (M, n): a row for each spread from one tick on.
    visits
        How often each state was seen in the fit, same shape.
    tick_e9
        Tick that spreads and leans are counted in.
    symbol, fitted_on
        What it was fitted on; never use it on the same day.

    Examples
    --------
    >>> table = MicropriceTable(np.array([0.5]), np.array([[-0.25, 0.25]]), np.array([[99, 99]]), 250_000_000)
    >>> table.lean_ticks(30, 10, spread_ticks=1), table.knows(spread_ticks=2)
    (0.25, False)
    """

    edges: NDArray[np.float64]
    g_ticks: NDArray[np.float64]
    visits: NDArray[np.int64]
    tick_e9: int
    symbol: str = ""
    fitted_on: str = ""

    def __post_init__(self) -> None:
        right = self.g_ticks.ndim == 2 and self.g_ticks.shape == self.visits.shape and self.g_ticks.shape[0] > 0
        right = right and self.g_ticks.shape[1] == self.edges.size + 1 and bool(np.isfinite(self.g_ticks).all())
        if not (right and bool((np.diff(self.edges) > 0).all()) and self.tick_e9 > 0):
            raise ConfigurationError(
                "the arrays of a micro-price table do not fit together",
                expected="edges (n - 1, ascending), g_ticks and visits (M, n), finite; tick_e9 above zero",
                found=f"{self.edges.shape}, {self.g_ticks.shape}, {self.visits.shape}, {self.tick_e9}",
            )

    def knows(self, spread_ticks: int) -> bool:
        """Return whether the spread is in the table; for a wider one the widest stands in."""
        return 1 <= spread_ticks <= len(self.g_ticks)

    def lean_ticks(self, bid_lots: int, ask_lots: int, spread_ticks: int) -> float:
        """Return what to add to the mid, in ticks; NaN without sizes or with a locked or crossed touch."""
        if spread_ticks < 1 or min(bid_lots, ask_lots) < 0 or bid_lots + ask_lots == 0:
            return float("nan")
        share = bid_lots / (bid_lots + ask_lots)
        row, column = table_place(share, spread_ticks, self.edges, self.g_ticks.shape[0])
        return float(self.g_ticks[row, column])

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain lists and numbers: what is written as JSON, and what the feature takes."""
        return {
            "edges": self.edges.tolist(),
            "g_ticks": self.g_ticks.tolist(),
            "visits": self.visits.tolist(),
            "tick_e9": self.tick_e9,
            "symbol": self.symbol,
            "fitted_on": self.fitted_on,
        }

    @classmethod
    def of_dict(cls, plain: Mapping[str, Any]) -> MicropriceTable:
        """Return the table that :meth:`as_dict` described."""
        missing = sorted({"edges", "g_ticks", "visits", "tick_e9"} - set(plain))
        if missing:
            raise ConfigurationError(
                "this is no micro-price table", expected=", ".join(missing), found=str(sorted(plain))
            )
        return cls(
            np.asarray(plain["edges"], np.float64),
            np.asarray(plain["g_ticks"], np.float64),
            np.asarray(plain["visits"], np.int64),
            int(plain["tick_e9"]),
            str(plain.get("symbol", "")),
            str(plain.get("fitted_on", "")),
        )

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> MicropriceTable:
        """Read what :meth:`save` wrote."""
        return cls.of_dict(json.loads(path.read_text(encoding="utf-8")))
