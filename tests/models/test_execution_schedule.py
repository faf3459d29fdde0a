from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tapebook.market.errors import ConfigurationError
from tapebook.models.execution_schedule import AlmgrenChriss, ObizhaevaWang, decay

MODEL = AlmgrenChriss(volatility=0.95, temporary=2.5e-6, permanent=2.5e-7, risk_aversion=1e-6, half_spread=0.0625)
ORDER = 1e6


def utility(model: AlmgrenChriss, inner: np.ndarray[tuple[int], np.dtype[np.float64]], horizon: float) -> float:
    held = np.concatenate([[ORDER], inner * ORDER, [0.0]])
    got = model.of_holdings(np.linspace(0, horizon, held.size), held)
    return got.expected_cost + model.risk_aversion * got.variance


@pytest.mark.parametrize("aversion", [0.0, 1e-7, 1e-6, 1e-5])
def test_the_schedule_solves_the_quadratic_programme_it_is_the_solution_of(aversion: float) -> None:
    # The utility is a quadratic form of the inner holdings: its optimum is one linear system, built without sinh.
    model = AlmgrenChriss(volatility=0.95, temporary=2.5e-6, permanent=2.5e-7, risk_aversion=aversion)
    n, horizon = 20, 5.0
    tau = horizon / n
    difference = np.zeros((n, n - 1))
    difference[np.arange(n - 1), np.arange(n - 1)] = 1.0
    difference[np.arange(1, n), np.arange(n - 1)] = -1.0
    eta = 2.5e-6 - 2.5e-7 * tau / 2
    edge = np.zeros(n)
    edge[0] = 1.0
    hessian = 2 * eta / tau * difference.T @ difference + 2 * aversion * 0.95**2 * tau * np.eye(n - 1)
    inner = np.linalg.solve(hessian, 2 * eta / tau * difference.T @ edge)
    best = model.schedule(ORDER, horizon, n)
    assert best.holdings_lots[1:-1] / ORDER == pytest.approx(inner, abs=1e-12)
    assert best.trades_lots.sum() == pytest.approx(ORDER, rel=1e-15)


def test_a_numeric_optimiser_finds_nothing_better() -> None:
    best = MODEL.schedule(ORDER, 5.0, 8)
    found = minimize(lambda x: utility(MODEL, x, 5.0) / 1e5, np.linspace(1, 0, 9)[1:-1], method="BFGS", tol=1e-12)
    mine = best.expected_cost + MODEL.risk_aversion * best.variance
    assert mine <= found.fun * 1e5 * (1 + 1e-12)
    assert best.holdings_lots[1:-1] / ORDER == pytest.approx(found.x, abs=1e-4)


def test_cost_and_variance_equal_the_closed_forms_of_the_paper() -> None:
    n, horizon, x = 5, 5.0, ORDER
    tau, k = 1.0, MODEL.urgency(1.0)
    eta = 2.5e-6 - 2.5e-7 / 2
    cost = 0.5 * 2.5e-7 * x**2 + 0.0625 * x
    cost += (
        eta
        * x**2
        * np.tanh(k * tau / 2)
        * (tau * np.sinh(2 * k * horizon) + 2 * horizon * np.sinh(k * tau))
        / (2 * tau**2 * np.sinh(k * horizon) ** 2)
    )
    variance = 0.5 * (0.95 * x) ** 2
    variance *= tau * np.sinh(k * horizon) * np.cosh(k * (horizon - tau)) - horizon * np.sinh(k * tau)
    variance /= np.sinh(k * horizon) ** 2 * np.sinh(k * tau)
    best = MODEL.schedule(x, horizon, n)
    assert best.expected_cost == pytest.approx(cost, rel=1e-12)
    assert best.variance == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("aversion", [0.0, 1e-16, 1e-9, 1e-6, 1e-3])
def test_many_slices_tend_to_continuous_trading(aversion: float) -> None:
    model = AlmgrenChriss(volatility=0.95, temporary=2.5e-6, risk_aversion=aversion, half_spread=0.0625)
    fine = model.schedule(ORDER, 5.0, 20_000)
    cost, variance = model.continuous(ORDER, 5.0)
    assert fine.expected_cost == pytest.approx(cost, rel=1e-3)
    assert fine.variance == pytest.approx(variance, rel=2.0 * 19 * 5.0 / 20_000 + 1e-3)


