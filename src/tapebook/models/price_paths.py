"""Stochastic prices, drawn exactly: Brownian, geometric Brownian, Ornstein-Uhlenbeck, jumps of Merton and of Kou.

Each process is drawn from its own transition law, so a path on any grid has the right distribution at the points of the
grid: no step size, no bias, no negative price where there cannot be one (Euler's scheme on a geometric Brownian motion
has both faults). ``mean`` and ``variance`` are exact too, and are what the draws are tested against.

The generator is passed in: one seed, one path. Paths are rows, shape (paths, len(times)); the first column is the
start.

Itô's lemma ties the first two together: for ``dS = mu S dt + sigma S dW``, ``d ln S = (mu - sigma^2/2) dt + sigma dW``.

References: Black and Scholes 1973; Uhlenbeck and Ornstein 1930; Merton 1976; Kou 2002; Glasserman 2003, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError

__all__ = ["Brownian", "GeometricBrownian", "Kou", "Merton", "OrnsteinUhlenbeck", "Process"]

Floats = NDArray[np.float64]


class Process(Protocol):
    """A price that can be drawn."""

    def simulate(self, start: float, times: Floats, rng: np.random.Generator, *, paths: int = 1) -> Floats:
        """Draw paths at ``times`` (ascending; the start is at the first of them), shape (paths, len(times))."""
        ...

    def mean(self, start: float, time: float) -> float:
        """Return the expectation ``time`` after the start."""
        ...

    def variance(self, start: float, time: float) -> float:
        """Return the variance ``time`` after the start."""
        ...


@dataclass(frozen=True, kw_only=True)
class Brownian:
    """``dX = drift dt + volatility dW``: Bachelier's price, which may go below zero.

    Examples
    --------
    >>> Brownian(drift=0.5, volatility=2.0).variance(100.0, 4.0)
    16.0
    """

    drift: float = 0.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        _check(self, self.volatility)

    def simulate(self, start: float, times: Floats, rng: np.random.Generator, *, paths: int = 1) -> Floats:
        """Draw paths at ``times``."""
        dt = _gaps(times)
        steps = self.drift * dt + self.volatility * np.sqrt(dt) * rng.standard_normal((paths, dt.size))
        return _sum_up(start, steps)

    def mean(self, start: float, time: float) -> float:
        """Return E[X]."""
        return start + self.drift * time

    def variance(self, start: float, time: float) -> float:  # noqa: ARG002 - as the other processes have it
        """Return Var[X]."""
        return self.volatility**2 * time


@dataclass(frozen=True, kw_only=True)
class GeometricBrownian:
    """``dS = drift S dt + volatility S dW``.

    Examples
    --------
    >>> GeometricBrownian(drift=0.0, volatility=0.2).mean(100.0, 3.0)
    100.0
    """

    drift: float = 0.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        _check(self, self.volatility)

    def simulate(self, start: float, times: Floats, rng: np.random.Generator, *, paths: int = 1) -> Floats:
        """Draw paths at ``times``."""
        log = Brownian(drift=self.drift - 0.5 * self.volatility**2, volatility=self.volatility)
        return start * np.exp(log.simulate(0.0, times, rng, paths=paths))

    def mean(self, start: float, time: float) -> float:
        """Return E[S]."""
        return start * float(np.exp(self.drift * time))

    def variance(self, start: float, time: float) -> float:
        """Return Var[S]."""
        return self.mean(start, time) ** 2 * float(np.expm1(self.volatility**2 * time))


@dataclass(frozen=True, kw_only=True)
class OrnsteinUhlenbeck:
    """``dX = reversion (level - X) dt + volatility dW``: a price, a spread or a basis that is pulled back.

    Examples
    --------
    >>> OrnsteinUhlenbeck(reversion=2.0, level=1.0, volatility=0.5).stationary_variance
    0.0625
    """

    reversion: float
    level: float = 0.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        _check(self, self.volatility, self.reversion)
        if self.reversion == 0:
            raise ConfigurationError(
                "nothing pulls back", expected="reversion above zero", found="0", remedy="Brownian"
            )

    @property
    def stationary_variance(self) -> float:
        """Variance in the long run."""
        return self.volatility**2 / (2.0 * self.reversion)

    def simulate(self, start: float, times: Floats, rng: np.random.Generator, *, paths: int = 1) -> Floats:
        """Draw paths at ``times``."""
        dt = _gaps(times)
        keep = np.exp(-self.reversion * dt)
        scale = np.sqrt(self.stationary_variance * -np.expm1(-2.0 * self.reversion * dt))
        noise = scale * rng.standard_normal((paths, dt.size))
        out = np.empty((paths, times.size))
        out[:, 0] = start
        for i in range(dt.size):
            out[:, i + 1] = self.level + keep[i] * (out[:, i] - self.level) + noise[:, i]
        return out

    def mean(self, start: float, time: float) -> float:
        """Return E[X]."""
        return self.level + (start - self.level) * float(np.exp(-self.reversion * time))

    def variance(self, start: float, time: float) -> float:  # noqa: ARG002 - as Brownian
        """Return Var[X]."""
        return self.stationary_variance * -float(np.expm1(-2.0 * self.reversion * time))


@dataclass(frozen=True, kw_only=True)
class Merton:
    """Geometric Brownian motion with normal jumps of the logarithm, at the times of a Poisson process.

    The jumps are compensated: ``drift`` is the growth of the mean whatever they are, so ``drift=0`` is a martingale.

    Parameters
    ----------
    rate
        Jumps per unit of time.
    jump_mean, jump_sd
        Of the jump of the logarithm.

    Examples
    --------
    >>> Merton(volatility=0.2, rate=3.0, jump_mean=-0.1, jump_sd=0.2).mean(50.0, 2.0)
    50.0
    """

    drift: float = 0.0
    volatility: float = 1.0
    rate: float = 0.0
    jump_mean: float = 0.0
    jump_sd: float = 0.0

    def __post_init__(self) -> None:
        _check(self, self.volatility, self.rate, self.jump_sd)

    def simulate(self, start: float, times: Floats, rng: np.random.Generator, *, paths: int = 1) -> Floats:
        """Draw paths at ``times``."""
        dt = _gaps(times)
        n = rng.poisson(self.rate * dt, (paths, dt.size))
        jumps = n * self.jump_mean + np.sqrt(n) * self.jump_sd * rng.standard_normal(n.shape)
        return start * np.exp(_diffuse(self.drift, self.volatility, self.rate * (self._moment(1) - 1), dt, jumps, rng))

    def mean(self, start: float, time: float) -> float:
        """Return E[S]."""
        return start * float(np.exp(self.drift * time))

    def variance(self, start: float, time: float) -> float:
        """Return Var[S]."""
        extra = self.volatility**2 + self.rate * (self._moment(2) - 2 * self._moment(1) + 1)
        return self.mean(start, time) ** 2 * float(np.expm1(extra * time))

    def log_moments(self, time: float) -> tuple[float, float]:
        """Return mean and variance of ``ln S_t / S_0``."""
        mean = self.drift - 0.5 * self.volatility**2 - self.rate * (self._moment(1) - 1) + self.rate * self.jump_mean
        return mean * time, (self.volatility**2 + self.rate * (self.jump_mean**2 + self.jump_sd**2)) * time

    def _moment(self, power: int) -> float:
        return float(np.exp(power * self.jump_mean + 0.5 * (power * self.jump_sd) ** 2))


@dataclass(frozen=True, kw_only=True)
class Kou:
    """As :class:`Merton`, with jumps that are exponential, up with the chance ``up_share`` and down otherwise.

    Parameters
    ----------
    up_mean, down_mean
        Mean jump of the logarithm up (below 0.5: the variance of the price has to exist) and down, both above zero.

    Examples
    --------
    >>> Kou(volatility=0.2, rate=3.0, up_share=0.4, up_mean=0.1, down_mean=0.2).mean(50.0, 2.0)
    50.0
    """

    drift: float = 0.0
    volatility: float = 1.0
    rate: float = 0.0
    up_share: float = 0.5
    up_mean: float = 0.1
    down_mean: float = 0.1

    def __post_init__(self) -> None:
        _check(self, self.volatility, self.rate, self.up_share, 1.0 - self.up_share)
        if not (0 < self.up_mean < 0.5 and self.down_mean > 0):
            raise ConfigurationError(
                "a jump is out of its range", expected="0 < up_mean < 0.5 and down_mean > 0", found=repr(self)
            )

    def simulate(self, start: float, times: Floats, rng: np.random.Generator, *, paths: int = 1) -> Floats:
        """Draw paths at ``times``."""
        dt = _gaps(times)
        n = rng.poisson(self.rate * dt, (paths, dt.size))
        up = rng.binomial(n, self.up_share)
        # A sum of n exponentials is a gamma of shape n; a shape of 0 draws 0.
        jumps = rng.standard_gamma(up) * self.up_mean - rng.standard_gamma(n - up) * self.down_mean
        return start * np.exp(_diffuse(self.drift, self.volatility, self.rate * (self._moment(1) - 1), dt, jumps, rng))

    def mean(self, start: float, time: float) -> float:
        """Return E[S]."""
        return start * float(np.exp(self.drift * time))

    def variance(self, start: float, time: float) -> float:
        """Return Var[S]."""
        extra = self.volatility**2 + self.rate * (self._moment(2) - 2 * self._moment(1) + 1)
        return self.mean(start, time) ** 2 * float(np.expm1(extra * time))

    def log_moments(self, time: float) -> tuple[float, float]:
        """Return mean and variance of ``ln S_t / S_0``."""
        p, q = self.up_share, 1.0 - self.up_share
        mean = self.drift - 0.5 * self.volatility**2 - self.rate * (self._moment(1) - 1)
        mean += self.rate * (p * self.up_mean - q * self.down_mean)
        square = 2.0 * (p * self.up_mean**2 + q * self.down_mean**2)
        return mean * time, (self.volatility**2 + self.rate * square) * time

    def _moment(self, power: int) -> float:
        up = self.up_share / (1.0 - power * self.up_mean)
        return up + (1.0 - self.up_share) / (1.0 + power * self.down_mean)


def _diffuse(
    drift: float, volatility: float, compensator: float, dt: Floats, jumps: Floats, rng: np.random.Generator
) -> Floats:
    """Return paths of the logarithm from 0 with the given jumps in each gap."""
    steps = (drift - 0.5 * volatility**2 - compensator) * dt + jumps
    return _sum_up(0.0, steps + volatility * np.sqrt(dt) * rng.standard_normal(jumps.shape))


def _gaps(times: Floats) -> Floats:
    dt = np.diff(times)
    if times.ndim != 1 or times.size == 0 or (dt < 0).any():
        raise ConfigurationError("bad times", expected="at least one, ascending", found=f"shape {times.shape}")
    return dt


def _sum_up(start: float, steps: Floats) -> Floats:
    out = np.empty((steps.shape[0], steps.shape[1] + 1))
    out[:, 0] = start
    np.cumsum(steps, axis=1, out=out[:, 1:])
    out[:, 1:] += start
    return out


def _check(process: object, *not_negative: float) -> None:
    if not min(not_negative) >= 0:
        raise ConfigurationError(
            "a parameter of the process is out of its range",
            expected="volatility, rates and jump sizes zero or above, shares from 0 to 1",
            found=repr(process),
        )
