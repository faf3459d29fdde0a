"""Beside the journal's writer, in threads: full segments are compressed, the next one's room is taken."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from tapebook.market.parquet import sync_folder
from tapebook.store import journal_files as files
from tapebook.store.journal_files import JournalError, OpenSegment, done, sync_segment, told
from tapebook.store.journal_format import FORMAT_VERSION, PAGE_BYTES, SealedHeader
from tapebook.store.journal_settings import JournalSettings

_Work: TypeAlias = Callable[[], Path]


class Sealer:
    """Segments that are not sealed yet, and what is done with them beside the thread that writes.

    Parameters
    ----------
    folder, identity, settings
        The journal's.

    Attributes
    ----------
    opened
        Full segments that are not sealed yet, then the one being written.
    sealed, failed, failure
        Segments sealed, those that stay uncompressed, and why the last of them does.
    room
        False: the next segment could not be reserved.
    """

    def __init__(self, folder: Path, identity: str, settings: JournalSettings) -> None:
        self.folder = folder
        self.identity = identity
        self.settings = settings
        self.opened: list[OpenSegment] = []
        self.sealed = self.failed = 0
        self.failure = ""
        self.room = True
        self._guard = threading.Lock()
        self._folder_synced = False
        self._reserve: Future[Path] | None = None
        self._pools = [ThreadPoolExecutor(1, name) for name in ("journal-seal", "journal-reserve")]

    def add(self, segment: OpenSegment) -> None:
        """Take in the segment that is written from now on."""
        with self._guard:
            self.opened.append(segment)
            self._folder_synced = False

    def start(self, segment: OpenSegment, records: int) -> None:
        """Seal a full segment; if that fails, it stays as it is and the next opening tries again."""
        header = SealedHeader(
            version=FORMAT_VERSION,
            identity=self.identity,
            first_sequence=segment.first_sequence,
            last_sequence=segment.last_sequence,
            first_ts_recv_ns=segment.first_ts_recv_ns,
            last_ts_recv_ns=segment.last_ts_recv_ns,
            records=records,
            blocks=len(segment.marks),
            raw_bytes=segment.end - PAGE_BYTES,
            codec=self.settings.codec,
        )
        self._run(0, lambda: self._seal(segment, header))

    def _seal(self, segment: OpenSegment, header: SealedHeader) -> Path:
        settings = self.settings
        path = segment.path
        try:
            path = files.seal(path, segment.end, header, segment.marks, settings.codec, settings.level)
            self.sealed += 1
        except OSError as error:
            self.failed += 1
            self.failure = str(error)
            with contextlib.suppress(OSError):
                sync_segment(segment, segment.handle)
        with self._guard:
            self.opened.remove(segment)
            os.close(segment.handle)
        if path != segment.path:
            with contextlib.suppress(OSError):
                segment.path.unlink()
        return path

    def sync(self, sequence: int) -> None:
        """Force all segments that are not sealed yet, up to a frame, to the disk."""
        with self._guard:
            waiting = [s for s in self.opened if not s.synced]
            handles = [os.dup(s.handle) for s in waiting]
            full = [s for s in waiting if s.end]
            folder_synced, self._folder_synced = self._folder_synced, True
        try:
            with told(self.folder, sequence):
                for segment, handle in zip(waiting, handles, strict=True):
                    sync_segment(segment, handle)
                if not folder_synced:
                    sync_folder(self.folder)
        except JournalError:
            self._folder_synced = False
            raise
        finally:
            for handle in handles:
                os.close(handle)
        for segment in full:
            segment.synced = True

    def reserve(self, *, now: bool = False) -> None:
        """Take room for the next segment, unless it is taken."""
        size = self.settings.segment_bytes
        if now:
            self._reserve = done(files.make_reserve(self.folder, size))
        elif self._reserve is None:
            self._reserve = self._run(1, lambda: self._make(size))

    def take(self, size: int) -> Path:
        """Return a file of this size: the one in reserve, or one made now."""
        reserve, self._reserve = self._reserve, None
        if reserve is not None and size == self.settings.segment_bytes:
            with contextlib.suppress(OSError):
                return reserve.result()
        elif reserve is not None:
            reserve.exception()  # it ends before the larger one is made under the same name
        return self._make(size)

    def close(self) -> None:
        """Wait for what is under way."""
        for pool in self._pools:
            pool.shutdown(wait=True)
        with contextlib.suppress(OSError):
            (self.folder / files.RESERVE).unlink(missing_ok=True)

    def _make(self, size: int) -> Path:
        try:
            path = files.make_reserve(self.folder, size)
        except OSError:
            self.room = False
            raise
        self.room = True
        return path

    def _run(self, pool: int, work: _Work) -> Future[Path]:
        if self.settings.background:
            return self._pools[pool].submit(work)
        try:
            return done(work())
        except OSError as error:
            future: Future[Path] = Future()
            future.set_exception(error)
            return future
