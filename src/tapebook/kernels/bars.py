"""Trades into bars and footprint cells, one pass, any cut of the tape.

One kernel serves every kind of bar, because they differ in two questions only: does this trade *open* a new bar (time,
range, session), and is the bar *full* after it (ticks, volume, dollars, delta, reversal, bricks, imbalance, runs)?

State: ``ints`` and ``floats`` (places named below) and the cells of the open bar in a hash table by price (open
addressing, ``table`` of :data:`CELL`, empty where ``price`` is MISSING; ``used`` lists its taken places). Rows go to
``bars`` and ``cells``. Where either of those, or the table, has no room left, the kernel stops in front of the work it
cannot do and says so; the face makes room and calls again at the same event. Nothing is done twice: what was begun on
an event is in the state.

Imbalance bars (Lopez de Prado, *Advances in Financial Machine Learning*, 2018, section 2.3.2): theta sums the signed
ticks, volume or dollars; a bar closes when ``|theta| >= E[T] |E[b v]|``. Both expectations are exponential averages, of
the bars' lengths and of the trades. As published the feedback makes bars explode or die, so E[T] is kept within given
limits, a bar has at least as many trades as the lower one, and the first bar only learns. Run bars (2.3.3) compare the
larger of the bought and the sold sums with the larger of their expectations.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING, Events, Kind

BAR: Final = np.dtype(
    [
        ("ts_ns", "<i8"),  # clock of the event that made the bar known
        ("bar", "<i8"),  # counts from 0
        ("start_ns", "<i8"),  # time bars: the interval; others: first and last trade (venue time)
        ("end_ns", "<i8"),
        ("open", "<i8"),
        ("high", "<i8"),
        ("low", "<i8"),
        ("close", "<i8"),
        ("volume", "<i8"),
        ("buy", "<i8"),
        ("sell", "<i8"),
        ("trades", "<i8"),
        ("delta", "<i8"),
        ("delta_max", "<i8"),
        ("delta_min", "<i8"),
        ("vwap", "<f8"),  # 1e-9 units, NaN without volume
        ("bid_first", "<i8"),
        ("ask_first", "<i8"),
        ("bid_last", "<i8"),
        ("ask_last", "<i8"),
        ("theta", "<f8"),  # imbalance and run bars: what was compared, and with what; else NaN
        ("threshold", "<f8"),
        ("session", "<i8"),  # trade date as days since 1970, MISSING outside any
        ("cause", "u1"),
        ("empty", "u1"),
    ],
    align=True,
)
CELL: Final = np.dtype(
    [
        ("bar", "<i8"),
        ("price", "<i8"),
        ("bid", "<i8"),  # sold at the bid
        ("ask", "<i8"),  # bought at the ask
        ("unknown", "<i8"),
        ("n_bid", "<i8"),
        ("n_ask", "<i8"),
        ("n_unknown", "<i8"),
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
    ]
)

TIME, TICK, VOLUME, DOLLAR, RANGE, REVERSAL, RENKO, DELTA, IMBALANCE, RUNS = range(10)
"""Kinds of bars."""
BY_TICK, BY_VOLUME, BY_DOLLAR = range(3)
"""What imbalance and run bars sum."""
FULL, SESSION, CLOCK, FLUSH = range(4)
"""Why a bar closed: its own rule, the end of a session, its interval ended, the tape ended."""
DONE, BARS_FULL, CELLS_FULL, TABLE_FULL = range(4)
"""How a call ended."""

(
    OPEN_NOW,
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME_SUM,
    BUY,
    SELL,
    TRADES,
    DELTA_MAX,
    DELTA_MIN,
    START_NS,
    END_NS,
    BID_FIRST,
    ASK_FIRST,
    BID_LAST,
    ASK_LAST,
    BAR_INDEX,
    SESSION_NOW,
    SLOT,
    NOW_NS,
    LAST_PRICE,
    BRICK_PX,
    BRICK_WAY,
    N_CELLS,
    QTY_LEFT,  # of the event in hand: -1 before it was begun
    ANCHOR_NS,
    BARS_LEARNT,
) = range(28)
N_INTS: Final = 28
PV, DOLLARS, THETA, THETA_BUY, THETA_SELL, E_T, E_BV, E_BUY, E_SELL, E_P = range(10)
N_FLOATS: Final = 10

# Places of the parameter vector.
P_KIND, P_SIZE, P_UNIT, P_SPLIT, P_EMPTY, P_T_MIN, P_T_MAX, P_A_BARS, P_A_TRADES, P_DOLLARS_PER, P_CELLS = range(11)
N_PARAMETERS: Final = 11

_TRADE = int(Kind.TRADE)
_HASH = 0x9E3779B97F4A7C15


@kernel
def begin(ints: NDArray[np.int64], start_ns: int, price: int, bid: int, ask: int) -> None:
    """Open a bar that has seen nothing yet."""
    ints[OPEN_NOW] = 1
    ints[OPEN] = price
    ints[HIGH] = price
    ints[LOW] = price
    ints[CLOSE] = price
    for place in (VOLUME_SUM, BUY, SELL, TRADES, DELTA_MAX, DELTA_MIN):
        ints[place] = 0
    ints[START_NS] = start_ns
    ints[END_NS] = start_ns
    ints[BID_FIRST] = bid
    ints[ASK_FIRST] = ask
    ints[BID_LAST] = bid
    ints[ASK_LAST] = ask


@kernel
def find_cell(table: NDArray[np.void], price: int) -> int:
    """Return the place of a price in the hash table, or of the free place where it belongs."""
    mask = np.uint64(table.size - 1)
    prices = table["price"]
    slot = (np.uint64(price) * np.uint64(_HASH)) >> np.uint64(32) & mask
    while prices[slot] != MISSING and prices[slot] != price:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@kernel
def add_trade(
    ints: NDArray[np.int64],
    floats: NDArray[np.float64],
    par: NDArray[np.float64],
    table: NDArray[np.void],
    used: NDArray[np.int64],
    price: int,
    qty: int,
    side: int,
    t: int,
    bid: int,
    ask: int,
) -> None:
    """Put a trade into the open bar."""
    if ints[TRADES] == 0:
        ints[OPEN] = price
        ints[HIGH] = price
        ints[LOW] = price
        if par[P_KIND] != TIME:
            ints[START_NS] = t
    ints[HIGH] = max(ints[HIGH], price)
    ints[LOW] = min(ints[LOW], price)
    ints[CLOSE] = price
    ints[LAST_PRICE] = price
    ints[VOLUME_SUM] += qty
    ints[TRADES] += 1
    if side > 0:
        ints[BUY] += qty
    elif side < 0:
        ints[SELL] += qty
    delta = ints[BUY] - ints[SELL]
    ints[DELTA_MAX] = max(ints[DELTA_MAX], delta)
    ints[DELTA_MIN] = min(ints[DELTA_MIN], delta)
    if par[P_KIND] != TIME:
        ints[END_NS] = t
    ints[BID_LAST] = bid
    ints[ASK_LAST] = ask
    # Around the open, so that the sum keeps its digits.
    floats[PV] += np.float64(price - ints[OPEN]) * np.float64(qty)
    dollars = np.float64(price) * np.float64(qty) * par[P_DOLLARS_PER]
    floats[DOLLARS] += dollars
    if par[P_KIND] >= IMBALANCE:
        amount = 1.0
        if par[P_UNIT] == BY_VOLUME:
            amount = np.float64(qty)
        elif par[P_UNIT] == BY_DOLLAR:
            amount = dollars
        signed = amount * side
        floats[THETA] += signed
        a = par[P_A_TRADES]
        floats[E_BV] += a * (signed - floats[E_BV])
        if side > 0:
            floats[THETA_BUY] += amount
            floats[E_BUY] += a * (amount - floats[E_BUY])
            floats[E_P] += a * (1.0 - floats[E_P])
        elif side < 0:
            floats[THETA_SELL] += amount
            floats[E_SELL] += a * (amount - floats[E_SELL])
            floats[E_P] += a * (0.0 - floats[E_P])
    if par[P_CELLS] != 0:
        slot = find_cell(table, price)
        cell = table[slot]
        if cell["price"] == MISSING:
            cell["price"] = price
            cell["first_ns"] = t
            used[ints[N_CELLS]] = slot
            ints[N_CELLS] += 1
        cell["last_ns"] = t
        if side > 0:
            cell["ask"] += qty
            cell["n_ask"] += 1
        elif side < 0:
            cell["bid"] += qty
            cell["n_bid"] += 1
        else:
            cell["unknown"] += qty
            cell["n_unknown"] += 1


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
def clear_cell(table: NDArray[np.void], place: int) -> None:
    """Make a place of the hash table free."""
    cell = table[place]
    cell["bar"] = 0
    cell["price"] = MISSING
    cell["bid"] = 0
    cell["ask"] = 0
    cell["unknown"] = 0
    cell["n_bid"] = 0
    cell["n_ask"] = 0
    cell["n_unknown"] = 0
    cell["first_ns"] = 0
    cell["last_ns"] = 0


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
