"""Events drawn from a Hawkes process: exactly for one exponential, by thinning for any number of them and of types.

The uniforms come from the caller, who owns the seed. Parameters as in :mod:`tapebook.kernels.hawkes`.

References: Ogata 1981 (thinning); Dassios & Zhao 2013 (exact).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@kernel
def simulate_exact(
    mu: float, eta: float, beta: float, horizon: float, uniforms: Floats, excess: float, out: Floats
) -> int:
    """Write the events of a one-type exponential process (Dassios & Zhao 2013, algorithm 3.1); return how many.

    No rejection and no discretisation. ``excess`` is lambda(0) - mu. Two uniforms are used for each event; -1 where
    ``uniforms`` or ``out`` ran out.
    """
    t = 0.0
    x = excess
    n = 0
    u = 0
    while True:
        if u + 2 > uniforms.size or n >= out.size:
            return -1
        s1 = np.inf
        if x > 0.0:
            inner = 1.0 + beta * math.log(uniforms[u]) / x
            if inner > 0.0:
                s1 = -math.log(inner) / beta
        s2 = -math.log(uniforms[u + 1]) / mu
        u += 2
        s = min(s1, s2)
        t += s
        if t >= horizon:
            return n
        x = x * math.exp(-beta * s) + eta * beta
        out[n] = t
        n += 1


@kernel
def simulate_thinning(
    mu: Floats, eta: Floats, beta: Floats, horizon: float, uniforms: Floats, out: Floats, out_types: Ints
) -> int:
    """Write events of a D-type process by Ogata's thinning (1981); eta[i, j, k], beta[i, k]. Return how many.

    Between events the total intensity only falls, so its value just after the last point (its jump included) bounds it.
    -1 where ``uniforms`` or ``out`` ran out.
    """
    n_types, _, n_exp = eta.shape
    part = np.zeros((n_types, n_exp))  # sum over j of eta beta R: what decays as one
    t = 0.0
    n = 0
    u = 0
    while True:
        bound = 0.0
        for i in range(n_types):
            bound += mu[i]
            for k in range(n_exp):
                bound += part[i, k]
        if u + 2 > uniforms.size or n >= out.size:
            return -1
        s = -math.log(uniforms[u]) / bound
        t += s
        if t >= horizon:
            return n
        level = uniforms[u + 1] * bound
        u += 2
        chosen = -1
        for i in range(n_types):
            intensity = mu[i]
            for k in range(n_exp):
                part[i, k] *= math.exp(-beta[i, k] * s)
                intensity += part[i, k]
            if chosen < 0:
                if level < intensity:
                    chosen = i
                level -= intensity
        if chosen >= 0:
            out[n] = t
            out_types[n] = chosen
            n += 1
            for i in range(n_types):
                for k in range(n_exp):
                    part[i, k] += eta[i, chosen, k] * beta[i, k]
