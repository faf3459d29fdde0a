"""DBN records that show a book: quotes become two QUOTE events, ten levels become the LEVELs that changed.

Each function writes events from place ``n`` on, without LAST, and returns how many, or minus what is bad about the
record (then nothing counts as written).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapebook.kernels import lean_kernel
from tapebook.kernels.dbn_words import (
    A_CLEAR,
    A_LEVEL,
    A_QUOTE,
    BAD_ACTION,
    BAD_LEVELS,
    BAD_SIZE,
    COUNT_MISSING,
    LEVELS,
    MISSING,
    N_UNEXPLAINED,
    SNAPSHOT,
    UNDEFINED_PRICE,
    UNDEFINED_SIZE,
    VIEW,
    Bytes,
    Int,
    Memory,
    put,
    put_trade,
    side_of,
)

_A, _C, _M, _N, _R, _T = 65, 67, 77, 78, 82, 84


@lean_kernel
def put_quotes(
    b: Bytes, at: Int, out: Any, n: Int, flags: Int, ts_event: Int, ts_recv: Int, who: Int, sequence: Int, counted: bool
) -> int:
    """Write bid and ask of the first level, at byte 48 of the record. ``counted``: the level tells orders."""
    for s in range(2):
        price = b.i64[(at >> 3) + 6 + s]
        size = np.int64(b.u32[(at >> 2) + 16 + s])
        count = np.int64(b.u32[(at >> 2) + 18 + s]) if counted else COUNT_MISSING
        if price == UNDEFINED_PRICE:  # this side is empty
            price, size, count = MISSING, MISSING, COUNT_MISSING
        elif size == UNDEFINED_SIZE:
            size = MISSING
        put(out, n + s, A_QUOTE, 1 - 2 * s, price, size, count, flags, ts_event, ts_recv, who, sequence)
    return 2


@lean_kernel
def put_mbp_1(
    b: Bytes, at: Int, out: Any, n: Int, flags: Int, ts_event: Int, ts_recv: Int, who: Int, counted: bool
) -> int:
    """MBP-1 and CMBP-1: the print first if there is one, then the quotes that stood after the record."""
    action = np.int64(b.u8[at + 28])
    sequence = np.int64(b.u32[(at >> 2) + 11]) if counted else MISSING
    n_before = 0
    if action == _T:
        n_before = put_trade(b, at, out, n, flags, ts_event, ts_recv, who)
        if n_before < 0:
            return n_before
        out["sequence"][n] = sequence
    elif action == _R:
        put(out, n, A_CLEAR, 0, MISSING, MISSING, COUNT_MISSING, flags, ts_event, ts_recv, who, sequence)
        n_before = 1
    elif action not in (_A, _C, _M, _N):
        return -BAD_ACTION
    return n_before + put_quotes(b, at, out, n + n_before, flags, ts_event, ts_recv, who, sequence, counted)


@lean_kernel
def put_tbbo(
    b: Bytes, at: Int, out: Any, n: Int, flags: Int, ts_event: Int, ts_recv: Int, who: Int, counted: bool
) -> int:
    """TBBO and TCBBO: the quotes that stood before the trade, then the trade."""
    if b.u8[at + 28] != _T:
        return -BAD_ACTION
    sequence = np.int64(b.u32[(at >> 2) + 11]) if counted else MISSING
    written = put_trade(b, at, out, n + 2, flags, ts_event, ts_recv, who)
    if written < 0:
        return written
    out["sequence"][n + 2] = sequence
    put_quotes(b, at, out, n, flags, ts_event, ts_recv, who, sequence, counted)
    return 3


@lean_kernel
def _check_levels(b: Bytes, at: Int) -> int:
    """Return 0, or what is bad: a side not strictly ordered, a hole in it, or a level without a size."""
    for s in range(2):
        sign = 1 - 2 * s
        ended = False
        before = np.int64(0)
        for i in range(LEVELS):
            price = b.i64[(at >> 3) + 6 + 4 * i + s]
            if price == UNDEFINED_PRICE:
                ended = True
                continue
            # Two compares, not a difference: damaged prices can lie further apart than int64 reaches.
            if ended or (i > 0 and ((sign > 0 and price >= before) or (sign < 0 and price <= before))):
                return BAD_LEVELS
            if b.u32[(at >> 2) + 16 + 8 * i + s] == UNDEFINED_SIZE:
                return BAD_SIZE
            before = price
    return 0


@lean_kernel
def put_depth(
    b: Bytes, at: Int, out: Any, n: Int, flags: Int, ts_event: Int, ts_recv: Int, who: Int, slot: Int, memory: Memory
) -> int:
    """MBP-10: the print first if there is one, then what changed against the last view of the instrument.

    A level beyond the reach of a full view leaves or enters with VIEW: nobody knows what happened to it. A change that
    the record's own action, side and price do not explain is counted.
    """
    action = np.int64(b.u8[at + 28])
    sequence = np.int64(b.u32[(at >> 2) + 11])
    if action not in (_A, _C, _M, _N, _R, _T):
        return -BAD_ACTION
    bad = _check_levels(b, at)
    if bad != 0:
        return -bad
    written = 0
    if action == _T:
        written = put_trade(b, at, out, n, flags, ts_event, ts_recv, who)
        if written < 0:
            return written
    first = memory.view_n[slot, 0] < 0
    if first:
        flags |= SNAPSHOT
    if first or action == _R:
        put(out, n + written, A_CLEAR, 0, MISSING, MISSING, COUNT_MISSING, flags, ts_event, ts_recv, who, sequence)
        written += 1
        memory.view_n[slot, 0] = 0
        memory.view_n[slot, 1] = 0
    told_side = side_of(np.int64(b.u8[at + 29]))
    told_price = b.i64[(at >> 3) + 2]
    for s in range(2):
        sign = 1 - 2 * s
        old_price, old_qty, old_count = memory.view_price[slot, s], memory.view_qty[slot, s], memory.view_count[slot, s]
        n_old = memory.view_n[slot, s]
        n_new = 0
        while n_new < LEVELS and b.i64[(at >> 3) + 6 + 4 * n_new + s] != UNDEFINED_PRICE:
            n_new += 1
        i, j = 0, 0
        while i < n_old or j < n_new:
            # The next level of either view, best first: gone, new, or in both.
            before = old_price[i] if i < n_old else MISSING
            after = b.i64[(at >> 3) + 6 + 4 * j + s] if j < n_new else MISSING
            in_old = i < n_old and (j == n_new or before == after or (before > after) == (sign > 0))
            in_new = j < n_new and (i == n_old or before == after or (after > before) == (sign > 0))
            price = before if in_old else after
            qty, count, level_flags = np.int64(0), np.int64(0), flags
            changed = True
            if in_new:
                qty = np.int64(b.u32[(at >> 2) + 16 + 8 * j + s])
                count = np.int64(b.u32[(at >> 2) + 18 + 8 * j + s])
                if in_old:
                    changed = qty != old_qty[i] or count != old_count[i]
                elif n_old == LEVELS and i == n_old:
                    level_flags |= VIEW
            elif n_new == LEVELS and j == n_new:
                level_flags |= VIEW
            if changed:
                put(out, n + written, A_LEVEL, sign, price, qty, count, level_flags, ts_event, ts_recv, who, sequence)
                written += 1
                told = told_side == sign and (action == _M or (price == told_price and action in (_A, _C)))
                if not (first or told or told_side == 0 or action == _R or level_flags & VIEW):
                    memory.head[N_UNEXPLAINED] += 1
            if in_old:
                i += 1
            if in_new:
                j += 1
        memory.view_n[slot, s] = n_new
        for j in range(n_new):
            old_price[j] = b.i64[(at >> 3) + 6 + 4 * j + s]
            old_qty[j] = b.u32[(at >> 2) + 16 + 8 * j + s]
            old_count[j] = b.u32[(at >> 2) + 18 + 8 * j + s]
    return written
