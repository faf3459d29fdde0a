from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard

from tapebook.market.arrow import from_arrow, instruments_of, origin_of
from tapebook.market.errors import ConfigurationError, TickDataError
from tapebook.market.events import Events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.parquet import SealedFile
from tapebook.market.tape import Origin, Table
from tapebook.store import Lake
from tapebook.store.chain import only
from tapebook.store.export import export
from tapebook.store.rows import write_rows
from tests.store.some_tapes import DAY_NS, INSTRUMENTS, START_NS, tape_of, trades
from tests.tapes import random_levels

BARS = pa.schema([("ts_event_ns", pa.int64()), ("symbol", pa.string()), ("open", pa.float64()), ("volume", pa.int64())])


def bars(n: int = 5, name: str = "bars.csv") -> Table:
    rows = pa.table(
        {
            "ts_event_ns": START_NS + np.arange(n) * 60_000_000_000,
            "symbol": ['E"S,H4'] * n,
            "open": [0.1, float("nan"), 3.0, 1e300, -5.25][:n],
            "volume": pa.array([1, None, 3, 4, 5][:n], pa.int64()),
        },
        schema=BARS,
    )
    return Table(
        origin=Origin(name=name, format="dbn", schema="bars 1m", venue="CME"),
        schema=BARS,
        read=lambda: iter(rows.to_batches(max_chunksize=2)),
        instruments=InstrumentTable({1: INSTRUMENTS[1]}),
    )


def test_parquet_holds_the_events_bit_for_bit_with_instruments_and_origin(tmp_path: Path) -> None:
    events = random_levels(1, 3_000)
    report = export([tape_of(events, cuts=[10, 500])], tmp_path / "x.parquet")
    assert (report.rows, report.format) == (3_000, "parquet")
    with SealedFile(tmp_path / "x.parquet") as file:
        assert file.sealed
        assert from_arrow(file.read(0)).tobytes() == events.tobytes()
        assert dict(instruments_of(file.metadata)) == INSTRUMENTS
        origin = origin_of(file.metadata)
    assert origin is not None
    assert origin.name == "some.dbn"
    frame = pl.read_parquet(tmp_path / "x.parquet")
    assert from_arrow(frame.to_arrow()).tobytes() == events.tobytes()


def test_arrow_can_be_mapped_without_a_copy(tmp_path: Path) -> None:
    events = trades(1_000)
    export([tape_of(events)], tmp_path / "x.arrow")
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(tmp_path / "x.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        assert pa.total_allocated_bytes() - before < 10_000
        assert from_arrow(table).tobytes() == events.tobytes()
        assert dict(instruments_of(table.schema.metadata)) == INSTRUMENTS
    assert [p.name for p in tmp_path.iterdir()] == ["x.arrow"]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_csv_and_json_hold_exact_prices_and_times(tmp_path: Path, ending: str) -> None:
    events = trades(3)
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        ".gz": gzip.decompress,
        ".zst": lambda b: zstandard.ZstdDecompressor().decompressobj().decompress(b),
    }
    export([tape_of(events)], tmp_path / f"x.csv{ending}")
    export([tape_of(events)], tmp_path / f"x.json{ending}")
    text = unpack[ending]((tmp_path / f"x.csv{ending}").read_bytes()).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    lines = [json.loads(x) for x in unpack[ending]((tmp_path / f"x.json{ending}").read_bytes()).decode().splitlines()]
    assert [r["price"] for r in rows] == [x["price"] for x in lines] == ["4800", "4800.25", "4800.5"]
    assert rows[1]["ts_recv"] == lines[1]["ts_recv"] == "2023-12-26T14:13:21.000001000Z"
    assert rows[1]["side"] == "buy"
    assert lines[0]["order_id"] is None


def test_several_tapes_stand_one_after_the_other_with_one_table_of_instruments(tmp_path: Path) -> None:
    a = tape_of(trades(3), "a.csv", instruments={1: INSTRUMENTS[1]})
    b = tape_of(trades(3), "b.csv", instruments={1: INSTRUMENTS[2]})
    c = tape_of(trades(3, instrument_id=5), "c.csv", instruments={5: INSTRUMENTS[1]})
    report = export([a, b, c], tmp_path / "x.parquet")
    with SealedFile(tmp_path / "x.parquet") as file:
        events = from_arrow(file.read(0))
        symbols = {i: x.symbol for i, x in instruments_of(file.metadata).items()}
    assert [symbols[i] for i in events["instrument_id"].tolist()] == ["ESH4"] * 3 + ["NQH4"] * 3 + ["ESH4"] * 3
    assert report.instrument_ids_changed == 3
    assert a.events()["instrument_id"].tolist() == [1, 1, 1]


