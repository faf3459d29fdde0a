"""The quality of rows that are no events: bars, depth by distance, anything with a time stamp and numbers.

Three things go wrong in such files: the order (newest first, repeated stamps), the regularity (missing bars), and
values that stand still while the stamps go on (a frozen source). A *series* is what one stamp holds once: the whole
table, or each value of a key column (``percentage`` in Binance's bookDepth).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.market.tape import Table
from tapebook.quality.check import unreadable
from tapebook.quality.findings import Finding, by_severity

TS: Final = "ts_event_ns"
_FROZEN_ROWS_MIN: Final = 10


def table_findings(source: Table, table: pa.Table | None = None, *, frozen_s: float = 300.0) -> list[Finding]:
    """Return what is wrong with the rows of ``source``, the worst first.

    Parameters
    ----------
    source
        Where the rows come from; read unless ``table`` holds them already.
    frozen_s
        Values that do not change for so long, over at least ten stamps, are told.
    """
    rows = source.table() if table is None else table
    found = unreadable(source.quarantine, rows.num_rows)
    if TS in rows.column_names and rows.num_rows:
        stamps = rows[TS].to_numpy()
        keys = _keys(rows)
        for key in np.unique(keys) if keys is not None else [None]:
            chosen = np.ones(stamps.size, np.bool_) if keys is None else keys == key
            part = rows.filter(pa.array(chosen)) if keys is not None else rows
            found += _series(
                part, stamps[chosen], np.flatnonzero(chosen), str(key) if keys is not None else "", frozen_s
            )
        if source.origin.schema.startswith("bars"):
            found += _bars(rows, stamps)
    return by_severity(_merged(found))


def _keys(rows: pa.Table) -> NDArray[Any] | None:
    """Return the column that tells rows of one stamp apart, if there is one: symbols, or a small set of numbers."""
    for name in rows.column_names:
        if name == TS or name.startswith("ts_"):
            continue
        column = rows[name]
        n = pc.count_distinct(column).as_py()
        n_max = 64 if pa.types.is_floating(column.type) else 4096
        if 1 < n <= n_max:
            pairs = rows.select([TS, name]).group_by([TS, name]).aggregate([]).num_rows
            if pairs > 0.99 * rows.num_rows and pc.count_distinct(rows[TS]).as_py() < 0.6 * rows.num_rows:
                return np.asarray(column.to_pylist())
    return None


def _series(
    rows: pa.Table, stamps: NDArray[np.int64], places: NDArray[np.int64], key: str, frozen_s: float
) -> list[Finding]:
    found = []
    steps = np.diff(stamps)
    for name, bad in (("rows_backwards", steps < 0), ("rows_duplicate", steps == 0)):
        if bad.any():
            i = int(np.flatnonzero(bad)[0]) + 1
            found.append(
                Finding(
                    name=name,
                    severity="warning",
                    count=int(bad.sum()),
                    share=float(bad.sum()) / steps.size,
                    symbol=key,
                    first_ts_ns=int(stamps[i]),
                    first_where=f"row {int(places[i])}",
                    details={"newest_first": bool((steps <= 0).all())} if name == "rows_backwards" else {},
                )
            )
    return found + _frozen(rows, stamps, places, key, frozen_s)


def _frozen(
    rows: pa.Table, stamps: NDArray[np.int64], places: NDArray[np.int64], key: str, frozen_s: float
) -> list[Finding]:
    """Find runs in which no number changes although the stamps do."""
    names = [
        f.name
        for f in rows.schema
        if (pa.types.is_floating(f.type) or pa.types.is_integer(f.type))
        and not f.name.startswith("ts_")
        and f.name != TS
    ]
    values = [rows[n].to_numpy(zero_copy_only=False) for n in names]
    values = [v for v in values if v.size and not (v == v[0]).all()]  # a key or a constant says nothing
    if not values or stamps.size <= _FROZEN_ROWS_MIN:
        return []
    same = np.ones(stamps.size - 1, np.bool_)
    for v in values:
        same &= v[1:] == v[:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], same.view(np.int8), [0]])))
    runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]  # rows a..b are equal
    long = [
        (a, b) for a, b in runs if b - a >= _FROZEN_ROWS_MIN and abs(int(stamps[b]) - int(stamps[a])) >= frozen_s * 1e9
    ]
    if not long:
        return []
    a, b = max(long, key=lambda r: abs(int(stamps[r[1]]) - int(stamps[r[0]])))
    return [
        Finding(
            name="frozen_values",
            severity="error",
            count=len(long),
            share=sum(b - a for a, b in long) / stamps.size,
            symbol=key,
            first_ts_ns=int(stamps[long[0][0]]),
            first_where=f"row {int(places[long[0][0]])}",
            details={
                "longest_s": abs(int(stamps[b]) - int(stamps[a])) / 1e9,
                "longest_from_ns": int(min(stamps[a], stamps[b])),
                "longest_to_ns": int(max(stamps[a], stamps[b])),
            },
        )
    ]


def _bars(rows: pa.Table, stamps: NDArray[np.int64]) -> list[Finding]:
    found = []
    o, h, low, c = (rows[n].to_numpy(zero_copy_only=False) for n in ("open", "high", "low", "close"))
    bad = (h < np.maximum(o, c)) | (low > np.minimum(o, c)) | (h < low)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        found.append(
            Finding(
                name="ohlc_impossible",
                severity="error",
                count=int(bad.sum()),
                share=float(bad.mean()),
                first_ts_ns=int(stamps[i]),
                first_where=f"row {i}",
            )
        )
    return found


def _merged(found: list[Finding]) -> list[Finding]:
    """Put findings of one name about many series into one, so that fifty symbols do not give fifty lines."""
    merged: dict[str, Finding] = {}
    for f in found:
        first = merged.get(f.name)
        if f.name == "quarantined" or first is None:
            merged[f.name if f.name != "quarantined" else f"quarantined {f.details.get('reason')}"] = f
            continue
        worst = max(first, f, key=lambda x: x.details.get("longest_s", 0))
        series = [*first.details.get("series", [first.symbol]), f.symbol]
        merged[f.name] = Finding(
            name=f.name,
            severity=worst.severity,
            count=first.count + f.count,
            share=max(first.share, f.share),
            first_ts_ns=min(x for x in (first.first_ts_ns, f.first_ts_ns) if x is not None)
            if (first.first_ts_ns, f.first_ts_ns) != (None, None)
            else None,
            first_where=first.first_where,
            details={**worst.details, "series": series},
        )
    return list(merged.values())
