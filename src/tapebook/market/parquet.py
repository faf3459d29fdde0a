"""Sealed Parquet: ordinary Parquet files of which no byte can change unnoticed.

Any Parquet reader opens them. What is added stands in the footer's key-value metadata:

* ``tapebook.row_groups``: for each row group where its bytes end, their CRC-32, and the span of the rows' clock. The
  row groups lie end to end from byte 0 to the footer, so that nothing lies between them.
* ``tapebook.seal``: the CRC-32 of everything behind the last row group (footer, its length, magic), computed with
  ``00000000`` in the seal's own place. Its value vouches for the whole file, because the footer holds the other CRCs.

Parquet's own page checksums would not do: they leave out page headers and the footer, and a flipped bit in either can
change numbers without an error. Here the decoder sees no byte that was not checked first: a row group is read, compared
with its CRC, and decoded from memory. That costs 2 ns an event (CRC-32 at 4.5 GB/s, 8-9 bytes an event) beside 60-90 ns
for decoding. What it does not do is keep a forger out.

The file appears under its name only when it is whole: :func:`write_whole` writes beside it, forces it to disk, renames.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tapebook.market.errors import StoreCorrupted

__all__ = [
    "EVENT_ENCODINGS",
    "ROW_GROUP_EVENTS",
    "RowGroup",
    "SealedFile",
    "SealedWriter",
    "sync_folder",
    "write_whole",
]

ROW_GROUP_EVENTS: Final = 1 << 18
"""Events in a row group: 16 MiB of records, some 2 MiB on disk; the grain at which a time range is cut out."""

EVENT_ENCODINGS: Final[Mapping[str, str]] = {
    "ts_event_ns": "DELTA_BINARY_PACKED",
    "ts_recv_ns": "DELTA_BINARY_PACKED",
    "sequence": "DELTA_BINARY_PACKED",
    "arrival": "DELTA_BINARY_PACKED",
    "qty_lots": "PLAIN",
    "order_id": "PLAIN",
}
"""Best measured per column (docs/lake.md has the table); every other column is a dictionary."""

_GROUPS_KEY: Final = b"tapebook.row_groups"
_SEAL_KEY: Final = b"tapebook.seal"
_MAGIC: Final = b"PAR1"
_BLANK: Final = b"00000000"
# Thrift's compact protocol, a KeyValue: field 1, a string of 13 bytes, field 2, a string of 8. Text of ours never holds
# the control characters (JSON escapes them), so that this finds the seal and nothing else.
_SEAL_MARK: Final = b"\x18" + bytes([len(_SEAL_KEY)]) + _SEAL_KEY + b"\x18\x08"
_ZSTD_LEVEL: Final = 3
_REMEDY: Final = "restore the file from a copy, or import the original recording again"


class RowGroup(msgspec.Struct, frozen=True):
    """What the footer says of one row group."""

    end_byte: int  # its first byte is where the one before ended
    crc32: int
    rows: int
    clock_ns: tuple[int, int] | None = None  # smallest and largest, None where no row has a time


class _Sink:
    """The file as pyarrow writes it, with a running CRC."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.closed = False
        self.n_bytes = 0
        self.crc32 = 0
        self.since: list[bytes] = []  # what came since the last mark, kept only when asked for
        self.keep = False

    def write(self, part: Any) -> int:
        view = memoryview(part)
        self._file.write(view)
        self.crc32 = zlib.crc32(view, self.crc32)
        self.n_bytes += view.nbytes
        if self.keep:
            self.since.append(bytes(view))
        return view.nbytes

    def flush(self) -> None:
        pass  # one fsync at the end counts, nothing before it

    def tell(self) -> int:
        return self.n_bytes

    def close(self) -> None:
        self.closed = True


