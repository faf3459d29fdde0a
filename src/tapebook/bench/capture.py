"""Live capture at full speed, receiver and follower on one core, the venue that sends in a process on another.

A message is one record of the hub: a quote, a trade, a change of the book, in the shares that were counted on the wire.
Each comes in a frame of its own (``single``), or four or sixteen in one, as a hub sends them when it is behind. Every
message goes all the way: socket, journal, decoding, a row in SQLite, and is counted at the end in both places. The
time runs from the first frame's sending to the commit of the last; it is taken by the wall and, because a shared
machine's wall tells of its neighbours, as processor time of both processes. Beside it: what project-x-py takes for the
same records in the same run, from the frame to its order book (no journal, no database), where it is installed.

``python -m tapebook.bench.capture MESSAGES PER_FRAME PER_S`` measures one run for as long as one likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.bench._capture_sender import CONTRACT, records
from tapebook.bench._figures import Peers, ask, figure
from tapebook.capture.plan import CaptureSettings, Outcome
from tapebook.capture.receive import Limits
from tapebook.capture.session import Capture
from tapebook.capture.sources import SourceRequest
from tapebook.capture.status import CaptureStatistics
from tapebook.venues.credentials import Credentials, Secret

__all__ = ["Measured", "measure", "run"]

_MESSAGES: Final = 1_000_000
_WAYS: Final = {"single": 1, "by_4": 4, "by_16": 16}
_CALM_MESSAGES: Final = 50_000
_CALM_PER_S: Final = 5_000.0
_OPENING: Final = 4  # frames before the first message: the handshake and three answers


@dataclass
class Measured:
    """What one run gave."""

    messages: int
    rows: int
    sent_s: float
    received_s: float
    committed_s: float
    cpu_s: float
    p50_us: float
    p99_us: float
    memory_mb: list[float] = field(default_factory=list)  # of both processes, at each second


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure capture; recordings are not needed."""
    _ = data
    figures: list[dict[str, Any]] = []
    for name, per_frame in _WAYS.items():
        found = measure(_MESSAGES, per_frame=per_frame)
        n = found.messages
        whole = "received, journalled, decoded and committed"
        for part, what, seconds in (
            ("received", "received and journalled", found.received_s),
            ("committed", whole, found.committed_s),
            ("cpu", f"{whole}, by processor time of both processes", found.cpu_s),
        ):
            figures.append(
                figure(f"capture_{name}_{part}", what=f"{what}, {name}", ours=n / seconds, unit="messages/s", n=n)
            )
        told = found.memory_mb[len(found.memory_mb) // 4 :] or [0.0]
        title = "the most memory of both processes over the least, after the first quarter"
        grown = max(told) / max(min(told), 1)
        figures.append(figure(f"capture_{name}_memory", what=f"{title}, {name}", ours=grown, unit="x", n=n))
    ours = found.cpu_s / found.messages
    peers = {name: seconds["record"] for name, seconds in _peers(_WAYS["by_16"]).items()}
    for name, peer in peers.items():
        title = "frame to order book (ours: socket to journal and database), by processor time, by_16"
        figures.append(
            figure(f"capture_{name}", what=title, ours=1 / ours, unit="messages/s", n=n, peer=1 / peer, peer_name=name)
        )
    calm = measure(_CALM_MESSAGES, per_s=_CALM_PER_S)
    title = "socket to journal at 5,000 messages/s"
    for share, us in (("p50", calm.p50_us), ("p99", calm.p99_us)):
        figures.append(
            figure(f"capture_latency_{share}", what=f"{title}, {share}", ours=us, unit="µs", n=calm.messages)
        )
    return figures


def _peers(per_frame: int) -> Peers:
    """Return what peers take for the same records, in the same frames."""
    made, _ = records(100_000)
    frames = [b"".join(made[i : i + per_frame]) for i in range(0, len(made), per_frame)]
    return ask(
        "capture",
        frames=np.frombuffer(b"".join(frames), np.uint8),
        sizes=np.array([len(one) for one in frames], np.int64),
    )


def measure(messages: int, *, per_frame: int = 1, per_s: float = 0.0, core: int | None = 0) -> Measured:
    """Capture so many messages, and check that none is missing.

    Parameters
    ----------
    messages, per_frame
        How many, and how many come in one frame.
    per_s
        At which rate; 0: as fast as they are taken.
    core
        Which core receiver and follower share; the sender gets another one. None: any.
    """
    with tempfile.TemporaryDirectory() as folder, _sender(messages, per_frame, per_s, core) as sender, _on(core):
        return asyncio.run(_captured(Path(folder), sender, messages, per_frame))


async def _captured(folder: Path, sender: subprocess.Popen[str], messages: int, per_frame: int) -> Measured:
    assert sender.stdout is not None
    port = json.loads(await asyncio.to_thread(sender.stdout.readline))["port"]
    url = f"http://127.0.0.1:{port}"
    addresses = {"rest": url, "market_hub": f"{url}/hubs/market", "use_proxy": False}
    request = SourceRequest(venue="projectx", contracts=(CONTRACT,), addresses=addresses)
    settings = CaptureSettings(requests=(request,), name="bench", home=folder, limits=Limits(clock_s=0, disk_stop_mb=0))
    memory: list[float] = []

    def show(now: CaptureStatistics) -> None:
        memory.append(now.receiver_mb + now.follower_mb)

    capture = Capture(settings, lambda _: Credentials(Secret("u"), Secret("k")), show=show)
    stop, moments = asyncio.Event(), {}

    async def watch() -> None:
        told = json.loads(await asyncio.to_thread(sender.stdout.readline))  # type: ignore[union-attr] # it is a pipe
        moments["begin"] = time.monotonic() - told["seconds"]
        moments["sent"] = time.monotonic()
        frames = -(-told["sent"] // per_frame) + _OPENING
        await _until(lambda: capture.statistics().frames >= frames)
        moments["received"] = time.monotonic()
        await _until(lambda: not capture.statistics().lag_frames)
        moments["committed"] = time.monotonic()
        stop.set()

    began_cpu = time.process_time()
    watching = asyncio.create_task(watch())
    outcome: Outcome = await capture.run(stop)
    await watching
    now = outcome.statistics
    rows = sum(n for table, n in now.rows.items() if table not in ("gaps", "quality"))
    if rows < messages:
        raise RuntimeError(f"{messages - rows} messages are missing")
    follower_cpu = capture.follower_cpu_s
    begin = moments["begin"]
    return Measured(
        messages=messages,
        rows=rows,
        sent_s=moments["sent"] - begin,
        received_s=moments["received"] - begin,
        committed_s=moments["committed"] - begin,
        cpu_s=time.process_time() - began_cpu + follower_cpu,
        p50_us=now.latency_p50_us or 0.0,
        p99_us=now.latency_p99_us or 0.0,
        memory_mb=memory,
    )


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - part of what it waits for is in another process
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def _sender(messages: int, per_frame: int, per_s: float, core: int | None) -> Iterator[subprocess.Popen[str]]:
    other = None if core is None else (core + 1) % (os.cpu_count() or 1)
    settings = {"records": messages, "rate": per_s, "per_frame": per_frame, "distinct": 100_000, "core": other}
    command = [sys.executable, "-m", "tapebook.bench._capture_sender"]
    with subprocess.Popen(  # noqa: S603 - our own module, no arguments
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def _on(core: int | None) -> Iterator[None]:
    """Hold this process, and the children that it starts, to one core."""
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _main(arguments: list[str]) -> None:
    """Measure one run and print it: messages, how many in a frame, how many a second (0: as many as are taken)."""
    messages, per_frame, per_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    found = measure(messages, per_frame=per_frame, per_s=per_s)
    told = {name: round(value, 3) for name, value in vars(found).items() if name != "memory_mb"}
    told["messages_per_s"] = round(messages / found.committed_s)
    told["messages_per_cpu_s"] = round(messages / found.cpu_s)
    told["memory_mb"] = [round(mb, 1) for mb in found.memory_mb[:: max(1, len(found.memory_mb) // 20)]]
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
