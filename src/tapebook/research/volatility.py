"""Volatility of a whole sample: where prices are observed with noise, and where only ranges are.

The observed log price is the efficient one and an error (bounce, discreteness). Summed at the finest step, squared
returns measure the errors: ``RV ~ IV + 2 n omega^2``. Three ways around it stand here: two scales, many scales, and
autocovariances under a kernel. A signature plot shows whether any is needed.

Sums are numpy's and our own, none a BLAS product: what comes out does not depend on how many threads that takes, and
where it takes several on a busy machine such a sum was up to 200 times as slow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.kernels import volatility as kernel
from tapebook.market.errors import ConfigurationError

__all__ = [
    "Estimates",
    "estimates",
    "garman_klass",
    "kernel_bandwidth",
    "multi_scale_variance",
    "noise_variance",
    "parkinson",
    "realised_kernel",
    "rogers_satchell",
    "signature_plot",
    "two_scale_step",
    "two_scale_variance",
    "yang_zhang",
]

_PARZEN = 3.5134  # c* of the Parzen kernel
_SPARSE = 100  # returns of the step at which noise is taken to be small


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What each estimator says of one sample; variances of the log price over the whole of it.

    Attributes
    ----------
    n
        Returns.
    steps, signature
        Realised variance by step.
    two_scale, multi_scale, kernel, kernel_flat_top
        The estimators that are made for noise.
    noise, noise_most
        Variance of the error in each price, from the autocovariance of returns, and its upper bound.
    step, bandwidth
        Step of the slow scale, and autocovariances under the kernel.
    """

    n: int
    steps: tuple[int, ...]
    signature: NDArray[np.float64]
    two_scale: float
    multi_scale: float
    kernel: float
    kernel_flat_top: float
    noise: float
    noise_most: float
    step: int
    bandwidth: int

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each estimator: variance, and its root in basis points (NaN where it is below zero)."""
        rows = [(f"realised, step {k}", v) for k, v in zip(self.steps, self.signature.tolist(), strict=True)]
        rows += [("two scales", self.two_scale), ("many scales", self.multi_scale)]
        rows += [("kernel", self.kernel), ("kernel, flat top", self.kernel_flat_top)]
        return [{"estimator": name, "variance": v, "volatility_bp": 1e4 * _root_of(v)} for name, v in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        names = ("n", "noise", "noise_most", "step", "bandwidth")
        return {name: getattr(self, name) for name in names} | {"table": self.table()}


def estimates(log_prices: ArrayLike, steps: Sequence[int] = (1, 2, 5, 10, 20, 50, 100)) -> Estimates:
    """Return what every estimator of this module that takes a path says of it, beside each other.

    They should agree; the finest realised variance is the one that noise lifts most.

    >>> walk = np.cumsum(np.random.default_rng(1).normal(0.0, 1e-4, 2_000))
    >>> found = estimates(walk, steps=[1, 10])
    >>> [round(row["volatility_bp"]) for row in found.table()]  # 1 bp a step, 45 over 2,000 of them
    [45, 45, 45, 51, 45, 45]
    """
    x = _log_prices(log_prices, 8)
    return Estimates(
        n=x.size - 1,
        steps=tuple(steps),
        signature=signature_plot(x, steps),
        two_scale=two_scale_variance(x),
        multi_scale=multi_scale_variance(x),
        kernel=realised_kernel(x),
        kernel_flat_top=realised_kernel(x, flat_top=True),
        noise=noise_variance(x),
        noise_most=noise_variance(x, upper_bound=True),
        step=two_scale_step(x),
        bandwidth=kernel_bandwidth(x),
    )


def signature_plot(log_prices: ArrayLike, steps: Sequence[int]) -> NDArray[np.float64]:
    """Return the realised variance of the sample at each step, averaged over all grids of that step.

    Without noise it is flat; bounce lets it rise towards the finest step.

    References
    ----------
    Andersen, T., Bollerslev, T., Diebold, F. and Labys, P. (2000), Great realizations, Risk 13:3.

    Examples
    --------
    >>> signature_plot([0.0, 1.0, 0.0, 1.0, 0.0], [1, 2]).tolist()  # nothing but bounce
    [4.0, 0.0]
    """
    x = _log_prices(log_prices, 2)
    n = x.size - 1
    if not len(steps) or min(steps) < 1 or max(steps) > n:
        raise ConfigurationError("steps cannot be so", expected=f"1 to {n}, the returns", found=str(list(steps)))
    return np.array([_average_rv(x, step) * n / (n - step + 1) for step in steps])


def noise_variance(log_prices: ArrayLike, *, upper_bound: bool = False) -> float:
    """Return the variance of the error in each observed log price.

    Minus the first autocovariance of returns (it can come out below zero where there is little noise), or
    ``RV / (2 n)``, an upper bound that counts the price's own moves too.

    >>> noise_variance([0.0, 1.0, 0.0, 1.0, 0.0], upper_bound=True)
    0.5
    """
    r = np.diff(_log_prices(log_prices, 3))
    if upper_bound:
        return float(np.square(r).sum()) / (2 * r.size)
    return -float((r[1:] * r[:-1]).sum()) / (r.size - 1)


def two_scale_step(log_prices: ArrayLike) -> int:
    """Return the step of the slow scale that suits the sample: ``(12 omega^4 / IV^2)^(1/3) n^(2/3)``, at least 2."""
    x = _log_prices(log_prices, 8)
    n = x.size - 1
    ratio = noise_variance(x, upper_bound=True) / _sparse_variance(x)
    return min(max(2, math.ceil(math.cbrt(12 * ratio**2 * n**2))), n // 2)


def two_scale_variance(log_prices: ArrayLike, step: int | None = None) -> float:
    """Return the integrated variance from two scales: the slow one, less the noise that the fast one shows.

    ``(1 - m/n)^-1 (RV_slow - m/n RV_all)`` with ``m = (n - step + 1) / step``. It can come out below zero in a small
    sample; that is for the caller to judge.

    Parameters
    ----------
    log_prices
        In the order of time, at trades or on any grid.
    step
        Of the slow scale; None: :func:`two_scale_step`.

    References
    ----------
    Zhang, L., Mykland, P. and Ait-Sahalia, Y. (2005), A tale of two time scales, Journal of the American Statistical
    Association 100:472.
    """
    x = _log_prices(log_prices, 8)
    n = x.size - 1
    step = two_scale_step(x) if step is None else step
    if not 2 <= step <= n:
        raise ConfigurationError("step cannot be so", expected=f"2 to {n}, the returns", found=repr(step), where="step")
    share = (n - step + 1) / step / n
    return (_average_rv(x, step) - share * _average_rv(x, 1)) / (1.0 - share)


def multi_scale_variance(log_prices: ArrayLike, scales: int | None = None, offset: int | None = None) -> float:
    """Return the integrated variance from ``scales`` scales, the finest of ``offset + 1`` returns.

    Parameters
    ----------
    log_prices
        In the order of time.
    scales, offset
        None: the root of the number of prices, rounded up.

    References
    ----------
    Zhang, L. (2006), Efficient estimation of stochastic volatility using noisy observations, Bernoulli 12:6. Tao, M.,
    Wang, Y. and Chen, X. (2013), Fast convergence rates in estimating large volatility matrices, Econometric Theory
    29:4 (the offset).
    """
    x = _log_prices(log_prices, 8)
    n = x.size
    m = math.ceil(math.sqrt(n)) if scales is None else scales
    first = math.ceil(math.sqrt(n)) if offset is None else offset
    if m < 2 or first < 0 or m + first >= n:
        raise ConfigurationError(
            "scales cannot be so", expected=f"at least 2, and with the offset fewer than {n}", found=f"{m}, {first}"
        )
    at = np.arange(1, m + 1)
    rv = np.array([_average_rv(x, first + k) for k in at.tolist()])
    weights = 12.0 * (at + first) * (at - m / 2 - 0.5) / (m * (m**2 - 1.0))
    edge = (m + first) * (first + 1) / ((n + 1.0) * (m - 1.0))
    return float((weights * rv).sum() + edge * (rv[0] - rv[-1]))


def kernel_bandwidth(log_prices: ArrayLike) -> int:
    """Return the autocovariances to take: ``3.5134 xi^(4/5) n^(3/5)``, ``xi^2 = omega^2 / IV`` from a sparse grid."""
    x = _log_prices(log_prices, 8)
    n = x.size - 1
    xi2 = noise_variance(x, upper_bound=True) / _sparse_variance(x)
    return min(max(1, math.ceil(_PARZEN * math.pow(xi2, 0.4) * math.pow(n, 0.6))), n - 1)


def realised_kernel(
    log_prices: ArrayLike, bandwidth: int | None = None, *, jitter: int = 2, flat_top: bool = False
) -> float:
    """Return the integrated variance as a sum of autocovariances under the Parzen kernel.

    ``g_0 + 2 sum_h k(h / (H + 1)) g_h``: never below zero, robust to noise that depends on its past, and some percent
    too high by what is left of the noise (``12 omega^2 n / H^2``). The flat-top form ``k((h - 1) / H)`` has no such
    bias, and may come out below zero.

    Parameters
    ----------
    log_prices
        In the order of time.
    bandwidth
        ``H``; None: :func:`kernel_bandwidth`.
    jitter
        Prices averaged at either end (1: none), so that their errors do not stay.
    flat_top
        Which form.

    References
    ----------
    Barndorff-Nielsen, O., Hansen, P., Lunde, A. and Shephard, N. (2008), Designing realized kernels, Econometrica 76:6;
    (2009), Realized kernels in practice, Econometrics Journal 12:3.

    Examples
    --------
    >>> realised_kernel([0.0, 1.0, 2.0, 3.0], bandwidth=1, jitter=1)  # 3 + 2 k(1/2) 2, with k(1/2) = 1/4
    4.0
    """
    x = _log_prices(log_prices, 4)
    if not 1 <= jitter <= x.size // 2 - 1:
        raise ConfigurationError(
            "jitter cannot be so", expected=f"1 to {x.size // 2 - 1} prices", found=repr(jitter), where="jitter"
        )
    h_max = kernel_bandwidth(x) if bandwidth is None else bandwidth
    first, last = np.array([x[:jitter].mean()]), np.array([x[-jitter:].mean()])
    r = np.diff(np.concatenate([first, x[jitter:-jitter], last]))
    if not 1 <= h_max < r.size:
        raise ConfigurationError(
            "bandwidth cannot be so", expected=f"1 to {r.size - 1}", found=repr(h_max), where="bandwidth"
        )
    h = np.arange(1, h_max + 1)
    weights = _parzen((h - 1) / h_max if flat_top else h / (h_max + 1))
    products = np.empty(h_max + 1)
    kernel.lagged_products(r, products)
    return float(products[0] + 2.0 * (weights * products[1:]).sum())


def parkinson(high: ArrayLike, low: ArrayLike) -> float:
    """Return the volatility of a bar from ranges alone, for a price without drift (Parkinson 1980).

    >>> round(parkinson([101.0, 102.0], [100.0, 100.0]), 6)
    0.009411
    """
    h, lo = _bars(high, low)
    return _root(np.log(h / lo) ** 2 / (4 * math.log(2)))


def garman_klass(open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike) -> float:
    """Return the volatility of a bar from range and body, for a price without drift (Garman and Klass 1980)."""
    o, h, lo, c = _bars(open_, high, low, close)
    return _root(0.5 * np.log(h / lo) ** 2 - (2 * math.log(2) - 1) * np.log(c / o) ** 2)


def rogers_satchell(open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike) -> float:
    """Return the volatility of a bar from range and body, whatever the drift (Rogers and Satchell 1991)."""
    o, h, lo, c = _bars(open_, high, low, close)
    return _root(np.log(h / c) * np.log(h / o) + np.log(lo / c) * np.log(lo / o))


def yang_zhang(open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike) -> float:
    """Return the volatility from close to close, gaps included and whatever the drift (Yang and Zhang 2000).

    The first bar gives only the close that the second one's gap starts from.
    """
    o, h, lo, c = _bars(open_, high, low, close)
    if o.size < 3:
        return float("nan")
    gap, body = np.log(o[1:] / c[:-1]), np.log(c[1:] / o[1:])
    o, h, lo, c = o[1:], h[1:], lo[1:], c[1:]
    inner = np.log(h / c) * np.log(h / o) + np.log(lo / c) * np.log(lo / o)
    k = 0.34 / (1.34 + (o.size + 1) / (o.size - 1))
    return _root(np.array([gap.var(ddof=1) + k * body.var(ddof=1) + (1 - k) * inner.mean()]))


def _average_rv(x: NDArray[np.float64], step: int) -> float:
    return float(np.square(x[step:] - x[:-step]).sum()) / step


def _sparse_variance(x: NDArray[np.float64]) -> float:
    n = x.size - 1
    variance = float(signature_plot(x, [max(1, n // _SPARSE)])[0])
    if variance <= 0.0:
        raise ConfigurationError("prices never move", expected="a sample with returns other than zero", found="none")
    return variance


def _parzen(x: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.where(x <= 0.5, 1 - 6 * x**2 + 6 * x**3, 2 * np.clip(1 - x, 0.0, 1.0) ** 3)
    return weights


def _log_prices(values: ArrayLike, least: int) -> NDArray[np.float64]:
    x = np.ascontiguousarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size < least or not np.isfinite(x).all():
        raise ConfigurationError(
            "log prices cannot be so", expected=f"at least {least} finite numbers in one dimension", found=str(x.shape)
        )
    return x


def _bars(*columns: ArrayLike) -> list[NDArray[np.float64]]:
    bars = [np.asarray(column, dtype=np.float64) for column in columns]
    if (
        len({b.shape for b in bars}) > 1
        or bars[0].ndim != 1
        or not bars[0].size
        or not all((b > 0).all() for b in bars)
    ):
        raise ConfigurationError(
            "bars cannot be so", expected="equally long columns of prices above 0", found=str([b.shape for b in bars])
        )
    return bars


def _root(variances: NDArray[np.float64]) -> float:
    return _root_of(float(variances.mean()))


def _root_of(variance: float) -> float:
    """Return the volatility, NaN where the variance came out below zero."""
    return math.sqrt(variance) if variance >= 0.0 else float("nan")
