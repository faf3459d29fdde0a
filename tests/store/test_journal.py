from __future__ import annotations

import dataclasses
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError, SchemaMismatch, StoreError
from tapebook.store import journal_files
from tapebook.store.journal import Journal, JournalError, JournalLocked, JournalSettings
from tapebook.store.journal_format import Codec, Frame, find_record, read_records, record
from tapebook.store.journal_read import JournalReader
from tests.oracles import journal as oracle
from tests.store.some_journals import SMALL, frames, left_open, payload, raw


@pytest.mark.parametrize("codec", ["zstd", "lz4", "none"])
@pytest.mark.parametrize("background", [True, False])
def test_frames_come_back_across_segments_as_they_were(tmp_path: Path, codec: Codec, background: bool) -> None:
    settings = dataclasses.replace(SMALL, codec=codec, background=background)
    with Journal(tmp_path, settings=settings) as journal:
        assert journal.append([]) == 0
        assert journal.append(raw(1, 1)) == 1
        assert journal.append(raw(2, 1500)) == 1500
        while_written = list(JournalReader(tmp_path))
    assert while_written == frames(1, 1500)
    assert list(JournalReader(tmp_path)) == frames(1, 1500)
    assert oracle.read(tmp_path) == [tuple(f) for f in frames(1, 1500)]
    assert len(list(tmp_path.glob("*.sealed"))) > 4
    assert {p.name for p in tmp_path.iterdir() if p.suffix != ".sealed"} == {"lock"}


@given(payloads=st.lists(st.binary(max_size=3000), max_size=40), cut=st.integers(0, 40), start=st.integers(0, 45))
def test_any_payloads_in_any_runs_are_read_from_any_frame(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], cut: int, start: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    given_ = [(-5 + i, i, 255, p) for i, p in enumerate(payloads)]
    settings = dataclasses.replace(SMALL, segment_bytes=8192)
    for part in (given_[:cut], given_[cut:]):
        with Journal(folder, settings=settings) as journal:
            journal.append(part)
    expected = [Frame(i + 1, *row) for i, row in enumerate(given_)]
    assert list(JournalReader(folder, start=start)) == [f for f in expected if f.sequence >= start]
    assert oracle.read(folder) == [tuple(f) for f in expected]
    shutil.rmtree(folder)


def test_a_segment_is_full_by_events_too(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=dataclasses.replace(SMALL, segment_events=10)) as journal:
        journal.append(raw(1, 35))
    assert len(list(tmp_path.glob("*.sealed"))) == 4
    assert list(JournalReader(tmp_path)) == frames(1, 35)


def test_a_frame_larger_than_a_segment_gets_one_of_its_own(tmp_path: Path) -> None:
    large = os.urandom(100_000)
    with Journal(tmp_path, settings=SMALL) as journal:
        journal.append([(1, 0, 1, b"a"), (2, 0, 1, large), (3, 0, 1, b"b")])
        assert [f.payload for f in JournalReader(tmp_path)] == [b"a", large, b"b"]
    assert [f.payload for f in JournalReader(tmp_path)] == [b"a", large, b"b"]


def test_numbering_goes_on_at_the_next_opening_and_behind_a_watermark(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=SMALL) as journal:
        journal.append(raw(1, 5))
    with Journal(tmp_path, settings=SMALL, after=3) as journal:
        assert journal.append(raw(6, 6)) == 6
    with Journal(tmp_path, settings=SMALL, after=9) as journal:  # a database knows more than the journal: power failed
        assert journal.append(raw(10, 10)) == 10
    reader = JournalReader(tmp_path)
    assert list(reader) == [*frames(1, 6), *frames(10, 10)]
    assert reader.statistics().missing_frames == 3
    assert reader.quarantine.records[0].found == "frame 10 (3 missing)"


@pytest.mark.parametrize("background", [True, False])
def test_a_reader_follows_the_writer_through_segments(tmp_path: Path, background: bool) -> None:
    rng = np.random.default_rng(3)
    seen: list[Frame] = []
    with Journal(tmp_path, settings=dataclasses.replace(SMALL, background=background)) as journal:
        reader = JournalReader(tmp_path)
        assert reader.read() == []
        last = 0
        while last < 3000:
            n = int(rng.integers(1, 200))
            journal.append(raw(last + 1, last + n))
            last += n
            while found := reader.read(int(rng.integers(1, 300))):
                seen += found
            assert len(seen) == last
    assert reader.read() == []
    assert seen == frames(1, last)
    assert reader.statistics().bad_records == {}


