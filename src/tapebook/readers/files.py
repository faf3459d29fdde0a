"""Bytes of a file, decompressed as they are needed, that end cleanly where the file ends early.

Compression is told by content, never by name. A truncated or damaged compressed file gives all bytes that can be
decoded; then the stream ends and the quarantine holds the place where it broke (strict mode raises it).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from tapebook.market.errors import ReaderError, TruncatedFile
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_BYTES: Final = 1 << 16
_CHUNK_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 14
_COMPRESSED_BYTES: Final = 1 << 12
"""Compressed bytes taken at a time. Very regular data shrink a thousandfold: this bounds what comes out at once."""
_UTF16: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


@dataclass(frozen=True)
class Head:
    """What format detection looks at: the start of the content, the name, and the members of an archive."""

    path: Path
    size_bytes: int
    compression: str  # "", "gzip", "zstd", "zip"
    data: bytes  # the first 64 KiB, decompressed; text in UTF-16 is turned into UTF-8
    encoding: str = "utf-8"
    members: tuple[str, ...] = field(default=())  # of a zip file

    @property
    def first_line(self) -> str:
        """The first line, without its end (empty for binary content)."""
        line = self.data.split(b"\n", 1)[0].rstrip(b"\r").removeprefix(b"\xef\xbb\xbf")
        return line.decode("utf-8", "replace") if b"\0" not in line else ""

    @property
    def lines(self) -> list[str]:
        """The whole lines of the head (the last one only if the file ends with it)."""
        text = self.data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        rows = text.splitlines()
        if len(self.data) >= HEAD_BYTES and rows and not text.endswith("\n"):
            rows.pop()
        return rows


def compression_of(start: bytes) -> str:
    """Name the compression of a file that starts with ``start``."""
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    if start[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd"
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    return ""


def read_head(path: Path) -> Head:
    """Look at the start of a file.

    Raises
    ------
    ReaderError
        If the file is empty, is no file, or cannot be opened.
    """
    if not path.exists():
        raise ReaderError("no such file", where=str(path), remedy="check the path")
    if path.is_dir():
        raise ReaderError("this is a folder", expected="a file", where=str(path), remedy="name a file in it")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
    if size == 0:
        raise ReaderError("the file is empty", expected="a recording", found="0 bytes", where=str(path))
    compression = compression_of(start)
    members: tuple[str, ...] = ()
    if compression == "zip":
        members = zip_members(path)
    member = members[0] if len(members) == 1 else ""
    data = b""
    if compression != "zip" or member:
        with open_stream(path, Progress(), Quarantine(), member=member) as stream:
            data = stream.read(HEAD_BYTES)
    encoding = "utf-8"
    for mark, name in _UTF16.items():
        if data.startswith(mark):
            encoding = name
            data = data[2:].decode(name, "replace").encode()
    return Head(path, size, compression, data, encoding, members)


def zip_members(path: Path) -> tuple[str, ...]:
    """Return the names of the files in a zip archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(i.filename for i in archive.infolist() if not i.is_dir())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise TruncatedFile(
            "the zip archive cannot be opened",
            expected="a whole archive",
            found=str(error),
            where=str(path),
            remedy="download it again",
        ) from error


class _Decoded(io.RawIOBase):
    """Bytes of ``source`` through a decoder that is made anew for each frame or member."""

    def __init__(
        self,
        source: BinaryIO,
        make: Callable[[], Any],
        name: str,
        progress: Progress,
        quarantine: Quarantine,
        kind: str,
    ) -> None:
        self._source = source
        self._make = make
        self._decoder = make()
        self._begun = False  # inside a frame: an end of file here is a truncation
        self._pending = b""
        self._out = memoryview(b"")
        self._name = name
        self._progress = progress
        self._quarantine = quarantine
        self._kind = kind
        self._over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._out and not self._over:
            self._step()
        n = min(len(buffer), len(self._out))
        buffer[:n] = self._out[:n]
        self._out = self._out[n:]
        return n

    def _step(self) -> None:
        chunk = self._pending or self._source.read(_COMPRESSED_BYTES)
        self._pending = b""
        if not chunk:
            self._over = True
            if self._begun:
                self._broken(f"end of file inside a {self._kind} frame", TruncatedFile)
            return
        self._progress.done_bytes = self._source.tell()
        if not self._begun and not chunk.strip(b"\0"):
            return  # padding after the last member, as tar and tape drives leave it
        try:
            self._begun = True
            self._out = memoryview(self._decoder.decompress(chunk))
        except Exception as error:  # noqa: BLE001 - zlib.error and ZstdError share no base class
            self._over = True
            self._broken(f"damaged {self._kind} data: {error}", ReaderError)
            return
        if self._decoder.eof:
            self._pending = self._decoder.unused_data
            self._decoder = self._make()
            self._begun = False

    def close(self) -> None:
        self._source.close()
        super().close()

    def _broken(self, what: str, error: type[ReaderError]) -> None:
        where = f"{self._name}, before byte {self._source.tell()} of the compressed file"
        self._quarantine.truncate(error(what, expected="a whole file", where=where, remedy="fetch the file again"))


class _Counted(io.RawIOBase):
    """Plain bytes that keep the progress."""

    def __init__(self, source: BinaryIO, progress: Progress) -> None:
        self._source = source
        self._progress = progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._source.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._progress.done_bytes += len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._source.close()
        super().close()


class _ZipMember(io.RawIOBase):
    """A member of a zip archive, whose damage ends the stream instead of raising."""

    def __init__(self, path: Path, member: str, progress: Progress, quarantine: Quarantine) -> None:
        self._archive = zipfile.ZipFile(path)
        self._member = self._archive.open(member)
        self._name = f"{path}:{member}"
        self._progress = progress
        self._quarantine = quarantine

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            # In small pieces: zipfile loses a whole piece when it finds damage at its end.
            chunk = self._member.read(min(len(buffer), _PIECE_BYTES))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            self._quarantine.truncate(
                TruncatedFile("damaged zip member", found=str(error), where=self._name, remedy="fetch the file again")
            )
            return 0
        buffer[: len(chunk)] = chunk
        self._progress.done_bytes += len(chunk)
        return len(chunk)

    def close(self) -> None:
        self._archive.close()
        super().close()


def open_stream(path: Path, progress: Progress, quarantine: Quarantine, *, member: str = "") -> io.BufferedReader:
    """Open a file for reading from its start, decompressed; ``member`` names a file in a zip archive.

    ``progress`` counts bytes on disk (decompressed bytes for a zip member); close the stream, or use it in a ``with``.
    """
    raw: io.RawIOBase
    if member:
        try:
            with zipfile.ZipFile(path) as archive:
                progress.total_bytes += archive.getinfo(member).file_size
            raw = _ZipMember(path, member, progress, quarantine)
        except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, OSError) as error:
            raise TruncatedFile(
                "a member of the zip archive cannot be opened",
                found=str(error),
                where=f"{path}:{member}",
                remedy="fetch the file again",
            ) from error
        return io.BufferedReader(raw, _CHUNK_BYTES)
    source = path.open("rb")
    progress.total_bytes = path.stat().st_size
    kind = compression_of(source.read(4))
    source.seek(0)
    if kind == "gzip":
        raw = _Decoded(source, lambda: zlib.decompressobj(wbits=31), str(path), progress, quarantine, kind)
    elif kind == "zstd":
        import zstandard

        def zstd() -> Any:
            return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()

        raw = _Decoded(source, zstd, str(path), progress, quarantine, kind)
    else:
        raw = _Counted(source, progress)
    return io.BufferedReader(raw, _CHUNK_BYTES)
