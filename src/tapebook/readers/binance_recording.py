"""Raw websocket recordings of Binance: a receive stamp and the JSON as it came, line by line, snapshots among them.

Recorders of several projects write this (hftbacktest's collector for one): plain or compressed text, one instrument or
many, spot, USD-M or COIN-M. Which of the three a file is shows in its own words: ``"ps"`` is COIN-M's, ``"pu"`` the
futures'.

What becomes of the depth stream. :class:`~tapebook.venues.binance.sync.DepthSync` says when the book may be believed;
LEVEL events appear only while it is *live*:

* A snapshot that joins on the diffs makes CLEAR and a LEVEL for each level (Flag.SNAPSHOT), at its place among the
  other messages. Diffs that waited for it follow it, in their order. Their ``ts_recv_ns`` is the snapshot's: before it
  came, nobody could have used them, and a decision must not. (Where the first diff behind a snapshot comes after it,
  both stand at that diff's place: only then is it certain that nothing is missing between them.)
* A diff that does not follow the one before it makes a CLEAR with Flag.GAP. The book stays empty until the next
  snapshot joins on, and :attr:`Tape.notes` says how often that happened and whether the book was live at the end.

What becomes of the ticker beside it. The ticker runs ahead of a depth stream that tells of a tenth of a second at once:
acting on both would tear the book. While the depth book is live its QUOTE events carry Flag.INFO, so that the book
leaves them to those who want the faster touch; while it is not, they are all there is and act (see
docs/decisions/quotes-and-levels.md).

A file without a snapshot (the second day of a recording, say) has no book of its own: put the files together in order
(``cat day1.gz day2.gz > both.gz`` is a valid file) to go on with the book of the day before.

Cost: 107,000 to 250,000 messages a second of one core on recordings of three markets, most of it in making numbers of
depth levels; memory is bounded by blocks of 4 MiB of text and the diffs that wait.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from tapebook.market.catalog import canonical_venue, instrument_for
from tapebook.market.errors import ReaderError, TruncatedFile
from tapebook.market.events import Events
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Tape
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import refuse_if_nothing_read
from tapebook.venues.binance.books import Books
from tapebook.venues.binance.messages import Messages
from tapebook.venues.binance.sync import Rule

_CHUNK_BYTES: Final = 1 << 22
_LINE_BYTES_MAX: Final = 64 << 20
_LINE = re.compile(rb"\d{13}(?:\d{3}){0,2} \{")
_STREAM = re.compile(rb'"stream":"([^"@]+)@(depth|bookTicker|trade|aggTrade)')
_BARE = re.compile(rb'"e":"(?:depthUpdate|bookTicker|aggTrade)"')


def sniff(head: Head) -> int:
    """Say how sure it is that a file is such a recording."""
    lines = head.data.split(b"\n", 20)[:20]
    mine = [line for line in lines if _LINE.match(line)]
    if any(_STREAM.search(line) for line in mine):
        return 100
    return 90 if any(_BARE.search(line) or b'"lastUpdateId":' in line for line in mine) else 0


def open_recording(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a recording; ``--venue`` and ``--symbol`` overrule what its start says."""
    if head.encoding != "utf-8":
        raise ReaderError(
            "a recording of JSON in another encoding",
            expected="UTF-8, as the venue sends it",
            found=head.encoding,
            where=str(path),
            remedy="convert it: iconv -f UTF-16 -t UTF-8",
        )
    venue = canonical_venue(options.venue) if options.venue else venue_of(head.data)
    streams = sorted(set(_STREAM.findall(head.data)))
    names = sorted({symbol.decode("utf-8", "replace").upper() for symbol, _ in streams})
    symbol = options.symbol.upper() or (names[0] if len(names) == 1 else "")
    single = frozenset(s.decode("utf-8", "replace").upper() for s, what in streams if what == b"trade")
    origin = Origin(
        name=path.name,
        format=FORMAT.name,
        schema="streams",
        venue=venue,
        details={"streams": sorted({what.decode() for _, what in streams}), "symbols": names},
    )
    tape = Tape(origin=origin, read=lambda _n: iter(()), quarantine=options.quarantine())
    for name in names or ([symbol] if symbol else []):
        tape.instruments.add(instrument_for(name, venue))
    member = head.members[0] if head.members else ""

    def read(_events_max: int) -> Iterator[Events]:
        with open_stream(path, tape.progress, tape.quarantine, member=member) as stream:
            messages = Messages(
                venue,
                tape.instruments,
                tape.quarantine,
                tape.notes,
                path.name,
                symbol=symbol,
                single_trades=single,
            )
            books = Books(Rule.SPOT if venue == "BINANCE" else Rule.FUTURES, tape.notes)
            n_messages = 0
            for lines, first_line in whole_lines(stream, tape.quarantine, path.name):
                batch = messages.read(lines, first_line)
                n_messages += batch.role.size
                events = books.advance(batch)
                if events.size:
                    yield events
            books.finish(tape.instruments)
            refuse_if_nothing_read(n_messages, tape.quarantine, path.name)

    tape.read = read
    return tape


def venue_of(start: bytes) -> str:
    """Tell spot, USD-M and COIN-M apart by their words.

    >>> venue_of(b'{"e":"depthUpdate","s":"BTCUSDT","U":1,"u":2,"pu":0}')
    'BINANCE-USDM'
    """
    if re.search(rb'"(?:ps|pair)":"', start) or re.search(rb'"stream":"[^"@]+_(?:perp|\d{6})@', start):
        return "BINANCE-COINM"
    if re.search(rb'"pu":\d', start) or re.search(rb'"X":"[A-Z_]+"', start) or b'"e":"bookTicker"' in start:
        return "BINANCE-USDM"
    return "BINANCE"


def whole_lines(stream: IO[bytes], quarantine: Quarantine, file: str) -> Iterator[tuple[list[bytes], int]]:
    """Cut a stream into runs of lines, each with the number of its first line, from 1.

    A last line without an end is given as it is, unless it is no whole message: then the file is truncated there.
    """
    rest = b""
    number = 1
    while chunk := stream.read(_CHUNK_BYTES):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > _LINE_BYTES_MAX:
            where = f"{file} line {number + len(lines)}"
            quarantine.add("line too long", expected="at most 64 MiB", where=where, raw=rest)
            rest = b""
        if lines:
            yield lines, number
            number += len(lines)
    if rest.rstrip():
        if not rest.rstrip().endswith(b"}"):
            quarantine.truncate(
                TruncatedFile(
                    "the file ends inside a message",
                    expected="a line end",
                    found=repr(rest[-40:]),
                    where=f"{file} line {number}",
                    remedy="fetch the file again, or go on without the last message",
                )
            )
        else:
            yield [rest], number


FORMAT = Format(
    name="binance-recording",
    title="Raw websocket recordings of Binance: receive stamp and JSON",
    sniff=sniff,
    open=open_recording,
    example="btcusdt_20240808.gz",
)
