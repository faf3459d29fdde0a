"""DBN records of orders and of the market's phase: one event each.

Each function writes event ``n`` without LAST and returns how many it wrote, or minus what is bad about the record.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper
from tapebook.kernels.dbn_words import (
    A_CANCEL,
    A_CLEAR,
    A_LEVEL,
    A_MODIFY,
    A_STATUS,
    A_TRADE,
    AN_ADD,
    AN_EXECUTION,
    BAD_ACTION,
    BAD_PRICE,
    BAD_SIDE,
    BAD_SIZE,
    BAD_STATUS,
    COUNT_MISSING,
    INFO,
    MISSING,
    RAW_MBP,
    RAW_TOB,
    TOB,
    UNDEFINED_PRICE,
    UNDEFINED_SIZE,
    VENUE,
    Bytes,
    Int,
    put,
    side_of,
)
from tapebook.market.events import Phase

_OPEN, _QUOTING = int(Phase.OPEN), int(Phase.QUOTING)


@lean_helper
def put_mbo(b: Bytes, at: Int, out: Any, n: Int, flags: Int, ts_event: Int, ts_recv: Int, who: Int) -> int:
    """Write the event of an order record; return how many (0 or 1), or minus what is bad."""
    raw = b.u8[at + 36]
    action = np.int64(b.u8[at + 38])
    side = side_of(np.int64(b.u8[at + 39]))
    price = b.i64[(at >> 3) + 3]
    size = np.int64(b.u32[(at >> 2) + 8])
    sequence = np.int64(b.u32[(at >> 2) + 13])
    kind = 0
    if side == 2:
        return -BAD_SIDE
    if action == 78:  # N: nothing about the book
        return 0
    if action == 82:  # R
        put(out, n, A_CLEAR, side, MISSING, MISSING, COUNT_MISSING, flags, ts_event, ts_recv, who, sequence)
        out["channel"][n] = b.u8[at + 37]
        return 1
    if action == 84:  # T
        kind = A_TRADE
    elif action == 70:  # F: what a resting order got; the record that takes it from the book follows
        kind = AN_EXECUTION
        flags |= INFO
    elif side == 0:
        return -BAD_SIDE
    elif raw & (RAW_TOB | RAW_MBP) and action in (65, 67, 77):  # the sum of a price, not an order
        kind = A_LEVEL
        if raw & RAW_TOB:
            flags |= TOB
            if price == UNDEFINED_PRICE:  # the whole side is gone
                put(out, n, A_CLEAR, side, MISSING, MISSING, COUNT_MISSING, flags, ts_event, ts_recv, who, sequence)
                out["channel"][n] = b.u8[at + 37]
                return 1
        if action == 67:
            size = 0
    elif action == 65:
        kind = AN_ADD
    elif action == 67:
        kind = A_CANCEL
    elif action == 77:
        kind = A_MODIFY
    else:
        return -BAD_ACTION
    if price == UNDEFINED_PRICE:
        if kind != A_CANCEL:
            return -BAD_PRICE
        price = MISSING
    if size == UNDEFINED_SIZE:
        return -BAD_SIZE
    put(out, n, kind, side, price, size, COUNT_MISSING, flags, ts_event, ts_recv, who, sequence)
    if kind != A_LEVEL:
        out["order_id"][n] = b.u64[(at >> 3) + 2]
    out["channel"][n] = b.u8[at + 37]
    if kind == A_TRADE and side != 0:
        out["side_source"][n] = VENUE
    return 1


@lean_helper
def put_status(
    b: Bytes, at: Int, out: Any, n: Int, ts_event: Int, ts_recv: Int, who: Int, phases: NDArray[np.uint8]
) -> int:
    """Write a change of phase; return 1, or minus what is bad."""
    action = np.int64(b.u32[(at >> 2) + 6]) & 0xFFFF
    if action >= phases.size:
        return -BAD_STATUS
    phase = np.int64(phases[action])
    if phase == 0:  # no change, or one of short selling alone: the record still says whether there is trading
        trading, quoting = b.u8[at + 30], b.u8[at + 31]
        phase = _OPEN if trading == 89 else _QUOTING if quoting == 89 else 0
    put(out, n, A_STATUS, 0, MISSING, MISSING, COUNT_MISSING, 0, ts_event, ts_recv, who, MISSING)
    out["detail"][n] = phase
    return 1
