"""Events of every kind folded into an L3 book (face and rules: :mod:`tapebook.book.orders`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel, lean_step
from tapebook.kernels.book_state import (
    ALWAYS_TO_BACK,
    BEST,
    EMPTY,
    FREE_ORDER,
    LOTS_MAX,
    MORE_ORDERS,
    N_ADDS,
    N_ANONYMOUS_TAKES,
    N_BAD_QUANTITIES,
    N_CANCELS,
    N_EVENTS,
    N_EXECUTIONS,
    N_FORGOTTEN_ORDERS,
    N_LEVELS_SET,
    N_MISPLACED,
    N_MODIFIES,
    N_MODIFIES_TO_NOTHING,
    N_ORDERS,
    N_ORPHAN_CANCELS,
    N_ORPHAN_EXECUTIONS,
    N_OVER_CANCELS,
    N_OVER_EXECUTIONS,
    N_QUOTES,
    N_REPEATED_ADDS,
    N_RESTATED_ADDS,
    N_UNKNOWN_MODIFIES,
    NEED,
    NOTHING,
    QUOTED,
    TICK,
    Book,
    Int,
)
from tapebook.kernels.ladder import (
    ADD,
    CANCEL,
    CLEAR_SIDES,
    GO_ON,
    LAST,
    LEVEL,
    MODIFY,
    QUOTE,
    SIDE_IS_EMPTY,
    TOB,
    precheck,
    told_count,
)
from tapebook.kernels.price_levels import close_level, find_level, join_anonymous, observe, open_level, set_anonymous
from tapebook.kernels.queues import (
    close_if_empty,
    drop_order,
    find_order,
    forget_queue,
    forget_side,
    join,
    leave,
    level_x,
    remember,
    side_of,
)
from tapebook.market.events import MISSING, Flag

SNAPSHOT = int(Flag.SNAPSHOT)


@lean_step
def take_anonymous(b: Book, s: Int, x: Int, qty: Int, orphans: Int) -> None:
    """Take from what no known order accounts for, or count an orphan."""
    level = find_level(b, s, x)
    lots = b.levels["anonymous_lots"][level] if level >= 0 else 0
    if level < 0 or (lots < qty and lots != MISSING):
        b.head[orphans] += 1
        return
    b.head[N_ANONYMOUS_TAKES] += 1
    if lots == MISSING:
        return
    b.levels["anonymous_lots"][level] = lots - qty
    b.levels["anonymous_count"][level] = 0 if lots == qty else -1
    close_if_empty(b, s, level)


@lean_helper
def take(b: Book, k: Int, qty: Int, overs: Int) -> None:
    """Take ``qty`` from order ``k``, at most what it has; a spent order leaves."""
    had = b.orders["qty_lots"][k]
    level = np.int64(b.orders["level"][k])
    if qty < had:
        b.orders["qty_lots"][k] = had - qty
        b.levels["known_lots"][level] -= qty
        return
    if qty > had:
        b.head[overs] += 1
    leave(b, k)
    drop_order(b, k)
    close_if_empty(b, side_of(b, level), level)


@lean_helper
def add_order(b: Book, s: Int, x: Int, order_id: Int, qty: Int) -> None:
    """Let a new order join the back of the queue."""
    level = find_level(b, s, x)
    if level < 0:
        level = open_level(b, s, x)
    elif b.levels["known_lots"][level] > LOTS_MAX - qty:
        b.head[N_BAD_QUANTITIES] += 1
        return
    k = b.head[FREE_ORDER]
    b.head[FREE_ORDER] = b.orders["newer"][k]
    b.head[N_ORDERS] += 1
    b.orders["order_id"][k] = order_id
    join(b, k, level, qty)
    remember(b, k)
    if x == b.head[QUOTED + s]:
        b.head[QUOTED + s] = EMPTY


@lean_step
def modify_order(b: Book, k: Int, s: Int, x: Int, qty: Int) -> None:
    """Give order ``k`` a new place and quantity by the rule for priority."""
    had = b.orders["qty_lots"][k]
    level = np.int64(b.orders["level"][k])
    old_side = side_of(b, level)
    if qty == 0:
        b.head[N_MODIFIES_TO_NOTHING] += 1
        leave(b, k)
        drop_order(b, k)
        close_if_empty(b, old_side, level)
        return
    if old_side == s and level_x(b, level) == x:
        if b.levels["known_lots"][level] - had > LOTS_MAX - qty:
            b.head[N_BAD_QUANTITIES] += 1
        elif (qty > had or b.head[ALWAYS_TO_BACK] != 0) and b.orders["newer"][k] >= 0:
            leave(b, k)
            join(b, k, level, qty)
        else:
            b.orders["qty_lots"][k] = qty
            b.levels["known_lots"][level] += qty - had
        return
    new_level = find_level(b, s, x)
    if new_level >= 0 and b.levels["known_lots"][new_level] > LOTS_MAX - qty:
        b.head[N_BAD_QUANTITIES] += 1
        return
    if new_level < 0:
        new_level = open_level(b, s, x)
    leave(b, k)
    join(b, k, new_level, qty)
    close_if_empty(b, old_side, level)
    if x == b.head[QUOTED + s]:
        b.head[QUOTED + s] = EMPTY


@lean_step
def evict(b: Book, s: Int, level: Int) -> None:
    """Take a level out of the book with its orders, because an event about the level says so."""
    b.head[N_FORGOTTEN_ORDERS] += b.levels["known_count"][level]
    forget_queue(b, level)
    close_level(b, s, level)


@lean_step
def set_total(b: Book, s: Int, x: Int, qty: Int, count: Int) -> None:
    """Set a level's whole quantity; known orders stay as far as they fit, the newest give way."""
    level = find_level(b, s, x)
    if level < 0 or b.levels["known_count"][level] == 0:
        set_anonymous(b, s, x, qty, count)
        return
    if qty == MISSING:
        return
    if qty == 0:
        evict(b, s, level)
        return
    while b.levels["known_lots"][level] > qty:
        k = np.int64(b.levels["last"][level])
        leave(b, k)
        drop_order(b, k)
        b.head[N_FORGOTTEN_ORDERS] += 1
    rest = qty - b.levels["known_lots"][level]
    others = count - b.levels["known_count"][level]
    b.levels["anonymous_lots"][level] = rest
    b.levels["anonymous_count"][level] = 0 if rest == 0 else (others if others > 0 else -1)


