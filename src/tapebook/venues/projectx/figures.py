"""ProjectX's numbers and times become integers, exactly.

Prices come as JSON numbers, so a decoder has made doubles of them before we see them. A decimal of up to 15 significant
digits survives that: no other such decimal reads as the same double. Below 2**50 units of 1e-9 (a price of 1,125,899)
the product ``price * 1e9`` is off by less than half a unit, so that rounding it gives the decimal's own integer, and
dividing it back shows whether the text had more than nine digits behind the point. Beyond, the shortest decimal that
reads as the same double is taken. No price goes through a ``Decimal`` on the way (0.1 µs instead of 1.2).

Times are ISO 8601 with 0 to 9 digits behind the second and an offset; ``datetime`` would keep six of them.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

from tapebook.market.events import MISSING

__all__ = ["lots", "on_grid", "price_e9", "time_ns"]

_EXACT_BELOW: Final = 1 << 50
_INT64_MAX: Final = (1 << 63) - 1
_LOTS_MAX: Final = 1 << 50
_NOISE_PER_TICK: Final = 1_000_000  # a price this part of a tick off the grid is a double's noise, not another price
_FROM_NS: Final = 1_230_768_000 * 10**9  # 2009: before it nobody recorded this venue, and .NET's empty time is year 1
_UNTIL_NS: Final = 4_102_444_800 * 10**9  # 2100


def price_e9(price: float) -> int:
    """Return a price in units of 1e-9, exactly, or MISSING where it has more digits or is beyond int64.

    >>> price_e9(29547.5), price_e9(0.0078125), price_e9(0.1 + 0.2) == MISSING, price_e9(-37.63)
    (29547500000000, 7812500, True, -37630000000)
    """
    value = price * 1e9
    if -_EXACT_BELOW < value < _EXACT_BELOW:
        units = round(value)
        return units if units / 1e9 == price else MISSING
    if not -1e10 < price < 1e10:
        return MISSING
    exact = Decimal(repr(price)) * 10**9
    units = int(exact)
    return units if units == exact and -_INT64_MAX <= units <= _INT64_MAX else MISSING


def on_grid(price: float, tick_e9: int) -> tuple[int, bool]:
    """Return a price in units of 1e-9 on the instrument's grid, and whether noise of at most 1e-6 tick was taken off.

    MISSING where it is further off, or its digits do not fit. With an unknown tick (0) every price is on the grid.

    >>> on_grid(29547.5, 250_000_000), on_grid(29547.3, 250_000_000)[0] == MISSING
    ((29547500000000, False), True)
    >>> on_grid(0.1 + 0.2, 100_000_000)
    (300000000, True)
    """
    units = price_e9(price)
    if tick_e9 == 0 or (units != MISSING and units % tick_e9 == 0):
        return units, False
    if not -1e9 < price < 1e9:
        return MISSING, False
    near = round(price * 1e9 / tick_e9) * tick_e9
    if abs(Decimal(price) * 10**9 - near) * _NOISE_PER_TICK <= tick_e9:
        return near, True
    return MISSING, False


def lots(volume: float | None) -> int:
    """Return a number of contracts; MISSING where none was told, -1 where it is none.

    >>> lots(2.0), lots(None) == MISSING, lots(0.5), lots(-3.0)
    (2, True, -1, -1)
    """
    if volume is None:
        return MISSING
    if not 0 <= volume < _LOTS_MAX:
        return -1
    whole = int(volume)
    return whole if whole == volume else -1


_seconds: Final[dict[str, int]] = {}  # texts to the second that were read lately: a second has hundreds of messages
_SECONDS_MAX: Final = 4096
_SCALE: Final = (10**9, 10**8, 10**7, 10**6, 10**5, 10**4, 1000, 100, 10, 1)  # of a fraction of n digits


def time_ns(text: str | None) -> int | None:
    """Return a time as ns since 1970 UTC; MISSING where none was told, None where the text is none.

    A time without an offset is none: it is never guessed to be UTC. Year 1, which .NET writes for a time that was never
    set, is a time not told; any other time outside 2009-2100 is none.

    >>> time_ns("2026-08-19T20:51:31.4347534+00:00")
    1787172691434753400
    >>> time_ns("0001-01-01T00:00:00+00:00") == MISSING, time_ns("2026-08-19T20:51:31.5")
    (True, None)
    """
    if text is None:
        return MISSING
    second = _seconds.get(text[:19])
    if second is not None and text[-6:] == "+00:00" and text[19] == ".":
        digits = text[20:-6]
        if len(digits) < 10 and digits.isdecimal() and digits.isascii():
            return second + int(digits) * _SCALE[len(digits)]
    return _time_ns(text)


def _time_ns(text: str) -> int | None:
    if text[-6:] == "+00:00":
        offset, end = "+00:00", len(text) - 6
    elif text[-1:] in ("Z", "z"):
        offset, end = "+00:00", len(text) - 1
    elif text[-6:-5] in ("+", "-") and text[-3:-2] == ":":
        offset, end = text[-6:], len(text) - 6
    else:
        return None
    fraction_ns = 0
    if end > 19:
        digits = text[20:end]
        if text[19] != "." or not (digits.isdecimal() and digits.isascii()):
            return None
        if digits[9:].strip("0"):
            return None
        fraction_ns = int(digits[:9].ljust(9, "0"))
    if text[:10] == "0001-01-01":
        return MISSING
    second = text[:19] if end >= 19 else text
    try:
        if second[4] != "-" or second[7] != "-" or second[10] not in "T " or second[13] != ":" or second[16] != ":":
            return None
        ns = int(datetime.fromisoformat(second + offset).timestamp()) * 1_000_000_000
    except (ValueError, IndexError, OverflowError):
        return None
    if not _FROM_NS <= ns < _UNTIL_NS:
        return None
    if offset == "+00:00":
        if len(_seconds) >= _SECONDS_MAX:
            _seconds.clear()
        _seconds[second] = ns
    return ns + fraction_ns
