"""The L2 ladder: quantities by price level, the best of each side always at hand.

Representation
    A level is a bit in a page of 64 ticks and a 32-byte record beside it. Pages are found by their number through a
    memo of 4,096 places (checked when used), else in the side's sorted directory; the last page of the directory holds
    the best level, which one machine instruction finds in the page's mask. Prices are taken times the side, so both
    sides are the same code. Emptied pages stay in the directory until room is needed, because levels come back.
Why not the obvious ones
    Processor time in ns an event, one core of an AMD EPYC (family 26), recordings tiled to two million level sets: ES
    (1,500 levels), LOBSTER AMZN (5 a side), Binance BTC-USDT spot (2,400 a side at a tick of 0.01) and USD-M (5,200).
    The prototypes only set, remove and keep the best; this file's figure includes every rule and counter.

    =================================================================  ====  ======  ======  =======
    structure                                                            ES    AMZN    spot    USD-M
    =================================================================  ====  ======  ======  =======
    sorted arrays, best at the end, doubling search from the touch       16      15      72       70
    the same, linear near the touch, then branchless halving             17      15      82       75
    sorted blocks of 64 levels below a directory                         23      20      55       52
    one array over the whole price range, with a bitmap                   5       9      20        9
    **pages of 64 ticks**                                                13      18      40       19
    pages, with a tick 1,000 times too fine                              22      25     279      109
    =================================================================  ====  ======  ======  =======

    (``benchmarks/book_structures.py``; all end in the same best prices.)
    Sorted arrays lose where updates come deep: half of all Binance updates are more than 100 levels from the touch,
    and an insertion 580 levels deep (their mean) moves 9 KB. The flat array is the fastest and cannot be had: its size
    is the price range (110 MB for spot), prices off its grid need a second structure, and the range moves. Pages keep
    most of its speed with no limit on price, range or tick.
Costs
    Set, add, take: one look into the memo and one record, no search. Best: nothing, it is kept. Removing the best
    level: one look into the mask, now and then into the page before.
Worst case
    A new page far from the touch shifts the directory, 4 bytes a page; with 1,500 pages a side that is why the sparse
    spot book costs twice the dense one. A tick far finer than the real price step makes a page of each level: still
    right, and the last line of the table.

A ladder reads LEVEL, QUOTE, CLEAR, and ADD, CANCEL, EXECUTE as differences of quantity (they carry price and quantity).
It cannot read MODIFY, which does not say what it replaces: those are skipped and counted, and a tape that has them
belongs into the book by orders (:mod:`tapebook.book.orders`), which reads everything that a ladder reads, 10-20 %
slower. Rules are the same there; a CANCEL or EXECUTE beyond the level's quantity removes the level (counted: over), one
where nothing rests is an orphan. The order count of a level is kept while it is told or only ADDs come; a take makes it
unknown, since it may be part of an order.
"""

from __future__ import annotations

from tapebook.book.memory import Level, Memory
from tapebook.book.statistics import BookStatistics
from tapebook.kernels.ladder import fold_ladder
from tapebook.market.events import Events, Side
from tapebook.market.operators import State

__all__ = ["Ladder"]


class Ladder:
    """The L2 book of one instrument.

    Parameters
    ----------
    tick_e9
        Price step in 1e-9 units; 0 where unknown (it is found out).
    instrument_id
        Whose events to fold; None takes all events as of one instrument.

    Examples
    --------
    >>> from tapebook.market.events import Flag, Kind, empty_events
    >>> e = empty_events(2)
    >>> e["kind"], e["flags"], e["side"] = Kind.LEVEL, Flag.LAST, [Side.BID, Side.ASK]
    >>> e["price"], e["qty_lots"], e["count"] = [220_510_000_000, 220_640_000_000], [100, 250], [1, 2]
    >>> ladder = Ladder()
    >>> ladder.advance(e)
    >>> ladder.best_bid, ladder.best_ask
    (Level(price=220510000000, qty_lots=100, count=1), Level(price=220640000000, qty_lots=250, count=2))
    """

    def __init__(self, *, tick_e9: int = 0, instrument_id: int | None = None) -> None:
        self.memory = Memory(tick_e9=tick_e9, instrument_id=instrument_id, orders=False)

    def advance(self, events: Events) -> None:
        """Fold a block of events."""
        self.memory.fold(fold_ladder, events)

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None if there is none."""
        return self.memory.best(0)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None if there is none."""
        return self.memory.best(1)

    def levels(self, side: Side, n: int | None = None) -> list[Level]:
        """Return the ``n`` best levels of a side (None: all), best first."""
        return self.memory.levels(0 if side > 0 else 1, n)

    def check(self) -> None:
        """Raise :class:`~tapebook.market.errors.OrderBookError` unless every invariant holds.

        Pages sorted, best level best, no empty level. Bids may stand above asks: see ``statistics().crossed``.
        """
        self.memory.check()

    def statistics(self) -> BookStatistics:
        """Return what was counted so far."""
        return self.memory.statistics()

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return self.memory.save()

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self.memory.restore(state, "ladder")
