"""Captured sessions, wherever they stand: a folder with a journal, a database, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tapebook.capture.read import session_in
from tapebook.capture.recover import capturing, find_session
from tapebook.capture.settings import (
    HOME,
    JOURNAL,
    PRUNED,
    SessionFile,
    SourceSettings,
    database_of,
    load_session,
    session_folders,
    sqlite_path,
    without_password,
)
from tapebook.market.errors import StoreError
from tapebook.store.database import Database, Session, open_database
from tapebook.store.journal_files import segments
from tapebook.venues.credentials import masked

__all__ = [
    "PRUNED",
    "Captured",
    "Pruned",
    "captured",
    "captured_sessions",
    "capturing",
    "is_session",
    "load_pruned",
    "open_database_of",
]


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What a pruned session's folder says of where its events are now.

    Attributes
    ----------
    lake, source
        The lake, and the import's id; both empty where the session had no events.
    events, sha256
        What was compared before anything was deleted.
    frames, journal_bytes, rows
        What there was.
    pruned_ns
        When.
    done
        Everything that was to be deleted is; False after a kill in between: pruning again goes on.
    """

    lake: str
    source: str
    events: int
    sha256: str
    frames: int
    journal_bytes: int
    rows: int
    pruned_ns: int
    done: bool = False


@dataclass(frozen=True, kw_only=True)
class Captured:
    """A captured session.

    Attributes
    ----------
    name
        Its name.
    sources
        What was heard.
    started_ns, ended_ns
        ns since 1970 UTC; None while it runs, or where it was killed and not recovered.
    state
        ``running``, ``ended``, ``killed`` or ``pruned``; ``damaged`` where the folder does not say what it holds.
    complete
        The database has every row of the journal (as the session's file says).
    folder
        None where only a database has it.
    database
        Its URL, as it is opened: may hold a password; show :attr:`shown`.
    """

    name: str
    sources: tuple[SourceSettings, ...]
    started_ns: int
    ended_ns: int | None
    state: str
    complete: bool
    folder: Path | None
    database: str

    @property
    def label(self) -> str:
        """Return what it is asked for by: its folder's name (a restored copy may have another than the session's)."""
        return self.folder.name if self.folder is not None else self.name

    @property
    def venue(self) -> str:
        """Return the venues' names."""
        return ",".join(dict.fromkeys(source.venue for source in self.sources))

    @property
    def shown(self) -> str:
        """Return the database's URL as it may be shown."""
        return without_password(self.database)

    @property
    def journal(self) -> Path | None:
        """Return the journal's folder, None where there is none (any more)."""
        path = self.folder / JOURNAL if self.folder is not None else None
        return path if path is not None and path.is_dir() and segments(path) else None

    @property
    def has_database(self) -> bool:
        """Whether there is something to open: a server's URL, or a file that exists (asking must not make one)."""
        path = sqlite_path(self.database)
        return bool(self.database) and (path is None or path.is_file())


def captured_sessions(home: Path = HOME, database: str = "") -> list[Captured]:
    """Return all sessions, oldest first: those with a folder in ``home``, and those that only ``database`` has."""
    found = []
    for folder in session_folders(home):
        try:
            found.append(_of_folder(folder, ""))
        except StoreError:
            found.append(_damaged(folder))
    if database:
        names = {session.name for session in found}
        with open_database(database) as base:
            found += [_of_database(one, database) for one in base.sessions() if one.name not in names]
    return sorted(found, key=lambda one: (one.started_ns, one.name))


def captured(name: str, home: Path = HOME, database: str = "") -> Captured:
    """Return the session of a name, of a folder, or of a database (``URL#NAME``, or ``database`` and a name).

    Raises
    ------
    StoreError
        If there is none.
    """
    url, mark, inner = name.rpartition("#")
    if mark and "://" in url:
        database, name = url, inner
    folder = home / name if (home / name / "session.json").is_file() else Path(name)
    if (folder / "session.json").is_file() and not (mark and "://" in url):
        return _of_folder(folder, database)
    if not database:
        return _of_folder(find_session(name, home), "")
    with open_database(database) as base:
        return _of_database(session_in(base, name), database)


def is_session(text: str, home: Path = HOME) -> bool:
    """Whether a user's word is a captured session: its folder, ``URL#NAME``, or a name where no such path exists.

    >>> is_session("sqlite:///captures/all.db#monday"), is_session("no-such-thing")
    (True, False)
    """
    if "://" in text:
        return "#" in text and urlsplit(text).scheme in ("sqlite", "postgres", "postgresql")
    path = Path(text)
    if path.exists():
        return (path / "session.json").is_file()
    return (home / text / "session.json").is_file()


def open_database_of(session: Captured) -> tuple[Database, Session]:
    """Open a session's database; the caller closes it.

    Raises
    ------
    StoreError
        If there is none, or it does not have the session.
    """
    if not session.has_database:
        raise StoreError(
            "the session has no database",
            expected=session.shown or "a database",
            where=str(session.folder or session.name),
            remedy="make it from the journal: tapebook capture --recover, or name another with --db",
        )
    base = open_database(session.database)
    try:
        return base, session_in(base, session.name)
    except BaseException:
        base.close()
        raise


def load_pruned(folder: Path) -> Pruned | None:
    """Return what a folder says of a pruned session; None where it was not pruned."""
    try:
        return msgspec.json.decode((folder / PRUNED).read_bytes(), type=Pruned)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StoreError("a session's file cannot be read", found=str(error), where=str(folder / PRUNED)) from None


# ---- parts ---------------------------------------------------------------------------------------------------------


def _of_folder(folder: Path, database: str) -> Captured:
    about: SessionFile = load_session(folder)
    state = about.state
    note = load_pruned(folder)
    if capturing(folder):
        state = "running"
    elif note is not None and not (note.done and (folder / JOURNAL).is_dir()):
        state = "pruned"
    elif state == "running":
        state = "killed"
    return Captured(
        name=about.name,
        sources=tuple(about.sources),
        started_ns=about.started_ns,
        ended_ns=None if state == "running" else about.ended_ns,
        state=state,
        complete=about.complete,
        folder=folder,
        database=database or database_of(folder, about),
    )


def _damaged(folder: Path) -> Captured:
    return Captured(
        name=folder.name,
        sources=(),
        started_ns=0,
        ended_ns=None,
        state="damaged",
        complete=False,
        folder=folder,
        database="",
    )


def _of_database(session: Session, url: str) -> Captured:
    try:
        sources = msgspec.json.decode(session.settings, type=tuple[SourceSettings, ...])
    except msgspec.DecodeError as error:
        raise StoreError(
            "the database does not say what the session heard",
            found=masked(str(error)),
            where=f"{without_password(url)}, session {session.name!r}",
            remedy="read it from its folder",
        ) from None
    return Captured(
        name=session.name,
        sources=sources,
        started_ns=session.started_timestamp,
        ended_ns=session.ended_timestamp,
        state=session.state,
        complete=session.state != "running",
        folder=None,
        database=url,
    )
