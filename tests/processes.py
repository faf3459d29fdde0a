"""Programs that tests start: whatever happens to the test, they end with it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Yield a started program, and kill it at the end (leaving a ``Popen`` as it is waits for it instead, for ever)."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()
