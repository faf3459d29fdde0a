from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.readers import open_tape
from tapebook.research import volatility
from tapebook.research.impact import trades_of
from tests.features.histories import VECTORS, vector

IV, NOISE, N = 1e-4, 1e-7, 23_400  # a day of seconds; errors of a thousandth of the day's variance


def noisy(seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.normal(0, math.sqrt(IV / N), N + 1)) + rng.normal(0, math.sqrt(NOISE), N + 1)


def test_values_of_hfhd() -> None:
    told = vector("realized__hfhd")
    with np.load(VECTORS / "inputs" / "async_ticks.npz") as arrays:
        x = arrays["pa"]
    assert volatility.signature_plot(x, [1])[0] == pytest.approx(told["rv_a"], abs=1e-12)
    flat_top = volatility.realised_kernel(x, 30, jitter=1, flat_top=True)
    assert flat_top == pytest.approx(told["krv_parzen_H30_a"], abs=1e-12)
    assert volatility.multi_scale_variance(x, 10, 20) == pytest.approx(told["msrv_M10_N20_a"], abs=1e-12)


def test_noise_does_not_bias_what_is_made_for_it() -> None:
    found = np.array(
        [
            (
                volatility.two_scale_variance(x),
                volatility.realised_kernel(x, flat_top=True),
                volatility.multi_scale_variance(x),
                volatility.realised_kernel(x),
                volatility.signature_plot(x, [1])[0],
            )
            for x in map(noisy, range(150))
        ]
    )
    mean, error = found.mean(axis=0) / IV, found.std(axis=0) / IV / math.sqrt(150)
    assert (error[:2] < 0.007).all()
    for k in range(3):
        assert abs(mean[k] - 1.0) < 4 * error[k]
    bandwidth = volatility.kernel_bandwidth(noisy(0))
    assert mean[3] - 1.0 == pytest.approx(12 * NOISE / IV * N / bandwidth**2, abs=4 * error[3])  # as documented: 3 %
    assert mean[4] == pytest.approx(1 + 2 * N * NOISE / IV, rel=0.01)  # 48 times too much


def test_all_estimates_stand_beside_each_other() -> None:
    x = noisy(3)
    found = volatility.estimates(x, [1, 300])
    table = {row["estimator"]: row for row in found.table()}
    assert list(table)[:3] == ["realised, step 1", "realised, step 300", "two scales"]
    assert list(table)[3:] == ["many scales", "kernel", "kernel, flat top"]
    assert table["two scales"]["variance"] == volatility.two_scale_variance(x)
    assert table["kernel"]["volatility_bp"] == pytest.approx(1e4 * math.sqrt(volatility.realised_kernel(x)))
    assert found.to_dict()["noise"] == volatility.noise_variance(x)
    bounce = volatility.estimates(np.random.default_rng(2).normal(size=400), [1]).table()
    below = [row for row in bounce if row["variance"] < 0]  # nothing but noise: some come out below zero
    assert below
    assert all(math.isnan(row["volatility_bp"]) for row in below)


@pytest.mark.recording
@pytest.mark.slow
def test_what_is_made_for_noise_says_of_all_prints_what_a_sparse_grid_says(recording: Callable[[str], Path]) -> None:
    trades = trades_of(open_tape(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")))
    rows = volatility.estimates(np.log(trades.price), [1, 20]).table()
    bp = {row["estimator"]: row["volatility_bp"] for row in rows}
    assert bp["realised, step 1"] == pytest.approx(13.8, abs=0.05)  # as docs/volatility.md has them
    assert bp["realised, step 20"] == pytest.approx(9.1, abs=0.05)
    assert bp["two scales"] == pytest.approx(8.9, abs=0.05)
    assert bp["kernel"] == pytest.approx(8.8, abs=0.05)


def test_noise_is_measured() -> None:
    found = [volatility.noise_variance(noisy(seed)) / NOISE for seed in range(40)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.02)
    upper = volatility.noise_variance(noisy(0), upper_bound=True)
    assert upper == pytest.approx(NOISE + IV / N / 2, rel=0.05)


def test_a_signature_plot_rises_to_the_finest_step_with_noise_and_is_flat_without() -> None:
    plot = np.mean([volatility.signature_plot(noisy(seed), [1, 10, 300]) for seed in range(20)], axis=0) / IV
    assert plot[0] > 40
    np.testing.assert_allclose(plot[1:], [1 + 4.68, 1 + 0.156], rtol=0.1)
    clean = np.cumsum(np.random.default_rng(1).normal(0, math.sqrt(IV / 500_000), 500_001))
    np.testing.assert_allclose(volatility.signature_plot(clean, [1, 2, 5, 20]) / IV, 1.0, atol=0.02)


def bars(drift: float, gap: float) -> tuple[NDArray[np.float64], ...]:
    """1,000 bars of 2,000 steps, variance 1e-4 each, with a gap before each."""
    rng = np.random.default_rng(8)
    n, steps = 1_000, 2_000
    paths = np.cumsum(rng.normal(drift / steps, 0.01 / math.sqrt(steps), (n, steps)), axis=1)
    paths = np.concatenate([np.zeros((n, 1)), paths], axis=1)
    starts = np.cumsum(np.concatenate([[0.0], paths[:-1, -1]]) + rng.normal(0, gap, n)) if gap else np.zeros(n)
    prices = np.exp(paths + starts[:, None])
    return prices[:, 0], prices.max(axis=1), prices.min(axis=1), prices[:, -1]


def test_range_estimators_find_the_volatility_of_a_bar() -> None:
    o, h, lo, c = bars(0.0, 0.0)
    # Extremes between the steps are missed: some 2 % at 2,000 steps.
    for found in (
        volatility.parkinson(h, lo),
        volatility.garman_klass(o, h, lo, c),
        volatility.rogers_satchell(o, h, lo, c),
    ):
        assert 0.0097 - 0.0003 < found < 0.0101


def test_drift_deceives_parkinson_and_not_rogers_satchell() -> None:
    o, h, lo, c = bars(0.02, 0.0)
    assert volatility.parkinson(h, lo) > 0.013
    assert volatility.rogers_satchell(o, h, lo, c) == pytest.approx(0.0098, abs=0.0003)


def test_yang_zhang_counts_the_gaps() -> None:
    o, h, lo, c = bars(0.0, 0.01)
    assert volatility.yang_zhang(o, h, lo, c) == pytest.approx(0.01 * math.sqrt(2), rel=0.03)
    assert volatility.rogers_satchell(o, h, lo, c) < 0.0102
    assert math.isnan(volatility.yang_zhang(o[:2], h[:2], lo[:2], c[:2]))


def test_a_variance_below_zero_is_nan() -> None:
    assert math.isnan(volatility.garman_klass([100.0], [101.0], [100.0], [102.0]))  # a bar that cannot be


def test_samples_that_cannot_be_are_told() -> None:
    x = noisy(0)[:100]
    for bad in (
        lambda: volatility.signature_plot(x, []),
        lambda: volatility.signature_plot(x, [100]),
        lambda: volatility.two_scale_variance(x, 1),
        lambda: volatility.two_scale_variance(np.zeros(50)),
        lambda: volatility.multi_scale_variance(x, 90, 20),
        lambda: volatility.realised_kernel(x, 99),
        lambda: volatility.realised_kernel(x, jitter=0),
        lambda: volatility.noise_variance([1.0, math.nan, 2.0]),
        lambda: volatility.parkinson([1.0], [0.0]),
        lambda: volatility.parkinson([1.0, 2.0], [1.0]),
    ):
        with pytest.raises(ConfigurationError):
            bad()
