"""Imports: a tape or table becomes staged files, and the commit makes them count.

The tape is read once. Its content is hashed on the way (SHA-256, 0.6 ns a byte or 37 ns an event); 16 digits of that,
with the instruments the events name, are the source's id. Where an import came from is no part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
import numpy as np
import pyarrow as pa

from tapebook.market.events import EVENT_SCHEMA_VERSION
from tapebook.market.instruments import Instrument
from tapebook.market.parquet import SealedWriter
from tapebook.market.tape import Table, Tape
from tapebook.store import manifest
from tapebook.store.commit import IngestReport, Staged, commit, report, tidy
from tapebook.store.locks import Incoming, lake_lock
from tapebook.store.manifest import Source, StoredFile
from tapebook.store.partitions import PartitionedWriter

if TYPE_CHECKING:
    from hashlib import _Hash

TABLE_ROWS: Final = 1 << 16
"""Rows of a table in one row group."""


def ingest(root: Path, source: Tape | Table) -> IngestReport:
    """Import ``source`` into the lake at ``root``; see :meth:`tapebook.store.lake.Lake.ingest`."""
    with lake_lock(root):
        tidy(root)
        folder = Incoming(root)
    with folder as incoming:
        digest = hashlib.sha256()
        if isinstance(source, Tape):
            rows, staged, instruments = _stage_tape(incoming, source, digest)
        else:
            rows, staged = _stage_table(incoming, source, digest)
            instruments = dict(source.instruments)
        entry = Source(
            id=digest.hexdigest()[:16],
            origin=replace(source.origin, details=manifest.jsonable(source.origin.details)),
            event_schema=EVENT_SCHEMA_VERSION if isinstance(source, Tape) else 0,
            table="" if isinstance(source, Tape) else source.origin.schema or source.origin.format,
            rows=rows,
            instruments=dict(sorted(instruments.items())),
            bad_records=dict(source.quarantine.counts),
            truncated=source.quarantine.truncated,
            notes=dict(source.notes),
        )
        if not rows:
            return report(msgspec.structs.replace(entry, id=""), (), again=False)
        with lake_lock(root):
            return commit(root, incoming, entry, staged)


def _stage_tape(incoming: Path, tape: Tape, digest: _Hash) -> tuple[int, Staged, dict[int, Instrument]]:
    writer = PartitionedWriter(incoming, tape.origin, tape.instruments)
    try:
        for block in tape.blocks():
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
            writer.add(block)
        staged = writer.finish()
    except BaseException:
        writer.abandon()
        raise
    # What the events mean is part of the content: with another lot the same bytes are another tape.
    digest.update(msgspec.json.encode([(i, writer.named[i]) for i in sorted(writer.named)]))
    return writer.n_events, staged, {**tape.instruments, **writer.named}


def _stage_table(incoming: Path, table: Table, digest: _Hash) -> tuple[int, Staged]:
    writer = SealedWriter(incoming / "0.part", table.schema)
    rows = 0
    spans: list[tuple[int, int]] = []
    symbols: set[str] = set()
    digest.update(table.schema.remove_metadata().serialize())
    try:
        for batch in _even(table.batches(), table.schema):
            digest.update(batch.serialize())
            rows += batch.num_rows
            span = _span(batch)
            spans += [] if span is None else [span]
            if "symbol" in batch.schema.names:
                symbols.update(str(s) for s in batch["symbol"].unique().to_pylist())
            writer.write(batch, span)
        seal = writer.close({b"tapebook.origin": msgspec.json.encode(table.origin, enc_hook=str)})
    except BaseException:
        writer.abandon()
        raise
    schema = table.origin.schema or table.origin.format
    stored = StoredFile(
        path=f"tables/schema={quote(schema, safe='')}/0",
        venue=table.origin.venue,
        symbol=symbols.pop() if len(symbols) == 1 else "",
        date="",
        seal=seal,
        size_bytes=writer.path.stat().st_size,
        rows=rows,
        clock_ns=(min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None,
    )
    return rows, [(writer.path, stored)]


def _even(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Cut rows into batches of TABLE_ROWS, however they come."""
    waiting: list[pa.RecordBatch] = []
    n_waiting = 0
    for batch in batches:
        waiting.append(batch)
        n_waiting += batch.num_rows
        while n_waiting >= TABLE_ROWS:
            whole = pa.Table.from_batches(waiting, schema).combine_chunks().to_batches()[0]
            yield whole.slice(0, TABLE_ROWS)
            n_waiting -= TABLE_ROWS
            waiting = [whole.slice(TABLE_ROWS)] if n_waiting else []
    if n_waiting:
        yield pa.Table.from_batches(waiting, schema).combine_chunks().to_batches()[0]


def _span(batch: pa.RecordBatch) -> tuple[int, int] | None:
    at = batch.schema.get_field_index("ts_event_ns")
    if at < 0 or batch.schema.field(at).type != pa.int64() or batch.column(at).null_count == batch.num_rows:
        return None
    times = batch.column(at).drop_null().to_numpy()
    return int(times.min()), int(times.max())
