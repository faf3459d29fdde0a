"""How the memory of the catalogue lies in plain arrays: what its kernels and their face agree on."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.fracdiff import FRACDIFF_N
from tapebook.kernels.hawkes import LIVE_N, ORDER_N, ORDER_STAMP
from tapebook.kernels.technical import BOLLINGER_N, MACD_N, RSI_N
from tapebook.market.events import MISSING

# Places of a row.
MID, MICRO_PRICE, WEIGHTED_MID, OFI_1, OFI_2, OFI_3, OFI_5 = 0, 1, 2, 3, 4, 5, 6
IMBALANCE, WEIGHTED_IMBALANCE, BOOK_PRESSURE, SPREAD, RELATIVE_SPREAD = 7, 8, 9, 10, 11
REALISED_VOLATILITY, VELOCITY, ACCELERATION = 12, 13, 14
HAWKES_BUY, HAWKES_SELL, HAWKES_RATIO, HAWKES_SELF = 15, 16, 17, 18
KYLE, AMIHUD, FRACDIFF_PRICE, FRACDIFF_VOLUME = 19, 20, 21, 22
RSI, MACD, MACD_SIGNAL, BOLLINGER = 23, 24, 25, 26
N_COLUMNS: Final = 27

OFI_DEPTHS: Final = (1, 2, 3, 5)
OFI_LEVELS: Final = 5

# Places of ``lengths``: whole-number settings.
LEVELS, CIRCULATING, BAR_NS, BAR_TRADES, PAUSE_BARS = 0, 1, 2, 3, 4
VOLATILITY_BARS, AMIHUD_BARS, KYLE_WARM_BARS, INVERSE = 5, 6, 7, 8
RSI_LENGTH, MACD_FAST, MACD_SLOW, MACD_SMOOTH, BOLLINGER_LENGTH = 9, 10, 11, 12, 13
HAWKES_WARM_NS, HAWKES_MERGE_NS, VELOCITY_WARM_NS, TICK_E9, LENGTHS_N = 14, 15, 16, 17, 18

# Places of ``settings``: settings that are no whole numbers.
KYLE_KEEP, BOLLINGER_WIDTH, LOT_VALUE, VELOCITY_RATE = 0, 1, 2, 3
HAWKES_FADING, HAWKES_FRESH, HAWKES_FLOOR, SETTINGS_N = 4, 5, 6, 7

# Places of ``marks``: the whole numbers of the memory.
SESSION, THREAD, TRADING, REACH, ARMED, ARMED_THREAD, FRESH, OPEN = 0, 1, 2, 3, 4, 5, 6, 7
BAR_END, IN_BAR, N_CLOSES, TRADED, N_FLOWS, REFERENCE_SESSION = 8, 9, 10, 11, 12, 13
N_AMIHUD, N_ACTIVE, VELOCITY_START, VELOCITY_LAST, HAWKES_AT, MARKS_N = 14, 15, 16, 17, 18, 19

# Places of ``sums``: the other numbers of the memory.
LAST_MID, LAST_CLOSE, REFERENCE, VOLUME, FLOW, NOTIONAL = 0, 1, 2, 3, 4, 5
RETURNS, LACKS = 6, 7  # of the windows of realised volatility and Amihud: what came since the last rebase
KYLE_WEIGHT, KYLE_X, KYLE_Y, KYLE_XX, KYLE_XY = 8, 9, 10, 11, 12
VELOCITY_S, VELOCITY_U, VELOCITY_ZERO, SUMS_N = 13, 18, 21, 22  # five S, three U, and where the ticks are counted from


class Memory(NamedTuple):
    """The whole memory beside the book's and the clocks'. Inside lean kernels the tuple dissolves."""

    marks: NDArray[np.int64]
    sums: NDArray[np.float64]
    now: NDArray[np.float64]  # (N_COLUMNS,): the row as it stands
    returns: NDArray[np.float64]  # (volatility_bars,): squared log returns of the last bars
    returns_tail: NDArray[np.float64]  # one longer: sums of the block before from each place on
    times: NDArray[np.int64]  # (volatility_bars,): when the last bars closed
    lacks: NDArray[np.float64]  # (amihud_bars,): |log return| over notional of the last bars, -1 without volume
    lacks_tail: NDArray[np.float64]
    rsi: NDArray[np.float64]
    macd: NDArray[np.float64]
    bollinger: NDArray[np.float64]
    bollinger_ring: NDArray[np.float64]
    price_ring: NDArray[np.float64]  # of fractional differencing
    price_place: NDArray[np.int64]
    volume_ring: NDArray[np.float64]
    volume_place: NDArray[np.int64]
    excited: NDArray[np.float64]  # Hawkes, as in :mod:`tapebook.kernels.hawkes`
    seen: NDArray[np.float64]
    live: NDArray[np.int64]
    order: NDArray[np.int64]
    hawkes: NDArray[np.float64]  # (1, 4): what stood just after the last order


class Settings(NamedTuple):
    """What does not change."""

    lengths: NDArray[np.int64]
    settings: NDArray[np.float64]
    decay: NDArray[np.float64]  # weight of each level in the weighted imbalance
    weights: NDArray[np.float64]  # of fractional differencing
    mu: NDArray[np.float64]
    eta: NDArray[np.float64]
    beta: NDArray[np.float64]


def empty_memory(
    *, volatility_bars: int, amihud_bars: int, bollinger_length: int, fracdiff_ring: int, n_exponentials: int
) -> Memory:
    """Return a memory that has seen nothing."""
    marks = np.zeros(MARKS_N, np.int64)
    marks[[SESSION, HAWKES_AT, VELOCITY_START]] = MISSING
    marks[REFERENCE_SESSION] = MISSING + 1  # no session at all: MISSING is one that is not known
    live = np.full(LIVE_N, MISSING, np.int64)
    order = np.zeros(ORDER_N, np.int64)
    order[ORDER_STAMP] = MISSING
    marks[FRESH] = 1
    return Memory(
        marks,
        np.zeros(SUMS_N),
        np.full(N_COLUMNS, np.nan),
        np.zeros(volatility_bars),
        np.zeros(volatility_bars + 1),
        np.zeros(volatility_bars, np.int64),
        np.zeros(amihud_bars),
        np.zeros(amihud_bars + 1),
        np.zeros(RSI_N),
        np.zeros(MACD_N),
        np.zeros(BOLLINGER_N),
        np.zeros(bollinger_length),
        np.zeros(fracdiff_ring),
        np.zeros(FRACDIFF_N, np.int64),
        np.zeros(fracdiff_ring),
        np.zeros(FRACDIFF_N, np.int64),
        np.zeros((2, n_exponentials)),
        np.zeros(2),
        live,
        order,
        np.full((1, 4), np.nan),
    )