def test_only_keeps_the_named_instruments_and_says_what_there_is_otherwise() -> None:
    events = random_levels(2, 500)
    tape = only(tape_of(events), ["NQH4"])
    assert tape.events().tobytes() == events[events["instrument_id"] == 2].tobytes()
    assert dict(tape.instruments) == {2: INSTRUMENTS[2]}
    with pytest.raises(ConfigurationError, match="expected BTC/USDT, ESH4, NQH4, found XX"):
        only(tape_of(events), ["XX"]).events()


def test_a_table_becomes_text_with_times_and_empty_cells(tmp_path: Path) -> None:
    export([bars()], tmp_path / "x.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text(), newline="")))
    assert rows[0] == {"ts_event": "2023-12-26T14:13:20.000000000Z", "symbol": 'E"S,H4', "open": "0.1", "volume": "1"}
    assert [r["volume"] for r in rows] == ["1", "", "3", "4", "5"]
    assert float(rows[3]["open"]) == 1e300
    export([bars()], tmp_path / "x.json")
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "x.json").read_text().splitlines()]
    assert [x["open"] for x in lines] == [0.1, None, 3.0, 1e300, -5.25]
    assert lines[1]["volume"] is None


def test_a_table_survives_the_lake_and_parquet(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first, again = lake.ingest(bars()), lake.ingest(bars())
    assert (first.again, again.again) == (False, True)
    assert [f.path.split("/")[:2] for f in first.files] == [["tables", "schema=bars%201m"]]
    assert lake.table(first.source[:5]).table().to_pylist()[2:] == bars().table().to_pylist()[2:]
    assert lake.table(first.source).origin == bars().origin
    assert list(lake.verify()) == []
    [path] = (tmp_path / "lake" / "tables").rglob("*.parquet")
    data = bytearray(path.read_bytes())
    data[20] ^= 4
    path.write_bytes(data)
    assert [f.severity for f in lake.verify()] == ["error"]
    with pytest.raises(TickDataError, match="a row group is damaged"):
        lake.table(first.source).table()


def test_answers_with_decimals_lists_and_times_become_text(tmp_path: Path) -> None:
    columns = {
        "d": pa.array([Decimal("1.500000000")], pa.decimal128(28, 9)),
        "n": pa.array([Decimal(10**30)], pa.decimal128(38, 0)),
        "t": pa.array([START_NS + 1], pa.timestamp("ns")),
        "z": pa.array([START_NS // 1000], pa.timestamp("us", "UTC")),
        "l": pa.array([[1, 2]]),
        "day": pa.array([19_000], pa.date32()),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    for name in ("x.csv", "x.json", "x.parquet", "x.arrow"):
        assert write_rows(iter([batch, batch.slice(0, 0)]), batch.schema, tmp_path / name) == 1
    [row] = csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text(), newline=""))
    assert row == {
        "d": "1.500000000",
        "n": "1" + "0" * 30,
        "t": "2023-12-26T14:13:20.000000001Z",
        "z": "2023-12-26T14:13:20.000000Z",
        "l": "[1, 2]",
        "day": "2022-01-08",
    }
    said = json.loads((tmp_path / "x.json").read_text())
    assert said == {**row, "n": 10**30, "l": [1, 2]}


def test_what_does_not_fit_into_one_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no format has this extension.*found \.xlsx"):
        export([tape_of(trades(1))], tmp_path / "x.xlsx")
    with pytest.raises(ConfigurationError, match="one is a table"):
        export([tape_of(trades(1)), bars()], tmp_path / "x.csv")


def test_a_failing_export_leaves_no_file_and_does_not_harm_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    export([tape_of(trades(3))], path)
    old = path.read_bytes()

    def fails(_: int) -> Iterator[Events]:
        yield trades(5)
        raise TickDataError("the reader gave up")

    for name in ("x.parquet", "x.csv", "x.arrow", "x.json.gz"):
        tape = tape_of(trades(1))
        tape.read = fails
        with pytest.raises(TickDataError, match="gave up"):
            export([tape], tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]
    assert path.read_bytes() == old


def test_an_instrument_of_the_lake_exported_and_imported_again_is_the_same_source(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first = lake.ingest(tape_of(trades(50, step_ns=DAY_NS // 10), instruments={1: INSTRUMENTS[1]}))
    export([lake.tape()], tmp_path / "x.parquet")
    from tapebook.readers.files import read_head
    from tapebook.readers.formats import ReadOptions
    from tapebook.readers.tapebook_parquet import open_file

    copy = open_file(tmp_path / "x.parquet", read_head(tmp_path / "x.parquet"), ReadOptions())
    assert lake.ingest(copy).source == first.source


def test_an_instrument_without_metadata_is_named_by_its_number(tmp_path: Path) -> None:
    export(
        [tape_of(trades(1, instrument_id=77), instruments={1: Instrument(symbol="A", venue="B")})], tmp_path / "x.csv"
    )
    [row] = csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text(), newline=""))
    assert (row["venue"], row["symbol"]) == ("", "id-77")
