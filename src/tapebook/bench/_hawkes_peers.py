"""What the peers take for the same Hawkes sample: run as a script in an interpreter that has them.

    python _hawkes_peers.py SAMPLE.npy HORIZON

prints one JSON object: seconds of a fit and ns per event of one likelihood by library, those that are not installed
left out. A process of its own, so that a peer can neither disturb the program nor be disturbed by it.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np


def _best(function: Callable[[], Any], times: int) -> float:
    took = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        took.append(time.perf_counter() - start)
    return min(took)


def _hawkeslib(t: Any, horizon: float) -> dict[str, float]:
    process = import_module("hawkeslib").UnivariateExpHawkesProcess

    def fit() -> None:
        process().fit(t, horizon, method="gd")

    fit()
    likelihood = process.log_likelihood_with_params
    once = _best(lambda: likelihood(t, 1.0, 0.6, 2.0, horizon), 5)
    return {"fit_s": _best(fit, 3), "likelihood_ns": once / t.size * 1e9}


def _hawkespylib(t: Any, horizon: float) -> dict[str, float]:
    inference = import_module("HawkesPyLib.inference").ExpHawkesProcessInference

    def fit() -> None:
        inference().estimate(t, horizon)

    fit()
    return {"fit_s": _best(fit, 2)}


def _tick(t: Any, horizon: float) -> dict[str, float]:
    likelihood = import_module("tick.hawkes").ModelHawkesExpKernLogLik
    model = likelihood(2.0, n_threads=1)
    model.fit([t], end_times=horizon)
    model.loss_and_grad(np.array([1.0, 0.6]))

    def weigh_and_evaluate() -> None:
        # A new decay makes tick weigh all events again, as every step of a fit over the decay would.
        fresh = likelihood(2.0, n_threads=1)
        fresh.fit([t], end_times=horizon)
        fresh.loss_and_grad(np.array([1.0, 0.6]))

    return {"likelihood_gradient_ns": _best(weigh_and_evaluate, 5) / t.size * 1e9}


def main() -> None:
    """Measure and print."""
    t, horizon = np.load(sys.argv[1]), float(sys.argv[2])
    found: dict[str, dict[str, float]] = {}
    for name, measure in (("hawkeslib", _hawkeslib), ("HawkesPyLib", _hawkespylib), ("tick", _tick)):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found[name] = measure(t, horizon)
            except ImportError:
                continue
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
