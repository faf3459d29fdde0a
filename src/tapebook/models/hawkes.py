"""A Hawkes model as a value: its parameters, what they imply, and how to draw from it.

The kernel from an event of type j to type i is a sum of exponentials, ``phi_ij(u) = sum_k eta_ijk beta_ik
exp(-beta_ik u)``. ``eta`` has no unit: ``eta[i, j].sum()`` is the expected number of direct children of type i of one
event of type j, and the spectral radius of that matrix is the *branching ratio*, the share of events that other events
caused. The process is stationary only below 1. A power law is the special case of rates on a geometric grid (Bochud &
Challet 2007).

Libraries differ in what they call alpha: hawkeslib, tick and this module use eta (a number of children); others use
``alpha = eta beta`` (a jump of the intensity) or ``theta = 1 / beta``. Convert at the border.

References: Hawkes 1971; Hawkes & Oakes 1974 (clusters); Ogata 1981 (thinning); Dassios & Zhao 2013 (exact simulation);
Hardiman, Bercot & Bouchaud 2013 (power laws as sums of exponentials).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import hawkes as kernel
from tapebook.kernels import hawkes_draws as draws
from tapebook.market.errors import ConfigurationError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Hawkes:
    """Parameters of a Hawkes process of D types with K exponentials.

    Parameters
    ----------
    mu
        Baseline rates, shape (D,), events per unit of time, above zero.
    eta
        Children, shape (D, D, K): ``eta[i, j, k]`` of type i from one event of type j. Not negative.
    beta
        Decay rates, shape (D, K), per unit of time: those of row i act on the intensity of type i.

    Examples
    --------
    >>> h = Hawkes.one(mu=1.0, eta=0.6, beta=2.0)
    >>> h.branching_ratio, h.mean_rates.round(12).tolist()
    (0.6, [2.5])
    >>> times, types = h.simulate(1000.0, np.random.default_rng(1))
    >>> 2000 < times.size < 3000
    True
    """

    mu: Floats
    eta: Floats
    beta: Floats

    def __post_init__(self) -> None:
        d = self.mu.size
        if self.eta.ndim != 3 or self.eta.shape[:2] != (d, d) or self.beta.shape != (d, self.eta.shape[2]):
            raise ConfigurationError(
                "the arrays of a Hawkes model do not fit together",
                expected="mu (D,), eta (D, D, K), beta (D, K)",
                found=f"{self.mu.shape}, {self.eta.shape}, {self.beta.shape}",
            )
        if not ((self.mu > 0).all() and (self.eta >= 0).all() and (self.beta > 0).all()):
            raise ConfigurationError(
                "a Hawkes parameter is out of its range", expected="mu > 0, eta >= 0, beta > 0", found=repr(self)
            )

    @staticmethod
    def one(mu: float, eta: float, beta: float) -> Hawkes:
        """Return a one-type, one-exponential model."""
        return Hawkes(np.array([mu]), np.array([[[eta]]]), np.array([[beta]]))

    @property
    def children(self) -> Floats:
        """Expected direct children, shape (D, D)."""
        total: Floats = self.eta.sum(axis=2)
        return total

    @property
    def branching_ratio(self) -> float:
        """Spectral radius of :attr:`children`: below 1 where the process is stationary."""
        return float(np.abs(np.linalg.eigvals(self.children)).max())

    @property
    def stationary(self) -> bool:
        """Whether the mean rates exist."""
        return self.branching_ratio < 1.0

    @property
    def mean_rates(self) -> Floats:
        """Long-run events per unit of time and type, ``(I - children)^-1 mu``; NaN where not stationary."""
        if not self.stationary:
            return np.full(self.mu.size, np.nan)
        return np.asarray(np.linalg.solve(np.eye(self.mu.size) - self.children, self.mu), np.float64)

    def scaled(self, unit: float) -> Hawkes:
        """Return the same process with time counted in ``unit`` old units (rates grow by it)."""
        return Hawkes(self.mu * unit, self.eta, self.beta * unit)

    def intensity(self, times: Floats, types: Ints, at: Floats) -> Floats:
        """Return lambda just before each time of ``at`` (ascending) given the events, shape (len(at), D)."""
        out = np.empty((at.size, self.mu.size))
        kernel.intensity_at(times, types, self.mu, self.eta, self.beta, at, out)
        return out

    def compensator(self, times: Floats, types: Ints, at: Floats) -> Floats:
        """Return the integral of lambda from 0 to each time of ``at`` (ascending), shape (len(at), D).

        Its difference over an interval is the number of events that the model expects there as they came: without the
        spikes between two looks at a fast kernel.
        """
        out = np.empty((at.size, self.mu.size))
        kernel.compensator_at(times, types, self.mu, self.eta, self.beta, at, out)
        return out

    def likelihood(self, times: Floats, types: Ints, horizon: float) -> float:
        """Return the log-likelihood of events in [0, horizon]."""
        total = 0.0
        for i in range(self.mu.size):
            grad = np.empty(1 + self.eta[i].size + self.beta.shape[1])
            total += kernel.row_likelihood(times, types, horizon, i, self.mu[i], self.eta[i], self.beta[i], grad)
        return total

    def residuals(self, times: Floats, types: Ints) -> list[Floats]:
        """Return, per type, the compensator between its successive events: Exp(1) draws if the model is right."""
        found = []
        for i in range(self.mu.size):
            out = np.empty(times.size)
            n = kernel.row_residuals(times, types, i, self.mu[i], self.eta[i], self.beta[i], out)
            found.append(out[:n])
        return found

    def simulate(self, horizon: float, rng: np.random.Generator, *, method: str = "") -> tuple[Floats, Ints]:
        """Draw the events in [0, horizon], starting with no past.

        Parameters
        ----------
        method
            ``exact`` (Dassios & Zhao; one type, one exponential), ``thinning`` (Ogata) or ``clusters`` (Hawkes &
            Oakes); empty takes the first that can.

        Raises
        ------
        ConfigurationError
            If the method cannot draw this process, or the process is not stationary (it would explode).
        """
        if not self.stationary:
            raise ConfigurationError(
                "the process explodes", expected="a branching ratio below 1", found=f"{self.branching_ratio:.4g}"
            )
        simple = self.mu.size == 1 and self.beta.size == 1
        method = method or ("exact" if simple else "thinning")
        if method == "clusters":
            return self._clusters(horizon, rng)
        if method not in ("exact", "thinning") or (method == "exact" and not simple):
            raise ConfigurationError(
                "cannot simulate so", expected="thinning or clusters (exact: one type, one exponential)", found=method
            )
        expected = float(self.mean_rates.sum()) * horizon
        room = int(expected + 10 * np.sqrt(expected) / (1 - self.branching_ratio)) + 100
        uniforms = np.empty(0)
        while True:
            # More uniforms go on from those before: a new draw would favour samples that need few.
            uniforms = np.concatenate([uniforms, 1.0 - rng.random(8 * room - uniforms.size)])  # (0, 1]
            out, types = np.empty(room), np.zeros(room, np.int64)
            if method == "exact":
                n = draws.simulate_exact(self.mu[0], self.eta[0, 0, 0], self.beta[0, 0], horizon, uniforms, 0.0, out)
            else:
                n = draws.simulate_thinning(self.mu, self.eta, self.beta, horizon, uniforms, out, types)
            if n >= 0:
                return out[:n], types[:n]
            room *= 2

    def _clusters(self, horizon: float, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """Immigrants, their children, and theirs, generation by generation; exact for any kernel."""
        d, _, n_exp = self.eta.shape
        times, types = [], []
        n = rng.poisson(self.mu * horizon)
        parents = rng.random(int(n.sum())) * horizon
        kinds = np.repeat(np.arange(d), n)
        while parents.size:
            times.append(parents)
            types.append(kinds)
            born, born_kinds = [], []
            for i in range(d):
                for k in range(n_exp):
                    n_children = rng.poisson(self.eta[i, kinds, k])
                    born.append(np.repeat(parents, n_children) + rng.exponential(1 / self.beta[i, k], n_children.sum()))
                    born_kinds.append(np.full(born[-1].size, i))
            parents, kinds = np.concatenate(born), np.concatenate(born_kinds)
            inside = parents < horizon
            parents, kinds = parents[inside], kinds[inside]
        all_times, all_types = np.concatenate([np.empty(0), *times]), np.concatenate([np.empty(0, np.int64), *types])
        order = np.argsort(all_times, kind="stable")
        return all_times[order], all_types[order].astype(np.int64)

    def expected_events(self, now: Floats, ahead: float) -> float:
        """Return E[N(t, t + ahead)] of a one-type, one-exponential model whose intensity is ``now`` (closed form).

        Raises
        ------
        ConfigurationError
            For other models.
        """
        if self.mu.size != 1 or self.beta.size != 1:
            raise ConfigurationError("the closed form holds for one exponential", found=repr(self.eta.shape))
        long_run = self.mu[0] / (1 - self.eta[0, 0, 0])
        k = self.beta[0, 0] * (1 - self.eta[0, 0, 0])
        return float(long_run * ahead + (now - long_run) * -np.expm1(-k * ahead) / k)

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters and what they imply, JSON-able."""
        return {
            "mu": self.mu.tolist(),
            "eta": self.eta.tolist(),
            "beta": self.beta.tolist(),
            "branching_ratio": self.branching_ratio,
            "stationary": self.stationary,
            "mean_rates": self.mean_rates.tolist() if self.stationary else None,
        }


