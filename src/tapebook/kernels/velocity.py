"""Velocity and acceleration of the mid: a parabola fitted in real time with weights that fade.

The observed mids ``p_i`` (ticks) are fitted by ``p = a + b u + c u^2`` with weights ``w_i = e^(u_i)``, ``u_i = (t_i -
now) / tau``: velocity is ``b / tau``, acceleration ``2 c / tau^2``. With ``S_k = sum w u^k`` (k to 4), ``U_k = sum w p
u^k`` (to 2), ``P = sum w p^2`` and ``Q_k = sum w^2 u^k`` (to 4), a step of ``d = -dt / tau`` is exact by the binomial
theorem::

    S_k <- e^d sum_j C(k, j) d^(k-j) S_j      (U likewise; Q with e^(2 d))

All terms of a sum have one sign, so nothing cancels, and what is old dies away, so nothing drifts. With ``A`` made of
S, ``B`` of Q and errors of equal variance, the coefficients have the covariance ``s^2 A^-1 B A^-1``, ``s^2 = (P - U'
A^-1 U) / (S_0 - trace(A^-1 B))``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Flag

S, U, P, Q, ZERO, SUMS_N = 0, 5, 8, 9, 14, 15
"""Places in ``sums``: where the S, the U and the Q begin, P, and the mid (1e-9) that ticks are counted from."""
START, LAST, SESSION, THREAD, MARKS_N = 0, 1, 2, 3, 4
"""Places in ``marks``: the first moment, the last, session and thread."""
VELOCITY, ACCELERATION, VELOCITY_T, ACCELERATION_T, OUT_N = 0, 1, 2, 3, 4
"""Columns of a row."""

_LAST = int(Flag.LAST)
# Below these the points do not span a parabola: their mean squared age (in tau squared), and the determinant of the
# normal equations over the product of their diagonal (1/12 for points that come steadily).
_AGE_MIN = 1e-2
_DETERMINANT_MIN = 1e-6
_FAR_TICKS = 256.0  # ticks are counted anew from here: P must not lose its digits
_NOISE_MIN = 1e-9  # ticks squared: residuals below it are rounding


@kernel
def _fade(sums: NDArray[np.float64], k: int, d: float, e: float) -> None:
    """Carry five sums from place ``k`` on by ``d``, the highest first."""
    s0, s1, s2, s3 = sums[k], sums[k + 1], sums[k + 2], sums[k + 3]
    sums[k + 4] = e * (sums[k + 4] + d * (4.0 * s3 + d * (6.0 * s2 + d * (4.0 * s1 + d * s0))))
    sums[k + 3] = e * (s3 + d * (3.0 * s2 + d * (3.0 * s1 + d * s0)))
    sums[k + 2] = e * (s2 + d * (2.0 * s1 + d * s0))
    sums[k + 1] = e * (s1 + d * s0)
    sums[k] = e * s0


@kernel
def _add(dt_s: float, p: float, rate: float, sums: NDArray[np.float64]) -> None:
    """Carry the sums on by ``dt_s`` and add a point at zero."""
    if dt_s > 0.0:
        d = -rate * dt_s
        e = math.exp(d)
        _fade(sums, S, d, e)
        _fade(sums, Q, d, e * e)
        u0, u1 = sums[U], sums[U + 1]
        sums[U + 2] = e * (sums[U + 2] + d * (2.0 * u1 + d * u0))
        sums[U + 1] = e * (u1 + d * u0)
        sums[U] = e * u0
        sums[P] *= e
    sums[S] += 1.0
    sums[Q] += 1.0
    sums[U] += p
    sums[P] += p * p


@kernel
def _count_from(by: float, sums: NDArray[np.float64]) -> None:
    """Count ticks from ``by`` ticks higher."""
    sums[P] += by * (by * sums[S] - 2.0 * sums[U])
    for k in range(3):
        sums[U + k] -= by * sums[S + k]


@kernel
def _quadratic(x: float, y: float, z: float, k: int, sums: NDArray[np.float64]) -> float:
    """Return v' M v for v = (x, y, z) and the matrix made of the five sums from place ``k`` on."""
    return (
        x * x * sums[k]
        + 2.0 * x * y * sums[k + 1]
        + (2.0 * x * z + y * y) * sums[k + 2]
        + 2.0 * y * z * sums[k + 3]
        + z * z * sums[k + 4]
    )


