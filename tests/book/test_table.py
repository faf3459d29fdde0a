"""A tape's book as a Parquet file, and the command that writes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from tapebook.book import Snapshots, level_columns
from tapebook.book.table import write_book
from tapebook.cli import book as command
from tapebook.cli.main import main
from tapebook.market.errors import ConfigurationError, DataQualityError, OrderBookError
from tapebook.market.events import MISSING, Events, Kind
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tests.book.events import BID, PX, event, level, tape
from tests.tapes import random_levels, random_orders

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000)
BTC = Instrument(symbol="BTCUSDT", venue="BINANCE", tick_e9=10_000_000, lot_e9=10)
HUNDREDS = Instrument(symbol="ODD", venue="X", lot_e9=100 * PX)


def tape_of(events: Events, *instruments: Instrument) -> Tape:
    def read(events_max: int) -> Iterator[Events]:
        for start in range(0, events.size, events_max):
            yield events[start : start + events_max]

    table = InstrumentTable(dict(enumerate(instruments, start=1)))
    return Tape(origin=Origin(name="test.tape", format="test"), read=read, instruments=table)


def test_the_file_holds_the_rows_of_the_operator_as_prices_and_sizes(tmp_path: Path) -> None:
    events = random_orders(1, 500)
    table = write_book(tape_of(events, ES), tmp_path / "book.parquet", levels=3)
    frame = pl.read_parquet(table.path)
    rows = Snapshots(ES, 1, levels=3).advance(events)
    assert frame.columns == ["ts_event_ns", "ts_recv_ns", *level_columns(3)]
    assert list(table.columns) == frame.columns
    assert frame.height == table.rows == rows["ts_ns"].size
    for name in frame.columns:
        expected = [None if v == MISSING else v / PX if "px" in name else v for v in rows[name].tolist()]
        assert frame[name].to_list() == expected, name
    assert frame.schema["bid_px_00"] == pl.Float64
    assert frame.schema["bid_sz_00"] == pl.Int64
    assert table.books["ESH4"].events == 500


def test_raw_gives_the_integers(tmp_path: Path) -> None:
    events = random_levels(1, 300)
    events["instrument_id"] = 1
    frame = pl.read_parquet(write_book(tape_of(events, BTC), tmp_path / "b.parquet", levels=2, raw=True).path)
    rows = Snapshots(BTC, 1, levels=2).advance(events)
    assert set(frame.dtypes) == {pl.Int64}
    for name in level_columns(2):
        assert frame[name].to_list() == [None if v == MISSING else v for v in rows[name].tolist()]


@pytest.mark.parametrize(
    ("instrument", "qty", "shown", "dtype"),
    [(ES, 7, 7, pl.Int64), (HUNDREDS, 7, 700, pl.Int64), (BTC, 150_870_000, 1.5087, pl.Float64)],
)
def test_sizes_are_in_base_units_whole_where_lots_are(
    tmp_path: Path, instrument: Instrument, qty: int, shown: float, dtype: type
) -> None:
    path = write_book(tape_of(tape(level(BID, 10, qty)), instrument), tmp_path / "b.parquet", levels=1).path
    frame = pl.read_parquet(path)
    assert frame.schema["bid_sz_00"] == dtype
    assert frame["bid_sz_00"].to_list() == [shown]
    assert frame["bid_ct_00"].to_list() == [None]
    assert frame["ask_px_00"].to_list() == [None]


def test_sampled_rows_start_with_their_boundary(tmp_path: Path) -> None:
    events = random_orders(2, 600)
    step = 50_000_000
    frame = pl.read_parquet(write_book(tape_of(events, ES), tmp_path / "b.parquet", levels=1, every_ns=step).path)
    assert frame.columns[:3] == ["ts_ns", "ts_event_ns", "ts_recv_ns"]
    assert frame.height > 5
    assert (frame["ts_ns"] % step == 0).all()
    assert (frame["ts_recv_ns"] <= frame["ts_ns"]).all()


def mixed(n: int = 400) -> Events:
    one, other = random_orders(1, n), random_levels(2, n)
    one["instrument_id"], other["instrument_id"] = 1, 2
    both = np.concatenate([one, other])
    events: Events = both[np.argsort(both["ts_recv_ns"], kind="stable")]
    return events


def test_several_instruments_get_a_column_and_stand_in_the_order_of_their_events(tmp_path: Path) -> None:
    events = mixed()
    table = write_book(tape_of(events, ES, BTC), tmp_path / "b.parquet", levels=2)
    frame = pl.read_parquet(table.path)
    assert frame.columns[0] == "symbol"
    assert frame["ts_recv_ns"].is_sorted()
    assert frame.schema["bid_sz_00"] == pl.Float64, "one lot is fractional, so all sizes are floats"
    assert set(table.books) == {"ESH4", "BTCUSDT"}
    alone = pl.read_parquet(write_book(tape_of(events, ES, BTC), tmp_path / "e.parquet", levels=2, symbol="ESH4").path)
    assert "symbol" not in alone.columns
    mine = frame.filter(pl.col("symbol") == "ESH4").drop("symbol")
    assert mine.select(level_columns(2)[0::3]).equals(alone.select(level_columns(2)[0::3]))


def test_a_symbol_on_two_venues_is_told_with_its_venue(tmp_path: Path) -> None:
    twin = Instrument(symbol="ESH4", venue="ELSEWHERE", tick_e9=250_000_000)
    table = write_book(tape_of(mixed(), ES, twin), tmp_path / "b.parquet", levels=1)
    assert set(table.books) == {"ESH4.CME", "ESH4.ELSEWHERE"}
    with pytest.raises(ConfigurationError, match=r"SYMBOL\.VENUE"):
        write_book(tape_of(mixed(), ES, twin), tmp_path / "c.parquet", symbol="ESH4")
    assert set(write_book(tape_of(mixed(), ES, twin), tmp_path / "c.parquet", symbol="ESH4.CME").books) == {"ESH4"}


def test_an_instrument_that_only_trades_has_no_rows(tmp_path: Path) -> None:
    events = random_orders(1, 200)
    prints = tape(*[event(Kind.TRADE, 1, 10, 1, instrument_id=2) for _ in range(20)])
    table = write_book(tape_of(np.concatenate([prints, events]), ES, BTC), tmp_path / "b.parquet")
    assert set(table.books) == {"ESH4"}


@pytest.mark.parametrize("block_events", [1, 7, 1 << 16])
def test_the_block_size_does_not_show(tmp_path: Path, block_events: int) -> None:
    events = mixed(150)
    whole = pl.read_parquet(write_book(tape_of(events, ES, BTC), tmp_path / "a.parquet", levels=2).path)
    cut = tape_of(events, ES, BTC)
    read = cut.read
    cut.read = lambda _: read(block_events)
    assert pl.read_parquet(write_book(cut, tmp_path / "b.parquet", levels=2).path).equals(whole)


def test_samples_gather_into_large_row_groups_and_deep_rows_into_small_blocks(tmp_path: Path) -> None:
    events = random_orders(4, 3_000)
    sizes: list[int] = []
    source = tape_of(events, ES)
    read = source.read

    def watched(events_max: int) -> Iterator[Events]:
        sizes.append(events_max)
        return read(min(events_max, 100))

    source.read = watched
    sampled = write_book(source, tmp_path / "a.parquet", levels=1, every_ns=10_000_000)
    assert pq.ParquetFile(sampled.path).num_row_groups == 1
    deep = write_book(source, tmp_path / "b.parquet", levels=1_000)
    assert pq.ParquetFile(deep.path).num_row_groups > 1
    assert sizes[0] == 1 << 16
    assert sizes[1] < 1_000
    frame = pl.read_parquet(deep.path)
    assert frame.height == deep.rows
    assert frame["bid_px_999"].is_null().all()


def test_a_tape_without_a_book_and_an_unknown_instrument_are_told(tmp_path: Path) -> None:
    prints = tape(event(Kind.TRADE, 1, 10, 1))
    with pytest.raises(OrderBookError, match="nothing here makes a book"):
        write_book(tape_of(prints, ES), tmp_path / "b.parquet")
    with pytest.raises(ConfigurationError, match=r"expected ESH4, found NQH4 \(test\.tape\)"):
        write_book(tape_of(random_orders(1, 50), ES), tmp_path / "b.parquet", symbol="NQH4")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.parquet"
    write_book(tape_of(random_orders(1, 50), ES), path, levels=1)
    before = path.read_bytes()
    broken = tape_of(random_orders(2, 50), ES)

    def read(events_max: int) -> Iterator[Events]:
        yield random_orders(2, 50)[:events_max]
        raise DataQualityError("stop")

    broken.read = read
    with pytest.raises(DataQualityError):
        write_book(broken, path, levels=1)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["b.parquet"]


# The command ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    application = typer.Typer()
    application.callback()(lambda: None)
    command.register(application)
    return application


def test_the_help_has_an_example(app: typer.Typer) -> None:
    out = CliRunner().invoke(app, ["book", "--help"]).output
    assert "tapebook book esh4" in out
    assert "--levels" in out


@pytest.mark.parametrize("text", ["100", "ms", "0ms", "-1s", "1.5ns", "9999999999h", "event ", ""])
def test_a_sampling_step_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--every"):
        command.duration_ns(text)


def test_the_command_writes_a_simulated_book_and_tells_machines(app: typer.Typer, tmp_path: Path) -> None:
    to = tmp_path / "sim.parquet"
    arguments = ["book", "sim:es?duration_s=30&seed=1", "--levels", "2", "--every", "1s", "--to", str(to), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout.splitlines()[-1])
    frame = pl.read_parquet(to)
    assert told["rows"] == frame.height > 10
    assert told["columns"] == frame.columns
    (counted,) = told["books"].values()
    assert counted["orphan_cancels"] == 0


def test_people_are_told_what_was_found(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["book", "sim:es?duration_s=5", "--to", str(tmp_path / "b.parquet")])
    assert result.exit_code == 0, result.output
    assert "rows of 62 columns" in result.output
    assert "observable" in result.output


@pytest.mark.recording
def test_a_file_without_a_book_ends_with_code_1(
    recording: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tapebook.cli import main as program

    monkeypatch.setattr(program, "COMMANDS", ("info", "book"))
    path = recording("databento/test_data.ohlcv-1d.dbn")
    assert main(["book", str(path), "--to", str(tmp_path / "b.parquet")]) == 1
    assert list(tmp_path.iterdir()) == []
