"""A process that journals is killed: what was acknowledged to it is in the journal, as another program reads it."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tapebook.store.journal_read import JournalReader
from tests.store.capture_child import Life, killer, read_journal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are POSIX")


@pytest.mark.parametrize(("lives", "kills"), [(2, 4), pytest.param(12, 10, marks=pytest.mark.slow)])
def test_no_kill_takes_a_frame_that_was_acknowledged(tmp_path: Path, lives: int, kills: int) -> None:
    rng = random.Random(lives)
    most = 0
    with killer() as by:
        for life in range(lives):
            folder = tmp_path / str(life) / "journal"
            folder.parent.mkdir()
            acknowledged = before = 0
            for _ in range(kills):
                step = rng.choice([0, rng.randint(1, 40)])
                last, _phase = by.kill(
                    Life(
                        journal=str(folder),
                        acknowledged=str(tmp_path / str(life) / "acknowledged"),
                        url="",
                        seed=rng.getrandbits(40),
                        phase=rng.choice([0, 2, 2, 2]),
                        delay_s=rng.uniform(0.0, 0.08),
                        step=step,
                    )
                )
                acknowledged = max(acknowledged, last)
                frames = read_journal(folder)
                assert len(frames) >= acknowledged, "an acknowledged frame is gone"
                assert len(frames) >= before, "a frame that was there is gone"
                before = len(frames)
                if frames:
                    reader = JournalReader(folder)
                    assert [(f.sequence, f.payload) for f in reader] == frames
                    assert reader.statistics().missing_frames == 0
            most = max(most, before)
    assert most > 100, "no life was long enough to say anything"
