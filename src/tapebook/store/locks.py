"""Who writes to a lake: one commit at a time, and folders that die with their process.

Locks are flock(2) on files: the system releases them when a process ends in whatever way. Where there is no flock
(Windows) nothing is locked: imports into one lake must not run side by side there, and folders of killed imports stay
until someone removes them.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tapebook.store.manifest import HOME

if sys.platform == "win32":

    def _lock(_file: IO[bytes], *, wait: bool) -> bool:
        return wait

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


@contextlib.contextmanager
def lake_lock(root: Path) -> Iterator[None]:
    """Hold the lake's lock while the body runs, waiting for it as long as it takes (commits are short)."""
    with (root / HOME / "lock").open("wb") as file:
        _lock(file, wait=True)
        yield


class Incoming:
    """A folder for one import's files, locked while this process lives; use it in a ``with``.

    Make it while holding the lake's lock: between being made and being locked it looks left over.
    """

    def __init__(self, root: Path) -> None:
        parent = root / HOME / "incoming"
        parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="import-", dir=parent))
        self._file = (self.path / "lock").open("wb")
        _lock(self._file, wait=True)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._file.close()


def left_over(root: Path) -> Iterator[Path]:
    """Yield the folders of imports whose process has ended; each is locked until the caller asks for the next."""
    for folder in sorted((root / HOME / "incoming").glob("import-*")):
        try:
            file = (folder / "lock").open("ab")
        except OSError:  # its import ends at this moment
            continue
        with file:
            if _lock(file, wait=False):
                yield folder
