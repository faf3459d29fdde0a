"""Live venues: their words, protocols and sockets, one folder each.

A venue joins by a folder that defines ``VENUE`` (:class:`~tapebook.venues.venue.Venue`), a line in ``VENUES``, and
golden pairs of frames and events beside the tests; ``tests/contracts/test_venues.py`` then runs on it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from tapebook.market.errors import ConfigurationError
from tapebook.venues.venue import FrameParser, Frames, Venue, advance_all, advance_counted

__all__ = ["FrameParser", "Frames", "Venue", "advance_all", "advance_counted", "venue", "venues"]

VENUES: Final[tuple[str, ...]] = ("projectx", "redis")
"""Folders of this one."""


@cache
def venues() -> tuple[Venue, ...]:
    """Return all venues.

    >>> [v.title for v in venues()][0]
    'ProjectX Gateway (TopstepX)'
    """
    found: list[Venue] = [import_module(f"tapebook.venues.{name}").VENUE for name in VENUES]
    return tuple(found)


def venue(name: str) -> Venue:
    """Return a venue by its name.

    >>> venue("projectx").name
    'projectx'

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    if name not in VENUES:
        raise ConfigurationError("no such venue", expected=", ".join(VENUES), found=repr(name))
    return next(v for v in venues() if v.name == name)
