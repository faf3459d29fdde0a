"""Frames of ProjectX's market hub become events: pure, the same bytes and stamps always give the same events.

========================  =======  =====================================================================================
message                   channel  events
========================  =======  =====================================================================================
GatewayQuote              2        two QUOTE, bid and ask, of the state that the sparse messages add up to; no sizes.
                                   Only the side that was ever told. With INFO while depth makes the book
GatewayTrade              3        a TRADE for each print; the aggressor is the venue's word
GatewayDepth              1        as :mod:`tapebook.venues.projectx.levels` says; a CLEAR in front of the first
========================  =======  =====================================================================================

* ``ts_recv_ns`` is when the first byte of the record came, ``ts_event_ns`` what the message says: ``timestamp``, for
  quotes without one ``lastUpdated``. The venue's stamps are of several clocks; only arrival order counts.
* A message is read whole or not at all: one wrong value quarantines it with its bytes, and the next event of that
  contract (of every contract, where it could not be told whose it was) carries GAP, because something is missing.
* While a book is one-sided or crossed after a depth message, the message's last record carries MAYBE_BAD.
* There is no DERIVED trade for a changed ``lastPrice`` here, as there is in recordings of quotes alone: the trades
  channel tells the prints themselves.
* What the venue sends and nobody needs (pings, completions, session highs) is counted in ``notes``; so is each form
  that deviates from what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct as Packing
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, Raw

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import COUNT_MISSING, EVENT, MISSING, Events, Flag, Kind, Side, SideSource
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues.projectx import wire
from tapebook.venues.projectx.contracts import Contract, ContractMap, instrument_of
from tapebook.venues.projectx.figures import lots, on_grid
from tapebook.venues.projectx.forms import Bad, brief, entries_of, name_in, plain, when
from tapebook.venues.projectx.levels import BOOK_TYPES, LEVELS_MAX, Entry, Levels, Row
from tapebook.venues.signalr import UNREADABLE, Malformed, Record, RecordType, Slice, Splitter, decode, text_of

__all__ = ["DEPTH", "QUOTES", "TRADES", "Parser"]

DEPTH, QUOTES, TRADES = 1, 2, 3
"""The channels, numbered as other venues' are."""

_pack = Packing("<qqqqQqIIHHBbBB").pack
_QUOTE, _TRADE, _CLEAR = int(Kind.QUOTE), int(Kind.TRADE), int(Kind.CLEAR)
_LAST, _INFO, _GAP, _MAYBE_BAD = int(Flag.LAST), int(Flag.INFO), int(Flag.GAP), int(Flag.MAYBE_BAD)
_SIDES: Final = {int(wire.TradeLogType.BUY): int(Side.BUY), int(wire.TradeLogType.SELL): int(Side.SELL)}
_DOM_TYPES: Final = frozenset(int(t) for t in wire.DomType)
_UNTOLD: Final = MISSING + 1  # this side of the quote was never told; MISSING is an empty side

# What is remembered of a contract.
_BID, _ASK, _LIVE, _BROKEN, _SEEN, _TRADE_LOTS, _PRINT_LOTS = range(7)
_START: Final = (_UNTOLD, _UNTOLD, 0, 0, 0, 0, 0)


