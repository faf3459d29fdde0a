"""The L3 book: orders by id in price-time priority, and the price levels that they make.

It takes every kind of event, so it serves tapes of orders, of levels and of quotes alike; what no known order accounts
for is a level's *anonymous* quantity.

Representation
    Levels as in :mod:`tapebook.book.ladder`. Orders are 32-byte records in a pool; a queue is a doubly linked list
    through the pool, oldest first; ids are found by open addressing (Fibonacci hashing, linear probing, at most half
    full, deletion by shifting back, so there are no tombstones).
Costs, in processor time on one core of an AMD EPYC (family 26), recordings tiled to 5 M events
    ES by orders (from its 8,725-order snapshot on) 35 ns an event, LOBSTER AMZN by orders 27 ns; on tapes of levels
    alone it is little slower than the ladder: Binance spot 47 ns, USD-M 24 ns. Add, cancel, execute and best are O(1)
    on average; a queue position walks the orders ahead.
Worst case
    A table of ids that must grow moves all of them (doubling: constant on average). An adversary who picks ids for one
    place of the table makes a look-up O(orders). Forgetting a level forgets its orders one by one.

The rules
---------
ADD        joins the back. An id that rests already is replaced (counted: repeated, or restated in a snapshot). Id 0
           joins the anonymous quantity.
CANCEL     takes ``qty_lots`` from the order wherever it rests; more than it has takes all (counted: over). An unknown
EXECUTE    id takes from the anonymous quantity at the event's price if there is enough, else is an orphan: counted,
           and the book stays. Nothing is ever guessed from another order.
MODIFY     price change or growth: to the back of the queue; smaller or equal: keeps its place (CME). With
           ``modify_rule="nasdaq"`` every MODIFY goes to the back (a NASDAQ replace). Unknown id: an ADD, as Databento
           documents. Quantity 0: a cancel.
LEVEL      is the level's whole quantity. Known orders stay as far as they fit; the newest give way first, because
           young orders are the ones that are cancelled unseen. Quantity 0 (also: the level left the view) forgets
           its orders.
QUOTE      is the best of its side: better levels go with their orders. A level that only a quote has told of goes
           with the next quote elsewhere, so a tape of quotes never shows stale depth. No price: the side is empty.
TOB        (flag) replaces the whole side by one anonymous level; without a price the side is empty, as Databento
           documents for venues that show only their touch.
CLEAR      forgets the side, or both.
INFO       (flag) is ignored: another record makes the change (Databento's F records are followed by C).

The book is observable after an event with LAST; crossed and locked states are counted there, and kept as told.

Sources: CME "MBO and MBP book management"; NASDAQ TotalView-ITCH 5.0, section 1.4.4 (replace); Databento,
"Limit order book construction" and "MBO snapshots"; hashing: Knuth, TAOCP vol. 3, section 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tapebook.book.memory import Level, Memory
from tapebook.book.statistics import BookStatistics
from tapebook.kernels.book_state import TICK
from tapebook.kernels.orders import fold_orders
from tapebook.kernels.queues import locate, locate_queue
from tapebook.market.events import MISSING, Events, Side
from tapebook.market.operators import State

__all__ = ["OrderBook", "QueuePosition", "RestingOrder"]

ModifyRule = Literal["cme", "nasdaq"]


@dataclass(frozen=True)
class RestingOrder:
    """An order in the book; ``price`` in 1e-9 units, ``qty_lots`` what is left of it."""

    order_id: int
    side: Side
    price: int
    qty_lots: int


@dataclass(frozen=True)
class QueuePosition:
    """What stands before an order at its level.

    ``anonymous_lots`` belongs to no known order, so whether it stands before or behind cannot be known (MISSING: its
    size neither): the true quantity ahead lies between ``lots_ahead`` and ``lots_ahead + anonymous_lots``.
    """

    orders_ahead: int
    lots_ahead: int
    anonymous_lots: int


class OrderBook:
    """The L3 book of one instrument.

    Parameters
    ----------
    tick_e9
        Price step in 1e-9 units; 0 where unknown (it is found out).
    instrument_id
        Whose events to fold; None takes all events as of one instrument.
    modify_rule
        ``"cme"``: a smaller MODIFY keeps its priority. ``"nasdaq"``: none does.

    Examples
    --------
    >>> from tapebook.market.events import Flag, Kind, empty_events
    >>> e = empty_events(3)
    >>> e["kind"], e["side"], e["flags"] = Kind.ADD, Side.BID, Flag.LAST
    >>> e["order_id"], e["price"], e["qty_lots"] = [7, 8, 9], 4_000_000_000_000, [5, 1, 2]
    >>> book = OrderBook(tick_e9=250_000_000)
    >>> book.advance(e)
    >>> book.best_bid
    Level(price=4000000000000, qty_lots=8, count=3)
    >>> book.queue_position(9)
    QueuePosition(orders_ahead=2, lots_ahead=6, anonymous_lots=0)
    """

    def __init__(self, *, tick_e9: int = 0, instrument_id: int | None = None, modify_rule: ModifyRule = "cme") -> None:
        self.memory = Memory(tick_e9=tick_e9, instrument_id=instrument_id, always_to_back=modify_rule == "nasdaq")

    def advance(self, events: Events) -> None:
        """Fold a block of events."""
        self.memory.fold(fold_orders, events)

    @property
    def best_bid(self) -> Level | None:
        """The highest bid, None if there is none."""
        return self.memory.best(0)

    @property
    def best_ask(self) -> Level | None:
        """The lowest ask, None if there is none."""
        return self.memory.best(1)

    def levels(self, side: Side, n: int | None = None) -> list[Level]:
        """Return the ``n`` best levels of a side (None: all), best first: the L2 view of this book."""
        return self.memory.levels(_index(side), n)

    def order(self, order_id: int) -> RestingOrder | None:
        """Return a resting order, None if it does not rest."""
        found = np.empty(6, np.int64)
        if not locate(*self.memory.arrays, _signed(order_id), found):
            return None
        side, x, qty = found[:3].tolist()
        return RestingOrder(order_id, Side(side), side * x * int(self.memory.arrays.head[TICK]), qty)

    def queue_position(self, order_id: int) -> QueuePosition | None:
        """Return what stands before an order, None if it does not rest. Costs a step for each order ahead."""
        found = np.empty(6, np.int64)
        if not locate(*self.memory.arrays, _signed(order_id), found):
            return None
        return QueuePosition(*found[3:6].tolist())

    def queue(self, side: Side, price: int) -> list[RestingOrder]:
        """Return the known orders at a price, oldest first."""
        tick = int(self.memory.arrays.head[TICK])
        if price == MISSING or tick == 0 or price % tick:
            return []
        ids = np.empty((2, self.memory.arrays.orders.size), np.int64)
        n = locate_queue(*self.memory.arrays, _index(side), int(side) * price // tick, ids)
        return [RestingOrder(k % (1 << 64), side, price, qty) for k, qty in ids[:, :n].T.tolist()]

    def check(self) -> None:
        """Raise :class:`~tapebook.market.errors.OrderBookError` unless every invariant holds.

        Pages sorted, best level best, no empty level, quantities and counts of levels the sums over their orders,
        queues linked both ways, every order in the table of ids. Bids may stand above asks: see
        ``statistics().crossed``.
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
        self.memory.restore(state, "order book")


def _index(side: Side) -> int:
    return 0 if side > 0 else 1


def _signed(order_id: int) -> int:
    """Return the int64 with the bits of a uint64.

    >>> _signed(2**64 - 5)
    -5
    """
    return order_id - (1 << 64) if order_id >= 1 << 63 else order_id
