"""Timetables against what exchanges published: none of the expected times here comes from the code under test."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.sessions import SessionPhase, calendar, calendar_names

SECOND = 1_000_000_000


def ns(text: str, zone: str = "UTC") -> int:
    """``2024-01-15 17:00`` of a zone's wall clock in ns UTC."""
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * SECOND


def chicago(text: str) -> int:
    return ns(text, "America/Chicago")


def stamps(*times: int) -> NDArray[np.int64]:
    return np.array(times, dtype=np.int64)


# Published by the exchange, or by others who quote its notices: (calendar, Chicago time, what happens, trade date).
# "opens": trading starts at that moment; "stops": it ends there, for the day or for a halt.
NOTICES = [
    # CME, 10 January 2006: "CME Globex opens at 5:00 p.m. (for trade date of Tuesday, Jan. 17)"; equity 10:30, FX noon
    ("CME", "2006-01-15 17:00", "opens", "2006-01-17"),
    ("CME", "2006-01-16 10:30", "stops", "2006-01-17"),
    ("CME", "2006-01-16 17:00", "opens", "2006-01-17"),
    ("CME-FX", "2006-01-16 12:00", "stops", "2006-01-17"),
    ("CME-RATES", "2006-01-16 12:00", "stops", "2006-01-17"),
    # CME's Independence Day calendar of 2006: regular close on 3 July, trade date of Wednesday from then on
    ("CME", "2006-07-03 15:15", "stops", "2006-07-03"),
    ("CME", "2006-07-03 15:30", "opens", "2006-07-05"),
    ("CME", "2006-07-04 10:30", "stops", "2006-07-05"),
    ("CME-FX", "2006-07-04 12:00", "stops", "2006-07-05"),
    # Christmas 2006: closed until 5:00 p.m. on Monday the 25th, for the trade date of Tuesday
    ("CME", "2006-12-22 15:15", "stops", "2006-12-22"),
    ("CME", "2006-12-25 17:00", "opens", "2006-12-26"),
    # 2 January 2007, mourning for President Ford: no equities; FX and rates until 1 p.m. New York
    ("CME", "2007-01-02 17:00", "opens", "2007-01-03"),
    ("CME-FX", "2007-01-02 12:00", "stops", "2007-01-02"),
    # CME Group, 20 August 2007: Labor Day, equities 10:30, FX and rates noon, NYMEX and COMEX 4:15 p.m., resume 5:00
    ("CME", "2007-09-03 10:30", "stops", "2007-09-04"),
    ("CME", "2007-09-03 17:00", "opens", "2007-09-04"),
    ("CME-RATES", "2007-09-03 12:00", "stops", "2007-09-04"),
    ("CME-METALS", "2007-09-03 16:15", "stops", "2007-09-04"),
    # 3 July 2009, observed: equities 10:30, FX and rates noon, NYMEX and COMEX 12:30; the trade date is Monday the 6th
    ("CME", "2009-07-03 10:30", "stops", "2009-07-06"),
    ("CME-FX", "2009-07-03 12:00", "stops", "2009-07-06"),
    ("CME-ENERGY", "2009-07-03 12:30", "stops", "2009-07-06"),
    # Hurricane Sandy: equities 8:15 on both days, reopening at 5:00 p.m.; rates noon New York on Monday only
    ("CME", "2012-10-29 08:15", "stops", "2012-10-29"),
    ("CME", "2012-10-29 17:00", "opens", "2012-10-30"),
    ("CME", "2012-10-30 08:15", "stops", "2012-10-30"),
    ("CME-RATES", "2012-10-29 11:00", "stops", "2012-10-29"),
    ("CME-RATES", "2012-10-30 16:00", "stops", "2012-10-30"),
    # From 18 November 2012: 17:00 to 16:15 with a pause from 15:15 to 15:30, on Fridays too; before, 15:30 to 15:15
    ("CME", "2012-11-15 15:30", "opens", "2012-11-16"),
    ("CME", "2012-11-16 15:15", "stops", "2012-11-16"),
    ("CME", "2012-11-18 17:00", "opens", "2012-11-19"),
    ("CME", "2012-11-30 15:15", "stops", "2012-11-30"),
    ("CME", "2012-11-30 15:30", "opens", "2012-11-30"),
    ("CME", "2012-11-30 16:15", "stops", "2012-11-30"),
    # Independence Day 2013: equities 12:15 on the eve, 10:30 on the day, NYMEX 12:15; 5:00 p.m. for trade date 5 July
    ("CME", "2013-07-03 12:15", "stops", "2013-07-03"),
    ("CME", "2013-07-04 10:30", "stops", "2013-07-05"),
    ("CME", "2013-07-04 17:00", "opens", "2013-07-05"),
    ("CME-FX", "2013-07-04 12:00", "stops", "2013-07-05"),
    ("CME-ENERGY", "2013-07-04 12:15", "stops", "2013-07-05"),
    # Good Friday 2015, a jobs report: equities until 8:15
    ("CME", "2015-04-03 08:15", "stops", "2015-04-03"),
    ("CME", "2015-04-05 17:00", "opens", "2015-04-06"),
    # From 21 September 2015 the day ends at 16:00, with the pause as before
    ("CME", "2015-09-18 16:15", "stops", "2015-09-18"),
    ("CME", "2015-09-21 15:15", "stops", "2015-09-21"),
    ("CME", "2015-09-21 16:00", "stops", "2015-09-21"),
    ("CME-ENERGY", "2015-09-21 16:00", "stops", "2015-09-21"),
    # Independence Day 2017: equities 12:15 on the eve; everything noon on the day
    ("CME", "2017-07-03 12:15", "stops", "2017-07-03"),
    ("CME", "2017-07-04 12:00", "stops", "2017-07-05"),
    ("CME-ENERGY", "2017-07-04 12:00", "stops", "2017-07-05"),
    ("CME-FX", "2017-07-04 12:00", "stops", "2017-07-05"),
    # 5 December 2018, mourning for President Bush: equities until 8:30, rates from the 4th to the trade date of the 6th
    ("CME", "2018-12-05 08:30", "stops", "2018-12-05"),
    ("CME-RATES", "2018-12-04 16:00", "stops", "2018-12-04"),
    ("CME-RATES", "2018-12-05 17:00", "opens", "2018-12-06"),
    ("CME-METALS", "2018-12-05 16:00", "stops", "2018-12-05"),
    # Thanksgiving 2023: halt at noon, early close on Friday at 12:15
    ("CME", "2023-11-22 17:00", "opens", "2023-11-24"),
    ("CME", "2023-11-23 12:00", "stops", "2023-11-24"),
    ("CME", "2023-11-23 17:00", "opens", "2023-11-24"),
    ("CME", "2023-11-24 12:15", "stops", "2023-11-24"),
    # 9 January 2025, mourning for President Carter: equities 8:30, rates 12:15, the rest as always
    ("CME", "2025-01-09 08:30", "stops", "2025-01-09"),
    ("CME", "2025-01-09 17:00", "opens", "2025-01-10"),
    ("CME-RATES", "2025-01-09 12:15", "stops", "2025-01-09"),
    ("CME-ENERGY", "2025-01-09 16:00", "stops", "2025-01-09"),
    # Martin Luther King Day 2026: "Trade Day: Tuesday, January 20"
    ("CME", "2026-01-18 17:00", "opens", "2026-01-20"),
    ("CME", "2026-01-19 12:00", "stops", "2026-01-20"),
    ("CME-RATES", "2026-01-19 12:00", "stops", "2026-01-20"),
    ("CME-ENERGY", "2026-01-19 13:30", "stops", "2026-01-20"),
    ("CME-METALS", "2026-01-19 13:30", "stops", "2026-01-20"),
    ("CME-FX", "2026-01-19 16:00", "stops", "2026-01-20"),
    ("CME-FX", "2026-01-19 17:00", "opens", "2026-01-20"),
    ("CME", "2026-01-20 16:00", "stops", "2026-01-20"),
]


