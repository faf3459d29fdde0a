"""CME Group's timetable: how sessions follow from the days that exchange_calendars gives for New York.

CME publishes its holiday hours as notices, group by group, and no library has them right for every group, so this is
derived, and checked against the notices and against recordings (docs/sessions.md lists them). The rules:

1. A trade date is a weekday on which CME settles. It opens at 17:00 Chicago time on the calendar day before and closes
   at 16:00. Sunday evening belongs to Monday.
2. New Year's Day, Christmas and Good Friday: closed. Trading starts again at 17:00 where the next day is a trade date.
3. The other US bank holidays (Martin Luther King, Presidents', Memorial, Juneteenth from 2022, Independence, Labor,
   Thanksgiving) are no trade dates, but CME trades until a halt around noon and again from 17:00; all of it belongs to
   the next trade date ("opens at 5:00 p.m. for trade date of Tuesday", as the notices say). Such a session has a halt.
4. Days on which New York closes early (after Thanksgiving, Christmas Eve, the day before Independence Day) close early.
5. On a Good Friday that is the first Friday of April the jobs report is published and CME opens until 08:15 (equity
   indices) or 10:15 (currencies, rates).
6. Orders are taken 15 minutes before an opening, and an hour before it on Sundays and after a holiday of rule 2.

Regular trading hours (RTH) are those of the former pits: 08:30-15:00 for equity indices (until New York's close),
08:00-13:30 energy, 07:20-12:30 metals, 07:20-14:00 currencies and rates.

Known limits: before 21 September 2015 (equity indices: 18 November 2012) groups other than equity indices have the
hours of later years; early closes on Fridays before long weekends (rates and currencies, until 2015) are not known.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Final

CLOSED: Final = -1
REGULAR: Final = -2
_DAY: Final = dt.timedelta(days=1)


def at(hour: int, minute: int = 0) -> int:
    """Return minutes after midnight."""
    return hour * 60 + minute


@dataclass(frozen=True)
class Hours:
    """A common day's hours from a trade date on; minutes after midnight in Chicago."""

    since: dt.date
    close: int
    afternoon_open: int = 0  # trading for the next date starts here on the day before (0: at 17:00)
    pauses: tuple[tuple[int, int], ...] = ()  # stops inside the session, on the trade date itself


@dataclass(frozen=True)
class Group:
    """What differs between product groups."""

    rth: tuple[int, int]
    hours: tuple[Hours, ...]
    halts: tuple[tuple[dt.date, int], ...]  # when trading stops on a bank holiday, by first date; REGULAR: not at all
    black_friday: int = at(12, 15)
    christmas_eve: int = at(12, 15)
    independence_eve: int = REGULAR
    jobs_good_friday: int = CLOSED
    unforeseen: int = REGULAR  # days on which only New York's stock market is closed
    special: dict[dt.date, int] = field(default_factory=dict)  # closing time of single days


FORD: Final = dt.date(2007, 1, 2)  # mourning for President Ford, on a date that could be a New Year's holiday
_START: Final = dt.date(2000, 1, 1)
_NOON: Final = ((_START, at(12)),)
_NYMEX_HOURS: Final = (Hours(_START, at(16, 15)), Hours(dt.date(2015, 9, 21), at(16)))
_NYMEX_HALTS: Final = (
    (_START, REGULAR),  # Labor Day 2007: no halt before the common close
    (dt.date(2009, 1, 1), at(12, 30)),  # 3 July 2009
    (dt.date(2013, 1, 1), at(12, 15)),  # 4 July 2013
    (dt.date(2015, 1, 1), at(12)),  # 4 July 2017
    (dt.date(2022, 1, 1), at(13, 30)),  # Martin Luther King Day 2026
)

GROUPS: Final = {
    "CME": Group(
        rth=(at(8, 30), at(15)),
        hours=(
            Hours(_START, at(15, 15), afternoon_open=at(15, 30)),
            Hours(dt.date(2012, 11, 19), at(16, 15), pauses=((at(15, 15), at(15, 30)),)),
            Hours(dt.date(2015, 9, 21), at(16), pauses=((at(15, 15), at(15, 30)),)),
            Hours(dt.date(2021, 6, 28), at(16)),
        ),
        halts=((_START, at(10, 30)), (dt.date(2014, 5, 1), at(12))),
        independence_eve=at(12, 15),
        jobs_good_friday=at(8, 15),
        unforeseen=at(8, 30),
        special={
            dt.date(2006, 7, 3): REGULAR,  # New York closed early, Globex did not
            FORD: CLOSED,
            dt.date(2012, 10, 29): at(8, 15),  # Hurricane Sandy
            dt.date(2012, 10, 30): at(8, 15),
        },
    ),
    "CME-ENERGY": Group(
        rth=(at(8), at(13, 30)),
        hours=_NYMEX_HOURS,
        halts=_NYMEX_HALTS,
        black_friday=at(12, 45),
        christmas_eve=at(12, 45),
    ),
    "CME-METALS": Group(
        rth=(at(7, 20), at(12, 30)),
        hours=_NYMEX_HOURS,
        halts=_NYMEX_HALTS,
        black_friday=at(12, 45),
        christmas_eve=at(12, 45),
    ),
    "CME-FX": Group(
        rth=(at(7, 20), at(14)),
        hours=(Hours(_START, at(16)),),
        halts=(*_NOON, (dt.date(2022, 1, 1), REGULAR)),
        jobs_good_friday=at(10, 15),
        special={FORD: at(12)},
    ),
    "CME-RATES": Group(
        rth=(at(7, 20), at(14)),
        hours=(Hours(_START, at(16)),),
        halts=_NOON,
        jobs_good_friday=at(10, 15),
        special={
            FORD: at(12),
            dt.date(2012, 10, 29): at(11),
            dt.date(2018, 12, 5): CLOSED,  # mourning for President Bush
            dt.date(2025, 1, 9): at(12, 15),  # mourning for President Carter
        },
    ),
}


