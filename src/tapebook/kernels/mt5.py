"""Ticks of MetaTrader 5 into events (face and meaning: :mod:`tapebook.readers.mt5`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.scid import new_event
from tapebook.kernels.text import OK

# Bits of FLAGS.
BID, ASK, LAST, VOLUME, BUY, SELL = 2, 4, 8, 16, 32, 64
KNOWN_BITS = 126

# State: values of the last tick, which empty fields repeat.
S_BID, S_ASK, S_LAST, S_VOLUME = range(4)
N_STATE = 4

# What became of the ticks: counted in `tallies`.
NO_NEWS, WITHOUT_SIDE, BOTH_SIDES, UNKNOWN_BITS, WITHOUT_VOLUME, UNFLAGGED = range(6)
N_TALLIES = 6

_MISSING = np.iinfo(np.int64).min
_TRADE, _QUOTE = 1, 3
_VENUE, _DERIVED = 1, 4
_FLAG_LAST = 1


@kernel
def events_of_ticks(
    ts_ns: NDArray[np.int64],
    bid: NDArray[np.int64],
    bid_ok: NDArray[np.int8],
    ask: NDArray[np.int64],
    ask_ok: NDArray[np.int8],
    last: NDArray[np.int64],
    last_ok: NDArray[np.int8],
    volume: NDArray[np.int64],
    volume_ok: NDArray[np.int8],
    flags: NDArray[np.int64],
    flags_ok: NDArray[np.int8],
    keep: NDArray[np.bool_],
    instrument_id: int,
    state: NDArray[np.int64],
    tallies: NDArray[np.int64],
    no_price: NDArray[np.bool_],
    out: NDArray[Any],
) -> int:
    """Write the events of ticks to ``out`` (room for 3 each) and return how many they are.

    ``no_price`` marks trades before any price was told. A price or volume of 0 means that there is none.
    """
    event_flags, side, source, detail = out["flags"], out["side"], out["side_source"], out["detail"]
    m = 0
    for i in range(ts_ns.size):
        if not keep[i]:
            continue
        flagged = flags_ok[i] == OK
        bits = flags[i] if flagged else 0
        if flagged and (bits & ~KNOWN_BITS) != 0:
            tallies[UNKNOWN_BITS] += 1
        if last_ok[i] == OK and last[i] != 0:
            state[S_LAST] = last[i]
        if volume_ok[i] == OK:
            state[S_VOLUME] = volume[i]
        if flagged:
            traded = (bits & (LAST | VOLUME)) != 0
        else:
            traded = (last_ok[i] == OK and last[i] != 0) or (volume_ok[i] == OK and volume[i] != 0)
        start = m
        if traded:
            if state[S_LAST] == _MISSING:
                no_price[i] = True
            else:
                size = max(state[S_VOLUME], 0)  # missing is below 0
                new_event(out, m, ts_ns[i], instrument_id, _TRADE, 0, state[S_LAST], size, 0)
                if size == 0:
                    detail[m] = _DERIVED
                    tallies[WITHOUT_VOLUME] += 1
                bought, sold = (bits & BUY) != 0, (bits & SELL) != 0
                if bought != sold:
                    side[m] = 1 if bought else -1
                    source[m] = _VENUE
                elif bought:
                    tallies[BOTH_SIDES] += 1
                else:
                    tallies[WITHOUT_SIDE] += 1
                m += 1
        for k in range(2):
            value = bid[i] if k == 0 else ask[i]
            known = (bid_ok[i] if k == 0 else ask_ok[i]) == OK
            if not known:
                continue
            if value == 0:
                value = np.int64(_MISSING)
            if value == state[k]:
                continue
            if flagged and (bits & (BID if k == 0 else ASK)) == 0:
                tallies[UNFLAGGED] += 1
            state[k] = value
            new_event(out, m, ts_ns[i], instrument_id, _QUOTE, 1 - 2 * k, value, _MISSING, 0)
            m += 1
        if m > start:
            event_flags[m - 1] = _FLAG_LAST
        elif not no_price[i]:
            tallies[NO_NEWS] += 1
    return m
