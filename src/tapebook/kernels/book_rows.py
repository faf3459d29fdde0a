"""Views of a book: its levels best first, the touch after each event, N levels for each event or each sampled moment.

Faces: :mod:`tapebook.book.snapshots`, :mod:`tapebook.book.best`, :mod:`tapebook.features.touch`. A quantity, price or
count that is not there is MISSING.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel, lean_step
from tapebook.kernels.bits import highest_bit
from tapebook.kernels.book_state import BEST, EMPTY, N_PAGES, NEED, NOTHING, TICK, Book, Int
from tapebook.kernels.ladder import LAST
from tapebook.kernels.orders import apply_event
from tapebook.kernels.price_levels import find_level
from tapebook.market.events import MISSING

TS_COLUMNS = 3
"""A row of :func:`fold_snapshots` and :func:`fold_samples` starts with ts_ns, ts_event_ns, ts_recv_ns."""

EVERY, BUCKET, PENDING, WHOLE, SEEN_EVENT, SEEN_RECV, SAMPLER_SIZE = 0, 1, 2, 3, 4, 5, 6
"""Places in the state of :func:`fold_samples`: the step; the boundary that the last observable state belongs to;
whether that state awaits its row; whether the book is in that state now; its times."""


@lean_helper
def lots_of(b: Book, level: Int) -> Int:
    """Return a level's whole quantity."""
    anonymous = b.levels["anonymous_lots"][level]
    return MISSING if anonymous == MISSING else b.levels["known_lots"][level] + anonymous


@lean_helper
def count_of(b: Book, level: Int) -> Int:
    """Return how many orders stand at a level."""
    anonymous = np.int64(b.levels["anonymous_count"][level])
    return MISSING if anonymous < 0 else b.levels["known_count"][level] + anonymous


@lean_helper
def write_side(b: Book, s: Int, n_levels: Int, out: NDArray[np.int64], row: Int, column: Int, stride: Int) -> Int:
    """Write price, quantity and count of the best levels of a side into ``out[column:, row]``; return how many."""
    n = 0
    sign = 1 - 2 * s
    place = b.head[N_PAGES + s] - 1
    while n < n_levels and place >= 0:
        page = np.int64(b.directory[s, place])
        mask = b.pages["mask"][page]
        start = b.pages["number"][page] << 6
        while mask != 0 and n < n_levels:
            bit = highest_bit(mask)
            mask &= ~(np.int64(1) << bit)
            level = (page << 6) | bit
            at = column + n * stride
            out[at, row] = sign * (start + bit) * b.head[TICK]
            out[at + 1, row] = lots_of(b, level)
            out[at + 2, row] = count_of(b, level)
            n += 1
        place -= 1
    for i in range(n, n_levels):
        at = column + i * stride
        out[at, row] = MISSING
        out[at + 1, row] = MISSING
        out[at + 2, row] = MISSING
    return n


@lean_step
def write_levels(b: Book, n_levels: Int, out: NDArray[np.int64], row: Int, column: Int) -> None:
    """Write the best levels of both sides, bid then ask at each depth."""
    write_side(b, 0, n_levels, out, row, column, 6)
    write_side(b, 1, n_levels, out, row, column + 3, 6)


@lean_kernel
def read_side(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    s: Int,
    out: NDArray[np.int64],  # (3 * levels, 1): price, quantity and count of each
) -> Int:
    """Write a side's levels, best first, as far as ``out`` reaches; return how many there were."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    return write_side(b, s, out.shape[0] // 3, out, 0, 0, 3)


@lean_kernel
def fold_best(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    events: NDArray[Any],
    instrument_id: Int,
    start: Int,
    out: NDArray[np.int64],  # (events, 4)
) -> Int:
    """Fold ``events[start:]`` and write bid price and size, ask price and size as they stand after each of them."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    ids = events["instrument_id"]
    kinds = events["kind"]
    sides = events["side"]
    prices = events["price"]
    qtys = events["qty_lots"]
    order_ids = events["order_id"]
    counts = events["count"]
    flags = events["flags"]
    for i in range(start, events.size):
        if instrument_id < 0 or ids[i] == instrument_id:
            need = apply_event(
                b,
                np.int64(kinds[i]),
                np.int64(sides[i]),
                np.int64(prices[i]),
                np.int64(qtys[i]),
                np.int64(order_ids[i]),
                np.int64(counts[i]),
                np.int64(flags[i]),
            )
            if need != NOTHING:
                head[NEED] = need
                return i
        for s in range(2):
            x = head[BEST + s]
            if x == EMPTY:
                out[i, 2 * s] = MISSING
                out[i, 2 * s + 1] = 0
            else:
                out[i, 2 * s] = (1 - 2 * s) * x * head[TICK]
                out[i, 2 * s + 1] = lots_of(b, find_level(b, s, x))
    head[NEED] = NOTHING
    return events.size