@kernel
def _solve(rate: float, sums: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write a row, NaN where the points do not span a parabola."""
    s0, s1, s2, s3, s4 = sums[S], sums[S + 1], sums[S + 2], sums[S + 3], sums[S + 4]
    if s2 < _AGE_MIN * s0:
        return
    c11 = s2 * s4 - s3 * s3
    c12 = s2 * s3 - s1 * s4
    c13 = s1 * s3 - s2 * s2
    determinant = s0 * c11 + s1 * c12 + s2 * c13
    if determinant < _DETERMINANT_MIN * s0 * s2 * s4:
        return
    c11, c12, c13 = c11 / determinant, c12 / determinant, c13 / determinant
    c22 = (s0 * s4 - s2 * s2) / determinant
    c23 = (s1 * s2 - s0 * s3) / determinant
    c33 = (s0 * s2 - s1 * s1) / determinant
    u0, u1, u2 = sums[U], sums[U + 1], sums[U + 2]
    a = c11 * u0 + c12 * u1 + c13 * u2
    b = c12 * u0 + c22 * u1 + c23 * u2
    c = c13 * u0 + c23 * u1 + c33 * u2
    out[VELOCITY] = rate * b
    out[ACCELERATION] = 2.0 * rate * rate * c
    q0, q1, q2, q3, q4 = sums[Q], sums[Q + 1], sums[Q + 2], sums[Q + 3], sums[Q + 4]
    free = s0 - (c11 * q0 + c22 * q2 + c33 * q4 + 2.0 * (c12 * q1 + c13 * q2 + c23 * q3))
    left = sums[P] - a * u0 - b * u1 - c * u2
    if free > _AGE_MIN * s0 and left > _NOISE_MIN * s0:
        noise = left / free
        out[VELOCITY_T] = b / math.sqrt(noise * _quadratic(c12, c22, c23, Q, sums))
        out[ACCELERATION_T] = c / math.sqrt(noise * _quadratic(c13, c23, c33, Q, sums))


@kernel
def advance_velocity(
    flags: NDArray[np.uint16],
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    tick_e9: int,
    rate: float,  # 1 / tau in 1/s
    warm_ns: int,
    marks: NDArray[np.int64],
    sums: NDArray[np.float64],
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (events, OUT_N)
) -> int:
    """Write a row for each observable event; return how many."""
    n = 0
    for i in range(clock_ns.size):
        if not flags[i] & _LAST:
            continue
        j = i + 1
        t = clock_ns[i]
        out_at[n] = i
        for k in range(OUT_N):
            out[n, k] = np.nan
        n += 1
        if session[i] != marks[SESSION] or thread[j] != marks[THREAD] or t < marks[LAST]:
            marks[SESSION] = session[i]
            marks[THREAD] = thread[j]
            marks[START] = MISSING
        if tick_e9 == 0 or t == MISSING or not trading[i] or touch_state(bid_px[j], ask_px[j]) != TWO_SIDED:
            continue
        mid = 0.5 * (np.float64(bid_px[j]) + np.float64(ask_px[j]))
        if marks[START] == MISSING:
            marks[START] = t
            marks[LAST] = t
            for k in range(SUMS_N):
                sums[k] = 0.0
            sums[ZERO] = mid
        p = (mid - sums[ZERO]) / tick_e9
        _add((t - marks[LAST]) * 1e-9, p, rate, sums)
        marks[LAST] = t
        if abs(p) > _FAR_TICKS:
            _count_from(p, sums)
            sums[ZERO] = mid
        if t - marks[START] >= warm_ns:
            _solve(rate, sums, out[n - 1])
    return n
