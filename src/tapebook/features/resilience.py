"""Resilience: how fast depth and spread come back after trades have taken a good part of a side."""

from __future__ import annotations

from typing import Final

import numpy as np

from tapebook.features.depth import DepthOperator, DepthView
from tapebook.features.touch import in_price
from tapebook.kernels import resilience as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "Resilience", "make"]

_DEEP: Final = frozenset({"levels", "orders"})

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that ended the episode"),
    Column("ts_trade_ns", "ns", "steady clock of its first trade"),
    Column("side", "+1/-1", "the aggressor: bought (the asks were taken), sold"),
    Column("qty_lots", "lots", "traded before the depth was gone"),
    Column("depth_before_lots", "lots", "best levels of the side that was taken, before the trade"),
    Column("depth_after_lots", "lots", "the same when it was first gone"),
    Column("depth_half_s", "s", "until half of what was gone had come back; NaN if it did not"),
    Column("spread_before", "price", "before the trade"),
    Column("spread_after", "price", "when the depth was first gone"),
    Column("spread_recovery_s", "s", "until the spread was what it had been, 0 if it never widened; NaN if it did not"),
    Column("why", "code", "0 both came back, 1 not within horizon_s, 2 the session, the thread or trading ended"),
)


class Resilience:
    """Recovery of depth and spread, a row for each episode once it is over.

    An episode begins where, at most ``settle_s`` after a trade, the best ``reach`` levels of the side that it took from
    hold at least ``depleted_share`` less than before it. One episode a side at a time: further trades belong to it.
    Where a venue tells trades and levels in messages of their own, the trade has to come first, or with them. Crosses
    and off-book prints took from no level and begin none.

    Parameters
    ----------
    reach
        Levels of a side that are looked at.
    depleted_share
        How much of them has to be gone.
    settle_s
        How long after a trade its effect may show.
    horizon_s
        How long to wait.

    References
    ----------
    Large, J. (2007), Measuring the resiliency of an electronic limit order book, Journal of Financial Markets 10:1
    (there from intensities; here each episode is measured).

    Examples
    --------
    >>> Resilience(depleted_share=0.5).reach
    1
    """

    def __init__(
        self, *, reach: int = 1, depleted_share: float = 0.5, settle_s: float = 0.1, horizon_s: float = 60.0
    ) -> None:
        if not (reach >= 1 and 0 < depleted_share <= 1 and settle_s >= 0 and horizon_s > 0):
            raise ConfigurationError(
                "a parameter of resilience",
                expected="reach 1 or more, depleted_share in (0, 1], settle_s 0 or more, horizon_s above 0",
                found=f"{reach}, {depleted_share}, {settle_s}, {horizon_s}",
            )
        self.reach = reach
        self._share = depleted_share
        self._settle_ns, self._horizon_ns = round(settle_s * 1e9), round(horizon_s * 1e9)
        self._state = np.zeros((2, kernel.N_SLOT), np.int64)

    def fold(self, view: DepthView) -> Rows:
        """Return the episodes that are over."""
        e = view.events
        at = np.empty(2 * view.n + 2, np.int64)
        out = np.empty((at.size, kernel.SPREAD_NS + 2), np.int64)
        n = kernel.advance_resilience(
            e["kind"],
            e["flags"],
            e["detail"],
            e["side"],
            e["price"],
            e["qty_lots"],
            view.clock_ns,
            view.session,
            view.trading,
            view.thread,
            view.books,
            view.which,
            view.n_levels,
            self.reach,
            self._share,
            self._settle_ns,
            self._horizon_ns,
            self._state,
            at,
            out,
        )
        rows = out[:n]

        def seconds(column: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            known = rows[:, column] != MISSING
            return np.where(known, np.where(known, rows[:, column], 0) / 1e9, np.nan)

        return {
            "ts_ns": view.ts_ns[at[:n]],
            "ts_trade_ns": rows[:, kernel.TRADE_NS].copy(),
            "side": (2 * rows[:, 0] - 1).astype(np.int8),
            "qty_lots": rows[:, kernel.QTY].copy(),
            "depth_before_lots": rows[:, kernel.DEPTH_BEFORE].copy(),
            "depth_after_lots": rows[:, kernel.DEPTH_AFTER].copy(),
            "depth_half_s": seconds(kernel.HALF_NS),
            "spread_before": in_price(rows[:, kernel.SPREAD_BEFORE]),
            "spread_after": in_price(rows[:, kernel.SPREAD_AFTER]),
            "spread_recovery_s": seconds(kernel.SPREAD_NS),
            "why": rows[:, kernel.SPREAD_NS + 1].astype(np.uint8),
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state}, "resilience")
        self._state = state["state"].copy()


def make(
    instrument: Instrument,
    instrument_id: int,
    *,
    reach: int = 1,
    depleted_share: float = 0.5,
    settle_s: float = 0.1,
    horizon_s: float = 60.0,
) -> DepthOperator:
    """Return the feature as an operator of its own."""
    fold = Resilience(reach=reach, depleted_share=depleted_share, settle_s=settle_s, horizon_s=horizon_s)
    return DepthOperator(instrument, instrument_id, fold, levels=max(reach, 1))


register("resilience", make, columns=COLUMNS, needs=_DEEP, also_needs=frozenset({"trades"}))
