"""Measuring the propagator: how the impact of an order decays, given that orders come in long runs.

The response ``R(l) = E[side_t (m_{t+l} - m_t)]`` mixes two things: what an order does, and that more of its side
follow. The sign correlation ``C(l)`` separates them. In differences, with ``g(l) = G(l + 1) - G(l)`` and ``G(0) = 0``::

    S(l) = R(l + 1) - R(l) = E[r_{t+l} side_t] = sum over j >= 0 of g(j) C(l - j)

a Toeplitz system, symmetric and far better conditioned than the one for G itself (Eisler, Bouchaud and Kockelkoren
2012). It is cut at the longest lag asked for; what happens beyond is taken as no change.

Prices stay unpredictable although signs are not only if impact decays just so: with ``C(l) ~ l^-gamma`` and
``G(l) ~ l^-b``, ``b = (1 - gamma) / 2``. :attr:`Measured.balance` tells how far from it a market is.

Reference: Bouchaud, Gefen, Potters and Wyart 2004.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.models.propagator import Kernel

__all__ = ["Measured", "measure", "to_kernel"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCKS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured propagator.

    Attributes
    ----------
    lags
        In orders, from 1.
    propagator, propagator_se
        G, in price (over lots to the concavity), and its standard error from leaving out one of 20 blocks at a time.
    response
        R, in price.
    sign_correlation
        C.
    gamma, gamma_se, b, b_se
        Exponents of C and G, over ``fitted_lags`` at logarithmic steps; their errors from the same blocks.
    n
        Orders.
    """

    lags: Ints
    propagator: Floats
    propagator_se: Floats
    response: Floats
    sign_correlation: Floats
    gamma: float
    gamma_se: float
    b: float
    b_se: float
    fitted_lags: tuple[int, int]
    concavity: float
    n: int

    @property
    def balance(self) -> float:
        """``b - (1 - gamma) / 2``: 0 where decay and persistence cancel; above, impact decays too fast for that."""
        return self.b - (1.0 - self.gamma) / 2.0

    def table(self) -> list[dict[str, float]]:
        """Return a row for each lag."""
        names = ("lag", "propagator", "propagator_se", "response", "sign_correlation")
        columns = (self.lags, self.propagator, self.propagator_se, self.response, self.sign_correlation)
        return [dict(zip(names, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        names = ("gamma", "gamma_se", "b", "b_se", "balance", "concavity", "n")
        return {k: getattr(self, k) for k in names} | {"fitted_lags": list(self.fitted_lags), "table": self.table()}


def measure(
    side: Ints,
    mid: Floats,
    qty_lots: Floats | None = None,
    *,
    lags: int = 200,
    concavity: float = 0.0,
    fitted_lags: tuple[int, int] = (2, 100),
) -> Measured:
    """Measure the propagator of successive orders.

    Parameters
    ----------
    side, mid, qty_lots
        +1 or -1; the mid just before each order; its size (needed with a concavity).
    lags
        The longest lag of G.
    concavity
        Power of the size that an order counts with.
    fitted_lags
        First and last lag that the exponents are read from.

    Raises
    ------
    ConfigurationError
        If there are too few orders for the lags.
    """
    n = side.size
    low, high = fitted_lags
    if n < 2 * _BLOCKS * lags or not 1 <= low < high <= lags:
        raise ConfigurationError(
            "too few orders for the lags",
            expected=f"{2 * _BLOCKS * lags} orders, fitted lags within 1 to {lags}",
            found=f"{n} orders, {fitted_lags}",
            remedy="fewer lags",
        )
    if concavity and qty_lots is None:
        raise ConfigurationError("a concavity needs sizes", expected="qty_lots")
    kick = side.astype(np.float64)
    if concavity and qty_lots is not None:
        kick = kick * qty_lots**concavity
    moves = np.diff(mid)
    # Sums of products by block: leaving one out is a subtraction.
    edges = np.linspace(0, n - 1, _BLOCKS + 1).astype(int)
    products = np.array([_products(kick, moves, lags, int(a), int(z)) for a, z in pairwise(edges)])
    total = products.sum(axis=0)
    g, c = _solve(total, lags)
    gamma, b = _exponent(c[1:], low, high), _exponent(g, low, high)
    left_out = [_solve(total - part, lags) for part in products]
    scale = (_BLOCKS - 1) / _BLOCKS
    others = np.array([x for x, _ in left_out])
    exponents = np.array([[_exponent(y[1:], low, high), _exponent(x, low, high)] for x, y in left_out])
    errors = np.sqrt(scale * ((exponents - exponents.mean(axis=0)) ** 2).sum(axis=0))
    return Measured(
        lags=np.arange(1, lags + 1),
        propagator=g,
        propagator_se=np.sqrt(scale * ((others - others.mean(axis=0)) ** 2).sum(axis=0)),
        response=np.cumsum(total[1, :lags] / total[0, 0]) * float((kick**2).mean()) / float(np.abs(kick).mean()),
        sign_correlation=c[1:],
        gamma=gamma,
        gamma_se=float(errors[0]),
        b=b,
        b_se=float(errors[1]),
        fitted_lags=fitted_lags,
        concavity=concavity,
        n=n,
    )


def to_kernel(measured: Measured, *, n_exp: int = 8, stays: bool = True) -> Kernel:
    """Return a sum of exponentials for live use: decays on a geometric grid, weights by non-negative least squares.

    What stays, as told by lags up to the longest, is a guess beyond it.
    """
    from scipy.optimize import nnls

    decays = np.geomspace(1.0, float(measured.lags[-1]), n_exp)
    parts = np.exp(-(measured.lags[:, None] - 1) / decays[None, :])
    design = np.column_stack([parts, np.ones(measured.lags.size)]) if stays else parts
    # Equal weight to each factor of ten of lags: the long ones are many and noisy.
    weight = 1.0 / np.sqrt(measured.lags)
    found, _ = nnls(design * weight[:, None], measured.propagator * weight)
    rest = float(found[n_exp]) if stays else 0.0
    return Kernel(weights=found[:n_exp], decays=decays, stays=rest, concavity=measured.concavity)


def _products(kick: Floats, moves: Floats, lags: int, start: int, stop: int) -> Floats:
    """Return sums over orders of [start, stop) of kick_t kick_{t+l} and, as a second row, of kick_t r_{t+l}."""
    from scipy.signal import correlate

    own = kick[start:stop]
    ahead = np.zeros((2, own.size + lags))
    for row, series in zip(ahead, (kick[:-1], moves), strict=True):
        known = series[start : stop + lags]
        row[: known.size] = known
    return np.array([correlate(row, own, mode="valid", method="fft") for row in ahead])


def _solve(products: Floats, lags: int) -> tuple[Floats, Floats]:
    """Return G at lags 1 to ``lags`` and C at lags 0 to ``lags``."""
    from scipy.linalg import solve_toeplitz

    c, s = products
    if c[0] <= 0:
        raise DataQualityError("no orders to measure")
    return np.cumsum(solve_toeplitz(c[:lags], s[:lags])), c / c[0]


def _exponent(y: Floats, low: int, high: int) -> float:
    """Return -d ln y / d ln lag over lags ``low`` to ``high`` at logarithmic steps; NaN where y is not above zero."""
    high = min(high, y.size)
    edges = np.unique(np.geomspace(low, high + 1, 13).round().astype(int))
    means = np.array([[np.log(np.arange(a, z)).mean(), y[a - 1 : z - 1].mean()] for a, z in pairwise(edges)])
    if (means[:, 1] <= 0).any():
        return float("nan")
    return -float(np.polyfit(means[:, 0], np.log(means[:, 1]), 1)[0])
