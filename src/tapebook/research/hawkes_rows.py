"""One row of a Hawkes fit: the intensity of one type, by maximum likelihood or by EM, and its standard errors.

Starting points are tried on a part of the sample first (the likelihood is not concave in the decay rates); what wins
there is polished on all of it. Times are in units of the mean gap.

Standard errors come from the observed information: the Hessian of the log-likelihood at the optimum, by central
differences of the analytic gradient, in theta; the delta method takes them back. The likelihood is that of a process
without a past: events before the window act on its first moments and are not seen, which matters only where the
kernel's memory is not short against the window.

References: Ogata 1978 (the estimator is normal with the inverse information); Veen & Schoenberg 2008, Lewis & Mohler
2011 (EM).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import hawkes as kernel
from tapebook.research.hawkes_shapes import ETA_FLOOR, Exponentials, Shape

__all__ = ["Row", "Sample", "climb", "fit_row", "standard_errors"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIRST_EVENTS: Final = 4_000
_HEAD_EVENTS: Final = 20_000
"""Of the two parts on which a beginning is sought: all beginnings on the first, the two best on the second. A fit of
100,000 events takes half of what it takes with all of them on the second, and ends at the same place."""
_EM_STEPS_MAX: Final = 5_000
_EM_GAIN_MIN: Final = 1e-10  # of log-likelihood per event: below it a step says nothing
_NO_LIKELIHOOD: Final = 1e10


@dataclass(frozen=True)
class Sample:
    """Events in units of their mean gap."""

    times: Floats
    types: Ints
    horizon: float
    n_types: int

    def head(self, n: int) -> Sample:
        """Return the first ``n`` events."""
        if self.times.size <= n:
            return self
        return Sample(self.times[:n].copy(), self.types[:n].copy(), float(self.times[n]), self.n_types)

    def likelihood(self, i: int, mu: float, eta: Floats, beta: Floats) -> tuple[float, Floats]:
        """Return L of row ``i`` and its gradient by mu, eta (row-major) and beta."""
        grad = np.empty(1 + eta.size + beta.size)
        if eta.size == 1 and self.n_types == 1:
            return kernel.row_likelihood_one(self.times, self.horizon, mu, eta[0, 0], beta[0], grad), grad
        return kernel.row_likelihood(self.times, self.types, self.horizon, i, mu, eta, beta, grad), grad


@dataclass(frozen=True)
class Row:
    """A fitted row."""

    theta: Floats
    mu: float
    eta: Floats  # (D, K)
    beta: Floats  # (K,)
    log_likelihood: float
    converged: bool
    n_free: int


def fit_row(
    sample: Sample, i: int, shape: Shape, *, children_max: Floats | None = None, start: Floats | None = None
) -> Row:
    """Fit row ``i`` by maximum likelihood.

    Parameters
    ----------
    children_max
        The most children of type i that an event of each type may have (D,); the fit stays below them.
    start
        Where to begin; None searches.
    """
    if start is None:
        first, head = (_objective(sample.head(n), i, shape) for n in (_FIRST_EVENTS, _HEAD_EVENTS))
        starts = shape.starts(float((sample.types == i).mean()))
        tried = [_descend(first, s, shape, steps=12) for s in starts]
        # The two best, to their ends on the part: the steepest beginning does not always lead to the highest top.
        tried = [_descend(head, t.x, shape, steps=100) for t in sorted(tried, key=lambda t: float(t.fun))[:2]]
        start = min(tried, key=lambda t: float(t.fun)).x
    full = _objective(sample, i, shape)
    if children_max is not None:
        return _row(sample, i, shape, *_bounded(full, np.asarray(start, np.float64), shape, children_max))
    result = _descend(full, start, shape, steps=500)
    theta = np.asarray(result.x, np.float64)
    low, high = np.array(shape.bounds()).T
    # A line search that cannot improve the last digits ends as "abnormal": the slope at the end is what counts.
    inside = (theta > low + 1e-9) & (theta < high - 1e-9) & ~shape.silent(theta)
    return _row(sample, i, shape, theta, bool(np.abs(result.jac[inside]).max(initial=0.0) < 1e-5))


def _row(sample: Sample, i: int, shape: Shape, theta: Floats, converged: bool) -> Row:
    theta = shape.tidy(theta)
    mu, eta, beta = shape.unpack(theta)
    value, _ = sample.likelihood(i, mu, eta, beta)
    shown = np.where(eta <= 2 * ETA_FLOOR, 0.0, eta)
    return Row(theta, mu, shown, beta, float(value), converged, int((~shape.silent(theta)).sum()))


def _objective(sample: Sample, i: int, shape: Shape) -> Callable[[Floats], tuple[float, Floats]]:
    """Return the negative log-likelihood per event, with its gradient, as a function of theta."""
    scale = 1.0 / sample.times.size

    def negative(theta: Floats) -> tuple[float, Floats]:
        value, grad = sample.likelihood(i, *shape.unpack(theta))
        if not np.isfinite(value):
            return _NO_LIKELIHOOD, np.zeros(theta.size)
        return -value * scale, -shape.pull(theta, grad) * scale

    return negative


def _descend(objective: Callable[[Floats], tuple[float, Floats]], start: Floats, shape: Shape, *, steps: int) -> Any:
    from scipy.optimize import minimize

    bounds = shape.bounds()
    low, high = np.array(bounds).T
    options = {"maxiter": steps, "ftol": 1e-13, "gtol": 1e-7, "maxcor": 20}
    return minimize(objective, np.clip(start, low, high), jac=True, method="L-BFGS-B", bounds=bounds, options=options)


def _bounded(
    objective: Callable[[Floats], tuple[float, Floats]], start: Floats, shape: Shape, children_max: Floats
) -> tuple[Floats, bool]:
    """Descend with the children of each pair held below ``children_max``."""
    from scipy.optimize import minimize

    limit = np.log(np.maximum(children_max, 2 * shape.n_types * ETA_FLOOR))
    held = {
        "type": "ineq",
        "fun": lambda theta: limit - np.log(shape.children(theta)[0]),
        "jac": lambda theta: -shape.children(theta)[1] / shape.children(theta)[0][:, None],
    }
    result = minimize(
        objective,
        start,
        jac=True,
        method="SLSQP",
        bounds=shape.bounds(),
        constraints=[held],
        options={"maxiter": 300, "ftol": 1e-12},
    )
    return np.asarray(result.x, np.float64), bool(result.success)


def climb(sample: Sample, i: int, shape: Exponentials) -> tuple[Row, list[float]]:
    """Fit row ``i`` by expectation and maximisation; return it and the log-likelihood before each step.

    No step can lower the likelihood. The edge of the window is part of both steps. It begins at the best of a few
    starting points, each climbed a little on a part of the sample.
    """
    head = sample.head(_HEAD_EVENTS)
    starts = shape.starts(float((sample.types == i).mean()))
    begun = [_climb(head, i, shape, s, steps=20) for s in starts]
    best = max(begun, key=lambda b: b[2][-1])
    theta, converged, path = _climb(sample, i, shape, best[0], steps=_EM_STEPS_MAX)
    return _row(sample, i, shape, theta, converged), path


def _climb(
    sample: Sample, i: int, shape: Exponentials, theta: Floats, *, steps: int
) -> tuple[Floats, bool, list[float]]:
    mu, eta, beta = shape.unpack(theta)
    eta, beta = eta.copy(), beta.copy()
    n = eta.size
    sums = np.empty(1 + 2 * n)
    # Distances to the end of the window, the shortest first.
    rest = [(sample.horizon - sample.times[sample.types == j])[::-1] for j in range(sample.n_types)]
    path: list[float] = []
    for _ in range(steps):
        value = kernel.row_expectation(sample.times, sample.types, sample.horizon, i, mu, eta, beta, sums)
        path.append(float(value))
        if len(path) > 1 and path[-1] - path[-2] < _EM_GAIN_MIN * sample.times.size:
            return shape.pack(mu, eta, beta), True, path
        children, ages = sums[1 : 1 + n].reshape(eta.shape), sums[1 + n :].reshape(eta.shape)
        mu = max(float(sums[0]) / sample.horizon, 1e-12)
        # One parameter at a time, each at the top of the expected likelihood given the others (a conditional
        # maximisation): the edge couples children and rates.
        parents = np.array([[r.size - _fading(r, float(b))[0] for b in beta] for r in rest])
        eta = np.maximum(children / np.maximum(parents, 1e-12), ETA_FLOOR)
        if shape.fixed is None:
            for k in range(beta.size):
                beta[k] = _rate(float(beta[k]), children[:, k], ages[:, k], eta[:, k], rest)
    return shape.pack(mu, eta, beta), False, path


def _rate(before: float, children: Floats, ages: Floats, eta: Floats, rest: list[Floats]) -> float:
    """Return the decay rate that suits the ages of children, those cut off by the edge included."""
    from scipy.optimize import brentq

    births, age = float(children.sum()), float(ages.sum())
    if births <= 0 or age <= 0:
        return before

    def slope(b: float) -> float:
        return births / b - age - sum(float(h) * _fading(r, b)[1] for h, r in zip(eta, rest, strict=True))

    upper = births / age
    lower = upper / 2
    while slope(lower) <= 0 and lower > upper * 1e-6:
        lower /= 4
    return float(brentq(slope, lower, upper * (1 + 1e-12), rtol=1e-12)) if slope(lower) > 0 > slope(upper) else before


def _fading(rest: Floats, rate: float) -> tuple[float, float]:
    """Return the sums of e^{-rate r} and of r e^{-rate r}; what is further than 40 lifetimes adds nothing."""
    near = rest[: int(np.searchsorted(rest, 40.0 / rate))]
    fade = np.exp(-rate * near)
    return float(fade.sum()), float((near * fade).sum())


def standard_errors(sample: Sample, i: int, shape: Shape, theta: Floats) -> Floats:
    """Return standard errors of the parameters of row ``i``, NaN where they say nothing."""
    free = np.flatnonzero(~shape.silent(theta))
    objective = _objective(sample, i, shape)
    errors = np.full(theta.size, np.nan)
    hessian = np.empty((free.size, free.size))
    for a, place in enumerate(free):
        step = np.zeros(theta.size)
        step[place] = 1e-4  # a ten-thousandth of the parameter: theta is its logarithm
        hessian[a] = ((objective(theta + step)[1] - objective(theta - step)[1]) / 2e-4)[free] * sample.times.size
    try:
        variance = np.diag(np.linalg.inv((hessian + hessian.T) / 2))
    except np.linalg.LinAlgError:
        return errors
    good = variance > 0
    errors[free[good]] = np.abs(shape.slope(theta)[free[good]]) * np.sqrt(variance[good])
    return errors
