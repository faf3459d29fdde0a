"""Classic indicators one price at a time: Wilder's RSI, MACD, Bollinger's %b, the EMA and the ATR.

RSI (Wilder 1978): the first averages are plain means of the first ``n`` gains and losses, then::

    G <- G (n - 1) / n + gain / n,   L likewise,   RSI = 100 G / (G + L),   undefined while both are zero

MACD: EMA(fast) - EMA(slow) and the EMA(signal) of it, ``m <- m + 2 / (n + 1) (x - m)``, each begun with a plain mean.
Both averages of the price begin at the same price, as TA-Lib has it: with 12 and 26 the fast one is first the mean of
prices 14 to 25 (counted from 0), the slow one that of prices 0 to 25.

Bollinger: mean and population deviation of the last ``n`` prices, ``%b = 1/2 + (x - mean) / (2 width sd)``. The sums
are of differences from a price of the window, and are made anew once for each turn of the ring, and wherever too many
digits would cancel: nothing drifts, and what is computed depends on the prices seen and nothing else.

A fresh state is all zeros. What is not defined yet is NaN. A price that is no finite number starts afresh.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel, lean_helper, lean_kernel

RSI_SEEN, RSI_LAST, RSI_GAIN, RSI_LOSS, RSI_N = 0, 1, 2, 3, 4
"""Places in the state of :func:`rsi_step`, and how many there are."""
MACD_SEEN, MACD_FAST, MACD_SLOW, MACD_SEEN_SIGNAL, MACD_SIGNAL, MACD_N = 0, 1, 2, 3, 4, 5
"""Places in the state of :func:`macd_step`; until an average is begun, its place holds a sum."""
BOLLINGER_SEEN, BOLLINGER_AT, BOLLINGER_SHIFT, BOLLINGER_SUM, BOLLINGER_SQUARES, BOLLINGER_ALIKE, BOLLINGER_N = range(7)
"""Places in the state of :func:`bollinger_step`; ALIKE counts how often the last price came in a row."""
EMA_SEEN, EMA_MEAN, EMA_N = 0, 1, 2
"""Places in the state of :func:`ema_step`."""
ATR_SEEN, ATR_CLOSE, ATR_MEAN, ATR_N = 0, 1, 2, 3
"""Places in the state of :func:`atr_step`."""

# A variance below this share of the squared distance from the shift has lost some five digits: the sums are made anew.
_CANCELLED = 1e-5


@lean_helper
def _rsi_of(gain: float, loss: float) -> float:
    both = gain + loss
    return 100.0 * (gain / both) if both > 0.0 else np.nan


@lean_kernel
def rsi_step(x: float, length: int, state: NDArray[np.float64]) -> float:
    """Take one price; return the RSI, NaN for the first ``length`` prices and where nothing has moved at all."""
    if not math.isfinite(x):
        state[:] = 0.0
        return np.nan
    seen = state[RSI_SEEN]
    change = x - state[RSI_LAST]
    state[RSI_LAST] = x
    if seen == 0.0:
        state[RSI_SEEN] = 1.0
        return np.nan
    gain = max(change, 0.0)
    loss = max(-change, 0.0)
    if seen <= length:
        state[RSI_SEEN] = seen + 1.0
        state[RSI_GAIN] += gain
        state[RSI_LOSS] += loss
        if seen < length:
            return np.nan
        state[RSI_GAIN] /= length
        state[RSI_LOSS] /= length
    else:
        share = 1.0 / length
        keep = 1.0 - share
        state[RSI_GAIN] = keep * state[RSI_GAIN] + share * gain
        state[RSI_LOSS] = keep * state[RSI_LOSS] + share * loss
    return _rsi_of(state[RSI_GAIN], state[RSI_LOSS])


@kernel
def rsi_run(x: NDArray[np.float64], length: int, state: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write what :func:`rsi_step` says of each price, to the last bit; the averages stay in registers."""
    share = 1.0 / length
    keep = 1.0 - share
    i = 0
    while i < x.size:
        while i < x.size and not (state[RSI_SEEN] > length and math.isfinite(x[i])):
            out[i] = rsi_step(x[i], length, state)
            i += 1
        last, up, down = state[RSI_LAST], state[RSI_GAIN], state[RSI_LOSS]
        while i < x.size and math.isfinite(x[i]):
            change = x[i] - last
            last = x[i]
            up = keep * up + share * max(change, 0.0)
            down = keep * down + share * max(-change, 0.0)
            out[i] = _rsi_of(up, down)
            i += 1
        state[RSI_LAST], state[RSI_GAIN], state[RSI_LOSS] = last, up, down


