"""The catalogue's columns of the book as it stands, and the flow that turned one view of it into the next.

Over the first ``n`` levels, with sizes ``q``, mid ``m``, spread ``s`` and weights ``w``::

    imbalance           I = (sum qb - sum qa) / (sum qb + sum qa)
    weighted imbalance  the same with w_i q_i, w_i = decay^i, the touch being i = 0
    book pressure       the same with q_i / |p_i - m|
    weighted mid        m + s I / 2

and the flow of each level as in :mod:`tapebook.kernels.ofi`, summed over the first levels (Xu, Gould and Howison 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_step
from tapebook.kernels.book_state import Int
from tapebook.kernels.catalogue_state import (
    ACCELERATION,
    ARMED,
    ARMED_THREAD,
    BOOK_PRESSURE,
    CIRCULATING,
    IMBALANCE,
    LAST_MID,
    LEVELS,
    MICRO_PRICE,
    MID,
    OFI_1,
    OFI_2,
    OFI_3,
    OFI_5,
    OFI_LEVELS,
    REACH,
    RELATIVE_SPREAD,
    SPREAD,
    THREAD,
    VELOCITY,
    WEIGHTED_IMBALANCE,
    WEIGHTED_MID,
)
from tapebook.kernels.microprice import microprice
from tapebook.kernels.ofi import comparable, ofi_increment
from tapebook.kernels.touch import TWO_SIDED, touch_state
from tapebook.market.events import MISSING, PRICE_SCALE

_SCALE = float(PRICE_SCALE)


@lean_step
def share(bid: float, ask: float) -> float:
    """Return (bid - ask) / (bid + ask), NaN where there is nothing."""
    return (bid - ask) / (bid + ask) if bid + ask > 0.0 else np.nan


@lean_step
def crossed_price(views: NDArray[np.int64], row: Int, n: Int, bid: float, ask: float) -> float:
    """Return the mean prices of both sides, each weighted by the other side's size (``bid``, ``ask``)."""
    depth = views.shape[1] // 4
    if bid == 0.0 or ask == 0.0:
        return np.nan
    paid_bid, paid_ask = 0.0, 0.0
    for i in range(n):
        if views[row, i] != MISSING:
            paid_bid += np.float64(views[row, depth + i]) * (np.float64(views[row, i]) / _SCALE)
        if views[row, 2 * depth + i] != MISSING:
            paid_ask += np.float64(views[row, 3 * depth + i]) * (np.float64(views[row, 2 * depth + i]) / _SCALE)
    return (paid_bid / bid * ask + paid_ask / ask * bid) / (bid + ask)


@lean_step
def describe_book(
    views: NDArray[np.int64],
    row: Int,
    trading: bool,
    lengths: NDArray[np.int64],
    decay: NDArray[np.float64],
    sums: NDArray[np.float64],
    now: NDArray[np.float64],
) -> None:
    """Write what a view says into the row as it stands; all NaN unless it is two-sided while the market trades."""
    depth = views.shape[1] // 4
    bid_px, bid_sz = views[row, 0], views[row, depth]
    ask_px, ask_sz = views[row, 2 * depth], views[row, 3 * depth]
    if not trading or touch_state(bid_px, ask_px) != TWO_SIDED:
        for c in (MID, MICRO_PRICE, WEIGHTED_MID, IMBALANCE, WEIGHTED_IMBALANCE, BOOK_PRESSURE, SPREAD):
            now[c] = np.nan
        for c in (RELATIVE_SPREAD, VELOCITY, ACCELERATION):
            now[c] = np.nan
        return
    mid = np.float64(bid_px) / 2 + np.float64(ask_px) / 2
    spread = np.float64(ask_px - bid_px)
    sums[LAST_MID] = mid
    now[MID] = mid / _SCALE
    now[SPREAD] = spread / _SCALE
    now[RELATIVE_SPREAD] = 1e4 * spread / mid if mid > 0.0 else np.nan
    now[MICRO_PRICE] = microprice(bid_px, bid_sz, ask_px, ask_sz) / _SCALE
    bid, ask, near_bid, near_ask, pull_bid, pull_ask = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    known = True
    for i in range(lengths[LEVELS]):
        weight = decay[i]
        px, sz = views[row, i], views[row, depth + i]
        if px != MISSING:
            known = known and sz != MISSING
            q = np.float64(sz)
            bid += q
            near_bid += weight * q
            # Half a unit is the least distance there is; only the ratio of these sums is used, so any unit serves.
            pull_bid += q / max(mid - np.float64(px), 0.5)
        px, sz = views[row, 2 * depth + i], views[row, 3 * depth + i]
        if px != MISSING:
            known = known and sz != MISSING
            q = np.float64(sz)
            ask += q
            near_ask += weight * q
            pull_ask += q / max(np.float64(px) - mid, 0.5)
    if not known:
        for c in (WEIGHTED_MID, IMBALANCE, WEIGHTED_IMBALANCE, BOOK_PRESSURE):
            now[c] = np.nan
        return
    now[IMBALANCE] = share(bid, ask)
    now[WEIGHTED_IMBALANCE] = share(near_bid, near_ask)
    now[BOOK_PRESSURE] = share(pull_bid, pull_ask)
    if lengths[CIRCULATING] == 0:
        now[WEIGHTED_MID] = (mid + spread / 2 * now[IMBALANCE]) / _SCALE
    else:
        now[WEIGHTED_MID] = crossed_price(views, row, lengths[LEVELS], bid, ask)


