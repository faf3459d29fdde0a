"""Percentiles of receive minus event time out of the kernel's logarithmic histogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.quality import LATENCY_BINS


def bin_middle_ns(index: int) -> int:
    """Return the middle of a bin in ns (inverse of :func:`~tapebook.kernels.quality.latency_bin`).

    >>> from tapebook.kernels.quality import latency_bin
    >>> all(abs(bin_middle_ns(int(latency_bin(x))) - x) <= abs(x) / 32 for x in (0, 5, 1_000, -250_000, 10**10))
    True
    """
    middle = LATENCY_BINS // 2
    sign = 1 if index >= middle else -1
    index = index - middle if index >= middle else middle - 1 - index
    if index < 64:
        return sign * index
    shift = index // 32 - 1
    return sign * (((index - shift * 32) << shift) + (1 << shift) // 2)


def percentiles_ns(
    histogram: NDArray[np.int64], shares: tuple[float, ...] = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)
) -> list[int]:
    """Return the latencies below which the given shares of the events lie (bin middles); empty without events."""
    total = int(histogram.sum())
    if total == 0:
        return []
    cumulative = np.cumsum(histogram)
    ranks = [min(max(int(np.ceil(s * total)), 1), total) for s in shares]
    return [bin_middle_ns(int(np.searchsorted(cumulative, rank))) for rank in ranks]
