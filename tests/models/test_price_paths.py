"""Exact laws, Itô's lemma, and what Euler's scheme gets wrong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.models.price_paths import Brownian, GeometricBrownian, Kou, Merton, OrnsteinUhlenbeck, Process

Floats = NDArray[np.float64]

PROCESSES: dict[str, Process] = {
    "brownian": Brownian(drift=0.5, volatility=2.0),
    "geometric": GeometricBrownian(drift=0.1, volatility=0.3),
    "ou": OrnsteinUhlenbeck(reversion=1.5, level=12.0, volatility=0.8),
    "merton": Merton(drift=0.1, volatility=0.2, rate=2.0, jump_mean=-0.05, jump_sd=0.15),
    "kou": Kou(drift=0.1, volatility=0.2, rate=2.0, up_share=0.4, up_mean=0.08, down_mean=0.12),
}


@pytest.mark.parametrize("name", PROCESSES)
def test_draws_have_the_exact_mean_and_variance_on_any_grid(name: str) -> None:
    process = PROCESSES[name]
    n = 200_000
    for times in (np.array([0.0, 2.0]), np.array([0.0, 0.1, 0.15, 1.1, 2.0])):  # one leap, or uneven steps
        end = process.simulate(10.0, times, np.random.default_rng(1), paths=n)[:, -1]
        mean, variance = process.mean(10.0, 2.0), process.variance(10.0, 2.0)
        assert end.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(variance / n))
        fourth = ((end - end.mean()) ** 4).mean()
        assert end.var() == pytest.approx(variance, abs=4.5 * np.sqrt((fourth - variance**2) / n))


@pytest.mark.parametrize("name", ["merton", "kou"])
def test_the_logarithm_of_a_jump_process_has_its_moments_and_its_characteristic_function(name: str) -> None:
    process = PROCESSES[name]
    assert isinstance(process, Merton | Kou)
    n = 200_000
    log = np.log(process.simulate(1.0, np.array([0.0, 0.5]), np.random.default_rng(2), paths=n)[:, -1])
    mean, variance = process.log_moments(0.5)
    assert log.mean() == pytest.approx(mean, abs=4.5 * np.sqrt(variance / n))
    assert log.var() == pytest.approx(variance, rel=0.03)
    drift = process.drift - 0.5 * process.volatility**2 - process.rate * (process._moment(1) - 1)
    for u in (1.0, 5.0, 15.0):
        if isinstance(process, Merton):
            jump = np.exp(1j * u * process.jump_mean - 0.5 * (u * process.jump_sd) ** 2)
        else:
            jump = 0.4 / (1 - 1j * u * 0.08) + 0.6 / (1 + 1j * u * 0.12)
        exact = np.exp(0.5 * (1j * u * drift - 0.5 * (u * process.volatility) ** 2 + process.rate * (jump - 1)))
        assert np.exp(1j * u * log).mean() == pytest.approx(exact, abs=5 / np.sqrt(n))


@pytest.mark.parametrize(
    "process",
    [
        Brownian(volatility=2.0),
        GeometricBrownian(volatility=0.5),
        Merton(volatility=0.3, rate=5.0, jump_mean=0.1, jump_sd=0.1),
        Kou(volatility=0.3, rate=5.0),
    ],
)
def test_without_drift_the_future_is_worth_the_present_from_wherever_it_starts(process: Process) -> None:
    paths = process.simulate(10.0, np.array([0.0, 0.5, 1.0]), np.random.default_rng(3), paths=200_000)
    for weight in (np.ones(200_000), (paths[:, 1] > 10).astype(float), paths[:, 1]):  # E[(X2 - X1) h(X1)] = 0
        gain = (paths[:, 2] - paths[:, 1]) * weight
        assert gain.mean() == pytest.approx(0.0, abs=4.5 * gain.std() / np.sqrt(gain.size))


def test_an_ou_path_forgets_at_its_rate_and_forgets_where_it_started() -> None:
    ou = OrnsteinUhlenbeck(reversion=2.0, level=1.0, volatility=0.5)
    times = np.array([0.0, 5.0, 5.4])
    path = ou.simulate(40.0, times, np.random.default_rng(4), paths=200_000)
    assert np.cov(path[:, 1], path[:, 2])[0, 1] == pytest.approx(0.0625 * np.exp(-0.8), rel=0.02)
    assert path[:, 2].var() == pytest.approx(0.0625, rel=0.02)


def _noise(seed: int, n: int, paths: int) -> Floats:
    return np.random.default_rng(seed).normal(0.0, float(np.sqrt(1.0 / n)), (paths, n))


def test_ito_the_logarithm_of_a_price_grows_by_mu_less_half_sigma_squared() -> None:
    # d ln S = (mu - sigma^2/2) dt + sigma dW, path by path: integrating the right side gives ln S of the exact path.
    mu, sigma = 0.2, 0.6
    dw = _noise(5, 1 << 14, 20)
    s = np.exp(np.cumsum((mu - sigma**2 / 2) / dw.shape[1] + sigma * dw, axis=1))
    before = np.hstack([np.ones((20, 1)), s[:, :-1]])
    ds = s - before
    ito = (ds / before).sum(axis=1) - 0.5 * (ds**2 / before**2).sum(axis=1)  # dS/S - (dS)^2 / (2 S^2)
    naive = (ds / before).sum(axis=1)
    assert ito == pytest.approx(np.log(s[:, -1]), abs=0.01)
    assert (naive - np.log(s[:, -1])).mean() == pytest.approx(sigma**2 / 2, abs=0.01)


def test_ito_the_square_of_a_price_has_the_extra_term() -> None:
    # d(S^2) = 2 S dS + (dS)^2 with (dS)^2 = sigma^2 S^2 dt.
    sigma = 0.5
    dw = _noise(6, 1 << 14, 20)
    s = np.exp(np.cumsum(-(sigma**2) / 2 / dw.shape[1] + sigma * dw, axis=1))
    before = np.hstack([np.ones((20, 1)), s[:, :-1]])
    right = (2 * before * (s - before)).sum(axis=1) + (sigma**2 * before**2).sum(axis=1) / dw.shape[1]
    assert right == pytest.approx(s[:, -1] ** 2 - 1, abs=0.06)
    assert GeometricBrownian(volatility=sigma).variance(1.0, 1.0) == pytest.approx(np.exp(sigma**2) - 1)


def test_ito_the_discounted_pull_of_an_ou_process_is_a_plain_integral_of_noise() -> None:
    # d(e^{kt} X) = e^{kt} k theta dt + e^{kt} sigma dW: no pull is left.
    k, theta, sigma, n = 1.5, 2.0, 0.7, 1 << 13
    dw = _noise(7, n, 50)
    t = np.arange(n + 1) / n
    x = np.empty((50, n + 1))
    x[:, 0] = 5.0
    for i in range(n):
        x[:, i + 1] = x[:, i] + k * (theta - x[:, i]) / n + sigma * dw[:, i]
    right = (np.exp(k * t[:-1]) * (k * theta / n + sigma * dw)).sum(axis=1)
    assert np.exp(k) * x[:, -1] - 5.0 == pytest.approx(right, abs=0.01)
    ou = OrnsteinUhlenbeck(reversion=k, level=theta, volatility=sigma)
    assert ou.mean(5.0, 1.0) == pytest.approx(x[:, -1].mean(), abs=4 * sigma / np.sqrt(50))


def test_euler_converges_at_the_root_of_the_step_path_by_path_and_at_the_step_in_the_mean() -> None:
    mu, sigma, paths, fine = 0.5, 0.5, 20_000, 256
    dw = _noise(8, fine, paths)
    exact = np.exp(mu - sigma**2 / 2 + sigma * dw.sum(axis=1))
    strong, weak, steps = [], [], [4, 16, 64, 256]
    for n in steps:
        coarse = dw.reshape(paths, n, fine // n).sum(axis=2)
        euler = np.prod(1 + mu / n + sigma * coarse, axis=1)
        strong.append(np.abs(euler - exact).mean())
        weak.append(abs((1 + mu / n) ** n - np.exp(mu)))  # Euler's mean is known
        assert euler.mean() == pytest.approx((1 + mu / n) ** n, abs=0.03)
    slope = np.polyfit(np.log(steps), np.log(strong), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.08)
    assert np.polyfit(np.log(steps), np.log(weak), 1)[0] == pytest.approx(-1.0, abs=0.05)


def test_euler_can_take_a_price_below_zero_where_the_exact_draw_cannot() -> None:
    z = np.random.default_rng(9).standard_normal(10_000)
    assert (1 + 2.0 * z).min() < 0
    gbm = GeometricBrownian(volatility=2.0)
    assert gbm.simulate(1.0, np.array([0.0, 1.0]), np.random.default_rng(9), paths=10_000).min() > 0


def test_quadratic_variation_is_the_integrated_variance_and_jumps_add_their_squares() -> None:
    times = np.linspace(0, 1, 50_001)
    log = np.log(GeometricBrownian(volatility=0.4).simulate(1.0, times, np.random.default_rng(10)))[0]
    assert (np.diff(log) ** 2).sum() == pytest.approx(0.16, rel=0.03)
    merton = Merton(volatility=0.4, rate=20.0, jump_mean=0.0, jump_sd=0.3)
    jumpy = np.log(merton.simulate(1.0, times, np.random.default_rng(11), paths=8))
    steps = np.diff(jumpy, axis=1)
    bipower = np.pi / 2 * (np.abs(steps[:, 1:]) * np.abs(steps[:, :-1])).sum(axis=1)
    assert bipower.mean() == pytest.approx(0.16, rel=0.2)  # all but blind to jumps
    assert (steps**2).sum(axis=1).mean() > 0.16 + 10 * 0.09


def test_a_seed_draws_the_same_path_twice() -> None:
    for process in PROCESSES.values():
        one, two = (process.simulate(1.0, np.linspace(0, 1, 9), np.random.default_rng(12), paths=2) for _ in range(2))
        assert one.tobytes() == two.tobytes()
        assert one.shape == (2, 9)
        assert (one[:, 0] == 1.0).all()


def test_nonsense_is_refused() -> None:
    for wrong in (
        lambda: GeometricBrownian(volatility=-1.0),
        lambda: OrnsteinUhlenbeck(reversion=0.0),
        lambda: Kou(up_mean=0.6),
        lambda: Brownian().simulate(0.0, np.array([1.0, 0.0]), np.random.default_rng(0)),
    ):
        with pytest.raises(ConfigurationError):
            wrong()
