"""Drawing from a Hawkes model: three methods, one process."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.models.hawkes import Hawkes, power_grid, power_law
from tapebook.research.hawkes_residuals import ks_distance

ONE = Hawkes.one(mu=1.0, eta=0.6, beta=2.0)
TWO = Hawkes(np.array([0.5, 0.3]), np.array([[0.4, 0.2], [0.1, 0.5]])[:, :, None], np.array([[1.5], [4.0]]))
SUM = Hawkes(np.array([0.4]), np.array([[[0.3, 0.4]]]), np.array([[0.5, 20.0]]))


@pytest.mark.parametrize("method", ["exact", "thinning", "clusters"])
def test_every_method_has_the_mean_and_variance_of_theory(method: str) -> None:
    # Long windows: the mean rate is mu / (1 - eta), the variance of counts grows with mu / (1 - eta)^3.
    rng = np.random.default_rng(1)
    horizon = 400.0
    counts = np.array([ONE.simulate(horizon, rng, method=method)[0].size for _ in range(1500)])
    mean, variance = horizon / 0.4, horizon / 0.4**3
    start = 0.6 / (2.0 * 0.4**2)  # events missing because the process starts with no past: eta mu / (beta (1 - eta)^2)
    assert counts.mean() == pytest.approx(mean - start, abs=4 * np.sqrt(variance / 1500))
    assert counts.var() == pytest.approx(variance, rel=0.15)


@pytest.mark.uncompiled
@pytest.mark.parametrize(("model", "method"), [(ONE, "exact"), (TWO, "thinning"), (TWO, "clusters"),
                                               (SUM, "thinning"), (SUM, "clusters")])  # fmt: skip
def test_what_is_drawn_passes_for_the_model_and_not_for_another(model: Hawkes, method: str) -> None:
    horizon = 20_000 / float(model.mean_rates.sum())
    times, types = model.simulate(horizon, np.random.default_rng(2), method=method)
    for i, x in enumerate(model.residuals(times, types)):
        assert ks_distance(x) < 1.63 / np.sqrt(x.size), f"type {i}"
    other = Hawkes(model.mu, model.eta, model.beta * 3)
    x = other.residuals(times, types)[0]
    assert ks_distance(x) > 1.63 / np.sqrt(x.size)


@pytest.mark.uncompiled
def test_two_types_come_at_their_mean_rates() -> None:
    for method in ("thinning", "clusters"):
        _, types = TWO.simulate(50_000.0, np.random.default_rng(3), method=method)
        assert np.bincount(types) / 50_000 == pytest.approx(TWO.mean_rates, rel=0.03)


@pytest.mark.uncompiled
def test_a_seed_draws_the_same_events_twice() -> None:
    first, again = (SUM.simulate(500.0, np.random.default_rng(9)) for _ in range(2))
    assert first[0].tobytes() == again[0].tobytes()
    assert first[0].size > 100


@pytest.mark.uncompiled
def test_the_forecast_is_the_mean_of_what_then_happens() -> None:
    rng = np.random.default_rng(4)
    past: NDArray[np.float64] = np.array([0.2, 0.5, 0.6, 0.9])
    now = float(ONE.intensity(past, np.zeros(4, np.int64), np.array([1.0]))[0, 0])
    # What follows is a process whose baseline decays from `now`: the clusters of the past and those to come.
    excess = now - 1.0
    counts = []
    for _ in range(4000):
        fresh = ONE.simulate(3.0, rng)[0].size
        births = rng.exponential(0.5, rng.poisson(excess / 2.0))
        counts.append(fresh + sum(1 + _descendants(rng, 3.0 - b) for b in births if b < 3.0))
    expected = ONE.expected_events(now, 3.0)  # type: ignore[arg-type] # a scalar is an array of one
    assert np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / np.sqrt(4000))


def _descendants(rng: np.random.Generator, left: float) -> int:
    ages = rng.exponential(0.5, rng.poisson(0.6))
    return sum(1 + _descendants(rng, left - a) for a in ages if a < left)


@pytest.mark.uncompiled
def test_an_exploding_process_is_told_and_not_drawn() -> None:
    wild = Hawkes(np.array([1.0, 1.0]), np.array([[0.2, 2.0], [0.9, 0.1]])[:, :, None], np.ones((2, 1)))
    assert wild.branching_ratio > 1  # though no type feeds itself much
    assert not wild.stationary
    assert np.isnan(wild.mean_rates).all()
    with pytest.raises(ConfigurationError, match="explodes"):
        wild.simulate(10.0, np.random.default_rng(0))


@pytest.mark.uncompiled
def test_arrays_that_do_not_fit_and_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="fit together"):
        Hawkes(np.array([1.0]), np.ones((2, 2, 1)), np.ones((1, 1)))
    for mu, eta, beta in ((0.0, 0.5, 1.0), (1.0, -0.1, 1.0), (1.0, 0.5, 0.0)):
        with pytest.raises(ConfigurationError, match="range"):
            Hawkes.one(mu, eta, beta)
    with pytest.raises(ConfigurationError, match="cannot simulate"):
        TWO.simulate(1.0, np.random.default_rng(0), method="exact")


@pytest.mark.uncompiled
def test_a_power_law_falls_with_its_exponent() -> None:
    h = power_law(0.3, 0.7, 0.4, 0.01, n_exp=24)
    ages = np.logspace(0, 2, 5)  # the middle of its six decades from 0.01 on
    phi = [(h.eta[0, 0] * h.beta[0] * np.exp(-h.beta[0] * a)).sum() for a in ages]
    slopes = np.diff(np.log(phi)) / np.diff(np.log(ages))
    assert slopes == pytest.approx(-1.4, abs=0.03)
    weights, beta = power_grid(0.4, 0.01, 12, 6.0)
    assert weights.sum() == pytest.approx(1.0)
    assert (1 / beta[[0, -1]]).tolist() == pytest.approx([0.01, 1e4])
    two = power_law(np.array([0.1, 0.2]), np.array([[0.4, 0.1], [0.2, 0.3]]), 0.4, np.array([0.01, 0.1]))
    assert two.children == pytest.approx(np.array([[0.4, 0.1], [0.2, 0.3]]))


@pytest.mark.uncompiled
def test_a_change_of_unit_changes_no_number_of_children() -> None:
    times, types = TWO.simulate(300.0, np.random.default_rng(5))
    in_ms = TWO.scaled(1e-3)
    assert in_ms.branching_ratio == pytest.approx(TWO.branching_ratio)
    a, b = TWO.residuals(times, types)[0], in_ms.residuals(times * 1e3, types)[0]
    assert a == pytest.approx(b)
