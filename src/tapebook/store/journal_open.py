"""What a process that was killed left behind: find the end of the whole records, cut a torn one off, tell of damage."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Final

from tapebook.market.errors import TruncatedFile
from tapebook.market.quarantine import Quarantine
from tapebook.store.journal_files import JournalError, Mark, Segment, load_header
from tapebook.store.journal_format import (
    OPEN_MAGIC,
    PAGE_BYTES,
    RECORD_BYTES,
    SEALED_MAGIC,
    Buffer,
    Frame,
    OpenHeader,
    SealedHeader,
    Stop,
    find_record,
    read_records,
)

_STEP_FRAMES: Final = 64
_CHUNK: Final = 1 << 20


@dataclass
class Found:
    """What a segment holds."""

    last_sequence: int = 0
    first_ts_recv_ns: int = 0
    last_ts_recv_ns: int = 0
    records: int = 0
    end: int = PAGE_BYTES
    marks: list[Mark] = field(default_factory=list)
    cut_bytes: int = 0


def inspect(segment: Segment, identity: str, last: int, block_bytes: int, quarantine: Quarantine) -> Found:
    """Check whose segment this is; of one that was being written, find the records and cut a torn tail off.

    Raises
    ------
    JournalError
        If the segment belongs to another journal.
    SchemaMismatch
        If another version of the program wrote it.
    """
    header: OpenHeader | SealedHeader | None
    if segment.sealed:
        header = load_header(segment.path, SEALED_MAGIC, SealedHeader)
    else:
        header = load_header(segment.path, OPEN_MAGIC, OpenHeader)
    if header is None:  # the records prove themselves, and the file's name says where they begin
        quarantine.add("damaged segment header", expected="a header whose checksum fits", where=str(segment.path))
    elif identity and header.identity != identity:
        raise JournalError(
            "the folder holds the journal of another session",
            expected=repr(identity),
            found=repr(header.identity),
            where=str(segment.path),
            remedy="use a folder of its own for each session",
        )
    if segment.sealed:
        return Found()
    if segment.path.stat().st_size <= PAGE_BYTES:  # cut short by something else than us
        segment.path.unlink()
        return Found()
    with segment.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        found = _walk(segment, memory, max(last, segment.first_sequence - 1), block_bytes, quarantine)
    if not found.marks:
        segment.path.unlink()
    return found


def _walk(segment: Segment, memory: mmap.mmap, last: int, block_bytes: int, quarantine: Quarantine) -> Found:
    found = Found(last_sequence=last)
    at, size = PAGE_BYTES, len(memory)
    while True:
        frames: list[Frame] = []
        begin = at
        at, stop = read_records(memory, at, size, frames, _STEP_FRAMES)
        if frames:
            if not found.marks or begin >= found.marks[-1].at + block_bytes:
                # A damaged stretch in front of the first record goes into the first block with it.
                found.marks.append(Mark(begin if found.marks else PAGE_BYTES, frames[0].sequence, found.records))
            if not found.records:
                found.first_ts_recv_ns = frames[0].ts_recv_ns
            found.records += len(frames)
            found.last_sequence, found.last_ts_recv_ns = frames[-1].sequence, frames[-1].ts_recv_ns
            found.end = at
        if stop is Stop.ENOUGH:
            continue
        following = find_record(memory, at + 4, size, found.last_sequence)
        if following < 0:
            found.cut_bytes = _cut(segment, memory, at, quarantine)
            return found
        tell_damage(quarantine, segment, memory, at, following)
        at = following


def tell_damage(quarantine: Quarantine, segment: Segment, buffer: Buffer, at: int, following: int) -> None:
    """Quarantine the bytes between two whole records."""
    quarantine.add(
        "damaged journal records",
        expected="records whose checksums fit",
        found=f"{following - at} bytes that are none",
        where=f"{segment.path}, byte {at}",
        raw=bytes(buffer[at:following]),
    )


def _cut(segment: Segment, memory: mmap.mmap, at: int, quarantine: Quarantine) -> int:
    """Write zeros over what stands behind the last whole record; return how much there was."""
    chunks = range(at, len(memory), _CHUNK)
    used = {i: len(memory[i : i + _CHUNK].rstrip(b"\0")) for i in chunks}
    last = max((i + n for i, n in used.items() if n), default=at)
    if last == at:
        return 0
    torn = TruncatedFile(
        "the journal's last record is torn",
        expected=f"a whole record of at least {RECORD_BYTES} bytes",
        found=f"{last - at} bytes that are none",
        where=f"{segment.path}, byte {at}",
        remedy="nothing to do: it was never acknowledged, and is cut off",
    )
    quarantine.add("torn last record", found=torn.found, where=torn.where, raw=memory[at : min(last, at + _CHUNK)])
    quarantine.truncated = str(torn)
    for i, n in used.items():
        if n:
            memory[i : i + n] = bytes(n)
    return last - at
