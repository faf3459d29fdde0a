"""The catalogue where there is little to go by: half a book, no prints, prints of nothing, no clock."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from tapebook.features.catalogue import COLUMNS, Catalogue
from tapebook.features.moments import EveryEvent
from tapebook.features.sampling import Part, Sampled
from tapebook.market.events import MISSING, Events, Flag, Kind
from tests.features.test_catalogue import PLAIN, QUICK, START, TICK, agree, depth_history, steady

BOOK = ("mid", "micro_price", "weighted_mid", "imbalance", "weighted_imbalance", "book_pressure", "spread")
MOVING = ("relative_spread_bp", "price_velocity", "price_acceleration")
FLOWS = ("ofi_1", "ofi_2", "ofi_3", "ofi_5")
SAMPLED = tuple(c.name for c in COLUMNS[13:] if "price_" not in c.name and "hawkes" not in c.name)
BID, ASK = 16_000 * TICK, 16_001 * TICK


def with_levels(base: Events, at: int, levels: list[tuple[int, int, int]]) -> Events:
    """Put a message of level sets (side, price, lots) in the place of events, and let the book stand after it."""
    events = base.copy()
    part = events[at : at + len(levels)]
    part["kind"], part["flags"], part["ts_event_ns"] = Kind.LEVEL, 0, part["ts_event_ns"][0]
    for record, (side, price, lots) in zip(part, levels, strict=True):
        record["side"], record["price"], record["qty_lots"] = side, price, lots
    part["flags"][-1] = Flag.LAST
    rest = events[at + len(levels) :]
    side = -1 if levels[0][0] > 0 else 1  # far from the touch, and never on an empty side
    rest["kind"], rest["side"], rest["qty_lots"] = Kind.LEVEL, side, 30 + np.arange(rest.size) % 2
    rest["price"] = BID - side * 50 * TICK
    return events


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    "levels",
    [
        [(-1, ASK + i * TICK, 0) for i in range(5)],
        [(1, BID - i * TICK, 0) for i in range(5)],
        [(-1, BID, 5)],
        [(-1, BID - TICK, 5)],
    ],
    ids=["no asks", "no bids", "locked", "crossed"],
)
def test_a_touch_that_is_not_two_sided_has_no_numbers_of_the_moment(levels: list[tuple[int, int, int]]) -> None:
    events = with_levels(steady(12.0), 80, levels)
    rows = agree(events, **QUICK)
    stands = 80 + len(levels) - 1  # the row of the message's last record
    for name in (*BOOK, *MOVING):
        assert np.isfinite(rows[name][stands - 1]), name
        assert np.isnan(rows[name][stands:]).all(), name
    assert rows["rsi_14"][stands] == rows["rsi_14"][stands - 1]  # what is sampled holds, then carries the last mid
    assert np.isfinite(rows["rsi_14"][stands:]).all()
    one_sided = len(levels) > 1
    assert np.isfinite(rows["ofi_1"][stands]) == one_sided  # a side that vanishes flows; a lock or cross is a fault
    if one_sided:
        left = {s: sum(events["qty_lots"][i] for i in (0, 1) if events["side"][i] == s) for s in (1, -1)}
        assert abs(rows["ofi_1"][stands]) in left.values()


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    ("field", "value"), [("qty_lots", 0), ("qty_lots", -4), ("price", MISSING)], ids=["zero", "negative", "no price"]
)
def test_prints_of_nothing_are_in_no_bar_and_no_order(field: str, value: int) -> None:
    events = steady(12.0)
    prints = np.flatnonzero(events["kind"] == Kind.TRADE)[::3]
    told = events.copy()
    told[field][prints] = value
    rows = agree(told, **QUICK)
    without = np.delete(events, prints)
    kept = np.delete(np.arange(events.size), prints)
    expected = Catalogue(PLAIN, 1, **QUICK).advance(without)
    for name in ("amihud", "kyle_lambda", "fracdiff_volume_lots", "hawkes_buy_per_s", "rsi_14", *BOOK, *FLOWS):
        assert rows[name][kept].tobytes() == expected[name].tobytes(), name


@pytest.mark.uncompiled
def test_prints_without_an_aggressor_count_as_volume_alone() -> None:
    events = steady(12.0)
    events["side"][events["kind"] == Kind.TRADE] = 0
    rows = agree(events, **QUICK)
    assert np.isfinite(rows["amihud"][-1])
    assert np.isfinite(rows["fracdiff_volume_lots"][-1])
    assert np.isnan(rows["kyle_lambda"]).all()  # a flow of zero does not vary
    assert np.isnan(rows["hawkes_buy_per_s"]).all()


@pytest.mark.uncompiled
def test_a_day_without_prints_has_no_bars_of_prints() -> None:
    rows = agree(steady(12.0, trades=False), **(QUICK | {"bar_trades": 1}))
    for name in SAMPLED:
        assert np.isnan(rows[name]).all(), name
    for name in (*BOOK, *MOVING, *FLOWS):
        assert np.isfinite(rows[name][-1]), name


@pytest.mark.uncompiled
@pytest.mark.parametrize("kind", [Kind.TRADE, Kind.LEVEL, Kind.CLEAR, Kind.STATUS])
def test_a_tape_of_one_event_has_one_row_of_nothing(kind: Kind) -> None:
    events = steady(1.0)[:1].copy()
    events["kind"], events["flags"] = kind, Flag.LAST
    rows = agree(events)
    assert all(np.isnan(rows[c.name]).all() for c in COLUMNS[1:])


@pytest.mark.uncompiled
def test_without_any_stamp_the_book_is_told_and_nothing_that_needs_a_clock() -> None:
    events = steady(12.0)
    events["ts_event_ns"] = events["ts_recv_ns"] = MISSING
    rows = Catalogue(PLAIN, 1, **QUICK).advance(events)
    for name in (*BOOK, *FLOWS):
        assert np.isfinite(rows[name][-1]), name
    for name in (*SAMPLED, "price_velocity", "price_acceleration", "hawkes_buy_per_s"):
        assert np.isnan(rows[name]).all(), name


@pytest.mark.uncompiled
def test_a_stamp_that_goes_back_or_far_ahead_is_held() -> None:
    events = steady(12.0)
    day = 86_400 * 1_000_000_000
    for place, off in ((40, -day), (60, 40 * day), (70, -1), (80, -START)):
        events["ts_event_ns"][place] += off
    agree(events, **QUICK)


def test_bars_of_one_print_are_warm_after_a_known_number_of_rows() -> None:
    """After the book, a move of the mid and a print in turn: the print after a bar's last closes it."""
    events = steady(90.0)
    events["kind"][10:], events["qty_lots"][10:] = Kind.TRADE, 1 + np.arange(events.size - 10) % 5
    events["side"][10:] = np.where(np.arange(events.size - 10) % 3, 1, -1)
    moves = events[11::2]
    moves["kind"], moves["side"], moves["price"] = Kind.LEVEL, -1, ASK
    moves["qty_lots"] = np.where(np.arange(moves.size) % 2, 0, 10)
    rows = agree(events, **(QUICK | {"bar_trades": 1, "kyle_half_life_bars": 20.0}))
    n_prints = np.cumsum(events["kind"] == Kind.TRADE)
    closes = {
        "rsi_14": QUICK["rsi_length"] + 1,
        "macd": QUICK["macd_slow"],
        "macd_signal": QUICK["macd_slow"] + QUICK["macd_smooth"] - 1,
        "realised_volatility_bp": QUICK["volatility_bars"] + 1,
        "amihud": QUICK["amihud_bars"] + 1,
        "kyle_lambda": 21,
    }
    for name, n in closes.items():
        first = int(np.flatnonzero(np.isfinite(rows[name]))[0])
        assert n_prints[first] == n + 1, name  # one more: it closes the bar before


def test_a_table_takes_the_rows_as_they_are() -> None:
    """Told that there is a row for each event, a table is made in one go, and is the same table."""

    class Asked(Catalogue):
        row_for_each_event: ClassVar[bool] = False

    events = depth_history(4, 2_000)
    tables = []
    for make in (Catalogue, Asked):
        part = Part("catalogue", COLUMNS, lambda make=make: make(PLAIN, 1, **QUICK))  # type: ignore[misc] # bound in the loop
        tables.append(Sampled(PLAIN, 1, [part], EveryEvent()).advance(events))
    for name, column in tables[0].items():
        assert column.tobytes() == tables[1][name].tobytes(), name
    assert np.isfinite(tables[0]["rsi_14"]).any()
