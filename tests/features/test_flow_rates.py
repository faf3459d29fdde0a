from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tapebook.features.flow_rates import COLUMNS, FlowRates, make
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Flag, Kind, TradeCondition, empty_events
from tests.features.histories import PLAIN, UNIT
from tests.oracles import flow as oracle

pytestmark = pytest.mark.uncompiled

HALF_LIFE_S = 2.0


def tape(records: list[tuple[float, Kind, int, int, int, int, int]]) -> Events:
    """Second, kind, side, price, lots, order, flags."""
    e = empty_events(len(records))
    e["instrument_id"] = 1
    e["ts_event_ns"] = [20_000 * 86_400 * UNIT + round(r[0] * 1e9) for r in records]
    columns: list[tuple[str, Any]] = [
        ("kind", [r[1] for r in records]),
        ("side", [r[2] for r in records]),
        ("price", [r[3] * UNIT for r in records]),
        ("qty_lots", [r[4] for r in records]),
        ("order_id", [r[5] for r in records]),
        ("flags", [int(Flag.LAST) | r[6] for r in records]),
    ]
    for name, values in columns:
        e[name] = values
    return e


BOOK = [
    (0.0, Kind.ADD, 1, 100, 10, 1, 0),
    (0.0, Kind.ADD, -1, 102, 10, 2, 0),
    (0.1, Kind.ADD, 1, 99, 5, 3, 0),
]


def test_each_rate_is_the_faded_sum_of_its_events() -> None:
    flow = [
        (3.0, Kind.ADD, 1, 100, 4, 4, 0),  # at the touch
        (3.5, Kind.ADD, 1, 97, 7, 5, 0),  # near it
        (4.0, Kind.ADD, 1, 60, 9, 6, 0),  # far away
        (4.5, Kind.CANCEL, 1, 100, 3, 4, 0),
        (5.0, Kind.TRADE, -1, 100, 2, 0, 0),
        (5.0, Kind.EXECUTE, 1, 100, 2, 1, 0),
    ]
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(tape(BOOK + flow))
    assert list(rows) == [c.name for c in COLUMNS]
    last = {name: float(column[-1]) for name, column in rows.items()}

    def rate(*items: tuple[float, float]) -> float:
        return oracle.rates(items, 5.0, HALF_LIFE_S)

    # The first bid had no price before it and is at the touch, the one below it near.
    assert last["bid_add_lots_per_s"] == pytest.approx(rate((0.0, 10), (3.0, 4)))
    assert last["bid_near_add_lots_per_s"] == pytest.approx(rate((0.0, 10), (0.1, 5), (3.0, 4), (3.5, 7)))
    assert last["bid_near_add_orders_per_s"] == pytest.approx(rate((0.0, 1), (0.1, 1), (3.0, 1), (3.5, 1)))
    assert last["bid_cancel_lots_per_s"] == pytest.approx(rate((4.5, 3)))
    assert last["bid_trade_lots_per_s"] == pytest.approx(rate((5.0, 2)))
    assert last["ask_trade_lots_per_s"] == 0.0
    assert last["cancel_add_ratio"] == pytest.approx(rate((4.5, 3)) / rate((0.0, 20), (0.1, 5), (3.0, 4), (3.5, 7)))
    assert last["order_trade_ratio"] == pytest.approx(
        rate((0.0, 2), (0.1, 1), (3.0, 1), (3.5, 1), (4.5, 1)) / rate((5.0, 1))
    )


def test_nothing_is_told_before_a_half_life_of_the_session_has_passed() -> None:
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(tape([*BOOK, (3.0, Kind.ADD, 1, 100, 4, 4, 0)]))
    assert np.isnan(rows["bid_add_lots_per_s"]).tolist() == [True, True, False]


def test_a_cancel_of_what_was_filled_is_no_cancel() -> None:
    told = [
        (3.0, Kind.TRADE, -1, 100, 10, 0, 0),
        (3.0, Kind.EXECUTE, 1, 100, 10, 1, int(Flag.INFO)),
        (3.0, Kind.CANCEL, 1, 100, 10, 1, 0),
        (3.0, Kind.ADD, 1, 100, 1, 9, 0),
    ]
    events = tape(BOOK + told)
    events["flags"][3:5] -= int(Flag.LAST)
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(events)
    assert rows["bid_cancel_lots_per_s"][-1] == 0.0
    assert rows["bid_trade_lots_per_s"][-1] > 0.0


