"""Old sessions give their room back: events move into the Parquet lake, and only then journal and rows are deleted.

Nothing is deleted before what the lake holds has been read back and is, event for event and to the last byte, what the
journal says. Gaps and findings, which are no events, are kept beside the session's file (``kept.json.zst``). The raw
frames are gone afterwards: make a backup first where they are wanted. A kill at any moment loses nothing; pruning
again goes on. A session that is being captured, or whose journal is damaged, is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from tapebook.capture.session_files import write_file
from tapebook.capture.session_report import sizes_of
from tapebook.capture.session_tape import decoded_journal, session_tape
from tapebook.capture.sessions import PRUNED, Captured, Pruned, capturing, load_pruned, open_database_of
from tapebook.capture.settings import CHECKPOINTS, JOURNAL
from tapebook.market.errors import StoreCorrupted, StoreError
from tapebook.market.events import Events
from tapebook.market.parquet import sync_folder
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress
from tapebook.store.batches import GapRow, QualityRow
from tapebook.store.journal_files import take_lock
from tapebook.store.lake import Lake

__all__ = ["KEPT", "PruneReport", "candidates", "prune_session"]

KEPT: Final = "kept.json.zst"


class _Kept(msgspec.Struct):
    gaps: list[GapRow]
    quality: list[QualityRow]


@dataclass(frozen=True, kw_only=True)
class PruneReport:
    """What a session gave back, or why it was left alone.

    Attributes
    ----------
    name
        Of the session.
    pruned
        Whether it was (or, asked only, would be).
    reason
        Why not.
    events, lake, source
        What is in the lake now, and where.
    freed_bytes, rows
        What was deleted.
    """

    name: str
    pruned: bool
    reason: str = ""
    events: int = 0
    lake: str = ""
    source: str = ""
    freed_bytes: int = 0
    rows: int = 0


def candidates(sessions: Iterable[Captured], before_ns: int) -> list[Captured]:
    """Return the sessions that ended before a time and still have something to give back; never one that runs."""
    out = []
    for session in sessions:
        if session.state == "damaged":
            continue
        pruned = load_pruned(session.folder) if session.folder is not None else None
        half = pruned is not None and not pruned.done
        if session.folder is None or session.state == "running" or (pruned is not None and not half):
            continue
        ended = session.ended_ns
        if half or (ended is not None and ended < before_ns):
            out.append(session)
    return out


def prune_session(
    session: Captured, lake: Path, *, now_ns: int, dry_run: bool = False, progress: Progress | None = None
) -> PruneReport:
    """Move a session into the lake.

    Parameters
    ----------
    session
        Which one; it has a folder.
    lake
        Where its events go.
    now_ns
        The time, for its file.
    dry_run
        Say what would be done, do nothing.
    progress
        Told how far it is.
    """
    folder = session.folder
    reason = _left_alone(session)
    if reason or folder is None:
        return PruneReport(name=session.label, pruned=False, reason=reason or "it has no folder")
    sizes = sizes_of(session)
    freed = sum(sizes.get(part, 0) for part in ("journal", "checkpoints"))
    freed += sizes.get("database", 0) if _own_database(session) else 0
    if dry_run:
        return PruneReport(name=session.label, pruned=True, lake=str(lake), freed_bytes=freed)
    # Nobody begins to capture into it meanwhile.
    with take_lock(folder / JOURNAL) if (folder / JOURNAL).is_dir() else contextlib.nullcontext():
        note = load_pruned(folder)
        if note is None:
            note = _moved(session, folder, lake, now_ns, sizes.get("journal", 0), progress or Progress())
            _save(folder, note)
        rows = _delete(session, folder)
    note = msgspec.structs.replace(note, done=True, rows=max(note.rows, rows))
    _save(folder, note)
    return PruneReport(
        name=session.label,
        pruned=True,
        events=note.events,
        lake=note.lake,
        source=note.source,
        freed_bytes=freed,
        rows=rows,
    )


def _left_alone(session: Captured) -> str:
    """Return why a session is not pruned; empty if it can be."""
    if session.folder is None:
        return "only a database has it"
    if session.state == "running" or capturing(session.folder):
        return "it is being captured"
    note = load_pruned(session.folder)
    if note is not None:
        return "it was pruned before" if note.done else ""
    if session.journal is None:
        return "it has no journal"
    return ""


def _moved(session: Captured, folder: Path, lake: Path, now_ns: int, journal_bytes: int, progress: Progress) -> Pruned:
    """Import a session, compare, and return the note of it."""
    quarantine = Quarantine(keep=0)
    digest = hashlib.sha256()
    kept = _Kept(gaps=[], quality=[])
    frames = events = 0
    for read, decoded, _ in decoded_journal(session, quarantine=quarantine, progress=progress):
        frames += len(read)
        events += decoded.events.size
        digest.update(_bytes(decoded.events))
        kept.gaps += decoded.batch.gaps
        kept.quality += decoded.batch.quality
    if quarantine.counts:
        raise StoreError(
            "the journal is damaged: what the database holds may be more than it says",
            found=", ".join(f"{n:,} times {reason}" for reason, n in quarantine.counts.items()),
            where=str(folder / JOURNAL),
            remedy="look at it with tapebook sessions verify; export from the database, or restore a backup",
        )
    source = ""
    if events:
        source = Lake(lake).ingest(session_tape(session, source="journal", quarantine=Quarantine(keep=0))).source
        again = hashlib.sha256()
        n = 0
        for block in Lake(lake).tape(sources=source, mix=True).blocks():
            again.update(_bytes(block))
            n += block.size
        if (n, again.digest()) != (events, digest.digest()):
            raise StoreCorrupted(
                "the lake does not give back what was imported; nothing was deleted",
                expected=f"{events:,} events, SHA-256 {digest.hexdigest()[:16]}…",
                found=f"{n:,} events, SHA-256 {again.hexdigest()[:16]}…",
                where=str(lake),
                remedy="check the disk: tapebook lake verify",
            )
    write_file(folder / KEPT, zstandard.ZstdCompressor().compress(msgspec.json.encode(kept)))
    return Pruned(
        lake=str(lake.resolve()) if source else "",
        source=source,
        events=events,
        sha256=digest.hexdigest(),
        frames=frames,
        journal_bytes=journal_bytes,
        rows=0,
        pruned_ns=now_ns,
    )


def _bytes(events: Events) -> bytes:
    return events.tobytes()


def _delete(session: Captured, folder: Path) -> int:
    """Delete rows, then the files; what is gone already is passed over."""
    rows = 0
    if session.has_database:
        try:
            base, stored = open_database_of(session)
        except StoreError as error:
            if error.message != "the database has no such session":
                raise
        else:
            with base:
                rows = base.delete_session(stored)
                empty = not base.sessions()
            if empty and _own_database(session):
                path = Path(session.database.removeprefix("sqlite://"))
                for end in ("-wal", "-shm", ""):
                    path.with_name(path.name + end).unlink(missing_ok=True)
    for name in (JOURNAL, CHECKPOINTS):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    sync_folder(folder)
    return rows


def _own_database(session: Captured) -> bool:
    """Whether the database is a file in the session's folder."""
    if session.folder is None or not session.has_database or "postgres" in session.database.partition("://")[0]:
        return False
    path = Path(session.database.removeprefix("sqlite://")).resolve()
    return path.parent == session.folder.resolve()


def _save(folder: Path, note: Pruned) -> None:
    write_file(folder / PRUNED, msgspec.json.format(msgspec.json.encode(note)) + b"\n")