def test_a_reader_that_looks_while_a_record_is_written_waits_for_it(tmp_path: Path) -> None:
    path = left_open(tmp_path, 10)
    whole = path.read_bytes()
    reader = JournalReader(tmp_path)
    with path.open("r+b") as file:
        last = len(record(frames(10, 10)[0]))
        end = len(whole.rstrip(b"\0")) - last // 2
        file.seek(end)
        file.write(bytes(200))
        file.flush()
        assert reader.read() == frames(1, 9)
        assert reader.read() == []
        file.seek(end)
        file.write(whole[end : end + 200])
        file.flush()
        assert reader.read() == frames(10, 10)
    assert reader.statistics().bad_records == {}


def test_two_writers_and_another_sessions_journal_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path, identity="monday", settings=SMALL) as journal:
        journal.append(raw(1, 5))
        with pytest.raises(JournalLocked, match="stop the other capture"):
            Journal(tmp_path, identity="monday")
    with pytest.raises(JournalError, match=r"expected 'tuesday', found 'monday'.*a folder of its own"):
        Journal(tmp_path, identity="tuesday")
    with Journal(tmp_path, identity="monday", settings=SMALL) as journal:
        assert journal.last_sequence == 5
    assert journal_files.identity_of(tmp_path) == "monday"


def test_another_version_is_refused_and_not_read_as_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tapebook.store.journal.FORMAT_VERSION", 2)
        left_open(tmp_path, 5)
    with pytest.raises(SchemaMismatch, match="expected version 1, found version 2"):
        list(JournalReader(tmp_path))
    with pytest.raises(SchemaMismatch):
        Journal(tmp_path)


def test_the_record_layout_is_pinned() -> None:
    data = record(Frame(0x0102030405060708, 10**18, 513, 7, b"abcde"))
    assert data[4:] == bytes.fromhex("05000000 0807060504030201 000064a7b3b6e00d 0102 07 00 6162636465 000000")
    assert struct.unpack("<I", data[:4])[0] == 0x2FC79AF3 or read_records(data, 0, len(data), [], 1)[0] == len(data)
    assert find_record(b"\1\2\3\4" * 5 + data, 0, 20 + len(data), 0x0102030405060707) == 20
    assert find_record(b"\1\2\3\4" * 5 + data, 0, 20 + len(data), 0x0102030405060708) == -1


def test_a_frame_that_does_not_fit_is_refused_and_the_ones_before_it_stand(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=SMALL) as journal:
        with pytest.raises(JournalError, match=r"expected .*source below 65536.*found 9, 65536, 1"):
            journal.append([(8, 0, 1, b"a"), (9, 65536, 1, b"b"), (10, 0, 1, b"c")])
        assert journal.append([(11, 0, 1, b"d")]) == 2
    assert [f.payload for f in JournalReader(tmp_path)] == [b"a", b"d"]
    with pytest.raises(JournalError, match="closed"):
        journal.append(raw(1, 1))


def test_pruning_makes_a_ring_of_it(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=SMALL) as journal:
        journal.append(raw(1, 1000))
        assert journal.prune(0) == 0
        gone = journal.prune(700)
        assert gone > 1
        with JournalReader(tmp_path) as reader:
            first = next(iter(reader)).sequence
        assert 1 < first <= 701
        reader = JournalReader(tmp_path, start=1)
        assert list(reader) == frames(first, 1000)
        assert reader.statistics().missing_frames == first - 1


def test_sync_says_what_is_safe_and_statistics_say_what_was_done(tmp_path: Path) -> None:
    with Journal(tmp_path, settings=SMALL) as journal:
        journal.append(raw(1, 700))
        assert journal.statistics().synced_sequence == 0
        assert journal.sync() == 700
        journal.append(raw(701, 710))
        told = journal.statistics()
    assert (told.frames, told.last_sequence, told.synced_sequence) == (710, 710, 700)
    assert told.frame_bytes == sum(len(payload(n)) for n in range(1, 711))
    assert told.segments_full == told.segments_sealed > 1
    assert (told.seals_failed, told.failure, told.room) == (0, "", True)


def test_settings_and_folders_that_cannot_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="segment_bytes is too small: expected at least 8192, found 100"):
        JournalSettings(segment_bytes=100)
    with pytest.raises(ConfigurationError, match="zstd, lz4 or none"):
        JournalSettings(codec="gzip")  # type: ignore[arg-type] # as a configuration file might
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"cannot be written.*file"):
        Journal(tmp_path / "file")
    with pytest.raises(StoreError, match="this is no journal"):
        JournalReader(tmp_path / "nothing")
