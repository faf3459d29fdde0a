"""Twins of the features over a touch, straight from their definitions: lists, dictionaries and no state to carry.

A history is a list of moments; each moment has a time, the touch that stood before its event and the one after it, and
perhaps a trade. Prices are plain integers, None where a side is empty.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

Touch = tuple[int | None, int, int | None, int]  # bid, its size, ask, its size


@dataclass(frozen=True)
class Moment:
    t_ns: int
    before: Touch
    after: Touch
    price: int | None = None  # of a trade
    qty: int = 0
    side: int = 0
    session: int = 0


def two_sided(touch: Touch) -> bool:
    bid, _, ask, _ = touch
    return bid is not None and ask is not None and bid < ask


def mid(touch: Touch) -> Fraction:
    bid, _, ask, _ = touch
    assert bid is not None
    assert ask is not None
    return Fraction(bid + ask, 2)


def ofi(old: Touch, new: Touch) -> int:
    """Cont, Kukanov and Stoikov (2014), indicator form, an empty side infinitely far away."""
    b0 = -math.inf if old[0] is None else old[0]
    b1 = -math.inf if new[0] is None else new[0]
    a0 = math.inf if old[2] is None else old[2]
    a1 = math.inf if new[2] is None else new[2]
    e = 0
    if b1 >= b0:
        e += new[1]
    if b1 <= b0:
        e -= old[1]
    if a1 <= a0:
        e -= new[3]
    if a1 >= a0:
        e += old[3]
    return e


def ofi_rows(touches: list[Touch]) -> list[int | None]:
    """The flow of each change; None for the first and after anything that is locked, crossed or empty."""
    rows: list[int | None] = []
    last: Touch = (None, 0, None, 0)
    sound = False
    for touch in touches:
        if touch == last:
            continue
        empty = touch[0] is None and touch[2] is None
        bad = touch[0] is not None and touch[2] is not None and touch[0] >= touch[2]
        now_sound = not empty and not bad
        rows.append(ofi(last, touch) if sound and now_sound else None)
        last, sound = touch, now_sound
    return rows


def effective(moment: Moment) -> Fraction | None:
    if moment.price is None or moment.side == 0 or not two_sided(moment.before):
        return None
    return 2 * moment.side * (moment.price - mid(moment.before))


def realised(history: list[Moment], i: int, horizon_ns: int) -> tuple[Fraction, Fraction] | None:
    """Realised spread and impact of the trade at ``i``; None where no event shows that the horizon has passed."""
    trade = history[i]
    due = trade.t_ns + horizon_ns
    for later in history[i + 1 :]:
        if later.session != trade.session:
            return None
        if later.t_ns > due:
            if not two_sided(later.before):
                return None
            assert trade.price is not None
            then = mid(later.before)
            return 2 * trade.side * (trade.price - then), 2 * trade.side * (then - mid(trade.before))
    return None


def mean_spread(history: list[Moment]) -> Fraction | None:
    """Quoted spread weighted by time up to the last moment."""
    total, held = Fraction(0), 0
    for a, b in itertools.pairwise(history):
        if two_sided(a.after) and a.session == b.session:
            assert a.after[0] is not None
            assert a.after[2] is not None
            total += Fraction(a.after[2] - a.after[0]) * (b.t_ns - a.t_ns)
            held += b.t_ns - a.t_ns
    return total / held if held else None


def microprice(touch: Touch) -> Fraction | None:
    if not two_sided(touch) or touch[1] + touch[3] == 0:
        return None
    assert touch[0] is not None
    assert touch[2] is not None
    return Fraction(touch[0] * touch[3] + touch[2] * touch[1], touch[1] + touch[3])


def imbalance(touch: Touch) -> Fraction | None:
    bid = 0 if touch[0] is None else touch[1]
    ask = 0 if touch[2] is None else touch[3]
    return Fraction(bid - ask, bid + ask) if bid + ask else None
