"""A trade into the open bar and its cells; a hash table of cells by price."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.bar_state import (
    ASK_FIRST,
    ASK_LAST,
    BID_FIRST,
    BID_LAST,
    BUY,
    BY_DOLLAR,
    BY_VOLUME,
    CLOSE,
    DELTA_MAX,
    DELTA_MIN,
    DOLLARS,
    E_BUY,
    E_BV,
    E_P,
    E_SELL,
    END_NS,
    HIGH,
    IMBALANCE,
    LAST_PRICE,
    LOW,
    N_CELLS,
    OPEN,
    OPEN_NOW,
    P_A_TRADES,
    P_CELLS,
    P_DOLLARS_PER,
    P_KIND,
    P_UNIT,
    PV,
    SELL,
    START_NS,
    THETA,
    THETA_BUY,
    THETA_SELL,
    TIME,
    TRADES,
    VOLUME_SUM,
)
from tapebook.kernels.bits import wrapping_product
from tapebook.market.events import MISSING

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
    slot = wrapping_product(np.uint64(price), np.uint64(_HASH)) >> np.uint64(32) & mask
    while prices[slot] != MISSING and prices[slot] != price:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


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
