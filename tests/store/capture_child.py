"""A small capture that is killed: it journals frames, writes their rows, and dies by SIGKILL at any moment.

Run as a program it reads one JSON object a line (:class:`Life`), forks a capture for it, kills it at the time that it
says or before its ``step``-th call that changes the disk, and answers with one line. It forks before any thread starts.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from tapebook.market.errors import ConfigurationError, MalformedRecord
from tapebook.store.batches import BatchBuilder
from tapebook.store.database import Session, open_database
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import Frame
from tapebook.store.recovery import recover
from tests.conftest import ROOT
from tests.oracles import journal as oracle

T0: Final = 1_700_000_000 * 10**9
SESSION: Final = Session(name="monday", venue="projectx", journal="monday", started_timestamp=T0)
PHASES: Final = ("opening", "recovering", "capturing")
_ACKNOWLEDGED: Final = struct.Struct("<qq")  # the last frame whose append returned, the phase


class Life(msgspec.Struct):
    """What one child does until it dies."""

    journal: str
    acknowledged: str  # a file that tells, after the kill, what the child knew
    url: str  # empty: journal only
    seed: int
    phase: int  # killed ``delay_s`` after it reached this one of PHASES
    delay_s: float
    step: int = 0  # 0: killed by time alone


def payload(n: int) -> bytes:
    """Return a frame by its number: rows as text, none now and then, nonsense now and then."""
    if n % 13 == 0:
        return b"\xff nonsense %d" % n
    rows = [f"{'TQD'[(n + i) % 3]} {n * 10 + i} {i + 1}" for i in range(n * 7 % 6)]
    return (";".join(rows) + ("." * (n * 31 % 700) if n % 50 == 0 else "")).encode()


def rows_of(n: int, data: bytes) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield a frame's rows (table, sequence, row_index, price, size), straight from its bytes."""
    if data.startswith(b"\xff"):
        yield "quality", n, 0, 0, 0
        return
    for i, row in enumerate(filter(None, data.rstrip(b".").split(b";"))):
        sort, price, size = row.split()
        yield {b"T": "trades", b"Q": "quotes", b"D": "market_depth"}[sort], n, i, int(price), int(size)


def decode(frame: Frame, rows: BatchBuilder) -> None:
    if frame.payload.startswith(b"\xff"):
        raise MalformedRecord("not a row", found=repr(frame.payload), where="frame")
    for row in frame.payload.decode().rstrip(".").split(";"):
        if not row:
            continue
        sort, price, size = row.split()
        if sort == "T":
            rows.trade("ES", "ESH4", price=int(price), size=int(size))
        elif sort == "Q":
            rows.quote("ES", "ESH4", bid_price=int(price), bid_size=int(size))
        else:
            rows.depth("ES", "ESH4", kind=2, side=1, price=int(price), size=int(size))


def capture(life: Life) -> None:
    """Journal and write for ever."""
    rng = random.Random(life.seed)
    settings = JournalSettings(
        segment_bytes=rng.choice([8_192, 16_384, 65_536]),
        segment_events=rng.choice([60, 10_000_000]),
        block_bytes=rng.choice([500, 4_000]),
        codec=rng.choice(["zstd", "lz4", "none"]),
    )
    with Path(life.acknowledged).open("r+b") as file:
        told = mmap.mmap(file.fileno(), _ACKNOWLEDGED.size)
    base = open_database(life.url) if life.url else None
    session = base.begin_session(SESSION) if base else SESSION
    watermark = base.watermark(session) if base else 0
    journal = Journal(Path(life.journal), identity=SESSION.journal, settings=settings, after=watermark)
    last = journal.last_sequence
    if base:
        _ACKNOWLEDGED.pack_into(told, 0, last, 1)
        recover(Path(life.journal), decode, base, session, batch_frames=rng.choice([20, 200, 5_000]))
    _ACKNOWLEDGED.pack_into(told, 0, last, 2)
    builder = BatchBuilder(after=last, keep_raw=rng.random() < 0.5)
    batch_frames = rng.choice([1, 30, 300])
    while True:
        new = [(T0 + n, n % 3, 1, payload(n)) for n in range(last + 1, last + 1 + rng.randint(1, 40))]
        before, last = last, journal.append(new)
        _ACKNOWLEDGED.pack_into(told, 0, last, 2)
        for n, row in enumerate(new, start=before + 1):
            builder.add(Frame(n, *row), decode)
        if rng.random() < 0.02:
            journal.sync()
        if base and builder.n_frames >= batch_frames:
            base.write(session, builder.build())


def dies_before(step: int) -> None:
    """Count every call that changes the disk, and die before call number ``step``."""
    count = [0]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapper

    for name in ("replace", "rename", "fsync", "fdatasync", "unlink", "mkdir", "posix_fallocate", "open"):
        if hasattr(os, name):
            setattr(os, name, counted(getattr(os, name)))


class Killer:
    """The program below, as a test holds it."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def kill(self, life: Life) -> tuple[int, str]:
        """Let a capture live and die; return the last frame that was acknowledged to it, and what it was doing."""
        Path(life.acknowledged).write_bytes(bytes(_ACKNOWLEDGED.size))
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(msgspec.json.encode(life) + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == b"killed\n", answer
        last, phase = _ACKNOWLEDGED.unpack(Path(life.acknowledged).read_bytes())
        return last, PHASES[phase]

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(30) == 0


@contextmanager
def killer() -> Iterator[Killer]:
    one = Killer()
    try:
        yield one
    finally:
        one.close()


def read_journal(folder: Path) -> list[tuple[int, bytes]]:
    """Return (sequence, payload) of all frames, read by another program; check that they are what was sent."""
    rows = oracle.read(folder) if folder.exists() else []
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "a frame is missing"
    for sequence, ts, source, kind, data in rows:
        assert (ts, source, kind, data) == (T0 + sequence, sequence % 3, 1, payload(sequence))
    return [(row[0], row[4]) for row in rows]


def main() -> None:
    for module in ("sqlite", "postgres"):  # imported once, not by each child
        with suppress(ConfigurationError):
            import_module(f"tapebook.store.{module}")
    for line in sys.stdin:
        life = msgspec.json.decode(line, type=Life)
        pid = os.fork()
        if pid == 0:
            try:
                if life.step:
                    dies_before(life.step)
                capture(life)
            except BaseException:  # noqa: BLE001 - told, and the process ends
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(1)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if _ACKNOWLEDGED.unpack(Path(life.acknowledged).read_bytes())[1] >= life.phase:
                time.sleep(life.delay_s)
                break
        os.kill(pid, signal.SIGKILL)  # no harm if it is dead: it is ours until we wait for it
        _, status = os.waitpid(pid, 0)
        print("killed" if os.WIFSIGNALED(status) else "ended by itself", flush=True)


if __name__ == "__main__":
    main()
