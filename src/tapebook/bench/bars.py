"""Bars and footprint cells of random trades, beside the same aggregation in polars and the bars of mlfinpy.

polars groups by a time window; bars that close by what was traded need a loop there. Its frame is given ready made,
with contiguous columns: what it takes to get there from events is not counted against it. It is asked for the cells and
for open, high, low, close, volumes by side, worth and number of prints of each bar; ours have more columns and are made
of events, block by block, as a live program makes them. mlfinpy makes bars without cells. Both are held to one thread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.bars.bars import Bars
from tapebook.bars.rules import BarRule
from tapebook.bench._figures import ask, best_s, figures_beside
from tapebook.market.events import Events, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.tape import BLOCK_EVENTS

__all__ = ["random_trades", "run"]

_TRADES: Final = 5_000_000
_RULES: Final = {"time:1m": "footprint", "tick:100": "tick", "range:8": "", "volume-imbalance:500": ""}
"""Rules, and what peers call the same work."""
_ES: Final = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000, calendar="CME", kind="future")


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure bars and footprints; recordings are not needed."""
    _ = data
    trades = random_trades(_TRADES)
    names = {"ts_ns": "ts_event_ns", "price": "price", "lots": "qty_lots", "side": "side"}
    peers = ask("bars", **{ours: np.ascontiguousarray(trades[name]) for ours, name in names.items()})
    figures = []
    for rule, job in _RULES.items():
        seconds = best_s(lambda rule=rule: _fold(trades, rule, cells=True), 3)  # type: ignore[misc] # bound in the loop
        figures += figures_beside(
            f"footprint_{rule}",
            what=f"footprint of {rule} bars from trades",
            ours=_TRADES / seconds,
            unit="trades/s",
            n=_TRADES,
            peers=[(peer, _TRADES / told[job]) for peer, told in peers.items() if job in told],
        )
    return figures


def random_trades(n: int) -> Events:
    """Return trades of a random walk over some trading days."""
    rng = np.random.default_rng(1)
    events = empty_events(n)
    events["instrument_id"], events["kind"] = 1, Kind.TRADE
    events["ts_event_ns"] = 1_704_204_000 * 10**9 + np.cumsum(rng.integers(0, 8_000_000, n))
    events["price"] = 4_000 * 10**9 + _ES.tick_e9 * np.cumsum(rng.choice([-1, 0, 0, 0, 0, 0, 0, 1], n))
    events["qty_lots"] = rng.integers(1, 20, n)
    events["side"] = rng.choice([-1, 1], n)
    return events


def _fold(trades: Events, rule: str, *, cells: bool) -> int:
    bars = Bars(_ES, 1, BarRule.parse(rule), cells=cells)
    return sum(bars.fold(trades[i : i + BLOCK_EVENTS])[0].size for i in range(0, trades.size, BLOCK_EVENTS))
