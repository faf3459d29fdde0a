from __future__ import annotations

import math

import numpy as np
import pytest

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.research.pin import log_likelihood, pin
from tests.features.histories import VECTORS, vector


def days() -> tuple[np.ndarray, np.ndarray]:
    path = VECTORS / "inputs" / "pin.npz"
    if not path.exists():
        pytest.skip("reference vector pin.npz is not on this machine (set TAPEBOOK_VECTORS)")
    with np.load(path) as arrays:
        return arrays["B"], arrays["S"]


def test_the_likelihood_is_that_of_the_reference_vector() -> None:
    b, s = days()
    for alpha, delta, eb, es, mu, expected in vector("pin__frds")["negll_LK2011"]:
        got = log_likelihood(b, s, alpha=alpha, delta=delta, mu=mu, eps_buy=eb, eps_sell=es)
        assert -got == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_the_estimate_is_that_of_the_reference_vector_or_better() -> None:
    expected = vector("pin__frds")["estimate"]
    got = pin(*days())
    assert got.log_likelihood >= expected["loglikelihood"] - 1e-6
    assert got.pin == pytest.approx(expected["pin"], abs=1e-5)
    assert got.alpha == pytest.approx(expected["alpha"], abs=1e-4)
    assert got.mu == pytest.approx(expected["mu"], rel=1e-4)
    assert not got.at_edge


def simulated(seed: int, n: int, alpha: float, mu: float, eps: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    news, bad = rng.random(n) < alpha, rng.random(n) < 0.4
    return rng.poisson(eps + mu * (news & ~bad)), rng.poisson(eps + mu * (news & bad))


@pytest.mark.slow
def test_a_known_pin_is_found_again_with_thousands_of_trades_a_day() -> None:
    b, s = simulated(1, 250, 0.4, 1_500.0, 3_000.0)
    got = pin(b, s)
    assert got.pin == pytest.approx(0.4 * 1_500 / (0.4 * 1_500 + 6_000), rel=0.15)
    assert got.eps_buy == pytest.approx(3_000, rel=0.01)
    assert math.isfinite(got.log_likelihood)


def test_days_that_cannot_tell_are_refused() -> None:
    with pytest.raises(DataQualityError, match="20 days"):
        pin([1, 2], [3, 4])
    with pytest.raises(ConfigurationError, match="one length"):
        pin([1.0] * 30, [1.0] * 29)
