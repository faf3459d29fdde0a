"""``report.json``: every number of the page, under one versioned roof (docs/report.md lists the fields).

Undefined numbers are null, never 0. Prices and spreads are in the quoted currency, quantities in base units, times in
ns UTC.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from tapebook import __version__
from tapebook.features.volume_profile import Profile
from tapebook.market.events import MISSING, PRICE_SCALE, Kind, SideSource
from tapebook.market.instruments import Instrument
from tapebook.market.tape import Origin
from tapebook.report.collect import Collector
from tapebook.report.flow import Fit
from tapebook.report.scene import Scene
from tapebook.report.words import moment

__all__ = ["REPORT_SCHEMA", "clean", "instrument_part", "price_part", "source_part", "span_part", "tape_document"]

REPORT_SCHEMA: Final = 1
"""Version of report.json: raised when a field changes its meaning or goes; new fields may come without."""

_CURVE_MIN: Final = 4  # points of a curve by lag
_SECONDS_MIN: Final = 30  # rows of one second that a statement about the next seconds needs


def tape_document(
    origin: Origin, collector: Collector, scene: Scene | None, zone: ZoneInfo, quality: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the document of a tape's analysis."""
    instrument = collector.instrument
    profile = collector.profile()
    document: dict[str, Any] = {
        "schema": REPORT_SCHEMA,
        "kind": "tape",
        "tool": {"name": "tapebook", "version": __version__},
        "source": source_part(origin),
        "instrument": instrument_part(instrument),
        "span": span_part(collector.first_ns, collector.last_ns, zone),
        "events": {
            "total": collector.n_events,
            "in_snapshots": collector.n_snapshot,
            "by_kind": {k.name.lower(): int(collector.by_kind[k]) for k in Kind if collector.by_kind[k]},
        },
        "sides": _sides(collector),
        "price": price_part(scene),
        "trades": _trades(collector, profile, scene),
        "spreads": _spreads(collector),
        "depth": _depth(collector),
        "flow": _flow(collector),
        "touch": _touch(collector),
        "profile": _profile(profile, collector),
        "tape": collector.curves.document(float(instrument.lot)),
        "over_time": collector.over_time.document(),
        "toxicity": collector.buckets.document(float(instrument.lot)),
        "quality": dict(quality),
    }
    document["missing"] = _missing(document, collector)
    return document


def source_part(origin: Origin) -> dict[str, Any]:
    """Return where the data come from."""
    return {
        "name": origin.name,
        "format": origin.format,
        "schema": origin.schema,
        "venue": origin.venue,
        "details": dict(origin.details),
    }


def instrument_part(instrument: Instrument) -> dict[str, Any]:
    """Return what one tick and one lot of an instrument are."""
    return {
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "kind": instrument.kind,
        "root": instrument.root or instrument.symbol,
        "expiry": instrument.expiry,
        "tick": float(instrument.tick) or None,
        "tick_value": float(instrument.tick_value) or None,
        "lot": float(instrument.lot),
        "multiplier": float(instrument.multiplier),
        "currency": instrument.currency,
        "calendar": instrument.calendar,
    }


def span_part(first_ns: int, last_ns: int, zone: ZoneInfo) -> dict[str, Any]:
    """Return first and last moment, in ns, in UTC and in the exchange's zone."""
    known = first_ns != MISSING
    utc = ZoneInfo("UTC")
    return {
        "first_ns": first_ns if known else None,
        "last_ns": last_ns if known else None,
        "seconds": (last_ns - first_ns) / 1e9 if known else None,
        "zone": str(zone),
        "first_utc": moment(first_ns, utc) if known else None,
        "last_utc": moment(last_ns, utc) if known else None,
        "first_local": moment(first_ns, zone) if known else None,
        "last_local": moment(last_ns, zone) if known else None,
    }


def _sides(c: Collector) -> dict[str, Any]:
    counts = {s.name.lower(): int(c.side_sources[s]) for s in SideSource if c.side_sources[s]}
    known = c.n_bought + c.n_sold
    sources = [name for name in counts if name != "none"]
    return {
        "source": "+".join(sources) or "none",
        "prints_by_source": counts,
        "known_share": known / c.n_trades if c.n_trades else None,
    }


