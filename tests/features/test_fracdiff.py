from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.features.bar_clock import BarClock
from tapebook.features.fracdiff import Fracdiff, fracdiff, fracdiff_weights, make
from tapebook.features.touch import TouchFeed
from tapebook.kernels import fracdiff as kernel
from tapebook.kernels.dot import dot_at
from tapebook.market.errors import ConfigurationError
from tests.features.histories import PLAIN, VECTORS, random_history, vector
from tests.oracles import fracdiff as oracle

uncompiled = pytest.mark.uncompiled


def log_walk() -> NDArray[np.float64]:
    path = VECTORS / "inputs" / "walk.npz"
    if not path.exists():
        pytest.skip("reference inputs are not on this machine (set TAPEBOOK_VECTORS)")
    with np.load(path) as arrays:
        x: NDArray[np.float64] = arrays["logp"]
    return x


@uncompiled
def test_weights_of_the_reference_vector() -> None:
    told = vector("fracdiff_weights__hand")
    w = fracdiff_weights(told["d"], 0.0, len(told["w"]))
    np.testing.assert_allclose(w, told["w"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(np.cumsum(w), told["cum"], rtol=0, atol=1e-15)


@uncompiled
@pytest.mark.parametrize("order", [Fraction(1, 10), Fraction(2, 5), Fraction(1), Fraction(7, 5), Fraction(3)])
def test_weights_equal_exact_fractions(order: Fraction) -> None:
    exact = [float(w) for w in oracle.weights(order, 300)]
    w = fracdiff_weights(float(order), 0.0, 300)
    np.testing.assert_allclose(w, exact[: w.size], rtol=1e-12, atol=1e-18)
    assert not any(exact[w.size :])


@uncompiled
def test_the_window_ends_where_weights_fall_below_the_threshold() -> None:
    assert [fracdiff_weights(0.4, t).size for t in (1e-3, 1e-4, 1e-5)] == [55, 282, 1458]
    assert fracdiff_weights(0.4, 1e-5, most=100).size == 100
    assert fracdiff_weights(0.0).tolist() == [1.0]
    w = fracdiff_weights(0.4)
    leak = math.exp(math.lgamma(w.size - 0.4) - math.lgamma(0.6) - math.lgamma(w.size))
    assert w.sum() == pytest.approx(leak, rel=1e-12)  # of the level
    assert leak == pytest.approx(0.070, abs=5e-4)


@pytest.mark.parametrize("method", ["exact", "fft"])
def test_values_of_the_fracdiff_package(method: str) -> None:
    x = log_walk()
    for key, told in vector("fracdiff__fracdiff").items():
        order, window = (float(part.split("=")[1]) for part in key.split(","))
        y = fracdiff(x, order, threshold=0.0, most=int(window), method=method)  # type: ignore[arg-type] # of a parameter
        y = y[np.isfinite(y)]
        assert y.size == told["n"]
        np.testing.assert_allclose(y[:20], told["head"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(y[-20:], told["tail"], rtol=0, atol=1e-9)


def test_values_of_risklabai() -> None:
    x = log_walk()
    for key, told in vector("fracdiff_ffd__RiskLabAI").items():
        order, tau = (float(part.split("=")[1]) for part in key.split(","))
        w = fracdiff_weights(order, tau)
        assert w.size == told["K"]
        assert w.sum() == pytest.approx(told["sumw"], abs=1e-9)
        np.testing.assert_allclose(fracdiff(x, order, threshold=tau)[-20:], told["tail"], rtol=0, atol=1e-9)


@uncompiled
@pytest.mark.parametrize("n", [1, 7, 8, 9, 31, 32, 41, 64, 75])
def test_the_dot_product_is_the_sum_in_its_own_order(n: int) -> None:
    rng = np.random.default_rng(n)
    w, v = rng.normal(size=n), rng.normal(size=2 * n)
    state, ring = np.zeros(kernel.FRACDIFF_N, np.int64), np.zeros(2 * n)
    steps = [kernel.fracdiff_step(x, w, ring, state) for x in v.tolist()]
    np.testing.assert_allclose(steps, oracle.difference(v.tolist(), w.tolist()), rtol=0, atol=1e-13)
    for i in range(n - 1, 2 * n):
        newest_first = np.ascontiguousarray(v[i - n + 1 : i + 1][::-1])
        assert steps[i] == dot_at(w, newest_first, 0)  # plain Python: the same bits


@uncompiled
def test_values_equal_the_definition_and_a_gap_starts_afresh() -> None:
    x = np.cumsum(np.random.default_rng(2).normal(size=120))
    w = fracdiff_weights(0.4, 1e-2)
    assert 5 < w.size < 20
    y = fracdiff(x, 0.4, threshold=1e-2)
    np.testing.assert_allclose(y, oracle.difference(x.tolist(), w.tolist()), rtol=0, atol=1e-13)
    for method in ("exact", "fft"):
        gap = fracdiff(np.concatenate([x, [np.nan], x]), 0.4, threshold=1e-2, method=method)
        np.testing.assert_allclose(gap[121:], y, rtol=0, atol=1e-13)
        assert np.isnan(gap[120 : 120 + w.size]).all()


@pytest.mark.parametrize("level", [0.0, 8.5])
def test_the_transform_differs_by_rounding_from_the_live_sum(level: float) -> None:
    x = level + np.cumsum(np.random.default_rng(7).normal(0, 1e-4, 200_000))
    for tau in (1e-4, 1e-5):
        exact = fracdiff(x, 0.4, threshold=tau, method="exact")
        transform = fracdiff(x, 0.4, threshold=tau, method="fft")
        worst = np.nanmax(np.abs(exact - transform))
        assert worst < 5e-15 * float(np.abs(x).max())
        assert (np.isnan(exact) == np.isnan(transform)).all()


@uncompiled
def test_order_one_is_the_difference_and_order_zero_the_series() -> None:
    x = np.array([1.0, 4.0, 2.0, 8.0])
    assert fracdiff(x, 1.0)[1:].tolist() == np.diff(x).tolist()
    assert fracdiff(x, 0.0).tolist() == x.tolist()


@uncompiled
def test_the_operator_differences_the_log_mid_over_the_sessions_first() -> None:
    events, _ = random_history(6, 260, sessions=True, holes=0.1)
    rows = make(PLAIN, 1, order=0.4, threshold=1e-2).advance(events)
    bars = BarClock().read(TouchFeed(PLAIN, 1).see(events))
    w = fracdiff_weights(0.4, 1e-2)
    checked = 0
    for spell, _fresh in bars.spells():
        level = np.log(bars.close[spell] / bars.reference[spell])
        expected = oracle.difference(level.tolist(), w.tolist())
        np.testing.assert_allclose(rows["fracdiff_log_price"][spell], expected, rtol=0, atol=1e-14)
        traded = bars.volume[spell]
        traded = traded[np.isfinite(traded)]
        volume = rows["fracdiff_volume_lots"][spell]
        expected = oracle.difference(traded.tolist(), w.tolist())
        np.testing.assert_allclose(volume[volume.size - traded.size :], expected, rtol=0, atol=1e-12)
        checked += int(np.isfinite(rows["fracdiff_log_price"][spell]).sum())
    assert checked > 20


@uncompiled
def test_the_price_level_does_not_leak_into_the_operator() -> None:
    events, _ = random_history(6, 150, holes=0.0)
    rows = Fracdiff(threshold=1e-2)
    low = rows.fold(TouchFeed(PLAIN, 1).see(events))["fracdiff_log_price"]
    high_events = events.copy()
    high_events["price"] *= 1000
    high = Fracdiff(threshold=1e-2).fold(TouchFeed(PLAIN, 1).see(high_events))["fracdiff_log_price"]
    np.testing.assert_allclose(low, high, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package
def test_the_fracdiff_package_itself_agrees() -> None:
    fdiff = pytest.importorskip("fracdiff").fdiff
    x = np.cumsum(np.random.default_rng(3).normal(0, 1e-4, 20_000))
    for order, window in itertools.product((0.3, 0.4, 0.8), (55, 282)):
        theirs = fdiff(x, order, window=window, mode="valid")
        ours = fracdiff(x, order, threshold=0.0, most=window)[window - 1 :]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@uncompiled
def test_parameters_out_of_range_are_told() -> None:
    for bad in (
        lambda: fracdiff_weights(-0.1),
        lambda: fracdiff_weights(math.nan),
        lambda: fracdiff_weights(0.4, 1.0),
        lambda: fracdiff_weights(0.4, most=0),
        lambda: fracdiff(np.ones((2, 2)), 0.4),
        lambda: Fracdiff(order=11.0),
    ):
        with pytest.raises(ConfigurationError):
            bad()
