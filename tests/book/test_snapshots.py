"""Rows of N levels: when they stand, what they are called, and what sampling means."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.book import Snapshots, Touch, level_columns
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Events, Flag, Kind, clock_ns
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Rows
from tests.book.events import ASK, BID, PX, add, event, level, quote, tape
from tests.oracles.book import OracleBook
from tests.tapes import random_levels, random_orders

pytestmark = pytest.mark.uncompiled

ANY = Instrument(symbol="X", venue="Y", tick_e9=250_000_000)
MS = 1_000_000
STEP = 100 * MS


def as_array(rows: Rows, n_levels: int) -> NDArray[np.int64]:
    names = ["ts_ns", "ts_event_ns", "ts_recv_ns", *level_columns(n_levels)]
    assert list(rows) == names
    return np.array([rows[name] for name in names]).T


def sampled(events: Events, every_ns: int, n_levels: int) -> NDArray[np.int64]:
    """Samples by their definition, for tapes whose clock never goes back."""
    book = OracleBook()
    at: dict[int, list[int]] = {}
    stamps = clock_ns(events)
    for e, now in zip(events, stamps.tolist(), strict=True):
        book.apply(e)
        if int(e["flags"]) & Flag.LAST:
            boundary = -(-now // every_ns) * every_ns
            at[boundary] = [boundary, int(e["ts_event_ns"]), int(e["ts_recv_ns"]), *book.row(n_levels)]
    passed = int(stamps.max())
    rows = [row for boundary, row in at.items() if boundary < passed]
    return np.array(rows, np.int64).reshape(-1, 3 + 6 * n_levels)


def test_columns_are_named_and_ordered_as_in_mbp_10() -> None:
    names = level_columns(10)
    assert len(names) == 60
    assert names[:7] == ["bid_px_00", "bid_sz_00", "bid_ct_00", "ask_px_00", "ask_sz_00", "ask_ct_00", "bid_px_01"]
    assert names[-1] == "ask_ct_09"


def test_a_row_stands_only_where_the_book_may_be_observed() -> None:
    e = tape(
        add(1, BID, 10, 5, Flag(0), ts=1),
        add(2, ASK, 11, 6, ts=2),
        event(Kind.TRADE, 1, 11, 2, ts=3),
        event(Kind.TRADE, 1, 11, 2, flags=Flag(0), ts=4),
    )
    rows = Snapshots(ANY, 1, levels=1).advance(e)
    assert rows["ts_ns"].tolist() == [2, 3]
    assert rows["ts_recv_ns"].tolist() == [MISSING, MISSING]
    assert rows["bid_px_00"].tolist() == [10 * PX, 10 * PX]
    assert rows["ask_sz_00"].tolist() == [6, 6]


def test_absent_levels_and_untold_sizes_and_counts_are_missing() -> None:
    rows = Snapshots(ANY, 1, levels=2).advance(tape(level(BID, 10, 5), quote(ASK, 11, None)))
    last = {name: int(column[-1]) for name, column in rows.items()}
    assert (last["bid_px_00"], last["bid_sz_00"], last["bid_ct_00"]) == (10 * PX, 5, MISSING)
    assert (last["ask_px_00"], last["ask_sz_00"]) == (11 * PX, MISSING)
    assert [last[name] for name in ("bid_px_01", "bid_sz_01", "bid_ct_01", "ask_px_01")] == [MISSING] * 4


def test_the_touch_is_the_first_level() -> None:
    events = random_orders(1, 300)
    touch, book = Touch(ANY, 1).advance(events), Snapshots(ANY, 1, levels=1).advance(events)
    assert list(touch) == [name.removesuffix("_00") for name in book]
    for name, column in book.items():
        assert np.array_equal(touch[name.removesuffix("_00")], column)


@pytest.mark.parametrize("make", [random_levels, random_orders])
@pytest.mark.parametrize("every_ns", [MS, 7 * MS, STEP])
def test_samples_are_the_last_state_seen_at_or_before_each_boundary(make: type, every_ns: int) -> None:
    events: Events = make(5, 400)
    events = events[events["instrument_id"] == 1]
    events["ts_recv_ns"] = np.maximum.accumulate(events["ts_recv_ns"])
    rows = Snapshots(ANY, 1, levels=3, every_ns=every_ns).advance(events)
    expected = sampled(events, every_ns, 3)
    assert len(expected) > 3
    assert np.array_equal(as_array(rows, 3), expected)


def test_an_event_at_the_boundary_belongs_to_it_and_the_row_comes_with_the_first_event_after() -> None:
    operator = Snapshots(ANY, 1, levels=1, every_ns=STEP)
    assert operator.advance(tape(level(BID, 10, 5, ts=STEP - 1)))["ts_ns"].size == 0
    assert operator.advance(tape(level(BID, 10, 6, ts=STEP), level(BID, 10, 7, ts=STEP)))["ts_ns"].size == 0
    rows = operator.advance(tape(level(BID, 10, 8, ts=STEP + 1)))
    assert (rows["ts_ns"].tolist(), rows["bid_sz_00"].tolist()) == ([STEP], [7])


def test_a_message_that_spans_the_boundary_is_not_seen_half() -> None:
    rows = Snapshots(ANY, 1, levels=1, every_ns=STEP).advance(
        tape(
            level(BID, 10, 5, ts=STEP - 3),
            level(BID, 10, 0, flags=Flag(0), ts=STEP - 1),
            level(BID, 9, 4, flags=Flag(0), ts=STEP + 1),
            level(BID, 9, 3, ts=STEP + 1),
            level(BID, 9, 2, ts=3 * STEP),
            level(BID, 9, 1, ts=9 * STEP),
        )
    )
    assert rows["ts_ns"].tolist() == [STEP, 2 * STEP, 3 * STEP]
    assert rows["bid_px_00"].tolist() == [10 * PX, 9 * PX, 9 * PX]
    assert rows["bid_sz_00"].tolist() == [5, 3, 2]
    assert rows["ts_event_ns"].tolist() == [STEP - 3, STEP + 1, 3 * STEP]


def test_silence_makes_no_rows_and_one_damaged_stamp_does_not_stop_the_clock() -> None:
    year = 365 * 86_400 * 1_000_000_000
    events = [level(BID, 10, 1 + i, ts=year + i * STEP // 2) for i in range(8)]
    events.insert(4, level(BID, 10, 99, ts=2**62 - 1))
    rows = Snapshots(ANY, 1, levels=1, every_ns=STEP).advance(tape(*events))
    assert rows["ts_ns"].tolist() == [year, year + STEP, year + 2 * STEP, year + 3 * STEP]


@pytest.mark.parametrize(("levels", "every_ns"), [(0, 0), (1001, 0), (5, -1), (5, 2**62)])
def test_wrong_parameters_are_told(levels: int, every_ns: int) -> None:
    with pytest.raises(ConfigurationError):
        Snapshots(ANY, 1, levels=levels, every_ns=every_ns)


def test_a_state_of_another_depth_is_refused() -> None:
    with pytest.raises(OperatorError):
        Snapshots(ANY, 1, levels=3).restore(Snapshots(ANY, 1, levels=2).save())
    with pytest.raises(OperatorError):
        Snapshots(ANY, 1, every_ns=5).restore(Snapshots(ANY, 1, every_ns=6).save())
