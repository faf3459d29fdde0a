"""Is a fitted Hawkes model right? Its time-rescaling residuals must be independent draws of an exponential.

Where the model is right, the compensator between successive events of a type is Exp(1), independent of the others
(Papangelou; Brown et al. 2002). Four looks at that: Kolmogorov-Smirnov (the distribution), Ljung-Box (independence),
Engle-Russell's excess dispersion (the variance), and the QQ plot (where it fails).

The KS critical values are for parameters that were known beforehand; after fitting to the same data they are too lax.
:func:`bootstrap_ks` draws and refits samples of the model itself and is free of that.

References: Ogata 1988; Engle & Russell 1998; Brown, Barbieri, Ventura, Kass & Frank 2002; Ljung & Box 1978; Stephens
1974 (KS for finite n).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import DataQualityError
from tapebook.research.hawkes import HawkesFit, refit

__all__ = ["ResidualTest", "bootstrap_ks", "ks_distance", "qq_points"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ks_distance(residuals: Floats) -> float:
    """Return the largest distance between the residuals' distribution and Exp(1).

    >>> ks_distance(-np.log1p(-(np.arange(100) + 0.5) / 100)).__round__(12)
    0.005
    """
    u = np.sort(-np.expm1(-residuals))
    n = u.size
    above = np.arange(1, n + 1) / n - u
    below = u - np.arange(n) / n
    return float(max(above.max(initial=0.0), below.max(initial=0.0)))


@dataclass(frozen=True)
class ResidualTest:
    """Tests of one type's residuals.

    Attributes
    ----------
    n, mean, variance
        Of the residuals; the last two are 1 where the model is right.
    ks, ks_p
        Kolmogorov-Smirnov distance from Exp(1), and its p-value (lax after fitting, see above).
    ljung_box, ljung_box_lags, ljung_box_p
        Serial correlation of the residuals over so many lags.
    dispersion, dispersion_p
        ``sqrt(n / 8) (variance - 1)``, standard normal where the model is right; two-sided.

    Examples
    --------
    >>> right = ResidualTest.of(np.random.default_rng(1).exponential(size=2000))
    >>> wrong = ResidualTest.of(np.random.default_rng(1).gamma(0.8, 1.25, size=2000))
    >>> right.ks_p > 0.05, wrong.ks_p < 0.001
    (True, True)
    """

    n: int
    mean: float
    variance: float
    ks: float
    ks_p: float
    ljung_box: float
    ljung_box_lags: int
    ljung_box_p: float
    dispersion: float
    dispersion_p: float

    @staticmethod
    def of(residuals: Floats, *, lags: int = 20) -> ResidualTest:
        """Test residuals.

        Raises
        ------
        DataQualityError
            If there are not more of them than lags.
        """
        from scipy.special import chdtrc, erfc, kolmogorov

        n = residuals.size
        if n <= lags:
            raise DataQualityError("too few residuals to test", expected=f"more than {lags}", found=str(n))
        ks = ks_distance(residuals)
        root = float(np.sqrt(n))
        centred = residuals - residuals.mean()
        power = float(centred @ centred)
        rho = np.array([float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, lags + 1)])
        ljung_box = float(n * (n + 2) * np.sum(rho**2 / (n - np.arange(1, lags + 1))))
        variance = float(residuals.var(ddof=1))
        dispersion = float(np.sqrt(n / 8)) * (variance - 1)
        return ResidualTest(
            n=n,
            mean=float(residuals.mean()),
            variance=variance,
            ks=ks,
            ks_p=float(kolmogorov((root + 0.12 + 0.11 / root) * ks)),
            ljung_box=ljung_box,
            ljung_box_lags=lags,
            ljung_box_p=float(chdtrc(lags, ljung_box)),
            dispersion=dispersion,
            dispersion_p=float(erfc(abs(dispersion) / np.sqrt(2))),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-able."""
        return asdict(self)


def qq_points(residuals: Floats, n_max: int = 400) -> tuple[Floats, Floats]:
    """Return (quantiles of Exp(1), quantiles of the residuals), at most ``n_max`` of them, denser in the tail.

    >>> expected, found = qq_points(np.random.default_rng(1).exponential(size=10_000), 50)
    >>> bool(np.abs(expected - found)[:25].max() < 0.2)
    True
    """
    ordered = np.sort(residuals)
    n = ordered.size
    if n <= n_max:
        at = np.arange(n)
    else:  # even steps in the exponential quantile, which is how the axis runs
        top = np.log(n + 1.0)
        at = np.unique(np.clip(np.round(n * -np.expm1(-np.linspace(0, top, n_max))).astype(np.int64), 0, n - 1))
    return -np.log1p(-(at + 0.5) / n), ordered[at]


def bootstrap_ks(
    fitted: HawkesFit, times: Floats, types: Ints, n_samples: int, rng: np.random.Generator
) -> list[float]:
    """Return the p-value of KS by type, from ``n_samples`` samples of the model, each refitted.

    Costs a simulation and a fit for each sample; 99 samples tell 1 % from 2 %.

    Raises
    ------
    ConfigurationError
        If the model is not stationary: it cannot be drawn from.
    """
    found = [ks_distance(x) for x in fitted.model.residuals(times, types)]
    larger = np.zeros(len(found))
    for _ in range(n_samples):
        drawn, kinds = fitted.model.simulate(fitted.horizon, rng)
        model = refit(fitted, drawn, kinds, fitted.horizon).model
        larger += [ks_distance(x) >= f for x, f in zip(model.residuals(drawn, kinds), found, strict=True)]
    return [float(p) for p in (1 + larger) / (1 + n_samples)]
