"""Damaged lakes: verify finds every change of any byte, and reading never believes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tapebook.market.arrow import from_arrow
from tapebook.market.errors import ReaderError, SchemaMismatch, StoreCorrupted, StoreError, TickDataError
from tapebook.market.events import Events
from tapebook.market.parquet import SealedFile
from tapebook.store import Lake, partitions
from tests.store.some_tapes import tape_of, trades


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of one file with five row groups."""
    monkeypatch.setattr(partitions, "ROW_GROUP_EVENTS", 64)
    made = Lake(tmp_path / "lake")
    made.ingest(tape_of(EVENTS))
    return made


EVENTS = trades(300)


def errors(lake: Lake) -> list[str]:
    return [f.path for f in lake.verify() if f.severity == "error"]


def read_all(lake: Lake) -> list[Callable[[], Events]]:
    return [lambda: lake.tape().events(), lambda: from_arrow(lake.arrow())]


def check_told(lake: Lake, path: Path, what: str) -> None:
    """Verify names the file, and reading raises one of ours."""
    assert errors(lake) == [path.relative_to(lake.path).as_posix()], what
    for read in read_all(lake):
        with pytest.raises((StoreError, ReaderError)):
            read()


def test_every_truncation_is_found(lake: Lake) -> None:
    [path] = lake.paths()
    data = path.read_bytes()
    lengths = {0, 1, 3, 4, 11, 12, len(data) - 1, len(data) - 4, len(data) - 8, *range(0, len(data), 977)}
    for length in sorted(lengths):
        path.write_bytes(data[:length])
        check_told(lake, path, f"truncated to {length}")
    path.write_bytes(data)
    assert errors(lake) == []


@pytest.mark.slow
def test_a_flip_of_any_bit_anywhere_in_a_data_file_is_found(lake: Lake) -> None:
    [path] = lake.paths()
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    for at in range(len(data)):
        if rng.random() < 0.9 and 100 < at < len(data) - 4_000:  # every byte of the footer, one of ten of the rest
            continue
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        with pytest.raises(StoreCorrupted):
            lake.tape().events()
        assert errors(lake) != [], f"flip at {at}"
    path.write_bytes(data)
    assert lake.tape().events().tobytes() == EVENTS.tobytes()


def test_flips_of_many_bytes_zeroed_stretches_and_swapped_pieces_are_found(lake: Lake) -> None:
    [path] = lake.paths()
    data = path.read_bytes()
    rng = np.random.default_rng(2)
    for i in range(150):
        damaged = bytearray(data)
        start = int(rng.integers(0, len(data) - 64))
        if i % 3 == 0:
            damaged[start : start + 64] = bytes(64)
        elif i % 3 == 1:
            damaged[start : start + 32], damaged[start + 32 : start + 64] = (
                data[start + 32 : start + 64],
                data[start : start + 32],
            )
        else:
            for at in rng.integers(0, len(data), 8):
                damaged[at] = int(rng.integers(0, 256))
        if damaged == data:
            continue
        path.write_bytes(damaged)
        check_told(lake, path, f"case {i}")


def test_a_flip_in_a_row_group_that_is_not_read_does_no_harm(lake: Lake) -> None:
    [path] = lake.paths()
    with SealedFile(path) as file:
        groups = list(file.row_groups)
    data = bytearray(path.read_bytes())
    data[groups[3].end_byte + 5] ^= 1  # in the last row group
    path.write_bytes(data)
    assert groups[0].clock_ns is not None
    end = groups[0].clock_ns[1] + 1
    assert lake.tape(end=end).events().tobytes() == EVENTS[:64].tobytes()
    with pytest.raises(StoreCorrupted, match=r"row group 4, bytes \d+-\d+\); restore the file"):
        lake.tape().events()


def test_another_whole_file_in_the_place_of_one_is_found(lake: Lake, tmp_path: Path) -> None:
    other = Lake(tmp_path / "other")
    other.ingest(tape_of(trades(300, step_ns=2)))
    [path], [wrong] = lake.paths(), other.paths()
    path.write_bytes(wrong.read_bytes())
    check_told(lake, path, "another file")
    pq.write_table(other.arrow(), path)
    check_told(lake, path, "an unsealed file")


def test_a_missing_file_is_found(lake: Lake) -> None:
    [path] = lake.paths()
    path.unlink()
    check_told(lake, path, "gone")


def test_any_change_of_a_manifest_is_found(lake: Lake) -> None:
    [path] = (lake.path / "_tapebook" / "sources").glob("*.json")
    data = path.read_bytes()
    rng = np.random.default_rng(3)
    for at in range(0, len(data) - 1, 7):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(damaged)
        assert errors(lake) == [path.relative_to(lake.path).as_posix()], f"flip at {at}"
        with pytest.raises((StoreCorrupted, SchemaMismatch)):
            lake.tape()


def test_importing_again_repairs_data_and_manifests(lake: Lake) -> None:
    [data] = lake.paths()
    [manifest] = (lake.path / "_tapebook" / "sources").glob("*.json")
    for path in (data, manifest):
        path.write_bytes(path.read_bytes()[:50])
        assert len(errors(lake)) >= 1
        lake.ingest(tape_of(EVENTS))
        assert list(lake.verify()) == []
        assert lake.tape().events().tobytes() == EVENTS.tobytes()


def test_a_file_of_another_layout_is_a_schema_mismatch_with_a_way_out(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tapebook.market.arrow.EVENT_SCHEMA_VERSION", 2)
    with pytest.raises(
        SchemaMismatch, match=r"expected version 2, found version 1 .*import the original recording again"
    ):
        lake.tape().events()


def test_damage_is_never_a_foreign_exception(lake: Lake) -> None:
    [path] = lake.paths()
    rng = np.random.default_rng(4)
    for size in (0, 7, 12, 100, 5000):
        path.write_bytes(b"PAR1" + rng.bytes(size) + b"PAR1")
        with pytest.raises(TickDataError):
            lake.tape().events()
