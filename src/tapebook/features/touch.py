"""What every feature looks at: the events of one instrument, and the best prices before and after each of them.

A :class:`TouchFeed` turns blocks of a tape into views; a *fold* turns views into rows. Alone, a feature is a feed and a
fold (:class:`FoldOperator`). Together, many folds share one feed, so that the book is built once (:class:`Together`).

Rules that all features inherit from here:

* The touch is what could be observed after the last record of a venue message. A print meets the touch that stood
  before the message that carries it.
* Time between events is measured on a steady clock that one damaged stamp cannot move
  (:func:`tapebook.kernels.touch.steady_clock`); rows are stamped with the clock of the event that made them.
* The session of an event is its trade date by the instrument's calendar (days since 1970).
* A cleared book, a snapshot, a gap or a stop of trading breaks the thread: nothing is differenced across it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.book.best import BestBook
from tapebook.features.folds import Alone, FoldOf, Folds
from tapebook.kernels import touch as kernel
from tapebook.kernels.book_rows import read_side
from tapebook.market.events import MISSING, PRICE_SCALE, Events, Flag, Kind, Side, clock_ns, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import State, check_state, state_below

__all__ = [
    "QUOTED",
    "Fold",
    "FoldOperator",
    "Timed",
    "Together",
    "TouchFeed",
    "View",
    "in_price",
    "trade_days",
    "trading_hours",
    "view_of",
]

QUOTED: Final = frozenset({"quotes", "levels", "orders"})
"""What a tape must hold (any of it) for a touch to stand."""

_DAY_NS: Final = 86_400 * 1_000_000_000


@dataclass(frozen=True)
class View:
    """A block of one instrument's events with the touch around each: place ``i`` before event ``i``, ``i + 1`` after.

    Attributes
    ----------
    events
        The block, of this instrument only.
    ts_ns
        Stamp of the rows that an event makes (its clock).
    clock_ns
        The steady clock, for what depends on elapsed time.
    session
        Trade date of each event as days since 1970.
    trading
        Whether the market trades continuously at each event: no auction, halt or close.
    bid_px, bid_sz, ask_px, ask_sz, thread
        The touch, one place longer than the events; see :mod:`tapebook.kernels.touch`.
    """

    events: Events
    ts_ns: NDArray[np.int64]
    clock_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    trading: NDArray[np.bool_]
    bid_px: NDArray[np.int64]
    bid_sz: NDArray[np.int64]
    ask_px: NDArray[np.int64]
    ask_sz: NDArray[np.int64]
    thread: NDArray[np.int64]

    @property
    def n(self) -> int:
        """How many events."""
        return int(self.events.size)


@dataclass(frozen=True)
class Timed:
    """Events of one instrument with their clocks and sessions, not yet seen by a book."""

    events: Events
    ts_ns: NDArray[np.int64]
    clock_ns: NDArray[np.int64]
    session: NDArray[np.int64]
    trading: NDArray[np.bool_]


Fold: TypeAlias = FoldOf[View]
"""A feature of the touch without its feed."""


class TouchFeed:
    """Turns blocks of a tape into views of one instrument, building its book on the way.

    Parameters
    ----------
    instrument, instrument_id
        Whose events to look at.
    hours
        Whether the timetable of the instrument's calendar says when the market trades; False leaves that to the venue's
        own STATUS events, for a tape whose market kept other hours.
    """

    def __init__(self, instrument: Instrument, instrument_id: int, *, hours: bool = True) -> None:
        self.instrument = instrument
        self.instrument_id = instrument_id
        self._hours = hours and instrument.calendar != "24-7"
        self.book = BestBook(instrument, instrument_id)
        self._seen = np.zeros(kernel.SEEN_N, np.int64)
        self._seen[[kernel.SEEN_BID_PX, kernel.SEEN_ASK_PX]] = MISSING
        self._clock = np.zeros(kernel.CLOCK_N, np.int64)
        self._clock[kernel.CLOCK_NOW] = MISSING
        self._session = np.full(1, MISSING, np.int64)
        self._stopped = np.zeros(1, np.int64)

    def see(self, events: Events) -> View:
        """Fold a block into the book and return the view of it."""
        timed = self.time(events)
        return self.view(timed, 0, timed.events.size)

    def time(self, events: Events) -> Timed:
        """Take the events of this instrument out of a block and put them on the steady clock.

        Each part of what it returns must then go through :meth:`view`, in order: the way to look at the book between
        two events of a block.
        """
        mine = events["instrument_id"] == self.instrument_id
        block = events if mine.all() else events[mine]
        ts_ns = clock_ns(block)
        steady = np.empty(block.size, np.int64)
        kernel.steady_clock(ts_ns, self._clock, steady)
        session = np.empty(block.size, np.int64)
        kernel.follow_sessions(trade_days(self.instrument.calendar, steady), self._session, session)
        by_timetable = np.ones(block.size, np.bool_)
        if self._hours:
            by_timetable = trading_hours(self.instrument.calendar, steady)
        trading = np.empty(block.size, np.bool_)
        kernel.follow_trading(block["kind"], block["detail"], by_timetable, self._stopped, trading)
        return Timed(block, ts_ns, steady, session, trading)

    def view(self, timed: Timed, start: int, stop: int) -> View:
        """Fold ``timed.events[start:stop]`` into the book and return the view of it."""
        block = timed.events[start:stop]
        best = self.book.advance(block)
        places = [np.empty(block.size + 1, np.int64) for _ in range(5)]
        kernel.observe_touch(block["kind"], block["flags"], block["detail"], best, self._seen, *places)
        part = slice(start, stop)
        return View(block, timed.ts_ns[part], timed.clock_ns[part], timed.session[part], timed.trading[part], *places)

    def levels(self, side: Side, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return prices (1e-9) and lots of the best ``n`` levels of a side as they stand now, best first.

        Between the records of a message the book may not be observable; a size that was not told is MISSING.
        """
        out = np.empty((3 * n, 1), np.int64)
        found = read_side(*self.book.memory.arrays, 0 if side == Side.BID else 1, out)
        rows = out.reshape(n, 3)[:found]
        return rows[:, 0].copy(), rows[:, 1].copy()

    def save(self) -> State:
        """Return a copy of the whole memory, the book's included."""
        mine = {name: array.copy() for name, array in self._own().items()}
        return mine | {f"book.{name}": array for name, array in self.book.save().items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._own(), "touch feed")
        self._seen = state["seen"].copy()
        self._clock = state["clock"].copy()
        self._session = state["session"].copy()
        self._stopped = state["stopped"].copy()
        self.book.restore(state_below("book.", state))

    def _own(self) -> State:
        return {"seen": self._seen, "clock": self._clock, "session": self._session, "stopped": self._stopped}


