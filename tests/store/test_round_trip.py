from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapebook.market.arrow import from_arrow, instruments_of
from tapebook.market.events import MISSING, Events, clock_ns
from tapebook.store import Lake, partitions
from tests.store.some_tapes import DAY_NS, INSTRUMENTS, START_NS, tape_of, trades, wild_tapes
from tests.tapes import random_levels, random_orders

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of 8 events, so that a small tape has many."""
    monkeypatch.setattr(partitions, "ROW_GROUP_EVENTS", 8)


@pytest.mark.slow
@pytest.mark.usefixtures("small_groups")
@FEW
@given(wild_tapes())
def test_any_tape_of_several_instruments_and_days_comes_back_bit_for_bit_in_order(
    case: tuple[Events, list[int]],
) -> None:
    events, cuts = case
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        report = lake.ingest(tape_of(events, cuts=cuts))
        assert report.rows == events.size
        assert lake.tape().events().tobytes() == events.tobytes()
        assert from_arrow(lake.arrow()).tobytes() == events.tobytes()
        assert from_arrow(lake.polars().to_arrow()).tobytes() == events.tobytes()
        assert [f for f in lake.verify() if f.severity == "error"] == []
        for instrument in INSTRUMENTS.values():
            ids = [i for i, other in INSTRUMENTS.items() if other.symbol == instrument.symbol]
            own = events[np.isin(events["instrument_id"], ids)]
            if own.size:
                tape = lake.tape(instrument.venue, instrument.symbol)
                assert tape.events().tobytes() == own.tobytes()
                assert {i.symbol for i in tape.instruments.values()} == {instrument.symbol}


@pytest.mark.slow
@pytest.mark.usefixtures("small_groups")
@FEW
@given(wild_tapes(), st.data())
def test_a_range_of_the_clock_gives_exactly_the_events_within(
    case: tuple[Events, list[int]], data: st.DataObject
) -> None:
    events, cuts = case
    clock = clock_ns(events)
    moments = st.sampled_from(sorted({int(c) for c in clock if c != MISSING} | {START_NS}))
    start, end = sorted([data.draw(moments), data.draw(moments) + 1])
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        lake.ingest(tape_of(events, cuts=cuts))
        expected = events[(clock >= start) & (clock < end)]
        if expected.size:
            assert lake.tape(start=start, end=end).events().tobytes() == expected.tobytes()
            assert from_arrow(lake.arrow(start=start, end=end)).tobytes() == expected.tobytes()
        before = events[clock < end]  # those without a time too: they have no start to be after
        assert before.size == 0 or lake.tape(end=end).events().tobytes() == before.tobytes()


@pytest.mark.parametrize("events", [random_levels(3, 5_000), random_orders(4, 5_000)], ids=["levels", "orders"])
def test_a_tidy_tape_comes_back_and_can_be_read_twice(events: Events, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events, cuts=[1, 2, 1000]))
    tape = lake.tape()
    assert tape.events().tobytes() == events.tobytes()
    assert tape.events().tobytes() == events.tobytes()
    assert tape.progress.done_bytes == tape.progress.total_bytes > 0
    assert dict(tape.instruments) == INSTRUMENTS
    assert {len(block) for block in tape.blocks(100)} <= set(range(1, 101))


def test_events_stand_under_the_trade_date_of_their_calendar(tmp_path: Path) -> None:
    # 2023-12-26 22:00 UTC is 16:00 in Chicago: the CME session of the 26th ends, that of the 27th opens at 23:00.
    chicago_5pm = int(np.datetime64("2023-12-26T23:00", "ns").astype(np.int64))
    es = trades(2, start_ns=chicago_5pm - 3600 * 10**9 - 10**9, step_ns=3600 * 10**9 + 10**9)
    btc = trades(2, start_ns=chicago_5pm, step_ns=3600 * 10**9, instrument_id=3)
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(np.concatenate([es, btc])))
    assert [(e.symbol, e.date, e.events) for e in lake.ls()] == [
        ("BTC/USDT", "2023-12-26", 1),
        ("BTC/USDT", "2023-12-27", 1),
        ("ESH4", "2023-12-26", 1),
        ("ESH4", "2023-12-27", 1),
    ]
    assert lake.tape("CME", start="2023-12-27").events().tobytes() == es[1:].tobytes()
    assert lake.tape("CME", end="2023-12-26").events().tobytes() == es[:1].tobytes()
    folders = {p.relative_to(tmp_path).parent.as_posix() for p in lake.paths(symbol="BTC/USDT")}
    assert folders == {f"lake/venue=BINANCE/symbol=BTC%2FUSDT/date=2023-12-2{d}" for d in (6, 7)}


def test_an_event_without_a_time_stays_with_the_one_before_it(tmp_path: Path) -> None:
    events = trades(4, step_ns=DAY_NS)
    events["ts_event_ns"][[0, 2]] = MISSING
    events["ts_recv_ns"][[0, 2]] = MISSING
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events))
    assert [(e.date, e.events) for e in lake.ls()] == [("", 1), ("2023-12-27", 2), ("2023-12-29", 1)]
    assert lake.tape().events().tobytes() == events.tobytes()


def test_any_name_of_a_venue_or_symbol_is_a_folder_that_hive_readers_decode(tmp_path: Path) -> None:
    from tapebook.market.instruments import Instrument

    names = ["../../etc", "a=b&c", "BTC/USDT", "ES 240621C05000000", "é漢", "100%", "CON.F.US.MNQ.M25", "0001"]
    instruments = {i + 1: Instrument(symbol=name, venue="X/Y") for i, name in enumerate(names)}
    events = trades(len(names))
    events["instrument_id"] = np.arange(1, len(names) + 1)
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events, instruments=instruments))
    assert sorted(e.symbol for e in lake.ls()) == sorted(names)
    assert lake.tape().events().tobytes() == events.tobytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lake"]
    seen = pl.scan_parquet(f"{lake.path}/venue=*/**/*.parquet", hive_partitioning=True).collect()
    assert set(seen["symbol"].cast(pl.String).to_list()) == set(names)


def test_thousands_of_events_pass_through_few_buffers_and_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    events = trades(4_000, step_ns=DAY_NS // 2000)
    events["instrument_id"] = rng.integers(1, 4, 4_000)
    writer = partitions.PartitionedWriter(
        tmp_path, tape_of(events).origin, tape_of(events).instruments, pending_events_max=100, open_files_max=2
    )
    most = 0
    for start in range(0, 4_000, 64):
        writer.add(events[start : start + 64])
        most = max(most, sum(p.n_pending for p in writer._partitions.values()))
        assert sum(p.writer is not None for p in writer._partitions.values()) <= 2
    files = writer.finish()
    assert most <= 100
    assert sum(f.rows for _, f in files) == 4_000
    assert len({(f.symbol, f.date, f.path) for _, f in files}) == len(files)
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events))
    assert lake.tape().events().tobytes() == events.tobytes()


def test_arrow_columns_are_handed_to_polars_without_a_copy(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(1000)))
    table = lake.arrow()
    frame = pl.from_arrow(table, rechunk=False)
    assert isinstance(frame, pl.DataFrame)
    [chunk] = table["price"].chunks
    assert frame["price"].to_numpy(allow_copy=False).__array_interface__["data"][0] == chunk.buffers()[1].address
    assert instruments_of(table.schema.metadata)[1] == INSTRUMENTS[1]


def test_a_trade_date_that_the_tape_has_left_is_finished_while_the_tape_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LEFT_EVENTS", 20)
    events = trades(500, step_ns=DAY_NS // 50, instrument_id=3)
    events[300]["ts_event_ns"] = events[300]["ts_recv_ns"] = events[10]["ts_recv_ns"]  # a late print of the first day
    writer = partitions.PartitionedWriter(tmp_path, tape_of(events).origin, tape_of(events).instruments)
    most = 0
    for start in range(0, 500, 5):
        writer.add(events[start : start + 5])
        most = max(most, sum(bool(p.n_pending) for p in writer._partitions.values()))
    assert most <= 3
    assert sum(f.rows for _, f in writer.finish()) == 500
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events, cuts=list(range(0, 500, 5))))
    assert len(lake.paths()) == len(lake.ls()) + 1
    assert lake.tape().events().tobytes() == events.tobytes()
