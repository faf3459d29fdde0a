"""The smaller report of a file of bars: price, volume, delta where bid and ask volume are told, and time of day.

Bars become the same columns that a tape is summed up into, so that their pictures are the tape's. What bars cannot
tell is not guessed: no spread, no book, no volume by price.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook import __version__
from tapebook.features.touch import trade_days
from tapebook.kernels.intervals import INTERVAL, halve
from tapebook.market.errors import ConfigurationError, UnsupportedSchema
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.tape import Table
from tapebook.quality.info import finding_row
from tapebook.quality.tables import table_findings
from tapebook.report.bars_page import bar_pictures, bar_sections, bar_tiles
from tapebook.report.captions import captions
from tapebook.report.document import REPORT_SCHEMA, clean, instrument_part, price_part, source_part, span_part
from tapebook.report.page import whole_page
from tapebook.report.scene import Scene, make_scene
from tapebook.report.summary import quality_columns, stat_columns
from tapebook.report.tables import write_table
from tapebook.report.zones import exchange_zone

__all__ = ["analyze_bars"]

_COLUMNS_MAX: Final = 600
_SLOT_S: Final = 1800  # of the picture by time of day


def analyze_bars(source: Table, where: Path, symbol: str) -> tuple[dict[str, Any], str, dict[str, int]]:
    """Return document and page of a file of bars, and the rows of each table written beside them.

    Raises
    ------
    UnsupportedSchema
        If the file holds something else than bars.
    """
    if not source.origin.schema.startswith("bars"):
        raise UnsupportedSchema(
            "nothing here can be analysed",
            expected="trades, quotes, a book, or bars",
            found=f"{source.origin.format} {source.origin.schema}",
            where=source.origin.name,
            remedy="look at it with tapebook info",
        )
    everything = source.table()
    bars, instrument, others = _chosen(source, everything, symbol)
    zone = exchange_zone(instrument)
    rows, width_ns = interval_rows(bars, instrument)
    scene = _scene(rows, width_ns, instrument, zone)
    findings = table_findings(source, everything)
    document = _document(source, instrument, zone, rows, width_ns, scene)
    document["quality"] = _quality(source, [finding_row(f) for f in findings])
    document["others"] = others
    by_clock = _by_clock(rows, zone, instrument, width_ns)
    document["by_time_of_day"] = by_clock
    files = {
        "bars.parquet": write_table(where / "bars.parquet", _columns(bars, rows, instrument)),
        "quality.parquet": write_table(where / "quality.parquet", quality_columns(document)),
        "stats.parquet": write_table(where / "stats.parquet", stat_columns(document)),
    }
    document["files"] = {name: n for name, n in files.items() if n}
    pictures = bar_pictures(scene, document, by_clock, instrument)
    drawn = {"column_s": scene.width_ns / 1e9, "pictures": [k for k in pictures if k != "clock"]}
    document["captions"] = captions(document, instrument, zone, drawn)
    heads = bar_tiles(document, instrument)
    document["headline"] = [tile._asdict() for tile in heads]
    document = clean(document)
    html = whole_page(document, instrument, zone, heads, bar_sections(document, instrument, zone, pictures))
    return document, html, document["files"]


def _chosen(source: Table, bars: pa.Table, symbol: str) -> tuple[pa.Table, Instrument, list[dict[str, Any]]]:
    """Return the bars of one symbol, in order of time, that symbol's instrument, and the other symbols."""
    counts: dict[str, int] = {}
    if "symbol" in bars.column_names:
        told = bars["symbol"].value_counts().to_pylist()
        counts = {str(c["values"]): int(c["counts"]) for c in told if c["values"] is not None}
    by_symbol = {i.symbol: i for i in source.instruments.values()}
    name = symbol or max(counts, key=lambda s: (counts[s], s), default=next(iter(by_symbol), source.origin.name))
    if symbol and counts and symbol not in counts:
        raise ConfigurationError(
            "no such instrument in this file",
            expected=", ".join(sorted(counts)[:20]),
            found=symbol,
            where=source.origin.name,
            remedy="name one of these with --instrument",
        )
    if counts:
        bars = bars.filter(pc.equal(bars["symbol"], name))
    bars = bars.sort_by("ts_event_ns")
    instrument = by_symbol.get(name) or Instrument(symbol=name, venue=source.origin.venue)
    others = [
        {"symbol": s, "venue": instrument.venue, "events": n, "trades": 0}
        for s, n in sorted(counts.items(), key=lambda p: -p[1])
        if s != name
    ]
    return bars, instrument, others


