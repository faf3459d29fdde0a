"""Session tables on disk: making one takes most of a second, reading it back a few milliseconds.

A table is kept under a hash of all that it is made of: the sources of the timetables, the version of the calendar
library and the rules of the time zones. Where nothing can be written, it is made anew each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import zipfile
import zoneinfo
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any, Final

import numpy as np

from tapebook.market.cache import cache_home
from tapebook.market.sessions import SessionTable

__all__ = ["kept_table"]

_ZONES: Final = ("America/Chicago", "America/New_York", "America/Sao_Paulo")
_SOURCES: Final = ("sessions.py", "sessions_cme.py", "sessions_tables.py", "sessions_kept.py")


def kept_table(name: str, make: Callable[[], SessionTable]) -> SessionTable:
    """Return the table of a calendar from disk, or make it and keep it.

    Parameters
    ----------
    name
        Of the calendar.
    make
        Makes the table.
    """
    path = cache_home() / "sessions" / f"{name}-{_key()}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none, or a damaged one
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            columns = {field.name: kept[field.name] for field in fields(SessionTable)}
        return SessionTable(**(columns | {"zone": str(columns["zone"])}))
    table = make()
    with contextlib.suppress(OSError):  # a read-only home
        path.parent.mkdir(parents=True, exist_ok=True)
        number, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
        made: dict[str, Any] = {field.name: np.asarray(getattr(table, field.name)) for field in fields(SessionTable)}
        with os.fdopen(number, "wb") as out:
            np.savez(out, **made)
        Path(part).replace(path)
    return table


@cache
def _key() -> str:
    digest = hashlib.sha256(f"{metadata.version('exchange_calendars')} {np.__version__} {sys.version}".encode())
    for source in _SOURCES:
        digest.update(Path(__file__).with_name(source).read_bytes())
    for zone in _ZONES:
        digest.update(_zone_rules(zone))
    return digest.hexdigest()[:16]


def _zone_rules(zone: str) -> bytes:
    """Return the bytes that zoneinfo reads for a zone: the system's file, else the tzdata package's."""
    for folder in zoneinfo.TZPATH:
        with contextlib.suppress(OSError):
            return (Path(folder) / zone).read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).read_bytes()
