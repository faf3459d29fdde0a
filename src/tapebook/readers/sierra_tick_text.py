"""Sierra Chart's trades with a depth ladder as text: ``Date;Time;Sequence;DepthSequence;Price;Volume;TradeType;…``.

Such files come from a study ("Write Tick Data including L2 Data") that walks Sierra Chart's time & sales list and
writes one line a trade. Each line holds the trade, bid and ask with sizes at the trade, and N levels a side of the
book. Four things about them are not what they look like:

* **The fraction of a second is a count of microseconds, not a fraction.** ``13:30:00.5001`` is 13:30:00.005001. Read
  as a decimal fraction, the lines would go back in time (``.6002`` is followed by ``.47000``); read as a count they
  rise in all 2,026 lines of the recording. The last three digits count the trades within a millisecond.
* **The ladder is younger than the trade beside it.** The study runs about once a second, writes all trades since the
  last run, and reads the ladder *then*: the ladder in a line shows the book up to a second later, so a strategy that
  used it with the line's time would look ahead. (In the recording, wherever top and sums of a ladder equal the quote of
  a line that shares it, that line is among the last ones.) So the ladder of a run of lines is given after them: before
  the first line whose ladder differs, and with that line's time. It is a sample and no stream of changes, hence a
  whole snapshot: CLEAR and all levels, with Flag.SNAPSHOT. Its prices are not in the file: level ``i`` is taken to be
  ``i`` ticks from ``AskDOMPrice`` and ``BidDOMPrice``.
* **Bid and ask in the line do belong to the trade**: they stood before it. They become QUOTE events where they changed,
  and after each ladder, which is older than they are: a book then has the sampled depth below the true best prices.
* **The clock is UTC** in all likelihood: Sierra Chart's time & sales records hold UTC, and the study adds no zone (the
  addition is commented out in its source). The file does not say so, hence ``zone`` has to be given.

TradeType 1 is a trade at the bid (sold), 2 at the ask (bought); others are of unknown side. ``TotalAskDepth`` and
``TotalBidDepth`` are not read: no event holds them.

The tick, without which the ladder has no prices, comes from the catalogue (name the instrument with ``symbol``, or let
the file name do it). Failing that it is taken from the file, if 100 lines of its first 64 KiB agree that the smallest
spread divides every price; else there are no LEVEL events, and a note says it.

Cost (one core, CPU time): about 4 us a line of 95 fields, 0.25 M lines/s.

Source of the study: found in public repositories as ``scsf_WriteTickData`` (ACSIL, C++).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.errors import ReaderError
from tapebook.market.events import EVENT, MISSING, Events, Flag, Kind, Side, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.readers.columns import OK, fixed_point
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.local_time import ClockStyle, need_zone, wall_times
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read
from tapebook.readers.sierra_names import instrument_of, parse_name
from tapebook.readers.text_head import TextHead, text_head
from tapebook.readers.time_and_sales_events import Prints, QuotedTrades

__all__ = ["FORMAT", "open_ticks"]

_FIRST_NAMES: Final = (
    *("Date", "Time", "Sequence", "DepthSequence"),
    *("Price", "Volume", "TradeType", "AskPrice", "BidPrice"),
)
_STYLE: Final = ClockStyle(counted_us=True)
_SIDES: Final = {1: Side.SELL, 2: Side.BUY}


def open_ticks(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a file of trades with ladders.

    Raises
    ------
    ReaderError
        If no zone is given, or columns are missing.
    """
    text = _text(head)
    if text is None:
        raise ReaderError("no Sierra Chart tick export", expected=";".join(_FIRST_NAMES), where=str(path))
    zone = need_zone(options.zone, where=str(path), likely="UTC", why="Sierra Chart's time & sales list holds UTC")
    instrument = instrument_of(parse_name(path.name), options)
    n_levels = sum(name.startswith("AskDOM_") for name in text.names)
    tick_e9 = instrument.tick_e9 or _tick_seen(text)
    tape = Tape(
        origin=Origin(
            name=path.name,
            format="sierra-ticks",
            schema=f"trades+ladder-{n_levels}" if n_levels else "trades",
            venue=instrument.venue,
            details={
                "zone": zone.key,
                "ladder": "sampled about once a second; given when it is known, with the time of the next line",
                "tick_of_ladder_e9": tick_e9,
                "tick_from": "catalogue" if instrument.tick_e9 else "the file's own prices" if tick_e9 else "nowhere",
            },
        ),
        read=lambda _max: iter(()),
        instruments=InstrumentTable({1: instrument}),
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )

    def read(events_max: int) -> Iterator[Events]:
        lines = _Lines(text, zone, instrument, tick_e9, n_levels, tape.quarantine, tape.notes)
        n_good = 0
        if n_levels and not tick_e9:
            tape.notes["ladders_without_tick"] = 1
        with open_stream(path, tape.progress, tape.quarantine) as stream:
            for rows in read_rows(
                stream,
                list(text.names),
                file=str(path),
                quarantine=tape.quarantine,
                delimiter=text.delimiter,
                encoding=head.encoding,
            ):
                events = lines.advance(rows)
                n_good += events.size
                yield from (events[i : i + events_max] for i in range(0, events.size, events_max))
        events = lines.rest()
        if events.size:
            yield events
        refuse_if_nothing_read(n_good, tape.quarantine, str(path))

    tape.read = read
    return tape


