"""Bring a session's database to what its journal holds, after a kill or after a database that was away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tapebook.capture.follower import Follower
from tapebook.capture.reports import Report
from tapebook.capture.settings import (
    HOME,
    JOURNAL,
    FollowerSettings,
    database_of,
    load_session,
    save_session,
    session_folders,
    without_password,
)
from tapebook.market.errors import ConfigurationError, StoreError
from tapebook.store.journal_files import JournalLocked, take_lock

__all__ = ["Recovery", "find_session", "recover_session", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What a recovery did."""

    name: str
    folder: Path
    database: str
    before: str  # the session's state
    state: str  # ended, killed; incomplete: the database is still away
    watermark: int
    frames: int
    rows: int
    missing_frames: int
    error: str

    @classmethod
    def failed(cls, folder: Path, error: str) -> Recovery:
        """Return what is told of a session that could not be recovered."""
        nothing = {"watermark": 0, "frames": 0, "rows": 0, "missing_frames": 0}
        return cls(name=folder.name, folder=folder, database="", before="", state="incomplete", error=error, **nothing)


def find_session(name: str, home: Path = HOME) -> Path:
    """Return the folder of a session that is named, or whose folder is."""
    for folder in (home / name, Path(name)):
        if (folder / "session.json").is_file():
            return folder
    known = [folder.name for folder in session_folders(home)]
    raise StoreError(
        "there is no such session",
        expected=f"one of {', '.join(known[-5:])}" if known else "a captured session",
        found=repr(name),
        where=str(home),
        remedy="name its folder, or --home where sessions are kept",
    )


def unfinished(home: Path = HOME) -> list[Path]:
    """Return the folders of sessions whose database may lack rows, and that nobody is capturing."""

    def complete(folder: Path) -> bool:
        try:
            return load_session(folder).complete
        except StoreError:  # who recovers it is told
            return False

    return [
        folder
        for folder in session_folders(home)
        if (folder / JOURNAL).is_dir() and not complete(folder) and not capturing(folder)
    ]


def recover_session(folder: Path, *, database: str = "", drain_s: float = 10.0) -> Recovery:
    """Bring the session's database to its journal's end.

    Parameters
    ----------
    folder
        The session's.
    database
        Its URL where it has moved, or another database, which is then filled from the begin.
    drain_s
        How long a database that is away is waited for.

    Raises
    ------
    StoreError
        If the session is being captured, or the database does not let us in.
    """
    about = load_session(folder)
    if capturing(folder):
        raise StoreError(
            "the session is being captured", where=str(folder), remedy="it keeps its database up to date by itself"
        )
    own = database_of(folder, about)
    url = database or own
    if not url:
        raise ConfigurationError("the session names no database", where=str(folder), remedy="name one with --db")
    killed = about.state != "ended"
    told: list[Report] = []
    settings = FollowerSettings(folder=str(folder), database=url, drain_s=drain_s)
    state = "killed" if killed else "ended"
    Follower(settings, tell=told.append, ended=lambda: state).run()
    last = told[-1]
    if without_password(url) == without_password(own):
        ended_ns = about.ended_ns or last.watermark_ns or about.started_ns
        complete = last.state == "done"
        now = msgspec.structs.replace(
            about, state=state, ended_ns=ended_ns, complete=complete, database=without_password(own)
        )
        save_session(folder, now)
    return Recovery(
        name=about.name,
        folder=folder,
        database=without_password(url),
        before=about.state,
        state=state if last.state == "done" else "incomplete",
        watermark=last.watermark,
        frames=last.frames,
        rows=sum(getattr(last.rows, name) for name in last.rows.__struct_fields__),
        missing_frames=last.missing_frames,
        error=last.error,
    )


def capturing(folder: Path) -> bool:
    """Whether a process writes the folder's journal now."""
    journal = folder / JOURNAL
    if not journal.is_dir():
        return False
    try:
        take_lock(journal).close()
    except JournalLocked:
        return True
    except OSError:  # a backup on a medium that cannot be written: nobody writes it
        return False
    return False
