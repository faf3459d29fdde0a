"""A capture, put together: sources, journal, follower, what is watched and what is shown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tapebook.capture.child import FollowerProcess
from tapebook.capture.gauges import Gauges
from tapebook.capture.logs import logged
from tapebook.capture.plan import CaptureSettings, Outcome, default_name
from tapebook.capture.receive import Receiver
from tapebook.capture.reports import Report
from tapebook.capture.settings import (
    DATABASE,
    JOURNAL,
    PRUNED,
    FollowerSettings,
    SessionFile,
    SourceSettings,
    database_of,
    load_session,
    save_session,
    without_password,
)
from tapebook.capture.sources import SOURCES, Source, SourceRequest
from tapebook.capture.status import CaptureStatistics
from tapebook.market.clock import Clock, WallClock
from tapebook.market.errors import StoreError, TickDataError
from tapebook.store.journal import Journal, JournalFull
from tapebook.store.journal_files import segments
from tapebook.store.journal_read import JournalReader
from tapebook.venues.credentials import Credentials

__all__ = ["Capture", "run_capture"]

_LOG: Final = logging.getLogger("tapebook.capture")
_GC_OBJECTS: Final = 100_000  # frames are many small objects without cycles
CredentialsFor = Callable[[SourceRequest], Credentials]
SourceFor = Callable[[SourceRequest, Clock], Source]


class Capture:
    """One run.

    Parameters
    ----------
    settings
        What to capture, and where to.
    credentials_for
        Finds user name and key for a venue.
    show
        Gets the statistics at each interval.
    clock
        Stamps what comes.
    source_for
        Makes a source; tests put their own there.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        credentials_for: CredentialsFor,
        *,
        show: Callable[[CaptureStatistics], None] = lambda _: None,
        clock: Clock | None = None,
        source_for: SourceFor | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or WallClock()
        self.latest: CaptureStatistics | None = None
        self.metrics_port = 0
        self._show = show
        self._source_for = source_for or (
            lambda request, clock: SOURCES[request.venue](request, credentials_for(request), clock)
        )
        self.name = settings.name or default_name(settings.requests, self.clock.now_ns())
        self.folder = settings.home / self.name
        self._state = "starting"
        self._receiver: Receiver | None = None
        self._follower: FollowerProcess | None = None
        self._warnings: list[str] = []
        self._old: SessionFile | None = None  # the session of this name that is gone on with
        self._gauges = Gauges(self.name, self.folder, settings.memory_mb, self.clock)

    # ---- the run ---------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> Outcome:
        """Capture until ``stop`` is set, the time is over, or it has to end; return how it ended.

        Raises
        ------
        TickDataError
            If it cannot begin: a wrong key, a contract that does not exist, a database that does not let us in.
        """
        settings = self.settings
        sources = [self._source_for(request, self.clock) for request in settings.requests]
        try:
            numbered = await self._described(sources)
            with logged(self.folder / "capture.log"):
                return await self._captured(numbered, stop)
        finally:
            for source in sources:
                await source.aclose()

    async def _described(self, sources: Sequence[Source]) -> list[tuple[Source, list[SourceSettings]]]:
        numbered: list[tuple[Source, list[SourceSettings]]] = []
        n = 0
        for source, request in zip(sources, self.settings.requests, strict=True):
            contracts = await source.describe()
            lines = [
                SourceSettings(number=n + i, venue=request.venue, line=line, contracts=contracts)
                for i, line in enumerate(source.lines)
            ]
            n += len(lines)
            self._warnings += source.warnings
            numbered.append((source, lines))
        return numbered

    async def _captured(self, numbered: list[tuple[Source, list[SourceSettings]]], stop: asyncio.Event) -> Outcome:
        settings = self.settings
        about, earlier_ns = self._begin([line for _, lines in numbered for line in lines])
        for warning in self._warnings:
            _LOG.warning("%s", warning)
        follower = self._follower = FollowerProcess(self._follower_settings())
        journal: Journal | None = None
        reason = "failed"
        try:
            ready = await follower.ready()
            _check_ready(ready, earlier_ns)
            journal = Journal(
                self.folder / JOURNAL, identity=self.name, settings=settings.journal, after=ready.watermark
            )
            self._state = "running"
            _LOG.info("session %s begins, database %s", self.name, about.database)
            receiver = self._receiver = Receiver(journal, self.clock, settings.limits)
            with self._measured():
                shower = asyncio.create_task(self._show_often())
                try:
                    reason = await self._receive(receiver, numbered, stop, earlier_ns)
                finally:
                    shower.cancel()
                    await asyncio.gather(shower, return_exceptions=True)
                    self._state = "ending"
                    await asyncio.to_thread(journal.close)
                    about = msgspec.structs.replace(about, ended_ns=self.clock.now_ns(), state="ended")
                    self._keep(about)
                    draining = asyncio.create_task(self._show_often())
                    last = await follower.end()
                    draining.cancel()
                    await asyncio.gather(draining, return_exceptions=True)
                    self._ended(about, last)
        except BaseException:
            await follower.kill()
            if journal is None:  # nothing was captured: what stood there before stands again
                if self._old is None:
                    self._forget()
                else:
                    self._keep(self._old)
            raise
        statistics = self.statistics()
        _LOG.info("session %s %s (%s): %d frames", self.name, self._state, reason, statistics.frames)
        return Outcome(
            name=self.name,
            folder=self.folder,
            database=about.database,
            state=self._state,
            reason=reason,
            statistics=statistics,
        )

    async def _receive(
        self,
        receiver: Receiver,
        numbered: list[tuple[Source, list[SourceSettings]]],
        stop: asyncio.Event,
        earlier_ns: int | None,
    ) -> str:
        """Receive until it is over; return why it is."""
        duration_s = self.settings.duration_s
        timer = asyncio.get_running_loop().call_later(duration_s, stop.set) if duration_s else None
        gc.collect()
        gc.freeze()
        thresholds = gc.get_threshold()
        gc.set_threshold(_GC_OBJECTS, 50, 50)
        try:
            await receiver.run(numbered, stop, since_ns=earlier_ns)
        except JournalFull as error:
            receiver.stopped = str(error)
            _LOG.error("%s", error)
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            if timer is not None:
                timer.cancel()
        return receiver.stopped or (
            "the time is over" if duration_s and timer and timer.when() <= time.monotonic() else "stopped"
        )

    def _begin(self, sources: list[SourceSettings]) -> tuple[SessionFile, int | None]:
        """Make the folder, or take up the one that is there; return when its last frame came, None if it is new."""
        settings = self.settings
        database = settings.database or str((self.folder / DATABASE).resolve())
        about = SessionFile(
            name=self.name,
            sources=sources,
            database=without_password(database),
            keep_raw=settings.keep_raw,
            started_ns=self.clock.now_ns(),
        )
        earlier_ns = None
        if (self.folder / PRUNED).exists():
            raise StoreError(
                "the session of this name was pruned: its frames are in a lake",
                where=str(self.folder),
                remedy="choose another name",
            )
        if (self.folder / "session.json").exists():
            old = self._old = load_session(self.folder)
            into = without_password(database_of(self.folder, old))
            if old.sources != sources or into != about.database:
                raise StoreError(
                    "the session of this name captured something else",
                    expected=f"{', '.join(s.name for s in old.sources)} into {into}",
                    where=str(self.folder),
                    remedy="choose another name",
                )
            about = msgspec.structs.replace(old, state="running", ended_ns=None, complete=False, database=into)
            earlier_ns = _last_frame_ns(self.folder / JOURNAL)
        (self.folder / JOURNAL).mkdir(parents=True, exist_ok=True)
        save_session(self.folder, about)
        return about, earlier_ns

    def _ended(self, about: SessionFile, last: Report) -> None:
        self._state = "ended" if last.state == "done" else "incomplete"
        if self._state == "incomplete":
            _LOG.error(
                "the database lacks frames behind %d (%s); the journal has them: tapebook capture --recover %s",
                last.watermark,
                last.error or last.state,
                self.name,
            )
        self._keep(msgspec.structs.replace(about, complete=self._state == "ended"))

    def _keep(self, about: SessionFile) -> None:
        """Write the session's file; on a full disk it goes on saying that the session runs, and recovery mends that."""
        try:
            save_session(self.folder, about)
        except OSError as error:
            _LOG.error("the session's file could not be written: %s", error.strerror)

    def _forget(self) -> None:
        """Remove the folder of a session that never began, unless something is in it."""
        with contextlib.suppress(OSError):
            (self.folder / "session.json").unlink()

    def _follower_settings(self) -> FollowerSettings:
        settings = self.settings
        return FollowerSettings(
            folder=str(self.folder.resolve()),
            database=settings.database or str((self.folder / DATABASE).resolve()),
            batch_rows=settings.batch_rows,
            batch_timeout_s=settings.batch_timeout_s,
            memory_mb=settings.memory_mb,
            drain_s=settings.drain_s,
        )

    # ---- what is seen ----------------------------------------------------------------------------------------------

    def statistics(self) -> CaptureStatistics:
        """Return how the capture is doing; rates are since the last call."""
        follower = self._follower
        report = follower.latest if follower is not None else Report(state="starting")
        restarts = follower.restarts if follower is not None else 0
        self.latest = self._gauges.read(self._state, self._receiver, report, restarts, self._warnings)
        return self.latest

    @property
    def follower_cpu_s(self) -> float:
        """Processor time of the followers so far."""
        return self._follower.latest.cpu_s if self._follower is not None else 0.0

    async def _show_often(self) -> None:
        while True:
            await asyncio.sleep(self.settings.interval_s)
            self._show(self.statistics())

    @contextlib.contextmanager
    def _measured(self) -> Iterator[None]:
        """Serve metrics, if they are asked for."""
        if self.settings.metrics_port is None:
            yield
            return
        from tapebook.capture.metrics import Metrics

        metrics = Metrics(self.settings.metrics_port, lambda: self.latest)
        self.metrics_port = metrics.port
        _LOG.info("metrics on http://127.0.0.1:%d/metrics", metrics.port)
        try:
            yield
        finally:
            metrics.close()


