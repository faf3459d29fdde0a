"""Price levels in pages of 64 ticks: find one, open it, close it, keep the best.

How they lie in arrays: :mod:`tapebook.kernels.book_state`; why so, and what it costs: :mod:`tapebook.book.ladder`.
"""

from __future__ import annotations

import numpy as np

from tapebook.kernels import lean_helper, lean_step
from tapebook.kernels.bits import highest_bit
from tapebook.kernels.book_state import (
    BEST,
    EMPTY,
    FREE_PAGE,
    LOTS_MAX,
    MEMO,
    N_BAD_QUANTITIES,
    N_CROSSED,
    N_LEVELS,
    N_LOCKED,
    N_OBSERVED,
    N_PAGES,
    QUOTED,
    Book,
    Int,
)
from tapebook.market.events import MISSING


@lean_helper
def place_of(b: Book, s: Int, number: Int) -> Int:
    """Return the place in the directory of the first page with at least this number, looking from the touch."""
    place = b.head[N_PAGES + s]
    step = 1
    # Doubling steps away from the touch, then halving: near pages, which are asked for most, take one or two looks.
    low = place - 1
    while low >= 0 and b.pages["number"][b.directory[s, low]] >= number:
        place = low
        low -= step
        step += step
    low = max(low, -1)
    while place - low > 1:
        middle = (low + place) >> 1
        if b.pages["number"][b.directory[s, middle]] >= number:
            place = middle
        else:
            low = middle
    return place


@lean_helper
def memo_slot(number: Int) -> Int:
    """Return where ``memo`` keeps a page number; folded, so that strides of 4096 pages do not collide."""
    return (number ^ (number >> 12) ^ (number >> 24)) & (MEMO - 1)


@lean_step
def look_up_page(b: Book, s: Int, number: Int) -> Int:
    """Return the id of a page that the memo does not know, or -1; the memo knows it from now on."""
    place = place_of(b, s, number)
    if place == b.head[N_PAGES + s]:
        return -1
    page = b.directory[s, place]
    if b.pages["number"][page] != number:
        return -1
    b.memo[s, memo_slot(number)] = page
    return page


@lean_helper
def find_page(b: Book, s: Int, number: Int) -> Int:
    """Return the id of the page of this number, or -1."""
    page = np.int64(b.memo[s, memo_slot(number)])
    if b.pages["number"][page] == number and b.pages["side"][page] == s:
        return page
    return look_up_page(b, s, number)


@lean_helper
def find_level(b: Book, s: Int, x: Int) -> Int:
    """Return the id of level ``x``, or -1."""
    page = find_page(b, s, x >> 6)
    if page < 0 or (b.pages["mask"][page] >> (x & 63)) & 1 == 0:
        return -1
    return (page << 6) | (x & 63)


@lean_step
def open_page(b: Book, s: Int, number: Int) -> Int:
    """Make the absent page of this number and return its id. One page must be unused."""
    page = b.head[FREE_PAGE]
    b.head[FREE_PAGE] = b.pages["next"][page]
    b.pages["number"][page] = number
    b.pages["mask"][page] = 0
    b.pages["side"][page] = s
    place = place_of(b, s, number)
    for j in range(b.head[N_PAGES + s], place, -1):
        b.directory[s, j] = b.directory[s, j - 1]
    b.directory[s, place] = page
    b.head[N_PAGES + s] += 1
    b.memo[s, memo_slot(number)] = page
    return page


@lean_step
def open_level(b: Book, s: Int, x: Int) -> Int:
    """Make the absent level ``x`` and return its id. One page must be unused."""
    page = find_page(b, s, x >> 6)
    if page < 0:
        page = open_page(b, s, x >> 6)
    b.pages["mask"][page] |= np.int64(1) << (x & 63)
    level = (page << 6) | (x & 63)
    b.levels["known_lots"][level] = 0
    b.levels["anonymous_lots"][level] = 0
    b.levels["known_count"][level] = 0
    b.levels["anonymous_count"][level] = 0
    b.levels["first"][level] = -1
    b.levels["last"][level] = -1
    b.head[N_LEVELS + s] += 1
    b.head[BEST + s] = max(b.head[BEST + s], x)
    return level


@lean_helper
def free_page(b: Book, page: Int) -> None:
    """Put a page into the chain of unused ones; the directory must have dropped it."""
    b.pages["side"][page] = -1
    b.pages["next"][page] = b.head[FREE_PAGE]
    b.head[FREE_PAGE] = page


@lean_step
def find_best(b: Book, s: Int) -> None:
    """Find the best level anew, putting emptied pages at the touch back into the chain of unused ones."""
    n_pages = b.head[N_PAGES + s]
    best = EMPTY
    while n_pages > 0:
        page = b.directory[s, n_pages - 1]
        if b.pages["mask"][page] != 0:
            best = (b.pages["number"][page] << 6) | highest_bit(b.pages["mask"][page])
            break
        free_page(b, page)
        n_pages -= 1
    b.head[N_PAGES + s] = n_pages
    b.head[BEST + s] = best


@lean_step
def close_level(b: Book, s: Int, level: Int) -> None:
    """Take a level out of the book; its orders must have left before."""
    page = level >> 6
    b.pages["mask"][page] &= ~(np.int64(1) << (level & 63))
    b.head[N_LEVELS + s] -= 1
    x = (b.pages["number"][page] << 6) | (level & 63)
    if x == b.head[BEST + s]:
        find_best(b, s)
    if x == b.head[QUOTED + s]:
        b.head[QUOTED + s] = EMPTY


@lean_step
def clear_side(b: Book, s: Int) -> None:
    """Forget all levels of a side; their orders must have left before."""
    for j in range(b.head[N_PAGES + s]):
        free_page(b, b.directory[s, j])
    b.head[N_PAGES + s] = 0
    b.head[N_LEVELS + s] = 0
    b.head[BEST + s] = EMPTY
    b.head[QUOTED + s] = EMPTY


@lean_step
def set_anonymous(b: Book, s: Int, x: Int, qty: Int, count: Int) -> None:
    """Set a level without known orders; 0 closes it, MISSING only makes sure that it is there."""
    level = find_level(b, s, x)
    if qty == 0:
        if level >= 0:
            close_level(b, s, level)
        return
    if level < 0:
        level = open_level(b, s, x)
    elif qty == MISSING:
        return
    b.levels["anonymous_lots"][level] = qty
    b.levels["anonymous_count"][level] = count


@lean_step
def join_anonymous(b: Book, s: Int, x: Int, qty: Int) -> None:
    """Let an order without id join a level."""
    level = find_level(b, s, x)
    if level < 0:
        level = open_level(b, s, x)
    lots = b.levels["anonymous_lots"][level]
    if lots > LOTS_MAX - qty:
        b.head[N_BAD_QUANTITIES] += 1
        return
    if lots != MISSING:
        b.levels["anonymous_lots"][level] = lots + qty
    if b.levels["anonymous_count"][level] >= 0:
        b.levels["anonymous_count"][level] += 1
    if x == b.head[QUOTED + s]:
        b.head[QUOTED + s] = EMPTY


@lean_helper
def observe(b: Book) -> None:
    """Count a state in which the book may be looked at."""
    b.head[N_OBSERVED] += 1
    bid = b.head[BEST]
    ask = b.head[BEST + 1]
    if EMPTY not in (bid, ask):
        if bid > -ask:
            b.head[N_CROSSED] += 1
        elif bid == -ask:
            b.head[N_LOCKED] += 1
