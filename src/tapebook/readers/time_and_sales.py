"""Time & sales files of any program: one trade a line, columns by a map, numbers and times as that program writes them.

``--column price=Last --column qty=4 …`` (``ReadOptions.columns``) says which column is which
(:mod:`tapebook.readers.time_and_sales_columns`); files whose header says it by itself need no map, among them the
Spanish ``Timestamp;Precio;Volumen;Lado;Bid;Ask`` and NinjaTrader's headerless tick export.

Found out from the first 64 KiB: delimiter (tab, semicolon, bar, comma), decimal comma, the order of day, month and
year, whether the time is a calendar time (with an offset or without) or a count since 1970, and what the words for the
side mean (:mod:`tapebook.readers.time_and_sales_sides`). Where that is not certain, the reader asks.

* Times without an offset need ``zone``. The clock of the Spanish recordings hung in Madrid: one stops at 19:00 on
  Thanksgiving, when CME halts (13:00 New York), and trades twice as much from 15:30 on, when New York opens; the other
  one, from 18:00 to 18:30, trades evenly, without the burst of a session's opening. Their author's notes say Madrid.
* Times of day alone need ``date``, or a column of dates; a clock that falls back by more than twelve hours has passed
  midnight.
* Bid and ask beside a print become QUOTE events before it where they changed. They are what the program showed, and
  need not fit the print: 45 % and 27 % of the Spanish recordings' prints are outside their quote (counted). Nothing
  is corrected.
* A word for the side that is not known is no side (counted); a row without time, price or quantity is refused. Rows
  like the one before are kept and counted: whether somebody filled twice or a line stands twice, the file does not say.
* Cost (one core, CPU time): 0.4 us a row, 2.5 M rows/s.
* The symbol is that of ``symbol``, of a column, or a product's name in the file name (``time_and_sales_nq_….csv``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from tapebook.market.catalog import instrument_for, resolve
from tapebook.market.errors import ConfigurationError, ReaderError
from tapebook.market.events import MISSING, PRICE_SCALE, Events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.readers.columns import BAD, EMPTY, OK, TOO_FINE, fixed_point
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read
from tapebook.readers.text_head import TextHead, unique_names
from tapebook.readers.time_and_sales_clock import Clock, clock_of
from tapebook.readers.time_and_sales_columns import Columns, columns_of, head_of, sureness
from tapebook.readers.time_and_sales_events import Prints, QuotedTrades
from tapebook.readers.time_and_sales_sides import NEUTRAL, check_against_quotes, side_words

__all__ = ["FORMAT", "open_prints"]


def open_prints(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a time & sales file.

    Raises
    ------
    ReaderError
        If columns, times, zone or the words for the side are not certain; the message says how to say them.
    ConfigurationError
        If the column map has a word that means nothing here.
    """
    where = str(path)
    text = head_of(head, options.columns)
    if text is None:
        raise ReaderError("no delimited text", expected="rows of fields", found=head.first_line[:80], where=where)
    columns = columns_of(text, options.columns, where)
    clock = clock_of(text, columns, options, where)
    comma = options.decimal_comma
    if comma is None:
        comma = text.decimal_comma([columns.at[w] for w in ("price", "bid", "ask", "qty") if w in columns])
    words = side_words(text.column(columns.at["side"]), options.columns, where) if "side" in columns else {}
    whole = all(re.fullmatch(r"\d+([.,]0*)?", v) for v in text.column(columns.at["qty"]))
    instruments, ids, symbol_from = _instruments(path, columns, options, whole=whole)
    venues = {i.venue for i in instruments.values()}
    tape = Tape(
        origin=Origin(
            name=path.name,
            format="time-and-sales",
            schema="trades+quotes" if "bid" in columns or "ask" in columns else "trades",
            venue=venues.pop() if len(venues) == 1 else "",
            details={
                "columns": {word: (text.names[i] if text.names else str(i + 1)) for word, i in columns.at.items()},
                "zone": clock.zone.key if clock.zone is not None else "in the file",
                "decimal_comma": comma,
                "symbol_from": symbol_from,
            },
        ),
        read=lambda _max: iter(()),
        instruments=instruments,
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )
    _check_sides(text, columns, words, where, decimal_comma=comma)

    def read(events_max: int) -> Iterator[Events]:
        lines = _Lines(columns, replace(clock), words, comma, tape, dict(ids), whole, options)
        n_good = 0
        width = max([len(text.names), *(len(row) for row in text.rows)])
        with open_stream(path, tape.progress, tape.quarantine) as stream:
            for rows in read_rows(
                stream,
                unique_names(text.names or [""] * width),
                file=where,
                quarantine=tape.quarantine,
                delimiter=text.delimiter,
                header_lines=text.header_lines,
                encoding=head.encoding,
                quoted=text.quoted,
            ):
                events = lines.advance(rows)
                n_good += events.size
                yield from (events[i : i + events_max] for i in range(0, events.size, events_max))
        refuse_if_nothing_read(n_good, tape.quarantine, where)

    tape.read = read
    return tape


