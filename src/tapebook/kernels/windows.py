"""Aggregates over several trailing windows ``(t - w, t]`` in one pass, exact: what leaves is subtracted as an integer.

Prints wait in one ring and stretches of an unchanged touch in another; each window has its own head in both. Sums of
price times size, and of spread times nanoseconds, do not fit in 64 bits, so a factor is cut into limbs of 20 bits, each
with a sum of its own: no rounding, no carry, and any order of adding gives the same bits.

Exact while a window holds less than 2**43 lots and is no longer than 2**42 ns (73 minutes).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper, lean_kernel
from tapebook.kernels.imbalance import imbalance
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Flag, Kind

NOW, FIRST, TRADES_END, SEGMENTS_END, CHANGES, TOUCHED, TRADED, SIDED, TRADING, N_MARKS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
"""Places in ``marks``: the clock; where it began; the rings' ends; changes of the touch; what was ever seen."""

EDGE, TRADE_HEAD, SEGMENT_HEAD, N_TRADES, QTY, BOUGHT, SOLD = 0, 1, 2, 3, 4, 5, 6
VALUE_0, VALUE_1, VALUE_2 = 7, 8, 9  # price * lots, by limbs of the price
SPREAD_0, SPREAD_1, SPREAD_2, SPREAD_NS = 10, 11, 12, 13  # spread * ns, by limbs of the spread
LEAN_0, LEAN_1, LEAN_NS = 14, 15, 16  # imbalance * ns, by limbs
N_SUMS = 17
"""Places in a window's row of ``sums``, and how many there are."""

T_NS, T_PRICE, T_QTY, T_SIDE, N_TRADE = 0, 1, 2, 3, 4
S_NS, S_SPREAD, S_LEAN, S_CHANGES, N_SEGMENT = 0, 1, 2, 3, 4
"""Columns of the two rings."""

VWAP, SPREAD_MEAN, IMBALANCE_MEAN, BOUGHT_LOTS, SOLD_LOTS, TRADES_PER_S, QUOTES_PER_S, N_OUT = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of a window's rows, and how many there are."""

_TRADE, _LAST = int(Kind.TRADE), int(Flag.LAST)
_MASK = (1 << 20) - 1
_PRICE_MAX = 1 << 60  # 1.15e9 units of price; beyond it a price is damage, and differences could overflow
_QTY_MAX = 1 << 40
_LEAN_ONE = 274877906944.0  # 2**38: imbalances are kept to 3.6e-12
_LEAN_BITS, _LEAN_MASK = 19, (1 << 19) - 1


@lean_helper
def _begin(marks: NDArray[np.int64], sums: NDArray[np.int64], t: int) -> None:
    """Begin anew at ``t``: nothing waits, nothing is summed."""
    marks[NOW] = t
    marks[FIRST] = t
    marks[TRADES_END] = 0
    marks[SEGMENTS_END] = 0
    marks[CHANGES] = 0
    for w in range(sums.shape[0]):
        for k in range(N_SUMS):
            sums[w, k] = 0
        sums[w, EDGE] = t


@lean_helper
def _stands(
    marks: NDArray[np.int64],
    segments: NDArray[np.int64],
    bid_px: int,
    bid_sz: int,
    ask_px: int,
    ask_sz: int,
    trading: bool,
) -> None:
    """Append the touch that stands from now on."""
    at = marks[SEGMENTS_END] & (segments.shape[0] - 1)
    spread = MISSING
    lean = MISSING
    if trading:
        sane = -_PRICE_MAX <= bid_px <= _PRICE_MAX and -_PRICE_MAX <= ask_px <= _PRICE_MAX
        if sane and touch_state(bid_px, ask_px) == TWO_SIDED:
            spread = ask_px - bid_px
        if (bid_sz == MISSING or bid_sz <= _QTY_MAX) and (ask_sz == MISSING or ask_sz <= _QTY_MAX):
            value = imbalance(bid_px, bid_sz, ask_px, ask_sz)
            if value == value:  # noqa: PLR0124 - not NaN
                lean = np.int64(np.floor(value * _LEAN_ONE + 0.5))
    segments[at, S_NS] = marks[NOW]
    segments[at, S_SPREAD] = spread
    segments[at, S_LEAN] = lean
    segments[at, S_CHANGES] = marks[CHANGES]
    marks[SEGMENTS_END] += 1


