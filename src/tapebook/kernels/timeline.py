"""A tape summed up by intervals of time: what a row of the report's tables and a column of its plots need.

One pass over a block writes a row for each interval that held an event, when the first event after it arrives. Sums
over time (spread, sizes) count the time inside the interval in which a quote stood; the stretch between the end of an
interval and the next event belongs to no row, so that a night does not weigh on the evening's last second.

Rows of neighbouring intervals can be merged into a row of twice the width (:func:`merge`) without loss: sums add,
extremes stay, firsts and lasts are kept.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.imbalance import imbalance
from tapebook.kernels.microprice import microprice
from tapebook.kernels.ofi import comparable, ofi_increment
from tapebook.kernels.touch import CROSSED, LOCKED, TWO_SIDED, touch_state
from tapebook.market.events import MISSING, Flag, Kind

INTERVAL: Final = np.dtype(
    [
        ("index", "<i8"),  # number of the interval: clock // width
        ("session", "<i8"),  # trade date of its last event
        ("first_ns", "<i8"),  # clock of its first and last event
        ("last_ns", "<i8"),
        ("events", "<i8"),
        ("touches", "<i8"),  # changes of the touch
        ("trades", "<i8"),
        ("bought", "<i8"),  # lots by aggressor
        ("sold", "<i8"),
        ("unknown", "<i8"),
        ("open", "<i8"),  # of the prints, 1e-9; MISSING without one
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("notional", "<f8"),  # sum of price * lots, 1e-9
        ("mid2_first", "<i8"),  # bid + ask, 1e-9; MISSING without a two-sided touch
        ("mid2_high", "<i8"),
        ("mid2_low", "<i8"),
        ("mid2_last", "<i8"),
        ("spread_ns", "<f8"),  # sum of spread (1e-9) * ns
        ("quoted_ns", "<i8"),  # ns with a two-sided touch
        ("spread_min", "<i8"),
        ("spread_max", "<i8"),
        ("bid_sz_ns", "<f8"),  # sums of lots * ns
        ("ask_sz_ns", "<f8"),
        ("sized_ns", "<i8"),  # ns with a two-sided touch of known sizes
        ("bid_px", "<i8"),  # the touch after the last event
        ("bid_sz", "<i8"),
        ("ask_px", "<i8"),
        ("ask_sz", "<i8"),
        ("microprice", "<f8"),  # after the last event, 1e-9; NaN where undefined
        ("imbalance", "<f8"),
        ("ofi", "<i8"),  # lots
        ("breaks", "<i8"),  # changes of the touch with nothing to be compared with
        ("crossed", "<i8"),  # observed changes to a crossed or locked touch
        ("trading", "<i8"),  # whether the market traded after the last event
        ("delta", "<i8"),  # cumulative delta of the session after the last event
    ]
)
"""One interval."""

ARMED, THREAD, SESSION, DELTA, LAST_NS, TRADING, N_STATE = 0, 1, 2, 3, 4, 5, 6
"""Places in the state, and how many there are."""

_TRADE = int(Kind.TRADE)
_SNAPSHOT = int(Flag.SNAPSHOT)
HISTOGRAM_BINS: Final = 2048


@kernel
def coarse_bin(x: int) -> int:
    """Return the bin of a non-negative number: exact below 64, then 32 bins for each doubling."""
    shift = 0
    while (x >> shift) >= 64:
        shift += 1
    return min((x >> shift) + 32 * shift, HISTOGRAM_BINS - 1)


@kernel
def bin_start(index: int) -> int:
    """Return the smallest number of a bin."""
    if index < 64:
        return index
    shift = (index - 32) // 32
    return (index - 32 * shift) << shift


@kernel
def begin(row: Any, index: int, clock_ns: int) -> None:
    """Make ``row`` an empty interval."""
    row["index"] = index
    row["first_ns"] = clock_ns
    row["events"] = 0
    row["touches"] = 0
    row["trades"] = 0
    row["bought"] = 0
    row["sold"] = 0
    row["unknown"] = 0
    row["open"] = MISSING
    row["high"] = MISSING
    row["low"] = MISSING
    row["close"] = MISSING
    row["notional"] = 0.0
    row["mid2_first"] = MISSING
    row["mid2_high"] = MISSING
    row["mid2_low"] = MISSING
    row["mid2_last"] = MISSING
    row["spread_ns"] = 0.0
    row["quoted_ns"] = 0
    row["spread_min"] = MISSING
    row["spread_max"] = MISSING
    row["bid_sz_ns"] = 0.0
    row["ask_sz_ns"] = 0.0
    row["sized_ns"] = 0
    row["ofi"] = 0
    row["breaks"] = 0
    row["crossed"] = 0


@kernel
def stand(row: Any, ns: int, bid_px: int, bid_sz: int, ask_px: int, ask_sz: int) -> None:
    """Let a touch stand for some time: its spread and sizes weigh by it."""
    if ns <= 0 or touch_state(bid_px, ask_px) != TWO_SIDED:
        return
    row["spread_ns"] += np.float64(ask_px - bid_px) * np.float64(ns)
    row["quoted_ns"] += ns
    if MISSING not in (bid_sz, ask_sz):
        row["bid_sz_ns"] += np.float64(bid_sz) * np.float64(ns)
        row["ask_sz_ns"] += np.float64(ask_sz) * np.float64(ns)
        row["sized_ns"] += ns


@kernel
def see_mid(row: Any, bid_px: int, ask_px: int) -> None:
    """Take a two-sided touch into the extremes of mid and spread."""
    mid2 = bid_px + ask_px
    spread = ask_px - bid_px
    if row["mid2_first"] == MISSING:
        row["mid2_first"] = mid2
        row["mid2_high"] = mid2
        row["mid2_low"] = mid2
        row["spread_min"] = spread
        row["spread_max"] = spread
    row["mid2_high"] = max(row["mid2_high"], mid2)
    row["mid2_low"] = min(row["mid2_low"], mid2)
    row["spread_min"] = min(row["spread_min"], spread)
    row["spread_max"] = max(row["spread_max"], spread)
    row["mid2_last"] = mid2


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


@kernel
def merge(into: Any, row: Any) -> None:
    """Add a later interval to an earlier one; ``index`` stays as it is."""
    for_first = into["open"] == MISSING
    if row["open"] != MISSING:
        if for_first:
            into["open"] = row["open"]
            into["high"] = row["high"]
            into["low"] = row["low"]
        into["high"] = max(into["high"], row["high"])
        into["low"] = min(into["low"], row["low"])
        into["close"] = row["close"]
    if row["mid2_first"] != MISSING:
        if into["mid2_first"] == MISSING:
            into["mid2_first"] = row["mid2_first"]
            into["mid2_high"] = row["mid2_high"]
            into["mid2_low"] = row["mid2_low"]
            into["spread_min"] = row["spread_min"]
            into["spread_max"] = row["spread_max"]
        into["mid2_high"] = max(into["mid2_high"], row["mid2_high"])
        into["mid2_low"] = min(into["mid2_low"], row["mid2_low"])
        into["spread_min"] = min(into["spread_min"], row["spread_min"])
        into["spread_max"] = max(into["spread_max"], row["spread_max"])
        into["mid2_last"] = row["mid2_last"]
    into["events"] += row["events"]
    into["touches"] += row["touches"]
    into["trades"] += row["trades"]
    into["bought"] += row["bought"]
    into["sold"] += row["sold"]
    into["unknown"] += row["unknown"]
    into["notional"] += row["notional"]
    into["spread_ns"] += row["spread_ns"]
    into["quoted_ns"] += row["quoted_ns"]
    into["bid_sz_ns"] += row["bid_sz_ns"]
    into["ask_sz_ns"] += row["ask_sz_ns"]
    into["sized_ns"] += row["sized_ns"]
    into["ofi"] += row["ofi"]
    into["breaks"] += row["breaks"]
    into["crossed"] += row["crossed"]
    into["session"] = row["session"]
    into["last_ns"] = row["last_ns"]
    into["bid_px"] = row["bid_px"]
    into["bid_sz"] = row["bid_sz"]
    into["ask_px"] = row["ask_px"]
    into["ask_sz"] = row["ask_sz"]
    into["microprice"] = row["microprice"]
    into["imbalance"] = row["imbalance"]
    into["trading"] = row["trading"]
    into["delta"] = row["delta"]


@kernel
def halve(rows: NDArray[Any], n: int, factor: int) -> int:
    """Merge the first ``n`` rows, in order of their index, into intervals ``factor`` times as wide; return how many."""
    m = 0
    for i in range(n):
        index = rows[i]["index"] // factor
        if m > 0 and rows[m - 1]["index"] == index:
            merge(rows[m - 1], rows[i])
        else:
            rows[m] = rows[i]
            rows[m]["index"] = index
            m += 1
    return m
