"""Spreads from the open, high, low and close of bars, where nothing better exists.

Highs are mostly bought and lows mostly sold: the range of two bars grows with their variance, the spread in it does
not. Prices are logarithms here, pairs are of a bar and the one before it, ``joined`` says where there is such a pair.

Corwin and Schultz (2012), with ``k = 3 - 2 sqrt 2``::

    alpha = (sqrt(2 beta) - sqrt(beta)) / k - sqrt(gamma / k)      S = 2 (e^alpha - 1) / (1 + e^alpha)

Abdi and Ranaldo (2017), with ``eta`` the mid-range::

    S^2 = 4 (c_t - eta_t) (c_t - eta_{t+1})

EDGE (Ardia, Guidotti and Kroencke 2024): two moment conditions on opens, closes and mid-ranges, weighted by the inverse
of their variances, corrected for bars that never traded away from an end.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.lambdas import CLOSE, HIGH, LOW, OPEN, SESSION, TRADES
from tapebook.market.events import MISSING

_K = 3.0 - 2.0 * math.sqrt(2.0)

O, H, L, C = 0, 1, 2, 3  # noqa: E741 - the four prices of a bar are called so everywhere
"""Columns of the bars."""

CS, AR, AR_MEAN, EDGE, PAIRS, S_N = 0, 1, 2, 3, 4, 5
"""Columns of the spreads, and how many there are."""

FLOOR, KEEP, DROP = 0, 1, 2
"""What becomes of a two-bar spread of Corwin and Schultz that is below zero."""


@kernel
def corwin_schultz_pair(high0: float, low0: float, close0: float, high1: float, low1: float, shift: bool) -> float:
    """Return the spread of two bars, below zero or not; ``shift`` first closes a gap between them."""
    if shift and close0 > high1:
        low1 += close0 - high1
        high1 = close0
    elif shift and close0 < low1:
        high1 -= low1 - close0
        low1 = close0
    beta = (high0 - low0) * (high0 - low0) + (high1 - low1) * (high1 - low1)
    wide = max(high0, high1) - min(low0, low1)
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / _K - math.sqrt(wide * wide / _K)
    return 2.0 * math.tanh(0.5 * alpha)  # 2 (e^a - 1) / (e^a + 1)


@kernel
def edge_squared(bars: NDArray[np.float64], joined: NDArray[np.bool_]) -> float:
    """Return the squared spread of EDGE over the pairs of bars, below zero or not; NaN where they cannot tell."""
    n, moved = 0, 0
    away_open, away_close = 0, 0
    m1, m3, m5 = 0.0, 0.0, 0.0
    for t in range(1, bars.shape[0]):
        if not joined[t]:
            continue
        n += 1
        mid = 0.5 * (bars[t, H] + bars[t, L])
        m1 += mid - bars[t, O]
        m3 += mid - bars[t - 1, C]
        m5 += bars[t, O] - bars[t - 1, C]
        if bars[t, H] != bars[t, L] or bars[t, L] != bars[t - 1, C]:
            moved += 1
            # int(): two numpy booleans add up to one.
            away_open += int(bars[t, O] != bars[t, H]) + int(bars[t, O] != bars[t, L])
            away_close += int(bars[t - 1, C] != bars[t - 1, H]) + int(bars[t - 1, C] != bars[t - 1, L])
    if moved < 2 or away_open == 0 or away_close == 0:
        return np.nan
    m1, m3, m5 = m1 / moved, m3 / moved, m5 / moved  # over the bars that moved: theirs alone are taken off below
    to_open, to_close = -4.0 * n / away_open, -4.0 * n / away_close
    e1, e2, q1, q2 = 0.0, 0.0, 0.0, 0.0
    for t in range(1, bars.shape[0]):
        if not joined[t]:
            continue
        mid, mid0, close0 = 0.5 * (bars[t, H] + bars[t, L]), 0.5 * (bars[t - 1, H] + bars[t - 1, L]), bars[t - 1, C]
        tau = 1.0 if bars[t, H] != bars[t, L] or bars[t, L] != close0 else 0.0
        d1, d3, d5 = mid - bars[t, O] - tau * m1, mid - close0 - tau * m3, bars[t, O] - close0 - tau * m5
        x1 = to_open * d1 * (bars[t, O] - mid0) + to_close * d3 * (close0 - mid0)
        x2 = to_open * d1 * (bars[t, O] - close0) + to_close * d5 * (close0 - mid0)
        e1 += x1 / n
        e2 += x2 / n
        q1 += x1 * x1 / n
        q2 += x2 * x2 / n
    v1, v2 = q1 - e1 * e1, q2 - e2 * e2
    return (v2 * e1 + v1 * e2) / (v1 + v2) if v1 + v2 > 0.0 else 0.5 * (e1 + e2)


@kernel
def spreads_of(
    bars: NDArray[np.float64],
    joined: NDArray[np.bool_],
    shift: bool,
    below: int,
    pairs: NDArray[np.float64],  # (bars, 2): Corwin-Schultz, 4 (c - eta) (c - eta'); NaN where there is no pair
    out: NDArray[np.float64],
) -> None:
    """Write the spread of every pair, and the spreads of all of them together."""
    cs, ar, ar_mean = 0.0, 0.0, 0.0
    n, n_cs = 0, 0
    for t in range(bars.shape[0]):
        pairs[t, 0] = np.nan
        pairs[t, 1] = np.nan
        if t == 0 or not joined[t]:
            continue
        n += 1
        one = corwin_schultz_pair(bars[t - 1, H], bars[t - 1, L], bars[t - 1, C], bars[t, H], bars[t, L], shift)
        if one >= 0.0 or below == KEEP:
            pairs[t, 0] = one
        elif below == FLOOR:
            pairs[t, 0] = 0.0
        if not math.isnan(pairs[t, 0]):
            n_cs += 1
            cs += pairs[t, 0]
        c = bars[t - 1, C]
        product = 4.0 * (c - 0.5 * (bars[t - 1, H] + bars[t - 1, L])) * (c - 0.5 * (bars[t, H] + bars[t, L]))
        pairs[t, 1] = product
        ar += product
        ar_mean += math.sqrt(max(product, 0.0))
    out[CS] = cs / n_cs if n_cs > 0 else np.nan
    out[AR] = math.sqrt(max(ar, 0.0) / n) if n > 0 else np.nan
    out[AR_MEAN] = ar_mean / n if n > 0 else np.nan
    edge2 = edge_squared(bars, joined)
    out[EDGE] = math.sqrt(abs(edge2))
    out[PAIRS] = n


@kernel
def advance_high_low(
    bars: NDArray[np.int64],  # flow bars
    ring: NDArray[np.float64],  # (window, 4): logarithms
    joined: NDArray[np.bool_],
    memory: NDArray[np.int64],  # [bars with trades so far, session of the last]
    ordered: NDArray[np.float64],  # room for the ring in order of time, and for its pairs
    ordered_joined: NDArray[np.bool_],
    pairs: NDArray[np.float64],
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (rows, S_N)
) -> int:
    """Write the spreads of the last bars after each bar with a trade; NaN before the window is full."""
    size = ring.shape[0]
    n = 0
    for i in range(bars.shape[0]):
        if bars[i, TRADES] == 0:
            continue
        k = memory[0] % size
        good = bars[i, LOW] > 0
        if good:
            ring[k, O] = math.log(bars[i, OPEN])
            ring[k, H] = math.log(bars[i, HIGH])
            ring[k, L] = math.log(bars[i, LOW])
            ring[k, C] = math.log(bars[i, CLOSE])
        joined[k] = good and memory[1] == bars[i, SESSION]
        memory[0] += 1
        memory[1] = bars[i, SESSION] if good else MISSING
        out_at[n] = i
        for c in range(S_N):
            out[n, c] = np.nan
        if memory[0] >= size:
            for j in range(size):
                from_ring = (memory[0] + j) % size
                ordered_joined[j] = joined[from_ring]
                for c in range(4):
                    ordered[j, c] = ring[from_ring, c]
            spreads_of(ordered, ordered_joined, False, FLOOR, pairs, out[n])
        n += 1
    return n
