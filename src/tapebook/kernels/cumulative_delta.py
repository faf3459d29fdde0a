"""Cumulative delta: what was bought aggressively less what was sold, from the start of the session."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING, Kind

SESSION, DELTA, UNKNOWN, VOLUME, N_STATE = 0, 1, 2, 3, 4
"""Places in the state, and how many there are."""

_TRADE = int(Kind.TRADE)


@kernel
def advance_cumulative_delta(
    events: Any,
    session: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.int64],  # (rows, 4): at, delta, unknown, volume
) -> int:
    """Write a row for each print; the sums start again with each session."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    n = 0
    for i in range(kind.size):
        if kind[i] != _TRADE or price[i] == MISSING or qty[i] <= 0:
            continue
        if session[i] != state[SESSION]:
            state[SESSION] = session[i]
            state[DELTA] = 0
            state[UNKNOWN] = 0
            state[VOLUME] = 0
        state[DELTA] += side[i] * qty[i]
        if side[i] == 0:
            state[UNKNOWN] += qty[i]
        state[VOLUME] += qty[i]
        out[n, 0] = i
        out[n, 1] = state[DELTA]
        out[n, 2] = state[UNKNOWN]
        out[n, 3] = state[VOLUME]
        n += 1
    return n