def interval_rows(bars: pa.Table, instrument: Instrument) -> tuple[NDArray[Any], int]:
    """Return bars as rows of :data:`~tapebook.kernels.intervals.INTERVAL` and the length of a bar in ns."""
    ts_ns = bars["ts_event_ns"].to_numpy().astype(np.int64)
    steps = np.diff(ts_ns)
    steps = steps[steps > 0]
    width_ns = int(np.median(steps)) if steps.size else 60_000_000_000
    rows = np.zeros(bars.num_rows, INTERVAL)
    rows["index"] = ts_ns // width_ns
    rows["first_ns"], rows["last_ns"] = ts_ns, ts_ns + width_ns
    rows["session"] = trade_days(instrument.calendar, ts_ns)
    rows["events"] = 1
    rows["trading"] = 1
    for name in ("open", "high", "low", "close"):
        values = _floats(bars, name)
        rows[name] = np.where(np.isfinite(values), np.round(np.nan_to_num(values) * PRICE_SCALE), MISSING).astype(
            np.int64
        )
    for name in ("mid2_first", "mid2_high", "mid2_low", "mid2_last", "spread_min", "spread_max"):
        rows[name] = MISSING
    lots = PRICE_SCALE / instrument.lot_e9
    volume = np.nan_to_num(_floats(bars, "volume")) * lots
    bought, sold = (np.nan_to_num(_floats(bars, name)) * lots for name in ("ask_volume", "bid_volume"))
    rows["bought"], rows["sold"] = np.round(bought), np.round(sold)
    rows["unknown"] = np.maximum(np.round(volume - bought - sold), 0)
    trades = np.nan_to_num(_floats(bars, "trades" if "trades" in bars.column_names else "n_trades"))
    rows["trades"] = np.where(trades > 0, trades, volume > 0)
    typical = (_floats(bars, "high") + _floats(bars, "low") + _floats(bars, "close")) / 3
    rows["notional"] = np.nan_to_num(typical) * PRICE_SCALE * volume
    sums = np.cumsum(rows["bought"] - rows["sold"])
    first = np.flatnonzero(np.concatenate([[True], np.diff(rows["session"]) != 0]))
    group = np.cumsum(np.concatenate([[0], np.diff(rows["session"]) != 0]))
    rows["delta"] = sums - np.concatenate([[0], sums])[first][group]
    return rows, width_ns


