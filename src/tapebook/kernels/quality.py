"""One pass over the events of one instrument that counts what is wrong with them.

For each check ``counts[check]`` grows and ``firsts[check]`` keeps (time, position on the tape) of the first case. The
latency histogram has logarithmic bins of 1/32 (:func:`latency_bin`): any number of events in 32 KiB, percentiles within
3 %.

A duplicate is a record equal in all 64 bytes to one seen among the last few thousand; they are remembered by a hash in
a direct-mapped table, so that an overwritten entry can hide one but an unequal record is never called a duplicate
(two 64-bit hashes would have to collide).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.bits import wrapping_product
from tapebook.market.events import MISSING, Events, Flag, Kind

CHECKS: Final = (
    "ts_event_missing",
    "ts_event_backwards",
    "ts_recv_backwards",
    "recv_before_event",
    "duplicate",
    "gap_flagged",
    "sequence_backwards",
    "off_grid",
    "off_grid_trade",
    "bad_size",
    "side_unknown",
    "maybe_bad_flagged",
    "bad_ts_recv_flagged",
    "frozen_book",
    "trade_without_price",
    "trade_without_size",
)
(
    TS_EVENT_MISSING,
    TS_EVENT_BACKWARDS,
    TS_RECV_BACKWARDS,
    RECV_BEFORE_EVENT,
    DUPLICATE,
    GAP_FLAGGED,
    SEQUENCE_BACKWARDS,
    OFF_GRID,
    OFF_GRID_TRADE,
    BAD_SIZE,
    SIDE_UNKNOWN,
    MAYBE_BAD_FLAGGED,
    BAD_TS_RECV_FLAGGED,
    FROZEN_BOOK,
    TRADE_WITHOUT_PRICE,
    TRADE_WITHOUT_SIZE,
) = range(16)

# Places in the state vector.
(
    N_SEEN,
    LAST_EVENT_NS,
    LAST_RECV_NS,
    LAST_BOOK_NS,
    TRADES_SINCE_BOOK,
    BOOK_SEEN,
    FROZEN_NOW,
    PRICE_GCD,
    EVENT_BACK_NS_MAX,
    RECV_BEFORE_NS_MAX,
    N_TRADES,
    VOLUME_LOTS,
    LONGEST_FROZEN_NS,
) = range(13)
N_STATE: Final = 13

# Columns of the table of sequences: one row per channel (two channels 64 apart share one, and may hide a gap).
SEQ_LAST, SEQ_STEPS, SEQ_STEPS_OF_ONE, SEQ_SKIPS, SEQ_MISSED, SEQ_FIRST_NS, SEQ_FIRST_PLACE = range(7)
N_CHANNELS: Final = 64

LATENCY_BINS: Final = 4096
DUPLICATE_SLOTS: Final = 8192

_LAST = int(Flag.LAST)
_INFO = int(Flag.INFO)
_SNAPSHOT = int(Flag.SNAPSHOT)
_GAP = int(Flag.GAP)
_MAYBE_BAD = int(Flag.MAYBE_BAD)
_BAD_TS_RECV = int(Flag.BAD_TS_RECV)
_TRADE = int(Kind.TRADE)
_LEVEL = int(Kind.LEVEL)
_QUOTE = int(Kind.QUOTE)
_ADD = int(Kind.ADD)
_EXECUTE = int(Kind.EXECUTE)
_STATUS = int(Kind.STATUS)
_MISSING = MISSING
_APART_MAX = 1 << 62
_MIX = 0x9E3779B97F4A7C15


@kernel
def latency_bin(latency_ns: int) -> int:
    """Return the bin of a latency: 32 linear bins per power of two, negative ones below the middle."""
    x = latency_ns if latency_ns >= 0 else -latency_ns
    shift = 0
    while (x >> shift) >= 64:
        shift += 1
    index = (x >> shift) + shift * 32
    middle = LATENCY_BINS // 2
    return middle + index if latency_ns >= 0 else middle - 1 - index


@kernel
def apart_ns(later_ns: int, earlier_ns: int) -> int:
    """Return ``later_ns - earlier_ns``, held at 2**62 either way: the difference of damaged stamps can leave int64."""
    if earlier_ns < 0 and later_ns > _APART_MAX + earlier_ns:
        return _APART_MAX
    if earlier_ns > 0 and later_ns < earlier_ns - _APART_MAX:
        return -_APART_MAX
    return later_ns - earlier_ns


@kernel
def _note(check: int, ts_ns: int, position: int, counts: NDArray[np.int64], firsts: NDArray[np.int64]) -> None:
    if counts[check] == 0:
        firsts[check, 0] = ts_ns
        firsts[check, 1] = position
    counts[check] += 1


@kernel
def gcd(a: int, b: int) -> int:
    """Return the greatest common divisor."""
    while b != 0:
        a, b = b, a % b
    return a


@kernel
def observe(
    events: Events,
    words: NDArray[np.uint64],
    tick_e9: int,
    frozen_ns: int,
    frozen_trades_min: int,
    state: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    channels: NDArray[np.int64],
    counts: NDArray[np.int64],
    firsts: NDArray[np.int64],
    by_kind: NDArray[np.int64],
    latency: NDArray[np.int64],
) -> None:
    """Fold a block of one instrument's events into the counts. ``words`` is the block as (n, 8) uint64."""
    ts_event = events["ts_event_ns"]
    ts_recv = events["ts_recv_ns"]
    prices = events["price"]
    qtys = events["qty_lots"]
    sequences = events["sequence"]
    kinds = events["kind"]
    sides = events["side"]
    flags = events["flags"]
    channel_of = events["channel"]
    mask = np.uint64(DUPLICATE_SLOTS - 1)
    for i in range(ts_event.size):
        position = state[N_SEEN]
        state[N_SEEN] += 1
        kind = kinds[i]
        flag = flags[i]
        t = ts_event[i]
        r = ts_recv[i]
        by_kind[kind if kind < by_kind.size else 0] += 1
        now = r if r != _MISSING else t

        if t == _MISSING:
            _note(TS_EVENT_MISSING, now, position, counts, firsts)
        else:
            last = state[LAST_EVENT_NS]
            if last != _MISSING and t < last and not flag & _SNAPSHOT:
                _note(TS_EVENT_BACKWARDS, t, position, counts, firsts)
                state[EVENT_BACK_NS_MAX] = max(state[EVENT_BACK_NS_MAX], last - t)
            if not flag & _SNAPSHOT or last == _MISSING:
                state[LAST_EVENT_NS] = t
        if r != _MISSING:
            if state[LAST_RECV_NS] != _MISSING and r < state[LAST_RECV_NS]:
                _note(TS_RECV_BACKWARDS, r, position, counts, firsts)
            state[LAST_RECV_NS] = r
            if t != _MISSING and not flag & _SNAPSHOT:
                latency[latency_bin(apart_ns(r, t))] += 1
                if r < t:
                    _note(RECV_BEFORE_EVENT, t, position, counts, firsts)
                    state[RECV_BEFORE_NS_MAX] = max(state[RECV_BEFORE_NS_MAX], apart_ns(t, r))

        if flag & _GAP:
            _note(GAP_FLAGGED, now, position, counts, firsts)
        if flag & _MAYBE_BAD:
            _note(MAYBE_BAD_FLAGGED, now, position, counts, firsts)
        if flag & _BAD_TS_RECV:
            _note(BAD_TS_RECV_FLAGGED, now, position, counts, firsts)

        s = sequences[i]
        if s != _MISSING and not flag & _SNAPSHOT:
            h = np.uint64(_MIX)
            for w in range(8):
                h = wrapping_product(h ^ words[i, w], _MIX)
                h ^= h >> np.uint64(29)
            slot = h & mask
            if hashes[slot] == h:
                _note(DUPLICATE, now, position, counts, firsts)
            hashes[slot] = h
            line = channels[channel_of[i] % N_CHANNELS]
            before = line[SEQ_LAST]
            if before != _MISSING and s != before:  # noqa: PLR1714 - a tuple would be built for each event
                line[SEQ_STEPS] += 1
                if s == before + 1:
                    line[SEQ_STEPS_OF_ONE] += 1
                elif s > before:
                    if line[SEQ_SKIPS] == 0:
                        line[SEQ_FIRST_NS] = now
                        line[SEQ_FIRST_PLACE] = position
                    line[SEQ_SKIPS] += 1
                    line[SEQ_MISSED] += s - before - 1
                else:
                    _note(SEQUENCE_BACKWARDS, now, position, counts, firsts)
            line[SEQ_LAST] = s

        price = prices[i]
        qty = qtys[i]
        if price != _MISSING and kind != _STATUS:
            if tick_e9 > 0 and price % tick_e9 != 0:
                _note(OFF_GRID_TRADE if kind == _TRADE else OFF_GRID, now, position, counts, firsts)
            state[PRICE_GCD] = gcd(abs(price), state[PRICE_GCD])
        if kind == _TRADE:
            state[N_TRADES] += 1
            state[TRADES_SINCE_BOOK] += 1
            if price == _MISSING:
                _note(TRADE_WITHOUT_PRICE, now, position, counts, firsts)
            if qty == _MISSING:
                _note(TRADE_WITHOUT_SIZE, now, position, counts, firsts)
            elif qty <= 0:
                _note(BAD_SIZE, now, position, counts, firsts)
            else:
                state[VOLUME_LOTS] += qty
            if sides[i] == 0:
                _note(SIDE_UNKNOWN, now, position, counts, firsts)
            quiet = now - state[LAST_BOOK_NS]
            if state[BOOK_SEEN] and state[TRADES_SINCE_BOOK] >= frozen_trades_min and quiet >= frozen_ns:
                if not state[FROZEN_NOW]:
                    _note(FROZEN_BOOK, state[LAST_BOOK_NS], position, counts, firsts)
                state[FROZEN_NOW] = 1
                state[LONGEST_FROZEN_NS] = max(state[LONGEST_FROZEN_NS], quiet)
        elif _LEVEL <= kind <= _EXECUTE:
            if qty != _MISSING and (qty < 0 or (qty == 0 and kind >= _ADD)):
                _note(BAD_SIZE, now, position, counts, firsts)
            if not flag & _INFO or kind == _QUOTE:
                state[LAST_BOOK_NS] = now
                state[TRADES_SINCE_BOOK] = 0
                state[BOOK_SEEN] = 1
                state[FROZEN_NOW] = 0
