"""What a fan-out sends of decoded events: blocks of whole messages, and now and then the book behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tapebook.book.ladder import Ladder
from tapebook.capture.decode import Decoded, Decoder
from tapebook.capture.rows import DEPTH_CHANNEL
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, empty_events

__all__ = ["Books", "blocks_of"]

_OF_BOOK = (int(Kind.LEVEL), int(Kind.QUOTE), int(Kind.CLEAR))
_ORDERS = (int(Kind.ADD), int(Kind.CANCEL), int(Kind.MODIFY), int(Kind.EXECUTE))


def blocks_of(decoder: Decoder, decoded: Decoded, events_max: int) -> Iterator[tuple[str, Events, NDArray[np.int64]]]:
    """Yield each contract's events, cut behind whole messages, with their frames."""
    ids = decoded.events["instrument_id"]
    for instrument_id in np.unique(ids).tolist():
        contract = decoder.contracts[int(decoder.contract_of[instrument_id])][0]
        mine = np.flatnonzero(ids == instrument_id)
        events, numbers = decoded.events[mine], decoded.sequence[mine]
        ends = np.flatnonzero(events["flags"] & int(Flag.LAST)) + 1
        start = 0
        while start < events.size:
            after = ends[(ends > start) & (ends <= start + events_max)]
            beyond = ends[ends > start]
            # A message longer than a block stays whole.
            end = int(after[-1] if after.size else beyond[0] if beyond.size else events.size)
            yield contract, events[start:end], numbers[start:end]
            start = end


@dataclass
class _Book:
    ladder: Ladder
    known: bool  # every change since it began was seen
    gap: bool = False  # the source itself does not know all of it
    orders: bool = False  # a book by orders: levels would not tell it
    event_ns: int = MISSING
    recv_ns: int = MISSING


@dataclass
class Books:
    """The depth of each contract, as a reader knows it who read everything.

    Someone who comes later, or who missed something, gets it as events: CLEAR, then all levels, with Flag.SNAPSHOT; the
    CLEAR has Flag.GAP where the source itself has not been told the whole book since it lost something.

    Parameters
    ----------
    ticks
        Price step by contract, in 1e-9.
    """

    ticks: dict[str, int]
    _books: dict[str, _Book] = field(default_factory=dict)

    def begin(self, contract: str, *, known: bool) -> None:
        """Begin a contract's book: empty and known, or unknown until it begins anew."""
        self._books[contract] = _Book(Ladder(tick_e9=self.ticks[contract]), known)

    def see(self, contract: str, events: Events) -> None:
        """Take in a contract's events."""
        book = self._books[contract]
        book.orders = book.orders or bool(np.isin(events["kind"], _ORDERS).any())
        mine = events[(events["channel"] == DEPTH_CHANNEL) & np.isin(events["kind"], _OF_BOOK)]
        if not mine.size:
            return
        clears = mine[(mine["kind"] == Kind.CLEAR) & (mine["side"] == 0)]
        if clears.size:
            book.known = True
            book.gap = bool(clears["flags"][-1] & int(Flag.GAP))
        book.ladder.advance(mine)
        book.event_ns, book.recv_ns = int(mine["ts_event_ns"][-1]), int(mine["ts_recv_ns"][-1])

    def events(self, contract: str) -> Events | None:
        """Return a contract's book; None where it is not known, or is one by orders."""
        book = self._books[contract]
        if not book.known or book.orders or book.recv_ns == MISSING:
            return None
        sides = [(side, level) for side in (Side.BID, Side.ASK) for level in book.ladder.levels(side)]
        out = empty_events(1 + len(sides))
        out["kind"], out["flags"] = Kind.LEVEL, int(Flag.SNAPSHOT)
        out["channel"], out["ts_event_ns"], out["ts_recv_ns"] = DEPTH_CHANNEL, book.event_ns, book.recv_ns
        out["kind"][0] = Kind.CLEAR
        out["flags"][0] |= int(Flag.GAP) if book.gap else 0
        for i, (side, level) in enumerate(sides, 1):
            out["side"][i], out["price"][i] = side, level.price
            out["qty_lots"][i] = level.qty_lots
        out["flags"][-1] |= int(Flag.LAST)
        return out
