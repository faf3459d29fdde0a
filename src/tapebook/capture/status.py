"""What a capture says of itself: one object, shown live on a terminal, a line at a time elsewhere, or as NDJSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tapebook.market.events import PRICE_SCALE

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["CaptureStatistics", "StreamStatistics", "line_of", "percentile_us", "table_of"]

_MB: Final = 1e6


@dataclass(frozen=True, kw_only=True)
class StreamStatistics:
    """One line of a venue."""

    name: str
    state: str  # connecting, connected, live, lost
    frames: int
    frame_bytes: int
    frames_per_s: float
    connections: int
    silences: int
    refused: int
    last_age_s: float | None  # since the last frame
    clock_offset_s: float | None = None  # the venue's time minus ours
    clock_error_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class CaptureStatistics:
    """A capture at one moment; rates are of the time since the statistics before.

    Attributes
    ----------
    frames, frame_bytes
        Received and journalled, in all.
    lag_frames, lag_bytes, lag_s
        How far the database is behind the journal; bytes by the mean size of a frame.
    database, database_error
        What the follower does, and why it cannot.
    rows
        Written, by table.
    latency_p50_us, latency_p99_us
        From a frame's arrival to the journal; None before the first.
    last
        Last trade, bid and ask by contract, as decimals.
    """

    name: str
    state: str
    uptime_s: float
    frames: int
    frame_bytes: int
    frames_per_s: float
    journal_mb: float
    synced_frames: int
    lag_frames: int
    lag_bytes: int
    lag_s: float
    database: str
    database_error: str
    follower_restarts: int
    batch_rows: int
    rows: dict[str, int]
    rows_per_s: dict[str, float]
    events: int
    latency_p50_us: float | None
    latency_p99_us: float | None
    receiver_mb: float
    follower_mb: float
    disk_free_mb: float
    streams: list[StreamStatistics]
    last: dict[str, dict[str, float | None]]
    findings: dict[str, int]
    notes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def percentile_us(counts: Sequence[int], share: float, step_ns: int) -> float | None:
    """Return the upper end of the step below which ``share`` of what was counted lies.

    >>> percentile_us([98, 1, 1], 0.5, 10_000), percentile_us([98, 1, 1], 0.995, 10_000), percentile_us([0], 0.5, 1)
    (10.0, 30.0, None)
    """
    total = sum(counts)
    if not total:
        return None
    seen = 0
    for i, n in enumerate(counts):
        seen += n
        if seen >= share * total:
            return (i + 1) * step_ns / 1e3
    return len(counts) * step_ns / 1e3


def price(value: int | None) -> float | None:
    """Return a price for people."""
    return None if value is None else value / PRICE_SCALE


def line_of(now: CaptureStatistics) -> str:
    """Return one line for a log or a pipe."""
    rows = ", ".join(f"{n:,} {table}" for table, n in now.rows.items() if n)
    states = ", ".join(f"{s.name} {s.state}" for s in now.streams)
    parts = [
        f"{now.uptime_s:,.0f} s",
        states,
        f"{now.frames:,} frames ({now.frames_per_s:,.0f}/s)",
        rows or "no rows",
        f"database {now.database}, {now.lag_frames:,} frames behind ({now.lag_s:.1f} s)",
        f"{now.receiver_mb + now.follower_mb:,.0f} MB",
    ]
    return " · ".join(parts + ([now.database_error] if now.database_error else []) + now.warnings)


def table_of(now: CaptureStatistics) -> Group:
    """Return the live view."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    streams = Table("line", "state", "frames", "per s", "connections", "silences", "last, s ago", "clock offset")
    for column in streams.columns[2:]:
        column.justify = "right"
    for s in now.streams:
        clock = (
            "" if s.clock_offset_s is None else f"{s.clock_offset_s * 1e3:+.0f} ± {(s.clock_error_s or 0) * 1e3:.0f} ms"
        )
        age = "" if s.last_age_s is None else f"{s.last_age_s:.1f}"
        shown: list[Any] = [s.name, Text(s.state, _colour(s.state)), f"{s.frames:,}", f"{s.frames_per_s:,.0f}"]
        streams.add_row(*shown, f"{s.connections:,}", f"{s.silences:,}", age, clock)
    prices = Table("contract", "trade", "bid", "ask")
    for column in prices.columns[1:]:
        column.justify = "right"
    for name, last in now.last.items():
        prices.add_row(name, *(("" if v is None else f"{v:,.9g}") for v in last.values()))
    tables = Table("rows", "in all", "per s")
    for column in tables.columns[1:]:
        column.justify = "right"
    for name, n in now.rows.items():
        tables.add_row(name, f"{n:,}", f"{now.rows_per_s.get(name, 0.0):,.0f}")
    head = Text.assemble(
        (now.name, "bold"),
        f"  {now.state}, {now.uptime_s:,.0f} s  ",
        f"{now.frames:,} frames, {now.frames_per_s:,.0f}/s, {now.frame_bytes / _MB:,.1f} MB",
    )
    database = Text.assemble(
        "database ",
        (now.database, _colour(now.database)),
        f", {now.lag_frames:,} frames behind ({now.lag_bytes / _MB:,.1f} MB, {now.lag_s:.1f} s)",
        f", restarts {now.follower_restarts}" if now.follower_restarts else "",
        (f"\n{now.database_error}", "red") if now.database_error else "",
    )
    latency = "" if now.latency_p99_us is None else f", socket to journal p99 {now.latency_p99_us:,.0f} µs"
    memory = Text(
        f"journal {now.journal_mb:,.1f} MB{latency}; memory {now.receiver_mb:,.0f} + {now.follower_mb:,.0f} MB; "
        f"disk {now.disk_free_mb:,.0f} MB free"
    )
    parts: list[Any] = [head, streams, database, memory, tables]
    parts += [prices] if now.last else []
    parts += [Text(f"{n:,} times: {finding}", "yellow") for finding, n in now.findings.items()]
    parts += [Text(warning, "yellow") for warning in now.warnings]
    return Group(*parts)


def _colour(state: str) -> str:
    good = {"live": "green", "following": "green", "lost": "red", "waiting": "red", "failed": "red"}
    return good.get(state, "yellow")
