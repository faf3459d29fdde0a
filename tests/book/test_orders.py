"""The L3 book: priority, queue positions, and the rule for everything that is not as it should be."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.book import Level, OrderBook, QueuePosition, RestingOrder
from tapebook.market.errors import OperatorError, OrderBookError
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tests.book.events import ASK, BID, PX, add, cancel, event, execute, level, modify, quote, tape
from tests.tapes import random_orders

pytestmark = pytest.mark.uncompiled


def built(*events: Events, rule: str = "cme") -> OrderBook:
    book = OrderBook(modify_rule="nasdaq" if rule == "nasdaq" else "cme")
    book.advance(tape(*events))
    book.check()
    return book


def ids(book: OrderBook, side: int, price: float) -> list[int]:
    return [order.order_id for order in book.queue(BID if side > 0 else ASK, round(price * PX))]


def test_orders_queue_by_price_then_time() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 11, 1), add(3, BID, 10, 2), add(4, ASK, 12, 9))
    assert book.best_bid == Level(11 * PX, 1, 1)
    assert book.best_ask == Level(12 * PX, 9, 1)
    assert book.levels(BID) == [Level(11 * PX, 1, 1), Level(10 * PX, 7, 2)]
    assert ids(book, BID, 10) == [1, 3]
    assert book.order(3) == RestingOrder(3, BID, 10 * PX, 2)


def test_the_queue_position_is_what_stands_ahead() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 1), add(3, BID, 10, 2), cancel(1, BID, 10, 3))
    assert book.queue_position(3) == QueuePosition(orders_ahead=2, lots_ahead=3, anonymous_lots=0)
    assert book.queue_position(1) == QueuePosition(0, 0, 0)
    assert book.queue_position(77) is None
    assert book.order(77) is None


def test_anonymous_quantity_leaves_the_queue_position_open() -> None:
    book = built(level(BID, 10, 50, 4), add(1, BID, 10, 5))
    assert book.queue_position(1) == QueuePosition(0, 0, 50)
    assert book.best_bid == Level(10 * PX, 55, 5)


@pytest.mark.parametrize(("qty", "order"), [(4, [1, 2, 3]), (5, [1, 2, 3]), (6, [2, 3, 1])])
def test_on_cme_only_growth_loses_the_place(qty: int, order: list[int]) -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 1), add(3, BID, 10, 2), modify(1, BID, 10, qty))
    assert ids(book, BID, 10) == order
    assert book.best_bid == Level(10 * PX, 3 + qty, 3)


def test_on_nasdaq_every_replace_loses_the_place() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 1), modify(1, BID, 10, 4), rule="nasdaq")
    assert ids(book, BID, 10) == [2, 1]


def test_a_new_price_goes_to_the_back_there_and_may_change_side() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 11, 1), modify(1, BID, 11, 5), modify(2, ASK, 13, 1))
    assert ids(book, BID, 11) == [1]
    assert ids(book, ASK, 13) == [2]
    assert book.levels(BID) == [Level(11 * PX, 5, 1)]


def test_a_modify_of_an_unknown_order_adds_it() -> None:
    book = built(modify(1, BID, 10, 5))
    assert book.best_bid == Level(10 * PX, 5, 1)
    assert book.statistics().unknown_modifies == 1


def test_a_modify_to_nothing_cancels() -> None:
    book = built(add(1, BID, 10, 5), modify(1, BID, 10, 0))
    assert book.best_bid is None
    assert book.statistics().modifies_to_nothing == 1


def test_a_take_beyond_the_order_takes_all_and_is_counted() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 5), cancel(1, BID, 10, 6), execute(2, BID, 10, 9))
    assert book.best_bid is None
    assert (book.statistics().over_cancels, book.statistics().over_executions) == (1, 1)


def test_an_unknown_id_takes_from_anonymous_quantity_or_is_an_orphan() -> None:
    book = built(level(BID, 10, 50, 4), add(1, BID, 10, 5), cancel(8, BID, 10, 20), execute(9, BID, 10, 31))
    assert book.best_bid == Level(10 * PX, 35, MISSING)
    assert (book.statistics().anonymous_takes, book.statistics().orphan_executions) == (1, 1)
    book.advance(tape(execute(9, BID, 10, 30), cancel(9, BID, 9, 1)))
    assert book.best_bid == Level(10 * PX, 5, 1), "the count is known again once nobody anonymous is left"
    assert book.statistics().orphan_cancels == 1


def test_a_repeated_add_replaces_and_a_snapshot_restates() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 1), add(1, BID, 10, 3), add(2, ASK, 12, 4, Flag.SNAPSHOT))
    assert ids(book, BID, 10) == [1]
    assert book.best_ask == Level(12 * PX, 4, 1)
    assert (book.statistics().repeated_adds, book.statistics().restated_adds) == (1, 1)


def test_a_restated_snapshot_gives_the_same_queues() -> None:
    orders = [add(i, BID, 10 - i % 3, 1 + i, Flag.SNAPSHOT) for i in range(1, 20)]
    once, twice = built(*orders), built(*orders, *orders)
    for price in (8, 9, 10):
        assert once.queue(BID, price * PX) == twice.queue(BID, price * PX)
    assert twice.statistics().restated_adds == 19


def test_an_order_counts_where_it_rests_not_where_the_event_says() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 11, 7), cancel(1, BID, 11, 2))
    assert book.levels(BID) == [Level(11 * PX, 7, 1), Level(10 * PX, 3, 1)]
    assert book.statistics().misplaced == 1


def test_a_level_keeps_the_oldest_orders_that_fit() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 3), add(3, BID, 10, 2), level(BID, 10, 9, 3))
    assert ids(book, BID, 10) == [1, 2]
    assert book.best_bid == Level(10 * PX, 9, 3)
    assert book.statistics().forgotten_orders == 1
    book.advance(tape(level(BID, 10, 8, 2)))
    assert book.best_bid == Level(10 * PX, 8, 2)
    assert ids(book, BID, 10) == [1, 2], "they fit exactly"


def test_a_level_that_leaves_the_view_forgets_its_orders() -> None:
    book = built(add(1, BID, 10, 5), level(BID, 10, 0, flags=Flag.LAST | Flag.VIEW))
    assert book.levels(BID) == []
    assert book.order(1) is None
    book.advance(tape(level(BID, 10, 8, flags=Flag.LAST | Flag.VIEW), cancel(1, BID, 10, 5)))
    assert book.best_bid == Level(10 * PX, 3, MISSING)
    book.check()


def test_told_only_records_change_nothing() -> None:
    book = built(add(1, BID, 10, 5), execute(1, BID, 10, 5, Flag.INFO | Flag.LAST))
    assert book.best_bid == Level(10 * PX, 5, 1)
    assert book.statistics().told_only == 1


def test_a_top_of_book_record_replaces_its_side() -> None:
    tob = Flag.TOB | Flag.LAST
    book = built(add(1, BID, 10, 5), add(2, BID, 11, 5), add(3, ASK, 12, 5), add(0, BID, 9, 4, tob))
    assert book.levels(BID) == [Level(9 * PX, 4, MISSING)]
    assert book.order(1) is None
    assert book.best_ask == Level(12 * PX, 5, 1)
    book.advance(tape(event(Kind.ADD, ASK, None, 0, flags=tob)))
    assert book.best_ask is None


def test_a_quote_is_the_best_of_its_side() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 11, 5), add(3, BID, 9, 5), quote(BID, 10, 7))
    assert book.levels(BID) == [Level(10 * PX, 7, MISSING), Level(9 * PX, 5, 1)]
    assert book.statistics().forgotten_orders == 1


def test_quotes_alone_never_leave_depth_behind() -> None:
    book = built(quote(BID, 10, 7), quote(BID, 12, 3), quote(BID, 11, None), quote(ASK, 13, 1), quote(ASK, None, None))
    assert book.levels(BID) == [Level(11 * PX, MISSING, MISSING)]
    assert book.levels(ASK) == []


def test_a_quoted_level_that_depth_confirms_stays() -> None:
    book = built(quote(BID, 10, 7), level(BID, 10, 6, 2), quote(BID, 11, 1))
    assert book.levels(BID) == [Level(11 * PX, 1, MISSING), Level(10 * PX, 6, 2)]


def test_a_quoted_level_that_an_order_joins_stays() -> None:
    for join in (add(1, BID, 10, 2), add(0, BID, 10, 2), modify(1, BID, 10, 2)):
        book = built(quote(BID, 10, 7), join, quote(BID, 11, 1))
        assert [level.price for level in book.levels(BID)] == [11 * PX, 10 * PX]


@pytest.mark.parametrize(("side", "bids", "asks"), [(0, 0, 0), (1, 0, 1), (-1, 1, 0)])
def test_a_clear_forgets_one_side_or_both(side: int, bids: int, asks: int) -> None:
    book = built(add(1, BID, 10, 5), add(2, ASK, 12, 5), event(Kind.CLEAR, side))
    assert (len(book.levels(BID)), len(book.levels(ASK)), book.statistics().n_orders) == (bids, asks, bids + asks)


def test_crossed_and_locked_states_are_counted_where_they_can_be_seen() -> None:
    book = built(
        add(1, BID, 10, 5),
        add(2, ASK, 9, 5, Flag(0)),
        cancel(2, ASK, 9, 5),
        add(3, ASK, 10, 5),
        add(4, ASK, 9, 5),
    )
    assert (book.statistics().crossed, book.statistics().locked, book.statistics().observed) == (1, 1, 4)
    assert book.statistics().anomalies() == {"crossed": 1}


def test_nonsense_is_counted_and_leaves_the_book_alone() -> None:
    book = built(
        add(1, BID, 10, 5),
        add(2, 0, 10, 5),
        event(Kind.ADD, BID, None, 5, order_id=3),
        event(Kind.ADD, BID, 10, None, order_id=3),
        add(3, BID, 10, 0),
        add(3, BID, 10, -4),
        add(3, BID, 10, 2**62),
        cancel(1, BID, 10, -1),
        level(BID, 10, 2**62),
        tape(event(Kind.STATUS)),
    )
    unknown = event(Kind.STATUS)
    unknown["kind"] = 200
    book.advance(unknown)
    assert book.levels(BID) == [Level(10 * PX, 5, 1)]
    s = book.statistics()
    assert (s.bad_sides, s.bad_prices, s.bad_quantities, s.bad_kinds) == (1, 1, 6, 1)


def test_other_instruments_are_passed_over() -> None:
    book = OrderBook(instrument_id=1)
    book.advance(tape(event(Kind.ADD, BID, 10, 5, order_id=1, instrument_id=2), add(1, BID, 9, 1)))
    assert book.best_bid == Level(9 * PX, 1, 1)
    assert book.statistics().events == 1


def test_ids_use_all_64_bits() -> None:
    book = built(add(2**64 - 5, BID, 10, 5), add(2**63, BID, 10, 1))
    assert ids(book, BID, 10) == [2**64 - 5, 2**63]
    assert book.order(2**64 - 5) == RestingOrder(2**64 - 5, BID, 10 * PX, 5)


def test_a_book_of_many_orders_and_pages_grows_without_a_trace() -> None:
    n = 3_000
    e = empty_events(n)
    e["kind"], e["flags"], e["order_id"], e["qty_lots"] = Kind.ADD, Flag.LAST, np.arange(1, n + 1) * 64, 1
    e["side"] = np.where(np.arange(n) % 2, 1, -1)
    e["price"] = (np.arange(n) * 7_919 % 4_001 + 1) * PX * 100 - e["side"].astype(np.int64) * 3
    book = OrderBook()
    book.advance(e)
    book.check()
    assert book.statistics().n_orders == n
    assert len(book.levels(BID)) == np.unique(e["price"][e["side"] == 1]).size
    e["kind"] = Kind.CANCEL
    book.advance(e)
    book.check()
    assert book.levels(BID) == book.levels(ASK) == []
    assert not book.statistics().anomalies() or set(book.statistics().anomalies()) == {"crossed"}


def test_a_restored_book_goes_on_as_the_first() -> None:
    events = random_orders(3, 400, wild=0.1)
    first, heir = OrderBook(), OrderBook()
    first.advance(events[:250])
    heir.restore(first.save())
    first.advance(events[250:])
    heir.advance(events[250:])
    assert first.levels(BID) == heir.levels(BID)
    assert first.levels(ASK) == heir.levels(ASK)
    assert first.statistics() == heir.statistics()


def test_a_foreign_state_is_refused() -> None:
    state = OrderBook().save()
    with pytest.raises(OperatorError, match="saved state does not fit"):
        OrderBook().restore({**state, "orders": state["orders"][:-1]})
    with pytest.raises(OperatorError, match="order book"):
        OrderBook().restore({"head": state["head"]})


@pytest.mark.parametrize(
    ("array", "field", "says"),
    [
        ("levels", "known_lots", "sum of its orders"),
        ("levels", "known_count", "number of its orders"),
        ("levels", "last", "links"),
        ("orders", "order_id", "table of ids"),
        ("orders", "level", "links"),
    ],
)
def test_check_finds_a_broken_book(array: str, field: str, says: str) -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 10, 6))
    column = getattr(book.memory.arrays, array)[field]
    column[column > 0] += 1
    with pytest.raises(OrderBookError, match=says):
        book.check()


def test_check_finds_a_wrong_best() -> None:
    book = built(add(1, BID, 10, 5), add(2, BID, 11, 6))
    book.memory.arrays.head[4] -= 1
    with pytest.raises(OrderBookError, match="best level is not the best"):
        book.check()
