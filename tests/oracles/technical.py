"""Indicators and clock bars, slowly and straight from their definitions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from tests.oracles.touches import Moment, Touch, mid, two_sided

NAN = math.nan


def rsi(prices: Sequence[float], n: int) -> list[float]:
    out = [NAN] * min(n, len(prices))
    gain = loss = 0.0
    for i in range(n, len(prices)):
        if i == n:
            moves = [prices[j] - prices[j - 1] for j in range(1, n + 1)]
            gain, loss = sum(max(m, 0.0) for m in moves) / n, sum(max(-m, 0.0) for m in moves) / n
        else:
            move = prices[i] - prices[i - 1]
            gain, loss = (gain * (n - 1) + max(move, 0.0)) / n, (loss * (n - 1) + max(-move, 0.0)) / n
        out.append(100 * gain / (gain + loss) if gain + loss else NAN)
    return out


def ema(values: Sequence[float], n: int, first: int) -> list[float]:
    """Begun at place ``first`` with the mean of the ``n`` values up to it."""
    out = [NAN] * min(first, len(values))
    for i in range(first, len(values)):
        if i == first:
            out.append(sum(values[first - n + 1 : first + 1]) / n)
        else:
            out.append(out[-1] + 2 / (n + 1) * (values[i] - out[-1]))
    return out


def macd(prices: Sequence[float], fast: int, slow: int, signal: int) -> tuple[list[float], list[float]]:
    lines = zip(ema(prices, fast, slow - 1), ema(prices, slow, slow - 1), strict=True)
    difference = [a - b for a, b in lines]
    return difference, ema(difference, signal, slow + signal - 2)


def moments(prices: Sequence[float], n: int) -> list[tuple[float, float]]:
    """Mean and population deviation of the last ``n``."""
    out = [(NAN, NAN)] * min(n - 1, len(prices))
    for i in range(n - 1, len(prices)):
        window = prices[i - n + 1 : i + 1]
        mean = math.fsum(window) / n
        out.append((mean, math.sqrt(math.fsum((x - mean) ** 2 for x in window) / n)))
    return out


class Bar(NamedTuple):
    end_ns: int
    close: float
    high: float
    low: float
    volume: float
    age: int


def _mid(touch: Touch) -> float | None:
    return float(mid(touch)) if two_sided(touch) else None


def time_bars(history: Sequence[Moment], bar_ns: int) -> list[Bar]:
    """For each session: at every multiple of ``bar_ns`` between its first mid and its last event, what was known."""
    out = []
    for _, group in groupby(history, key=lambda m: m.session):
        day = list(group)
        seen = [(m.t_ns, x) for m in day[:1] for x in [_mid(m.before)] if x is not None]
        seen += [(m.t_ns, x) for m in day for x in [_mid(m.after)] if x is not None]
        if not seen:
            continue
        begin = seen[0][0]
        prints = [m for m in day if m.price is not None]
        if _mid(day[0].before) is None:  # prints before the first mid belong to no bar
            first = next(i for i, m in enumerate(day) if _mid(m.after) is not None)
            prints = [m for m in day[first:] if m.price is not None]
        age = 0
        end = (begin // bar_ns + 1) * bar_ns
        while end <= day[-1].t_ns:
            earlier = [x for t, x in seen if t < end - bar_ns]
            inside = [x for t, x in seen if end - bar_ns <= t < end]
            known = earlier[-1:] + inside
            before = [m for m in prints if m.t_ns < end]
            volume = sum(m.qty for m in before if m.t_ns >= end - bar_ns) if before else NAN
            out.append(Bar(end, known[-1], max(known), min(known), volume, age))
            age += 1
            end += bar_ns
    return out