@dataclass
class Row:
    """One session in Chicago's wall clock: (day, minute) pairs."""

    date: dt.date
    pre_open: tuple[dt.date, int]
    open: tuple[dt.date, int]
    close: int
    rth: tuple[int, int] | None
    half_day: bool
    halts: list[tuple[tuple[dt.date, int], tuple[dt.date, int], tuple[dt.date, int]]]


def rows(group: Group, first: dt.date, last: dt.date, new_york: set[dt.date], early: set[dt.date]) -> list[Row]:
    """Return the sessions of ``group`` with trade dates from ``first`` to ``last``.

    Parameters
    ----------
    new_york, early
        The days on which New York's stock market is open, and those on which it closes early.
    """
    made: list[Row] = []
    carried: list[dt.date] = []  # bank holidays whose trading belongs to the next trade date
    day = first
    while day <= last:
        if day.weekday() < 5:
            close = _close(group, day, new_york, early)
            if close is None:
                carried.append(day)
            elif close != CLOSED:
                made.append(_row(group, day, close, carried, new_york, early))
                carried = []
        day += _DAY
    return made


def _row(
    group: Group, day: dt.date, close: int, carried: list[dt.date], new_york: set[dt.date], early: set[dt.date]
) -> Row:
    hours = _hours(group, day)
    evening = (carried[0] if carried else day) - _DAY
    pre_open, opens = _opening(group, hours, evening, new_york, early)
    halts = []
    for i, holiday in enumerate(carried):
        until = (carried[i + 1] if i + 1 < len(carried) else day) - _DAY
        stop = _halt(group, holiday)
        resume_at = at(16) if until.weekday() == 6 else at(16, 45)
        stop = hours.close if stop == REGULAR else stop
        halts.append(((holiday, stop), (until, resume_at), (until, at(17))))
    if hours.afternoon_open and opens == at(15, 30):
        halts.insert(0, ((evening, at(16, 30)), (evening, at(16, 45)), (evening, at(17))))
    closing = hours.close if close == REGULAR else min(close, hours.close)
    halts += [((day, start), (day, start), (day, end)) for start, end in hours.pauses if end < closing]
    rth_open, rth_close = group.rth
    return Row(
        date=day,
        pre_open=(evening, pre_open),
        open=(evening, opens),
        close=closing,
        rth=(rth_open, min(rth_close, closing)) if rth_open < closing else None,
        half_day=closing < hours.close,
        halts=halts,
    )


def _opening(
    group: Group, hours: Hours, evening: dt.date, new_york: set[dt.date], early: set[dt.date]
) -> tuple[int, int]:
    """Return when orders are taken and trading starts on the evening before a session."""
    if evening.weekday() == 6:
        return at(16), at(17)
    before = _close(group, evening, new_york, early)
    if before == CLOSED:
        return at(16), at(17)
    if hours.afternoon_open and before == REGULAR:
        return at(15, 15), hours.afternoon_open
    return at(16, 45), at(17)


def _close(group: Group, day: dt.date, new_york: set[dt.date], early: set[dt.date]) -> int | None:
    """Return when a weekday's session ends: minutes, REGULAR, CLOSED (no trading), None (bank holiday with a halt)."""
    if day in group.special:
        return group.special[day]
    if day in early:
        if day.month == 11:
            return group.black_friday
        return group.christmas_eve if day.month == 12 else group.independence_eve
    if day in new_york:
        return REGULAR
    if _is_closing_holiday(day):
        return CLOSED
    if day.month in (3, 4):  # Good Friday
        return group.jobs_good_friday if day.month == 4 and day.day <= 7 else CLOSED
    if _is_bank_holiday(day):
        return None
    return group.unforeseen


def _is_closing_holiday(day: dt.date) -> bool:
    """Return whether New York observes New Year's Day or Christmas on this weekday."""
    if day == FORD:
        return False
    return (day.month == 12 and 24 <= day.day <= 26) or (day.month == 1 and day.day <= 2)


def _is_bank_holiday(day: dt.date) -> bool:
    """Return whether one of the holidays with trading until a halt is observed on this weekday."""
    monday, thursday = day.weekday() == 0, day.weekday() == 3
    return (
        (monday and day.month in (1, 2) and 15 <= day.day <= 21)
        or (monday and day.month == 5 and day.day >= 25)
        or (day.month == 6 and 18 <= day.day <= 20)
        or (day.month == 7 and 3 <= day.day <= 5)
        or (monday and day.month == 9 and day.day <= 7)
        or (thursday and day.month == 11 and 22 <= day.day <= 28)
    )


def _hours(group: Group, day: dt.date) -> Hours:
    return [h for h in group.hours if h.since <= day][-1]


def _halt(group: Group, day: dt.date) -> int:
    return [minute for since, minute in group.halts if since <= day][-1]
