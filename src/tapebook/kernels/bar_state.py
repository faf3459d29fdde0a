"""How an open bar lies in plain arrays, and what a closed one says: shared by the kernel of bars and its face.

``ints`` and ``floats`` are vectors whose places are named here, and so is the parameter vector of a closing rule.
"""

from __future__ import annotations

from typing import Final

import numpy as np

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