@lean_kernel
def macd_step(x: float, fast: int, slow: int, signal: int, state: NDArray[np.float64]) -> tuple[float, float]:
    """Take one price; return MACD (NaN for the first ``slow - 1``) and its signal (NaN for ``signal - 1`` more)."""
    if not math.isfinite(x):
        state[:] = 0.0
        return np.nan, np.nan
    seen = state[MACD_SEEN]
    if seen < slow:
        state[MACD_SEEN] = seen + 1.0
        state[MACD_SLOW] += x
        if seen >= slow - fast:
            state[MACD_FAST] += x
        if seen + 1.0 < slow:
            return np.nan, np.nan
        state[MACD_SLOW] /= slow
        state[MACD_FAST] /= fast
    else:
        state[MACD_FAST] += 2.0 / (fast + 1.0) * (x - state[MACD_FAST])
        state[MACD_SLOW] += 2.0 / (slow + 1.0) * (x - state[MACD_SLOW])
    macd = state[MACD_FAST] - state[MACD_SLOW]
    seen = state[MACD_SEEN_SIGNAL]
    if seen < signal:
        state[MACD_SEEN_SIGNAL] = seen + 1.0
        state[MACD_SIGNAL] += macd
        if seen + 1.0 < signal:
            return macd, np.nan
        state[MACD_SIGNAL] /= signal
    else:
        state[MACD_SIGNAL] += 2.0 / (signal + 1.0) * (macd - state[MACD_SIGNAL])
    return macd, state[MACD_SIGNAL]


