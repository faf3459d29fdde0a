"""From the tape and the book of a market to decisions.

The few names a notebook needs; everything else is one folder down. They load on first use, so that
``import tapebook`` costs nothing.

>>> import tapebook
>>> tapebook.__version__.count(".")
2
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapebook.market.errors import TickDataError
    from tapebook.market.instruments import Instrument
    from tapebook.market.tape import Tape
    from tapebook.readers import open_source, open_tape

__version__ = "0.1.0"

__all__ = ["Instrument", "Tape", "TickDataError", "__version__", "open_source", "open_tape"]

_HOMES = {
    "Instrument": "tapebook.market.instruments",
    "Tape": "tapebook.market.tape",
    "TickDataError": "tapebook.market.errors",
    "open_source": "tapebook.readers",
    "open_tape": "tapebook.readers",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tapebook' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
