"""What stood at the touch when something happened: the words that every feature kernel shares.

The touch around event ``i`` of a block is given by four arrays of ``n + 1`` places: place ``i`` holds what could be
observed *before* event ``i``, place ``i + 1`` what could be observed after it. Prices are int64 in 1e-9, sizes int64
lots, a side that is empty has the price :data:`MISSING` and the size 0, a size that the source did not tell is MISSING.
"Observed" means after the last record of a venue message; inside a message the touch stands still.

Everything here is small enough to be inlined, so that a kernel that folds many features in one pass costs no more than
the arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING, Flag, Kind, Phase

TWO_SIDED, ONE_SIDED, EMPTY, LOCKED, CROSSED, NOT_TRADING = 0, 1, 2, 3, 4, 5
"""What :func:`touch_state` says (NOT_TRADING is for rows). Only a two-sided touch has a mid and a spread."""

# numba takes plain integers as constants, not members of an enum.
_SNAPSHOT, _GAP, _LAST = int(Flag.SNAPSHOT), int(Flag.GAP), int(Flag.LAST)
_TRADE, _CLEAR, _STATUS = int(Kind.TRADE), int(Kind.CLEAR), int(Kind.STATUS)
_OPEN, _UNKNOWN = int(Phase.OPEN), int(Phase.UNKNOWN)

# A stamp that leaps further ahead than this (weekends and holidays are shorter) has to be confirmed by the next one,
# and one that falls further back by a run of them: a single damaged stamp must not move the clock of a whole tape.
_AHEAD_NS_MAX = 10 * 86_400 * 1_000_000_000
_BACK_NS_MAX = 60 * 1_000_000_000
_AHEAD_CONFIRMED = 2
_BACK_CONFIRMED = 16
_NS_MAX = 1 << 62

CLOCK_NOW, CLOCK_PENDING, CLOCK_PENDING_N, CLOCK_N = 0, 1, 2, 3
"""Places in the state of :func:`steady_clock`, and how many there are."""


@kernel
def touch_state(bid_px: int, ask_px: int) -> int:
    """Say whether a touch is two-sided, one-sided, empty, locked or crossed."""
    if bid_px == MISSING:
        return EMPTY if ask_px == MISSING else ONE_SIDED
    if ask_px == MISSING:
        return ONE_SIDED
    if bid_px < ask_px:
        return TWO_SIDED
    return LOCKED if bid_px == ask_px else CROSSED


@kernel
def breaks(kind: int, flags: int, detail: int) -> bool:
    """Return whether an event breaks the thread: a cleared book, a snapshot, missing messages, a stop of trading."""
    if flags & (_SNAPSHOT | _GAP):
        return True
    return kind == _CLEAR or (kind == _STATUS and detail not in (_OPEN, _UNKNOWN))


@kernel
def steady_clock(ts_ns: NDArray[np.int64], state: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Write a clock that goes with the stamps but not with a single wild one.

    Small steps back are held at the latest time. The records of one message share one stamp: they do not confirm each
    other. ``state``: now (MISSING at first), pending, how many pending.
    """
    for i in range(ts_ns.size):
        t = ts_ns[i]
        now = state[CLOCK_NOW]
        if t < 0 or t > _NS_MAX:
            out[i] = now
            continue
        if now == MISSING:
            state[CLOCK_NOW] = t
            out[i] = t
            continue
        ahead = t - now
        if -_BACK_NS_MAX <= ahead <= _AHEAD_NS_MAX:
            if ahead > 0:
                state[CLOCK_NOW] = t
            state[CLOCK_PENDING_N] = 0
        elif state[CLOCK_PENDING_N] == 0 or t != state[CLOCK_PENDING]:
            near = False
            if state[CLOCK_PENDING_N] > 0:
                step = t - state[CLOCK_PENDING]
                near = -_BACK_NS_MAX <= step <= _AHEAD_NS_MAX
            state[CLOCK_PENDING_N] = state[CLOCK_PENDING_N] + 1 if near else 1
            state[CLOCK_PENDING] = t
            if state[CLOCK_PENDING_N] >= (_AHEAD_CONFIRMED if ahead > 0 else _BACK_CONFIRMED):
                state[CLOCK_NOW] = t
                state[CLOCK_PENDING_N] = 0
        out[i] = state[CLOCK_NOW]


