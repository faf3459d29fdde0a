"""Who was the aggressor of a print: the published rules, in exact integers.

====================  ==============================================================================================
tick test             sign of the price less the last *different* price; the prints before the first change: 0
quote rule            above the mid +1, below it -1, at it 0; 0 where the quote is crossed or lacks a side
Lee-Ready (1991)      the quote rule, and the tick test where that says 0
EMO (2000)            the quote rule exactly at the bid or at the ask (not both), else the tick test
CLNV (2007)           the quote rule from a side up to 30 % of the spread inside it (not both), else the tick test
====================  ==============================================================================================

The mid is never formed: ``(p - b) + (p - a)`` has its sign, and the 30 % are compared as ``10 (p - b) >= 7 (a - b)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.market.events import MISSING, Kind, TradeCondition

VENUE, TICK, QUOTE, LEE_READY, EMO, CLNV = 0, 1, 2, 3, 4, 5
"""The rules; VENUE is what the tape says."""

T_PRICE, T_SIGN, T_SESSION, T_THREAD, T_N = 0, 1, 2, 3, 4
"""Places in the memory of the tick test, and how many there are. It starts with T_PRICE at MISSING."""

_TRADE = int(Kind.TRADE)
_CROSS, _OFF_BOOK = int(TradeCondition.CROSS), int(TradeCondition.OFF_BOOK)


@kernel
def in_book(kind: int, detail: int, price: int, qty_lots: int) -> bool:
    """Return whether an event is a print that met the book, with a price and a size: no cross, no block."""
    return kind == _TRADE and price != MISSING and qty_lots > 0 and detail not in (_CROSS, _OFF_BOOK)


@kernel
def tick_sign(price: int, memory: NDArray[np.int64]) -> int:
    """Return the tick test of a print, and remember it for the next one."""
    last = memory[T_PRICE]
    if last != MISSING:
        if price > last:
            memory[T_SIGN] = 1
        elif price < last:
            memory[T_SIGN] = -1
    memory[T_PRICE] = price
    return memory[T_SIGN]


@kernel
def tick_sign_of(price: int, session: int, thread: int, memory: NDArray[np.int64]) -> int:
    """Return the tick test of a print on a tape: it starts again with a session, and where messages are missing."""
    if session != memory[T_SESSION] or thread != memory[T_THREAD]:
        memory[T_PRICE] = MISSING
        memory[T_SIGN] = 0
        memory[T_SESSION] = session
        memory[T_THREAD] = thread
    return tick_sign(price, memory)


@kernel
def quote_sign(price: int, bid_px: int, ask_px: int) -> int:
    """Return the quote rule; a locked quote has a mid, a crossed or one-sided one has none."""
    if MISSING in (bid_px, ask_px) or bid_px > ask_px:
        return 0
    twice = (price - bid_px) + (price - ask_px)
    if twice > 0:
        return 1
    return -1 if twice < 0 else 0


@kernel
def side_by(rule: int, tick: int, price: int, bid_px: int, ask_px: int) -> int:
    """Return the side that a rule gives a print, whose tick test is ``tick``."""
    if rule == TICK:
        return tick
    if rule == EMO:
        return quote_sign(price, bid_px, ask_px) if (price == bid_px) != (price == ask_px) else tick
    if rule == CLNV:
        if MISSING in (bid_px, ask_px):
            return tick
        spread = ask_px - bid_px
        inside = price - bid_px
        upper = 10 * inside >= 7 * spread and price <= ask_px
        lower = 10 * inside <= 3 * spread and price >= bid_px
        return quote_sign(price, bid_px, ask_px) if upper != lower else tick
    by_quote = quote_sign(price, bid_px, ask_px)
    return tick if by_quote == 0 and rule == LEE_READY else by_quote


@kernel
def classify(
    rule: int,
    price: NDArray[np.int64],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    memory: NDArray[np.int64],
    out: NDArray[np.int8],
) -> None:
    """Write the side of every print by one rule; a price that is MISSING gets 0 and is not remembered."""
    for i in range(price.size):
        out[i] = 0
        if price[i] != MISSING:
            out[i] = side_by(rule, tick_sign(price[i], memory), price[i], bid_px[i], ask_px[i])


@kernel
def advance_trade_side(
    events: Any,
    session: NDArray[np.int64],
    trading: NDArray[np.bool_],
    bid_px: NDArray[np.int64],
    ask_px: NDArray[np.int64],
    thread: NDArray[np.int64],
    memory: NDArray[np.int64],
    out_at: NDArray[np.int64],
    out: NDArray[np.int8],  # (rows, 5): tick, quote, Lee-Ready, EMO, CLNV
) -> int:
    """Write a row for each print: its place and its side by every rule; 0 for a print that met no quote."""
    kind = events["kind"]
    price = events["price"]
    qty = events["qty_lots"]
    detail = events["detail"]
    n = 0
    for i in range(kind.size):
        if kind[i] != _TRADE or price[i] == MISSING or qty[i] <= 0:
            continue
        out_at[n] = i
        if trading[i] and in_book(kind[i], detail[i], price[i], qty[i]):
            tick = tick_sign_of(price[i], session[i], thread[i], memory)
            for rule in range(TICK, CLNV + 1):
                out[n, rule - 1] = side_by(rule, tick, price[i], bid_px[i], ask_px[i])
        else:
            for k in range(5):
                out[n, k] = 0
        n += 1
    return n


@kernel
def normal_cdf(x: float) -> float:
    """Return the standard normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@kernel
