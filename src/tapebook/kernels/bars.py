"""Trades into bars and footprint cells, one pass, any cut of the tape.

One kernel serves every kind of bar, because they differ in two questions only: does this trade *open* a new bar (time,
range, session), and is the bar *full* after it (ticks, volume, dollars, delta, reversal, bricks, imbalance, runs)?

State: ``ints`` and ``floats`` (places named in :mod:`tapebook.kernels.bar_state`) and the cells of the open bar in a
hash table by price (open addressing, ``table`` of CELL, empty where ``price`` is MISSING; ``used`` lists its taken
places). Rows go to ``bars`` and ``cells``. Where either of those, or the table, has no room left, the kernel stops in
front of the work it cannot do and says so; the face makes room and calls again at the same event. Nothing is done
twice: what was begun on an event is in the state.

Imbalance bars (Lopez de Prado, *Advances in Financial Machine Learning*, 2018, section 2.3.2): theta sums the signed
ticks, volume or dollars; a bar closes when ``|theta| >= E[T] |E[b v]|``. Both expectations are exponential averages, of
the bars' lengths and of the trades. As published the feedback makes bars explode or die, so E[T] is kept within given
limits, a bar has at least as many trades as the lower one, and the first bar only learns. Run bars (2.3.3) compare the
larger of the bought and the sold sums with the larger of their expectations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.bar_state import (
    ANCHOR_NS,
    ASK_FIRST,
    ASK_LAST,
    BAR_INDEX,
    BARS_FULL,
    BARS_LEARNT,
    BID_FIRST,
    BID_LAST,
    BRICK_PX,
    BRICK_WAY,
    BUY,
    CELLS_FULL,
    CLOCK,
    CLOSE,
    DELTA,
    DELTA_MAX,
    DELTA_MIN,
    DOLLAR,
    DOLLARS,
    DONE,
    E_BUY,
    E_BV,
    E_P,
    E_SELL,
    E_T,
    END_NS,
    FULL,
    HIGH,
    IMBALANCE,
    LAST_PRICE,
    LOW,
    N_CELLS,
    NOW_NS,
    OPEN,
    OPEN_NOW,
    P_A_BARS,
    P_CELLS,
    P_EMPTY,
    P_KIND,
    P_SIZE,
    P_SPLIT,
    P_T_MAX,
    P_T_MIN,
    PV,
    QTY_LEFT,
    RANGE,
    RENKO,
    REVERSAL,
    SELL,
    SESSION,
    SESSION_NOW,
    SLOT,
    START_NS,
    TABLE_FULL,
    THETA,
    THETA_BUY,
    THETA_SELL,
    TICK,
    TIME,
    TRADES,
    VOLUME,
    VOLUME_SUM,
)
from tapebook.kernels.bar_trade import add_trade, begin, clear_cell
from tapebook.market.events import MISSING, Events, Kind

_TRADE = int(Kind.TRADE)


@kernel
def threshold(ints: NDArray[np.int64], floats: NDArray[np.float64], par: NDArray[np.float64]) -> float:
    """Return what theta of an imbalance or run bar is compared with; infinite while the first bar learns."""
    if ints[BARS_LEARNT] == 0:
        return np.inf
    if par[P_KIND] == IMBALANCE:
        return floats[E_T] * abs(floats[E_BV])
    return floats[E_T] * max(floats[E_P] * floats[E_BUY], (1.0 - floats[E_P]) * floats[E_SELL])


@kernel
def is_full(ints: NDArray[np.int64], floats: NDArray[np.float64], par: NDArray[np.float64]) -> bool:
    """Return whether the open bar closes with the trade just added."""
    kind = par[P_KIND]
    if kind == TICK:
        return ints[TRADES] >= par[P_SIZE]
    if kind == VOLUME:
        return ints[VOLUME_SUM] >= par[P_SIZE]
    if kind == DOLLAR:
        return floats[DOLLARS] >= par[P_SIZE]
    if kind == DELTA:
        return abs(ints[BUY] - ints[SELL]) >= par[P_SIZE]
    if kind == REVERSAL:
        back = max(ints[HIGH] - ints[CLOSE], ints[CLOSE] - ints[LOW])
        return back >= par[P_SIZE] and ints[HIGH] - ints[LOW] >= par[P_SIZE]
    if kind >= IMBALANCE:
        if ints[TRADES] < par[P_T_MIN]:
            return False
        if ints[TRADES] >= par[P_T_MAX]:
            return True
        theta = abs(floats[THETA]) if kind == IMBALANCE else max(floats[THETA_BUY], floats[THETA_SELL])
        return theta >= threshold(ints, floats, par)
    return False


@kernel
def emit(
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    par: NDArray[np.float64],
    table: NDArray[np.void],
    used: NDArray[np.int64],
    ts_ns: int,
    cause: int,
    bars: NDArray[np.void],
    n_bars: int,
    cells: NDArray[np.void],
    n_cells: int,
) -> None:
    """Write the open bar and its cells, and forget it."""
    row = bars[n_bars]
    index = ints[BAR_INDEX]
    row["ts_ns"] = ts_ns
    row["bar"] = index
    row["start_ns"] = ints[START_NS]
    row["end_ns"] = ints[END_NS]
    row["open"] = ints[OPEN]
    row["high"] = ints[HIGH]
    row["low"] = ints[LOW]
    row["close"] = ints[CLOSE]
    row["volume"] = ints[VOLUME_SUM]
    row["buy"] = ints[BUY]
    row["sell"] = ints[SELL]
    row["trades"] = ints[TRADES]
    row["delta"] = ints[BUY] - ints[SELL]
    row["delta_max"] = ints[DELTA_MAX]
    row["delta_min"] = ints[DELTA_MIN]
    row["vwap"] = ints[OPEN] + floats[PV] / ints[VOLUME_SUM] if ints[VOLUME_SUM] > 0 else np.nan
    row["bid_first"] = ints[BID_FIRST]
    row["ask_first"] = ints[ASK_FIRST]
    row["bid_last"] = ints[BID_LAST]
    row["ask_last"] = ints[ASK_LAST]
    row["theta"] = np.nan
    row["threshold"] = np.nan
    if par[P_KIND] >= IMBALANCE:
        row["theta"] = floats[THETA] if par[P_KIND] == IMBALANCE else max(floats[THETA_BUY], floats[THETA_SELL])
        row["threshold"] = threshold(ints, floats, par)
        if cause == FULL:  # a bar that a session cut off says nothing about lengths
            a = par[P_A_BARS] if ints[BARS_LEARNT] > 0 else 1.0
            length = floats[E_T] + a * (np.float64(ints[TRADES]) - floats[E_T])
            floats[E_T] = min(max(length, par[P_T_MIN]), par[P_T_MAX])
            ints[BARS_LEARNT] += 1
    row["session"] = ints[SESSION_NOW]
    row["cause"] = cause
    row["empty"] = 1 if ints[TRADES] == 0 else 0
    if ints[N_CELLS] > 0:
        places = used[: ints[N_CELLS]]
        prices = table["price"][places]
        order = np.argsort(prices)
        for k in range(order.size):
            cells[n_cells + k] = table[places[order[k]]]
            cells[n_cells + k]["bar"] = index
        for k in range(order.size):
            clear_cell(table, places[k])
        ints[N_CELLS] = 0
    ints[BAR_INDEX] = index + 1
    ints[OPEN_NOW] = 0
    for place in (PV, DOLLARS, THETA, THETA_BUY, THETA_SELL):
        floats[place] = 0.0


@kernel
def advance_bars(
    events: Events,
    first: int,
    instrument_id: int,
    times: NDArray[np.int64],
    session: NDArray[np.int64],
    anchor_ns: NDArray[np.int64],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    par: NDArray[np.float64],
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    table: NDArray[np.void],
    used: NDArray[np.int64],
    bars: NDArray[np.void],
    cells: NDArray[np.void],
    filled: NDArray[np.int64],
) -> Any:
    """Fold events from ``first`` on; return (next event, how it ended). ``filled`` holds rows in bars and cells.

    ``times`` is the venue's time of each event, never backwards; ``session`` and ``anchor_ns`` give its trade date and
    that session's start; ``bid_px`` and ``ask_px`` the
    touch that stood before each event (MISSING where none).
    """
    kinds = events["kind"]
    ids = events["instrument_id"]
    stamps = events["ts_event_ns"]
    received = events["ts_recv_ns"]
    prices = events["price"]
    qtys = events["qty_lots"]
    sides = events["side"]
    kind = par[P_KIND]
    size = np.int64(par[P_SIZE])
    for i in range(first, kinds.size):
        if ids[i] != instrument_id:
            continue
        t = times[i]
        clock = received[i] if received[i] != MISSING else stamps[i]
        ints[NOW_NS] = clock

        if ints[OPEN_NOW] and bid_px.size and ints[QTY_LEFT] < 0:
            ints[BID_LAST] = bid_px[i]
            ints[ASK_LAST] = ask_px[i]

        # Does what stands open end before this event?
        if ints[OPEN_NOW] and session[i] != ints[SESSION_NOW] and ints[QTY_LEFT] < 0:
            if filled[0] >= bars.size:
                return i, BARS_FULL
            if filled[1] + ints[N_CELLS] > cells.size:
                return i, CELLS_FULL
            n = ints[N_CELLS]
            emit(ints, floats, par, table, used, clock, SESSION, bars, filled[0], cells, filled[1])
            filled[0] += 1
            filled[1] += n
        if kind == TIME and ints[QTY_LEFT] < 0:
            slot = (t - anchor_ns[i]) // size
            while ints[OPEN_NOW] and slot > ints[SLOT]:
                if filled[0] >= bars.size:
                    return i, BARS_FULL
                if filled[1] + ints[N_CELLS] > cells.size:
                    return i, CELLS_FULL
                if ints[TRADES] > 0 or par[P_EMPTY] != 0:
                    n = ints[N_CELLS]
                    emit(ints, floats, par, table, used, clock, CLOCK, bars, filled[0], cells, filled[1])
                    filled[0] += 1
                    filled[1] += n
                    ints[SLOT] += 1
                else:
                    ints[SLOT] = slot
                start = ints[ANCHOR_NS] + ints[SLOT] * size
                begin(ints, start, ints[LAST_PRICE], ints[BID_LAST], ints[ASK_LAST])
                ints[END_NS] = start + size
        if kinds[i] != _TRADE or prices[i] == MISSING or qtys[i] <= 0:
            continue
        price = prices[i]
        bid = bid_px[i] if bid_px.size else MISSING
        ask = ask_px[i] if ask_px.size else MISSING
        if ints[QTY_LEFT] < 0:
            wide = kind == RANGE and ints[OPEN_NOW] and ints[TRADES] > 0
            if wide and max(ints[HIGH], price) - min(ints[LOW], price) > size:
                if filled[0] >= bars.size:
                    return i, BARS_FULL
                if filled[1] + ints[N_CELLS] > cells.size:
                    return i, CELLS_FULL
                n = ints[N_CELLS]
                emit(ints, floats, par, table, used, clock, FULL, bars, filled[0], cells, filled[1])
                filled[0] += 1
                filled[1] += n
            ints[QTY_LEFT] = qtys[i]
        while ints[QTY_LEFT] > 0:
            if par[P_CELLS] != 0 and 2 * (ints[N_CELLS] + 1) > table.size:
                return i, TABLE_FULL
            if not ints[OPEN_NOW]:
                begin(ints, t, price, bid, ask)
                ints[SESSION_NOW] = session[i]
                if kind == TIME:
                    ints[ANCHOR_NS] = anchor_ns[i]
                    ints[SLOT] = (t - anchor_ns[i]) // size
                    ints[START_NS] = anchor_ns[i] + ints[SLOT] * size
                    ints[END_NS] = ints[START_NS] + size
            qty = ints[QTY_LEFT]
            if par[P_SPLIT] != 0:
                qty = min(qty, size - ints[VOLUME_SUM])
                if qty == 0:
                    if filled[0] >= bars.size:
                        return i, BARS_FULL
                    if filled[1] + ints[N_CELLS] > cells.size:
                        return i, CELLS_FULL
                    n = ints[N_CELLS]
                    emit(ints, floats, par, table, used, clock, FULL, bars, filled[0], cells, filled[1])
                    filled[0] += 1
                    filled[1] += n
                    continue
            add_trade(ints, floats, par, table, used, price, qty, sides[i], t, bid, ask)
            ints[QTY_LEFT] -= qty
        # The trade is in; QTY_LEFT is 0 until the bar it filled is out, so that a call that stops here can go on here.
        if kind == RENKO:
            if ints[BRICK_PX] == MISSING:
                ints[BRICK_PX] = price
            while True:
                up = price - ints[BRICK_PX]
                way = 0
                if up >= size and (ints[BRICK_WAY] >= 0 or up >= 2 * size):
                    way = 1
                elif -up >= size and (ints[BRICK_WAY] <= 0 or -up >= 2 * size):
                    way = -1
                if way == 0:
                    break
                if filled[0] >= bars.size:
                    return i, BARS_FULL
                if filled[1] + ints[N_CELLS] > cells.size:
                    return i, CELLS_FULL
                # A brick against the last one begins at that one's far end.
                start = ints[BRICK_PX] + (way * size if way * ints[BRICK_WAY] < 0 else 0)
                if not ints[OPEN_NOW]:
                    begin(ints, t, price, bid, ask)
                    ints[SESSION_NOW] = session[i]
                n = ints[N_CELLS]
                emit(ints, floats, par, table, used, clock, FULL, bars, filled[0], cells, filled[1])
                row = bars[filled[0]]
                row["open"] = start
                row["close"] = start + way * size
                row["high"] = max(row["high"], row["open"], row["close"])
                row["low"] = min(row["low"], row["open"], row["close"])
                ints[BRICK_PX] = row["close"]
                ints[BRICK_WAY] = way
                filled[0] += 1
                filled[1] += n
        elif is_full(ints, floats, par):
            if filled[0] >= bars.size:
                return i, BARS_FULL
            if filled[1] + ints[N_CELLS] > cells.size:
                return i, CELLS_FULL
            n = ints[N_CELLS]
            emit(ints, floats, par, table, used, clock, FULL, bars, filled[0], cells, filled[1])
            filled[0] += 1
            filled[1] += n
        ints[QTY_LEFT] = -1
    return kinds.size, DONE
