"""Where bad records go: kept with their bytes and their place, counted, and never guessed at."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import IO

import msgspec

from tapebook.market.errors import MalformedRecord, ReaderError


class BadRecord(msgspec.Struct, frozen=True):
    """One record that was not understood."""

    reason: str  # short, the same for all records of one sort: it is what they are counted by
    expected: str
    found: str
    where: str
    raw: bytes


class Quarantine:
    """Collects bad records; in strict mode the first one ends the run.

    Parameters
    ----------
    strict
        Raise :class:`MalformedRecord` at the first bad record.
    path
        Write every bad record there, one JSON object a line (raw bytes in base64); without it the first ``keep``
        records are held in memory and all of them are counted.
    keep
        How many records are held in memory.

    Examples
    --------
    >>> q = Quarantine()
    >>> q.add("bad price", expected="a number", found="'x'", where="es.csv line 3", raw=b"1,x,2")
    >>> q.total, q.counts["bad price"], q.records[0].raw
    (1, 1, b'1,x,2')
    """

    def __init__(self, *, strict: bool = False, path: Path | None = None, keep: int = 1000) -> None:
        self.strict = strict
        self.path = path
        self.records: list[BadRecord] = []
        self.counts: Counter[str] = Counter()
        self.truncated = ""  # where the input ended early, empty if it did not
        self._keep = keep
        self._file: IO[str] | None = None

    @property
    def total(self) -> int:
        """Bad records so far."""
        return self.counts.total()

    def add(self, reason: str, *, expected: str = "", found: str = "", where: str = "", raw: bytes = b"") -> None:
        """Take in one bad record (or raise, in strict mode)."""
        if self.strict:
            raise MalformedRecord(reason, expected=expected, found=found, where=where, remedy="run without --strict")
        self.counts[reason] += 1
        record = BadRecord(reason, expected, found[:200], where, raw[:65536])
        if len(self.records) < self._keep:
            self.records.append(record)
        if self.path is not None:
            if self._file is None:
                self._file = self.path.open("a", encoding="utf-8")
            row = msgspec.structs.asdict(record) | {"raw": base64.b64encode(record.raw).decode()}
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def truncate(self, error: ReaderError) -> None:
        """Note that the input ended inside a record: a finding, or the end of the run in strict mode."""
        if self.strict:
            raise error
        self.truncated = str(error)

    def reset(self) -> None:
        """Forget everything: a new pass over the same input starts."""
        self.records.clear()
        self.counts.clear()
        self.truncated = ""
