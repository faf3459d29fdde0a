"""Reading a journal: from any frame on, through sealed segments and the one being written, over what is damaged."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from tapebook.market.errors import StoreError, TruncatedFile
from tapebook.market.quarantine import Quarantine
from tapebook.store.journal_files import Segment, load_header, segments
from tapebook.store.journal_format import (
    BLOCK,
    OPEN_MAGIC,
    PAGE_BYTES,
    SEALED_MAGIC,
    BlockHead,
    Frame,
    OpenHeader,
    SealedHeader,
    Stop,
    block_head,
    find_block,
    find_record,
    read_records,
    unpack_block,
)
from tapebook.store.journal_open import tell_damage

_FRAMES: Final = 4096


class _Source(Protocol):
    """One segment, being read."""

    segment: Segment

    def read(self, out: list[Frame], frames_max: int, last: int, *, settled: bool) -> bool:
        """Append frames; return whether there is no more for now. ``settled``: nobody writes here any more."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class _OpenSource:
    """A segment that is being written, or was when its writer ended."""

    def __init__(self, segment: Segment, quarantine: Quarantine) -> None:
        self.segment = segment
        self._quarantine = quarantine
        load_header(segment.path, OPEN_MAGIC, OpenHeader)  # another version is an error; a damaged page is not
        with segment.path.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._at = PAGE_BYTES
        self._told = -1

    def read(self, out: list[Frame], frames_max: int, last: int, *, settled: bool) -> bool:
        size = len(self._memory)
        while True:
            before = len(out)
            self._at, stop = read_records(self._memory, self._at, size, out, frames_max)
            if len(out) > before:
                last = out[-1].sequence
            if stop is Stop.ENOUGH:
                return False
            if stop is Stop.END and not settled:
                return True
            following = find_record(self._memory, self._at + 4, size, last)
            if following < 0:
                if settled:
                    self._tell_torn(stop)
                return True
            # The record may have been finished between our two looks.
            if read_records(self._memory, self._at, size, [], 1)[1] is not Stop.ENOUGH:
                tell_damage(self._quarantine, self.segment, self._memory, self._at, following)
                self._at = following

    def _tell_torn(self, stop: Stop) -> None:
        if stop is Stop.BAD and self._told != self._at:
            self._told = self._at
            place = f"{self.segment.path}, byte {self._at}"
            self._quarantine.truncate(
                TruncatedFile("the journal's last record is torn", where=place, remedy="it was never acknowledged")
            )

    def close(self) -> None:
        self._memory.close()


class _SealedSource:
    """A sealed segment, a block at a time."""

    def __init__(self, segment: Segment, start: int, quarantine: Quarantine) -> None:
        self.segment = segment
        self._quarantine = quarantine
        self._header = load_header(segment.path, SEALED_MAGIC, SealedHeader)
        if self._header is None:
            quarantine.add("damaged segment header", where=str(segment.path))
        self._file = segment.path.open("rb")
        self._size = segment.path.stat().st_size
        self._at = PAGE_BYTES
        self._raw, self._raw_at, self._block_at = b"", 0, 0
        self._skip_to(start)

    def _head(self) -> BlockHead | None:
        self._file.seek(self._at)
        return block_head(self._file.read(BLOCK.size))

    def _skip_to(self, start: int) -> None:
        """Pass the blocks over that end before ``start``, while their headers are whole."""
        while (head := self._head()) is not None:
            following = self._at + BLOCK.size + head.packed_bytes
            self._file.seek(following)
            after = block_head(self._file.read(BLOCK.size))
            if after is None or after.first_sequence > start:
                return
            self._at = following

    def read(self, out: list[Frame], frames_max: int, last: int, *, settled: bool) -> bool:
        _ = settled
        while len(out) < frames_max:
            if self._raw_at >= len(self._raw) and not self._next_block():
                return True
            before = len(out)
            self._raw_at, stop = read_records(self._raw, self._raw_at, len(self._raw), out, frames_max)
            if len(out) > before:
                last = out[-1].sequence
            if stop is Stop.ENOUGH:
                return False
            if self._raw_at < len(self._raw):  # damaged before it was sealed, and kept as it was
                following = find_record(self._raw, self._raw_at + 4, len(self._raw), last)
                following = following if following >= 0 else len(self._raw)
                tell_damage(self._quarantine, self.segment, self._raw, self._raw_at, following)
                self._raw_at = following
        return False

    def _next_block(self) -> bool:
        """Unpack the next block that can be; return whether there was one."""
        while self._at < self._size:
            head = self._head()
            if head is None:
                self._file.seek(self._at)
                rest = self._file.read()
                offset = find_block(rest, 1)
                self._tell("damaged block header", self._at, rest[: offset if offset >= 0 else None])
                if offset < 0:
                    break
                self._at += offset
                continue
            packed = self._file.read(head.packed_bytes)
            place, self._at = self._at, self._at + BLOCK.size + head.packed_bytes
            raw = unpack_block(head, packed)
            if raw is not None:
                self._raw, self._raw_at = raw, 0
                return True
            self._tell(f"damaged block of {head.records} journal records", place, packed)
        self._at = self._size
        return False

    def _tell(self, reason: str, place: int, raw: bytes) -> None:
        where = f"{self.segment.path}, byte {place}"
        self._quarantine.add(reason, expected="bytes whose checksum fits", where=where, raw=raw)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, kw_only=True)
