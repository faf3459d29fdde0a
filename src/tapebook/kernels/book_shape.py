"""The shape of a book: imbalances over levels, pressure, depth near the mid, slope and convexity, prices of a sweep.

Books are rows of ``4 * n_levels`` numbers (:mod:`tapebook.kernels.book_levels`). Distances are from the mid, in half
ticks where a tick is known, so that they are whole numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING

(
    IMBALANCE,
    IMBALANCE_FADED,
    PRESSURE,
    LOG_RATIO,
    BID_TICKS,
    ASK_TICKS,
    BID_BP,
    ASK_BP,
    BID_SLOPE,
    ASK_SLOPE,
    BID_CONVEXITY,
    ASK_CONVEXITY,
    TOP_SHARE,
    N_SHAPE,
) = range(14)
"""Columns of :func:`advance_book_shape`, and how many there are."""


@kernel
def known_levels(books: NDArray[np.int64], row: int, s: int, n_levels: int) -> int:
    """Return how many levels a side shows; -1 where the size of one was not told."""
    at = 2 * s * n_levels
    for m in range(n_levels):
        if books[row, at + m] == MISSING:
            return m
        if books[row, at + n_levels + m] < 0:
            return -1
    return n_levels


@kernel
def depth_within(
    books: NDArray[np.int64], row: int, s: int, n_levels: int, shown: int, mid: float, reach: float
) -> float:
    """Return what stands at most ``reach`` from the mid; NaN where the levels in view do not reach as far."""
    at = 2 * s * n_levels
    total = 0.0
    for m in range(shown):
        if abs(np.float64(books[row, at + m]) - mid) > reach:
            return total
        total += np.float64(books[row, at + n_levels + m])
    return total if shown < n_levels else np.nan


@kernel
def side_curve(
    books: NDArray[np.int64],
    row: int,
    s: int,
    n_levels: int,
    shown: int,
    mid: float,
    tick: float,
    scratch: NDArray[np.float64],  # (3, levels)
    out: NDArray[np.float64],  # (2,): slope, convexity
) -> None:
    """Fit cumulative depth on distance, by a line and by a parabola (least squares)."""
    out[0] = np.nan
    out[1] = np.nan
    if shown < 2:
        return
    at = 2 * s * n_levels
    total, mean_x, mean_y = 0.0, 0.0, 0.0
    for m in range(shown):
        total += np.float64(books[row, at + n_levels + m])
        scratch[0, m] = abs(np.float64(books[row, at + m]) - mid) / tick
        scratch[1, m] = total
        mean_x += scratch[0, m]
        mean_y += total
    mean_x /= shown
    mean_y /= shown
    xx, xy, xxx = 0.0, 0.0, 0.0
    for m in range(shown):
        x = scratch[0, m] - mean_x
        xx += x * x
        xxx += x * x * x
        xy += x * (scratch[1, m] - mean_y)
    if xx <= 0.0:
        return
    out[0] = xy / xx
    if shown < 3:
        return
    # What of the square of the distance neither a constant nor the distance explains.
    vv, vy = 0.0, 0.0
    for m in range(shown):
        x = scratch[0, m] - mean_x
        v = x * x - xx / shown - xxx / xx * x
        vv += v * v
        vy += v * (scratch[1, m] - mean_y)
    if vv > 1e-9 * xx * xx:
        out[1] = vy / vv


@kernel
def advance_book_shape(
    books: NDArray[np.int64],
    after: NDArray[np.int64],
    n_levels: int,
    tick_e9: int,  # 0: unknown
    decay: float,
    within_ticks: float,
    within_bp: float,
    raw_pressure: bool,
    scratch: NDArray[np.float64],  # (3, levels)
    curve: NDArray[np.float64],  # (2,)
    out: NDArray[np.float64],  # (N_SHAPE, changes)
    one_sided: NDArray[np.bool_],
) -> None:
    """Write the shape of the book after each change."""
    for k in range(after.size):
        row = after[k]
        for c in range(N_SHAPE):
            out[c, k] = np.nan
        bid_px, ask_px = books[row, 0], books[row, 2 * n_levels]
        one_sided[k] = (bid_px == MISSING) != (ask_px == MISSING)
        shown_b, shown_a = known_levels(books, row, 0, n_levels), known_levels(books, row, 1, n_levels)
        if shown_b < 0 or shown_a < 0:
            continue
        bids, asks, faded_b, faded_a, weight = 0.0, 0.0, 0.0, 0.0, 1.0
        for m in range(n_levels):
            bid, ask = np.float64(books[row, n_levels + m]), np.float64(books[row, 3 * n_levels + m])
            bids += bid
            asks += ask
            faded_b += weight * bid
            faded_a += weight * ask
            weight *= decay
        if bids + asks > 0.0:
            out[IMBALANCE, k] = (bids - asks) / (bids + asks)
        if faded_b + faded_a > 0.0:
            out[IMBALANCE_FADED, k] = (faded_b - faded_a) / (faded_b + faded_a)
        best_b, best_a = np.float64(books[row, n_levels]), np.float64(books[row, 3 * n_levels])
        if bids + asks > 0.0:
            out[LOG_RATIO, k] = np.log1p(best_b) - np.log1p(best_a)
            out[TOP_SHARE, k] = (best_b + best_a) / (bids + asks)
        if touch_state(bid_px, ask_px) != TWO_SIDED:
            continue
        mid = np.float64(bid_px) / 2 + np.float64(ask_px) / 2
        press_b, press_a = 0.0, 0.0
        for m in range(shown_b):
            press_b += np.float64(books[row, n_levels + m]) / (mid - np.float64(books[row, m]))
        for m in range(shown_a):
            press_a += np.float64(books[row, 3 * n_levels + m]) / (np.float64(books[row, 2 * n_levels + m]) - mid)
        if raw_pressure:
            out[PRESSURE, k] = (press_b - press_a) * 1e9
        elif press_b + press_a > 0.0:
            out[PRESSURE, k] = (press_b - press_a) / (press_b + press_a)
        reach = mid * within_bp * 1e-4
        out[BID_BP, k] = depth_within(books, row, 0, n_levels, shown_b, mid, reach)
        out[ASK_BP, k] = depth_within(books, row, 1, n_levels, shown_a, mid, reach)
        if tick_e9 <= 0:
            continue
        reach = within_ticks * np.float64(tick_e9)
        out[BID_TICKS, k] = depth_within(books, row, 0, n_levels, shown_b, mid, reach)
        out[ASK_TICKS, k] = depth_within(books, row, 1, n_levels, shown_a, mid, reach)
        side_curve(books, row, 0, n_levels, shown_b, mid, np.float64(tick_e9), scratch, curve)
        out[BID_SLOPE, k] = curve[0]
        out[BID_CONVEXITY, k] = curve[1]
        side_curve(books, row, 1, n_levels, shown_a, mid, np.float64(tick_e9), scratch, curve)
        out[ASK_SLOPE, k] = curve[0]
        out[ASK_CONVEXITY, k] = curve[1]


@kernel
def off_best(books: NDArray[np.int64], row: int, s: int, n_levels: int, lots: float) -> float:
    """Return how far beyond the best price the average price of taking ``lots`` lies; NaN if there are fewer."""
    at = 2 * s * n_levels
    left, paid = lots, 0.0
    for m in range(n_levels):
        if books[row, at + m] == MISSING or books[row, at + n_levels + m] < 0:
            return np.nan
        take = min(left, np.float64(books[row, at + n_levels + m]))
        paid += take * np.float64(abs(books[row, at + m] - books[row, at]))
        left -= take
        if left <= 0.0:
            return paid / lots
    return np.nan


@kernel
def advance_sweep(
    books: NDArray[np.int64],
    after: NDArray[np.int64],
    n_levels: int,
    lots: float,
    out: NDArray[np.float64],  # (2, changes): beyond the best ask, below the best bid
) -> None:
    """Write how far from the best prices a sweep of ``lots`` ends up on average; NaN unless the touch is two-sided."""
    for k in range(after.size):
        row = after[k]
        out[0, k] = np.nan
        out[1, k] = np.nan
        if touch_state(books[row, 0], books[row, 2 * n_levels]) == TWO_SIDED:
            out[0, k] = off_best(books, row, 1, n_levels, lots)
            out[1, k] = off_best(books, row, 0, n_levels, lots)
