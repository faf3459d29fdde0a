"""The effective spread of each print against the quote that stood before its message (Lee and Ready 1991)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Kind, TradeCondition

DEFINED, NO_SIDE, NO_QUOTE, NOT_IN_BOOK = 0, 1, 2, 3
"""Why a spread is undefined, if it is: no aggressor; no two-sided quote before it; an auction or block print."""

_TRADE = int(Kind.TRADE)
_CROSS, _OFF_BOOK = int(TradeCondition.CROSS), int(TradeCondition.OFF_BOOK)  # such a print met no quote


@kernel
def why_undefined(side: int, detail: int, trading: bool, bid_px: int, ask_px: int) -> int:
    """Return whether a print has an effective spread, and why not."""
    if not trading or detail in (_CROSS, _OFF_BOOK):
        return NOT_IN_BOOK
    if touch_state(bid_px, ask_px) != TWO_SIDED:
        return NO_QUOTE
    return NO_SIDE if side == 0 else DEFINED


@kernel
def signed_twice(side: int, price: int, bid_px: int, ask_px: int) -> int:
    """Return 2 * side * (price - mid) in 1e-9, exactly: the mid is never formed."""
    return side * ((price - bid_px) + (price - ask_px))


@kernel
def advance_effective_spread(
    events: Any,
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    out_at: NDArray[np.int64],
    out_effective: NDArray[np.int64],
    out_why: NDArray[np.uint8],
) -> int:
    """Write a row for each print: its place, the spread in 1e-9 (MISSING where undefined), and why it is undefined."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    n = 0
    for i in range(kind.size):
        if kind[i] != _TRADE or price[i] == MISSING or qty[i] <= 0:
            continue
        why = why_undefined(side[i], detail[i], trading[i], bid_px[i], ask_px[i])
        out_at[n] = i
        out_why[n] = why
        if why == DEFINED:
            out_effective[n] = signed_twice(np.int64(side[i]), price[i], bid_px[i], ask_px[i])
        else:
            out_effective[n] = MISSING
        n += 1
    return n
