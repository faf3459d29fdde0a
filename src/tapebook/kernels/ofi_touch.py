"""Best-level order-flow imbalance damped by depth, in logarithms, and by what caused it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.ofi import comparable, step_state
from tapebook.market.events import MISSING, Flag, Kind

_TRADE, _EXECUTE, _LAST = int(Kind.TRADE), int(Kind.EXECUTE), int(Flag.LAST)


@kernel
def side_change(px0: int, sz0: float, px1: int, sz1: float, sign: int) -> float:
    """Return the flow into one side of the touch; an empty side is infinitely bad and of size 0."""
    if MISSING in (px0, px1):
        better = px0 == MISSING and px1 != MISSING
        worse = px1 == MISSING and px0 != MISSING
    else:
        better = px1 > px0 if sign > 0 else px1 < px0
        worse = px1 < px0 if sign > 0 else px1 > px0
    if better:
        return sz1
    if worse:
        return -sz0
    return sz1 - sz0


TRADED, LAST_NS, HELD, N_STATE = 2, 3, 4, 5
"""Places in the state after ARMED and THREAD: whether the message under way traded; when the average depth was brought
up to date, and whether there is one; and how many places."""


@kernel
def advance_touch_flow(
    kind: NDArray[np.uint8],
    flags: NDArray[np.uint16],
    clock_ns: NDArray[np.int64],
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    thread: NDArray[np.int64],
    trading: NDArray[np.bool_],
    tau_ns: float,
    state: NDArray[np.int64],
    depth: NDArray[np.float64],
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (5, events): damped, of logarithms; adds, cancels, trades
) -> int:
    """Write, for each change of the touch, its flow in logarithms and by its causes; return how many."""
    n = 0
    for i in range(kind.size):
        if kind[i] in (_TRADE, _EXECUTE):
            state[TRADED] = 1
        j = i + 1
        same = bid_px[j] == bid_px[i] and bid_sz[j] == bid_sz[i] and ask_px[j] == ask_px[i] and ask_sz[j] == ask_sz[i]
        if same and thread[j] == thread[i]:
            if flags[i] & _LAST:
                state[TRADED] = 0
            continue
        good = trading[i] and comparable(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
        usable = step_state(state, good, thread[j])
        if state[HELD] == 1 and clock_ns[i] != MISSING and clock_ns[i] > state[LAST_NS]:
            # What stood until now weighs by how long it stood.
            if usable:
                fade = np.exp(-np.float64(clock_ns[i] - state[LAST_NS]) / tau_ns)
                depth[0] = fade * depth[0] + (1.0 - fade) * (np.float64(bid_sz[i]) + np.float64(ask_sz[i])) / 2
            state[LAST_NS] = clock_ns[i]
        for c in range(5):
            out[c, n] = np.nan
        if usable:
            b0, b1 = np.float64(bid_sz[i]), np.float64(bid_sz[j])
            a0, a1 = np.float64(ask_sz[i]), np.float64(ask_sz[j])
            bid = side_change(bid_px[i], b0, bid_px[j], b1, 1)
            ask = side_change(ask_px[i], a0, ask_px[j], a1, -1)
            flow = bid - ask
            if depth[0] > 0.0:
                out[0, n] = np.sign(flow) * np.log1p(abs(flow) / depth[0])
            out[1, n] = side_change(bid_px[i], np.log1p(b0), bid_px[j], np.log1p(b1), 1) - side_change(
                ask_px[i], np.log1p(a0), ask_px[j], np.log1p(a1), -1
            )
            gone = min(bid, 0.0) - min(ask, 0.0)
            out[2, n] = max(bid, 0.0) - max(ask, 0.0)
            out[3, n] = 0.0 if state[TRADED] == 1 else gone
            out[4, n] = gone if state[TRADED] == 1 else 0.0
        if good and state[HELD] == 0 and clock_ns[i] != MISSING:
            depth[0] = (np.float64(bid_sz[j]) + np.float64(ask_sz[j])) / 2
            state[LAST_NS] = clock_ns[i]
            state[HELD] = 1
        out_at[n] = i
        n += 1
        if flags[i] & _LAST:
            state[TRADED] = 0
    return n
