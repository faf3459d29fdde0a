"""A tape's book as a Parquet file: rows of N levels, streamed, whole or not there at all.

Columns
    ``ts_event_ns``, ``ts_recv_ns`` (int64, null where missing), then the levels as in Databento's MBP-10. Prices are
    float64 and sizes int64 in base units (float64 where a lot is a fraction of one); ``raw`` gives the integers of the
    events (1e-9, lots). What is absent or was not told is null. Sampled rows start with ``ts_ns``, the boundary they
    stand for.
Several instruments
    A tape of one instrument gives exactly these columns. Where a second one has a book, a column ``symbol`` stands
    first and all are written, in the order of their events (sampled rows: instrument by instrument within a block,
    because a boundary passes for each at its own next event); ``symbol`` is ``SYMBOL.VENUE`` where two venues have the
    same. Which it is shows only on the way, so the file is then begun anew; naming an instrument avoids that.
    An instrument's rows begin with the first event about its book: one that is only traded has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.book.snapshots import Snapshots, level_columns
from tapebook.book.statistics import BookStatistics
from tapebook.market.errors import ConfigurationError, OrderBookError
from tapebook.market.events import MISSING, PRICE_SCALE, Events, Flag, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Rows
from tapebook.market.parquet import SealedWriter, write_whole
from tapebook.market.tape import BLOCK_EVENTS, Tape

__all__ = ["BookTable", "write_book"]

# Times and sizes are hardly ever the same twice; prices and counts are, so they stay dictionaries.
_TIMES = ("ts_ns", "ts_event_ns", "ts_recv_ns")


@dataclass(frozen=True)
class BookTable:
    """What was written."""

    path: Path
    rows: int
    columns: tuple[str, ...]
    books: dict[str, BookStatistics]  # by symbol


@dataclass
class _Plan:
    """What the columns must be; widened when the tape shows more, and then the file begins anew."""

    symbols: bool = False
    venues: bool = False
    fractions: bool = False

    def label(self, instrument: Instrument) -> str:
        return f"{instrument.symbol}.{instrument.venue}" if self.venues else instrument.symbol


class _Replan(Exception):  # noqa: N818 - not an error: the plan was too narrow
    pass


@dataclass
class _Books:
    """The books of a tape, an operator each, made when the first event about a book comes."""

    tape: Tape
    wanted: int | None
    levels: int
    every_ns: int
    by_id: dict[int, Snapshots] = field(default_factory=dict)

    def advance(self, block: Events) -> Iterator[tuple[int, Rows, NDArray[np.int64] | None]]:
        """Yield the rows of each instrument that has a book, and the place in the block of each row's event."""
        for instrument_id in np.unique(block["instrument_id"]).tolist():
            if self.wanted not in (None, instrument_id):
                continue
            mine = np.flatnonzero(block["instrument_id"] == instrument_id)
            operator = self.by_id.get(instrument_id)
            if operator is None:
                kinds = block["kind"][mine]
                about_book = np.flatnonzero((kinds >= Kind.LEVEL) & (kinds <= Kind.CLEAR))
                if not about_book.size:
                    continue
                mine = mine[about_book[0] :]
                instrument = _instrument(self.tape, instrument_id)
                operator = Snapshots(instrument, instrument_id, levels=self.levels, every_ns=self.every_ns)
                self.by_id[instrument_id] = operator
            events = block if mine.size == block.size else block[mine]
            last = None if self.every_ns else mine[(events["flags"] & Flag.LAST) != 0]
            yield instrument_id, operator.advance(events), last


def write_book(
    tape: Tape, path: Path, *, levels: int = 10, every_ns: int = 0, raw: bool = False, symbol: str = ""
) -> BookTable:
    """Write the best ``levels`` of each side after each observable event, or each ``every_ns``.

    Parameters
    ----------
    tape
        Events of any kind that make a book.
    path
        The Parquet file; it appears when it is whole.
    levels
        Depth.
    every_ns
        Sampling step (:class:`~tapebook.book.snapshots.Snapshots`); 0: every observable event.
    raw
        Integers as in the events.
    symbol
        Only this instrument.

    Raises
    ------
    ConfigurationError
        If the tape has no such instrument, or a setting is out of range.
    OrderBookError
        If nothing on the tape makes a book.
    """
    plan = _Plan()
    while True:
        try:
            return _write(tape, path, plan, levels=levels, every_ns=every_ns, raw=raw, symbol=symbol)
        except _Replan:
            continue


