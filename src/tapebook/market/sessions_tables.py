"""The timetables: how each calendar's sessions are made from the days of exchange_calendars.

==============  =====================================================================================================
``CME``         CME Group, equity indices (``CME-EQUITY``); ``CME-ENERGY``, ``CME-METALS``, ``CME-FX``, ``CME-RATES``
                are its siblings: :mod:`tapebook.market.sessions_cme`
``US-STOCKS``   New York's days (XNYS); 04:00-20:00, of which RTH 09:30-16:00; half days end at 17:00, RTH at 13:00
``B3``          B3's days (BVMF), futures: pre-open 08:55, 09:00 to the end of the closing call, all of it RTH
``B3-STOCKS``   B3's days, shares: pre-open 09:45, RTH 10:00 to the end of the closing call, after-market 17:30-18:00
``24-7``        UTC days, always open and always RTH
==============  =====================================================================================================

B3 moves with New York. Shares close (closing call included) at 17:00, or at 18:00 while New York's 16:00 is not earlier
than that in São Paulo; there is no after-market then. Futures close at 18:00 and 18:30 in step with that, and since
11 March 2024 always at 18:30. Brazil's own summer time (until February 2019) comes from the zone. On Ash Wednesday
everything starts at 13:00.

Sources, and what recordings confirm: docs/sessions.md.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.sessions import SessionCalendar, SessionTable
from tapebook.market.sessions_cme import GROUPS, at, rows
from tapebook.market.sessions_kept import kept_table

FIRST: Final = dt.date(2006, 1, 1)
LAST: Final = dt.date(2030, 12, 31)
_MARGIN: Final = dt.timedelta(days=14)  # sessions beyond both ends, so that the first and last days are whole
_MINUTE_NS: Final = 60_000_000_000
_DAY_NS: Final = 1440 * _MINUTE_NS
_NONE: Final = -1


class Wall:
    """Turns days and minutes of a zone's wall clock into ns UTC.

    A day has one offset here, the one at its noon: zones change at night, when none of these markets opens or closes.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        start = FIRST - 2 * _MARGIN
        self._start = np.datetime64(start)
        there = ZoneInfo(zone)
        n = (LAST - FIRST + 4 * _MARGIN).days
        noons = (
            dt.datetime(start.year, start.month, start.day, 12, tzinfo=there) + dt.timedelta(days=i) for i in range(n)
        )
        offsets = [noon.utcoffset() or dt.timedelta() for noon in noons]
        self._offset_ns = np.array([offset.total_seconds() for offset in offsets], dtype=np.int64) * 1_000_000_000

    def ns(self, days: NDArray[np.datetime64], minutes: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Return ns UTC of ``minutes`` after midnight (``_NONE`` becomes MISSING)."""
        minute = np.broadcast_to(np.asarray(minutes, dtype=np.int64), days.shape)
        midnight = days.astype("M8[D]").astype(np.int64) * _DAY_NS
        local = midnight + minute * _MINUTE_NS - self._offset_ns[(days - self._start).astype(np.int64)]
        return np.where(minute == _NONE, MISSING, local)

    def offset_ns(self, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """Return local time minus UTC at each day's noon."""
        offset: NDArray[np.int64] = self._offset_ns[(days - self._start).astype(np.int64)]
        return offset


def _library(name: str) -> Any:
    """Return the calendar of exchange_calendars."""
    with warnings.catch_warnings():
        # exchange_calendars 4.13 calls what pandas 3 deprecates: its authors' business, not our users'.
        warnings.simplefilter("ignore")
        import exchange_calendars

        return exchange_calendars.get_calendar(name, start=FIRST - _MARGIN, end=LAST + _MARGIN)


def _days(index: Any) -> NDArray[np.datetime64]:
    """Return a pandas index of midnights as days."""
    days: NDArray[np.datetime64] = index.to_numpy().astype("M8[D]")
    return days


def _cme(name: str) -> SessionTable:
    new_york = _library("XNYS")
    open_days = set(_days(new_york.sessions).tolist())
    early = set(_days(new_york.early_closes).tolist())
    made = rows(GROUPS[name], FIRST - _MARGIN, LAST + _MARGIN, open_days, early)
    wall = Wall("America/Chicago")

    def ns(moments: list[tuple[dt.date, int]]) -> NDArray[np.int64]:
        days = np.array([day for day, _ in moments], dtype="M8[D]")
        return wall.ns(days, np.array([minute for _, minute in moments], dtype=np.int64))

    halted = [(i, halt) for i, row in enumerate(made) for halt in row.halts]
    halts = np.empty((len(halted), 4), dtype=np.int64)
    halts[:, 0] = [i for i, _ in halted]
    for k in range(3):
        halts[:, k + 1] = ns([halt[k] for _, halt in halted])
    return SessionTable(
        zone=wall.zone,
        dates=np.array([row.date for row in made], dtype="M8[D]"),
        pre_open_ns=ns([row.pre_open for row in made]),
        open_ns=ns([row.open for row in made]),
        close_ns=ns([(row.date, row.close) for row in made]),
        rth_open_ns=ns([(row.date, row.rth[0] if row.rth else _NONE) for row in made]),
        rth_close_ns=ns([(row.date, row.rth[1] if row.rth else _NONE) for row in made]),
        half_day=np.array([row.half_day for row in made]),
        halts=halts,
    )


def _us_stocks(_name: str) -> SessionTable:
    new_york = _library("XNYS")
    days = _days(new_york.sessions)
    half = np.isin(days, _days(new_york.early_closes))
    wall = Wall("America/New_York")
    opens = wall.ns(days, at(4))
    return SessionTable(
        zone=wall.zone,
        dates=days,
        pre_open_ns=opens,
        open_ns=opens,
        close_ns=wall.ns(days, np.where(half, at(17), at(20))),
        rth_open_ns=wall.ns(days, at(9, 30)),
        rth_close_ns=wall.ns(days, np.where(half, at(13), at(16))),
        half_day=half,
        halts=_no_halts(),
    )


def _b3(name: str) -> SessionTable:
    library = _library("BVMF")
    days = _days(library.sessions)
    late = np.isin(days, _days(library.late_opens))
    wall = Wall("America/Sao_Paulo")
    # Hours that Sao Paulo is ahead of New York: with 2 or more, New York's 16:00 is 18:00 or later there.
    ahead = (wall.offset_ns(days) - Wall("America/New_York").offset_ns(days)) // (60 * _MINUTE_NS)
    long_day = ahead >= 2
    if name == "B3":
        opens = np.where(late, at(13), at(9))
        always_long = days >= np.datetime64("2024-03-11")
        close = np.where(long_day | always_long, at(18, 30), at(18))
        rth_close, halts, pre_open = close, _no_halts(), opens - 5
    else:
        opens = np.where(late, at(13), at(10))
        close = np.full(days.size, at(18))
        rth_close, pre_open = np.where(long_day, at(18), at(17)), opens - 15
        short = np.flatnonzero(~long_day)
        halts = np.empty((short.size, 4), dtype=np.int64)
        halts[:, 0] = short
        halts[:, 1] = wall.ns(days[short], at(17))
        halts[:, 2] = halts[:, 3] = wall.ns(days[short], at(17, 30))
    return SessionTable(
        zone=wall.zone,
        dates=days,
        pre_open_ns=wall.ns(days, pre_open),
        open_ns=wall.ns(days, opens),
        close_ns=wall.ns(days, close),
        rth_open_ns=wall.ns(days, opens),
        rth_close_ns=wall.ns(days, rth_close),
        half_day=late,
        halts=halts,
    )


def _always(_name: str) -> SessionTable:
    days = np.arange(np.datetime64("2000-01-01"), np.datetime64("2051-01-01"))
    opens = days.astype(np.int64) * _DAY_NS
    return SessionTable(
        zone="UTC",
        dates=days,
        pre_open_ns=opens,
        open_ns=opens,
        close_ns=opens + _DAY_NS,
        rth_open_ns=opens,
        rth_close_ns=opens + _DAY_NS,
        half_day=np.zeros(days.size, dtype=np.bool_),
        halts=_no_halts(),
    )


def _no_halts() -> NDArray[np.int64]:
    return np.empty((0, 4), dtype=np.int64)


_BUILDERS: Final[dict[str, Callable[[str], SessionTable]]] = {
    "24-7": _always,
    "B3": _b3,
    "B3-STOCKS": _b3,
    "US-STOCKS": _us_stocks,
    **dict.fromkeys(GROUPS, _cme),
}
NAMES: Final = tuple(_BUILDERS)


def build(name: str) -> SessionCalendar:
    """Return the calendar ``name``, anew.

    Raises
    ------
    ConfigurationError
        If no calendar has the name.
    """
    if name not in _BUILDERS:
        raise ConfigurationError(
            "no such session calendar", expected=f"one of {', '.join(sorted(NAMES))}", found=repr(name)
        )
    if name == "24-7":
        table = _always(name)
        return SessionCalendar(name, table, table.dates[0].item(), table.dates[-1].item())
    table = kept_table(name, lambda: _BUILDERS[name](name))
    return SessionCalendar(name, table, FIRST, LAST)
