from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from tapebook.market.errors import ConfigurationError
from tapebook.models.propagator import Propagator
from tapebook.readers import open_tape
from tapebook.research.impact import trades_of
from tapebook.research.propagator import measure, to_kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def long_memory(seed: int, n: int, gamma: float) -> Ints:
    """Signs whose correlation falls like lag^-gamma: of fractional noise with d = (1 - gamma) / 2."""
    rng = np.random.default_rng(seed)
    d = (1 - gamma) / 2
    k = np.arange(1, n)
    weights = np.concatenate([[1.0], np.cumprod((k - 1 + d) / k)])
    noise = fftconvolve(rng.standard_normal(2 * n), weights)[n : 2 * n]
    return np.where(noise > 0, 1, -1)


def priced(side: Ints, g: Floats, seed: int, noise: float) -> Floats:
    """The mid before each order, for impact ``g`` at lags 1, 2, ... and a random walk of other news."""
    after = fftconvolve(side.astype(float), g)[: side.size]
    mid = np.append(0.0, after[:-1])
    return mid + noise * np.random.default_rng(seed).standard_normal(side.size).cumsum()


def test_a_planted_power_law_comes_back_with_both_exponents_in_balance() -> None:
    n = 400_000
    side = long_memory(1, n, 0.5)
    lags = np.arange(1, n + 1)
    g = np.asarray(0.01 * (lags + 2.0) ** -0.25, np.float64)  # b = (1 - 0.5) / 2: the price is nearly a martingale
    found = measure(side, priced(side, g, 2, 0.01), lags=400, fitted_lags=(5, 300))
    assert np.abs(found.propagator[:100] - g[:100]).max() < 4 * found.propagator_se[:100].max()
    assert found.propagator[:30] == pytest.approx(g[:30], rel=0.05)
    assert found.gamma == pytest.approx(0.5, abs=0.1)
    assert found.b == pytest.approx(0.25, abs=0.06)
    assert abs(found.balance) < 0.08
    assert found.b_se < 0.05


def test_a_planted_exponential_comes_back_and_the_response_is_of_the_definition() -> None:
    n = 100_000
    rng = np.random.default_rng(3)
    side = 1 - 2 * (np.cumsum(rng.random(n) < 0.3) % 2)  # neighbours correlate by 0.4
    lags = np.arange(1, 200)
    g = 0.02 * (0.4 + 0.6 * np.exp(-(lags - 1) / 15.0))
    mid = priced(side, np.append(g, np.full(n, g[-1])), 4, 0.005)
    found = measure(side, mid, lags=60, fitted_lags=(2, 40))
    errors = (found.propagator - g[:60]) / found.propagator_se
    assert (np.abs(errors) < 4).all()
    assert found.propagator_se.max() < 0.1 * g[0]
    for h in (1, 5, 30):
        assert found.response[h - 1] == pytest.approx((side[:-h] * (mid[h:] - mid[:-h])).mean(), abs=2e-5)
        assert found.sign_correlation[h - 1] == pytest.approx((side[:-h] * side[h:]).mean(), abs=2e-3)


def test_the_response_is_that_of_the_published_relation() -> None:
    # R(l) = G(l) + sum_{0<j<l} G(l-j) C(j) + sum_{j>0} [G(l+j) - G(j)] C(j), solved here in differences.
    n = 100_000
    rng = np.random.default_rng(5)
    side = 1 - 2 * (np.cumsum(rng.random(n) < 0.3) % 2)
    m = 1_000
    g = 0.02 * np.exp(-np.arange(m) / 20.0)  # at lag 1 and on
    c = 0.4 ** np.arange(m)
    found = measure(side, priced(side, g, 6, 0.0), lags=100, fitted_lags=(2, 30))
    for h in (1, 3, 20):
        r = g[h - 1] + sum(g[h - j - 1] * c[j] for j in range(1, h))
        r += sum((g[h + j - 1] - g[j - 1]) * c[j] for j in range(1, 500))
        assert found.response[h - 1] == pytest.approx(r, abs=3e-4)


def test_sizes_count_by_their_concavity() -> None:
    n = 200_000
    rng = np.random.default_rng(7)
    side, qty = rng.choice([-1, 1], n), rng.integers(1, 100, n).astype(float)
    g = 0.01 * np.exp(-np.arange(200) / 10.0)
    kick = side * qty**0.4
    mid = np.append(0.0, fftconvolve(kick, g)[: n - 1]) + 0.01 * rng.standard_normal(n).cumsum()
    found = measure(side, mid, qty, lags=50, concavity=0.4, fitted_lags=(2, 20))
    assert (np.abs(found.propagator - g[:50]) < 4.5 * found.propagator_se).all()
    with pytest.raises(ConfigurationError, match="sizes"):
        measure(side, mid, concavity=0.4, lags=50, fitted_lags=(2, 20))


def test_a_sum_of_exponentials_stands_for_what_was_measured() -> None:
    n = 200_000
    side = long_memory(8, n, 0.5)
    g = np.asarray(0.01 * (np.arange(1, n + 1) + 2.0) ** -0.25, np.float64)
    mid = priced(side, g, 9, 0.0)
    found = measure(side, mid, lags=300, fitted_lags=(5, 200))
    kernel = to_kernel(found)
    assert kernel.at(found.lags)[:100] == pytest.approx(found.propagator[:100], rel=0.05)
    told = Propagator(kernel).advance(side, np.ones(n))
    moves = np.diff(mid)[1000:]
    assert np.corrcoef(np.diff(told, prepend=0.0)[1000:-1], moves)[0, 1] > 0.97


def test_too_few_orders_are_told() -> None:
    with pytest.raises(ConfigurationError, match="too few orders"):
        measure(np.ones(100, np.int64), np.arange(100.0))
    with pytest.raises(ConfigurationError, match="fitted lags"):
        measure(np.ones(100_000, np.int64), np.arange(100_000.0), lags=50)


@pytest.mark.recording
@pytest.mark.slow
def test_a_stock_s_impact_decays_while_its_signs_persist(recording: Callable[[str], Path]) -> None:
    trades = trades_of(open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_1.zip")))
    found = measure(trades.side, trades.mid, lags=100, fitted_lags=(1, 60))
    assert found.propagator[0] > 4 * found.propagator_se[0]
    assert found.sign_correlation[0] > 0.2
    assert (found.gamma, found.b) == pytest.approx((0.813, 0.084), abs=0.002)  # as docs/models.md has them
    assert abs(found.balance) < 4 * (found.b_se + found.gamma_se / 2)
    assert len(found.table()) == 100