class ReaderStatistics:
    """What a reader has met so far."""

    frames: int
    last_sequence: int  # the last frame read or passed over
    missing_frames: int  # numbers that no frame had: damaged, pruned or lost in a power failure
    torn: bool  # the last record is not whole
    bad_records: dict[str, int]


class JournalReader:
    """Frames of a journal, from ``start`` on; a writer may be at work in the same folder.

    Iterating reads to the end of what is there, :meth:`read` what is there now and, called again, what came since.
    Whatever is damaged is quarantined with its bytes and passed over; numbers that no frame has are counted.

    Parameters
    ----------
    folder
        The journal.
    start
        The first frame wanted; 0 is the first that there is.
    through
        The last one wanted. With the writer's ``last_sequence`` a journal that is being written is iterated without a
        look at the record that is not finished yet.
    quarantine
        Where damage is told; in strict mode it ends the reading.
    """

    def __init__(
        self, folder: Path, *, start: int = 0, through: int | None = None, quarantine: Quarantine | None = None
    ) -> None:
        if not folder.is_dir():
            remedy = "name the folder of a session's journal"
            raise StoreError("this is no journal", expected="a folder", where=str(folder), remedy=remedy)
        self.folder = folder
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self._next = start
        self._through = through
        self._done = 0  # where the last segment began that was read to its end
        self._source: _Source | None = None
        self._frames = self._missing = 0
        for segment in segments(folder):
            if segment.first_sequence <= start:
                self._done = segment.first_sequence - 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame up to the end of what is there."""
        while frames := self._read(_FRAMES, settled=True):
            yield from frames

    def read(self, frames_max: int = _FRAMES) -> list[Frame]:
        """Return the next frames that are there now; none if the writer has written none since."""
        return self._read(frames_max, settled=False)

    def statistics(self) -> ReaderStatistics:
        """Return what was met so far."""
        return ReaderStatistics(
            frames=self._frames,
            last_sequence=max(self._next - 1, 0),
            missing_frames=self._missing,
            torn=bool(self.quarantine.truncated),
            bad_records=dict(self.quarantine.counts),
        )

    def close(self) -> None:
        """Let go of the file in hand."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _read(self, frames_max: int, *, settled: bool) -> list[Frame]:
        while True:
            if self._through is not None:
                frames_max = min(frames_max, self._through + 1 - self._next)
                if frames_max <= 0:
                    return []
            source = self._source or self._open_next()
            if source is None:
                return []
            over = source.segment.sealed
            out: list[Frame] = []
            done = source.read(out, frames_max, self._next - 1, settled=settled or over)
            if done and not over and self._following(source.segment.first_sequence) is not None:
                # Nobody writes here any more; what was written since we looked is still to be read.
                over = True
                done = source.read(out, frames_max, out[-1].sequence if out else self._next - 1, settled=True)
            frames = self._checked(out)
            if done and over:
                if self._next <= source.segment.last_sequence:
                    self._miss(source.segment.last_sequence + 1)
                self._done = source.segment.first_sequence
                self.close()
            elif done:
                return frames
            if frames:
                return frames

    def _following(self, first: int) -> Segment | None:
        """Return the segment behind the one that begins with ``first``."""
        return next((s for s in segments(self.folder) if s.first_sequence > first), None)

    def _open_next(self) -> _Source | None:
        while (segment := self._following(self._done)) is not None:
            self._next = self._next or segment.first_sequence
            try:
                if segment.sealed:
                    self._source = _SealedSource(segment, self._next, self.quarantine)
                elif segment.path.stat().st_size > PAGE_BYTES:
                    self._source = _OpenSource(segment, self.quarantine)
                else:
                    self._done = segment.first_sequence
                    continue
            except FileNotFoundError:  # sealed or pruned between our listing and our opening it
                continue
            return self._source
        return None

    def _checked(self, frames: list[Frame]) -> list[Frame]:
        """Leave out what was read or was not wanted, count what is missing."""
        if self._through is not None and frames and frames[-1].sequence > self._through:
            frames = [frame for frame in frames if frame.sequence <= self._through]
        if not frames:
            return frames
        first, last = frames[0].sequence, frames[-1].sequence
        if first != self._next or last - first != len(frames) - 1:
            kept = []
            for frame in frames:
                if frame.sequence < self._next:
                    continue
                if frame.sequence > self._next:
                    self._miss(frame.sequence)
                self._next = frame.sequence + 1
                kept.append(frame)
            frames = kept
        self._next = max(self._next, last + 1)
        self._frames += len(frames)
        return frames

    def _miss(self, found: int) -> None:
        self._missing += found - self._next
        self.quarantine.add(
            "missing journal frames",
            expected=f"frame {self._next}",
            found=f"frame {found} ({found - self._next} missing)",
            where=str(self.folder),
        )
        self._next = found
