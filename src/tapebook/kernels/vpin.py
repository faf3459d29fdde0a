"""Volume-synchronised probability of informed trading (Easley, Lopez de Prado and O'Hara 2012), in exact integers.

Traded volume fills buckets of V lots, a print being split over as many as it takes. Over the last n buckets::

    VPIN = sum |V_buy - V_sell| / sum V

Signs that are independent of each other give sqrt(2 E[q^2] / (pi E[q] V)) with q the lots of a print: the null level.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel, lean_helper, lean_kernel, lean_step
from tapebook.kernels.classification import VENUE, bought_share, in_book, side_by, tick_sign_of
from tapebook.market.events import MISSING

BULK = 6
"""The side rule that splits the volume of bars; the others are those of :mod:`tapebook.kernels.classification`."""

SIZE, NEXT_SIZE, FILL, IMBALANCE, UNKNOWN, START, CLOSED = 0, 1, 2, 3, 4, 5, 6
SUM_IMBALANCE, SUM_SIZE, SUM_UNKNOWN, SESSION, BAR, BAR_LOTS = 7, 8, 9, 10, 11, 12
BAR_PRICE, BAR_PRICE_BEFORE, BAR_NS, I_N = 13, 14, 15, 16
"""Places in the integers of the memory, and how many there are. SIZE 0: no bucket size is known yet."""

Q1, Q2, SESSION_LOTS, DAILY_LOTS, F_N = 0, 1, 2, 3, 4
"""Places in the floats of the memory: sums of q and q^2 of the open bucket, volume of the session, its average."""

R_IMBALANCE, R_SIZE, R_UNKNOWN, R_START, R_END, R_N = 0, 1, 2, 3, 4, 5
"""Columns of the ring of buckets, and how many there are."""

O_CLOSED, O_IMBALANCE, O_VPIN, O_CDF, O_NULL, O_UNKNOWN, O_LOTS, O_SPAN_NS, O_N = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Columns of the rows, and how many there are."""

_CDF_MIN = 100
_LOTS_MAX = 4.0e18


@lean_step
def close_bucket(
    at: int, ints: NDArray[np.int64], floats: NDArray[np.float64], ring: NDArray[np.int64], sums: NDArray[np.float64],
    history: NDArray[np.float64],
) -> None:  # fmt: skip
    """Put the full bucket into the ring, and its VPIN into the history."""
    n = ring.shape[0]
    k = ints[CLOSED] % n
    if ints[CLOSED] >= n:
        ints[SUM_IMBALANCE] -= abs(ring[k, R_IMBALANCE])
        ints[SUM_SIZE] -= ring[k, R_SIZE]
        ints[SUM_UNKNOWN] -= ring[k, R_UNKNOWN]
    ring[k, R_IMBALANCE] = ints[IMBALANCE]
    ring[k, R_SIZE] = ints[SIZE]
    ring[k, R_UNKNOWN] = ints[UNKNOWN]
    ring[k, R_START] = ints[START]
    ring[k, R_END] = at
    sums[k, 0] = floats[Q1]
    sums[k, 1] = floats[Q2]
    ints[SUM_IMBALANCE] += abs(ints[IMBALANCE])
    ints[SUM_SIZE] += ints[SIZE]
    ints[SUM_UNKNOWN] += ints[UNKNOWN]
    ints[CLOSED] += 1
    if ints[CLOSED] >= n:
        history[(ints[CLOSED] - n) % history.size] = ints[SUM_IMBALANCE] / ints[SUM_SIZE]
    ints[FILL] = 0
    ints[IMBALANCE] = 0
    ints[UNKNOWN] = 0
    floats[Q1] = 0.0
    floats[Q2] = 0.0
    ints[SIZE] = ints[NEXT_SIZE]


@lean_helper
def _signed_up_to(done: int, lots: int, signed: int) -> int:
    """Return the signed part of the first ``done`` of ``lots``: exact for a print, to the nearest lot for a bar."""
    if done == lots:
        return signed
    if signed == lots:
        return done
    if signed == -lots:
        return -done
    return math.floor(signed * (done / lots) + 0.5)


