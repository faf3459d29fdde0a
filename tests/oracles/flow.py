"""Order flow from its definitions: dictionaries of prices, sums over the whole past, loops over pairs of lags."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tests.oracles.depth import Depth, Side
from tests.oracles.touches import Touch, ofi


def level_touch(depth: Depth, m: int) -> Touch:
    """Level ``m`` of both sides as if it were the touch."""
    bid, ask = (side[m] if m < len(side) else (None, 0) for side in depth)
    return (bid[0], bid[1], ask[0], ask[1])


def level_flow(old: Depth, new: Depth, m: int) -> int | None:
    a, b = level_touch(old, m), level_touch(new, m)
    if (a[0] is None and a[2] is None) or (b[0] is None and b[2] is None):
        return None
    return ofi(a, b)


def generalised(old: Depth, new: Depth, size: Callable[[int], float], *, gross: bool) -> float:
    total = 0.0
    for s, sign in ((0, 1), (1, -1)):
        before, after = old[s], new[s]
        worse = min(before[0][0] * sign, after[0][0] * sign)
        there = sum(size(q) for p, q in after if p * sign >= worse)
        was = sum(size(q) for p, q in before if p * sign >= worse)
        moved = (after[0][0] - before[0][0]) * sign
        if gross and moved:
            total += sign * (there if moved > 0 else -was)
        else:
            total += sign * (there - was)
    return total


def rates(items: Sequence[tuple[float, float]], now_s: float, half_life_s: float) -> float:
    """Sum over the whole past of weight * 2^-(age / half-life), as a rate per second."""
    tau = half_life_s / math.log(2)
    return sum(x * math.exp(-(now_s - t) / tau) for t, x in items) / tau


def newey_west(design: NDArray[np.float64], error: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Element by element."""
    n, k = design.shape
    middle = np.zeros((k, k))
    for t in range(n):
        for u in range(n):
            if abs(t - u) <= lags:
                middle += (1 - abs(t - u) / (lags + 1)) * error[t] * error[u] * np.outer(design[t], design[u])
    bread = np.linalg.inv(design.T @ design)
    found: NDArray[np.float64] = np.sqrt(np.diag(bread @ middle @ bread))
    return found


def best(side: Side) -> int | None:
    return side[0][0] if side else None
