"""The receiver: whatever a source hands on is in the journal before anything else happens. That is all it does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tapebook.capture.clock_offset import ClockOffset, ask_date
from tapebook.capture.notes import Note, write_note
from tapebook.capture.settings import SourceSettings
from tapebook.capture.sources import Source
from tapebook.market.clock import Clock
from tapebook.market.errors import TickDataError
from tapebook.store.journal import Journal, JournalError
from tapebook.store.journal_format import FrameKind
from tapebook.venues.credentials import masked

__all__ = ["LATENCY_STEP_NS", "Limits", "Receiver", "Stream"]

LATENCY_STEP_NS: Final = 10_000
_LATENCY_STEPS: Final = 10_000
_LOG: Final = logging.getLogger("tapebook.capture.receiver")
_CLOCK: Final = int(FrameKind.CLOCK)
_CONNECT, _DISCONNECT, _SUBSCRIBE = int(FrameKind.CONNECT), int(FrameKind.DISCONNECT), int(FrameKind.SUBSCRIBE)
_FRAME, _GAP, _NOTE = int(FrameKind.FRAME), int(FrameKind.GAP), int(FrameKind.NOTE)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is watched.

    Attributes
    ----------
    disk_warn_mb, disk_stop_mb
        Free space of the journal's disk below which it is told, and below which the capture ends cleanly.
    sync_s
        How often the journal is forced to the disk itself; 0: never (the system does it in its own time).
    clock_s
        How often a venue is asked for its time; 0: never.
    watch_s
        How often the disk is looked at.
    """

    disk_warn_mb: float = 2_000.0
    disk_stop_mb: float = 256.0
    sync_s: float = 0.05
    clock_s: float = 60.0
    watch_s: float = 1.0


@dataclass
class Stream:
    """What was seen of one line."""

    settings: SourceSettings
    state: str = "connecting"
    frames: int = 0
    frame_bytes: int = 0
    connections: int = 0
    silences: int = 0
    refused: int = 0
    last_ns: int = 0  # when the last frame came; 0: none did
    lost_ns: int = 0  # when the last frame came before the connection was lost; 0: it stands
    text: str = ""
    clock: Note | None = None