@pytest.mark.parametrize(("name", "when", "what", "trade_date"), NOTICES, ids=[f"{n[0]} {n[1]}" for n in NOTICES])
def test_cme_opens_and_stops_as_its_notices_say(name: str, when: str, what: str, trade_date: str) -> None:
    moment = chicago(when)
    market = calendar(name)
    inside, outside = (moment, moment - 1) if what == "opens" else (moment - 1, moment)
    assert market.is_open(stamps(inside, outside)).tolist() == [True, False]
    assert market.trade_dates(stamps(inside)).tolist() == [dt.date.fromisoformat(trade_date)]


# Full days without trading: the last trade before and the first after, in Chicago.
@pytest.mark.parametrize(
    ("last", "first"),
    [
        ("2023-12-22 16:00", "2023-12-25 17:00"),  # Christmas on a Monday
        ("2023-12-29 16:00", "2024-01-01 17:00"),  # New Year on a Monday
        ("2024-03-28 16:00", "2024-03-31 17:00"),  # Good Friday
        ("2021-12-23 16:00", "2021-12-26 17:00"),  # Christmas on a Saturday, observed on Friday
        ("2021-12-31 16:00", "2022-01-02 17:00"),  # New Year on a Saturday is not observed
        ("2022-12-30 16:00", "2023-01-02 17:00"),  # New Year on a Sunday, observed on Monday
        ("2024-12-24 12:15", "2024-12-25 17:00"),  # Christmas Eve is a half day
    ],
)
def test_cme_is_closed_over_the_great_holidays(last: str, first: str) -> None:
    cme = calendar("CME")
    a, b = chicago(last), chicago(first)
    assert cme.is_open(stamps(a - 1, b)).all()
    assert not cme.is_open(np.arange(a, b, 60 * SECOND)).any()


