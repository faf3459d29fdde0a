"""What a DBN file says of itself before its first record; for fragments, what their records tell.

Metadata are decoded by ``databento-dbn``; this module finds them, refuses what cannot be read with advice, and turns
symbol mappings into spans of time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tapebook.market.errors import MalformedRecord, TruncatedFile, UnsupportedSchema
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress
from tapebook.readers import databento_records as records
from tapebook.readers.databento_symbols import EVER
from tapebook.readers.databento_venues import dataset_of
from tapebook.readers.files import Head, open_stream

_METADATA_BYTES_MAX: Final = 1 << 28
_LISTED_MAX: Final = 100
_VERSIONS: Final = f"{min(records.VERSIONS)} to {max(records.VERSIONS)}"


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a file says of itself before its first record."""

    version: int
    schema: str  # empty: mixed
    dataset: str = ""
    ts_out: bool = False
    size_bytes: int = 0
    start_ns: int | None = None
    spans: tuple[tuple[int, str, int, int], ...] = ()  # number, symbol, from, until
    details: dict[str, Any] = field(default_factory=dict)


def fragment_records(data: bytes) -> tuple[int, int, int, bool, set[int]]:
    """Follow record headers from the start of a fragment.

    Returns how many whole records there are, how many bytes are left over, version, whether they have send times, and
    their types; no records where the headers do not lead to the end of ``data``.
    """
    for version in reversed(records.VERSIONS):
        for ts_out in (False, True):
            known = records.lengths(version, ts_out=ts_out)
            at, types = 0, set()
            n = 0
            while at + 16 <= len(data) and known.get(data[at + 1]) == data[at] * 4:
                if at + data[at] * 4 > len(data):
                    break
                types.add(data[at + 1])
                at += data[at] * 4
                n += 1
            rest = len(data) - at
            # The head may end inside a record, a truncated file too; a sound header that leads nowhere may not.
            if n and (rest < 16 or known.get(data[at + 1]) == data[at] * 4):
                return n, rest, version, ts_out, types
    return 0, len(data), 0, False, set()


def read_header(path: Path, head: Head) -> Header:
    """Read what stands before the records.

    Raises
    ------
    UnsupportedSchema
        For DBZ, version 0, newer versions, and schemas that are not known.
    TruncatedFile
        If the file ends before its records.
    MalformedRecord
        If the metadata cannot be decoded.
    """
    where = str(path)
    if head.data[8:11] == b"DBZ":
        raise UnsupportedSchema(
            "this is DBZ, the forerunner of DBN, which no current library reads",
            expected=f"DBN version {_VERSIONS}",
            found="DBZ",
            where=where,
            remedy=f"convert it with Databento's command line tool (dbn-cli): dbn {path.name} -o {path.stem}.dbn.zst",
        )
    if head.data[:3] != b"DBN":
        return _fragment_header(head)
    version = head.data[3]
    if version not in records.VERSIONS:
        raise UnsupportedSchema(
            "this version of DBN cannot be read",
            expected=f"version {_VERSIONS}",
            found=f"version {version}",
            where=f"{where}, byte 3",
            remedy="download the data again" if version == 0 else "upgrade tapebook, or the file is damaged",
        )
    length = int.from_bytes(head.data[4:8], "little")
    if length > _METADATA_BYTES_MAX:
        raise MalformedRecord(
            "the length of the metadata cannot be right",
            expected=f"at most {_METADATA_BYTES_MAX} bytes",
            found=str(length),
            where=f"{where}, byte 4",
            remedy="fetch the file again",
        )
    broken = Quarantine()
    with open_stream(path, Progress(), broken) as stream:
        raw = stream.read(8 + length)
    if len(raw) < 8 + length:
        raise TruncatedFile(
            "the file ends inside its metadata",
            expected=f"{8 + length} bytes before the first record",
            found=f"{len(raw)} bytes" + (f"; {broken.truncated}" if broken.truncated else ""),
            where=where,
            remedy="fetch the file again",
        )
    return _decode_header(raw, where)


def _decode_header(raw: bytes, where: str) -> Header:
    import databento_dbn as dbn

    try:
        meta = dbn.Metadata.decode(raw, upgrade_policy=dbn.VersionUpgradePolicy(dbn.VersionUpgradePolicy.AS_IS))
        mappings = {str(k): list(v) for k, v in meta.mappings.items()}
    except (dbn.DBNError, ValueError) as error:
        raise MalformedRecord(
            "the metadata cannot be decoded",
            expected="DBN metadata",
            found=str(error)[:200],
            where=f"{where}, bytes 0 to {len(raw)}",
            remedy="fetch the file again",
        ) from error
    schema = "" if meta.schema is None else str(meta.schema)
    if schema and not records.types_of(schema):
        raise UnsupportedSchema(
            "this schema of DBN is not known", found=schema, where=where, remedy="upgrade tapebook, or report it"
        )
    numbers_in = str(meta.stype_in) == "instrument_id"
    spans = []
    for name, intervals in mappings.items():
        for interval in intervals:
            number, symbol = (name, interval["symbol"]) if numbers_in else (interval["symbol"], name)
            if number.isdecimal():
                spans.append((int(number), symbol, _day_ns(interval["start_date"]), _day_ns(interval["end_date"])))
    details = {
        "version": meta.version,
        "dataset": meta.dataset,
        "stype_in": str(meta.stype_in) if meta.stype_in is not None else None,
        "stype_out": str(meta.stype_out),
        "start_ns": meta.start,
        "end_ns": meta.end,
        "limit": meta.limit,
        "ts_out": meta.ts_out,
        "symbols": list(meta.symbols)[:_LISTED_MAX],
        "symbols_partial": list(meta.partial)[:_LISTED_MAX],
        "symbols_not_found": list(meta.not_found)[:_LISTED_MAX],
    }
    return Header(
        version=meta.version,
        schema=schema,
        dataset=meta.dataset,
        ts_out=meta.ts_out,
        size_bytes=len(raw),
        start_ns=meta.start if 0 < meta.start < EVER[1] else None,
        spans=tuple(spans),
        details=details,
    )


def _day_ns(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days * 86_400_000_000_000


def _fragment_header(head: Head) -> Header:
    n, _, version, ts_out, types = fragment_records(head.data)
    if n == 0:
        raise MalformedRecord(
            "neither DBN metadata nor records of any version stand at the start",
            expected=f"DBN version {_VERSIONS}, or a fragment of one",
            found=head.data[:16].hex(" "),
            where=f"{head.path}, byte 0",
            remedy="check that this is a DBN file",
        )
    only = types - records.CONTROL
    schema = records.NAMES[next(iter(only))] if len(only) == 1 else ""
    publisher = int.from_bytes(head.data[2:4], "little")
    return Header(
        version=version,
        schema=schema,
        dataset=dataset_of(publisher),
        ts_out=ts_out,
        details={"version": version, "dataset": dataset_of(publisher), "fragment": True, "ts_out": ts_out},
    )
