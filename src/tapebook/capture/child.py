"""The follower as the receiver sees it: a child process that is started again whenever it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from tapebook.capture.reports import Report, Tables
from tapebook.capture.settings import FollowerSettings
from tapebook.market.errors import StoreError
from tapebook.venues.credentials import masked

__all__ = ["FollowerProcess"]

_LOG: Final = logging.getLogger("tapebook.capture.follower")
_WAITS_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY_S: Final = 30.0
_ENDINGS_MAX: Final = 5  # how often one that dies at the begin or at the end is started again
_LINE_BYTES: Final = 1 << 20


class FollowerProcess:
    """Runs, watches and restarts the follower.

    Parameters
    ----------
    settings
        What it is told on its standard input.
    on_report
        Called with each report.

    Attributes
    ----------
    latest
        The last report; counts go on over restarts.
    restarts
        How often it was started again.
    pid
        Of the process now; 0 where there is none.
    """

    def __init__(self, settings: FollowerSettings, on_report: Callable[[Report], None] = lambda _: None) -> None:
        self.settings = settings
        self.latest = Report(state="starting")
        self.restarts = 0
        self.pid = 0
        self._on_report = on_report
        self._before = Report(state="")  # what earlier processes did
        self._ready: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._ending = False
        self._process: asyncio.subprocess.Process | None = None
        self._task = asyncio.create_task(self._supervise())

    async def ready(self) -> Report:
        """Wait until it follows, or waits for a database that is away.

        Raises
        ------
        StoreError
            If it cannot work at all: a wrong password, a read-only database.
        """
        return await asyncio.shield(self._ready)

    async def end(self) -> Report:
        """Let it bring the database to the journal's end; return its last report."""
        self._ending = True
        self._word()
        await self._task
        return self.latest

    async def kill(self) -> None:
        """End it at once."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _word(self) -> None:
        """Tell it that the journal has ended."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._process.stdin.write(b"end\n")

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        failures = endings = 0
        while True:
            began = loop.time()
            code = await self._once()
            if self.latest.state in ("done", "incomplete") and self._ending:
                return
            if self.latest.state == "failed" and not self._ready.done():
                error = StoreError(self.latest.error)
                self._ready.set_exception(error)
                return
            failures = 1 if loop.time() - began > _STEADY_S else failures + 1
            if not self._ready.done() and failures > _ENDINGS_MAX:
                found = self.latest.error or f"it ended with {code} each of {failures} times"
                error = StoreError("the follower does not start", found=found, remedy="capture.log says why")
                self._ready.set_exception(error)
                return
            wait_s = _WAITS_S[min(failures, len(_WAITS_S)) - 1]
            why = self.latest.error or f"it ended with {code}"
            _LOG.warning("the follower died (%s); again in %.1f s; the journal goes on", why, wait_s)
            if self._ending:
                endings += 1
                if endings > _ENDINGS_MAX:
                    self.latest = msgspec.structs.replace(self.latest, state="incomplete")
                    return
            self._before = self.latest
            self.restarts += 1
            await asyncio.sleep(wait_s)

    async def _once(self) -> int:
        """Run one process to its end."""
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tapebook.capture.follow",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        self.pid = process.pid
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(self.settings) + b"\n")
        if self._ending:
            self._word()
        told = asyncio.create_task(self._log(process))
        try:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                self._take(line)
            code = await process.wait()
            await told
        finally:
            self.pid = 0
            told.cancel()
        return code

    def _take(self, line: bytes) -> None:
        try:
            report = msgspec.json.decode(line, type=Report)
        except msgspec.DecodeError:
            _LOG.warning("the follower said something unreadable: %s", masked(line.decode("utf-8", "replace"))[:200])
            return
        if report.error and report.error != self.latest.error:
            _LOG.warning("the database: %s", report.error)
        elif self.latest.error and not report.error and report.state == "following":
            _LOG.info("the database is up to date with frame %d again", report.watermark)
        self.latest = report = _added(self._before, report)
        self._on_report(report)
        if not self._ready.done() and (report.state in ("following", "waiting", "done", "incomplete")):
            self._ready.set_result(report)

    async def _log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        with contextlib.suppress(ValueError):  # a line beyond the limit
            while line := await process.stderr.readline():
                _LOG.warning("%s", masked(line.decode("utf-8", "replace").rstrip()))


def _added(before: Report, now: Report) -> Report:
    """Return a report whose counts go on from those of an earlier process."""
    if not before.state:
        return now
    rows = {name: getattr(before.rows, name) + getattr(now.rows, name) for name in Tables.__struct_fields__}
    findings = dict(before.findings)
    for name, n in now.findings.items():
        findings[name] = findings.get(name, 0) + n
    return msgspec.structs.replace(
        now,
        rows=Tables(**rows),
        frames=before.frames + now.frames,
        events=before.events + now.events,
        batches=before.batches + now.batches,
        watermark=max(before.watermark, now.watermark),
        watermark_ns=now.watermark_ns or before.watermark_ns,
        last=before.last | now.last,
        findings=findings,
        cpu_s=before.cpu_s + now.cpu_s,
    )
