"""The best bid and ask after each event of a block: what features and costs are computed from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.book.memory import Memory
from tapebook.book.statistics import BookStatistics
from tapebook.kernels.book_rows import fold_best
from tapebook.market.events import Events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import State

__all__ = ["BestBook"]


class BestBook:
    """A book of any kind of events that tells its touch after each of them.

    Parameters
    ----------
    instrument, instrument_id
        Whose book; events of others leave the touch as it is.

    Examples
    --------
    >>> from tapebook.market.events import Flag, Kind, empty_events
    >>> e = empty_events(2)
    >>> e["kind"], e["flags"], e["side"], e["instrument_id"] = Kind.QUOTE, [0, Flag.LAST], [1, -1], 1
    >>> e["price"], e["qty_lots"] = [99, 101], [5, 7]
    >>> BestBook(Instrument(symbol="X", venue="Y"), 1).advance(e).tolist()
    [[99, 5, -9223372036854775808, 0], [99, 5, 101, 7]]
    """

    def __init__(self, instrument: Instrument, instrument_id: int) -> None:
        self.memory = Memory(tick_e9=instrument.tick_e9, instrument_id=instrument_id)

    def advance(self, events: Events) -> NDArray[np.int64]:
        """Fold a block; return bid price, bid size, ask price, ask size after each of its events, as (events, 4).

        Prices are in 1e-9 units, sizes in lots. An empty side has the price MISSING and the size 0; a size that was
        not told is MISSING. Inside a message (before its LAST) the two sides may not belong together.
        """
        out = np.empty((events.size, 4), np.int64)
        self.memory.fold(fold_best, events, out)
        return out

    def statistics(self) -> BookStatistics:
        """Return what the book counted so far."""
        return self.memory.statistics()

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return self.memory.save()

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self.memory.restore(state, "best book")
