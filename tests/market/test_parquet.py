from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.market.errors import StoreCorrupted
from tapebook.market.parquet import SealedFile, SealedWriter, write_whole

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string())])


def batch(n: int, start: int = 0) -> pa.RecordBatch:
    return pa.record_batch([pa.array(np.arange(start, start + n)), pa.array([f"w{i % 3}" for i in range(n)])], SCHEMA)


def write(path: Path, sizes: list[int]) -> str:
    writer = SealedWriter(path, SCHEMA, {"a": "DELTA_BINARY_PACKED"})
    for i, n in enumerate(sizes):
        writer.write(batch(n, 1000 * i), (i, i + 1) if n else None)
    return writer.close({b"who": b"me"})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 50), max_size=5))
def test_the_checksums_cover_the_file_end_to_end_from_its_first_byte(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "x.parquet"
    seal = write(path, sizes)
    data = path.read_bytes()
    written = [batch(n, 1000 * i) for i, n in enumerate(sizes) if n]  # an empty batch makes no row group
    with SealedFile(path) as file:
        start = 0
        for i, (group, rows) in enumerate(zip(file.row_groups, written, strict=True)):
            assert group.crc32 == zlib.crc32(data[start : group.end_byte])
            start = group.end_byte
            assert file.read(i).to_pylist() == rows.to_pylist()
        tail = data[start:] if written else data[4:]
        assert file.seal == seal == f"{zlib.crc32(tail.replace(seal.encode(), b'00000000')):08x}"
        assert file.metadata[b"who"] == b"me"
        assert file.rows == sum(sizes)
    assert pq.read_table(path).num_rows == sum(sizes)  # anybody's Parquet


def test_only_the_columns_asked_for_are_decoded(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [10])
    with SealedFile(tmp_path / "x.parquet") as file:
        assert file.read(0, ["b"]).column_names == ["b"]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    seals = {write(tmp_path / f"{i}.parquet", [30, 20]) for i in range(3)}
    assert len(seals) == 1
    assert len({(tmp_path / f"{i}.parquet").read_bytes() for i in range(3)}) == 1


def test_a_file_of_another_program_has_no_seal(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_batches([batch(10)]), tmp_path / "x.parquet")
    with SealedFile(tmp_path / "x.parquet") as file:
        assert not file.sealed
        assert file.read(0).num_rows == 10


def test_words_of_the_user_that_look_like_a_seal_are_not_taken_for_one(tmp_path: Path) -> None:
    writer = SealedWriter(tmp_path / "x.parquet", SCHEMA)
    writer.write(batch(3))
    seal = writer.close({b"name": b"\x18\x0dtapebook.seal\x18\x0812345678", b"z": b"tapebook.seal"})
    with SealedFile(tmp_path / "x.parquet") as file:
        assert file.seal == seal
        assert file.read(0).num_rows == 3


@pytest.mark.parametrize("size", [0, 1, 8, 11, 12, 40])
def test_what_is_no_parquet_is_damaged_and_not_a_crash(tmp_path: Path, size: int) -> None:
    (tmp_path / "x.parquet").write_bytes(np.random.default_rng(size).bytes(size))
    with pytest.raises(StoreCorrupted, match="not a whole Parquet file"):
        SealedFile(tmp_path / "x.parquet")


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    with write_whole(path) as beside:
        beside.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def fail_half_way(path: Path) -> None:
    with write_whole(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("new")
    with pytest.raises(ZeroDivisionError):
        fail_half_way(path)
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]
