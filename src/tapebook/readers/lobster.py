"""LOBSTER: NASDAQ messages of one stock and day with the book after each, as a zip archive or a pair of CSV files.

Events of message k carry ``sequence`` k (its line in the message file) and end with LAST:

====  =================================================================================================================
type  events
====  =================================================================================================================
1     ADD
2, 3  CANCEL of a part, of all
4     TRADE (the aggressor stands against the resting order's direction), then EXECUTE of the resting order
5     TRADE, HIDDEN: the order was never in the book
6     TRADE, CROSS, without a side
7     STATUS: HALT, QUOTING, OPEN for price -1, 0, 1
====  =================================================================================================================

then, from the order-book file, LEVELs with Flag.VIEW for what left or entered its N levels at the deep end, so that a
book driven by the events equals row k for every k. What the messages do not explain is corrected by LEVELs with
Flag.MAYBE_BAD and counted (``corrected_*`` in ``tape.notes``). The day begins with CLEAR and the book before the first
message (SNAPSHOT). ``docs/decisions/lobster-pairs.md`` has the reasons.

Times are seconds after midnight in New York, prices 1e-4 dollars; the file name (or ``date``, ``symbol``) says the
rest. Without the order-book file every event carries MAYBE_BAD: the orders of before the first message are unknown.

Source: LOBSTER's documentation of its output (lobsterdata.com, "Data structure"; the readme in its samples, 2013).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tapebook.market.catalog import instrument_for
from tapebook.market.errors import ReaderError, UnsupportedSchema
from tapebook.market.events import EVENT, PRICE_SCALE, Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.readers.columns import local_to_utc
from tapebook.readers.files import Head
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.lobster_files import (
    NAME,
    Messages,
    Pair,
    first_lines_are_book,
    first_lines_are_messages,
    in_pieces,
    pair_of,
    pairs_in,
    read_book,
    read_messages,
)
from tapebook.readers.rows import refuse_if_nothing_read

_ZONE: Final = ZoneInfo("America/New_York")
_TICK_E9: Final = 10_000_000
_HOUR_NS: Final = 3_600_000_000_000
_BLOCK_EVENTS_MIN: Final = 4096
_SEVEN_ZIP: Final = b"7z\xbc\xaf\x27\x1c"
_LINES_LOOKED_AT: Final = 5


def sniff(head: Head) -> int:
    """Tell how sure it is that this is LOBSTER's, by names within an archive or by the numbers of the first lines."""
    if head.compression == "zip" and len(head.members) != 1:
        return 95 if any(NAME.search(m) for m in head.members) else 0
    if head.data[:6] == _SEVEN_ZIP:
        return 50 if re.search(r"lobster|_data_dwn_|_\d{4}-\d\d-\d\d_", head.path.name, re.IGNORECASE) else 0
    if head.compression == "zip":
        return 95 if NAME.search(head.members[0]) else 0
    named = NAME.search(head.path.name) is not None
    lines = head.lines[:_LINES_LOOKED_AT]
    if first_lines_are_messages(lines):
        return 98 if named else 75
    if first_lines_are_book(lines):
        return 98 if named else 35
    return 45 if named else 0  # damaged at its start, but it says what it wants to be


