"""Volume by price: point of control and value area.

A profile is an array of rows, each one or more ticks high; row 0 of an array stands for the price ``base`` times the
row's height. A price belongs to the row it lies in (floor), also below zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING, Kind

SESSION, NEXT_NS, LOW, HIGH, TOTAL, OUTSIDE, N_STATE = 0, 1, 2, 3, 4, 5, 6
"""Places in the state, and how many there are: session, when the next row is due, lowest and highest traded row (from
the base; LOW > HIGH while nothing traded), lots in the profile, lots beyond its rows."""

BUY, SELL, UNKNOWN = 0, 1, 2
"""Columns of the volumes."""

_TRADE = int(Kind.TRADE)


@kernel
def point_of_control(volume: NDArray[np.int64], low: int, high: int) -> int:
    """Return the row of most volume; ties go to the middle of the range, then to its heavier half, then down."""
    best = low
    n_best = 0
    for row in range(low, high + 1):
        if n_best == 0 or volume[row] > volume[best]:
            best = row
            n_best = 1
        elif volume[row] == volume[best]:
            n_best += 1
            if abs(2 * row - low - high) < abs(2 * best - low - high):
                best = row
    if n_best > 1:
        mirror = low + high - best
        if mirror > best and mirror <= high and volume[mirror] == volume[best]:
            below = np.int64(0)
            above = np.int64(0)
            for row in range(low, high + 1):
                if 2 * row < low + high:
                    below += volume[row]
                elif 2 * row > low + high:
                    above += volume[row]
            if above > below:
                best = mirror
    return best


@kernel
def value_area(
    volume: NDArray[np.int64], low: int, high: int, poc: int, share: float, step: int, out: NDArray[np.int64]
) -> None:
    """Write the lowest and highest row of the value area to ``out``.

    From the point of control: compare the next ``step`` rows above with the next ``step`` below, add the larger whole
    (ties go up), until ``share`` of the volume is inside. At an edge the rows that are left count.
    """
    total = np.int64(0)
    for row in range(low, high + 1):
        total += volume[row]
    inside = volume[poc]
    bottom = poc
    top = poc
    # The allowance keeps a share such as 0.7 from asking for one lot more than exact arithmetic would.
    target = share * np.float64(total) * (1 - 1e-12)
    while inside < target and (bottom > low or top < high):
        above = np.int64(-1)
        below = np.int64(-1)
        if top < high:
            above = np.int64(0)
            for row in range(top + 1, min(top + step, high) + 1):
                above += volume[row]
        if bottom > low:
            below = np.int64(0)
            for row in range(max(bottom - step, low), bottom):
                below += volume[row]
        if above >= below:
            top = min(top + step, high)
            inside += above
        else:
            bottom = max(bottom - step, low)
            inside += below
    out[0] = bottom
    out[1] = top


@kernel
def advance_volume_profile(
    events: Any,
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    row_e9: int,
    base: int,
    every_ns: int,
    share: float,
    step: int,
    volumes: NDArray[np.int64],  # (rows, 3): bought, sold, unknown
    total: NDArray[np.int64],  # (rows,): their sum
    state: NDArray[np.int64],
    out: NDArray[np.int64],  # (rows, 7): at, session, poc, low and high of the value area, lots, whether it is the last
) -> int:
    """Fold prints into the profile; write a row when ``every_ns`` has passed and when a session ends.

    A row tells the profile as it stood before the event that made it.
    """
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    area = np.zeros(2, np.int64)
    n = 0
    for i in range(kind.size):
        ended = session[i] != state[SESSION]
        now = clock_ns[i]
        if (ended or (now != MISSING and now >= state[NEXT_NS])) and state[TOTAL] > 0:
            low, high = state[LOW], state[HIGH]
            poc = point_of_control(total, low, high)
            value_area(total, low, high, poc, share, step, area)
            out[n, 0] = i
            out[n, 1] = state[SESSION]
            out[n, 2] = base + poc
            out[n, 3] = base + area[0]
            out[n, 4] = base + area[1]
            out[n, 5] = state[TOTAL]
            out[n, 6] = 1 if ended else 0
            n += 1
        if now != MISSING and (ended or now >= state[NEXT_NS]):
            state[NEXT_NS] = now - now % every_ns + every_ns
        if ended:
            for row in range(state[LOW], state[HIGH] + 1):
                total[row] = 0
                for column in range(3):
                    volumes[row, column] = 0
            state[SESSION] = session[i]
            state[LOW] = total.size
            state[HIGH] = -1
            state[TOTAL] = 0
            state[OUTSIDE] = 0
        if kind[i] != _TRADE or price[i] == MISSING or qty[i] <= 0:
            continue
        row = price[i] // row_e9 - base
        if row < 0 or row >= total.size:
            state[OUTSIDE] += qty[i]
            continue
        volumes[row, BUY if side[i] > 0 else (SELL if side[i] < 0 else UNKNOWN)] += qty[i]
        total[row] += qty[i]
        state[TOTAL] += qty[i]
        state[LOW] = min(state[LOW], row)
        state[HIGH] = max(state[HIGH], row)
    return n
