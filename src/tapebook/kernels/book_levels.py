"""The best levels of both sides as they could be observed around each event: pass one of everything that reads depth.

A *view* is a row of ``4 * n_levels`` numbers: bid prices, bid sizes, ask prices, ask sizes, best first. As in
:mod:`tapebook.kernels.touch`, a level that is not there has the price MISSING and the size 0, a size that the source
did not tell is MISSING, and inside a venue message the view stands still. Most events leave the view as it is, so a
block is told as the few views it goes through and, for each event, which of them stands after it.

A side is read again only where an event may have changed it. A level set, an order's coming or going beyond the deepest
level of the view cannot; measured on a Binance book of 5,200 levels a side, that is most of the tape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel, lean_step
from tapebook.kernels.bits import highest_bit
from tapebook.kernels.book_rows import lots_of
from tapebook.kernels.book_state import (
    N_MISPLACED,
    N_PAGES,
    N_REPEATED_ADDS,
    N_RESTATED_ADDS,
    NEED,
    NOTHING,
    TICK,
    Book,
    Int,
)
from tapebook.kernels.ladder import ADD, CANCEL, EXECUTE, LAST, LEVEL, QUOTE, STATUS, TOB, TRADE
from tapebook.kernels.orders import apply_event
from tapebook.kernels.touch import breaks
from tapebook.market.events import MISSING

SEEN_THREAD, SEEN_BREAK, SEEN_DIRTY, SEEN_N = 0, 1, 2, 3
"""Places in the state of :func:`fold_levels`: the thread, whether it breaks with the next observation, which sides have
to be read then (1 bids, 2 asks); and how many there are."""

_BIDS, _ASKS, _BOTH = 1, 2, 3


@lean_step
def read_best(b: Book, s: Int, n_levels: Int, views: NDArray[np.int64], row: Int) -> None:
    """Write prices and sizes of the best levels of a side into a view."""
    n = 0
    sign = 1 - 2 * s
    at = 2 * s * n_levels
    place = b.head[N_PAGES + s] - 1
    while n < n_levels and place >= 0:
        page = np.int64(b.directory[s, place])
        mask = b.pages["mask"][page]
        start = b.pages["number"][page] << 6
        while mask != 0 and n < n_levels:
            bit = highest_bit(mask)
            mask &= ~(np.int64(1) << bit)
            views[row, at + n] = sign * (start + bit) * b.head[TICK]
            views[row, at + n_levels + n] = lots_of(b, (page << 6) | bit)
            n += 1
        place -= 1
    for i in range(n, n_levels):
        views[row, at + i] = MISSING
        views[row, at + n_levels + i] = 0


@lean_helper
def misfits(head: NDArray[np.int64]) -> Int:
    """Return how many events so far changed another level than the one they name."""
    return head[N_MISPLACED] + head[N_REPEATED_ADDS] + head[N_RESTATED_ADDS]


@lean_helper
def touched(kind: Int, side: Int, price: Int, flag: Int, n_levels: Int, views: NDArray[np.int64], row: Int) -> Int:
    """Return which sides an event that changed the level it names, or none, may have changed within the view."""
    if kind in (TRADE, STATUS):
        return 0
    if kind == QUOTE or flag & TOB:
        return _BIDS if side > 0 else (_ASKS if side < 0 else _BOTH)
    if kind in (LEVEL, ADD, CANCEL, EXECUTE):
        if side == 0:
            return _BOTH
        deepest = views[row, n_levels - 1 if side > 0 else 3 * n_levels - 1]
        # A side that does not fill the view has no deepest level: whatever comes may enter it.
        if deepest != MISSING and (price < deepest if side > 0 else price > deepest):
            return 0
        return _BIDS if side > 0 else _ASKS
    return _BOTH


@lean_kernel
def fold_levels(
    head: NDArray[np.int64],
    pages: NDArray[Any],
    levels: NDArray[Any],
    directory: NDArray[np.int32],
    memo: NDArray[np.int32],
    orders: NDArray[Any],
    table: NDArray[np.int32],
    events: NDArray[Any],  # of one instrument
    start: Int,
    stop: Int,
    n_levels: Int,
    row: Int,  # the view that stands now
    state: NDArray[np.int64],  # SEEN_N places
    views: NDArray[np.int64],  # (1 + events, 4 * levels)
    which: NDArray[np.int64],  # (events,): the row of the view that stands after each event
    thread: NDArray[np.int64],  # (events,): its thread; views of different threads must not be compared
    offset: Int,  # the event whose place in ``which`` and ``thread`` is the first
) -> tuple[Int, Int]:
    """Fold ``events[start:stop]`` and tell the view after each; return the next event and the view that stands.

    The next event is ``stop``, or one for which the book needs something first (``head[NEED]``).
    """
    b = Book(head, pages, levels, directory, memo, orders, table)
    kinds = events["kind"]
    sides = events["side"]
    prices = events["price"]
    qtys = events["qty_lots"]
    order_ids = events["order_id"]
    counts = events["count"]
    flags = events["flags"]
    details = events["detail"]
    dirty = state[SEEN_DIRTY]
    odd = misfits(head)
    for i in range(start, stop):
        kind = np.int64(kinds[i])
        side = np.int64(sides[i])
        price = np.int64(prices[i])
        flag = np.int64(flags[i])
        need = apply_event(b, kind, side, price, np.int64(qtys[i]), np.int64(order_ids[i]), np.int64(counts[i]), flag)
        if need != NOTHING:
            head[NEED] = need
            state[SEEN_DIRTY] = dirty
            return i, row
        if misfits(head) != odd:
            odd = misfits(head)
            dirty = _BOTH
        else:
            dirty |= touched(kind, side, price, flag, n_levels, views, row)
        if breaks(kind, flag, np.int64(details[i])):
            state[SEEN_BREAK] = 1
        if flag & LAST:
            if dirty != 0:
                new = row + 1
                for s in range(2):
                    if dirty & (1 << s):
                        read_best(b, s, n_levels, views, new)
                    else:
                        for j in range(2 * s * n_levels, 2 * (s + 1) * n_levels):
                            views[new, j] = views[row, j]
                for j in range(4 * n_levels):
                    if views[new, j] != views[row, j]:
                        row = new
                        break
                dirty = 0
            state[SEEN_THREAD] += state[SEEN_BREAK]
            state[SEEN_BREAK] = 0
        which[i - offset] = row
        thread[i - offset] = state[SEEN_THREAD]
    head[NEED] = NOTHING
    state[SEEN_DIRTY] = dirty
    return stop, row
