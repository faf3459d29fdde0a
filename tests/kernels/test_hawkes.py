"""Hawkes kernels against sums over all pairs, central differences, and three libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tapebook.kernels import hawkes as kernel
from tapebook.models.hawkes import Hawkes
from tests.oracles import hawkes as oracle

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Sample = tuple[Floats, Ints, float, Hawkes]


@st.composite
def samples(draw: st.DrawFn, *, ties: bool = True) -> Sample:
    """A few events of 1-3 types and a model of 1-3 exponentials, from rates of 0.01 to 100."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    d, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    n = draw(st.integers(0, 25))
    gaps = rng.exponential(1.0, n) * (rng.random(n) < 0.85 if ties else 1)
    times = np.cumsum(gaps)
    horizon = float(times[-1] if n else 0.0) + float(rng.exponential())
    model = Hawkes(
        rng.uniform(0.05, 2, d), rng.uniform(0, 1.2, (d, d, k)) * (rng.random((d, d, k)) < 0.8),
        10 ** rng.uniform(-2, 2, (d, k)),
    )  # fmt: skip
    return times, rng.integers(0, d, n), horizon, model


def likelihood(sample: Sample, i: int) -> tuple[float, Floats]:
    times, types, horizon, m = sample
    grad = np.full(1 + m.eta[i].size + m.beta.shape[1], np.nan)
    return kernel.row_likelihood(times, types, horizon, i, m.mu[i], m.eta[i], m.beta[i], grad), grad


@pytest.mark.uncompiled
@settings(max_examples=60)
@given(samples())
def test_likelihood_and_residuals_are_those_of_the_definition(sample: Sample) -> None:
    times, types, horizon, m = sample
    found = m.residuals(times, types)
    for i in range(m.mu.size):
        expected = oracle.log_likelihood(times, types, horizon, m.mu, m.eta, m.beta, i)
        assert likelihood(sample, i)[0] == pytest.approx(expected, rel=1e-10, abs=1e-9)
        if not (np.diff(times) == 0).any():  # the oracle's compensator has no order within a tie
            assert found[i].tolist() == pytest.approx(
                oracle.residuals(times, types, m.mu, m.eta, m.beta, i), rel=1e-9, abs=1e-9
            )


@pytest.mark.uncompiled
@settings(max_examples=40)
@given(samples(), st.integers(0, 2**32))
def test_intensities_and_compensators_at_any_time_are_those_of_the_definition(sample: Sample, seed: int) -> None:
    times, types, horizon, m = sample
    at = np.sort(np.random.default_rng(seed).uniform(0, horizon, 12))
    intensity, integral = m.intensity(times, types, at), m.compensator(times, types, at)
    for a, t in enumerate(at.tolist()):
        n_before = int((times < t).sum())
        for i in range(m.mu.size):
            expected = oracle.intensity(times, types, m.mu, m.eta, m.beta, i, n_before, t)
            assert intensity[a, i] == pytest.approx(expected, rel=1e-10)
            expected = oracle.compensator(times, types, m.mu, m.eta, m.beta, i, t)
            assert integral[a, i] == pytest.approx(expected, rel=1e-10, abs=1e-10)


@settings(max_examples=60)
@given(samples(ties=False))
def test_the_gradient_is_that_of_central_differences(sample: Sample) -> None:
    times, types, horizon, m = sample
    k = m.beta.shape[1]
    for i in range(m.mu.size):
        _, grad = likelihood(sample, i)
        flat = np.concatenate([m.mu[i : i + 1], m.eta[i].ravel(), m.beta[i]])
        for place in range(flat.size):
            h = 1e-6 * max(flat[place], 1e-3)
            values = []
            for step in (h, -h):
                moved = flat.copy()
                moved[place] += step
                eta = moved[1:-k].reshape(m.mu.size, k)
                values.append(
                    kernel.row_likelihood(times, types, horizon, i, moved[0], eta, moved[-k:], np.empty(flat.size))
                )
            assert grad[place] == pytest.approx((values[0] - values[1]) / (2 * h), rel=2e-4, abs=2e-5)


@settings(max_examples=40)
@given(samples())
def test_the_unrolled_likelihood_and_the_expectation_agree_with_the_general_one(sample: Sample) -> None:
    times, types, horizon, m = sample
    one = Hawkes(m.mu[:1], m.eta[:1, :1, :1], m.beta[:1, :1])
    zero = np.zeros_like(types)
    value, grad = likelihood((times, zero, horizon, one), 0)
    unrolled = np.empty(3)
    assert kernel.row_likelihood_one(
        times, horizon, one.mu[0], one.eta[0, 0, 0], one.beta[0, 0], unrolled
    ) == pytest.approx(value, rel=1e-12, abs=1e-12)
    assert unrolled == pytest.approx(grad, rel=1e-9, abs=1e-9)
    for i in range(m.mu.size):
        sums = np.empty(1 + 2 * m.eta[i].size)
        found = kernel.row_expectation(times, types, horizon, i, m.mu[i], m.eta[i], m.beta[i], sums)
        assert found == pytest.approx(likelihood(sample, i)[0], rel=1e-12, abs=1e-12)
        # Every event of i has exactly one cause: the baseline or an earlier event.
        assert sums[: 1 + m.eta[i].size].sum() == pytest.approx((types == i).sum(), rel=1e-12)


def vector(reference: Callable[[str], Path], name: str, producer: str) -> tuple[Any, Any]:
    expected = json.loads(reference(f"vectors/expected/{name}__{producer}.json").read_text())["expected"]
    return np.load(reference(f"vectors/inputs/{name}.npz")), expected


