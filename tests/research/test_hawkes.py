"""Fitting Hawkes processes: libraries' optima, EM, stationarity, bounds, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.models.hawkes import Hawkes
from tapebook.research.hawkes import fit, refit
from tapebook.research.hawkes_rows import Sample, climb
from tapebook.research.hawkes_shapes import Exponentials, PowerLaw, Shape

TWO = Hawkes(np.array([0.5, 0.3]), np.array([[0.4, 0.2], [0.1, 0.5]])[:, :, None], np.array([[1.5], [4.0]]))


def test_the_optimum_is_that_of_two_libraries(reference: Callable[[str], Path]) -> None:
    inputs = np.load(reference("vectors/inputs/hawkes_uv.npz"))
    found = fit(inputs["t"], horizon=float(inputs["T"]))
    ours = [found.model.mu[0], found.model.eta[0, 0, 0], found.model.beta[0, 0]]
    text = reference("vectors/expected/hawkes_uv__hawkeslib.json").read_text()
    assert ours == pytest.approx(json.loads(text)["expected"]["mle_gd"], abs=2e-4)
    mle = json.loads(reference("vectors/expected/hawkes_uv__hawkes.json").read_text())["expected"]
    assert ours == pytest.approx([mle["mle"][k] for k in ("mu", "alpha", "beta")], abs=2e-4)
    assert found.log_likelihood == pytest.approx(mle["L"], abs=1e-4)
    assert found.converged


def test_em_climbs_at_every_step_and_ends_where_maximum_likelihood_does() -> None:
    times, types = TWO.simulate(3000.0, np.random.default_rng(1))
    unit = 3000.0 / times.size
    sample = Sample(times / unit, types, times.size * 1.0, 2)
    for n_exp in (1, 2):
        _, path = climb(sample, 0, Exponentials(2, n_exp))
        assert len(path) > 5
        assert (np.diff(path) >= -1e-7).all()
    em, mle = (fit(times, types, horizon=3000.0, method=m) for m in ("em", "mle"))
    assert em.log_likelihood == pytest.approx(mle.log_likelihood, abs=1e-2)
    assert em.model.eta == pytest.approx(mle.model.eta, abs=5e-3)
    assert em.model.beta == pytest.approx(mle.model.beta, rel=2e-2)
    assert em.stderr["eta"] == pytest.approx(mle.stderr["eta"], rel=5e-2)


def test_the_edge_of_the_window_is_part_of_em() -> None:
    # A window shorter than the memory: without the edge, children cut off by it are missed and eta comes out small.
    truth = Hawkes.one(mu=30.0, eta=0.8, beta=0.2)
    times, _ = truth.simulate(12.0, np.random.default_rng(2))
    fixed = np.array([0.2])
    em, mle = (fit(times, horizon=12.0, beta=fixed, method=m) for m in ("em", "mle"))
    assert em.model.eta[0, 0, 0] == pytest.approx(mle.model.eta[0, 0, 0], abs=2e-2)
    assert em.model.beta.tolist() == [[0.2]]
    assert np.isnan(em.stderr["beta"]).all()


def shapes() -> list[Shape]:
    return [Exponentials(2, 2), Exponentials(2, 2, np.array([0.5, 5.0])), PowerLaw(2, 6, 4.0)]


@pytest.mark.parametrize("shape", shapes(), ids=["free", "fixed", "power"])
def test_gradients_by_theta_are_those_of_central_differences(shape: Shape) -> None:
    times, types = TWO.simulate(200.0, np.random.default_rng(3))
    sample = Sample(times, types, 200.0, 2)
    theta = shape.starts(0.5)[0] + np.random.default_rng(4).normal(0, 0.3, shape.starts(0.5)[0].size)

    def value(at: NDArray[np.float64]) -> float:
        return sample.likelihood(1, *shape.unpack(at))[0]

    grad = shape.pull(theta, sample.likelihood(1, *shape.unpack(theta))[1])
    slope = shape.children(theta)[1]
    for place in range(theta.size):
        step = np.zeros(theta.size)
        step[place] = 1e-6
        assert grad[place] == pytest.approx((value(theta + step) - value(theta - step)) / 2e-6, rel=1e-5, abs=1e-5)
        by_hand = (shape.children(theta + step)[0] - shape.children(theta - step)[0]) / 2e-6
        assert slope[:, place] == pytest.approx(by_hand, abs=1e-6)


def burst(n: int) -> NDArray[np.float64]:
    """Events of a window of 100 whose rate only grows: nothing stationary explains them best."""
    times: NDArray[np.float64] = 100.0 - np.sort(100.0 * np.exp(-np.linspace(0, 5, n)))[::-1]
    return times


def test_an_explosive_sample_is_reported_or_held_below_one() -> None:
    times = burst(600)
    free = fit(times, horizon=100.0)
    assert free.model.branching_ratio > 1
    assert not free.model.stationary
    assert free.to_dict()["mean_rates"] is None
    held = fit(times, horizon=100.0, stationary="enforce")
    assert held.bounded
    assert held.model.branching_ratio <= 0.999 + 1e-6
    assert held.log_likelihood < free.log_likelihood
    assert np.isnan(held.stderr["eta"]).all()
    assert held.to_dict()["stderr"]["mu"] == [None]


def test_two_types_with_several_exponentials_are_held_below_one_too() -> None:
    held = fit(burst(300), np.arange(300) % 2, horizon=100.0, n_exp=2, stationary="enforce")
    assert held.bounded
    assert held.model.branching_ratio <= 0.999 + 1e-6


def test_a_type_that_excites_nothing_gets_no_children_and_no_error_bar() -> None:
    rng = np.random.default_rng(6)
    times = np.sort(rng.uniform(0, 1000, 3000))
    found = fit(times, horizon=1000.0)
    assert found.model.branching_ratio < 0.1
    assert found.model.mu[0] == pytest.approx(3.0, rel=0.15)
    assert np.isfinite(found.log_likelihood)


def test_ties_do_not_drive_a_rate_to_infinity() -> None:
    rng = np.random.default_rng(7)
    times = np.sort(np.round(rng.uniform(0, 100, 2000), 2))  # a clock of 10 ms: many ties
    found = fit(times, rng.integers(0, 2, 2000), horizon=100.0)
    assert found.model.beta.max() <= 1 / 0.01 * 1.001


def test_exponentials_come_slowest_first_and_a_refit_uses_the_same_settings() -> None:
    truth = Hawkes(np.array([0.4]), np.array([[[0.3, 0.4]]]), np.array([[0.5, 20.0]]))
    times, types = truth.simulate(4000.0, np.random.default_rng(8))
    found = fit(times, types, horizon=4000.0, n_exp=2)
    assert found.model.beta[0, 0] < found.model.beta[0, 1]
    again = refit(found, times, types, 4000.0)
    assert again.model.eta == pytest.approx(found.model.eta)
    one = fit(times, types, horizon=4000.0)
    assert found.aic < one.aic
    assert found.bic < one.bic


def test_the_unit_of_time_changes_no_result() -> None:
    times, types = TWO.simulate(1500.0, np.random.default_rng(9))
    seconds, hours = fit(times, types, horizon=1500.0), fit(times / 3600, types, horizon=1500.0 / 3600)
    assert hours.model.eta == pytest.approx(seconds.model.eta, rel=1e-6, abs=1e-9)
    assert hours.model.beta == pytest.approx(seconds.model.beta * 3600, rel=1e-6)
    assert hours.stderr["beta"] == pytest.approx(seconds.stderr["beta"] * 3600, rel=1e-4)
    assert hours.log_likelihood == pytest.approx(seconds.log_likelihood + times.size * np.log(3600), abs=1e-4)


def test_bad_input_is_told() -> None:
    good = np.linspace(0, 10, 50)
    with pytest.raises(DataQualityError, match="too few events"):
        fit(good[:5])
    with pytest.raises(DataQualityError, match="ascend"):
        fit(good[::-1].copy())
    with pytest.raises(DataQualityError, match="ascend"):
        fit(good, horizon=5.0)
    with pytest.raises(DataQualityError, match="a type has too few"):
        fit(good, np.array([0] * 48 + [1] * 2))
    with pytest.raises(ConfigurationError, match="length"):
        fit(good, np.zeros(3, np.int64))
    with pytest.raises(ConfigurationError, match="EM"):
        fit(good, shape="power", method="em")
    with pytest.raises(ConfigurationError, match="rates"):
        fit(good, beta=np.array([-1.0]))
    with pytest.raises(ConfigurationError, match="shape"):
        fit(good, shape="square")  # type: ignore[arg-type] # the mistake under test
    with pytest.raises(DataQualityError):
        fit(np.zeros(20))
