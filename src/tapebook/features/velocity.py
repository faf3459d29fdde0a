"""Velocity and acceleration of the mid in real time, with their t-statistics."""

from __future__ import annotations

import math

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import velocity as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "Velocity", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the observable event"),
    Column("velocity_ticks_per_s", "ticks/s", "slope of the fitted parabola now"),
    Column("acceleration_ticks_per_s2", "ticks/s^2", "its second derivative"),
    Column("velocity_t", "sd", "velocity over its standard error; NaN where the fit is exact"),
    Column("acceleration_t", "sd", "acceleration over its standard error; NaN where the fit is exact"),
)


class Velocity:
    """Velocity and acceleration of the mid by local quadratic least squares, a row for each observable event.

    Each observed two-sided mid counts with a weight that halves in ``half_life_s``; time is real time. Differences of
    the last mids would show the bounce and no speed.

    All columns are NaN while the touch is not two-sided, the market does not trade, or the tick is not known, for the
    first ``half_life_s`` of a session or after a break of the thread, and while the points do not span a parabola. The
    standard errors take the fit's residuals for independent; mids are not (they wander), so that a t of 2 is common:
    use it as a scale, not as a test.

    Parameters
    ----------
    half_life_s
        Seconds after which an observation counts half.
    tick_e9
        Smallest price step (the instrument's).

    References
    ----------
    Cleveland, W. (1979), Robust locally weighted regression, Journal of the American Statistical Association 74:368.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> view = view_of([(2 * i, 1, 2 * i + 2, 1) for i in range(8)])  # the mid gains two ticks each second
    >>> Velocity(half_life_s=2.0, tick_e9=1).fold(view)["velocity_ticks_per_s"].round(6).tolist()
    [nan, nan, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    """

    def __init__(self, *, half_life_s: float = 2.0, tick_e9: int) -> None:
        if not 1e-6 <= half_life_s <= 1e6:
            raise ConfigurationError(
                "half-life cannot be so", expected="1e-6 to 1e6 seconds", found=repr(half_life_s), where="half_life_s"
            )
        self._tick_e9 = tick_e9
        self._rate = math.log(2) / half_life_s
        self._warm_ns = int(half_life_s * 1e9)
        self._marks = np.full(kernel.MARKS_N, MISSING, np.int64)
        self._sums = np.zeros(kernel.SUMS_N)

    def fold(self, view: View) -> Rows:
        """Return velocity and acceleration after each observable event."""
        at, out = np.empty(view.n, np.int64), np.empty((view.n, kernel.OUT_N))
        n = kernel.advance_velocity(
            view.events["flags"],
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.ask_px,
            view.thread,
            self._tick_e9,
            self._rate,
            self._warm_ns,
            self._marks,
            self._sums,
            at,
            out,
        )
        columns = out[:n].T.copy()
        names = [column.name for column in COLUMNS[1:]]
        return {"ts_ns": view.ts_ns[at[:n]], **dict(zip(names, columns, strict=True))}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"marks": self._marks.copy(), "sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"marks": self._marks, "sums": self._sums}, "velocity")
        self._marks, self._sums = state["marks"].copy(), state["sums"].copy()


def make(instrument: Instrument, instrument_id: int, *, half_life_s: float = 2.0) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Velocity(half_life_s=half_life_s, tick_e9=instrument.tick_e9))


register("velocity", make, columns=COLUMNS, needs=QUOTED)
