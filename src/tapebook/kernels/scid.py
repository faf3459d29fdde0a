"""Sierra Chart's binary records into events (face and meaning: :mod:`tapebook.readers.scid`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel

# What became of the n records: counted in `tallies`.
BARS, QUOTES_ONLY, OFF_GRID, ROUNDED, NO_SIDE, SPLIT_DIFFERS, GROUP_UNENDED, GROUP_UNSTARTED, REPEATED = range(9)
N_TALLIES = 9

# Why a record is refused: in `bad`.
BAD_TIME, BAD_PRICE, BAD_VOLUME = 1, 2, 3

# State: the last quote, and whether the records stand inside an unbundled trade.
LAST_BID, LAST_ASK, IN_GROUP = range(3)
N_STATE = 3

FIRST_SUB_TRADE = np.float32(-1.99900095e37)
LAST_SUB_TRADE = np.float32(-1.99900197e37)

ON_GRID, OFF, COARSE, NO_PRICE = 0, 1, 2, -1

UNIX_OF_SIERRA_US = 2_209_161_600_000_000  # from 1899-12-30 to 1970-01-01
_TIME_MAX_US = UNIX_OF_SIERRA_US + 4_102_444_800_000_000  # 2100
_MISSING = np.iinfo(np.int64).min
_COUNT_MISSING = np.uint32(4294967295)
_VOLUME_MAX = 2_147_483_647  # Sierra Chart itself takes more for damage
_FLAG_LAST, _FLAG_REDUCED = 1, 256
_TRADE, _QUOTE, _VENUE = 1, 3, 1


@kernel
def price_of_f32(x: float, tick_e9: int, num: int, den: int, out: NDArray[np.int64]) -> int:
    """Write the price that a 32-bit float stands for to ``out[0]`` and return how it was found.

    The float times num/den is a whole number of ticks within half a float step: ON_GRID (or COARSE, where a float step
    is wider than a tick, so that several prices share it). Else OFF: the shortest decimal that rounds to the float.
    """
    x32 = np.float32(x)
    x64 = np.float64(x32)
    if not math.isfinite(x64):
        return NO_PRICE
    size = abs(x64)
    if size * num >= 9.2e9 or size >= 9.2e9:
        return NO_PRICE
    if x64 == 0.0:
        out[0] = 0
        return ON_GRID
    _, exponent = math.frexp(size)
    half_step = math.ldexp(0.5, exponent - 24)
    if tick_e9 > 0:
        unit = num * 1e9 / (den * np.float64(tick_e9))
        ticks = x64 * unit
        nearest = np.rint(ticks)
        allowed = half_step * unit
        if abs(ticks - nearest) <= allowed * 1.000001 + 1e-9:
            out[0] = np.int64(nearest) * tick_e9
            return COARSE if allowed >= 0.5 else ON_GRID
    value = np.int64(0)
    found = False
    scale = 1.0
    left = np.int64(1_000_000_000)
    for _ in range(10):
        digits = np.rint(x64 * scale)
        if np.float32(digits / scale) == x32:
            value = np.int64(digits) * left
            found = True
            break
        scale *= 10.0
        left = left // 10
    if not found:
        value = np.int64(np.rint(x64 * 1e9))
    product = value * num
    out[0] = product // den
    if tick_e9 > 0:
        return OFF
    return ON_GRID if found and product % den == 0 else COARSE


@kernel
def new_event(
    out: NDArray[Any],
    m: int,
    ts_ns: int,
    instrument_id: int,
    kind: int,
    side: int,
    price: int,
    qty_lots: int,
    flags: int,
) -> None:
    """Write record ``m`` whole, what is not given as missing: room for events need not be made ready beforehand.

    (Filling three records for each trade before it is known that one is enough took longer than everything else.)
    """
    out["ts_event_ns"][m] = ts_ns
    out["ts_recv_ns"][m] = _MISSING
    out["price"][m] = price
    out["qty_lots"][m] = qty_lots
    out["order_id"][m] = 0
    out["sequence"][m] = _MISSING
    out["instrument_id"][m] = instrument_id
    out["count"][m] = _COUNT_MISSING
    out["flags"][m] = flags
    out["channel"][m] = 0
    out["kind"][m] = kind
    out["side"][m] = side
    out["side_source"][m] = 0
    out["detail"][m] = 0


@kernel
def prices_of_f32(raw: NDArray[np.float32], tick_e9: int, num: int, den: int, out: NDArray[np.int64]) -> None:
    """Write the price of each float to ``out`` (those of no price stay as they are)."""
    for i in range(raw.size):
        price_of_f32(raw[i], tick_e9, num, den, out[i : i + 1])


@kernel
def events_of_records(
    records: NDArray[Any],  # SCID records; one more than n where the file goes on
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
    """Write the events of the first ``n`` records to ``out`` (room for 3 n) and return how many they are."""
    stamp, opens, highs, lows = records["stamp_us"], records["open"], records["high"], records["low"]
    closes, n_trades, volumes = records["close"], records["n_trades"], records["volume"]
    bid_volumes, ask_volumes = records["bid_volume"], records["ask_volume"]
    flags, side, source = out["flags"], out["side"], out["side_source"]
    place = np.zeros(1, np.int64)
    m = 0
    for i in range(n):
        bad[i] = 0
        opened = opens[i]
        first, last = opened == FIRST_SUB_TRADE, opened == LAST_SUB_TRADE
        if stamp[i] < UNIX_OF_SIERRA_US or stamp[i] > _TIME_MAX_US:
            bad[i] = BAD_TIME
            continue
        volume = np.int64(volumes[i])
        bid_volume, ask_volume = np.int64(bid_volumes[i]), np.int64(ask_volumes[i])
        if volume > _VOLUME_MAX or bid_volume > _VOLUME_MAX or ask_volume > _VOLUME_MAX:
            bad[i] = BAD_VOLUME
            continue
        if not first and not last and not (opened == 0.0 and n_trades[i] <= 1):
            tallies[BARS] += 1
            continue
        code = price_of_f32(lows[i], tick_e9, num, den, place)
        bid = place[0] if lows[i] != 0.0 else np.int64(_MISSING)
        code_ask = price_of_f32(highs[i], tick_e9, num, den, place)
        ask = place[0] if highs[i] != 0.0 else np.int64(_MISSING)
        code_trade = price_of_f32(closes[i], tick_e9, num, den, place)
        if NO_PRICE in (code, code_ask, code_trade):
            bad[i] = BAD_PRICE
            continue
        when = (stamp[i] - UNIX_OF_SIERRA_US) * 1000
        if first:
            if state[IN_GROUP] != 0:
                tallies[GROUP_UNENDED] += 1
            state[IN_GROUP] = 1
        inside = state[IN_GROUP] != 0
        if last:
            if not inside:
                tallies[GROUP_UNSTARTED] += 1
            state[IN_GROUP] = 0
            ends = True
        elif inside:
            # Sub-trades share a stamp but for the counter in its microseconds; a group that stops short ends here.
            ends = i + 1 >= records.size
            if not ends:
                ends = opens[i + 1] == FIRST_SUB_TRADE or abs(np.float64(stamp[i + 1]) - np.float64(stamp[i])) > 1000
            if ends:
                tallies[GROUP_UNENDED] += 1
                state[IN_GROUP] = 0
        else:
            ends = True
        if bid != state[LAST_BID] or ask != state[LAST_ASK]:
            state[LAST_BID], state[LAST_ASK] = bid, ask
            reduced = _FLAG_REDUCED if code == COARSE else 0
            new_event(out, m, when, instrument_id, _QUOTE, 1, bid, _MISSING, reduced)
            reduced = _FLAG_REDUCED if code_ask == COARSE else 0
            new_event(out, m + 1, when, instrument_id, _QUOTE, -1, ask, _MISSING, reduced)
            m += 2
            if first or not inside:
                flags[m - 1] |= _FLAG_LAST
        elif bid != _MISSING or ask != _MISSING:
            tallies[REPEATED] += 1
        if volume == 0:
            tallies[QUOTES_ONLY] += 1
            continue
        reduced = _FLAG_REDUCED if code_trade == COARSE else 0
        new_event(out, m, when, instrument_id, _TRADE, 0, place[0], volume, reduced | (_FLAG_LAST if ends else 0))
        if (ask_volume > 0) != (bid_volume > 0):
            side[m] = 1 if ask_volume > 0 else -1
            source[m] = _VENUE
        else:
            tallies[NO_SIDE] += 1
        if bid_volume + ask_volume not in (0, volume):
            tallies[SPLIT_DIFFERS] += 1
        if OFF in (code, code_ask, code_trade):
            tallies[OFF_GRID] += 1
        if code_trade == COARSE:
            tallies[ROUNDED] += 1
        m += 1
    return m
