"""Real processes killed (SIGKILL) at any moment, from the first import on: after ``--recover`` nothing is missing.

A gateway plays on; a capture of it is started, killed (the receiver, the follower, or both, some of them quickly one
after the other), and started again for the same session. PostgreSQL is stopped and started in between. By hand, for as
many kills as one likes: ``python -m tests.capture.test_kills FOLDER KILLS SEED sqlite`` (or ``postgres``).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tapebook.capture.settings import load_session
from tapebook.store.journal_format import FrameKind
from tests.capture.endurance import ROOT, Playing, Ran, Verdict, child, journal_is_what_was_handed, playing
from tests.capture.witness import assert_complete, journalled
from tests.store.capture_servers import PASSWORD, PostgresServer, postgres, programs

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")]


@dataclass
class Kills:
    """What was done."""

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return sum(n for name, n in self.counts.items() if name.startswith("kill"))


def follower_of(pid: int) -> int:
    """Return the follower's process, 0 where there is none (yet)."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for one in (task / "children").read_text().split():
                if b"tapebook.capture.follow" in Path(f"/proc/{one}/cmdline").read_bytes():
                    return int(one)
    return 0


def kill(pid: int) -> bool:
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def shot(process: subprocess.Popen[str], chance: random.Random, done: Kills) -> None:
    """Kill the receiver, with the follower before it, after it, or not at all."""
    how = chance.choice(("receiver", "both", "both", "follower first"))
    follower = follower_of(process.pid)
    if how == "follower first" and kill(follower):
        done.counts["kills of the follower before its receiver"] += 1
        time.sleep(chance.random() * 0.05)
    kill(process.pid)
    done.counts["kills of the receiver"] += 1
    if how == "both" and kill(follower):
        done.counts["kills of the follower behind its receiver"] += 1
    process.wait()


def killed_again_and_again(
    folder: Path, url: str, kills: int, seed: int, server: PostgresServer | None = None
) -> tuple[Ran, Kills]:
    """Kill until there were so many; then let a last one end as it should, or not, and recover."""
    chance, done = random.Random(seed), Kills()
    began = 0
    with playing(source_s=20_000, speed=20.0, seed=seed) as gateway:
        asked: dict[str, Any] = {"url": gateway.url, "contracts": gateway.contracts, "home": str(folder)}
        asked |= {"database": url, "segment_bytes": 256 << 10}
        while done.total < kills:
            with child("capture", asked, subprocess.DEVNULL) as process:
                began += 1
                if chance.random() < 0.25:  # also in the middle of imports, locks and tables being made
                    time.sleep(chance.random() * 1.2)
                else:
                    fed(gateway, process, chance.randrange(50, 3000))
                    follower = followed(process)
                    for _ in range(chance.randrange(3)):
                        time.sleep(chance.random() * 0.4)
                        if kill(follower):
                            done.counts["kills of the follower alone"] += 1
                        follower = followed(process)
                    if server is not None and chance.random() < 0.15:
                        server.stop()
                        done.counts["stops of PostgreSQL"] += 1
                        time.sleep(chance.random() * 0.5)
                        server.start()
                    time.sleep(chance.random() * 0.5)
                shot(process, chance, done)
        told = gateway.told()
    assert began < 3 * kills
    return Ran(folder / "s", url, {}, told, ""), done


def followed(process: subprocess.Popen[str], seconds: float = 20.0) -> int:
    """Wait for a follower."""
    deadline = time.monotonic() + seconds
    while not (found := follower_of(process.pid)):
        if process.poll() is not None or time.monotonic() > deadline:
            return 0
        time.sleep(0.01)
    return found


def fed(gateway: Playing, process: subprocess.Popen[str], records: int, seconds: float = 20.0) -> None:
    """Wait until a connection got so many records."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if any(
            one["streams"] and one["records"] >= records for one in gateway.admin("GET", "statistics")["connections"]
        ):
            return
        time.sleep(0.03)


def recovered(ran: Ran) -> dict[str, Any]:
    """Run ``tapebook capture --recover``; return what it tells."""
    command = [sys.executable, "-m", "tapebook", "capture", "--recover", str(ran.folder), "--json"]
    base = load_session(ran.folder).database
    command += ["--db", base]
    environment = os.environ | {"PGPASSWORD": PASSWORD}
    found = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr[-3000:]
    told: dict[str, Any] = json.loads(found.stdout)["recovered"][0]
    return told


def judged(ran: Ran) -> tuple[Verdict, dict[str, Any]]:
    """Recover, and check that the database is the journal, and the journal what was handed on."""
    told = recovered(ran)
    assert told["state"] == "killed"
    assert told["missing_frames"] == 0
    again = recovered(ran)
    assert (again["rows"], again["frames"]) == (0, 0)
    events = assert_complete(ran.folder, ran.url)
    verdict = Verdict(events=events.size)
    journal_is_what_was_handed(ran, verdict, quiet=False)
    frames = journalled(ran.folder)
    assert [frame.sequence for frame in frames] == list(range(1, len(frames) + 1))
    resumed = [frame for frame in frames if frame.kind == FrameKind.GAP and b"resumed" in frame.payload]
    verdict.gaps = len(resumed)
    return verdict, told


def sqlite_url(folder: Path) -> str:
    return str(folder / "capture.db")


def postgres_url(_: Path) -> str:
    return postgres().new_database()


@pytest.mark.parametrize(("url_for", "kills"), [(sqlite_url, 24), (postgres_url, 18)])
def test_killed_capture_loses_nothing(url_for: Callable[[Path], str], kills: int, tmp_path: Path) -> None:
    ran, done = killed_again_and_again(tmp_path, url_for(tmp_path), kills, 5)
    verdict, _ = judged(ran)
    assert done.total >= kills
    assert verdict.connections > kills // 8
    assert verdict.gaps >= verdict.connections - 1
    assert verdict.received > 100


def main(arguments: Sequence[str]) -> None:
    folder, kills, seed, kind = Path(arguments[0]), int(arguments[1]), int(arguments[2]), arguments[3]
    folder.mkdir(parents=True, exist_ok=True)
    server = None
    if kind == "postgres":
        found = programs()
        assert found is not None
        server = PostgresServer(found, durable=True)
    try:
        url = sqlite_url(folder) if server is None else server.new_database()
        began = time.monotonic()
        ran, done = killed_again_and_again(folder, url, kills, seed, server)
        verdict, told = judged(ran)
        print(f"{kind}: {done.total} kills in {time.monotonic() - began:.0f} s: {dict(done.counts)}")
        print(f"  {vars(verdict)}; recovery decoded {told['frames']} frames, wrote {told['rows']} rows", flush=True)
    finally:
        if server is not None:
            server.remove()


if __name__ == "__main__":
    main(sys.argv[1:])
