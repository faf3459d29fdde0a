"""Frames of Binance's market streams become events: pure, the same bytes and stamps always give the same events.

A frame is a message of a combined stream, or a snapshot as ``session.py`` wraps the answer of the request for it. Which
messages make which events stands in ``messages.py``; LEVEL events appear only while snapshot and diffs join
(``sync.py``), and a gap is a CLEAR with Flag.GAP.

What is not market data (answers to requests of ours, the announcement of a shutdown) is counted in the notes.
"""

from __future__ import annotations

from collections.abc import Iterable

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues.binance.books import Books
from tapebook.venues.binance.messages import DEPTH, Messages
from tapebook.venues.binance.sync import Rule

__all__ = ["Parser"]


class Parser:
    """Turns frames into events; its whole memory is plain arrays.

    Parameters
    ----------
    contracts
        Symbols that are subscribed, ``BTCUSDT``. Messages of others are quarantined.
    instruments
        Table of the tape; it gets an entry for each symbol.
    venue
        ``BINANCE``, ``BINANCE-USDM`` or ``BINANCE-COINM``.
    quarantine
        Where bad records go.
    notes
        Counts of what was noticed.
    single_trades
        Whether the stream of single trades is subscribed, so that aggregate trades beside it are passed over.

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
        contracts: Iterable[str],
        instruments: InstrumentTable,
        *,
        venue: str = "BINANCE",
        quarantine: Quarantine | None = None,
        notes: dict[str, int] | None = None,
        single_trades: bool = True,
    ) -> None:
        symbols = tuple(dict.fromkeys(name.upper() for name in contracts))
        if not symbols:
            raise ConfigurationError("no symbols", expected="one at least, such as BTCUSDT", found="none")
        self.instruments = instruments
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self.notes = notes if notes is not None else {}
        self._messages = Messages(
            venue,
            instruments,
            self.quarantine,
            self.notes,
            "",
            single_trades=frozenset(symbols if single_trades else ()),
            only=symbols,
            once=True,
        )
        self._books = Books(Rule.SPOT if venue == "BINANCE" else Rule.FUTURES, self.notes)

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one frame and return its events, and those that waited for it."""
        return self.advance_many([(payload, ts_recv_ns)])

    def advance_many(self, frames: Iterable[tuple[bytes, int]]) -> Events:
        """Take in frames and the times when they came; the same events as :meth:`advance` on each."""
        bodies, stamps = [], []
        for payload, ts_recv_ns in frames:
            bodies.append(payload)
            stamps.append(ts_recv_ns)
        batch = self._messages.decode(bodies, stamps, lambda i: f"received {stamps[i]} ns", bodies)
        return self._books.advance(batch)

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
