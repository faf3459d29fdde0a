"""Order-flow imbalance at the best prices, event by event (Cont, Kukanov and Stoikov 2014).

Between two successive observations of the touch::

    e = 1{b' >= b} qb' - 1{b' <= b} qb - 1{a' <= a} qa' + 1{a' >= a} qa

A side that is empty counts as a price of minus (bid) or plus (ask) infinity with size 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import CROSSED, EMPTY, LOCKED, touch_state
from tapebook.market.events import MISSING

_FAR = 9223372036854775807

ARMED, THREAD, N_STATE = 0, 1, 2
"""Places in the state, and how many there are: whether a touch (or book) to compare with stands, and its thread."""


@kernel
def ofi_increment(
    bid_px0: int, bid_sz0: int, ask_px0: int, ask_sz0: int, bid_px1: int, bid_sz1: int, ask_px1: int, ask_sz1: int
) -> int:
    """Return the flow, in lots, that turned one touch into the next."""
    # An empty bid is MISSING, the smallest integer: minus infinity already. An empty ask has to become plus infinity.
    a0 = _FAR if ask_px0 == MISSING else ask_px0
    a1 = _FAR if ask_px1 == MISSING else ask_px1
    flow = 0
    if bid_px1 >= bid_px0:
        flow += bid_sz1
    if bid_px1 <= bid_px0:
        flow -= bid_sz0
    if a1 <= a0:
        flow -= ask_sz1
    if a1 >= a0:
        flow += ask_sz0
    return flow


@kernel
def comparable(bid_px: int, bid_sz: int, ask_px: int, ask_sz: int) -> bool:
    """Return whether flow into or out of this touch is defined: not empty, not locked or crossed, sizes known."""
    state = touch_state(bid_px, ask_px)
    return state not in (EMPTY, LOCKED, CROSSED) and MISSING not in (bid_sz, ask_sz)


@kernel
def step_state(state: NDArray[np.int64], good: bool, thread: int) -> bool:
    """Return whether this may be compared with what stood before, and remember whether the next one may with it."""
    usable = good and state[ARMED] == 1 and state[THREAD] == thread
    state[ARMED] = 1 if good else 0
    state[THREAD] = thread
    return usable


@kernel
def advance_ofi(
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    thread: NDArray[np.int64],
    trading: NDArray[np.bool_],
    state: NDArray[np.int64],
    out_at: NDArray[np.int64],
    out_ofi: NDArray[np.float64],
) -> int:
    """Write a row for each change of the touch: the event's place and the flow, NaN with nothing to compare."""
    n = 0
    for i in range(bid_px.size - 1):
        j = i + 1
        if (
            bid_px[j] == bid_px[i]
            and bid_sz[j] == bid_sz[i]
            and ask_px[j] == ask_px[i]
            and ask_sz[j] == ask_sz[i]
            and thread[j] == thread[i]
        ):
            continue
        good = trading[i] and comparable(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
        out_at[n] = i
        if step_state(state, good, thread[j]):
            out_ofi[n] = ofi_increment(
                bid_px[i], bid_sz[i], ask_px[i], ask_sz[i], bid_px[j], bid_sz[j], ask_px[j], ask_sz[j]
            )
        else:
            out_ofi[n] = np.nan
        n += 1
    return n
