"""The catalogue's columns that move with time itself: velocity and acceleration of the mid, Hawkes intensities.

Velocity. A parabola ``p = a + b u + c u^2`` is fitted to the observed mids with weights ``e^u``, ``u = (t_i - now) /
tau``: velocity is ``b / tau``, acceleration ``2 c / tau^2``. The sums ``S_k = sum w u^k`` (to the fourth) and
``U_k = sum w p u^k`` (to the second) are carried to the next moment by the binomial theorem. All terms of the former
have one sign, so nothing cancels; what is old dies away, so nothing drifts.

Intensities. At an order they are :func:`tapebook.kernels.hawkes.advance_intensity`'s own; later they fade from there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_step
from tapebook.kernels.book_state import Int
from tapebook.kernels.catalogue_state import (
    ACCELERATION,
    HAWKES_AT,
    HAWKES_BUY,
    HAWKES_FADING,
    HAWKES_FLOOR,
    HAWKES_FRESH,
    HAWKES_RATIO,
    HAWKES_SELF,
    HAWKES_SELL,
    HAWKES_WARM_NS,
    LAST_MID,
    MID,
    TICK_E9,
    VELOCITY,
    VELOCITY_LAST,
    VELOCITY_RATE,
    VELOCITY_S,
    VELOCITY_START,
    VELOCITY_U,
    VELOCITY_WARM_NS,
    VELOCITY_ZERO,
)
from tapebook.kernels.hawkes import LIVE_LAST, LIVE_SESSION, LIVE_START
from tapebook.market.events import MISSING

# Below these the points do not span a parabola: their mean squared age (in tau squared), and the determinant of the
# normal equations over the product of their diagonal (1/12 for points that come steadily).
_AGE_MIN = 1e-2
_DETERMINANT_MIN = 1e-6


@lean_step
def follow_mid(
    t: Int,
    lengths: NDArray[np.int64],
    settings: NDArray[np.float64],
    marks: NDArray[np.int64],
    sums: NDArray[np.float64],
    now: NDArray[np.float64],
) -> None:
    """Take the last mid as observed at ``t`` and write velocity and acceleration."""
    tick = lengths[TICK_E9]
    if t == MISSING or tick == 0 or np.isnan(now[MID]):
        return
    if marks[VELOCITY_START] == MISSING or t < marks[VELOCITY_LAST]:
        marks[VELOCITY_START] = t
        marks[VELOCITY_LAST] = t
        sums[VELOCITY_ZERO] = sums[LAST_MID]
        for i in range(8):
            sums[VELOCITY_S + i] = 0.0
    s, u = VELOCITY_S, VELOCITY_U
    s0, s1, s2, s3, s4 = sums[s], sums[s + 1], sums[s + 2], sums[s + 3], sums[s + 4]
    u0, u1, u2 = sums[u], sums[u + 1], sums[u + 2]
    rate = settings[VELOCITY_RATE]
    if t > marks[VELOCITY_LAST]:
        d = -rate * ((t - marks[VELOCITY_LAST]) * 1e-9)
        e = math.exp(d)
        # Equation: S_k <- e sum_j C(k, j) d^(k - j) S_j, the highest first.
        s4 = e * (s4 + d * (4.0 * s3 + d * (6.0 * s2 + d * (4.0 * s1 + d * s0))))
        s3 = e * (s3 + d * (3.0 * s2 + d * (3.0 * s1 + d * s0)))
        s2 = e * (s2 + d * (2.0 * s1 + d * s0))
        s1 = e * (s1 + d * s0)
        s0 = e * s0
        u2 = e * (u2 + d * (2.0 * u1 + d * u0))
        u1 = e * (u1 + d * u0)
        u0 = e * u0
        sums[s + 1], sums[s + 2], sums[s + 3], sums[s + 4] = s1, s2, s3, s4
        sums[u + 1], sums[u + 2] = u1, u2
        marks[VELOCITY_LAST] = t
    s0 += 1.0
    u0 += (sums[LAST_MID] - sums[VELOCITY_ZERO]) / tick
    sums[s] = s0
    sums[u] = u0
    now[VELOCITY] = np.nan
    now[ACCELERATION] = np.nan
    if t - marks[VELOCITY_START] < lengths[VELOCITY_WARM_NS] or s2 < _AGE_MIN * s0:
        return
    # Cramer's rule for [S0 S1 S2; S1 S2 S3; S2 S3 S4] (a, b, c) = U.
    c11 = s2 * s4 - s3 * s3
    c12 = s2 * s3 - s1 * s4
    c13 = s1 * s3 - s2 * s2
    determinant = s0 * c11 + s1 * c12 + s2 * c13
    if determinant < _DETERMINANT_MIN * s0 * s2 * s4:
        return
    c22 = s0 * s4 - s2 * s2
    c23 = s1 * s2 - s0 * s3
    c33 = s0 * s2 - s1 * s1
    now[VELOCITY] = rate * ((c12 * u0 + c22 * u1 + c23 * u2) / determinant)
    now[ACCELERATION] = 2.0 * rate * rate * ((c13 * u0 + c23 * u1 + c33 * u2) / determinant)


@lean_step
def tell_intensity(base: float, buy: float, sell: float, floor: float, now: NDArray[np.float64]) -> None:
    """Write the four columns of two intensities and their common baseline."""
    now[HAWKES_BUY] = buy
    now[HAWKES_SELL] = sell
    now[HAWKES_RATIO] = max(buy, floor) / max(sell, floor) if buy >= 0.0 else np.nan
    both = buy + sell
    now[HAWKES_SELF] = 1.0 - base / both if both > 0.0 else np.nan


@lean_step
def fade_intensity(
    t: Int,
    session: Int,
    lengths: NDArray[np.int64],
    settings: NDArray[np.float64],
    mu: NDArray[np.float64],
    beta: NDArray[np.float64],
    excited: NDArray[np.float64],
    seen: NDArray[np.float64],
    live: NDArray[np.int64],
    marks: NDArray[np.int64],
    now: NDArray[np.float64],
) -> None:
    """Write the intensities of a moment without an order."""
    if t == marks[HAWKES_AT]:
        return
    marks[HAWKES_AT] = t
    start = live[LIVE_START]
    if start == MISSING or live[LIVE_SESSION] != session or t - start < lengths[HAWKES_WARM_NS]:
        tell_intensity(np.nan, np.nan, np.nan, settings[HAWKES_FLOOR], now)
        return
    gap_s = max(t - live[LIVE_LAST], 0) * 1e-9
    n_exp = excited.shape[1]
    base_buy, base_sell = mu[0], mu[1]
    fading = settings[HAWKES_FADING]
    if fading > 0.0:
        fade = math.exp(-fading * gap_s)
        window = -math.expm1(-fading * ((max(t, live[LIVE_LAST]) - start) * 1e-9))
        scale = settings[HAWKES_FRESH] * fading / window * fade
        base_buy = seen[0] * scale
        base_sell = seen[1] * scale
    buy, sell = base_buy, base_sell
    for j in range(n_exp):
        fade = math.exp(-beta[0, j] * gap_s)
        buy += excited[0, j] * fade
        if beta[1, j] != beta[0, j]:
            fade = math.exp(-beta[1, j] * gap_s)
        sell += excited[1, j] * fade
    tell_intensity(base_buy + base_sell, buy, sell, settings[HAWKES_FLOOR], now)
