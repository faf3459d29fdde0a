"""A tape summed up by intervals, event by event and with dictionaries."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

from tests.oracles.touches import Moment, mid, ofi, two_sided


def intervals(history: list[Moment], width_ns: int) -> dict[int, dict[str, Any]]:
    """Sums of each interval that holds a moment; a quote counts for the time it stands inside such an interval."""
    found: dict[int, dict[str, Any]] = {}
    delta: dict[int, int] = {}
    sound = False
    for i, m in enumerate(history):
        row = found.setdefault(
            m.t_ns // width_ns,
            {"trades": 0, "bought": 0, "sold": 0, "unknown": 0, "ofi": 0, "breaks": 0, "prices": [], "mids": []},
        )
        if m.price is not None:
            row["trades"] += 1
            row[{1: "bought", -1: "sold", 0: "unknown"}[m.side]] += m.qty
            row["prices"].append(m.price)
            delta[m.session] = delta.get(m.session, 0) + m.side * m.qty
        row["delta"] = delta.get(m.session, 0)
        first = i == 0 or history[i - 1].t_ns // width_ns != m.t_ns // width_ns
        if first and two_sided(m.before):
            row["mids"].append(mid(m.before))
        if m.after != m.before:
            empty = m.after[0] is None and m.after[2] is None
            crossed = m.after[0] is not None and m.after[2] is not None and m.after[0] >= m.after[2]
            now_sound = not empty and not crossed
            if sound and now_sound:
                row["ofi"] += ofi(m.before, m.after)
            else:
                row["breaks"] += 1
            sound = now_sound
            if two_sided(m.after):
                row["mids"].append(mid(m.after))
    for index, row in found.items():
        row["quoted_ns"], row["spread_ns"] = standing(history, index * width_ns, (index + 1) * width_ns)
    return found


def standing(history: list[Moment], start_ns: int, end_ns: int) -> tuple[int, Fraction]:
    """Time with a two-sided quote inside a span, and spread times that time."""
    held, total = 0, Fraction(0)
    for a, b in itertools.pairwise(history):
        overlap = min(b.t_ns, end_ns) - max(a.t_ns, start_ns)
        if overlap > 0 and two_sided(a.after):
            assert a.after[0] is not None
            assert a.after[2] is not None
            held += overlap
            total += Fraction(a.after[2] - a.after[0]) * overlap
    return held, total
