from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, empty_events
from tapebook.venues.views import Views, in_row_order
from tests.oracles.views import View, changes_of_side

pytestmark = pytest.mark.uncompiled

N = 3
Rows = list[tuple[View, View]]


def full_books(seed: int, n: int) -> list[tuple[dict[int, int], dict[int, int]]]:
    """A book of some twenty levels a side that changes here and there; mostly deeper than a view of N."""
    rng = np.random.default_rng(seed)
    bids = {int(p): int(q) for p, q in zip(range(90, 100), rng.integers(1, 9, 10), strict=True)}
    asks = {int(p): int(q) for p, q in zip(range(101, 111), rng.integers(1, 9, 10), strict=True)}
    found = []
    for _ in range(n):
        for book, low, high in ((bids, 88, 100), (asks, 101, 113)):
            for _ in range(int(rng.integers(0, 4))):
                price = int(rng.integers(low, high))
                book[price] = int(rng.integers(1, 9))
                if rng.random() < 0.6:
                    book.pop(int(rng.choice(list(book))), None)
        found.append((dict(bids), dict(asks)))
    return found


def views_of(books: list[tuple[dict[int, int], dict[int, int]]]) -> Rows:
    return [(sorted(bids.items(), reverse=True)[:N], sorted(asks.items())[:N]) for bids, asks in books]


def arrays(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    price = np.full((len(rows), 2, N), MISSING, np.int64)
    qty = np.zeros((len(rows), 2, N), np.int64)
    for r, sides in enumerate(rows):
        for s, view in enumerate(sides):
            for i, (p, q) in enumerate(view):
                price[r, s, i], qty[r, s, i] = p, q
    return price, qty


def all_changes(views: Views, rows: Rows, ids: list[int] | None = None) -> tuple[list[int], Events]:
    who = None if ids is None else np.array(ids, np.uint32)
    parts = list(views.advance(*arrays(rows), None, who))
    if not parts:
        return [], empty_events(0)
    return np.concatenate([p.row for p in parts]).tolist(), np.concatenate([p.events for p in parts])


levels = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 3)), max_size=N, unique_by=lambda x: x[0])
sides = st.tuples(levels.map(lambda v: sorted(v, reverse=True)), levels.map(sorted))


@given(st.lists(st.tuples(sides, st.integers(0, 2)), max_size=25))
def test_the_changes_are_those_of_the_definition_and_lead_to_every_row(
    given_rows: list[tuple[tuple[View, View], int]],
) -> None:
    rows = [r for r, _ in given_rows]
    ids = [i for _, i in given_rows]
    from_row, events = all_changes(Views(N), rows, ids)
    books: dict[int, dict[int, dict[int, int]]] = {}
    last: dict[int, tuple[View, View]] = {}
    for r, (row, who) in enumerate(zip(rows, ids, strict=True)):
        mine = events[np.array(from_row, np.int64) == r]
        if who not in last:
            assert mine["kind"][0] == Kind.CLEAR
            assert (mine["flags"] == int(Flag.SNAPSHOT)).all()
            mine = mine[1:]
            assert len(mine) == len(row[0]) + len(row[1])
        book = books.setdefault(who, {1: {}, -1: {}})
        for s, sign in ((0, 1), (1, -1)):
            got = mine[mine["side"] == sign]
            changes = {(int(e["price"]), int(e["qty_lots"]), bool(e["flags"] & int(Flag.VIEW))) for e in got}
            assert len(changes) == len(got)
            if who in last:
                assert changes == changes_of_side(last[who][s], row[s], N, sign)
            for price, qty, _ in changes:
                book[sign].pop(price, None)
                if qty:
                    book[sign][price] = qty
            assert sorted(book[sign].items(), reverse=sign > 0) == row[s]
        last[who] = row


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_what_is_told_as_news_happened_in_the_whole_book(seed: int, n: int) -> None:
    books = full_books(seed, n)
    from_row, events = all_changes(Views(N), views_of(books))
    for r, e in zip(from_row, events, strict=True):
        if r == 0 or e["flags"] & int(Flag.VIEW):
            continue
        side = 0 if e["side"] > 0 else 1
        before, after = books[r - 1][side].get(int(e["price"]), 0), books[r][side].get(int(e["price"]), 0)
        assert int(e["qty_lots"]) == after
        assert before != after, "a change of the view alone was told as news"


@given(st.integers(0, 2**32), st.lists(st.integers(0, 30), max_size=5))
def test_any_cut_gives_the_same_changes(seed: int, cuts: list[int]) -> None:
    rows = views_of(full_books(seed, 30))
    whole = all_changes(Views(N), rows)
    views, parts, edges = Views(N), [], [0, *sorted(cuts), 30]
    for a, b in pairwise(edges):
        found, events = all_changes(views, rows[a:b])
        parts.append((np.array(found, np.int64) + a, events))
    assert np.concatenate([p[0] for p in parts]).tolist() == whole[0]
    assert np.concatenate([p[1] for p in parts]).tobytes() == whole[1].tobytes()


def test_counts_are_compared_where_they_are_given() -> None:
    views = Views(1)
    price = np.array([[[99], [101]]] * 2)
    qty = np.array([[[5], [7]]] * 2)
    count = np.array([[[2], [3]], [[2], [4]]], np.uint32)
    (changes,) = views.advance(price, qty, count)
    assert changes.events["count"].tolist() == [COUNT_MISSING, 2, 3, 4]
    assert changes.row.tolist() == [0, 0, 0, 1]


def test_after_forget_the_next_row_starts_anew() -> None:
    views = Views(1)
    price, qty = np.array([[[99], [101]]]), np.array([[[5], [7]]])
    list(views.advance(price, qty))
    assert sum(c.events.size for c in views.advance(price, qty)) == 0
    views.forget()
    (changes,) = views.advance(price, qty)
    assert changes.events["kind"].tolist() == [Kind.CLEAR, Kind.LEVEL, Kind.LEVEL]


def test_a_level_without_quantity_is_not_there_and_a_row_out_of_order_is_told() -> None:
    views = Views(2)
    price = np.array([[[99, 98], [101, 102]], [[98, 99], [101, 101]], [[99, 98], [101, 102]]])
    qty = np.array([[[5, 0], [7, MISSING]], [[1, 1], [1, 1]], [[5, 1], [7, 1]]])
    (changes,) = views.advance(price, qty)
    assert changes.odd.tolist() == [False, True, False]
    assert (changes.row == 0).sum() == 3


@given(st.lists(st.integers(0, 9), max_size=9), st.lists(st.integers(0, 9), max_size=9))
def test_events_of_two_hands_come_out_by_row_first_hand_first(a: list[int], b: list[int]) -> None:
    parts = []
    for mark, of in ((1, a), (2, b)):
        made = empty_events(len(of))
        made["sequence"] = mark
        parts.append((np.array(sorted(of), np.int64), made))
    rows, events = in_row_order(*parts)
    expected = sorted([(r, 1) for r in a] + [(r, 2) for r in b])
    assert list(zip(rows.tolist(), events["sequence"].tolist(), strict=True)) == expected
    last = [i + 1 == len(expected) or expected[i + 1][0] != r for i, (r, _) in enumerate(expected)]
    assert ((events["flags"] & int(Flag.LAST)) != 0).tolist() == last
