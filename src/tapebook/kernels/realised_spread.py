"""Realised spread and price impact: what a print was worth to its maker once a horizon had passed.

Prints wait in one ring, in the order in which they came; each horizon has a read head of its own. A print leaves a head
when the clock has gone *beyond* its due time, with the touch that was observed up to then: the last quote at or before
the due time. Nothing is written earlier, so no row knows its future.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.effective_spread import DEFINED, signed_twice, why_undefined
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Kind

OK, NO_QUOTE_THEN, SESSION_ENDED, CLOCK_BACK = 0, 1, 2, 3
"""Why a realised spread is MISSING, if it is."""

R_CLOCK, R_TS, R_PRICE, R_SIDE, R_QTY, R_EFFECTIVE, R_N = 0, 1, 2, 3, 4, 5, 6
"""Columns of the ring, and how many there are."""

_TRADE = int(Kind.TRADE)


@kernel
def advance_realised_spread(
    events: Any,
    ts_ns: NDArray[np.int64],
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    horizon_ns: NDArray[np.int64],
    ring: NDArray[np.int64],  # (capacity, R_N), capacity a power of two with room for every print of the block
    heads: NDArray[np.int64],  # (horizons,): prints taken by each head
    marks: NDArray[np.int64],  # [prints put in, session]
    start: int,
    out: NDArray[np.int64],  # (rows, 8): at, ts of the print, horizon, qty, side, effective, realised, why
    n_out: NDArray[np.int64],  # [rows written]
) -> int:
    """Go on from event ``start``; return where to go on from: the block's size when done, less when ``out`` is full."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    mask = ring.shape[0] - 1
    n = 0
    for i in range(start, clock_ns.size):
        now = clock_ns[i]
        ended = session[i] != marks[1]
        for h in range(horizon_ns.size):
            while heads[h] < marks[0]:
                row = heads[h] & mask
                waited = now - ring[row, R_CLOCK]
                if not ended and -horizon_ns[h] <= waited <= horizon_ns[h]:
                    break
                if n == out.shape[0]:
                    n_out[0] = n
                    return i  # the heads remember what was taken: the next call goes on right here
                out[n, 0] = i
                out[n, 1] = ring[row, R_TS]
                out[n, 2] = horizon_ns[h]
                out[n, 3] = ring[row, R_QTY]
                out[n, 4] = ring[row, R_SIDE]
                out[n, 5] = ring[row, R_EFFECTIVE]
                out[n, 6] = MISSING
                if ended:
                    out[n, 7] = SESSION_ENDED
                elif waited < 0:
                    out[n, 7] = CLOCK_BACK
                elif touch_state(bid_px[i], ask_px[i]) != TWO_SIDED:
                    out[n, 7] = NO_QUOTE_THEN
                else:
                    out[n, 7] = OK
                    out[n, 6] = signed_twice(ring[row, R_SIDE], ring[row, R_PRICE], bid_px[i], ask_px[i])
                n += 1
                heads[h] += 1
        marks[1] = session[i]
        if kind[i] != _TRADE or price[i] == MISSING or qty[i] <= 0 or now == MISSING:
            continue
        if why_undefined(side[i], detail[i], trading[i], bid_px[i], ask_px[i]) != DEFINED:
            continue
        row = marks[0] & mask
        ring[row, R_CLOCK] = now
        ring[row, R_TS] = ts_ns[i]
        ring[row, R_PRICE] = price[i]
        ring[row, R_SIDE] = side[i]
        ring[row, R_QTY] = qty[i]
        ring[row, R_EFFECTIVE] = signed_twice(np.int64(side[i]), price[i], bid_px[i], ask_px[i])
        marks[0] += 1
    n_out[0] = n
    return clock_ns.size
