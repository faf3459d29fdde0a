"""Order flow at ten levels, the shape of the book and rates of its flow, each besides the book that they look at.

The tape is random level sets around a wandering mid. A figure is the time of the feature's fold alone, over the changes
of the book that it sees; the feed that builds the book is a figure of its own. No peer computes these event by event.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.bench._figures import best_s, figure
from tapebook.features.book_shape import BookShape, SweepPrice
from tapebook.features.depth import DepthFeed, DepthFold, DepthView
from tapebook.features.flow_rates import FlowRates
from tapebook.features.ofi_levels import OfiGeneralised, OfiIntegrated, OfiLevels
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.tape import BLOCK_EVENTS

_EVENTS: Final = 1_000_000
_LEVELS: Final = 10
_ES: Final = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000, calendar="24-7", kind="future")


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure the folds; recordings are not needed."""
    _ = data
    events = random_depth(_EVENTS)
    views = _feed(events)
    n_changes = sum(view.at.size for view in views)
    folds: dict[str, tuple[str, Callable[[], DepthFold]]] = {
        "ofi_levels": ("order-flow imbalance at ten levels", lambda: OfiLevels(levels=_LEVELS)),
        "ofi_generalised": ("generalised order-flow imbalance", lambda: OfiGeneralised(levels=_LEVELS)),
        "ofi_integrated": ("ten levels and their first component", lambda: OfiIntegrated(levels=_LEVELS)),
        "book_shape": ("shape of ten levels a side", lambda: BookShape(_ES.tick_e9, levels=_LEVELS)),
        "sweep_price": ("prices of a sweep", lambda: SweepPrice(sweep_lots=50)),
        "flow_rates": ("rates of adds, cancels and trades", lambda: FlowRates(_ES.tick_e9)),
    }
    speed = _EVENTS / best_s(lambda: _feed(events), 3)
    figures = [figure("depth_feed", what="book with ten levels a side", ours=speed, unit="events/s", n=_EVENTS)]
    for name, (what, make) in folds.items():
        seconds = best_s(lambda make=make: _fold(make, views), 3)  # type: ignore[misc] # bound in the loop
        speed = n_changes / seconds
        figures.append(figure(name, what=f"{what}, besides the book", ours=speed, unit="events/s", n=n_changes))
    return figures


def random_depth(n: int) -> Events:
    """Return level sets around a wandering mid, never crossed, each a message; one in ten a print."""
    rng = np.random.default_rng(1)
    events = empty_events(n)
    events["instrument_id"], events["flags"] = 1, Flag.LAST
    events["ts_event_ns"] = 1_704_204_000 * 10**9 + np.cumsum(rng.integers(0, 2_000_000, n))
    side = rng.choice([-1, 1], n)
    events["kind"], events["side"] = np.where(rng.random(n) < 0.1, Kind.TRADE, Kind.LEVEL), side
    mid = 16_000 + np.cumsum(rng.random(n) < 0.001) % 2
    away = rng.integers(1, 14, n)
    events["price"] = (mid - side * away) * _ES.tick_e9
    events["qty_lots"] = np.where((rng.random(n) < 0.05) & (away > 2), 0, rng.integers(1, 200, n))
    return events


def _feed(events: Events) -> list[DepthView]:
    feed = DepthFeed(_ES, 1, levels=_LEVELS)
    return [feed.see(events[i : i + BLOCK_EVENTS]) for i in range(0, events.size, BLOCK_EVENTS)]


def _fold(make: Callable[[], DepthFold], views: list[DepthView]) -> None:
    fold = make()
    for view in views:
        fold.fold(view)