@kernel
def macd_run(
    x: NDArray[np.float64], fast: int, slow: int, signal: int, state: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Write what :func:`macd_step` says of each price into the rows of ``out``, to the last bit."""
    a_fast, a_slow, a_signal = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0), 2.0 / (signal + 1.0)
    i = 0
    while i < x.size:
        while i < x.size and not (state[MACD_SEEN_SIGNAL] >= signal and math.isfinite(x[i])):
            out[0, i], out[1, i] = macd_step(x[i], fast, slow, signal, state)
            i += 1
        m_fast, m_slow, m_signal = state[MACD_FAST], state[MACD_SLOW], state[MACD_SIGNAL]
        while i < x.size and math.isfinite(x[i]):
            m_fast += a_fast * (x[i] - m_fast)
            m_slow += a_slow * (x[i] - m_slow)
            macd = m_fast - m_slow
            m_signal += a_signal * (macd - m_signal)
            out[0, i] = macd
            out[1, i] = m_signal
            i += 1
        state[MACD_FAST], state[MACD_SLOW], state[MACD_SIGNAL] = m_fast, m_slow, m_signal


@lean_kernel
def _sums(shift: float, length: int, ring: NDArray[np.float64]) -> tuple[float, float]:
    total, squares = 0.0, 0.0
    for k in range(length):
        d = ring[k] - shift
        total += d
        squares += d * d
    return total, squares


@lean_kernel
def bollinger_moments(
    x: float, length: int, ring: NDArray[np.float64], state: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Take one price; return mean and deviation of the last ``length``, and how far the price is above the mean.

    All NaN for the first ``length - 1``. The deviation is 0 where all prices are equal, and only there.
    """
    if not math.isfinite(x):
        state[:] = 0.0
        return np.nan, np.nan, np.nan
    at = int(state[BOLLINGER_AT])
    seen = state[BOLLINGER_SEEN]
    last = ring[at - 1 if at > 0 else length - 1]
    state[BOLLINGER_ALIKE] = state[BOLLINGER_ALIKE] + 1.0 if seen > 0.0 and x == last else 1.0
    old = ring[at]
    ring[at] = x
    at += 1
    state[BOLLINGER_AT] = 0.0 if at == length else at
    if seen < length:
        state[BOLLINGER_SEEN] = seen + 1.0
        if seen + 1.0 < length:
            return np.nan, np.nan, np.nan
    if at == length:
        state[BOLLINGER_SHIFT] = x
        state[BOLLINGER_SUM], state[BOLLINGER_SQUARES] = _sums(x, length, ring)
    else:
        new_d = x - state[BOLLINGER_SHIFT]
        old_d = old - state[BOLLINGER_SHIFT]
        state[BOLLINGER_SUM] += new_d - old_d
        state[BOLLINGER_SQUARES] += new_d * new_d - old_d * old_d
    if state[BOLLINGER_ALIKE] >= length:
        return x, 0.0, 0.0
    share = 1.0 / length
    m = state[BOLLINGER_SUM] * share
    variance = state[BOLLINGER_SQUARES] * share - m * m
    if variance < _CANCELLED * m * m:
        state[BOLLINGER_SHIFT] += m
        state[BOLLINGER_SUM], state[BOLLINGER_SQUARES] = _sums(state[BOLLINGER_SHIFT], length, ring)
        m = state[BOLLINGER_SUM] * share
        variance = state[BOLLINGER_SQUARES] * share - m * m
    return state[BOLLINGER_SHIFT] + m, math.sqrt(max(variance, 0.0)), x - state[BOLLINGER_SHIFT] - m


@lean_kernel
def bollinger_step(x: float, length: int, width: float, ring: NDArray[np.float64], state: NDArray[np.float64]) -> float:
    """Take one price; return %b: 0 at the lower band, 1 at the upper; NaN before ``length`` and where all agree."""
    _mean, sd, above = bollinger_moments(x, length, ring, state)
    return 0.5 + above / (2.0 * (width * sd)) if sd > 0.0 else np.nan


@lean_helper
def _write_bands(i: int, mean: float, sd: float, above: float, width: float, out: NDArray[np.float64]) -> None:
    reach = width * sd
    out[0, i] = mean
    out[1, i] = mean + reach
    out[2, i] = mean - reach
    out[3, i] = 0.5 + above / (2.0 * reach) if sd > 0.0 else np.nan
    out[4, i] = 2.0 * reach / mean if mean != 0.0 else np.nan


@lean_kernel
def bollinger_run(
    x: NDArray[np.float64],
    length: int,
    width: float,
    ring: NDArray[np.float64],
    state: NDArray[np.float64],
    out: NDArray[np.float64],  # (5, n): mean, upper, lower, %b, bandwidth
) -> None:
    """Write the bands and what :func:`bollinger_step` says of each price into the rows of ``out``."""
    share = 1.0 / length
    i = 0
    while i < x.size:
        while i < x.size and not (state[BOLLINGER_SEEN] >= length and math.isfinite(x[i])):
            mean, sd, above = bollinger_moments(x[i], length, ring, state)
            _write_bands(i, mean, sd, above, width, out)
            i += 1
        at = int(state[BOLLINGER_AT])
        last = ring[at - 1 if at > 0 else length - 1]
        alike = state[BOLLINGER_ALIKE]
        shift, total, squares = state[BOLLINGER_SHIFT], state[BOLLINGER_SUM], state[BOLLINGER_SQUARES]
        while i < x.size and math.isfinite(x[i]):
            now = x[i]
            alike = alike + 1.0 if now == last else 1.0
            last = now
            new_d, old_d = now - shift, ring[at] - shift
            ring[at] = now
            at += 1
            if at == length:
                at = 0
                shift = now
                total, squares = _sums(shift, length, ring)
            else:
                total += new_d - old_d
                squares += new_d * new_d - old_d * old_d
            m = total * share
            variance = squares * share - m * m
            if alike >= length:
                _write_bands(i, now, 0.0, 0.0, width, out)
                i += 1
                continue
            if variance < _CANCELLED * m * m:
                shift += m
                total, squares = _sums(shift, length, ring)
                m = total * share
                variance = squares * share - m * m
            _write_bands(i, shift + m, math.sqrt(max(variance, 0.0)), now - shift - m, width, out)
            i += 1
        state[BOLLINGER_AT], state[BOLLINGER_ALIKE] = at, alike
        state[BOLLINGER_SHIFT], state[BOLLINGER_SUM], state[BOLLINGER_SQUARES] = shift, total, squares


@lean_kernel
def ema_step(x: float, length: int, state: NDArray[np.float64]) -> float:
    """Take one price; return its EMA, begun with the mean of the first ``length``."""
    if not math.isfinite(x):
        state[:] = 0.0
        return np.nan
    seen = state[EMA_SEEN]
    if seen >= length:
        state[EMA_MEAN] += 2.0 / (length + 1.0) * (x - state[EMA_MEAN])
        return state[EMA_MEAN]
    state[EMA_SEEN] = seen + 1.0
    state[EMA_MEAN] += x
    if seen + 1.0 < length:
        return np.nan
    state[EMA_MEAN] /= length
    return state[EMA_MEAN]


@kernel
def ema_run(x: NDArray[np.float64], length: int, state: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write what :func:`ema_step` says of each price, to the last bit."""
    share = 2.0 / (length + 1.0)
    i = 0
    while i < x.size:
        while i < x.size and not (state[EMA_SEEN] >= length and math.isfinite(x[i])):
            out[i] = ema_step(x[i], length, state)
            i += 1
        m = state[EMA_MEAN]
        while i < x.size and math.isfinite(x[i]):
            m += share * (x[i] - m)
            out[i] = m
            i += 1
        state[EMA_MEAN] = m


@lean_helper
def _all_finite(high: float, low: float, close: float) -> bool:
    return math.isfinite(high) and math.isfinite(low) and math.isfinite(close)


@lean_kernel
def atr_step(high: float, low: float, close: float, length: int, state: NDArray[np.float64]) -> float:
    """Take one bar; return Wilder's average true range, begun with the mean of the first ``length`` true ranges."""
    if not _all_finite(high, low, close):
        state[:] = 0.0
        return np.nan
    seen = state[ATR_SEEN]
    true_range = max(high, state[ATR_CLOSE]) - min(low, state[ATR_CLOSE])
    state[ATR_CLOSE] = close
    if seen <= length:
        state[ATR_SEEN] = seen + 1.0
        if seen == 0.0:
            return np.nan
        state[ATR_MEAN] += true_range
        if seen < length:
            return np.nan
        state[ATR_MEAN] /= length
    else:
        state[ATR_MEAN] += 1.0 / length * (true_range - state[ATR_MEAN])
    return state[ATR_MEAN]


@kernel
def atr_run(
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    close: NDArray[np.float64],
    length: int,
    state: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write what :func:`atr_step` says of each bar, to the last bit."""
    share = 1.0 / length
    i = 0
    while i < close.size:
        while i < close.size and not (state[ATR_SEEN] > length and _all_finite(high[i], low[i], close[i])):
            out[i] = atr_step(high[i], low[i], close[i], length, state)
            i += 1
        last, mean = state[ATR_CLOSE], state[ATR_MEAN]
        while i < close.size and _all_finite(high[i], low[i], close[i]):
            mean += share * (max(high[i], last) - min(low[i], last) - mean)
            last = close[i]
            out[i] = mean
            i += 1
        state[ATR_CLOSE], state[ATR_MEAN] = last, mean
