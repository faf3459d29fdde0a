"""What people see while a command runs: progress bars on a terminal, nothing in a pipe or with ``--json``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapebook.market.tape import Progress


@contextmanager
def watched(progress: Progress, label: str, *, quiet: bool = False) -> Iterator[None]:
    """Draw a bar with rate and time left over ``progress`` while the body runs.

    The bar reads the counter from a thread of its own, so that nothing below the command line knows of it.
    """
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn()]
    columns += [TransferSpeedColumn(), TimeElapsedColumn(), TimeRemainingColumn()]
    done = threading.Event()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def follow() -> None:
            while not done.wait(0.1):
                bar.update(task, completed=progress.done_bytes, total=progress.total_bytes or None)

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()


def say(text: str) -> None:
    """Tell people something on stderr, where it does not mix with results."""
    print(text, file=sys.stderr)  # noqa: T201 - the command line's own voice
