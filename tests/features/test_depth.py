from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.depth import DepthFeed, DepthTogether, depth_view_of
from tapebook.features.ofi import Ofi
from tapebook.features.ofi_levels import OfiLevels
from tapebook.features.touch import TouchFeed
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import Events
from tapebook.market.instruments import Instrument
from tests.oracles import depth as oracle
from tests.tapes import TICK, random_anything, random_levels, random_orders

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
TAPES = {"levels": random_levels, "orders": random_orders, "anything": random_anything}


def mine(events: Events) -> Events:
    chosen: Events = events[events["instrument_id"] == 1]
    return chosen


@pytest.mark.uncompiled
@pytest.mark.parametrize("levels", [1, 3, 10])
@pytest.mark.parametrize("tape", ["levels", "orders"])
def test_the_levels_around_each_event_are_those_that_could_be_observed(tape: str, levels: int) -> None:
    events = mine(TAPES[tape](4, 250))
    view = DepthFeed(ES, 1, levels=levels).see(events)
    expected = [oracle.as_row(d, levels) for d in oracle.depths(events, levels)]
    assert view.books[view.which[1:]].tolist() == expected
    assert view.which[0] == 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tape", TAPES)
def test_the_touch_of_a_view_with_depth_is_that_of_the_touch_feed(tape: str, seed: int) -> None:
    events = TAPES[tape](seed, 600)
    deep, plain = DepthFeed(ES, 1, levels=4).see(events), TouchFeed(ES, 1).see(events)
    for name in ("bid_px", "bid_sz", "ask_px", "ask_sz", "thread", "trading", "session", "clock_ns", "ts_ns"):
        assert np.array_equal(getattr(deep, name), getattr(plain, name)), name


def test_a_row_is_made_exactly_where_a_level_in_view_changed_or_the_thread_broke() -> None:
    view = DepthFeed(ES, 1, levels=3).see(random_levels(2, 800))
    rows = view.books[view.which]
    changed = (rows[1:] != rows[:-1]).any(axis=1) | (view.thread[1:] != view.thread[:-1])
    assert view.at.tolist() == np.flatnonzero(changed).tolist()
    assert np.array_equal(view.books[view.after], rows[1:][changed])
    assert np.array_equal(view.books[view.before], rows[:-1][changed])


def test_folds_of_the_touch_and_of_the_depth_share_one_book() -> None:
    events = random_orders(7, 500)
    together = DepthTogether(ES, 1, {"touch": Ofi(), "levels": OfiLevels(levels=4)}, levels=4)
    rows = together.advance(events)
    flows = rows["levels"]["ofi_01"]
    # Where only a deeper level changes, the touch makes no row and the best level's flow is zero.
    assert np.nansum(flows) == np.nansum(rows["touch"]["ofi_lots"])
    other = DepthTogether(ES, 1, {"touch": Ofi(), "levels": OfiLevels(levels=4)}, levels=4)
    other.restore(together.save())
    more = random_orders(8, 200)
    assert np.array_equal(
        together.advance(more)["levels"]["ofi_02"], other.advance(more)["levels"]["ofi_02"], equal_nan=True
    )


def test_a_depth_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="levels of a side"):
        DepthFeed(ES, 1, levels=0)
    with pytest.raises(OperatorError, match="another depth"):
        DepthFeed(ES, 1, levels=3).restore(DepthFeed(ES, 1, levels=4).save())
    with pytest.raises(OperatorError, match="sees another depth"):
        OfiLevels(levels=3).fold(depth_view_of([([(1, 1)], [(2, 1)])], levels=2))
