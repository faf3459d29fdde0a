"""What a lake knows of each import: one manifest a source, written last, so that it is what makes an import count.

A *source* is the content of one tape (or table), named by a hash of that content: the same content imported twice,
under whatever file name, is the same source. Its manifest lists the files it is made of. A data file that no manifest
lists does not exist for readers; a file that a manifest lists in ``replaces`` does not either. So one rename of one
manifest turns an import on, and an older edition off, at once.

A manifest is one line of JSON around the body and the CRC-32 of the body's bytes.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from tapebook.market.errors import SchemaMismatch, StoreCorrupted, StoreError
from tapebook.market.instruments import Instrument
from tapebook.market.parquet import write_whole
from tapebook.market.tape import Origin

MANIFEST_VERSION: Final = 1
HOME: Final = "_tapebook"
"""Folder of a lake that holds what is not data: the mark, the lock, the manifests, imports under way."""

NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
"""Hive's word for a partition without a value; readers of hive partitions show null for it."""


class StoredFile(msgspec.Struct, frozen=True):
    """One Parquet file of a source."""

    path: str  # below the lake, with "/" on every system
    venue: str
    symbol: str
    date: str  # YYYY-MM-DD; empty where no event had a time (and for tables)
    seal: str
    size_bytes: int
    rows: int
    clock_ns: tuple[int, int] | None = None  # smallest and largest time of a row, None where none has one
    untimed: int = 0  # rows without a time
    arrival: tuple[int, int] = (0, 0)  # first and last position on the tape
    kinds: dict[str, int] = {}  # events by kind
    instrument_ids: tuple[int, ...] = ()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One import."""

    id: str  # 16 hexadecimal digits: hash of the content
    origin: Origin
    event_schema: int  # version of the event layout; 0 for a table
    table: str = ""  # the table's schema, empty for a tape
    rows: int  # of the whole tape or table, with those that a newer edition replaced since
    instruments: dict[int, Instrument]
    bad_records: dict[str, int]  # quarantined while it was read, by reason
    truncated: str = ""  # where the input ended early, empty if it did not
    notes: dict[str, int] = {}
    files: tuple[StoredFile, ...] = ()
    replaces: tuple[str, ...] = ()  # paths of an older edition that count no longer; empty again once they are removed

    @property
    def stored_rows(self) -> int:
        """Rows that are still stored."""
        return sum(f.rows for f in self.files)


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    manifest: int
    crc32: str
    source: msgspec.Raw


def partition(venue: str, symbol: str, date: str) -> str:
    """Return the folder of a partition below the lake, in Hive's way of naming.

    Characters that mean something to a file system are written as %XX, as Hive, DuckDB and polars read them.

    >>> partition("BINANCE", "BTC/USDT", "2024-08-08")
    'venue=BINANCE/symbol=BTC%2FUSDT/date=2024-08-08'
    """
    words = []
    for value in (venue, symbol, date):
        word = quote(value, safe=" +@~#", errors="surrogatepass") if value else NO_VALUE
        if len(word) > 180:  # file systems hold names of 255 bytes
            raise StoreError(
                "the name is too long for a folder",
                expected="at most 180 characters",
                found=f"{len(word)}: {word[:40]}…",
                remedy="shorten the venue or symbol in the catalogue",
            )
        words.append(word)
    return f"venue={words[0]}/symbol={words[1]}/date={words[2]}"


def sources_folder(root: Path) -> Path:
    """Return where the manifests are."""
    return root / HOME / "sources"


def save(root: Path, source: Source) -> None:
    """Put a manifest in place at once; it is on disk when this returns."""
    body = msgspec.json.encode(source)
    envelope = _Envelope(MANIFEST_VERSION, f"{zlib.crc32(body):08x}", msgspec.Raw(body))
    with write_whole(sources_folder(root) / f"{source.id}.json") as beside, beside.open("wb") as file:
        file.write(msgspec.json.encode(envelope) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def load(path: Path) -> Source:
    """Read one manifest.

    Raises
    ------
    StoreCorrupted
        If it is not what was written.
    SchemaMismatch
        If another version of the program wrote it.
    """
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        found = f"{zlib.crc32(bytes(envelope.source)):08x}"
        damaged = "" if found == envelope.crc32 else f"CRC-32 {found} where {envelope.crc32} was written"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise corrupted(path, str(error)) from None
    if envelope.manifest != MANIFEST_VERSION and not damaged:
        raise SchemaMismatch(
            "another version of the lake's manifest",
            expected=f"version {MANIFEST_VERSION}",
            found=f"version {envelope.manifest}",
            where=str(path),
            remedy="read it with the tapebook that wrote it"
            if envelope.manifest > MANIFEST_VERSION
            else "import the original recording again",
        )
    if damaged:
        raise corrupted(path, damaged)
    try:
        source: Source = msgspec.json.decode(envelope.source, type=Source)
    except msgspec.DecodeError as error:
        raise corrupted(path, str(error)) from None
    if source.id != path.stem:
        raise corrupted(path, f"the manifest of {source.id}")
    return source


def load_all(root: Path) -> dict[str, Source]:
    """Return the sources of a lake by id, without the files that newer editions replace."""
    loaded = [load(path) for path in sorted(sources_folder(root).glob("*.json"))]
    gone = {path for source in loaded for path in source.replaces}
    return {source.id: without(source, gone) for source in loaded}


def without(source: Source, gone: set[str]) -> Source:
    """Return ``source`` without the files named in ``gone``."""
    if gone.isdisjoint(f.path for f in source.files):
        return source
    return msgspec.structs.replace(source, files=tuple(f for f in source.files if f.path not in gone))


def jsonable(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``details`` as JSON holds them, so that a manifest compares equal to what it was made from."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(details), enc_hook=str))
    return plain


def corrupted(path: Path, found: str, remedy: str = "") -> StoreCorrupted:
    """Return the error for a damaged file that describes the lake."""
    return StoreCorrupted(
        "a file that describes the lake is damaged",
        expected="what was written",
        found=found,
        where=str(path),
        remedy=remedy or "remove it and import the original recording again (the data files stay until then)",
    )
