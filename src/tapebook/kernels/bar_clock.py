"""A bar clock for features: what stood and what traded when an interval of time, or a number of trades, was over.

A bar closes with the first event at or past its end, before that event is folded; intervals in which nothing happened
carry the mid. A bar of ``n`` trades closes with the print after the ``n``-th, so that it holds what the last print's
own message did to the quote. A mid counts while it is two-sided and the market trades; crosses and off-book prints do
not count.

Bars begin afresh with a new session, a break of the thread (a cleared book, a snapshot, a gap, a stop of trading), a
pause of too many bars, and a clock that was put back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Kind, TradeCondition

END, SESSION, THREAD, OPEN, AGE, IN_BAR, TRADED, REFERENCE_SESSION, MARKS_N = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Places of ``marks``, the whole numbers of the memory."""
CLOSE, HIGH, LOW, VOLUME, TRADES, REFERENCE, B_AGE, B_N = 0, 1, 2, 3, 4, 5, 6, 7
"""Columns of a bar (prices in 1e-9): B_AGE counts bars since they began afresh; the first six are ``sums`` as well."""

_TRADE = int(Kind.TRADE)
_CROSS, _OFF_BOOK = int(TradeCondition.CROSS), int(TradeCondition.OFF_BOOK)


@kernel
def _write(
    end_ns: int,
    marks: NDArray[np.int64],
    sums: NDArray[np.float64],
    ends: NDArray[np.int64],
    bars: NDArray[np.float64],
    n: int,
) -> int:
    """Close the bar that is open and begin the next at its close; return how many rows are written."""
    ends[n] = end_ns
    for k in range(B_AGE):
        bars[n, k] = sums[k]
    if marks[TRADED] == 0:
        bars[n, VOLUME] = np.nan
    bars[n, B_AGE] = marks[AGE]
    marks[AGE] += 1
    marks[IN_BAR] = 0
    sums[HIGH] = sums[CLOSE]
    sums[LOW] = sums[CLOSE]
    sums[VOLUME] = 0.0
    sums[TRADES] = 0.0
    return n + 1


@kernel
def _begin(t: int, session: int, bar_ns: int, mid: float, marks: NDArray[np.int64], sums: NDArray[np.float64]) -> None:
    if bar_ns > 0:
        marks[END] = (t // bar_ns + 1) * bar_ns
    marks[OPEN] = 1
    marks[AGE] = 0
    marks[IN_BAR] = 0
    marks[TRADED] = 0
    sums[CLOSE] = mid
    sums[HIGH] = mid
    sums[LOW] = mid
    sums[VOLUME] = 0.0
    sums[TRADES] = 0.0
    if marks[REFERENCE_SESSION] != session:
        marks[REFERENCE_SESSION] = session
        sums[REFERENCE] = mid


@kernel
def read_bars(
    kind: NDArray[np.uint8],
    price: NDArray[np.int64],
    qty: NDArray[np.int64],
    detail: NDArray[np.uint8],
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    bar_ns: int,  # 0: by trades
    bar_trades: int,
    pause_bars: int,
    marks: NDArray[np.int64],
    sums: NDArray[np.float64],
    start: int,
    ends: NDArray[np.int64],  # room for at least ``pause_bars + 1`` rows
    bars: NDArray[np.float64],  # (rows, B_N)
    n_out: NDArray[np.int64],  # [rows written]
) -> int:
    """Go on from event ``start``; return where to go on from: the block's size when done, less when rows are full."""
    n = 0
    for i in range(start, clock_ns.size):
        t = clock_ns[i]
        if session[i] != marks[SESSION]:
            marks[SESSION] = session[i]
            marks[OPEN] = 0
        if marks[OPEN] == 1 and bar_ns > 0 and t != MISSING:
            late = t - marks[END]
            if late < -bar_ns or late // bar_ns > pause_bars:
                marks[OPEN] = 0
            elif late >= 0:
                if n + late // bar_ns + 1 > ends.size:
                    n_out[0] = n
                    return i  # nothing of this event was folded: the next call begins with it
                for _ in range(late // bar_ns + 1):
                    n = _write(marks[END], marks, sums, ends, bars, n)
                    marks[END] += bar_ns
        good = trading[i] and t != MISSING
        if marks[OPEN] == 0 and good and thread[i] == marks[THREAD] and touch_state(bid_px[i], ask_px[i]) == TWO_SIDED:
            _begin(t, session[i], bar_ns, 0.5 * (np.float64(bid_px[i]) + np.float64(ask_px[i])), marks, sums)
        if (
            marks[OPEN] == 1
            and kind[i] == _TRADE
            and price[i] != MISSING
            and qty[i] > 0
            and detail[i] not in (_CROSS, _OFF_BOOK)
        ):
            if bar_ns == 0 and marks[IN_BAR] == bar_trades:
                if n == ends.size:
                    n_out[0] = n
                    return i
                n = _write(t, marks, sums, ends, bars, n)
            sums[VOLUME] += np.float64(qty[i])
            sums[TRADES] += 1.0
            marks[IN_BAR] += 1
            marks[TRADED] = 1
        if thread[i + 1] != marks[THREAD]:
            marks[THREAD] = thread[i + 1]
            marks[OPEN] = 0
        if good and touch_state(bid_px[i + 1], ask_px[i + 1]) == TWO_SIDED:
            mid = 0.5 * (np.float64(bid_px[i + 1]) + np.float64(ask_px[i + 1]))
            if marks[OPEN] == 0:
                _begin(t, session[i], bar_ns, mid, marks, sums)
            sums[CLOSE] = mid
            sums[HIGH] = max(sums[HIGH], mid)
            sums[LOW] = min(sums[LOW], mid)
    n_out[0] = n
    return clock_ns.size