@lean_step
def reach_of(views: NDArray[np.int64], row: Int) -> Int:
    """Return how many levels the deeper side of a view shows."""
    depth = views.shape[1] // 4
    n = 0
    while n < depth and (views[row, n] != MISSING or views[row, 2 * depth + n] != MISSING):
        n += 1
    return n


@lean_step
def rest_of_flow(marks: NDArray[np.int64], now: NDArray[np.float64]) -> None:
    """Write what the flow is where nothing changes: zero, NaN where none is defined or the tape is not that deep."""
    calm = 0.0 if marks[ARMED] == 1 else np.nan
    reach = marks[REACH]
    now[OFI_1] = calm
    now[OFI_2] = calm if reach >= 2 else np.nan
    now[OFI_3] = calm if reach >= 3 else np.nan
    now[OFI_5] = calm if reach >= OFI_LEVELS else np.nan


@lean_step
def add_flow(
    views: NDArray[np.int64],
    old: Int,
    new: Int,
    thread: Int,
    trading: bool,
    marks: NDArray[np.int64],
    now: NDArray[np.float64],
) -> None:
    """Write the flow between two views into the row as it stands, NaN with nothing to compare.

    Whether a view can be compared with is decided by its touch, when the touch changes: as the single operator does.
    """
    depth = views.shape[1] // 4
    marks[REACH] = max(marks[REACH], reach_of(views, new))
    bid_px, bid_sz = views[new, 0], views[new, depth]
    ask_px, ask_sz = views[new, 2 * depth], views[new, 3 * depth]
    changed = (
        bid_px != views[old, 0]
        or bid_sz != views[old, depth]
        or ask_px != views[old, 2 * depth]
        or ask_sz != views[old, 3 * depth]
        or thread != marks[THREAD]
    )
    defined = trading and marks[ARMED] == 1 and marks[ARMED_THREAD] == thread
    if changed:
        good = trading and comparable(bid_px, bid_sz, ask_px, ask_sz)
        defined = defined and good
        marks[ARMED] = 1 if good else 0
        marks[ARMED_THREAD] = thread
    if not defined:
        for c in (OFI_1, OFI_2, OFI_3, OFI_5):
            now[c] = np.nan
        return
    flow = 0.0
    for i in range(OFI_LEVELS):
        b0, b1 = views[old, depth + i], views[new, depth + i]
        a0, a1 = views[old, 3 * depth + i], views[new, 3 * depth + i]
        if MISSING in (b0, b1, a0, a1) or i >= marks[REACH]:
            flow = np.nan
        else:
            flow += np.float64(
                ofi_increment(
                    views[old, i], b0, views[old, 2 * depth + i], a0, views[new, i], b1, views[new, 2 * depth + i], a1
                )
            )
        if i == 0:
            now[OFI_1] = flow
        elif i == 1:
            now[OFI_2] = flow
        elif i == 2:
            now[OFI_3] = flow
    now[OFI_5] = flow
