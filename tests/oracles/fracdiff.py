"""Fractional differencing straight from its definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def weights(order: Fraction, n: int) -> list[Fraction]:
    """Exact: the coefficients of ``(1 - L)^d``."""
    out = [Fraction(1)]
    for k in range(1, n):
        out.append(-out[-1] * (order - k + 1) / k)
    return out


def difference(values: Sequence[float], w: Sequence[float]) -> list[float]:
    n = len(w)
    return [math.fsum(w[k] * values[i - k] for k in range(n)) if i >= n - 1 else math.nan for i in range(len(values))]
