"""Tardis' rows that are no events: derivative tickers and liquidations, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from tapebook.market.catalog import canonical_venue
from tapebook.market.tape import Origin, Table
from tapebook.readers.columns import EMPTY, OK, epoch_times, floats, texts
from tapebook.readers.fields import Repeats
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import ReadOptions
from tapebook.readers.rows import read_rows, refuse_if_nothing_read
from tapebook.readers.tardis_rows import KEYS, Whose, stamped

_TIMES: Final = frozenset({"funding_timestamp"})
_TEXTS: Final = frozenset({"id", "side"})


def open_table(path: Path, head: Head, options: ReadOptions, origin: Origin, names: list[str]) -> Table:
    """Open a file of rows that are no events.

    Columns: ``ts_event_ns``, ``ts_recv_ns``, ``symbol``, then the file's own: times as ``ts_..._ns``, ids and sides as
    text, everything else float64. An empty field is null.
    """
    own = [name for name in names if name not in KEYS]
    fields = [pa.field("ts_event_ns", pa.int64()), pa.field("ts_recv_ns", pa.int64()), pa.field("symbol", pa.string())]
    for name in own:
        if name in _TIMES:
            fields.append(pa.field(f"ts_{name.removesuffix('_timestamp')}_ns", pa.int64()))
        else:
            fields.append(pa.field(name, pa.string() if name in _TEXTS else pa.float64()))
    table = Table(origin=origin, schema=pa.schema(fields), read=lambda: iter(()), quarantine=options.quarantine())
    member = head.members[0] if head.members else ""

    def read() -> Iterator[pa.RecordBatch]:
        whose = Whose(table.instruments, options.symbol, canonical_venue(options.venue) if options.venue else "")
        n_good = 0
        repeats = Repeats(table.notes)
        with open_stream(path, table.progress, table.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                names,
                file=path.name,
                quarantine=table.quarantine,
                encoding=head.encoding,
                notes=table.notes,
            ):
                stamps = stamped(rows, whose, table.quarantine)
                repeats.see(rows, stamps.ts_event_ns, stamps.ts_recv_ns)
                columns = []
                for name in own:
                    if name in _TEXTS:
                        columns.append(texts(rows[name]))
                        continue
                    values, ok = epoch_times(rows[name], 3) if name in _TIMES else floats(rows[name])
                    empty = ok == EMPTY
                    ok[empty] = OK
                    rows.require(table.quarantine, stamps.keep, ok, name)
                    columns.append(pa.array(values, mask=empty))
                chosen = pa.array(np.flatnonzero(stamps.keep))
                n_good += len(chosen)
                if len(chosen):
                    symbol = texts(rows["symbol"])
                    both = [pa.array(stamps.ts_event_ns), pa.array(stamps.ts_recv_ns), symbol, *columns]
                    yield pa.RecordBatch.from_arrays([c.take(chosen) for c in both], schema=table.schema)
        refuse_if_nothing_read(n_good, table.quarantine, path.name)

    table.read = read
    return table
