"""Order-flow imbalance at the best prices (Cont, Kukanov and Stoikov 2014).

What joins the bid or leaves the ask is buying pressure, what leaves the bid or joins the ask is selling pressure.
Summed over an interval it explains much of the mid's move in it, and usually more than traded volume does.
"""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import ofi as kernel
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "Ofi", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column(
        "ofi_lots",
        "lots",
        "flow into the bid and out of the ask, less the opposite; NaN where nothing precedes it",
        flow=True,
    ),
)


class Ofi:
    """Best-level order-flow imbalance, a row for each change of the touch (price or size).

    The first touch, and the first one after a cleared book, a snapshot, a gap, a stop of trading, or a locked or
    crossed book, has nothing to be compared with: NaN. A side that vanishes counts as a price infinitely far away with
    size 0.
    Sum it over any interval; a source that conflates updates hides the flow between them.

    References
    ----------
    Cont, R., Kukanov, A. and Stoikov, S. (2014), The price impact of order book events, Journal of Financial
    Econometrics 12:1.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> touches = [(100, 10, 101, 8), (100, 15, 101, 8), (101, 5, 102, 7)]
    >>> Ofi().fold(view_of(touches))["ofi_lots"].tolist()
    [nan, 5.0, 13.0]
    """

    def __init__(self) -> None:
        self._state = np.zeros(kernel.N_STATE, np.int64)

    def fold(self, view: View) -> Rows:
        """Return the flow of each change of the touch."""
        at = np.empty(view.n, np.int64)
        ofi = np.empty(view.n, np.float64)
        n = kernel.advance_ofi(
            view.bid_px, view.bid_sz, view.ask_px, view.ask_sz, view.thread, view.trading, self._state, at, ofi
        )
        return {"ts_ns": view.ts_ns[at[:n]], "ofi_lots": ofi[:n]}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state}, "ofi")
        self._state = state["state"].copy()


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Ofi())


register("ofi", make, columns=COLUMNS, needs=QUOTED)
