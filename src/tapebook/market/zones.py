"""Clocks that hang on a wall: zones by their names, and wall time into UTC."""

from __future__ import annotations

import difflib
import io
import re
import struct
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError

__all__ = ["local_to_utc", "zone_of"]


def zone_of(text: str) -> ZoneInfo:
    """Return the zone of a name: an IANA one, or ``NY+7`` for a clock that is always 7 hours ahead of New York's.

    The latter is how most foreign-exchange brokers run their servers, so that the day ends at 17:00 in New York: UTC+2
    in winter and UTC+3 in summer, by the daylight saving dates of the United States. No IANA zone does that. (By the
    rules of 2007 and later; before that it is off by an hour for some weeks a year.)

    Raises
    ------
    ConfigurationError
        If there is no such zone.

    Examples
    --------
    >>> zone_of("Europe/Madrid").key, zone_of("NY+7").key
    ('Europe/Madrid', 'NY+7')
    >>> march = datetime(2026, 3, 20, tzinfo=zone_of("NY+7"))  # Europe's summer begins on the 29th
    >>> march.utcoffset() == timedelta(hours=3)
    True
    """
    ahead = re.fullmatch(r"NY([+-]\d{1,2})", text.strip())
    if ahead:
        return _ahead_of_new_york(int(ahead[1]))
    try:
        return ZoneInfo(text.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(text, available_timezones(), n=3)
        raise ConfigurationError(
            "there is no such time zone",
            expected="a name such as America/Chicago, UTC, or NY+7",
            found=repr(text),
            remedy=f"did you mean {', '.join(near)}?" if near else "see the column TZ in the list of tz database zones",
        ) from error


def local_to_utc(wall_ns: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int64]:
    """Turn local wall time (ns, as if it were UTC) into UTC.

    The repeated hour of autumn is taken as its first pass (standard ``fold=0``), the missing hour of spring is read
    with the offset before the change, as the standard library does.

    >>> noon = np.array(["2024-03-11T12:00:00"], "M8[ns]").astype(np.int64)
    >>> local_to_utc(noon, ZoneInfo("America/Chicago")).astype("M8[ns]").astype(str).tolist()
    ['2024-03-11T17:00:00.000000000']
    """
    quarter_ns = 900 * 1_000_000_000  # every zone changes its offset on a quarter of an hour
    quarters, inverse = np.unique(wall_ns // quarter_ns, return_inverse=True)
    epoch = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    offsets = np.empty(quarters.size, np.int64)
    for i, quarter in enumerate(quarters.tolist()):
        offset = (epoch + timedelta(seconds=quarter * 900)).replace(tzinfo=zone).utcoffset()
        offsets[i] = int(offset.total_seconds()) * 1_000_000_000 if offset is not None else 0
    result: NDArray[np.int64] = wall_ns - offsets[inverse]
    return result


def _ahead_of_new_york(hours: int) -> ZoneInfo:
    """Return a zone made of one rule, as a time zone file (RFC 8536) holds it."""
    winter, summer, change = hours - 5, hours - 4, hours + 2  # New York changes at 2 o'clock
    rule = f"<{winter:+03d}>{-winter}<{summer:+03d}>{-summer},M3.2.0/{change},M11.1.0/{change}"
    counts = struct.pack(">6I", 0, 0, 0, 0, 1, 4)
    block = b"TZif2" + bytes(15) + counts + struct.pack(">iBB", winter * 3600, 0, 0) + f"{winter:+03d}".encode() + b"\0"
    return ZoneInfo.from_file(io.BytesIO(block + block + f"\n{rule}\n".encode()), key=f"NY{hours:+d}")
