"""Trade-side rules straight from their papers: fractions, None for what is not there, the whole past in a list."""

from __future__ import annotations

from fractions import Fraction


def tick(prices: list[int], i: int) -> int:
    for earlier in reversed(prices[:i]):
        if earlier != prices[i]:
            return 1 if prices[i] > earlier else -1
    return 0


def quote(p: int, bid: int | None, ask: int | None) -> int:
    if bid is None or ask is None or bid > ask:
        return 0
    mid = Fraction(bid + ask, 2)
    return (p > mid) - (p < mid)


def side(rule: str, prices: list[int], i: int, bid: int | None, ask: int | None) -> int:
    p = prices[i]
    if rule == "tick":
        return tick(prices, i)
    if rule == "quote":
        return quote(p, bid, ask)
    if rule == "lee_ready":
        return quote(p, bid, ask) or tick(prices, i)
    if rule == "emo":
        return quote(p, bid, ask) if [p == bid, p == ask].count(True) == 1 else tick(prices, i)
    assert rule == "clnv"
    if bid is None or ask is None:
        return tick(prices, i)
    near_ask = Fraction(7, 10) * ask + Fraction(3, 10) * bid <= p <= ask
    near_bid = bid <= p <= Fraction(3, 10) * ask + Fraction(7, 10) * bid
    return quote(p, bid, ask) if near_ask != near_bid else tick(prices, i)
