"""Hawkes processes with kernels that are sums of exponentials: likelihood, gradient, EM, residuals, intensities.

A process of D types has the intensities

    lambda_i(t) = mu_i + sum_j sum_k eta_ijk beta_k R_jk(t)
    R_jk(t)     = sum over the events of type j before t of e^{-beta_k (t - t_e)}

``eta_ijk`` is the expected number of direct children of type i that an event of type j has through exponential k (no
unit), ``beta_k`` a rate (1/time). The log-likelihood separates over i, so everything here works on one *row* i: mu, the
matrix eta[j, k], and beta[k] of that row. With R and its derivative carried from event to event (Ozaki 1979; Ogata
1981) a pass over n events costs O(n D K).

    L_i = sum over events of i of ln lambda_i  -  mu_i T
          + sum_jk eta_jk sum over events of j of expm1(-beta_k (T - t))

Times are floats from the start of the window, in units near the mean gap (the face scales them), never epoch seconds.
Simultaneous events excite each other in their order (a gap of zero); the face merges them where they are one order.

References: Hawkes 1971; Ozaki 1979; Ogata 1981; Veen & Schoenberg 2008 and Lewis & Mohler 2011 (EM); Brown et al. 2002
(time rescaling).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@kernel
def row_likelihood(
    times: Floats, types: Ints, horizon: float, i: int, mu: float, eta: Floats, beta: Floats, grad: Floats
) -> float:
    """Return L of row ``i`` and write its gradient: ``grad`` = [d mu, d eta (D*K, row-major), d beta (K)].

    -inf (and a gradient of zeros) where an intensity is not above zero.
    """
    n_types, n_exp = eta.shape
    r = np.zeros((n_types, n_exp))
    d = np.zeros((n_types, n_exp))  # dR/dbeta
    decay = np.empty(n_exp)
    grad[:] = 0.0
    total = 0.0
    last = 0.0
    at_beta = 1 + n_types * n_exp
    for e in range(times.size):
        gap = times[e] - last
        last = times[e]
        for k in range(n_exp):
            decay[k] = math.exp(-beta[k] * gap)
        for j in range(n_types):
            for k in range(n_exp):
                old = r[j, k]
                r[j, k] = old * decay[k]
                d[j, k] = (d[j, k] - gap * old) * decay[k]
        if types[e] == i:
            intensity = mu
            for j in range(n_types):
                for k in range(n_exp):
                    intensity += eta[j, k] * beta[k] * r[j, k]
            if not intensity > 0.0:
                grad[:] = 0.0
                return -np.inf
            total += math.log(intensity)
            inverse = 1.0 / intensity
            grad[0] += inverse
            for j in range(n_types):
                for k in range(n_exp):
                    grad[1 + j * n_exp + k] += beta[k] * r[j, k] * inverse
                    grad[at_beta + k] += eta[j, k] * (r[j, k] + beta[k] * d[j, k]) * inverse
        for k in range(n_exp):
            r[types[e], k] += 1.0
            rest = horizon - times[e]
            lost = math.expm1(-beta[k] * rest)
            total += eta[types[e], k] * lost
            grad[1 + types[e] * n_exp + k] += lost
            grad[at_beta + k] -= eta[types[e], k] * rest * (lost + 1.0)
    grad[0] -= horizon
    return total - mu * horizon


@kernel
def row_likelihood_one(times: Floats, horizon: float, mu: float, eta: float, beta: float, grad: Floats) -> float:
    """Return L of a one-type, one-exponential process and its gradient by mu, eta, beta: the common case, unrolled."""
    r = 0.0
    d = 0.0
    total = 0.0
    g_mu = 0.0
    g_eta = 0.0
    g_beta = 0.0
    last = 0.0
    for e in range(times.size):
        gap = times[e] - last
        last = times[e]
        decay = math.exp(-beta * gap)
        if e > 0:
            d = (d - gap * (r + 1.0)) * decay
            r = (r + 1.0) * decay
        intensity = mu + eta * beta * r
        if not intensity > 0.0:
            grad[:] = 0.0
            return -np.inf
        total += math.log(intensity)
        inverse = 1.0 / intensity
        rest = horizon - times[e]
        lost = math.expm1(-beta * rest)
        total += eta * lost
        g_mu += inverse
        g_eta += beta * r * inverse + lost
        g_beta += eta * ((r + beta * d) * inverse - rest * (lost + 1.0))
    grad[0] = g_mu - horizon
    grad[1] = g_eta
    grad[2] = g_beta
    return total - mu * horizon


@kernel
def row_expectation(
    times: Floats, types: Ints, horizon: float, i: int, mu: float, eta: Floats, beta: Floats, sums: Floats
) -> float:
    """Return L of row ``i`` and write what EM needs: ``sums`` = [parents none, children (D*K), their ages (D*K)].

    ``children[j, k]`` is the expected number of events of i caused by events of j through exponential k, ``ages`` the
    sum of the distances to those causes.
    """
    n_types, n_exp = eta.shape
    r = np.zeros((n_types, n_exp))
    c = np.zeros((n_types, n_exp))  # sum of ages times decay
    sums[:] = 0.0
    total = 0.0
    last = 0.0
    n = n_types * n_exp
    for e in range(times.size):
        gap = times[e] - last
        last = times[e]
        for k in range(n_exp):
            decay = math.exp(-beta[k] * gap)
            for j in range(n_types):
                c[j, k] = (c[j, k] + gap * r[j, k]) * decay
                r[j, k] *= decay
        if types[e] == i:
            intensity = mu
            for j in range(n_types):
                for k in range(n_exp):
                    intensity += eta[j, k] * beta[k] * r[j, k]
            total += math.log(intensity)
            sums[0] += mu / intensity
            for j in range(n_types):
                for k in range(n_exp):
                    weight = eta[j, k] * beta[k] / intensity
                    sums[1 + j * n_exp + k] += weight * r[j, k]
                    sums[1 + n + j * n_exp + k] += weight * c[j, k]
        for k in range(n_exp):
            r[types[e], k] += 1.0
            total += eta[types[e], k] * math.expm1(-beta[k] * (horizon - times[e]))
    return total - mu * horizon


@kernel
def row_residuals(times: Floats, types: Ints, i: int, mu: float, eta: Floats, beta: Floats, out: Floats) -> int:
    """Write the compensator between successive events of type ``i`` (from time 0); return how many."""
    n_types, n_exp = eta.shape
    a = np.zeros((n_types, n_exp))
    mass = 0.0
    last = 0.0
    n = 0
    for e in range(times.size):
        gap = times[e] - last
        last = times[e]
        mass += mu * gap
        for k in range(n_exp):
            lost = -math.expm1(-beta[k] * gap)
            for j in range(n_types):
                mass += eta[j, k] * a[j, k] * lost
                a[j, k] -= a[j, k] * lost
        if types[e] == i:
            out[n] = mass
            n += 1
            mass = 0.0
        for k in range(n_exp):
            a[types[e], k] += 1.0
    return n


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


@kernel
def intensity_at(times: Floats, types: Ints, mu: Floats, eta: Floats, beta: Floats, at: Floats, out: Floats) -> None:
    """Write the intensities just before each time of ``at`` (ascending): ``out``[n, D]."""
    n_types, n_exp = beta.shape
    part = np.zeros((n_types, n_exp))
    last = 0.0
    e = 0
    for a in range(at.size):
        while e < times.size and times[e] < at[a]:
            for i in range(n_types):
                for k in range(n_exp):
                    part[i, k] *= math.exp(-beta[i, k] * (times[e] - last))
                    part[i, k] += eta[i, types[e], k] * beta[i, k]
            last = times[e]
            e += 1
        for i in range(n_types):
            out[a, i] = mu[i]
            for k in range(n_exp):
                out[a, i] += part[i, k] * math.exp(-beta[i, k] * (at[a] - last))


@kernel
def advance_intensity(
    times_ns: Ints, types: Ints, mu: Floats, eta: Floats, beta: Floats, state: Floats, last_ns: Ints, out: Floats
) -> None:
    """Fold events into the excitations (``state``[i, k], per second) and write the intensities just after each.

    ``types`` -1 only moves the time. ``mu``[i] and ``beta``[i, k] are per second; ``last_ns`` holds the time of
    ``state``; ``out`` is [n, D].
    """
    n_types, n_exp = state.shape
    for e in range(times_ns.size):
        # Late stamps keep their weight: a negative gap must not grow the sums.
        gap_s = max(times_ns[e] - last_ns[0], 0) * 1e-9
        last_ns[0] = max(times_ns[e], last_ns[0])
        for i in range(n_types):
            intensity = mu[i]
            for k in range(n_exp):
                state[i, k] *= math.exp(-beta[i, k] * gap_s)
                if types[e] >= 0:
                    state[i, k] += eta[i, types[e], k] * beta[i, k]
                intensity += state[i, k]
            out[e, i] = intensity
