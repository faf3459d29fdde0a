"""Hawkes figures: a fit of 100,000 events, one likelihood with its gradient, the live feature; beside Python libraries.

The peers run in a process of their own, in this interpreter or the one that ``TAPEBOOK_PEERS_PYTHON`` names (they pin
old versions of much). hawkeslib and HawkesPyLib fit the same three parameters of the same sample, from one beginning;
ours begins at several rates, and has standard errors. tick takes the decay as given: its figure is one likelihood and
gradient by mu and eta at a new decay; ours has the gradient by the decay.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.bench._figures import ask, best_s, figure, figures_beside
from tapebook.features.hawkes import HawkesIntensity
from tapebook.features.touch import TouchFeed
from tapebook.kernels import hawkes as kernel
from tapebook.market.events import Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.models.hawkes import Hawkes
from tapebook.research.hawkes import fit

__all__ = ["run"]

_EVENTS: Final = 100_000


def run(data: Path | None) -> list[dict[str, Any]]:
    """Return the figures; simulated samples, so ``data`` is not needed."""
    _ = data
    truth = Hawkes.one(mu=1.0, eta=0.6, beta=2.0)
    horizon = _EVENTS / float(truth.mean_rates[0])
    times, _kinds = truth.simulate(horizon, np.random.default_rng(1))
    n = times.size
    peers = ask("hawkes", times=times, horizon=np.array(horizon))
    fits = [(peer, told["fit"]) for peer, told in peers.items() if "fit" in told]
    rows = figures_beside(
        "hawkes_fit",
        what="Hawkes fit, one type, 1 exponential",
        ours=best_s(lambda: fit(times, horizon=horizon), 3),
        unit="s",
        n=n,
        peers=fits,
    )
    grad = np.empty(3)
    once = n / best_s(lambda: kernel.row_likelihood_one(times, horizon, 1.0, 0.6, 2.0, grad), 9)
    tick = peers.get("tick", {}).get("likelihood_gradient")
    rows.append(
        figure(
            "hawkes_likelihood",
            what="Hawkes likelihood and gradient",
            ours=once,
            unit="events/s",
            n=n,
            peer=n / tick if tick else None,
            peer_name="tick",
        )
    )
    two = Hawkes(np.array([0.3, 0.4]), np.array([[[0.4], [0.15]], [[0.2], [0.35]]]), np.array([[2.0], [5.0]]))
    end = _EVENTS / float(two.mean_rates.sum())
    both, kinds = two.simulate(end, np.random.default_rng(1))
    two_s = best_s(lambda: fit(both, kinds, horizon=end), 2)
    rows.append(figure("hawkes_fit_2", what="Hawkes fit, two types, 1 exponential", ours=two_s, unit="s", n=both.size))
    live = both.size / _live_s(both, kinds)
    what = "Hawkes live feature, a row for each trade"
    rows.append(figure("hawkes_live", what=what, ours=live, unit="events/s", n=both.size))
    return rows


def _live_s(times: NDArray[np.float64], kinds: NDArray[np.int64]) -> float:
    events = empty_events(times.size)
    events["kind"], events["price"], events["qty_lots"], events["instrument_id"] = Kind.TRADE, 100, 1, 1
    events["flags"] = Flag.LAST
    events["ts_event_ns"] = 1_710_252_000_000_000_000 + (times * 1e6).astype(np.int64)
    events["side"] = 1 - 2 * kinds
    instrument = Instrument(symbol="AAA", venue="X")
    view = TouchFeed(instrument, 1).see(events)  # shared by all features: not this one's cost
    return best_s(lambda: HawkesIntensity().fold(view))