@lean_helper
def _held(sums: NDArray[np.int64], w: int, spread: int, lean: int, ns: int) -> None:
    """Add a touch that stood for ``ns`` (below zero: take it away)."""
    if spread != MISSING:
        sums[w, SPREAD_0] += (spread & _MASK) * ns
        sums[w, SPREAD_1] += ((spread >> 20) & _MASK) * ns
        sums[w, SPREAD_2] += (spread >> 40) * ns
        sums[w, SPREAD_NS] += ns
    if lean != MISSING:
        sums[w, LEAN_0] += (lean & _LEAN_MASK) * ns
        sums[w, LEAN_1] += (lean >> _LEAN_BITS) * ns
        sums[w, LEAN_NS] += ns


@lean_helper
def _printed(sums: NDArray[np.int64], w: int, price: int, qty: int, side: int, sign: int) -> None:
    """Add a print (``sign`` -1: take it away)."""
    lots = sign * qty
    sums[w, N_TRADES] += sign
    sums[w, QTY] += lots
    sums[w, VALUE_0] += (price & _MASK) * lots
    sums[w, VALUE_1] += ((price >> 20) & _MASK) * lots
    sums[w, VALUE_2] += (price >> 40) * lots
    if side > 0:
        sums[w, BOUGHT] += lots
    elif side < 0:
        sums[w, SOLD] += lots


@lean_helper
def _pass_time(
    marks: NDArray[np.int64],
    sums: NDArray[np.int64],
    trades: NDArray[np.int64],
    segments: NDArray[np.int64],
    windows_ns: NDArray[np.int64],
    t: int,
) -> None:
    """Move the clock to ``t`` and let what is older than each window leave it."""
    trade_mask = trades.shape[0] - 1
    segment_mask = segments.shape[0] - 1
    held = t - marks[NOW]
    end = marks[SEGMENTS_END]
    current = (end - 1) & segment_mask
    for w in range(sums.shape[0]):
        _held(sums, w, segments[current, S_SPREAD], segments[current, S_LEAN], held)
        edge = t - windows_ns[w]
        if edge < sums[w, EDGE]:
            continue
        since = sums[w, EDGE]
        head = sums[w, SEGMENT_HEAD]
        while head + 1 < end and segments[(head + 1) & segment_mask, S_NS] <= edge:
            until = segments[(head + 1) & segment_mask, S_NS]
            at = head & segment_mask
            _held(sums, w, segments[at, S_SPREAD], segments[at, S_LEAN], since - until)
            since = until
            head += 1
        at = head & segment_mask
        _held(sums, w, segments[at, S_SPREAD], segments[at, S_LEAN], since - edge)
        sums[w, SEGMENT_HEAD] = head
        sums[w, EDGE] = edge
        head = sums[w, TRADE_HEAD]
        while head < marks[TRADES_END] and trades[head & trade_mask, T_NS] <= edge:
            at = head & trade_mask
            _printed(sums, w, trades[at, T_PRICE], trades[at, T_QTY], trades[at, T_SIDE], -1)
            head += 1
        sums[w, TRADE_HEAD] = head
    marks[NOW] = t


