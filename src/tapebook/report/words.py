"""Numbers as people read them: prices with the instrument's decimals, quantities, shares, spans, times in a zone."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument

__all__ = [
    "ABSENT",
    "count",
    "decimals_of",
    "duration",
    "horizon",
    "moment",
    "number",
    "percent",
    "plain",
    "price",
    "quantity",
    "significant",
    "size",
    "ticks",
    "zone_name",
]

ABSENT: Final = "\u2013"
"""Stands where a value is undefined."""


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def number(value: float | None, decimals: int = 0, *, sign: bool = False) -> str:
    """Return a number with commas between thousands and a true minus sign.

    >>> number(1234567.891, 2), number(5, sign=True), number(None) == ABSENT
    ('1,234,567.89', '+5', True)
    """
    if value is None or _absent(value):
        return ABSENT
    value = round(value, max(decimals, 0)) + 0.0  # + 0.0: no negative zero
    shown_sign = "+" if sign and value else ""
    return f"{value:{shown_sign},.{max(decimals, 0)}f}".replace("-", "\u2212")


def count(value: float | None) -> str:
    """Return a whole number."""
    return number(value)


def significant(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number with so many significant digits, without an exponent where it can be avoided.

    >>> significant(0.012345), significant(12345.6), significant(1.5e-7)
    ('0.0123', '12,346', '1.5e-07')
    """
    if value is None or _absent(value):
        return ABSENT
    if value and abs(value) < 1e-5:
        return f"{value:.{digits}g}"
    places = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return number(value, min(max(places, 0), 8), sign=sign)


def plain(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Return a number for an axis: significant digits, no zeros that carry nothing.

    >>> plain(0.0), plain(2.5), plain(1e4), plain(0.25)
    ('0', '2.5', '10,000', '0.25')
    """
    text = significant(value, digits, sign=sign)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def decimals_of(instrument: Instrument) -> int:
    """Return how many decimals the instrument's prices have.

    >>> decimals_of(Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000))
    2
    """
    exponent = Decimal(instrument.tick_e9 or 10_000_000).scaleb(-9).normalize().as_tuple().exponent
    return max(-int(exponent), 0)


def price(value: float | None, instrument: Instrument, *, sign: bool = False, extra: int = 0) -> str:
    """Return a price with the instrument's decimals (and ``extra`` more, for means)."""
    return number(value, decimals_of(instrument) + extra, sign=sign)


def ticks(value: float | None, *, sign: bool = False) -> str:
    """Return a distance in ticks.

    >>> ticks(1.0), ticks(1.2345), ticks(250.4)
    ('1 tick', '1.23 ticks', '250 ticks')
    """
    if value is None or _absent(value):
        return ABSENT
    whole = abs(value) >= 100 or float(value).is_integer()
    return f"{number(value, 0 if whole else 2, sign=sign)} tick{'s' * (abs(value) != 1)}"


def quantity(value: float | None, instrument: Instrument, *, sign: bool = False) -> str:
    """Return a quantity in base units."""
    if value is None or _absent(value):
        return ABSENT
    whole = instrument.whole_lots and float(value).is_integer()
    return number(value, 0 if whole or abs(value) >= 10_000 else 2 if abs(value) >= 10 else 4, sign=sign)


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share as a percentage.

    >>> percent(0.12345), percent(0.00001)
    ('12.3 %', '<0.1 %')
    """
    if share is None or _absent(share):
        return ABSENT
    least = 10.0**-decimals
    if 0 < share * 100 < least:
        return f"<{least:.{decimals}f} %"
    return f"{share * 100:.{decimals}f} %"


def duration(seconds: float | None) -> str:
    """Return a span of time.

    >>> duration(0.25), duration(75), duration(7200), duration(200_000)
    ('250 ms', '1 min 15 s', '2 h', '2 d 7 h')
    """
    if seconds is None or _absent(seconds):
        return ABSENT
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 or not seconds else f"{seconds * 1e6:.0f} µs"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for unit, part, length, below in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86_400, 3600)):
        if whole < {60: 3600, 3600: 86_400}.get(length, math.inf):
            rest = whole % length // below
            return f"{whole // length} {unit}" + (f" {rest} {part}" if rest else "")
    return ABSENT


def horizon(seconds: float) -> str:
    """Return a short span as a label.

    >>> horizon(0.1), horizon(60.0), horizon(300)
    ('100 ms', '1 min', '5 min')
    """
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"


def moment(ts_ns: int | None, zone: ZoneInfo, *, fraction: int = 0) -> str:
    """Return a time in a zone.

    >>> moment(1_703_541_600_000_000_000, ZoneInfo("America/Chicago"))
    '2023-12-25 16:00:00'
    """
    if ts_ns is None or ts_ns == MISSING:
        return ABSENT
    try:
        local = dt.datetime.fromtimestamp(ts_ns // 1_000_000_000, tz=zone)
    except (OverflowError, ValueError, OSError):  # a damaged stamp
        return f"{ts_ns} ns"
    text = f"{local:%Y-%m-%d %H:%M:%S}"
    return text + (f".{ts_ns % 1_000_000_000:09d}"[: fraction + 1] if fraction else "")


def zone_name(zone: ZoneInfo) -> str:
    """Return a zone as people say it.

    >>> zone_name(ZoneInfo("America/New_York")), zone_name(ZoneInfo("UTC"))
    ('New York', 'UTC')
    """
    return str(zone).rsplit("/", maxsplit=1)[-1].replace("_", " ")


def size(n_bytes: int) -> str:
    """Return a size.

    >>> size(1_250_000)
    '1.2 MB'
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} bytes"