@lean_step
def _pour_over(
    at: int,
    lots: int,
    signed: int,
    known: bool,
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    ring: NDArray[np.int64],
    sums: NDArray[np.float64],
    history: NDArray[np.float64],
) -> int:
    """Pour what fills the open bucket or more; return how many were closed."""
    done, given, closed = 0, 0, 0
    if ints[SIZE] == 0:
        ints[SIZE] = ints[NEXT_SIZE]
    while done < lots:
        if ints[FILL] == 0:
            ints[START] = at
        take = min(ints[SIZE] - ints[FILL], lots - done)
        done += take
        upto = _signed_up_to(done, lots, signed)
        ints[IMBALANCE] += upto - given
        given = upto
        if not known:
            ints[UNKNOWN] += take
        ints[FILL] += take
        if ints[FILL] < ints[SIZE]:
            break
        close_bucket(at, ints, floats, ring, sums, history)
        closed += 1
        # Of more buckets than ring and history hold only the last ones leave a trace: a wild print must not take hours.
        skip = (lots - done) // ints[SIZE] - (ring.shape[0] + history.size + 1)
        if skip > 0:
            done += skip * ints[SIZE]
            given = _signed_up_to(done, lots, signed)
            closed += skip
    return closed


@lean_helper
def pour(
    at: int,
    lots: int,
    signed: int,
    known: bool,
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    ring: NDArray[np.int64],
    sums: NDArray[np.float64],
    history: NDArray[np.float64],
) -> int:
    """Pour ``lots``, bought less sold ``signed``, into the buckets; return how many were closed."""
    fill = ints[FILL]
    if fill == 0 or lots >= ints[SIZE] - fill:
        return _pour_over(at, lots, signed, known, ints, floats, ring, sums, history)
    # Most prints end inside the open bucket.
    ints[FILL] = fill + lots
    ints[IMBALANCE] += signed
    if not known:
        ints[UNKNOWN] += lots
    return 0


