from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.touch import TouchFeed, trade_days, trading_hours
from tapebook.kernels import touch as kernel
from tapebook.market.errors import OperatorError
from tapebook.market.events import MISSING, Events, Flag, Kind, Phase, Side, empty_events
from tapebook.market.instruments import Instrument
from tests.features.histories import PLAIN, UNIT, random_history
from tests.tapes import random_levels

DAY = 86_400 * UNIT


def steady(stamps: list[int]) -> list[int]:
    state = np.zeros(kernel.CLOCK_N, np.int64)
    state[kernel.CLOCK_NOW] = MISSING
    out = np.empty(len(stamps), np.int64)
    kernel.steady_clock(np.array(stamps, np.int64), state, out)
    return out.tolist()


@pytest.mark.uncompiled
class TestSteadyClock:
    def test_goes_with_the_stamps_and_never_back_by_a_little(self) -> None:
        assert steady([5, 7, 6, 9]) == [5, 7, 7, 9]

    def test_one_wild_stamp_does_not_move_it(self) -> None:
        year = 365 * DAY
        assert steady([5, 7, 7 + year, 8, 9]) == [5, 7, 7, 8, 9]
        assert steady([year, year + 1, 5, year + 2]) == [year, year + 1, year + 1, year + 2]

    def test_a_real_leap_is_taken_at_its_second_stamp(self) -> None:
        assert steady([5, 30 * DAY, 30 * DAY + 1, 30 * DAY + 2]) == [5, 5, 30 * DAY + 1, 30 * DAY + 2]

    def test_the_records_of_one_message_do_not_confirm_its_stamp(self) -> None:
        wild = 7 + 40 * DAY
        assert steady([5, 7, wild, wild, wild, 8, 9]) == [5, 7, 7, 7, 7, 8, 9]
        hour = 3_600 * UNIT
        assert steady([hour, *[5] * 40, hour + 1]) == [hour] * 41 + [hour + 1]

    def test_a_wild_first_stamp_is_left_behind(self) -> None:
        assert steady([900 * DAY, *range(40)])[-1] == 39

    def test_missing_and_impossible_stamps_leave_it_where_it_is(self) -> None:
        assert steady([MISSING, 5, MISSING, -3, 1 << 62, (1 << 62) + 5, 6])[0] == MISSING
        assert steady([5, MISSING, -3, (1 << 62) + 5, 6]) == [5, 5, 5, 5, 6]


def level(ts: int, side: int, price: float, qty: int, *, last: bool = True) -> Events:
    e = empty_events(1)
    e["instrument_id"], e["kind"], e["side"], e["ts_event_ns"] = 1, Kind.LEVEL, side, ts
    e["price"], e["qty_lots"], e["flags"] = round(price * UNIT), qty, Flag.LAST if last else 0
    return e


@pytest.mark.uncompiled
def test_the_touch_stands_still_inside_a_message() -> None:
    tape = [
        level(0, 1, 100, 5, last=False),
        level(0, -1, 101, 5),
        level(1, 1, 102, 5, last=False),
        level(1, -1, 101, 0),
    ]
    view = TouchFeed(PLAIN, 1).see(np.concatenate(tape))
    assert view.bid_px.tolist() == [MISSING, MISSING, 100 * UNIT, 100 * UNIT, 102 * UNIT]
    assert view.ask_px.tolist() == [MISSING, MISSING, 101 * UNIT, 101 * UNIT, MISSING]


@pytest.mark.uncompiled
def test_levels_stand_best_first() -> None:
    feed = TouchFeed(PLAIN, 1)
    feed.see(np.concatenate([level(0, 1, 100, 5), level(0, 1, 98, 7), level(0, -1, 103, 2), level(0, -1, 101, 1)]))
    price, lots = feed.levels(Side.BID, 5)
    assert (price.tolist(), lots.tolist()) == ([100 * UNIT, 98 * UNIT], [5, 7])
    price, lots = feed.levels(Side.ASK, 1)
    assert (price.tolist(), lots.tolist()) == ([101 * UNIT], [1])


@pytest.mark.uncompiled
def test_a_view_in_parts_is_the_view_of_the_whole() -> None:
    events = random_levels(4, 300)
    whole = TouchFeed(PLAIN, 1).see(events)
    feed = TouchFeed(PLAIN, 1)
    timed = feed.time(events)
    n = timed.events.size
    parts = [feed.view(timed, a, b) for a, b in ((0, 1), (1, n // 2), (n // 2, n))]
    for name in ("bid_px", "bid_sz", "ask_px", "ask_sz", "thread"):
        joined = np.concatenate([*(getattr(p, name)[:-1] for p in parts), getattr(parts[-1], name)[-1:]])
        assert (joined == getattr(whole, name)).all()


@pytest.mark.uncompiled
def test_each_break_starts_a_new_thread_at_the_next_observation() -> None:
    clear = empty_events(1)
    clear["instrument_id"], clear["kind"] = 1, Kind.CLEAR
    tape = [level(0, 1, 100, 5), clear, level(1, 1, 99, 5, last=False), level(1, -1, 101, 5), level(2, 1, 98, 1)]
    assert TouchFeed(PLAIN, 1).see(np.concatenate(tape)).thread.tolist() == [0, 0, 0, 0, 1, 1]


def test_a_status_that_stops_trading_is_heard_until_one_resumes_it() -> None:
    events, _ = random_history(1, 40)
    events["kind"][[10, 20]], events["detail"][[10, 20]] = Kind.STATUS, [Phase.HALT, Phase.OPEN]
    trading = TouchFeed(PLAIN, 1).see(events).trading
    assert trading.tolist() == [not 10 <= i < 20 for i in range(trading.size)]


def test_the_timetable_of_a_future_says_when_it_trades() -> None:
    stamps = np.array(["2024-03-05T21:59", "2024-03-05T22:30", "2024-03-05T23:00", "1950-01-01"], "M8[ns]")
    assert trading_hours("CME", stamps.astype(np.int64)).tolist() == [True, False, True, True]
    es = Instrument(symbol="ESH4", venue="CME", tick_e9=UNIT // 4, calendar="CME")
    tape = np.concatenate([level(int(t), 1, 100, 5) for t in stamps[:3].astype(np.int64)])
    assert TouchFeed(es, 1).see(tape).trading.tolist() == [True, False, True]
    assert TouchFeed(es, 1, hours=False).see(tape).trading.all()


def test_trade_dates_turn_at_seventeen_hours_in_chicago_and_at_midnight_utc_around_the_clock() -> None:
    evening = np.array(["2024-03-05T22:59:59", "2024-03-05T23:00:00"], "M8[ns]").astype(np.int64)
    days = np.array(["2024-03-05", "2024-03-06"], "M8[D]").astype(np.int64)
    assert trade_days("24-7", evening).tolist() == [days[0], days[0]]
    assert trade_days("CME", evening).tolist()[1] == days[1]
    assert trade_days("CME", np.array([MISSING])).tolist() == [MISSING]


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(OperatorError):
        TouchFeed(PLAIN, 1).restore({"seen": np.zeros(2)})