class FoldOperator(Alone[View]):
    """A feature of the touch as an operator of its own."""

    def __init__(self, instrument: Instrument, instrument_id: int, fold: Fold) -> None:
        super().__init__(TouchFeed(instrument, instrument_id), fold)


class Together(Folds[View]):
    """Many features of the touch over one feed, which is there for what needs more than rows (a heatmap, a sampler)."""

    def __init__(
        self, instrument: Instrument, instrument_id: int, folds: Mapping[str, Fold], *, hours: bool = True
    ) -> None:
        self.feed = TouchFeed(instrument, instrument_id, hours=hours)
        super().__init__(self.feed, folds)


def in_price(values_e9: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1e-9 units as prices; MISSING becomes NaN.

    >>> in_price(np.array([4_781_500_000_000, MISSING])).tolist()
    [4781.5, nan]
    """
    prices: NDArray[np.float64] = np.where(values_e9 == MISSING, np.nan, values_e9 / PRICE_SCALE)
    return prices


def trade_days(calendar_name: str, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the trade date of each stamp as days since 1970; MISSING outside the calendar.

    >>> trade_days("24-7", np.array([86_400_000_000_000, MISSING])).tolist()[0]
    1
    """
    if calendar_name == "24-7":  # a whole day of UTC: no table needed
        return np.where(ts_ns == MISSING, MISSING, ts_ns // _DAY_NS)
    from tapebook.market.sessions import calendar

    dates = calendar(calendar_name).trade_dates(ts_ns, outside="missing")
    days: NDArray[np.int64] = dates.astype("M8[D]").view(np.int64)  # NaT is MISSING
    return days


def trading_hours(calendar_name: str, ts_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where the timetable of a calendar says that the market trades; a time outside the calendar counts as open.

    >>> noon = np.array(["2024-03-05T12:00", "2024-03-09T12:00"], "M8[ns]").astype(np.int64)
    >>> trading_hours("CME", noon).tolist()
    [True, False]
    """
    from tapebook.market.sessions import SessionPhase, calendar

    table = calendar(calendar_name)
    open_: NDArray[np.bool_] = table.phases(ts_ns, outside="missing") >= SessionPhase.OPEN
    unknown = np.isnat(table.trade_dates(ts_ns, outside="missing"))
    return open_ | unknown


def view_of(touches: Sequence[tuple[int, int, int, int]], *, every_ns: int = 1_000_000_000) -> View:
    """Return a view in which event ``i`` brings the touch ``touches[i]``: for examples and tests.

    A touch is bid, its size, ask, its size; prices are in 1e-9. The first event comes at time 0, nothing stood before.

    >>> view_of([(100, 10, 101, 8)]).bid_px.tolist()[1:]
    [100]
    """
    n = len(touches)
    best = np.array(touches, np.int64).reshape(n, 4)
    events = empty_events(n)
    events["kind"] = Kind.QUOTE
    events["flags"] = Flag.LAST
    events["ts_event_ns"] = np.arange(n) * every_ns
    seen = np.zeros(kernel.SEEN_N, np.int64)
    seen[[kernel.SEEN_BID_PX, kernel.SEEN_ASK_PX]] = MISSING
    places = [np.empty(n + 1, np.int64) for _ in range(5)]
    kernel.observe_touch(events["kind"], events["flags"], events["detail"], best, seen, *places)
    ts_ns = clock_ns(events)
    return View(events, ts_ns, ts_ns, np.zeros(n, np.int64), np.ones(n, np.bool_), *places)
