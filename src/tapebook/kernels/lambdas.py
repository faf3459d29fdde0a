"""What flow costs: bars of a clock with their flow and their move, and regressions that forget.

A regression keeps weighted means and sums of squares about them (Finch 2009), so that nothing is subtracted that is
nearly equal; with weights ``w_k = decay^(age)``::

    slope = Sxy / Sxx        R^2 = Sxy^2 / (Sxx Syy)        SE = sqrt((1 - R^2) Syy / Sxx / (n_eff - 2))
    n_eff = (sum w)^2 / sum w^2

Without decay these are ordinary least squares.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.classification import VENUE, in_book, side_by, tick_sign_of
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, PRICE_SCALE

AT, SESSION, OPEN, HIGH, LOW, CLOSE, LOTS, SIGNED, TRADES, MID2_FIRST, MID2_LAST, BAR_N = range(12)
"""Columns of the bars, and how many there are: prices in 1e-9, mids doubled; MISSING where there is none."""

NOTIONAL, SIGNED_ROOT, FLOW_N = 0, 1, 2
"""Columns of the bars' floats: traded notional, and the sum of side * sqrt(notional) over its prints."""

CELL, THREAD, BROKEN, I_N = BAR_N, BAR_N + 1, BAR_N + 2, BAR_N + 3
"""Further places in the memory of the open bar; AT is -1 while there is none."""


@kernel
def _twice_mid(bid_px: int, ask_px: int) -> int:
    return bid_px + ask_px if touch_state(bid_px, ask_px) == TWO_SIDED else MISSING


@kernel
def advance_flow_bars(
    events: Any,
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    bar_ns: int,
    rule: int,
    lot_value: float,  # notional of one lot at a price of 1; below zero: of one lot at any price, negated
    tick: NDArray[np.int64],
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    out: NDArray[np.int64],  # (rows, BAR_N)
    out_flow: NDArray[np.float64],  # (rows, FLOW_N)
) -> int:
    """Write every bar that the events closed: the first event in a later cell of the clock, or session, closes it.

    Bars without an event do not exist, and events before the first stamp of the tape are in none. The mids are those at
    the bar's two ends; none across a break of the thread.
    """
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    n = 0
    for i in range(kind.size):
        if clock_ns[i] == MISSING:
            continue
        cell = clock_ns[i] // bar_ns
        if ints[AT] >= 0 and (cell != ints[CELL] or session[i] != ints[SESSION]):
            ints[MID2_LAST] = _twice_mid(bid_px[i], ask_px[i])
            if ints[BROKEN] != 0 or thread[i] != ints[THREAD]:
                ints[MID2_FIRST] = MISSING
            for k in range(BAR_N):
                out[n, k] = ints[k]
            out[n, AT] = i
            for k in range(FLOW_N):
                out_flow[n, k] = floats[k]
            n += 1
            ints[AT] = -1
        if ints[AT] < 0:
            ints[AT] = 0
            ints[CELL] = cell
            ints[SESSION] = session[i]
            ints[THREAD] = thread[i]
            ints[BROKEN] = 0
            ints[MID2_FIRST] = _twice_mid(bid_px[i], ask_px[i])
            for k in range(OPEN, CLOSE + 1):
                ints[k] = MISSING
            for k in range(LOTS, TRADES + 1):
                ints[k] = 0
            for k in range(FLOW_N):
                floats[k] = 0.0
        if not trading[i]:
            ints[BROKEN] = 1
            continue
        if not in_book(kind[i], detail[i], price[i], qty[i]):
            continue
        sign = np.int64(side[i])
        if rule != VENUE:
            by_tick = tick_sign_of(price[i], session[i], thread[i], tick)
            sign = side_by(rule, by_tick, price[i], bid_px[i], ask_px[i])
        if ints[TRADES] == 0:
            ints[OPEN] = price[i]
            ints[HIGH] = price[i]
            ints[LOW] = price[i]
        ints[HIGH] = max(ints[HIGH], price[i])
        ints[LOW] = min(ints[LOW], price[i])
        ints[CLOSE] = price[i]
        ints[LOTS] += qty[i]
        ints[SIGNED] += sign * qty[i]
        ints[TRADES] += 1
        worth = -lot_value * qty[i] if lot_value < 0.0 else abs(price[i] / PRICE_SCALE) * lot_value * qty[i]
        floats[NOTIONAL] += worth
        floats[SIGNED_ROOT] += sign * math.sqrt(worth)
    return n


