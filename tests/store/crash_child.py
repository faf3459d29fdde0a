"""Import a tape again and again, each time killed (SIGKILL) before another step of what touches the disk.

Usage: crash_child.py FOLDER N…  For each N the lake FOLDER/N gets the newer edition of the tape, and the process dies
before its N-th step; a number after the last step lets it finish. It forks for each N, before Arrow starts a thread.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapebook.market import parquet
from tapebook.store import Lake
from tests.store.some_tapes import editions, tape_of


def dies_before(step: int) -> list[int]:
    """Count every call that changes the disk, and die before call number ``step``; return the counter."""
    count = [0]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return wrapper

    for name in ("replace", "fsync", "unlink", "mkdir", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    parquet._Sink.write = counted(parquet._Sink.write)  # type: ignore[method-assign]
    return count


def main() -> None:
    folder = Path(sys.argv[1])
    for step in map(int, sys.argv[2:]):
        pid = os.fork()
        if pid == 0:
            count = dies_before(step)
            Lake(folder / str(step)).ingest(tape_of(editions()[1]))
            print("steps", count[0], flush=True)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.WIFEXITED(status) or os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    main()
