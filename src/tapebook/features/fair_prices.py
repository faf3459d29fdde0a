"""Fair prices that lean from the mid: towards what the depth, a fitted curve or a fitted table say.

None of them is better than the mid everywhere: which one was closer to the mid some seconds later is a question to ask
of each instrument (:mod:`tapebook.research.microprice` answers it for a recording).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.depth import DepthOperator, DepthView
from tapebook.features.touch import QUOTED, FoldOperator, View, in_price
from tapebook.kernels import fair_prices as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

__all__ = [
    "DepthWeightedMid",
    "ImbalanceAdjusted",
    "StoikovPrice",
    "make_depth_weighted",
    "make_imbalance_adjusted",
    "make_stoikov",
]

_DEEP: Final = frozenset({"levels", "orders"})
_NO_EDGES: Final = np.empty(0)
_NO_TABLE: Final = np.empty((0, 1))

DEPTH_WEIGHTED_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed a level"),
    Column("depth_weighted_mid", "price", "mid plus half the spread times the imbalance of the levels"),
    Column("depth_weighted_off_mid", "price", "the same less the mid: above zero leans up"),
)


class DepthWeightedMid:
    """The mid leaning towards the lighter side of the book, by all levels in view; a row for each change of a level.

    ``variant="literature"``: mid + spread / 2 * imbalance of the levels, never outside the touch. ``circulating``: the
    sides' average prices, each weighted by the other's lots; these lie outside the touch, and so may the result, unless
    clamped. NaN unless both sides stand uncrossed with known sizes.

    Parameters
    ----------
    decay
        Weight of a level relative to the better one before it (literature).
    variant
        ``literature`` or ``circulating``.
    clamp
        Whether to keep the result within the touch.

    Examples
    --------
    >>> from tapebook.features.depth import depth_view_of
    >>> unit = 1_000_000_000
    >>> view = depth_view_of([([(99 * unit, 30), (98 * unit, 30)], [(101 * unit, 10), (102 * unit, 10)])])
    >>> DepthWeightedMid().fold(view)["depth_weighted_mid"].tolist()
    [100.5]
    >>> DepthWeightedMid(variant="circulating").fold(view)["depth_weighted_mid"].tolist()
    [100.75]
    """

    def __init__(self, *, decay: float = 1.0, variant: str = "literature", clamp: bool = False) -> None:
        if not 0 < decay <= 1:
            raise ConfigurationError("decay of the levels", expected="above 0, at most 1", found=str(decay))
        if variant not in ("literature", "circulating"):
            raise ConfigurationError(
                "variant of depth_weighted_mid", expected="literature or circulating", found=variant
            )
        self._decay, self._cross, self._clamp = decay, variant == "circulating", clamp

    def fold(self, view: DepthView) -> Rows:
        """Return the price after each change."""
        off = np.empty(view.at.size)
        kernel.advance_depth_weighted(view.books, view.after, view.n_levels, self._decay, self._cross, self._clamp, off)
        mid = (in_price(view.bid_px[view.at + 1]) + in_price(view.ask_px[view.at + 1])) / 2
        off /= PRICE_SCALE
        return {
            "ts_ns": view.ts_ns[view.at],
            "depth_weighted_mid": mid + off,
            "depth_weighted_off_mid": off,
        }

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


class _TouchPrice:
    """What both prices of the touch share."""

    name = ""

    def __init__(
        self, tick_e9: int, curve: NDArray[np.float64], edges: NDArray[np.float64], table: NDArray[np.float64]
    ) -> None:
        self._tick_e9, self._curve, self._edges, self._table = tick_e9, curve, edges, table

    def _prices(self, view: View) -> tuple[Rows, NDArray[np.uint8]]:
        at, out, why = np.empty(view.n, np.int64), np.empty((2, view.n)), np.empty(view.n, np.uint8)
        n = kernel.advance_touch_prices(
            view.bid_px,
            view.bid_sz,
            view.ask_px,
            view.ask_sz,
            self._tick_e9,
            self._curve,
            self._edges,
            self._table,
            at,
            out,
            why,
        )
        mid, off = out[:, :n] / PRICE_SCALE
        return {"ts_ns": view.ts_ns[at[:n]], self.name: mid + off, f"{self.name}_off_mid": off}, why[:n]

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


IMBALANCE_ADJUSTED_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column("imbalance_adjusted", "price", "mid plus the spread times an odd curve of the imbalance"),
    Column("imbalance_adjusted_off_mid", "price", "the same less the mid: above zero leans up"),
)


class ImbalanceAdjusted(_TouchPrice):
    """The mid plus the spread times ``c1 z + c3 z^3 + c5 z^5``, z the imbalance; a row for each change of the touch.

    The curve is odd and continuous: no step at an even book, and nothing counted twice. The default is the weighted mid
    (c1 = 1/2); :func:`tapebook.research.microprice.fit_curve` fits the three on a recording.

    Parameters
    ----------
    c1, c3, c5
        Coefficients of the curve, in spreads.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> unit = 1_000_000_000
    >>> rows = ImbalanceAdjusted(c1=0.3, c3=0.1).fold(view_of([(99 * unit, 30, 101 * unit, 10)]))
    >>> rows["imbalance_adjusted"].tolist()
    [100.325]
    """

    name = "imbalance_adjusted"

    def __init__(self, *, c1: float = 0.5, c3: float = 0.0, c5: float = 0.0) -> None:
        curve = np.array([c1, c3, c5], np.float64)
        if not np.isfinite(curve).all():
            raise ConfigurationError("coefficients of the curve", expected="finite numbers", found=str((c1, c3, c5)))
        super().__init__(0, curve, _NO_EDGES, _NO_TABLE)

    def fold(self, view: View) -> Rows:
        """Return the price after each change of the touch."""
        return self._prices(view)[0]


STOIKOV_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column("stoikov", "price", "micro-price: mid plus what the fitted table adds for imbalance and spread"),
    Column("stoikov_off_mid", "price", "the same less the mid: above zero leans up"),
    Column("why", "code", "0 by the table, 1 a wider spread than it knows (its widest stands in), 2 undefined"),
)


class StoikovPrice(_TouchPrice):
    """Stoikov's micro-price from a fitted table, a row for each change of the touch.

    The table says for each share of the bid in both queues and each spread in ticks how far the mid is expected to go
    before it forgets where it was. It has to be fitted on *other* days of the same instrument
    (``tapebook.research.microprice``); without one every price is NaN (why 2).

    Parameters
    ----------
    tick_e9
        The instrument's tick.
    fitted
        What the fit wrote: ``edges`` (inner edges of the buckets of the share, ascending), ``g_ticks`` (a row for each
        spread from one tick on, a column for each bucket) and ``tick_e9``.

    References
    ----------
    Stoikov, S. (2018), The micro-price: a high-frequency estimator of future prices, Quantitative Finance 18:12.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> unit = 1_000_000_000
    >>> price = StoikovPrice(unit, {"edges": [0.5], "g_ticks": [[-0.25, 0.25]], "tick_e9": unit})
    >>> price.fold(view_of([(99 * unit, 30, 100 * unit, 10), (99 * unit, 30, 101 * unit, 40)]))["stoikov"].tolist()
    [99.75, 99.75]
    """

    name = "stoikov"

    def __init__(self, tick_e9: int, fitted: Mapping[str, Any] | None = None) -> None:
        edges, table = _NO_EDGES, _NO_TABLE
        if fitted is not None:
            edges = np.asarray(fitted.get("edges", []), np.float64)
            table = np.ascontiguousarray(np.asarray(fitted.get("g_ticks", []), np.float64))
            fits = table.ndim == 2 and table.shape[0] > 0 and edges.ndim == 1 and table.shape[1] == edges.size + 1
            if not (fits and np.isfinite(table).all() and (np.diff(edges) > 0).all()):
                raise ConfigurationError(
                    "this is no table of the micro-price",
                    expected="edges (n - 1, ascending) and g_ticks (spreads, n), finite",
                    found=f"{edges.shape}, {table.shape}",
                    remedy="fit one with python -m tapebook.research.microprice",
                )
            if tick_e9 <= 0 or fitted.get("tick_e9") != tick_e9:
                raise ConfigurationError(
                    "the table was fitted for another tick",
                    expected=f"tick_e9 {tick_e9}",
                    found=str(fitted.get("tick_e9")),
                )
        # A table counts in ticks; MISSING stands for "no tick", which no table is looked up by.
        super().__init__(tick_e9 if tick_e9 > 0 else MISSING, np.zeros(3), edges, table)

    def fold(self, view: View) -> Rows:
        """Return the price after each change of the touch."""
        rows, why = self._prices(view)
        return rows | {"why": why}


def make_depth_weighted(
    instrument: Instrument,
    instrument_id: int,
    *,
    levels: int = 5,
    decay: float = 1.0,
    variant: str = "literature",
    clamp: bool = False,
) -> DepthOperator:
    """Return :class:`DepthWeightedMid` as an operator of its own."""
    fold = DepthWeightedMid(decay=decay, variant=variant, clamp=clamp)
    return DepthOperator(instrument, instrument_id, fold, levels=levels)


def make_imbalance_adjusted(
    instrument: Instrument, instrument_id: int, *, c1: float = 0.5, c3: float = 0.0, c5: float = 0.0
) -> FoldOperator:
    """Return :class:`ImbalanceAdjusted` as an operator of its own."""
    return FoldOperator(instrument, instrument_id, ImbalanceAdjusted(c1=c1, c3=c3, c5=c5))


def make_stoikov(instrument: Instrument, instrument_id: int, *, table: str = "") -> FoldOperator:
    """Return :class:`StoikovPrice` as an operator of its own; ``table`` is the JSON file that the fit wrote."""
    fitted = json.loads(Path(table).read_text(encoding="utf-8")) if table else None
    return FoldOperator(instrument, instrument_id, StoikovPrice(instrument.tick_e9, fitted))


register("depth_weighted_mid", make_depth_weighted, columns=DEPTH_WEIGHTED_COLUMNS, needs=_DEEP)
register("imbalance_adjusted", make_imbalance_adjusted, columns=IMBALANCE_ADJUSTED_COLUMNS, needs=QUOTED)
register("stoikov", make_stoikov, columns=STOIKOV_COLUMNS, needs=QUOTED)
