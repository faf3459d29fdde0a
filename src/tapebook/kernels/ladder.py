"""Events folded into a ladder of price levels (face and rules: :mod:`tapebook.book.ladder`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel
from tapebook.kernels.book_state import (
    BEST,
    EMPTY,
    FINER_TICK,
    FREE_PAGE,
    LOTS_MAX,
    MORE_PAGES,
    N_ADDS,
    N_ANONYMOUS_TAKES,
    N_BAD_KINDS,
    N_BAD_PRICES,
    N_BAD_QUANTITIES,
    N_BAD_SIDES,
    N_CANCELS,
    N_CLEARS,
    N_EVENTS,
    N_EXECUTIONS,
    N_LEVELS_SET,
    N_ORPHAN_CANCELS,
    N_ORPHAN_EXECUTIONS,
    N_OVER_CANCELS,
    N_OVER_EXECUTIONS,
    N_QUOTES,
    N_SKIPPED_MODIFIES,
    N_TOLD_ONLY,
    N_TRADES,
    NEED,
    NOTHING,
    QUOTED,
    TICK,
    Book,
    Int,
)
from tapebook.kernels.price_levels import clear_side, close_level, find_level, join_anonymous, observe, set_anonymous
from tapebook.market.events import MISSING, Flag, Kind

ADD, CANCEL, CLEAR, EXECUTE, LEVEL, MODIFY = (
    int(k) for k in (Kind.ADD, Kind.CANCEL, Kind.CLEAR, Kind.EXECUTE, Kind.LEVEL, Kind.MODIFY)
)
QUOTE, STATUS, TRADE = int(Kind.QUOTE), int(Kind.STATUS), int(Kind.TRADE)
INFO, LAST, TOB = int(Flag.INFO), int(Flag.LAST), int(Flag.TOB)
_COUNT_MAX = 1 << 30

GO_ON, CLEAR_SIDES, SIDE_IS_EMPTY = -1, -2, -3
"""What :func:`precheck` leaves to do; other answers are needs, or NOTHING where the event is settled."""


@lean_helper
def told_count(count: Int) -> Int:
    """Return an event's order count as levels keep it: -1 where it was not told, or is beyond belief."""
    return -1 if count > _COUNT_MAX else np.int64(count)


@lean_helper
def precheck(b: Book, kind: Int, side: Int, price: Int, qty: Int, flag: Int) -> Int:
    """Settle what does not depend on the sort of book, and say what is left to do."""
    if kind == TRADE:
        b.head[N_TRADES] += 1
        return NOTHING
    if kind == STATUS:
        return NOTHING
    if flag & INFO:
        b.head[N_TOLD_ONLY] += 1
        return NOTHING
    if kind == CLEAR:
        b.head[N_CLEARS] += 1
        return CLEAR_SIDES
    if kind < LEVEL or kind > EXECUTE:
        b.head[N_BAD_KINDS] += 1
        return NOTHING
    if side not in (1, -1):
        b.head[N_BAD_SIDES] += 1
        return NOTHING
    if price == MISSING:
        if kind == QUOTE or flag & TOB:
            b.head[N_QUOTES] += 1
            return SIDE_IS_EMPTY
        b.head[N_BAD_PRICES] += 1
        return NOTHING
    if qty > LOTS_MAX or (qty < 0 and not (kind == QUOTE and qty == MISSING)):
        b.head[N_BAD_QUANTITIES] += 1
        return NOTHING
    if qty == 0 and kind in (ADD, CANCEL, EXECUTE):
        b.head[N_BAD_QUANTITIES] += 1
        return NOTHING
    tick = b.head[TICK]
    if tick == 0 or price % tick != 0:
        return FINER_TICK
    if b.head[FREE_PAGE] < 0:
        return MORE_PAGES
    return GO_ON


@lean_helper
def change_ladder(b: Book, kind: Int, s: Int, x: Int, qty: Int, count: Int, flag: Int) -> None:
    """Apply a checked event to a ladder."""
    head = b.head
    if flag & TOB:
        clear_side(b, s)
        if kind != LEVEL:  # an order at the touch of a venue that shows no more: it says nothing of other orders
            kind, count = LEVEL, -1
    if kind == LEVEL:
        head[N_LEVELS_SET] += 1
        set_anonymous(b, s, x, qty, count)
        if x == head[QUOTED + s]:
            head[QUOTED + s] = EMPTY
    elif kind == QUOTE:
        head[N_QUOTES] += 1
        while head[BEST + s] > x:
            close_level(b, s, find_level(b, s, head[BEST + s]))
        quoted = head[QUOTED + s]
        if quoted not in (EMPTY, x):
            close_level(b, s, find_level(b, s, quoted))
        if head[BEST + s] != x and qty != 0:
            head[QUOTED + s] = x
        set_anonymous(b, s, x, qty, count)
    elif kind == ADD:
        head[N_ADDS] += 1
        join_anonymous(b, s, x, qty)
    elif kind == MODIFY:
        head[N_SKIPPED_MODIFIES] += 1
    else:
        cancel = kind == CANCEL
        head[N_CANCELS if cancel else N_EXECUTIONS] += 1
        level = find_level(b, s, x)
        if level < 0:
            head[N_ORPHAN_CANCELS if cancel else N_ORPHAN_EXECUTIONS] += 1
            return
        lots = b.levels["anonymous_lots"][level]
        if lots == MISSING:
            head[N_ANONYMOUS_TAKES] += 1
        elif lots > qty:
            b.levels["anonymous_lots"][level] = lots - qty
            b.levels["anonymous_count"][level] = -1
        else:
            if lots < qty:
                head[N_OVER_CANCELS if cancel else N_OVER_EXECUTIONS] += 1
            close_level(b, s, level)


@lean_kernel
def fold_ladder(
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
) -> Int:
    """Fold ``events[start:]`` of one instrument (-1: of all) into a ladder; return the place of the next event.

    That is the end, or an event for which something is needed first (``head[NEED]``).
    """
    b = Book(head, pages, levels, directory, memo, orders, table)
    ids = events["instrument_id"]
    kinds = events["kind"]
    sides = events["side"]
    prices = events["price"]
    qtys = events["qty_lots"]
    counts = events["count"]
    flags = events["flags"]
    for i in range(start, events.size):
        if instrument_id >= 0 and ids[i] != instrument_id:
            continue
        kind = np.int64(kinds[i])
        side = np.int64(sides[i])
        price = np.int64(prices[i])
        qty = np.int64(qtys[i])
        flag = np.int64(flags[i])
        step = precheck(b, kind, side, price, qty, flag)
        if step > NOTHING:
            head[NEED] = step
            return i
        if step == GO_ON:
            count = told_count(counts[i])
            change_ladder(b, kind, 0 if side > 0 else 1, side * price // head[TICK], qty, count, flag)
        elif step == CLEAR_SIDES:
            if side >= 0:
                clear_side(b, 0)
            if side <= 0:
                clear_side(b, 1)
        elif step == SIDE_IS_EMPTY:
            clear_side(b, 0 if side > 0 else 1)
        head[N_EVENTS] += 1
        if flag & LAST:
            observe(b)
    head[NEED] = NOTHING
    return events.size
