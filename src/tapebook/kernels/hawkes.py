"""Hawkes processes whose kernels are sums of exponentials: likelihood, gradient, EM, residuals, intensities.

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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING, Kind, TradeCondition

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ORDER_STAMP, ORDER_SIDE, ORDER_MERGED, ORDER_PASSED, ORDER_N = 0, 1, 2, 3, 4
"""Places in the state of :func:`aggressive_orders` (the first is MISSING at the start), and how many there are."""

LIVE_SESSION, LIVE_START, LIVE_LAST, LIVE_N = 0, 1, 2, 3
"""Places in the state of :func:`advance_intensity` (all MISSING at the start), and how many there are."""

_TRADE = int(Kind.TRADE)
_CROSS, _OFF_BOOK = int(TradeCondition.CROSS), int(TradeCondition.OFF_BOOK)


@kernel
def row_likelihood(
    times: Floats, types: Ints, horizon: float, i: int, mu: float, eta: Floats, beta: Floats, grad: Floats
) -> float:
    """Return L of row ``i`` and write its gradient: ``grad`` = [d mu, d eta (D*K, row-major), d beta (K)].

    -inf (and a gradient of zeros) where an intensity is not above zero. The compensator's sums over all events are R
    and D carried on to the horizon: one exponential per event and rate, not two.
    """
    n_types, n_exp = eta.shape
    r = np.zeros((n_types, n_exp))
    d = np.zeros((n_types, n_exp))  # dR/dbeta
    weight = np.empty((n_types, n_exp))  # what R counts in the intensity
    by_r = np.zeros((n_types, n_exp))  # sum of R / lambda
    by_d = np.zeros((n_types, n_exp))  # sum of D / lambda
    count = np.zeros(n_types)
    decay = np.empty(n_exp)
    for j in range(n_types):
        for k in range(n_exp):
            weight[j, k] = eta[j, k] * beta[k]
    grad[:] = 0.0
    total = 0.0
    last = 0.0
    inverses = 0.0
    for e in range(times.size):
        gap = times[e] - last
        last = times[e]
        for k in range(n_exp):
            decay[k] = math.exp(-beta[k] * gap)
        intensity = mu
        for j in range(n_types):
            for k in range(n_exp):
                d[j, k] = (d[j, k] - gap * r[j, k]) * decay[k]
                r[j, k] *= decay[k]
                intensity += weight[j, k] * r[j, k]
        if types[e] == i:
            if not intensity > 0.0:
                return -np.inf
            total += math.log(intensity)
            inverse = 1.0 / intensity
            inverses += inverse
            for j in range(n_types):
                for k in range(n_exp):
                    by_r[j, k] += r[j, k] * inverse
                    by_d[j, k] += d[j, k] * inverse
        count[types[e]] += 1.0
        for k in range(n_exp):
            r[types[e], k] += 1.0
    grad[0] = inverses - horizon
    rest = horizon - last
    at_beta = 1 + n_types * n_exp
    for j in range(n_types):
        for k in range(n_exp):
            fade = math.exp(-beta[k] * rest)
            lost = r[j, k] * fade - count[j]  # sum of expm1(-beta (T - t))
            ages = (rest * r[j, k] - d[j, k]) * fade  # sum of (T - t) exp(-beta (T - t))
            total += eta[j, k] * lost
            grad[1 + j * n_exp + k] = beta[k] * by_r[j, k] + lost
            grad[at_beta + k] += eta[j, k] * (by_r[j, k] + beta[k] * by_d[j, k] - ages)
    return total - mu * horizon


@kernel
def row_likelihood_one(times: Floats, horizon: float, mu: float, eta: float, beta: float, grad: Floats) -> float:
    """Return L of a one-type, one-exponential process and its gradient by mu, eta, beta: the common case, unrolled."""
    r = 0.0
    d = 0.0
    weight = eta * beta
    total = 0.0
    inverses = 0.0
    by_r = 0.0
    by_d = 0.0
    last = 0.0
    for e in range(times.size):
        gap = times[e] - last
        last = times[e]
        decay = math.exp(-beta * gap)
        d = (d - gap * r) * decay
        r *= decay
        intensity = mu + weight * r
        if not intensity > 0.0:
            grad[:] = 0.0
            return -np.inf
        total += math.log(intensity)
        inverse = 1.0 / intensity
        inverses += inverse
        by_r += r * inverse
        by_d += d * inverse
        r += 1.0
    rest = horizon - last
    fade = math.exp(-beta * rest)
    lost = r * fade - times.size
    grad[0] = inverses - horizon
    grad[1] = beta * by_r + lost
    grad[2] = eta * (by_r + beta * by_d - (rest * r - d) * fade)
    return total + eta * lost - mu * horizon


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
    count = np.zeros(n_types)
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
            inverse = 1.0 / intensity
            sums[0] += mu * inverse
            for j in range(n_types):
                for k in range(n_exp):
                    weight = eta[j, k] * beta[k] * inverse
                    sums[1 + j * n_exp + k] += weight * r[j, k]
                    sums[1 + n + j * n_exp + k] += weight * c[j, k]
        count[types[e]] += 1.0
        for k in range(n_exp):
            r[types[e], k] += 1.0
    for j in range(n_types):
        for k in range(n_exp):
            total += eta[j, k] * (r[j, k] * math.exp(-beta[k] * (horizon - last)) - count[j])
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
def compensator_at(times: Floats, types: Ints, mu: Floats, eta: Floats, beta: Floats, at: Floats, out: Floats) -> None:
    """Write the integrals of the intensities from 0 to each time of ``at`` (ascending): ``out``[n, D]."""
    n_types, n_exp = beta.shape
    part = np.zeros((n_types, n_exp))  # sum over j of eta R
    born = np.zeros(n_types)  # sum of eta over the events so far
    last = 0.0
    e = 0
    for a in range(at.size):
        while e < times.size and times[e] < at[a]:
            for i in range(n_types):
                for k in range(n_exp):
                    part[i, k] *= math.exp(-beta[i, k] * (times[e] - last))
                    part[i, k] += eta[i, types[e], k]
                    born[i] += eta[i, types[e], k]
            last = times[e]
            e += 1
        for i in range(n_types):
            out[a, i] = mu[i] * at[a] + born[i]
            for k in range(n_exp):
                out[a, i] -= part[i, k] * math.exp(-beta[i, k] * (at[a] - last))


@kernel
def aggressive_orders(
    events: Any, stamp_ns: Ints, clock_ns: Ints, merge_ns: int, state: Ints, places: Ints, times_ns: Ints
) -> int:
    """Write the place and the clock of the first print of each aggressive order; return how many.

    A print belongs to the order of the print before it where both are on one side and its venue stamp is at most
    ``merge_ns`` later. Prints without a side, crosses and off-book prints are no orders here and are passed over;
    ``state`` counts them (:data:`ORDER_PASSED`).
    """
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    n = 0
    for e in range(kind.size):
        if kind[e] != _TRADE or price[e] == MISSING or qty[e] <= 0:
            continue
        if side[e] == 0 or detail[e] == _CROSS or detail[e] == _OFF_BOOK:
            state[ORDER_PASSED] += 1
            continue
        stamp = stamp_ns[e]
        before = state[ORDER_STAMP]
        # Times before 1970 and missing ones (both below zero) belong to no order: no difference can overflow.
        same = side[e] == state[ORDER_SIDE] and before >= 0 and before <= stamp and stamp - before <= merge_ns
        state[ORDER_STAMP] = stamp
        state[ORDER_SIDE] = side[e]
        if same:
            state[ORDER_MERGED] += 1
            continue
        places[n] = e
        times_ns[n] = clock_ns[e]
        n += 1
    return n


@kernel
def advance_intensity(
    times_ns: Ints,
    types: Ints,
    session: Ints,
    mu: Floats,
    eta: Floats,
    beta: Floats,
    fading: float,
    fresh_share: float,
    warm_ns: int,
    excited: Floats,
    seen: Floats,
    state: Ints,
    out: Floats,
) -> None:
    """Fold events into the excitations and write, just after each: [baseline (D), intensity (D)], NaN until defined.

    ``mu``[i], ``beta``[i, k] and ``fading`` are per second. Where ``fading`` is above zero the baselines are not ``mu``
    but ``fresh_share`` of the mean rates, each followed by a sum that fades at that rate (and is divided by the time it
    has seen). ``excited``[i, k] and ``seen``[i] are the memory; a new session empties them. Rows are defined
    ``warm_ns`` after the first event of the session.
    """
    n_types, n_exp = excited.shape
    for e in range(times_ns.size):
        t = times_ns[e]
        if session[e] != state[LIVE_SESSION] or state[LIVE_START] == MISSING:
            state[LIVE_SESSION] = session[e]
            state[LIVE_START] = t
            state[LIVE_LAST] = t
            excited[:] = 0.0
            seen[:] = 0.0
        # Late stamps keep their weight: a negative gap must not grow the sums.
        gap_s = max(t - state[LIVE_LAST], 0) * 1e-9
        state[LIVE_LAST] = max(t, state[LIVE_LAST])
        defined = state[LIVE_LAST] - state[LIVE_START] >= warm_ns
        elapsed_s = (state[LIVE_LAST] - state[LIVE_START]) * 1e-9
        for i in range(n_types):
            base = mu[i]
            if fading > 0.0:
                seen[i] *= math.exp(-fading * gap_s)
                if types[e] == i:
                    seen[i] += 1.0
                window = -math.expm1(-fading * elapsed_s)
                base = fresh_share * seen[i] * fading / window if window > 0.0 else np.nan
            intensity = base
            for k in range(n_exp):
                excited[i, k] = excited[i, k] * math.exp(-beta[i, k] * gap_s) + eta[i, types[e], k] * beta[i, k]
                intensity += excited[i, k]
            out[e, i] = base if defined else np.nan
            out[e, n_types + i] = intensity if defined else np.nan
