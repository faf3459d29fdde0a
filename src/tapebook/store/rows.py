"""Rows and lines into files, by the file's extension: what all exports share.

Files appear under their name only when they are whole and on disk.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tapebook.market.arrow import ORIGIN_KEY
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.parquet import SealedWriter, write_whole
from tapebook.market.tape import Origin
from tapebook.store import text

__all__ = ["FORMATS", "format_of", "line_bytes", "open_text", "plain", "to_disk", "write_rows"]

FORMATS: Final = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "json",
    ".jsonl": "json",
}
_COMPRESSION: Final = {".gz": "gzip", ".zst": "zstd"}
_TIME_COLUMNS: Final = ("ts_event_ns", "ts_recv_ns", "ts_ns")


def format_of(path: Path) -> tuple[str, str] | None:
    """Return the format and compression that a file's extension names, None for other names.

    >>> format_of(Path("es.csv.gz")), format_of(Path("es.parquet")), format_of(Path("lake.v2"))
    (('csv', 'gzip'), ('parquet', ''), None)
    """
    suffix = path.suffix.lower()
    compression = _COMPRESSION.get(suffix, "")
    if compression:
        suffix = path.with_suffix("").suffix.lower()
    kind = FORMATS.get(suffix)
    if kind is None or (compression and kind not in ("csv", "json")):
        return None
    return kind, compression


def write_rows(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path, metadata: dict[bytes, bytes] | None = None
) -> int:
    """Write rows that are no events (a table, the answer to a query) as the extension says; return how many.

    In text, columns of times in ns (``ts_event_ns`` …) are ISO 8601 like those of events.

    Raises
    ------
    ConfigurationError
        If the extension is unknown.
    """
    known = format_of(path)
    if known is None:
        raise ConfigurationError(
            "no format has this extension", expected=", ".join(FORMATS), found=path.suffix or "none", where=str(path)
        )
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in batches:
            rows += batch.num_rows
            if batch.num_rows:
                yield batch

    with write_whole(path) as beside:
        if known[0] == "parquet":
            writer = SealedWriter(beside, schema)
            try:
                for batch in counted():
                    writer.write(batch)
                writer.close(metadata or {ORIGIN_KEY: msgspec.json.encode(Origin(name=path.name, format="table"))})
            except BaseException:
                writer.abandon()
                raise
        elif known[0] == "arrow":
            with beside.open("wb") as file:
                with pa.ipc.new_file(file, schema) as ipc:
                    for batch in counted():
                        ipc.write_batch(batch)
                to_disk(file)
        else:
            _rows_as_text(counted(), schema, beside, known)
    return rows


def _rows_as_text(batches: Iterator[pa.RecordBatch], schema: pa.Schema, path: Path, how: tuple[str, str]) -> None:
    names = [n.removesuffix("_ns") if _is_time(schema.field(n)) else n for n in schema.names]
    with open_text(path, how[1]) as write:
        if how[0] == "csv":
            write(line_bytes(text.csv_lines([pa.array([name], pa.string()) for name in names])))
        for batch in batches:
            columns = [_timed(c, f) for f, c in zip(batch.schema, batch.columns, strict=True)]
            if how[0] == "csv":
                write(line_bytes(text.csv_lines([_as_text(c) for c in columns])))
            else:
                cells = [plain(c) for c in columns]
                rows = (dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True))
                write("".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows).encode())


def plain(column: pa.Array) -> list[Any]:
    """Return a column's values as JSON has them: times as ISO 8601, exact decimals as text, NaN as null.

    >>> plain(pa.array([1.5, float("nan")])), plain(pa.array([3]).cast(pa.decimal128(38, 0)))
    ([1.5, None], [3])
    """
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    elif pa.types.is_decimal(kind):  # DuckDB sums integers into decimals without a fraction
        return [None if v is None else int(v) if kind.scale == 0 else str(v) for v in column.to_pylist()]
    elif pa.types.is_timestamp(kind):
        return list(_as_text(column).to_pylist())
    return list(column.to_pylist())


def _timed(column: pa.Array, field: pa.Field) -> pa.Array:
    return text.iso_text(column.fill_null(MISSING).to_numpy()) if _is_time(field) else column


def _is_time(field: pa.Field) -> bool:
    return field.name in _TIME_COLUMNS and field.type == pa.int64()


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_timestamp(column.type):
        words = pc.replace_substring(column.cast(pa.string()), " ", "T", max_replacements=1)
        return words if column.type.tz else pc.binary_join_element_wise(words, "Z", "")
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists, structs, maps
        return pa.array([None if v is None else json.dumps(v, default=str) for v in column.to_pylist()], pa.string())


def line_bytes(lines: pa.Array) -> memoryview:
    """Return all text of a column as it lies in memory, without a copy."""
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return memoryview(data)[int(ends[0]) : int(ends[-1])]


@contextlib.contextmanager
def open_text(path: Path, compression: str) -> Iterator[Callable[[Any], Any]]:
    """Open a file for text and give its write; what was written is on disk afterwards."""
    with path.open("wb") as file:
        if compression:
            with pa.CompressedOutputStream(pa.PythonFile(_Kept(file), mode="w"), compression) as stream:
                yield stream.write
        else:
            yield file.write
        to_disk(file)


class _Kept:
    """A file that whoever is given it cannot close."""

    def __init__(self, file: Any) -> None:
        self.write = file.write
        self.flush = file.flush
        self.closed = False

    def close(self) -> None:
        pass


def to_disk(file: Any) -> None:
    """Force what was written to an open file to disk."""
    file.flush()
    os.fsync(file.fileno())
