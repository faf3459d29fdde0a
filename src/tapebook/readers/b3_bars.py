"""Five-minute bars of B3's index future as Brazilian charting programs export them.

The header is ``Data;Open;High;Low;Close;Candle``.
Semicolons, a byte order mark, day-first dates, decimal commas where a price has decimals, newest bar first; no volume.
Rows keep the order of the file, and :attr:`Table.notes` says which it is.

``Candle`` numbers the bars of a day from 1. That proves two things: a stamp is the *start* of its bar, and the clock
hung in São Paulo, because the first bar of nearly every day is at 09:00, when the index future opens there. A file
whose first bars are elsewhere needs ``--zone``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from tapebook.market.catalog import instrument_for
from tapebook.market.tape import Origin, Table
from tapebook.readers.columns import BAD, OK, fixed_point, floats, plausible
from tapebook.readers.fields import note
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.local_time import DAY_FIRST, ClockStyle, need_zone, wall_times
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read

COLUMNS: Final = ("Data", "Open", "High", "Low", "Close", "Candle")
SCHEMA: Final = pa.schema(
    [
        pa.field("ts_event_ns", pa.int64()),
        pa.field("symbol", pa.string()),
        *(pa.field(name, pa.float64()) for name in ("open", "high", "low", "close", "volume")),
        pa.field("candle", pa.int64()),
    ]
)
_ZONE: Final = "America/Sao_Paulo"
_SYMBOL = re.compile(r"^(win|wdo|ind|dol)(?:fut|[fghjkmnquvxz]\d\d)?", re.IGNORECASE)


def sniff(head: Head) -> int:
    """Say how sure it is that a file is such a one."""
    return 100 if tuple(name.strip() for name in head.first_line.split(";")) == COLUMNS else 0


def open_bars(path: Path, head: Head, options: ReadOptions) -> Table:
    """Open a file of bars."""
    found = _SYMBOL.search(path.name)
    code = found[0].upper() if found else "WIN"
    symbol = options.symbol or (f"{code}FUT" if len(code) == 3 else code)
    instrument = instrument_for(symbol, "B3", kind="future")
    opening, first_bars = _first_bars(head)
    details = {"zone": str(options.zone or _ZONE), "volume": "not in the file"}
    if not found and not options.symbol:
        details["symbol"] = "assumed: not in the file nor its name (--symbol)"
    table = Table(
        origin=Origin(name=path.name, format=FORMAT.name, schema="bars-5m", venue="B3", details=details),
        schema=SCHEMA,
        read=lambda: iter(()),
        quarantine=options.quarantine(),
    )
    table.instruments.add(instrument)
    member = head.members[0] if head.members else ""

    def read() -> Iterator[pa.RecordBatch]:
        zone = options.zone
        if zone is None and first_bars and 2 * opening > first_bars:
            zone = ZoneInfo(_ZONE)
        why = f"{opening} of {first_bars} days of its start open at 09:00"
        zone = need_zone(zone, where=str(path), likely=_ZONE, why=why)
        n_good, before = 0, 0
        with open_stream(path, table.progress, table.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                COLUMNS,
                file=path.name,
                quarantine=table.quarantine,
                delimiter=";",
                encoding=head.encoding,
                notes=table.notes,
            ):
                batch = _batch(rows, table, symbol, zone)
                if not batch.num_rows:
                    continue
                ns = batch["ts_event_ns"].to_numpy()
                step = np.diff(ns, prepend=before or ns[0])
                note(table.notes, "bars older than the one before them (newest first)", int((step < 0).sum()))
                before = int(ns[-1])
                n_good += batch.num_rows
                yield batch
        refuse_if_nothing_read(n_good, table.quarantine, path.name)

    table.read = read
    return table


def _first_bars(head: Head) -> tuple[int, int]:
    """Return how many days in the head open at 09:00, and how many days open in it."""
    opens = [line.split(";")[0].split()[-1:] for line in head.lines[1:] if line.rstrip().endswith(";1")]
    return sum(clock == ["09:00"] for clock in opens), len(opens)


def _batch(rows: Rows, table: Table, symbol: str, zone: ZoneInfo) -> pa.RecordBatch:
    keep = np.ones(rows.n, np.bool_)
    ns, ok = wall_times(rows["Data"], None, ClockStyle(DAY_FIRST), zone)
    ok[(ok == OK) & ~plausible(ns)] = BAD
    rows.require(table.quarantine, keep, ok, "Data")
    columns = [pa.array(ns), pa.array([symbol] * rows.n, pa.string())]
    for name in COLUMNS[1:5]:
        values, ok = floats(rows[name], decimal_comma=True)
        rows.require(table.quarantine, keep, ok, name)
        columns.append(pa.array(values))
    candle, ok = fixed_point(rows["Candle"], 0)
    rows.require(table.quarantine, keep, ok, "Candle")
    columns += [pa.nulls(rows.n, pa.float64()), pa.array(candle)]
    chosen = pa.array(np.flatnonzero(keep))
    return pa.RecordBatch.from_arrays([column.take(chosen) for column in columns], schema=SCHEMA)


FORMAT = Format(
    name="b3-bars",
    title="Five-minute bars of B3's index future (Data;Open;High;Low;Close;Candle)",
    sniff=sniff,
    open=open_bars,
    example="winfut_five_minute.csv",
)
