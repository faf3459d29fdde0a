"""The depth of a book and what is computed from it, from the definitions: lists of levels, numpy's own polynomials."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tapebook.market.events import MISSING, Events, Flag
from tests.oracles.book import OracleBook

Side = list[tuple[int, int]]  # (price, size), best first
Depth = tuple[Side, Side]


def depths(events: Events, n_levels: int) -> list[Depth]:
    """What could be observed after each event."""
    oracle = OracleBook()
    result: list[Depth] = []
    now: Depth = ([], [])
    for e in events:
        oracle.apply(e)
        if int(e["flags"]) & Flag.LAST:
            bids, asks = ([(p, q) for p, q, _ in oracle.levels(s)[:n_levels]] for s in (1, -1))
            now = (bids, asks)
        result.append(now)
    return result


def as_row(depth: Depth, n_levels: int) -> list[int]:
    row: list[int] = []
    for side in depth:
        padded = side + [(MISSING, 0)] * (n_levels - len(side))
        row += [p for p, _ in padded] + [q for _, q in padded]
    return row


def mid(depth: Depth) -> Fraction:
    return Fraction(depth[0][0][0] + depth[1][0][0], 2)


def imbalance(depth: Depth, decay: float = 1.0) -> float:
    bid, ask = (sum(q * decay**i for i, (_, q) in enumerate(side)) for side in depth)
    return (bid - ask) / (bid + ask)


def pressure(depth: Depth) -> float:
    m = mid(depth)
    bid, ask = (sum(Fraction(q) / abs(p - m) for p, q in side) for side in depth)
    return float((bid - ask) / (bid + ask))


def within(depth: Depth, s: int, reach: float) -> int:
    m = mid(depth)
    return sum(q for p, q in depth[s] if abs(p - m) <= reach)


def curve(depth: Depth, s: int, tick: int) -> tuple[float, float]:
    m = mid(depth)
    x = [float(abs(p - m) / tick) for p, _ in depth[s]]
    y = np.cumsum([q for _, q in depth[s]])
    return float(np.polyfit(x, y, 1)[0]), float(np.polyfit(x, y, 2)[0])


def sweep(depth: Depth, s: int, lots: int) -> Fraction | None:
    """Lot by lot."""
    one_by_one = [p for p, q in depth[s] for _ in range(q)][:lots]
    return Fraction(sum(one_by_one), lots) if len(one_by_one) == lots else None


def circulating_depth_price(depth: Depth) -> float:
    vwaps = [Fraction(sum(p * q for p, q in side), sum(q for _, q in side)) for side in depth]
    bid, ask = (sum(q for _, q in side) for side in depth)
    return float((vwaps[0] * ask + vwaps[1] * bid) / (bid + ask))


def random_books(seed: int, n: int, *, levels: int = 6, unit: int = 1_000_000_000) -> list[Depth]:
    """Books that move by zero to three ticks, with gaps between levels."""
    rng = np.random.default_rng(seed)
    books: list[Depth] = []
    best = 1000
    for _ in range(n):
        best += int(rng.choice([-3, -1, 0, 0, 0, 1, 2]))
        bid_at = best - np.cumsum(rng.integers(1, 3, levels))
        ask_at = best + np.cumsum(rng.integers(1, 3, levels)) - 1
        sizes = rng.integers(1, 40, (2, levels))
        books.append(
            (
                [(int(p) * unit, int(q)) for p, q in zip(bid_at, sizes[0], strict=True)],
                [(int(p) * unit, int(q)) for p, q in zip(ask_at, sizes[1], strict=True)],
            )
        )
    return books