def price_part(scene: Scene | None) -> dict[str, Any]:
    """Return where the price went."""
    keys = ("open", "high", "low", "close", "change", "change_ticks", "change_percent", "range", "range_ticks")
    if scene is None:
        return dict.fromkeys(("basis", *keys))
    # Prints are what a day's high and low mean; mids only where nothing printed.
    printed = bool((scene.rows["close"] != MISSING).any())
    names = ("open", "high", "low", "close") if printed else ("mid2_first", "mid2_high", "mid2_low", "mid2_last")
    known = [values[np.isfinite(values)] for values in (scene.price(name) for name in names)]
    if not known[0].size:
        return dict.fromkeys(("basis", *keys))
    opened, top, bottom, closed = float(known[0][0]), float(known[1].max()), float(known[2].min()), float(known[3][-1])
    tick = scene.tick
    values = (
        opened,
        top,
        bottom,
        closed,
        closed - opened,
        (closed - opened) / tick if tick else None,
        100 * (closed / opened - 1) if opened > 0 else None,
        top - bottom,
        (top - bottom) / tick if tick else None,
    )
    return {"basis": "print" if printed else "mid", **dict(zip(keys, values, strict=True))}


def _trades(c: Collector, profile: Profile, scene: Scene | None) -> dict[str, Any]:
    unit = c.instrument.lot_e9 / PRICE_SCALE
    bought, sold, unknown = (float(v.sum()) * unit for v in (profile.bought, profile.sold, profile.unknown))
    volume = bought + sold + unknown + profile.outside_lots * unit
    notional = float(scene.rows["notional"].sum()) / PRICE_SCALE * unit if scene is not None else 0.0
    largest = None
    if c.largest is not None:
        lots, ts_ns, price, side = c.largest
        largest = {"quantity": lots * unit, "ts_ns": ts_ns, "price": price / PRICE_SCALE, "side": side}
    delta = scene.quantity("delta") if scene is not None else np.zeros(0)
    return {
        "prints": c.n_trades,
        "prints_bought": c.n_bought,
        "prints_sold": c.n_sold,
        "volume": volume,
        "bought": bought,
        "sold": sold,
        "side_unknown": unknown,
        "delta": bought - sold,
        "delta_share": (bought - sold) / volume if volume else None,
        "session_delta_highest": float(delta.max()) if delta.size and c.n_trades else None,
        "session_delta_lowest": float(delta.min()) if delta.size and c.n_trades else None,
        "vwap": notional / volume if volume and notional else None,
        "mean_size": volume / c.n_trades if c.n_trades else None,
        "largest": largest,
    }


def _spreads(c: Collector) -> dict[str, Any]:
    whole = c.seconds.whole[0]
    tick = c.instrument.tick_e9 / PRICE_SCALE
    quoted_ns = int(whole["quoted_ns"])
    mean = float(whole["spread_ns"]) / quoted_ns / PRICE_SCALE if quoted_ns else None
    held = c.seconds.held_ns
    total = int(held.sum())
    effective = c.spreads.effective()
    by_size = effective["mean_by_size"]
    value = float(c.instrument.multiplier) * float(c.instrument.lot)
    return {
        "quoted": {
            "mean_by_time": mean,
            "mean_by_time_ticks": mean / tick if mean is not None and tick else None,
            "share_one_tick": int(held[1]) / total if total and tick else None,
            "quoted_s": quoted_ns / 1e9,
        },
        "effective": effective
        | {"mean_by_size_ticks": by_size / tick if by_size is not None and tick else None}
        | {"half_spread_cost_per_lot": by_size / 2 * value if by_size is not None else None},
        "realised": c.spreads.realised(),
        "realised_rows_beyond_the_end": c.pending_rows,
    }


def _depth(c: Collector) -> dict[str, Any]:
    whole = c.seconds.whole[0]
    sized_ns = int(whole["sized_ns"])
    unit = c.instrument.lot_e9 / PRICE_SCALE
    bid = float(whole["bid_sz_ns"]) / sized_ns * unit if sized_ns else None
    ask = float(whole["ask_sz_ns"]) / sized_ns * unit if sized_ns else None
    return {"mean_bid_size": bid, "mean_ask_size": ask, "levels_seen": c.levels_max}


def _flow(c: Collector) -> list[dict[str, Any]]:
    tick = c.instrument.tick_e9 / PRICE_SCALE
    unit = c.instrument.lot_e9 / PRICE_SCALE
    per = (tick or 1.0) * PRICE_SCALE * unit

    def told(fit: Fit | None) -> dict[str, Any] | None:
        if fit is None:
            return None
        return {
            "n": fit.n,
            "r2": fit.r2,
            "slope": fit.slope / per,
            "slope_error": fit.slope_error / per,
            "intercept": fit.intercept / (tick or 1.0) / PRICE_SCALE,
        }

    return [
        {"interval_s": seconds, "ofi": told(flow.fit("ofi")), "trades": told(flow.fit("traded"))}
        for seconds, flow in c.flow.items()
    ]


