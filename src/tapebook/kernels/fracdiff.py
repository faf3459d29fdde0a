"""Fractional differencing with a fixed window, one value at a time (Hosking 1981; Lopez de Prado 2018, chapter 5).

``y_t = sum_{k<K} w_k x_{t-k}`` with ``w_0 = 1`` and ``w_k = -w_{k-1} (d - k + 1) / k``.

The ring is written backwards and twice, so that the last ``K`` values always lie in one piece, newest first, and the
sum is one dot product (:mod:`tapebook.kernels.dot`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel, lean_kernel
from tapebook.kernels.dot import dot_at

FRACDIFF_SEEN, FRACDIFF_AT, FRACDIFF_N = 0, 1, 2
"""Places in the state of :func:`fracdiff_step`, and how many there are."""


@lean_kernel
def fracdiff_step(x: float, weights: NDArray[np.float64], ring: NDArray[np.float64], state: NDArray[np.int64]) -> float:
    """Take one value; return the differenced one, NaN before there are as many values as weights.

    ``ring`` has room for twice as many values as there are weights; a fresh ring and state are all zeros. A value that
    is no finite number starts afresh.
    """
    n = weights.size
    if not math.isfinite(x):
        state[:] = 0
        return np.nan
    at = state[FRACDIFF_AT] - 1
    if at < 0:
        at = n - 1
    state[FRACDIFF_AT] = at
    ring[at] = x
    ring[at + n] = x
    if state[FRACDIFF_SEEN] < n:
        state[FRACDIFF_SEEN] += 1
        if state[FRACDIFF_SEEN] < n:
            return np.nan
    return dot_at(weights, ring, at)


@kernel
def fracdiff_run(
    x: NDArray[np.float64],
    weights: NDArray[np.float64],
    ring: NDArray[np.float64],
    state: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Write what :func:`fracdiff_step` says of each value."""
    for i in range(x.size):
        out[i] = fracdiff_step(x[i], weights, ring, state)


@kernel
def fracdiff_log_run(
    x: NDArray[np.float64],
    reference: NDArray[np.float64],
    weights: NDArray[np.float64],
    ring: NDArray[np.float64],
    state: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Write what :func:`fracdiff_step` says of ``log(x / reference)``; prices at or below zero have none."""
    for i in range(x.size):
        defined = x[i] > 0.0 and reference[i] > 0.0
        out[i] = fracdiff_step(math.log(x[i] / reference[i]) if defined else np.nan, weights, ring, state)
