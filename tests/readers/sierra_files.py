"""Sierra Chart files for tests, made by struct alone: nothing of the reader stands behind them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

FIRST, LAST = -1.99900095e37, -1.99900197e37

ScidRow = tuple[int, float, float, float, float, int, int, int, int]
"""us since 1970, open, ask or high, bid or low, price or close, trades, volume, bid volume, ask volume."""

DepthRow = tuple[int, int, int, int, float, int]
"""us since 1970, command, flags, orders, price, quantity."""


def sierra_us(unix_us: int) -> int:
    return (
        unix_us + int((datetime(1970, 1, 1, tzinfo=UTC) - datetime(1899, 12, 30, tzinfo=UTC)).total_seconds()) * 10**6
    )


def at(text: str) -> int:
    """Return us since 1970 of a UTC time."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 10**6)


def scid_bytes(rows: Sequence[ScidRow]) -> bytes:
    header = struct.pack("<4sIIHHI36s", b"SCID", 56, 40, 1, 0, 0, b"")
    return header + b"".join(struct.pack("<qffffIIII", sierra_us(us), *rest) for us, *rest in rows)


def depth_bytes(rows: Sequence[DepthRow]) -> bytes:
    header = struct.pack("<IIII48s", 0x44444353, 64, 24, 1, b"")
    return header + b"".join(
        struct.pack("<qBBHfII", sierra_us(us), command, flags, orders, price, quantity, 0)
        for us, command, flags, orders, price, quantity in rows
    )


def trade(us: int, price: float, qty: int, side: int, bid: float, ask: float, mark: float = 0.0) -> ScidRow:
    return (us, mark, ask, bid, price, 1, qty, qty if side < 0 else 0, qty if side > 0 else 0)


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path
