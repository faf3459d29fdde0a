"""Where samples fall on a clock, and what flowed between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING

SUM, DEFINED, UNDEFINED, ARMED, N_FLOW = 0, 1, 2, 3, 4
"""Places in the memory of a flow: its sum since the sample before, of how many defined increments, how many were not,
and whether a defined one ever came; and how many there are."""


@kernel
def pass_boundaries(
    clock_ns: NDArray[np.int64],
    every_ns: int,
    state: NDArray[np.int64],  # [the boundary that the last event waits for, MISSING at first]
    out_at: NDArray[np.int64],
    out_ts: NDArray[np.int64],
) -> int:
    """Write the boundaries that events pass: the place of the first event past each, and the boundary.

    An event waits for the first multiple of ``every_ns`` at or after it. A clock that goes back makes no row.
    """
    n = 0
    for i in range(clock_ns.size):
        now = clock_ns[i]
        if now == MISSING:
            continue
        if state[0] != MISSING and now > state[0]:
            out_at[n] = i
            out_ts[n] = state[0]
            n += 1
        behind = now % every_ns
        state[0] = now if behind == 0 else now - behind + every_ns
    return n


@kernel
def flow_between(
    row_at: NDArray[np.int64],  # the event that made each increment, rising
    value: NDArray[np.float64],
    at: NDArray[np.int64],  # a sample holds what the events before place ``at`` made
    memory: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the sum since the sample before, added one by one so that cuts of the tape change no bit.

    An increment that is NaN adds nothing, but a sum of such alone is NaN; without any it is 0 once one was defined.
    """
    k = 0
    for s in range(at.size + 1):
        while k < row_at.size and (s == at.size or row_at[k] < at[s]):
            if np.isnan(value[k]):
                memory[UNDEFINED] += 1.0
            else:
                memory[SUM] += value[k]
                memory[DEFINED] += 1.0
                memory[ARMED] = 1.0
            k += 1
        if s == at.size:
            break
        known = memory[DEFINED] > 0.0 or (memory[ARMED] > 0.0 and memory[UNDEFINED] == 0.0)
        out[s] = memory[SUM] if known else np.nan
        memory[SUM] = 0.0
        memory[DEFINED] = 0.0
        memory[UNDEFINED] = 0.0
