"""The catalogue's columns on a bar clock: what is folded when a bar closes.

Windows are summed without drift: a window of ``n`` values is the values since the last multiple of ``n``, and the rest
of the block before, whose sums from each place on were taken once. Nothing is ever subtracted.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_step
from tapebook.kernels.book_state import Int
from tapebook.kernels.catalogue_state import (
    ACCELERATION,
    AMIHUD,
    AMIHUD_BARS,
    BAR_NS,
    BOLLINGER,
    BOLLINGER_LENGTH,
    BOLLINGER_WIDTH,
    FLOW,
    FRACDIFF_PRICE,
    FRACDIFF_VOLUME,
    FRESH,
    IN_BAR,
    KYLE,
    KYLE_KEEP,
    KYLE_WARM_BARS,
    KYLE_WEIGHT,
    KYLE_X,
    KYLE_XX,
    KYLE_XY,
    KYLE_Y,
    LACKS,
    LAST_CLOSE,
    LAST_MID,
    MACD,
    MACD_FAST,
    MACD_SIGNAL,
    MACD_SLOW,
    MACD_SMOOTH,
    N_ACTIVE,
    N_AMIHUD,
    N_CLOSES,
    N_FLOWS,
    NOTIONAL,
    OPEN,
    REALISED_VOLATILITY,
    REFERENCE,
    RETURNS,
    RSI,
    RSI_LENGTH,
    TRADED,
    VELOCITY,
    VELOCITY_START,
    VOLATILITY_BARS,
    VOLUME,
    Memory,
    Settings,
)
from tapebook.kernels.fracdiff import fracdiff_step
from tapebook.kernels.technical import bollinger_step, macd_step, rsi_step
from tapebook.market.events import MISSING, PRICE_SCALE

_SCALE = float(PRICE_SCALE)
_MILLION = 1e6
_FLOW_VARIANCE_MIN = 1e-9  # lots squared: below it the flow did not vary


@lean_step
def renew(ring: NDArray[np.float64], tail: NDArray[np.float64]) -> None:
    """Write the sums of a full ring from each place on."""
    n = ring.size
    tail[n] = 0.0
    for i in range(n - 1, -1, -1):
        tail[i] = tail[i + 1]
        if not ring[i] < 0.0:  # what is no number stays one
            tail[i] += ring[i]


@lean_step
def restart(m: Memory) -> None:
    """Forget all bars and the mid's motion: what comes cannot be compared with what was."""
    now = m.now
    m.marks[VELOCITY_START] = MISSING
    now[VELOCITY] = np.nan
    now[ACCELERATION] = np.nan
    if m.marks[FRESH] == 1:
        return
    for c in (REALISED_VOLATILITY, KYLE, AMIHUD, FRACDIFF_PRICE, FRACDIFF_VOLUME, RSI, MACD, MACD_SIGNAL, BOLLINGER):
        now[c] = np.nan
    for place in (OPEN, IN_BAR, N_CLOSES, TRADED, N_FLOWS, N_AMIHUD, N_ACTIVE):
        m.marks[place] = 0
    for place in (VOLUME, FLOW, NOTIONAL, RETURNS, LACKS, KYLE_WEIGHT, KYLE_X, KYLE_Y, KYLE_XX, KYLE_XY):
        m.sums[place] = 0.0
    m.returns_tail[:] = 0.0
    m.lacks_tail[:] = 0.0
    m.rsi[:] = 0.0
    m.macd[:] = 0.0
    m.bollinger[:] = 0.0
    m.bollinger_ring[:] = 0.0
    m.price_ring[:] = 0.0
    m.price_place[:] = 0
    m.volume_ring[:] = 0.0
    m.volume_place[:] = 0
    m.marks[FRESH] = 1


@lean_step
def fold_return(at_ns: Int, r: float, k: Settings, m: Memory) -> None:
    """Fold a bar's log return into the realised volatility: root of the squared returns over the time they took."""
    n = k.lengths[VOLATILITY_BARS]
    count = m.marks[N_CLOSES] - 1  # returns, this one included
    place = (count - 1) % n
    m.returns[place] = r * r
    m.sums[RETURNS] += r * r
    total = m.sums[RETURNS] + m.returns_tail[place + 1]
    elapsed_ns = n * k.lengths[BAR_NS]
    if k.lengths[BAR_NS] == 0:
        elapsed_ns = at_ns - m.times[count % n]
    if count >= n:
        defined = elapsed_ns > 0
        m.now[REALISED_VOLATILITY] = 1e4 * math.sqrt(total / (elapsed_ns * 1e-9)) if defined else np.nan
    if place == n - 1:
        renew(m.returns, m.returns_tail)
        m.sums[RETURNS] = 0.0


