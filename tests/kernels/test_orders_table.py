"""The table of ids: collisions, runs over its end, deletions inside a run."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.book import OrderBook
from tapebook.kernels.book_state import TABLE_BITS
from tapebook.kernels.queues import home
from tapebook.market.events import Events, Flag, Kind, Side, empty_events

pytestmark = pytest.mark.uncompiled


def orders(kind: Kind, ids: list[int], price: int = 100) -> Events:
    e = empty_events(len(ids))
    e["kind"], e["side"], e["flags"], e["price"], e["qty_lots"] = kind, Side.BID, Flag.LAST, price, 3
    e["order_id"] = ids
    return e


def ids_at(place: int, bits: int, n: int) -> list[int]:
    found: list[int] = []
    candidate = 1
    while len(found) < n:
        if home(candidate, bits) == place:
            found.append(candidate)
        candidate += 1
    return found


def test_homes_lie_inside_and_spread() -> None:
    ids = np.arange(1, 4_000) * 4 + 6_412_777_162_812  # as CME and NASDAQ number theirs
    homes = np.array([home(int(i), 13) for i in ids])
    assert homes.min() >= 0
    assert homes.max() < 2**13
    assert np.bincount(homes, minlength=2**13).max() <= 4
    assert all(0 <= home(i, 5) < 32 for i in (-1, -(2**63), 2**63 - 1, 0))


@pytest.mark.parametrize("offset", [0, -1])  # the last place of the table: runs go on at its start
@pytest.mark.parametrize("seed", range(3))
def test_ids_of_one_home_are_told_apart_whatever_goes_first(offset: int, seed: int) -> None:
    book = OrderBook()
    bits = int(book.memory.arrays.head[TABLE_BITS])
    place = offset % (1 << bits)
    ids = (
        ids_at(place, bits, 6) + ids_at((place + 1) % (1 << bits), bits, 4) + ids_at((place + 3) % (1 << bits), bits, 3)
    )
    rng = np.random.default_rng(seed)
    book.advance(orders(Kind.ADD, rng.permutation(ids).tolist()))
    book.check()
    left = set(ids)
    for gone in rng.permutation(ids).tolist():
        book.advance(orders(Kind.CANCEL, [gone]))
        left.remove(gone)
        book.check()
        assert {order.order_id for order in book.queue(Side.BID, 100)} == left
    assert not book.statistics().anomalies()


def test_a_growing_table_keeps_every_order() -> None:
    book = OrderBook()
    ids = (np.random.default_rng(4).permutation(5_000) * 2**20 + 7).tolist()
    for start in range(0, 5_000, 617):
        book.advance(orders(Kind.ADD, ids[start : start + 617]))
        book.check()
    assert [order.order_id for order in book.queue(Side.BID, 100)] == ids