def test_es_opened_at_23_utc_on_christmas_day_2023_for_the_26th() -> None:
    session = calendar("CME").session("2023-12-26")
    assert session.pre_open_ns == ns("2023-12-25 22:00")
    assert session.open_ns == ns("2023-12-25 23:00")
    assert session.close_ns == ns("2023-12-26 22:00")
    assert (session.rth_open_ns, session.rth_close_ns) == (ns("2023-12-26 14:30"), ns("2023-12-26 21:00"))


@pytest.mark.parametrize(
    ("trade_date", "open_utc", "rth_utc"),
    [
        ("2024-03-08", "2024-03-07 23:00", "2024-03-08 14:30"),  # the Friday before summer time
        ("2024-03-11", "2024-03-10 22:00", "2024-03-11 13:30"),  # the Monday after it began
        ("2024-11-01", "2024-10-31 22:00", "2024-11-01 13:30"),  # the Friday before it ended
        ("2024-11-04", "2024-11-03 23:00", "2024-11-04 14:30"),
    ],
)
def test_summer_time_moves_cme_in_utc_from_sunday_on(trade_date: str, open_utc: str, rth_utc: str) -> None:
    session = calendar("CME").session(trade_date)
    assert (session.open_ns, session.rth_open_ns) == (ns(open_utc), ns(rth_utc))


def test_a_common_cme_week_has_five_trade_dates_and_the_phases_of_the_timetable() -> None:
    cme = calendar("CME")
    phases = {
        "2024-01-07 15:59": SessionPhase.CLOSED,  # Sunday
        "2024-01-07 16:00": SessionPhase.PRE_OPEN,
        "2024-01-07 17:00": SessionPhase.OPEN,
        "2024-01-08 08:29": SessionPhase.OPEN,
        "2024-01-08 08:30": SessionPhase.RTH,
        "2024-01-08 14:59": SessionPhase.RTH,
        "2024-01-08 15:00": SessionPhase.OPEN,
        "2024-01-08 15:20": SessionPhase.OPEN,
        "2024-01-08 16:00": SessionPhase.CLOSED,
        "2024-01-08 16:44": SessionPhase.CLOSED,
        "2024-01-08 16:45": SessionPhase.PRE_OPEN,
        "2024-01-08 17:00": SessionPhase.OPEN,
        "2024-01-12 16:00": SessionPhase.CLOSED,
        "2024-01-13 12:00": SessionPhase.CLOSED,
    }
    assert cme.phases(stamps(*map(chicago, phases))).tolist() == list(phases.values())
    week = cme.trade_dates(np.arange(chicago("2024-01-07 16:00"), chicago("2024-01-12 16:00"), 60 * SECOND))
    assert np.unique(week).tolist() == [dt.date(2024, 1, day) for day in range(8, 13)]


