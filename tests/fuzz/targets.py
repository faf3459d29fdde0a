"""What is fuzzed, and what must hold of it whatever the bytes are.

A target takes a sequence of frames and returns nothing; it raises :class:`AssertionError` where a promise is broken,
and everything else that it raises is a crash. Promises: nothing is raised; no record vanishes (it makes events, a note,
a change of memory, or a bad record); a bad record is counted, and kept with bytes that were there; any cut of a stream,
many frames at once, and a memory saved and restored give the same events.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from tapebook.capture.decode import Decoder
from tapebook.capture.settings import SourceSettings
from tapebook.market.errors import VenueProtocolError
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.store.journal_format import Frame
from tapebook.venues import advance_all, advance_counted
from tapebook.venues.binance.parse import Parser as BinanceParser
from tapebook.venues.mt5.parse import Parser as Mt5Parser
from tapebook.venues.projectx.forms import Notes
from tapebook.venues.projectx.parse import Parser as ProjectXParser
from tapebook.venues.redis.parse import Parser as RedisParser
from tapebook.venues.signalr import (
    SEPARATOR,
    Malformed,
    Record,
    Slice,
    Splitter,
    decode,
    read_handshake,
    read_negotiated,
)
from tapebook.venues.signalr_hub import Heard, Hub
from tapebook.venues.venue import FrameParser
from tests.fuzz import corpus

__all__ = ["TARGETS", "Tally", "Target"]

NOW = 1_787_172_692_000_000_000
Frames = Sequence[bytes]
PROJECTX = ("CON.F.US.MNQ.U26", "CON.F.US.MES.U26")


@dataclass
class Tally:
    """What came of the frames so far."""

    events: int = 0
    rejected: int = 0
    noted: int = 0


@dataclass(frozen=True)
class Target:
    """One thing that is fuzzed; ``files`` are the modules whose coverage guides it."""

    name: str
    check: Callable[[Frames, Tally], None]
    corpus: Callable[[], list[list[bytes]]]
    files: tuple[str, ...]


def _cuts(data: bytes, n: int) -> list[bytes]:
    """Cut bytes at places that depend on nothing but them."""
    rng = np.random.default_rng(zlib.crc32(data))
    edges = [0, *sorted(rng.integers(0, len(data) + 1, n).tolist()), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


# ---- SignalR ---------------------------------------------------------------------------------------------------------


def check_signalr(frames: Frames, tally: Tally) -> None:
    """Records survive any cut; each is read or refused with its bytes; a hub takes them all."""
    data = b"".join(frames)
    expected = [part for part in data.split(SEPARATOR)[:-1] if part]
    rest = data.rpartition(SEPARATOR)[2]
    for pieces in (list(frames), _cuts(data, 5)):
        splitter = Splitter()
        found: list[Slice] = []
        for i, piece in enumerate(pieces):
            whole = splitter.whole(piece)
            found += splitter.feed(piece, i) if whole is None else [Slice(i, raw) for raw in whole]
        assert [one.raw for one in found] == expected
        left = splitter.cut()
        assert (left.raw if left else b"") == rest
    small = Splitter(16)
    short = [one for piece in _cuts(data, 5) for one in small.feed(piece, 0)]
    assert [one.raw for one in short] == [part[:16] for part in expected]
    assert [one.too_long for one in short] == [len(part) > 16 for part in expected]
    malformed = 0
    for raw in expected:
        one = decode(raw)
        assert isinstance(one, Record | Malformed)
        if isinstance(one, Malformed):
            malformed += 1
            assert one.raw == raw
            assert one.reason
        read_handshake(raw)
        try:
            read_negotiated(raw)
        except VenueProtocolError:
            tally.noted += 1
    hub = Hub(0)
    hub.invoke("Subscribe", ["x"], 0)
    heard: list[Heard] = []
    for i, piece in enumerate(frames):
        heard += hub.receive(piece, i)
    told = [one for one in heard if one.what.name in ("MALFORMED", "CLOSED")]
    if malformed and hub.opened and len(expected) > 1:
        assert told or malformed == 1  # the first one is read as a handshake
    tally.rejected += malformed
    tally.events += len(heard)


# ---- parsers ---------------------------------------------------------------------------------------------------------


def _changed(before: State, after: State) -> bool:
    return any(before[name].tobytes() != after[name].tobytes() for name in before)


def _good(events: Events, ts_recv_ns: int) -> None:
    if not events.size:
        return
    assert events["flags"][-1] & Flag.LAST
    kind = events["kind"]
    level = kind == Kind.LEVEL
    assert (events["qty_lots"][level] >= 0).all()
    book = level | (kind == Kind.QUOTE)
    assert (np.abs(events["side"][book]) == 1).all()
    assert (events["ts_recv_ns"] <= ts_recv_ns).all()


class Parsers:
    """The promises of a parser, for one venue."""

    def __init__(
        self,
        make: Callable[[Quarantine, dict[str, int]], Any],
        record_end: bytes = b"",
        counted: Callable[[Any], int] = lambda _: 0,
    ) -> None:
        self.make, self.end, self.counted = make, record_end, counted

    def __call__(self, frames: Frames, tally: Tally) -> None:
        """Put a sequence through it."""
        quarantine, notes = Quarantine(keep=1 << 30), dict[str, int]()
        parser: FrameParser = self.make(quarantine, notes)
        stamped = [(frame, NOW + i * 1000) for i, frame in enumerate(frames)]
        blocks: list[Events] = [empty_events(0)]
        events_n = accounted = 0
        open_ = False
        for frame, ts in stamped:
            held = {} if self.end else parser.save()
            events = parser.advance(frame, ts)
            _good(events, ts)
            blocks.append(events)
            events_n += events.size
            before, accounted = accounted, (events_n + quarantine.total + sum(notes.values()) + self.counted(parser))
            whole = True
            if self.end:
                *ended, rest = frame.split(self.end)
                whole = any(ended) or (open_ and bool(ended))
                open_ = bool(rest) or (open_ and not ended)
            assert accounted > before or not whole or (held and _changed(held, parser.save())), "a record vanished"
        everything = np.concatenate(blocks)
        stream = b"".join(frames)
        assert len(quarantine.records) == quarantine.total
        for record in quarantine.records:
            assert record.raw or not stream or b"" in frames
            assert record.reason
            assert record.raw in stream
        tally.events += events_n
        tally.rejected += quarantine.total
        tally.noted += sum(notes.values())
        self._laws(stamped, stream, everything, quarantine)

    def _laws(self, stamped: list[tuple[bytes, int]], stream: bytes, expected: Events, quarantine: Quarantine) -> None:
        """One of the laws: which one, the bytes decide."""
        law = zlib.crc32(stream) % 6
        kept = Quarantine(keep=1 << 30)
        other: FrameParser = self.make(kept, {})
        if law == 0:
            found = advance_all(other, stamped)
        elif law == 1:
            found, sizes = advance_counted(other, stamped)
            assert sum(sizes) == found.size
            assert len(sizes) == len(stamped)
        elif law == 2:
            at = len(stamped) // 2
            first = advance_all(other, stamped[:at])
            heir: FrameParser = self.make(kept, {})
            heir.restore(other.save())
            found = np.concatenate([first, advance_all(heir, stamped[at:])])
        elif law == 3 and self.end:
            one, two = self.make(Quarantine(), {}), self.make(kept, {})
            expected = advance_all(one, [(frame, NOW) for frame, _ in stamped])
            found = advance_all(two, [(piece, NOW) for piece in _cuts(stream, 7)])
        else:
            return
        assert found.tobytes() == expected.tobytes(), f"law {law}"
        assert kept.counts == quarantine.counts, f"law {law}"


# ---- the whole way from the journal to rows --------------------------------------------------------------------------

_SOURCE = SourceSettings(
    number=0, venue="projectx", line="market", contracts=[{"id": one, "tickSize": 0.25} for one in PROJECTX]
)


def check_rows(frames: Frames, tally: Tally) -> None:
    """Journalled frames become rows, the same in one batch or in two; every rejected record is a row of quality."""
    stamped = [Frame(i + 1, NOW + i, 0, 1, frame) for i, frame in enumerate(frames)]
    quarantine = Quarantine(keep=1 << 30)
    parser = _projectx(quarantine, {})
    places: list[int] = []  # of the frames that bad records came with
    for frame in stamped:
        parser.advance(frame.payload, frame.ts_recv_ns)
        places += [frame.sequence] * (quarantine.total - len(places))
    whole = _decoder(quarantine, {})
    whole.feed(stamped)
    batch = whole.build()
    kept = [row for row in batch.batch.quality if row.raw_payload is not None]
    assert [row.sequence for row in kept] == places
    assert [row.raw_payload for row in kept] == [record.raw for record in quarantine.records]
    parts = _decoder(quarantine, {})
    at = zlib.crc32(b"".join(frames)) % (len(stamped) + 1)
    parts.feed(stamped[:at])
    first = parts.build()
    heir = _decoder(quarantine, {})
    heir.restore(parts.save())
    heir.feed(stamped[at:])
    second = heir.build()
    assert np.concatenate([first.events, second.events]).tobytes() == batch.events.tobytes()
    assert first.batch.quality + second.batch.quality == batch.batch.quality
    assert first.batch.gaps + second.batch.gaps == batch.batch.gaps
    keys = [key for rows in batch.batch.tables.values() for key in rows[["sequence", "row_index"]].tolist()]
    keys += [(row.sequence, row.row_index) for row in (*batch.batch.quality, *batch.batch.gaps)]
    assert len(keys) == len(set(keys))
    tally.events += batch.events.size
    tally.rejected += len(kept)


class Fresh:
    """Gives parsers as if they were new: to make one means to look contracts up, which takes longer than to parse."""

    def __init__(self, make: Callable[[], Any], refit: Callable[[Any, Quarantine, dict[str, int]], None]) -> None:
        self._make, self._refit = make, refit
        self._made: deque[Any] = deque()
        self._blank: Any = None

    def __call__(self, quarantine: Quarantine, notes: dict[str, int]) -> Any:
        """Return one; the third call after this one gives the same again."""
        if not self._made:
            self._made.extend(self._make() for _ in range(4))
            self._blank = self._made[0].save()
        self._made.rotate()
        parser = self._made[0]
        parser.restore(self._blank)
        self._refit(parser, quarantine, notes)
        return parser


def _fit_projectx(parser: ProjectXParser, quarantine: Quarantine, notes: dict[str, int]) -> None:
    parser.quarantine, parser.notes, parser._note = quarantine, notes, Notes(notes)


def _fit_binance(parser: BinanceParser, quarantine: Quarantine, notes: dict[str, int]) -> None:
    parser.quarantine, parser.notes = quarantine, notes
    parser._messages._quarantine, parser._messages._notes, parser._books._notes = quarantine, notes, notes


def _fit_mt5(parser: Mt5Parser, quarantine: Quarantine, notes: dict[str, int]) -> None:
    parser.quarantine, parser.notes = quarantine, notes


def _ignored(parser: BinanceParser) -> int:
    """Return how many messages the books passed over, with a count of each reason."""
    return sum(sync.ignored.total() for sync in parser._books._syncs.values())


def _redis(quarantine: Quarantine, notes: dict[str, int]) -> RedisParser:
    return RedisParser([], InstrumentTable(), quarantine=quarantine, notes=notes)


_projectx = Fresh(lambda: ProjectXParser(PROJECTX, InstrumentTable()), _fit_projectx)
_binance = Fresh(lambda: BinanceParser(["BTCUSDT", "ETHUSDT"], InstrumentTable()), _fit_binance)
_mt5 = Fresh(lambda: Mt5Parser(["WINQ26", "WDOU26"], InstrumentTable()), _fit_mt5)
_decoder = Fresh(lambda: Decoder([_SOURCE]), lambda decoder, _quarantine, _notes: decoder.notes.clear())

_VENUE = ("venues/pack.py", "venues/decimals.py", "venues/views.py")
TARGETS = {
    target.name: target
    for target in (
        Target("signalr", check_signalr, corpus.signalr, ("venues/signalr.py", "venues/signalr_hub.py")),
        Target(
            "projectx",
            Parsers(_projectx, SEPARATOR),
            lambda: corpus.golden("projectx"),
            ("venues/projectx/", "venues/signalr.py"),
        ),
        Target("binance", Parsers(_binance, counted=_ignored), corpus.binance, ("venues/binance/", *_VENUE)),
        Target("mt5", Parsers(_mt5), corpus.metatrader, ("venues/mt5/", *_VENUE)),
        Target("redis", Parsers(_redis), lambda: corpus.golden("redis"), ("venues/redis/",)),
        Target("rows", check_rows, lambda: corpus.golden("projectx"), ("capture/", "venues/projectx/")),
    )
}
