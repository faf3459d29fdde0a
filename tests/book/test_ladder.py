"""The L2 ladder: what it follows, what it cannot, and prices of any grid."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from tapebook.book import Ladder, Level
from tapebook.market.errors import OperatorError, OrderBookError
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tests.book.events import ASK, BID, PX, add, cancel, event, execute, level, modify, quote, tape
from tests.oracles.book import OracleBook

pytestmark = pytest.mark.uncompiled


def built(*events: Events, tick_e9: int = 0) -> Ladder:
    ladder = Ladder(tick_e9=tick_e9)
    ladder.advance(tape(*events))
    ladder.check()
    return ladder


def test_levels_are_set_and_removed() -> None:
    ladder = built(level(BID, 10, 5, 2), level(BID, 11, 1), level(ASK, 12, 9, 3), level(BID, 11, 0), level(BID, 10, 6))
    assert ladder.levels(BID) == [Level(10 * PX, 6, MISSING)]
    assert ladder.best_ask == Level(12 * PX, 9, 3)


def test_order_events_are_differences_of_quantity() -> None:
    ladder = built(add(1, BID, 10, 5), add(2, BID, 10, 3))
    assert ladder.best_bid == Level(10 * PX, 8, 2)
    ladder.advance(tape(execute(1, BID, 10, 2)))
    assert ladder.best_bid == Level(10 * PX, 6, MISSING), "an order may or may not have left"
    ladder.advance(tape(cancel(9, BID, 10, 6), cancel(9, BID, 10, 1)))
    assert ladder.levels(BID) == []
    assert ladder.statistics().orphan_cancels == 1


def test_a_take_beyond_the_level_removes_it_and_is_counted() -> None:
    ladder = built(add(1, BID, 10, 5), execute(1, BID, 10, 8))
    assert ladder.best_bid is None
    assert ladder.statistics().over_executions == 1


def test_a_modify_is_skipped_and_counted() -> None:
    ladder = built(add(1, BID, 10, 5), modify(1, BID, 11, 5))
    assert ladder.levels(BID) == [Level(10 * PX, 5, 1)]
    assert ladder.statistics().anomalies() == {"skipped_modifies": 1}


def test_a_top_of_book_level_replaces_its_side() -> None:
    ladder = built(level(BID, 10, 5), level(BID, 11, 5), level(BID, 9, 4, 1, Flag.TOB | Flag.LAST))
    assert ladder.levels(BID) == [Level(9 * PX, 4, 1)]


def test_quotes_replace_the_top_and_leave_no_stale_depth() -> None:
    ladder = built(level(BID, 9, 5), quote(BID, 10, 7), quote(BID, 11, 3), quote(BID, 8, 2))
    assert ladder.levels(BID) == [Level(8 * PX, 2, MISSING)]
    ladder = built(level(BID, 9, 5), quote(BID, 10, 7), quote(BID, 11, 3))
    assert ladder.levels(BID) == [Level(11 * PX, 3, MISSING), Level(9 * PX, 5, MISSING)]


def test_a_size_that_was_not_told_stays_unknown_until_it_is() -> None:
    ladder = built(quote(BID, 10, None), add(1, BID, 10, 4), cancel(1, BID, 10, 4))
    assert ladder.best_bid == Level(10 * PX, MISSING, MISSING)
    ladder.advance(tape(level(BID, 10, 3)))
    assert ladder.best_bid == Level(10 * PX, 3, MISSING)


@pytest.mark.parametrize("tick_e9", [0, 1, 10_000_000, 250_000_000, 3 * PX])
def test_the_grid_never_shows(tick_e9: int) -> None:
    prices = [10.25, 10.5, -3.75, 0.0, 0.000000001, 10.26, 9_000_000.5, -1.0]
    events = [level(side, price, 1 + i) for i, price in enumerate(prices) for side in (BID, ASK)]
    ladder, oracle = built(*events, tick_e9=tick_e9), OracleBook(by_order=False)
    for e in events:
        oracle.apply(e[0])
    for side in (BID, ASK):
        assert [astuple(x) for x in ladder.levels(side)] == oracle.levels(side)


def test_a_market_that_wanders_far_keeps_its_room() -> None:
    n = 4_000
    e = empty_events(2 * n)
    e["kind"], e["side"], e["flags"] = Kind.LEVEL, 1, Flag.LAST
    e["price"] = np.repeat(np.arange(n) * 640 + 1, 2) * PX
    e["qty_lots"] = np.tile([5, 0], n)  # each level vanishes before the next appears, ten pages further
    ladder = Ladder(tick_e9=PX)
    ladder.advance(e[:-1])
    ladder.check()
    assert ladder.levels(BID) == [Level(int(e["price"][-1]), 5, MISSING)]
    assert ladder.memory.arrays.pages.size == 64, "emptied pages are used again"


def test_far_pages_that_empty_make_room_for_others() -> None:
    n = 1_000
    e = empty_events(2 * n + 1)
    e["kind"], e["side"], e["flags"] = Kind.LEVEL, -1, Flag.LAST
    e["price"][0], e["qty_lots"][0] = PX, 1  # the touch stays, so emptied pages above it are kept for a while
    e["price"][1:] = np.repeat(np.arange(n) * 640 + 640, 2) * PX
    e["qty_lots"][1:] = np.tile([5, 0], n)
    ladder = Ladder(tick_e9=PX)
    ladder.advance(e)
    ladder.check()
    assert ladder.levels(ASK) == [Level(PX, 1, MISSING)]
    assert ladder.memory.arrays.pages.size == 64


def test_a_ladder_takes_no_state_of_an_order_book() -> None:
    from tapebook.book import OrderBook

    with pytest.raises(OperatorError, match="ladder"):
        Ladder().restore(OrderBook().save())


def test_check_finds_an_empty_level() -> None:
    ladder = built(level(BID, 10, 5))
    ladder.memory.arrays.levels["anonymous_lots"] = 0
    with pytest.raises(OrderBookError, match="an empty level"):
        ladder.check()


def test_a_restored_ladder_goes_on_as_the_first() -> None:
    first, heir = built(level(BID, 10, 5), quote(BID, 11, 2)), Ladder()
    heir.restore(first.save())
    for ladder in (first, heir):
        ladder.advance(tape(quote(BID, 12, 1), event(Kind.CLEAR, ASK)))
    assert first.levels(BID) == heir.levels(BID) == [Level(12 * PX, 1, MISSING), Level(10 * PX, 5, MISSING)]
    assert first.statistics() == heir.statistics()