def test_what_comes_after_the_close_belongs_to_the_session_that_ended() -> None:
    cme = calendar("CME")
    monday, friday = dt.date(2024, 1, 8), dt.date(2024, 1, 12)
    late = stamps(*map(chicago, ("2024-01-08 16:00", "2024-01-08 16:44", "2024-01-12 16:30", "2024-01-14 15:59")))
    assert cme.trade_dates(late).tolist() == [monday, monday, friday, friday]
    assert cme.trade_dates(stamps(chicago("2024-01-08 16:45"))).tolist() == [dt.date(2024, 1, 9)]


def test_the_pause_of_2015_to_2021_takes_orders_and_is_no_close() -> None:
    cme = calendar("CME")
    assert cme.phases(stamps(chicago("2020-03-09 15:20"))).tolist() == [SessionPhase.PRE_OPEN]
    assert cme.phases(stamps(chicago("2021-06-28 15:20"))).tolist() == [SessionPhase.OPEN]
    session = cme.session("2020-03-09")
    assert session.halts == ((chicago("2020-03-09 15:15"), chicago("2020-03-09 15:30")),)
    assert not session.half_day


def test_a_day_that_ends_before_regular_hours_has_none() -> None:
    session = calendar("CME").session("2025-01-09")
    assert (session.rth_open_ns, session.rth_close_ns, session.half_day) == (MISSING, MISSING, True)
    whole = np.arange(session.pre_open_ns, session.close_ns, 60 * SECOND)
    assert not calendar("CME").in_rth(whole).any()


def test_products_have_the_regular_hours_of_their_pits() -> None:
    hours = {
        "CME": ("08:30", "15:00"),
        "CME-ENERGY": ("08:00", "13:30"),
        "CME-METALS": ("07:20", "12:30"),
        "CME-FX": ("07:20", "14:00"),
        "CME-RATES": ("07:20", "14:00"),
    }
    for name, (start, end) in hours.items():
        session = calendar(name).session("2024-01-10")
        assert session.rth_open_ns == chicago(f"2024-01-10 {start}"), name
        assert session.rth_close_ns == chicago(f"2024-01-10 {end}"), name


def new_york(text: str) -> int:
    return ns(text, "America/New_York")


def test_us_stocks_have_pre_and_post_market_around_regular_hours() -> None:
    stocks = calendar("US-STOCKS")
    phases = {
        "2012-06-21 03:59": SessionPhase.CLOSED,
        "2012-06-21 04:00": SessionPhase.OPEN,
        "2012-06-21 09:30": SessionPhase.RTH,
        "2012-06-21 15:59": SessionPhase.RTH,
        "2012-06-21 16:00": SessionPhase.OPEN,
        "2012-06-21 20:00": SessionPhase.CLOSED,
    }
    assert stocks.phases(stamps(*map(new_york, phases))).tolist() == list(phases.values())


@pytest.mark.parametrize("day", ["2023-11-24", "2024-07-03", "2024-12-24", "2019-07-03"])
def test_us_stocks_close_at_13_on_the_half_days_that_nyse_published(day: str) -> None:
    session = calendar("US-STOCKS").session(day)
    assert session.half_day
    assert (session.rth_close_ns, session.close_ns) == (new_york(f"{day} 13:00"), new_york(f"{day} 17:00"))