@dataclass
class Receiver:
    """Journals what sources send, and watches disk and clocks.

    Attributes
    ----------
    journal, clock, limits
        Where to, the time, and what is watched.
    streams
        By the journal's source number.
    latency
        How many of the frames that were looked at were in the journal within so many steps of 10 µs.
    """

    journal: Journal
    clock: Clock
    limits: Limits = field(default_factory=Limits)
    streams: dict[int, Stream] = field(default_factory=dict)
    latency: list[int] = field(default_factory=lambda: [0] * (_LATENCY_STEPS + 1))
    warnings: dict[str, str] = field(default_factory=dict)
    stopped: str = ""  # why it ended by itself
    sync_failure: str = ""

    async def run(
        self,
        sources: Sequence[tuple[Source, Sequence[SourceSettings]]],
        stop: asyncio.Event,
        *,
        since_ns: int | None = None,
    ) -> None:
        """Journal until ``stop`` is set or it has to end; ``since_ns``: when the last frame of an earlier run came.

        Raises
        ------
        TickDataError
            If a venue does not accept us, or the journal cannot be written.
        """
        for _, lines in sources:
            for line in lines:
                self.streams[line.number] = Stream(line)
        if since_ns is not None:
            self._resume(since_ns)
        jobs: list[asyncio.Task[object]] = [
            asyncio.create_task(
                source.run(_Lines(self, [self.streams[line.number] for line in lines]), [line.number for line in lines])
            )
            for source, lines in sources
        ]
        jobs.append(asyncio.create_task(self._watch(), name="watch"))
        helpers = [asyncio.create_task(self._ask_clock(*pair), name="clock") for pair in sources]
        jobs.append(asyncio.create_task(stop.wait(), name="stop"))
        over = threading.Event()
        syncing = threading.Thread(target=self._sync, args=(over,), name="journal-sync", daemon=True)
        if self.limits.sync_s:
            syncing.start()
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            for task in (*jobs, *helpers):
                task.cancel()
            await asyncio.gather(*jobs, *helpers, return_exceptions=True)
            over.set()
            if syncing.is_alive():
                await asyncio.to_thread(syncing.join)
            self._end_gaps()

    def noted(self, stream: Stream, kind: int, note: Note) -> None:
        """Take down what happened to a line."""
        name, text = stream.settings.name, masked(note.text)
        stream.text = text
        level = logging.INFO
        if kind == _CONNECT:
            stream.state = "connected"
            stream.connections += 1
            stream.lost_ns = 0
        elif kind == _SUBSCRIBE:
            stream.state = "live"
        elif kind == _DISCONNECT:
            stream.state, level = "lost", logging.WARNING
            stream.lost_ns = stream.lost_ns or stream.last_ns
        elif kind == _GAP:
            stream.silences += 1
            level = logging.WARNING
        elif note.what == "refused":
            stream.refused += 1
            level = logging.WARNING
        _LOG.log(level, "%s %s %s %s", name, note.what, note.contract, text)

    def _resume(self, since_ns: int) -> None:
        """Note a gap from the last frame of an earlier run until now, on every line."""
        now = self.clock.now_ns()
        note = write_note(Note(what="resumed", text="the capture was not running", since_ns=since_ns))
        self.journal.append((now, number, _GAP, note) for number in self.streams)

    def _end_gaps(self) -> None:
        """Note that a line which is lost at the end stays so, and that this is the end."""
        now = self.clock.now_ns()
        records: list[tuple[int, int, int, bytes]] = []
        for number, stream in self.streams.items():
            if stream.lost_ns:
                note = Note(what="the connection was lost", text="until the end", since_ns=stream.lost_ns)
                records.append((now, number, _GAP, write_note(note)))
            records.append((now, number, _NOTE, write_note(Note(what="ended", text=self.stopped))))
        with contextlib.suppress(JournalError):  # it is full: what is in it stands
            self.journal.append(records)

    def _sync(self, over: threading.Event) -> None:
        """Force the journal to the disk, again and again, in a thread of its own."""
        journal, done = self.journal, 0
        while not over.wait(self.limits.sync_s):
            if journal.last_sequence == done:
                continue
            try:
                done = journal.sync()
                self.sync_failure = ""
            except (TickDataError, OSError) as error:
                if not self.sync_failure:
                    _LOG.error("the journal could not be forced to the disk: %s", error)
                self.sync_failure = str(error)

    async def _watch(self) -> None:
        """Look at the disk; return when there is too little room to go on."""
        limits = self.limits
        while True:
            free_mb = disk_free_mb(self.journal.folder)
            told = self.journal.statistics()
            if free_mb < limits.disk_stop_mb or not told.room:
                self.stopped = f"the disk is nearly full: {free_mb:,.0f} MB free"
                _LOG.error("%s; the capture ends while the journal is whole", self.stopped)
                return
            self._warn("disk", free_mb < limits.disk_warn_mb, f"{free_mb:,.0f} MB of disk are left")
            self._warn("seal", bool(told.failure), f"a journal segment was not compressed: {told.failure}")
            await asyncio.sleep(limits.watch_s)

    def _warn(self, name: str, on: bool, text: str) -> None:
        if on:
            if name not in self.warnings:
                _LOG.warning("%s", text)
            self.warnings[name] = text
        else:
            self.warnings.pop(name, None)

    async def _ask_clock(self, source: Source, lines: Sequence[SourceSettings]) -> None:
        """Estimate how far the venue's clock is from ours, and journal it."""
        address = source.clock_address()
        if not address or not self.limits.clock_s:
            return
        offset = ClockOffset()
        n = 0
        while True:
            sample = await ask_date(address, self.clock)
            if sample is not None:
                offset.add(*sample)
                n += 1
                low, high = offset.bounds_ns
                note = Note(
                    what="clock", offset_ns=(low + high) // 2, error_ns=(high - low + 1) // 2, samples=offset.samples
                )
                now = self.clock.now_ns()
                self.journal.append((now, line.number, _CLOCK, write_note(note)) for line in lines)
                for line in lines:
                    self.streams[line.number].clock = note
            # The date has whole seconds: a few answers at different parts of a second narrow it down.
            await asyncio.sleep(min(1.13, self.limits.clock_s) if n < 10 else self.limits.clock_s)


class _Lines:
    """Where a source puts what it has: the journal, then the counters."""

    def __init__(self, receiver: Receiver, streams: Sequence[Stream]) -> None:
        self._receiver, self._streams = receiver, streams
        self._append, self._now_ns = receiver.journal.append, receiver.clock.now_ns
        self._latency = receiver.latency

    def frames(self, line: int, records: Sequence[tuple[int, int, int, bytes]]) -> None:
        """Take frames."""
        self._append(records)
        now_ns, latency = self._now_ns(), self._latency
        stream = self._streams[line]
        for record in records:
            step = (now_ns - record[0]) // LATENCY_STEP_NS
            latency[step if 0 <= step < _LATENCY_STEPS else _LATENCY_STEPS] += 1
            stream.frame_bytes += len(record[3])
        stream.frames += len(records)
        stream.last_ns = records[-1][0]

    def note(self, line: int, ts_recv_ns: int, kind: FrameKind, note: Note) -> None:
        """Take what happened to a line."""
        stream = self._streams[line]
        self._append(((ts_recv_ns, stream.settings.number, int(kind), write_note(note)),))
        self._receiver.noted(stream, kind, note)


def disk_free_mb(folder: Path) -> float:
    """Return the free space of a folder's disk; of one that is not made yet, of the disk that it will be on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e6
