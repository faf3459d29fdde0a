"""Files of a backup (:mod:`tapebook.capture.session_backup`): their list, their archive, and whether they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec
import zstandard

from tapebook.capture.session_files import sha256_in, sha256_of
from tapebook.market.errors import ConfigurationError, StoreCorrupted, StoreError

__all__ = ["ARCHIVES", "MANIFEST", "BackupFile", "Manifest", "checked", "is_backup", "opened", "pack"]

MANIFEST: Final = "backup.json"
ARCHIVES: Final = (".tar", ".tar.zst")
_VERSION: Final = 1
_LINK: Final = "none: not a plain file"


class BackupFile(msgspec.Struct, frozen=True):
    """One file of a backup, by its place in it."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    name: str
    venue: str
    state: str
    made_ns: int
    watermark: int  # the copied rows are complete up to this frame
    last_sequence: int  # the copied journal's last frame; 0: it has none
    files: list[BackupFile]
    version: int = _VERSION


def is_backup(path: Path) -> bool:
    """Whether :func:`backup_session` made it, by its name or its manifest."""
    return path.is_file() if path.name.endswith(ARCHIVES) else (path / MANIFEST).is_file()


def pack(folder: Path, name: str, target: Path, *, zstd: bool) -> None:
    """Write an archive of a folder, and force it to the disk."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    with target.open("wb") as file:
        with contextlib.ExitStack() as stack:
            sink: IO[bytes] = file
            if zstd:
                sink = stack.enter_context(zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False))
            archive = stack.enter_context(tarfile.open(fileobj=sink, mode="w|"))
            archive.add(folder, name, filter=plain)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _unpacked(backup: Path) -> Iterator[tarfile.TarFile]:
    """Give an archive to be read from its begin to its end."""
    try:
        with contextlib.ExitStack() as stack:
            source: IO[bytes] = stack.enter_context(backup.open("rb"))
            if backup.name.endswith(".zst"):
                source = stack.enter_context(zstandard.ZstdDecompressor().stream_reader(source))
            yield stack.enter_context(tarfile.open(fileobj=source, mode="r|"))
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise StoreCorrupted(
            "the archive cannot be unpacked", found=str(error), where=str(backup), remedy="restore another copy"
        ) from None


@contextlib.contextmanager
def opened(backup: Path, home: Path) -> Iterator[Path]:
    """Give the folder of a backup; an archive is unpacked beside where it will stand."""
    if backup.is_dir():
        yield backup
        return
    if not backup.is_file():
        raise ConfigurationError("there is no such backup", where=str(backup), remedy="name its folder or archive")
    folder = home / f".restore.{os.getpid()}.part"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir()
        with _unpacked(backup) as archive:
            archive.extractall(folder, filter="data")
        inner = [path for path in folder.iterdir() if path.is_dir()]
        if len(inner) != 1:
            raise StoreError("this is no backup of a session", expected="one folder in it", where=str(backup))
        yield inner[0]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _packed(backup: Path) -> tuple[bytes | None, list[BackupFile]]:
    """Return the manifest of an archive, None if it has none, and what the archive holds beside it."""
    manifest, found = None, []
    with _unpacked(backup) as archive:
        for member in archive:
            if member.isdir():
                continue
            path, content = member.name.partition("/")[2], archive.extractfile(member) if member.isreg() else None
            if content is not None and path == MANIFEST:
                manifest = content.read()
            else:
                found.append(BackupFile(path, member.size, _LINK if content is None else sha256_in(content)))
    return manifest, found


def checked(backup: Path) -> Manifest:
    """Return the manifest of a backup, folder or archive, once every file is what it says; nothing is written.

    Raises
    ------
    StoreError
        If it is no backup.
    StoreCorrupted
        If a file is missing, is not what was copied, or is no part of it.
    """
    if backup.is_file():
        return _compared(*_packed(backup), backup)
    folder, manifest = backup, backup / MANIFEST
    paths = [p for p in sorted(folder.rglob("*")) if (p.is_file() or p.is_symlink()) and p != manifest]
    found = [
        BackupFile(p.relative_to(folder).as_posix(), p.lstat().st_size, _LINK if p.is_symlink() else sha256_of(p))
        for p in paths
    ]
    return _compared(manifest.read_bytes() if manifest.is_file() else None, found, folder)


def _compared(manifest: bytes | None, found: list[BackupFile], where: Path) -> Manifest:
    """Return a manifest, once the files that were found are those that it names."""
    if manifest is None:
        raise StoreError("this is no backup of a session", expected=MANIFEST, where=str(where))
    try:
        told = msgspec.json.decode(manifest, type=Manifest)
    except msgspec.DecodeError as error:
        raise StoreCorrupted("the backup's manifest cannot be read", found=str(error), where=str(where)) from None
    if told.version > _VERSION:
        raise StoreError("a newer program made the backup", found=f"version {told.version}", where=str(where))
    here = {file.path: file for file in found}
    for file in told.files:
        other = here.pop(file.path, None)
        if other is None:
            raise StoreCorrupted("a file of the backup is missing", expected=file.path, where=str(where))
        if other != file:
            raise StoreCorrupted(
                "a file of the backup is not what was copied",
                expected=f"{file.size_bytes} bytes, SHA-256 {file.sha256[:16]}…",
                found=f"{other.size_bytes} bytes, SHA-256 {other.sha256[:16]}…",
                where=str(where / file.path),
                remedy="restore another copy",
            )
    if here:
        raise StoreCorrupted("a file that is no part of the backup", where=str(where / min(here)), remedy="remove it")
    return told
