"""What holds for every calendar, every session and every stamp."""

from __future__ import annotations

import datetime as dt
import warnings
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tapebook.market.events import MISSING
from tapebook.market.sessions import Session, SessionPhase, calendar, calendar_names

NAMES = [name for name in calendar_names() if name != "CME-EQUITY"]
FIRST_NS = int(np.datetime64("2006-01-01", "ns").astype(np.int64))
LAST_NS = int(np.datetime64("2031-01-01", "ns").astype(np.int64)) - 1
DAY_NS = 86_400_000_000_000


@cache
def all_sessions(name: str) -> list[Session]:
    return calendar(name).sessions_between(FIRST_NS, LAST_NS)


def library(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exchange_calendars calls what pandas deprecates
        import exchange_calendars

        return exchange_calendars.get_calendar(name, start="2006-01-01", end="2030-12-31")


@pytest.mark.parametrize("name", NAMES)
def test_sessions_are_in_order_and_whole(name: str) -> None:
    sessions = all_sessions(name)
    zone = ZoneInfo(calendar(name).zone)
    for s in sessions:
        assert s.pre_open_ns <= s.open_ns < s.close_ns
        last_moment = dt.datetime.fromtimestamp((s.close_ns - 1) // 10**9, zone)
        assert last_moment.date() == s.trade_date
        if s.rth_open_ns != MISSING:
            assert s.open_ns <= s.rth_open_ns < s.rth_close_ns <= s.close_ns
        edges = [s.open_ns, *(edge for halt in s.halts for edge in halt), s.close_ns]
        assert all(a < b for a, b in pairwise(edges))
    for a, b in pairwise(sessions):
        assert a.close_ns <= b.pre_open_ns
        assert a.trade_date < b.trade_date


@pytest.mark.parametrize("name", [name for name in NAMES if name != "24-7"])
def test_trade_dates_are_weekdays_and_about_252_a_year(name: str) -> None:
    dates = [s.trade_date for s in all_sessions(name)]
    assert all(date.weekday() < 5 for date in dates)
    for year in range(2006, 2031):
        assert 243 <= sum(date.year == year for date in dates) <= 254


def test_us_stocks_have_the_librarys_days_and_hours() -> None:
    nyse = library("XNYS")
    sessions = all_sessions("US-STOCKS")
    assert [s.trade_date for s in sessions] == [day.date() for day in nyse.sessions]
    assert [s.rth_open_ns for s in sessions] == [t.value for t in nyse.opens]
    assert [s.rth_close_ns for s in sessions] == [t.value for t in nyse.closes]
    assert [s.trade_date for s in sessions if s.half_day] == [day.date() for day in nyse.early_closes]


@pytest.mark.parametrize("name", ["B3", "B3-STOCKS"])
def test_b3_has_the_librarys_days(name: str) -> None:
    bvmf = library("BVMF")
    assert [s.trade_date for s in all_sessions(name)] == [day.date() for day in bvmf.sessions]


def test_shares_on_b3_have_the_librarys_hours_where_it_knows_them() -> None:
    # The library has 10:00-18:00 from November 2019 on, all year; B3's hours follow New York's summer time.
    bvmf = library("BVMF")
    for s, opens, closes in zip(all_sessions("B3-STOCKS"), bvmf.opens, bvmf.closes, strict=True):
        if s.trade_date >= dt.date(2019, 11, 4):
            assert s.open_ns == opens.value
            assert closes.value - s.rth_close_ns in (0, 3_600_000_000_000)


def test_cme_has_the_librarys_days_less_the_bank_holidays_that_belong_to_the_next() -> None:
    cmes = library("CMES")
    nyse = library("XNYS")
    both = {day.date() for day in cmes.sessions} & {day.date() for day in nyse.sessions}
    ours = {s.trade_date for s in all_sessions("CME")}
    # Beyond the days on which both are open, only those on which New York alone was closed, or Good Fridays with a
    # jobs report; the library closes CME on the former, which CME's notices contradict.
    extra = {
        "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09",
        "2007-04-06", "2010-04-02", "2012-04-06", "2015-04-03", "2021-04-02", "2023-04-07", "2026-04-03",
    }  # fmt: skip
    assert ours - both == {dt.date.fromisoformat(day) for day in extra}
    assert both - ours == set()


def naive_phase(sessions: list[Session], t: int) -> int:
    """Straight from the definition, one session and one moment at a time."""
    for s in sessions:
        if not s.pre_open_ns <= t < s.close_ns:
            continue
        if t < s.open_ns:
            return SessionPhase.PRE_OPEN
        if any(start <= t < end for start, end in s.halts):
            return -1  # CLOSED or PRE_OPEN, as the halt goes
        return (
            SessionPhase.RTH if s.rth_open_ns != MISSING and s.rth_open_ns <= t < s.rth_close_ns else SessionPhase.OPEN
        )
    return SessionPhase.CLOSED


def naive_date(sessions: list[Session], t: int) -> dt.date:
    return [s for s in sessions if s.pre_open_ns <= t][-1].trade_date


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    start=st.integers(FIRST_NS + 20 * DAY_NS, LAST_NS - 20 * DAY_NS),
    offsets=st.lists(st.integers(-9 * DAY_NS, 9 * DAY_NS), min_size=1, max_size=20),
    at_edges=st.booleans(),
)
def test_arrays_are_answered_as_one_stamp_at_a_time_would_be(
    name: str, start: int, offsets: list[int], at_edges: bool
) -> None:
    market = calendar(name)
    sessions = market.sessions_between(start - 19 * DAY_NS, start + 19 * DAY_NS)
    times = [start + offset for offset in offsets]
    if at_edges:  # where it changes, and 1 ns before
        fields = [(s.pre_open_ns, s.open_ns, s.close_ns, s.rth_open_ns, s.rth_close_ns) for s in sessions[5:-5]]
        times = [edge + shift for row in fields for edge in row if edge != MISSING for shift in (-1, 0)]
    stamps = np.array(times, dtype=np.int64)
    phases = market.phases(stamps)
    for phase, t in zip(phases.tolist(), times, strict=True):
        expected = naive_phase(sessions, t)
        assert phase == expected or (expected == -1 and phase <= SessionPhase.PRE_OPEN)
    assert market.trade_dates(stamps).tolist() == [naive_date(sessions, t) for t in times]


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(NAMES),
    times=st.lists(st.one_of(st.just(MISSING), st.integers(FIRST_NS, LAST_NS)), max_size=30),
    cut=st.integers(0, 30),
)
def test_a_stamp_is_answered_the_same_whatever_comes_with_it(name: str, times: list[int], cut: int) -> None:
    market = calendar(name)
    stamps: NDArray[np.int64] = np.array(times, dtype=np.int64)
    for ask in (market.phases, market.trade_dates):
        apart = np.concatenate([ask(stamps[:cut]), ask(stamps[cut:])])
        assert ask(stamps).tobytes() == apart.tobytes()
