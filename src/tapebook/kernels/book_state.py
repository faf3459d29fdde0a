"""How a book lies in plain arrays: what the kernels of the ladder, the orders and the views of both agree on.

Both sides are stored alike. A level stands at ``x = side * price / tick``, so that the best level of either side has
the greatest ``x``; ``s`` is 0 for bids and 1 for asks. Level ``x`` is bit ``x % 64`` of the page numbered ``x // 64``.

===========  =========================================================================================================
head         int64: the grid, the best level of each side, sizes, and what was counted (the constants below)
pages        :data:`PAGE`: number, mask of occupied levels, side; unused ones hang in a chain
levels       :data:`LEVEL`, 64 for each page
directory    int32[2, pages]: page ids of each side by rising number. Emptied pages stay until the room is needed
             (levels come and go at the same prices), except at the touch: the last page holds the best level
memo         int32[2, 4096]: where a page number was last found; checked when used, so nothing ever clears it
orders       :data:`ORDER`; unused ones hang in a chain. A ladder has none
table        int32[power of 2]: open addressing by order id; an order's place or -1
===========  =========================================================================================================

A kernel writes only to the arrays it is given. So it stops before an event for which the room or the grid does not
suffice, says in ``head[NEED]`` what it needs, and returns that event's place: the face makes room and goes on there.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import MISSING

LEVEL: Final = np.dtype(
    [
        ("known_lots", "<i8"),  # in orders known by id
        ("anonymous_lots", "<i8"),  # in no known order; MISSING: a quote did not tell its size
        ("known_count", "<i4"),
        ("anonymous_count", "<i4"),  # -1: unknown
        ("first", "<i4"),  # oldest known order, -1 none
        ("last", "<i4"),
    ]
)
"""32 bytes: two levels in a cache line."""

PAGE: Final = np.dtype([("number", "<i8"), ("mask", "<i8"), ("side", "<i4"), ("next", "<i4")])
"""``side``: 0 bids, 1 asks, -1 unused. ``next``: the unused page after this one."""

ORDER: Final = np.dtype(
    [
        ("order_id", "<i8"),  # the bits of the venue's uint64: numba makes a float of uint64 + int64
        ("qty_lots", "<i8"),
        ("level", "<i4"),
        ("older", "<i4"),  # the order ahead in the queue, -1 none
        ("newer", "<i4"),  # the order behind; of an unused one, the next unused
        ("unused", "<i4"),
    ]
)
"""32 bytes: two orders in a cache line."""

EMPTY: Final = MISSING
"""Best ``x`` of an empty side: below every level."""
LOTS_MAX: Final = 1 << 61
"""A larger quantity is a bad one: sums stay inside int64."""
MEMO: Final = 4096

# Places in ``head``. Two-sided ones are followed by the ask side's.
TICK, NEED, FREE_PAGE, FREE_ORDER = 0, 1, 2, 3
BEST, QUOTED, N_PAGES, N_LEVELS = 4, 6, 8, 10
N_ORDERS, TABLE_BITS, ALWAYS_TO_BACK = 12, 13, 14

# What a kernel can need before it goes on.
NOTHING, MORE_PAGES, MORE_ORDERS, FINER_TICK = 0, 1, 2, 3

COUNTS: Final = (
    "events",
    "observed",
    "trades",
    "levels_set",
    "quotes",
    "adds",
    "cancels",
    "modifies",
    "executions",
    "clears",
    "told_only",
    "crossed",
    "locked",
    "bad_kinds",
    "bad_sides",
    "bad_prices",
    "bad_quantities",
    "orphan_cancels",
    "orphan_executions",
    "over_cancels",
    "over_executions",
    "anonymous_takes",
    "repeated_adds",
    "restated_adds",
    "unknown_modifies",
    "modifies_to_nothing",
    "skipped_modifies",
    "misplaced",
    "forgotten_orders",
)
"""What is counted from ``head[FIRST_COUNT]`` on; meanings in :class:`tapebook.book.statistics.BookStatistics`."""
FIRST_COUNT: Final = 16
N_EVENTS, N_OBSERVED, N_TRADES = 16, 17, 18
N_LEVELS_SET, N_QUOTES, N_ADDS, N_CANCELS, N_MODIFIES, N_EXECUTIONS, N_CLEARS = 19, 20, 21, 22, 23, 24, 25
N_TOLD_ONLY, N_CROSSED, N_LOCKED = 26, 27, 28
N_BAD_KINDS, N_BAD_SIDES, N_BAD_PRICES, N_BAD_QUANTITIES = 29, 30, 31, 32
N_ORPHAN_CANCELS, N_ORPHAN_EXECUTIONS, N_OVER_CANCELS, N_OVER_EXECUTIONS = 33, 34, 35, 36
N_ANONYMOUS_TAKES, N_REPEATED_ADDS, N_RESTATED_ADDS = 37, 38, 39
N_UNKNOWN_MODIFIES, N_MODIFIES_TO_NOTHING, N_SKIPPED_MODIFIES = 40, 41, 42
N_MISPLACED, N_FORGOTTEN_ORDERS = 43, 44
HEAD_SIZE: Final = 48


Int: TypeAlias = Any
"""A whole number inside a kernel: int64 compiled, numpy's or Python's where kernels run uncompiled."""


class Book(NamedTuple):
    """The arrays of one book. Inside lean kernels the tuple dissolves; it costs nothing there."""

    head: NDArray[np.int64]
    pages: NDArray[Any]
    levels: NDArray[Any]
    directory: NDArray[np.int32]
    memo: NDArray[np.int32]
    orders: NDArray[Any]
    table: NDArray[np.int32]


def empty_book(*, tick_e9: int, n_pages: int, n_orders: int) -> Book:
    """Return a book without levels; ``n_orders`` (a power of two, or 0 for a ladder) and ``n_pages`` are its room."""
    head = np.zeros(HEAD_SIZE, np.int64)
    head[TICK] = tick_e9
    head[BEST : BEST + 2] = EMPTY
    head[QUOTED : QUOTED + 2] = EMPTY
    head[TABLE_BITS] = max(2 * n_orders, 1).bit_length() - 1
    head[FREE_ORDER] = 0 if n_orders else -1
    pages = np.zeros(n_pages, PAGE)
    pages["side"] = -1
    pages["next"] = chain(0, n_pages)
    orders = np.zeros(n_orders, ORDER)
    orders["newer"] = chain(0, n_orders)
    return Book(
        head,
        pages,
        np.zeros(n_pages * 64, LEVEL),
        np.zeros((2, n_pages), np.int32),
        np.zeros((2, MEMO), np.int32),
        orders,
        np.full(2 * n_orders, -1, np.int32),
    )


def chain(start: int, stop: int) -> NDArray[np.int32]:
    """Return for each place from ``start`` on the one after it, and -1 for the last.

    >>> chain(2, 5).tolist()
    [3, 4, -1]
    """
    following = np.arange(start + 1, stop + 1, dtype=np.int32)
    following[stop - start - 1 :] = -1
    return following
