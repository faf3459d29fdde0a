from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tapebook.features.depth import depth_view_of
from tapebook.features.ofi import Ofi
from tapebook.features.ofi_levels import OfiGeneralised, OfiIntegrated, OfiLevels, make_levels
from tapebook.features.ofi_touch import OfiDecomposed, OfiLog, make_decomposed
from tapebook.features.touch import view_of
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Flag, Kind
from tests.features.histories import PLAIN, UNIT, random_history, vector, vector_rows
from tests.oracles import depth as books_of
from tests.oracles import flow as oracle
from tests.tapes import random_orders

pytestmark = pytest.mark.uncompiled


def same(got: list[float], expected: list[float | int | None]) -> None:
    assert len(got) == len(expected)
    for x, y in zip(got, expected, strict=True):
        assert (math.isnan(x) and y is None) or x == y


def test_the_first_level_has_the_price_cases_of_the_reference_vector() -> None:
    books = [([(b, bq)], [(a, aq)]) for b, bq, a, aq in vector_rows("ofi_cases.csv")]
    got = OfiLevels(levels=1).fold(depth_view_of(books))["ofi_01"]
    assert math.isnan(got[0])
    assert got[1:].tolist() == vector("ofi_best_level__hand")["cks"][1:]


@pytest.mark.parametrize("seed", range(4))
def test_each_level_is_the_definition_applied_to_it(seed: int) -> None:
    books = books_of.random_books(seed, 60, levels=4)
    books[20] = (books[20][0][:2], books[20][1])  # two levels gone on one side
    books[30] = (books[30][0][:3], books[30][1][:3])  # the deepest gone on both
    rows = OfiLevels(levels=4).fold(depth_view_of(books, levels=4))
    for m in range(4):
        expected = [oracle.level_flow(a, b, m) for a, b in itertools.pairwise(books)]
        same(rows[f"ofi_{m + 1:02d}"].tolist(), [None, *expected])


def test_on_a_tape_of_quotes_the_first_level_is_the_best_level_feature() -> None:
    events, _ = random_history(5, 120, holes=0.2)
    best = Ofi()
    from tapebook.features.touch import TouchFeed

    expected = best.fold(TouchFeed(PLAIN, 1).see(events))["ofi_lots"]
    got = make_levels(PLAIN, 1, levels=1).advance(events)["ofi_01"]
    assert np.array_equal(got, expected, equal_nan=True)


@pytest.mark.parametrize("gross", [False, True])
def test_the_generalised_flow_counts_every_level_that_was_crossed(gross: bool) -> None:
    books = books_of.random_books(3, 80, levels=6)
    fold = OfiGeneralised(levels=6, count="gross" if gross else "net")
    rows = fold.fold(depth_view_of(books, levels=6))
    for name, size in (("gofi_lots", float), ("gofi_log", math.log1p)):
        expected = [oracle.generalised(a, b, size, gross=gross) for a, b in itertools.pairwise(books)]
        assert rows[name][1:] == pytest.approx(expected, abs=1e-9)


def test_a_move_further_than_the_view_reaches_has_no_generalised_flow() -> None:
    deep = [(100 - m, 5) for m in range(4)]
    jump = [(110 - m, 5) for m in range(4)]
    view = depth_view_of([(deep, [(120, 5)]), (jump, [(120, 5)])], levels=4)
    assert np.isnan(OfiGeneralised(levels=4).fold(view)["gofi_lots"]).all()


def test_where_the_best_price_moves_by_one_level_the_generalised_flow_is_the_plain_one() -> None:
    base = ([(100, 5), (99, 7)], [(101, 6), (102, 8)])
    for then in (
        ([(99, 7)], [(101, 6), (102, 8)]),  # the best bid is gone
        ([(100, 5), (99, 7)], [(102, 8)]),  # the best ask is gone
        ([(100, 9), (99, 7)], [(101, 2), (102, 8)]),
    ):
        view = depth_view_of([base, then], levels=2)
        assert OfiGeneralised(levels=2).fold(view)["gofi_lots"][1] == OfiLevels(levels=2).fold(view)["ofi_01"][1]


def test_adds_cancels_and_trades_add_up_to_the_best_level_flow() -> None:
    events = random_orders(2, 400)
    rows = make_decomposed(PLAIN, 1).advance(events)
    from tapebook.features.touch import TouchFeed

    whole = Ofi().fold(TouchFeed(PLAIN, 1).see(events))["ofi_lots"]
    parts = rows["ofi_adds_lots"] + rows["ofi_cancels_lots"] + rows["ofi_trades_lots"]
    assert np.array_equal(parts, whole, equal_nan=True)
    assert np.nansum(np.abs(rows["ofi_trades_lots"])) > 0


