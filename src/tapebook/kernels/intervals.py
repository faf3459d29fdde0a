"""What is known of an interval of time, how it begins, and how two neighbours become one without loss."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING

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

HISTOGRAM_BINS: Final = 64 + 32 * 57  # up to the largest int64


@kernel
def coarse_bin(x: int) -> int:
    """Return the bin of a non-negative number: exact below 64, then 32 bins for each doubling."""
    if x < 0:  # the difference of absurd prices can leave int64
        return HISTOGRAM_BINS - 1
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
