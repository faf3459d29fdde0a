"""Our own Parquet: what ``tapebook convert --to x.parquet`` and the lake write, and events saved from Arrow.

A Parquet file is ours if it has the columns of an event (:data:`~tapebook.market.arrow.EVENT_SCHEMA`; further ones are
passed over) or says in its metadata that tapebook wrote it as a table. Rules:

* A *sealed* file (:mod:`tapebook.market.parquet`) is checked before it is believed. A damaged footer or a truncated
  file cannot be opened. A damaged row group is left out and told (strict mode ends there), and the first event behind
  it carries Flag.GAP; the row groups around it are whole.
* A file without seal, as polars or pyarrow write it, is read too, and ``notes["not_sealed"]`` says that nothing
  vouches for it.
* The order is that of the rows. One file of the lake holds one instrument and date; a whole lake is read with
  :class:`tapebook.store.lake.Lake`.
* Instruments come from the metadata. Where these name none, ``symbol`` and ``venue`` stand in for all ids.

Cost: 60-100 ns an event, of which the CRC is 2 (one core, zstd).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tapebook.market.arrow import EVENT_SCHEMA, ORIGIN_KEY, check_version, from_arrow, instruments_of, origin_of
from tapebook.market.catalog import instrument_for
from tapebook.market.errors import ReaderError, SchemaMismatch, StoreCorrupted, TruncatedFile, UnsupportedSchema
from tapebook.market.events import Events, Flag
from tapebook.market.instruments import InstrumentTable
from tapebook.market.parquet import SealedFile
from tapebook.market.tape import Origin, Progress, Table, Tape
from tapebook.readers.files import Head
from tapebook.readers.formats import Format, ReadOptions

__all__ = ["FORMAT", "open_file"]

_MAGIC: Final = b"PAR1"
_NAME: Final = "tapebook-parquet"


def sniff(head: Head) -> int:
    """Say how sure it is that this is Parquet (whether of events shows when it is opened)."""
    return 100 if head.data[:4] == _MAGIC else 0


def open_file(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open Parquet: events as a Tape, rows that tapebook exported as a Table.

    Raises
    ------
    TruncatedFile, ReaderError
        If the file is not whole, or its footer is damaged.
    SchemaMismatch
        If its events have another version of the layout.
    UnsupportedSchema
        If it holds neither, or is compressed as a whole.
    """
    if head.compression:
        raise UnsupportedSchema(
            "Parquet inside a compressed file",
            expected="the Parquet file itself (it is compressed inside)",
            found=head.compression,
            where=str(path),
            remedy=f"decompress it first ({head.compression} -d)",
        )
    with _opened(path) as file:
        check_version(file.metadata, str(path))
        schema = file.schema
        metadata = file.metadata
        sealed = file.sealed
    told = origin_of(metadata, str(path))
    details: dict[str, Any] = {"sealed": sealed}
    if told is not None:
        details |= {"origin": {"name": told.name, "format": told.format, **told.details}}
    origin = Origin(
        name=path.name,
        format=_NAME,
        schema=told.schema if told is not None else "events",
        venue=told.venue if told is not None else options.venue,
        details=details,
    )
    progress = Progress(total_bytes=head.size_bytes)
    wanted = {f.name: f.type for f in EVENT_SCHEMA}
    have = {f.name: f.type for f in schema}
    if wanted.items() <= have.items():
        tape = Tape(
            origin=origin,
            read=lambda _: iter(()),
            instruments=instruments_of(metadata, str(path)),
            quarantine=options.quarantine(),
            progress=progress,
        )
        tape.read = partial(_read, path, tape, options)
        return tape
    if ORIGIN_KEY in metadata:
        table = Table(
            origin=origin,
            schema=schema,
            read=lambda: iter(()),
            instruments=instruments_of(metadata, str(path)),
            quarantine=options.quarantine(),
            progress=progress,
        )
        table.read = partial(_read_rows, path, table)
        return table
    missing = sorted(set(wanted) - set(have))
    raise UnsupportedSchema(
        "this Parquet holds no events",
        expected="the columns of an event: " + ", ".join(wanted),
        found=f"without {', '.join(missing[:6])}" if missing else "columns of other types",
        where=str(path),
        remedy="convert it with the program that wrote it to CSV, and name the columns with --column",
    )


def _read(path: Path, tape: Tape, options: ReadOptions, _events_max: int) -> Iterator[Events]:
    with _opened(path) as file:
        if not file.sealed:
            tape.notes["not_sealed"] = 1
        gap = False
        for table in _row_groups(file, path, tape, EVENT_SCHEMA.names):
            if table is None:
                gap = True
                continue
            try:
                events = from_arrow(table)
            except SchemaMismatch as error:  # nulls, in a file that is not sealed
                tape.quarantine.add(error.message, expected=error.expected, found=error.found, where=str(path))
                gap = True
                continue
            if not events.size:
                continue
            if gap:
                events["flags"][0] |= Flag.GAP
                gap = False
            _name(tape.instruments, events, options)
            yield events


def _read_rows(path: Path, table: Table) -> Iterator[pa.RecordBatch]:
    with _opened(path) as file:
        for part in _row_groups(file, path, table, None):
            if part is not None:
                yield from part.replace_schema_metadata(table.schema.metadata).to_batches()


def _row_groups(file: SealedFile, path: Path, source: Tape | Table, columns: list[str] | None) -> Iterator[pa.Table]:
    """Yield the row groups, None in the place of a damaged one."""
    done = 0
    for i, group in enumerate(file.row_groups):
        try:
            yield file.read(i, columns)
        except StoreCorrupted as error:
            where = error.where or f"{path}, row group {i}"
            reason = "damaged row group"
            source.quarantine.add(reason, expected=error.expected, found=error.found, where=where)
            source.notes["rows_lost"] = source.notes.get("rows_lost", 0) + group.rows
            yield None
        source.progress.done_bytes += group.end_byte - done
        done = group.end_byte
    source.progress.done_bytes = source.progress.total_bytes


def _opened(path: Path) -> SealedFile:
    """Open a file, telling damage in the words of a reader."""
    try:
        return SealedFile(path)
    except StoreCorrupted as error:
        kind = TruncatedFile if "not a whole" in error.message else ReaderError
        raise kind(
            error.message,
            expected=error.expected,
            found=error.found,
            where=error.where,
            remedy="fetch or make the file again",
        ) from error


def _name(instruments: InstrumentTable, events: Events, options: ReadOptions) -> None:
    """Take the user's word for ids that the metadata do not name."""
    if not options.symbol:
        return
    for instrument_id in np.unique(events["instrument_id"]).tolist():
        if instrument_id not in instruments:
            instruments.add(instrument_for(options.symbol, options.venue), instrument_id)


FORMAT: Final = Format(
    name=_NAME,
    title="tapebook's own Parquet",
    sniff=sniff,
    open=open_file,
    example="esh4.parquet, or a file of the lake",
)
