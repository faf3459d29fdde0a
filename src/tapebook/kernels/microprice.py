"""The microprice of the touch: the mid leaning towards the thinner queue, b + s * qb / (qb + qa)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING


@kernel
def microprice(bid_px: int, bid_sz: int, ask_px: int, ask_sz: int) -> float:
    """Return the microprice in 1e-9; NaN unless both sides stand, uncrossed, with sizes above zero in all."""
    if touch_state(bid_px, ask_px) != TWO_SIDED or MISSING in (bid_sz, ask_sz):
        return np.nan
    if bid_sz < 0 or ask_sz < 0 or bid_sz + ask_sz == 0:
        return np.nan
    # From the bid upwards: the difference is small, so the product keeps its digits.
    return np.float64(bid_px) + np.float64(ask_px - bid_px) * (np.float64(bid_sz) / np.float64(bid_sz + ask_sz))


@kernel
def advance_microprice(
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    out_at: NDArray[np.int64],
    out_microprice: NDArray[np.float64],
    out_mid: NDArray[np.float64],
) -> int:
    """Write a row for each change of the touch."""
    n = 0
    for i in range(bid_px.size - 1):
        j = i + 1
        if bid_px[j] == bid_px[i] and bid_sz[j] == bid_sz[i] and ask_px[j] == ask_px[i] and ask_sz[j] == ask_sz[i]:
            continue
        out_at[n] = i
        out_microprice[n] = microprice(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
        if touch_state(bid_px[j], ask_px[j]) == TWO_SIDED:
            out_mid[n] = np.float64(bid_px[j]) / 2 + np.float64(ask_px[j]) / 2
        else:
            out_mid[n] = np.nan
        n += 1
    return n
