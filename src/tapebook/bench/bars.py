"""Bars and footprint cells of random trades, beside the same aggregation in polars where it can say it.

polars groups by a time window; bars that close by what was traded need a loop there. Its frame is given ready made,
with contiguous columns: what it takes to get there from events is not counted against it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from tapebook.bars.bars import Bars
from tapebook.bars.rules import BarRule
from tapebook.market.events import Events, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.tape import BLOCK_EVENTS

_TRADES: Final = 5_000_000
_RULES: Final = ("time:1m", "tick:100", "range:8", "volume-imbalance:500")
_ES: Final = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000, calendar="CME", kind="future")


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure bars and footprints; recordings are not needed."""
    _ = data
    trades = random_trades(_TRADES)
    figures = []
    for rule in _RULES:
        seconds = _best_s(lambda rule=rule: _fold(trades, rule, cells=True))  # type: ignore[misc] # bound in the loop
        peer_s = _best_s(_polars(trades)) if rule == "time:1m" else None
        figures.append(
            {
                "name": f"footprint_{rule}",
                "what": f"footprint of {rule} bars from trades",
                "ours": _TRADES / seconds,
                "unit": "trades/s",
                "peer": _TRADES / peer_s if peer_s else None,
                "peer_name": "polars" if peer_s else "",
                "ratio": peer_s / seconds if peer_s else None,
                "n_events": _TRADES,
            }
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


def _polars(trades: Events) -> Callable[[], Any]:
    frame = pl.DataFrame({n: np.ascontiguousarray(trades[n]) for n in ("ts_event_ns", "price", "qty_lots", "side")})
    lazy = frame.lazy().with_columns(minute=pl.col("ts_event_ns") // 60_000_000_000)
    bought = pl.col("qty_lots").filter(pl.col("side") > 0).sum().alias("ask")
    sold = pl.col("qty_lots").filter(pl.col("side") < 0).sum().alias("bid")
    return lambda: lazy.group_by("minute", "price").agg(bought, sold).sort("minute", "price").collect()


def _best_s(work: Callable[[], Any], runs: int = 3) -> float:
    work()
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
