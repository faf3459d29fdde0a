"""Pass one of the catalogue: the views of the best levels are the book's, whatever is not read again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tapebook.book.memory import Memory
from tapebook.kernels.book_levels import SEEN_DIRTY, SEEN_N, SEEN_THREAD, fold_levels
from tapebook.kernels.book_state import NEED, NOTHING
from tapebook.kernels.touch import breaks
from tapebook.market.events import MISSING, Events, Flag
from tests.oracles.book import OracleBook
from tests.tapes import TICK, random_anything, random_levels, random_orders

pytestmark = pytest.mark.uncompiled


def views_of(events: Events, depth: int, cuts: list[int]) -> tuple[list[list[int]], list[int]]:
    """Return the view and the thread after each event, the tape cut in pieces."""
    memory = Memory(tick_e9=0, instrument_id=1)
    state = np.zeros(SEEN_N, np.int64)
    views = np.zeros((events.size + 1, 4 * depth), np.int64)
    which, thread = np.zeros(events.size, np.int64), np.zeros(events.size, np.int64)
    views[0].reshape(4, depth)[[0, 2]] = MISSING
    found: list[list[int]] = []
    threads: list[int] = []
    edges = sorted({0, *cuts, events.size})
    for a, b in pairwise(edges):
        at, row = a, 0
        while True:
            at, row = fold_levels(*memory.arrays, events, at, b, depth, row, state, views, which, thread, a)
            if memory.arrays.head[NEED] == NOTHING:
                break
            memory.make_room(events, at)
        found += views[which[: b - a]].tolist()
        threads += thread[: b - a].tolist()
        views[0] = views[row]
    assert state[SEEN_DIRTY] == 0 or not events["flags"][-1] & Flag.LAST
    assert state[SEEN_THREAD] == threads[-1]
    return found, threads


def expected(events: Events, depth: int) -> tuple[list[list[int]], list[int]]:
    book = OracleBook()
    view = [MISSING] * depth + [0] * depth + [MISSING] * depth + [0] * depth
    rows, threads, thread, breaking = [], [], 0, False
    for e in events:
        book.apply(e)
        breaking |= bool(breaks(int(e["kind"]), int(e["flags"]), int(e["detail"])))
        if int(e["flags"]) & Flag.LAST:
            view = []
            for side in (1, -1):
                levels = (book.levels(side) + [(MISSING, 0, 0)] * depth)[:depth]
                view += [p for p, _, _ in levels] + [q for _, q, _ in levels]
            thread += breaking
            breaking = False
        rows.append(view)
        threads.append(thread)
    return rows, threads


@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize("tape", [random_levels, random_orders, random_anything])
def test_views_are_the_best_levels_of_the_book(tape: object, depth: int) -> None:
    assert callable(tape)
    for seed in range(3):
        events: Events = tape(seed, 500)
        events = events[events["instrument_id"] == 1]
        cuts = np.random.default_rng(seed).integers(1, events.size, 6).tolist()
        assert views_of(events, depth, cuts) == expected(events, depth)


def test_a_wild_order_that_is_elsewhere_than_it_says_is_seen() -> None:
    """A cancel that names a deep price but an order at the touch changes the touch; so does a repeated add."""
    events = random_orders(7, 60, wild=0)
    events["flags"] = Flag.LAST
    rows, _ = views_of(events, 2, [])
    book = OracleBook()
    for e in events:
        book.apply(e)
    best = book.best(1)
    assert best is not None
    order_id = next(iter(book.sides[1][best].orders))
    for kind in (5, 4):  # cancel, add
        odd = np.concatenate([events, events[-1:]])
        odd["kind"][-1], odd["side"][-1], odd["order_id"][-1] = kind, 1, order_id
        odd["price"][-1], odd["qty_lots"][-1] = best - 500 * TICK, 1
        changed, _ = views_of(odd, 2, [])
        assert changed[:-1] == rows
        assert changed == expected(odd, 2)[0]
        assert changed[-1] != rows[-1]
