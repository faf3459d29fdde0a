"""Moving a book into larger arrays or onto a finer grid, and asking it whether it is sane.

Face: :mod:`tapebook.book.memory`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_kernel
from tapebook.kernels.bits import highest_bit
from tapebook.kernels.book_state import (
    BEST,
    EMPTY,
    MEMO,
    N_LEVELS,
    N_ORDERS,
    N_PAGES,
    QUOTED,
    TABLE_BITS,
    Book,
    Int,
)
from tapebook.kernels.price_levels import find_level, open_level
from tapebook.kernels.queues import find_order, home
from tapebook.market.events import MISSING


@lean_kernel
def move_levels(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    new_head: NDArray[np.int64],
    new_pages: NDArray[Any],
    new_levels: NDArray[Any],
    new_directory: NDArray[np.int32],
    new_memo: NDArray[np.int32],
    factor: Int,
) -> None:
    """Open every level in the new arrays, whose grid is ``factor`` times finer; orders stay and learn where to."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    new = Book(new_head, new_pages, new_levels, new_directory, new_memo, orders, table)
    for s in range(2):
        for j in range(head[N_PAGES + s]):
            page = np.int64(b.directory[s, j])
            mask = b.pages["mask"][page]
            while mask != 0:
                bit = highest_bit(mask)
                mask &= ~(np.int64(1) << bit)
                level = (page << 6) | bit
                there = open_level(new, s, ((b.pages["number"][page] << 6) | bit) * factor)
                new.levels["known_lots"][there] = b.levels["known_lots"][level]
                new.levels["anonymous_lots"][there] = b.levels["anonymous_lots"][level]
                new.levels["known_count"][there] = b.levels["known_count"][level]
                new.levels["anonymous_count"][there] = b.levels["anonymous_count"][level]
                new.levels["first"][there] = b.levels["first"][level]
                new.levels["last"][there] = b.levels["last"][level]
                k = np.int64(b.levels["first"][level])
                while k >= 0:
                    b.orders["level"][k] = there
                    k = np.int64(b.orders["newer"][k])
        new_head[QUOTED + s] = EMPTY if head[QUOTED + s] == EMPTY else head[QUOTED + s] * factor


@lean_kernel
def count_pages(head: NDArray[np.int64], pages: NDArray[Any], directory: NDArray[np.int32], factor: Int) -> Int:
    """Return how many pages the levels need on a grid that is ``factor`` times finer."""
    n = 0
    for s in range(2):
        before = EMPTY
        for j in range(head[N_PAGES + s] - 1, -1, -1):
            page = np.int64(directory[s, j])
            mask = pages["mask"][page]
            while mask != 0:
                bit = highest_bit(mask)
                mask &= ~(np.int64(1) << bit)
                number = (((pages["number"][page] << 6) | bit) * factor) >> 6
                if number != before:
                    n += 1
                    before = number
    return n


@lean_kernel
def rehash(orders: NDArray[Any], table: NDArray[np.int32], new_table: NDArray[np.int32], bits: Int) -> None:
    """Enter every order of ``table`` into a larger one of ``2 ** bits`` places."""
    mask = new_table.size - 1
    for j in range(table.size):
        k = np.int64(table[j])
        if k >= 0:
            at = home(orders["order_id"][k], bits)
            while new_table[at] >= 0:
                at = (at + 1) & mask
            new_table[at] = k


SANE = 0
UNSORTED_PAGES, WRONG_SIDE, EMPTY_LEVEL, WRONG_QUANTITY, WRONG_COUNT, BROKEN_QUEUE, LOST_ORDER, WRONG_BEST = range(1, 9)
WRONG_LEVEL_COUNT, WRONG_ORDER_COUNT, MEMO_OUT_OF_RANGE, TABLE_MISFIT = range(9, 13)


@lean_kernel
def check_book(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    where: NDArray[np.int64],
) -> Int:
    """Return SANE, or the first thing that is wrong; ``where`` is set to side, ``x`` and order of it."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    n_orders = 0
    for s in range(2):
        where[0] = s
        n_levels = 0
        best = EMPTY
        for j in range(head[N_PAGES + s]):
            page = np.int64(directory[s, j])
            if j > 0 and pages["number"][page] <= pages["number"][directory[s, j - 1]]:
                return UNSORTED_PAGES
            if pages["side"][page] != s:
                return WRONG_SIDE
            for bit in range(64):
                if (pages["mask"][page] >> bit) & 1 == 0:
                    continue
                level = (page << 6) | bit
                x = (pages["number"][page] << 6) | bit
                where[1] = x
                n_levels += 1
                best = max(best, x)
                if find_level(b, s, x) != level:
                    return UNSORTED_PAGES
                anonymous = levels["anonymous_lots"][level]
                if anonymous < 0 and anonymous != MISSING:
                    return WRONG_QUANTITY
                if anonymous == 0 and levels["known_count"][level] == 0:
                    return EMPTY_LEVEL
                lots = 0
                count = 0
                older = np.int64(-1)
                k = np.int64(levels["first"][level])
                while k >= 0:
                    where[2] = orders["order_id"][k]
                    if orders["older"][k] != older or orders["level"][k] != level:
                        return BROKEN_QUEUE
                    if orders["qty_lots"][k] <= 0:
                        return WRONG_QUANTITY
                    if find_order(b, orders["order_id"][k]) != k:
                        return LOST_ORDER
                    lots += orders["qty_lots"][k]
                    count += 1
                    older = k
                    k = np.int64(orders["newer"][k])
                if levels["last"][level] != older:
                    return BROKEN_QUEUE
                if lots != levels["known_lots"][level]:
                    return WRONG_QUANTITY
                if count != levels["known_count"][level]:
                    return WRONG_COUNT
                n_orders += count
        if n_levels != head[N_LEVELS + s]:
            return WRONG_LEVEL_COUNT
        if best != head[BEST + s]:
            return WRONG_BEST
        if head[N_PAGES + s] > 0 and pages["mask"][directory[s, head[N_PAGES + s] - 1]] == 0:
            return WRONG_BEST
        for j in range(MEMO):
            if memo[s, j] < 0 or memo[s, j] >= pages.size:
                return MEMO_OUT_OF_RANGE
    if n_orders != head[N_ORDERS]:
        return WRONG_ORDER_COUNT
    if orders.size > 0 and (table.size != 2 * orders.size or table.size != 1 << head[TABLE_BITS]):
        return TABLE_MISFIT
    return SANE
