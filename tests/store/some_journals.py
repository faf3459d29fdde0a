"""Journals of small segments, and what a killed process leaves of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tapebook.market.quarantine import Quarantine
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import Frame

T0 = 1_700_000_000 * 10**9
SMALL = JournalSettings(segment_bytes=16_384, block_bytes=1_000, background=False)


def payload(n: int) -> bytes:
    return (b"%d " % n) * (n * 7 % 23)


def raw(first: int, last: int) -> list[tuple[int, int, int, bytes]]:
    return [(T0 + n, n % 3, 1 + n % 7, payload(n)) for n in range(first, last + 1)]


def frames(first: int, last: int) -> list[Frame]:
    return [Frame(n, T0 + n, n % 3, 1 + n % 7, payload(n)) for n in range(first, last + 1)]


def left_open(folder: Path, last: int, settings: JournalSettings = SMALL) -> Path:
    """Return the segment that a killed process would leave behind it."""
    journal = Journal(folder, settings=settings)
    journal.append(raw(1, last))
    path = journal._sealer.opened[-1].path
    journal._lock.close()
    return path


def reopened(folder: Path, **words: Any) -> tuple[Journal, Quarantine]:
    quarantine = Quarantine()
    return Journal(folder, settings=SMALL, quarantine=quarantine, **words), quarantine