@kernel
def follow_sessions(trade_day: NDArray[np.int64], state: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Write the session of each event: its trade date as a number, or the one before where the date is unknown."""
    for i in range(trade_day.size):
        if trade_day[i] != MISSING:
            state[0] = trade_day[i]
        out[i] = state[0]


@kernel
def follow_trading(
    kind: NDArray[np.uint8],
    detail: NDArray[np.uint8],
    by_timetable: NDArray[np.bool_],
    state: NDArray[np.int64],
    out: NDArray[np.bool_],
) -> None:
    """Write whether the market trades continuously after each event: by its timetable and by the venue's own words.

    ``state`` is 1 after a STATUS that says that it does not.
    """
    for i in range(kind.size):
        if kind[i] == _STATUS:
            state[0] = 0 if detail[i] in (_OPEN, _UNKNOWN) else 1
        out[i] = by_timetable[i] and state[0] == 0


@kernel
def trades_of(kind: NDArray[np.uint8], price: NDArray[np.int64], qty_lots: NDArray[np.int64], out: NDArray[Any]) -> int:
    """Write the places of the prints that have a price and a size above zero; return how many."""
    n = 0
    for i in range(kind.size):
        if kind[i] == _TRADE and price[i] != MISSING and qty_lots[i] > 0:
            out[n] = i
            n += 1
    return n


SEEN_BID_PX, SEEN_BID_SZ, SEEN_ASK_PX, SEEN_ASK_SZ, SEEN_THREAD, SEEN_BREAK, SEEN_N = 0, 1, 2, 3, 4, 5, 6
"""Places in the state of :func:`observe_touch`, and how many there are."""


@kernel
def observe_touch(
    kind: NDArray[np.uint8],
    flags: NDArray[np.uint16],
    detail: NDArray[np.uint8],
    best: NDArray[np.int64],  # (n, 4): the book's best right after each event, as bid_px, bid_sz, ask_px, ask_sz
    state: NDArray[np.int64],
    bid_px: NDArray[np.int64],  # (n + 1,) and so on: what could be observed before and after each event
    bid_sz: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    ask_sz: NDArray[np.int64],
    thread: NDArray[np.int64],  # (n + 1,): rises with every break; touches of different threads must not be compared
) -> None:
    """Let the best prices be seen only after the last record of a message."""
    bid_px[0] = state[SEEN_BID_PX]
    bid_sz[0] = state[SEEN_BID_SZ]
    ask_px[0] = state[SEEN_ASK_PX]
    ask_sz[0] = state[SEEN_ASK_SZ]
    thread[0] = state[SEEN_THREAD]
    for i in range(kind.size):
        if breaks(kind[i], flags[i], detail[i]):
            state[SEEN_BREAK] = 1
        if flags[i] & _LAST:
            state[SEEN_BID_PX] = best[i, 0]
            state[SEEN_BID_SZ] = best[i, 1]
            state[SEEN_ASK_PX] = best[i, 2]
            state[SEEN_ASK_SZ] = best[i, 3]
            state[SEEN_THREAD] += state[SEEN_BREAK]
            state[SEEN_BREAK] = 0
        bid_px[i + 1] = state[SEEN_BID_PX]
        bid_sz[i + 1] = state[SEEN_BID_SZ]
        ask_px[i + 1] = state[SEEN_ASK_PX]
        ask_sz[i + 1] = state[SEEN_ASK_SZ]
        thread[i + 1] = state[SEEN_THREAD]
