"""The quoted spread and its mean over time (McInish and Wood 1992)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import NOT_TRADING, TWO_SIDED, touch_state
from tapebook.market.events import MISSING


@kernel
def advance_quoted_spread(
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    sums: NDArray[np.float64],  # [sum of spread * ns, ns]
    marks: NDArray[np.int64],  # [time of the last event, session, whether the market traded then]
    out_at: NDArray[np.int64],
    out_spread: NDArray[np.float64],
    out_mid: NDArray[np.float64],
    out_mean: NDArray[np.float64],
    out_state: NDArray[np.uint8],
) -> int:
    """Write a row for each change of a best price, and of whether the market trades.

    The mean runs over the session's time with a valid quote while the market traded, up to the event.
    """
    n = 0
    for i in range(clock_ns.size):
        if session[i] != marks[1]:
            marks[1] = session[i]
            sums[0] = 0.0
            sums[1] = 0.0
            marks[0] = clock_ns[i]
        if marks[0] != MISSING and clock_ns[i] != MISSING:
            held_ns = clock_ns[i] - marks[0]
            if held_ns > 0 and trading[i] and marks[2] == 1 and touch_state(bid_px[i], ask_px[i]) == TWO_SIDED:
                sums[0] += np.float64(ask_px[i] - bid_px[i]) * np.float64(held_ns)
                sums[1] += np.float64(held_ns)
        marks[0] = clock_ns[i]
        changed = marks[2] != (1 if trading[i] else 0)
        marks[2] = 1 if trading[i] else 0
        j = i + 1
        if bid_px[j] == bid_px[i] and ask_px[j] == ask_px[i] and not changed:
            continue
        state = touch_state(bid_px[j], ask_px[j]) if trading[i] else NOT_TRADING
        out_at[n] = i
        out_state[n] = state
        if state == TWO_SIDED:
            out_spread[n] = np.float64(ask_px[j] - bid_px[j])
            out_mid[n] = np.float64(bid_px[j]) / 2 + np.float64(ask_px[j]) / 2
        else:
            out_spread[n] = np.nan
            out_mid[n] = np.nan
        out_mean[n] = sums[0] / sums[1] if sums[1] > 0 else np.nan
        n += 1
    return n
