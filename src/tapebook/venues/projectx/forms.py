"""The forms in which the market hub's data come: as recorded, as documented, and as defensive clients expect them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from tapebook.venues.projectx.figures import time_ns

__all__ = ["Bad", "brief", "entries_of", "name_in", "plain", "when"]


class Bad(Exception):  # noqa: N818 - reads as what it is; never leaves the parser
    """A message with a value that is none: reason, what was expected, what came."""


def entries_of(read: Callable[[Raw], Any], raw: Raw, by_name: type, by_place: type) -> tuple[list[Any], bool]:
    """Return the entries of an argument, and whether it came in a form that no recording shows.

    ``read`` knows the recorded and the documented form (a list of objects, one object). The others are one entry by
    position, a list of such, and JSON text within JSON.
    """
    try:
        found = read(raw)
    except msgspec.ValidationError:
        found = plain(raw)
        if isinstance(found, list) and found and not isinstance(found[0], list | dict | None):
            found = [found]
        values = found if isinstance(found, list) else [found]
        shapes = [(value, by_place if isinstance(value, list) else by_name) for value in values if value is not None]
        return [msgspec.convert(value, shape) for value, shape in shapes], True
    return ([e for e in found if e is not None] if isinstance(found, list) else [found]), False


def plain(raw: Raw) -> Any:
    """Return an argument as plain objects, also where it is JSON text within JSON."""
    value = msgspec.json.decode(raw)
    return msgspec.json.decode(value) if isinstance(value, str) else value


def name_in(raw: Raw) -> str | None:
    """Return the contract that data name, where their message does not."""
    value = plain(raw)
    if isinstance(value, list):
        value = next((entry for entry in value if isinstance(entry, dict)), None)
    name = (value.get("contractId") or value.get("contract")) if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def when(text: str | None) -> int:
    """Return a time in ns; MISSING where none was told; what is no time makes the message :class:`Bad`."""
    ns = time_ns(text)
    if ns is None:
        raise Bad("bad time", "ISO 8601 with an offset, 2009-2100", str(text))
    return ns


def brief(raw: Raw) -> str:
    """Return the beginning of an argument for people."""
    return bytes(raw)[:80].decode("utf-8", "replace")
