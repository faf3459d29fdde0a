"""What is in a file: one pass that answers ``tapebook info``."""

from __future__ import annotations

from typing import Any

import msgspec

from tapebook.kernels import quality as kernel
from tapebook.market.events import PRICE_SCALE, Kind
from tapebook.market.tape import Table, Tape
from tapebook.quality.check import Observed, QualityCheck
from tapebook.quality.findings import Finding
from tapebook.quality.tables import TS, table_findings

_INSTRUMENTS_TOLD = 100


def describe(source: Tape | Table) -> dict[str, Any]:
    """Read a tape or table once and tell what it holds; everything in it is JSON-able.

    Keys: ``name format schema venue details``, ``kind`` (``events`` or ``table``), ``rows``, ``instruments`` (a list
    with symbol, venue, tick, what was seen of it, and by kind), ``first``/``last`` times in ns, ``quality`` (findings,
    the worst first), ``quarantined``, ``notes`` (what the reader noticed).
    """
    about: dict[str, Any] = {
        "name": source.origin.name,
        "format": source.origin.format,
        "schema": source.origin.schema,
        "venue": source.origin.venue,
        "details": dict(source.origin.details),
    }
    about |= _table(source) if isinstance(source, Table) else _tape(source)
    about["quarantined"] = source.quarantine.total
    about["notes"] = dict(source.notes)
    return about


def finding_row(finding: Finding) -> dict[str, Any]:
    """Return a finding with its meaning, ready for JSON (NaN becomes None)."""
    row = msgspec.structs.asdict(finding) | {"meaning": finding.meaning}
    if row["share"] != row["share"]:
        row["share"] = None
    return row


def _tape(tape: Tape) -> dict[str, Any]:
    check = QualityCheck(tape.instruments, consecutive=tape.origin.details.get("sequence") == "consecutive" or None)
    for block in tape.blocks():
        check.see(block)
    seen = sorted(check.observed.values(), key=lambda s: -s.n_events)
    return {
        "kind": "events",
        "rows": sum(s.n_events for s in seen),
        "first_ts_event_ns": min(
            (s.first_ns["ts_event_ns"] for s in seen if "ts_event_ns" in s.first_ns), default=None
        ),
        "last_ts_event_ns": max((s.last_ns["ts_event_ns"] for s in seen if "ts_event_ns" in s.last_ns), default=None),
        "first_ts_recv_ns": min((s.first_ns["ts_recv_ns"] for s in seen if "ts_recv_ns" in s.first_ns), default=None),
        "last_ts_recv_ns": max((s.last_ns["ts_recv_ns"] for s in seen if "ts_recv_ns" in s.last_ns), default=None),
        "instruments": [instrument_row(s, check) for s in seen[:_INSTRUMENTS_TOLD]],
        "n_instruments": len(seen),
        "quality": [finding_row(f) for f in check.findings(tape.quarantine)],
    }


def instrument_row(seen: Observed, check: QualityCheck) -> dict[str, Any]:
    """Return what was seen of one instrument."""
    i = seen.instrument
    gcd = int(seen.state[kernel.PRICE_GCD])
    latency = check.latency_ns().get(i.symbol)
    completeness = seen.silence.completeness()
    return {
        "symbol": i.symbol,
        "venue": i.venue,
        "kind": i.kind,
        "tick": str(i.tick.normalize()) if i.tick_e9 else None,
        "tick_seen": gcd / PRICE_SCALE if gcd else None,
        "lot": str(i.lot.normalize()),
        "currency": i.currency,
        "events": seen.n_events,
        "by_kind": {k.name.lower(): int(seen.by_kind[k]) for k in Kind if seen.by_kind[k]},
        "trades": int(seen.state[kernel.N_TRADES]),
        "volume": i.qty_float(int(seen.state[kernel.VOLUME_LOTS])),
        "first_ts_event_ns": seen.first_ns.get("ts_event_ns"),
        "last_ts_event_ns": seen.last_ns.get("ts_event_ns"),
        "first_ts_recv_ns": seen.first_ns.get("ts_recv_ns"),
        "last_ts_recv_ns": seen.last_ns.get("ts_recv_ns"),
        "latency_ns": dict(zip(("min", "p50", "p90", "p99", "p999", "max"), latency, strict=True)) if latency else None,
        "completeness_percent": round(100 * completeness, 3) if completeness == completeness else None,  # noqa: PLR0124 - not NaN
        "depth": seen.touch.summary(),
    }


def _table(source: Table) -> dict[str, Any]:
    rows = source.table()
    stamps = rows[TS].to_numpy() if TS in rows.column_names and rows.num_rows else None
    symbols: list[str] = []
    if "symbol" in rows.column_names:
        symbols = sorted(str(s) for s in rows["symbol"].unique().to_pylist())
    return {
        "kind": "table",
        "rows": rows.num_rows,
        "columns": {f.name: str(f.type) for f in rows.schema},
        "first_ts_event_ns": int(stamps.min()) if stamps is not None else None,
        "last_ts_event_ns": int(stamps.max()) if stamps is not None else None,
        "first_ts_recv_ns": None,
        "last_ts_recv_ns": None,
        "instruments": [{"symbol": s, "venue": source.origin.venue} for s in symbols[:_INSTRUMENTS_TOLD]],
        "n_instruments": len(symbols),
        "quality": [finding_row(f) for f in table_findings(source, rows)],
    }
