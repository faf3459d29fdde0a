"""Databento's CSV: any schema, by its header; what its own tools write, and what pandas makes of that.

Rows become DBN records of version 3 and go through the same kernel as a DBN file, so that both give the same events
(:mod:`tapebook.readers.dbn` lists them). ``rtype`` of the first row names the schema; a TBBO file looks like MBP-1 with
nothing but trades and is taken for TBBO only if its name says so.

Times are ISO 8601 or whole ns, prices decimal or whole numbers of 1e-9 (where none of the first prices has a point and
one is at least 10,000,000: a price of 0.01 in 1e-9, or one that no instrument has in whole units). Empty means
undefined. ``symbol`` may be missing, a leading unnamed column and unknown columns are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.events import Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Progress, Table, Tape
from tapebook.readers import databento_records as records
from tapebook.readers.columns import fixed_point
from tapebook.readers.databento_csv_rows import RowReader
from tapebook.readers.databento_symbols import Names
from tapebook.readers.databento_venues import venue_of
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read

if TYPE_CHECKING:
    from tapebook.kernels.dbn_words import Bytes

_VERSION: Final = max(records.VERSIONS)
_NEEDED: Final = frozenset({"ts_event", "rtype", "instrument_id"})
_OPTIONAL: Final = frozenset({"publisher_id", "ts_in_delta", "channel_id", "depth", "sequence", "flags", "length"})


def header_of(head: Head) -> list[str]:
    """Return the column names."""
    return [name.strip().strip('"') for name in head.first_line.split(",")]


def sniff(head: Head) -> int:
    """Tell how sure it is that this is Databento's CSV: by the names of its first columns."""
    return 95 if set(header_of(head)) >= _NEEDED else 0


class Source:
    """One file, opened: what its Tape or Table reads from."""

    def __init__(self, path: Path, head: Head, options: ReadOptions) -> None:
        self.path = path
        self.options = options
        self.encoding = head.encoding
        self.columns = header_of(head)
        self.instruments = InstrumentTable()
        self.quarantine = options.quarantine()
        self.progress = Progress(total_bytes=path.stat().st_size)
        self.notes: dict[str, int] = {}
        first = self._first_rows(head)
        self.rtype = self._type(first)
        self.schema = records.NAMES[self.rtype]
        if self.rtype in (records.MBP_1, records.CMBP_1):
            borrowed = "tbbo" if self.rtype == records.MBP_1 else "tcbbo"
            self.schema = borrowed if borrowed in path.name.lower() else self.schema
        publisher = first.get("publisher_id", [""])[0]
        self.publisher = int(publisher) if publisher.isdecimal() else 0
        self.reader = RowReader(self.rtype, _VERSION, first)
        missing = [n for n in self.reader.needed if n not in self.columns and n not in _OPTIONAL]
        if missing:
            raise MalformedRecord(
                f"columns of schema {self.schema} are missing",
                expected=", ".join(missing),
                found=", ".join(self.columns),
                where=f"{path} line 1",
                remedy="export the file again with all columns of its schema",
            )

    def _first_rows(self, head: Head) -> dict[str, list[str]]:
        """Return the columns of the first rows, from which the spelling of times and prices is told."""
        rows = [line.split(",") for line in head.lines[1:200]]
        rows = [row for row in rows if len(row) == len(self.columns)]
        return {name: [row[i].strip('"') for row in rows] for i, name in enumerate(self.columns)} if rows else {}

    def _type(self, first: Mapping[str, Sequence[str]]) -> int:
        values = first.get("rtype", [])
        known = [int(v) for v in values if v.isdecimal() and int(v) in records.NAMES]
        if not known:
            raise ReaderError(
                "the file does not tell its schema",
                expected="rows with an rtype of DBN",
                found=repr(values[0]) if values else "no rows",
                where=f"{self.path} line 2, field rtype",
                remedy="check that the file is whole",
            )
        return max(set(known), key=known.count)

    def names(self) -> Names:
        """Return a fresh memory of what numbers mean."""
        return Names("", self.instruments, symbol=self.options.symbol, venue=self.options.venue)

    def rows(self) -> Iterator[Rows]:
        """Stream the rows of the file."""
        with open_stream(self.path, self.progress, self.quarantine) as stream:
            yield from read_rows(
                stream,
                self.columns,
                file=str(self.path),
                quarantine=self.quarantine,
                encoding=self.encoding,
                notes=self.notes,
            )

    def batches(self, names: Names) -> Iterator[tuple[NDArray[Any], Rows, NDArray[np.int64]]]:
        """Stream records with the rows they come from and their places in them."""
        symbols = Symbols(names) if "symbol" in self.columns else None
        for rows in self.rows():
            array, keep = self.reader.records(rows, self.quarantine)
            if symbols is not None:
                array["instrument_id"] = symbols.numbers(array, rows["symbol"])
            places = np.flatnonzero(keep)
            if places.size:
                yield array if places.size == rows.n else array[places], rows, places

    def events(self, events_max: int) -> Iterator[Events]:
        """Stream the events from the start."""
        from tapebook.readers.dbn_stream import events

        names = self.names()
        window = CsvRecords(self.batches(names))
        plan = records.plan(self.schema, _VERSION, ts_out=False)
        n = 0
        for block in events(window, plan, names, events_max, self.quarantine, self.notes, lambda _: None):
            n += block.size
            yield block
        refuse_if_nothing_read(n, self.quarantine, str(self.path))

    def table(self) -> Iterator[pa.RecordBatch]:
        """Stream the rows of a table from the start."""
        from tapebook.readers.databento_tables import symbols_of

        names = self.names()
        time_field = "ts_recv" if "ts_recv" in self.columns else "ts_event"
        n = 0
        for array, rows, places in self.batches(names):
            found = symbols_of(array, names, time_field=time_field)
            if "symbol" in self.columns:
                number, _ = fixed_point(rows["instrument_id"].take(pa.array(places)), 0)
                array["instrument_id"] = number
            n += array.size
            yield self.reader.layout(self.columns).batch(array, found)
        self.notes.update(names.notes)
        refuse_if_nothing_read(n, self.quarantine, str(self.path))