W, W2, MX, MY, SXX, SXY, SYY, COUNT, REG_N = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Places in the memory of a regression, and how many there are."""

SLOPE, SE, R2, N_EFF, FIT_N = 0, 1, 2, 3, 4
"""Columns of a fit, and how many there are."""

_N_MIN = 10
_TINY = 1e-18


@kernel
def regress(
    x: NDArray[np.float64], y: NDArray[np.float64], decay: float, memory: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Fold pairs into the memory and write the fit after each; a pair with a NaN is passed over.

    NaN below ten pairs, and where x hardly varies.
    """
    for i in range(x.size):
        if not (math.isnan(x[i]) or math.isnan(y[i])):
            memory[W] = decay * memory[W] + 1.0
            memory[W2] = decay * decay * memory[W2] + 1.0
            dx, dy = x[i] - memory[MX], y[i] - memory[MY]
            memory[MX] += dx / memory[W]
            memory[MY] += dy / memory[W]
            memory[SXX] = decay * memory[SXX] + dx * (x[i] - memory[MX])
            memory[SXY] = decay * memory[SXY] + dx * (y[i] - memory[MY])
            memory[SYY] = decay * memory[SYY] + dy * (y[i] - memory[MY])
            memory[COUNT] += 1.0
        n_eff = memory[W] * memory[W] / memory[W2] if memory[W2] > 0.0 else 0.0
        out[i, SLOPE] = np.nan
        out[i, SE] = np.nan
        out[i, R2] = np.nan
        out[i, N_EFF] = n_eff
        sxx, sxy, syy = memory[SXX], memory[SXY], memory[SYY]
        if memory[COUNT] < _N_MIN or sxx <= _TINY * (memory[MX] * memory[MX] * memory[W] + 1.0):
            continue
        out[i, SLOPE] = sxy / sxx
        if syy > 0.0:
            out[i, R2] = min(sxy * sxy / (sxx * syy), 1.0)
        if n_eff > 2.0:
            out[i, SE] = math.sqrt(max(syy - sxy * sxy / sxx, 0.0) / sxx / (n_eff - 2.0))


A_W, A_MEAN, A_N = 0, 1, 2
"""Places in the floats of the memory of :func:`advance_amihud`, and how many there are."""


@kernel
def advance_amihud(
    bars: NDArray[np.int64],
    flow: NDArray[np.float64],
    decay: float,
    last: NDArray[np.int64],  # [close of the last bar with a trade, its session]
    memory: NDArray[np.float64],
    out: NDArray[np.float64],  # (rows, 3): place of the bar, its own value, the mean
) -> int:
    """Write |log return| per notional of every bar with a trade, and its mean that forgets."""
    n = 0
    for i in range(bars.shape[0]):
        if bars[i, TRADES] == 0:
            continue
        before = last[0] if last[0] != MISSING and last[1] == bars[i, SESSION] else bars[i, OPEN]
        own = np.nan
        if before > 0 and bars[i, CLOSE] > 0 and flow[i, NOTIONAL] > 0.0:
            own = abs(math.log(bars[i, CLOSE] / before)) / flow[i, NOTIONAL]
            memory[A_W] = decay * memory[A_W] + 1.0
            memory[A_MEAN] += (own - memory[A_MEAN]) / memory[A_W]
        last[0] = bars[i, CLOSE]
        last[1] = bars[i, SESSION]
        out[n, 0] = i
        out[n, 1] = own
        out[n, 2] = memory[A_MEAN] if memory[A_W] > 0.0 else np.nan
        n += 1
    return n