@lean_step
def quote_orders(b: Book, s: Int, x: Int, qty: Int, count: Int) -> None:
    """Make ``x`` the best level of a side: better ones go, and so does what an earlier quote left."""
    while b.head[BEST + s] > x:
        evict(b, s, find_level(b, s, b.head[BEST + s]))
    quoted = b.head[QUOTED + s]
    if quoted not in (EMPTY, x):
        evict(b, s, find_level(b, s, quoted))
    if b.head[BEST + s] != x and qty != 0:
        b.head[QUOTED + s] = x
    set_total(b, s, x, qty, count)


@lean_helper
def change_orders(b: Book, kind: Int, s: Int, x: Int, qty: Int, order_id: Int, count: Int, flag: Int) -> None:
    """Apply a checked event to an L3 book."""
    head = b.head
    if flag & TOB:
        forget_side(b, s)
        if kind != LEVEL:  # an order at the touch of a venue that shows no more: it says nothing of other orders
            kind, count = LEVEL, -1
    if kind == ADD:
        head[N_ADDS] += 1
        if order_id == 0:
            join_anonymous(b, s, x, qty)
            return
        k = find_order(b, order_id)
        if k >= 0:
            head[N_RESTATED_ADDS if flag & SNAPSHOT else N_REPEATED_ADDS] += 1
            take(b, k, b.orders["qty_lots"][k], N_OVER_CANCELS)
        add_order(b, s, x, order_id, qty)
    elif kind == LEVEL:
        head[N_LEVELS_SET] += 1
        set_total(b, s, x, qty, count)
        if x == head[QUOTED + s]:
            head[QUOTED + s] = EMPTY
    elif kind == QUOTE:
        head[N_QUOTES] += 1
        quote_orders(b, s, x, qty, count)
    elif kind == MODIFY:
        head[N_MODIFIES] += 1
        k = find_order(b, order_id) if order_id != 0 else np.int64(-1)
        if k >= 0:
            modify_order(b, k, s, x, qty)
        elif qty == 0 or order_id == 0:
            head[N_BAD_QUANTITIES] += 1
        else:
            head[N_UNKNOWN_MODIFIES] += 1
            add_order(b, s, x, order_id, qty)
    else:
        cancel = kind == CANCEL
        head[N_CANCELS if cancel else N_EXECUTIONS] += 1
        k = find_order(b, order_id) if order_id != 0 else np.int64(-1)
        if k < 0:
            take_anonymous(b, s, x, qty, N_ORPHAN_CANCELS if cancel else N_ORPHAN_EXECUTIONS)
            return
        level = np.int64(b.orders["level"][k])
        if side_of(b, level) != s or level_x(b, level) != x:
            head[N_MISPLACED] += 1
        take(b, k, qty, N_OVER_CANCELS if cancel else N_OVER_EXECUTIONS)


@lean_helper
def step_orders(b: Book, kind: Int, side: Int, price: Int, qty: Int, order_id: Int, count: Int, flag: Int) -> Int:
    """Apply one event; return NOTHING, or what is needed first (and then the book is as it was)."""
    step = precheck(b, kind, side, price, qty, flag)
    if step == GO_ON and b.head[FREE_ORDER] < 0:
        step = MORE_ORDERS
    if step > NOTHING:
        return step
    if step == GO_ON:
        s = 0 if side > 0 else 1
        change_orders(b, kind, s, side * price // b.head[TICK], qty, order_id, told_count(count), flag)
    elif step == CLEAR_SIDES:
        if side >= 0:
            forget_side(b, 0)
        if side <= 0:
            forget_side(b, 1)
    elif step == SIDE_IS_EMPTY:
        forget_side(b, 0 if side > 0 else 1)
    b.head[N_EVENTS] += 1
    if flag & LAST:
        observe(b)
    return NOTHING


@lean_step
def apply_event(b: Book, kind: Int, side: Int, price: Int, qty: Int, order_id: Int, count: Int, flag: Int) -> Int:
    """As :func:`step_orders`, as a call: for kernels that do more with each event than the fold below."""
    return step_orders(b, kind, side, price, qty, order_id, count, flag)


@lean_kernel
def fold_orders(
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
    """Fold ``events[start:]`` of one instrument (-1: of all) into an L3 book; return the place of the next event.

    That is the end, or an event for which something is needed first (``head[NEED]``).
    """
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
        if instrument_id >= 0 and ids[i] != instrument_id:
            continue
        need = step_orders(
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
    head[NEED] = NOTHING
    return events.size
