from __future__ import annotations

import os
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.errors import MalformedRecord
from tapebook.market.quarantine import Quarantine
from tapebook.store.journal import Journal
from tapebook.store.journal_format import PAGE_BYTES, record
from tapebook.store.journal_read import JournalReader
from tests.oracles import journal as oracle
from tests.store.some_journals import SMALL, frames, left_open, raw, reopened


def test_a_record_torn_at_any_byte_is_cut_and_every_whole_one_before_it_stays(tmp_path: Path) -> None:
    path = left_open(tmp_path / "whole", 12)
    whole = path.read_bytes()
    places = [PAGE_BYTES]
    for n in range(1, 13):
        places.append(places[-1] + len(record(frames(n, n)[0])))
    for cut in range(places[9], places[12]):
        folder = tmp_path / "cut"
        folder.mkdir()
        torn = whole[:cut] + bytes(len(whole) - cut)
        (folder / path.name).write_bytes(torn)
        n_whole = len(oracle.records(torn[PAGE_BYTES:]))
        assert n_whole >= 9
        reader = JournalReader(folder)
        assert list(reader) == frames(1, n_whole)
        journal, quarantine = reopened(folder)
        told = journal._cut_bytes
        # Whatever else than zeros stood behind the last whole record was told and cut, to the byte.
        rest = torn[places[n_whole] :].rstrip(b"\0")
        assert told == len(rest)
        assert [r.raw for r in quarantine.records] == ([rest] if rest else [])
        assert bool(quarantine.truncated) == bool(rest)
        with journal:
            assert journal.append(raw(n_whole + 1, n_whole + 3)) == n_whole + 3
        after = JournalReader(folder)
        assert list(after) == frames(1, n_whole + 3)
        assert after.statistics().bad_records == {}
        shutil.rmtree(folder)


@pytest.mark.parametrize("how", ["open", "sealed after the kill", "sealed, then damaged"])
def test_damage_in_the_middle_is_quarantined_and_reading_goes_on(tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(7)
    for trial in range(40):
        folder = tmp_path / str(trial)
        path = left_open(folder, 120)
        if how == "sealed, then damaged":
            Journal(folder, settings=SMALL).close()
            (path,) = folder.glob("*.sealed")
        data = bytearray(path.read_bytes())
        used = len(data.rstrip(b"\0")) - 400
        place = int(rng.integers(PAGE_BYTES, used))
        size = int(rng.integers(1, 60))
        data[place : place + size] = rng.bytes(size) if trial % 2 else bytes(size)
        changed = bytes(data) != path.read_bytes()
        path.write_bytes(data)
        if how == "sealed after the kill":
            Journal(folder, settings=SMALL).close()
            assert not list(folder.glob("*.open"))
        reader = JournalReader(folder)
        found = list(reader)
        told = reader.statistics()
        assert set(found) <= set(frames(1, 120)), "a frame that was never written"
        assert [f.sequence for f in found] == sorted({f.sequence for f in found})
        assert told.missing_frames == 120 - len(found)
        assert bool(told.bad_records) == changed
        # A block costs its records; elsewhere damage costs the records that it touches.
        assert told.missing_frames <= (64 if how == "sealed, then damaged" else 12)
        refused = pytest.raises(MalformedRecord) if changed else nullcontext()
        with JournalReader(folder, quarantine=Quarantine(strict=True)) as strict, refused:
            list(strict)


def test_a_damaged_header_page_costs_no_frame(tmp_path: Path) -> None:
    path = left_open(tmp_path, 50)
    for again in range(2):
        data = bytearray(path.read_bytes())
        data[:200] = os.urandom(200)
        path.write_bytes(data)
        if again == 0:
            journal, quarantine = reopened(tmp_path)
            journal.close()
            assert quarantine.counts == {"damaged segment header": 1}
            (path,) = tmp_path.glob("*.sealed")
    reader = JournalReader(tmp_path)
    assert list(reader) == frames(1, 50)
    assert reader.statistics().bad_records == {"damaged segment header": 1}


def test_a_sealed_segment_cut_short_is_told_with_what_is_missing(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=SMALL) as journal:
        journal.append(raw(1, 150))
    (path,) = tmp_path.glob("*.sealed")
    whole = path.read_bytes()
    for size in range(PAGE_BYTES, len(whole), 97):
        path.write_bytes(whole[:size])
        reader = JournalReader(tmp_path)
        found = list(reader)
        assert found == frames(1, len(found))
        assert reader.statistics().missing_frames == 150 - len(found) > 0


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=SMALL) as journal:
        journal.append(raw(1, 1000))
    second = sorted(tmp_path.glob("*.sealed"))[1]
    first, last = map(int, second.stem.split("-"))
    second.unlink()
    reader = JournalReader(tmp_path)
    assert list(reader) == [*frames(1, first - 1), *frames(last + 1, 1000)]
    assert reader.statistics().missing_frames == last + 1 - first


def test_a_kill_between_sealing_and_removing_is_tidied(tmp_path: Path) -> None:
    path = left_open(tmp_path, 20)
    data = path.read_bytes()
    Journal(tmp_path, settings=SMALL).close()
    path.write_bytes(data)
    assert list(JournalReader(tmp_path)) == frames(1, 20)
    (tmp_path / ".half.123.part").write_bytes(b"half")
    (tmp_path / "reserve").write_bytes(b"room")
    journal, quarantine = reopened(tmp_path)
    with journal:
        assert journal.append(raw(21, 21)) == 21
    assert quarantine.total == 0
    assert not list(tmp_path.glob("*.open"))
    assert not list(tmp_path.glob(".*.part"))
    assert list(JournalReader(tmp_path)) == frames(1, 21)
