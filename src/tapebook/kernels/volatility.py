"""Realised variance, its versions that jumps do not reach, and how far they are apart.

Of ``n`` returns ``r``::

    RV      sum r^2
    BV      pi/2 n/(n-1) sum |r_i| |r_{i-1}|                            (Barndorff-Nielsen and Shephard 2004)
    MinRV   pi/(pi-2) n/(n-1) sum min(|r_i|, |r_{i-1}|)^2                (Andersen, Dobrev and Schaumburg 2012)
    MedRV   pi/(6 - 4 sqrt(3) + pi) n/(n-2) sum med(|r_i|, |r_{i-1}|, |r_{i-2}|)^2
    TP      n mu^-3 n/(n-2) sum (|r_i| |r_{i-1}| |r_{i-2}|)^(4/3),   mu = E|N(0,1)|^(4/3)
    share   max(0, 1 - BV / RV)
    z       (1 - BV / RV) / sqrt((pi^2/4 + pi - 5) / n max(1, TP / BV^2))   (Huang and Tauchen 2005)

A window is summed anew for each bar: a few hundred additions beside a bar's worth of events, and nothing drifts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.dot import dot_at

RV, BV, MIN_RV, MED_RV, SHARE, Z, MEASURES_N = 0, 1, 2, 3, 4, 5, 6
"""Places of the measures, and how many there are."""
SEEN, AT, MARKS_N = 0, 1, 2
"""Places of the window's marks: returns seen, at most the window's, and where the next one goes."""

_BV_FACTOR = math.pi / 2
_MIN_FACTOR = math.pi / (math.pi - 2)
_MED_FACTOR = math.pi / (6 - 4 * math.sqrt(3) + math.pi)
_TP_FACTOR = (2 ** (2 / 3) * math.gamma(7 / 6) / math.gamma(1 / 2)) ** -3
_Z_FACTOR = math.pi**2 / 4 + math.pi - 5


@kernel
def measure_returns(
    size: NDArray[np.float64],  # |r|
    power: NDArray[np.float64],  # |r|^(4/3)
    start: int,
    n: int,  # at least 3
    out: NDArray[np.float64],  # (MEASURES_N,)
) -> None:
    """Write the measures of ``n`` returns from place ``start`` on; the last two are NaN where nothing moved."""
    a, b = size[start], size[start + 1]
    rv = a * a + b * b
    bv = a * b
    least = min(a, b) ** 2
    median = 0.0
    tripower = 0.0
    for i in range(start + 2, start + n):
        c = size[i]
        rv += c * c
        bv += b * c
        least += min(b, c) ** 2
        median += max(min(a, b), min(max(a, b), c)) ** 2
        tripower += power[i] * power[i - 1] * power[i - 2]
        a, b = b, c
    bv *= _BV_FACTOR * n / (n - 1.0)
    out[RV] = rv
    out[BV] = bv
    out[MIN_RV] = least * _MIN_FACTOR * n / (n - 1.0)
    out[MED_RV] = median * _MED_FACTOR * n / (n - 2.0)
    out[SHARE] = np.nan
    out[Z] = np.nan
    if rv > 0.0:
        out[SHARE] = max(0.0, 1.0 - bv / rv)
        if bv > 0.0:
            quarticity = tripower * _TP_FACTOR * n * n / (n - 2.0)
            out[Z] = (1.0 - bv / rv) / math.sqrt(_Z_FACTOR / n * max(1.0, quarticity / bv / bv))


@kernel
def sizes_of(returns: NDArray[np.float64], size: NDArray[np.float64], power: NDArray[np.float64]) -> None:
    """Write the absolute values of returns and their power of 4/3."""
    for i in range(returns.size):
        size[i] = abs(returns[i])
        power[i] = size[i] ** (4.0 / 3.0)


@kernel
def volatility_run(
    close: NDArray[np.float64],
    n: int,  # returns in the window
    last: NDArray[np.float64],  # [close before, NaN or 0 where there is none]
    size: NDArray[np.float64],  # (2 n,): the window lies in one piece
    power: NDArray[np.float64],
    marks: NDArray[np.int64],
    out: NDArray[np.float64],  # (bars, MEASURES_N)
) -> None:
    """Write the measures of the last ``n`` log returns at each close, NaN before there are as many."""
    for i in range(close.size):
        for k in range(MEASURES_N):
            out[i, k] = np.nan
        before = last[0]
        last[0] = close[i]
        if not (before > 0.0 and close[i] > 0.0):
            marks[SEEN] = 0
            continue
        r = abs(math.log(close[i] / before))
        at = marks[AT]
        size[at] = r
        size[at + n] = r
        power[at] = r ** (4.0 / 3.0)
        power[at + n] = power[at]
        at += 1
        marks[SEEN] = min(marks[SEEN] + 1, n)
        if marks[SEEN] == n:
            measure_returns(size, power, at, n, out[i])
        marks[AT] = 0 if at == n else at


@kernel
def lagged_products(r: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Write the sums of products of returns with those ``h`` before, for ``h`` from 0."""
    for h in range(out.size):
        out[h] = dot_at(r[: r.size - h], r, h)
