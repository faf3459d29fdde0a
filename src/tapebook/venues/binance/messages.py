"""Messages of Binance become events; what is to be believed of them is decided elsewhere (``books.py``).

The same code reads frames of a live connection and lines of a raw recording (a receive stamp in ns, µs or ms since
1970, a blank and the JSON text as it came). Each message gives:

========== ======= =================================================================================================
stream     channel events
========== ======= =================================================================================================
depth      1       LEVEL for each level named; ``sequence`` is ``u``, ``ts_event_ns`` is ``T`` (futures) or ``E`` (spot)
snapshot   1       CLEAR, then LEVEL for each level, all with Flag.SNAPSHOT; ``sequence`` is ``lastUpdateId``
bookTicker 2       QUOTE of the bid, QUOTE of the ask; ``sequence`` is ``u``; a price of 0 means an empty side
trade      3       TRADE; ``sequence`` is the trade's id, which counts one by one: Flag.GAP where ids are missing
aggTrade   4       TRADE, the same way; passed over where the recording also has the single trades of the instrument
========== ======= =================================================================================================

A snapshot is the answer of a request and names no symbol on most markets: live it comes wrapped as a message of the
stream ``<symbol>@snapshot``, which exists nowhere else.

All text of a block is decoded first, then its numbers become integers in one pass over all of them. A message with a
number that is none is quarantined as a whole before anything acts on it: for the book it is a missing diff.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.kernels.text import OK
from tapebook.market.catalog import instrument_for
from tapebook.market.events import MISSING, Events, Flag, Kind, SideSource, TradeCondition, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues.binance import wire
from tapebook.venues.binance.ids import SeenIds
from tapebook.venues.decimals import fixed_point, plausible

__all__ = ["DEPTH", "SNAPSHOT", "TICKER", "TRADE", "Batch", "Messages", "epoch_ns"]

DEPTH, TICKER, TRADE, AGG_TRADE, SNAPSHOT, UNREAD = 1, 2, 3, 4, 5, 6
"""What a message is; the first four are also the channels."""

_KIND: Final = np.array([0, Kind.LEVEL, Kind.QUOTE, Kind.TRADE, Kind.TRADE, Kind.LEVEL], np.uint8)
_CHANNEL: Final = np.array([0, DEPTH, TICKER, TRADE, AGG_TRADE, DEPTH], np.uint16)
_DEPTH_STREAM = frozenset({"depth", "depth@100ms", "depth@250ms", "depth@500ms", "depth@0ms", "depth@1000ms"})
_UNREAD_MAX = 64  # different streams that are told by name
_ROLES_MAX = 4096  # streams whose role is kept

_Rejected = tuple[int, str, str, str]
"""Which message of a batch, reason, expected, found."""


class Ids(NamedTuple):
    """The update ids of a depth message: ``U``, ``u``, ``pu``; of a snapshot, ``lastUpdateId`` as ``last``."""

    first: int
    last: int
    before: int | None


@dataclass(frozen=True)
class Batch:
    """The messages of some lines, in order; the events of message ``m`` are ``events[start[m] : start[m + 1]]``."""

    events: Events
    start: NDArray[np.int64]
    role: NDArray[np.int8]
    instrument_id: NDArray[np.uint32]
    ts_recv_ns: NDArray[np.int64]
    ts_event_ns: NDArray[np.int64]
    ids: dict[int, Ids]  # of depth messages and snapshots, by message
    number: NDArray[np.int64]  # which of the bodies each message was
    rejected: list[int]  # which of them went to the quarantine, in its order


def epoch_ns(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Turn Binance's stamps into ns: milliseconds, or microseconds where they are asked for (spot dumps from 2025 on).

    >>> epoch_ns(np.array([1723161255208, 1735689600000123, 0])).tolist()
    [1723161255208000000, 1735689600000123000, -9223372036854775808]
    """
    bounded = np.where(stamps < 10**16, stamps, 0)
    return np.where(bounded == 0, MISSING, np.where(bounded < 10**14, bounded * 10**6, bounded * 1000))


