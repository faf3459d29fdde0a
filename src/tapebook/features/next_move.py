"""Where the mid goes next: the probability that its next move is up, by the imbalance of the queues."""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import next_move as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "NextMove", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column("up_probability", "0..1", "probability that the next move of the mid is up"),
    Column("next_move_x0", "1", "constant of the regression: log odds of up with even queues"),
    Column("next_move_x1", "1", "slope: log odds of up with no ask queue, less those with even queues"),
    Column("moves_learnt", "moves", "how many moves it was learnt from"),
)


class NextMove:
    """Probability that the next move of the mid is up, learnt on the way, a row for each change of the touch.

    Logistic regression of the direction of each move on the imbalance that stood before it, weighted by how long it
    stood: what a glance at any moment would have seen. A session's end, a break of the thread, a stop of trading and a
    touch that is not two-sided end the waiting for a move without one. The prices stand still most of the time, so this
    says where, never when; and the queues lean mostly where ticks are large.

    Parameters
    ----------
    half_life_moves
        After so many moves a move has half its weight; 0 forgets none.
    moves_min
        Moves to learn from before the first value.

    References
    ----------
    Gould, M. and Bonart, J. (2016), Queue imbalance as a one-tick-ahead price predictor in a limit order book, Market
    Microstructure and Liquidity 2:2.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> up, down = (100, 30, 102, 10), (98, 10, 100, 30)  # the heavy bid is followed by a higher mid, and so on
    >>> rows = NextMove(moves_min=10).fold(view_of([up, (102, 10, 104, 30), up, down] * 20))
    >>> bool(rows["up_probability"][-1] < 0.5 < rows["up_probability"][-2]), np.isnan(rows["up_probability"][:5]).all()
    (True, np.True_)
    """

    def __init__(self, *, half_life_moves: float = 2000.0, moves_min: int = 50) -> None:
        if not (half_life_moves >= 0 and moves_min >= 1):
            raise ConfigurationError(
                "a parameter of next_move",
                expected="half_life_moves at least 0, moves_min at least 1",
                found=f"{half_life_moves}, {moves_min}",
            )
        self._decay = 0.5 ** (1 / half_life_moves) if half_life_moves else 1.0
        self._moves_min = moves_min
        self._memory: State = {
            "marks": np.array([0, MISSING, MISSING, MISSING, MISSING], np.int64),
            "fit": np.zeros(kernel.FIT_N),
            "stood": np.zeros((kernel.BINS, 2)),
        }

    def fold(self, view: View) -> Rows:
        """Return the probability after each change of the touch."""
        at, out = np.empty(view.n, np.int64), np.empty((view.n, 4))
        n = kernel.advance_next_move(
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.bid_sz,
            view.ask_px,
            view.ask_sz,
            view.thread,
            self._decay,
            self._moves_min,
            self._memory["marks"],
            self._memory["fit"],
            self._memory["stood"],
            at,
            out,
        )
        rows: Rows = {"ts_ns": view.ts_ns[at[:n]]}
        rows |= {column.name: out[:n, k].copy() for k, column in enumerate(COLUMNS[1:-1])}
        return rows | {"moves_learnt": out[:n, 3].astype(np.int64)}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in self._memory.items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._memory, "next_move")
        self._memory = {name: state[name].copy() for name in self._memory}


def make(
    instrument: Instrument, instrument_id: int, *, half_life_moves: float = 2000.0, moves_min: int = 50
) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, NextMove(half_life_moves=half_life_moves, moves_min=moves_min))


register("next_move", make, columns=COLUMNS, needs=QUOTED)