@dataclass
class _Lines:
    """Turns rows into events."""

    columns: Columns
    clock: Clock
    words: dict[str, int]
    decimal_comma: bool
    tape: Tape
    ids: dict[str, int]
    whole: bool  # quantities are whole numbers
    options: ReadOptions
    quotes: QuotedTrades = field(default_factory=QuotedTrades)

    def advance(self, rows: Rows) -> Events:
        """Return the events of some rows."""
        keep = np.ones(rows.n, np.bool_)
        quarantine = self.tape.quarantine
        ts, ok, blamed = self.clock.read(rows)
        rows.require(quarantine, keep, ok, blamed)
        price, ok = self._numbers(rows, "price", 9)
        rows.require(quarantine, keep, ok, rows.names[self.columns.at["price"]])
        ids = self._ids(rows)
        qty, ok = self._lots(rows, "qty", ids)
        rows.require(quarantine, keep, ok, rows.names[self.columns.at["qty"]])
        side = self._sides(rows, keep)
        bid, ask = self._quote(rows, "bid"), self._quote(rows, "ask")
        sequence = self._numbers(rows, "seq", 0)[0] if "seq" in self.columns else None
        prints = Prints(
            ts_event_ns=ts[keep],
            price=price[keep],
            qty_lots=qty[keep],
            side=side[keep],
            bid=None if bid is None else bid[keep],
            ask=None if ask is None else ask[keep],
            bid_lots=self._optional_lots(rows, "bid_qty", ids, keep),
            ask_lots=self._optional_lots(rows, "ask_qty", ids, keep),
            sequence=None if sequence is None else sequence[keep],
            instrument_id=ids if isinstance(ids, int) else ids[keep],
        )
        if bid is not None and ask is not None:
            outside = (price < bid) | (price > ask)
            self._note("prints_outside_their_quote", int((outside & (bid != MISSING) & (ask != MISSING) & keep).sum()))
        self._note("rows_like_the_one_before", _repeats(prints))
        events = self.quotes.advance(prints)[1]
        if self.quotes.repeated:
            self.tape.notes["quotes_repeated"] = self.quotes.repeated
        return events

    def _numbers(self, rows: Rows, word: str, digits: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        return fixed_point(rows.columns[self.columns.at[word]], digits, decimal_comma=self.decimal_comma)

    def _quote(self, rows: Rows, word: str) -> NDArray[np.int64] | None:
        if word not in self.columns:
            return None
        values, ok = self._numbers(rows, word, 9)
        self._note(f"{word}_not_understood", int(((ok != OK) & (ok != EMPTY)).sum()))
        values[values == 0] = MISSING  # no quote
        return values

    def _lots(self, rows: Rows, word: str, ids: NDArray[np.uint32] | int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        values, ok = self._numbers(rows, word, 9)
        table = self.tape.instruments
        lot: NDArray[np.int64] | int
        if isinstance(ids, int):
            lot = table[ids].lot_e9
        else:
            lots = {i: table[i].lot_e9 for i in np.unique(ids).tolist()}
            lot = np.array([lots[i] for i in ids.tolist()], np.int64)
        good = ok == OK
        ok[good & (values % lot != 0)] = TOO_FINE
        ok[good & (values < 0)] = BAD
        return np.where(ok == OK, values // lot, MISSING), ok

    def _optional_lots(
        self, rows: Rows, word: str, ids: NDArray[np.uint32] | int, keep: NDArray[np.bool_]
    ) -> NDArray[np.int64] | None:
        if word not in self.columns:
            return None
        values, ok = self._lots(rows, word, ids)
        self._note(f"{word}_not_understood", int(((ok != OK) & (ok != EMPTY)).sum()))
        return values[keep]

    def _sides(self, rows: Rows, keep: NDArray[np.bool_]) -> NDArray[np.int8]:
        if "side" not in self.columns:
            return np.zeros(rows.n, np.int8)
        words, index = _distinct(rows.columns[self.columns.at["side"]])
        signs = np.zeros(max(len(words), 1), np.int8)
        for i, word in enumerate(words):
            plain = word.strip().strip('"').lower()
            signs[i] = self.words.get(plain, 0)
            if plain not in self.words and plain not in NEUTRAL:
                self._note("side_words_not_understood", int((keep & (index == i)).sum()))
        side: NDArray[np.int8] = signs[index]
        self._note("trades_without_side", int(((side == 0) & keep).sum()))
        return side

    def _ids(self, rows: Rows) -> NDArray[np.uint32] | int:
        if "symbol" not in self.columns:
            return 1
        words, index = _distinct(rows.columns[self.columns.at["symbol"]])
        for word in words:
            symbol = word.strip().strip('"')
            if symbol not in self.ids:
                self.ids[symbol] = self.tape.instruments.add(_instrument(symbol, self.options, whole=self.whole))
        ids = np.array([self.ids[w.strip().strip('"')] for w in words] or [1], np.uint32)
        return ids[index]

    def _note(self, name: str, n: int) -> None:
        if n:
            self.tape.notes[name] = self.tape.notes.get(name, 0) + n


def _repeats(prints: Prints) -> int:
    """Count prints that are like the one before: several fills of one order, or a line that stands twice."""
    same = np.ones(max(prints.ts_event_ns.size - 1, 0), np.bool_)
    for column in (
        prints.ts_event_ns,
        prints.price,
        prints.qty_lots,
        prints.side,
        prints.bid,
        prints.ask,
        prints.sequence,
    ):
        if column is not None:
            same &= column[1:] == column[:-1]
    return int(same.sum())


def _distinct(column: pa.Array) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different values of a column of bytes, and which of them each row holds."""
    coded = pa.compute.dictionary_encode(column)
    words = [(v.as_py() or b"").decode("utf-8", "replace") for v in coded.dictionary]
    return words, coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _instruments(
    path: Path, columns: Columns, options: ReadOptions, *, whole: bool
) -> tuple[InstrumentTable, dict[str, int], str]:
    """Return the instruments known at the start, their ids by symbol, and where the symbol came from."""
    table = InstrumentTable()
    if "symbol" in columns:
        return table, {}, "a column"
    symbol, source = options.symbol, "the user"
    if not symbol:
        known = {i.symbol: token for token in re.split(r"[\W_]+", path.stem) if (i := _product(token)) is not None}
        symbol, source = (known.popitem()[1].upper(), "the file name") if len(known) == 1 else (path.stem, "nowhere")
    table.add(_instrument(symbol, options, whole=whole), 1)
    return table, {symbol: 1}, source


def _product(token: str) -> Instrument | None:
    """Return the future that a part of a file name means, if any."""
    if len(token) < 2 or token.isdecimal():
        return None
    try:
        instrument = resolve(token.upper())
    except ConfigurationError:
        return None
    return instrument if instrument.kind == "future" else None


def _instrument(symbol: str, options: ReadOptions, *, whole: bool) -> Instrument:
    return instrument_for(symbol, options.venue, lot_e9=PRICE_SCALE if whole else 10)


def _check_sides(text: TextHead, columns: Columns, words: dict[str, int], where: str, *, decimal_comma: bool) -> None:
    """Hold the words for the side against bid and ask in the head."""
    if not {"side", "bid", "ask"} <= set(columns.at):
        return
    width = max(columns.at.values())
    rows = [row for row in text.rows if len(row) > width]
    side = np.array([words.get(row[columns.at["side"]].lower(), 0) for row in rows], np.int8)
    numbers = {}
    for word in ("price", "bid", "ask"):
        texts = pa.array([row[columns.at[word]] for row in rows], pa.string())
        numbers[word], ok = fixed_point(texts, decimal_comma=decimal_comma)
        side[ok != OK] = 0
    check_against_quotes(side, numbers["price"], numbers["bid"], numbers["ask"], where)


def _sniff(head: Head) -> int:
    if not head.first_line:
        return 0
    return sureness(head_of(head, {}))


FORMAT = Format(
    name="time-and-sales",
    title="Time & sales of any program (column map)",
    sniff=_sniff,
    open=open_prints,
    example="time_and_sales_nq_20251127.csv",
)
