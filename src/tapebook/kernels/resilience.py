"""How depth and spread come back after a trade has taken a good part of a side (one episode a side at a time)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.classification import in_book
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Flag

_LAST = int(Flag.LAST)

IDLE, WATCHING, RECOVERING = 0, 1, 2
"""Phases of a side: nothing, a trade whose effect may still show, an episode."""

(
    PHASE,
    TRADE_NS,
    QTY,
    DEPTH_BEFORE,
    SPREAD_BEFORE,
    START_NS,
    DEPTH_AFTER,
    SPREAD_AFTER,
    HALF_NS,
    SPREAD_NS,
    SESSION,
    THREAD,
    N_SLOT,
) = range(13)
"""Places of a side in the state, and how many there are. Times not yet known are MISSING."""

COMPLETE, TOO_SLOW, CUT_OFF = 0, 1, 2
"""Why a row was made: both came back, the horizon passed, the session or the thread ended."""


@kernel
def depth_of(books: NDArray[np.int64], row: int, s: int, n_levels: int, reach: int) -> int:
    """Return the lots of the best ``reach`` levels of a side; MISSING where a size was not told."""
    total = np.int64(0)
    at = (2 * s + 1) * n_levels
    for m in range(min(reach, n_levels)):
        size = books[row, at + m]
        if size < 0 or total > 1 << 60:
            return MISSING
        total += size
    return total


@kernel
def close_slot(
    slot: NDArray[np.int64], s: int, i: int, why: int, at: NDArray[np.int64], out: NDArray[np.int64], n: int
) -> int:
    """Write an episode's row and free its side; return the next row."""
    at[n] = i
    out[n, 0] = s
    for j in range(1, SPREAD_NS + 1):
        out[n, j] = slot[j]
    out[n, SPREAD_NS + 1] = why
    slot[PHASE] = IDLE
    return n + 1


@kernel
def advance_resilience(
    kind: NDArray[np.uint8],
    flags: NDArray[np.uint16],
    detail: NDArray[np.uint8],
    side: NDArray[np.int8],
    price: NDArray[np.int64],
    qty_lots: NDArray[np.int64],
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    thread: NDArray[np.int64],
    books: NDArray[np.int64],
    which: NDArray[np.int64],
    n_levels: int,
    reach: int,
    share: float,
    settle_ns: int,
    horizon_ns: int,
    state: NDArray[np.int64],  # (2, N_SLOT)
    out_at: NDArray[np.int64],
    out: NDArray[np.int64],  # (2 * events + 2, SPREAD_NS + 2)
) -> int:
    """Write a row for each episode that is over; return how many."""
    n = 0
    for i in range(kind.size):
        now = clock_ns[i]
        r0, r1 = which[i], which[i + 1]
        for s in range(2):
            slot = state[s]
            if slot[PHASE] == IDLE:
                continue
            ended = session[i] != slot[SESSION] or thread[i + 1] != slot[THREAD] or not trading[i]
            ended = ended or now == MISSING or now < slot[TRADE_NS]
            if slot[PHASE] == WATCHING:
                if ended or now - slot[TRADE_NS] > settle_ns:
                    slot[PHASE] = IDLE
            elif ended:
                n = close_slot(slot, s, i, CUT_OFF, out_at, out, n)
            elif now - slot[START_NS] > horizon_ns:
                n = close_slot(slot, s, i, TOO_SLOW, out_at, out, n)
        met = in_book(kind[i], detail[i], price[i], qty_lots[i]) and qty_lots[i] < 1 << 53 and side[i] != 0
        if met and trading[i] and now != MISSING:
            s = 1 if side[i] > 0 else 0  # the aggressor takes from the other side
            slot = state[s]
            if slot[PHASE] == WATCHING:
                slot[QTY] += qty_lots[i]
            elif slot[PHASE] == IDLE and touch_state(books[r0, 0], books[r0, 2 * n_levels]) == TWO_SIDED:
                before = depth_of(books, r0, s, n_levels, reach)
                if before > 0:
                    slot[PHASE] = WATCHING
                    slot[TRADE_NS] = now
                    slot[QTY] = qty_lots[i]
                    slot[DEPTH_BEFORE] = before
                    slot[SPREAD_BEFORE] = books[r0, 2 * n_levels] - books[r0, 0]
                    slot[SESSION] = session[i]
                    slot[THREAD] = thread[i + 1]
        if flags[i] & _LAST == 0 or now == MISSING:
            continue
        two_sided = touch_state(books[r1, 0], books[r1, 2 * n_levels]) == TWO_SIDED
        spread = books[r1, 2 * n_levels] - books[r1, 0] if two_sided else MISSING
        for s in range(2):
            slot = state[s]
            if slot[PHASE] == IDLE:
                continue
            depth = depth_of(books, r1, s, n_levels, reach)
            if depth == MISSING:
                continue
            if slot[PHASE] == WATCHING:
                if np.float64(depth) <= (1.0 - share) * np.float64(slot[DEPTH_BEFORE]) and two_sided:
                    slot[PHASE] = RECOVERING
                    slot[START_NS] = now
                    slot[DEPTH_AFTER] = depth
                    slot[SPREAD_AFTER] = spread
                    slot[HALF_NS] = MISSING
                    slot[SPREAD_NS] = 0 if spread <= slot[SPREAD_BEFORE] else MISSING
                continue
            if slot[HALF_NS] == MISSING and 2 * depth >= slot[DEPTH_BEFORE] + slot[DEPTH_AFTER]:
                slot[HALF_NS] = now - slot[START_NS]
            if slot[SPREAD_NS] == MISSING and two_sided and spread <= slot[SPREAD_BEFORE]:
                slot[SPREAD_NS] = now - slot[START_NS]
            if slot[HALF_NS] != MISSING and slot[SPREAD_NS] != MISSING:
                n = close_slot(slot, s, i, COMPLETE, out_at, out, n)
    return n
