"""Aggressive orders out of tapes: fills merged, sides kept, sessions apart, coarse clocks spread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import MISSING, Events, Flag, Kind, TradeCondition, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.research.hawkes_orders import orders_of

START = 1_710_252_000_000_000_001  # a Tuesday, 14:00 UTC, and a ns


def prints(rows: list[tuple[int, int]], **columns: object) -> Events:
    """Prints (ns after START, side)."""
    e = empty_events(len(rows))
    e["kind"], e["price"], e["qty_lots"], e["instrument_id"], e["flags"] = Kind.TRADE, 100, 1, 1, Flag.LAST
    e["ts_event_ns"] = [START + ns for ns, _ in rows]
    e["side"] = [side for _, side in rows]
    for name, values in columns.items():
        e[name] = values
    return e


def tape(events: Events, *, block: int = 3, calendar: str = "24-7") -> Tape:
    table = InstrumentTable(
        {1: Instrument(symbol="AAA", venue="X", calendar=calendar), 2: Instrument(symbol="BBB", venue="X")}
    )
    return Tape(
        origin=Origin(name="made", format="test"),
        instruments=table,
        read=lambda _: iter([events[i : i + block] for i in range(0, events.size, block)]),
    )


@pytest.mark.parametrize("block", [1, 2, 3, 100])
def test_the_fills_of_one_order_are_one_event_whatever_the_blocks(block: int) -> None:
    rows = [(0, 1), (0, 1), (0, 1), (0, -1), (5, -1), (1000, -1), (1001, 0), (2000, 1), (2000, 1)]
    found = orders_of(tape(prints(rows), block=block))
    assert np.round(found.times_s * 1e9, 1).tolist() == [0.0, 0.5, 5.0, 1000.0, 2000.0]  # two at one stamp are spread
    assert found.types.tolist() == [0, 1, 1, 1, 0]
    assert (found.merged, found.passed, found.spread, found.resolution_ns) == (3, 1, 1, 1)
    wide = orders_of(tape(prints(rows), block=block), merge_ns=1000)
    assert wide.types.tolist() == [0, 1, 0]  # a chain: each fill at most 1000 ns after the one before


def test_crosses_off_book_prints_and_other_instruments_are_no_orders() -> None:
    rows = [(0, 1), (100, -1), (200, -1), (300, 1), (400, 1)]
    detail = [0, TradeCondition.CROSS, TradeCondition.OFF_BOOK, TradeCondition.HIDDEN, 0]
    events = prints(rows, detail=detail)
    events["instrument_id"][4] = 2
    found = orders_of(tape(events))
    assert found.types.tolist() == [0, 0]
    assert found.instrument.symbol == "AAA"
    assert orders_of(tape(events), instrument="BBB").times_s.tolist() == [0.0]


def test_a_clock_of_milliseconds_is_noticed_and_ties_are_spread_in_their_order() -> None:
    ms = 1_000_000
    events = prints([(0, 1), (0, -1), (0, 1), (7 * ms, -1), (9 * ms, 1)])
    events["ts_event_ns"] -= 1
    found = orders_of(tape(events))
    assert (found.resolution_ns, found.spread) == (ms, 2)
    assert found.times_s == pytest.approx([0, 1e-3 / 3, 2e-3 / 3, 7e-3, 9e-3])
    assert found.types.tolist() == [0, 1, 0, 1, 0]


def test_the_busiest_session_is_taken_or_the_one_asked_for() -> None:
    day = 86_400 * 10**9
    events = prints([(0, 1), (10, -1), (day, 1), (day + 10, -1), (day + 20, 1)])
    found = orders_of(tape(events))
    assert (found.session, found.sessions) == ("2024-03-13", {"2024-03-12": 2, "2024-03-13": 3})
    assert orders_of(tape(events), session="2024-03-12").types.tolist() == [0, 1]
    with pytest.raises(ConfigurationError, match="no orders in that session"):
        orders_of(tape(events), session="2024-03-14")


def test_the_clock_of_receipt_and_late_stamps() -> None:
    events = prints([(0, 1), (50, -1), (40, 1), (90, -1)])
    events["ts_recv_ns"] = [START + 100, START + 160, MISSING, START + 300]
    assert (orders_of(tape(events)).times_s * 1e9).round(1).tolist() == [0.0, 50.0, 50.5, 90.0]
    received = orders_of(tape(events), clock="receive")
    assert received.times_s[-1] == pytest.approx(200e-9)


def test_what_cannot_be_fitted_is_told() -> None:
    with pytest.raises(DataQualityError, match="aggressor"):
        orders_of(tape(prints([(0, 0), (5, 0)])))
    with pytest.raises(ConfigurationError, match="no such instrument"):
        orders_of(tape(prints([(0, 1)])), instrument="ZZZ")
    with pytest.raises(ConfigurationError, match="no such instrument"):
        orders_of(tape(prints([])))
    with pytest.raises(ConfigurationError, match="negative"):
        orders_of(tape(prints([(0, 1)])), merge_ns=-1)


@pytest.mark.recording
def test_orders_of_a_lobster_day_are_fewer_than_its_executions(recording: Callable[[str], Path]) -> None:
    from tapebook.readers import open_tape

    found = orders_of(open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")))
    assert found.times_s.size + found.merged + found.passed == 11_419
    assert (np.diff(found.times_s) > 0).all()
    assert found.session == "2012-06-21"
    assert 23_000 < found.horizon_s <= 23_400
