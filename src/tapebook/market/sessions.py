"""Sessions: which trade date a moment belongs to, and whether the market was open, in regular hours, or closed.

:func:`calendar` gives the calendar that an instrument names. Everything is asked of whole arrays of int64 ns stamps:

* A *trade date* runs from its pre-open to the next one. So every moment belongs to exactly one: what comes after the
  close (late prints, settlements, status) to the session that has just ended, as venues count it, and the pre-open to
  the session that it opens. There is no gap to fall into, at the maintenance break or over a weekend.
* A *phase* is CLOSED, PRE_OPEN, OPEN or RTH; RTH (regular trading hours) implies open, so ``phases(ts) >= OPEN`` reads
  "trades". Phases are the timetable's: an unscheduled halt is told by the venue's STATUS events, not here.
* A stamp that is MISSING has the trade date NaT and the phase CLOSED. A stamp outside the calendar's years raises, or
  counts as missing with ``outside="missing"`` (for readers of damaged files).

Where the hours come from: :mod:`tapebook.market.sessions_cme`, :mod:`tapebook.market.sessions_tables` and
docs/sessions.md, which also says how fast this was measured. The first call for a calendar builds its table (and
imports exchange_calendars and pandas, about 0.8 s in all); after that a stamp costs 3-10 ns, because only the
boundaries between the smallest and the largest stamp of a call are searched.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING

__all__ = ["Session", "SessionCalendar", "SessionPhase", "SessionTable", "calendar", "calendar_names"]

Outside: TypeAlias = Literal["raise", "missing"]


class SessionPhase(IntEnum):
    """What a market is doing by its timetable; ordered, so that ``>= OPEN`` means that it trades."""

    CLOSED = 0
    PRE_OPEN = 1  # orders are taken, nothing trades
    OPEN = 2  # trading outside regular hours
    RTH = 3  # regular trading hours


@dataclass(frozen=True, kw_only=True)
class Session:
    """One trade date; times in ns UTC.

    Attributes
    ----------
    trade_date
        The venue's date of it.
    pre_open_ns, open_ns, close_ns
        When orders are first taken (equal to ``open_ns`` where there is no pre-open), when trading starts and ends.
    rth_open_ns, rth_close_ns
        Regular trading hours; MISSING on a day that ends before they would start.
    half_day
        Whether trading ends earlier (on B3: starts later) than on a common day.
    halts
        Scheduled stops inside the session as (start_ns, end_ns): the afternoon of a US bank holiday, for example.
    """

    trade_date: dt.date
    pre_open_ns: int
    open_ns: int
    close_ns: int
    rth_open_ns: int
    rth_close_ns: int
    half_day: bool
    halts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class SessionTable:
    """What a calendar is made of: equally long columns, one row a session, in time order."""

    zone: str
    dates: NDArray[np.datetime64]
    pre_open_ns: NDArray[np.int64]
    open_ns: NDArray[np.int64]
    close_ns: NDArray[np.int64]
    rth_open_ns: NDArray[np.int64]
    rth_close_ns: NDArray[np.int64]
    half_day: NDArray[np.bool_]
    halts: NDArray[np.int64]  # shape (n, 4): row of the session, start_ns, when orders are taken again, end_ns


class SessionCalendar:
    """The sessions of one market, ready to be asked about arrays of stamps; :func:`calendar` makes it.

    Examples
    --------
    ES opened for the trade date of 26 December 2023 on the evening of Christmas Day:

    >>> import numpy as np
    >>> cme = calendar("CME")
    >>> stamps = np.array(["2023-12-25T22:00", "2023-12-25T23:00", "2023-12-26T15:00"], dtype="M8[ns]").view(np.int64)
    >>> cme.trade_dates(stamps).tolist()
    [datetime.date(2023, 12, 26), datetime.date(2023, 12, 26), datetime.date(2023, 12, 26)]
    >>> [SessionPhase(p).name for p in cme.phases(stamps)]
    ['PRE_OPEN', 'OPEN', 'RTH']
    >>> cme.is_open(stamps).tolist(), cme.in_rth(stamps).tolist()
    ([False, True, True], [False, False, True])
    """

    def __init__(self, name: str, table: SessionTable, first: dt.date, last: dt.date) -> None:
        self.name = name
        self.zone = table.zone
        self.first = first
        self.last = last
        self._table = table
        self._edges_ns, self._edge_phases = _edges(table)
        self._lo_ns = _midnight_ns(first)
        self._hi_ns = _midnight_ns(last + dt.timedelta(days=1))

    def trade_dates(self, ts_ns: NDArray[np.int64], *, outside: Outside = "raise") -> NDArray[np.datetime64]:
        """Return the trade date (``datetime64[D]``) of each stamp; NaT for a MISSING one.

        Raises
        ------
        ConfigurationError
            If a stamp lies outside the calendar's years (unless ``outside="missing"``).

        Examples
        --------
        >>> import numpy as np
        >>> friday_evening = np.array(["2024-01-12T23:30", "NaT"], dtype="M8[ns]").view(np.int64)
        >>> calendar("CME").trade_dates(friday_evening)
        array(['2024-01-12',        'NaT'], dtype='datetime64[D]')
        """
        row, missing = self._find(self._table.pre_open_ns, ts_ns, outside)
        dates: NDArray[np.datetime64] = self._table.dates[row]
        if missing is not None:
            dates[missing] = np.datetime64("NaT")
        return dates

    def phases(self, ts_ns: NDArray[np.int64], *, outside: Outside = "raise") -> NDArray[np.uint8]:
        """Return the :class:`SessionPhase` of each stamp; CLOSED for a MISSING one. Errors as :meth:`trade_dates`."""
        edge, missing = self._find(self._edges_ns, ts_ns, outside)
        phases: NDArray[np.uint8] = self._edge_phases[edge]
        if missing is not None:
            phases[missing] = SessionPhase.CLOSED
        return phases

    def is_open(self, ts_ns: NDArray[np.int64], *, outside: Outside = "raise") -> NDArray[np.bool_]:
        """Return whether the market trades at each stamp, by its timetable."""
        open_now: NDArray[np.bool_] = self.phases(ts_ns, outside=outside) >= SessionPhase.OPEN
        return open_now

    def in_rth(self, ts_ns: NDArray[np.int64], *, outside: Outside = "raise") -> NDArray[np.bool_]:
        """Return whether each stamp lies in regular trading hours."""
        regular: NDArray[np.bool_] = self.phases(ts_ns, outside=outside) == SessionPhase.RTH
        return regular

    def session(self, date: dt.date | np.datetime64 | str) -> Session:
        """Return the session of a trade date.

        Raises
        ------
        ConfigurationError
            If ``date`` is no trade date of this market, or outside the calendar's years.

        Examples
        --------
        >>> thanksgiving = calendar("CME").session("2023-11-24")  # opened on Wednesday, stopped on Thursday at noon
        >>> thanksgiving.half_day, len(thanksgiving.halts), (thanksgiving.close_ns - thanksgiving.open_ns) / 3.6e12
        (True, 1, 43.25)
        """
        day = _day(date)
        dates = self._table.dates
        row = int(np.searchsorted(dates, np.datetime64(day)))
        inside = self.first <= day <= self.last
        if inside and dates[row] == np.datetime64(day):
            return self._session(row)
        raise ConfigurationError(
            f"no session of {self.name} on that day",
            expected=f"a trade date from {self.first} to {self.last}",
            found=str(day),
            remedy=f"the nearest are {dates[row - 1]} and {dates[row]}" if inside else "",
        )

    def sessions_between(self, start_ns: int, end_ns: int) -> list[Session]:
        """Return the sessions that share a moment with ``start_ns <= t < end_ns``, from pre-open to close.

        Examples
        --------
        >>> import numpy as np
        >>> day = np.array(["2024-07-03T12:00", "2024-07-05T12:00"], dtype="M8[ns]").view(np.int64)
        >>> [str(s.trade_date) for s in calendar("CME").sessions_between(*day)]  # 4 July is part of the 5th
        ['2024-07-03', '2024-07-05']
        """
        for stamp in (start_ns, end_ns - 1):
            if not self._lo_ns <= stamp < self._hi_ns:
                raise self._outside(stamp)
        a = int(np.searchsorted(self._table.close_ns, start_ns, side="right"))
        b = int(np.searchsorted(self._table.pre_open_ns, end_ns, side="left"))
        return [self._session(row) for row in range(a, b)]

    def _session(self, row: int) -> Session:
        table = self._table
        halts = table.halts[table.halts[:, 0] == row]
        return Session(
            trade_date=table.dates[row].item(),
            pre_open_ns=int(table.pre_open_ns[row]),
            open_ns=int(table.open_ns[row]),
            close_ns=int(table.close_ns[row]),
            rth_open_ns=int(table.rth_open_ns[row]),
            rth_close_ns=int(table.rth_close_ns[row]),
            half_day=bool(table.half_day[row]),
            halts=tuple((int(start), int(end)) for _, start, _, end in halts),
        )

    def _find(
        self, edges_ns: NDArray[np.int64], ts_ns: NDArray[np.int64], outside: Outside
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_] | None]:
        """Return the last edge at or before each stamp, and which stamps have none (None: all have one)."""
        ts = np.asarray(ts_ns, dtype=np.int64)
        if ts.size == 0:
            return np.zeros(ts.shape, dtype=np.intp), None
        lowest, highest = int(ts.min()), int(ts.max())
        missing = None
        if lowest < self._lo_ns or highest >= self._hi_ns:
            missing = (ts < self._lo_ns) | (ts >= self._hi_ns)
            strange = ts[missing & (ts != MISSING)]
            if strange.size and outside == "raise":
                raise self._outside(int(strange[0]))
            lowest, highest = max(lowest, self._lo_ns), min(highest, self._hi_ns)
        # Only the edges inside the stamps' span are searched: for a file of one day that is a handful.
        a = int(np.searchsorted(edges_ns, lowest, side="right"))
        b = int(np.searchsorted(edges_ns, highest, side="right"))
        return np.searchsorted(edges_ns[a:b], ts, side="right") + (a - 1), missing

    def _outside(self, stamp: int) -> ConfigurationError:
        told = "MISSING" if stamp == MISSING else f"{np.datetime64(stamp, 'ns')} ({stamp} ns)"
        return ConfigurationError(
            "time outside the session calendar",
            expected=f"{self.first} to {self.last}, which {self.name} knows",
            found=told,
            remedy="check the unit and zone of the file's times",
        )


def _day(date: dt.date | np.datetime64 | str) -> dt.date:
    try:
        if isinstance(date, np.datetime64):
            return dt.date.fromisoformat(np.datetime_as_string(date, unit="D"))
        # Not numpy's parser for text: it takes "today" for a date, and asks the wall clock.
        if isinstance(date, str):
            return dt.date.fromisoformat(date)
    except ValueError as error:
        raise ConfigurationError("not a date", expected="YYYY-MM-DD", found=repr(str(date))) from error
    return date.date() if isinstance(date, dt.datetime) else date


def _midnight_ns(day: dt.date) -> int:
    return int(np.datetime64(day, "ns").astype(np.int64))


def _edges(table: SessionTable) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return all moments at which the phase changes, and the phase from each on."""
    rows = np.arange(table.dates.size)
    regular = np.flatnonzero(table.rth_open_ns != MISSING)
    halted, halt_ns, pre_open_ns, resume_ns = table.halts.T
    # A halt's end gives back the phase it interrupted: regular hours where it ends inside them.
    in_rth = (table.rth_open_ns[halted] <= resume_ns) & (resume_ns < table.rth_close_ns[halted])
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.integer] | int]]
    parts = [  # rows, times, phase from then on; of equal times in a session the later one in this list wins
        (rows, table.pre_open_ns, SessionPhase.PRE_OPEN),
        (rows, table.open_ns, SessionPhase.OPEN),
        (regular, table.rth_open_ns[regular], SessionPhase.RTH),
        (regular, table.rth_close_ns[regular], SessionPhase.OPEN),
        (halted, halt_ns, SessionPhase.CLOSED),
        (halted, pre_open_ns, SessionPhase.PRE_OPEN),
        (halted, resume_ns, np.where(in_rth, SessionPhase.RTH, SessionPhase.OPEN)),
        (rows, table.close_ns, SessionPhase.CLOSED),
    ]
    row = np.concatenate([part[0] for part in parts])
    order = np.concatenate([np.full(part[0].size, i) for i, part in enumerate(parts)])
    times = np.concatenate([part[1] for part in parts])
    phases = np.concatenate([np.broadcast_to(part[2], part[0].shape) for part in parts]).astype(np.uint8)
    by_time = np.lexsort((order, row, times))
    return times[by_time], phases[by_time]


ALIASES: Final = {"CME-EQUITY": "CME"}
"""Other names of calendars: ``CME`` alone means the hours of the equity indices."""


@cache
def calendar(name: str) -> SessionCalendar:
    """Return the calendar of a name: ``CME``, ``CME-ENERGY``, ``B3``, ``US-STOCKS``, ``24-7`` and others.

    Parameters
    ----------
    name
        One of :func:`calendar_names`, as :attr:`Instrument.calendar` has it.

    Raises
    ------
    ConfigurationError
        If no calendar has the name.

    Examples
    --------
    >>> import numpy as np
    >>> np.datetime64(calendar("US-STOCKS").session("2024-07-03").rth_close_ns, "ns")  # 13:00 in New York
    np.datetime64('2024-07-03T17:00:00.000000000')
    """
    from tapebook.market.sessions_tables import build

    if name in ALIASES:
        return calendar(ALIASES[name])
    return build(name)


def calendar_names() -> tuple[str, ...]:
    """Return the names that :func:`calendar` knows.

    Examples
    --------
    >>> "CME" in calendar_names()
    True
    """
    from tapebook.market.sessions_tables import NAMES

    return tuple(sorted((*NAMES, *ALIASES)))
