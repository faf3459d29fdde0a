"""Regressions of moves on flow over a whole sample: HAC standard errors, and Hasbrouck's VAR of returns and signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.research.newey_west import lags_for, long_run

__all__ = ["Fit", "Impulse", "hasbrouck_var", "ols"]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A linear regression.

    Attributes
    ----------
    coefficients, se
        The constant first; standard errors robust to heteroskedasticity and autocorrelation up to ``lags``.
    r2, n, lags
        Share of variance explained, observations, lags of the standard errors.
    """

    coefficients: NDArray[np.float64]
    se: NDArray[np.float64]
    r2: float
    n: int
    lags: int

    @property
    def t(self) -> NDArray[np.float64]:
        """Coefficients over standard errors."""
        return self.coefficients / self.se

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {
            "coefficients": self.coefficients.tolist(),
            "se": self.se.tolist(),
            "r2": self.r2,
            "n": self.n,
            "lags": self.lags,
        }


def ols(y: ArrayLike, x: ArrayLike, *, lags: int = -1) -> Fit:
    """Regress ``y`` on a constant and ``x`` by least squares, with HAC standard errors (Newey and West 1987).

    Kyle's lambda of a sample is ``ols(mid_change, flow_lots).coefficients[1]``, in price per lot. The variance is that
    of a small sample: n / (n - k) times the large one's.

    Parameters
    ----------
    y, x
        Observations in order of time; ``x`` one column or several. Rows with a NaN are left out.
    lags
        How far residuals may be correlated, with Bartlett weights; 0 for heteroskedasticity alone, below 0 takes
        floor(4 (n / 100)^(2/9)).

    Raises
    ------
    DataQualityError
        If x does not vary, or there are too few observations.

    Examples
    --------
    >>> fit = ols([1.0, 3.0, 5.0, 7.1], [0, 1, 2, 3])
    >>> fit.coefficients.round(2).tolist(), fit.n
    ([0.98, 2.03], 4)
    """
    target = np.asarray(y, np.float64)
    columns = np.asarray(x, np.float64)
    columns = columns[:, None] if columns.ndim == 1 else columns
    if columns.ndim != 2 or target.shape != columns.shape[:1]:
        raise ConfigurationError(
            "y and x do not fit", expected=f"{target.size} rows of x", found=f"shape {columns.shape}"
        )
    good = np.isfinite(target) & np.isfinite(columns).all(axis=1)
    target = target[good]
    design = np.column_stack([np.ones(target.size), columns[good]])
    n, k = design.shape
    # Columns of different size (lots and roots of dollars) must not look collinear: judge the rank on one scale.
    scale = np.sqrt((design * design).mean(axis=0)) if n else np.ones(k)
    if n <= k or (scale == 0).any() or np.linalg.matrix_rank(design / scale) < k:
        raise DataQualityError(
            "no regression of these",
            expected="more observations than columns, none of which is constant or a sum of others",
            found=f"{n} observations, {k - 1} columns",
        )
    scaled = design / scale
    bread = np.linalg.inv(scaled.T @ scaled)
    beta = bread @ (scaled.T @ target)
    left = target - scaled @ beta
    lags = lags_for(n) if lags < 0 else lags
    meat = long_run(scaled * left[:, None], lags)
    covariance = bread @ meat @ bread * (n / (n - k))
    total = target - target.mean()
    spread = float(total @ total)
    r2 = 1.0 - float(left @ left) / spread if spread > 0 else float("nan")
    return Fit(coefficients=beta / scale, se=np.sqrt(np.diag(covariance)) / scale, r2=r2, n=n, lags=lags)


@dataclass(frozen=True, kw_only=True)
class Impulse:
    """Hasbrouck's VAR of returns and signs.

    Attributes
    ----------
    returns, signs
        The two regressions. Coefficients: constant, lagged returns, then signs (in ``returns`` the present one first).
    response
        Cumulative return to an unexpected sign of one, after 0, 1, ... trades.
    signs_response
        The signs that follow it: how far one trade calls for others.
    """

    returns: Fit
    signs: Fit
    response: NDArray[np.float64]
    signs_response: NDArray[np.float64]

    @property
    def permanent(self) -> float:
        """The cumulative return at the end: what the trade told."""
        return float(self.response[-1])


def hasbrouck_var(
    returns: ArrayLike, signs: ArrayLike, *, lags: int = 5, horizon: int = 100, session: ArrayLike | None = None
) -> Impulse:
    """Fit a VAR of returns and trade signs in trade time and follow an unexpected trade through it.

    ::

        r_t = a_0 + sum a_i r_{t-i} + sum b_i x_{t-i} + v      i from 1 for a, from 0 for b
        x_t = c_0 + sum c_i r_{t-i} + sum d_i x_{t-i} + u      i from 1

    Parameters
    ----------
    returns
        Return of the mid from before trade t to before trade t + 1: the trade's own effect is in it.
    signs
        +1, -1 (0: not told), or signed sizes.
    lags, horizon
        Trades that the past reaches back (5 to 10 in the papers), and that the shock is followed for.
    session
        A number for each trade: no lag reaches over two of them.

    References
    ----------
    Hasbrouck, J. (1991), Measuring the information content of stock trades, Journal of Finance 46:1.
    """
    r, x = np.asarray(returns, np.float64), np.asarray(signs, np.float64)
    if r.shape != x.shape or r.ndim != 1 or lags < 1 or horizon < 0 or r.size <= lags:
        raise ConfigurationError(
            "no VAR of these",
            expected="as many signs as returns and more than lags, lags at least 1, horizon at least 0",
            found=f"{r.size} returns, {x.size} signs, lags {lags}, horizon {horizon}",
        )
    days = np.zeros(r.size, np.int64) if session is None else np.asarray(session)
    now = np.arange(lags, r.size)
    now = now[days[now] == days[now - lags]]
    back = now[:, None] - np.arange(1, lags + 1)
    past = np.column_stack([r[back], x[back]])
    of_returns = ols(r[now], np.column_stack([r[back], x[now], x[back]]))
    of_signs = ols(x[now], past)
    a, b = of_returns.coefficients[1 : lags + 1], of_returns.coefficients[lags + 1 :]
    c, d = of_signs.coefficients[1 : lags + 1], of_signs.coefficients[lags + 1 :]
    shock_r, shock_x = np.zeros(lags + horizon + 1), np.zeros(lags + horizon + 1)
    for t in range(lags, lags + horizon + 1):
        before_r, before_x = shock_r[t - lags : t][::-1], shock_x[t - lags : t][::-1]
        shock_x[t] = 1.0 if t == lags else c @ before_r + d @ before_x
        shock_r[t] = a @ before_r + b[0] * shock_x[t] + b[1:] @ before_x
    return Impulse(
        returns=of_returns, signs=of_signs, response=np.cumsum(shock_r[lags:]), signs_response=shock_x[lags:].copy()
    )
