"""LOBSTER's files: which belong together, whose day they hold, and their rows as numbers.

``TICKER_date_start_end_message_N.csv`` and ``…_orderbook_N.csv`` have no header and the same number of rows: row k of
the book is the state after message k. They come as a pair of files or in one zip archive, which may hold several days.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.lobster import NO_ASK, NO_BID
from tapebook.market.errors import ReaderError
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress
from tapebook.readers.columns import OK, fixed_point
from tapebook.readers.files import open_stream
from tapebook.readers.rows import Rows, read_rows

NAME: Final = re.compile(
    r"(?P<stem>(?P<symbol>[A-Za-z0-9.\-]+)_(?P<date>\d{4}-\d\d-\d\d)_(?P<start>\d+)_(?P<end>\d+))"
    r"_(?P<half>message|orderbook)_(?P<levels>\d+)\.csv(?P<zipped>\.gz)?$"
)
MESSAGE_COLUMNS: Final = ("time", "type", "order_id", "size", "price", "direction")
_DAY_NS: Final = 86_400_000_000_000
_PIECE: Final = 1 << 14
_TIME_DIGITS: Final = 13
"""LOBSTER's times are ns, but some went through a double on their way: 43002.632812672004 is 43002.632812672."""


@dataclass(frozen=True)
class Half:
    """A file, or a member of an archive."""

    path: Path
    member: str = ""

    @property
    def name(self) -> str:
        """As errors name it."""
        return f"{self.path}:{self.member}" if self.member else str(self.path)


@dataclass(frozen=True)
class Pair:
    """A day of one stock: the messages, and the book where it is there."""

    symbol: str
    date: str
    messages: Half
    book: Half | None
    levels: int  # of the book file; 0 without one


def pairs_in(path: Path, members: tuple[str, ...], symbol: str) -> list[Pair]:
    """Return the pairs of an archive in order of days.

    Raises
    ------
    ReaderError
        If it holds no message file, or those of several stocks and ``symbol`` names none of them.
    """
    halves: dict[tuple[str, str, str], str] = {}
    for member in members:
        match = NAME.search(member)
        if match:
            halves[match["date"], match["symbol"], match["half"]] = member
    symbols = sorted({s for _, s, half in halves if half == "message"})
    if symbol:
        symbols = [s for s in symbols if s.upper() == symbol.upper()]
    if len(symbols) != 1:
        held = sorted({s for _, s, half in halves if half == "message"})
        raise ReaderError(
            "the archive does not hold the messages of one stock",
            expected=f"message files of {symbol or 'one stock'}",
            found=", ".join(held) or "none",
            where=str(path),
            remedy="name one with --symbol" if held else "check that this is LOBSTER's archive",
        )
    pairs = []
    for date, name, half in sorted(halves):
        if name == symbols[0] and half == "message":
            book = halves.get((date, name, "orderbook"))
            found = Half(path, book) if book else None
            pairs.append(Pair(name, date, Half(path, halves[date, name, half]), found, count_levels(found)))
    return pairs


def pair_of(path: Path, book_path: Path | None, symbol: str, date: str) -> Pair:
    """Return the pair that a CSV file (either half of it) belongs to.

    Raises
    ------
    ReaderError
        If the message half, the stock or the day cannot be found.
    """
    match = NAME.search(path.name)
    messages, book = path, book_path
    if match:
        other = "orderbook" if match["half"] == "message" else "message"
        partner = path.with_name(path.name.replace(f"_{match['half']}_", f"_{other}_"))
        if match["half"] == "orderbook":
            if not partner.exists():
                raise ReaderError(
                    "this is the order-book half of a LOBSTER pair, and the messages are missing",
                    expected=partner.name,
                    found="no such file",
                    where=str(path),
                    remedy="put the message file beside it",
                )
            messages, book = partner, path
        elif book is None and partner.exists():
            book = partner
    symbol = symbol or (match["symbol"] if match else "")
    date = date or (match["date"] if match else "")
    for value, what, option in ((symbol, "stock", "--symbol AMZN"), (date, "day", "--date 2012-06-21")):
        if not value:
            raise ReaderError(
                f"the file does not say which {what} it holds",
                expected="a name as TICKER_date_start_end_message_levels.csv",
                found=path.name,
                where=str(path),
                remedy=f"say it with {option}",
            )
    found = Half(book) if book else None
    return Pair(symbol, date, Half(messages), found, count_levels(found))


def count_levels(book: Half | None) -> int:
    """Return how many levels a side an order-book file shows (0 without one)."""
    if book is None:
        return 0
    if not book.path.exists():
        raise ReaderError("no such file", expected="the order-book file", where=book.name, remedy="check the path")
    with open_stream(book.path, Progress(), Quarantine(), member=book.member) as stream:
        line = stream.readline(1 << 20)
    n = line.count(b",") + 1
    if n % 4:
        raise ReaderError(
            "this is no order-book file",
            expected="ask price, ask size, bid price, bid size for each level",
            found=f"{n} columns",
            where=f"{book.name} line 1",
            remedy="check that it belongs to the message file",
        )
    return n // 4


@dataclass(frozen=True)
class Messages:
    """Some successive messages."""

    line: NDArray[np.int64]  # in the file, from 1
    ns: NDArray[np.int64]  # since midnight
    kind: NDArray[np.int64]
    order_id: NDArray[np.uint64]
    size: NDArray[np.int64]
    price: NDArray[np.int64]  # 1e-4
    direction: NDArray[np.int64]


