"""Fair prices as distances from the mid: by the depth's imbalance, by a fitted curve, by a fitted table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.book_shape import known_levels
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING

FITTED, FALLBACK, UNDEFINED = 0, 1, 2
"""What a table's answer rests on: its own cell, the nearest spread's (the spread is wider than the table), nothing."""


@kernel
def cross_weighted(books: NDArray[np.int64], row: int, n_levels: int) -> float:
    """Return (VWAP of bids * ask lots + VWAP of asks * bid lots) / all lots, less the mid; NaN with no lots."""
    mid = np.float64(books[row, 0]) / 2 + np.float64(books[row, 2 * n_levels]) / 2
    lots_b, lots_a, sum_b, sum_a = 0.0, 0.0, 0.0, 0.0
    for m in range(n_levels):
        if books[row, m] != MISSING:
            size = np.float64(books[row, n_levels + m])
            lots_b += size
            sum_b += size * (np.float64(books[row, m]) - mid)
        if books[row, 2 * n_levels + m] != MISSING:
            size = np.float64(books[row, 3 * n_levels + m])
            lots_a += size
            sum_a += size * (np.float64(books[row, 2 * n_levels + m]) - mid)
    if lots_b <= 0.0 or lots_a <= 0.0:
        return np.nan
    return (sum_b / lots_b * lots_a + sum_a / lots_a * lots_b) / (lots_a + lots_b)


@kernel
def advance_depth_weighted(
    books: NDArray[np.int64],
    after: NDArray[np.int64],
    n_levels: int,
    decay: float,
    cross: bool,
    clamp: bool,
    out: NDArray[np.float64],  # (changes,): less the mid, 1e-9
) -> None:
    """Write the depth-weighted mid after each change, as its distance from the mid."""
    for k in range(after.size):
        row = after[k]
        out[k] = np.nan
        bid, ask = books[row, 0], books[row, 2 * n_levels]
        if touch_state(bid, ask) != TWO_SIDED:
            continue
        if known_levels(books, row, 0, n_levels) < 0 or known_levels(books, row, 1, n_levels) < 0:
            continue
        half = np.float64(ask - bid) / 2
        if cross:
            out[k] = cross_weighted(books, row, n_levels)
        else:
            bids, asks, weight = 0.0, 0.0, 1.0
            for m in range(n_levels):
                bids += weight * np.float64(books[row, n_levels + m])
                asks += weight * np.float64(books[row, 3 * n_levels + m])
                weight *= decay
            if bids + asks > 0.0:
                out[k] = half * (bids - asks) / (bids + asks)
        if clamp and not np.isnan(out[k]):
            out[k] = min(max(out[k], -half), half)


@kernel
def table_place(share: float, spread: int, edges: NDArray[np.float64], n_spreads: int) -> tuple[int, int]:
    """Return row and column of a table for a queue share in [0, 1] and a spread in ticks (1 or more)."""
    column = 0
    while column < edges.size and share >= edges[column]:
        column += 1
    return min(spread, n_spreads) - 1, column


@kernel
def advance_touch_prices(
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    tick_e9: int,  # 0: by the curve, else by the table
    curve: NDArray[np.float64],  # (3,): of z, z^3, z^5 with z = 2 share - 1, in spreads
    edges: NDArray[np.float64],
    table: NDArray[np.float64],  # (spreads, edges + 1), ticks
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (2, events): mid, and the price's distance from it, 1e-9
    why: NDArray[np.uint8],
) -> int:
    """Write a row for each change of the touch; return how many."""
    n = 0
    for i in range(bid_px.size - 1):
        j = i + 1
        if bid_px[j] == bid_px[i] and bid_sz[j] == bid_sz[i] and ask_px[j] == ask_px[i] and ask_sz[j] == ask_sz[i]:
            continue
        out_at[n] = i
        out[0, n] = np.nan
        out[1, n] = np.nan
        why[n] = UNDEFINED
        if touch_state(bid_px[j], ask_px[j]) == TWO_SIDED:
            out[0, n] = np.float64(bid_px[j]) / 2 + np.float64(ask_px[j]) / 2
            lots = np.float64(bid_sz[j]) + np.float64(ask_sz[j])
            if min(bid_sz[j], ask_sz[j]) >= 0 and lots > 0.0:
                share = np.float64(bid_sz[j]) / lots
                if tick_e9 == 0:
                    z = 2.0 * share - 1.0
                    lean = z * (curve[0] + z * z * (curve[1] + z * z * curve[2]))
                    out[1, n] = lean * np.float64(ask_px[j] - bid_px[j])
                    why[n] = FITTED
                elif table.shape[0] > 0:
                    spread = max((ask_px[j] - bid_px[j]) // tick_e9, 1)
                    row, column = table_place(share, spread, edges, table.shape[0])
                    out[1, n] = table[row, column] * np.float64(tick_e9)
                    why[n] = FITTED if spread <= table.shape[0] else FALLBACK
        n += 1
    return n
