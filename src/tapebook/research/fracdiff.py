"""The smallest order of fractional differencing that makes a series stationary.

There is no order that suits "financial series": it is a property of the sample. Test on the clock that the feature will
run on, and choose on other data than what is judged with it. On a million ticks the test always rejects, whatever
the order.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tapebook.features.fracdiff import MOST, fracdiff, fracdiff_weights
from tapebook.market.errors import ConfigurationError
from tapebook.research.threads import one_thread

__all__ = ["StationaryOrder", "smallest_stationary_order", "unit_root_test"]

_LEFT_MIN = 50  # values that a test needs
_NUMBERS = ("order", "t", "critical", "lags", "correlation", "n_weights", "n_values")


@dataclass(frozen=True)
class StationaryOrder:
    """What a search for the smallest stationary order found.

    Attributes
    ----------
    order
        The order; NaN where even the highest one tried left a unit root.
    t, critical
        The test's t at that order (at the highest one tried, if none will do), and the 5 % value it is below.
    lags
        Lagged differences in the test.
    correlation
        Of the differenced series with the level: how much memory is left.
    n_weights
        How far the window looks back.
    n_values
        Values that were tested.
    looked
        Every order that was tested, in the order of the search.
    """

    order: float
    t: float
    critical: float
    lags: int
    correlation: float
    n_weights: int
    n_values: int
    looked: tuple[StationaryOrder, ...] = ()

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each order that was tested, lowest first."""
        tested = sorted(self.looked, key=lambda one: one.order)
        return [{name: getattr(one, name) for name in _NUMBERS} for one in tested]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers."""
        return {name: getattr(self, name) for name in _NUMBERS} | {"looked": self.table()}


@one_thread()
def unit_root_test(values: ArrayLike, lags: int | None = None) -> tuple[float, float, int]:
    """Return the augmented Dickey-Fuller t (with a constant), its 5 % critical value and the lags taken.

    A t below the critical value rejects a unit root: the series is stationary.

    Parameters
    ----------
    values
        The series, without gaps.
    lags
        Lagged differences; None: as many as the Akaike criterion says, up to ``12 (n / 100)^(1/4)``.

    References
    ----------
    Said, S. and Dickey, D. (1984), Testing for unit roots, Biometrika 71:3. MacKinnon, J. (2010), Critical values for
    cointegration tests, Queen's University working paper 1227.
    """
    from statsmodels.tsa.stattools import adfuller

    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.size < _LEFT_MIN or not np.isfinite(x).all():
        raise ConfigurationError(
            "series cannot be tested", expected=f"at least {_LEFT_MIN} finite numbers", found=str(x.shape)
        )
    if x.min() == x.max():
        raise ConfigurationError("series cannot be tested", expected="values that differ", found=f"only {x[0]!r}")
    # statsmodels 0.15 asks for a choice of result that 0.14 does not know of.
    plain = {"result_object": False} if "result_object" in inspect.signature(adfuller).parameters else {}
    found = adfuller(x, maxlag=lags, regression="c", autolag="AIC" if lags is None else None, **plain)
    return float(found[0]), float(found[4]["5%"]), int(found[2])


@one_thread()
def smallest_stationary_order(
    values: ArrayLike,
    *,
    threshold: float = 1e-4,
    most: int = MOST,
    lags: int | None = None,
    highest: float = 2.0,
    precision: float = 0.01,
) -> StationaryOrder:
    """Return the smallest order at which the unit-root test rejects at 5 %, found by halving.

    Halving takes t to fall with the order. Where lags are chosen anew at each order, or the window is short, it does
    not always, and a smaller order may have been passed over: look at :meth:`StationaryOrder.table`.

    Parameters
    ----------
    values
        Log prices on the clock of the feature, without gaps (roll a future by ratio).
    threshold, most
        As in :func:`~tapebook.features.fracdiff.fracdiff_weights`.
    lags
        As in :func:`unit_root_test`.
    highest
        Order that the search begins with.
    precision
        How close to the smallest order it ends; the order given back is one at which the test rejected.

    References
    ----------
    Lopez de Prado, M. (2018), Advances in Financial Machine Learning, chapter 5.
    """
    x = np.asarray(values, dtype=np.float64)
    if not 0.0 < precision < highest:
        raise ConfigurationError(
            "precision cannot be so", expected=f"above 0, below {highest}", found=repr(precision), where="precision"
        )

    def look(order: float) -> tuple[bool, StationaryOrder]:
        n_weights = fracdiff_weights(order, threshold, most).size
        if x.size < n_weights + _LEFT_MIN:
            raise ConfigurationError(
                "series too short for its window",
                expected=f"{n_weights + _LEFT_MIN} values at order {order:g}",
                found=str(x.size),
                remedy="raise threshold, or lower most",
            )
        y = fracdiff(x - x[0], order, threshold=threshold, most=most)[n_weights - 1 :]
        t, critical, taken = unit_root_test(y, lags)
        level = x[n_weights - 1 :]
        correlation = float(np.corrcoef(y, level)[0, 1])
        looked.append(StationaryOrder(order, t, critical, taken, correlation, n_weights, y.size))
        return t < critical, looked[-1]

    looked: list[StationaryOrder] = []
    stationary, best = look(0.0)
    if stationary:
        return replace(best, looked=tuple(looked))
    stationary, best = look(highest)
    if not stationary:
        return replace(best, order=float("nan"), looked=tuple(looked))
    low, high = 0.0, highest
    while high - low > precision:
        middle = 0.5 * (low + high)
        stationary, found = look(middle)
        if stationary:
            high, best = middle, found
        else:
            low = middle
    return replace(best, looked=tuple(looked))
