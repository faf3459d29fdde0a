"""Hawkes figures: a fit of 100,000 events, one likelihood with its gradient, the live feature; beside Python libraries.

The peers run in a process of their own, in this interpreter or the one that ``TAPEBOOK_PEERS_PYTHON`` names (they pin
old versions of much). hawkeslib and HawkesPyLib fit the same three parameters of the same sample. tick takes the decay
as given: its figure is one likelihood and gradient by mu and eta at a new decay; ours has the gradient by the decay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.features.hawkes import HawkesIntensity
from tapebook.features.touch import TouchFeed
from tapebook.kernels import hawkes as kernel
from tapebook.market.events import Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.models.hawkes import Hawkes
from tapebook.research.hawkes import fit

__all__ = ["run"]

_EVENTS: Final = 100_000
_PEERS_S_MAX: Final = 600


def run(data: Path | None) -> list[dict[str, Any]]:
    """Return the figures; simulated samples, so ``data`` is not needed."""
    _ = data
    truth = Hawkes.one(mu=1.0, eta=0.6, beta=2.0)
    horizon = _EVENTS / float(truth.mean_rates[0])
    times, _kinds = truth.simulate(horizon, np.random.default_rng(1))
    peers = _peers(times, horizon)
    grad = np.empty(3)
    fit(times[:1000])  # compiles
    fit_s = _best(lambda: fit(times, horizon=horizon), 3)
    once_ns = _best(lambda: kernel.row_likelihood_one(times, horizon, 1.0, 0.6, 2.0, grad), 9) / times.size * 1e9
    two = Hawkes(np.array([0.3, 0.4]), np.array([[[0.4], [0.15]], [[0.2], [0.35]]]), np.array([[2.0], [5.0]]))
    end = _EVENTS / float(two.mean_rates.sum())
    both, kinds = two.simulate(end, np.random.default_rng(1))
    two_s = _best(lambda: fit(both, kinds, horizon=end), 2)
    rows = [
        _row("hawkes_fit", "Hawkes fit, one type, 1 exponential", fit_s, "s", times.size, peers, name, "fit_s")
        for name in ("hawkeslib", "HawkesPyLib")
        if name in peers
    ] or [_row("hawkes_fit", "Hawkes fit, one type, 1 exponential", fit_s, "s", times.size, peers, "", "")]
    rows.append(
        _row("hawkes_likelihood", "Hawkes likelihood and gradient", once_ns, "ns/event", times.size, peers, "tick",
             "likelihood_gradient_ns")
    )  # fmt: skip
    rows.append(_row("hawkes_fit_2", "Hawkes fit, two types, 1 exponential", two_s, "s", both.size, peers, "", ""))
    live_ns = _live(both, kinds)
    rows.append(
        _row("hawkes_live", "Hawkes live feature, a row for each trade", live_ns, "ns/event", both.size, peers, "", "")
    )
    return rows


def _row(
    name: str, what: str, ours: float, unit: str, n: int, peers: dict[str, dict[str, float]], peer: str, key: str
) -> dict[str, Any]:
    theirs = peers.get(peer, {}).get(key)
    return {
        "name": name if theirs is None or name != "hawkes_fit" else f"{name}_{peer.lower()}",
        "what": what,
        "ours": ours,
        "unit": unit,
        "peer": theirs,
        "peer_name": peer if theirs is not None else None,
        "ratio": theirs / ours if theirs is not None else None,
        "n_events": n,
    }


def _best(function: Callable[[], Any], times: int) -> float:
    function()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        took.append(time.perf_counter() - start)
    return min(took)


def _live(times: np.ndarray[Any, np.dtype[np.float64]], kinds: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    events = empty_events(times.size)
    events["kind"], events["price"], events["qty_lots"], events["instrument_id"] = Kind.TRADE, 100, 1, 1
    events["flags"] = Flag.LAST
    events["ts_event_ns"] = 1_710_252_000_000_000_000 + (times * 1e6).astype(np.int64)
    events["side"] = 1 - 2 * kinds
    instrument = Instrument(symbol="AAA", venue="X")
    view = TouchFeed(instrument, 1).see(events)  # shared by all features: not this one's cost
    return _best(lambda: HawkesIntensity().fold(view), 5) / times.size * 1e9


def _peers(times: np.ndarray[Any, np.dtype[np.float64]], horizon: float) -> dict[str, dict[str, float]]:
    """Return what the peers measured of themselves, nothing where none is installed."""
    python = os.environ.get("TAPEBOOK_PEERS_PYTHON") or sys.executable
    script = Path(__file__).with_name("_hawkes_peers.py")
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.npy"
        np.save(sample, times)
        try:
            done = subprocess.run(  # noqa: S603 - our own script, in the interpreter that the user named
                [python, str(script), str(sample), repr(horizon)],
                capture_output=True,
                text=True,
                timeout=_PEERS_S_MAX,
                check=True,
            )
            found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return {}
    return found
