"""Orders by id and the queues they stand in: a hash of ids, linked lists through a pool.

A level's quantity is what its known orders hold and an anonymous rest; face and costs: :mod:`tapebook.book.orders`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel, lean_step
from tapebook.kernels.book_state import FREE_ORDER, N_ORDERS, N_PAGES, TABLE_BITS, Book, Int
from tapebook.kernels.price_levels import clear_side, close_level, find_level

_LOW = 0xFFFFFFFF


@lean_helper
def home(order_id: Int, bits: Int) -> Int:
    """Return where an id belongs in a table of ``2 ** bits`` places (Fibonacci hashing of both halves)."""
    # 31-bit factors: no product leaves int64, compiled or not.
    mixed = ((order_id & _LOW) * 1640531527) ^ (((order_id >> 32) & _LOW) * 1540483477)
    return (mixed & _LOW) >> (32 - bits)


@lean_helper
def find_order(b: Book, order_id: Int) -> Int:
    """Return the place of an order, or -1."""
    mask = b.table.size - 1
    at = home(order_id, b.head[TABLE_BITS])
    while True:
        k = np.int64(b.table[at])
        if k < 0 or b.orders["order_id"][k] == order_id:
            return k
        at = (at + 1) & mask


@lean_helper
def remember(b: Book, k: Int) -> None:
    """Enter order ``k`` into the table."""
    mask = b.table.size - 1
    at = home(b.orders["order_id"][k], b.head[TABLE_BITS])
    while b.table[at] >= 0:
        at = (at + 1) & mask
    b.table[at] = k


@lean_step
def drop_order(b: Book, k: Int) -> None:
    """Forget order ``k``, which has left its queue."""
    mask = b.table.size - 1
    bits = b.head[TABLE_BITS]
    hole = home(b.orders["order_id"][k], bits)
    while b.table[hole] != k:
        hole = (hole + 1) & mask
    # Move later entries of the run up, unless they stand between their home and the hole: no tombstones are needed.
    at = hole
    while True:
        at = (at + 1) & mask
        other = np.int64(b.table[at])
        if other < 0:
            break
        if ((at - home(b.orders["order_id"][other], bits)) & mask) >= ((at - hole) & mask):
            b.table[hole] = other
            hole = at
    b.table[hole] = -1
    b.orders["newer"][k] = b.head[FREE_ORDER]
    b.head[FREE_ORDER] = k
    b.head[N_ORDERS] -= 1


@lean_helper
def join(b: Book, k: Int, level: Int, qty: Int) -> None:
    """Put order ``k`` at the back of a level's queue."""
    last = np.int64(b.levels["last"][level])
    b.orders["qty_lots"][k] = qty
    b.orders["level"][k] = level
    b.orders["older"][k] = last
    b.orders["newer"][k] = -1
    if last < 0:
        b.levels["first"][level] = k
    else:
        b.orders["newer"][last] = k
    b.levels["last"][level] = k
    b.levels["known_lots"][level] += qty
    b.levels["known_count"][level] += 1


@lean_helper
def leave(b: Book, k: Int) -> None:
    """Take order ``k`` out of its queue."""
    level = np.int64(b.orders["level"][k])
    older = np.int64(b.orders["older"][k])
    newer = np.int64(b.orders["newer"][k])
    if older < 0:
        b.levels["first"][level] = newer
    else:
        b.orders["newer"][older] = newer
    if newer < 0:
        b.levels["last"][level] = older
    else:
        b.orders["older"][newer] = older
    b.levels["known_lots"][level] -= b.orders["qty_lots"][k]
    b.levels["known_count"][level] -= 1


@lean_helper
def side_of(b: Book, level: Int) -> Int:
    """Return 0 for a level of bids, 1 for one of asks."""
    return np.int64(b.pages["side"][level >> 6])


@lean_helper
def level_x(b: Book, level: Int) -> Int:
    """Return where a level stands."""
    return (b.pages["number"][level >> 6] << 6) | (level & 63)


@lean_helper
def close_if_empty(b: Book, s: Int, level: Int) -> None:
    """Close a level that holds nothing any more."""
    if b.levels["known_count"][level] == 0 and b.levels["anonymous_lots"][level] == 0:
        close_level(b, s, level)


@lean_step
def forget_queue(b: Book, level: Int) -> None:
    """Forget all known orders of a level, newest first; what is left of the level is the caller's business."""
    k = np.int64(b.levels["last"][level])
    while k >= 0:
        older = np.int64(b.orders["older"][k])
        leave(b, k)
        drop_order(b, k)
        k = older


@lean_step
def forget_side(b: Book, s: Int) -> None:
    """Forget all levels and orders of a side."""
    for j in range(b.head[N_PAGES + s]):
        page = np.int64(b.directory[s, j])
        mask = b.pages["mask"][page]
        for bit in range(64):
            if (mask >> bit) & 1:
                forget_queue(b, (page << 6) | bit)
    clear_side(b, s)


@lean_kernel
def locate(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    order_id: Int,
    out: NDArray[np.int64],
) -> bool:
    """Write side, ``x``, quantity, orders ahead, lots ahead and anonymous lots of a resting order; False: none."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    k = find_order(b, order_id)
    if k < 0:
        return False
    level = np.int64(orders["level"][k])
    out[0] = 1 - 2 * side_of(b, level)
    out[1] = level_x(b, level)
    out[2] = orders["qty_lots"][k]
    out[3] = 0
    out[4] = 0
    out[5] = levels["anonymous_lots"][level]
    ahead = np.int64(orders["older"][k])
    while ahead >= 0:
        out[3] += 1
        out[4] += orders["qty_lots"][ahead]
        ahead = np.int64(orders["older"][ahead])
    return True


@lean_kernel
def locate_queue(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    s: Int,
    x: Int,
    out: NDArray[np.int64],  # (2, orders)
) -> Int:
    """Write id and quantity of the known orders at a level, oldest first; return how many."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    level = find_level(b, s, x)
    n = 0
    if level >= 0:
        k = np.int64(levels["first"][level])
        while k >= 0:
            out[0, n] = orders["order_id"][k]
            out[1, n] = orders["qty_lots"][k]
            n += 1
            k = np.int64(orders["newer"][k])
    return n