def _touch(c: Collector) -> dict[str, Any]:
    tick = c.instrument.tick_e9 / PRICE_SCALE or 1.0
    mid, micro = (e / PRICE_SCALE for e in c.forecast.errors_e9())
    table = c.forecast.by_imbalance()
    return {
        "ahead_s": c.forecast.ahead_s,
        "seconds": c.forecast.n,
        "rmse_mid": mid,
        "rmse_microprice": micro,
        "by_imbalance": [
            {
                "from": row["imbalance_from"],
                "to": row["imbalance_to"],
                "seconds": int(row["seconds"]),
                "mean_move": row["move_e9"] / PRICE_SCALE,
                "mean_move_ticks": row["move_e9"] / PRICE_SCALE / tick,
                "share_up": row["up"],
                "share_down": row["down"],
            }
            for row in table
        ],
    }


def _profile(profile: Profile, c: Collector) -> dict[str, Any]:
    return {
        "rule": "value area 70 %, pairs of rows, ties up; point of control nearest the middle of the range on ties",
        "row_ticks": profile.row_ticks or None,
        "row": profile.row_e9 / PRICE_SCALE or None,
        "rows": int(profile.price.size),
        "poc": profile.poc,
        "val": profile.val,
        "vah": profile.vah,
        "volume_at_poc": float(profile.volume.max()) * c.instrument.lot_e9 / PRICE_SCALE
        if profile.price.size
        else None,
        "outside_rows": profile.outside_lots * c.instrument.lot_e9 / PRICE_SCALE,
        "sessions": c.sessions,
    }


def _missing(document: Mapping[str, Any], c: Collector) -> dict[str, str]:
    """Say which parts of the report this tape cannot give, and why."""
    missing: dict[str, str] = {}
    trades, quoted_s = document["trades"]["prints"], document["spreads"]["quoted"]["quoted_s"]
    has_book = bool(c.by_kind[[Kind.LEVEL, Kind.QUOTE, Kind.ADD, Kind.EXECUTE]].any())
    no_book = "this tape holds trades only: no quotes, levels or orders"
    no_trades = "this tape holds no trades"
    never = "the tape never shows a bid below an ask while the market trades"
    if not has_book:
        missing |= dict.fromkeys(("spread", "cost", "depth", "flow", "imbalance", "impact"), no_book)
    elif not quoted_s:
        missing |= dict.fromkeys(("spread", "cost", "flow", "imbalance", "impact"), never)
    if not trades:
        missing |= dict.fromkeys(("cost", "delta", "profile", "impact", "signature"), no_trades)
    elif not c.n_bought + c.n_sold:
        missing |= dict.fromkeys(("cost", "delta", "impact"), "no trade of this tape says who the aggressor was")
    if "cost" not in missing and not document["spreads"]["effective"]["prints_defined"]:
        missing["cost"] = "no trade with a known aggressor met a two-sided quote"
    few = "too few trades: a hundred pairs are needed"
    if "impact" not in missing and len(document["tape"]["response"]) < _CURVE_MIN:
        missing["impact"] = few
    if "signature" not in missing and len(document["tape"]["signature"]) < _CURVE_MIN:
        missing["signature"] = few
    known = any(np.isfinite(column).any() for name, column in document["over_time"].items() if name != "ts_ns")
    if not known and not document["toxicity"]["vpin"]:
        missing["activity"] = "too short a tape: volatility and intensities need some minutes, VPIN fifty buckets"
    if "depth" not in missing and c.levels_max < 2:
        missing["depth"] = "this tape holds the best bid and ask only, no depth behind them"
    whole = c.seconds.whole[0]
    if quoted_s and not whole["sized_ns"]:
        missing |= dict.fromkeys(("flow", "imbalance"), "this tape does not tell the sizes at the touch")
    elif quoted_s and whole["bid_sz_ns"] == whole["sized_ns"] == whole["ask_sz_ns"]:
        missing |= dict.fromkeys(("flow", "imbalance"), "every size at the touch is 1: the source does not tell sizes")
    if "flow" not in missing and all(row["ofi"] is None for row in document["flow"]):
        missing["flow"] = "too few seconds with a changing mid and known sizes for a fit"
    if "imbalance" not in missing and document["touch"]["seconds"] < _SECONDS_MIN:
        missing["imbalance"] = "too few seconds with a two-sided quote of known sizes"
    if document["price"]["close"] is None:
        missing["price"] = "this tape holds neither trades nor two-sided quotes"
    return missing


def clean(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinities become null, numpy numbers plain ones.

    >>> clean({"a": float("nan"), "b": [np.int64(3)]})
    {'a': None, 'b': [3]}
    """
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(v) for v in value]
    if isinstance(value, np.generic):
        return clean(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
