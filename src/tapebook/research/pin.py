"""PIN: the probability of informed trading, from daily numbers of buys and sells (Easley and others 1996).

A day has news with probability alpha, bad news with delta of that. Uninformed buys and sells come at rates eps_buy and
eps_sell, informed orders at mu, on the side of the news::

    PIN = alpha mu / (alpha mu + eps_buy + eps_sell)

It is estimated from weeks of days: no measure for a live session. All of it is computed in logarithms; with thousands
of trades a day the rates themselves overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError

__all__ = ["Pin", "log_likelihood", "pin"]

_GRID: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_EDGE: Final = 1e-3
_DAYS_MIN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Pin:
    """An estimate of the model.

    Attributes
    ----------
    pin
        Share of trades that are informed.
    alpha, delta, mu, eps_buy, eps_sell
        The parameters: probabilities of news and of bad news given news; trades a day.
    log_likelihood
        Without the terms in log B! and log S!, which no parameter is in.
    days, starts, at_edge
        Days; starts of the search that came to an end; whether only optima with alpha at 0 or 1 were found, which say
        that the model does not fit.
    """

    pin: float
    alpha: float
    delta: float
    mu: float
    eps_buy: float
    eps_sell: float
    log_likelihood: float
    days: int
    starts: int
    at_edge: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return dict(self.__dict__)


def log_likelihood(
    buys: ArrayLike, sells: ArrayLike, *, alpha: float, delta: float, mu: float, eps_buy: float, eps_sell: float
) -> float:
    """Return the log likelihood of days, without the terms in log B! and log S!.

    Examples
    --------
    >>> round(log_likelihood([10], [12], alpha=0.3, delta=0.5, mu=5.0, eps_buy=10.0, eps_sell=10.0), 4)
    30.5397
    """
    b, s = np.asarray(buys, np.float64), np.asarray(sells, np.float64)
    return float(_days(b, s, alpha, delta, mu, eps_buy, eps_sell).sum())


def _days(
    b: NDArray[np.float64], s: NDArray[np.float64], alpha: float, delta: float, mu: float, eb: float, es: float
) -> NDArray[np.float64]:
    quiet = -eb + b * np.log(eb) - es + s * np.log(es)
    good = quiet - mu + b * np.log1p(mu / eb)
    bad = quiet - mu + s * np.log1p(mu / es)
    with np.errstate(divide="ignore"):  # a probability of 0 is a term of 0
        weights = np.log([alpha * delta, alpha * (1 - delta), 1 - alpha])
    terms = np.stack([bad + weights[0], good + weights[1], quiet + weights[2]])
    top = terms.max(axis=0)
    days: NDArray[np.float64] = top + np.log(np.exp(terms - top).sum(axis=0))
    return days


def pin(buys: ArrayLike, sells: ArrayLike) -> Pin:
    """Estimate PIN by maximum likelihood, from the 125 starts of Yan and Zhang (2012).

    Parameters
    ----------
    buys, sells
        Trades bought and sold on each day (orders, better than their fills).

    Raises
    ------
    DataQualityError
        If there are fewer than 20 days, or none with buys or sells.

    References
    ----------
    Easley, D., Hvidkjaer, S. and O'Hara, M. (2002), Is information risk a determinant of asset returns?, Journal of
    Finance 57:5.
    Yan, Y. and Zhang, S. (2012), An improved estimation method and empirical properties of the probability of informed
    trading, Journal of Banking and Finance 36:2.
    """
    b, s = np.asarray(buys, np.float64), np.asarray(sells, np.float64)
    if b.shape != s.shape or b.ndim != 1 or not (np.r_[b, s] >= 0).all():
        raise ConfigurationError(
            "buys and sells do not fit", expected="numbers of one length, at least 0", found=f"{b.shape}, {s.shape}"
        )
    if b.size < _DAYS_MIN or b.mean() == 0 or s.mean() == 0:
        raise DataQualityError(
            "too little for PIN",
            expected=f"{_DAYS_MIN} days with buys and sells",
            found=f"{b.size} days, {b.sum():.0f} buys, {s.sum():.0f} sells",
        )
    found = [fit for start in _starts(b, s) if (fit := _climb(b, s, start)) is not None]
    inside = [fit for fit in found if _EDGE < fit[1][0] < 1 - _EDGE]
    value, (alpha, delta, mu, eb, es) = max(inside or found, key=lambda fit: fit[0])
    return Pin(
        pin=alpha * mu / (alpha * mu + eb + es),
        alpha=alpha,
        delta=delta,
        mu=mu,
        eps_buy=eb,
        eps_sell=es,
        log_likelihood=value,
        days=int(b.size),
        starts=len(found),
        at_edge=not inside,
    )


_Parameters = tuple[float, float, float, float, float]


def _starts(b: NDArray[np.float64], s: NDArray[np.float64]) -> list[_Parameters]:
    """Return the starts: a share of the buys is uninformed, the rest of both means gives the other rates."""
    mean_b, mean_s = float(b.mean()), float(s.mean())
    starts = []
    for alpha, delta, share in product(_GRID, _GRID, _GRID):
        eb = share * mean_b
        mu = (mean_b - eb) / (alpha * (1 - delta))
        es = mean_s - alpha * delta * mu
        if es > 0:
            starts.append((alpha, delta, mu, eb, es))
    return starts or [(0.5, 0.5, 0.1 * mean_b, mean_b, mean_s)]


def _climb(b: NDArray[np.float64], s: NDArray[np.float64], start: _Parameters) -> tuple[float, _Parameters] | None:
    from scipy.optimize import minimize

    def parameters(z: NDArray[np.float64]) -> _Parameters:
        alpha, delta = (float(x) for x in 1.0 / (1.0 + np.exp(-np.clip(z[:2], -30, 30))))
        mu, eb, es = (float(x) for x in np.exp(np.clip(z[2:], -30, 30)))
        return alpha, delta, mu, eb, es

    def loss(z: NDArray[np.float64]) -> float:
        return -float(_days(b, s, *parameters(z)).sum()) / b.size

    probabilities = np.array(start[:2])
    at = np.r_[np.log(probabilities / (1 - probabilities)), np.log(start[2:])]
    end = minimize(loss, at, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8})
    if not np.isfinite(end.fun):
        return None
    return -float(end.fun) * b.size, parameters(end.x)
