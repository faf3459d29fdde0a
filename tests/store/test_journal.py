from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import struct
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError, MalformedRecord, SchemaMismatch, StoreError
from tapebook.market.quarantine import Quarantine
from tapebook.store import journal_files
from tapebook.store.journal import Journal, JournalError, JournalFull, JournalLocked, JournalSettings
from tapebook.store.journal_format import PAGE_BYTES, Codec, Frame, find_record, read_records, record
from tapebook.store.journal_read import JournalReader
from tests.conftest import ROOT
from tests.oracles import journal as oracle

T0 = 1_700_000_000 * 10**9
SMALL = JournalSettings(segment_bytes=16_384, block_bytes=1_000, background=False)


def payload(n: int) -> bytes:
    return (b"%d " % n) * (n * 7 % 23)


def raw(first: int, last: int) -> list[tuple[int, int, int, bytes]]:
    return [(T0 + n, n % 3, 1 + n % 7, payload(n)) for n in range(first, last + 1)]


def frames(first: int, last: int) -> list[Frame]:
    return [Frame(n, T0 + n, n % 3, 1 + n % 7, payload(n)) for n in range(first, last + 1)]


def left_open(folder: Path, last: int, settings: JournalSettings = SMALL) -> Path:
    """Return the segment that a killed process would leave behind it."""
    journal = Journal(folder, settings=settings)
    journal.append(raw(1, last))
    path = journal._opened[-1].path
    journal._lock.close()
    return path


def reopened(folder: Path, **words: Any) -> tuple[Journal, Quarantine]:
    quarantine = Quarantine()
    return Journal(folder, settings=SMALL, quarantine=quarantine, **words), quarantine


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
        with pytest.raises(MalformedRecord) if changed else nullcontext():
            with JournalReader(folder, quarantine=Quarantine(strict=True)) as strict:
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


def fill(journal: Journal) -> int:
    """Append until there is no room; return the last frame that is in."""
    sequence = journal.last_sequence
    with pytest.raises(JournalFull, match=r"the journal is full: expected room for 65536 bytes.*free disk space") as e:
        while sequence < 1_000_000:
            sequence = journal.append([(T0, 0, 1, os.urandom(500))])
    assert e.value.last_sequence == sequence == journal.last_sequence
    return sequence


def check_full(folder: Path, n: int) -> None:
    reader = JournalReader(folder)
    assert [f.sequence for f in reader] == list(range(1, n + 1))
    assert reader.statistics().bad_records == {}


FULL = JournalSettings(segment_bytes=65_536)


@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs is Linux's")
def test_a_full_disk_is_told_beforehand_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a file system of its own can be mounted by root only")
    try:
        journal = Journal(folder, settings=FULL)
        n = fill(journal)
        assert not journal.statistics().room
        with pytest.raises(JournalFull):
            journal.append([(T0, 0, 1, bytes(500))])
        check_full(folder, n)
        subprocess.run(["mount", "-o", "remount,size=4m", str(folder)], check=True)
        assert journal.append([(T0, 0, 1, bytes(500))]) == n + 1
        assert journal.statistics().room
        journal.close()
        check_full(folder, n + 1)
        subprocess.run(["mount", "-o", "remount,size=1m", str(folder)], check=False)
        (folder / "ballast").write_bytes(bytes(max(shutil.disk_usage(folder).free, 0)))
        with pytest.raises(JournalFull):
            Journal(folder, settings=FULL)
        check_full(folder, n + 1)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_limit_on_file_sizes_is_told_as_a_full_disk(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from tests.store.test_journal import *\n"
        "journal = Journal(Path(sys.argv[1]), settings=FULL)\n"
        "journal.append([(T0, 0, 1, b'x' * 500)] * 10)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "n = fill(journal)\n"
        "journal.close()\n"
        "check_full(Path(sys.argv[1]), n); print(n)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 100
    check_full(tmp_path, int(done.stdout))


def test_a_segment_that_cannot_be_sealed_stays_and_is_sealed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_files, "seal", refuse)
        with Journal(tmp_path, settings=SMALL) as journal:
            journal.append(raw(1, 1000))
            assert list(JournalReader(tmp_path)) == frames(1, 1000)
        told = journal.statistics()
        assert told.seals_failed == told.segments_full > 2
        assert "No space left" in told.failure
    assert list(JournalReader(tmp_path)) == frames(1, 1000)
    assert list(JournalReader(tmp_path, start=500)) == frames(500, 1000)
    Journal(tmp_path, settings=SMALL).close()
    assert not list(tmp_path.glob("*.open"))
    assert list(JournalReader(tmp_path)) == frames(1, 1000)
