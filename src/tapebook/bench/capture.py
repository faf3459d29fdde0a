"""Live capture at full speed, receiver and follower on one core, the venue that sends in a process on another.

A message is one record of the hub: a quote, a trade, a change of the book, in the shares that were counted on the wire.
Each comes in a frame of its own (``single``), or four or sixteen in one, as a hub sends them when it is behind. Every
message goes all the way: socket, journal, decoding, a row in SQLite, and is counted at the end in both places. The
time runs from the first frame's sending to the commit of the last; it is taken by the wall and, because a shared
machine's wall tells of its neighbours, as processor time of both processes.
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

from tapebook.bench._capture_sender import CONTRACT
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
            figures.append(_figure(f"capture_{name}_{part}", f"{what}, {name}", n / seconds, "messages/s", n))
        told = found.memory_mb[len(found.memory_mb) // 4 :] or [0.0]
        title = "the most memory of both processes over the least, after the first quarter"
        figures.append(_figure(f"capture_{name}_memory", f"{title}, {name}", max(told) / max(min(told), 1), "x", n))
    calm = measure(_CALM_MESSAGES, per_s=_CALM_PER_S)
    title = "socket to journal at 5,000 messages/s"
    for share, us in (("p50", calm.p50_us), ("p99", calm.p99_us)):
        figures.append(_figure(f"capture_latency_{share}", f"{title}, {share}", us, "µs", calm.messages))
    return figures


def _figure(name: str, what: str, ours: float, unit: str, n: int) -> dict[str, Any]:
    return {
        "name": name,
        "what": what,
        "ours": ours,
        "unit": unit,
        "n_events": n,
        "peer": None,
        "peer_name": None,
        "ratio": None,
    }


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
