from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.errors import StoreCorrupted, StoreError
from tapebook.market.parquet import write_whole
from tapebook.store import Lake, home
from tests.conftest import ROOT
from tests.store.some_tapes import editions, tape_of
from tests.store.test_imports import content

NEVER = 1_000_000


def run(folder: Path, steps: list[int]) -> str:
    """Import the newer edition into each lake, killed before the given step."""
    command = [sys.executable, str(ROOT / "tests" / "store" / "crash_child.py"), str(folder), *map(str, steps)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are POSIX")
@pytest.mark.parametrize("onto", ["an older edition", "nothing"])
def test_a_kill_before_any_step_leaves_the_old_lake_or_the_new_one_and_importing_again_completes_it(
    tmp_path: Path, onto: str
) -> None:
    older, newer = editions()
    start = Lake(tmp_path / "start")
    if onto == "nothing":
        start.path.mkdir()
        before, after = b"", newer.tobytes()
    else:
        start.ingest(tape_of(older))
        # By hand: what the older edition has alone, its first day, and then all of the newer one.
        before, after = older.tobytes(), np.concatenate([older[:5], newer]).tobytes()

    def fresh(step: int) -> Lake:
        shutil.copytree(start.path, tmp_path / str(step))
        return Lake(tmp_path / str(step))

    whole = fresh(NEVER)
    n_steps = int(run(tmp_path, [NEVER]).split()[-1])
    assert whole.tape().events().tobytes() == after
    goal = content(whole)
    # Every step of the commit, and some of those that write the files before it.
    rng = np.random.default_rng(0)
    steps = sorted({*rng.choice(n_steps - 60, 12, replace=False).tolist(), *range(n_steps - 60, n_steps + 1)} - {0})
    for step in steps:
        fresh(step)
    run(tmp_path, steps)
    seen = set()
    for step in steps:
        lake = Lake(tmp_path / str(step))
        try:
            found = lake.tape().events().tobytes()
            assert [f for f in lake.verify() if f.severity != "note"] == [], f"killed before step {step}"
        except StoreCorrupted:
            raise
        except StoreError:  # no lake yet, or none with events
            found = b""
        assert found in (before, after), f"killed before step {step}: half an import is visible"
        seen.add(found == after)
        lake.ingest(tape_of(newer))
        assert list(lake.verify()) == [], f"killed before step {step}"
        assert content(lake) == goal, f"killed before step {step}"
    assert seen == {True, False}, "no step was before the commit, or none after it"


@pytest.mark.skipif(sys.platform == "win32", reason="locks are POSIX")
def test_a_lake_is_made_under_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another import that comes first would take the half-written mark for a killed one's and remove it."""
    import fcntl

    root, real, held = tmp_path / "lake", write_whole, []

    @contextlib.contextmanager
    def watched(path: Path) -> Iterator[Path]:
        with (root / "_tapebook" / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(path.name)
        with real(path) as beside:
            yield beside

    monkeypatch.setattr(home, "write_whole", watched)
    home.make(root)
    assert held == ["lake.json"]
    home.make(root)
    assert held == ["lake.json"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="locks are POSIX")
def test_several_processes_may_import_into_one_lake_at_once(tmp_path: Path) -> None:
    script = str(ROOT / "tests" / "store" / "import_child.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen([sys.executable, script, str(tmp_path / "lake"), str(i)], env=environment) for i in range(5)
    ]
    assert [child.wait() for child in children] == [0] * 5
    lake = Lake(tmp_path / "lake")
    assert list(lake.verify()) == []
    assert [e.events for e in lake.ls()] == [400] * 5
    assert len(lake.sources()) == 5
