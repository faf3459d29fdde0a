"""The figures: how fast each part is on this machine, beside a peer in the same run.

A benchmark is a module here with ``run(data)``: ``data`` is a folder of recordings or None, the result a list of
figures, each a dict with ``name``, ``what`` (a line for people), ``ours``, ``unit``, ``n_events``, and ``peer``,
``peer_name``, ``ratio`` (None where no peer is installed). Figures are the best of several runs on one core.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["benchmarks"]


def benchmarks() -> dict[str, Callable[[Path | None], list[dict[str, Any]]]]:
    """Return all benchmarks by name."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: import_module(f"{__name__}.{name}").run for name in names}
