"""Bars straight from their definitions: a list of trades, a dict per bar, no state to restore."""

from __future__ import annotations

from typing import Any

Trade = tuple[int, int, int, int]  # time, price, quantity, side


def closes(kind: str, size: float, trades: list[Trade]) -> tuple[list[list[Trade]], list[Trade]]:
    """Cut the trades of one session into the trades of each closed bar, and those of the bar still open."""
    bars: list[list[Trade]] = []
    bar: list[Trade] = []
    for trade in trades:
        prices = [p for _, p, _, _ in [*bar, trade]]
        if kind == "range" and bar and max(prices) - min(prices) > size:
            bars.append(bar)
            bar = []
        if kind == "time" and bar and trade[0] // size != bar[0][0] // size:
            bars.append(bar)
            bar = []
        bar.append(trade)
        prices = [p for _, p, _, _ in bar]
        full = {
            "tick": len(bar) >= size,
            "volume": sum(q for _, _, q, _ in bar) >= size,
            "delta": abs(sum(q * s for _, _, q, s in bar)) >= size,
            "reversal": max(max(prices) - prices[-1], prices[-1] - min(prices)) >= size,
        }.get(kind, False)
        if full:
            bars.append(bar)
            bar = []
    return bars, bar


def summary(bar: list[Trade]) -> dict[str, Any]:
    """Everything a bar says of its trades."""
    prices = [p for _, p, _, _ in bar]
    running = [0]
    for _, _, q, s in bar:
        running.append(running[-1] + q * s)
    return {
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": sum(q for _, _, q, _ in bar),
        "buy": sum(q for _, _, q, s in bar if s > 0),
        "sell": sum(q for _, _, q, s in bar if s < 0),
        "trades": len(bar),
        "delta": running[-1],
        "delta_max": max(running),
        "delta_min": min(running),
    }


def cells(bar: list[Trade]) -> dict[int, tuple[int, int, int]]:
    """Volume at the bid, at the ask, and of unknown side, by price."""
    found: dict[int, tuple[int, int, int]] = {}
    for _, p, q, s in bar:
        b, a, u = found.get(p, (0, 0, 0))
        found[p] = (b + q * (s < 0), a + q * (s > 0), u + q * (s == 0))
    return dict(sorted(found.items()))


def renko(size: int, prices: list[int]) -> list[tuple[int, int]]:
    """Return (open, close) of every brick; a turn takes two sizes."""
    bricks: list[tuple[int, int]] = []
    edge, way = prices[0], 0
    for p in prices:
        while True:
            if p - edge >= size * (2 if way < 0 else 1):
                start = edge + (size if way < 0 else 0)
                edge, way = start + size, 1
            elif edge - p >= size * (2 if way > 0 else 1):
                start = edge - (size if way > 0 else 0)
                edge, way = start - size, -1
            else:
                break
            bricks.append((start, edge))
    return bricks
