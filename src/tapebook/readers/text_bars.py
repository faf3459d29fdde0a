"""Bars out of delimited text, as trading programs export them: columns by position, told, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from tapebook.market.events import MISSING
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Progress, Table
from tapebook.readers.columns import EMPTY, OK, buffers, fixed_point
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read
from tapebook.readers.text_head import TextHead, unique_names

__all__ = ["BarColumn", "BarFile", "floats", "open_bar_file"]

_PRICES: Final = ("open", "high", "low", "close")


@dataclass(frozen=True)
class BarColumn:
    """One column of the table and where it stands in the file.

    Attributes
    ----------
    name
        Of the column in the table.
    position
        In the file, from 0.
    kind
        ``float``, ``int`` or ``text``. A price is a float.
    required
        Whether a bar without it is refused.
    """

    name: str
    position: int
    kind: Literal["float", "int", "text"] = "float"
    required: bool = False

    @property
    def type(self) -> pa.DataType:
        """Arrow type of the column."""
        return {"float": pa.float64(), "int": pa.int64(), "text": pa.string()}[self.kind]


@dataclass(kw_only=True)
class BarFile:
    """What a format knows of its file: how to read one.

    Attributes
    ----------
    format
        Name of the reader.
    text
        The head of the file.
    columns
        What becomes a column; ``open high low close volume`` among them.
    times
        Makes ``(ts_event_ns, ok, field)`` of some rows: the start of the bar, and the field to blame.
    symbol
        Of all rows, or the position of the column that holds it.
    further
        Makes further columns (``(name, type)`` in order) of the rows that are kept.
    """

    format: str
    text: TextHead
    columns: Sequence[BarColumn]
    times: Callable[[Rows], tuple[NDArray[np.int64], NDArray[np.int8], str]]
    symbol: str | int
    interval_s: int = 0
    decimal_comma: bool = False
    venue: str = ""
    details: dict[str, Any]
    further_schema: Sequence[tuple[str, pa.DataType]] = ()
    further: Callable[[Rows, NDArray[np.bool_]], list[pa.Array]] | None = None


def open_bar_file(path: Path, head: Head, options: ReadOptions, file: BarFile, instruments: InstrumentTable) -> Table:
    """Return the table of a file of bars, read in one pass each time it is asked for."""
    text = file.text
    schema = pa.schema(
        [("ts_event_ns", pa.int64()), ("symbol", pa.string())]
        + [(c.name, c.type) for c in file.columns]
        + list(file.further_schema)
    )
    table = Table(
        origin=Origin(
            name=path.name,
            format=file.format,
            schema=f"bars-{file.interval_s}s" if file.interval_s else "bars",
            venue=file.venue,
            details=file.details,
        ),
        schema=schema,
        read=lambda: iter(()),
        instruments=instruments,
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )

    def read() -> Iterator[pa.RecordBatch]:
        n_good = 0
        width = max(len(text.names), max((len(row) for row in text.rows), default=0))
        names = unique_names(text.names or [""] * width)
        with open_stream(path, table.progress, table.quarantine) as stream:
            for rows in read_rows(
                stream,
                names,
                file=str(path),
                quarantine=table.quarantine,
                delimiter=text.delimiter,
                header_lines=text.header_lines,
                encoding=head.encoding,
                quoted=text.quoted,
            ):
                batch = _batch(rows, file, schema, table)
                n_good += batch.num_rows
                if batch.num_rows:
                    yield batch
        refuse_if_nothing_read(n_good, table.quarantine, str(path))

    table.read = read
    return table


def _batch(rows: Rows, file: BarFile, schema: pa.Schema, table: Table) -> pa.RecordBatch:
    keep = np.ones(rows.n, np.bool_)
    ts, ok, blamed = file.times(rows)
    rows.require(table.quarantine, keep, ok, blamed)
    made: list[Any] = []
    numbers: dict[str, NDArray[Any]] = {}
    for column in file.columns:
        raw = rows.columns[column.position]
        name = rows.names[column.position]
        if column.kind == "text":
            made.append(_texts(raw))
            continue
        values: NDArray[Any]
        if column.kind == "int":
            values, ok = fixed_point(raw, 0, decimal_comma=file.decimal_comma)
        else:
            values, ok = floats(raw, decimal_comma=file.decimal_comma)
        if column.required:
            rows.require(table.quarantine, keep, ok, name)
        else:
            bad = keep & (ok != OK) & (ok != EMPTY)
            if bad.any():
                rows.require(table.quarantine, keep, np.where(bad, ok, np.int8(OK)), name)
        numbers[column.name] = values
        made.append(pa.array(values, column.type, mask=ok != OK))
    if file.further is not None:
        made += file.further(rows, keep)
    symbol = file.symbol
    symbols = (
        pa.array([symbol]).take(pa.array(np.zeros(rows.n, np.int8)))
        if isinstance(symbol, str)
        else _texts(rows.columns[symbol])
    )
    _note_contradictions(numbers, keep, table)
    batch = pa.record_batch([pa.array(ts), symbols, *made], schema=schema)
    return batch if keep.all() else batch.filter(pa.array(keep))


def _note_contradictions(numbers: dict[str, NDArray[Any]], keep: NDArray[np.bool_], table: Table) -> None:
    """Count bars whose prices or volumes contradict each other: they stay, and the notes tell of them."""
    checks: dict[str, NDArray[np.bool_]] = {}
    if all(name in numbers for name in _PRICES):
        opened, high, low, close = (numbers[name] for name in _PRICES)
        checks["bars_outside_their_range"] = (
            (high < np.fmax(opened, close)) | (low > np.fmin(opened, close)) | (high < low)
        )
    if all(name in numbers for name in ("volume", "bid_volume", "ask_volume")):
        parts = numbers["bid_volume"] + numbers["ask_volume"]
        checks["bid_and_ask_volume_differ_from_volume"] = parts != numbers["volume"]
    for name, wrong in checks.items():
        n = int((wrong & keep).sum())
        if n:
            table.notes[name] = table.notes.get(name, 0) + n


def _texts(raw: pa.Array) -> pa.Array:
    """Return a column of bytes as text; what is no UTF-8 is replaced."""
    try:
        return pa.compute.utf8_trim_whitespace(raw.cast(pa.string()))
    except pa.ArrowInvalid:
        return pa.array([(v.as_py() or b"").decode("utf-8", "replace").strip() for v in raw], pa.string())


def floats(raw: pa.Array, *, decimal_comma: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Read decimal numbers as the nearest float64; what is missing or bad is NaN.

    For values that are no prices (averages, bands, studies): they have more digits than an exact price.

    >>> values, ok = floats(pa.array([b" 6788.71956132498", b"", b"x"]))
    >>> values.tolist(), ok.tolist()
    ([6788.71956132498, nan, nan], [1, 0, -1])
    """
    n = len(raw)
    ok = np.full(n, OK, np.int8)
    try:
        text = pa.compute.utf8_trim_whitespace(raw.cast(pa.string()))
        if decimal_comma:
            text = pa.compute.replace_substring(text, ",", ".")
        values = np.asarray(text.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64).copy()
    except pa.ArrowInvalid:
        values = np.full(n, np.nan)
        data, offsets = buffers(raw)
        whole = data.tobytes()
        for i in range(n):
            piece = whole[offsets[i] : offsets[i + 1]].strip()
            if decimal_comma:
                piece = piece.replace(b",", b".")
            try:
                values[i] = float(piece) if piece and b"_" not in piece else np.nan
                ok[i] = OK if piece else EMPTY
            except ValueError:
                ok[i] = -1
    wild = (ok == OK) & ~np.isfinite(values)
    ok[wild] = -1
    values[wild] = np.nan
    return values, ok


def common_step_s(ts: NDArray[np.int64]) -> int:
    """Return the most common step between bars in whole seconds, 0 where there is none.

    >>> common_step_s(np.array([0, 300, 600, 4200]) * 10**9)
    300
    """
    known = ts[ts != MISSING]
    steps = np.diff(known)
    steps = steps[steps > 0]
    if not steps.size:
        return 0
    values, counts = np.unique(steps, return_counts=True)
    return int(values[int(np.argmax(counts))] // 1_000_000_000)
