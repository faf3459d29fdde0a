"""Residual tests: quiet on the right model, loud on a wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.market.errors import DataQualityError
from tapebook.models.hawkes import Hawkes
from tapebook.research.hawkes import fit
from tapebook.research.hawkes_recovery import CASES, study
from tapebook.research.hawkes_residuals import ResidualTest, bootstrap_ks, qq_points

THREE = Hawkes(np.array([0.3]), np.array([[[0.2, 0.25, 0.3]]]), np.array([[0.05, 1.0, 50.0]]))


def test_on_draws_of_an_exponential_every_p_value_is_uniform() -> None:
    rng = np.random.default_rng(1)
    tests = [ResidualTest.of(rng.exponential(size=1500)) for _ in range(400)]
    for p in ([t.ks_p for t in tests], [t.ljung_box_p for t in tests], [t.dispersion_p for t in tests]):
        assert 0.01 < np.mean(np.array(p) < 0.05) < 0.10
        assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_each_test_sees_what_it_is_for() -> None:
    rng = np.random.default_rng(2)
    x = rng.exponential(size=4000)
    assert ResidualTest.of(x * 1.1).ks_p < 1e-3
    assert ResidualTest.of(np.sort(x)).ljung_box_p < 1e-6  # the right distribution in the wrong order
    assert ResidualTest.of(np.sort(x)).ks_p == ResidualTest.of(x).ks_p
    assert ResidualTest.of(rng.gamma(0.7, 1 / 0.7, 4000)).dispersion > 5
    with pytest.raises(DataQualityError, match="too few"):
        ResidualTest.of(x[:20])


def test_the_true_shape_passes_and_poisson_and_one_exponential_fail() -> None:
    horizon = 30_000 / float(THREE.mean_rates[0])
    times, types = THREE.simulate(horizon, np.random.default_rng(3))
    right, one = (fit(times, types, horizon=horizon, n_exp=n) for n in (3, 1))
    poisson = ResidualTest.of(np.diff(times, prepend=0.0) * times.size / horizon)
    tests = [ResidualTest.of(f.model.residuals(times, types)[0]) for f in (right, one)]
    assert tests[0].ks_p > 0.05
    assert tests[0].ljung_box_p > 0.01
    assert tests[1].ks_p < 1e-6
    assert poisson.ks_p < 1e-6
    assert tests[0].ks < tests[1].ks < poisson.ks


def test_the_bootstrap_agrees_with_the_right_model_and_not_with_a_wrong_one() -> None:
    horizon = 600 / float(THREE.mean_rates[0])
    times, types = THREE.simulate(horizon, np.random.default_rng(4))
    rng = np.random.default_rng(5)
    wrong = fit(times, types, horizon=horizon, n_exp=1)
    assert bootstrap_ks(wrong, times, types, 9, rng) == [0.1]  # the least that 9 samples can say
    truth = Hawkes.one(1.0, 0.5, 2.0)
    times, types = truth.simulate(300.0, np.random.default_rng(6))
    assert bootstrap_ks(fit(times, types, horizon=300.0), times, types, 9, rng)[0] > 0.1


def test_quantiles_lie_on_the_line_where_the_model_is_right() -> None:
    expected, found = qq_points(np.random.default_rng(7).exponential(size=50_000), 200)
    assert expected.size <= 200
    inside = expected < 7
    assert found[inside] == pytest.approx(expected[inside], abs=0.25)
    few, ordered = qq_points(np.array([3.0, 1.0, 2.0]))
    assert ordered.tolist() == [1.0, 2.0, 3.0]
    assert (np.diff(few) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_was_drawn_is_found_within_the_standard_errors(name: str) -> None:
    # The whole study (50 seeds of 100,000 events) stands in docs/hawkes.md; this is the small one that guards it.
    found = study(CASES[name], 8, n_events=20_000, first_seed=1000)
    assert found.coverage >= 0.85
    assert found.joint >= 0.6
    assert found.residuals_pass >= 0.85
