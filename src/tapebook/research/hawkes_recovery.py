"""Does the fit find what was drawn? Simulated samples of known parameters, fitted, and how often the truth is covered.

For each seed: is the truth of every parameter within 1.96 of its standard errors of the estimate (95 %, one by one),
and is all of it jointly within the 95 % region (likelihood ratio against the truth)? A right standard error covers in
95 of 100 seeds; over 50 seeds a count between 44 and 50 is what chance leaves.

Run it whole with ``python -m tapebook.research.hawkes_recovery 50``: JSON lines on stdout, one for each case.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.models.hawkes import Hawkes, power_law
from tapebook.research.hawkes import HawkesFit, fit
from tapebook.research.hawkes_residuals import ResidualTest

__all__ = ["CASES", "Case", "Recovery", "study"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A truth, and how to fit it."""

    truth: Hawkes
    options: dict[str, Any]
    parameters: dict[str, Floats]  # in the shapes of HawkesFit.stderr


@dataclass(frozen=True)
class Recovery:
    """What came out, over all seeds.

    Attributes
    ----------
    covered
        Share of seeds in which a parameter's truth was within 1.96 standard errors, by parameter.
    joint
        Share of seeds in which all parameters together were within the 95 % region.
    bias
        Mean of (estimate - truth) / standard error, by parameter: near 0, with an error of 1 / sqrt(seeds).
    residuals_pass
        Share of (seed, type) whose residuals pass KS at 1 %.
    """

    n_seeds: int
    covered: dict[str, Floats]
    joint: float
    bias: dict[str, Floats]
    residuals_pass: float

    @property
    def coverage(self) -> float:
        """Share of all (seed, parameter) pairs that were covered."""
        return float(np.mean(np.concatenate([c.ravel() for c in self.covered.values()])))

    @property
    def worst(self) -> float:
        """Coverage of the parameter that was covered least."""
        return float(min(c.min() for c in self.covered.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return everything JSON-able."""
        return {
            "n_seeds": self.n_seeds,
            "coverage": self.coverage,
            "worst": self.worst,
            "joint": self.joint,
            "residuals_pass": self.residuals_pass,
            "covered": {k: v.tolist() for k, v in self.covered.items()},
            "bias": {k: np.round(v, 3).tolist() for k, v in self.bias.items()},
        }


def _exponential(mu: list[float], eta: Any, beta: Any) -> Case:
    truth = Hawkes(np.array(mu), np.array(eta), np.array(beta))
    return Case(truth, {"n_exp": truth.beta.shape[1]}, {"mu": truth.mu, "eta": truth.eta, "beta": truth.beta})


def _power(mu: list[float], eta: list[list[float]], exponent: list[float], tau0: list[float]) -> Case:
    arrays = {"mu": np.array(mu), "eta": np.array(eta), "exponent": np.array(exponent), "tau0": np.array(tau0)}
    return Case(power_law(arrays["mu"], arrays["eta"], arrays["exponent"], arrays["tau0"]), {"shape": "power"}, arrays)


CASES: Final[dict[str, Case]] = {
    "one type, 1 exponential": _exponential([1.0], [[[0.6]]], [[2.0]]),
    "two types, 1 exponential": _exponential([0.3, 0.4], [[[0.4], [0.15]], [[0.2], [0.35]]], [[2.0], [5.0]]),
    "one type, 2 exponentials": _exponential([0.3], [[[0.3, 0.4]]], [[0.5, 20.0]]),
    "two types, 2 exponentials": _exponential(
        [0.3, 0.3], [[[0.2, 0.3], [0.05, 0.1]], [[0.05, 0.1], [0.2, 0.3]]], [[0.5, 20.0], [0.5, 20.0]]
    ),
    "one type, power law": _power([0.3], [[0.7]], [0.4], [0.01]),
    "two types, power law": _power([0.15, 0.2], [[0.45, 0.15], [0.2, 0.4]], [0.4, 0.3], [0.01, 0.02]),
}
"""Truths of all shapes, one and two types."""


def study(case: Case, n_seeds: int, *, n_events: int = 100_000, first_seed: int = 0) -> Recovery:
    """Draw, fit and compare ``n_seeds`` samples of about ``n_events`` events."""
    horizon = n_events / float(case.truth.mean_rates.sum())
    scores: list[dict[str, Floats]] = []
    joint, passed = [], []
    for seed in range(first_seed, first_seed + n_seeds):
        times, types = case.truth.simulate(horizon, np.random.default_rng(seed))
        found = fit(times, types, horizon=horizon, **case.options)
        estimates = _estimates(found)
        scores.append({k: (estimates[k] - v) / found.stderr[k] for k, v in case.parameters.items()})
        joint.append(_joint(found, case, times, types, horizon))
        passed += [ResidualTest.of(x).ks_p > 0.01 for x in found.model.residuals(times, types)]
    stacked = {k: np.array([s[k] for s in scores]) for k in case.parameters}
    return Recovery(
        n_seeds=n_seeds,
        covered={k: (np.abs(v) <= 1.96).mean(axis=0) for k, v in stacked.items()},
        joint=float(np.mean(joint)),
        bias={k: v.mean(axis=0) for k, v in stacked.items()},
        residuals_pass=float(np.mean(passed)),
    )


def _estimates(found: HawkesFit) -> dict[str, Floats]:
    if found.shape == "power":
        return {"mu": found.model.mu, "eta": found.model.children, **found.law}
    return {"mu": found.model.mu, "eta": found.model.eta, "beta": found.model.beta}


def _joint(found: HawkesFit, case: Case, times: Floats, types: NDArray[np.int64], horizon: float) -> bool:
    from scipy.special import chdtri

    n = sum(v.size for v in case.parameters.values())
    ratio = 2 * (found.log_likelihood - case.truth.likelihood(times, types, horizon))
    return bool(ratio <= chdtri(n, 0.05))


def _main() -> None:
    n_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    for name, case in CASES.items():
        sys.stdout.write(json.dumps({"case": name, **study(case, n_seeds).to_dict()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
