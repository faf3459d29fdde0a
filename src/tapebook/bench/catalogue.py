"""The fused catalogue: events a second with all 27 features, by time and by trades, and one event live.

Tapes are recordings where there are any, else simulated sessions; their commonest instrument, prints included, since
they are part of the work. The book is built from events within the figure. Figures are events in a second of processor
time, the best of several runs over blocks of 65,536 events. One event live is told in wall time, since a caller waits
for it, and its p99 in processor time too: on a machine that does other things beside, one event in a hundred waits for
those. Of several runs each figure is the lowest.

No peer: no library that could be found computes such a set from events, let alone with a book and in one pass. A part
of it beside a part of another (indicators, fractional differences, Hawkes) is measured in the benchmarks of those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.bench._figures import best_s, figure
from tapebook.features.catalogue import Catalogue
from tapebook.market.events import Events
from tapebook.market.instruments import Instrument
from tapebook.market.tape import BLOCK_EVENTS

__all__ = ["run"]

_RECORDINGS: Final = {
    "LOBSTER AMZN, 5 levels": "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip",
    "ES by orders": "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    "Binance USD-M": "binance/usdm_btcusdt_20240808.gz",
}
_SIMULATED: Final = {
    "a simulated ES": "sim:es?duration_s=600&seed=1",
    "a simulated BTC": "sim:btc?duration_s=600&seed=1",
}
_EVENTS_MAX: Final = 1_000_000
_LIVE_EVENTS: Final = 20_000
_LIVE_RUNS: Final = 5


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure the catalogue on recordings below ``data``, or on simulated markets."""
    figures = []
    for what, events, instrument in _tapes(data):
        for clock, options in (("bars of a second", {}), ("a bar for every trade", {"bar_trades": 1})):
            speed = events.size / best_s(_fold(events, instrument, options))
            told = f"book and 27 features, {clock}: {what}"
            figures.append(figure("catalogue", what=told, ours=speed, unit="events/s", n=events.size))
        figures += _live(what, events, instrument)
    return figures


def _tapes(data: Path | None) -> Iterator[tuple[str, Events, Instrument]]:
    """Yield a description, the events of the commonest instrument, and the instrument."""
    from tapebook.readers import open_tape
    from tapebook.simulator.spec import parse_spec

    found = {what: data / name for what, name in _RECORDINGS.items() if data is not None and (data / name).exists()}
    opened = {what: open_tape(path) for what, path in found.items()}
    for what, tape in (opened or {what: parse_spec(spec) for what, spec in _SIMULATED.items()}).items():
        events = tape.events()
        ids, counts = np.unique(events["instrument_id"], return_counts=True)
        who = int(ids[counts.argmax()])
        yield what, events[events["instrument_id"] == who][:_EVENTS_MAX], tape.instruments[who]


def _fold(events: Events, instrument: Instrument, options: dict[str, Any]) -> Callable[[], None]:
    who = int(events["instrument_id"][0])

    def fold() -> None:
        catalogue = Catalogue(instrument, who, **options)
        for i in range(0, events.size, BLOCK_EVENTS):
            catalogue.advance(events[i : i + BLOCK_EVENTS])

    return fold


def _live(what: str, events: Events, instrument: Instrument) -> list[dict[str, Any]]:
    """Advance event by event at the end of the tape."""
    catalogue = Catalogue(instrument, int(events["instrument_id"][0]))
    warm = max(events.size - _LIVE_EVENTS, 0)
    catalogue.advance(events[:warm])
    memory = catalogue.save()
    runs = []
    for _ in range(_LIVE_RUNS):
        catalogue.restore(memory)
        waited, worked = [], []
        for i in range(warm, events.size):
            event = events[i : i + 1]
            wall, processor = time.perf_counter_ns(), time.thread_time_ns()
            catalogue.advance(event)
            worked.append(time.thread_time_ns() - processor)
            waited.append(time.perf_counter_ns() - wall)
        runs.append([*np.percentile(waited, [50, 99]), np.percentile(worked, 99)])
    best = np.min(runs, axis=0).tolist()
    part = events[warm:]
    return [
        figure(
            "catalogue_live",
            what=f"one event live, 27 features, {name}: {what}",
            ours=value / 1_000,
            unit="µs",
            n=part.size,
        )
        for name, value in zip(("median", "p99", "p99 of processor time"), best, strict=True)
    ]