def test_on_a_tape_of_levels_what_a_level_lost_beyond_its_trades_was_cancelled() -> None:
    levels = [
        (0.0, Kind.LEVEL, 1, 100, 10, 0, 0),
        (0.0, Kind.LEVEL, -1, 102, 10, 0, 0),
        (3.0, Kind.TRADE, -1, 100, 2, 0, 0),
        (3.0, Kind.LEVEL, 1, 100, 3, 0, 0),
        (3.0, Kind.LEVEL, -1, 102, 14, 0, 0),
    ]
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(tape(levels))
    assert rows["bid_cancel_lots_per_s"][-1] == pytest.approx(oracle.rates([(3.0, 5)], 3.0, HALF_LIFE_S))
    assert rows["ask_add_lots_per_s"][-1] == pytest.approx(oracle.rates([(0.0, 10), (3.0, 4)], 3.0, HALF_LIFE_S))


def test_what_was_no_trade_with_the_book_is_none() -> None:
    flow = [
        (3.0, Kind.TRADE, -1, 100, 2, 0, 0),
        (3.5, Kind.TRADE, -1, 100, 0, 0, 0),
        (3.6, Kind.TRADE, -1, 100, 500, 0, 0),
        (3.7, Kind.ADD, 1, 100, 0, 7, 0),
        (4.0, Kind.ADD, 1, 100, 1, 9, 0),
    ]
    events = tape(BOOK + flow)
    events["detail"][5] = TradeCondition.OFF_BOOK
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(events)
    assert rows["bid_trade_lots_per_s"][-1] == pytest.approx(oracle.rates([(3.0, 2)], 4.0, HALF_LIFE_S))
    assert rows["bid_trade_orders_per_s"][-1] == pytest.approx(oracle.rates([(3.0, 1)], 4.0, HALF_LIFE_S))
    assert rows["bid_add_orders_per_s"][-1] == pytest.approx(oracle.rates([(0.0, 1), (4.0, 1)], 4.0, HALF_LIFE_S))


def test_before_the_first_print_nobody_knows_what_trades_nor_what_of_a_level_was_cancelled() -> None:
    add = (3.0, Kind.ADD, 1, 100, 4, 4, 0)
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(tape([*BOOK, add, (4.0, Kind.CANCEL, 1, 100, 4, 4, 0)]))
    assert math.isnan(rows["bid_trade_lots_per_s"][-1])
    assert rows["bid_cancel_lots_per_s"][-1] == pytest.approx(oracle.rates([(4.0, 4)], 4.0, HALF_LIFE_S))
    levels = [
        (0.0, Kind.LEVEL, 1, 100, 10, 0, 0),
        (0.0, Kind.LEVEL, -1, 102, 10, 0, 0),
        (3.0, Kind.LEVEL, 1, 100, 7, 0, 0),
    ]
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(tape(levels))
    assert math.isnan(rows["bid_cancel_lots_per_s"][-1])
    assert rows["bid_add_lots_per_s"][-1] > 0


def test_the_age_of_a_best_price_counts_from_its_coming() -> None:
    flow = [(3.0, Kind.ADD, 1, 101, 4, 4, 0), (5.0, Kind.ADD, -1, 102, 1, 5, 0), (6.0, Kind.CANCEL, 1, 101, 4, 4, 0)]
    rows = make(PLAIN, 1, half_life_s=HALF_LIFE_S).advance(tape(BOOK + flow))
    assert rows["bid_queue_age_s"].tolist() == [0.0, 0.0, 0.0, 2.0, 0.0]
    assert math.isnan(rows["ask_queue_age_s"][0])
    assert rows["ask_queue_age_s"].tolist()[1:] == [0.0, 3.0, 5.0, 6.0]


def test_parameters_out_of_range_are_refused() -> None:
    for wrong in ({"half_life_s": 0.0}, {"near_ticks": -1}):
        with pytest.raises(ConfigurationError):
            FlowRates(1, **wrong)
