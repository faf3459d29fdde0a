"""A consistent copy of a captured session, also while it is being captured; and a session made of such a copy.

::

    NAME/backup.json      what is in it: every file with its size and SHA-256, up to which frame
    NAME/session.json     as the session's folder has it
    NAME/journal/         its segments
    NAME/capture.db       its rows, gaps and findings, whatever database they come from

The rows are copied first, the journal behind them: so the journal's copy has every frame of which the copy has rows,
and :func:`restore_session` brings the rows to the journal's end as after a kill. A folder, or one file (``.tar``,
``.tar.zst``); under its name it appears when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tapebook.capture.backup_files import (
    ARCHIVES,
    MANIFEST,
    BackupFile,
    Manifest,
    checked,
    opened,
    pack,
)
from tapebook.capture.recover import recover_session
from tapebook.capture.session_files import sha256_of, write_file
from tapebook.capture.session_prune import KEPT
from tapebook.capture.sessions import PRUNED, Captured, open_database_of
from tapebook.capture.settings import DATABASE, HOME, JOURNAL, load_session, save_session, without_password
from tapebook.market.errors import StoreError
from tapebook.market.parquet import sync_folder
from tapebook.market.tape import Progress
from tapebook.store.capture_copy import copy_session
from tapebook.store.database import DatabaseError, open_database
from tapebook.store.journal_files import Segment, segments
from tapebook.store.journal_format import PAGE_BYTES, Frame, Stop, find_record, read_records

__all__ = ["BackupReport", "backup_session", "check_backup", "restore_session"]

_PIECE: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class BackupReport:
    """What was copied."""

    name: str
    path: Path
    files: int
    size_bytes: int  # of the files, before an archive packs them
    watermark: int
    last_sequence: int


def backup_session(session: Captured, target: Path, *, now_ns: int, progress: Progress | None = None) -> BackupReport:
    """Copy a session.

    Parameters
    ----------
    session
        Which one; it may be captured meanwhile, and is copied up to where it stands.
    target
        A folder in which one of the session's name is made, or a file that ends with .tar or .tar.zst.
    now_ns
        The time, for the manifest.
    progress
        Told how far it is.

    Raises
    ------
    StoreError
        If something of that name is there, or the session has neither journal nor database.
    """
    packed = target.name.endswith(ARCHIVES)
    final = target if packed else target / session.name
    if final.exists():
        raise StoreError("there is something of this name", where=str(final), remedy="choose another name")
    if session.journal is None and not session.has_database:
        raise StoreError("the session has neither journal nor database", where=str(session.folder or session.name))
    final.parent.mkdir(parents=True, exist_ok=True)
    beside = final.with_name(f".{final.name}.{os.getpid()}.part")
    folder = beside.with_name(beside.name + ".d") if packed else beside
    try:
        folder.mkdir()
        manifest = _copy(session, folder, now_ns, progress or Progress())
        if packed:
            pack(folder, session.name, beside, zstd=target.name.endswith(".zst"))
        beside.replace(final)
        sync_folder(final.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if packed:
            beside.unlink(missing_ok=True)
    return _report(manifest, final)


def _report(manifest: Manifest, path: Path) -> BackupReport:
    return BackupReport(
        name=manifest.name,
        path=path,
        files=len(manifest.files),
        size_bytes=sum(file.size_bytes for file in manifest.files),
        watermark=manifest.watermark,
        last_sequence=manifest.last_sequence,
    )


def check_backup(backup: Path) -> BackupReport:
    """Compare every file of a backup, folder or archive, with its manifest; nothing is written.

    Raises
    ------
    StoreError
        If it is no backup.
    StoreCorrupted
        If a file is missing or is not what was copied.
    """
    return _report(checked(backup), backup)


def restore_session(backup: Path, *, home: Path = HOME, name: str = "", database: str = "") -> Path:
    """Make a session's folder of a backup, all of it or nothing; return the folder.

    Parameters
    ----------
    backup
        A folder or an archive that :func:`backup_session` made.
    home
        Where sessions are kept.
    name
        The folder's name, where it is to be another than the session's. The session keeps its own: its journal has it.
    database
        URL of a database that its rows are written into; empty: the copied one, in the folder.

    Raises
    ------
    StoreError
        If there is a session of that name.
    StoreCorrupted
        If the backup is not what was written.
    """
    home.mkdir(parents=True, exist_ok=True)
    with opened(backup, home) as source:
        manifest = checked(source)
        final = home / (name or manifest.name)
        if final.exists():
            raise StoreError("there is a session of this name", where=str(final), remedy="name another folder (--as)")
        beside = home / f".{final.name}.{os.getpid()}.part"
        try:
            shutil.copytree(source, beside)
            (beside / MANIFEST).unlink()
            if (beside / "session.json").is_file():
                _told_anew(beside, final, manifest, database)
            sync_folder(beside)
            beside.replace(final)
            sync_folder(home)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    if database and (final / DATABASE).is_file():
        with open_database(str(final / DATABASE)) as here, open_database(database) as there:
            copy_session(here, next(s for s in here.sessions() if s.name == manifest.name), there)
    if (final / JOURNAL).is_dir():  # frames behind the copied rows are decoded now
        recover_session(final, database=database)
    return final


# ---- copying -------------------------------------------------------------------------------------------------------


def _copy(session: Captured, folder: Path, now_ns: int, progress: Progress) -> Manifest:
    watermark = _copy_rows(session, folder / DATABASE) if session.has_database else 0
    last = 0
    if session.folder is not None:
        for name in ("session.json", "capture.log", PRUNED, KEPT):
            if (session.folder / name).is_file():
                shutil.copyfile(session.folder / name, folder / name)
        if session.journal is not None:
            last = _copy_journal(session.journal, folder / JOURNAL, progress)
    files = [
        BackupFile(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    for file in files:
        with (folder / file.path).open("rb") as written:
            os.fsync(written.fileno())
    manifest = Manifest(
        name=session.name,
        venue=session.venue,
        state=session.state,
        made_ns=now_ns,
        watermark=watermark,
        last_sequence=last,
        files=files,
    )
    write_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def _copy_rows(session: Captured, target: Path) -> int:
    """Copy the rows of a session at one moment; return its watermark there."""
    base, stored = open_database_of(session)
    with base:
        path = getattr(base, "path", None)  # of a SQLite database
        if isinstance(path, Path) and len(base.sessions()) == 1:
            _copy_sqlite(path, target)
        else:
            with open_database(str(target)) as copy:
                copy_session(base, stored, copy)
    with open_database(str(target)) as copy:
        (found,) = copy.sessions()
        watermark = copy.watermark(found)
    with contextlib.closing(sqlite3.connect(target)) as plain:  # one file, without its write-ahead log
        plain.execute("PRAGMA journal_mode=DELETE")
    return watermark


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite file as it stands at one moment; its writer goes on meanwhile (both are in its log)."""
    try:
        with contextlib.closing(sqlite3.connect(source)) as one, contextlib.closing(sqlite3.connect(target)) as other:
            one.backup(other)
    except sqlite3.Error as error:
        raise DatabaseError("the database could not be copied", found=str(error), where=str(source)) from error


