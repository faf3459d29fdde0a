from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from tapebook.market.errors import ConfigurationError
from tapebook.models.market_making import MarketMaker
from tapebook.research.hjb import _matrix, by_exponential, by_policy, far_from_the_end

MAKER = MarketMaker(volatility=0.3, intensity=0.9, decay=0.3, risk_aversion=0.01, tick=0.01, inventory_max=6)


def test_the_exponential_solves_the_linear_equations() -> None:
    diagonal, off = _matrix(MAKER)
    m = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
    v = solve_ivp(lambda _, y: -m @ y, (0, 30.0), np.ones(13), rtol=1e-11, atol=1e-13).y[:, -1]
    table = by_exponential(MAKER, 30.0)
    lean = np.log(v[1:] / v[:-1]) / MAKER.decay
    assert table.bid_distance[:-1] == pytest.approx(MAKER.margin - lean, abs=1e-7)
    assert table.ask_distance[1:] == pytest.approx(MAKER.margin + lean, abs=1e-7)
    assert np.isnan(table.bid_distance[-1])
    assert np.isnan(table.ask_distance[0])


@pytest.mark.parametrize(
    "maker",
    [
        MAKER,
        replace(MAKER, drift=0.01),
        replace(MAKER, fee=0.2),
        replace(MAKER, volatility=1.0, risk_aversion=0.05, fee=-0.1),
    ],
)
def test_policy_iteration_on_the_equation_itself_finds_the_same_quotes(maker: MarketMaker) -> None:
    exact = by_exponential(maker, 20.0)
    errors = []
    for steps in (50, 200):
        table = by_policy(maker, 20.0, steps=steps, distances=10_001, distance_max=25.0)
        errors.append(np.nanmax(np.abs(table.bid_distance - exact.bid_distance)))
        assert np.nanmax(np.abs(table.ask_distance - exact.ask_distance)) < 12 / steps + 0.005
    assert errors[1] < 0.03
    assert errors[1] < 0.35 * errors[0] + 0.005  # first order in time, down to a step of the grid of distances


def test_far_from_the_end_the_quotes_stand_still() -> None:
    limit = far_from_the_end(MAKER)
    late = by_exponential(MAKER, 3_000.0)
    assert late.bid_distance[:-1] == pytest.approx(limit.bid_distance[:-1], abs=1e-9)
    assert late.ask_distance[1:] == pytest.approx(limit.ask_distance[1:], abs=1e-9)


def test_quotes_at_inventories_that_are_hardly_ever_held_are_exact_too() -> None:
    # The value there is a tiny part of that at no inventory: an eigenvector in double precision would have noise there.
    maker = replace(MAKER, volatility=2.0, risk_aversion=0.1, inventory_max=40)
    limit, late = far_from_the_end(maker), by_exponential(maker, 500.0)
    assert limit.bid_distance[:-1] == pytest.approx(late.bid_distance[:-1], rel=1e-9)
    assert limit.ask_distance[1:] == pytest.approx(late.ask_distance[1:], rel=1e-9)
    assert (np.diff(limit.bid_distance[:-1]) > 0).all()
    assert limit.bid_distance[:-1] == pytest.approx(limit.ask_distance[:0:-1], rel=1e-9)


def test_the_closed_form_is_close_where_the_inventory_is_small_against_its_limit() -> None:
    maker = replace(MAKER, inventory_max=30)
    limit = far_from_the_end(maker)
    for n in range(-4, 5):
        q = maker.stationary(0.0, n)
        at = n + 30
        assert -q.bid == pytest.approx(limit.bid_distance[at], rel=0.01)
        assert q.ask == pytest.approx(limit.ask_distance[at], rel=0.01)


def test_a_drift_and_a_fee_are_in_the_closed_form_as_in_the_exact_solution() -> None:
    maker = replace(MAKER, inventory_max=40, drift=0.0005, fee=-0.05)
    limit = far_from_the_end(maker)
    q = maker.stationary(0.0, 0)
    assert -q.bid == pytest.approx(limit.bid_distance[40], rel=0.01)
    assert q.ask == pytest.approx(limit.ask_distance[40], rel=0.01)
    plain = far_from_the_end(replace(maker, drift=0.0))
    assert limit.bid_distance[40] < plain.bid_distance[40]


def test_avellaneda_and_stoikov_hold_near_the_end() -> None:
    exact = by_exponential(replace(MAKER, inventory_max=20), 0.5)
    for n in range(-4, 5):
        q = MAKER.finite(0.0, n, 0.5)
        assert -q.bid == pytest.approx(exact.bid_distance[n + 20], abs=2e-4)
        assert q.ask == pytest.approx(exact.ask_distance[n + 20], abs=2e-4)


def test_what_has_no_solution_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="aversion"):
        by_exponential(replace(MAKER, risk_aversion=0.0), 1.0)
    with pytest.raises(ConfigurationError, match="monotone"):
        by_policy(replace(MAKER, volatility=100.0), 100.0, steps=10)


def test_the_table_has_a_row_for_each_inventory() -> None:
    rows = far_from_the_end(MAKER).table()
    assert [row["inventory"] for row in rows] == list(range(-6, 7))
