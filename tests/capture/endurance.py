"""A gateway with faults in one process, a capture in another, and what must hold of them afterwards.

The two programs are in ``endurance_children.py``. The gateway writes down every frame that it handed to a socket, and
tells at the end what stands in its books: the capture's journal is compared with the first, the book of its events with
the second. ``python -m tests.capture.endurance run FOLDER FROM TO SECONDS`` runs for as long as one likes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from tapebook.book import Ladder
from tapebook.capture.notes import read_note
from tapebook.capture.read import session_in
from tapebook.capture.settings import load_session
from tapebook.gateway.faults import KINDS, Fault
from tapebook.market.events import Events, Kind, Side
from tapebook.store.database import open_database
from tapebook.store.journal_format import FrameKind
from tests.capture.endurance_children import KEY, LEVELS
from tests.capture.witness import assert_complete, journalled
from tests.processes import running

__all__ = [
    "ALONE",
    "Playing",
    "Ran",
    "Verdict",
    "child",
    "combination",
    "endure",
    "journal_is_what_was_handed",
    "judge",
    "playing",
]

ROOT: Final = Path(__file__).parents[2]
PING = b'{"type":6}\x1e'
_HELLO: Final = b"{}\x1e"

ALONE: Final[dict[str, tuple[Fault, ...]]] = {
    "lose": (Fault(fault="lose", share=0.02),),
    "duplicate": (Fault(fault="duplicate", share=0.02),),
    "reorder": (Fault(fault="reorder", share=0.02),),
    "delay": (Fault(fault="delay", share=0.003, ms=60),),
    "malformed": (Fault(fault="malformed", share=0.02),),
    "split": (Fault(fault="split", share=0.05),),
    "merge": (Fault(fault="merge", share=0.01, n=20),),
    "silent": (Fault(fault="silent", channel="depth", at_s=1, for_s=17),),
    "reset": (Fault(fault="reset", every_s=1),),
    "drop": (Fault(fault="drop", every_s=2),),
    "close": (Fault(fault="close", every_s=2),),
    "half_open": (Fault(fault="half_open", every_s=6),),
    "throttle": (
        Fault(fault="throttle", every_s=4, for_s=1),
        Fault(fault="expire", every_s=4),
        Fault(fault="drop", every_s=3),
    ),
    "expire": (Fault(fault="expire", every_s=3), Fault(fault="drop", every_s=2)),
    "restart": (Fault(fault="restart", every_s=5, for_s=0.5),),
}
"""Each fault by itself (the two of REST with lost connections, for nothing asks REST while a connection stands)."""


def combination(seed: int) -> tuple[Fault, ...]:
    """Return three to seven of them together, drawn."""
    chance = random.Random(seed)
    names = chance.sample([name for name in KINDS if name != "silent"], chance.randrange(3, 8))
    out = {fault.fault: fault for name in names for fault in ALONE[name]}
    if chance.random() < 0.3:
        out["silent"] = Fault(fault="silent", channel=chance.choice(("depth", "quotes")), at_s=1, for_s=17)
    return tuple(out.values())


# ---- both, and what is seen of them ----------------------------------------------------------------------------------


@dataclass
class Playing:
    """A gateway's process."""

    process: subprocess.Popen[str]
    url: str
    contracts: list[str]

    def admin(self, verb: str, what: str, body: object = None) -> Any:
        """Ask the gateway something that clients do not."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"{self.url}/admin/{what}", data, {"Authorization": f"Bearer {KEY}"}, method=verb
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=20) as answer:
            return json.loads(answer.read())

    def told(self) -> dict[str, Any]:
        """End it, and return what it tells."""
        found: dict[str, Any] = json.loads(_asked(self.process, "end"))
        return found


def _asked(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline()


@contextlib.contextmanager
def child(role: str, asked: dict[str, Any], err: IO[bytes] | int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run one of the two programs; it is killed at the end."""
    command = [sys.executable, "-m", "tests.capture.endurance_children", role]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        yield process


@contextlib.contextmanager
def playing(
    faults: Sequence[Fault] = (), *, source_s: float = 60.0, speed: float = 4.0, seed: int = 1, frame_records: int = 16
) -> Iterator[Playing]:
    """Run a gateway."""
    asked = {"faults": msgspec.to_builtins(list(faults)), "source_s": source_s, "speed": speed, "seed": seed}
    with child("gateway", asked | {"frame_records": frame_records}) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        yield Playing(process, first["url"], first["contracts"])


@dataclass
class Ran:
    """What a run left."""

    folder: Path
    url: str
    outcome: dict[str, Any]
    told: dict[str, Any]
    errors: str


def endure(
    folder: Path,
    faults: Sequence[Fault],
    *,
    seconds: float,
    speed: float = 4.0,
    seed: int = 1,
    url: str = "",
    frame_records: int = 16,
) -> Ran:
    """Capture a market with faults; at its end there are none any more, and one more connection."""
    folder.mkdir(parents=True, exist_ok=True)
    errors = folder / "errors"
    with (
        errors.open("wb") as err,
        playing(faults, source_s=seconds * speed, speed=speed, seed=seed, frame_records=frame_records) as gateway,
    ):
        asked = {"url": gateway.url, "contracts": gateway.contracts, "home": str(folder), "database": url}
        with child("capture", asked, err) as capture:
            _until(lambda: gateway.admin("GET", "statistics")["ended"], seconds * 2 + 60)
            gateway.admin("DELETE", "faults")
            time.sleep(1.2)  # a server that restarts is back
            _until(lambda: _joined(gateway, -1), 60)
            before = sum(gateway.admin("GET", "statistics")["ended_connections"].values())
            gateway.admin("POST", "faults", {"fault": "drop"})
            _until(lambda: _joined(gateway, before), 60)
            time.sleep(1.0)
            os.kill(capture.pid, 2)
            assert capture.stdout is not None
            outcome = json.loads(capture.stdout.readline() or "{}")
            capture.wait(60)
        told = gateway.told()
    return Ran(folder / "s", url, outcome, told, errors.read_text())


