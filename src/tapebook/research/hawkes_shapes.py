"""The kernel shapes of a Hawkes fit: how free parameters (*theta*) become baseline, children and decay rates.

An optimiser sees one vector theta per row, in logarithms where a parameter is positive, so that one step size suits
all. A shape unpacks it, pulls gradients back to it, offers starting points and bounds, and knows which parameters say
nothing (children at zero, the rates that only they use, a rate at its bound).

Times are in units of the mean gap here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tapebook.models.hawkes import power_grid

__all__ = ["ETA_FLOOR", "Exponentials", "PowerLaw", "Shape"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

ETA_FLOOR: Final = 1e-9
"""Children below this are none: where a logarithm has to stop."""

_LN_FLOOR: Final = float(np.log(ETA_FLOOR))
_LN_SILENT: Final = _LN_FLOOR + 9.0  # below about 1e-5 children: no window tells them from zero
_LN_ETA_MAX: Final = 3.0
_LN_MIN: Final = -30.0
_LN_MAX: Final = 30.0
_GRID: Final = 13  # starting rates: 0.03 to 10,000 per mean gap


def _ln_fastest(rate_max: float) -> float:
    return min(float(np.log(rate_max)), _LN_MAX)


class Shape(Protocol):
    """What the fit of one row needs to know of a kernel's shape."""

    @property
    def n_types(self) -> int:
        """How many types there are."""
        ...

    def unpack(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Return mu, eta (D, K) and beta (K)."""
        ...

    def pull(self, theta: Floats, grad: Floats) -> Floats:
        """Turn a gradient by mu, eta (row-major), beta into one by theta."""
        ...

    def slope(self, theta: Floats) -> Floats:
        """Return d parameter / d theta, for the delta method."""
        ...

    def starts(self, rate: float) -> list[Floats]:
        """Return starting points for a type with ``rate`` events per mean gap."""
        ...

    def bounds(self) -> list[tuple[float, float]]:
        """Return the bounds of theta."""
        ...

    def children(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return all children by type of the parent (D,), and their derivative by theta (D, len(theta))."""
        ...

    def silent(self, theta: Floats) -> Mask:
        """Return which parameters say nothing."""
        ...

    def tidy(self, theta: Floats) -> Floats:
        """Return an equal theta in the order that results are shown in."""
        ...

    def errors(self, rows: Floats, unit: float) -> dict[str, Floats]:
        """Give the rows of standard errors (by parameter, times in ``unit``) their names and shapes."""
        ...

    def told(self, thetas: Floats, unit: float) -> dict[str, Floats]:
        """Return the parameters of the shape that mu, eta and beta do not show, by name."""
        ...


@dataclass(frozen=True)
class Exponentials:
    """theta = [ln mu, ln eta (D*K), ln beta (K) unless ``fixed``]; no rate above ``rate_max``."""

    n_types: int
    n_exp: int
    fixed: Floats | None = None
    rate_max: float = np.inf

    @property
    def n_eta(self) -> int:
        """How many children there are."""
        return self.n_types * self.n_exp

    def unpack(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Return mu, eta (D, K) and beta (K)."""
        eta = np.exp(theta[1 : 1 + self.n_eta]).reshape(self.n_types, self.n_exp)
        beta = np.exp(theta[1 + self.n_eta :]) if self.fixed is None else self.fixed
        return float(np.exp(theta[0])), eta, beta

    def pack(self, mu: float, eta: Floats, beta: Floats) -> Floats:
        """Return theta: the reverse of :meth:`unpack`."""
        free = beta if self.fixed is None else np.empty(0)
        theta: Floats = np.log(np.concatenate([[mu], np.maximum(eta.ravel(), ETA_FLOOR), free]))
        return theta

    def pull(self, theta: Floats, grad: Floats) -> Floats:
        """Turn a gradient by mu, eta, beta into one by theta."""
        pulled: Floats = np.exp(theta) * grad[: theta.size]
        return pulled

    def slope(self, theta: Floats) -> Floats:
        """Return d parameter / d theta."""
        return np.exp(theta)

    def starts(self, rate: float) -> list[Floats]:
        """Return starting points along a logarithmic grid of rates."""
        eta = np.full((self.n_types, self.n_exp), 0.5 / self.n_eta)
        if self.fixed is not None:
            return [self.pack(0.5 * rate, eta, self.fixed)]
        if self.n_exp == 1:
            rates = [np.array([b]) for b in np.logspace(-1.5, 4.0, _GRID)]
        else:
            ends = ((-2.0, 2.0), (-1.0, 3.0), (-3.0, 1.0), (-0.5, 0.5), (0.0, 4.0))
            rates = [np.logspace(low, high, self.n_exp) for low, high in ends]
        return [self.pack(0.5 * rate, eta, beta) for beta in rates]

    def bounds(self) -> list[tuple[float, float]]:
        """Return the bounds of theta."""
        free = self.n_exp if self.fixed is None else 0
        rates = [(_LN_MIN, _ln_fastest(self.rate_max))] * free
        return [(_LN_MIN, _LN_MAX)] + [(_LN_FLOOR, _LN_ETA_MAX)] * self.n_eta + rates

    def children(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return all children by type of the parent, and their derivative by theta."""
        eta = np.exp(theta[1 : 1 + self.n_eta])
        slope = np.zeros((self.n_types, theta.size))
        for place, value in enumerate(eta):
            slope[place // self.n_exp, 1 + place] = value
        return eta.reshape(self.n_types, self.n_exp).sum(axis=1), slope

    def silent(self, theta: Floats) -> Mask:
        """Return which parameters say nothing: children at zero, rates without children."""
        gone = np.zeros(theta.size, np.bool_)
        gone[1 : 1 + self.n_eta] = theta[1 : 1 + self.n_eta] < _LN_SILENT
        if self.fixed is None:
            alone = gone[1 : 1 + self.n_eta].reshape(self.n_types, self.n_exp).all(axis=0)
            gone[1 + self.n_eta :] = alone | (theta[1 + self.n_eta :] > _ln_fastest(self.rate_max) - 1e-6)
        return gone

    def tidy(self, theta: Floats) -> Floats:
        """Put the exponentials in order, the slowest first."""
        if self.fixed is not None:
            return theta
        mu, eta, beta = self.unpack(theta)
        order = np.argsort(beta, kind="stable")
        return self.pack(mu, eta[:, order], beta[order])

    def errors(self, rows: Floats, unit: float) -> dict[str, Floats]:
        """Give the rows of standard errors their names and shapes."""
        d, k = self.n_types, self.n_exp
        beta = rows[:, 1 + self.n_eta :] / unit if self.fixed is None else np.full((d, k), np.nan)
        return {"mu": rows[:, 0] / unit, "eta": rows[:, 1 : 1 + self.n_eta].reshape(d, d, k), "beta": beta}

    def told(self, thetas: Floats, unit: float) -> dict[str, Floats]:
        """Return nothing: mu, eta and beta show it all."""
        _ = thetas, unit
        return {}


@dataclass(frozen=True)
class PowerLaw:
    """theta = [ln mu, ln children (D), exponent, ln tau0]: exponentials on a geometric grid over ``decades``.

    The fastest rate, 1 / tau0, is at most ``rate_max``.
    """

    n_types: int
    n_exp: int
    decades: float
    rate_max: float = np.inf

    def _parts(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        weights, beta = power_grid(float(theta[-2]), float(np.exp(theta[-1])), self.n_exp, self.decades)
        return np.exp(theta[1 : 1 + self.n_types]), weights, beta

    def unpack(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Return mu, eta (D, K) and beta (K)."""
        children, weights, beta = self._parts(theta)
        return float(np.exp(theta[0])), children[:, None] * weights[None, :], beta

    def pull(self, theta: Floats, grad: Floats) -> Floats:
        """Turn a gradient by mu, eta, beta into one by theta."""
        children, weights, beta = self._parts(theta)
        n_eta = self.n_types * self.n_exp
        by_eta = grad[1 : 1 + n_eta].reshape(self.n_types, self.n_exp)
        log_tau = -np.log(beta)
        by_exponent = weights * (np.sum(weights * log_tau) - log_tau)  # d weights / d exponent
        return np.concatenate(
            [
                [np.exp(theta[0]) * grad[0]],
                children * (by_eta @ weights),
                [float(children @ (by_eta @ by_exponent))],
                [-float(grad[1 + n_eta :] @ beta)],
            ]
        )

    def slope(self, theta: Floats) -> Floats:
        """Return d parameter / d theta: the exponent stands as it is."""
        slope: Floats = np.exp(theta)
        slope[-2] = 1.0
        return slope

    def starts(self, rate: float) -> list[Floats]:
        """Return starting points along exponents and shortest times."""
        children = np.full(self.n_types, np.log(0.5 / self.n_types))
        return [
            np.concatenate([[np.log(0.5 * rate)], children, [exponent], [np.log(tau0)]])
            for exponent in (0.1, 0.5)
            for tau0 in (1e-5, 1e-3, 1e-1)
        ]

    def bounds(self) -> list[tuple[float, float]]:
        """Return the bounds of theta."""
        children = [(_LN_FLOOR, _LN_ETA_MAX)] * self.n_types
        return [(_LN_MIN, _LN_MAX), *children, (-2.0, 5.0), (-_ln_fastest(self.rate_max), _LN_MAX)]

    def children(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return all children by type of the parent, and their derivative by theta."""
        children = np.exp(theta[1 : 1 + self.n_types])
        slope = np.zeros((self.n_types, theta.size))
        slope[:, 1 : 1 + self.n_types] = np.diag(children)
        return children, slope

    def silent(self, theta: Floats) -> Mask:
        """Return which parameters say nothing: children at zero, and without any the law itself."""
        gone = np.zeros(theta.size, np.bool_)
        gone[1 : 1 + self.n_types] = theta[1 : 1 + self.n_types] < _LN_SILENT
        gone[-2:] = gone[1 : 1 + self.n_types].all()
        gone[-1] |= theta[-1] < 1e-6 - _ln_fastest(self.rate_max)
        return gone

    def tidy(self, theta: Floats) -> Floats:
        """Return theta: it has one order."""
        return theta

    def errors(self, rows: Floats, unit: float) -> dict[str, Floats]:
        """Give the rows of standard errors their names and shapes; ``eta`` is of all children of a pair."""
        eta = rows[:, 1 : 1 + self.n_types]
        return {"mu": rows[:, 0] / unit, "eta": eta, "exponent": rows[:, -2], "tau0": rows[:, -1] * unit}

    def told(self, thetas: Floats, unit: float) -> dict[str, Floats]:
        """Return exponent and shortest time by row."""
        return {"exponent": thetas[:, -2], "tau0": np.exp(thetas[:, -1]) * unit}
