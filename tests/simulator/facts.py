"""Stylised facts of a tape: the numbers that recordings and simulated sessions are compared by.

Every fact is a ratio, a count or a duration that can be stated in one line, so that ranges of it can be written into a
test without any row of a recording. Aggressors are counted, not prints: trade records of one aggressing order (same id,
or same time and side where the venue gives none) are one aggressor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import Events, Flag, Kind
from tests.simulator.small_book import SmallBook, touch_columns

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Aggressors:
    """One row per aggressing order."""

    ts_ns: Ints
    side: Ints
    qty: Ints
    levels: Ints  # prices it traded at
    last_price: Ints


def aggressors(events: Events) -> Aggressors:
    """Merge the trade records of each aggressing order."""
    t = events[events["kind"] == Kind.TRADE]
    ts, side, price, ids = (t[c].astype(np.int64) for c in ("ts_event_ns", "side", "price", "order_id"))
    if t.size == 0:
        none = np.empty(0, dtype=np.int64)
        return Aggressors(none, none, none, none, none)
    new = np.ones(t.size, dtype=bool)
    new[1:] = (ts[1:] != ts[:-1]) | (side[1:] != side[:-1]) | ((ids[1:] != ids[:-1]) & (ids[1:] != 0))
    start = np.flatnonzero(new)
    other_price = np.ones(t.size, dtype=np.int64)
    other_price[1:] = new[1:] | (price[1:] != price[:-1])
    end = np.append(start[1:], t.size) - 1
    qty = np.add.reduceat(t["qty_lots"].astype(np.int64), start)
    return Aggressors(ts[start], side[start], qty, np.add.reduceat(other_price, start), price[end])


def autocorrelation(x: Floats, lags: list[int]) -> list[float]:
    """Autocorrelation of ``x`` at each lag."""
    x = x - x.mean()
    var = float(x @ x) / x.size
    return [
        float(x[:-lag] @ x[lag:]) / (x.size - lag) / var if x.size > lag and var > 0 else float("nan") for lag in lags
    ]


def facts(events: Events, tick_e9: int, *, from_ns: int = 0, qty_unit: float = 1.0) -> dict[str, float]:
    """Return the facts of what happened from ``from_ns`` on (what came before only builds the book)."""
    book = SmallBook()
    book.watch(events)
    touch = touch_columns(book)
    keep = (touch["ts_ns"] >= from_ns) & (touch["bid"] > 0) & (touch["ask"] > 0) & (touch["ask"] > touch["bid"])
    touch = {name: column[keep] for name, column in touch.items()}
    news = events[events["ts_event_ns"] >= from_ns]
    return {
        **touch_facts(touch, tick_e9, qty_unit),
        **trade_facts(aggressors(news), touch, qty_unit),
        **flow_facts(news, qty_unit),
        "order life median ms": float(np.median(book.life_ns)) / 1e6 if book.life_ns else float("nan"),
    }


def touch_facts(touch: dict[str, Ints], tick_e9: int, qty_unit: float) -> dict[str, float]:
    """Spread, queues and volatility of the observed touch, weighted by time."""
    ts = touch["ts_ns"]
    w = np.diff(ts, append=ts[-1]).astype(np.float64)
    spread = (touch["ask"] - touch["bid"]) // tick_e9
    qty = (touch["bid_qty"] + touch["ask_qty"]) / 2 * qty_unit
    orders = (touch["bid_orders"] + touch["ask_orders"]) / 2
    out = {
        "spread 1 tick": float(w[spread == 1].sum() / w.sum()),
        "spread <= 2 ticks": float(w[spread <= 2].sum() / w.sum()),
        "spread mean ticks": float((w * spread).sum() / w.sum()),
        "touch qty mean": float((w * qty).sum() / w.sum()),
        "touch qty median": weighted_quantile(qty, w, 0.5),
        "touch orders mean": float((w * orders).sum() / w.sum()) if orders.any() else float("nan"),
    }
    shorter = np.minimum(touch["bid_qty"], touch["ask_qty"]) / np.maximum(touch["bid_qty"] + touch["ask_qty"], 1)
    for q in (0.1, 0.5):
        out[f"shorter touch share p{q * 100:g}"] = weighted_quantile(shorter, w, q)
    span_s = (ts[-1] - ts[0]) / SECOND
    mid = (touch["bid"] + touch["ask"]) / 2 / tick_e9
    out["mid changes per s"] = float(np.count_nonzero(np.diff(mid)) / span_s)
    moves = np.diff(mid)[np.diff(mid) != 0]
    out["mid move acf 1"] = autocorrelation(moves, [1])[0]
    for tau_s in (0.1, 1.0, 10.0, 60.0):
        out[f"signature {tau_s:g} s"] = variance_rate(ts, mid, tau_s)
    return out


def weighted_quantile(x: Floats, w: Floats, q: float) -> float:
    """Value that ``x`` is below for the share ``q`` of the weight."""
    order = np.argsort(x)
    mass = np.cumsum(w[order])
    return float(x[order][np.searchsorted(mass, mass[-1] * q)])


def variance_rate(ts: Ints, x: Floats, tau_s: float) -> float:
    """Mean squared change of ``x`` over ``tau_s``, in ticks² per second (overlapping windows for the long ones)."""
    step = int(min(tau_s, 1.0) * SECOND)
    grid = np.arange(int(ts[0]), int(ts[-1]), step)
    if grid.size < 3:
        return float("nan")
    sampled = x[np.searchsorted(ts, grid, side="right") - 1]
    k = max(round(tau_s * SECOND / step), 1)
    if sampled.size <= k:
        return float("nan")
    d = sampled[k:] - sampled[:-k]
    return float((d * d).mean() / tau_s)


def trade_facts(a: Aggressors, touch: dict[str, Ints], qty_unit: float) -> dict[str, float]:
    """Signs, sizes and clustering of aggressors."""
    if a.ts_ns.size < 100:
        return {}
    span_s = (touch["ts_ns"][-1] - touch["ts_ns"][0]) / SECOND
    signs = a.side[a.side != 0].astype(np.float64)
    acf = autocorrelation(signs, list(range(1, 51)))
    qty = a.qty * qty_unit
    gap_ms = np.diff(a.ts_ns) / 1e6
    per_s = np.bincount((a.ts_ns - a.ts_ns[0]) // SECOND)
    q50, q90, q99 = np.quantile(qty, [0.5, 0.9, 0.99])
    return {
        "aggressors per s": float(a.ts_ns.size / span_s),
        "sign acf 1": acf[0],
        "sign acf 10": float(np.mean(acf[7:13])),
        "sign acf 50": float(np.mean(acf[39:50])),
        "aggressor qty mean": float(qty.mean()),
        "aggressor qty p50": float(q50),
        "aggressor qty p90": float(q90),
        "aggressor qty p99": float(q99),
        "aggressors of the least size": float((a.qty == a.qty.min()).mean()),
        "aggressors through > 1 price": float((a.levels > 1).mean()),
        "aggressor gap < 1 ms": float((gap_ms < 1).mean()),
        "aggressor gap cv": float(gap_ms.std() / gap_ms.mean()),
        "aggressors fano 1 s": float(per_s.var() / per_s.mean()),
    }


def flow_facts(news: Events, qty_unit: float) -> dict[str, float]:
    """Ratios of the order flow."""
    counts = {kind: int(np.count_nonzero(news["kind"] == kind)) for kind in Kind}
    adds = counts[Kind.ADD]
    if not adds:
        return {}
    told = (news["kind"] == Kind.EXECUTE) & ((news["flags"] & Flag.INFO) != 0)
    filled = set(zip(news["ts_event_ns"][told].tolist(), news["order_id"][told].tolist(), strict=True))

    def news_of(kind: Kind) -> int:
        """Count records of ``kind``, without those that only carry out an execution that was told before."""
        e = news[news["kind"] == kind]
        keys = zip(e["ts_event_ns"].tolist(), e["order_id"].tolist(), strict=True)
        return sum(key not in filled for key in keys) if filled else int(e.size)

    size = news["qty_lots"][news["kind"] == Kind.ADD] * qty_unit
    seconds = (int(news["ts_event_ns"][-1]) - int(news["ts_event_ns"][0])) / SECOND
    n_aggressors = max(aggressors(news).ts_ns.size, 1)
    return {
        "events per s": news.size / seconds,
        "events per aggressor": news.size / n_aggressors,
        "adds per aggressor": adds / n_aggressors,
        "cancels / adds": news_of(Kind.CANCEL) / adds,
        "modifies / adds": news_of(Kind.MODIFY) / adds,
        "fills per aggressor": counts[Kind.EXECUTE] / n_aggressors,
        "add qty mean": float(size.mean()),
        "adds of the least size": float((size == size.min()).mean()),
        "add qty p90": float(np.quantile(size, 0.9)),
        "add qty p99": float(np.quantile(size, 0.99)),
    }
