"""Frames of Binance's market streams become events: pure, the same bytes and stamps always give the same events.

A frame is a message of a combined stream, or a snapshot as ``session.py`` wraps the answer of the request for it. Which
messages make which events stands in ``messages.py``; LEVEL events appear only while snapshot and diffs join
(``sync.py``), and a gap is a CLEAR with Flag.GAP.

What is not market data (answers to requests of ours, the announcement of a shutdown) is counted in the notes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues.binance.books import Books
from tapebook.venues.binance.messages import DEPTH, Messages
from tapebook.venues.binance.sync import Rule

__all__ = ["Parser", "Run"]


class Run(NamedTuple):
    """What frames became: events, how many each frame brought, which frames are in the quarantine, in its order."""

    events: Events
    sizes: list[int]
    rejected: list[int]


class Parser:
    """Turns frames into events; its whole memory is plain arrays.

    Parameters
    ----------
    contracts
        Symbols that are subscribed, ``BTCUSDT``, or what the venue says of them: ``id``, ``tickSize`` and
        ``stepSize``, which count for symbols that the catalogue does not know. Messages of others are quarantined.
    instruments
        Table of the tape; it gets an entry for each symbol.
    venue
        ``BINANCE``, ``BINANCE-USDM`` or ``BINANCE-COINM``.
    quarantine
        Where bad records go.
    notes
        Counts of what was noticed.
    single_trades
        Whether the stream of single trades is subscribed, so that aggregate trades beside it are passed over; by
        default on spot, where that stream is documented.

    Examples
    --------
    >>> parser = Parser(["BTCUSDT"], InstrumentTable())
    >>> frame = b'{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","t":7,"p":"61837.63","q":"0.02",'
    >>> frame += b'"T":1723161255342,"m":true}}'
    >>> events = parser.advance(frame, 1723161255343000000)
    >>> events["price"].tolist(), events["side"].tolist()
    ([61837630000000], [-1])
    """

    def __init__(
        self,
        contracts: Iterable[str | Mapping[str, Any]],
        instruments: InstrumentTable,
        *,
        venue: str = "BINANCE",
        quarantine: Quarantine | None = None,
        notes: dict[str, int] | None = None,
        single_trades: bool | None = None,
    ) -> None:
        grids: dict[str, tuple[int, int]] = {}
        for contract in contracts:
            told = {"id": contract} if isinstance(contract, str) else contract
            grids.setdefault(str(told["id"]).upper(), (_e9(told.get("tickSize")), _e9(told.get("stepSize"))))
        symbols = tuple(grids)
        rule = Rule.SPOT if venue == "BINANCE" else Rule.FUTURES
        single = rule is Rule.SPOT if single_trades is None else single_trades
        if not symbols:
            raise ConfigurationError("no symbols", expected="one at least, such as BTCUSDT", found="none")
        self.instruments, self._symbols = instruments, symbols
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self.notes = notes if notes is not None else {}
        self._messages = Messages(
            venue,
            instruments,
            self.quarantine,
            self.notes,
            "",
            single_trades=frozenset(symbols if single else ()),
            only=symbols,
            grids=grids,
            once=True,
        )
        self._books = Books(rule, self.notes, instruments)

    @property
    def instrument_ids(self) -> dict[str, int]:
        """Return which instrument each symbol is."""
        return {symbol: self._messages.instrument_id(symbol) for symbol in self._symbols}

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one frame and return its events, and those that waited for it."""
        return self.advance_many([(payload, ts_recv_ns)])

    def advance_many(self, frames: Iterable[tuple[bytes, int]]) -> Events:
        """Take in frames and the times when they came; the same events as :meth:`advance` on each."""
        return self.advance_run(list(frames)).events

    def advance_counted(self, frames: Iterable[tuple[bytes, int]]) -> tuple[Events, list[int]]:
        """Take in frames; return the events, and how many of them each frame brought."""
        run = self.advance_run(list(frames))
        return run.events, run.sizes

    def advance_run(self, frames: Sequence[tuple[bytes, int]]) -> Run:
        """Take in frames; return the events, how many each frame brought, and which frames are in the quarantine."""
        bodies = [payload for payload, _ in frames]
        stamps = [ts_recv_ns for _, ts_recv_ns in frames]
        there: list[int] | None = None
        if not all(bodies):
            there = [i for i, body in enumerate(bodies) if body]
            self.notes["empty frames"] = self.notes.get("empty frames", 0) + len(bodies) - len(there)
            bodies, stamps = [bodies[i] for i in there], [stamps[i] for i in there]
        batch = self._messages.decode(bodies, stamps, lambda i: f"received {stamps[i]} ns", bodies)
        events, each = self._books.advance_sized(batch)
        sizes = np.zeros(len(frames), np.int64)
        number, rejected = batch.number, batch.rejected
        if there is not None:
            number, rejected = np.array(there, np.int64)[number], [there[i] for i in rejected]
        sizes[number] = each
        return Run(events, sizes.tolist(), rejected)

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:  # noqa: ARG002 - all books share a connection
        """Return a CLEAR with GAP for each book that was live: the connection is another one."""
        lost = self._books.lose("another connection")
        events = empty_events(len(lost))
        events["kind"] = int(Kind.CLEAR)
        events["ts_event_ns"] = MISSING
        events["ts_recv_ns"] = ts_recv_ns
        events["instrument_id"] = lost
        events["channel"] = DEPTH
        events["flags"] = int(Flag.GAP | Flag.LAST)
        return events

    def save(self) -> State:
        """Return a copy of the whole memory (``notes`` and the quarantine are their owner's)."""
        return {**self._messages.save(), **self._books.save()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned, of a parser with the same symbols."""
        self._messages.restore(state)
        self._books.restore(state)


def _e9(text: object) -> int:
    """Return a step as the venue writes it in 1e-9; 0 where it is none.

    >>> _e9("0.01000000"), _e9(None)
    (10000000, 0)
    """
    try:
        step = Decimal(str(text)) * 10**9
    except InvalidOperation:
        return 0
    return int(step) if step.is_finite() and step > 0 and step == step.to_integral_value() else 0