@pytest.mark.parametrize(
    "day",
    ["2012-10-29", "2018-12-05", "2022-06-20", "2024-06-19", "2025-01-09", "2024-03-29", "2021-12-24", "2024-01-06"],
)
def test_us_stocks_have_no_session_on_days_that_nyse_was_closed(day: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no session of US-STOCKS on that day: expected .* found {day}"):
        calendar("US-STOCKS").session(day)


def sao_paulo(text: str) -> int:
    return ns(text, "America/Sao_Paulo")


@pytest.mark.parametrize(
    ("day", "futures_close", "shares_close"),
    [
        ("2018-03-12", "18:00", "17:00"),  # Valor: from that Monday 17:00, minis of the index 17:55, dollar 18:00
        ("2020-11-03", "18:30", "18:00"),  # B3: from 3 November 18:00 and 18:30
        ("2021-11-05", "18:00", "17:00"),
        ("2021-11-08", "18:30", "18:00"),  # B3: new hours after New York's summer time
        ("2022-03-11", "18:30", "18:00"),
        ("2022-03-14", "18:00", "17:00"),
        ("2024-03-08", "18:30", "18:00"),
        ("2024-03-11", "18:30", "17:00"),  # B3: shares go back to 17:00, futures keep the long day
        ("2024-11-04", "18:30", "18:00"),
        ("2025-03-10", "18:30", "17:00"),
        ("2025-11-03", "18:30", "18:00"),
    ],
)
def test_b3_moves_with_new_york_as_it_announced(day: str, futures_close: str, shares_close: str) -> None:
    futures, shares = calendar("B3").session(day), calendar("B3-STOCKS").session(day)
    assert futures.open_ns == sao_paulo(f"{day} 09:00")
    assert futures.close_ns == futures.rth_close_ns == sao_paulo(f"{day} {futures_close}")
    assert (shares.pre_open_ns, shares.open_ns) == (sao_paulo(f"{day} 09:45"), sao_paulo(f"{day} 10:00"))
    assert shares.rth_close_ns == sao_paulo(f"{day} {shares_close}")


def test_b3_has_an_after_market_only_while_shares_close_early() -> None:
    shares = calendar("B3-STOCKS")
    summer = stamps(*(sao_paulo(f"2025-03-10 {t}") for t in ("16:59", "17:15", "17:30", "17:59", "18:00")))
    expected = [SessionPhase.RTH, SessionPhase.CLOSED, SessionPhase.OPEN, SessionPhase.OPEN, SessionPhase.CLOSED]
    assert shares.phases(summer).tolist() == expected
    winter = stamps(*(sao_paulo(f"2025-03-07 {t}") for t in ("17:59", "18:00")))
    assert shares.phases(winter).tolist() == [SessionPhase.RTH, SessionPhase.CLOSED]


def test_brazil_has_had_no_summer_time_since_2019() -> None:
    b3 = calendar("B3")
    assert b3.session("2018-12-10").open_ns == ns("2018-12-10 11:00")  # 09:00 at UTC-2
    for year in range(2019, 2031):
        day = next(
            d for d in (f"{year}-12-10", f"{year}-12-11", f"{year}-12-12") if dt.date.fromisoformat(d).weekday() < 5
        )
        assert b3.session(day).open_ns == ns(f"{day} 12:00")


@pytest.mark.parametrize("day", ["2022-03-02", "2025-03-05"])
def test_b3_starts_at_13_on_ash_wednesday(day: str) -> None:
    for name in ("B3", "B3-STOCKS"):
        session = calendar(name).session(day)
        assert (session.open_ns, session.half_day) == (sao_paulo(f"{day} 13:00"), True)


@pytest.mark.parametrize("day", ["2024-02-12", "2024-02-13", "2024-11-20", "2024-12-24", "2024-12-31", "2025-04-21"])
def test_b3_is_closed_on_its_holidays(day: str) -> None:
    with pytest.raises(ConfigurationError, match="no session of B3"):
        calendar("B3").session(day)


def test_crypto_has_utc_days_and_never_closes() -> None:
    crypto = calendar("24-7")
    assert crypto.trade_dates(stamps(ns("2024-08-08 00:00"), ns("2024-08-09 00:00") - 1)).tolist() == [
        dt.date(2024, 8, 8),
        dt.date(2024, 8, 8),
    ]
    week = np.arange(ns("2024-08-03 00:00"), ns("2024-08-12 00:00"), 61 * SECOND)
    assert crypto.in_rth(week).all()


def test_one_name_is_another_name_of_cme() -> None:
    assert calendar("CME-EQUITY") is calendar("CME")
    assert "CME-EQUITY" in calendar_names()


def test_an_unknown_calendar_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError, match=r"no such session calendar: expected one of 24-7, B3, .* found 'NYSE'"
    ):
        calendar("NYSE")


