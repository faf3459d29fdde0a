"""What makes a folder a lake: the mark ``_tapebook/lake.json`` that holds the version of the way it is laid out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from tapebook.market.errors import SchemaMismatch, StoreError
from tapebook.market.parquet import sync_folder, write_whole
from tapebook.store.locks import lake_lock
from tapebook.store.manifest import HOME, corrupted

LAKE_VERSION: Final = 1

_MARK: Final = "lake.json"


def check(root: Path) -> None:
    """Raise unless ``root`` is a lake of our version.

    Raises
    ------
    StoreError
        If it is no lake.
    SchemaMismatch
        If another version of the program laid it out.
    StoreCorrupted
        If the mark cannot be read.
    """
    path = root / HOME / _MARK
    if not path.exists():
        raise StoreError(
            "this is no lake",
            expected=f"a folder with {HOME}/{_MARK}",
            found="a folder without" if root.exists() else "nothing",
            where=str(root),
            remedy="make one: tapebook convert FILE --to FOLDER",
        )
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, int])["tapebook_lake"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        remedy = f"write {_mark().decode().strip()} into it, then run tapebook lake verify"
        raise corrupted(path, str(error), remedy) from None
    if found != LAKE_VERSION:
        raise SchemaMismatch(
            "another version of the lake",
            expected=f"version {LAKE_VERSION}",
            found=f"version {found}",
            where=str(path),
            remedy="read it with the tapebook that wrote it, or import the original recordings into a new folder",
        )


def make(root: Path) -> None:
    """Make ``root`` a lake if it is none yet, and check it.

    Raises
    ------
    StoreError
        If the folder holds something else.
    """
    mark = root / HOME / _MARK
    if not mark.exists():
        if root.exists() and not root.is_dir():
            raise StoreError("a lake is a folder", found="a file", where=str(root), remedy="name a new folder")
        strange = root.exists() and any(p.name != HOME for p in root.iterdir())
        if strange and not mark.exists():  # partitions come behind the mark, so that others may make the same lake
            raise StoreError(
                "the folder holds something else than a lake",
                expected="a lake, or an empty folder",
                where=str(root),
                remedy="name a new folder",
            )
        (root / HOME / "sources").mkdir(parents=True, exist_ok=True)
        with lake_lock(root):  # whoever holds it removes files that look half written
            if not mark.exists():
                with write_whole(mark) as beside, beside.open("wb") as file:
                    file.write(_mark())
                    file.flush()
                    os.fsync(file.fileno())
                sync_folder(root)
    check(root)


def _mark() -> bytes:
    return msgspec.json.encode({"tapebook_lake": LAKE_VERSION}) + b"\n"
