"""Live venues: their words, protocols and sockets, one folder each.

A venue joins by a folder that defines it (:class:`~tapebook.venues.venue.Venue`), a line in ``VENUES``, and golden
pairs of frames and events beside the tests (``golden_NAME.py``); ``tests/contracts/test_venues.py`` then runs on it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Final

from tapebook.market.errors import ConfigurationError
from tapebook.venues.venue import FrameParser, Frames, Venue, advance_all, advance_counted

__all__ = ["FrameParser", "Frames", "Venue", "advance_all", "advance_counted", "venue", "venues"]

VENUES: Final[dict[str, str]] = {
    "projectx": "projectx:VENUE",
    "binance": "binance:SPOT",
    "binance-usdm": "binance:USDM",
    "binance-coinm": "binance:COINM",
    "mt5": "mt5:VENUE",
    "redis": "redis:VENUE",
}
"""By name: folder of this one, and what the venue is called there; imported when it is asked for."""


def venues() -> tuple[Venue, ...]:
    """Return all venues.

    >>> [v.title for v in venues()][0]
    'ProjectX Gateway (TopstepX)'
    """
    return tuple(venue(name) for name in VENUES)


@cache
def venue(name: str) -> Venue:
    """Return a venue by its name.

    >>> venue("binance-usdm").title
    'Binance USD-M futures'

    Raises
    ------
    ConfigurationError
        If there is none of that name.
    """
    if name not in VENUES:
        raise ConfigurationError("no such venue", expected=", ".join(VENUES), found=repr(name))
    folder, _, attribute = VENUES[name].partition(":")
    found: Venue = getattr(import_module(f"tapebook.venues.{folder}"), attribute)
    return found