@kernel
def _write_row(
    closed: int,
    ints: NDArray[np.int64],
    ring: NDArray[np.int64],
    sums: NDArray[np.float64],
    history: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    n = ring.shape[0]
    last = (ints[CLOSED] - 1) % n
    out[O_CLOSED] = closed
    out[O_IMBALANCE] = ring[last, R_IMBALANCE]
    out[O_VPIN:] = np.nan
    if ints[CLOSED] < n:
        return
    vpin = ints[SUM_IMBALANCE] / ints[SUM_SIZE]
    out[O_VPIN] = vpin
    have = min(ints[CLOSED] - n + 1, history.size)
    if have >= min(_CDF_MIN, history.size):
        below = 0
        for k in range(have):
            if history[k] <= vpin:
                below += 1
        out[O_CDF] = below / have
    q1, q2 = 0.0, 0.0
    for k in range(n):
        q1 += sums[k, 0]
        q2 += sums[k, 1]
    if q1 > 0.0:
        out[O_NULL] = math.sqrt(2.0 * q2 * n / (math.pi * q1 * ints[SUM_SIZE]))
    out[O_UNKNOWN] = ints[SUM_UNKNOWN] / ints[SUM_SIZE]
    out[O_LOTS] = ints[SUM_SIZE]
    start, end = ring[ints[CLOSED] % n, R_START], ring[last, R_END]
    if MISSING not in (start, end):  # prints before the first stamp of the tape fill buckets too
        out[O_SPAN_NS] = end - start


@kernel
def _new_session(
    session: int, fixed: bool, per_day: float, decay: float, ints: NDArray[np.int64], floats: NDArray[np.float64]
) -> None:
    """Let the volume of the session that ended join the daily average, from which the bucket size follows."""
    if ints[SESSION] != MISSING and not fixed and floats[SESSION_LOTS] > 0.0:
        lots = floats[SESSION_LOTS]
        floats[DAILY_LOTS] = lots if floats[DAILY_LOTS] == 0.0 else decay * floats[DAILY_LOTS] + (1.0 - decay) * lots
        ints[NEXT_SIZE] = math.floor(min(max(floats[DAILY_LOTS] / per_day, 1.0), _LOTS_MAX) + 0.5)
    floats[SESSION_LOTS] = 0.0
    ints[SESSION] = session
    ints[BAR_PRICE_BEFORE] = MISSING  # a change of price over night is no news of a bar


@kernel
def _close_bar(
    df: float, decay: float, ints: NDArray[np.int64], floats: NDArray[np.float64], scale: NDArray[np.float64],
    ring: NDArray[np.int64], sums: NDArray[np.float64], history: NDArray[np.float64],
) -> int:  # fmt: skip
    """Split the volume of the open bar and pour it; a bar without a change to judge by is of unknown side."""
    lots = ints[BAR_LOTS]
    ints[BAR_LOTS] = 0
    before = ints[BAR_PRICE_BEFORE]
    ints[BAR_PRICE_BEFORE] = ints[BAR_PRICE]
    share = np.nan
    if before != MISSING:
        share = bought_share(float(ints[BAR_PRICE]) - float(before), df, decay, scale)
    if ints[NEXT_SIZE] == 0:
        return 0
    known = not math.isnan(share)
    signed = math.floor(lots * (2.0 * share - 1.0) + 0.5) if known else 0
    return pour(ints[BAR_NS], lots, min(max(signed, -lots), lots), known, ints, floats, ring, sums, history)


@kernel
def advance_vpin(
    events: Any,
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    rule: int,
    fixed: bool,
    par: NDArray[np.float64],  # buckets a day, decay by session, bar in ns, degrees of freedom, decay by bar
    tick: NDArray[np.int64],
    scale: NDArray[np.float64],
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    ring: NDArray[np.int64],
    sums: NDArray[np.float64],
    history: NDArray[np.float64],
    out_at: NDArray[np.int64],
    out: NDArray[np.float64],  # (rows, O_N)
) -> int:
    """Write a row for each event that closed a bucket or more."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    side = events["side"]
    detail = events["detail"]
    bar_ns = int(par[2])
    n = 0
    for i in range(kind.size):
        closed = 0
        now = clock_ns[i]
        if rule == BULK and ints[BAR_LOTS] > 0 and (now // bar_ns != ints[BAR] or session[i] != ints[SESSION]):
            closed += _close_bar(par[3], par[4], ints, floats, scale, ring, sums, history)
        if session[i] != ints[SESSION]:
            _new_session(session[i], fixed, par[0], par[1], ints, floats)
        if trading[i] and in_book(kind[i], detail[i], price[i], qty[i]):
            lots = qty[i]
            floats[SESSION_LOTS] += lots
            if ints[NEXT_SIZE] > 0 and rule != BULK:  # bars have no signs that could be independent
                floats[Q1] += lots
                floats[Q2] += float(lots) * float(lots)
            if rule == BULK and now != MISSING:
                ints[BAR] = now // bar_ns
                ints[BAR_LOTS] += lots
                ints[BAR_PRICE] = price[i]
                ints[BAR_NS] = now
            else:
                sign = np.int64(0) if rule == BULK else np.int64(side[i])  # no stamp, no bar
                if rule not in (VENUE, BULK):
                    by_tick = tick_sign_of(price[i], session[i], thread[i], tick)
                    sign = side_by(rule, by_tick, price[i], bid_px[i], ask_px[i])
                if ints[NEXT_SIZE] > 0:
                    closed += pour(now, lots, sign * lots, sign != 0, ints, floats, ring, sums, history)
        if closed > 0:
            out_at[n] = i
            _write_row(closed, ints, ring, sums, history, out[n])
            n += 1
    return n


@lean_kernel
def pour_all(
    lots: NDArray[np.int64],
    side: NDArray[np.int64],
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    ring: NDArray[np.int64],
    sums: NDArray[np.float64],
    history: NDArray[np.float64],
) -> None:
    """Pour whole arrays of prints; ``ring`` holds every bucket that they close."""
    for i in range(lots.size):
        if lots[i] > 0:
            pour(i, lots[i], side[i] * lots[i], side[i] != 0, ints, floats, ring, sums, history)