def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    h = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for k in range(2):
            term = even if k == 0 else odd
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            step = d * c
            h *= step
        if abs(step - 1.0) < 1e-15:
            break
    return h


@kernel
def student_cdf(x: float, df: float) -> float:
    """Return Student's t distribution function with ``df`` degrees of freedom, a fraction of one included."""
    a, b = 0.5 * df, 0.5
    z, rest = df / (df + x * x), x * x / (df + x * x)  # 1 - z would lose the digits of a small x
    if z <= 0.0 or math.isnan(rest):
        return 1.0 if x > 0 else 0.0
    if rest <= 0.0:
        return 0.5
    # The tail I_z(a, b) / 2, from whichever of the two fractions converges fast.
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(z) + b * math.log(rest))
    if z < (a + 1.0) / (a + b + 2.0):
        tail = 0.5 * front * _beta_fraction(a, b, z) / a
    else:
        tail = 0.5 * (1.0 - front * _beta_fraction(b, a, rest) / b)
    return 1.0 - tail if x > 0 else tail


B_MEAN_SQUARE, B_COUNT, B_N = 0, 1, 2
"""Places in the memory of :func:`bought_share`, and how many there are."""


@kernel
def bought_share(change: float, df: float, decay: float, memory: NDArray[np.float64]) -> float:
    """Return the share of a bar's volume that was bought, and let the bar join the scale for the next ones.

    The scale is the exponentially weighted root mean square of the changes *before* this bar; NaN while there is none.
    ``df`` 0 takes the normal distribution.
    """
    share = np.nan
    if memory[B_MEAN_SQUARE] > 0.0:
        x = change / math.sqrt(memory[B_MEAN_SQUARE])
        share = student_cdf(x, df) if df > 0.0 else normal_cdf(x)
    memory[B_COUNT] = decay * memory[B_COUNT] + 1.0
    memory[B_MEAN_SQUARE] += (change * change - memory[B_MEAN_SQUARE]) / memory[B_COUNT]
    return share


@kernel
def bought_shares(
    change: NDArray[np.float64], df: float, decay: float, memory: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Write the bought share of every bar, each on the scale of the bars before it."""
    for i in range(change.size):
        out[i] = bought_share(change[i], df, decay, memory)


@kernel
def shares_on_scale(change: NDArray[np.float64], scale: float, df: float, out: NDArray[np.float64]) -> None:
    """Write the bought share of every bar on one scale for all."""
    for i in range(change.size):
        out[i] = student_cdf(change[i] / scale, df) if df > 0.0 else normal_cdf(change[i] / scale)
