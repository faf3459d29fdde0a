"""The clocks of a block with as few calls as one event live can afford.

The same stamps, sessions and trading hours as :meth:`tapebook.features.touch.TouchFeed.time` gives. The calendar is
asked once for each stretch in which its answers stay the same, not once for each block.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import trade_days, trading_hours
from tapebook.kernels import touch as kernel
from tapebook.kernels.catalogue import read_clocks
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import State

__all__ = ["BlockClock", "Moments"]

_DAY_NS: Final = 86_400 * 1_000_000_000
_WEEK_NS: Final = 7 * _DAY_NS
_FEW: Final = 64


class Moments(NamedTuple):
    """Stamps of a block: see :class:`tapebook.features.touch.View`; ``stamp_ns`` is the venue's."""

    ts_ns: NDArray[np.int64]
    stamp_ns: NDArray[np.int64]
    clock_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    trading: NDArray[np.bool_]


class BlockClock:
    """Puts the events of one instrument on the steady clock and tells their session and whether the market trades."""

    def __init__(self, instrument: Instrument, *, hours: bool) -> None:
        self._calendar = instrument.calendar
        self._hours = hours and instrument.calendar != "24-7"
        self._clock = np.zeros(kernel.CLOCK_N, np.int64)
        self._clock[kernel.CLOCK_NOW] = MISSING
        self._session = np.full(1, MISSING, np.int64)
        self._stopped = np.zeros(1, np.int64)
        self._span = np.zeros(2, np.int64)
        self._same = (0, 0)  # from, until: where the two answers below hold
        self._days = np.full(_FEW, MISSING, np.int64)  # the answers, ready for a block of few events
        self._open = np.ones(_FEW, np.bool_)

    def read(self, events: Events) -> Moments:
        """Return the stamps of a block that is not empty."""
        n = events.size
        ts_ns, stamp_ns = np.empty(n, np.int64), np.empty(n, np.int64)
        clock_ns, session = np.empty(n, np.int64), np.empty(n, np.int64)
        trading = np.empty(n, np.bool_)
        read_clocks(events, self._clock, ts_ns, stamp_ns, clock_ns, self._span)
        days, by_timetable = self._answers(clock_ns)
        kernel.follow_sessions(days, self._session, session)
        kernel.follow_trading(events["kind"], events["detail"], by_timetable, self._stopped, trading)
        return Moments(ts_ns, stamp_ns, clock_ns, session, trading)

    def _answers(self, clock_ns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        first, last = self._span.tolist()
        start, stop = self._same
        if not (start <= first and last < stop):
            start, stop = self._same = self._stretch(first)
            if start < stop:
                one = np.full(1, first, np.int64)
                self._days[:] = trade_days(self._calendar, one)[0]
                self._open[:] = trading_hours(self._calendar, one)[0] if self._hours else True
        n = clock_ns.size
        if start <= first and last < stop:
            if n <= _FEW:
                return self._days[:n], self._open[:n]
            return np.full(n, self._days[0], np.int64), np.full(n, self._open[0], np.bool_)
        by_timetable = np.ones(n, np.bool_)
        if self._hours:
            by_timetable = trading_hours(self._calendar, clock_ns)
        return trade_days(self._calendar, clock_ns), by_timetable

    def _stretch(self, t: int) -> tuple[int, int]:
        """Return from when until when the calendar says the same as at ``t``; an empty stretch where it cannot tell."""
        if t < 0:
            return 0, 0
        if self._calendar == "24-7":
            return t // _DAY_NS * _DAY_NS, (t // _DAY_NS + 1) * _DAY_NS
        from tapebook.market.sessions import calendar

        try:
            near = calendar(self._calendar).sessions_between(t - _WEEK_NS, t + _WEEK_NS)
        except ConfigurationError:  # beyond the calendar's years
            return 0, 0
        edges = np.array(
            [
                edge
                for s in near
                for edge in (s.pre_open_ns, s.open_ns, s.rth_open_ns, s.rth_close_ns, s.close_ns, *sum(s.halts, ()))
            ],
            np.int64,
        )
        before, after = edges[(edges <= t) & (edges != MISSING)], edges[edges > t]
        return (int(before.max()), int(after.min())) if before.size and after.size else (0, 0)

    def memory(self) -> State:
        """Return the memory itself, not a copy."""
        return {"clock": self._clock, "session": self._session, "stopped": self._stopped}

    def restore(self, state: State) -> None:
        """Take up what :meth:`memory` returned of another."""
        self._clock = state["clock"].copy()
        self._session = state["session"].copy()
        self._stopped = state["stopped"].copy()
