from __future__ import annotations

import math

import numpy as np
import pytest

from tapebook.features.book_shape import BookShape, SweepPrice
from tapebook.features.depth import depth_view_of
from tapebook.features.imbalance import Imbalance
from tapebook.features.touch import view_of
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tests.features.histories import UNIT
from tests.oracles import depth as oracle

pytestmark = pytest.mark.uncompiled


@pytest.mark.parametrize("seed", range(4))
def test_the_shape_is_the_definition_on_random_books(seed: int) -> None:
    books = oracle.random_books(seed, 40, levels=6)
    rows = BookShape(UNIT, levels=6, decay=0.7, within_ticks=4.0, within_bp=60.0).fold(depth_view_of(books))
    assert rows["ts_ns"].size == len(books)
    for i, book in enumerate(books):
        assert rows["imbalance_levels"][i] == pytest.approx(oracle.imbalance(book))
        assert rows["imbalance_faded"][i] == pytest.approx(oracle.imbalance(book, 0.7))
        assert rows["book_pressure"][i] == pytest.approx(oracle.pressure(book))
        (_, bid), (_, ask) = book[0][0], book[1][0]
        assert rows["log_queue_ratio"][i] == pytest.approx(math.log((bid + 1) / (ask + 1)))
        assert rows["top_share"][i] == pytest.approx((bid + ask) / sum(q for side in book for _, q in side))
        for s, side in ((0, "bid"), (1, "ask")):
            slope, convexity = oracle.curve(book, s, UNIT)
            assert rows[f"{side}_slope"][i] == pytest.approx(slope)
            assert rows[f"{side}_convexity"][i] == pytest.approx(convexity, abs=1e-6)
            assert rows[f"{side}_near_lots"][i] == oracle.within(book, s, 4 * UNIT)
            reach = float(oracle.mid(book)) * 60e-4
            deepest = abs(book[s][-1][0] - oracle.mid(book))
            got = rows[f"{side}_near_bp_lots"][i]
            if deepest > reach:
                assert got == oracle.within(book, s, reach)
            else:
                assert math.isnan(got)


def test_with_one_level_the_imbalance_is_that_of_the_touch() -> None:
    touches = [(99 * UNIT, 30, 101 * UNIT, 10), (99 * UNIT, 3, 101 * UNIT, 10)]
    deep = BookShape(UNIT, levels=1).fold(depth_view_of([([t[:2]], [t[2:]]) for t in touches]))
    assert deep["imbalance_levels"].tolist() == Imbalance().fold(view_of(touches))["imbalance"].tolist()


def test_depth_that_the_view_does_not_reach_is_not_told_and_a_side_seen_whole_is() -> None:
    whole = ([(99 * UNIT, 5), (98 * UNIT, 6)], [(100 * UNIT, 7)])
    three = BookShape(UNIT, levels=3, within_ticks=50.0).fold(depth_view_of([whole], levels=3))
    assert (three["bid_near_lots"][0], three["ask_near_lots"][0]) == (11.0, 7.0)
    two = BookShape(UNIT, levels=2, within_ticks=50.0).fold(depth_view_of([whole], levels=2))
    assert math.isnan(two["bid_near_lots"][0])  # two levels are shown, there may be more
    assert two["ask_near_lots"][0] == 7.0


def test_without_a_side_a_mid_a_size_or_a_tick_nothing_is_made_up() -> None:
    one_side: oracle.Depth = ([(99 * UNIT, 5)], [])
    crossed = ([(99 * UNIT, 5)], [(98 * UNIT, 5)])
    untold = ([(99 * UNIT, MISSING)], [(100 * UNIT, 5)])
    rows = BookShape(UNIT, levels=2).fold(depth_view_of([one_side, crossed, untold], levels=2))
    assert rows["imbalance_levels"].tolist()[:2] == [1.0, 0.0]
    assert rows["one_sided"].tolist() == [True, False, False]
    for name in ("book_pressure", "bid_near_lots", "ask_slope", "bid_near_bp_lots"):
        assert np.isnan(rows[name]).all(), name
    assert math.isnan(rows["imbalance_levels"][2])
    no_tick = BookShape(0, levels=2).fold(depth_view_of([([(99, 5), (98, 5)], [(101, 5), (102, 1)])]))
    assert math.isnan(no_tick["bid_slope"][0])
    assert math.isfinite(no_tick["book_pressure"][0])


def test_the_circulating_pressure_is_in_lots_over_price() -> None:
    view = depth_view_of([([(99 * UNIT, 30)], [(101 * UNIT, 10)])])
    assert BookShape(UNIT, levels=1, variant="circulating").fold(view)["book_pressure"] == pytest.approx([20.0])


@pytest.mark.parametrize("lots", [1, 7, 60])
def test_a_sweep_costs_what_its_lots_cost_one_by_one(lots: int) -> None:
    books = oracle.random_books(9, 40, levels=4)
    rows = SweepPrice(sweep_lots=lots).fold(depth_view_of(books))
    shallow = 0
    for i, book in enumerate(books):
        buy, sell = oracle.sweep(book, 1, lots), oracle.sweep(book, 0, lots)
        for name, price in (("buy_sweep", buy), ("sell_sweep", sell)):
            if price is None:
                shallow += 1
                assert math.isnan(rows[name][i])
            else:
                assert rows[name][i] == pytest.approx(float(price / UNIT), rel=1e-12)
        if buy is not None and sell is not None:
            assert rows["sweep_mid"][i] == pytest.approx(float((buy + sell) / 2 / UNIT), rel=1e-12)
            assert rows["round_trip_cost"][i] == pytest.approx(float((buy - sell) / UNIT), rel=1e-9)
    assert (shallow > 0) == (lots == 60)


def test_parameters_out_of_range_are_refused() -> None:
    for wrong in (
        lambda: BookShape(UNIT, decay=0.0),
        lambda: BookShape(UNIT, variant="other"),
        lambda: SweepPrice(sweep_lots=0),
    ):
        with pytest.raises(ConfigurationError):
            wrong()
