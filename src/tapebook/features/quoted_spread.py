"""Quoted spread: what it costs to cross the book now, and what it cost on average over the session's time."""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import quoted_spread as kernel
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "QuotedSpread", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed a best price, or whether the market trades"),
    Column("quoted_spread", "price", "ask less bid; NaN unless both stand, uncrossed, while the market trades"),
    Column("quoted_spread_bp", "1e-4 of the mid", "the same, relative; NaN also where the mid is not above zero"),
    Column("mid", "price", "middle of bid and ask"),
    Column("quoted_spread_mean", "price", "mean over the time of the session with a valid quote, up to this event"),
    Column(
        "touch_state",
        "code",
        "0 two-sided, 1 one-sided, 2 empty, 3 locked, 4 crossed, 5 auction, halt or closed",
    ),
)


class QuotedSpread:
    """Quoted spread, a row for each change of a best price.

    The mean is weighted by time, not by updates: quotes that stand long count long (the mean over updates was 8 % above
    it on a NASDAQ stock). Time without a valid quote, and time outside continuous trading (an auction, a halt, a close,
    by the calendar or by the venue's own word) does not count; each session starts anew.

    References
    ----------
    McInish, T. and Wood, R. (1992), An analysis of intraday patterns in bid/ask spreads, Journal of Finance 47:2.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> rows = QuotedSpread().fold(view_of([(100 * euro, 1, 101 * euro, 1), (100 * euro, 1, 103 * euro, 1)]))
    >>> rows["quoted_spread"].tolist(), rows["quoted_spread_mean"].tolist()
    ([1.0, 3.0], [nan, 1.0])
    """

    def __init__(self) -> None:
        self._sums = np.zeros(2, np.float64)
        self._marks = np.array([MISSING, MISSING, 1], np.int64)

    def fold(self, view: View) -> Rows:
        """Return the spread after each change of a best price."""
        at = np.empty(view.n, np.int64)
        spread, mid, mean = (np.empty(view.n, np.float64) for _ in range(3))
        state = np.empty(view.n, np.uint8)
        n = kernel.advance_quoted_spread(
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.ask_px,
            self._sums,
            self._marks,
            at,
            spread,
            mid,
            mean,
            state,
        )
        spread, mid, mean = spread[:n], mid[:n], mean[:n]
        return {
            "ts_ns": view.ts_ns[at[:n]],
            "quoted_spread": spread / PRICE_SCALE,
            "quoted_spread_bp": 1e4 * spread / np.where(mid > 0, mid, np.nan),
            "mid": mid / PRICE_SCALE,
            "quoted_spread_mean": mean / PRICE_SCALE,
            "touch_state": state[:n],
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"sums": self._sums.copy(), "marks": self._marks.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"sums": self._sums, "marks": self._marks}, "quoted spread")
        self._sums = state["sums"].copy()
        self._marks = state["marks"].copy()


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, QuotedSpread())


register("quoted_spread", make, columns=COLUMNS, needs=QUOTED)
