"""Order-flow imbalance beyond the best prices: at every level, generalised, and integrated.

Books are rows of ``4 * n_levels`` numbers (:mod:`tapebook.kernels.book_levels`). Level ``m`` is compared with level
``m`` (Xu, Gould and Howison 2019)::

    e_m = 1{b' >= b} qb' - 1{b' <= b} qb - 1{a' <= a} qa' + 1{a' >= a} qa       prices and sizes of level m
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.ofi import comparable, step_state
from tapebook.market.events import MISSING


@kernel
def good_book(books: NDArray[np.int64], row: int, n_levels: int) -> bool:
    """Return whether flow into or out of this book is defined (as for the touch alone)."""
    return comparable(books[row, 0], books[row, n_levels], books[row, 2 * n_levels], books[row, 3 * n_levels])


@kernel
def advance_ofi_levels(
    books: NDArray[np.int64],
    which: NDArray[np.int64],  # (events + 1,): the book that stands before each event, and after the last
    at: NDArray[np.int64],  # the events that changed it
    thread: NDArray[np.int64],
    trading: NDArray[np.bool_],
    n_levels: int,
    state: NDArray[np.int64],
    out: NDArray[np.float64],  # (levels, changes)
) -> None:
    """Write the flow of each change at each level; NaN with nothing to compare, or a level that neither side has."""
    for k in range(at.size):
        i = at[k]
        r0, r1 = which[i], which[i + 1]
        if not step_state(state, trading[i] and good_book(books, r1, n_levels), thread[i + 1]):
            for m in range(n_levels):
                out[m, k] = np.nan
            continue
        for m in range(n_levels):
            b0, b1 = books[r0, m], books[r1, m]
            q0, q1 = books[r0, n_levels + m], books[r1, n_levels + m]
            a0, a1 = books[r0, 2 * n_levels + m], books[r1, 2 * n_levels + m]
            p0, p1 = books[r0, 3 * n_levels + m], books[r1, 3 * n_levels + m]
            # No branches: what a level does from one book to the next cannot be foretold, and a wrong guess costs more
            # than all of this. An empty bid is MISSING, the smallest integer: minus infinity already. An empty ask is
            # plus infinity: its bits turned over are MISSING's, and order asks as bids.
            c0 = MISSING if a0 == MISSING else ~a0
            c1 = MISSING if a1 == MISSING else ~a1
            flow = np.int64(b1 >= b0) * q1 - np.int64(b1 <= b0) * q0 - np.int64(c1 >= c0) * p1 + np.int64(c1 <= c0) * p0
            empty = max(b0, c0) == MISSING or max(b1, c1) == MISSING
            out[m, k] = np.nan if empty or (q0 | q1 | p0 | p1) < 0 else np.float64(flow)


@kernel
def side_passed(
    books: NDArray[np.int64], row: int, px_at: int, n_levels: int, sign: int, limit: int, logs: bool
) -> float:
    """Return what stands at ``limit`` or better: lots, or the sum of ln(1 + lots) of the levels."""
    total = 0.0
    for m in range(n_levels):
        price = books[row, px_at + m]
        if price == MISSING or (price < limit if sign > 0 else price > limit):
            break
        size = np.float64(books[row, px_at + n_levels + m])
        total += np.log1p(size) if logs else size
    return total


@kernel
def side_flow(books: NDArray[np.int64], r0: int, r1: int, s: int, n_levels: int, gross: bool, logs: bool) -> float:
    """Return the generalised flow into a side: every level between the old best and the new one counts."""
    at = 2 * s * n_levels
    sign = 1 - 2 * s
    old, new = books[r0, at], books[r1, at]
    if old == MISSING and new == MISSING:
        return 0.0
    # The worse of the two best prices; an empty side is infinitely bad, so that all of the other one counts.
    if old == MISSING:
        worse = new
        for m in range(n_levels):
            if books[r1, at + m] != MISSING:
                worse = books[r1, at + m]
    elif new == MISSING:
        worse = old
        for m in range(n_levels):
            if books[r0, at + m] != MISSING:
                worse = books[r0, at + m]
    else:
        worse = min(old, new) if sign > 0 else max(old, new)
    # A book that does not show all that stands down to that price cannot be compared.
    for row in (r0, r1):
        deepest = books[row, at + n_levels - 1]
        if deepest != MISSING and (deepest > worse if sign > 0 else deepest < worse):
            return np.nan
    there = side_passed(books, r1, at, n_levels, sign, worse, logs) if new != MISSING else 0.0
    was = side_passed(books, r0, at, n_levels, sign, worse, logs) if old != MISSING else 0.0
    if gross and old != new:
        up = old == MISSING or (new != MISSING and (new > old if sign > 0 else new < old))
        return there if up else -was
    return there - was


@kernel
def advance_generalised(
    books: NDArray[np.int64],
    which: NDArray[np.int64],  # (events + 1,): the book that stands before each event, and after the last
    at: NDArray[np.int64],  # the events that changed it
    thread: NDArray[np.int64],
    trading: NDArray[np.bool_],
    n_levels: int,
    gross: bool,
    state: NDArray[np.int64],
    out: NDArray[np.float64],  # (2, changes): in lots, in logarithms
) -> None:
    """Write the generalised flow of each change."""
    for k in range(at.size):
        i = at[k]
        r0, r1 = which[i], which[i + 1]
        usable = step_state(state, trading[i] and good_book(books, r1, n_levels), thread[i + 1])
        for m in range(n_levels, 2 * n_levels):  # a size that was not told says nothing
            usable = usable and min(books[r0, m], books[r1, m]) >= 0
            usable = usable and min(books[r0, 2 * n_levels + m], books[r1, 2 * n_levels + m]) >= 0
        if usable:
            out[0, k] = side_flow(books, r0, r1, 0, n_levels, gross, False) - side_flow(
                books, r0, r1, 1, n_levels, gross, False
            )
            out[1, k] = side_flow(books, r0, r1, 0, n_levels, gross, True) - side_flow(
                books, r0, r1, 1, n_levels, gross, True
            )
        else:
            out[0, k] = np.nan
            out[1, k] = np.nan


INDEX, BROKEN, CHANGES, INTERVALS, N_MARKS = 0, 1, 2, 3, 4
"""Places in the marks of :func:`advance_integrated`: number of the interval under way; whether its thread broke; its
changes; intervals learnt from; how many places."""


@kernel
def close_interval(
    sums: NDArray[np.float64],  # (levels + 1,): flow of each level, depth
    marks: NDArray[np.int64],
    forget: float,
    mean: NDArray[np.float64],
    cov: NDArray[np.float64],
    weight: NDArray[np.float64],
    x: NDArray[np.float64],
    row: NDArray[np.float64],  # (3,): integrated, share of the first component, depth
    warm: int,
) -> bool:
    """Judge an interval by the weights of the past, then learn from it; return whether it makes a row."""
    n = mean.size
    if marks[CHANGES] == 0:
        return False
    row[0] = np.nan
    row[1] = np.nan
    row[2] = sums[n] / (n * marks[CHANGES])
    if marks[BROKEN] == 1 or row[2] <= 0.0:
        return True
    total = 0.0
    for m in range(n):
        x[m] = sums[m] / row[2]
        total += abs(weight[m])
    if marks[INTERVALS] >= warm and total > 0.0:
        value, trace, along = 0.0, 0.0, 0.0
        for m in range(n):
            value += weight[m] * x[m]
            trace += cov[m, m]
            for j in range(n):
                along += weight[m] * cov[m, j] * weight[j]
        row[0] = value / total
        if trace > 0.0:
            row[1] = along / trace
    marks[INTERVALS] += 1
    a = max(forget, 1.0 / marks[INTERVALS])
    for m in range(n):
        x[m] -= mean[m]
    for m in range(n):
        mean[m] += a * x[m]
        for j in range(n):
            cov[m, j] = (1.0 - a) * (cov[m, j] + a * x[m] * x[j])
    # One step of the power iteration towards the first component; its sign is that of the sum.
    norm, signed = 0.0, 0.0
    for m in range(n):
        x[m] = 0.0
        for j in range(n):
            x[m] += cov[m, j] * weight[j]
        norm += x[m] * x[m]
        signed += x[m]
    if norm > 0.0:
        scale = np.sqrt(norm) if signed >= 0.0 else -np.sqrt(norm)
        for m in range(n):
            weight[m] = x[m] / scale
    return True


@kernel
def advance_integrated(
    clock_ns: NDArray[np.int64],  # of each change
    books: NDArray[np.int64],
    after: NDArray[np.int64],
    flow: NDArray[np.float64],  # (levels, changes)
    interval_ns: int,
    forget: float,
    warm: int,
    marks: NDArray[np.int64],
    sums: NDArray[np.float64],
    mean: NDArray[np.float64],
    cov: NDArray[np.float64],
    weight: NDArray[np.float64],
    scratch: NDArray[np.float64],
    out_ts: NDArray[np.int64],
    out: NDArray[np.float64],  # (changes, 3)
) -> int:
    """Sum the flow of each level by intervals and write a row for each that is over; return how many."""
    n_levels = mean.size
    n = 0
    for k in range(clock_ns.size):
        if clock_ns[k] == MISSING:
            continue
        index = clock_ns[k] // interval_ns
        if index != marks[INDEX]:
            if close_interval(sums, marks, forget, mean, cov, weight, scratch, out[n], warm):
                out_ts[n] = (marks[INDEX] + 1) * interval_ns
                # A clock that was set back shows nothing of the end of the interval before: its last moment is told.
                if index < marks[INDEX]:
                    out_ts[n] = clock_ns[k]
                n += 1
            marks[INDEX] = index
            marks[BROKEN] = 0
            marks[CHANGES] = 0
            for m in range(n_levels + 1):
                sums[m] = 0.0
        marks[CHANGES] += 1
        if np.isnan(flow[0, k]):
            marks[BROKEN] = 1
        for m in range(n_levels):
            if not np.isnan(flow[m, k]):
                sums[m] += flow[m, k]
            # A level that is not there has no depth; a size that was not told neither.
            sums[n_levels] += max(books[after[k], n_levels + m], 0) / 2 + max(books[after[k], 3 * n_levels + m], 0) / 2
    return n
