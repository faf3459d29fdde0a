"""What later prints tell about earlier ones, by how many prints lie between: folded once, in memory of fixed size.

For prints i of a session, with price p, the mid m that stood before it, side s and lots q, and each lag l::

    signature   mean (p_i - p_{i-l})^2 / l          and the same of mids
    response    mean s_{i-l} (m_i - m_{i-l})        (Bouchaud et al. 2004)
    signs       mean s_i s_{i-l}
    impact      mean s_{i-l} (m_i - m_{i-l}) at one lag, by size: a bin for each doubling of q

Nothing is compared across sessions. Sums are kept, not means, so that a face can divide as it likes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING

PRICE, MID2, SIDE, LOTS, N_KEPT = 0, 1, 2, 3, 4
"""Rows of the ring: what is kept of each of the last prints."""

N_SESSION, SESSION, N_STATE = 0, 1, 2
"""Places in the state: prints of this session so far, and which session it is."""

PRICE_SQUARES, PRICE_N, MID_SQUARES, MID_N, RESPONSE, RESPONSE_N, SIGNS, SIGNS_N, N_SUMS = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Rows of the sums, a column for each lag. Prices and mids count in 1e-9."""

SIZE_BINS: Final = 40


@kernel
def size_bin(lots: int) -> int:
    """Return which doubling a size falls into: 0 for 1, 1 for 2 and 3, 2 for 4 to 7."""
    found = 0
    while lots > 1 and found < SIZE_BINS - 1:
        lots >>= 1
        found += 1
    return found


@kernel
def advance_tape_curves(
    price: NDArray[np.int64],
    mid2: NDArray[np.int64],
    side: NDArray[np.int64],
    lots: NDArray[np.int64],
    session: NDArray[np.int64],
    lags: NDArray[np.int64],
    impact_lag: int,
    ring: NDArray[np.int64],
    state: NDArray[np.int64],
    sums: NDArray[np.float64],
    by_size: NDArray[np.float64],
) -> None:
    """Fold prints into ``sums`` (by lag) and ``by_size`` (signed move and count by doubling of size)."""
    room = ring.shape[1]
    for i in range(price.size):
        if session[i] != state[SESSION]:
            state[SESSION] = session[i]
            state[N_SESSION] = 0
        n = state[N_SESSION]
        here = n % room
        ring[PRICE, here] = price[i]
        ring[MID2, here] = mid2[i]
        ring[SIDE, here] = side[i]
        ring[LOTS, here] = lots[i]
        state[N_SESSION] = n + 1
        for k in range(lags.size):
            if lags[k] > n:
                break
            there = (n - lags[k]) % room
            # Floats first: damaged prices lie so far apart that their difference leaves int64.
            move = np.float64(price[i]) - np.float64(ring[PRICE, there])
            sums[PRICE_SQUARES, k] += move * move
            sums[PRICE_N, k] += 1.0
            if side[i] != 0 and ring[SIDE, there] != 0:
                sums[SIGNS, k] += side[i] * ring[SIDE, there]
                sums[SIGNS_N, k] += 1.0
            if mid2[i] == MISSING or ring[MID2, there] == MISSING:
                continue
            drift = 0.5 * (np.float64(mid2[i]) - np.float64(ring[MID2, there]))
            sums[MID_SQUARES, k] += drift * drift
            sums[MID_N, k] += 1.0
            if ring[SIDE, there] != 0:
                sums[RESPONSE, k] += ring[SIDE, there] * drift
                sums[RESPONSE_N, k] += 1.0
                if lags[k] == impact_lag:
                    at = size_bin(ring[LOTS, there])
                    by_size[0, at] += ring[SIDE, there] * drift
                    by_size[1, at] += 1.0
