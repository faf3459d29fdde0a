"""How often a quote is hit by its distance from the mid: ``A exp(-k d)``, fitted as a Poisson regression.

Two kinds of evidence. *Quotes*: how many fills at a distance, over how many seconds of exposure (:func:`fit`). *The
tape*: how far from the mid each aggressive order reached; a quote at ``d`` would have been hit by every order that
reached ``d`` or further (:func:`of_reaches`). The second knows nothing of queues, so it tells the rate at which the
*front* of a queue there would have been hit; a quote at its back is hit less often.

Counts at nested distances ("reached 3", "reached 4") share their orders, and a regression on them would believe itself
far too much. So orders are counted in bins by how far they reached, which are independent; the rate of a bin of width
``h`` is ``A (1 - e^{-k h}) e^{-k d}``, a Poisson regression with the same slope.

References: Avellaneda and Stoikov 2008 (the law); McCullagh and Nelder 1989 (the regression).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError

__all__ = ["FillRates", "fit", "of_reaches"]

Floats = NDArray[np.float64]

_STEPS_MAX: Final = 100


@dataclass(frozen=True, kw_only=True)
class FillRates:
    """Fitted rates ``intensity * exp(-decay * distance)``.

    Attributes
    ----------
    intensity, intensity_se
        Fills per second at the mid.
    decay, decay_se
        Per price.
    correlation
        Of the two estimates.
    dispersion
        Pearson's chi-square over its degrees of freedom: about 1 for Poisson counts; the standard errors are for that,
        multiply them by its root where it is well above (orders come in clusters). NaN with two distances.
    distance, fills, seconds, fitted
        What was fitted: bins (lower edges, for reaches), counts, exposures, expected counts.
    """

    intensity: float
    intensity_se: float
    decay: float
    decay_se: float
    correlation: float
    dispersion: float
    distance: Floats
    fills: Floats
    seconds: Floats
    fitted: Floats

    def table(self) -> list[dict[str, float]]:
        """Return a row for each distance."""
        names = ("distance", "fills", "seconds", "fitted")
        columns = (self.distance, self.fills, self.seconds, self.fitted)
        return [dict(zip(names, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        names = ("intensity", "intensity_se", "decay", "decay_se", "correlation", "dispersion")
        return {name: getattr(self, name) for name in names} | {"table": self.table()}


def fit(distance: Floats, fills: Floats, seconds: Floats) -> FillRates:
    """Fit rates to counts of fills by distance.

    Parameters
    ----------
    distance
        From the mid, in price.
    fills
        How many at each distance.
    seconds
        How long quotes stood at each distance.

    Raises
    ------
    ConfigurationError
        If the arrays do not fit together, or no two distances were exposed.
    DataQualityError
        If the fills all came at one distance: no decay can be told from them.

    Examples
    --------
    >>> found = fit(np.array([0.0, 1.0, 2.0]), np.array([400.0, 200.0, 100.0]), np.full(3, 100.0))
    >>> round(found.intensity, 6), round(found.decay, 6)
    (4.0, 0.693147)
    """
    d, n, t = (np.asarray(x, np.float64) for x in (distance, fills, seconds))
    if not (d.ndim == 1 and d.shape == n.shape == t.shape and (n >= 0).all() and (t >= 0).all()):
        raise ConfigurationError(
            "counts, exposures and distances do not fit together",
            expected="three equally long arrays, counts and seconds zero or above",
            found=f"{d.shape}, {n.shape}, {t.shape}",
        )
    used = t > 0
    d, n, t = d[used], n[used], t[used]
    if np.unique(d).size < 2 or np.unique(d[n > 0]).size < 2:
        raise DataQualityError("fills at fewer than two distances", remedy="quote at more distances, or wait longer")
    theta, covariance = _regress(d, n, t)
    rate, decay = float(np.exp(theta[0])), float(-theta[1])
    expected = t * np.exp(theta[0] + theta[1] * d)
    freedom = d.size - 2
    chi_square = float(((n - expected) ** 2 / expected).sum())
    return FillRates(
        intensity=rate,
        intensity_se=rate * float(np.sqrt(covariance[0, 0])),
        decay=decay,
        decay_se=float(np.sqrt(covariance[1, 1])),
        correlation=-float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])),
        dispersion=chi_square / freedom if freedom > 0 else float("nan"),
        distance=d,
        fills=n,
        seconds=t,
        fitted=expected,
    )


def of_reaches(reach: Floats, seconds: float, *, width: float, bins: int, start: float = 0.0) -> FillRates:
    """Fit rates to how far from the mid aggressive orders reached.

    Parameters
    ----------
    reach
        Distance of the worst fill of each order from the mid before it, in price.
    seconds
        How long the tape is.
    width, bins, start
        Bins of distance; orders that reached less than ``start`` or beyond the last bin are left out.
    """
    edges = start + width * np.arange(bins + 1)
    counts = np.histogram(reach[reach < edges[-1]], edges)[0].astype(np.float64)
    binned = fit(np.asarray(edges[:-1], np.float64), counts, np.full(bins, seconds))
    # Rate of a bin = A (1 - e^{-k h}) e^{-k d}: the slope is that of the law, the level is divided by the share.
    share = -float(np.expm1(-binned.decay * width))
    if not share > 0:
        raise DataQualityError("orders do not get rarer with distance", found=f"a decay of {binned.decay:.4g}")
    slope = width * float(np.exp(-binned.decay * width)) / share  # d ln share / d decay
    level_se = binned.intensity_se / binned.intensity
    cross = binned.correlation * level_se * binned.decay_se
    variance = level_se**2 + (slope * binned.decay_se) ** 2 - 2.0 * slope * cross
    rate = binned.intensity / share
    correlation = (cross - slope * binned.decay_se**2) / (np.sqrt(variance) * binned.decay_se)
    return FillRates(
        intensity=rate,
        intensity_se=rate * float(np.sqrt(variance)),
        decay=binned.decay,
        decay_se=binned.decay_se,
        correlation=float(correlation),
        dispersion=binned.dispersion,
        distance=binned.distance,
        fills=binned.fills,
        seconds=binned.seconds,
        fitted=binned.fitted,
    )


def _regress(d: Floats, n: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Return (ln A, -k) and their covariance, by Fisher scoring with halved steps where the likelihood would fall."""
    centre = float((n @ d) / n.sum())
    x = np.column_stack([np.ones(d.size), d - centre])
    theta = np.array([np.log(n.sum() / t.sum()), 0.0])
    best = _likelihood(x, n, t, theta)
    for _ in range(_STEPS_MAX):
        expected = t * np.exp(x @ theta)
        step = np.linalg.solve(x.T @ (expected[:, None] * x), x.T @ (n - expected))
        while (now := _likelihood(x, n, t, theta + step)) < best - 1e-12 * abs(best) and np.abs(step).max() > 1e-14:
            step = step / 2
        theta, best = theta + step, now
        if np.abs(step).max() < 1e-12 * (1.0 + np.abs(theta).max()):
            break
    expected = t * np.exp(x @ theta)
    back = np.array([[1.0, -centre], [0.0, 1.0]])  # from the centred regression to the one from distance 0
    covariance = back @ np.linalg.inv(x.T @ (expected[:, None] * x)) @ back.T
    return back @ theta, covariance


def _likelihood(x: Floats, n: Floats, t: Floats, theta: Floats) -> float:
    log_rate = x @ theta
    if log_rate.max() > 500:  # a step that went wild: worse than any
        return -np.inf
    return float(n @ log_rate - t @ np.exp(log_rate))
