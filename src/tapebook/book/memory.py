"""The arrays of a book, how they grow, and what every book can be asked: best, levels, sanity, counts, its memory.

:class:`Ladder <tapebook.book.ladder.Ladder>`, :class:`OrderBook <tapebook.book.orders.OrderBook>` and the operators
share this. Kernels write only to the arrays they are given, so they stop at an event for which the room (pages of
levels, orders) or the grid does not suffice; :meth:`Memory.make_room` moves the book and the kernel goes on there.
Every move at least doubles what was short or divides the grid, so an event costs a constant on average, and none of
it can be seen from outside: levels, queues and rows do not depend on room or grid.

The grid. Levels lie on multiples of ``tick_e9``. It need not be known: it starts at what the instrument says (or at
the first price) and becomes the greatest common divisor of all prices seen. A tick that is finer than the prices'
real step costs speed, never correctness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.book.statistics import BookStatistics
from tapebook.kernels import book_room
from tapebook.kernels.book_rows import read_side
from tapebook.kernels.book_state import (
    ALWAYS_TO_BACK,
    BEST,
    COUNTS,
    EMPTY,
    FINER_TICK,
    FIRST_COUNT,
    FREE_ORDER,
    FREE_PAGE,
    HEAD_SIZE,
    MEMO,
    MORE_ORDERS,
    N_LEVELS,
    N_ORDERS,
    N_PAGES,
    NEED,
    NOTHING,
    QUOTED,
    TABLE_BITS,
    TICK,
    Book,
    chain,
    empty_book,
)
from tapebook.market.errors import OperatorError, OrderBookError
from tapebook.market.events import PRICE_SCALE, Events
from tapebook.market.operators import State, check_state

_PAGES: Final = 64  # of 64 ticks each: 160 KiB, enough for a book that moves within 4,096 ticks
_ORDERS: Final = 1024

_WRONG: Final = {
    book_room.UNSORTED_PAGES: "pages out of order or not to be found",
    book_room.WRONG_SIDE: "a page of the other side",
    book_room.EMPTY_LEVEL: "an empty level",
    book_room.WRONG_QUANTITY: "a level's quantity is not the sum of its orders, or not positive",
    book_room.WRONG_COUNT: "a level's count is not the number of its orders",
    book_room.BROKEN_QUEUE: "a queue's links do not agree",
    book_room.LOST_ORDER: "an order is in a queue but not in the table of ids",
    book_room.WRONG_BEST: "the best level is not the best",
    book_room.WRONG_LEVEL_COUNT: "the number of levels is wrong",
    book_room.WRONG_ORDER_COUNT: "the number of orders is wrong",
    book_room.MEMO_OUT_OF_RANGE: "the page memo points outside",
    book_room.TABLE_MISFIT: "the table of ids does not fit the orders",
}


@dataclass(frozen=True, slots=True)
class Level:
    """A price level. ``qty_lots`` is MISSING where a quote did not tell the size, ``count`` where nobody told it."""

    price: int
    qty_lots: int
    count: int


class Memory:
    """The arrays of one book of one instrument.

    Parameters
    ----------
    tick_e9
        Price step in 1e-9 units, 0 if unknown.
    instrument_id
        Whose events to fold; None: all events are of one instrument.
    orders
        Whether orders are kept by id.
    always_to_back
        Whether every MODIFY loses its priority.
    """

    def __init__(
        self, *, tick_e9: int, instrument_id: int | None, orders: bool = True, always_to_back: bool = False
    ) -> None:
        self.instrument_id = -1 if instrument_id is None else instrument_id
        self.arrays = empty_book(tick_e9=max(tick_e9, 0), n_pages=_PAGES, n_orders=_ORDERS if orders else 0)
        self.arrays.head[ALWAYS_TO_BACK] = int(always_to_back)
        self._where = np.zeros(3, np.int64)

    def fold(self, kernel: Callable[..., int], events: Events, *rest: NDArray[np.int64]) -> None:
        """Run a kernel over a block, making room where it asks for it."""
        start = 0
        while True:
            start = kernel(*self.arrays, events, self.instrument_id, start, *rest)
            if self.arrays.head[NEED] == NOTHING:
                return
            self.make_room(events, start)

    def make_room(self, events: Events, at: int) -> None:
        """Give the book what its kernel needs before ``events[at]``."""
        head = self.arrays.head
        if head[NEED] == MORE_ORDERS:
            self._more_orders()
            return
        tick = new_tick = int(head[TICK])
        if head[NEED] == FINER_TICK:
            new_tick = gcd(tick, int(events["price"][at])) or PRICE_SCALE
        self._move(new_tick, tick // new_tick if tick else 1)

    def _more_orders(self) -> None:
        book = self.arrays
        n = book.orders.size
        orders = np.zeros(2 * n, book.orders.dtype)
        orders[:n] = book.orders
        orders["newer"][n:] = chain(n, 2 * n)
        table = np.full(4 * n, -1, np.int32)
        book.head[FREE_ORDER] = n
        book.head[TABLE_BITS] += 1
        book_room.rehash(orders, book.table, table, int(book.head[TABLE_BITS]))
        self.arrays = book._replace(orders=orders, table=table)

    def _move(self, tick_e9: int, factor: int) -> None:
        book = self.arrays
        n_pages = _PAGES
        while n_pages < 2 * book_room.count_pages(book.head, book.pages, book.directory, factor):
            n_pages *= 2
        new = empty_book(tick_e9=tick_e9, n_pages=n_pages, n_orders=0)
        head = book.head.copy()
        for place in (TICK, FREE_PAGE, BEST, BEST + 1, QUOTED, QUOTED + 1, N_PAGES, N_PAGES + 1):
            head[place] = new.head[place]
        head[N_LEVELS : N_LEVELS + 2] = 0
        book_room.move_levels(*book, head, new.pages, new.levels, new.directory, new.memo, factor)
        self.arrays = Book(head, new.pages, new.levels, new.directory, new.memo, book.orders, book.table)

    def best(self, s: int) -> Level | None:
        """Return the best level of a side (0 bids, 1 asks)."""
        if self.arrays.head[BEST + s] == EMPTY:
            return None
        return self.levels(s, 1)[0]

    def levels(self, s: int, n: int | None) -> list[Level]:
        """Return the ``n`` best levels of a side (None: all), best first."""
        out = np.empty((3 * (self.n_levels(s) if n is None else max(n, 0)), 1), np.int64)
        found = read_side(*self.arrays, s, out)
        return [Level(*row) for row in out.reshape(-1, 3)[:found].tolist()]

    def n_levels(self, s: int) -> int:
        """How many levels a side has."""
        return int(self.arrays.head[N_LEVELS + s])

    def check(self) -> None:
        """Raise :class:`OrderBookError` unless every invariant holds."""
        code = book_room.check_book(*self.arrays, self._where)
        if code != book_room.SANE:
            s, x, order = self._where.tolist()
            price = (1 - 2 * s) * x * int(self.arrays.head[TICK])
            raise OrderBookError(
                _WRONG[code],
                where=f"{'ask' if s else 'bid'} side, price {price} e-9, order {order % (1 << 64)}",
                remedy="this is a fault of the book, not of the data: report it with the events that led here",
            )

    def statistics(self) -> BookStatistics:
        """Return what was counted so far and how large the book is."""
        head = self.arrays.head.tolist()
        counted = dict(zip(COUNTS, head[FIRST_COUNT:], strict=False))
        return BookStatistics(
            **counted, n_bid_levels=head[N_LEVELS], n_ask_levels=head[N_LEVELS + 1], n_orders=head[N_ORDERS]
        )

    def save(self) -> State:
        """Return a copy of the arrays."""
        return {name: array.copy() for name, array in self.arrays._asdict().items()}

    def restore(self, state: State, who: str) -> None:
        """Take up arrays that :meth:`save` returned."""
        check_state(state, self.arrays._asdict(), who)
        book = Book(**{name: state[name].copy() for name in Book._fields})
        n_pages, n_orders = book.pages.size, book.orders.size
        shapes = (book.head.shape, book.levels.shape, book.directory.shape, book.memo.shape, book.table.shape)
        wanted = ((HEAD_SIZE,), (64 * n_pages,), (2, n_pages), (2, MEMO), (2 * n_orders,))
        if shapes != wanted or (n_orders > 0) != (self.arrays.orders.size > 0):
            raise OperatorError(
                f"{who}: saved state does not fit",
                expected=f"shapes {wanted}",
                found=f"{shapes}",
                remedy="restore what save() of the same operator with the same parameters returned",
            )
        self.arrays = book
