"""The journal: every frame as it was received, on disk before anything else sees it.

``append`` copies a frame into the memory-mapped segment and returns: from then on it survives the process's death in
whatever way (the system owns the pages). What the machine's own death may take is what came after the last ``sync``.
Nobody has to close anything: at the next opening the segment that was being written is read, a torn last record is cut
off and told, and numbering goes on behind the last whole one.

Room is taken before it is needed. The next segment is reserved when the current one is half full; if the disk has no
room then, ``statistics().room`` is false with half a segment to go, and :class:`JournalFull` is raised only for a frame
that finds no room at all. Full segments are compressed by a thread of their own; if that fails (no room), they stay as
they are, which is as good to read.

Cost: 1 µs a frame of 200 bytes, half of it the CRC and the copy; see ``docs/journal.md`` for the figures.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tapebook.market.quarantine import Quarantine
from tapebook.store import journal_files as files
from tapebook.store.journal_files import (
    JournalError,
    JournalFull,
    JournalLocked,
    Mark,
    OpenSegment,
    told,
)
from tapebook.store.journal_format import (
    CRC,
    FORMAT_VERSION,
    PAGE_BYTES,
    PAYLOAD_BYTES_MAX,
    RECORD_BYTES,
    SEALED_PART,
    Frame,
    FrameKind,
    OpenHeader,
)
from tapebook.store.journal_open import inspect
from tapebook.store.journal_seal import Sealer
from tapebook.store.journal_settings import JournalSettings, JournalStatistics

__all__ = [
    "Frame",
    "FrameKind",
    "Journal",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalSettings",
    "JournalStatistics",
]


class Journal:
    """Append-only journal of raw frames in a folder; one process writes it, any number may read it.

    ``append`` is for one thread; ``sync``, ``statistics`` and ``prune`` may be called from others.

    Parameters
    ----------
    folder
        Made if it is not there.
    identity
        Whose journal it is, a session's name; another name in the folder is an error.
    settings
        See :class:`JournalSettings`.
    after
        Number frames from behind this one at least. Give the watermark of the databases that are filled from this
        journal: a power failure may take frames from the journal that a database on another machine has already, and
        their numbers must not be given again.
    quarantine
        Where damage that is found at the opening is told.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with Journal(folder, identity="es-monday") as journal:
    ...     journal.append([(10**18, 0, FrameKind.FRAME, b"one"), (10**18 + 5, 0, FrameKind.FRAME, b"two")])
    2
    >>> from tapebook.store.journal_read import JournalReader
    >>> [frame.payload for frame in JournalReader(folder)]
    [b'one', b'two']
    """

    def __init__(
        self,
        folder: Path,
        *,
        identity: str = "",
        settings: JournalSettings | None = None,
        after: int = 0,
        quarantine: Quarantine | None = None,
    ) -> None:
        self.folder = folder
        self.identity = identity
        self.settings = settings or JournalSettings()
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self._sealer = Sealer(folder, identity, self.settings)
        self._full = self._cut_bytes = 0
        self._memory: mmap.mmap | None = None
        self._at = self._end = self._mark = self._step = self._sequence_max = self._last_ts_recv_ns = 0
        self._closed = False
        with told(folder, 0):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = files.take_lock(folder)
        try:
            last = self._take_over()
            self._sequence = self._start = self._synced = max(last, after)
            self._bytes = 0
            # Told now rather than at the first frame: no room, a folder that cannot be written.
            with told(folder, self._sequence, self.settings.segment_bytes):
                self._sealer.reserve(now=True)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last_sequence(self) -> int:
        """The last frame in the journal."""
        return self._sequence

    def append(self, frames: Iterable[tuple[int, int, int, bytes]]) -> int:
        """Write frames ``(ts_recv_ns, source, kind, payload)`` and return the sequence of the last one.

        Raises
        ------
        JournalFull
            If there is no room: the frames before the one in hand are in (``last_sequence`` of the error).
        JournalError
            If a frame does not fit the format.
        """
        pack, pack_crc, crc32 = SEALED_PART.pack, CRC.pack, zlib.crc32
        sequence = self._sequence
        try:
            for ts_recv_ns, source, kind, payload in frames:
                size = len(payload)
                at = self._at
                if at + RECORD_BYTES + size > self._end or sequence >= self._sequence_max:
                    self._next_segment(ts_recv_ns, size)
                    at = self._at
                elif at >= self._mark:
                    self._note_mark(at)
                sequence += 1
                head = pack(size, sequence, ts_recv_ns, source, kind, 0)
                stop = at + RECORD_BYTES + size
                memory = self._memory
                assert memory is not None
                memory[at + RECORD_BYTES : stop] = payload
                memory[at + 4 : at + RECORD_BYTES] = head
                # Last, so that a reader beside us sees a whole record or none.
                memory[at : at + 4] = pack_crc(crc32(payload, crc32(head)))
                self._at = (stop + 3) & ~3
                self._last_ts_recv_ns = ts_recv_ns
                self._bytes += size
                self._sequence = sequence
        except struct.error as error:
            raise JournalError(
                "the frame does not fit a record",
                expected="ts_recv_ns in 64 bits, source below 65536, kind below 256",
                found=f"{ts_recv_ns}, {source}, {kind} ({error})",
                where=f"{self.folder}, after frame {self._sequence}",
            ) from None
        return sequence

    def sync(self) -> int:
        """Force everything appended so far to the disk itself; return the sequence of the last frame that is safe."""
        sequence = self._sequence
        self._sealer.sync(sequence)
        self._synced = max(self._synced, sequence)
        return sequence

    def prune(self, through: int) -> int:
        """Remove sealed segments whose frames are all numbered ``through`` or lower; return how many were removed.

        Call it with the lowest watermark of the databases, where the disk is small: the journal is then a ring.
        """
        old = [s for s in files.segments(self.folder) if s.sealed and s.last_sequence <= through]
        for segment in old:
            segment.path.unlink()
        return len(old)

    def statistics(self) -> JournalStatistics:
        """Return what was done so far."""
        return JournalStatistics(
            last_sequence=self._sequence,
            synced_sequence=self._synced,
            frames=self._sequence - self._start,
            frame_bytes=self._bytes,
            segments_full=self._full,
            segments_sealed=self._sealer.sealed,
            seals_failed=self._sealer.failed,
            failure=self._sealer.failure,
            room=self._sealer.room,
            cut_bytes=self._cut_bytes,
        )

    def close(self) -> None:
        """Seal what is there, wait for it, and let go of the folder."""
        if self._closed:
            return
        self._closed = True
        self._end = 0
        try:
            self._retire()
            self._sealer.close()
        finally:
            self._lock.close()

    def _take_over(self) -> int:
        """Look at what is there, seal what a killed process left; return the last sequence."""
        last = 0
        with told(self.folder, 0):
            for half in self.folder.glob(".*.part"):
                half.unlink()
            (self.folder / files.RESERVE).unlink(missing_ok=True)
            known = files.segments(self.folder)
            sealed = {s.first_sequence for s in known if s.sealed}
            for path in self.folder.glob("*.open"):
                if path.stem.isdecimal() and int(path.stem) in sealed:
                    path.unlink()  # sealed, and killed before it was removed
        for segment in known:
            found = inspect(segment, self.identity, last, self.settings.block_bytes, self.quarantine)
            last = max(last, segment.last_sequence, found.last_sequence)
            self._cut_bytes += found.cut_bytes
            if not segment.sealed and found.marks:
                handle = os.open(segment.path, os.O_RDWR)
                left = OpenSegment(
                    segment.path,
                    handle,
                    None,
                    segment.first_sequence,
                    found.first_ts_recv_ns,
                    found.marks,
                    found.end,
                    found.last_sequence,
                    found.last_ts_recv_ns,
                )
                self._sealer.add(left)
                self._sealer.start(left, found.records)
        return last

    def _note_mark(self, at: int) -> None:
        """Begin a block of the sealed segment here; reserve the next segment at half of this one."""
        segment = self._sealer.opened[-1]
        segment.marks.append(Mark(at, self._sequence + 1, self._sequence + 1 - segment.first_sequence))
        self._mark = at + self._step
        if 2 * at >= self._end:
            self._sealer.reserve()

    def _next_segment(self, ts_recv_ns: int, payload_bytes: int) -> None:
        """Go on in a new segment that has room for a payload; what is there stays as it is if that fails."""
        if self._closed:
            raise JournalError("the journal is closed", where=str(self.folder), remedy="open it again")
        if payload_bytes > PAYLOAD_BYTES_MAX:
            found = f"{payload_bytes} bytes"
            raise JournalError("the frame is too large", expected=f"at most {PAYLOAD_BYTES_MAX} bytes", found=found)
        least = PAGE_BYTES + RECORD_BYTES + payload_bytes
        size = max(self.settings.segment_bytes, -(-least // PAGE_BYTES) * PAGE_BYTES)
        with told(self.folder, self._sequence, size):
            path = self._sealer.take(size)
            first = self._sequence + 1
            header = OpenHeader(
                version=FORMAT_VERSION,
                identity=self.identity,
                first_sequence=first,
                first_ts_recv_ns=ts_recv_ns,
                segment_bytes=size,
                segment_events=self.settings.segment_events,
                codec=self.settings.codec,
            )
            with path.open("r+b") as file:
                file.write(files.open_page(header))
            target = path.rename(self.folder / f"{first:020d}.open")
            handle = os.open(target, os.O_RDWR)
            memory = mmap.mmap(handle, size)
        self._retire()
        self._sealer.add(OpenSegment(target, handle, memory, first, ts_recv_ns, [Mark(PAGE_BYTES, first, 0)]))
        self._memory, self._at, self._end = memory, PAGE_BYTES, size
        self._step = min(self.settings.block_bytes, size // 4)
        self._mark = PAGE_BYTES + self._step
        self._sequence_max = self._sequence + self.settings.segment_events

    def _retire(self) -> None:
        """Hand the segment being written to the one that seals."""
        memory, self._memory = self._memory, None
        if memory is None:
            return
        segment = self._sealer.opened[-1]
        segment.memory = None
        memory.close()
        segment.end, segment.last_sequence, segment.last_ts_recv_ns = self._at, self._sequence, self._last_ts_recv_ns
        self._full += 1
        self._sealer.start(segment, self._sequence + 1 - segment.first_sequence)
