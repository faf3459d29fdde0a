"""Where what can be made again is kept: compiled kernels, tables of sessions."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_home"]


def cache_home() -> Path:
    """Return ``$TAPEBOOK_CACHE_DIR``, else ``tapebook`` in the user's cache folder.

    Examples
    --------
    >>> cache_home().is_absolute()
    True
    """
    named = os.environ.get("TAPEBOOK_CACHE_DIR", "")
    if named:
        return Path(named).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tapebook"
