"""Cumulative delta: what was bought at market less what was sold at market, since the session began."""

from __future__ import annotations

from typing import Final

import numpy as np

from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import cumulative_delta as kernel
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "TRADED", "CumulativeDelta", "make"]

TRADED: Final = frozenset({"trades"})
"""What a tape must hold."""

COLUMNS = (
    Column("ts_ns", "ns", "clock of the trade"),
    Column("cum_delta_lots", "lots", "bought less sold since the session began, this trade included"),
    Column("cum_unknown_lots", "lots", "traded with an unknown aggressor since then: in no delta"),
    Column("cum_volume_lots", "lots", "traded since then; bought + sold + unknown"),
)


class CumulativeDelta:
    """Cumulative delta of the session, a row for each print.

    A session is the trade date of the instrument's calendar (CME: from 17:00 Chicago). Prints without an aggressor
    change no delta and are counted apart: none of them is given a side here.
    """

    def __init__(self) -> None:
        self._state = np.zeros(kernel.N_STATE, np.int64)
        self._state[kernel.SESSION] = MISSING

    def fold(self, view: View) -> Rows:
        """Return the sums after each print."""
        out = np.empty((view.n, 4), np.int64)
        n = kernel.advance_cumulative_delta(view.events, view.session, self._state, out)
        rows = out[:n]
        return {
            "ts_ns": view.ts_ns[rows[:, 0]],
            "cum_delta_lots": rows[:, 1].copy(),
            "cum_unknown_lots": rows[:, 2].copy(),
            "cum_volume_lots": rows[:, 3].copy(),
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state}, "cumulative delta")
        self._state = state["state"].copy()


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, CumulativeDelta())


register("cumulative_delta", make, columns=COLUMNS, needs=TRADED)
