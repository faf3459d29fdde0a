"""The small tables of a report as columns: spreads by horizon, the profile, findings, and every number by its name."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tapebook.features.volume_profile import Profile
from tapebook.market.instruments import Instrument
from tapebook.report.tables import quantity

__all__ = ["profile_columns", "quality_columns", "spread_columns", "stat_columns"]

_SERIES: Final = ("quality", "files", "planted", "over_time")


def spread_columns(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spreads: quoted (by time), effective, then effective, realised and impact by horizon (by size)."""
    spreads = document["spreads"]
    rows: list[tuple[str, float | None, float | None, int]] = []
    if spreads["quoted"]["mean_by_time"] is not None:
        rows.append(("quoted", None, spreads["quoted"]["mean_by_time"], 0))
    if spreads["effective"]["mean_by_size"] is not None:
        rows.append(("effective", None, spreads["effective"]["mean_by_size"], spreads["effective"]["prints_defined"]))
    for row in spreads["realised"]:
        rows += [(name, row["horizon_s"], row[name], row["prints"]) for name in ("effective", "realised", "impact")]
    return {
        "measure": pa.array([r[0] for r in rows], pa.string()),
        "horizon_s": pa.array([r[1] for r in rows], pa.float64()),
        "mean": pa.array([r[2] for r in rows], pa.float64()),
        "trades": pa.array([r[3] for r in rows], pa.int64()),
    }


def profile_columns(profile: Profile, instrument: Instrument) -> dict[str, Any]:
    """Return the volume profile by row, lowest first."""
    row = profile.row_e9 / 1e9
    return {
        "price": profile.price,
        "row": np.full(profile.price.size, row),
        "volume": quantity(profile.volume, instrument),
        "bought": quantity(profile.bought, instrument),
        "sold": quantity(profile.sold, instrument),
        "side_unknown": quantity(profile.unknown, instrument),
        "in_value_area": (profile.price >= profile.val) & (profile.price <= profile.vah),
        "is_poc": profile.price == profile.poc,
    }


def quality_columns(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the findings, the worst first."""
    findings = document["quality"]["findings"]
    text = {n: pa.array([f[n] for f in findings], pa.string()) for n in ("name", "severity", "symbol", "meaning")}
    return {
        **text,
        "count": pa.array([f["count"] for f in findings], pa.int64()),
        "share": pa.array([f["share"] for f in findings], pa.float64()),
        "first_ts_ns": pa.array([f["first_ts_ns"] for f in findings], pa.int64()),
        "first_where": pa.array([f["first_where"] for f in findings], pa.string()),
        "details": pa.array([json.dumps(f["details"], default=str) for f in findings], pa.string()),
    }


def stat_columns(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return every number of the report by its path in report.json, series over time left out."""
    told = {k: v for k, v in document.items() if k not in _SERIES}
    if "toxicity" in told:
        told["toxicity"] = {k: v for k, v in told["toxicity"].items() if not isinstance(v, list)}
    rows = list(_numbers("", told))
    return {"name": pa.array([n for n, _ in rows], pa.string()), "value": pa.array([v for _, v in rows], pa.float64())}


def _numbers(path: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            yield from _numbers(f"{path}[{i}]", inner)
    elif isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        yield path, float(value)
