from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.lambdas import make_kyle
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.research.lambdas import hasbrouck_var, ols
from tests.features.histories import PLAIN, random_history


def autocorrelated(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, e = np.empty(n), np.empty(n)
    x[0] = e[0] = 0.0
    for t in range(1, n):
        x[t], e[t] = 0.7 * x[t - 1] + rng.normal(), 0.7 * e[t - 1] + rng.normal()
    return x, 1.0 + 0.5 * x + e


def test_coefficients_and_errors_are_those_of_the_textbook_sums() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 2)) * [1.0, 1e6], rng.normal(size=60)
    fit = ols(y, x, lags=3)
    design = np.column_stack([np.ones(60), x])
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    assert np.allclose(fit.coefficients, beta, rtol=1e-9)
    left = y - design @ beta
    meat = np.zeros((3, 3))
    for s in range(60):
        for t in range(60):
            if abs(s - t) <= 3:
                meat += (1 - abs(s - t) / 4) * left[s] * left[t] * np.outer(design[s], design[t])
    bread = np.linalg.inv(design.T @ design)
    assert np.allclose(fit.se, np.sqrt(np.diag(bread @ meat @ bread) * 60 / 57), rtol=1e-7)
    assert fit.r2 == pytest.approx(1 - left @ left / ((y - y.mean()) ** 2).sum())


def test_errors_are_those_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    x, y = autocorrelated(2, 500)
    peer = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": 8, "use_correction": True})
    fit = ols(y, x, lags=8)
    assert np.allclose(fit.coefficients, peer.params, rtol=1e-9)
    assert np.allclose(fit.se, peer.bse, rtol=1e-9)


def test_robust_errors_cover_the_truth_where_plain_ones_do_not() -> None:
    inside = {0: 0, 20: 0}
    for seed in range(200):
        x, y = autocorrelated(seed, 600)
        for lags in inside:
            fit = ols(y, x, lags=lags)
            inside[lags] += bool(abs(fit.coefficients[1] - 0.5) < 1.96 * fit.se[1])
    assert inside[20] / 200 > 0.88
    assert inside[0] / 200 < 0.85


def test_kyles_lambda_of_a_sample_is_that_of_the_operator_that_forgets_nothing() -> None:
    events, _ = random_history(3, 500)
    rows = make_kyle(PLAIN, 1, bar_s=2.0, half_life_bars=0.0).advance(events)
    fit = ols(rows["mid_change"], rows["flow_lots"])
    assert fit.coefficients[1] == pytest.approx(rows["kyle_lambda"][-1], rel=1e-9)
    assert fit.r2 == pytest.approx(rows["r2"][-1], rel=1e-9)


def test_a_sample_without_variation_is_told() -> None:
    with pytest.raises(DataQualityError, match="constant"):
        ols([1.0, 2.0, 3.0], [5.0, 5.0, 5.0])
    with pytest.raises(ConfigurationError, match="rows of x"):
        ols([1.0, 2.0], [1.0])


def test_a_var_whose_truth_is_known_is_found_again() -> None:
    # r_t = 0.2 r_{t-1} + 0.5 x_t + v and x_t = 0.3 x_{t-1} + u: a shock of one makes signs 0.3^k, and the returns
    # sum to 0.5 / (1 - 0.3) / (1 - 0.2).
    rng = np.random.default_rng(4)
    n = 200_000
    x, r = np.zeros(n), np.zeros(n)
    u, v = rng.normal(size=n), 0.1 * rng.normal(size=n)
    for t in range(1, n):
        x[t] = 0.3 * x[t - 1] + u[t]
        r[t] = 0.2 * r[t - 1] + 0.5 * x[t] + v[t]
    impulse = hasbrouck_var(r, x, lags=3, horizon=60)
    assert impulse.permanent == pytest.approx(0.5 / 0.7 / 0.8, rel=0.02)
    assert impulse.response[0] == pytest.approx(0.5, rel=0.01)
    assert np.allclose(impulse.signs_response[:4], 0.3 ** np.arange(4), atol=0.02)


def test_no_lag_reaches_over_a_night() -> None:
    rng = np.random.default_rng(5)
    x, day = rng.choice([-1.0, 1.0], 400), np.repeat([0, 1], 200)
    r = x + rng.normal(size=400)
    impulse = hasbrouck_var(r, x, lags=4, session=day)
    assert impulse.returns.n == 2 * (200 - 4)
    with pytest.raises(ConfigurationError, match="lags at least 1"):
        hasbrouck_var(r, x, lags=0)
