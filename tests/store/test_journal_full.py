from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tapebook.store import journal_files
from tapebook.store.journal import Journal, JournalFull, JournalSettings
from tapebook.store.journal_read import JournalReader
from tests.conftest import ROOT
from tests.store.some_journals import SMALL, T0, frames, raw

FULL = JournalSettings(segment_bytes=65_536)


def fill(journal: Journal) -> int:
    """Append until there is no room; return the last frame that is in."""
    sequence = journal.last_sequence
    full = None
    while full is None:
        try:
            sequence = journal.append([(T0, 0, 1, os.urandom(500))])
        except JournalFull as error:
            full = error
    assert re.search("the journal is full: expected room for 65536 bytes.*free disk space", str(full))
    assert full.last_sequence == sequence == journal.last_sequence
    return sequence


def check_full(folder: Path, n: int) -> None:
    reader = JournalReader(folder)
    assert [f.sequence for f in reader] == list(range(1, n + 1))
    assert reader.statistics().bad_records == {}


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
        "from tests.store.test_journal_full import *\n"
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
