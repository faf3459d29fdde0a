"""What a capture is told, and the file ``session.json`` that says of a session's folder what it holds.

::

    captures/NAME/session.json    this file's SessionFile
    captures/NAME/journal/        what was received (docs/journal.md)
    captures/NAME/checkpoints/    the decoder's memory, so that a restart need not decode from the begin
    captures/NAME/capture.db      the database, unless another was named
    captures/NAME/capture.log     what happened
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from tapebook.market.errors import ConfigurationError, StoreError
from tapebook.market.parquet import write_whole

__all__ = [
    "CHECKPOINTS",
    "DATABASE",
    "HOME",
    "JOURNAL",
    "PRUNED",
    "FollowerSettings",
    "SessionFile",
    "SourceSettings",
    "database_of",
    "load_session",
    "refuse_password",
    "save_session",
    "session_folders",
    "sqlite_path",
    "without_password",
]

HOME: Final = Path("captures")
"""Where sessions are kept unless another folder is named: in the current folder, as the lake is."""

JOURNAL: Final = "journal"
PRUNED: Final = "pruned.json"  # of a session whose frames are in a lake
CHECKPOINTS: Final = "checkpoints"
DATABASE: Final = "capture.db"
_FILE: Final = "session.json"
_VERSION: Final = 1
_SECRET_OPTIONS: Final = ("password", "sslpassword")


class SourceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a venue: what the journal's ``source`` number stands for."""

    number: int
    venue: str
    line: str
    contracts: list[dict[str, Any]]  # as the venue describes them; each has an "id"

    @property
    def name(self) -> str:
        """Return venue and line, for people."""
        return f"{self.venue}/{self.line}"


class SessionFile(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its folder tells it; never holds a secret."""

    name: str
    sources: list[SourceSettings]
    database: str  # its URL without any password
    keep_raw: bool
    started_ns: int
    ended_ns: int | None = None
    state: str = "running"  # running, ended, killed
    complete: bool = False  # the database has every row of the journal
    version: int = _VERSION

    @property
    def venue(self) -> str:
        """Return the venues' names."""
        return ",".join(dict.fromkeys(source.venue for source in self.sources))


class FollowerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a follower is told on its standard input; the database's URL may hold a password.

    Attributes
    ----------
    folder
        The session's.
    database
        Its URL.
    batch_rows, batch_timeout_s
        A batch is written when it has so many rows, or when its first frame is so old.
    checkpoint_batches, checkpoint_s
        The decoder's memory is kept after so many batches, and not more often than this.
    memory_mb
        Above it batches get smaller.
    drain_s
        How long, at the end, a database that is away is waited for.
    report_s
        How often it says how far it is.
    """

    folder: str
    database: str
    batch_rows: int = 5_000
    batch_timeout_s: float = 0.25
    checkpoint_batches: int = 50
    checkpoint_s: float = 5.0
    memory_mb: float = 1_000.0
    drain_s: float = 60.0
    report_s: float = 0.5

    def __post_init__(self) -> None:
        """Check the settings."""
        for name, least in (("batch_rows", 1), ("checkpoint_batches", 1)):
            if getattr(self, name) < least:
                found = str(getattr(self, name))
                raise ConfigurationError(f"{name} is too small", expected=f"at least {least}", found=found)
        for name in ("batch_timeout_s", "report_s", "memory_mb"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is not positive", expected="above 0", found=str(getattr(self, name)))


def without_password(url: str) -> str:
    """Return a database's URL as it may be shown and kept.

    >>> without_password("postgresql://me:secret@host:5432/ticks"), without_password("sqlite:///a.db")
    ('postgresql://me@host:5432/ticks', 'sqlite:///a.db')
    >>> without_password("postgresql://host/ticks?user=me&password=secret")
    'postgresql://host/ticks?user=me'
    """
    if "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    rest, mark, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    if "@" in netloc:
        user, _, host = netloc.rpartition("@")
        netloc = f"{user.partition(':')[0]}@{host}"
    kept = "&".join(part for part in query.split("&") if unquote(part.partition("=")[0]) not in _SECRET_OPTIONS)
    return f"{scheme}://{netloc}{slash}{path}" + (mark + kept if kept else "")


def refuse_password(url: str, where: str) -> None:
    """Raise where a URL that stood on a command line holds a password: every list of processes shows it.

    Raises
    ------
    ConfigurationError
        With the URL as it may be shown.
    """
    shown = without_password(url)
    if url != shown:
        raise ConfigurationError(
            "a password on the command line can be seen by others",
            found=shown.replace("@", ":***@", 1),
            where=where,
            remedy="leave it out and set PGPASSWORD, use ~/.pgpass, or a --config of mode 0600; and change it",
        )


def sqlite_path(url: str) -> Path | None:
    """Return a database's file; None where it is on a server.

    >>> sqlite_path("sqlite://a.db"), sqlite_path("postgresql://host/ticks")
    (PosixPath('a.db'), None)
    """
    if "://" in url and not url.startswith("sqlite://"):
        return None
    return Path(url.removeprefix("sqlite://"))


def database_of(folder: Path, about: SessionFile) -> str:
    """Return a session's database; one that stood in the folder when it had another name stands there still."""
    path, here = sqlite_path(about.database), folder / DATABASE
    if not about.database or path is None or path.name != DATABASE or path.is_file():
        return about.database
    return str(here.resolve()) if here.is_file() or not path.parent.exists() else about.database


def save_session(folder: Path, session: SessionFile) -> None:
    """Write ``session.json``, whole."""
    with write_whole(folder / _FILE) as beside:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(session)) + b"\n")


def load_session(folder: Path) -> SessionFile:
    """Read ``session.json``.

    Raises
    ------
    StoreError
        If the folder holds no session, or the file cannot be read.
    """
    path = folder / _FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=SessionFile)
    except FileNotFoundError:
        remedy = "name a captured session, or its folder"
        raise StoreError("there is no captured session", expected=_FILE, where=str(folder), remedy=remedy) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        remedy = "its journal and database are as they were; put the file back from a backup"
        raise StoreError("a session's file cannot be read", found=str(error), where=str(path), remedy=remedy) from None


def session_folders(home: Path = HOME) -> list[Path]:
    """Return the folders of all sessions, oldest first; before them those whose file cannot be read."""

    def started_ns(folder: Path) -> int:
        try:
            return load_session(folder).started_ns
        except StoreError:
            return 0

    found = [path.parent for path in home.glob(f"*/{_FILE}")]
    return sorted(found, key=lambda folder: (started_ns(folder), folder.name))