def _scene(rows: NDArray[Any], width_ns: int, instrument: Instrument, zone: ZoneInfo) -> Scene:
    """Merge bars until they can be drawn."""
    columns = rows.copy()
    factor = -(-rows.size // _COLUMNS_MAX)
    if factor > 1:
        columns = columns[: halve(columns, columns.size, factor)]
    return make_scene(instrument, columns, width_ns * factor, zone)


def _floats(bars: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in bars.column_names:
        return np.full(bars.num_rows, np.nan)
    values: NDArray[np.float64] = bars[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _document(
    source: Table, instrument: Instrument, zone: ZoneInfo, rows: NDArray[Any], width_ns: int, scene: Scene
) -> dict[str, Any]:
    unit = instrument.lot_e9 / PRICE_SCALE
    bought, sold, unknown = (float(rows[n].sum()) * unit for n in ("bought", "sold", "unknown"))
    volume = bought + sold + unknown
    delta = rows["delta"] * unit
    missing = {
        "depth": "bars hold no book",
        "profile": "bars do not tell at which price inside them the volume traded",
        "spread": "bars hold no quotes",
        "cost": "bars hold no single trades",
        "flow": "bars hold no book",
        "imbalance": "bars hold no book",
    }
    if not bought + sold:
        missing["delta"] = "these bars do not tell bid and ask volume"
    counted = int(rows["trades"].sum()) if {"trades", "n_trades"} & set(source.schema.names) else 0
    return {
        "schema": REPORT_SCHEMA,
        "kind": "bars",
        "tool": {"name": "tapebook", "version": __version__},
        "source": source_part(source.origin),
        "instrument": instrument_part(instrument),
        "span": span_part(int(rows["first_ns"][0]), int(rows["last_ns"][-1]), zone),
        "bars": {"count": int(rows.size), "seconds": width_ns / 1e9, "columns": list(source.schema.names)},
        "sides": {"source": "bid and ask volume of the bars" if bought + sold else "none"},
        "price": price_part(scene),
        "trades": {
            "prints": counted,
            "volume": volume,
            "bought": bought,
            "sold": sold,
            "side_unknown": unknown,
            "delta": bought - sold,
            "delta_share": (bought - sold) / volume if volume else None,
            "session_delta_highest": float(delta.max()),
            "session_delta_lowest": float(delta.min()),
            "vwap": None,
        },
        "missing": missing,
    }


def _quality(source: Table, findings: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "findings": findings,
        "quarantined": source.quarantine.total,
        "truncated": source.quarantine.truncated,
        "records": [
            {
                "reason": r.reason,
                "expected": r.expected,
                "found": r.found,
                "where": r.where,
                "raw": r.raw[:120].decode("utf-8", "replace"),
            }
            for r in source.quarantine.records[:50]
        ],
        "notes": dict(source.notes),
    }


def _by_clock(rows: NDArray[Any], zone: ZoneInfo, instrument: Instrument, width_ns: int) -> list[dict[str, Any]]:
    """Return mean volume and mean range of the bars by half hour of the exchange's day."""
    if width_ns >= _SLOT_S * 1_000_000_000 or not rows.size:
        return []
    slots = wall_seconds(rows["first_ns"], zone) // _SLOT_S
    unit = instrument.lot_e9 / PRICE_SCALE
    volume = (rows["bought"] + rows["sold"] + rows["unknown"]) * unit
    reach = np.where(rows["high"] != MISSING, rows["high"] - rows["low"], 0) / PRICE_SCALE
    table = []
    for slot in np.unique(slots).tolist():
        mine = slots == slot
        table.append(
            {
                "from": f"{slot * _SLOT_S // 3600:02d}:{slot * _SLOT_S % 3600 // 60:02d}",
                "bars": int(mine.sum()),
                "mean_volume": float(volume[mine].mean()),
                "mean_range": float(reach[mine].mean()),
            }
        )
    return table


def wall_seconds(ts_ns: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Return the seconds since local midnight of each stamp.

    >>> wall_seconds(np.array([1_703_541_600_000_000_000]), ZoneInfo("America/Chicago")).tolist()
    [57600]
    """
    import datetime as dt

    hour_ns = 3_600_000_000_000
    hours, place = np.unique(ts_ns // hour_ns, return_inverse=True)
    offsets = np.empty(hours.size, np.int64)
    for i, hour in enumerate(hours.tolist()):
        offset = dt.datetime.fromtimestamp(hour * 3600, tz=zone).utcoffset()
        offsets[i] = round(offset.total_seconds()) if offset is not None else 0
    seconds: NDArray[np.int64] = (ts_ns // 1_000_000_000 + offsets[place]) % 86_400
    return seconds


def _columns(bars: pa.Table, rows: NDArray[Any], instrument: Instrument) -> dict[str, Any]:
    """Return the bars as they were read, with their trade date and, where sides are told, the session's delta."""
    columns = {name: bars[name].combine_chunks() for name in bars.column_names}
    columns["trade_date"] = rows["session"].astype("M8[D]")
    if (rows["bought"] + rows["sold"]).any():
        columns["cum_delta"] = rows["delta"] * (instrument.lot_e9 / PRICE_SCALE)
    return columns
