from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError, ReaderError
from tapebook.readers.columns import BAD, EMPTY, OK
from tapebook.readers.local_time import (
    DAY_FIRST,
    MONTH_FIRST,
    YEAR_FIRST,
    ClockStyle,
    clock_style,
    daily_break,
    need_zone,
    wall_times,
    zone_of,
)

pytestmark = pytest.mark.uncompiled

FORMATS = {
    (YEAR_FIRST, "%Y-%m-%d %H:%M:%S.%f"),
    (YEAR_FIRST, "%Y/%m/%dT%H:%M:%S,%f"),
    (YEAR_FIRST, "%Y%m%d %H%M%S %f"),
    (YEAR_FIRST, "%Y.%m.%d %H:%M:%S:%f"),
    (MONTH_FIRST, "%m/%d/%Y %I:%M:%S.%f %p"),
    (MONTH_FIRST, "%m-%d-%Y %H:%M:%S.%f"),
    (DAY_FIRST, "%d.%m.%Y %H:%M:%S.%f"),
    (DAY_FIRST, "%d/%m/%Y  %H:%M:%S.%f"),
    (DAY_FIRST, "%d%m%Y %H%M%S.%f"),
}


def ns(when: datetime) -> int:
    return (when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@given(st.datetimes(datetime(1975, 1, 1), datetime(2069, 12, 31)), st.sampled_from(sorted(FORMATS)))
def test_times_are_read_as_the_standard_library_writes_them(when: datetime, form: tuple[int, str]) -> None:
    order, pattern = form
    text = when.strftime(pattern)
    values, ok = wall_times(pa.array([text, text]), None, ClockStyle(order), None)
    assert ok.tolist() == [OK, OK]
    assert values.tolist() == [ns(when)] * 2


@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)), min_size=1, max_size=20))
def test_a_date_and_a_time_may_stand_in_two_columns(times: list[datetime]) -> None:
    dates = pa.array([f" {t.year}/{t.month}/{t.day}" for t in times])
    clocks = pa.array([f" {t:%H:%M:%S}" for t in times])
    values, ok = wall_times(dates, clocks, ClockStyle(), None)
    assert (ok == OK).all()
    assert values.tolist() == [ns(t.replace(microsecond=0)) for t in times]


@given(st.text(alphabet="0123456789-/.: TapmPM,", max_size=24), st.integers(0, 2))
def test_whatever_is_read_is_a_time_and_the_rest_is_refused(text: str, order: int) -> None:
    values, ok = wall_times(pa.array([text, text]), None, ClockStyle(order), None)
    assert ok[0] == ok[1]
    assert int(ok[0]) in (OK, EMPTY, BAD)
    if ok[0] == OK:
        assert ns(datetime(1900, 1, 1)) <= int(values[0]) < ns(datetime(2201, 1, 1))
        assert values[0] == values[1]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2024-13-01",
        "2024-01-01 24:00:00",
        "2024-01-01 12:60",
        "2024-1-1 13:00 PM",
        "24-01",
        "2024-01-01x",
    ],
)
def test_impossible_times_are_refused(text: str) -> None:
    assert int(wall_times(pa.array([text]), None, ClockStyle(), None)[1][0]) == BAD


def test_digits_that_count_microseconds_are_no_fraction() -> None:
    clocks = pa.array(["13:30:00.5000", "13:30:00.5001", "13:30:00.47000", "13:30:00.509007", "13:30:00.1000000"])
    values, ok = wall_times(pa.array(["2022-01-24"] * 5), clocks, ClockStyle(counted_us=True), None)
    assert (values[:4] - ns(datetime(2022, 1, 24, 13, 30))).tolist() == [5_000_000, 5_001_000, 47_000_000, 509_007_000]
    assert ok.tolist() == [OK, OK, OK, OK, BAD]


def test_counts_since_1970_are_told_by_their_length() -> None:
    for text, want in (("1700000000", 10**9), ("1700000000123", 10**6), ("1700000000123456", 1000), ("1" * 19, 1)):
        style = clock_style([text], "f")
        assert style.epoch_ns == want
        assert wall_times(pa.array([text]), None, style, None)[0].tolist() == [int(text) * want]
    style = clock_style(["1700000000.25"], "f")
    assert wall_times(pa.array(["1700000000.25"]), None, style, None)[0].tolist() == [1_700_000_000_250_000_000]