def _write(tape: Tape, path: Path, plan: _Plan, *, levels: int, every_ns: int, raw: bool, symbol: str) -> BookTable:
    books = _Books(tape, None, levels, every_ns)
    schema = _schema(plan, levels, sampled=every_ns > 0, raw=raw)
    n_rows = 0
    cells_max = BLOCK_EVENTS * 64  # of int64: 32 MiB of rows at a time, however deep
    pending: list[pa.RecordBatch] = []
    with write_whole(path) as beside:
        writer = SealedWriter(beside, schema, dict.fromkeys(_TIMES, "DELTA_BINARY_PACKED"))
        try:
            for block in tape.blocks(min(cells_max // len(schema), BLOCK_EVENTS)):
                if symbol:
                    books.wanted = _id_of(tape, symbol)
                    if books.wanted is None:
                        continue
                parts = list(books.advance(block))
                _widen(plan, [_instrument(tape, k) for k in books.by_id], raw=raw)
                batch = _batch([(_instrument(tape, k), rows, at) for k, rows, at in parts], plan, schema, raw=raw)
                if batch.num_rows:
                    pending.append(batch)
                    n_rows += batch.num_rows
                    if sum(b.num_rows for b in pending) * len(schema) >= cells_max:
                        _write_group(writer, pending)
            _require_book(tape, books, symbol)
            _write_group(writer, pending)
            writer.close()
        except BaseException:
            writer.abandon()
            raise
    statistics = {plan.label(_instrument(tape, k)): operator.statistics() for k, operator in books.by_id.items()}
    return BookTable(path, n_rows, tuple(schema.names), statistics)


def _write_group(writer: SealedWriter, pending: list[pa.RecordBatch]) -> None:
    """Write what has gathered: samples come a few a block, and a row group should be large."""
    if pending:
        for batch in pa.Table.from_batches(pending).unify_dictionaries().combine_chunks().to_batches():
            writer.write(batch)
        pending.clear()


def _instrument(tape: Tape, instrument_id: int) -> Instrument:
    return tape.instruments.get(instrument_id) or Instrument(symbol=f"#{instrument_id}", venue=tape.origin.venue)


def _id_of(tape: Tape, symbol: str) -> int | None:
    """Return the id of ``SYMBOL`` or ``SYMBOL.VENUE``, None while the tape has not shown it."""
    found = [k for k, i in tape.instruments.items() if symbol in (i.symbol, f"{i.symbol}.{i.venue}")]
    if len(found) > 1:
        raise ConfigurationError(
            "several instruments of one name",
            expected="one",
            found=", ".join(f"{i.symbol}.{i.venue}" for i in (tape.instruments[k] for k in found)),
            remedy="name it as SYMBOL.VENUE",
        )
    return found[0] if found else None


def _require_book(tape: Tape, books: _Books, symbol: str) -> None:
    if symbol and _id_of(tape, symbol) is None:
        raise ConfigurationError(
            "no such instrument on this tape",
            expected=", ".join(sorted(i.symbol for i in tape.instruments.values())) or "an instrument",
            found=symbol,
            where=tape.origin.name,
        )
    if not books.by_id:
        raise OrderBookError(
            "nothing here makes a book",
            expected="levels, quotes or orders",
            found="trades only" if tape.instruments else "no events",
            where=f"{symbol + ' in ' if symbol else ''}{tape.origin.name}",
        )


def _widen(plan: _Plan, instruments: list[Instrument], *, raw: bool) -> None:
    """Begin anew with a wider plan if the books so far need it."""
    needed = _Plan(
        symbols=len(instruments) > 1,
        venues=len({i.symbol for i in instruments}) < len(instruments),
        fractions=not raw and not all(i.whole_lots for i in instruments),
    )
    for name, value in vars(needed).items():
        if value and not getattr(plan, name):
            plan.symbols |= needed.symbols
            plan.venues |= needed.venues
            plan.fractions |= needed.fractions
            raise _Replan


def _schema(plan: _Plan, levels: int, *, sampled: bool, raw: bool) -> pa.Schema:
    kinds = {
        "px": pa.int64() if raw else pa.float64(),
        "sz": pa.float64() if plan.fractions else pa.int64(),
        "ct": pa.int64(),
    }
    columns: list[Any] = [("symbol", pa.dictionary(pa.int32(), pa.string()))] if plan.symbols else []
    columns += [(name, pa.int64()) for name in _TIMES[0 if sampled else 1 :]]
    columns += [(name, kinds[name.split("_")[1]]) for name in level_columns(levels)]
    return pa.schema(columns)


def _batch(
    parts: list[tuple[Instrument, Rows, NDArray[np.int64] | None]], plan: _Plan, schema: pa.Schema, *, raw: bool
) -> pa.RecordBatch:
    """Return the rows of all instruments of a block as the file wants them."""
    sizes = [rows["ts_ns"].size for _, rows, _ in parts]
    # Rows of several instruments stand in the order of their events.
    places = [place for _, _, place in parts if place is not None]
    order = np.argsort(np.concatenate(places), kind="stable") if len(places) > 1 else None
    columns = []
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name == "symbol":
            index = np.repeat(np.arange(len(parts), dtype=np.int32), sizes)
            labels = pa.array([plan.label(instrument) for instrument, _, _ in parts], pa.string())
            columns.append(pa.DictionaryArray.from_arrays(index if order is None else index[order], labels))
            continue
        pieces = [np.empty(0, np.int64)] + [rows[name] for _, rows, _ in parts]
        absent = np.concatenate(pieces) == MISSING
        scaled = pieces[1:] if raw else [_shown(rows[name], name, instrument) for instrument, rows, _ in parts]
        values = np.concatenate([pieces[0].astype(kind.to_pandas_dtype()), *scaled])
        if order is not None:
            values, absent = values[order], absent[order]
        columns.append(pa.array(values, type=kind, mask=absent))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _shown(column: NDArray[np.int64], name: str, instrument: Instrument) -> NDArray[Any]:
    """Return prices as floats and sizes in base units; other columns as they are."""
    what = name.split("_")[1]
    if what == "px":
        return column / PRICE_SCALE
    if what == "sz" and instrument.whole_lots:
        return column * (instrument.lot_e9 // PRICE_SCALE)
    if what == "sz":
        return column * float(instrument.lot_e9) / PRICE_SCALE
    return column
