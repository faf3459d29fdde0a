"""Databento Binary Encoding (DBN), versions 1 to 3: plain or compressed, whole or fragments, one schema or mixed.

What becomes of the schemas:

=======================  ============================================================================================
mbo                      A ADD, C CANCEL, M MODIFY, R CLEAR, T TRADE (side: the aggressor's), F EXECUTE with INFO (the
                         record that takes the fill from the book follows), N no event. A record that the vendor flags
                         as top of book (F_TOB) or aggregated (F_MBP) is a LEVEL, not an order.
trades                   TRADE
mbp-1, cmbp-1            action T: TRADE first; then always both QUOTEs as they stand after the record
tbbo, tcbbo              both QUOTEs before the trade, then TRADE
mbp-10                   action T: TRADE first; then the LEVELs that changed (the first row: CLEAR and all, SNAPSHOT)
bbo-*, cbbo-*            both QUOTEs. Their time is the end of the interval, the moment they are told for; the vendor's
                         ``ts_event`` is the last trade's. That last sale is forward-filled, so it becomes no TRADE.
status                   STATUS; the phase from the action, else from is_trading and is_quoting
ohlcv-*                  a table of bars
definition, statistics,  tables
imbalance
=======================  ============================================================================================

Flags: LAST, SNAPSHOT, BAD_TS_RECV, MAYBE_BAD and TOB are taken over; where messages end: :mod:`tapebook.kernels.dbn`.
``sequence``, ``channel`` and ``ts_recv`` are kept, ``ts_in_delta`` is not. In mixed streams definitions and symbol
mappings name the instruments, and rows that are no events are counted in ``tape.notes`` (``passed_over_*``).

Sources: Databento's documentation of DBN and of its schemas (2026), the record classes of ``databento-dbn``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ReaderError
from tapebook.market.events import Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Progress, Table, Tape
from tapebook.readers import databento_records as records
from tapebook.readers.databento_symbols import EVER, Names
from tapebook.readers.databento_venues import dataset_of, has_one_venue, venue_of
from tapebook.readers.dbn_header import Header, fragment_records, read_header
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import refuse_if_nothing_read

if TYPE_CHECKING:
    import pyarrow as pa

_PRELOADED_MAX: Final = 1000
_LOOK_BYTES_MAX: Final = 1 << 26


def sniff(head: Head) -> int:
    """Tell how sure it is that this is DBN (or its forerunner DBZ, which is then refused with advice)."""
    if head.data[:3] == b"DBN" and len(head.data) > 3 and head.data[3] < 32:
        return 100
    if head.data[8:11] == b"DBZ" and head.data[1:4] == b"*M\x18":
        return 100
    n, rest = fragment_records(head.data)[:2]
    if n == 0:
        return 0
    if ".frag" in head.path.name.lower():
        return 90
    return 60 if n > 1 else 40 if rest == 0 else 0


class Source:
    """One file, opened: what its Tape or Table reads from."""

    def __init__(self, path: Path, header: Header, options: ReadOptions) -> None:
        self.path = path
        self.header = header
        self.options = options
        self.instruments = InstrumentTable()
        self.quarantine = options.quarantine()
        self.progress = Progress(total_bytes=path.stat().st_size)
        self.notes: dict[str, int] = {}
        self.origin_schema = header.schema or "mixed"
        if header.schema and has_one_venue(header.dataset) and len(header.spans) <= _PRELOADED_MAX:
            names = self.names()
            publisher = next((i for i in range(1 << 8) if dataset_of(i) == header.dataset), 0)
            for number, _, start_ns, _ in header.spans:
                names.instrument_id(publisher << 32 | number, start_ns)

    def names(self) -> Names:
        """Return what the metadata says of the instruments, for one reading."""
        header = self.header
        names = Names(
            header.dataset,
            self.instruments,
            symbol=self.options.symbol,
            venue=self.options.venue,
            on_ns=header.start_ns,
        )
        for number, symbol, start_ns, end_ns in header.spans:
            names.learn(number, symbol, start_ns, end_ns)
        return names

    def origin(self, schema: str) -> Origin:
        """Say where the data come from."""
        venue = self.options.venue or (venue_of(0, self.header.dataset) if self.header.dataset else "")
        return Origin(name=self.path.name, format="dbn", schema=schema, venue=venue, details=self.header.details)

    def hand_over(self, names: Names) -> Callable[[NDArray[np.uint8]], None]:
        """Return what reads the records that name instruments or come from the vendor's gateway."""

        def take(record: NDArray[np.uint8]) -> None:
            rtype = int(record[1])
            row = record.view(records.fields(rtype, self.header.version, ts_out=self.header.ts_out))[0]
            number = int(row["instrument_id"])
            if rtype == records.DEFINITION:
                tick = int(row["min_price_increment"])
                names.define(number, _text(row["raw_symbol"]), tick if tick < EVER[1] else 0)
                self._count("definitions")
            elif rtype == records.SYMBOL_MAPPING:
                symbol = _text(row["stype_out_symbol"])
                if symbol.isdecimal():
                    symbol = _text(row["stype_in_symbol"])
                start_ns, end_ns = (min(int(row[name]), EVER[1]) for name in ("start_ts", "end_ts"))
                names.learn(number, symbol, EVER[0] if start_ns == EVER[1] else start_ns, end_ns)
                self._count("symbol_mappings")
            else:
                self._count("gateway_errors" if rtype == records.ERROR else "gateway_messages")

        return take

    def _count(self, name: str) -> None:
        self.notes[name] = self.notes.get(name, 0) + 1

    def events(self, events_max: int) -> Iterator[Events]:
        """Stream the events from the start."""
        from tapebook.readers.dbn_stream import Window, events

        header = self.header
        names = self.names()
        plan = records.plan(header.schema, header.version, ts_out=header.ts_out)
        n = 0
        with open_stream(self.path, self.progress, self.quarantine) as stream:
            stream.read(header.size_bytes)
            window = Window(stream, str(self.path), header.size_bytes)
            for block in events(window, plan, names, events_max, self.quarantine, self.notes, self.hand_over(names)):
                n += block.size
                yield block
        refuse_if_nothing_read(n, self.quarantine, str(self.path))

    def rows(self, row_type: int) -> Iterator[pa.RecordBatch]:
        """Stream the rows of a table from the start."""
        from tapebook.readers.databento_tables import Layout, symbols_of
        from tapebook.readers.dbn_stream import Window, rows

        header = self.header
        names = self.names()
        layout = Layout(row_type, header.version, ts_out=header.ts_out)
        time_field = "ts_recv" if "ts_recv" in (layout.dtype.names or ()) else "ts_event"
        plan = records.plan(header.schema, header.version, ts_out=header.ts_out, row_type=row_type)
        n = 0
        with open_stream(self.path, self.progress, self.quarantine) as stream:
            stream.read(header.size_bytes)
            window = Window(stream, str(self.path), header.size_bytes)
            for block in rows(window, plan, layout.dtype, self.quarantine, self.notes, self.hand_over(names)):
                n += block.size
                yield layout.batch(block, symbols_of(block, names, time_field=time_field))
        self.notes.update(names.notes)
        refuse_if_nothing_read(n, self.quarantine, str(self.path))

    def row_type(self) -> int:
        """Return the record type that makes the rows of a table, or -1 where the file holds events."""
        header = self.header
        if header.schema:
            first = records.types_of(header.schema)[0]
            return first if first in records.TABLES else -1
        return self._look()

    def _look(self) -> int:
        """Look through a mixed stream for events; if there are none in its first 64 MiB, for rows of a table."""
        from tapebook.kernels import dbn_words as words
        from tapebook.readers.dbn_stream import Window, rows

        header = self.header
        every = records.plan("", header.version, ts_out=header.ts_out)
        roles = np.full(256, words.PASS_OVER, np.uint8)
        for rtype in records.EVENT_ROLES:
            roles[rtype] = words.TABLE_ROW
        seen: dict[str, int] = {}
        with open_stream(self.path, Progress(), Quarantine()) as stream:
            stream.read(header.size_bytes)
            window = Window(stream, str(self.path), header.size_bytes)
            plan = records.Plan(every.lengths, roles, 0)
            dtype = np.dtype([("header", "V16")])
            for _ in rows(window, plan, dtype, Quarantine(), seen, lambda _: None, bytes_max=_LOOK_BYTES_MAX):
                return -1
        tables = [rtype for rtype in records.TABLES if f"passed_over_{records.NAMES[rtype]}" in seen]
        return max(tables, key=lambda rtype: (seen[f"passed_over_{records.NAMES[rtype]}"], rtype), default=-1)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def open_dbn(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open a DBN file: a Tape of its events, or a Table where it holds bars, definitions, statistics or imbalances."""
    try:
        source = Source(path, read_header(path, head), options)
        row_type = source.row_type()
    except OSError as error:
        raise ReaderError("the file cannot be read", found=str(error), where=str(path)) from error
    shared: dict[str, Any] = {
        "instruments": source.instruments,
        "quarantine": source.quarantine,
        "progress": source.progress,
        "notes": source.notes,
    }
    if row_type < 0:
        return Tape(origin=source.origin(source.origin_schema), read=source.events, **shared)
    from tapebook.readers.databento_tables import Layout

    name = records.NAMES[row_type] if not source.header.schema else source.header.schema
    return Table(
        origin=source.origin(f"bars {name}" if row_type in records.OHLCV else name),
        schema=Layout(row_type, source.header.version, ts_out=source.header.ts_out).schema,
        read=lambda: source.rows(row_type),
        **shared,
    )


FORMAT = Format(
    name="dbn",
    title="Databento DBN versions 1 to 3: every schema, plain, zst or fragments",
    sniff=sniff,
    open=open_dbn,
    example="glbx-mdp3-20231225.mbo.dbn.zst",
)
