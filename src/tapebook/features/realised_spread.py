"""Realised spread and price impact: what the maker kept of the spread, and what the trade moved, after some time.

For a print at ``p`` with aggressor ``q`` (+1 or -1), ``m`` the mid before it and ``m_h`` the mid a horizon later::

    effective 2 q (p - m)  =  realised 2 q (p - m_h)  +  impact 2 q (m_h - m)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import QUOTED, FoldOperator, View, in_price
from tapebook.kernels import realised_spread as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "HORIZONS_S", "RealisedSpread", "make"]

HORIZONS_S: Final = (0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0)
"""Seconds after the trade (Conrad and Wahal 2020 show why one horizon is not enough)."""

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that showed that the horizon has passed"),
    Column("ts_trade_ns", "ns", "clock of the trade"),
    Column("horizon_ns", "ns", "how long after the trade the mid was taken"),
    Column("qty_lots", "lots", "of the trade"),
    Column("side", "+1/-1", "the aggressor: bought, sold"),
    Column("effective_spread", "price", "2 * side * (price - mid before)"),
    Column("realised_spread", "price", "2 * side * (price - mid then); often below zero: the maker lost"),
    Column("price_impact", "price", "2 * side * (mid then - mid before)"),
    Column("why", "code", "0 defined, 1 no two-sided quote then, 2 the session ended before, 3 the clock went back"),
)

_CHUNK_ROWS: Final = 1 << 16
_RING_MIN: Final = 64


class RealisedSpread:
    """Realised spread and price impact, a row for each print and horizon, as soon as the horizon has passed.

    Only prints with an effective spread wait for their rows. The mid then is that of the last quote at or before the
    due time. A print whose horizon reaches beyond its session gets NaN: the next session's quote is not its future.

    Parameters
    ----------
    horizons_s
        Seconds after the trade.

    References
    ----------
    Huang, R. and Stoll, H. (1996), Dealer versus auction markets, Journal of Financial Economics 41:3.
    Conrad, J. and Wahal, S. (2020), The term structure of liquidity provision, Journal of Financial Economics 136:1.
    """

    def __init__(self, horizons_s: Sequence[float] = HORIZONS_S) -> None:
        if not horizons_s or min(horizons_s) <= 0:
            raise ConfigurationError("bad horizons", expected="seconds above zero", found=str(tuple(horizons_s)))
        self._horizon_ns = np.array([round(h * 1e9) for h in horizons_s], np.int64)
        self._ring = np.zeros((_RING_MIN, kernel.R_N), np.int64)
        self._heads = np.zeros(self._horizon_ns.size, np.int64)
        self._marks = np.array([0, MISSING], np.int64)

    @property
    def pending(self) -> int:
        """Rows that are still waiting for their horizon."""
        return int((self._marks[0] - self._heads).sum())

    def fold(self, view: View) -> Rows:
        """Return the rows whose horizon passed."""
        self._make_room(int(np.count_nonzero(view.events["kind"] == Kind.TRADE)))
        parts: list[NDArray[np.int64]] = []
        n_out = np.zeros(1, np.int64)
        start = 0
        while True:
            out = np.empty((min(_CHUNK_ROWS, self.pending + self._heads.size * (view.n - start)), 8), np.int64)
            start = kernel.advance_realised_spread(
                view.events,
                view.ts_ns,
                view.clock_ns,
                view.session,
                view.trading,
                view.bid_px,
                view.ask_px,
                self._horizon_ns,
                self._ring,
                self._heads,
                self._marks,
                start,
                out,
                n_out,
            )
            parts.append(out[: n_out[0]])
            if start == view.n:
                break
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        effective, realised = rows[:, 5], rows[:, 6]
        impact = np.where(realised == MISSING, MISSING, effective - np.where(realised == MISSING, 0, realised))
        return {
            "ts_ns": view.ts_ns[rows[:, 0]],
            "ts_trade_ns": rows[:, 1].copy(),
            "horizon_ns": rows[:, 2].copy(),
            "qty_lots": rows[:, 3].copy(),
            "side": rows[:, 4].astype(np.int8),
            "effective_spread": in_price(effective),
            "realised_spread": in_price(realised),
            "price_impact": in_price(impact),
            "why": rows[:, 7].astype(np.uint8),
        }

    def _make_room(self, n: int) -> None:
        """Let the ring hold what waits and ``n`` prints more; its size is no part of the memory's meaning."""
        waiting = int(self._marks[0] - self._heads.min())
        capacity = self._ring.shape[0]
        if waiting + n <= capacity:
            return
        while capacity < waiting + n:
            capacity *= 2
        self._set(self._waiting(), capacity)

    def _waiting(self) -> NDArray[np.int64]:
        first, last = int(self._heads.min()), int(self._marks[0])
        rows: NDArray[np.int64] = self._ring[np.arange(first, last) & (self._ring.shape[0] - 1)]
        return rows

    def _set(self, waiting: NDArray[np.int64], capacity: int) -> None:
        first = int(self._heads.min())
        self._ring = np.zeros((capacity, kernel.R_N), np.int64)
        self._ring[: waiting.shape[0]] = waiting
        self._heads -= first
        self._marks[0] -= first

    def save(self) -> State:
        """Return a copy of the memory: the prints that wait, and how far each horizon has come among them."""
        first = self._heads.min()
        marks = self._marks.copy()
        marks[0] -= first
        return {"waiting": self._waiting().copy(), "heads": self._heads - first, "marks": marks}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"waiting": self._ring, "heads": self._heads, "marks": self._marks}, "realised spread")
        if state["heads"].size != self._horizon_ns.size:
            raise ConfigurationError(
                "realised spread: other horizons",
                expected=f"{self._horizon_ns.size} horizons",
                found=str(state["heads"].size),
                remedy="restore with the horizons it was saved with",
            )
        self._heads = state["heads"].copy()
        self._marks = state["marks"].copy()
        capacity = _RING_MIN
        while capacity < state["waiting"].shape[0]:
            capacity *= 2
        self._set(state["waiting"], capacity)


def make(instrument: Instrument, instrument_id: int, *, horizons_s: Sequence[float] = HORIZONS_S) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, RealisedSpread(horizons_s))


register("realised_spread", make, columns=COLUMNS, needs=QUOTED, also_needs=frozenset({"trades"}))
