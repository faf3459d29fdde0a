"""Prices, sizes and times as the gateway writes them: decimal numbers without a trailing zero, ISO times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Final

from tapebook.market.events import PRICE_SCALE

__all__ = ["Stamps", "price_text", "time_text"]

_S: Final = 1_000_000_000


class Stamps(Enum):
    """How many digits a time has behind the second; the venue's own clock has seven, trades on the wire three."""

    MS = "ms"
    HUNDRED_NS = "100ns"
    NS = "ns"

    @property
    def digits(self) -> int:
        """Digits behind the second."""
        return {Stamps.MS: 3, Stamps.HUNDRED_NS: 7, Stamps.NS: 9}[self]


@lru_cache(maxsize=1 << 16)
def price_text(price_e9: int) -> str:
    """Return a price as a JSON number.

    >>> price_text(29_547_000_000_000), price_text(7_812_500), price_text(-37_630_000_000)
    ('29547', '0.0078125', '-37.63')
    """
    whole, part = divmod(abs(price_e9), PRICE_SCALE)
    digits = f".{part:09d}".rstrip("0").rstrip(".")
    return f"{'-' if price_e9 < 0 else ''}{whole}{digits}"


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def time_text(ns: int, digits: int = 7) -> str:
    """Return a time as the venue writes it: zeros at the end are cut off, what ``digits`` has no room for as well.

    >>> time_text(1_787_172_691_434_753_400), time_text(1_787_172_691_500_000_000), time_text(1_787_172_691_000_000_000)
    ('2026-08-19T20:51:31.4347534+00:00', '2026-08-19T20:51:31.5+00:00', '2026-08-19T20:51:31+00:00')
    """
    second, rest = divmod(ns, _S)
    if not rest:
        return f"{_second(second)}+00:00"
    fraction = f".{rest:09d}"[: digits + 1].rstrip("0").rstrip(".")
    return f"{_second(second)}{fraction}+00:00"