def power_law(
    mu: Floats | float,
    eta: Floats | float,
    exponent: Floats | float,
    tau0: Floats | float,
    *,
    n_exp: int = 12,
    decades: float = 6.0,
) -> Hawkes:
    """Return a model whose kernels fall like ``u^-(1 + exponent)`` from ``tau0`` on, for some decades.

    Scalars make one type; else ``mu``, ``exponent``, ``tau0`` are (D,) and ``eta``, the children of each pair, (D, D).

    >>> h = power_law(mu=0.5, eta=0.7, exponent=0.4, tau0=0.01)
    >>> round(h.branching_ratio, 12)
    0.7
    """
    rates = np.atleast_1d(np.asarray(mu, np.float64))
    d = rates.size
    children = np.asarray(eta, np.float64).reshape(d, d)
    exponents, taus = (np.broadcast_to(np.asarray(x, np.float64), d) for x in (exponent, tau0))
    grids = [power_grid(float(e), float(t), n_exp, decades) for e, t in zip(exponents, taus, strict=True)]
    weights, beta = (np.array([g[part] for g in grids]) for part in (0, 1))
    return Hawkes(rates, children[:, :, None] * weights[:, None, :], beta)


def power_grid(exponent: float, tau0: float, n_exp: int, decades: float) -> tuple[Floats, Floats]:
    """Return (weights that sum to 1, rates) of the exponentials that stand for a power law."""
    tau = tau0 * np.logspace(0.0, decades, n_exp)
    weights = tau**-exponent / np.sum(tau**-exponent)
    return weights, 1.0 / tau