@lean_step
def fold_flow(change: float, r: float, k: Settings, m: Memory) -> None:
    """Fold a bar's mid change beside its signed lots, and its return beside its notional."""
    sums, marks = m.sums, m.marks
    marks[N_FLOWS] += 1
    keep = k.settings[KYLE_KEEP]
    sums[KYLE_WEIGHT] = keep * sums[KYLE_WEIGHT] + 1.0
    a = 1.0 / sums[KYLE_WEIGHT]
    dx = sums[FLOW] - sums[KYLE_X]
    dy = change - sums[KYLE_Y]
    sums[KYLE_X] += a * dx
    sums[KYLE_Y] += a * dy
    sums[KYLE_XX] = (1.0 - a) * (sums[KYLE_XX] + a * dx * dx)
    sums[KYLE_XY] = (1.0 - a) * (sums[KYLE_XY] + a * dx * dy)
    if marks[N_FLOWS] >= k.lengths[KYLE_WARM_BARS]:
        varied = sums[KYLE_XX] > _FLOW_VARIANCE_MIN
        m.now[KYLE] = sums[KYLE_XY] / sums[KYLE_XX] if varied else np.nan
    n = k.lengths[AMIHUD_BARS]
    place = marks[N_AMIHUD] % n
    if marks[N_AMIHUD] >= n and m.lacks[place] >= 0.0:
        marks[N_ACTIVE] -= 1
    lack = -1.0  # no volume, or no return
    if sums[NOTIONAL] > 0.0 and not math.isnan(r):
        lack = abs(r) / sums[NOTIONAL] * _MILLION
        sums[LACKS] += lack
        marks[N_ACTIVE] += 1
    m.lacks[place] = lack
    total = sums[LACKS] + m.lacks_tail[place + 1]
    marks[N_AMIHUD] += 1
    if marks[N_AMIHUD] >= n:
        m.now[AMIHUD] = total / marks[N_ACTIVE] if marks[N_ACTIVE] > 0 else np.nan
    if place == n - 1:
        renew(m.lacks, m.lacks_tail)
        sums[LACKS] = 0.0


@lean_step
def close_bar(at_ns: Int, k: Settings, m: Memory) -> None:
    """Close the bar that is open: the last observable mid, and the prints since the close before."""
    sums, marks, now, lengths = m.sums, m.marks, m.now, k.lengths
    mid = sums[LAST_MID]
    price = mid / _SCALE
    marks[N_CLOSES] += 1
    if marks[N_CLOSES] > 1:
        before = sums[LAST_CLOSE]
        r = math.log(mid / before) if mid > 0.0 and before > 0.0 else np.nan
        fold_return(at_ns, r, k, m)
        if marks[TRADED] == 1:
            fold_flow((mid - before) / _SCALE, r, k, m)
    m.times[(marks[N_CLOSES] - 1) % m.times.size] = at_ns
    sums[LAST_CLOSE] = mid
    reference = sums[REFERENCE]
    level = math.log(price / reference) if price > 0.0 and reference > 0.0 else np.nan
    now[FRACDIFF_PRICE] = fracdiff_step(level, k.weights, m.price_ring, m.price_place)
    if marks[TRADED] == 1:
        now[FRACDIFF_VOLUME] = fracdiff_step(sums[VOLUME], k.weights, m.volume_ring, m.volume_place)
    now[RSI] = rsi_step(price, lengths[RSI_LENGTH], m.rsi)
    now[MACD], now[MACD_SIGNAL] = macd_step(price, lengths[MACD_FAST], lengths[MACD_SLOW], lengths[MACD_SMOOTH], m.macd)
    now[BOLLINGER] = bollinger_step(
        price, lengths[BOLLINGER_LENGTH], k.settings[BOLLINGER_WIDTH], m.bollinger_ring, m.bollinger
    )
    marks[IN_BAR] = 0
    sums[VOLUME] = 0.0
    sums[FLOW] = 0.0
    sums[NOTIONAL] = 0.0