def in_pieces(blocks: Iterator[Messages]) -> Iterator[Messages]:
    """Cut messages into runs short enough that their rows of a deep book (50 levels: 1.6 kB a row) stay small."""
    for block in blocks:
        for start in range(0, block.line.size, _PIECE):
            part = slice(start, start + _PIECE)
            yield Messages(*(getattr(block, field.name)[part] for field in fields(Messages)))


def read_messages(half: Half, progress: Progress, quarantine: Quarantine, notes: dict[str, int]) -> Iterator[Messages]:
    """Stream the messages of a file."""
    with open_stream(half.path, progress, quarantine, member=half.member) as stream:
        for rows in read_rows(
            stream,
            MESSAGE_COLUMNS,
            file=half.name,
            quarantine=quarantine,
            header_lines=0,
            notes=notes,
        ):
            found = _messages(rows, quarantine, notes)
            if found.line.size:
                yield found


def _messages(rows: Rows, quarantine: Quarantine, notes: dict[str, int]) -> Messages:
    keep = np.ones(rows.n, dtype=np.bool_)
    values = []
    for name in MESSAGE_COLUMNS:
        value, ok = fixed_point(rows[name], _TIME_DIGITS if name == "time" else 0)
        rows.require(quarantine, keep, ok, name)
        values.append(value)
    time, kind, order_id, size, price, direction = values
    finer = 10 ** (_TIME_DIGITS - 9)
    ns = (time + finer // 2) // finer
    n_noisy = int((keep & (time % finer != 0)).sum())
    if n_noisy:
        notes["times_rounded_to_ns"] = notes.get("times_rounded_to_ns", 0) + n_noisy
    for bad, reason, expected, name in (
        ((kind < 1) | (kind > 7), "bad message type", "1 to 7", "type"),
        ((ns < 0) | (ns >= _DAY_NS), "bad time of day", "seconds after midnight", "time"),
        ((direction != 1) & (direction != -1), "bad direction", "1 or -1", "direction"),
        ((kind != 7) & (size <= 0), "bad size", "a number above 0", "size"),
        ((kind != 7) & ((price <= 0) | (price >= NO_ASK)), "bad price", "a price above 0", "price"),
        ((kind == 7) & (np.abs(price) > 1), "bad halt marker", "-1, 0 or 1", "price"),
        (order_id < 0, "bad order id", "a number from 0", "order_id"),
    ):
        wrong = bad & keep
        if wrong.any():
            rows.reject(quarantine, wrong, reason, expected=expected, name=name)
            keep &= ~wrong
    line = rows.lines()
    return Messages(
        line[keep],
        ns[keep],
        kind[keep],
        order_id[keep].view(np.uint64),
        size[keep],
        price[keep],
        direction[keep],
    )


def read_book(
    half: Half, levels: int, progress: Progress, quarantine: Quarantine, notes: dict[str, int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Stream an order-book file: line numbers, and rows of ask price, ask size, bid price, bid size for each level."""
    names = [f"{what} {i + 1}" for i in range(levels) for what in ("ask price", "ask size", "bid price", "bid size")]
    with open_stream(half.path, progress, quarantine, member=half.member) as stream:
        for rows in read_rows(stream, names, file=half.name, quarantine=quarantine, header_lines=0, notes=notes):
            keep = np.ones(rows.n, dtype=np.bool_)
            table = np.empty((rows.n, 4 * levels), np.int64)
            for i, name in enumerate(names):
                table[:, i], ok = fixed_point(rows.columns[i], 0)
                if (ok != OK).any():
                    rows.require(quarantine, keep, ok, name)
            wrong = keep & ~_sound(table)
            if wrong.any():
                rows.reject(
                    quarantine,
                    wrong,
                    "levels out of order",
                    expected="levels in order with sizes, then empty ones",
                    name="",
                )
                keep &= ~wrong
            if keep.any():
                yield rows.lines()[keep], table[keep]


def _sound(table: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which rows are strictly ordered on both sides, sized where there is a level, and empty only at the end.

    The dummy prices of empty levels (9999999999 and -9999999999) repeat, and lie behind every price.
    """
    sound = np.ones(table.shape[0], dtype=np.bool_)
    for first, sign, dummy in ((0, 1, NO_ASK), (2, -1, NO_BID)):
        price, size = table[:, first::4], table[:, first + 1 :: 4]
        empty = price == dummy
        steps = (price[:, 1:] - price[:, :-1]) * sign
        sound &= ((steps > 0) | (empty[:, 1:] & (steps >= 0))).all(axis=1)
        sound &= np.where(empty, size == 0, (size > 0) & (np.abs(price) < NO_ASK)).all(axis=1)
    return sound


def first_lines_are_messages(lines: list[str]) -> bool:
    """Tell whether text looks like a message file: six numbers, the type from 1 to 7, the direction 1 or -1."""
    return bool(lines) and all(
        re.fullmatch(r"\d{1,5}(\.\d+)?,[1-7],\d+,\d+,-?\d+,-?1", line) is not None for line in lines
    )


def first_lines_are_book(lines: list[str]) -> bool:
    """Tell whether text looks like an order-book file: whole numbers in fours, asks above bids."""
    for line in lines:
        fields = line.split(",")
        if len(fields) % 4 or not all(re.fullmatch(r"-?\d{1,10}", f) for f in fields):
            return False
        if int(fields[0]) <= int(fields[2]):
            return False
    return bool(lines)
