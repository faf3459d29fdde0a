"""Tapes and tables into single files, by the file's extension.

===========================  =========================================================================================
``.parquet``                 sealed Parquet with the event's columns; read again by ``tapebook``, bit for bit
``.arrow``, ``.feather``     Arrow IPC, uncompressed: any Arrow program maps it into memory without a copy
``.csv``                     text for people and spreadsheets (:mod:`tapebook.store.text`)
``.json``, ``.ndjson``       one JSON object a line, with the columns of the CSV
===========================  =========================================================================================

Text may be compressed: ``.csv.gz``, ``.json.zst``. Files appear under their name only when they are whole. Several
tapes into one file stand one after the other, in the order given, with their instruments in one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tapebook.market.arrow import EVENT_SCHEMA, event_metadata, event_schema, to_arrow
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, clock_ns
from tapebook.market.parquet import EVENT_ENCODINGS, SealedWriter, write_whole
from tapebook.market.tape import Table, Tape
from tapebook.store import text
from tapebook.store.chain import Chain
from tapebook.store.rows import FORMATS, format_of, line_bytes, open_text, to_disk, write_rows

__all__ = ["ExportReport", "export"]


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was written."""

    path: Path
    format: str
    rows: int
    size_bytes: int
    instrument_ids_changed: int = 0  # events whose id was taken by another instrument of an earlier input


def export(sources: Sequence[Tape | Table], path: Path) -> ExportReport:
    """Write tapes, or one table, to a single file whose extension says how.

    Raises
    ------
    ConfigurationError
        If the extension is unknown, or tapes and tables or several tables are to share a file.
    """
    known = format_of(path)
    if known is None:
        raise ConfigurationError(
            "no format has this extension",
            expected=", ".join(FORMATS) + " (.csv and .json also with .gz or .zst)",
            found=path.suffix or "none",
            where=str(path),
            remedy="name a file with one of them, or a folder for a lake",
        )
    tapes = [s for s in sources if isinstance(s, Tape)]
    tables = [s for s in sources if isinstance(s, Table)]
    if tables:
        if len(sources) > 1:
            raise ConfigurationError(
                "several inputs of which one is a table do not fit into one file",
                expected="tapes, or one table",
                found=", ".join(s.origin.name for s in sources),
                remedy="convert them one by one, or into a lake",
            )
        table = tables[0]
        metadata = event_metadata(table.instruments, table.origin)
        rows = write_rows(table.batches(), table.schema, path, metadata)
        return ExportReport(path=path, format=known[0], rows=rows, size_bytes=path.stat().st_size)
    chain = Chain(tapes)
    write = {"parquet": _parquet, "arrow": _arrow, "csv": _text, "json": _text}[known[0]]
    with write_whole(path) as beside:
        rows = write(chain, beside, known)
    size = path.stat().st_size
    return ExportReport(path=path, format=known[0], rows=rows, size_bytes=size, instrument_ids_changed=chain.n_changed)


def _parquet(chain: Chain, path: Path, _: tuple[str, str]) -> int:
    writer = SealedWriter(path, EVENT_SCHEMA, EVENT_ENCODINGS)
    rows = 0
    try:
        for events in chain.groups():
            clock = clock_ns(events)
            timed = clock[clock != MISSING]
            span = (int(timed.min()), int(timed.max())) if timed.size else None
            writer.write(to_arrow(events), span)
            rows += events.size
        writer.close(event_metadata(chain.instruments, chain.origin))
    except BaseException:
        writer.abandon()
        raise
    return rows


def _arrow(chain: Chain, path: Path, _: tuple[str, str]) -> int:
    """Write Arrow IPC. Its schema stands first, before all instruments are known: so the metadata are put in at last.

    The first file is copied into the second record batch by record batch, from mapped memory.
    """
    draft = path.with_name(path.name + ".draft")
    rows = 0
    try:
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, EVENT_SCHEMA) as writer:
            for events in chain.groups():
                writer.write_batch(to_arrow(events))
                rows += events.size
        schema = event_schema(chain.instruments, chain.origin)
        with pa.memory_map(str(draft)) as source, path.open("wb") as file:
            reader = pa.ipc.open_file(source)
            with pa.ipc.new_file(file, schema) as writer:
                for i in range(reader.num_record_batches):
                    writer.write_batch(reader.get_batch(i).replace_schema_metadata(schema.metadata))
            to_disk(file)
    finally:
        draft.unlink(missing_ok=True)
    return rows


def _text(chain: Chain, path: Path, how: tuple[str, str]) -> int:
    rows = 0
    with open_text(path, how[1]) as write:
        if how[0] == "csv":
            write((",".join(text.COLUMNS) + "\n").encode())
        for block in chain.blocks():
            columns = text.event_columns(block, chain.instruments)
            lines = text.csv_lines(columns) if how[0] == "csv" else text.json_lines(text.COLUMNS, columns, text.QUOTED)
            write(line_bytes(lines))
            rows += block.size
    return rows
