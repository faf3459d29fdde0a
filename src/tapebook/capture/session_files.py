"""Small files of captured sessions, written whole and forced to the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Final

from tapebook.market.parquet import write_whole

__all__ = ["sha256_in", "sha256_of", "write_file"]

_PIECE: Final = 1 << 20


def write_file(path: Path, data: bytes) -> None:
    """Write a file: under its name it is there whole, or not at all."""
    with write_whole(path) as beside, beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sha256_in(file: IO[bytes]) -> str:
    """Return the SHA-256 of what a file holds from here on."""
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256."""
    with path.open("rb") as file:
        return sha256_in(file)
