"""Fit Hawkes processes: maximum likelihood with standard errors, or EM; exponential, sums of exponentials, power law.

The likelihood separates over the types whose intensity it describes, so each *row* is fitted by itself. For given decay
rates it is concave in the baseline and the children, in the rates it is not: the fit looks along a logarithmic grid of
rates first (on a part of the sample), then polishes all parameters together from the best starts, with the analytic
gradient, in units of the mean gap and in ln mu, ln eta, ln beta. Standard errors come from the observed information,
the Hessian of the log-likelihood at the optimum (central differences of the gradient).

Before fitting: merge the fills of one aggressive order into one event (simultaneous events excite each other in their
order, and a kernel without any width would explain ties best: no rate is let above one per smallest gap), and mind that
a baseline which varies over the day inflates the branching ratio (Filimonov & Sornette 2015). One exponential halves
the apparent branching ratio of trades (Hardiman, Bercot & Bouchaud 2013): use several.

References: Ozaki 1979; Ogata 1981 and 1988; Veen & Schoenberg 2008, Lewis & Mohler 2011 (EM); Bacry, Mastromatteo &
Muzy 2015 (review for finance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.models.hawkes import Hawkes
from tapebook.research.hawkes_rows import Row, Sample, climb, fit_row, standard_errors
from tapebook.research.hawkes_shapes import Exponentials, PowerLaw
from tapebook.research.threads import one_thread

__all__ = ["HawkesFit", "fit", "refit"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Shape: TypeAlias = Literal["exponential", "power"]
Method: TypeAlias = Literal["mle", "em"]

_EVENTS_MIN: Final = 10
_POWER_EXP: Final = 12
_RADIUS_MAX: Final = 0.999


@dataclass(frozen=True, kw_only=True)
class HawkesFit:
    """A fitted model.

    Attributes
    ----------
    model
        The parameters, in the caller's unit of time.
    log_likelihood, aic, bic
        In the caller's unit of time.
    stderr
        Standard errors by parameter, in the shapes of the model (``mu``, ``eta``, ``beta``); for a power law ``mu``,
        ``eta`` (all children of a pair, (D, D)), ``exponent`` and ``tau0`` (D,). NaN where a parameter sits at zero
        or was given, and all of them where the fit was bounded: the information at a bound says nothing.
    shape, law
        ``exponential`` or ``power``; a power law's ``exponent`` and ``tau0`` by row.
    n, horizon
        Events and length of the window.
    converged
        Whether every row's optimiser was satisfied.
    bounded
        Whether the free optimum was not stationary and the children were held down (``stationary="enforce"``).
    method, settings
        How it was fitted, so that :func:`refit` can do it again.
    """

    model: Hawkes
    log_likelihood: float
    n_parameters: int
    stderr: dict[str, Floats]
    shape: str
    law: dict[str, Floats]
    n: int
    horizon: float
    converged: bool
    bounded: bool
    method: str
    settings: dict[str, Any]

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        return self.n_parameters * float(np.log(self.n)) - 2 * self.log_likelihood

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-able (NaN as None)."""

        def plain(array: Floats) -> Any:
            return np.where(np.isnan(array), None, array).tolist()  # type: ignore[call-overload] # numpy makes objects of it

        return {
            **self.model.to_dict(),
            "log_likelihood": self.log_likelihood,
            "aic": self.aic,
            "bic": self.bic,
            "stderr": {k: plain(v) for k, v in self.stderr.items()},
            "shape": self.shape,
            **{k: v.tolist() for k, v in self.law.items()},
            "n": self.n,
            "horizon": self.horizon,
            "converged": self.converged,
            "bounded": self.bounded,
            "method": self.method,
        }


def fit(
    times: Floats,
    types: Ints | None = None,
    *,
    horizon: float | None = None,
    shape: Shape = "exponential",
    n_exp: int | None = None,
    beta: Floats | None = None,
    method: Method = "mle",
    stationary: Literal["report", "enforce"] = "report",
    decades: float = 6.0,
) -> HawkesFit:
    """Fit a Hawkes process to events.

    Parameters
    ----------
    times
        Ascending, from the start of the window (0), any unit.
    types
        0 .. D-1 per event; None for one type.
    horizon
        End of the window; None takes the last event (which biases mu a little).
    shape
        ``exponential``: ``n_exp`` (1) exponentials with free rates. ``power``: ``n_exp`` (12) exponentials on a
        geometric grid over ``decades``, described by eta, an exponent and tau0.
    beta
        Fixed decay rates (K,): the likelihood is then concave, the robust choice for several exponentials.
    method
        ``mle`` or ``em`` (exponentials only; slower, but no step can lower the likelihood).
    stationary
        ``report``: a branching ratio of 1 or more stands in the result as it is. ``enforce``: the children of every
        pair are held below what they were, shrunk by one factor that brings the ratio to 0.999, and all is refitted.

    Raises
    ------
    DataQualityError
        If the times do not ascend from 0, or a type has too few events.
    ConfigurationError
        If the options contradict each other.

    Examples
    --------
    >>> truth = Hawkes.one(mu=1.0, eta=0.6, beta=2.0)
    >>> times, _ = truth.simulate(5000.0, np.random.default_rng(7))
    >>> result = fit(times, horizon=5000.0)
    >>> bool(abs(result.model.eta[0, 0, 0] - 0.6) < 3 * result.stderr["eta"][0, 0, 0])
    True
    """
    types = np.zeros(times.size, np.int64) if types is None else types.astype(np.int64)
    horizon = float(times[-1]) if horizon is None and times.size else float(horizon or 0.0)
    _check(times, types, horizon)
    n_types = int(types.max()) + 1
    unit = horizon / times.size
    sample = Sample(times / unit, types, horizon / unit, n_types)
    fixed = None if beta is None else np.asarray(beta, np.float64) * unit
    plan = _plan(n_types, shape, n_exp, fixed, decades, _fastest(sample.times))
    with one_thread():
        rows, bounded = _rows(sample, plan, method, enforce=stationary == "enforce")
        errors = np.array([standard_errors(sample, i, plan, r.theta) for i, r in enumerate(rows)])
    thetas = np.array([r.theta for r in rows])
    return HawkesFit(
        model=_model(rows).scaled(1 / unit),
        log_likelihood=sum(r.log_likelihood for r in rows) - times.size * float(np.log(unit)),
        n_parameters=sum(r.n_free for r in rows),
        stderr=plan.errors(np.full_like(errors, np.nan) if bounded else errors, unit),
        shape=shape,
        law=plan.told(thetas, unit),
        n=times.size,
        horizon=horizon,
        converged=all(r.converged for r in rows),
        bounded=bounded,
        method=method,
        settings={"n_exp": plan.n_exp, "decades": decades, "beta": beta, "stationary": stationary},
    )


