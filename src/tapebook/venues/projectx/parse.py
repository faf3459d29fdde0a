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

Speed: a record in a recorded or documented form is decoded whole, in one call; every other one, good or bad, falls
through to :mod:`tapebook.venues.projectx.forms`, which takes its time and finds out what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import numpy as np
from msgspec import UNSET

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import EVENT, MISSING, Events, Flag, Kind, Side, SideSource
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues.pack import pack_one, pack_two, what_word
from tapebook.venues.projectx import wire
from tapebook.venues.projectx.contracts import Contract, ContractMap, instrument_of
from tapebook.venues.projectx.figures import lots
from tapebook.venues.projectx.forms import NoMarketData, Notes, Unreadable, read_slowly, when
from tapebook.venues.projectx.levels import BOOK_TYPES, DEPTH, LEVELS_MAX, Row, clear_row
from tapebook.venues.projectx.memory import UNTOLD, Memory, restored, saved
from tapebook.venues.signalr import UNREADABLE, Splitter
from tapebook.venues.venue import Frames

__all__ = ["DEPTH", "QUOTES", "TRADES", "Parser"]

QUOTES, TRADES = 2, 3
"""The channels besides DEPTH, numbered as other venues' are."""

_LAST, _INFO, _GAP, _MAYBE_BAD = int(Flag.LAST), int(Flag.INFO), int(Flag.GAP), int(Flag.MAYBE_BAD)
_BID: Final = what_word(Kind.QUOTE, Side.BID, channel=QUOTES)
_ASK: Final = what_word(Kind.QUOTE, Side.ASK, channel=QUOTES)
_PRINT: Final[dict[int | None, int]] = {
    int(wire.TradeLogType.BUY): what_word(Kind.TRADE, Side.BUY, channel=TRADES, side_source=SideSource.VENUE),
    int(wire.TradeLogType.SELL): what_word(Kind.TRADE, Side.SELL, channel=TRADES, side_source=SideSource.VENUE),
}
_PRINT_OF_NOBODY: Final = what_word(Kind.TRADE, channel=TRADES)
_EMPTY: Final = frozenset({None, 0.0})
_RESET, _TRADE = int(wire.DomType.RESET), int(wire.DomType.TRADE)
_DOM_TYPES: Final = frozenset(int(t) for t in wire.DomType)


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
        self._note = Notes(self.notes)
        self._map = ContractMap()
        self._all: list[Memory] = []
        self._by_id: dict[str, Memory] = {}
        self._splitter = Splitter()
        self._out = bytearray()
        self._n_bad = 0
        for contract in contracts:
            self.add(contract)

    def add(self, contract: Contract | str) -> int:
        """Take up a contract that is subscribed from now on; return its ``instrument_id``."""
        place = self._map.add(contract) if isinstance(contract, str) else self._map.add(contract.id, contract.name)
        if place == len(self._all):
            instrument = instrument_of(contract)
            memory = Memory(self._map.ids[place], self.instruments.add(instrument), instrument.tick_e9, self.levels_max)
            self._all.append(memory)
            self._by_id[memory.id] = memory
        return self._all[place].instrument_id

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one message of the socket and return the events of the records that it completes."""
        self._frame(payload, ts_recv_ns)
        return self._take()

    def advance_many(self, frames: Frames) -> Events:
        """Take in messages of the socket and the times when they came: what :meth:`advance` returns, put together."""
        for payload, ts_recv_ns in frames:
            self._frame(payload, ts_recv_ns)
        return self._take()

    def advance_counted(self, frames: Frames) -> tuple[Events, list[int]]:
        """Do the same, and return besides how many events each message completed."""
        return self.advance_run(frames)[:2]

    def advance_run(self, frames: Frames) -> tuple[Events, list[int], list[int]]:
        """Do the same, and return besides which message each of the new bad records came with."""
        out, frame, ends = self._out, self._frame, [0]
        bad: list[int] = []
        n_bad = self._n_bad
        for place, (payload, ts_recv_ns) in enumerate(frames):
            frame(payload, ts_recv_ns)
            ends.append(len(out))
            if self._n_bad != n_bad:
                bad += [place] * (self._n_bad - n_bad)
                n_bad = self._n_bad
        size = EVENT.itemsize
        return self._take(), [(after - before) // size for before, after in pairwise(ends)], bad

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:
        """Return a CLEAR with GAP for what was subscribed anew: all contracts after a reconnect, or one.

        There is no replay of what was missed and no promise of a snapshot: what stood is not known to stand. A record
        that the old connection left unfinished is quarantined. For ``contract`` alone the connection is the same one.
        """
        if contract is None:
            left = self._splitter.cut()
            if left is not None:
                reason = "a record cut off by the end of its connection"
                self._reject(reason, "", "", left.raw, left.ts_recv_ns, self._all)
            memories = self._all
        else:
            place = self._map.find(contract)
            memories = [self._all[place]] if place >= 0 else []
        for memory in memories:
            if memory.seen:
                memory.forget()
                memory.broken = 1
                self._emit(memory, ts_recv_ns, [clear_row()])
        return self._take()

    def save(self) -> State:
        """Return a copy of the whole memory (``notes`` and the quarantine are their owner's)."""
        return saved(self._all, self._splitter)

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned, of a parser with the same contracts."""
        restored(state, self._all, self._splitter)

    def lots_of(self, contract: str) -> tuple[int, int]:
        """Return the lots that the trades channel told, and those of the prints on the depth channel."""
        place = self._map.find(contract)
        if place < 0:
            raise ConfigurationError("not a contract of this parser", expected=", ".join(self._map.ids), found=contract)
        return self._all[place].trade_lots, self._all[place].print_lots

    # ---- records ---------------------------------------------------------------------------------------------------

    def _frame(self, payload: bytes, ts_recv_ns: int) -> None:
        splitter = self._splitter
        whole = splitter.whole(payload)
        if whole is not None:
            for raw in whole:
                self._record(raw, ts_recv_ns)
            return
        for part in splitter.feed(payload, ts_recv_ns):
            if part.too_long:
                expected = f"at most {splitter.bytes_max} bytes"
                self._reject("a record over the size limit", expected, "more", part.raw, part.ts_recv_ns, self._all)
            else:
                self._record(part.raw, part.ts_recv_ns)

    def _record(self, raw: bytes, ts_recv_ns: int) -> None:
        try:
            event = wire.market_event(raw)
            memory = self._by_id[event.arguments[0]]
        except (*UNREADABLE, KeyError):
            memory, event = None, None
        try:
            if memory is None or event is None or event.type != 1:
                place, event = read_slowly(raw, self._map, self._note)
                memory = self._all[place]
            if type(event) is wire.QuoteEvent:
                self._quote(memory, event.arguments[1], ts_recv_ns)
            elif type(event) is wire.TradeEvent:
                self._trade(memory, event.arguments[1], ts_recv_ns)
            elif type(event) is wire.DepthEvent:
                self._depth(memory, event.arguments[1], ts_recv_ns)
        except NoMarketData as what:
            if what.reason:
                self._reject(what.reason, what.expected, what.found, raw, ts_recv_ns, [])
        except Unreadable as what:
            whose = [memory] if memory is not None else self._all if what.place < 0 else [self._all[what.place]]
            self._reject(what.reason, what.expected, what.found, raw, ts_recv_ns, whose)

    def _quote(self, memory: Memory, quote: wire.Quote, ts_recv_ns: int) -> None:
        if quote.contract is not None and quote.contract != memory.id:
            self._same(memory, quote.contract)
        ts = when(quote.timestamp)
        if ts == MISSING:
            ts = when(quote.lastUpdated)
        bid, ask = quote.bestBid, quote.bestAsk
        if bid is UNSET and ask is UNSET:
            self._note("quotes that leave the touch as it is")
            return
        new_bid, new_ask = memory.bid, memory.ask
        if bid:
            new_bid = memory.units.get(bid) or memory.price(bid, self._note)
        elif bid is not UNSET:  # null is an empty side, and so is the 0 that it may have
            new_bid = MISSING
        if ask:
            new_ask = memory.units.get(ask) or memory.price(ask, self._note)
        elif ask is not UNSET:
            new_ask = MISSING
        if bid in _EMPTY or ask in _EMPTY:
            self._note("quotes of an empty side", (bid in _EMPTY) + (ask in _EMPTY))
        memory.bid, memory.ask = new_bid, new_ask
        flags = _INFO if memory.live else 0
        if UNTOLD in (new_bid, new_ask):
            price, what = (new_ask, _ASK) if new_bid == UNTOLD else (new_bid, _BID)
            self._emit(memory, ts_recv_ns, [(ts, price, MISSING, what | flags)])
            return
        first = flags | _GAP if memory.broken else flags
        memory.seen, memory.broken = 1, 0
        self._out += pack_two(
            *(ts, ts_recv_ns, new_bid, MISSING, 0, MISSING, memory.who, _BID | first),
            *(ts, ts_recv_ns, new_ask, MISSING, 0, MISSING, memory.who, _ASK | flags | _LAST),
        )

    def _trade(self, memory: Memory, told: list[wire.Trade | None] | wire.Trade, ts_recv_ns: int) -> None:
        rows: list[Row] = []
        told_lots = sideless = sizeless = 0
        for trade in told if isinstance(told, list) else (told,):
            if trade is None:
                continue
            if trade.contractId is not None and trade.contractId != memory.id:
                self._same(memory, trade.contractId)
            qty = lots(trade.volume)
            if qty == MISSING:
                sizeless += 1
            elif qty < 0:
                raise Unreadable("bad quantity", "a whole number of contracts", str(trade.volume))
            else:
                told_lots += qty
            what = _PRINT.get(trade.type, _PRINT_OF_NOBODY)
            if what == _PRINT_OF_NOBODY:
                sideless += 1
            price = memory.units.get(trade.price) or memory.price(trade.price, self._note)
            rows.append((when(trade.timestamp), price, qty, what))
        if sideless or sizeless or not rows:
            self._note("trades without an aggressor", sideless)
            self._note("trades without a size", sizeless)
            self._note("events without entries", not rows)
        memory.trade_lots += told_lots
        self._emit(memory, ts_recv_ns, rows)

    def _depth(self, memory: Memory, told: list[wire.Depth | None] | wire.Depth, ts_recv_ns: int) -> None:
        entries: list[Row] = []  # with the type in the last place
        n = disagree = prints = idle = unknown = 0
        for depth in told if isinstance(told, list) else (told,):
            if depth is None:
                continue
            n += 1
            if depth.contractId is not None and depth.contractId != memory.id:
                self._same(memory, depth.contractId)
            kind, ts = depth.type, when(depth.timestamp)
            if kind in BOOK_TYPES:
                qty, price = lots(depth.volume), depth.price
                if qty < 0:
                    raise Unreadable("bad quantity", "a whole number of contracts", str(depth.volume))
                if price is None:
                    raise Unreadable("a level without a price", "a price", "none")
                entries.append((ts, memory.units.get(price) or memory.price(price, self._note), qty, kind))
                if depth.currentVolume and depth.currentVolume != depth.volume:
                    disagree += 1
            elif kind == _RESET:
                entries.append((ts, MISSING, MISSING, kind))
            else:
                idle += 1
                unknown += kind not in _DOM_TYPES
                prints += max(lots(depth.currentVolume), 0) if kind == _TRADE else 0
        if idle or disagree or not n:
            self._note("depth entries whose currentVolume is another size", disagree)
            self._note("depth entries that are no levels", idle)
            self._note("depth entries of unknown type", unknown)
            self._note("events without entries", not n)
        memory.print_lots += prints
        if not entries:
            return
        rows: list[Row] = []
        if not memory.live:  # what quotes made ends here: the two must not meet in one book
            memory.live = 1
            if entries[0][3] != _RESET:
                rows.append(clear_row(entries[0][0]))
        levels = memory.levels
        for ts, price, qty, kind in entries:
            levels.apply(kind, price, qty, ts, rows)
        levels.trim(ts, rows)
        if not levels.settled:
            *most, what = rows[-1]
            rows[-1] = (most[0], most[1], most[2], what | _MAYBE_BAD)
            self._note("depth messages after which the book is one-sided or crossed")
        self._emit(memory, ts_recv_ns, rows)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def _same(self, memory: Memory, name: str) -> None:
        """Refuse data that name another contract than their message does."""
        place = self._map.find(name)
        if place >= 0 and self._all[place] is not memory:
            raise Unreadable("data of another contract than their message's", memory.id, name)

    def _emit(self, memory: Memory, ts_recv_ns: int, rows: list[Row]) -> None:
        if not rows:
            return
        flag = _GAP if memory.broken else 0
        memory.seen, memory.broken = 1, 0
        who, left = memory.who, len(rows)
        for ts, price, qty, what in rows:
            left -= 1
            if not left:
                flag |= _LAST
            self._out += pack_one(ts, ts_recv_ns, price, qty, 0, MISSING, who, what | flag)
            flag = 0

    def _take(self) -> Events:
        out, self._out = self._out, bytearray()
        return np.frombuffer(out, EVENT)

    def _reject(
        self, reason: str, expected: str, found: str, raw: bytes, ts_recv_ns: int, whose: Iterable[Memory]
    ) -> None:
        """Quarantine a record; ``whose`` are the contracts that may have lost something by it."""
        for memory in whose:
            memory.broken = 1
        self._n_bad += 1
        self.quarantine.add(reason, expected=expected, found=found, where=f"received {ts_recv_ns} ns", raw=raw)
