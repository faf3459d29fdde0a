"""The long memory of trade signs: its autocorrelation, and the power law that it falls by (Lillo and Farmer 2004)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.market.errors import ConfigurationError

__all__ = ["SignMemory", "sign_autocorrelation"]


@dataclass(frozen=True, kw_only=True)
class SignMemory:
    """Autocorrelation of signs and its power law ``c lag^-gamma``.

    Attributes
    ----------
    lags, autocorrelation, pairs
        At lag 1, 2, ...; how many pairs each stands on.
    noise
        Standard error of an autocorrelation if the signs were independent: 1 / sqrt(pairs).
    gamma, gamma_se, scale
        Exponent with its standard error (of the line through the fitted points, which share their data: too small
        rather than too large), and c. NaN where fewer than four points are above the noise.
    fitted_lags
        The lags of the fit: evenly spaced in their logarithm, with an autocorrelation of more than twice the noise.
    """

    lags: NDArray[np.int64]
    autocorrelation: NDArray[np.float64]
    pairs: NDArray[np.int64]
    noise: NDArray[np.float64]
    gamma: float
    gamma_se: float
    scale: float
    fitted_lags: NDArray[np.int64]

    @property
    def hurst(self) -> float:
        """Hurst exponent ``1 - gamma / 2``: above 0.5 with long memory."""
        return 1.0 - self.gamma / 2.0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures JSON-able."""
        return {
            "lags": self.lags.tolist(),
            "autocorrelation": self.autocorrelation.tolist(),
            "pairs": self.pairs.tolist(),
            "gamma": self.gamma if np.isfinite(self.gamma) else None,
            "gamma_se": self.gamma_se if np.isfinite(self.gamma_se) else None,
            "scale": self.scale if np.isfinite(self.scale) else None,
            "fitted_lags": self.fitted_lags.tolist(),
        }


def sign_autocorrelation(
    sides: ArrayLike,
    *,
    lags_max: int = 1000,
    session: ArrayLike | None = None,
    fit_from: int = 5,
    points: int = 25,
) -> SignMemory:
    """Return the autocorrelation of trade signs and fit a power law to it.

    Parameters
    ----------
    sides
        +1 and -1 in order; leave out prints without a side. Merge the fills of one order first if its pieces are not
        to count as memory.
    lags_max
        The longest lag.
    session
        A number for each print: no pair reaches over two of them.
    fit_from
        The shortest lag of the fit: below it fills of one order rule.
    points
        How many lags, evenly spaced in their logarithm, the fit takes.

    Examples
    --------
    >>> memory = sign_autocorrelation([1, 1, -1, -1] * 500, lags_max=4)
    >>> memory.autocorrelation.round(2).tolist()
    [0.0, -1.0, -0.0, 1.0]
    """
    q = np.asarray(sides, np.float64)
    if q.size < 2 or not np.isin(q, (-1.0, 1.0)).all() or lags_max < 1 or fit_from < 1 or points < 4:
        raise ConfigurationError(
            "no autocorrelation of these",
            expected="two or more sides of +1 and -1, lags_max and fit_from at least 1, points at least 4",
            found=f"{q.size} sides, lags_max {lags_max}, fit_from {fit_from}, points {points}",
            remedy="leave out the prints without a side",
        )
    days = np.zeros(q.size, np.int64) if session is None else np.asarray(session)
    edges = np.flatnonzero(days[1:] != days[:-1]) + 1
    products, pairs = np.zeros(lags_max), np.zeros(lags_max, np.int64)
    mean = q.mean()
    for part in np.split(q - mean, edges):
        reach = min(lags_max, part.size - 1)
        products[:reach] += _products(part, reach)
        pairs[:reach] += np.arange(part.size - 1, part.size - 1 - reach, -1)
    variance = 1.0 - mean * mean
    with np.errstate(divide="ignore", invalid="ignore"):
        acf = np.where(pairs > 0, products / pairs, np.nan) / (variance if variance > 0 else np.nan)
        noise = 1.0 / np.sqrt(np.where(pairs > 0, pairs, np.nan))
    lags = np.arange(1, lags_max + 1)
    chosen = np.unique(np.round(np.geomspace(min(fit_from, lags_max), lags_max, points)).astype(np.int64))
    chosen = chosen[acf[chosen - 1] > 2 * noise[chosen - 1]]
    gamma, se, scale = _power_law(chosen.astype(np.float64), acf[chosen - 1])
    return SignMemory(
        lags=lags, autocorrelation=acf, pairs=pairs, noise=noise, gamma=gamma, gamma_se=se, scale=scale,
        fitted_lags=chosen,
    )  # fmt: skip


def _products(part: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the sums of products at lags 1 to ``reach``, by way of the spectrum."""
    size = 1 << int(part.size + reach).bit_length()
    spectrum = np.fft.rfft(part, size)
    sums: NDArray[np.float64] = np.fft.irfft(spectrum * np.conj(spectrum), size)[1 : reach + 1]
    return sums


def _power_law(lag: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[float, float, float]:
    if lag.size < 4:
        return float("nan"), float("nan"), float("nan")
    x, y = np.log(lag), np.log(value)
    dx = x - x.mean()
    slope = float((dx * y).sum() / (dx * dx).sum())
    level = float(y.mean() - slope * x.mean())
    left = y - level - slope * x
    se = float(np.sqrt((left * left).sum() / (lag.size - 2) / (dx * dx).sum()))
    return -slope, se, float(np.exp(level))
