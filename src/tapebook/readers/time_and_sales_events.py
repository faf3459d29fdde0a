"""Prints that come with the quote that stood before them become QUOTE and TRADE events.

Time & sales windows, Sierra Chart's tick export and the like write the best bid and ask beside every print. The quote
becomes two QUOTE records (bid, then ask with LAST) before the TRADE, and only where it differs from the quote of the
print before it: a quote that is repeated is no news, and a frozen one must be seen to be frozen. How many were repeated
is counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource, empty_events

LAST = np.uint16(Flag.LAST)


@dataclass(kw_only=True)
class Prints:
    """Some successive prints, one entry each; a missing number is MISSING."""

    ts_event_ns: NDArray[np.int64]
    price: NDArray[np.int64]
    qty_lots: NDArray[np.int64]
    side: NDArray[np.int8]
    bid: NDArray[np.int64] | None = None
    ask: NDArray[np.int64] | None = None
    bid_lots: NDArray[np.int64] | None = None
    ask_lots: NDArray[np.int64] | None = None
    sequence: NDArray[np.int64] | None = None  # of the print
    quote_sequence: NDArray[np.int64] | None = None
    instrument_id: NDArray[np.uint32] | int = 1


@dataclass
class QuotedTrades:
    """Remembers the last quote of each instrument and turns prints into events.

    Examples
    --------
    >>> one, two = np.array([5, 6]), np.array([1, 1], np.int8)
    >>> prints = Prints(ts_event_ns=one, price=one, qty_lots=one, side=two, bid=np.array([4, 4]), ask=np.array([5, 5]))
    >>> row, events = QuotedTrades().advance(prints)
    >>> [(Kind(k).name, int(p)) for k, p in zip(events["kind"], events["price"])], row.tolist()
    ([('QUOTE', 4), ('QUOTE', 5), ('TRADE', 5), ('TRADE', 6)], [0, 0, 0, 1])
    """

    repeated: int = 0  # prints whose quote was that of the print before, and made no event
    _last: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)

    def advance(self, prints: Prints, *, repeat: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.int64], Events]:
        """Return which print made each event, and the events.

        Parameters
        ----------
        prints
            The next prints.
        repeat
            Which prints give their quote whether it changed or not (because something else wrote to the book).
        """
        n = prints.ts_event_ns.size
        changed = self._changed(prints)
        if prints.bid is not None or prints.ask is not None:
            self.repeated += int(n - changed.sum())
        if repeat is not None:
            changed |= repeat
        per_print = np.where(changed, 3, 1)
        row = np.repeat(np.arange(n), per_print)
        at_trade = np.cumsum(per_print) - 1
        events = empty_events(row.size)
        events["ts_event_ns"] = prints.ts_event_ns[row]
        ids = prints.instrument_id
        events["instrument_id"] = ids if isinstance(ids, int) else ids[row]
        events["flags"] = LAST
        events["kind"] = Kind.TRADE
        events["price"][at_trade] = prints.price
        events["qty_lots"][at_trade] = prints.qty_lots
        events["side"][at_trade] = prints.side
        events["side_source"][at_trade] = np.where(prints.side != 0, np.uint8(SideSource.VENUE), np.uint8(0))
        if prints.sequence is not None:
            events["sequence"][at_trade] = prints.sequence
        at_bid = at_trade[changed] - 2
        for at, side, price, lots in (
            (at_bid, Side.BID, prints.bid, prints.bid_lots),
            (at_bid + 1, Side.ASK, prints.ask, prints.ask_lots),
        ):
            if not at.size:
                continue
            events["kind"][at] = Kind.QUOTE
            events["side"][at] = side
            events["price"][at] = price[changed] if price is not None else MISSING
            events["qty_lots"][at] = lots[changed] if lots is not None else MISSING
            if prints.quote_sequence is not None:
                events["sequence"][at] = prints.quote_sequence[changed]
        events["flags"][at_bid] = 0
        return row, events

    def _changed(self, prints: Prints) -> NDArray[np.bool_]:
        """Return for each print whether its quote is news."""
        n = prints.ts_event_ns.size
        if prints.bid is None and prints.ask is None:
            return np.zeros(n, np.bool_)
        none = np.full(n, MISSING, np.int64)
        columns = [c if c is not None else none for c in (prints.bid, prints.ask, prints.bid_lots, prints.ask_lots)]
        changed = np.zeros(n, np.bool_)
        ids = prints.instrument_id
        groups = {ids: slice(None)} if isinstance(ids, int) else {int(i): ids == i for i in np.unique(ids).tolist()}
        for key, which in groups.items():
            mine = np.zeros(changed[which].size, np.bool_)
            if not mine.size:
                continue
            before = self._last.get(key, (MISSING, MISSING, MISSING, MISSING))
            for column, old in zip(columns, before, strict=True):
                part = column[which]
                mine[0] |= bool(part[0] != old)
                mine[1:] |= part[1:] != part[:-1]
            self._last[key] = tuple(int(column[which][-1]) for column in columns)  # type: ignore[assignment]  # four
            changed[which] = mine
        return changed