class Messages:
    """Turns lines into batches; remembers instruments and trade ids from batch to batch.

    Parameters
    ----------
    venue
        ``BINANCE``, ``BINANCE-USDM`` or ``BINANCE-COINM``.
    symbol
        Whose a snapshot is that does not say so, before any depth message did; empty where unknown.
    single_trades
        Symbols of which single trades are known to follow, so that their aggregate trades are passed over at once.
    only
        Symbols that are subscribed, so that messages of others are bad; empty where any may come.
    grids
        Tick and lot in 1e-9 of symbols, for what the catalogue does not know.
    once
        Pass over trades and tickers whose ids were seen: two connections that stand beside each other while one takes
        the other's place tell everything twice.
    """

    def __init__(
        self,
        venue: str,
        instruments: InstrumentTable,
        quarantine: Quarantine,
        notes: dict[str, int],
        file: str,
        *,
        symbol: str = "",
        single_trades: frozenset[str] = frozenset(),
        only: Sequence[str] = (),
        grids: Mapping[str, tuple[int, int]] | None = None,
        once: bool = False,
    ) -> None:
        self._venue = venue
        self._table = instruments
        self._quarantine = quarantine
        self._notes = notes
        self._file = file
        self._symbol = symbol
        self._single = set(single_trades)
        self._only = frozenset(only)
        self._grids = grids or {}
        self._role: dict[str, int] = {}
        self._known: dict[tuple[str, str], int] = {}
        self._lot = np.ones(1, np.int64)
        self._depth_ids: set[int] = set()
        self._seen = SeenIds(self._note, once=once)
        self._unread: set[str] = set()
        for name in only:
            self._instrument("", name, MISSING)

    def read(self, lines: Sequence[bytes], first_line: int) -> Batch:
        """Decode lines of a recording (without their ends); ``first_line`` is the number of the first, from 1."""
        numbers, stamps, bodies, kept = [], [], [], []
        for i, line in enumerate(lines):
            if not line or line.isspace():
                continue
            stamp, _, body = line.partition(b" ")
            try:
                recv = int(stamp) if len(stamp) == 19 and stamp.isdigit() else _stamp_ns(stamp)
            except ValueError as error:
                where = f"{self._file} line {first_line + i}"
                self._reject(line, where, "bad message", "a receive stamp and Binance's JSON", str(error))
                continue
            numbers.append(first_line + i)
            stamps.append(recv)
            bodies.append(body)
            kept.append(line)
        return self.decode(bodies, stamps, lambda i: f"{self._file} line {numbers[i]}", kept)

    def decode(
        self, bodies: Sequence[bytes], stamps: Sequence[int], where: Callable[[int], str], raw: Sequence[bytes]
    ) -> Batch:
        """Decode messages and the times in ns when they came.

        ``where`` names the place of one of them, ``raw`` holds the bytes that are kept of a bad one.
        """
        texts: list[str] = []  # price, quantity, price, quantity ...
        # Of each message: number, role, instrument, received, time, sequence, how many clears, bids, asks, detail.
        meta: list[int] = []
        ids: list[Ids | None] = []
        rejected: list[_Rejected] = []
        roles, known = self._role, self._known
        for i, (body, recv) in enumerate(zip(bodies, stamps, strict=True)):
            try:
                message = wire.envelope(body)
                stream = message.stream
                role = roles.get(stream) or self._role_of(message)
                data = message.data if stream else body
                if role == TICKER:
                    t = wire.ticker(data)
                    who = known.get((stream, t.s)) or self._instrument(stream, t.s, recv)
                    texts += (t.b, t.B, t.a, t.A)
                    meta += (i, role, who, recv, t.T or t.E, t.u, 0, 1, 1, 0)
                    ids.append(None)
                elif role == DEPTH:
                    d = wire.depth(data)
                    who = known.get((stream, d.s)) or self._instrument(stream, d.s, recv)
                    self._depth_ids.add(who)
                    texts.extend(chain.from_iterable(d.b))
                    texts.extend(chain.from_iterable(d.a))
                    meta += (i, role, who, recv, d.T or d.E, d.u, 0, len(d.b), len(d.a), 0)
                    ids.append(Ids(d.U, d.u, d.pu))
                elif role == TRADE:
                    x = wire.trade(data)
                    who = known.get((stream, x.s)) or self._instrument(stream, x.s, recv)
                    self._single.add(x.s)
                    if x.X == "NA":
                        self._note("trade messages without a trade (X is NA)")
                        continue
                    texts += (x.p, x.q)
                    detail = TradeCondition.REGULAR if x.X == "MARKET" else TradeCondition.OFF_BOOK
                    meta += (i, role, who, recv, x.T, x.t, 0, not x.m, x.m, detail)
                    ids.append(None)
                elif role == AGG_TRADE:
                    g = wire.agg_trade(data)
                    who = known.get((stream, g.s)) or self._instrument(stream, g.s, recv)
                    if g.s in self._single:
                        self._note("aggregate trades passed over: the single trades are there")
                        continue
                    texts += (g.p, g.q)
                    meta += (i, role, who, recv, g.T, g.a, 0, not g.m, g.m, 0)
                    ids.append(None)
                elif role == SNAPSHOT:
                    s = wire.snapshot(data)
                    who = self._whose(stream, s.symbol, recv)
                    texts += ("0", "0")  # stands for the CLEAR in front of the levels
                    texts.extend(chain.from_iterable(s.bids))
                    texts.extend(chain.from_iterable(s.asks))
                    meta += (i, role, who, recv, s.T or s.E, s.lastUpdateId, 1, len(s.bids), len(s.asks), 0)
                    ids.append(Ids(0, s.lastUpdateId, None))
                else:
                    self._pass_over(message)
            except (msgspec.MsgspecError, ValueError) as error:
                rejected.append((i, "bad message", "Binance's JSON", str(error)))
        batch = self._build(np.array(meta, np.int64).reshape(-1, 10), ids, texts, rejected)
        for i, reason, expected, found in sorted(rejected, key=lambda one: one[0]):
            self._reject(raw[i], where(i), reason, expected, found)
            batch.rejected.append(i)
        return batch

    def instrument_id(self, symbol: str) -> int:
        """Return which instrument a subscribed symbol is."""
        return self._known["", symbol]

    def save(self) -> State:
        """Return a copy of the memory; instruments are the table's."""
        return {
            "last_id": self._seen.save(),
            "with_depth": np.array(sorted(self._depth_ids), np.int64),
            "single": np.array(sorted(self._known["", symbol] for symbol in self._single), np.int64),
        }

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._seen.restore(state["last_id"])
        self._depth_ids = set(state["with_depth"].tolist())
        self._single = {self._table[who].symbol for who in state["single"].tolist()}

    def _build(
        self,
        meta: NDArray[np.int64],
        ids: list[Ids | None],
        texts: list[str],
        rejected: list[_Rejected],
    ) -> Batch:
        number, role, who, recv, time, sequence, n_clear, n_bid, n_ask, detail = meta.T
        n = n_clear + n_bid + n_ask
        message = np.repeat(np.arange(n.size), n)
        lot = self._lot[who][message]
        value, ok = fixed_point(pa.array(texts, pa.string()))
        price, qty = value[::2], value[1::2]
        bad = (ok[::2] != OK) | (ok[1::2] != OK) | (price < 0) | (qty < 0)
        bad[~bad] |= qty[~bad] % lot[~bad] != 0
        time_ns = epoch_ns(time)
        bad_message = np.zeros(n.size, np.bool_)
        bad_message[message[bad]] = True
        for m in np.flatnonzero(bad_message).tolist():
            r = int(np.flatnonzero(bad & (message == m))[0])
            wanted = f"a price, and a quantity in lots of {int(lot[r])}e-9"
            found = " ".join(texts[2 * r : 2 * r + 2])
            rejected.append((int(number[m]), "bad number", wanted, found))
        late = ~bad_message & (~plausible(recv) | ((time != 0) & ~plausible(time_ns)))
        for m in np.flatnonzero(late).tolist():
            found = f"received {int(recv[m])} ns, sent {int(time[m])}"
            rejected.append((int(number[m]), "bad time", "times between 2009 and 2100", found))
        bad_message |= late
        numbered = (role == TRADE) | (role == AGG_TRADE), role == TICKER
        gap, repeated = self._seen.advance(who * 8 + role, sequence, *(which & ~bad_message for which in numbered))
        bad_message |= repeated

        start = np.concatenate([np.zeros(1, np.int64), np.cumsum(n)])
        place = np.arange(message.size) - start[:-1][message]  # within the message
        kind = _KIND[role][message]
        events = empty_events(message.size)
        events["ts_event_ns"] = time_ns[message]
        events["ts_recv_ns"] = recv[message]
        events["price"] = price
        events["qty_lots"] = np.where(bad, MISSING, qty // lot)
        events["sequence"] = sequence[message]
        events["instrument_id"] = who[message]
        events["channel"] = _CHANNEL[role][message]
        events["kind"] = kind
        events["side"] = np.where(place < (n_clear + n_bid)[message], 1, -1)
        events["side_source"] = np.where(kind == Kind.TRADE, int(SideSource.VENUE), int(SideSource.NONE))
        events["detail"] = detail[message]
        flags = np.where(place == (n - 1)[message], int(Flag.LAST), 0)
        flags |= np.where(role[message] == SNAPSHOT, int(Flag.SNAPSHOT), 0)
        flags |= np.where(gap[message], int(Flag.GAP), 0)
        events["flags"] = flags
        empty_side = (kind == Kind.QUOTE) & (price == 0)
        clear = place < n_clear[message]
        for name in ("price", "qty_lots"):
            events[name][empty_side | clear] = MISSING
        events["kind"][clear] = Kind.CLEAR
        events["side"][clear] = 0

        kept_ids = ids
        if bad_message.any():
            keep = ~bad_message
            events = events[keep[message]]
            role, who, n, recv, time_ns = role[keep], who[keep], n[keep], recv[keep], time_ns[keep]
            number = number[keep]
            start = np.concatenate([np.zeros(1, np.int64), np.cumsum(n)])
            kept_ids = [x for x, good in zip(ids, keep.tolist(), strict=True) if good]
        ids_of = {m: x for m, x in enumerate(kept_ids) if x is not None}
        return Batch(events, start, role.astype(np.int8), who.astype(np.uint32), recv, time_ns, ids_of, number, [])

    def _role_of(self, message: wire.Envelope) -> int:
        """Say what a message is; the answer for a named stream is kept."""
        stream = message.stream
        if not stream:
            if message.lastUpdateId >= 0:
                return SNAPSHOT
            named = {"depthUpdate": DEPTH, "bookTicker": TICKER, "trade": TRADE, "aggTrade": AGG_TRADE}
            if not message.e and message.u >= 0:
                return TICKER  # spot sends it without a name
            if not message.e:
                raise ValueError("neither a stream's message nor a snapshot")
            return named.get(message.e, UNREAD)
        what = stream.partition("@")[2]
        role = {"bookTicker": TICKER, "trade": TRADE, "aggTrade": AGG_TRADE, "snapshot": SNAPSHOT}.get(what, UNREAD)
        if what in _DEPTH_STREAM:
            role = DEPTH
        if len(self._role) < _ROLES_MAX:
            self._role[stream] = role
        return role

    def _pass_over(self, message: wire.Envelope) -> None:
        """Count a message of a stream that makes no events, by the stream's kind."""
        what = message.stream.partition("@")[2] or message.e
        if len(self._unread) < _UNREAD_MAX:
            self._unread.add(what)
        self._note(f"stream not read: {what if what in self._unread else 'others'}")

    def _instrument(self, stream: str, symbol: str, recv_ns: int) -> int:
        """Return the id of a symbol that came by a stream, for the first time."""
        if stream and stream.partition("@")[0] != symbol.lower():
            raise ValueError(f"the stream {stream} brought {symbol!r}")
        if not symbol:
            raise ValueError("the message names no symbol")
        if self._only and symbol not in self._only:
            raise ValueError(f"{symbol!r} is not subscribed")
        tick_e9, lot_e9 = self._grids.get(symbol, (0, 0))
        instrument = instrument_for(symbol, self._venue, tick_e9=tick_e9, lot_e9=lot_e9 or None, on_ns=recv_ns)
        who = self._table.add(instrument)
        if who >= self._lot.size:
            self._lot = np.concatenate([self._lot, np.ones(who + 1 - self._lot.size, np.int64)])
        self._lot[who] = instrument.lot_e9
        self._known[stream, symbol] = who
        return who

    def _whose(self, stream: str, symbol: str, recv_ns: int) -> int:
        """Return the id of a snapshot's instrument."""
        named = stream.partition("@")[0].upper()
        if symbol and named and symbol != named:
            raise ValueError(f"the stream {stream} brought {symbol!r}")
        symbol = symbol or named
        if symbol:
            return self._known.get(("", symbol)) or self._instrument("", symbol, recv_ns)
        if len(self._depth_ids) == 1:
            return next(iter(self._depth_ids))
        if not self._depth_ids and self._symbol:
            return self._known.get(("", self._symbol)) or self._instrument("", self._symbol, recv_ns)
        raise ValueError(f"the snapshot names no symbol, and {len(self._depth_ids)} instruments have depth here")

    def _reject(self, raw: bytes, where: str, reason: str, expected: str, found: str) -> None:
        self._quarantine.add(reason, expected=expected, found=found, where=where, raw=raw)

    def _note(self, what: str, n: int = 1) -> None:
        if n:
            self._notes[what] = self._notes.get(what, 0) + n


def _stamp_ns(stamp: bytes) -> int:
    """Read a receive stamp of 19, 16 or 13 digits: ns, µs or ms."""
    factor: dict[int, int] = {19: 1, 16: 1000, 13: 10**6}
    if not stamp.isdigit() or len(stamp) not in factor:
        raise ValueError("the receive stamp has neither 19, 16 nor 13 digits")
    return int(stamp) * factor[len(stamp)]
