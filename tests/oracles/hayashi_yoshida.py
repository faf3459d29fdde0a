"""Covariance of asynchronous prices from its definition: every pair of moves, in exact fractions of their stamps."""

from __future__ import annotations

from collections.abc import Sequence


def covariance(s: Sequence[int], x: Sequence[float], t: Sequence[int], y: Sequence[float], shift: int = 0) -> float:
    total = 0.0
    for i in range(1, len(s)):
        for j in range(1, len(t)):
            start, end = max(s[i - 1], t[j - 1] + shift), min(s[i], t[j] + shift)
            if start < end:  # (start, end] holds a moment
                total += (x[i] - x[i - 1]) * (y[j] - y[j - 1])
    return total
