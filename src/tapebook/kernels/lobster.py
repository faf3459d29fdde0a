"""LOBSTER's message and order-book files, row by row, as one stream of events (face: :mod:`tapebook.readers.lobster`).

The kernel keeps the view (the best N levels a side) that the messages predict, starting from the book file, and
compares it with the book file after every message. What only the deep end of the view can explain becomes a LEVEL with
VIEW; any other difference is corrected by a LEVEL with MAYBE_BAD and counted. ``docs/decisions/lobster-pairs.md`` says
why.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel
from tapebook.kernels.dbn_words import (
    A_CANCEL,
    A_CLEAR,
    A_LEVEL,
    A_STATUS,
    A_TRADE,
    AN_ADD,
    AN_EXECUTION,
    COUNT_MISSING,
    LAST,
    MISSING,
    SNAPSHOT,
    VENUE,
    VIEW,
    Int,
    put,
)
from tapebook.market import events as words

SCALE: Final = 100_000
"""LOBSTER's prices are in 1e-4, ours in 1e-9."""
NO_ASK: Final = 9_999_999_999
NO_BID: Final = -9_999_999_999
MAYBE_BAD: Final = int(words.Flag.MAYBE_BAD)

# Places in ``head``.
ROW: Final = 0  # next row of the block
N_OUT: Final = 1
STARTED: Final = 2
OUTSIDE: Final = 3  # messages that take from a level that is not there, or more than it holds
CORRECTED_QTY: Final = 4  # levels whose quantity the messages do not explain
CORRECTED_GONE: Final = 5  # levels that should be there and are not
CORRECTED_NEW: Final = 6  # levels inside the view that no message brought
ENTERED: Final = 7  # levels that came into view at its deep end
LEFT: Final = 8
HEAD_SIZE: Final = 9

_HIDDEN, _CROSS = int(words.TradeCondition.HIDDEN), int(words.TradeCondition.CROSS)
_HALT, _QUOTING, _OPEN = int(words.Phase.HALT), int(words.Phase.QUOTING), int(words.Phase.OPEN)


@lean_helper
def _remember(price: Any, qty: Any, n: Any, s: Int, at: Int, new_price: Int, new_qty: Int) -> None:
    """Put a level at place ``at`` of a side."""
    for k in range(n[s], at, -1):
        price[s, k] = price[s, k - 1]
        qty[s, k] = qty[s, k - 1]
    price[s, at] = new_price
    qty[s, at] = new_qty
    n[s] += 1


@lean_helper
def _forget(price: Any, qty: Any, n: Any, s: Int, at: Int) -> None:
    """Take the level at place ``at`` out of a side."""
    for k in range(at, n[s] - 1):
        price[s, k] = price[s, k + 1]
        qty[s, k] = qty[s, k + 1]
    n[s] -= 1


@lean_kernel
def change(price: Any, qty: Any, n: Any, s: Int, at_price: Int, by: Int) -> bool:
    """Add ``by`` to a level of side ``s`` (0 bids, 1 asks); return whether it was there for what is taken from it."""
    sign = 1 - 2 * s
    k = 0
    while k < n[s] and (price[s, k] - at_price) * sign > 0:
        k += 1
    if k == n[s] or price[s, k] != at_price:
        if by > 0:
            _remember(price, qty, n, s, k, at_price, by)
        return by > 0
    held = qty[s, k]
    if held + by <= 0:
        _forget(price, qty, n, s, k)
    else:
        qty[s, k] = held + by
    return held + by >= 0