@lean_helper
def _tell(
    marks: NDArray[np.int64],
    sums: NDArray[np.int64],
    segments: NDArray[np.int64],
    w: int,
    window_ns: int,
    out: NDArray[np.float64],
    n: int,
) -> None:
    """Write one window's part of a row."""
    for k in range(N_OUT):
        out[n, w, k] = np.nan
    if marks[NOW] == MISSING or marks[NOW] - marks[FIRST] < window_ns:
        return
    seconds = np.float64(window_ns) * 1e-9
    if sums[w, QTY] > 0:
        value = (np.float64(sums[w, VALUE_2]) * 1048576.0 + np.float64(sums[w, VALUE_1])) * 1048576.0 + np.float64(
            sums[w, VALUE_0]
        )
        out[n, w, VWAP] = value / np.float64(sums[w, QTY])
    if sums[w, SPREAD_NS] > 0:
        value = (np.float64(sums[w, SPREAD_2]) * 1048576.0 + np.float64(sums[w, SPREAD_1])) * 1048576.0 + np.float64(
            sums[w, SPREAD_0]
        )
        out[n, w, SPREAD_MEAN] = value / np.float64(sums[w, SPREAD_NS])
    if sums[w, LEAN_NS] > 0:
        value = np.float64(sums[w, LEAN_1]) * 524288.0 + np.float64(sums[w, LEAN_0])
        out[n, w, IMBALANCE_MEAN] = value / np.float64(sums[w, LEAN_NS]) / _LEAN_ONE
    if marks[TRADED] != 0:
        out[n, w, TRADES_PER_S] = np.float64(sums[w, N_TRADES]) / seconds
    if marks[SIDED] != 0:
        out[n, w, BOUGHT_LOTS] = np.float64(sums[w, BOUGHT])
        out[n, w, SOLD_LOTS] = np.float64(sums[w, SOLD])
    if marks[TOUCHED] != 0:
        before = segments[sums[w, SEGMENT_HEAD] & (segments.shape[0] - 1), S_CHANGES]
        out[n, w, QUOTES_PER_S] = np.float64(marks[CHANGES] - before) / seconds


@lean_kernel
def advance_windows(
    events: Any,
    clock_ns: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    windows_ns: NDArray[np.int64],
    marks: NDArray[np.int64],
    sums: NDArray[np.int64],  # (windows, N_SUMS)
    trades: NDArray[np.int64],  # (a power of two, N_TRADE), with room for every print of the block
    segments: NDArray[np.int64],  # (a power of two, N_SEGMENT), with room for two for every event, and two more
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (events, windows, N_OUT)
) -> int:
    """Write a row for each observable event: its place, and every window's aggregates."""
    kind = events["kind"]
    flags = events["flags"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    n = 0
    for i in range(kind.size):
        j = i + 1
        t = clock_ns[i]
        if t != MISSING:
            if marks[NOW] == MISSING or t < marks[NOW]:
                _begin(marks, sums, t)
                marks[TRADING] = 1 if trading[i] else 0
                _stands(marks, segments, bid_px[i], bid_sz[i], ask_px[i], ask_sz[i], trading[i])
            elif t > marks[NOW]:
                _pass_time(marks, sums, trades, segments, windows_ns, t)
            if kind[i] == _TRADE and 0 < qty[i] <= _QTY_MAX and -_PRICE_MAX <= price[i] <= _PRICE_MAX:
                at = marks[TRADES_END] & (trades.shape[0] - 1)
                trades[at, T_NS] = t
                trades[at, T_PRICE] = price[i]
                trades[at, T_QTY] = qty[i]
                trades[at, T_SIDE] = side[i]
                marks[TRADES_END] += 1
                marks[TRADED] = 1
                if side[i] != 0:
                    marks[SIDED] = 1
                for w in range(sums.shape[0]):
                    _printed(sums, w, price[i], qty[i], np.int64(side[i]), 1)
            changed = (
                bid_px[j] != bid_px[i] or bid_sz[j] != bid_sz[i] or ask_px[j] != ask_px[i] or ask_sz[j] != ask_sz[i]
            )
            if changed:
                marks[CHANGES] += 1
            if changed or (marks[TRADING] != 0) != trading[i]:
                marks[TRADING] = 1 if trading[i] else 0
                _stands(marks, segments, bid_px[j], bid_sz[j], ask_px[j], ask_sz[j], trading[i])
            if bid_px[j] != MISSING or ask_px[j] != MISSING:
                marks[TOUCHED] = 1
        if flags[i] & _LAST:
            out_at[n] = i
            for w in range(sums.shape[0]):
                _tell(marks, sums, segments, w, windows_ns[w], out, n)
            n += 1
    return n