def run_capture(
    settings: CaptureSettings,
    credentials_for: CredentialsFor,
    show: Callable[[CaptureStatistics], None] = lambda _: None,
) -> Outcome:
    """Capture in this process until Ctrl-C, SIGTERM or the end of the time; a second Ctrl-C does not wait.

    Raises
    ------
    TickDataError
        See :meth:`Capture.run`.
    """

    async def main() -> Outcome:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def asked() -> None:
            if stop.is_set():
                task.cancel()
            stop.set()

        if sys.platform != "win32":
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, asked)
        return await Capture(settings, credentials_for, show=show).run(stop)

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        raise TickDataError(
            "stopped before the database was up to date", remedy="tapebook capture --recover, with the session's name"
        ) from None


def _check_ready(ready: Report, earlier_ns: int | None) -> None:
    """Refuse to go on where the database cannot say which frames it knows: their numbers must stay theirs."""
    if ready.state == "waiting" and earlier_ns is not None:
        raise StoreError(
            "a session is gone on with only where its database answers",
            found=ready.error,
            remedy="start the database, or give the session another name",
        )


def _last_frame_ns(folder: Path) -> int | None:
    """Return when the last frame of a journal came; only its last segment that has one is read."""
    if not folder.is_dir():
        return None
    for segment in reversed(segments(folder)):
        with JournalReader(folder, start=segment.first_sequence) as reader:
            if last := deque(reader, maxlen=1):
                return last[0].ts_recv_ns
    return None