def test_what_leaves_in_a_message_with_a_trade_is_a_trade() -> None:
    view = view_of([(100, 10, 101, 8), (100, 10, 101, 3), (100, 4, 101, 3)])
    view.events["kind"][1] = Kind.EXECUTE
    rows = OfiDecomposed().fold(view)
    assert rows["ofi_trades_lots"].tolist()[1:] == [5.0, 0.0]
    assert rows["ofi_cancels_lots"].tolist()[1:] == [0.0, -6.0]


def test_the_damped_flow_is_measured_by_the_depth_that_stood_before() -> None:
    touches = [(100, 10, 101, 10), (100, 30, 101, 10), (100, 10, 101, 10)]
    rows = OfiLog(depth_half_life_s=1.0).fold(view_of(touches))
    assert rows["ofi_slog"][1] == pytest.approx(math.log1p(20 / 10))
    # A half-life of a second, and the second depth (20) stood for one: half of the way from 10.
    assert rows["ofi_slog"][2] == pytest.approx(-math.log1p(20 / 15))
    assert rows["ofi_log"].tolist()[1:] == pytest.approx([math.log(31 / 11), math.log(11 / 31)])


def test_the_integrated_flow_is_the_first_component_of_the_intervals_before() -> None:
    rng = np.random.default_rng(1)
    n, levels = 4_000, 3
    # Sizes that go up and down together, most at the second level.
    drift = np.cumsum(rng.normal(0, 1, n))
    sizes = 500 + np.outer(drift, [1.0, 3.0, 0.5]) + rng.normal(0, 0.5, (n, levels))
    books = [
        ([(100 - m, int(sizes[i, m] * 10)) for m in range(levels)], [(101 + m, 5_000) for m in range(levels)])
        for i in range(n)
    ]
    view = depth_view_of(books, every_ns=UNIT)
    fold = OfiIntegrated(levels=levels, interval_s=10.0, half_life_s=1e9, warm_intervals=30)
    rows = fold.fold(view)
    assert rows["ts_ns"].tolist() == [(k + 1) * 10 * UNIT for k in range(rows["ts_ns"].size)]
    # The first interval holds the first book, which nothing precedes: it is not learnt from.
    assert np.isnan(rows["ofi_integrated"][:31]).all()
    assert np.isfinite(rows["ofi_integrated"][31:]).all()
    flow = (
        OfiLevels(levels=levels)
        .flows(view)
        .T[: (n // 10) * 10]
        .reshape(-1, 10, levels)
        .sum(axis=1)[: len(rows["ts_ns"])]
    )
    scaled = flow / rows["ofi_depth_lots"][:, None]
    weight = np.linalg.eigh(np.cov(scaled[1:-1], rowvar=False))[1][:, -1]
    weight = weight / np.abs(weight).sum() * np.sign(weight.sum())
    assert fold.weights == pytest.approx(weight, abs=2e-3)
    past = np.linalg.eigh(np.cov(scaled[1:300], rowvar=False, bias=True))
    assert rows["ofi_first_share"][300] == pytest.approx(past[0][-1] / past[0].sum(), abs=1e-3)
    along = past[1][:, -1] / np.abs(past[1][:, -1]).sum() * np.sign(past[1][:, -1].sum())
    assert rows["ofi_integrated"][300] == pytest.approx(float(scaled[300] @ along), rel=2e-2)


def test_an_interval_with_a_break_has_no_integrated_flow() -> None:
    view = depth_view_of([([(100, 5 + i)], [(101, 5)]) for i in range(60)], every_ns=UNIT)
    view.trading[25] = False
    rows = OfiIntegrated(levels=1, interval_s=10.0, warm_intervals=2).fold(view)
    assert np.isnan(rows["ofi_integrated"]).tolist() == [True, True, True, True, False]


def test_parameters_out_of_range_are_refused() -> None:
    for wrong in (
        lambda: OfiLevels(levels=0),
        lambda: OfiGeneralised(count="both"),
        lambda: OfiLog(depth_half_life_s=0),
        lambda: OfiIntegrated(interval_s=0),
        lambda: OfiIntegrated(warm_intervals=1),
    ):
        with pytest.raises(ConfigurationError):
            wrong()


def test_a_snapshot_leaves_nothing_to_compare_with() -> None:
    events = random_orders(4, 300, wild=0)
    view_flags = events.copy()
    view_flags["flags"][150] |= int(Flag.SNAPSHOT)
    plain, broken = (make_levels(PLAIN, 1, levels=3).advance(e)["ofi_01"] for e in (events, view_flags))
    assert np.isnan(broken).sum() == np.isnan(plain).sum() + 1