@dataclass
class _Lines:
    """Turns lines into events, and remembers the ladder that is still to be given."""

    text: TextHead
    zone: ZoneInfo
    instrument: Instrument
    tick_e9: int
    n_levels: int
    quarantine: Quarantine
    notes: dict[str, int]
    quotes: QuotedTrades = field(default_factory=QuotedTrades)
    ladder: NDArray[np.int64] | None = None  # AskDOMPrice, BidDOMPrice, ask sizes, bid sizes of the last line
    last_ts_ns: int = MISSING

    def advance(self, rows: Rows) -> Events:
        """Return the events of some lines."""
        keep = np.ones(rows.n, np.bool_)
        ts, ok = wall_times(rows["Date"], rows["Time"], _STYLE, self.zone)
        rows.require(self.quarantine, keep, ok, "Time")
        price = self._required(rows, keep, "Price", 9)
        volume = self._required(rows, keep, "Volume", 0)
        kind, kind_ok = fixed_point(rows["TradeType"], 0)
        side = np.select([kind == t for t in _SIDES], list(_SIDES.values()), 0).astype(np.int8)
        side[kind_ok != OK] = 0
        ladder = self._ladder(rows, keep) if self.n_levels and self.tick_e9 else None
        self._note("trades_without_side", int(((side == 0) & keep).sum()))
        if not keep.any():
            return np.empty(0, EVENT)
        prints = Prints(
            ts_event_ns=ts[keep],
            price=price[keep],
            qty_lots=volume[keep],
            side=side[keep],
            bid=self._optional(rows, "BidPrice", 9)[keep],
            ask=self._optional(rows, "AskPrice", 9)[keep],
            bid_lots=self._optional(rows, "BidSize", 0)[keep],
            ask_lots=self._optional(rows, "AskSize", 0)[keep],
            sequence=self._optional(rows, "Sequence", 0)[keep],
            quote_sequence=self._optional(rows, "DepthSequence", 0)[keep],
        )
        self.last_ts_ns = int(prints.ts_event_ns[-1])
        if ladder is None:
            return self._quoted(prints, None)[1]
        ladder_row, levels = self._ended_ladders(ladder[keep], prints.ts_event_ns)
        repeat = np.zeros(prints.ts_event_ns.size, np.bool_)
        repeat[ladder_row] = True
        row, events = self._quoted(prints, repeat)
        order = np.argsort(np.concatenate([ladder_row * 2, row * 2 + 1]), kind="stable")
        together: Events = np.concatenate([levels, events])[order]
        return together

    def _quoted(self, prints: Prints, repeat: NDArray[np.bool_] | None) -> tuple[NDArray[np.int64], Events]:
        made = self.quotes.advance(prints, repeat=repeat)
        if self.quotes.repeated:
            self.notes["quotes_repeated"] = self.quotes.repeated
        return made

    def rest(self) -> Events:
        """Return the last ladder, which no further line brings out: with the time of the last line."""
        if self.ladder is None:
            return np.empty(0, EVENT)
        _, events = self._snapshots(self.ladder[np.newaxis], np.zeros(1, np.int64))
        events["ts_event_ns"] = self.last_ts_ns
        self.ladder = None
        return events

    def _ended_ladders(self, ladder: NDArray[np.int64], ts: NDArray[np.int64]) -> tuple[NDArray[np.int64], Events]:
        """Return the ladders that ended before each line where another one begins."""
        before = ladder[:1] if self.ladder is None else self.ladder[np.newaxis]
        earlier = np.concatenate([before, ladder[:-1]])
        at = np.flatnonzero((earlier != ladder).any(axis=1))
        self.ladder = ladder[-1].copy()
        row, events = self._snapshots(earlier[at], at)
        events["ts_event_ns"] = ts[row]
        return row, events

    def _snapshots(self, ladder: NDArray[np.int64], at: NDArray[np.int64]) -> tuple[NDArray[np.int64], Events]:
        """Return each ladder as CLEAR and LEVEL events, and its entry of ``at`` for each of them."""
        n = ladder.shape[0]
        step = np.arange(self.n_levels) * self.tick_e9
        sizes = ladder[:, 2:].reshape(n, self.n_levels, 2)
        qty = np.concatenate([sizes[:, :, 1], sizes[:, :, 0]], axis=1)  # bids, then asks, best first
        price = np.concatenate([ladder[:, 1:2] - step, ladder[:, 0:1] + step], axis=1)
        shown = qty > 0
        shown[(ladder[:, 0] == MISSING) | (ladder[:, 1] == MISSING)] = False
        row = np.repeat(np.arange(n), 1 + shown.sum(axis=1))
        events = empty_events(row.size)
        starts = np.append(np.ones(min(row.size, 1), np.bool_), row[1:] != row[:-1])
        ends = np.append(starts[1:], np.ones(min(row.size, 1), np.bool_))
        events["instrument_id"] = 1
        events["kind"] = np.where(starts, np.uint8(Kind.CLEAR), np.uint8(Kind.LEVEL))
        events["price"][~starts] = price[shown]
        events["qty_lots"][~starts] = qty[shown]
        side = np.repeat(np.array([Side.BID, Side.ASK], np.int8), self.n_levels)
        events["side"][~starts] = np.broadcast_to(side, shown.shape)[shown]
        crossed = ladder[:, 0] <= ladder[:, 1]
        bad = np.where(crossed[row], np.uint16(Flag.MAYBE_BAD), np.uint16(0))
        events["flags"] = np.uint16(Flag.SNAPSHOT) | bad | np.where(ends, np.uint16(Flag.LAST), np.uint16(0))
        self._note("ladders", n)
        self._note("ladders_locked_or_crossed", int(crossed.sum()))
        return at[row], events

    def _ladder(self, rows: Rows, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return AskDOMPrice, BidDOMPrice, and the sizes in the order of the file."""
        columns = [self._optional(rows, "AskDOMPrice", 9), self._optional(rows, "BidDOMPrice", 9)]
        for i in range(self.n_levels):
            for name in (f"AskDOM_{i}", f"BidDOM_{i}"):
                size, ok = fixed_point(rows[name], 0)
                rows.require(self.quarantine, keep, ok, name)
                columns.append(size)
        return np.stack(columns, axis=1)

    def _required(self, rows: Rows, keep: NDArray[np.bool_], name: str, digits: int) -> NDArray[np.int64]:
        values, ok = fixed_point(rows[name], digits)
        rows.require(self.quarantine, keep, ok, name)
        return values

    def _optional(self, rows: Rows, name: str, digits: int) -> NDArray[np.int64]:
        if name not in rows.names:
            return np.full(rows.n, MISSING, np.int64)
        values, ok = fixed_point(rows[name], digits)
        self._note(f"{name}_not_understood", int((ok < 0).sum()))
        return values

    def _note(self, name: str, n: int) -> None:
        if n:
            self.notes[name] = self.notes.get(name, 0) + n


def _tick_seen(text: TextHead) -> int:
    """Return the tick in 1e-9 that prices and spreads of the head agree on, or 0."""
    columns = [text.column(text.names.index(name)) for name in ("Price", "AskPrice", "BidPrice")]
    if min(map(len, columns)) < 100:
        return 0
    parsed = [fixed_point(pa.array(column)) for column in columns]
    if any((ok != OK).any() for _, ok in parsed) or len({len(c) for c in columns}) != 1:
        return 0
    values = [v for v, _ in parsed]
    common = int(np.gcd.reduce(np.abs(np.concatenate(values))))
    spread = values[1] - values[2]
    positive = spread[spread > 0]
    return common if positive.size and int(positive.min()) == common else 0


def _text(head: Head) -> TextHead | None:
    text = text_head(head)
    return text if text is not None and text.names[: len(_FIRST_NAMES)] == _FIRST_NAMES else None


def _sniff(head: Head) -> int:
    if not head.first_line.lstrip("\ufeff").startswith("Date"):
        return 0
    return 100 if _text(head) is not None else 0


FORMAT = Format(
    name="sierra-ticks",
    title="Sierra Chart trades with depth ladder (text)",
    sniff=_sniff,
    open=open_ticks,
    example="ESH22_FUT_CME_20220124_133000.txt",
)
