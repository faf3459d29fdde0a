"""Sierra Chart's market depth records into events (face and meaning: :mod:`tapebook.readers.sierra_depth`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.scid import COARSE, NO_PRICE, OFF, UNIX_OF_SIERRA_US, new_event, price_of_f32

# What became of the records: counted in `tallies`.
NO_COMMANDS, CLEARS, SNAPSHOTS, OFF_GRID, EMPTY_LEVELS = range(5)
N_TALLIES = 5

# Why a record is refused: in `bad`.
BAD_TIME, BAD_PRICE, BAD_VOLUME, BAD_COMMAND = 1, 2, 3, 4

# State: inside a snapshot; inside a batch.
IN_SNAPSHOT, IN_BATCH = range(2)
N_STATE = 2

_TIME_MAX_US = UNIX_OF_SIERRA_US + 4_102_444_800_000_000
_MISSING = np.iinfo(np.int64).min
_QUANTITY_MAX = 2_147_483_647
_LEVEL, _CLEAR = 2, 8
_FLAG_LAST, _FLAG_SNAPSHOT, _FLAG_REDUCED = 1, 2, 256


@kernel
def events_of_depth(
    records: NDArray[Any],  # one more than n where the file goes on
    n: int,
    tick_e9: int,
    num: int,
    den: int,
    instrument_id: int,
    state: NDArray[np.int64],
    tallies: NDArray[np.int64],
    bad: NDArray[np.int8],
    out: NDArray[Any],
) -> int:
    """Write the events of the first ``n`` records to ``out`` (room for n) and return how many they are."""
    stamp, command, flag = records["stamp_us"], records["command"], records["flags"]
    orders, prices, quantity = records["n_orders"], records["price"], records["quantity"]
    flags, count = out["flags"], out["count"]
    place = np.zeros(1, np.int64)
    m = 0
    for i in range(n):
        bad[i] = 0
        what = command[i]
        ends = (flag[i] & 1) != 0
        if what == 0:
            tallies[NO_COMMANDS] += 1
            if ends:
                state[IN_SNAPSHOT], state[IN_BATCH] = 0, 0
            continue
        if what > 7:
            bad[i] = BAD_COMMAND
        elif stamp[i] < UNIX_OF_SIERRA_US or stamp[i] > _TIME_MAX_US:
            bad[i] = BAD_TIME
        elif np.int64(quantity[i]) > _QUANTITY_MAX:
            bad[i] = BAD_VOLUME
        code = NO_PRICE
        if what != 1 and bad[i] == 0:
            code = price_of_f32(prices[i], tick_e9, num, den, place)
            if code == NO_PRICE:
                bad[i] = BAD_PRICE
        if bad[i] != 0:
            if ends and state[IN_BATCH] != 0:  # the batch ends all the same, with what could be read of it
                if m > 0:
                    flags[m - 1] |= _FLAG_LAST
                state[IN_SNAPSHOT], state[IN_BATCH] = 0, 0
            continue
        # A batch may be ended by a record that commands nothing: its flag belongs to this one.
        if not ends and i + 1 < records.size:
            ends = command[i + 1] == 0 and (flag[i + 1] & 1) != 0
        if what == 1:
            tallies[CLEARS] += 1
            state[IN_SNAPSHOT] = 0 if ends else 1
            if not ends:
                tallies[SNAPSHOTS] += 1
        when = (stamp[i] - UNIX_OF_SIERRA_US) * 1000
        bits = (_FLAG_LAST if ends else 0) | (_FLAG_SNAPSHOT if state[IN_SNAPSHOT] != 0 else 0)
        if what == 1:
            new_event(out, m, when, instrument_id, _CLEAR, 0, _MISSING, _MISSING, bits)
        else:
            gone = what >= 6
            if not gone and quantity[i] == 0:
                tallies[EMPTY_LEVELS] += 1
                gone = True
            if code == OFF:
                tallies[OFF_GRID] += 1
            if code == COARSE:
                bits |= _FLAG_REDUCED
            side = 1 if what % 2 == 0 else -1
            size = np.int64(0) if gone else np.int64(quantity[i])
            new_event(out, m, when, instrument_id, _LEVEL, side, place[0], size, bits)
            if gone:
                count[m] = 0
            elif orders[i] != 0:
                count[m] = orders[i]
        state[IN_BATCH] = 0 if ends else 1
        if ends:
            state[IN_SNAPSHOT] = 0
        m += 1
    return m