class Source:
    """What a tape of LOBSTER pairs reads from."""

    def __init__(self, path: Path, pairs: list[Pair], options: ReadOptions) -> None:
        self.path = path
        self.pairs = pairs
        self.instruments = InstrumentTable()
        self.quarantine = options.quarantine()
        self.progress = Progress(total_bytes=path.stat().st_size)
        self.notes: dict[str, int] = {}
        self._who = self.instruments.add(
            instrument_for(
                pairs[0].symbol,
                options.venue or "XNAS",
                kind="stock",
                tick_e9=_TICK_E9,
                lot_e9=PRICE_SCALE,
                on_ns=midnight_ns(pairs[0].date),
            )
        )

    def events(self, events_max: int) -> Iterator[Events]:
        """Stream the events of all days from the start."""
        self.progress.total_bytes = 0
        n = 0
        for pair in self.pairs:
            for block in self._day(pair, max(events_max, _BLOCK_EVENTS_MIN)):
                n += block.size
                yield block
        refuse_if_nothing_read(n, self.quarantine, str(self.path))

    def _day(self, pair: Pair, block: int) -> Iterator[Events]:
        from tapebook.kernels import lobster as kernel

        levels = max(pair.levels, 1)
        midnight = midnight_ns(pair.date)
        head = np.zeros(kernel.HEAD_SIZE, np.int64)
        view = np.zeros((2, 2, levels + 1), np.int64)
        view_n = np.zeros(2, np.int64)
        spare = 2 * (levels + 1) + 3 + 2 * (2 * levels + 1)
        out = np.empty(block + spare, EVENT)
        unpaired = 0
        for messages, book, book_row in self._pieces(pair):
            head[kernel.ROW] = 0
            unpaired += int((book_row < 0).sum()) if pair.book else 0
            while head[kernel.ROW] < messages.line.size:
                kernel.pair_events(
                    messages.ns + midnight,
                    messages.kind,
                    messages.order_id,
                    messages.size,
                    messages.price,
                    messages.direction,
                    messages.line,
                    book,
                    book_row,
                    levels,
                    self._who,
                    head,
                    view[0],
                    view[1],
                    view_n,
                    out,
                )
                n = int(head[kernel.N_OUT])
                if n >= block:
                    yield out[:block]
                    fresh = np.empty(block + spare, EVENT)
                    fresh[: n - block] = out[block:n]
                    out = fresh
                    head[kernel.N_OUT] = n - block
        if head[kernel.N_OUT]:
            yield out[: int(head[kernel.N_OUT])]
        self._note(pair, head, unpaired)

    def _pieces(self, pair: Pair) -> Iterator[tuple[Messages, NDArray[np.int64], NDArray[np.int64]]]:
        """Put each run of messages beside its rows of the book.

        They are paired by line number, so that a bad line of either file costs that line and not the order of all that
        follow.
        """
        no_rows = np.zeros((0, 4 * max(pair.levels, 1)), np.int64)
        if pair.book is None:
            for messages in read_messages(pair.messages, self.progress, self.quarantine, self.notes):
                yield messages, no_rows, np.full(messages.line.size, -1)
            return
        # The book file is the larger one: progress is how far it has been read.
        books = read_book(pair.book, pair.levels, self.progress, self.quarantine, self.notes)
        lines, table = np.zeros(0, np.int64), no_rows
        for messages in in_pieces(read_messages(pair.messages, Progress(), self.quarantine, self.notes)):
            parts = [(lines, table)]
            while not parts[-1][0].size or parts[-1][0][-1] < messages.line[-1]:
                more = next(books, None)
                if more is None:
                    break
                parts.append(more)
            lines, table = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
            at = np.searchsorted(lines, messages.line)
            found = at < lines.size
            found[found] = lines[at[found]] == messages.line[found]
            yield messages, table, np.where(found, at, -1)
            used = int(np.searchsorted(lines, messages.line[-1], side="right"))
            lines, table = lines[used:], table[used:]
        left = lines.size + sum(part[0].size for part in books)
        if left:
            self._add("book_rows_after_the_last_message", left)

    def _note(self, pair: Pair, head: NDArray[np.int64], unpaired: int) -> None:
        from tapebook.kernels import lobster as kernel

        corrected = {
            "corrected_quantities": int(head[kernel.CORRECTED_QTY]),
            "corrected_vanished_levels": int(head[kernel.CORRECTED_GONE]),
            "corrected_new_levels": int(head[kernel.CORRECTED_NEW]),
        }
        counts = {
            "levels_entered_view": int(head[kernel.ENTERED]),
            "levels_left_view": int(head[kernel.LEFT]),
            "messages_beyond_their_level": int(head[kernel.OUTSIDE]),
            "corrected_levels": sum(corrected.values()),
            "messages_without_book_row": unpaired,
            "days_without_book_file": 0 if pair.book else 1,
        }
        for name, n in (counts | corrected).items():
            if n or name == "corrected_levels":
                self._add(name, n)

    def _add(self, name: str, n: int) -> None:
        self.notes[name] = self.notes.get(name, 0) + n


def midnight_ns(date: str) -> int:
    """Return midnight in New York as ns since 1970 UTC.

    A trading day has one offset: clocks change on Sunday mornings. So the offset at noon holds for all of it.

    >>> midnight_ns("2012-06-21") % (24 * 3_600_000_000_000) // 3_600_000_000_000
    4
    """
    try:
        wall = int(np.datetime64(date, "D").astype("M8[ns]").astype(np.int64))
    except ValueError as error:
        raise ReaderError(
            "bad date", expected="YYYY-MM-DD", found=date, where="--date", remedy="as in --date 2012-06-21"
        ) from error
    noon = wall + 12 * _HOUR_NS
    return int(local_to_utc(np.array([noon]), _ZONE)[0]) - 12 * _HOUR_NS


def open_lobster(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a LOBSTER archive or a file of a pair."""
    if head.data[:6] == _SEVEN_ZIP:
        raise UnsupportedSchema(
            "7z archives are not read",
            expected="a zip archive or CSV files",
            found="7z",
            where=str(path),
            remedy=f"unpack it (7z x {path.name}) and open a message file",
        )
    if head.compression == "zip":
        pairs = pairs_in(path, head.members, options.symbol)
    else:
        pairs = [pair_of(path, options.book_path, options.symbol, options.date)]
    source = Source(path, pairs, options)
    first = pairs[0]
    return Tape(
        origin=Origin(
            name=path.name,
            format="lobster",
            schema=f"messages and {first.levels} levels" if first.book else "messages",
            venue=source.instruments.only().venue,
            details={
                "symbol": first.symbol,
                "dates": [pair.date for pair in pairs],
                "levels": first.levels,
                "book_file": (first.book.member or first.book.path.name) if first.book else None,
            },
        ),
        read=source.events,
        instruments=source.instruments,
        quarantine=source.quarantine,
        progress=source.progress,
        notes=source.notes,
    )


FORMAT = Format(
    name="lobster",
    title="LOBSTER message and order-book files: zip or CSV pair, any number of levels",
    sniff=sniff,
    open=open_lobster,
    example="AMZN_2012-06-21_34200000_57600000_message_5.csv",
)
