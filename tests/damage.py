"""Damaged copies of files, from a seed, and what became of reading them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapebook.market.errors import TickDataError
from tapebook.market.tape import Table
from tapebook.quality.check import QualityCheck
from tapebook.quality.tables import table_findings
from tapebook.readers import open_source

KINDS = ("truncated", "flipped", "shuffled", "encoding", "empty", "extension", "doubled", "zeroed")


def damaged(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Return a damaged copy. Compressed text is damaged as it lies on disk, except for the kinds that need lines."""
    if kind == "empty":
        return b""
    if kind == "extension":
        return data
    if kind == "truncated":
        return data[: int(rng.integers(1, max(2, len(data))))]
    if kind == "flipped":
        out = bytearray(data)
        for place in rng.integers(0, len(data), int(rng.integers(1, 4))):
            out[place] ^= 1 << int(rng.integers(0, 8))
        return bytes(out)
    if kind == "zeroed":
        out = bytearray(data)
        start = int(rng.integers(0, len(data)))
        out[start : start + 64] = bytes(min(64, len(data) - start))
        return bytes(out)
    zipped = data[:2] == b"\x1f\x8b"
    text = gzip.decompress(data) if zipped else data
    lines = text.split(b"\n")
    if kind == "shuffled":
        body = lines[1:]
        rng.shuffle(body)
        text = b"\n".join([lines[0], *body])
    elif kind == "doubled":
        i = int(rng.integers(0, len(lines)))
        text = b"\n".join([*lines[: i + 1], *lines[i:]])
    elif kind == "encoding":
        text = text.decode("utf-8", "replace").encode("utf-16" if rng.random() < 0.5 else "utf-7")
    return gzip.compress(text, mtime=0) if zipped else text


@dataclass(frozen=True)
class Outcome:
    """What reading a file gave."""

    error: str = ""  # type and words of a TickDataError
    n: int = 0
    digest: str = ""
    told: tuple[str, ...] = ()  # what the quarantine, the notes and the findings said


def read_whole(path: Path, **options: Any) -> Outcome:
    """Read a file to its end and check its quality; any exception but a TickDataError goes through."""
    try:
        source = open_source(path, **options)
        digest = hashlib.sha256()
        if isinstance(source, Table):
            table = source.table()
            for column in table.columns:
                digest.update(repr(column.to_pylist()).encode())
            n = table.num_rows
            findings = table_findings(source, table)
        else:
            check = QualityCheck(source.instruments)
            n = 0
            for block in source.blocks():
                digest.update(block.tobytes())
                check.see(block)
                n += block.size
            findings = check.findings(source.quarantine)
    except TickDataError as error:
        return Outcome(error=f"{type(error).__name__}: {error}")
    told = [f"{f.name} {f.count}" for f in findings] + [f"{k} {v}" for k, v in sorted(source.notes.items())]
    told += [f"instrument {i.symbol}@{i.venue}" for i in source.instruments.values()]
    return Outcome(n=n, digest=digest.hexdigest(), told=tuple(told))


def copies(data: bytes, seed: int, n: int) -> Iterator[tuple[str, bytes]]:
    """Yield ``n`` damaged copies, the kinds in turn."""
    rng = np.random.default_rng(seed)
    text = b"\0" not in (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)[:4096]
    kinds = [k for k in KINDS if text or k not in ("shuffled", "encoding", "doubled")]
    for i in range(n):
        kind = kinds[i % len(kinds)]
        yield kind, damaged(data, kind, rng)
