"""The fused catalogue: one pass over views of the book and events, a row of 27 numbers for every event.

What happens at an event, in this order: bars that are due close with what was known before it; a print enters the bar
and the intensities; the view that stands after it is described and compared with the one before; the row is written.

Pass one (:mod:`tapebook.kernels.book_levels`) has told which view stands after each event. Parts of this pass:
:mod:`tapebook.kernels.catalogue_book`, ``catalogue_motion``, ``catalogue_bars``; the memory: ``catalogue_state``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel, lean_kernel, lean_step
from tapebook.kernels.book_state import Int
from tapebook.kernels.catalogue_bars import close_bar, restart
from tapebook.kernels.catalogue_book import add_flow, describe_book, rest_of_flow
from tapebook.kernels.catalogue_motion import fade_intensity, follow_mid, tell_intensity
from tapebook.kernels.catalogue_state import (
    BAR_END,
    BAR_NS,
    BAR_TRADES,
    FLOW,
    FRESH,
    HAWKES_AT,
    HAWKES_FADING,
    HAWKES_FLOOR,
    HAWKES_FRESH,
    HAWKES_MERGE_NS,
    HAWKES_WARM_NS,
    IN_BAR,
    INVERSE,
    LAST_MID,
    LOT_VALUE,
    MID,
    N_COLUMNS,
    NOTIONAL,
    OPEN,
    PAUSE_BARS,
    REFERENCE,
    REFERENCE_SESSION,
    SESSION,
    THREAD,
    TRADED,
    TRADING,
    VOLUME,
    Memory,
    Settings,
)
from tapebook.kernels.hawkes import advance_intensity, aggressive_orders
from tapebook.kernels.ladder import LAST, TRADE
from tapebook.kernels.touch import steady_clock
from tapebook.market.events import MISSING, PRICE_SCALE, TradeCondition

_SCALE = float(PRICE_SCALE)
_CROSS, _OFF_BOOK = int(TradeCondition.CROSS), int(TradeCondition.OFF_BOOK)


@kernel
def read_clocks(
    events: Any,
    state: NDArray[np.int64],
    ts_ns: NDArray[np.int64],
    stamp_ns: NDArray[np.int64],
    clock_ns: NDArray[np.int64],
    span: NDArray[np.int64],  # the smallest and the largest of ``clock_ns``
) -> None:
    """Write the clock of each event, the venue's stamp, and the steady clock with its span, in one call."""
    event = events["ts_event_ns"]
    recv = events["ts_recv_ns"]
    for i in range(event.size):
        stamp_ns[i] = event[i]
        ts_ns[i] = event[i] if recv[i] == MISSING else recv[i]
    steady_clock(ts_ns, state, clock_ns)
    span[0] = clock_ns[0]
    span[1] = clock_ns[0]
    for i in range(1, clock_ns.size):
        span[0] = min(span[0], clock_ns[i])
        span[1] = max(span[1], clock_ns[i])


@lean_step
def keep_bars(t: Int, k: Settings, m: Memory) -> None:
    """Close the intervals that have ended by ``t``; those in which nothing happened carry the mid."""
    marks = m.marks
    step = k.lengths[BAR_NS]
    late = t - marks[BAR_END]
    if late < 0:
        if late < -step:  # the clock has been put back
            restart(m)
        return
    empty = late // step
    if empty > k.lengths[PAUSE_BARS]:
        restart(m)
        return
    for _ in range(empty + 1):
        close_bar(marks[BAR_END], k, m)
        marks[BAR_END] += step


@lean_step
def fold_print(price: Int, qty: Int, side: Int, k: Settings, m: Memory) -> None:
    """Take a print into the bar that is open."""
    sums = m.sums
    q = np.float64(qty)
    sums[VOLUME] += q
    sums[FLOW] += np.float64(side) * q
    worth = 1.0 if k.lengths[INVERSE] == 1 else np.float64(price) / _SCALE
    sums[NOTIONAL] += q * worth * k.settings[LOT_VALUE]
    m.marks[TRADED] = 1
    m.marks[IN_BAR] += 1