class SealedWriter:
    """Write a sealed Parquet file, one row group a call; the file counts only after :meth:`close`.

    Parameters
    ----------
    path
        A new file. Use :func:`write_whole` to make it appear under its final name at once.
    schema
        Of the batches.
    encodings
        Parquet encoding by column; columns not named are dictionaries.
    """

    def __init__(self, path: Path, schema: pa.Schema, encodings: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._file = path.open("w+b")
        self._sink = _Sink(self._file)
        given = {name: encoding for name, encoding in (encodings or {}).items() if name in schema.names}
        self._writer = pq.ParquetWriter(
            self._sink,
            schema,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=[name for name in schema.names if name not in given],
            column_encoding=given or None,
        )
        self._groups: list[RowGroup] = []

    def write(self, batch: pa.RecordBatch, clock_ns: tuple[int, int] | None = None) -> None:
        """Add ``batch`` as one row group (none if it is empty); a search by time finds it by ``clock_ns``."""
        if not batch.num_rows:
            return
        self._writer.write_batch(batch, row_group_size=batch.num_rows)
        self._groups.append(RowGroup(self._sink.n_bytes, self._sink.crc32, batch.num_rows, clock_ns))
        self._sink.crc32 = 0

    def close(self, metadata: Mapping[bytes, bytes] | None = None) -> str:
        """Finish, seal and force the file to disk; return the seal (8 hexadecimal digits)."""
        self._sink.keep = True
        self._writer.add_key_value_metadata(
            {**(metadata or {}), _GROUPS_KEY: msgspec.json.encode(self._groups), _SEAL_KEY: _BLANK}
        )
        self._writer.close()
        tail = b"".join(self._sink.since)
        at = tail.rindex(_SEAL_MARK) + len(_SEAL_MARK)
        seal = b"%08x" % zlib.crc32(tail)
        self._file.seek(self._sink.n_bytes - len(tail) + at)
        self._file.write(seal)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return seal.decode()

    def abandon(self) -> None:
        """Give up: close what is open and remove the file."""
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._file.close()
        self.path.unlink(missing_ok=True)


class _Checked(io.RawIOBase):
    """What pyarrow may read: the one row group that was checked last (the footer it has been given already)."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._start = 0
        self._part = b""
        self._at = 0

    def show(self, start: int, part: bytes) -> None:
        self._start, self._part = start, part

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._at, self._size_bytes)[whence]
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at - self._start
        end = len(self._part) if size < 0 else start + size
        if start < 0 or end > len(self._part):
            raise StoreCorrupted("the footer points outside its row group", found=f"{size} bytes at {self._at}")
        self._at = self._start + end
        return self._part[start:end]


class SealedFile:
    """A sealed Parquet file, checked before it is believed; use it in a ``with``.

    Opening checks the footer; :meth:`read` checks the row group that it reads.

    Attributes
    ----------
    sealed
        False for a Parquet file of another program: it can be read, but nothing vouches for its content.
    seal
        See the module; empty where ``sealed`` is False.

    Raises
    ------
    StoreCorrupted
        If the file is no whole Parquet file, or not what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self._file = path.open("rb")
        try:
            tail, self.seal = self._read_tail()
            footer = self._decode(lambda: pq.read_metadata(pa.BufferReader(_MAGIC + tail)))
            self.metadata: dict[bytes, bytes] = dict(footer.metadata or {})
            self._checked = _Checked(self.size_bytes)
            source: Any = self._checked if self.seal else self._file
            self._parquet = self._decode(lambda: pq.ParquetFile(source, metadata=footer))
            self.schema: pa.Schema = self._decode(lambda: self._parquet.schema_arrow)
            self.row_groups: Sequence[RowGroup] = self._row_groups()
        except BaseException:
            self._file.close()
            raise

    @property
    def sealed(self) -> bool:
        """Whether CRCs vouch for the content."""
        return bool(self.seal)

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return sum(g.rows for g in self.row_groups)

    def check(self, i: int) -> None:
        """Compare row group ``i`` with its CRC, and have it at hand for :meth:`read`."""
        if not self.seal:
            return
        start, part = self._bytes(i)
        found = zlib.crc32(part)
        if found != self.row_groups[i].crc32:
            raise StoreCorrupted(
                "a row group is damaged",
                expected=f"CRC-32 {self.row_groups[i].crc32:08x}",
                found=f"{found:08x}",
                where=f"{self.path}, row group {i}, bytes {start}-{start + len(part)}",
                remedy=_REMEDY,
            )
        self._checked.show(start, part)

    def read(self, i: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Return row group ``i``, checked; only ``columns`` of it if given."""
        self.check(i)
        names = None if columns is None else list(columns)
        table = self._decode(lambda: self._parquet.read_row_group(i, columns=names))
        if table.num_rows != self.row_groups[i].rows:
            raise self._corrupted("another number of rows", f"{self.row_groups[i].rows}", f"{table.num_rows}")
        return table

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bytes(self, i: int) -> tuple[int, bytes]:
        start = self.row_groups[i - 1].end_byte if i else 0
        self._file.seek(start)
        return start, self._file.read(self.row_groups[i].end_byte - start)

    def _read_tail(self) -> tuple[bytes, str]:
        """Return everything behind the last row group and the seal; no seal for a file of another program."""
        if self.size_bytes < 12:
            raise self._corrupted("not a whole Parquet file", "at least 12 bytes", f"{self.size_bytes}")
        start = self._file.read(4)
        self._file.seek(-8, os.SEEK_END)
        length, magic = struct.unpack("<I4s", self._file.read(8))
        if start != _MAGIC or magic != _MAGIC or length + 12 > self.size_bytes:
            found = f"{start!r} … {magic!r}, footer of {length} bytes in a file of {self.size_bytes}"
            raise self._corrupted("not a whole Parquet file", "PAR1 … PAR1 around the footer", found)
        self._file.seek(-8 - length, os.SEEK_END)
        tail = self._file.read()
        marks = [match.end() for match in re.finditer(re.escape(_SEAL_MARK), tail)]
        if not marks:
            if _GROUPS_KEY in tail or _SEAL_KEY in tail:
                raise self._corrupted("the footer is damaged", "a seal", "none")
            return tail, ""
        seal = tail[marks[-1] : marks[-1] + 8]
        found_crc = b"%08x" % zlib.crc32(tail[: marks[-1]] + _BLANK + tail[marks[-1] + 8 :])
        if seal != found_crc:
            raise self._corrupted("the footer is damaged", f"seal {seal!r}", f"{found_crc!r}")
        return tail, seal.decode()

    def _row_groups(self) -> list[RowGroup]:
        counted = [self._parquet.metadata.row_group(i).num_rows for i in range(self._parquet.num_row_groups)]
        if not self.seal:
            return [RowGroup(0, 0, n) for n in counted]
        try:
            told = msgspec.json.decode(self.metadata[_GROUPS_KEY], type=list[RowGroup])
        except (KeyError, msgspec.DecodeError) as error:
            raise self._corrupted("the footer has no list of row groups", "one", str(error)) from None
        if [g.rows for g in told] != counted:
            raise self._corrupted("another number of rows", f"{[g.rows for g in told]}", f"{counted}")
        return told

    def _decode(self, step: Any) -> Any:
        try:
            return step()
        except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise self._corrupted("the Parquet content cannot be decoded", "a whole file", str(error)[:200]) from error

    def _corrupted(self, what: str, expected: str, found: str) -> StoreCorrupted:
        return StoreCorrupted(what, expected=expected, found=found, where=str(self.path), remedy=_REMEDY)


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a name to write to; when the body ends well the file takes the name ``path`` at once, else it is removed.

    The body closes and forces the file to disk (:class:`SealedWriter` does); the rename is forced here.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force a folder's list of names to disk, where the system can (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
