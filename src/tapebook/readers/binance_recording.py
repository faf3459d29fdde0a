"""Raw websocket recordings of Binance: a receive stamp and the JSON as it came, line by line, snapshots among them.

Recorders of several projects write this (hftbacktest's collector for one): plain or compressed text, one instrument or
many, spot, USD-M or COIN-M. Which of the three a file is shows in its own words: ``"ps"`` is COIN-M's, ``"pu"`` the
futures'.

What becomes of the depth stream. :class:`~tapebook.readers.binance_sync.DepthSync` says when the book may be believed;
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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import numpy as np

from tapebook.market.catalog import canonical_venue, instrument_for
from tapebook.market.errors import ReaderError, TruncatedFile
from tapebook.market.events import EVENT, Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Tape
from tapebook.readers.binance_messages import DEPTH, SNAPSHOT, Batch, Messages
from tapebook.readers.binance_sync import BookState, DepthSync, Rule
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import refuse_if_nothing_read

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


class Books:
    """Decides which events of a batch stand, instrument by instrument."""

    def __init__(self, rule: Rule, notes: dict[str, int]) -> None:
        self._rule = rule
        self._notes = notes
        self._syncs: dict[int, DepthSync[Events]] = {}

    def advance(self, batch: Batch) -> Events:
        """Return the events of a batch that are to be believed, in order."""
        events, start, owners, roles = (
            batch.events,
            batch.start.tolist(),
            batch.instrument_id.tolist(),
            batch.role.tolist(),
        )
        was = {who: sync.state is BookState.LIVE for who, sync in self._syncs.items()}
        changes: list[tuple[int, int, bool]] = []  # message, instrument, live from there on
        pieces: list[Events] = []
        done = 0  # events before this one are dealt with
        for m, ids in batch.ids.items():
            who = owners[m]
            sync = self._syncs.get(who)
            if sync is None:
                sync = self._syncs[who] = DepthSync(self._rule)
            was_live = sync.state is BookState.LIVE
            own = events[start[m] : start[m + 1]]
            if roles[m] == SNAPSHOT:
                step = sync.snapshot(ids.last, own.copy())
            elif self._rule is Rule.FUTURES and ids.before is None:
                step = sync.lose("diff without pu")
            else:
                step = sync.diff(ids.first, ids.last, ids.before, own if was_live else own.copy())
            if was_live and step.diffs:
                continue  # the usual case: it follows, and stands where it is
            if start[m] > done:
                pieces.append(events[done : start[m]])
            done = start[m + 1]
            if step.lost:
                pieces.append(_forgotten(batch, m))
                self._notes["resync"] = self._notes.get("resync", 0) + 1
            if step.snapshot is not None:
                for part in (step.snapshot, *step.diffs):
                    part["ts_recv_ns"] = batch.ts_recv_ns[m]
                    pieces.append(part)
            if (sync.state is BookState.LIVE) != was_live:
                changes.append((m, who, not was_live))
        self._mark_quotes(batch, was, changes)
        if not pieces and not done:
            return events
        # As plain bytes: numpy compares the fields of structured arrays anew for each piece (26 µs).
        joined: Events = np.concatenate([piece.view(np.uint8) for piece in (*pieces, events[done:])]).view(EVENT)
        return joined

    def _mark_quotes(self, batch: Batch, was: dict[int, bool], changes: list[tuple[int, int, bool]]) -> None:
        """Set Flag.INFO on the quotes of instruments whose depth book is live."""
        quote = batch.events["kind"] == Kind.QUOTE
        for who in self._syncs:
            live = np.full(batch.events.size, was.get(who, False))
            for m, changed, now in changes:
                if changed == who:
                    live[batch.start[m] :] = now
            if live.any():
                live &= quote & (batch.events["instrument_id"] == who)
                batch.events["flags"][live] |= np.uint16(Flag.INFO)

    def finish(self, instruments: Mapping[int, Instrument]) -> None:
        """Write down how the books fared."""
        for who, sync in self._syncs.items():
            book = f"book {instruments[who].symbol}"
            for what, n in (sync.transitions + sync.ignored).items():
                self._notes[f"{book}: {what}"] = n
            if sync.state is not BookState.LIVE:
                self._notes[f"{book}: not live at the end ({sync.state.value})"] = 1
                self._notes[f"{book}: diffs that no snapshot joined on"] = sync.waiting


def _forgotten(batch: Batch, m: int) -> Events:
    """Return the CLEAR in place of a diff that does not follow the one before it."""
    clear = empty_events(1)
    clear["kind"] = Kind.CLEAR
    clear["ts_recv_ns"] = batch.ts_recv_ns[m]
    clear["ts_event_ns"] = batch.ts_event_ns[m]
    clear["sequence"] = batch.ids[m].last
    clear["instrument_id"] = batch.instrument_id[m]
    clear["channel"] = DEPTH
    clear["flags"] = int(Flag.GAP | Flag.LAST)
    return clear


FORMAT = Format(
    name="binance-recording",
    title="Raw websocket recordings of Binance: receive stamp and JSON",
    sniff=sniff,
    open=open_recording,
    example="btcusdt_20240808.gz",
)
