"""Imbalance of the two queues at the touch: (qb - qa) / (qb + qa)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING


@kernel
def imbalance(bid_px: int, bid_sz: int, ask_px: int, ask_sz: int) -> float:
    """Return the imbalance in [-1, 1]: +1 with no ask, -1 with no bid, NaN with neither or with a size not told."""
    bid = 0 if bid_px == MISSING else bid_sz
    ask = 0 if ask_px == MISSING else ask_sz
    if MISSING in (bid, ask) or bid < 0 or ask < 0 or bid + ask == 0:
        return np.nan
    return np.float64(bid - ask) / np.float64(bid + ask)


@kernel
def advance_imbalance(
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    out_at: NDArray[np.int64],
    out_imbalance: NDArray[np.float64],
    out_one_sided: NDArray[np.bool_],
) -> int:
    """Write a row for each change of a size at the touch or of its prices."""
    n = 0
    for i in range(bid_px.size - 1):
        j = i + 1
        if bid_px[j] == bid_px[i] and bid_sz[j] == bid_sz[i] and ask_px[j] == ask_px[i] and ask_sz[j] == ask_sz[i]:
            continue
        out_at[n] = i
        out_imbalance[n] = imbalance(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
        out_one_sided[n] = (bid_px[j] == MISSING) != (ask_px[j] == MISSING)
        n += 1
    return n