def test_the_series_for_little_urgency_joins_on_without_a_step() -> None:
    times = np.linspace(0, 3.0, 31)
    below, above = decay(0.999999e-4 / 3, times, 3.0), decay(1.000001e-4 / 3, times, 3.0)
    assert below == pytest.approx(above, abs=1e-14)
    assert decay(0.0, times, 3.0) == pytest.approx(1 - times / 3, abs=1e-15)
    for z in (0.99e-4, 1.01e-4, 0.0499, 0.0501):  # k T on both sides of where a series takes over
        model = AlmgrenChriss(volatility=1.0, temporary=1.0, risk_aversion=z * z)
        cost, variance = model.continuous(1.0, 1.0)
        assert cost == pytest.approx(1 + z**4 / 45, abs=1e-10)
        assert variance == pytest.approx((1 - 2 * z**2 / 15 + 2 * z**4 / 105) / 3, abs=2e-9)


def test_extreme_urgency_does_not_overflow() -> None:
    times = np.linspace(0, 1000.0, 11)
    share = decay(50.0, times, 1000.0)
    assert share[0] == 1.0
    assert share[-1] == 0.0
    assert np.isfinite(share).all()


def test_the_frontier_buys_certainty_with_cost_along_a_convex_line() -> None:
    cost, variance = MODEL.frontier(ORDER, 5.0, 40, list(np.logspace(-9, -4, 30)))
    assert (np.diff(cost) > 0).all()
    assert (np.diff(variance) < 0).all()
    slope = np.diff(cost) / np.diff(variance)
    assert (np.diff(slope) < 0).all()


def test_the_table_has_a_row_for_each_slice() -> None:
    best = MODEL.schedule(ORDER, 5.0, 8)
    rows = best.table()
    assert [row["time"] for row in rows] == best.times[:-1].tolist()
    assert sum(row["trades_lots"] for row in rows) == pytest.approx(ORDER)
    assert rows[3]["holdings_lots"] - rows[4]["holdings_lots"] == pytest.approx(rows[3]["trades_lots"])


def test_selling_and_buying_cost_the_same() -> None:
    buy, sell = MODEL.schedule(ORDER, 5.0, 10), MODEL.schedule(-ORDER, 5.0, 10)
    assert buy.expected_cost == sell.expected_cost
    assert (buy.holdings_lots == -sell.holdings_lots).all()


def test_slices_too_long_for_the_permanent_impact_are_told() -> None:
    model = AlmgrenChriss(volatility=1.0, temporary=1.0, permanent=1.0, risk_aversion=1.0)
    with pytest.raises(ConfigurationError, match="more slices"):
        model.schedule(1.0, 10.0, 2)
    with pytest.raises(ConfigurationError, match="out of its range"):
        AlmgrenChriss(volatility=-1.0, temporary=1.0)


def block_book_cost(model: ObizhaevaWang, trades: np.ndarray[tuple[int], np.dtype[np.float64]], dt: float) -> float:
    """Walk the book trade by trade: what stands above the fundamental price closes again at the model's rate."""
    gap, moved, cost = 0.0, 0.0, 0.0
    for x in trades:
        cost += x * (moved + gap) + x * x / (2 * model.depth) + model.half_spread * x
        moved += model.permanent * x
        gap = (gap + x * (1 / model.depth - model.permanent)) * np.exp(-model.resilience * dt)
    return cost


def test_obizhaeva_and_wang_beat_every_discrete_plan_and_are_reached_by_the_best() -> None:
    model = ObizhaevaWang(depth=500.0, resilience=0.1, permanent=0.0005, half_spread=0.01)
    plan = model.plan(1000.0, 60.0)
    assert plan.first_lots + plan.last_lots + plan.rate * 60 == pytest.approx(1000.0)
    n = 601
    dt = 60.0 / (n - 1)
    times = np.arange(n) * dt
    # Cost as a quadratic form: each trade pays what is left of all before it, and half of its own.
    fade = (1 / 500.0 - 0.0005) * np.exp(-0.1 * np.abs(times[:, None] - times[None, :])) + 0.0005
    solved = np.linalg.solve(fade, np.ones(n))
    best = 1000.0 * solved / solved.sum()
    assert best[0] == pytest.approx(plan.first_lots, rel=1e-2)
    assert best[300] / dt == pytest.approx(plan.rate, rel=1e-2)
    walked = block_book_cost(model, best, dt)
    assert walked == pytest.approx(plan.expected_cost, rel=1e-4)
    even = block_book_cost(model, np.full(n, 1000.0 / n), dt)
    assert even > walked


def test_without_resilience_half_is_traded_at_each_end_and_time_does_not_matter() -> None:
    plan = ObizhaevaWang(depth=100.0, resilience=0.0).plan(10.0, 5.0)
    assert (plan.first_lots, plan.rate, plan.last_lots) == (5.0, 0.0, 5.0)
    assert [plan.traded(t) for t in (-1.0, 0.0, 4.9, 5.0)] == [0.0, 5.0, 5.0, 10.0]
    assert plan.expected_cost == pytest.approx(0.5)  # 10 lots through a depth of 100 a unit: half of 0.1 a lot
