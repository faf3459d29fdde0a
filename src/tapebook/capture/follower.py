"""The follower: reads a journal's end, decodes it, and keeps a database up to date with it.

It may be killed at any moment: a batch and its watermark commit together, the decoder's memory is a file beside the
journal (:mod:`tapebook.capture.checkpoint`), and every row has a key.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from tapebook.capture.checkpoint import load_checkpoint, save_checkpoint
from tapebook.capture.decode import Decoder
from tapebook.capture.memory import resident_mb
from tapebook.capture.reports import Last, Report, Tables
from tapebook.capture.settings import CHECKPOINTS, JOURNAL, FollowerSettings, SessionFile, load_session
from tapebook.market.errors import StoreError, TickDataError
from tapebook.market.events import MISSING
from tapebook.store.batches import Batch
from tapebook.store.database import (
    Database,
    DatabaseError,
    DatabaseFull,
    DatabaseGone,
    DatabaseLocked,
    Session,
    open_database,
)
from tapebook.store.journal_files import JournalLocked, take_lock
from tapebook.store.journal_read import JournalReader
from tapebook.venues.credentials import masked

__all__ = ["Follower"]

_READ_FRAMES: Final = 2_000
_POLL_S: Final = 0.005
_WAITS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_ROWS_MIN: Final = 250
_LOCK_S: Final = 60.0
_PASSING: Final = (DatabaseGone, DatabaseLocked, DatabaseFull)
"""What a database may get over by itself, or with a person's help, while we wait."""


class Interrupted(Exception):  # noqa: N818 - reads as what it is; never leaves this file
    """The end came while a database was waited for."""


