"""The log of a session: rotated, without secrets."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tapebook.venues.credentials import Masking

__all__ = ["LogFile", "logged"]

_LOG_BYTES: Final = 5 << 20
_LOGS_KEPT: Final = 5


class LogFile(logging.handlers.RotatingFileHandler):
    """A log that is rotated; what cannot be written (a full disk) is left out, and the capture goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        """Do nothing."""


@contextlib.contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write what happens into a log; it is rotated, and secrets are masked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = LogFile(path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Masking())
    root = logging.getLogger("tapebook")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()