def _joined(gateway: Playing, ended: int) -> bool:
    """Whether a connection stands with all its subscriptions, after more than so many others."""
    now = gateway.admin("GET", "statistics")
    market = [one for one in now["connections"] if one["hub"] == "market" and not one["frozen"]]
    enough = any(one["streams"] >= 3 * len(gateway.contracts) for one in market)
    return enough and sum(now["ended_connections"].values()) > ended


def _until(true: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


@dataclass
class Verdict:
    """What was found of a run."""

    connections: int = 0
    handed: int = 0
    received: int = 0
    in_flight: int = 0  # handed to sockets that were cut, and never there
    gaps: int = 0
    quality: int = 0
    events: int = 0

    def add(self, other: Verdict) -> None:
        """Put another run's to it."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def judge(ran: Ran) -> Verdict:
    """Check everything that must hold; return the figures."""
    assert ran.outcome.get("state") == "ended", ran.errors[-3000:]
    events = assert_complete(ran.folder, ran.url)  # the database is what the journal decodes to
    verdict = Verdict(events=events.size)
    journal_is_what_was_handed(ran, verdict)
    _gaps_are_marked(ran, verdict)
    told = ran.told["books"]
    assert _book_of(events) == [[tuple(level) for level in side] for side in told[0]], "the book is another one"
    return verdict


def journal_is_what_was_handed(ran: Ran, verdict: Verdict, *, quiet: bool = True) -> None:
    """Compare frame by frame: of each connection the journal has what was handed, up to where it was cut.

    ``quiet``: the last connection stood until everything had arrived.
    """
    heard: list[list[int]] = []
    for frame in journalled(ran.folder):
        if frame.kind == FrameKind.FRAME:
            if frame.payload == _HELLO:
                heard.append([])
            heard[-1].append(zlib.crc32(frame.payload))
    handed: list[tuple[str, list[int]]] = [(why, frames) for why, frames in ran.told["handed"]]
    ping = zlib.crc32(PING)
    at = 0
    for n, mine in enumerate(heard):
        while handed[at][1][: len(mine)] != mine:  # a connection of which nothing arrived
            verdict.handed += len(handed[at][1])
            verdict.in_flight += len(handed[at][1])
            assert handed[at][0] or not quiet, "a connection that stands was not heard"
            at += 1
            assert at < len(handed), "the journal has what nobody handed on"
        why, all_ = handed[at]
        missing = all_[len(mine) :]
        whole = why == "closed with an error" or (quiet and n == len(heard) - 1)
        assert not whole or all(one == ping for one in missing), f"{len(missing)} frames are missing ({why!r})"
        verdict.handed += len(all_)
        verdict.received += len(mine)
        verdict.in_flight += len(missing)
        at += 1
    verdict.connections = len(heard)


def _gaps_are_marked(ran: Ran, verdict: Verdict) -> None:
    """Each lost connection is a gap from its last frame to the next connection, and no frame came meanwhile."""
    frames = journalled(ran.folder)
    connects = [frame for frame in frames if frame.kind == FrameKind.CONNECT]
    about = load_session(ran.folder)
    with open_database(ran.url or about.database) as base:
        session = session_in(base, about.name)
        gaps = [gap for gap in base.gaps(session) if gap.reason == "the connection was lost"]
        verdict.quality = len(base.quality(session))
    since = [read_note(frame.payload).since_ns for frame in connects]
    expected = [(one, frame.ts_recv_ns) for one, frame in zip(since, connects, strict=True) if one]
    assert [(gap.begin_timestamp, gap.end_timestamp) for gap in gaps] == expected
    assert len(expected) >= len(connects) - 1
    stamps = [frame.ts_recv_ns for frame in frames if frame.kind == FrameKind.FRAME]
    for begin, end in expected:
        assert not any(begin < ts < end for ts in stamps)
        assert begin in stamps
    verdict.gaps = len(gaps)


def _book_of(events: Events) -> list[list[tuple[int, int]]]:
    ladder = Ladder(tick_e9=250_000_000)
    ladder.advance(events[events["kind"] != Kind.TRADE])
    return [[(one.price, one.qty_lots or 0) for one in ladder.levels(side, LEVELS)] for side in (Side.BID, Side.ASK)]


def main() -> None:
    """Run faults for as long as asked: ``run FOLDER FROM TO SECONDS``."""
    folder, first, last, seconds = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    total, names = Verdict(), list(ALONE)
    for number in range(first, last):
        faults = ALONE[names[number]] if number < len(names) else combination(number)
        name = names[number] if number < len(names) else "+".join(fault.fault for fault in faults)
        began = time.monotonic()
        try:
            ran = endure(folder / str(number), faults, seconds=seconds, seed=number, frame_records=1 + number % 5)
            verdict = judge(ran)
        except AssertionError as error:
            print(f"{number} {name}: BROKEN {str(error)[:1500]}", flush=True)
            continue
        total.add(verdict)
        counts = ran.told["statistics"]["faults"]
        print(f"{number} {name}: {time.monotonic() - began:.0f} s, {vars(verdict)}, {counts}", flush=True)
    print("total", vars(total), flush=True)


if __name__ == "__main__":
    main()
