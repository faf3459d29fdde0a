"""The Hawkes study of a tape: its aggressive orders, the fit, what the residuals say of it, as numbers for people.

``study`` puts the parts together; ``tapebook hawkes`` shows what it returns and :mod:`tapebook.report.hawkes_plots`
draws it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.market.tape import Tape
from tapebook.research.hawkes import HawkesFit, fit
from tapebook.research.hawkes import Shape as FitShape
from tapebook.research.hawkes_orders import Clock, Orders, orders_of
from tapebook.research.hawkes_residuals import ResidualTest, bootstrap_ks

__all__ = ["By", "HawkesStudy", "study"]

Floats = NDArray[np.float64]
By: TypeAlias = Literal["side", "none"]


@dataclass(frozen=True, kw_only=True)
class HawkesStudy:
    """Orders, fit and tests.

    Attributes
    ----------
    names
        Of the types: buys and sells, or orders of either side.
    poisson_ks
        KS distance of each type from a constant rate: what the fit has to beat.
    bootstrap_p
        p-value of KS by type with the parameters refitted, where asked for.
    """

    orders: Orders
    types: NDArray[np.int64]
    names: tuple[str, ...]
    fitted: HawkesFit
    residuals: list[Floats]
    tests: list[ResidualTest]
    poisson_ks: list[float]
    bootstrap_p: list[float] | None

    def parameters(self) -> list[tuple[str, float, float, str]]:
        """Return (what, value, standard error, unit) of every parameter, for people."""
        model, error, names = self.fitted.model, self.fitted.stderr, self.names
        rows: list[tuple[str, float, float, str]] = []
        for i, to in enumerate(names):
            rows.append((f"mu {to}", model.mu[i], error["mu"][i], "orders/s"))
            if self.fitted.shape == "power":
                rows += [
                    (f"eta {by} -> {to}", model.children[i, j], error["eta"][i, j], "orders")
                    for j, by in enumerate(names)
                ]
                rows.append((f"exponent {to}", self.fitted.law["exponent"][i], error["exponent"][i], ""))
                rows.append((f"tau0 {to}", self.fitted.law["tau0"][i], error["tau0"][i], "s"))
                continue
            for k in range(model.beta.shape[1]):
                mark = f" [{k + 1}]" if model.beta.shape[1] > 1 else ""
                rows += [
                    (f"eta {by} -> {to}{mark}", model.eta[i, j, k], error["eta"][i, j, k], "orders")
                    for j, by in enumerate(names)
                ]
                rows.append((f"beta {to}{mark}", model.beta[i, k], error["beta"][i, k], "1/s"))
                half = float(np.log(2) / model.beta[i, k])
                rows.append((f"half-life {to}{mark}", half, half * error["beta"][i, k] / model.beta[i, k], "s"))
        return [(what, float(value), float(err), unit) for what, value, err, unit in rows]

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-able; ``fit`` is what the live feature can be loaded from."""
        rates = np.bincount(self.types, minlength=len(self.names)) / self.orders.horizon_s
        return {
            "orders": self.orders.to_dict(),
            "types": list(self.names),
            "rates_per_s": rates.tolist(),
            "fit": self.fitted.to_dict(),
            "children": self.fitted.model.children.tolist(),
            "half_lives_s": (np.log(2) / self.fitted.model.beta).tolist(),
            "residuals": {n: t.to_dict() for n, t in zip(self.names, self.tests, strict=True)},
            "poisson_ks": dict(zip(self.names, self.poisson_ks, strict=True)),
            "bootstrap_ks_p": dict(zip(self.names, self.bootstrap_p, strict=True)) if self.bootstrap_p else None,
        }


def study(
    tape: Tape,
    *,
    by: By = "side",
    shape: FitShape = "exponential",
    n_exp: int | None = None,
    method: Literal["mle", "em"] = "mle",
    enforce_stationary: bool = False,
    instrument: str = "",
    session: str = "",
    clock: Clock = "event",
    merge_ns: int = 0,
    bootstrap: int = 0,
    seed: int = 1,
) -> HawkesStudy:
    """Fit the aggressive orders of a tape.

    Parameters
    ----------
    by
        ``side`` for buys and sells that excite each other, ``none`` for one type.
    shape, n_exp, method
        Of the fit (:func:`tapebook.research.hawkes.fit`).
    enforce_stationary
        Hold the branching ratio below 1.
    instrument, session, clock, merge_ns
        Which orders (:func:`tapebook.research.hawkes_orders.orders_of`).
    bootstrap
        Samples for the p-value of KS; 0 for none.
    seed
        Of the bootstrap.

    Raises
    ------
    DataQualityError
        If there are too few orders.
    ConfigurationError
        If an option does not fit the tape.
    """
    orders = orders_of(tape, instrument=instrument, session=session, clock=clock, merge_ns=merge_ns)
    types = orders.types if by == "side" else np.zeros_like(orders.types)
    fitted = fit(
        orders.times_s,
        types,
        horizon=orders.horizon_s,
        shape=shape,
        n_exp=n_exp,
        method=method,
        stationary="enforce" if enforce_stationary else "report",
    )
    residuals = fitted.model.residuals(orders.times_s, types)
    names = ("buys", "sells") if by == "side" else ("orders",)
    gaps = [np.diff(orders.times_s[types == i], prepend=0.0) for i in range(len(names))]
    p = None
    if bootstrap:
        p = bootstrap_ks(fitted, orders.times_s, types, bootstrap, np.random.default_rng(seed))
    return HawkesStudy(
        orders=orders,
        types=types,
        names=names,
        fitted=fitted,
        residuals=residuals,
        tests=[ResidualTest.of(x) for x in residuals],
        poisson_ks=[ResidualTest.of(g / g.mean()).ks for g in gaps],
        bootstrap_p=p,
    )
