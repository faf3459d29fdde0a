"""Trade imbalance over a window of time, and how long the signs of trades remember.

All sums over the window are integers, roots of sizes in units of 2^-20, so that nothing drifts.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.classification import VENUE, in_book, side_by, tick_sign_of
from tapebook.market.events import MISSING

R_CLOCK, R_SIDE, R_LOTS, R_ROOT, R_N = 0, 1, 2, 3, 4
"""Columns of the ring of prints, and how many there are."""

FIRST, LAST, SESSION, COUNT, SIGNED, LOTS, SIGNED_LOTS, ROOT, SIGNED_ROOT, UNKNOWN_LOTS, I_N = range(11)
"""Places in the memory, and how many there are: prints taken out and put in; sums over the window."""

_ROOT_UNIT = 1048576.0


@kernel
def _count(
    sign: int, side: int, lots: int, root: int, memory: NDArray[np.int64]
) -> None:  # sign: +1 puts a print into the sums, -1 takes it out
    if side == 0:
        memory[UNKNOWN_LOTS] += sign * lots
        return
    memory[COUNT] += sign
    memory[SIGNED] += sign * side
    memory[LOTS] += sign * lots
    memory[SIGNED_LOTS] += sign * side * lots
    memory[ROOT] += sign * root
    memory[SIGNED_ROOT] += sign * side * root


@kernel
def side_of(
    rule: int,
    side: int,
    price: int,
    bid_px: int,
    ask_px: int,
    session: int,
    thread: int,
    tick: NDArray[np.int64],
) -> int:
    """Return the side of a print on a tape by a rule."""
    if rule == VENUE:
        return side
    return side_by(rule, tick_sign_of(price, session, thread, tick), price, bid_px, ask_px)


@kernel
def advance_trade_imbalance(
    events: Any,
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    rule: int,
    window_ns: int,
    tick: NDArray[np.int64],
    memory: NDArray[np.int64],
    ring: NDArray[np.int64],  # (capacity, R_N), capacity a power of two with room for every print of the block
    out_at: NDArray[np.int64],
    out: NDArray[np.int64],  # (rows, 7): the sums from COUNT to UNKNOWN_LOTS
) -> int:
    """Write the sums over the window after each print; a new session starts with none."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    mask = ring.shape[0] - 1
    n = 0
    for i in range(kind.size):
        if not trading[i] or not in_book(kind[i], detail[i], price[i], qty[i]):
            continue
        now = clock_ns[i]
        out_at[n] = i
        if now == MISSING:  # before the first stamp of the tape: in no window of time
            for c in range(7):
                out[n, c] = 0
            n += 1
            continue
        ended = session[i] != memory[SESSION]
        memory[SESSION] = session[i]
        while memory[FIRST] < memory[LAST]:
            k = memory[FIRST] & mask
            if not ended and 0 <= now - ring[k, R_CLOCK] < window_ns:
                break
            _count(-1, ring[k, R_SIDE], ring[k, R_LOTS], ring[k, R_ROOT], memory)
            memory[FIRST] += 1
        k = memory[LAST] & mask
        ring[k, R_CLOCK] = now
        ring[k, R_SIDE] = side_of(rule, np.int64(side[i]), price[i], bid_px[i], ask_px[i], session[i], thread[i], tick)
        ring[k, R_LOTS] = qty[i]
        ring[k, R_ROOT] = int(math.sqrt(qty[i]) * _ROOT_UNIT + 0.5)
        memory[LAST] += 1
        _count(1, ring[k, R_SIDE], ring[k, R_LOTS], ring[k, R_ROOT], memory)
        for c in range(7):
            out[n, c] = memory[COUNT + c]
        n += 1
    return n


S_SESSION, S_RUN, S_N = 0, 1, 2
"""Places in the integers of :func:`advance_sign_memory`: the session, and signs in it so far."""

_PAIRS_MIN = 100.0


@kernel
def advance_sign_memory(
    events: Any,
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    rule: int,
    decay: float,
    lags: NDArray[np.int64],
    tick: NDArray[np.int64],
    ints: NDArray[np.int64],
    ring: NDArray[np.int64],  # the last signs, at least as many as the longest lag and one
    means: NDArray[np.float64],  # (1 + lags, 3): weight, mean, pairs; of the sign itself first, then of its products
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (rows, 1 + lags): mean sign, autocorrelations
) -> int:
    """Write the mean sign and the autocorrelations after each print with a side; no pair reaches over a session."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    n = 0
    for i in range(kind.size):
        if not trading[i] or not in_book(kind[i], detail[i], price[i], qty[i]):
            continue
        sign = side_of(rule, np.int64(side[i]), price[i], bid_px[i], ask_px[i], session[i], thread[i], tick)
        if sign == 0:
            continue
        if session[i] != ints[S_SESSION]:
            ints[S_SESSION] = session[i]
            ints[S_RUN] = 0
        run = ints[S_RUN]
        ring[run % ring.size] = sign
        ints[S_RUN] += 1
        out_at[n] = i
        for k in range(lags.size + 1):
            lag = 0 if k == 0 else lags[k - 1]
            if run >= lag:
                value = float(sign) if k == 0 else float(sign * ring[(run - lag) % ring.size])
                means[k, 0] = decay * means[k, 0] + 1.0
                means[k, 1] += (value - means[k, 1]) / means[k, 0]
                means[k, 2] += 1.0
            out[n, k] = np.nan
            spread = 1.0 - means[0, 1] * means[0, 1]
            if means[k, 2] >= _PAIRS_MIN:
                if k == 0:
                    out[n, k] = means[0, 1]
                elif spread > 1e-12:
                    out[n, k] = (means[k, 1] - means[0, 1] * means[0, 1]) / spread
        n += 1
    return n