@lean_kernel
def fold_snapshots(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    events: NDArray[Any],
    instrument_id: Int,
    start: Int,
    n_levels: Int,
    out: NDArray[np.int64],  # (3 + 6 * levels, rows)
    row: Int,
) -> tuple[Int, Int]:
    """Fold ``events[start:]`` and write a row after each observable one; return the next event and the next row."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    ids = events["instrument_id"]
    kinds = events["kind"]
    sides = events["side"]
    prices = events["price"]
    qtys = events["qty_lots"]
    order_ids = events["order_id"]
    counts = events["count"]
    flags = events["flags"]
    ts_event = events["ts_event_ns"]
    ts_recv = events["ts_recv_ns"]
    for i in range(start, events.size):
        if instrument_id >= 0 and ids[i] != instrument_id:
            continue
        need = apply_event(
            b,
            np.int64(kinds[i]),
            np.int64(sides[i]),
            np.int64(prices[i]),
            np.int64(qtys[i]),
            np.int64(order_ids[i]),
            np.int64(counts[i]),
            np.int64(flags[i]),
        )
        if need != NOTHING:
            head[NEED] = need
            return i, row
        if flags[i] & LAST:
            out[0, row] = ts_event[i] if ts_recv[i] == MISSING else ts_recv[i]
            out[1, row] = ts_event[i]
            out[2, row] = ts_recv[i]
            write_levels(b, n_levels, out, row, TS_COLUMNS)
            row += 1
    head[NEED] = NOTHING
    return events.size, row


@lean_kernel
def fold_samples(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    events: NDArray[Any],
    instrument_id: Int,
    start: Int,
    n_levels: Int,
    out: NDArray[np.int64],  # (3 + 6 * levels, rows)
    row: Int,
    clock: NDArray[np.int64],  # (events,): a clock that a damaged stamp cannot move
    state: NDArray[np.int64],  # SAMPLER_SIZE places
    kept: NDArray[np.int64],  # (6 * levels, 1): the last observable state while a message is under way
) -> tuple[Int, Int]:
    """Fold ``events[start:]`` and write a row for each boundary that has passed since the book was last observed."""
    b = Book(head, pages, levels, directory, memo, orders, table)
    ids = events["instrument_id"]
    kinds = events["kind"]
    sides = events["side"]
    prices = events["price"]
    qtys = events["qty_lots"]
    order_ids = events["order_id"]
    counts = events["count"]
    flags = events["flags"]
    every = state[EVERY]
    for i in range(start, events.size):
        if instrument_id >= 0 and ids[i] != instrument_id:
            continue
        now = clock[i]
        if state[PENDING] != 0 and now > state[BUCKET]:
            out[0, row] = state[BUCKET]
            out[1, row] = state[SEEN_EVENT]
            out[2, row] = state[SEEN_RECV]
            if state[WHOLE] != 0:
                write_levels(b, n_levels, out, row, TS_COLUMNS)
            else:
                for j in range(kept.shape[0]):
                    out[TS_COLUMNS + j, row] = kept[j, 0]
            row += 1
            state[PENDING] = 0
        last = flags[i] & LAST != 0
        if state[WHOLE] != 0 and not last:
            # A message of several records begins: what could be seen before it may still be asked for.
            if state[PENDING] != 0:
                write_levels(b, n_levels, kept, 0, 0)
            state[WHOLE] = 0
        need = apply_event(
            b,
            np.int64(kinds[i]),
            np.int64(sides[i]),
            np.int64(prices[i]),
            np.int64(qtys[i]),
            np.int64(order_ids[i]),
            np.int64(counts[i]),
            np.int64(flags[i]),
        )
        if need != NOTHING:
            head[NEED] = need
            return i, row
        if last:
            state[WHOLE] = 1
            if now != MISSING:
                behind = now % every
                state[BUCKET] = now if behind == 0 else now - behind + every
                state[PENDING] = 1
                state[SEEN_EVENT] = events["ts_event_ns"][i]
                state[SEEN_RECV] = events["ts_recv_ns"][i]
    head[NEED] = NOTHING
    return events.size, row
