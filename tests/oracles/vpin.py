"""VPIN straight from its definition: every lot laid out by itself, buckets cut from the row of lots."""

from __future__ import annotations

from fractions import Fraction


def buckets(qty: list[int], side: list[int], size: int) -> list[tuple[int, int]]:
    """Imbalance of each full bucket, and the print that closed it."""
    lots = [(s, i) for i, (q, s) in enumerate(zip(qty, side, strict=True)) for _ in range(q)]
    whole = [lots[k : k + size] for k in range(0, len(lots) - size + 1, size)]
    return [(sum(s for s, _ in bucket), bucket[-1][1]) for bucket in whole]


def vpin(imbalances: list[int], size: int, n: int) -> list[Fraction | None]:
    out: list[Fraction | None] = []
    for k in range(len(imbalances)):
        last = imbalances[k - n + 1 : k + 1]
        out.append(Fraction(sum(map(abs, last)), n * size) if k >= n - 1 else None)
    return out
