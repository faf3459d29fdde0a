"""Measures of returns and the local parabola, straight from their definitions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def measures(r: Sequence[float]) -> tuple[float, float, float, float, float, float]:
    n = len(r)
    a = [abs(x) for x in r]
    rv = math.fsum(x * x for x in a)
    bv = math.pi / 2 * n / (n - 1) * math.fsum(a[i] * a[i - 1] for i in range(1, n))
    least = math.pi / (math.pi - 2) * n / (n - 1) * math.fsum(min(a[i], a[i - 1]) ** 2 for i in range(1, n))
    factor = math.pi / (6 - 4 * math.sqrt(3) + math.pi) * n / (n - 2)
    med = factor * math.fsum(statistics.median(a[i - 2 : i + 1]) ** 2 for i in range(2, n))
    mu = 2 ** (2 / 3) * math.gamma(7 / 6) / math.gamma(1 / 2)
    tp = n * mu**-3 * n / (n - 2) * math.fsum((a[i] * a[i - 1] * a[i - 2]) ** (4 / 3) for i in range(2, n))
    share = max(0.0, 1 - bv / rv)
    z = (1 - bv / rv) / math.sqrt((math.pi**2 / 4 + math.pi - 5) / n * max(1, tp / bv**2))
    return rv, bv, least, med, share, z


def velocity(t_s: NDArray[np.float64], p: NDArray[np.float64], half_life_s: float) -> tuple[float, float, float, float]:
    """Velocity and acceleration at the last of the points, and their t, by weighted least squares on all of them.

    No t where what the parabola leaves, root mean square, is below 3e-5 of a tick: that is rounding, and no error of
    anything can be told from it.
    """
    u = t_s - t_s[-1]
    w = 0.5 ** (-u / half_life_s)
    x = np.stack([np.ones_like(u), u, u * u], axis=1)
    bread = np.linalg.inv((x * w[:, None]).T @ x)
    hat = x @ bread @ (x * w[:, None]).T
    beta = bread @ (x * w[:, None]).T @ p
    left = p - x @ beta
    if float(w @ left**2) <= 1e-9 * float(w.sum()):
        return float(beta[1]), float(2 * beta[2]), math.nan, math.nan
    rest = np.eye(u.size) - hat
    noise = float(w @ left**2) / float(np.trace(rest.T @ np.diag(w) @ rest))
    covariance = noise * bread @ ((x * (w * w)[:, None]).T @ x) @ bread
    error = np.sqrt(np.diag(covariance))
    return float(beta[1]), float(2 * beta[2]), float(beta[1] / error[1]), float(beta[2] / error[2])
