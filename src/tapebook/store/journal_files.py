"""The journal's folder: names of segments, room taken beforehand, the lock, sealing.

::

    lock                                                    held (flock) by the process that writes
    00000000000000290001.open                               a segment being written, or full and not sealed yet
    00000000000000000001-00000000000000290000.sealed        compressed, never changed again
    reserve                                                 the next segment's room
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple, TypeVar

import msgspec

from tapebook.market.errors import SchemaMismatch, StoreError
from tapebook.market.parquet import sync_folder, write_whole
from tapebook.store.journal_format import (
    FORMAT_VERSION,
    OPEN_MAGIC,
    PAGE_BYTES,
    SEALED_MAGIC,
    Codec,
    OpenHeader,
    SealedHeader,
    pack_block,
    page,
    page_text,
)

RESERVE: Final = "reserve"
_ZEROS: Final = bytes(1 << 20)
_PIECE: Final = 8 << 20
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

H = TypeVar("H", OpenHeader, SealedHeader)

if sys.platform == "win32":

    def _flock(_file: IO[bytes]) -> bool:
        return True

else:
    import fcntl

    def _flock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class JournalError(StoreError):
    """The journal could not do what was asked."""


class JournalFull(JournalError):  # noqa: N818 - reads as the thing that happened, as the tree of errors does
    """There is no room for the next segment. What was appended before stands; the frame in hand does not.

    Attributes
    ----------
    last_sequence
        The last frame that is in the journal.
    """

    def __init__(self, folder: Path, last_sequence: int, need_bytes: int, error: OSError) -> None:
        self.last_sequence = last_sequence
        super().__init__(
            "the journal is full",
            expected=f"room for {need_bytes} bytes",
            found=error.strerror or str(error),
            where=f"{folder}, after frame {last_sequence}",
            remedy="free disk space or move the journal, then open it again; every frame up to that one is kept",
        )


class JournalLocked(JournalError):  # noqa: N818 - as JournalFull
    """Another process writes this journal."""


class Segment(NamedTuple):
    """One file of the journal."""

    path: Path
    first_sequence: int
    last_sequence: int  # of an open one: 0
    sealed: bool


def segments(folder: Path) -> list[Segment]:
    """Return the journal's files in order; an open one that was sealed already (a kill in between) is left out."""
    found: dict[int, Segment] = {}
    for path in folder.iterdir():
        first, _, last = path.stem.partition("-")
        if path.suffix == ".sealed" and first.isdecimal() and last.isdecimal():
            found[int(first)] = Segment(path, int(first), int(last), sealed=True)
        elif path.suffix == ".open" and path.stem.isdecimal():
            found.setdefault(int(first), Segment(path, int(first), 0, sealed=False))
    return [found[first] for first in sorted(found)]


def take_lock(folder: Path) -> IO[bytes]:
    """Return the locked file; closing it, or the process's end, lets go of it."""
    file = (folder / "lock").open("wb")
    if not _flock(file):
        file.close()
        raise JournalLocked(
            "the journal is being written by another process",
            where=str(folder),
            remedy="stop the other capture, or use another folder",
        )
    return file


def make_reserve(folder: Path, size_bytes: int) -> Path:
    """Take room for a segment: all of it now, so that writing to its memory cannot fail later.

    A write to a mapped page that the file system has no room for ends the process (SIGBUS) instead of raising.
    """
    path = folder / RESERVE
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            else:
                for start in range(0, size_bytes, len(_ZEROS)):
                    file.write(_ZEROS[: size_bytes - start])
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    return path


def load_header(path: Path, magic: bytes, kind: type[H]) -> H | None:
    """Return a segment's header, or None where it is damaged.

    Raises
    ------
    SchemaMismatch
        If another version of the program wrote it.
    """
    with path.open("rb") as file:
        text = page_text(file.read(PAGE_BYTES), magic)
    if text is None:
        return None
    version = msgspec.json.decode(text, type=dict[str, int | str]).get("version")
    if version != FORMAT_VERSION:
        raise SchemaMismatch(
            "another version of the journal",
            expected=f"version {FORMAT_VERSION}",
            found=f"version {version}",
            where=str(path),
            remedy="read it with the tapebook that wrote it",
        )
    return msgspec.json.decode(text, type=kind)


def open_page(header: OpenHeader) -> bytes:
    """Return the page that opens a segment being written."""
    return page(OPEN_MAGIC, header)


class Mark(NamedTuple):
    """Where a block of the sealed segment will begin."""

    at: int
    sequence: int
    records: int  # in the segment before it


def seal(path: Path, end: int, header: SealedHeader, marks: Sequence[Mark], codec: Codec, level: int) -> Path:
    """Write the segment ``path`` up to ``end`` as a sealed one, whole, on disk and renamed into place; return its path.

    The segment that was being written stays: the caller lets go of it and unlinks it.
    """
    name = f"{header.first_sequence:020d}-{header.last_sequence:020d}.sealed"
    # Large pieces: beside a thread that appends without pause, each call that waits for the interpreter costs 5 ms.
    with (
        write_whole(path.with_name(name)) as beside,
        beside.open("wb", buffering=_PIECE) as file,
        path.open("rb", buffering=_PIECE) as source,
    ):
        file.write(page(SEALED_MAGIC, header))
        ends = [*marks[1:], Mark(end, 0, header.records)]
        for mark, following in zip(marks, ends, strict=True):
            source.seek(mark.at)
            raw = source.read(following.at - mark.at)
            file.write(pack_block(codec, level, raw, mark.sequence, following.records - mark.records))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return path.with_name(name)


@dataclass(eq=False)
class OpenSegment:
    """A segment that is not sealed yet."""

    path: Path
    handle: int
    memory: mmap.mmap | None  # None when it is full
    first_sequence: int
    first_ts_recv_ns: int
    marks: list[Mark] = field(default_factory=list)
    end: int = 0  # where its records end; set when it is full
    last_sequence: int = 0
    last_ts_recv_ns: int = 0
    synced: bool = False


def done(path: Path) -> Future[Path]:
    """Return a result that is there already."""
    future: Future[Path] = Future()
    future.set_result(path)
    return future


def sync_segment(segment: OpenSegment, handle: int) -> None:
    """Force a segment to the disk."""
    if sys.platform == "linux":
        os.fdatasync(handle)  # writes mapped pages as well, and lets other threads run meanwhile
    else:
        if segment.memory is not None:
            segment.memory.flush()
        os.fsync(handle)


@contextlib.contextmanager
def told(folder: Path, last_sequence: int, need_bytes: int = 0) -> Iterator[None]:
    """Say in the journal's words what the system refused."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise JournalFull(folder, last_sequence, need_bytes, error) from error
        raise JournalError(
            "the journal cannot be written",
            found=error.strerror or str(error),
            where=str(error.filename or folder),
            remedy="check the folder's owner, its mode and the disk; what was appended before stands",
        ) from error


def identity_of(folder: Path) -> str:
    """Return whose journal this is; empty where nothing says so."""
    for segment in segments(folder):
        header: OpenHeader | SealedHeader | None
        if segment.sealed:
            header = load_header(segment.path, SEALED_MAGIC, SealedHeader)
        else:
            header = load_header(segment.path, OPEN_MAGIC, OpenHeader)
        if header is not None:
            return header.identity
    return ""
