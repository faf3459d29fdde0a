"""A journal read the slow way, from ``docs/journal.md`` alone: for segments that nothing damaged."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import lz4.block
import zstandard

Row = tuple[int, int, int, int, bytes]


def records(data: bytes) -> list[Row]:
    """Return (sequence, ts_recv_ns, source, kind, payload) of the records that ``data`` begins with."""
    rows = []
    at = 0
    while at + 28 <= len(data):
        crc, size, sequence, ts, source, kind, _ = struct.unpack("<IIqqHBB", data[at : at + 28])
        payload = data[at + 28 : at + 28 + size]
        if len(payload) < size or zlib.crc32(data[at + 4 : at + 28 + size]) != crc or sequence == 0:
            break
        rows.append((sequence, ts, source, kind, payload))
        at += 28 + size
        at += -at % 4
    return rows


def sealed(data: bytes) -> bytes:
    magic, size, crc = struct.unpack("<8sII", data[:16])
    assert magic == b"TBJSEAL\n"
    assert zlib.crc32(data[16 : 16 + size]) == crc
    header = json.loads(data[16 : 16 + size])
    at, raw = 4096, b""
    for _ in range(header["blocks"]):
        magic, packed, n_raw, _, _, crc, own = struct.unpack("<4sIIIqII", data[at : at + 32])
        assert zlib.crc32(data[at : at + 28]) == own
        body = data[at + 32 : at + 32 + packed]
        assert zlib.crc32(body) == crc
        if magic == b"TBKZ":
            body = zstandard.ZstdDecompressor().decompress(body)
        elif magic == b"TBKL":
            body = lz4.block.decompress(body, uncompressed_size=n_raw)
        assert len(body) == n_raw
        raw += body
        at += 32 + packed
    assert at == len(data)
    assert len(raw) == header["raw_bytes"]
    return raw


def read(folder: Path) -> list[Row]:
    rows: dict[int, Row] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix in (".open", ".sealed"):
            data = path.read_bytes()
            body = sealed(data) if path.suffix == ".sealed" else data[4096:]
            for row in records(body):
                assert rows.setdefault(row[0], row) == row, f"frame {row[0]} has two contents"
    return [rows[sequence] for sequence in sorted(rows)]
