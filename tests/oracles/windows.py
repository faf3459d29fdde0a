"""Trailing windows straight from their definition: for every event the whole past is looked at again."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from tests.oracles.touches import Moment, Touch, two_sided


def imbalance(touch: Touch) -> Fraction | None:
    bid, bid_sz, ask, ask_sz = touch
    left, right = (0 if bid is None else bid_sz), (0 if ask is None else ask_sz)
    return None if left + right == 0 else Fraction(left - right, left + right)


def window_rows(history: list[Moment], window_ns: int) -> list[dict[str, Fraction | int | None]]:
    """A row for each moment: the aggregates over ``(t - window_ns, t]``, None where undefined."""
    rows = []
    for i, now in enumerate(history):
        t, since = now.t_ns, now.t_ns - window_ns
        past = history[: i + 1]
        row: dict[str, Fraction | int | None] = dict.fromkeys(
            ("vwap", "spread_mean", "imbalance_mean", "bought_lots", "sold_lots", "trades_per_s", "quotes_per_s")
        )
        rows.append(row)
        if t - past[0].t_ns < window_ns:
            continue
        prints = [m for m in past if m.price is not None and m.t_ns > since]
        lots = sum(m.qty for m in prints)
        if lots:
            row["vwap"] = Fraction(sum((m.price or 0) * m.qty for m in prints), lots)
        if any(m.price is not None for m in past):
            row["trades_per_s"] = Fraction(len(prints) * 10**9, window_ns)
        if any(m.price is not None and m.side for m in past):
            row["bought_lots"] = sum(m.qty for m in prints if m.side > 0)
            row["sold_lots"] = sum(m.qty for m in prints if m.side < 0)
        if any(m.after[0] is not None or m.after[2] is not None for m in past):
            changes = [m for m in past if m.t_ns > since and m.after != m.before]
            row["quotes_per_s"] = Fraction(len(changes) * 10**9, window_ns)
        spread, spread_ns, lean, lean_ns = 0, 0, Fraction(0), 0
        for a, b in pairwise(past):
            held = b.t_ns - max(a.t_ns, since)
            if held <= 0:
                continue
            if two_sided(a.after):
                spread += ((a.after[2] or 0) - (a.after[0] or 0)) * held
                spread_ns += held
            if (value := imbalance(a.after)) is not None:
                lean += value * held
                lean_ns += held
        if spread_ns:
            row["spread_mean"] = Fraction(spread, spread_ns)
        if lean_ns:
            row["imbalance_mean"] = lean / lean_ns
    return rows
