"""Sums that hold when errors follow each other and change their size (Newey & West 1987; lags: 1994)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["lags_for", "long_run"]

Floats = NDArray[np.float64]


def lags_for(n: int) -> int:
    """Return how far ``n`` observations in order are taken to follow each other: floor(4 (n / 100)^(2/9)).

    >>> lags_for(100), lags_for(1_000)
    (4, 6)
    """
    return int(4 * (n / 100) ** (2 / 9))


def long_run(scores: Floats, lags: int) -> Floats:
    """Return the sum of the scores' products with each other, those of lag ``i`` with the weight 1 - i / (lags + 1).

    Over ``n`` it is the long-run variance of their mean times ``n``; without lags it is White's (1980).

    Parameters
    ----------
    scores
        (n, k): regressors times residuals, or the moments of an estimator, in order of time.
    lags
        Bartlett's, 0 or more; those beyond the sample do not count.

    Examples
    --------
    >>> long_run(np.array([[1.0], [1.0], [-1.0]]), 1).tolist()
    [[3.0]]
    """
    total = scores.T @ scores
    for lag in range(1, min(lags, len(scores) - 1) + 1):
        cross = scores[lag:].T @ scores[:-lag]
        total += (1 - lag / (lags + 1)) * (cross + cross.T)
    return total