class Follower:
    """Brings a database to what a session's journal holds, and keeps it there.

    Parameters
    ----------
    settings
        See :class:`~tapebook.capture.settings.FollowerSettings`.
    tell
        Gets a report now and then.
    ended
        Returns ``""`` while the journal is being written, then ``"ended"`` or ``"killed"``.
    timer, sleep
        A clock of seconds that does not jump, and what waits.
    """

    def __init__(
        self,
        settings: FollowerSettings,
        *,
        tell: Callable[[Report], None] = lambda _: None,
        ended: Callable[[], str] = lambda: "ended",
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.folder = Path(settings.folder)
        self.session_file: SessionFile = load_session(self.folder)
        self._tell, self._ended, self._timer, self._sleep = tell, ended, timer, sleep
        self._identity = msgspec.json.encode(self.session_file.sources).decode()
        self._base: Database | None = None
        self._session = Session(name="", venue="", journal="", started_timestamp=0)
        self._batch_rows = settings.batch_rows
        self._state, self._error, self._error_type = "starting", "", ""
        self._watermark = self._watermark_ns = 0
        self._frames = self._frame_bytes = self._events = self._batches = 0
        self._rows = dict.fromkeys(Tables.__struct_fields__, 0)
        self._findings: dict[str, int] = {}
        self._last: dict[str, Last] = {}
        self._reported_s = self._kept_s = -1e9
        self._unkept = 0
        self._deadline_s: float | None = None
        self._decoder: Decoder | None = None
        self._reader: JournalReader | None = None

    def run(self) -> Report:
        """Follow until told to end, then bring the database to the journal's end; return the last report.

        Raises
        ------
        TickDataError
            If the database refuses what trying again would not change (when it is opened first).
        """
        with self._alone():
            try:
                self._open(first=True)
                decoder = self._decoder = self._decoder_at(self._watermark)
                self._report(force=True, state="following")
                with JournalReader(self.folder / JOURNAL, start=decoder.last_sequence + 1) as reader:
                    self._reader = reader
                    self._follow(decoder, reader)
                    self._finish(self._ended() or "ended")
            except Interrupted:
                return self._report(force=True, state="incomplete")
            finally:
                if self._base is not None:
                    self._base.close()
            return self._report(force=True, state="done")

    # ---- the loop --------------------------------------------------------------------------------------------------

    def _follow(self, decoder: Decoder, reader: JournalReader) -> None:
        settings, timer = self.settings, self._timer
        since_s = 0.0  # when the first frame of the batch was read
        while True:
            ended = self._ended()  # asked before reading: what was written before the end is then read
            frames = reader.read(min(_READ_FRAMES, max(self._batch_rows, _ROWS_MIN)))
            if frames:
                if not decoder.pending:
                    since_s = timer()
                decoder.feed(frames)
                self._frames += len(frames)
                self._frame_bytes += sum(len(frame.payload) for frame in frames)
            full = decoder.n_rows >= self._batch_rows
            late = decoder.pending and timer() - since_s >= settings.batch_timeout_s
            if full or late or (ended and not frames and decoder.pending):
                self._flush(decoder)
            self._report()
            if frames:
                continue
            if ended:
                self._passed_over(decoder, reader)
                return
            self._sleep(_POLL_S)

    def _passed_over(self, decoder: Decoder, reader: JournalReader) -> None:
        """Take in the numbers at the journal's end that no frame has."""
        last = reader.statistics().last_sequence
        if last > decoder.last_sequence:
            decoder.skip_to(last)
            self._flush(decoder)

    def _flush(self, decoder: Decoder) -> None:
        decoded = decoder.build()
        batch = decoded.batch
        self._events += decoded.events.size
        if batch.last_sequence <= self._watermark:  # decoded again from a checkpoint: it is there
            return
        self._seen(batch)
        self._write(batch)
        self._batches += 1
        self._unkept += 1
        settings = self.settings
        if self._unkept >= settings.checkpoint_batches and self._timer() - self._kept_s >= settings.checkpoint_s:
            self._keep(decoder)
        self._mind_memory()

    def _write(self, batch: Batch) -> None:
        """Write a batch, however long it takes."""
        waits = _waits()
        while True:
            try:
                if self._base is None:
                    self._open()
                    if self._watermark + 1 < batch.first_sequence:
                        break
                assert self._base is not None
                written = self._base.write(self._session, batch)
            except TickDataError as error:
                self._trouble(error)
                self._wait(next(waits))
                continue
            self._watermark = written.watermark
            self._watermark_ns = batch.received_timestamp or self._watermark_ns
            for table, rows in batch.tables.items():
                self._rows[table] += rows.size
            self._rows["gaps"] += len(batch.gaps)
            self._rows["quality"] += len(batch.quality)
            for row in batch.quality:
                self._findings[row.finding] = self._findings.get(row.finding, 0) + 1
            if self._error:
                self._error = self._error_type = ""
                self._state = "following"
                self._report(force=True)
            return
        # A restored backup, or commits that a power failure took. Begun anew, we decode from where it is.
        raise StoreError(
            "the database went back",
            expected=f"frame {batch.first_sequence - 1}",
            found=f"frame {self._watermark}",
            where=self.session_file.database,
            remedy="begin again: the journal has what it lacks",
        )

    def _finish(self, state: str) -> None:
        if self._decoder is not None and self._unkept:
            self._keep(self._decoder)
        waits = _waits()
        ended_ns = self.session_file.ended_ns or self._watermark_ns or self.session_file.started_ns
        while True:
            try:
                if self._base is None:
                    self._open()
                assert self._base is not None
                self._base.end_session(self._session, ended_ns, state)
            except TickDataError as error:
                self._trouble(error)
                self._wait(next(waits))
            else:
                self._error = self._error_type = ""
                return

    # ---- parts -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the follower's own lock: one that outlived its capture may still be at work."""
        folder = self.folder / CHECKPOINTS
        folder.mkdir(parents=True, exist_ok=True)
        until = self._timer() + _LOCK_S
        while True:
            try:
                lock = take_lock(folder)
                break
            except JournalLocked:
                if self._timer() > until:
                    raise
                self._sleep(0.05)
        with lock:
            yield

    def _open(self, *, first: bool = False) -> None:
        """Open the database and find out how far it is."""
        about = self.session_file
        waits = _waits()
        while True:
            try:
                base = open_database(self.settings.database)
                try:
                    self._session = base.begin_session(
                        Session(
                            name=about.name,
                            venue=about.venue,
                            journal=about.name,
                            started_timestamp=about.started_ns,
                            settings=msgspec.json.encode(about.sources).decode(),
                        )
                    )
                    if self._session.state != "running" and not self._ended():
                        base.end_session(self._session, None, "running")
                    self._watermark = base.watermark(self._session)
                except BaseException:
                    base.close()
                    raise
            except TickDataError as error:
                if not first:
                    raise
                if not isinstance(error, _PASSING):
                    raise
                self._trouble(error)
                self._wait(next(waits))
            else:
                self._base = base
                return

    def _decoder_at(self, watermark: int) -> Decoder:
        """Return a decoder that knows what it must know of the frames up to the watermark."""
        about = self.session_file
        found = load_checkpoint(self.folder / CHECKPOINTS, watermark, self._identity)
        decoder = Decoder(about.sources, keep_raw=about.keep_raw)
        if found is not None:
            decoder.restore(found[1])
        if decoder.last_sequence < watermark:
            self._replay(decoder, watermark)
        return decoder

    def _replay(self, decoder: Decoder, watermark: int) -> None:
        """Decode again what the database has already; its rows are not wanted."""
        with JournalReader(self.folder / JOURNAL, start=decoder.last_sequence + 1) as reader:
            while decoder.last_sequence < watermark:
                frames = reader.read(min(_READ_FRAMES, watermark - decoder.last_sequence))
                if frames:
                    frames = [frame for frame in frames if frame.sequence <= watermark]
                if not frames:
                    break
                decoder.feed(frames)
                decoder.build()
                self._report()
        decoder.skip_to(watermark)  # a power failure may have taken frames that the database has
        decoder.build()

    def _keep(self, decoder: Decoder) -> None:
        self._unkept, self._kept_s = 0, self._timer()
        try:
            save_checkpoint(self.folder / CHECKPOINTS, decoder.last_sequence, self._identity, decoder.save())
        except OSError as error:  # a restart decodes from further back
            self._error, self._error_type = masked(f"the decoder's memory was not kept: {error}"), "OSError"

    def _mind_memory(self) -> None:
        if resident_mb() > self.settings.memory_mb:
            self._batch_rows = max(self._batch_rows // 2, min(_ROWS_MIN, self.settings.batch_rows))
            gc.collect()
        elif self._batch_rows < self.settings.batch_rows:
            self._batch_rows = min(self._batch_rows + _ROWS_MIN, self.settings.batch_rows)

    def _trouble(self, error: TickDataError) -> None:
        self._error, self._error_type = masked(str(error)), type(error).__name__
        self._state = "waiting"
        if isinstance(error, DatabaseError) and self._base is not None and not isinstance(error, DatabaseLocked):
            with contextlib.suppress(TickDataError):
                self._base.close()
            self._base = None
        self._report(force=True)

    def _wait(self, wait_s: float) -> None:
        """Wait before the database is tried again; at the end only so long."""
        until = self._timer() + wait_s
        while self._timer() < until:
            if self._ended():
                now = self._timer()
                self._deadline_s = self._deadline_s or now + self.settings.drain_s
                if now >= self._deadline_s:
                    raise Interrupted
            self._sleep(min(0.05, wait_s))
            self._report()

    def _seen(self, batch: Batch) -> None:
        """Note the last prices."""
        quotes, trades = batch.tables["quotes"], batch.tables["trades"]
        for rows, names in ((quotes, ("bid_price", "ask_price")), (trades, ("price",))):
            if not rows.size:
                continue
            for i, (contract_id, symbol) in enumerate(batch.contracts):
                mine = (rows["contract"] == i).nonzero()[0]
                if mine.size:
                    row = rows[mine[-1]]
                    values = [None if row[name] == MISSING else int(row[name]) for name in names]
                    old = self._last.get(contract_id, Last(symbol=symbol))
                    new = {"trade": values[0]} if len(names) == 1 else {"bid": values[0], "ask": values[1]}
                    self._last[contract_id] = msgspec.structs.replace(old, **new)

    def _report(self, *, force: bool = False, state: str = "") -> Report:
        now = self._timer()
        self._state = state or self._state
        report = Report(state=self._state)
        if force or now - self._reported_s >= self.settings.report_s:
            self._reported_s = now
            report = self._now()
            self._tell(report)
        return report

    def _now(self) -> Report:
        decoder, reader = self._decoder, self._reader
        return Report(
            state=self._state,
            watermark=self._watermark,
            watermark_ns=self._watermark_ns,
            read_sequence=decoder.last_sequence if decoder else 0,
            frames=self._frames,
            frame_bytes=self._frame_bytes,
            events=self._events,
            rows=Tables(**self._rows),
            batches=self._batches,
            error=self._error,
            error_type=self._error_type,
            batch_rows=self._batch_rows,
            memory_mb=resident_mb(),
            cpu_s=time.process_time(),
            last=dict(self._last),
            notes=dict(decoder.notes) if decoder else {},
            findings=dict(self._findings),
            missing_frames=reader.statistics().missing_frames if reader else 0,
        )


def _waits() -> Iterator[float]:
    yield from _WAITS_S
    while True:
        yield _WAITS_S[-1]
