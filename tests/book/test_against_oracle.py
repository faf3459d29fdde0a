"""The book agrees with its definition (``tests/oracles/book.py``) on any sequence of events, tidy or wild."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tapebook.book import BestBook, BookStatistics, Ladder, OrderBook, Snapshots, level_columns
from tapebook.kernels.book_state import COUNTS
from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, Side, empty_events
from tapebook.market.instruments import Instrument
from tests.oracles.book import OracleBook, replay
from tests.tapes import MID, TICK, random_anything, random_levels, random_orders

ANY = Instrument(symbol="X", venue="Y")
TAPES: dict[str, Callable[[int, int], Events]] = {
    "levels": random_levels,
    "orders": random_orders,
    "wild orders": lambda seed, n: random_orders(seed, n, wild=0.3),
    "anything": random_anything,
    "shuffled": lambda seed, n: shuffled(seed, n),  # noqa: PLW0108 - defined below
}


def shuffled(seed: int, n: int) -> Events:
    parts = [random_orders(seed, n - n // 3, wild=0.1), random_levels(seed, n // 3)]
    both = np.concatenate(parts)
    mixed: Events = both[np.random.default_rng(seed).permutation(both.size)]
    return mixed


def own(events: Events) -> Events:
    mine: Events = events[events["instrument_id"] == 1]
    return mine


def columns(rows: dict[str, NDArray[np.int64]], n_levels: int) -> NDArray[np.int64]:
    return np.array([rows[name] for name in level_columns(n_levels)]).T


def agree(counted: BookStatistics, oracle: OracleBook) -> None:
    ours = asdict(counted)
    assert {name: ours[name] for name in COUNTS} == {name: oracle.counts[name] for name in COUNTS}


@st.composite
def few_events(draw: st.DrawFn) -> Events:
    """Up to 30 events on 7 prices and 5 ids: small enough to be read when they fail."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from([*Kind, 99]),
                st.sampled_from([1, -1, 0]),
                st.sampled_from([*range(-3, 4), None, 0.5]),
                st.sampled_from([*range(7), MISSING, -3, 2**61]),
                st.integers(0, 4),
                st.sampled_from([COUNT_MISSING, 0, 1, 3]),
                st.sampled_from([0, Flag.LAST, Flag.LAST, Flag.INFO, Flag.TOB, Flag.SNAPSHOT | Flag.LAST]),
            ),
            max_size=30,
        )
    )
    e = empty_events(len(rows))
    e["instrument_id"] = 1
    for event, (kind, side, step, qty, order_id, count, flags) in zip(e, rows, strict=True):
        price = MISSING if step is None else MID + int(step * TICK)
        event["kind"], event["side"], event["price"], event["qty_lots"] = kind, side, price, qty
        event["order_id"], event["count"], event["flags"] = order_id, count, flags
    return e


@pytest.mark.uncompiled
@settings(deadline=None, max_examples=60)
@given(events=few_events(), always_to_back=st.booleans())
def test_an_l3_book_is_what_its_definition_says_and_sane_after_every_event(
    events: Events, always_to_back: bool
) -> None:
    book = OrderBook(modify_rule="nasdaq" if always_to_back else "cme")
    oracle = OracleBook(always_to_back=always_to_back)
    for i in range(events.size):
        book.advance(events[i : i + 1])
        oracle.apply(events[i])
        book.check()
        for side in (Side.BID, Side.ASK):
            assert [astuple(level) for level in book.levels(side)] == oracle.levels(side)
            for price, rest in oracle.sides[side].items():
                queue = [(order.order_id, order.qty_lots) for order in book.queue(side, price)]
                assert queue == list(rest.orders.items())
    agree(book.statistics(), oracle)


@pytest.mark.uncompiled
@settings(deadline=None, max_examples=60)
@given(events=few_events())
def test_a_ladder_is_what_its_definition_says_and_sane_after_every_event(events: Events) -> None:
    ladder, oracle = Ladder(), OracleBook(by_order=False)
    for i in range(events.size):
        ladder.advance(events[i : i + 1])
        oracle.apply(events[i])
        ladder.check()
        for side in (Side.BID, Side.ASK):
            assert [astuple(level) for level in ladder.levels(side)] == oracle.levels(side)
    agree(ladder.statistics(), oracle)


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("seed", range(4))
def test_every_snapshot_row_is_the_oracles(tape: str, seed: int) -> None:
    events = TAPES[tape](seed, 1_500)
    expected, oracle = replay(own(events), 6)
    operator = Snapshots(ANY, 1, levels=6)
    assert np.array_equal(columns(operator.advance(events), 6), expected)
    operator.memory.check()
    agree(operator.statistics(), oracle)


@pytest.mark.parametrize("tape", TAPES)
def test_the_touch_after_every_event_is_the_oracles(tape: str) -> None:
    events = own(TAPES[tape](7, 1_500))
    best = BestBook(ANY, 1).advance(events)
    oracle = OracleBook()
    for event, row in zip(events, best, strict=True):
        oracle.apply(event)
        assert row.tolist() == oracle.touch()


@pytest.mark.uncompiled
@pytest.mark.parametrize("tape", TAPES)
def test_short_tapes_end_in_the_oracles_book(tape: str) -> None:
    both_end_in_the_oracles_book(own(TAPES[tape](23, 400)))


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(seed=st.integers(0, 2**32), tape=st.sampled_from(list(TAPES)), n=st.integers(1, 3_000))
def test_long_tapes_end_in_the_oracles_book(seed: int, tape: str, n: int) -> None:
    both_end_in_the_oracles_book(own(TAPES[tape](seed, max(n, 3))))


def both_end_in_the_oracles_book(events: Events) -> None:
    oracle, ladder_oracle = OracleBook(), OracleBook(by_order=False)
    for event in events:
        oracle.apply(event)
        ladder_oracle.apply(event)
    book, ladder = OrderBook(), Ladder()
    book.advance(events)
    ladder.advance(events)
    book.check()
    ladder.check()
    for side in (Side.BID, Side.ASK):
        assert [astuple(level) for level in book.levels(side)] == oracle.levels(side)
        assert [astuple(level) for level in ladder.levels(side)] == ladder_oracle.levels(side)
    agree(book.statistics(), oracle)
    agree(ladder.statistics(), ladder_oracle)