def _copy_journal(source: Path, target: Path, progress: Progress) -> int:
    """Copy what a journal holds now; return its last frame."""
    target.mkdir()
    last, done = 0, -1
    progress.total_bytes = sum(segment.path.stat().st_size for segment in _listed(source))
    while True:
        segment = next((s for s in _listed(source) if s.first_sequence > done), None)
        if segment is None:
            return last
        try:
            if segment.sealed:
                shutil.copyfile(segment.path, target / segment.path.name)
                last = segment.last_sequence
            else:
                last = _copy_open(segment, target / segment.path.name) or last
        except FileNotFoundError:  # sealed, or pruned, between our listing and our copying: look again
            (target / segment.path.name).unlink(missing_ok=True)
            continue
        done = segment.first_sequence
        progress.done_bytes += (
            (target / segment.path.name).stat().st_size if (target / segment.path.name).exists() else 0
        )


def _listed(journal: Path) -> list[Segment]:
    for _ in range(100):
        with contextlib.suppress(FileNotFoundError):
            return segments(journal)
    return segments(journal)


def _copy_open(segment: Segment, target: Path) -> int:
    """Copy the whole records of a segment that is being written, and no more; return the last of them."""
    data = segment.path.read_bytes()
    at, end, last = PAGE_BYTES, PAGE_BYTES, segment.first_sequence - 1
    while at < len(data):
        frames: list[Frame] = []
        at, stop = read_records(data, at, len(data), frames, 4096)
        if frames:
            end, last = at, frames[-1].sequence
        if stop is not Stop.ENOUGH:  # what is damaged in the middle is copied as it is: it is told when it is read
            at = find_record(data, at + 4, len(data), last)
            if at < 0:
                break
    if end == PAGE_BYTES:
        return 0
    target.write_bytes(data[:end])
    return last


def _told_anew(folder: Path, final: Path, manifest: Manifest, database: str) -> None:
    """Write into the session's file where its rows are now."""
    about = load_session(folder)
    own = (folder / DATABASE).is_file()
    url = without_password(database) if database else str((final / DATABASE).resolve())
    state = "killed" if about.state == "running" else about.state
    whole = own and not database and about.complete and manifest.state != "running"
    save_session(folder, msgspec.structs.replace(about, database=url, state=state, complete=whole))