class Symbols:
    """Gives every (number, symbol) of a file a number of its own: the vendor's where that is free."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._taken: set[int] = set()

    def numbers(self, array: NDArray[Any], symbols: pa.Array) -> NDArray[np.int64]:
        """Return the number under which each row's symbol is known to the tape's names."""
        coded = symbols.dictionary_encode()
        code = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        words = coded.dictionary.to_pylist()
        pair = array["instrument_id"].astype(np.int64) << 32 | code
        pairs, inverse = np.unique(pair, return_inverse=True)
        numbers = [self._number(p >> 32, words[p & 0xFFFFFFFF] or b"") for p in pairs.tolist()]
        return np.array(numbers, np.int64)[inverse]

    def _number(self, number: int, word: bytes) -> int:
        key = (number, word)
        found = self._numbers.get(key)
        if found is None:
            found = number
            while found in self._taken:
                found = (found + 0x9E3779B1) & 0xFFFFFFFF
            self._numbers[key] = found
            self._taken.add(found)
            self._names.learn(found, word.decode("utf-8", "replace").strip().strip('"'))
        return found


class CsvRecords:
    """Records made from rows, as the decoder takes them, with the place of each row."""

    def __init__(self, batches: Iterator[tuple[NDArray[Any], Rows, NDArray[np.int64]]]) -> None:
        self._batches = batches
        self._rows: Rows | None = None
        self._places = np.zeros(0, np.int64)
        self._length = 1
        self.final = False
        self.size = 0
        self.done_bytes = 0
        self.widths = self._widths(np.zeros(1024, np.uint8))

    @staticmethod
    def _widths(raw: NDArray[np.uint8]) -> Bytes:
        from tapebook.kernels.dbn_words import Bytes

        return Bytes(raw, raw.view(np.uint32), raw.view(np.int64), raw.view(np.uint64))

    def refill(self, used: int) -> None:
        """Take the next batch; a batch holds whole records, so that nothing of the last one is left."""
        assert used == self.size
        self.done_bytes += used
        batch = next(self._batches, None)
        if batch is None:
            self.final, self.size = True, 0
            return
        array, self._rows, self._places = batch
        self._length = array.itemsize
        self.widths = self._widths(array.view(np.uint8))
        self.size = array.nbytes

    def _place(self, at: int) -> int:
        return int(self._places[at // self._length])

    def where(self, at: int) -> str:
        """Return the line of a record."""
        return self._rows.where(self._place(at)) if self._rows is not None else ""

    def raw(self, at: int, size: int) -> bytes:
        """Return the text of the record's row."""
        del size  # a row is a row
        return self._rows.raw(self._place(at)) if self._rows is not None else b""

    def rest(self, at: int) -> int:
        """Return how many bytes of this batch stand from ``at`` on."""
        return self.size - at


def open_csv(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open a CSV file of Databento's."""
    source = Source(path, head, options)
    origin = Origin(
        name=path.name,
        format="databento-csv",
        schema=f"bars {source.schema}" if source.rtype in records.OHLCV else source.schema,
        venue=options.venue or venue_of(source.publisher),
        details={
            "columns": source.columns,
            "prices": source.reader.price_spelling,
            "times": source.reader.time_spelling,
        },
    )
    shared: dict[str, Any] = {
        "instruments": source.instruments,
        "quarantine": source.quarantine,
        "progress": source.progress,
        "notes": source.notes,
    }
    if source.rtype in records.TABLES:
        return Table(origin=origin, schema=source.reader.layout(source.columns).schema, read=source.table, **shared)
    return Tape(origin=origin, read=source.events, **shared)


FORMAT = Format(
    name="databento-csv",
    title="Databento CSV: every schema, by its header",
    sniff=sniff,
    open=open_csv,
    example="xnas-itch-20250717.mbo.csv",
)
