"""Exponentially weighted rates of what joins, leaves and takes each side, at the touch and near it.

Each sum fades as ``S <- exp(-dt / tau) S + x``; the rate is ``S / tau`` per second. An event counts where it stands to
the best price that could be seen before its message: at it or better, or at most ``near`` beyond it. What trades is not
known (NaN) before the first print: a tape without prints has no rate of 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.classification import in_book
from tapebook.market.events import MISSING, Flag, Kind

_TRADE, _LEVEL, _ADD, _CANCEL = int(Kind.TRADE), int(Kind.LEVEL), int(Kind.ADD), int(Kind.CANCEL)
_MODIFY, _EXECUTE = int(Kind.MODIFY), int(Kind.EXECUTE)
_SNAPSHOT, _VIEW, _INFO, _LAST = int(Flag.SNAPSHOT), int(Flag.VIEW), int(Flag.INFO), int(Flag.LAST)

ADDED, CANCELLED, TRADED, TAKEN, N_WHAT = 0, 1, 2, 3, 4
"""What is counted: joined, cancelled, traded, and taken off a level for a reason that the tape does not tell."""

LAST_NS, SINCE_NS, SESSION, BID_PX, BID_NS, ASK_PX, ASK_NS, THREAD, FILLED, PRINTED = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10
N_STATE = 11
"""Places in the state: when the sums were brought up to date, when the session began, its number, the best prices and
since when they stand, the thread, lots filled in the message under way (bids, asks), whether there ever was a print;
how many places."""


@kernel
def shown_size(books: NDArray[np.int64], row: int, s: int, n_levels: int, price: int) -> int:
    """Return what stands at a price in view: 0 where no level is, MISSING where the price lies beyond the view."""
    at = 2 * s * n_levels
    for m in range(n_levels):
        p = books[row, at + m]
        if p == MISSING:
            return 0
        if p == price:
            return books[row, at + n_levels + m]
        if p < price if s == 0 else p > price:
            return 0
    return MISSING


@kernel
def count_flow(sums: NDArray[np.float64], s: int, what: int, zone: int, orders: float, lots: float) -> None:
    """Add to the sums of a zone (0 at the touch, 1 near it) and of those that hold it; 2 is beyond both."""
    for z in range(zone, 2):
        sums[s, z, what, 0] += orders
        sums[s, z, what, 1] += lots


@kernel
def zone_of(price: int, best: int, s: int, near: int) -> int:
    """Return 0 at the best price or better, 1 within ``near`` of it, 2 beyond."""
    if best == MISSING:
        return 0
    # Compared before it is subtracted: a price that cannot be must not overflow.
    if price >= best if s == 0 else price <= best:
        return 0
    if s == 0:
        return 1 if price >= best - near else 2
    return 1 if price <= best + near else 2


@kernel
def advance_flow_rates(
    kind: NDArray[np.uint8],
    flags: NDArray[np.uint16],
    detail: NDArray[np.uint8],
    side: NDArray[np.int8],
    price: NDArray[np.int64],
    qty_lots: NDArray[np.int64],
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    thread: NDArray[np.int64],
    books: NDArray[np.int64],
    which: NDArray[np.int64],
    n_levels: int,
    tau_ns: float,
    warm_ns: int,
    near: int,
    state: NDArray[np.int64],
    sums: NDArray[np.float64],  # (2 sides, 2 zones, N_WHAT, orders and lots)
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (events, 2, 2, N_WHAT, 2): the sums; NaN for what traded before the first print
    age_ns: NDArray[np.int64],  # (events, 2): how long the best prices stand; MISSING without one
    warm: NDArray[np.bool_],
) -> int:
    """Write a row for each change of the touch; return how many."""
    n = 0
    for i in range(kind.size):
        now = clock_ns[i]
        if now != MISSING:
            if session[i] != state[SESSION] or state[SINCE_NS] == MISSING or now < state[LAST_NS]:
                sums[:] = 0.0
                state[SESSION] = session[i]
                state[SINCE_NS] = now
                state[LAST_NS] = now
            if now > state[LAST_NS]:
                fade = np.exp(-np.float64(now - state[LAST_NS]) / tau_ns)
                for s in range(2):
                    for z in range(2):
                        for w in range(N_WHAT):
                            sums[s, z, w, 0] *= fade
                            sums[s, z, w, 1] *= fade
                state[LAST_NS] = now
        news = flags[i] & (_SNAPSHOT | _VIEW | _INFO) == 0
        told = price[i] != MISSING and 0 <= qty_lots[i] < 1 << 53 and side[i] != 0
        if news and told and now != MISSING:
            what = kind[i]
            s = 0 if side[i] > 0 else 1
            if what == _TRADE:
                s = 1 - s  # the aggressor takes from the other side
            row = which[i]
            zone = zone_of(price[i], books[row, 2 * s * n_levels], s, near)
            lots = np.float64(qty_lots[i])
            if what == _TRADE:
                if in_book(what, detail[i], price[i], qty_lots[i]):
                    state[PRINTED] = 1
                    count_flow(sums, s, TRADED, 0, 1.0, lots)
            elif what == _ADD:
                if qty_lots[i] > 0:
                    count_flow(sums, s, ADDED, zone, 1.0, lots)
            elif what == _CANCEL:
                # Some venues tell a fill and then cancel what was filled: that is no cancel.
                filled = min(state[FILLED + s], qty_lots[i])
                state[FILLED + s] -= filled
                if filled < qty_lots[i]:
                    count_flow(sums, s, CANCELLED, zone, 1.0, lots - np.float64(filled))
            elif what == _MODIFY and state[FILLED + s] == 0:
                if qty_lots[i] > 0:
                    count_flow(sums, s, ADDED, zone, 1.0, lots)
                count_flow(sums, s, CANCELLED, zone, 1.0, lots)
            elif what == _LEVEL and zone < 2:
                was = shown_size(books, row, s, n_levels, price[i])
                if was >= 0 and was != qty_lots[i]:
                    change = np.float64(qty_lots[i] - was)
                    count_flow(sums, s, ADDED if change > 0 else TAKEN, zone, 1.0, abs(change))
        if kind[i] == _EXECUTE and flags[i] & _INFO and side[i] != 0 and 0 < qty_lots[i] < 1 << 53:
            state[FILLED + (0 if side[i] > 0 else 1)] += qty_lots[i]
        if flags[i] & _LAST:
            state[FILLED] = 0
            state[FILLED + 1] = 0
        r0, r1 = which[i], which[i + 1]
        same = thread[i + 1] == state[THREAD]
        for s in range(2):
            px = books[r1, 2 * s * n_levels]
            if px != state[BID_PX + 2 * s] or not same:
                state[BID_PX + 2 * s] = px
                # A best price that stood when the thread began is older than can be told: MISSING until it moves.
                state[BID_NS + 2 * s] = now if same else MISSING
        state[THREAD] = thread[i + 1]
        changed = not same
        for j in range(0, 4 * n_levels, n_levels):
            changed = changed or books[r0, j] != books[r1, j]
        if not changed:
            continue
        out_at[n] = i
        warm[n] = now != MISSING and now - state[SINCE_NS] >= warm_ns
        for s in range(2):
            since = state[BID_NS + 2 * s]
            stands = state[BID_PX + 2 * s] != MISSING and MISSING not in (since, now)
            age_ns[n, s] = max(now - since, 0) if stands else MISSING
            for z in range(2):
                for w in range(N_WHAT):
                    told_of = w != TRADED or state[PRINTED] != 0
                    out[n, s, z, w, 0] = sums[s, z, w, 0] if told_of else np.nan
                    out[n, s, z, w, 1] = sums[s, z, w, 1] if told_of else np.nan
        n += 1
    return n
