"""A file that says what to capture, for what is run every day.

::

    name = "mnq"                                  # all but the venues may be left out; an option given beside it counts
    database = "postgresql://me@host/ticks"
    duration_s = 3600

    [[venue]]
    name = "projectx"
    contracts = ["CON.F.US.MNQ.M25"]
    quotes = true
    credentials = "~/.config/tapebook/topstepx.toml"
    addresses = { rest = "https://api.topstepx.com" }

A file with a secret in it (a password in the database's URL, ``user_name`` and ``api_key`` of a venue) must have mode
0600.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from tapebook.capture.plan import CaptureSettings
from tapebook.capture.receive import Limits
from tapebook.capture.settings import HOME, without_password
from tapebook.capture.sources import SourceRequest
from tapebook.market.errors import ConfigurationError
from tapebook.venues.credentials import Credentials, Secret

__all__ = ["CaptureFile", "VenueEntry", "load_capture_file"]

_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO


class VenueEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One venue in the file."""

    name: str
    contracts: list[str]
    quotes: bool = True
    trades: bool = True
    depth: bool = True
    credentials: Path | None = None
    user_name: str = ""
    api_key: str = ""
    addresses: dict[str, Any] = {}

    def request(self) -> SourceRequest:
        """Return what it asks for."""
        return SourceRequest(
            venue=self.name,
            contracts=tuple(self.contracts),
            quotes=self.quotes,
            trades=self.trades,
            depth=self.depth,
            addresses=self.addresses,
            credentials=self.credentials.expanduser() if self.credentials else None,
        )

    def secret(self) -> Credentials | None:
        """Return user name and key, where the file has them.

        Raises
        ------
        ConfigurationError
            If it has one of them and not the other.
        """
        if not self.user_name and not self.api_key:
            return None
        if not (self.user_name and self.api_key):
            found = "user_name" if self.user_name else "api_key"
            raise ConfigurationError("half a key", expected="user_name and api_key", found=found, where=self.name)
        return Credentials(Secret(self.user_name), Secret(self.api_key))

    def __repr__(self) -> str:
        return f"VenueEntry(name={self.name!r}, contracts={self.contracts!r})"


class CaptureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The file; what its settings mean is told at :class:`~tapebook.capture.plan.CaptureSettings`."""

    venue: list[VenueEntry]
    name: str = ""
    home: Path | None = None
    database: str = ""
    duration_s: float | None = None
    keep_raw: bool = False
    batch_rows: int = 5_000
    batch_timeout_s: float = 0.25
    memory_mb: float = 1_000.0
    disk_warn_mb: float = 2_000.0
    disk_stop_mb: float = 256.0
    sync_ms: float = 50.0
    interval_s: float = 1.0
    metrics_port: int | None = None

    def but(self, **given: Any) -> CaptureFile:
        """Return it with other settings in the place of its own.

        >>> CaptureFile(venue=[], name="mnq").but(name="es").name
        'es'
        """
        return msgspec.structs.replace(self, **given)

    def settings(self) -> CaptureSettings:
        """Return what a capture is told.

        Raises
        ------
        ConfigurationError
            If a setting is out of its range, no venue is named, or one is named twice.
        """
        twice = [name for name, n in Counter(entry.name for entry in self.venue).items() if n > 1]
        if twice:
            raise ConfigurationError(
                "a venue is named twice", found=", ".join(twice), remedy="name it once, with all its contracts"
            )
        for entry in self.venue:
            entry.secret()
        if not self.sync_ms >= 0:
            raise ConfigurationError("sync_ms is negative", expected="0 or above", found=str(self.sync_ms))
        return CaptureSettings(
            requests=tuple(entry.request() for entry in self.venue),
            name=self.name,
            home=HOME if self.home is None else self.home.expanduser(),
            database=self.database,
            duration_s=self.duration_s,
            keep_raw=self.keep_raw,
            batch_rows=self.batch_rows,
            batch_timeout_s=self.batch_timeout_s,
            memory_mb=self.memory_mb,
            interval_s=self.interval_s,
            metrics_port=self.metrics_port,
            limits=Limits(disk_warn_mb=self.disk_warn_mb, disk_stop_mb=self.disk_stop_mb, sync_s=self.sync_ms / 1e3),
        )

    def __repr__(self) -> str:
        return f"CaptureFile(name={self.name!r}, venue={self.venue!r})"


def load_capture_file(path: Path) -> CaptureFile:
    """Read a file.

    Raises
    ------
    ConfigurationError
        If it cannot be read, has an unknown key or a wrong value, or a secret that others can read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        mode = path.stat().st_mode
    except (OSError, ValueError, RecursionError) as error:
        # The text of a TOML error may quote the line, and the line may be the key.
        found = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigurationError("the file cannot be read", found=str(found), where=str(path)) from None
    try:
        read = msgspec.convert(content, CaptureFile)
    except msgspec.ValidationError as error:
        raise ConfigurationError("the file is wrong", found=str(error), where=str(path)) from None
    secret = read.database != without_password(read.database) or any(v.api_key or v.user_name for v in read.venue)
    if secret and os.name == "posix" and mode & _OTHERS_MAY:
        raise ConfigurationError(
            "others can read the file with a secret",
            expected="mode 0600",
            found=f"{stat.S_IMODE(mode):04o}",
            where=str(path),
            remedy=f"chmod 600 {path}, and change the secret if it may have been seen",
        )
    return read
