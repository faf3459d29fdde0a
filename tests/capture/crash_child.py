"""Capture again and again, each time killed (SIGKILL) at another moment: the receiver, the follower, or both.

Usage: crash_child.py FOLDER URL KILLS SEED. It forks, so that no kill costs the time of an import, and prints how many
there were. What must hold afterwards is for the test to see, with the journal as its witness.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tapebook.bench._capture_sender import CONTRACT, records
from tapebook.capture.follower import Follower
from tapebook.capture.notes import Note
from tapebook.capture.receive import Limits, Receiver
from tapebook.capture.session import _last_frame_ns
from tapebook.capture.settings import JOURNAL, FollowerSettings, SessionFile, SourceSettings, save_session
from tapebook.capture.sources import Sink
from tapebook.market.clock import WallClock
from tapebook.store.database import open_database
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import FrameKind
from tests.capture.read_session import watermark_of

SOURCE = SourceSettings(number=0, venue="projectx", line="market", contracts=[{"id": CONTRACT, "tickSize": 0.25}])
MADE, _ = records(20_000, 3)


class Sender:
    """A source that sends what was made up, in frames of all sizes."""

    lines = ("market",)
    warnings: list[str] = []  # noqa: RUF012 - there are none

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    async def run(self, sink: Sink, numbers: Sequence[int]) -> None:
        clock, chance = WallClock(), self.chance
        sink.note(0, clock.now_ns(), FrameKind.CONNECT, Note(what="connected", connection=1))
        at = chance.randrange(len(MADE))
        while True:
            batch = []
            for _ in range(chance.randrange(1, 30)):
                take = chance.choice([1, 1, 3])
                data = b"".join(MADE[at : at + take])
                at = (at + take) % len(MADE)
                if chance.random() < 0.05:
                    data += b"rubbish\x1e"
                batch.append((clock.now_ns(), numbers[0], 1, data))
            sink.frames(0, batch)
            await asyncio.sleep(chance.random() * 0.004)

    async def describe(self) -> list[dict[str, object]]:
        return SOURCE.contracts

    def clock_address(self) -> str:
        return ""

    async def aclose(self) -> None:
        pass


def receive(folder: Path, url: str, seed: int) -> None:
    since = _last_frame_ns(folder / JOURNAL)
    settings = JournalSettings(segment_bytes=256 << 10, block_bytes=32 << 10)
    with Journal(folder / JOURNAL, identity="s", settings=settings, after=watermark_of(url, "s")) as journal:
        receiver = Receiver(journal, WallClock(), Limits(clock_s=0, disk_stop_mb=0, disk_warn_mb=0, sync_s=0.01))
        asyncio.run(receiver.run([(Sender(seed), [SOURCE])], asyncio.Event(), since_ns=since))


def follow(folder: Path, url: str) -> None:
    settings = FollowerSettings(
        folder=str(folder), database=url, batch_rows=300, batch_timeout_s=0.01, checkpoint_batches=2, checkpoint_s=0.0
    )
    Follower(settings, ended=lambda: "").run()


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - told, and the process ends
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def killed(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"it ended by itself: {status}"


def main() -> None:
    folder, url, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    chance = random.Random(seed)
    (folder / JOURNAL).mkdir(parents=True)
    save_session(folder, SessionFile(name="s", sources=[SOURCE], database="", keep_raw=False, started_ns=1))
    open_database(url).close()
    done, pids = 0, {"receive": 0, "follow": 0}
    while done < kills:
        for name, pid in pids.items():
            if pid == 0:
                work = partial(receive, folder, url, done) if name == "receive" else partial(follow, folder, url)
                pids[name] = forked(work)
        time.sleep(chance.random() * 0.15)
        for name in chance.choice([["receive"], ["follow"], ["receive", "follow"]]):
            killed(pids[name])
            pids[name] = 0
            done += 1
    for pid in pids.values():
        if pid:
            killed(pid)
    print("kills", done, flush=True)


if __name__ == "__main__":
    main()
