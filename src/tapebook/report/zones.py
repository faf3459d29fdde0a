"""The zone that an instrument's exchange lives in: the one the report's clocks show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument

__all__ = ["exchange_zone"]

_ZONES: Final[Mapping[str, str]] = {
    "24-7": "UTC",
    "CME": "America/Chicago",
    "US-STOCKS": "America/New_York",
    "B3": "America/Sao_Paulo",
}
"""Of the common calendars, so that no calendar has to be loaded for a clock."""


def exchange_zone(instrument: Instrument) -> ZoneInfo:
    """Return the zone of an instrument's exchange; UTC where its calendar is unknown.

    >>> str(exchange_zone(Instrument(symbol="ESH4", venue="CME", calendar="CME")))
    'America/Chicago'
    """
    name = _ZONES.get(instrument.calendar, "")
    if not name:
        from tapebook.market.sessions import calendar

        try:
            name = calendar(instrument.calendar).zone
        except ConfigurationError:
            name = "UTC"
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
