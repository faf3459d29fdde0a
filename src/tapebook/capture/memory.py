"""How much memory this process holds, without another library.

The journal's segments are mapped into both processes; their pages belong to the file, the system takes them back
whenever it needs to, and they are not counted here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["resident_mb"]

_STATM = Path("/proc/self/statm")


def resident_mb() -> float:
    """Return the resident memory of this process in MB, without mapped files (Linux), else the most it ever held.

    >>> resident_mb() > 1
    True
    """
    try:
        _, resident, shared, *_ = _STATM.read_bytes().split()
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, ValueError, IndexError):
        return _peak_mb()


if sys.platform == "win32":

    def _peak_mb() -> float:
        return 0.0

else:
    import resource

    def _peak_mb() -> float:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