def _rows(sample: Sample, plan: Exponentials | PowerLaw, method: Method, *, enforce: bool) -> tuple[list[Row], bool]:
    """Return the fitted rows, and whether they had to be held below a branching ratio of 1."""
    types = range(sample.n_types)
    if method == "em":
        if not isinstance(plan, Exponentials):
            raise ConfigurationError("EM fits exponentials", expected="shape exponential", found="power")
        rows = [climb(sample, i, plan)[0] for i in types]
    else:
        rows = [fit_row(sample, i, plan) for i in types]
    radius = _model(rows).branching_ratio
    if not enforce or radius < 1.0:
        return rows, False
    shrink = _RADIUS_MAX / radius
    held = [fit_row(sample, i, plan, children_max=rows[i].eta.sum(axis=1) * shrink, start=rows[i].theta) for i in types]
    return held, True


def refit(like: HawkesFit, times: Floats, types: Ints, horizon: float) -> HawkesFit:
    """Fit other events with the settings of ``like``: what a bootstrap does with each sample."""
    shape: Shape = "power" if like.shape == "power" else "exponential"
    method: Method = "em" if like.method == "em" else "mle"
    return fit(times, types, horizon=horizon, shape=shape, method=method, **like.settings)


def _plan(
    n_types: int, shape: str, n_exp: int | None, fixed: Floats | None, decades: float, rate_max: float
) -> Exponentials | PowerLaw:
    if shape == "power":
        if fixed is not None:
            raise ConfigurationError("a power law has no rates to fix", expected="beta None", found="beta")
        return PowerLaw(n_types, n_exp or _POWER_EXP, decades, rate_max)
    if shape != "exponential":
        raise ConfigurationError("no such shape of kernel", expected="exponential or power", found=str(shape))
    if fixed is not None:
        if fixed.ndim != 1 or not fixed.size or not (fixed > 0).all() or n_exp not in (None, fixed.size):
            raise ConfigurationError(
                "the fixed rates are wrong", expected=f"{n_exp or 'K'} rates above zero", found=repr(fixed)
            )
        return Exponentials(n_types, fixed.size, fixed)
    if n_exp is not None and n_exp < 1:
        raise ConfigurationError("too few exponentials", expected="at least 1", found=str(n_exp))
    return Exponentials(n_types, n_exp or 1, None, rate_max)


def _fastest(times: Floats) -> float:
    """Return the fastest rate that the data can tell: nothing happens within the smallest gap that is seen."""
    gaps = np.diff(times)
    gaps = gaps[gaps > 0]
    return float(1 / gaps.min()) if gaps.size else np.inf


def _model(rows: list[Row]) -> Hawkes:
    return Hawkes(np.array([r.mu for r in rows]), np.array([r.eta for r in rows]), np.array([r.beta for r in rows]))


def _check(times: Floats, types: Ints, horizon: float) -> None:
    if times.size < _EVENTS_MIN:
        raise DataQualityError("too few events to fit", expected=f"at least {_EVENTS_MIN}", found=str(times.size))
    if times.size != types.size:
        raise ConfigurationError("times and types differ in length", expected=str(times.size), found=str(types.size))
    back = np.flatnonzero(np.diff(times) < 0)
    if times[0] < 0 or back.size or not times[-1] <= horizon or not 0 < horizon < np.inf:
        where = f"event {int(back[0]) + 1}" if back.size else "first or last event"
        raise DataQualityError(
            "times do not ascend from 0 to the horizon",
            expected=f"0 <= t <= {horizon:g}, ascending, and a window longer than 0",
            found=f"{times[0]:g} to {times[-1]:g}",
            where=where,
            remedy="sort them, and subtract the start of the window",
        )
    counts = np.bincount(types)
    if types.min() < 0 or (counts < _EVENTS_MIN).any():
        raise DataQualityError(
            "a type has too few events",
            expected=f"types 0 .. D-1 with at least {_EVENTS_MIN} events each",
            found=", ".join(f"{i}: {c}" for i, c in enumerate(counts.tolist())),
        )
