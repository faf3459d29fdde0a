"""What a follower says of itself, one JSON object a line on its standard output."""

from __future__ import annotations

import msgspec

__all__ = ["Last", "Report", "Tables"]


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """The last prices of a contract, in 1e-9 units; None: none came yet."""

    symbol: str
    trade: int | None = None
    bid: int | None = None
    ask: int | None = None


class Tables(msgspec.Struct, frozen=True, kw_only=True):
    """Rows by table."""

    quotes: int = 0
    trades: int = 0
    market_depth: int = 0
    gaps: int = 0
    quality: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a follower is.

    Attributes
    ----------
    state
        ``starting``, ``following``, ``waiting`` (for the database: ``error`` says why), ``draining``, ``done``,
        ``incomplete`` (it ended and the database lacks rows), ``failed`` (what is wrong will not mend itself).
    read_sequence, watermark
        The last frame decoded, and the last one in the database.
    watermark_ns
        When that one was received.
    frames, frame_bytes
        Decoded since it started.
    events
        Made of them.
    rows
        Written by it.
    error, error_type
        What went wrong last; empty while all is well.
    batch_rows
        Rows a batch, now; less than asked while memory is short.
    memory_mb
        Resident.
    last
        Last prices by contract.
    notes, findings
        Counts.
    """

    state: str
    watermark: int = 0
    watermark_ns: int = 0
    read_sequence: int = 0
    frames: int = 0
    frame_bytes: int = 0
    events: int = 0
    rows: Tables = msgspec.field(default_factory=Tables)
    batches: int = 0
    error: str = ""
    error_type: str = ""
    batch_rows: int = 0
    memory_mb: float = 0.0
    cpu_s: float = 0.0
    last: dict[str, Last] = msgspec.field(default_factory=dict)
    notes: dict[str, int] = msgspec.field(default_factory=dict)
    findings: dict[str, int] = msgspec.field(default_factory=dict)
    missing_frames: int = 0
