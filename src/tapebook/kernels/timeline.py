"""A tape summed up by intervals of time: what a row of the report's tables and a column of its plots need.

One pass over a block writes a row for each interval that held an event, when the first event after it arrives. Sums
over time (spread, sizes) count the time inside the interval in which a quote stood; the stretch between the end of an
interval and the next event belongs to no row, so that a night does not weigh on the evening's last second.

Rows of neighbouring intervals can be merged into wider ones without loss (:mod:`tapebook.kernels.intervals`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.imbalance import imbalance
from tapebook.kernels.intervals import begin, coarse_bin, see_mid, stand
from tapebook.kernels.microprice import microprice
from tapebook.kernels.ofi import comparable, ofi_increment
from tapebook.kernels.touch import CROSSED, LOCKED, TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Flag, Kind

ARMED, THREAD, SESSION, DELTA, LAST_NS, TRADING, N_STATE = 0, 1, 2, 3, 4, 5, 6
"""Places in the state, and how many there are."""

_TRADE = int(Kind.TRADE)
_SNAPSHOT = int(Flag.SNAPSHOT)


@kernel
def advance_timeline(
    events: Any,
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    thread: NDArray[np.int64],
    width_ns: int,
    tick_e9: int,
    state: NDArray[np.int64],
    open_row: NDArray[Any],  # (1,) INTERVAL: the interval that is not over; events 0 and index MISSING before the first
    whole: NDArray[Any],  # (1,) INTERVAL: only its sums over time, quiet intervals included, nights left out
    held: NDArray[np.int64],  # (HISTOGRAM_BINS,): ns by spread in ticks
    out: NDArray[Any],  # (n,) INTERVAL
) -> int:
    """Write a row for each interval that is over. Records of a snapshot set the touch, but belong to no interval."""
    kind = events["kind"]
    flags = events["flags"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    row = open_row[0]
    n = 0
    for i in range(clock_ns.size):
        j = i + 1
        changed = (
            bid_px[j] != bid_px[i]
            or bid_sz[j] != bid_sz[i]
            or ask_px[j] != ask_px[i]
            or ask_sz[j] != ask_sz[i]
            or thread[j] != thread[i]
        )
        now = clock_ns[i]
        counted = now != MISSING and (flags[i] & _SNAPSHOT) == 0
        if counted:
            index = now // width_ns
            last_ns = state[LAST_NS]
            traded = trading[i] and state[TRADING] == 1
            if last_ns != MISSING and session[i] == state[SESSION] and traded:
                ns = now - last_ns
                stand(whole[0], ns, bid_px[i], bid_sz[i], ask_px[i], ask_sz[i])
                if ns > 0 and touch_state(bid_px[i], ask_px[i]) == TWO_SIDED:
                    held[coarse_bin((ask_px[i] - bid_px[i]) // tick_e9)] += ns
            if index != row["index"]:
                if row["index"] != MISSING:
                    left_ns = min((row["index"] + 1) * width_ns - last_ns, now - last_ns)
                    if state[TRADING] == 0:
                        left_ns = 0
                    stand(row, left_ns, bid_px[i], bid_sz[i], ask_px[i], ask_sz[i])
                    out[n] = row
                    n += 1
                last_ns = max(index * width_ns, last_ns) if last_ns != MISSING else now
                begin(row, index, now)
                if traded and touch_state(bid_px[i], ask_px[i]) == TWO_SIDED:
                    see_mid(row, bid_px[i], ask_px[i])
            stand(row, now - last_ns if traded else 0, bid_px[i], bid_sz[i], ask_px[i], ask_sz[i])
            state[LAST_NS] = now
            state[TRADING] = 1 if trading[i] else 0
            row["last_ns"] = now
            row["session"] = session[i]
            row["events"] += 1
            if session[i] != state[SESSION]:
                state[SESSION] = session[i]
                state[DELTA] = 0
            if kind[i] == _TRADE and price[i] != MISSING and qty[i] > 0:
                row["trades"] += 1
                if side[i] > 0:
                    row["bought"] += qty[i]
                elif side[i] < 0:
                    row["sold"] += qty[i]
                else:
                    row["unknown"] += qty[i]
                state[DELTA] += side[i] * qty[i]
                if row["open"] == MISSING:
                    row["open"] = price[i]
                    row["high"] = price[i]
                    row["low"] = price[i]
                row["high"] = max(row["high"], price[i])
                row["low"] = min(row["low"], price[i])
                row["close"] = price[i]
                row["notional"] += np.float64(price[i]) * np.float64(qty[i])
            row["delta"] = state[DELTA]
        if changed:
            good = trading[i] and comparable(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
            if counted:
                row["touches"] += 1
                if good and state[ARMED] == 1 and state[THREAD] == thread[j]:
                    row["ofi"] += ofi_increment(
                        bid_px[i], bid_sz[i], ask_px[i], ask_sz[i], bid_px[j], bid_sz[j], ask_px[j], ask_sz[j]
                    )
                else:
                    row["breaks"] += 1
                seen = touch_state(bid_px[j], ask_px[j])
                if trading[i] and seen == TWO_SIDED:
                    see_mid(row, bid_px[j], ask_px[j])
                elif trading[i] and seen in (CROSSED, LOCKED):
                    row["crossed"] += 1
            state[ARMED] = 1 if good else 0
            state[THREAD] = thread[j]
        if counted:
            row["bid_px"] = bid_px[j]
            row["bid_sz"] = bid_sz[j]
            row["ask_px"] = ask_px[j]
            row["ask_sz"] = ask_sz[j]
            row["trading"] = 1 if trading[i] else 0
            row["microprice"] = np.nan
            row["imbalance"] = np.nan
            if trading[i]:
                row["microprice"] = microprice(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
                row["imbalance"] = imbalance(bid_px[j], bid_sz[j], ask_px[j], ask_sz[j])
    return n