def test_hawkeslib_and_tick_have_the_same_likelihoods(reference: Callable[[str], Path]) -> None:
    inputs, expected = vector(reference, "hawkes_uv", "hawkeslib")
    times, horizon = univariate(inputs)
    for mu, eta, beta, value in expected["loglik_mu_eta_beta"]:
        h = Hawkes.one(mu, eta, beta)
        assert h.likelihood(times, np.zeros(times.size, np.int64), horizon) == pytest.approx(value, abs=1e-6)
    _, expected = vector(reference, "hawkes_uv", "tick")
    for mu, eta, beta, _, value, by_mu, by_eta in expected["rows"]:
        grad = np.empty(3)
        assert kernel.row_likelihood_one(times, horizon, mu, eta, beta, grad) == pytest.approx(value, abs=1e-6)
        assert (-grad[:2] / times.size).tolist() == pytest.approx([by_mu, by_eta], abs=1e-9)


def test_sums_of_exponentials_are_those_of_two_libraries(reference: Callable[[str], Path]) -> None:
    inputs, expected = vector(reference, "hawkes_uv", "tick")
    times, horizon = univariate(inputs)
    zero = np.zeros(times.size, np.int64)
    two = Hawkes(np.array([1.0]), np.array([[[0.3, 0.3]]]), np.array([[1.0, 10.0]]))
    assert two.likelihood(times, zero, horizon) == pytest.approx(expected["sumexp_decays_1_10"]["loglik"], abs=1e-6)
    _, expected = vector(reference, "hawkes_uv", "HawkesPyLib")
    rows = zip(expected["sumexp_mu_eta_thetas"], expected["sumexp_grad_negloglik"], strict=True)
    for (mu, eta, *thetas, value), (by_mu, by_eta, *_) in rows:
        n = len(thetas)
        h = Hawkes(np.array([mu]), np.full((1, 1, n), eta / n), 1 / np.array([thetas]))
        found, grad = likelihood((times, zero, horizon, h), 0)
        assert found == pytest.approx(value, abs=1e-6)
        # Its eta is the sum of ours; its gradient by theta is wrong (see the vector's note) and left out.
        assert [-grad[0], -grad[1 : 1 + n].mean()] == pytest.approx([by_mu, by_eta], rel=1e-7)


def test_the_gradient_by_the_decay_time_is_what_central_differences_give(reference: Callable[[str], Path]) -> None:
    inputs, expected = vector(reference, "hawkes_uv", "HawkesPyLib")
    times, horizon = univariate(inputs)
    right = [-25.6487, -988.6489, 4.7731, 40.9637]  # the vector's note; the library's own are wrong
    for (mu, eta, theta, value), (by_mu, by_eta, _), by_theta in zip(
        expected["loglik"], expected["grad_negloglik"], right, strict=True
    ):
        grad = np.empty(3)
        assert kernel.row_likelihood_one(times, horizon, mu, eta, 1 / theta, grad) == pytest.approx(value, abs=1e-6)
        assert [-grad[0], -grad[1]] == pytest.approx([by_mu, by_eta], rel=1e-7)
        assert grad[2] / theta**2 == pytest.approx(by_theta, abs=1e-3)


def test_residuals_are_those_of_two_libraries(reference: Callable[[str], Path]) -> None:
    inputs, expected = vector(reference, "hawkes_uv", "HawkesPyLib")
    times, _ = univariate(inputs)
    head = np.array(expected["compensator_1_.6_.5"])
    found = np.cumsum(Hawkes.one(1.0, 0.6, 2.0).residuals(times, np.zeros(times.size, np.int64))[0])
    assert found[: head.size] == pytest.approx(head, abs=1e-6)
    _, expected = vector(reference, "hawkes_uv", "hawkes")
    mle = expected["mle"]
    head = np.array(expected["transformed_times_head"])
    model = Hawkes.one(mle["mu"], mle["alpha"], mle["beta"])
    found = np.cumsum(model.residuals(times, np.zeros(times.size, np.int64))[0])
    assert found[: head.size] == pytest.approx(head, abs=1e-6)


def test_two_types_have_the_likelihood_and_gradient_of_two_libraries(reference: Callable[[str], Path]) -> None:
    inputs, expected = vector(reference, "hawkes_2d", "phawkes")
    times, types, horizon = bivariate(inputs)
    model = Hawkes(np.array([0.5, 0.3]), np.array([[0.4, 0.2], [0.1, 0.5]])[:, :, None], np.full((2, 1), 1.5))
    assert model.likelihood(times, types, horizon) == pytest.approx(expected["loglik"], abs=1e-6)
    grads = [likelihood((times, types, horizon, model), i)[1] for i in (0, 1)]
    assert [g[0] for g in grads] == pytest.approx(expected["dmu"], abs=1e-6)
    assert np.array([g[1:3] for g in grads]) == pytest.approx(np.array(expected["dA"]), abs=1e-6)
    _, expected = vector(reference, "hawkes_uv", "tick")
    two = expected["two_dim"]
    assert model.likelihood(times, types, horizon) == pytest.approx(two["loglik"], abs=1e-6)
    found = np.concatenate([[g[0] for g in grads], *(g[1:3] for g in grads)])
    assert (-found / two["n"]).tolist() == pytest.approx(two["grad"], abs=1e-9)


def univariate(inputs: Any) -> tuple[Floats, float]:
    return np.asarray(inputs["t"], np.float64), float(inputs["T"])


def bivariate(inputs: Any) -> tuple[Floats, Ints, float]:
    return np.asarray(inputs["t"], np.float64), np.asarray(inputs["k"], np.int64), float(inputs["T"])
