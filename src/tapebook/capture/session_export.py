"""A captured session, or a part of it, as a file or in the lake."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tapebook.market.errors import ConfigurationError
from tapebook.market.tape import Tape
from tapebook.store.commit import IngestReport
from tapebook.store.export import ExportReport, export
from tapebook.store.lake import Lake
from tapebook.store.rows import format_of

__all__ = ["export_session", "moment_ns"]


def export_session(tape: Tape, target: Path) -> ExportReport | IngestReport:
    """Write a session's tape: by the name's ending CSV, JSON lines, Parquet or Arrow, else into the lake there.

    A file appears when it is whole; a lake has all of it or nothing.
    """
    return export([tape], target) if format_of(target) is not None else Lake(target).ingest(tape)


def moment_ns(text: str, option: str) -> int | None:
    """Read a time of a command line: ISO 8601 (UTC where it names no zone) or ns since 1970; empty: None.

    >>> moment_ns("2026-08-19T14:00:00Z", "--start"), moment_ns("", "--end")
    (1787148000000000000, None)
    """
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) > 12:
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            "not a time", expected="2026-08-19T14:00:00Z or ns since 1970", found=repr(text), where=option
        ) from None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
