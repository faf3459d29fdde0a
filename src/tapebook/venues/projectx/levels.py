"""The depth rules of ProjectX, for one contract: entries become level and quote records that any book can fold.

The venue sends level sets without sequence numbers, and several words for the touch. What an entry does:

==================  ==================================================================================================
Ask, Bid            LEVEL: ``volume`` rests at the price, 0 removes it. Never added to what rested there
BestAsk, BestBid,   QUOTE with its size: the touch of that side is here, so better levels of the side are gone (a book
NewBestAsk,         does that itself), and opposite levels at or through it too: these get a LEVEL of 0 with MAYBE_BAD.
NewBestBid          A touch that no Ask or Bid confirmed is replaced by the next one. The New… twins mean the same;
                    they repeat an Ask or Bid entry, which changes nothing. With volume 0 the price is a removed level
Reset               CLEAR of both sides
Trade, Low, High,   no record: the first is counted against the trades channel
Fill, Unknown
==================  ==================================================================================================

For the opposite levels the prices that stand have to be known, so they are kept here, in one sorted array a side; sizes
are not. A side keeps its ``levels_max`` best prices: a level that leaves the depth the venue shows may never be removed
by it, so the farthest are let go (LEVEL of 0 with VIEW: nothing happened at the venue).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final, TypeAlias

from tapebook.market.events import MISSING, Flag, Kind, Side
from tapebook.venues.pack import what_word
from tapebook.venues.projectx.wire import DomType

__all__ = ["BOOK_TYPES", "LEVELS_MAX", "Levels", "Row", "clear_row"]

LEVELS_MAX: Final = 1000
"""Prices kept a side: more than any futures gateway is known to send."""

DEPTH: Final = 1
"""The channel of depth, numbered as other venues' are."""

Row: TypeAlias = tuple[int, int, int, int]
"""ts_event_ns, price, qty_lots, and the event's last word (:func:`~tapebook.venues.pack.what_word`)."""

_SIDE: Final = {
    int(DomType.ASK): int(Side.ASK),
    int(DomType.BID): int(Side.BID),
    int(DomType.BEST_ASK): int(Side.ASK),
    int(DomType.BEST_BID): int(Side.BID),
    int(DomType.NEW_BEST_ASK): int(Side.ASK),
    int(DomType.NEW_BEST_BID): int(Side.BID),
}
BOOK_TYPES: Final = frozenset(_SIDE)
"""Types of entries that name a price and a size that rests there."""

_RESET: Final = int(DomType.RESET)
_SETS: Final = frozenset({int(DomType.ASK), int(DomType.BID)})
_LEVEL: Final = {side: what_word(Kind.LEVEL, side, channel=DEPTH) for side in (1, -1)}
_QUOTE: Final = {side: what_word(Kind.QUOTE, side, channel=DEPTH) for side in (1, -1)}
_CLEAR: Final = what_word(Kind.CLEAR, channel=DEPTH)
_MAYBE_BAD, _VIEW = int(Flag.MAYBE_BAD), int(Flag.VIEW)


def clear_row(ts_event_ns: int = MISSING) -> Row:
    """Return the record that clears both sides."""
    return ts_event_ns, MISSING, MISSING, _CLEAR


class Levels:
    """The prices that stand in the book of one contract; keys are prices times the side, so the best is the last.

    >>> levels, rows = Levels(), []
    >>> for price in (99, 100):
    ...     levels.apply(DomType.ASK, price, 5, 0, rows)
    >>> levels.apply(DomType.BEST_BID, 99, 7, 0, rows)
    >>> [(price, qty_lots) for _, price, qty_lots, _ in rows[2:]]  # the ask at 99 cannot stand any more
    [(99, 0), (99, 7)]
    """

    __slots__ = ("asks", "bids", "levels_max", "touch")

    def __init__(self, levels_max: int = LEVELS_MAX) -> None:
        self.levels_max = levels_max
        self.bids = array("q")
        self.asks = array("q")
        self.touch = array("q", [MISSING, MISSING])  # keys known from a Best… entry alone: bid, ask

    @property
    def settled(self) -> bool:
        """Whether the book can be right: both sides stand, and do not cross."""
        return bool(self.bids and self.asks) and self.bids[-1] + self.asks[-1] < 0

    def clear(self) -> None:
        """Forget everything."""
        del self.bids[:], self.asks[:]
        self.touch[0] = self.touch[1] = MISSING

    def apply(self, dom_type: int, price: int, qty_lots: int, ts_event_ns: int, rows: list[Row]) -> None:
        """Apply one entry and append what it means to ``rows``."""
        side = _SIDE.get(dom_type)
        if side is None:
            if dom_type == _RESET:
                self.clear()
                rows.append(clear_row(ts_event_ns))
            return
        keys, s = (self.bids, 0) if side > 0 else (self.asks, 1)
        key = side * price
        place = bisect_left(keys, key)
        stands = place < len(keys) and keys[place] == key
        if dom_type in _SETS or qty_lots == 0:
            if self.touch[s] == key:
                self.touch[s] = MISSING
            if qty_lots == 0:
                if stands:
                    del keys[place]
            elif not stands:
                keys.insert(place, key)
            rows.append((ts_event_ns, price, qty_lots, _LEVEL[side]))
            return
        opposite = self.asks if side > 0 else self.bids
        while opposite and opposite[-1] >= -key:
            gone = opposite.pop()
            if self.touch[1 - s] == gone:
                self.touch[1 - s] = MISSING
            rows.append((ts_event_ns, -side * gone, 0, _LEVEL[-side] | _MAYBE_BAD))
        del keys[place + stands :]
        if self.touch[s] not in (MISSING, key):
            old = bisect_left(keys, self.touch[s])
            if old < len(keys) and keys[old] == self.touch[s]:
                del keys[old]
            self.touch[s] = MISSING
        if not stands:
            keys.append(key)
            self.touch[s] = key
        rows.append((ts_event_ns, price, qty_lots, _QUOTE[side]))

    def trim(self, ts_event_ns: int, rows: list[Row]) -> None:
        """Let the farthest levels go where a side holds too many."""
        for keys, side in ((self.bids, 1), (self.asks, -1)):
            n = len(keys) - self.levels_max
            if n > 0:
                rows += [(ts_event_ns, side * key, 0, _LEVEL[side] | _VIEW) for key in keys[:n]]
                del keys[:n]