@lean_kernel
def _take_row(book: NDArray[np.int64], row: Int, price: Any, qty: Any, n: Any) -> None:
    """Make the view what the book file shows in ``row``."""
    for s in range(2):
        k = 0
        for i in range(book.shape[1] // 4):
            p = book[row, 4 * i + 2 * (1 - s)]
            if p in (NO_ASK, NO_BID):
                break
            price[s, k] = p
            qty[s, k] = book[row, 4 * i + 2 * (1 - s) + 1]
            k += 1
        n[s] = k


@lean_kernel
def _snapshot(price: Any, qty: Any, n: Any, ts_ns: Int, who: Int, flags: Int, out: Any, at: Int) -> int:
    """Write CLEAR and the levels of the view; return how many."""
    put(out, at, A_CLEAR, 0, MISSING, MISSING, COUNT_MISSING, flags, ts_ns, MISSING, who, MISSING)
    wrote = 1
    for s in range(2):
        for k in range(n[s]):
            p = price[s, k] * SCALE
            put(out, at + wrote, A_LEVEL, 1 - 2 * s, p, qty[s, k], COUNT_MISSING, flags, ts_ns, MISSING, who, MISSING)
            wrote += 1
    out["flags"][at + wrote - 1] |= LAST
    return wrote


@lean_kernel
def _compare(
    book: NDArray[np.int64],
    row: Int,
    s: Int,
    n_before: Int,
    price: Any,
    qty: Any,
    n: Any,
    ts_ns: Int,
    line: Int,
    who: Int,
    head: NDArray[np.int64],
    out: Any,
    at: Int,
) -> int:
    """Write what turns side ``s`` of the predicted view into that of the book file; return how many."""
    levels = book.shape[1] // 4
    sign = 1 - 2 * s
    first = 2 * (1 - s)
    n_row = 0
    while n_row < levels and book[row, 4 * n_row + first] != NO_ASK and book[row, 4 * n_row + first] != NO_BID:
        n_row += 1
    wrote = 0
    i, j = 0, 0
    while i < n[s] or j < n_row:
        mine = price[s, i] if i < n[s] else MISSING
        told = book[row, 4 * j + first] if j < n_row else MISSING
        in_mine = i < n[s] and (j == n_row or mine == told or (mine > told) == (sign > 0))
        in_row = j < n_row and (i == n[s] or mine == told or (told > mine) == (sign > 0))
        flags, amount = 0, 0
        changed = True
        if in_mine and in_row:
            amount = book[row, 4 * j + first + 1]
            changed = amount != qty[s, i]
            flags = MAYBE_BAD
            if changed:
                head[CORRECTED_QTY] += 1
        elif in_mine:
            # Beyond the reach of a full row: a better level pushed it out of view.
            if j == n_row and n_row == levels:
                flags = VIEW
                head[LEFT] += 1
            else:
                flags = MAYBE_BAD
                head[CORRECTED_GONE] += 1
        else:
            amount = book[row, 4 * j + first + 1]
            # Beyond the reach of a view that was full until this message: it stood there unseen.
            if i == n[s] and n_before == levels and n[s] < levels:
                flags = VIEW
                head[ENTERED] += 1
            else:
                flags = MAYBE_BAD
                head[CORRECTED_NEW] += 1
        if changed:
            p = (mine if in_mine else told) * SCALE
            put(out, at + wrote, A_LEVEL, sign, p, amount, COUNT_MISSING, flags, ts_ns, MISSING, who, line)
            wrote += 1
        if in_mine:
            i += 1
        if in_row:
            j += 1
    return wrote


@lean_kernel
def pair_events(
    ts_ns: NDArray[np.int64],
    kind: NDArray[np.int64],
    order_id: NDArray[np.uint64],
    size: NDArray[np.int64],
    price: NDArray[np.int64],
    direction: NDArray[np.int64],
    line: NDArray[np.int64],
    book: NDArray[np.int64],  # (rows of the book file, 4 * levels)
    book_row: NDArray[np.int64],  # the row of ``book`` that belongs to each message, -1 none
    levels: Int,
    who: Int,
    head: NDArray[np.int64],
    view_price: NDArray[np.int64],  # (2, levels + 1): bids, asks; best first
    view_qty: NDArray[np.int64],
    view_n: NDArray[np.int64],  # (2,)
    out: Any,
) -> None:
    """Write the events of messages from ``head[ROW]`` on, until they or the room for more are used up."""
    n = head[N_OUT]
    row_max = 2 * (levels + 1) + 1 + 2 + 2 * (2 * levels + 1)
    k = head[ROW]
    while k < ts_ns.size and n + row_max <= out.size:
        what, p, q, t = kind[k], price[k], size[k], ts_ns[k]
        s = 0 if direction[k] > 0 else 1
        has_book = book_row[k] >= 0
        takes = what in (2, 3, 4)
        if head[STARTED] == 0:
            # The book before the first message is the first row with that message undone.
            head[STARTED] = 1
            if has_book:
                _take_row(book, book_row[k], view_price, view_qty, view_n)
                if what == 1:
                    change(view_price, view_qty, view_n, s, p, -q)
                elif takes:
                    change(view_price, view_qty, view_n, s, p, q)
            n += _snapshot(view_price, view_qty, view_n, t, who, SNAPSHOT if has_book else SNAPSHOT | MAYBE_BAD, out, n)
        flags = 0 if has_book else MAYBE_BAD
        side = 1 - 2 * s
        n_bids, n_asks = view_n[0], view_n[1]
        if what == 7:
            put(out, n, A_STATUS, 0, MISSING, MISSING, COUNT_MISSING, flags, t, MISSING, who, line[k])
            out["detail"][n] = _HALT if p < 0 else _QUOTING if p == 0 else _OPEN
            n += 1
        else:
            if what in (4, 5, 6):
                # The direction is the resting order's: the aggressor stands against it. A cross has no aggressor.
                aggressor = 0 if what == 6 else -side
                put(out, n, A_TRADE, aggressor, p * SCALE, q, COUNT_MISSING, flags, t, MISSING, who, line[k])
                out["order_id"][n] = order_id[k]
                out["side_source"][n] = 0 if what == 6 else VENUE
                out["detail"][n] = _HIDDEN if what == 5 else _CROSS if what == 6 else 0
                n += 1
            if what == 1 or takes:
                record = AN_ADD if what == 1 else AN_EXECUTION if what == 4 else A_CANCEL
                put(out, n, record, side, p * SCALE, q, COUNT_MISSING, flags, t, MISSING, who, line[k])
                out["order_id"][n] = order_id[k]
                n += 1
                if not change(view_price, view_qty, view_n, s, p, q if what == 1 else -q):
                    head[OUTSIDE] += 1
        if has_book:
            r = book_row[k]
            n += _compare(book, r, 0, n_bids, view_price, view_qty, view_n, t, line[k], who, head, out, n)
            n += _compare(book, r, 1, n_asks, view_price, view_qty, view_n, t, line[k], who, head, out, n)
            _take_row(book, r, view_price, view_qty, view_n)
        else:
            for side_out in range(2):
                if view_n[side_out] > levels:
                    view_n[side_out] = levels
                    gone = view_price[side_out, levels] * SCALE
                    sign = 1 - 2 * side_out
                    put(out, n, A_LEVEL, sign, gone, 0, COUNT_MISSING, VIEW | flags, t, MISSING, who, line[k])
                    head[LEFT] += 1
                    n += 1
        out["flags"][n - 1] |= LAST
        k += 1
    head[ROW] = k
    head[N_OUT] = n
