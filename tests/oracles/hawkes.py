"""Hawkes processes straight from the definition: O(n^2) sums over all pairs of events."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def kernel(eta: Floats, beta: Floats, age: float) -> float:
    """phi of one pair: eta (K), beta (K)."""
    return sum(float(e * b * math.exp(-b * age)) for e, b in zip(eta, beta, strict=True))


def kernel_mass(eta: Floats, beta: Floats, age: float) -> float:
    """Integral of phi from 0 to ``age``."""
    return sum(float(e * (1 - math.exp(-b * age))) for e, b in zip(eta, beta, strict=True))


def intensity(
    times: Floats, types: Ints, mu: Floats, eta: Floats, beta: Floats, i: int, n_before: int, t: float
) -> float:
    """lambda_i at ``t`` given the first ``n_before`` events."""
    return float(mu[i]) + sum(kernel(eta[i, types[e]], beta[i], t - float(times[e])) for e in range(n_before))


def compensator(times: Floats, types: Ints, mu: Floats, eta: Floats, beta: Floats, i: int, t: float) -> float:
    """Integral of lambda_i from 0 to ``t``."""
    past = [e for e in range(times.size) if times[e] < t]
    return float(mu[i]) * t + sum(kernel_mass(eta[i, types[e]], beta[i], t - float(times[e])) for e in past)


def log_likelihood(times: Floats, types: Ints, horizon: float, mu: Floats, eta: Floats, beta: Floats, i: int) -> float:
    """L of row i. Simultaneous events excite each other in their order."""
    logs = sum(
        math.log(intensity(times, types, mu, eta, beta, i, e, float(times[e])))
        for e in range(times.size)
        if types[e] == i
    )
    return logs - compensator(times, types, mu, eta, beta, i, horizon)


def residuals(times: Floats, types: Ints, mu: Floats, eta: Floats, beta: Floats, i: int) -> list[float]:
    """Differences of the compensator at the events of type i."""
    at = [compensator(times, types, mu, eta, beta, i, float(t)) for t, k in zip(times, types, strict=True) if k == i]
    return [b - a for a, b in pairwise([0.0, *at])]
