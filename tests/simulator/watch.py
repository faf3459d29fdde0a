"""What the tests of episodes look at: the mid and the depth near the touch at chosen times, by the oracle book."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import Events, Flag
from tests.simulator.small_book import NAMES, SmallBook


@dataclass(frozen=True)
class View:
    """The book at one time."""

    mid_ticks: float
    spread_ticks: int
    depth: int  # orders within ``levels`` ticks of the touch, both sides


def views(events: Events, times_ns: list[int], tick_e9: int, levels: int = 10) -> list[View]:
    """Return the book as it was just before each of ``times_ns`` (rising)."""
    book = SmallBook()
    seen: list[View] = []
    last = View(0.0, 0, 0)
    rows = zip(*(events[name].tolist() for name in NAMES), strict=True)
    due = iter([*times_ns, 1 << 62])
    next_ns = next(due)
    for ts_ns, kind, side, price, qty, order_id, flags in rows:
        while ts_ns >= next_ns:
            seen.append(_view(book, tick_e9, levels) or last)
            last = seen[-1]
            next_ns = next(due)
        book.apply(ts_ns, kind, side, price, qty, order_id, flags)
    while len(seen) < len(times_ns):
        seen.append(_view(book, tick_e9, levels) or last)
    return seen


def _view(book: SmallBook, tick_e9: int, levels: int) -> View | None:
    bid, ask = book.best[1], book.best[-1]
    if bid is None or ask is None:
        return None
    near = sum(
        book.counts[side].get(best - side * i * tick_e9, 0)
        for side, best in ((1, bid), (-1, ask))
        for i in range(levels)
    )
    return View((bid + ask) / 2 / tick_e9, (ask - bid) // tick_e9, near)


def messages(events: Events) -> NDArray[np.int64]:
    """Return the message that each event belongs to, counted from 0."""
    last = (events["flags"] & Flag.LAST) != 0
    return np.concatenate([[0], np.cumsum(last)[:-1]]).astype(np.int64)
