"""The follower alone: it begins where it must, keeps its memory, and gives up on nothing that may pass."""

from __future__ import annotations

import io
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from tapebook.capture import follow
from tapebook.capture.follower import Follower
from tapebook.capture.reports import Report
from tapebook.capture.settings import (
    CHECKPOINTS,
    JOURNAL,
    FollowerSettings,
    SessionFile,
    load_session,
    save_session,
    session_folders,
    without_password,
)
from tapebook.market.errors import ConfigurationError, StoreError
from tapebook.store.journal import Journal
from tapebook.store.journal_format import Frame
from tests.capture.read_session import watermark_of
from tests.capture.some_frames import SOURCES, frames_of
from tests.capture.witness import assert_complete


def made(folder: Path, frames: list[Frame]) -> FollowerSettings:
    """Make a session whose journal holds frames (numbered without holes), and nothing is in the database."""
    (folder / JOURNAL).mkdir(parents=True, exist_ok=True)
    url = str(folder / "capture.db")
    save_session(folder, SessionFile(name="s", sources=SOURCES, database=url, keep_raw=False, started_ns=1))
    more(folder, frames)
    return FollowerSettings(
        folder=str(folder), database=url, batch_rows=200, checkpoint_batches=1, checkpoint_s=0.0, drain_s=0.1
    )


def more(folder: Path, frames: list[Frame]) -> None:
    with Journal(folder / JOURNAL, identity="s") as journal:
        journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames)


def test_it_brings_an_empty_database_to_the_journal_and_again_does_nothing(tmp_path: Path) -> None:
    settings = made(tmp_path, frames_of(1500))
    told: list[Report] = []
    assert Follower(settings, tell=told.append).run().state == "done"
    events = assert_complete(tmp_path)
    assert told[-1].events == events.size
    assert told[-1].rows.gaps > 0
    again = Follower(settings).run()
    assert (again.frames, again.batches) == (0, 0)
    assert_complete(tmp_path)


@pytest.mark.parametrize("keep", [True, False])
def test_it_goes_on_from_its_checkpoint_or_from_the_begin_with_the_same_rows(keep: bool, tmp_path: Path) -> None:
    frames = frames_of(2500)
    settings = made(tmp_path, frames[:700])
    Follower(settings).run()
    for at in (1100, 1101, 1600):
        if not keep:
            shutil.rmtree(tmp_path / CHECKPOINTS)
        more(tmp_path, frames[700:at] if at == 1100 else frames[1100:at] if at == 1101 else frames[1101:])
        Follower(settings).run()
        assert_complete(tmp_path)


def test_a_database_that_was_put_back_is_filled_again(tmp_path: Path) -> None:
    frames = frames_of(2000)
    settings = made(tmp_path, frames[:500])
    Follower(settings).run()
    with sqlite3.connect(settings.database) as base:
        base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()
    shutil.copy(settings.database, tmp_path / "backup.db")
    more(tmp_path, frames[500:1200])
    Follower(settings).run()
    for name in ("capture.db", "capture.db-wal", "capture.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", settings.database)
    more(tmp_path, frames[1200:])
    Follower(settings).run()
    assert_complete(tmp_path)


def test_a_database_that_goes_back_while_it_is_followed_is_told(tmp_path: Path) -> None:
    settings = made(tmp_path, frames_of(600))
    follower = Follower(settings)
    follower.run()
    assert follower._decoder is not None
    follower._decoder.skip_to(follower._decoder.last_sequence + 5)
    follower._base = None
    with sqlite3.connect(settings.database) as base:
        base.execute("UPDATE watermark SET sequence = 7")
    base.close()
    with pytest.raises(StoreError, match="went back"):
        follower._flush(follower._decoder)


def test_another_database_is_filled_from_the_begin(tmp_path: Path) -> None:
    settings = made(tmp_path, frames_of(800))
    Follower(settings).run()
    other = msgspec.structs.replace(settings, database=str(tmp_path / "other.db"))
    Follower(other).run()
    assert_complete(tmp_path, other.database)


def test_as_a_process_it_is_told_over_a_pipe_and_answers_in_lines(tmp_path: Path) -> None:
    settings = made(tmp_path, frames_of(300))
    out = io.BytesIO()
    assert follow.main(io.BytesIO(msgspec.json.encode(settings) + b"\nend\n"), out) == 0
    reports = [msgspec.json.decode(line, type=Report) for line in out.getvalue().splitlines()]
    assert reports[0].state == "following"
    assert reports[-1].state == "done"
    assert reports[-1].watermark == watermark_of(settings.database, "s")
    base = sqlite3.connect(settings.database)
    assert base.execute("SELECT state FROM sessions").fetchone() == ("ended",)
    base.close()
    more(tmp_path, frames_of(10))
    assert follow.main(io.BytesIO(msgspec.json.encode(settings) + b"\n"), io.BytesIO()) == 0  # the pipe just closed
    base = sqlite3.connect(settings.database)
    assert base.execute("SELECT state FROM sessions").fetchone() == ("killed",)
    base.close()


def test_what_will_not_pass_is_a_report_and_an_exit_code(tmp_path: Path) -> None:
    settings = made(tmp_path, [])
    wrong = msgspec.structs.replace(settings, database="nothing://somewhere")
    out = io.BytesIO()
    assert follow.main(io.BytesIO(msgspec.json.encode(wrong) + b"\nend\n"), out) == 1
    report = msgspec.json.decode(out.getvalue(), type=Report)
    assert report.state == "failed"
    assert "no such kind of database" in report.error


@pytest.mark.slow
def test_a_database_that_stays_away_at_the_end_is_given_up_after_a_while(tmp_path: Path) -> None:
    settings = made(tmp_path, frames_of(300))
    Follower(settings).run()
    more(tmp_path, frames_of(50))
    holder = sqlite3.connect(settings.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    told: list[Report] = []
    last = Follower(settings, tell=told.append).run()
    assert told[-1].state == "incomplete"
    assert "locked" in told[-1].error
    assert last.state == "incomplete"
    holder.close()
    Follower(settings).run()
    assert_complete(tmp_path)


def test_a_session_is_told_by_its_file(tmp_path: Path) -> None:
    made(tmp_path / "a", [])
    assert load_session(tmp_path / "a").venue == "projectx"
    assert session_folders(tmp_path) == [tmp_path / "a"]
    with pytest.raises(StoreError, match="no captured session"):
        load_session(tmp_path / "b")
    (tmp_path / "a" / "session.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        load_session(tmp_path / "a")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pa%3Ass@host:5432/x?sslmode=require", "postgresql://me@host:5432/x?sslmode=require"),
        ("postgresql://me@host/x", "postgresql://me@host/x"),
        ("folder/capture.db", "folder/capture.db"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"batch_rows": 0}, {"batch_timeout_s": 0.0}, {"memory_mb": -1.0}, {"checkpoint_batches": 0}):
        with pytest.raises(ConfigurationError):
            FollowerSettings(**({"folder": "x", "database": "y"} | wrong))