def test_a_time_with_an_offset_needs_no_zone() -> None:
    style = clock_style(["2024-03-18T09:30:00.5-04:00"], "f")
    assert not style.naive
    values, _ = wall_times(pa.array(["2024-03-18T09:30:00.5-04:00"]), None, style, ZoneInfo("Asia/Tokyo"))
    assert values.tolist() == [ns(datetime(2024, 3, 18, 13, 30, 0, 500_000))]


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["2024/3/18"], YEAR_FIRST),
        (["20240318 093000"], YEAR_FIRST),
        (["01/02/2024", "01/13/2024"], MONTH_FIRST),
        (["01/02/2024", "13/02/2024"], DAY_FIRST),
        (["1.2.2024"], DAY_FIRST),
    ],
)
def test_the_order_of_a_date_is_found(texts: list[str], order: int) -> None:
    assert clock_style(texts, "f").order == order


def test_one_bad_time_does_not_decide_for_the_file() -> None:
    assert clock_style(["x", "2024-01-02", "2024-01-03"], "f").order == YEAR_FIRST
    assert clock_style(["1/13/2024", "1/14/2024", "13/1/2024"], "f").order == MONTH_FIRST
    assert clock_style([], "f") == ClockStyle()


def test_an_undecided_order_is_asked_for_and_can_be_said() -> None:
    with pytest.raises(ReaderError, match="date_order=DMY"):
        clock_style(["01/02/2024"], "f.csv")
    assert clock_style(["01/02/2024"], "f.csv", order="dmy").order == DAY_FIRST
    with pytest.raises(ReaderError, match="unknown order"):
        clock_style(["01/02/2024"], "f.csv", order="DYM")


@pytest.mark.parametrize("texts", [["yesterday"], ["12345"], ["123456789012"]])
def test_what_is_no_time_is_told(texts: list[str]) -> None:
    with pytest.raises(ReaderError):
        clock_style(texts, "f.csv")


@pytest.mark.parametrize("zone", ["America/Chicago", "America/New_York", "UTC", "Europe/Madrid", "Asia/Tokyo"])
@pytest.mark.parametrize("month", [1, 7])
def test_the_daily_break_of_cme_gives_the_zone_away(zone: str, month: int) -> None:
    start = datetime(2024, month, 9, tzinfo=ZoneInfo(zone))
    walls = []
    for minutes in range(0, 4 * 1440, 5):
        when = (start.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone))
        if when.astimezone(ZoneInfo("America/Chicago")).hour != 16:
            walls.append(ns(when.replace(tzinfo=None)))
    assert daily_break(np.array(walls))[0] == zone


def test_no_break_or_too_few_days_give_nothing_away() -> None:
    day = np.arange(0, 288) * 300 * 10**9 + ns(datetime(2024, 1, 9))
    assert daily_break(np.concatenate([day, day + 86400 * 10**9])) == ("", "")
    assert daily_break(day[day // (3600 * 10**9) % 24 != 16]) == ("", "")
    assert daily_break(np.zeros(0, np.int64)) == ("", "")


def test_a_missing_zone_is_asked_for_with_the_likely_one() -> None:
    with pytest.raises(ReaderError, match=r"--zone Europe/Madrid \(likely: because\)"):
        need_zone(None, where="f.csv", likely="Europe/Madrid", why="because")


def test_a_clock_ahead_of_new_york_changes_with_new_york() -> None:
    zone = zone_of("NY+7")
    new_york = ZoneInfo("America/New_York")
    for day in range(0, 366 * 3, 5):
        when = datetime(2024, 1, 1, 3, tzinfo=UTC) + timedelta(days=day)
        here, there = when.astimezone(zone).utcoffset(), when.astimezone(new_york).utcoffset()
        assert here is not None
        assert there is not None
        assert here - there == timedelta(hours=7)
    assert zone_of("NY-2").utcoffset(datetime(2024, 1, 1)) == timedelta(hours=-7)


def test_an_unknown_zone_is_told_with_near_ones() -> None:
    with pytest.raises(ConfigurationError, match="America/New_York"):
        zone_of("America/NewYork")
    with pytest.raises(ConfigurationError):
        zone_of("../etc/passwd")
