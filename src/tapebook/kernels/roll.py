"""Roll's spread (1984): trades that bounce between bid and ask make successive price changes go against each other.

With c the covariance of a change with the one before it, the spread is ``2 sqrt(-c)``; with c above or at zero there is
none to be seen. A window keeps running sums and takes them anew from its ring each time it has been filled once over:
prices on the grid of the tick make integers, whose sums are exact anyway; off the grid nothing drifts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.classification import in_book
from tapebook.market.events import MISSING

LAST_PX, CHANGES, SESSION, THREAD, PAIRS, I_N = 0, 1, 2, 3, 4, 5
"""Places in the integers of the memory, and how many there are; CHANGES: 1 after a change of price in this thread."""

LAST_DP, SX, SY, SXY, W, MX, MY, C, F_N = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Places in the floats: the last change; sums of the window; weight, means and co-moment of the one that forgets."""


@kernel
def add_price(
    price: int,
    unit: float,
    decay: float,
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    ring: NDArray[np.float64],  # (window, 2): change, the one before it
) -> None:
    """Fold a price into both covariances."""
    if ints[LAST_PX] == MISSING:
        ints[LAST_PX] = price
        ints[CHANGES] = 0
        return
    x = (price - ints[LAST_PX]) / unit
    ints[LAST_PX] = price
    if ints[CHANGES] > 0:
        y = floats[LAST_DP]
        k = ints[PAIRS] % ring.shape[0]
        if ints[PAIRS] >= ring.shape[0]:
            floats[SX] -= ring[k, 0]
            floats[SY] -= ring[k, 1]
            floats[SXY] -= ring[k, 0] * ring[k, 1]
        ring[k, 0] = x
        ring[k, 1] = y
        ints[PAIRS] += 1
        if k == ring.shape[0] - 1:
            floats[SX] = 0.0
            floats[SY] = 0.0
            floats[SXY] = 0.0
            for j in range(ring.shape[0]):
                floats[SX] += ring[j, 0]
                floats[SY] += ring[j, 1]
                floats[SXY] += ring[j, 0] * ring[j, 1]
        else:
            floats[SX] += x
            floats[SY] += y
            floats[SXY] += x * y
        floats[W] = decay * floats[W] + 1.0
        dx = x - floats[MX]
        floats[MX] += dx / floats[W]
        floats[MY] += (y - floats[MY]) / floats[W]
        floats[C] = decay * floats[C] + dx * (y - floats[MY])
    floats[LAST_DP] = x
    ints[CHANGES] = 1


@kernel
def covariances(n_min: int, ints: NDArray[np.int64], floats: NDArray[np.float64], ring: NDArray[np.float64],
                out: NDArray[np.float64]) -> None:  # fmt: skip
    """Write the covariance of the window (NaN until it is full) and of the one that forgets (NaN below ``n_min``)."""
    n = ring.shape[0]
    out[0] = floats[SXY] / n - floats[SX] / n * (floats[SY] / n) if ints[PAIRS] >= n else np.nan
    out[1] = floats[C] / floats[W] if ints[PAIRS] >= n_min else np.nan


@kernel
def advance_roll(
    events: Any,
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    thread: NDArray[np.int64],
    unit: float,
    decay: float,
    n_min: int,
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    ring: NDArray[np.float64],
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (rows, 2): covariance of the window, of the one that forgets
) -> int:
    """Write a row for each print; no change reaches over a session or a break of the thread."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    detail = events["detail"]
    n = 0
    for i in range(kind.size):
        if not trading[i] or not in_book(kind[i], detail[i], price[i], qty[i]):
            continue
        if session[i] != ints[SESSION] or thread[i] != ints[THREAD]:
            ints[SESSION] = session[i]
            ints[THREAD] = thread[i]
            ints[LAST_PX] = MISSING
        add_price(price[i], unit, decay, ints, floats, ring)
        out_at[n] = i
        covariances(n_min, ints, floats, ring, out[n])
        n += 1
    return n


@kernel
def roll_all(
    price: NDArray[np.int64], decay: float, n_min: int, ints: NDArray[np.int64], floats: NDArray[np.float64],
    ring: NDArray[np.float64], out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Write both covariances after each price of an array."""
    for i in range(price.size):
        add_price(price[i], 1.0, decay, ints, floats, ring)
        covariances(n_min, ints, floats, ring, out[i])
