"""What a capture is told, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tapebook.capture.receive import Limits
from tapebook.capture.settings import HOME
from tapebook.capture.sources import SOURCES, SourceRequest
from tapebook.capture.status import CaptureStatistics
from tapebook.market.errors import ConfigurationError
from tapebook.store.journal import JournalSettings

__all__ = ["CaptureSettings", "Outcome", "default_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class CaptureSettings:
    """What a capture is told.

    Attributes
    ----------
    requests
        What to hear, by venue.
    name
        Of the session; empty: from the time, the venue and the first contract. The name of one that was killed or has
        ended goes on with it.
    home
        Where sessions' folders are made.
    database
        URL; empty: a SQLite file in the session's folder. May hold a password: it is handed on over a pipe only.
    duration_s
        How long; None: until it is stopped.
    keep_raw
        Keep each frame's bytes in the database as well.
    batch_rows, batch_timeout_s, memory_mb, drain_s
        See :class:`~tapebook.capture.settings.FollowerSettings`.
    interval_s
        How often statistics are taken.
    metrics_port
        Serve them to Prometheus on this loopback port; 0: a free one; None: not at all.
    """

    requests: tuple[SourceRequest, ...]
    name: str = ""
    home: Path = HOME
    database: str = ""
    duration_s: float | None = None
    keep_raw: bool = False
    batch_rows: int = 5_000
    batch_timeout_s: float = 0.25
    memory_mb: float = 1_000.0
    drain_s: float = 60.0
    interval_s: float = 1.0
    metrics_port: int | None = None
    limits: Limits = field(default_factory=Limits)
    journal: JournalSettings = field(default_factory=JournalSettings)

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.requests:
            raise ConfigurationError("nothing to capture", expected="a venue and a contract")
        for request in self.requests:
            if request.venue not in SOURCES:
                raise ConfigurationError(
                    "no such venue", expected=", ".join(SOURCES), found=repr(request.venue), where="--venue"
                )
            if not request.contracts:
                raise ConfigurationError("no contract", expected="one at least", where=request.venue)
            if not (request.quotes or request.trades or request.depth):
                raise ConfigurationError("nothing to hear of", expected="quotes, trades or depth", where=request.venue)
        if self.name and not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                "not a name for a session", expected="letters, digits and . _ + -", found=repr(self.name)
            )
        for number in ("interval_s", "batch_rows", "batch_timeout_s", "memory_mb"):
            if not getattr(self, number) > 0:
                raise ConfigurationError(f"{number} is not positive", found=str(getattr(self, number)))
        if self.duration_s is not None and not self.duration_s > 0:
            raise ConfigurationError("the duration is not positive", found=str(self.duration_s), where="--duration")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a capture ended."""

    name: str
    folder: Path
    database: str
    state: str  # ended; incomplete: the database lacks rows that the journal has
    reason: str
    statistics: CaptureStatistics


def default_name(requests: Sequence[SourceRequest], now_ns: int) -> str:
    """Return a session's name.

    >>> default_name([SourceRequest(venue="projectx", contracts=("CON.F.US.MNQ.M25",))], 1_750_000_000 * 10**9)
    '20250615T150640-projectx-MNQ.M25'
    """
    when = datetime.fromtimestamp(now_ns // 10**9, UTC).strftime("%Y%m%dT%H%M%S")
    contract = re.sub(r"[^A-Za-z0-9._+-]", "-", requests[0].contracts[0].removeprefix("CON.F.US."))
    more = sum(len(request.contracts) for request in requests) - 1
    venues = "+".join(dict.fromkeys(request.venue for request in requests))
    return f"{when}-{venues}-{contract}"[:90] + (f"+{more}" if more else "")
