from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tapebook.market.arrow import EVENT_SCHEMA, ORIGIN_KEY, VERSION_KEY, event_metadata, to_arrow
from tapebook.market.errors import MalformedRecord, ReaderError, SchemaMismatch, TruncatedFile, UnsupportedSchema
from tapebook.market.events import Events, Flag
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.parquet import EVENT_ENCODINGS, SealedFile, SealedWriter
from tapebook.market.tape import Origin, Table, Tape
from tapebook.readers.files import read_head
from tapebook.readers.formats import ReadOptions
from tapebook.readers.tapebook_parquet import FORMAT, open_file, sniff
from tests.tapes import random_levels

EVENTS = random_levels(7, 500)
TABLE = InstrumentTable({1: Instrument(symbol="ESH4", venue="CME"), 2: Instrument(symbol="NQH4", venue="CME")})
ORIGIN = Origin(name="es.dbn", format="dbn", schema="mbo", venue="CME", details={"version": 3})


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed file of five row groups."""
    path = tmp_path / "es.parquet"
    writer = SealedWriter(path, EVENT_SCHEMA, EVENT_ENCODINGS)
    for start in range(0, 500, 100):
        writer.write(to_arrow(EVENTS[start : start + 100]))
    writer.close(event_metadata(TABLE, ORIGIN))
    return path


def opened(path: Path, **options: Any) -> Tape | Table:
    return open_file(path, read_head(path), ReadOptions(**options))


def tape(path: Path, **options: Any) -> Tape:
    source = opened(path, **options)
    assert isinstance(source, Tape)
    return source


def flip(path: Path, group: int) -> None:
    """Change a byte in the middle of a row group."""
    with SealedFile(path) as file:
        at = file.row_groups[group].end_byte - 100
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(data)


def test_a_sealed_file_gives_the_events_bit_for_bit_and_again(sealed: Path) -> None:
    source = tape(sealed)
    assert source.events().tobytes() == EVENTS.tobytes()
    assert source.events().tobytes() == EVENTS.tobytes()
    assert dict(source.instruments) == dict(TABLE)
    assert source.origin.schema == "mbo"
    assert source.origin.details["origin"]["name"] == "es.dbn"
    assert source.notes == {}
    assert source.progress.done_bytes == source.progress.total_bytes == sealed.stat().st_size


@pytest.mark.parametrize("events_max", [1, 7, 100, 1 << 16])
def test_the_block_size_changes_nothing(sealed: Path, events_max: int) -> None:
    blocks = list(tape(sealed).blocks(events_max))
    assert all(0 < b.size <= events_max for b in blocks)
    assert np.concatenate(blocks).tobytes() == EVENTS.tobytes()


def test_what_polars_saves_is_read_and_said_to_be_unsealed(tmp_path: Path) -> None:
    pl.DataFrame(to_arrow(EVENTS)).write_parquet(tmp_path / "x.parquet")
    source = tape(tmp_path / "x.parquet", symbol="ESH4", venue="CME")
    assert source.events().tobytes() == EVENTS.tobytes()
    assert source.notes == {"not_sealed": 1}
    assert {i: x.symbol for i, x in source.instruments.items()} == {1: "ESH4", 2: "ESH4"}


def test_a_damaged_row_group_is_left_out_told_and_marked_as_a_gap(sealed: Path) -> None:
    flip(sealed, 2)
    source = tape(sealed)
    events = source.events()
    assert events[:200].tobytes() == EVENTS[:200].tobytes()
    assert events["flags"][200] == EVENTS["flags"][300] | Flag.GAP
    assert events[201:].tobytes() == EVENTS[301:].tobytes()
    assert source.quarantine.counts == {"damaged row group": 1}
    assert "row group 2, bytes" in source.quarantine.records[0].where
    assert source.notes == {"rows_lost": 100}
    with pytest.raises(MalformedRecord, match="damaged row group"):
        tape(sealed, strict=True).events()


def test_a_truncated_file_and_a_damaged_footer_are_refused_with_a_way_out(sealed: Path) -> None:
    data = sealed.read_bytes()
    for length in (5, 11, 100, len(data) // 2, len(data) - 1):
        sealed.write_bytes(data[:length])
        with pytest.raises(TruncatedFile, match=r"not a whole Parquet file.*fetch or make the file again"):
            opened(sealed)
    damaged = bytearray(data)
    damaged[-200] ^= 1
    sealed.write_bytes(damaged)
    with pytest.raises(ReaderError, match="the footer is damaged"):
        opened(sealed)


@pytest.mark.slow
def test_no_flip_of_a_bit_passes_unnoticed_or_as_a_foreign_exception(sealed: Path) -> None:
    data = sealed.read_bytes()
    rng = np.random.default_rng(6)
    told = 0
    for at in rng.choice(len(data), 400, replace=False):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        sealed.write_bytes(damaged)
        try:
            source = opened(sealed)
        except (ReaderError, SchemaMismatch):
            told += 1
            continue
        assert isinstance(source, Tape)
        source.events()
        told += source.quarantine.total > 0
    assert told == 400


@pytest.mark.slow
def test_flips_in_an_unsealed_file_raise_only_errors_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_batches([to_arrow(EVENTS)]), path)
    data = path.read_bytes()
    rng = np.random.default_rng(8)
    for at in rng.choice(len(data), 400, replace=False):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        try:
            source = opened(path)
            assert source.origin.details["sealed"] is False
            events: Events | pa.Table = source.events() if isinstance(source, Tape) else source.table()
            assert events is not None
        except (ReaderError, SchemaMismatch):
            pass


def test_rows_that_tapebook_exported_are_a_table(tmp_path: Path) -> None:
    rows = pa.record_batch({"ts_event_ns": pa.array([1, 2]), "open": pa.array([1.5, None])})
    writer = SealedWriter(tmp_path / "bars.parquet", rows.schema)
    writer.write(rows)
    writer.close({ORIGIN_KEY: b'{"name":"bars.csv","format":"x","schema":"bars 1m"}'})
    source = opened(tmp_path / "bars.parquet")
    assert isinstance(source, Table)
    assert source.origin.schema == "bars 1m"
    assert source.table().to_pylist() == rows.to_pylist()


def test_another_layout_of_events_says_which_and_what_to_do(tmp_path: Path) -> None:
    batch = to_arrow(EVENTS).replace_schema_metadata({VERSION_KEY: b"9"})
    pq.write_table(pa.Table.from_batches([batch]), tmp_path / "x.parquet")
    with pytest.raises(
        SchemaMismatch, match=r"expected version 1, found version 9 \(.*x.parquet\); read it with the newer"
    ):
        opened(tmp_path / "x.parquet")


def test_parquet_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"price": [1.5], "ts_event_ns": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UnsupportedSchema, match=r"this Parquet holds no events.*without channel, count"):
        opened(tmp_path / "x.parquet")
    wrong = to_arrow(EVENTS).set_column(2, "price", pa.array(EVENTS["price"] / 1e9))
    pq.write_table(pa.Table.from_batches([wrong]), tmp_path / "y.parquet")
    with pytest.raises(UnsupportedSchema, match="columns of other types"):
        opened(tmp_path / "y.parquet")


def test_parquet_inside_gzip_is_refused_with_a_way_out(sealed: Path) -> None:
    packed = sealed.with_suffix(".parquet.gz")
    packed.write_bytes(gzip.compress(sealed.read_bytes()))
    with pytest.raises(UnsupportedSchema, match="decompress it first"):
        opened(packed)


def test_the_magic_bytes_decide_and_not_the_name(sealed: Path, tmp_path: Path) -> None:
    other = sealed.rename(tmp_path / "es.dat")
    assert sniff(read_head(other)) == 100
    (tmp_path / "x.parquet").write_text("time,price\n")
    assert sniff(read_head(tmp_path / "x.parquet")) == 0
    assert FORMAT.name == "tapebook-parquet"
