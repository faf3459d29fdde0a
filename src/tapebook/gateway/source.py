"""A tape becomes what the market hub would have said: records, each with its time and stream.

What the protocol carries comes through event for event: a client that reads the records as
:mod:`tapebook.venues.projectx.parse` does has the tape's trades, levels and quotes again, in the tape's order. How:

=======================================  =============================================================================
event of the tape                        record
=======================================  =============================================================================
TRADE                                    GatewayTrade
LEVEL                                    GatewayDepth, Bid or Ask; the records of one venue message are one list
CLEAR                                    GatewayDepth, Reset; of one side: that side's levels, each with volume 0
QUOTE                                    GatewayQuote; on the levels' own channel, with a size: BestBid or BestAsk
ADD, CANCEL, MODIFY, EXECUTE             through the book: what a venue message changed in the best ``depth`` levels
LEVEL, where ``depth`` is named          the same
no QUOTE of its own                      GatewayQuote whenever a venue message moves the touch of the book
=======================================  =============================================================================

What it cannot carry is left away and counted in ``lost``: order ids, sequence numbers, sizes of quotes, order counts,
statuses, snapshot and gap marks, digits below the stamp's.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from typing import Any, Final

import numpy as np

from tapebook.gateway.encode import Entry
from tapebook.gateway.listings import Listing, contract_id, listing
from tapebook.gateway.telling import (
    DEPTH,
    QUOTES,
    TRADES,
    Change,
    Form,
    Message,
    Nature,
    Telling,
    changes_of,
    clear,
    differ,
    tell_quote,
    tell_touch,
)
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, PRICE_SCALE, Events, Flag, Kind, clock_ns
from tapebook.market.tape import Tape
from tapebook.venues.projectx.wire import DomType

__all__ = ["DEPTH", "QUOTES", "TRADES", "Form", "Message", "Source"]

CHUNK_EVENTS: Final = 2048
_PEEK_EVENTS: Final = 1 << 16
_TRADE, _LEVEL, _QUOTE, _CLEAR, _STATUS = (
    int(k) for k in (Kind.TRADE, Kind.LEVEL, Kind.QUOTE, Kind.CLEAR, Kind.STATUS)
)
_LAST, _INFO, _TOB = int(Flag.LAST), int(Flag.INFO), int(Flag.TOB)
_ASK, _BID, _RESET, _PRINT = int(DomType.ASK), int(DomType.BID), int(DomType.RESET), int(DomType.TRADE)
_BEST: Final = {1: int(DomType.BEST_BID), -1: int(DomType.BEST_ASK)}


class Source:
    """A tape as records.

    Parameters
    ----------
    tape
        Where events come from; it is read anew each time.
    form
        How it is told.

    Examples
    --------
    >>> from tapebook.simulator import parse_spec
    >>> source = Source(parse_spec("sim:es?duration_s=2"))
    >>> [one.id for one in source.listings]
    ['CON.F.US.EP.H26']
    >>> next(source.chunks())[0].record[:70]
    b'{"type":1,"target":"GatewayDepth","arguments":["CON.F.US.EP.H26",[{"co'
    """

    def __init__(self, tape: Tape, form: Form | None = None) -> None:
        self.tape, self.form = tape, form or Form()
        self.listings: list[Listing] = []
        self.lost: dict[str, int] = {}
        self.first_ns = 0
        self._natures: dict[int, Nature] = {}
        self._places: dict[int, int] = {}
        first = next(tape.blocks(_PEEK_EVENTS), None)
        if first is None:
            raise ConfigurationError("there is nothing to play", expected="events", where=tape.origin.name)
        self.first_ns = int(clock_ns(first)[0])
        for instrument_id in np.unique(first["instrument_id"]).tolist():
            self._natures[instrument_id] = self._nature(first[first["instrument_id"] == instrument_id])
            self._place(instrument_id)
        unknown = set(self.form.contracts) - {one.instrument.symbol for one in self.listings}
        if len(self.listings) == 1:
            unknown.discard("")
        if unknown:
            raise ConfigurationError(
                "a contract for an instrument that the source does not have",
                expected=", ".join(one.instrument.symbol for one in self.listings),
                found=", ".join(sorted(unknown)),
            )

    def chunks(self, shift_ns: int = 0, events_max: int = CHUNK_EVENTS) -> Iterator[list[Message]]:
        """Yield the records from the start; ``shift_ns`` is added to every time that they tell."""
        self.lost.clear()
        contracts: dict[int, Telling] = {}
        clock = -(1 << 63)
        for block in self.tape.blocks(events_max):
            pace = np.maximum.accumulate(np.maximum(clock_ns(block), clock))
            clock = int(pace[-1])
            out: list[Message] = []
            changed: dict[int, Change] = {}
            for instrument_id in np.unique(block["instrument_id"]).tolist():
                if instrument_id not in contracts:
                    place = self._place(instrument_id)
                    nature = self._natures.setdefault(instrument_id, Nature())
                    contracts[instrument_id] = Telling(self.listings[place], nature, self.form, instrument_id)
                changed |= changes_of(contracts[instrument_id], block, instrument_id)
            self._tell(block, pace, contracts, changed, shift_ns, out)
            if out:
                yield out

    def _tell(
        self,
        block: Events,
        pace: np.ndarray[Any, Any],
        contracts: dict[int, Telling],
        changed: dict[int, Change],
        shift_ns: int,
        out: list[Message],
    ) -> None:
        names = ("instrument_id", "kind", "flags", "price", "qty_lots", "side", "channel", "ts_event_ns", "ts_recv_ns")
        columns = zip(*(block[name].tolist() for name in names), pace.tolist(), strict=True)
        before = -1
        for i, (who, kind, flags, price, qty, side, channel, ts_event, ts_recv, due) in enumerate(columns):
            if who != before:
                before, contract, place = who, contracts[who], 3 * self._places[who]
            ts = (ts_event if ts_event != MISSING else ts_recv) + shift_ns
            if kind == _TRADE:
                if contract.pending:
                    self._flush(contract, place, due, ts, out)
                if contract.told:
                    tell_quote(contract, place, due, ts, out)
                self._trade(contract, place, due, ts, (price, qty, side), out)
            elif kind == _QUOTE:
                if flags & _INFO or channel not in contract.depth_channels or qty == MISSING:
                    if side in contract.told:  # one venue message may move the touch several times
                        tell_quote(contract, place, due, ts, out)
                    contract.told[side] = price
                elif not contract.through_book:
                    self._best(contract, side, price, qty)
            elif kind == _STATUS:
                self._lose("statuses")
            elif not contract.through_book and not flags & _INFO:
                if kind == _LEVEL:
                    self._level(contract, side, price, qty, flags)
                elif kind == _CLEAR:
                    clear(contract, side)
                else:
                    self._lose("orders after a beginning without any")
            if flags & _LAST:
                if i in changed and contract.through_book:
                    differ(contract, changed[i])
                if contract.pending:
                    self._flush(contract, place, due, ts, out)
                if contract.told:
                    tell_quote(contract, place, due, ts, out)
                elif i in changed and not contract.own_quotes:
                    tell_touch(contract, changed[i].row, place, due, ts, out)

    def _trade(
        self, contract: Telling, place: int, due: int, ts: int, told: tuple[int, int, int], out: list[Message]
    ) -> None:
        price, qty, side = told
        if price == MISSING:
            self._lose("trades without a price")
            return
        contract.quote.print(price, qty)
        out.append(Message(due, place + TRADES, contract.writer.trade(ts, price, qty, side), (ts, price, qty)))
        if self.form.prints and qty != MISSING:
            total = contract.printed[price] = contract.printed.get(price, 0) + qty
            entries = [Entry(_PRINT, price, total, qty)]
            out.append(Message(due, place + DEPTH, contract.writer.depth(ts, entries), tuple(entries)))

    def _level(self, contract: Telling, side: int, price: int, qty: int, flags: int) -> None:
        if MISSING in (price, qty):
            self._lose("levels without price or size")
        elif flags & _TOB:
            self._best(contract, side, price, qty)
        else:
            levels = contract.levels[side < 0]
            if qty:
                levels[price] = qty
            else:
                levels.pop(price, None)
            contract.pending.append(Entry(_BID if side > 0 else _ASK, price, qty))

    def _best(self, contract: Telling, side: int, price: int, qty: int) -> None:
        if price == MISSING:
            self._lose("touches without a price")
            return
        contract.levels[side < 0][price] = qty
        contract.pending.append(Entry(_BEST[side], price, qty))

    def _flush(self, contract: Telling, place: int, due: int, ts: int, out: list[Message]) -> None:
        entries, contract.pending = contract.pending, []
        out.append(Message(due, place + DEPTH, contract.writer.depth(ts, entries), tuple(entries)))

    def _lose(self, what: str) -> None:
        self.lost[what] = self.lost.get(what, 0) + 1

    def _place(self, instrument_id: int) -> int:
        place = self._places.get(instrument_id)
        if place is None:
            instrument = self.tape.instruments[instrument_id]
            nature = self._natures.get(instrument_id, Nature(first_ns=self.first_ns))
            wanted = self.form.contracts
            name = wanted.get(instrument.symbol) or (wanted.get("") if not self.listings else "")
            name = name or contract_id(instrument, nature.first_ns)
            if any(one.id == name for one in self.listings):
                raise ConfigurationError(
                    "two instruments would have the same contract id",
                    expected="one each",
                    found=name,
                    remedy="name them: --contract SYMBOL=CON.F.US.<root>.<month><yy>",
                )
            tick = self.form.tick_e9 or nature.tick_e9 or instrument.tick_e9 or PRICE_SCALE // 100
            place = self._places[instrument_id] = len(self.listings)
            self.listings.append(listing(instrument, name, tick))
        return place

    def _nature(self, mine: Events) -> Nature:
        """Judge by the beginning of the tape; the tick of what is no future is what its prices lie on."""
        kinds = mine["kind"]
        instrument = self.tape.instruments[int(mine["instrument_id"][0])]
        tick = instrument.tick_e9
        if instrument.kind != "future" or not tick:
            for price in np.unique(mine["price"]).tolist():
                tick = gcd(tick, price) if price != MISSING else tick
        return Nature(
            orders=bool(np.isin(kinds, (Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE)).any()),
            quotes=bool((kinds == _QUOTE).any()),
            depth_channels=frozenset(np.unique(mine["channel"][kinds == _LEVEL]).tolist()),
            tick_e9=tick,
            first_ns=int(clock_ns(mine)[0]),
        )
