"""Killed at any moment, receiver, follower or both: afterwards the database holds what the journal does, exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tapebook.capture.recover import recover_session
from tapebook.capture.settings import load_session, save_session
from tests.capture.read_session import watermark_of
from tests.capture.witness import assert_complete, journalled
from tests.store.capture_servers import postgres

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
KILLS = [pytest.param(20, 1), pytest.param(200, 2, marks=pytest.mark.slow)]


def sqlite_url(folder: Path) -> str:
    return str(folder / "capture.db")


def postgres_url(_: Path) -> str:
    return postgres().new_database()


@pytest.mark.parametrize(("kills", "seed"), KILLS)
@pytest.mark.parametrize("url_for", [sqlite_url, postgres_url])
def test_after_kills_nothing_is_missing_and_nothing_is_there_twice(
    kills: int, seed: int, url_for: Callable[[Path], str], tmp_path: Path
) -> None:
    folder, url = tmp_path / "s", url_for(tmp_path)
    command = [sys.executable, "-m", "tests.capture.crash_child", str(folder), url, str(kills), str(seed)]
    told = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=600)
    assert told.returncode == 0, told.stderr[-3000:]
    assert not told.stderr, told.stderr[-3000:]
    assert int(told.stdout.split()[-1]) >= kills
    before = watermark_of(url, "s")
    assert before > 5 * kills  # it followed, between the kills
    save_session(folder, msgspec.structs.replace(load_session(folder), database=url))
    done = recover_session(folder, database=url)
    assert done.state == "killed"
    events = assert_complete(folder, url)
    frames = journalled(folder)
    assert len(frames) > 20 * kills
    assert events.size > len(frames)
    assert recover_session(folder, database=url).rows == 0
