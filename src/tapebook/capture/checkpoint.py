"""The decoder's memory on disk: what it knew after a frame, so that a restart decodes from there.

A file is a line with version and CRC-32, then MessagePack. It is written beside its name and renamed into place; one
that cannot be read, or is another version's, is passed over, and the next older one does, or the journal's begin.
"""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tapebook.capture.decode import Memory
from tapebook.capture.session_files import write_file

__all__ = ["load_checkpoint", "save_checkpoint"]

_VERSION: Final = 1
_SUFFIX: Final = ".checkpoint"
_KEPT: Final = 2


class _Content(msgspec.Struct, array_like=True):
    sequence: int
    identity: str
    memory: dict[str, dict[str, tuple[str, list[int], bytes]]]


def save_checkpoint(folder: Path, sequence: int, identity: str, memory: Memory) -> Path:
    """Write what the decoder knows after frame ``sequence``; older files but one are removed.

    ``identity`` says for which session and sources.
    """
    packed = {
        part: {name: (array.dtype.str, list(array.shape), array.tobytes()) for name, array in state.items()}
        for part, state in memory.items()
    }
    body = msgspec.msgpack.encode(_Content(sequence, identity, packed))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sequence:020d}{_SUFFIX}"
    write_file(path, f"tapebook checkpoint {_VERSION} {zlib.crc32(body)}\n".encode() + body)
    for old in _files(folder)[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path


def load_checkpoint(folder: Path, watermark: int, identity: str) -> tuple[int, Memory] | None:
    """Return the newest memory that is not ahead of ``watermark``, and the frame it knows of last."""
    for path in reversed(_files(folder)):
        if int(path.stem) > watermark:
            continue
        content = _read(path)
        if content is not None and content.identity == identity and content.sequence <= watermark:
            memory: Memory = {
                part: {name: _array(*value) for name, value in state.items()} for part, state in content.memory.items()
            }
            return content.sequence, memory
    return None


def _array(kind: str, shape: list[int], data: bytes) -> Any:
    return np.frombuffer(data, np.dtype(kind)).reshape(shape).copy()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())


def _read(path: Path) -> _Content | None:
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        if head != f"tapebook checkpoint {_VERSION} {zlib.crc32(body)}".encode():
            return None
        return msgspec.msgpack.decode(body, type=_Content)
    except (OSError, msgspec.DecodeError):
        return None
