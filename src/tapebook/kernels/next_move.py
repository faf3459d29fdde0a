"""Where the mid goes next, by the imbalance of the queues: a logistic regression that learns with each move.

With z the imbalance of the touch (Gould and Bonart 2016)::

    P(next move of the mid is up) = 1 / (1 + exp(-(x0 + x1 z)))

Between two moves the imbalance takes many values; each counts by how long it stood, a move as one observation in all.
So the time is kept by bins of z, each with its mean z. A move is a step of the recursive estimator, v being (1, z)::

    H <- decay H + sum w p (1 - p) v v'        x <- x + H^-1 sum w (up - p) v
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.imbalance import imbalance
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING

BINS = 41
"""Bins of the imbalance from -1 to 1."""

STANDS, MID2, SESSION, THREAD, LAST_NS, MARKS_N = 0, 1, 2, 3, 4, 5
"""Places in ``marks``: whether a two-sided touch stands, twice its mid, session, thread, the clock; how many."""

Z, X0, X1, H00, H01, H11, MOVES, FIT_N = 0, 1, 2, 3, 4, 5, 6, 7
"""Places in ``fit``: the imbalance that stands, coefficients, information, moves learnt from; how many."""


@kernel
def up_probability(x0: float, x1: float, z: float) -> float:
    """Return the probability that the next move is up."""
    return 1.0 / (1.0 + math.exp(-min(max(x0 + x1 * z, -40.0), 40.0)))


@kernel
def learn_move(up: float, decay: float, stood: NDArray[np.float64], fit: NDArray[np.float64]) -> None:
    """Take a step for a move after touches that stood as ``stood`` tells; nothing without any time."""
    total = 0.0
    for k in range(BINS):
        total += stood[k, 0]
    if total <= 0.0:
        return
    g0, g1 = 0.0, 0.0
    for c in (H00, H01, H11):
        fit[c] *= decay
    for k in range(BINS):
        if stood[k, 0] > 0.0:
            w, z = stood[k, 0] / total, stood[k, 1] / stood[k, 0]
            p = up_probability(fit[X0], fit[X1], z)
            g0 += w * (up - p)
            g1 += w * (up - p) * z
            fit[H00] += w * p * (1.0 - p)
            fit[H01] += w * p * (1.0 - p) * z
            fit[H11] += w * p * (1.0 - p) * z * z
    fit[MOVES] += 1.0
    # A quarter of an observation at z = -1 and 1, never forgotten, keeps the first steps small.
    a, b, d = fit[H00] + 0.25, fit[H01], fit[H11] + 0.25
    determinant = a * d - b * b
    fit[X0] += (d * g0 - b * g1) / determinant
    fit[X1] += (a * g1 - b * g0) / determinant


@kernel
def advance_next_move(
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    thread: NDArray[np.int64],
    decay: float,
    moves_min: int,
    marks: NDArray[np.int64],
    fit: NDArray[np.float64],
    stood: NDArray[np.float64],  # (BINS, 2): seconds, and seconds times imbalance, since the mid moved
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (rows, 4): probability, coefficients, moves
) -> int:
    """Write a row for each change of the touch; return how many."""
    n = 0
    for i in range(clock_ns.size):
        j = i + 1
        now = clock_ns[i]
        if now != MISSING:
            if marks[STANDS] == 1 and marks[LAST_NS] != MISSING and now > marks[LAST_NS]:
                k = min(int((fit[Z] + 1.0) * 0.5 * BINS), BINS - 1)
                seconds = np.float64(now - marks[LAST_NS]) * 1e-9
                stood[k, 0] += seconds
                stood[k, 1] += seconds * fit[Z]
            marks[LAST_NS] = now
        if session[i] != marks[SESSION] or thread[j] != marks[THREAD] or not trading[i]:
            marks[SESSION] = session[i]
            marks[THREAD] = thread[j]
            marks[STANDS] = 0
            stood[:] = 0.0
        z = np.nan
        if trading[i] and touch_state(bid_px[j], ask_px[j]) == TWO_SIDED:
            z = imbalance(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
        if math.isnan(z):
            marks[STANDS] = 0
            stood[:] = 0.0
        else:
            mid2 = bid_px[j] + ask_px[j]
            if marks[STANDS] == 1 and mid2 != marks[MID2]:
                learn_move(1.0 if mid2 > marks[MID2] else 0.0, decay, stood, fit)
                stood[:] = 0.0
            marks[STANDS] = 1
            marks[MID2] = mid2
            fit[Z] = z
        if (
            bid_px[j] == bid_px[i]
            and bid_sz[j] == bid_sz[i]
            and ask_px[j] == ask_px[i]
            and ask_sz[j] == ask_sz[i]
            and thread[j] == thread[i]
        ):
            continue
        out_at[n] = i
        known = fit[MOVES] >= moves_min
        out[n, 0] = up_probability(fit[X0], fit[X1], z) if known and not math.isnan(z) else np.nan
        out[n, 1] = fit[X0] if known else np.nan
        out[n, 2] = fit[X1] if known else np.nan
        out[n, 3] = fit[MOVES]
        n += 1
    return n
