"""Differences between successive views of the best levels (face and meaning: :mod:`tapebook.venues.views`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel

CLEARED, GONE, OUT_OF_VIEW, SET, INTO_VIEW = 1, 2, 3, 4, 5
"""What a change is: the book is forgotten; a level vanished or is no longer shown; it is set or has come into view."""

_MISSING = np.iinfo(np.int64).min


@kernel
def diff_views(
    price: NDArray[np.int64],  # (rows, 2, levels): bids, asks; best first; MISSING where there is no level
    qty: NDArray[np.int64],
    count: NDArray[np.uint32],
    slot: NDArray[np.int64],  # (rows,): whose view each row is
    started: NDArray[np.int8],  # (slots,): 0 before the first row and after a reset
    last_price: NDArray[np.int64],  # (slots, 2, levels): the view before
    last_qty: NDArray[np.int64],
    last_count: NDArray[np.uint32],
    out_row: NDArray[np.int64],
    out_what: NDArray[np.int8],
    out_side: NDArray[np.int8],
    out_price: NDArray[np.int64],
    out_qty: NDArray[np.int64],
    out_count: NDArray[np.uint32],
    out_odd: NDArray[np.int8],  # (rows,): 1 where a side is not strictly ordered, best first
) -> int:
    """Write the changes that turn each view into the next one; return how many (at most rows * (4 * levels + 1)).

    Within a row: bids before asks, what is gone before what is there.
    """
    n_levels = price.shape[2]
    n = 0
    for row in range(slot.size):
        who = slot[row]
        first = started[who] == 0
        if first:
            started[who] = 1
            for side in range(2):
                for i in range(n_levels):
                    last_price[who, side, i] = _MISSING
            out_row[n] = row
            out_what[n] = CLEARED
            out_side[n] = 0
            out_price[n] = _MISSING
            out_qty[n] = _MISSING
            out_count[n] = 0
            n += 1
        for side in range(2):
            sign = 1 - 2 * side
            # How many levels each view shows and how far it reaches; a full view says nothing about what lies beyond.
            n_old, n_new = 0, 0
            far_old, far_new = np.int64(0), np.int64(0)
            for i in range(n_levels):
                p = last_price[who, side, i]
                if p != _MISSING:
                    if n_old == 0 or (far_old - p) * sign > 0:
                        far_old = p
                    n_old += 1
                p = price[row, side, i]
                if p != _MISSING:
                    if n_new > 0 and (far_new - p) * sign <= 0:
                        out_odd[row] = 1
                    if n_new == 0 or (far_new - p) * sign > 0:
                        far_new = p
                    n_new += 1
            # A row is ordered, so the same price stands near the same place: the search goes on where it last found.
            hint = 0
            for i in range(n_levels):
                p = last_price[who, side, i]
                if p == _MISSING:
                    continue
                found = -1
                for k in range(n_levels):
                    j = hint + k
                    if j >= n_levels:
                        j -= n_levels
                    if price[row, side, j] == p:
                        found = j
                        break
                if found >= 0:
                    hint = found
                    continue
                out_row[n] = row
                out_what[n] = OUT_OF_VIEW if n_new == n_levels and (far_new - p) * sign > 0 else GONE
                out_side[n] = sign
                out_price[n] = p
                out_qty[n] = 0
                out_count[n] = 0
                n += 1
            hint = 0
            for i in range(n_levels):
                p = price[row, side, i]
                if p == _MISSING:
                    continue
                found = -1
                for k in range(n_levels):
                    j = hint + k
                    if j >= n_levels:
                        j -= n_levels
                    if last_price[who, side, j] == p:
                        found = j
                        break
                if found >= 0:
                    hint = found
                    if (
                        last_qty[who, side, found] == qty[row, side, i]
                        and last_count[who, side, found] == count[row, side, i]
                    ):
                        continue
                out_row[n] = row
                out_what[n] = INTO_VIEW if found < 0 and n_old == n_levels and (far_old - p) * sign > 0 else SET
                out_side[n] = sign
                out_price[n] = p
                out_qty[n] = qty[row, side, i]
                out_count[n] = count[row, side, i]
                n += 1
            for i in range(n_levels):
                last_price[who, side, i] = price[row, side, i]
                last_qty[who, side, i] = qty[row, side, i]
                last_count[who, side, i] = count[row, side, i]
    return n
