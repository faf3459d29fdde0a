"""Runs of one side: how many prints in a row had the same aggressor."""

from typing import Any

import numpy as np

from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import kernel
from tapebook.market.events import Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

TRADE = int(Kind.TRADE)


@kernel
def advance_runs(kind: Any, side: Any, longest: int, state: Any, out_at: Any, out_run: Any) -> int:
    """Write the place of each print with an aggressor, and the run that it is part of."""
    n = 0
    for i in range(kind.size):
        if kind[i] == TRADE and side[i] != 0:
            same = state[0] * side[i] > 0
            state[0] = min(max(state[0] + side[i], -longest), longest) if same else side[i]
            out_at[n], out_run[n] = i, state[0]
            n += 1
    return n


class SideRuns:
    """Prints in a row of one aggressor, at most ``longest``."""

    def __init__(self, *, longest: int = 1000) -> None:
        self.longest, self.state = longest, np.zeros(1, np.int64)

    def fold(self, view: View) -> Rows:
        """Return a row for each print that names its aggressor."""
        at, run = np.empty(view.n, np.int64), np.empty(view.n, np.int64)
        n = advance_runs(view.events["kind"], view.events["side"], self.longest, self.state, at, run)
        return {"ts_ns": view.ts_ns[at[:n]], "run_prints": run[:n]}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self.state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that `save` returned."""
        self.state = state["state"].copy()


def make(instrument: Instrument, instrument_id: int, *, longest: int = 1000) -> FoldOperator:
    """Return runs of prints of one side as an operator of its own."""
    return FoldOperator(instrument, instrument_id, SideRuns(longest=longest))


COLUMNS = (
    Column("ts_ns", "ns", "clock of the print"),
    Column("run_prints", "prints", "in a row of one aggressor, this one included: above zero bought, below sold"),
)
register("side_runs", make, columns=COLUMNS, needs=frozenset({"trades"}))
