"""Binance's dumps that are no events: depth by distance, bars, open interest.

Columns. bookDepth: ``ts_event_ns``, ``percentage`` (of the mid, negative below it), ``depth`` (base units),
``notional``, then whatever the file adds. Bars: ``ts_event_ns`` (open time), ``symbol``, ``open``, ``high``, ``low``,
``close``, ``volume``, ``ts_close_ns``, ``quote_volume``, ``n_trades``, ``taker_buy_volume``,
``taker_buy_quote_volume``. Metrics: ``ts_event_ns``, ``symbol``, then the file's columns. All numbers are float64
except counts and times.

A stamp has exactly the form ``2025-10-10 21:34:32`` (UTC); one that does not, is quarantined with its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.catalog import instrument_for
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Table
from tapebook.readers.binance_layouts import UNKNOWN, times
from tapebook.readers.columns import BAD, OK, buffers, fixed_point, floats, iso_times, plausible, texts
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read

_UTC: Final = ZoneInfo("UTC")
_RENAMED: Final = {"close_time": "ts_close_ns", "count": "n_trades"}
_DIGITS: Final = {"open_time", "close_time"}
_STAMPS: Final = {"timestamp", "create_time"}
_WHOLE: Final = {"count"}


def open_table(
    path: Path,
    head: Head,
    options: ReadOptions,
    origin: Origin,
    columns: tuple[str, ...],
    header: list[str],
    symbol: str,
) -> Table:
    """Open bookDepth, klines or metrics."""
    names = header or list(columns[: head.first_line.count(",") + 1])
    own = [name for name in names[1:] if name not in ("ignore", "symbol", "")]
    fields = [pa.field("ts_event_ns", pa.int64())]
    if origin.schema != "bookDepth":
        fields.append(pa.field("symbol", pa.string()))
    for name in own:
        whole = name in _DIGITS or name in _WHOLE
        fields.append(pa.field(_RENAMED.get(name, name), pa.int64() if whole else pa.float64()))
    table = Table(origin=origin, schema=pa.schema(fields), read=lambda: iter(()), quarantine=options.quarantine())
    if symbol != UNKNOWN:
        table.instruments.add(instrument_for(symbol, origin.venue))
    member = head.members[0] if head.members else ""

    def read() -> Iterator[pa.RecordBatch]:
        n_good = 0
        with open_stream(path, table.progress, table.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                names,
                file=path.name,
                quarantine=table.quarantine,
                header_lines=1 if header else 0,
                encoding=head.encoding,
                notes=table.notes,
            ):
                batch = _batch(rows, table, own, symbol)
                n_good += batch.num_rows
                if batch.num_rows:
                    yield batch
        refuse_if_nothing_read(n_good, table.quarantine, path.name)

    table.read = read
    return table


def _batch(rows: Rows, table: Table, own: list[str], symbol: str) -> pa.RecordBatch:
    keep = np.ones(rows.n, np.bool_)
    columns = [pa.array(_time(rows, rows.names[0], table.quarantine, keep))]
    if "symbol" in table.schema.names:
        given = texts(rows["symbol"]) if "symbol" in rows.names else None
        columns.append(pa.array([symbol] * rows.n, pa.string()) if given is None else given)
    for name in own:
        if name in _DIGITS:
            columns.append(pa.array(_time(rows, name, table.quarantine, keep)))
            continue
        values, ok = fixed_point(rows[name], 0) if name in _WHOLE else floats(rows[name])
        rows.require(table.quarantine, keep, ok, name)
        columns.append(pa.array(values))
    chosen = pa.array(np.flatnonzero(keep))
    return pa.RecordBatch.from_arrays([column.take(chosen) for column in columns], schema=table.schema)


def _time(rows: Rows, name: str, quarantine: Quarantine, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
    if name in _DIGITS:
        return times(rows, name, quarantine, keep)
    ns, ok = iso_times(rows[name], _UTC)
    data, offsets = buffers(rows[name])
    # The parser forgives blanks around a time; a dump has none, and where it has one it is damaged.
    strict = np.diff(offsets) == 19
    strict[strict] &= data[offsets[:-1][strict]] != ord(" ")
    ok[(ok == OK) & ~(strict & plausible(ns))] = BAD
    bad = keep & (ok != OK)
    if bad.any():
        rows.reject(quarantine, bad, f"bad {name}", expected="a time such as 2025-10-10 21:34:32 (UTC)", name=name)
        keep &= ~bad
    return ns