class Parser:
    """Turns the market hub's bytes into events; its whole memory is plain arrays.

    Parameters
    ----------
    contracts
        What is subscribed: ids, or the venue's descriptions. Messages of others are quarantined.
    instruments
        Table of the tape; it gets an entry for each contract.
    quarantine
        Where bad records go.
    notes
        Counts of what was noticed.
    levels_max
        Prices kept a side.

    Examples
    --------
    >>> parser = Parser(["CON.F.US.MNQ.U26"], InstrumentTable())
    >>> frame = b'{"type":1,"target":"GatewayQuote","arguments":["CON.F.US.MNQ.U26",'
    >>> frame += b'{"bestBid":29547,"bestAsk":29547.5}]}' + bytes([0x1E])
    >>> events = parser.advance(frame, 5)
    >>> events["price"].tolist(), events["side"].tolist(), events["flags"].tolist()
    ([29547000000000, 29547500000000], [1, -1], [0, 1])
    """

    def __init__(
        self,
        contracts: Iterable[Contract | str],
        instruments: InstrumentTable,
        *,
        quarantine: Quarantine | None = None,
        notes: dict[str, int] | None = None,
        levels_max: int = LEVELS_MAX,
    ) -> None:
        if levels_max < 1:
            raise ConfigurationError("levels_max is not a depth", expected="at least 1", found=str(levels_max))
        self.instruments = instruments
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self.notes = notes if notes is not None else {}
        self.levels_max = levels_max
        self._map = ContractMap()
        self._places: dict[bytes, int] = {}  # from a contract argument as it stands in the record
        self._state: list[list[int]] = []
        self._levels: list[Levels] = []
        self._who: list[int] = []
        self._tick: list[int] = []
        self._splitter = Splitter()
        self._out = bytearray()
        for contract in contracts:
            self.add(contract)

    def add(self, contract: Contract | str) -> int:
        """Take up a contract that is subscribed from now on; return its ``instrument_id``."""
        place = self._map.add(contract if isinstance(contract, str) else contract.id)
        if place == len(self._who):
            instrument = instrument_of(contract)
            self._who.append(self.instruments.add(instrument))
            self._tick.append(instrument.tick_e9)
            self._state.append(list(_START))
            self._levels.append(Levels(self.levels_max))
            self._places.clear()
        return self._who[place]

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one message of the socket and return the events of the records that it completes."""
        for part in self._splitter.feed(payload, ts_recv_ns):
            self._record(part)
        return self._take()

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:
        """Return a CLEAR with GAP for what was subscribed anew: all contracts after a reconnect, or one.

        There is no replay of what was missed and no promise of a snapshot: what stood is not known to stand. A record
        that the old connection left unfinished is quarantined. For ``contract`` alone the connection is the same one.
        """
        if contract is None:
            left = self._splitter.cut()
            if left is not None:
                self._reject("a record cut off by the end of its connection", "", "", left, -1)
        places = range(len(self._who)) if contract is None else [self._map.find(contract)]
        for place in places:
            state = self._state[place]
            if place >= 0 and state[_SEEN]:
                state[_BID] = state[_ASK] = _UNTOLD
                state[_LIVE] = 0
                state[_BROKEN] = 1
                self._levels[place].clear()
                self._emit(place, ts_recv_ns, DEPTH, [Row(MISSING, MISSING, MISSING, _CLEAR, 0, 0)])
        return self._take()

    def save(self) -> State:
        """Return a copy of the whole memory (``notes`` and the quarantine are their owner's)."""
        keys = [side for levels in self._levels for side in (levels.bids, levels.asks)]
        splitter = self._splitter
        return {
            "contracts": np.array(self._state, np.int64).reshape(-1, len(_START)),
            "touches": np.array([levels.touch for levels in self._levels], np.int64).reshape(-1, 2),
            "n_levels": np.array([len(side) for side in keys], np.int64),
            "levels": np.array([key for side in keys for key in side], np.int64),
            "rest": np.frombuffer(bytes(splitter.rest), np.uint8).copy(),
            "rest_head": np.array([splitter.rest_ns, splitter.dropped], np.int64),
        }

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned, of a parser with the same contracts."""
        if len(state["contracts"]) != len(self._who):
            raise ConfigurationError(
                "a parser's memory of other contracts",
                expected=f"{len(self._who)} contracts",
                found=str(len(state["contracts"])),
            )
        self._state = state["contracts"].tolist()
        ends = np.cumsum(state["n_levels"]).tolist()
        starts = [0, *ends[:-1]]
        for place, levels in enumerate(self._levels):
            levels.clear()
            for side, keys in enumerate((levels.bids, levels.asks)):
                keys.extend(state["levels"][starts[2 * place + side] : ends[2 * place + side]].tolist())
                levels.touch[side] = int(state["touches"][place, side])
        self._splitter.rest = bytearray(state["rest"].tobytes())
        self._splitter.rest_ns, self._splitter.dropped = (int(v) for v in state["rest_head"])

    def lots_of(self, contract: str) -> tuple[int, int]:
        """Return the lots that the trades channel told, and those of the prints on the depth channel."""
        state = self._state[self._map.find(contract)]
        return state[_TRADE_LOTS], state[_PRINT_LOTS]

    # ---- one record ------------------------------------------------------------------------------------------------

    def _record(self, part: Slice) -> None:
        raw = part.raw
        if part.too_long:
            self._reject("a record over the size limit", f"at most {self._splitter.bytes_max} bytes", "more", part, -1)
            return
        record = decode(raw)
        if isinstance(record, Malformed):
            if raw == b"{}":
                self._note("handshakes")
            else:
                self._reject(record.reason, "JSON of a hub record", record.found, part, -1)
            return
        if record.type != RecordType.INVOCATION:
            self._other(record, part)
            return
        arguments = record.arguments or []
        place = -1
        try:
            if record.target not in _TARGETS:
                self._unknown_target(record, part)
                return
            place = self._whose(arguments)
            _TARGETS[record.target](self, place, arguments[-1], part.ts_recv_ns)
        except Bad as bad:
            reason, expected, found = bad.args
            self._reject(reason, expected, found, part, place)
        except UNREADABLE as error:
            self._reject(f"a {record.target} that cannot be read", "the fields of its type", str(error), part, place)

    def _other(self, record: Record, part: Slice) -> None:
        if record.type == RecordType.CLOSE:
            self._note("closes by the server")
        elif RecordType.INVOCATION < record.type <= RecordType.SEQUENCE:
            self._note("records without market data")
        else:
            self._reject("a record of unknown type", "types 1 to 9", str(record.type), part, None)

    def _unknown_target(self, record: Record, part: Slice) -> None:
        if (record.target or "").startswith("GatewayUser"):
            self._note("records of the user hub")
        else:
            self._reject("an event of unknown name", ", ".join(_TARGETS), repr(record.target), part, None)

    def _whose(self, arguments: Sequence[Raw]) -> int:
        if not arguments:
            raise Bad("an event without arguments", "contract id and data", "none")
        if len(arguments) > 1:
            key = bytes(arguments[0])
            place = self._places.get(key)
            if place is None:
                place = self._map.find(text_of(arguments[0]))
                if place >= 0:
                    self._places[key] = place
        else:  # only defensive clients know this form
            place = self._map.find(name_in(arguments[0]))
            self._note("events without a contract argument")
        if place < 0:
            raise Bad("an event of a contract that is not subscribed", ", ".join(self._map.ids), brief(arguments[0]))
        return place

    def _quote(self, place: int, raw: Raw, ts_recv_ns: int) -> None:
        try:
            quote = wire.quote(raw)
        except msgspec.ValidationError:
            quote = msgspec.convert(plain(raw), wire.Quote)
            self._note("quotes as JSON text")
        self._same(place, quote.contract)
        ts = when(quote.timestamp)
        if ts == MISSING:
            ts = when(quote.lastUpdated)
        told = []
        for value in (quote.bestBid, quote.bestAsk):
            if value is UNSET:
                told.append(_UNTOLD)
            elif not value:  # null, or the 0 that an empty side has
                self._note("quotes of an empty side")
                told.append(MISSING)
            else:
                told.append(self._price(place, value))
        state = self._state[place]
        if told == [_UNTOLD, _UNTOLD]:
            self._note("quotes that leave the touch as it is")
            return
        state[_BID] = told[0] if told[0] != _UNTOLD else state[_BID]
        state[_ASK] = told[1] if told[1] != _UNTOLD else state[_ASK]
        flags = _INFO if state[_LIVE] else 0
        sides = ((state[_BID], 1), (state[_ASK], -1))
        rows = [Row(ts, price, MISSING, _QUOTE, side, flags) for price, side in sides if price != _UNTOLD]
        self._emit(place, ts_recv_ns, QUOTES, rows)

    def _trade(self, place: int, raw: Raw, ts_recv_ns: int) -> None:
        rows = []
        lots_told = 0
        for trade in self._entries(wire.trades, raw, wire.Trade, wire.TradeRow):
            self._same(place, getattr(trade, "contractId", None))
            qty = lots(trade.volume)
            if qty == -1:
                raise Bad("bad quantity", "a whole number of contracts", str(trade.volume))
            side = _SIDES.get(-1 if trade.type is None else trade.type, 0)
            rows.append(Row(when(trade.timestamp), self._price(place, trade.price), qty, _TRADE, side, 0))
            lots_told += max(qty, 0)
            if side == 0:
                self._note("trades without an aggressor")
            if qty == MISSING:
                self._note("trades without a size")
        self._state[place][_TRADE_LOTS] += lots_told
        self._emit(place, ts_recv_ns, TRADES, rows)

    def _depth(self, place: int, raw: Raw, ts_recv_ns: int) -> None:
        entries: list[Entry] = []
        prints = disagree = idle = unknown = 0
        for depth in self._entries(wire.depths, raw, wire.Depth, wire.DepthRow):
            self._same(place, getattr(depth, "contractId", None))
            kind, ts = depth.type, when(depth.timestamp)
            if kind in BOOK_TYPES:
                qty = lots(depth.volume)
                if qty < 0:
                    raise Bad("bad quantity", "a whole number of contracts", str(depth.volume))
                if depth.price is None:
                    raise Bad("a level without a price", "a price", "none")
                entries.append(Entry(kind, self._price(place, depth.price), qty, ts))
                disagree += bool(depth.currentVolume) and depth.currentVolume != depth.volume
            elif kind == wire.DomType.RESET:
                entries.append(Entry(kind, MISSING, MISSING, ts))
            elif kind == wire.DomType.TRADE:
                prints += max(lots(depth.currentVolume), 0)
                idle += 1
            else:
                idle += 1
                unknown += kind not in _DOM_TYPES
        for text, n in (
            ("depth entries whose currentVolume is another size", disagree),
            ("depth entries that are no levels", idle),
            ("depth entries of unknown type", unknown),
        ):
            self._note(text, n)
        state, levels = self._state[place], self._levels[place]
        state[_PRINT_LOTS] += prints
        if not entries:
            return
        rows: list[Row] = []
        if not state[_LIVE]:  # what quotes made ends here: the two must not meet in one book
            state[_LIVE] = 1
            if entries[0].type != wire.DomType.RESET:
                rows.append(Row(entries[0].ts_event_ns, MISSING, MISSING, _CLEAR, 0, 0))
        for entry in entries:
            levels.apply(entry, rows)
        levels.trim(entries[-1].ts_event_ns, rows)
        if not levels.settled:
            rows[-1] = rows[-1]._replace(flags=rows[-1].flags | _MAYBE_BAD)
            self._note("depth messages after which the book is one-sided or crossed")
        self._emit(place, ts_recv_ns, DEPTH, rows)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _entries(self, read: Callable[[Raw], Any], raw: Raw, by_name: type, by_place: type) -> list[Any]:
        entries, odd = entries_of(read, raw, by_name, by_place)
        if odd:
            self._note("events in a form that no recording shows")
        if not entries:
            self._note("events without entries")
        return entries

    def _price(self, place: int, price: float) -> int:
        units, noisy = on_grid(price, self._tick[place])
        if units == MISSING:
            raise Bad("a price off the grid", f"a multiple of {self._tick[place]}e-9", repr(price))
        if noisy:
            self._note("prices with a double's noise taken off")
        return units

    def _same(self, place: int, name: str | None) -> None:
        """Refuse data that name another contract than their message does."""
        if name is not None and name != self._map.ids[place] and self._map.find(name) not in (-1, place):
            raise Bad("data of another contract than their message's", self._map.ids[place], name)

    def _emit(self, place: int, ts_recv_ns: int, channel: int, rows: list[Row]) -> None:
        if not rows:
            return
        state, who = self._state[place], self._who[place]
        state[_SEEN] = 1
        flag = _GAP if state[_BROKEN] else 0
        state[_BROKEN] = 0
        last = len(rows) - 1
        for i, (ts, price, qty, kind, side, flags) in enumerate(rows):
            source = int(SideSource.VENUE) if kind == _TRADE and side else 0
            flag |= flags | (_LAST if i == last else 0)
            self._out += _pack(
                ts, ts_recv_ns, price, qty, 0, MISSING, who, COUNT_MISSING, flag, channel, kind, side, source, 0
            )
            flag = 0

    def _take(self) -> Events:
        out, self._out = self._out, bytearray()
        return np.frombuffer(out, EVENT)

    def _reject(self, reason: str, expected: str, found: str, part: Slice, place: int | None) -> None:
        """Quarantine a record; ``place`` is whose it was, -1 where nobody knows, None where it is no market data."""
        if place is not None:
            for state in self._state if place < 0 else [self._state[place]]:
                state[_BROKEN] = 1
        self.quarantine.add(
            reason, expected=expected, found=found, where=f"received {part.ts_recv_ns} ns", raw=part.raw
        )

    def _note(self, text: str, n: int = 1) -> None:
        if n:
            self.notes[text] = self.notes.get(text, 0) + n


_TARGETS: Final = {"GatewayQuote": Parser._quote, "GatewayTrade": Parser._trade, "GatewayDepth": Parser._depth}  # noqa: SLF001 - the class's own methods