@lean_step
def open_bars(t: Int, session: Int, k: Settings, m: Memory) -> None:
    """Begin the bars with the first mid that can be observed."""
    marks = m.marks
    if t == MISSING or np.isnan(m.now[MID]):
        return
    step = k.lengths[BAR_NS]
    if step > 0:
        marks[BAR_END] = (t // step + 1) * step
    marks[OPEN] = 1
    marks[FRESH] = 0
    if marks[REFERENCE_SESSION] != session:
        marks[REFERENCE_SESSION] = session
        m.sums[REFERENCE] = m.sums[LAST_MID] / _SCALE


@lean_kernel
def advance_catalogue(
    events: NDArray[Any],
    stamp_ns: NDArray[np.int64],
    clock_ns: NDArray[np.int64],
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    views: NDArray[np.int64],  # (1 + views, 4 * levels): the first is the one that stood before
    which: NDArray[np.int64],
    thread: NDArray[np.int64],
    k: Settings,
    m: Memory,
    places: NDArray[np.int64],  # room for the places and times of orders
    times: NDArray[np.int64],
    out: NDArray[np.float64],  # (N_COLUMNS, at least ``start`` and the events)
    start: Int,
) -> None:
    """Fold events and write a row for each into ``out[:, start:]``."""
    marks, now, lengths = m.marks, m.now, k.lengths
    kinds = events["kind"]
    prices = events["price"]
    qtys = events["qty_lots"]
    sides = events["side"]
    details = events["detail"]
    flags = events["flags"]
    n_orders = aggressive_orders(events, stamp_ns, clock_ns, lengths[HAWKES_MERGE_NS], m.order, places, times)
    order = 0
    view = np.int64(0)
    for i in range(kinds.size):
        t = clock_ns[i]
        trades_now = 1 if trading[i] else 0
        if trades_now != marks[TRADING]:
            marks[TRADING] = trades_now
            describe_book(views, view, trading[i], lengths, k.decay, m.sums, now)
        if session[i] != marks[SESSION]:
            marks[SESSION] = session[i]
            restart(m)
        if marks[OPEN] == 1 and lengths[BAR_NS] > 0 and not marks[BAR_END] - lengths[BAR_NS] <= t < marks[BAR_END]:
            keep_bars(t, k, m)
        if marks[OPEN] == 0:
            open_bars(t, session[i], k, m)
        if order < n_orders and places[order] == i:
            places[order] = 0 if sides[i] > 0 else 1
            advance_intensity(
                times[order : order + 1],
                places[order : order + 1],
                session[i : i + 1],
                k.mu,
                k.eta,
                k.beta,
                k.settings[HAWKES_FADING],
                k.settings[HAWKES_FRESH],
                lengths[HAWKES_WARM_NS],
                m.excited,
                m.seen,
                m.live,
                m.hawkes,
            )
            base = m.hawkes[0, 0] + m.hawkes[0, 1]
            tell_intensity(base, m.hawkes[0, 2], m.hawkes[0, 3], k.settings[HAWKES_FLOOR], now)
            marks[HAWKES_AT] = t
            order += 1
        else:
            fade_intensity(t, session[i], lengths, k.settings, k.mu, k.beta, m.excited, m.seen, m.live, marks, now)
        if (
            kinds[i] == TRADE
            and marks[OPEN] == 1
            and prices[i] != MISSING
            and qtys[i] > 0
            and details[i] != _CROSS
            and details[i] != _OFF_BOOK
        ):
            if lengths[BAR_NS] == 0 and marks[IN_BAR] == lengths[BAR_TRADES]:
                close_bar(t, k, m)
            fold_print(prices[i], qtys[i], np.int64(sides[i]), k, m)
        new = which[i]
        broken = thread[i] != marks[THREAD]
        flowing = new != view or broken
        if broken:
            restart(m)
        if flowing:
            add_flow(views, view, new, thread[i], trading[i], marks, now)
            describe_book(views, new, trading[i], lengths, k.decay, m.sums, now)
            marks[THREAD] = thread[i]
            view = new
        if flags[i] & LAST:
            follow_mid(t, lengths, k.settings, marks, m.sums, now)
        if marks[OPEN] == 0:
            open_bars(t, session[i], k, m)
        for c in range(N_COLUMNS):
            out[c, start + i] = now[c]
        if flowing:
            rest_of_flow(marks, now)