@pytest.mark.parametrize("name", ["CME", "B3", "US-STOCKS"])
def test_the_years_2006_to_2030_are_known_and_no_others(name: str) -> None:
    market = calendar(name)
    edges = stamps(ns("2006-01-01 00:00"), ns("2031-01-01 00:00") - 1)
    assert not np.isnat(market.trade_dates(edges)).any()
    for stamp in (edges[0] - 1, edges[1] + 1, 0, 2**62):
        with pytest.raises(
            ConfigurationError, match=f"expected 2006-01-01 to 2030-12-31, which {name} knows"
        ) as caught:
            market.phases(stamps(edges[0], stamp))
        assert str(stamp) in caught.value.found
        assert np.isnat(market.trade_dates(stamps(edges[0], stamp), outside="missing")).tolist() == [False, True]
        assert market.phases(stamps(stamp), outside="missing").tolist() == [SessionPhase.CLOSED]


def test_a_missing_stamp_has_no_trade_date_and_is_closed() -> None:
    cme = calendar("CME")
    both = stamps(MISSING, chicago("2024-01-10 10:00"))
    assert np.isnat(cme.trade_dates(both)).tolist() == [True, False]
    assert cme.phases(both).tolist() == [SessionPhase.CLOSED, SessionPhase.RTH]
    assert np.isnat(cme.trade_dates(stamps(MISSING))).all()
    assert cme.trade_dates(stamps()).size == cme.phases(stamps()).size == 0


@pytest.mark.parametrize("date", ["2024-13-01", "today", "NaT", np.datetime64("NaT"), ""])
def test_what_is_no_date_is_told(date: str | np.datetime64) -> None:
    with pytest.raises(ConfigurationError, match="not a date: expected YYYY-MM-DD"):
        calendar("CME").session(date)


def test_a_date_without_a_session_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="the nearest are 2024-07-03 and 2024-07-05"):
        calendar("CME").session("2024-07-04")
    with pytest.raises(ConfigurationError, match="a trade date from 2006-01-01 to 2030-12-31"):
        calendar("CME").session(dt.date(2031, 1, 3))


def test_a_date_may_come_as_text_date_or_numpy_day() -> None:
    cme = calendar("CME")
    given: list[dt.date | np.datetime64 | str]
    given = ["2024-01-10", dt.date(2024, 1, 10), np.datetime64("2024-01-10"), np.datetime64("2024-01-10T12", "ns")]
    given.append(dt.datetime(2024, 1, 10, 12))
    assert len({cme.session(date).open_ns for date in given}) == 1


def test_sessions_between_two_moments_are_those_that_share_time_with_them() -> None:
    cme = calendar("CME")
    one = cme.session("2024-01-10")

    def dates(start: int, end: int) -> list[str]:
        return [str(s.trade_date) for s in cme.sessions_between(start, end)]

    assert dates(one.pre_open_ns, one.close_ns) == ["2024-01-10"]
    assert dates(one.pre_open_ns - 1, one.close_ns + 1) == ["2024-01-10"]  # the maintenance break is nobody's
    assert dates(one.close_ns - 1, one.close_ns + 3600 * SECOND) == ["2024-01-10", "2024-01-11"]
    assert dates(chicago("2024-01-13 00:00"), chicago("2024-01-14 12:00")) == []
    assert dates(chicago("2024-01-01 00:00"), chicago("2024-02-01 00:00"))[::21] == ["2024-01-02", "2024-02-01"]
    with pytest.raises(ConfigurationError, match="outside the session calendar"):
        cme.sessions_between(0, one.close_ns)
