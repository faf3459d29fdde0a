from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tapebook.features.depth import depth_view_of
from tapebook.features.fair_prices import DepthWeightedMid, ImbalanceAdjusted, StoikovPrice, make_stoikov
from tapebook.features.microprice import Microprice
from tapebook.features.touch import view_of
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles import depth as oracle

pytestmark = pytest.mark.uncompiled

TABLE = {"edges": [0.25, 0.5, 0.75], "g_ticks": [[-0.4, -0.1, 0.1, 0.4], [-0.8, -0.2, 0.2, 0.8]], "tick_e9": UNIT}


def test_the_depth_weighted_mid_leans_by_the_imbalance_and_stays_within_the_touch() -> None:
    books = oracle.random_books(2, 60, levels=5)
    rows = DepthWeightedMid(decay=0.8).fold(depth_view_of(books))
    for i, book in enumerate(books):
        spread = book[1][0][0] - book[0][0][0]
        expected = (float(oracle.mid(book)) + spread / 2 * oracle.imbalance(book, 0.8)) / UNIT
        assert rows["depth_weighted_mid"][i] == pytest.approx(expected, rel=1e-12)
        assert book[0][0][0] / UNIT <= rows["depth_weighted_mid"][i] <= book[1][0][0] / UNIT


def test_the_circulating_form_leaves_the_touch_unless_it_is_clamped() -> None:
    books = oracle.random_books(2, 60, levels=5)
    free = DepthWeightedMid(variant="circulating").fold(depth_view_of(books))["depth_weighted_mid"]
    held = DepthWeightedMid(variant="circulating", clamp=True).fold(depth_view_of(books))["depth_weighted_mid"]
    outside = 0
    for i, book in enumerate(books):
        expected = oracle.circulating_depth_price(book) / UNIT
        assert free[i] == pytest.approx(expected, rel=1e-12)
        low, high = book[0][0][0] / UNIT, book[1][0][0] / UNIT
        outside += not low <= expected <= high
        assert held[i] == pytest.approx(min(max(expected, low), high), rel=1e-12)
    assert outside > 0


def test_a_half_as_the_only_coefficient_is_the_weighted_mid() -> None:
    events, _ = random_history(3, 120, holes=0.2)
    from tapebook.features.touch import TouchFeed

    view = TouchFeed(PLAIN, 1).see(events)
    ours, plain = ImbalanceAdjusted().fold(view), Microprice().fold(view)
    assert ours["imbalance_adjusted"] == pytest.approx(plain["microprice"], rel=1e-12, nan_ok=True)


def test_the_curve_is_odd() -> None:
    there = ImbalanceAdjusted(c1=0.3, c3=-0.1, c5=0.2).fold(view_of([(99 * UNIT, 30, 101 * UNIT, 10)]))
    back = ImbalanceAdjusted(c1=0.3, c3=-0.1, c5=0.2).fold(view_of([(99 * UNIT, 10, 101 * UNIT, 30)]))
    name = "imbalance_adjusted_off_mid"
    assert there[name][0] == -back[name][0] == pytest.approx(2 * (0.3 * 0.5 - 0.1 * 0.125 + 0.2 * 0.03125))


def test_the_table_is_looked_up_by_share_and_spread_and_says_when_it_has_to_guess() -> None:
    touches = [
        (99 * UNIT, 1, 100 * UNIT, 9),
        (99 * UNIT, 5, 100 * UNIT, 5),
        (99 * UNIT, 9, 101 * UNIT, 1),
        (99 * UNIT, 9, 104 * UNIT, 1),
        (99 * UNIT, 9, 99 * UNIT, 1),
        (99 * UNIT, MISSING, 100 * UNIT, 1),
        (99 * UNIT, 0, 100 * UNIT, 0),
    ]
    rows = StoikovPrice(UNIT, TABLE).fold(view_of(touches))
    assert rows["stoikov_off_mid"][:4].tolist() == [-0.4, 0.1, 0.8, 0.8]
    assert rows["stoikov"][:4].tolist() == [99.1, 99.6, 100.8, 102.3]
    assert np.isnan(rows["stoikov"][4:]).all()
    assert rows["why"].tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_without_a_table_there_is_no_price_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    rows = StoikovPrice(UNIT).fold(view_of([(99 * UNIT, 1, 100 * UNIT, 9)]))
    assert math.isnan(rows["stoikov"][0])
    assert rows["why"].tolist() == [2]
    for wrong in ({"tick_e9": 7}, {"edges": [0.5]}, {"edges": [0.7, 0.5, 0.9]}, {"g_ticks": [[math.nan] * 4]}):
        with pytest.raises(ConfigurationError):
            StoikovPrice(UNIT, TABLE | wrong)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(TABLE))
    events, _ = random_history(3, 50)
    assert np.isfinite(make_stoikov(PLAIN, 1, table=str(path)).advance(events)["stoikov"]).any()


def test_parameters_out_of_range_are_refused() -> None:
    for wrong in (
        lambda: DepthWeightedMid(decay=0.0),
        lambda: DepthWeightedMid(variant="same-side"),
        lambda: ImbalanceAdjusted(c1=math.nan),
    ):
        with pytest.raises(ConfigurationError):
            wrong()
