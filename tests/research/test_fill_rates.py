from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.readers import open_tape
from tapebook.research.fill_rates import fit, of_reaches
from tapebook.research.impact import trades_of


def test_the_fit_is_the_optimum_of_the_poisson_likelihood() -> None:
    rng = np.random.default_rng(1)
    d, t = np.linspace(0.1, 3.0, 12), rng.uniform(50, 500, 12)
    n = rng.poisson(t * 2.0 * np.exp(-1.3 * d)).astype(float)
    found = fit(d, n, t)

    def loss(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        rate = x[0] - x[1] * d
        return float((t * np.exp(rate) - n * rate).sum())

    best = minimize(loss, [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000})
    assert np.log(found.intensity) == pytest.approx(best.x[0], abs=1e-5)
    assert found.decay == pytest.approx(best.x[1], abs=1e-5)
    assert found.fitted.sum() == pytest.approx(n.sum())  # the score of the level


def test_the_regression_is_that_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(7)
    d, t = np.linspace(0.1, 3.0, 12), rng.uniform(50, 500, 12)
    n = rng.poisson(t * 2.0 * np.exp(-1.3 * d)).astype(float)
    peer = sm.GLM(n, sm.add_constant(d), family=sm.families.Poisson(), offset=np.log(t)).fit(tol=1e-12)
    found = fit(d, n, t)
    assert (np.log(found.intensity), -found.decay) == pytest.approx(tuple(peer.params), rel=1e-9)
    assert (found.intensity_se / found.intensity, found.decay_se) == pytest.approx(tuple(peer.bse), rel=1e-7)
    assert found.dispersion == pytest.approx(peer.pearson_chi2 / peer.df_resid, rel=1e-9)


def test_standard_errors_cover_the_truth() -> None:
    rng = np.random.default_rng(2)
    d, t = np.linspace(0.0, 2.0, 9), np.full(9, 200.0)
    hits = np.zeros(2)
    for _ in range(400):
        found = fit(d, rng.poisson(t * 1.5 * np.exp(-0.8 * d)).astype(float), t)
        hits += [
            abs(found.intensity - 1.5) < 1.96 * found.intensity_se,
            abs(found.decay - 0.8) < 1.96 * found.decay_se,
        ]
    assert (hits / 400 > 0.92).all()
    assert (hits / 400 < 0.98).all()


def test_orders_that_walk_the_book_give_the_planted_law_back() -> None:
    # Orders at rate A whose reach is exponential: a quote at d is passed at the rate A e^{-k d}.
    rng = np.random.default_rng(3)
    hits = np.zeros(2)
    for _ in range(300):
        reach = rng.exponential(1 / 1.5, rng.poisson(0.7 * 3600))
        found = of_reaches(reach, 3600.0, width=0.25, bins=16)
        hits += [
            abs(found.intensity - 0.7) < 1.96 * found.intensity_se,
            abs(found.decay - 1.5) < 1.96 * found.decay_se,
        ]
    assert (hits / 300 > 0.91).all()
    assert (hits / 300 < 0.985).all()


def test_clustered_fills_show_in_the_dispersion() -> None:
    rng = np.random.default_rng(4)
    d, t = np.linspace(0.0, 2.0, 30), np.full(30, 1000.0)
    plain = rng.poisson(t * np.exp(-0.8 * d)).astype(float)
    assert fit(d, plain, t).dispersion == pytest.approx(1.0, abs=0.6)
    assert fit(d, 5 * rng.poisson(t * np.exp(-0.8 * d) / 5).astype(float), t).dispersion > 2.5


@pytest.mark.recording
@pytest.mark.slow
def test_a_stock_has_the_law_beyond_its_touch_and_not_within(recording: Callable[[str], Path]) -> None:
    trades = trades_of(open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_1.zip")))
    seconds = float(trades.ts_ns[-1] - trades.ts_ns[0]) / 1e9
    beyond = of_reaches(trades.reach, seconds, width=0.05, bins=10, start=0.05)
    assert (beyond.intensity, beyond.decay) == pytest.approx((0.8175, 38.81), rel=0.01)  # as docs/models.md has them
    assert beyond.dispersion < 1
    assert of_reaches(trades.reach, seconds, width=0.05, bins=20).dispersion > 20


def test_what_cannot_tell_a_decay_is_refused() -> None:
    with pytest.raises(DataQualityError, match="two distances"):
        fit(np.array([1.0, 2.0]), np.array([3.0, 0.0]), np.ones(2))
    with pytest.raises(ConfigurationError, match="fit together"):
        fit(np.ones(2), np.ones(3), np.ones(2))
    with pytest.raises(DataQualityError, match="rarer"):
        of_reaches(np.array([0.5, 1.5, 1.6, 1.7]), 10.0, width=1.0, bins=2)
