"""Times of text files that hang on somebody's wall: how they are written, and in which zone the clock may have hung.

A trading program's export says ``2024/3/18, 00:05:00`` or ``18.03.2024 9:30:00 PM`` and seldom says where. How it is
written is found out from the file (:func:`clock_style`); where the clock hung is asked of the user
(:func:`need_zone`), because a file that is wrong by hours looks like any other. What the file gives away is told with
the question: :func:`daily_break` finds the hour in which the market that never sleeps does sleep.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.kernels.local_time import DAY_FIRST, MONTH_FIRST, YEAR_FIRST, parse_wall_times
from tapebook.market.errors import ReaderError
from tapebook.market.events import MISSING
from tapebook.market.zones import zone_of
from tapebook.readers.columns import OK, buffers, fixed_point, iso_times, local_to_utc

__all__ = [
    "DAY_FIRST",
    "MONTH_FIRST",
    "YEAR_FIRST",
    "ClockStyle",
    "clock_style",
    "daily_break",
    "need_zone",
    "wall_times",
    "zone_of",
]

ORDERS: Final = {"YMD": YEAR_FIRST, "MDY": MONTH_FIRST, "DMY": DAY_FIRST}

_HOUR_NS: Final = 3_600_000_000_000
_LIKELY_ZONES: Final = (
    "America/Chicago",
    "America/New_York",
    "UTC",
    "Europe/London",
    "Europe/Madrid",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "Asia/Tokyo",
)
_EPOCH_UNITS_NS: Final = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
_YEAR_LAST: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d\d)(\D|$)")
_OFFSET: Final = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?\s*(Z|z|[+-]\d\d(:?\d\d)?)$")


@dataclass(frozen=True)
class ClockStyle:
    """How the times of one file are written.

    Attributes
    ----------
    order
        Of the parts of a date: YEAR_FIRST, MONTH_FIRST, DAY_FIRST.
    zoned
        The text names its offset from UTC.
    epoch_ns
        Times are counts of this many ns since 1970 UTC; 0 where they are calendar times.
    counted_us
        The digits after the point count microseconds, unpadded (Sierra Chart's tick export).
    """

    order: int = YEAR_FIRST
    zoned: bool = False
    epoch_ns: int = 0
    counted_us: bool = False

    @property
    def naive(self) -> bool:
        """Whether a zone is needed to know what the times mean."""
        return not self.zoned and not self.epoch_ns


def clock_style(dates: Sequence[str], where: str, *, order: str = "") -> ClockStyle:
    """Find out how times are written, from the first of them.

    Parameters
    ----------
    dates
        Some texts that start with a date (or are counts since 1970).
    where
        For the error.
    order
        ``YMD``, ``MDY`` or ``DMY``, where the user says it.

    Raises
    ------
    ReaderError
        If they start with no date, or if nothing tells days from months. (No text at all is no error: nothing is
        there to be misread.)

    Examples
    --------
    >>> clock_style(["13/01/2025 09:00", "01/02/2025 09:00"], "f.csv").order == DAY_FIRST
    True
    >>> clock_style(["1700000000123"], "f.csv").epoch_ns
    1000000
    """
    texts = [t.strip().strip('"') for t in dates if t.strip()]
    if order:
        if order.upper() not in ORDERS:
            raise ReaderError("unknown order of dates", expected=", ".join(ORDERS), found=order, where=where)
        return ClockStyle(ORDERS[order.upper()])
    if not texts:
        return ClockStyle()
    # What most of them look like decides: one bad row is for the quarantine and must not decide for the file.
    sorts = Counter(filter(None, map(_sort, texts)))
    if not sorts:
        raise ReaderError(
            "the times are written in no known way",
            expected="YYYY-MM-DD, MM/DD/YYYY or DD/MM/YYYY, or a count since 1970",
            found=repr(texts[0]),
            where=where,
        )
    sort = sorts.most_common(1)[0][0]
    if sort.isdecimal():
        return ClockStyle(epoch_ns=int(sort))
    if sort.startswith("year"):
        return ClockStyle(zoned=sort == "year, zoned")
    parts = [match for text in texts if (match := _YEAR_LAST.match(text))]
    first = sum(int(m[1]) > 12 for m in parts)
    second = sum(int(m[2]) > 12 for m in parts)
    if first != second or sort == "dots":  # dots part day-first dates wherever they are used
        return ClockStyle(DAY_FIRST if first > second or sort == "dots" else MONTH_FIRST)
    raise ReaderError(
        "day and month cannot be told apart",
        expected="a date with a day after the 12th in the first rows",
        found=repr(texts[0]),
        where=where,
        remedy="say it with --column date_order=MDY or --column date_order=DMY",
    )


def _sort(text: str) -> str:
    """Return the way of a time: ns of its unit since 1970, ``year``, ``year, zoned``, ``dots``, ``last``, or ``""``."""
    if re.fullmatch(r"\d{10,19}(\.\d+)?", text):
        return str(_EPOCH_UNITS_NS.get(len(text.partition(".")[0]), ""))
    if re.match(r"\d{4}[-/.]\d", text) or re.match(r"(19|2[01])\d{6}(\D|$)", text):
        return "year, zoned" if _OFFSET.search(text) else "year"
    if _YEAR_LAST.match(text):
        return "dots" if "." in text[:3] else "last"
    return ""


def wall_times(
    dates: pa.Array, clocks: pa.Array | None, style: ClockStyle, zone: ZoneInfo | None
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Read times as ns since 1970 UTC, and ``ok`` as :mod:`tapebook.readers.columns` has it.

    Parameters
    ----------
    dates
        Dates, or whole times where ``clocks`` is None.
    clocks
        Times of day, where they stand in a column of their own.
    style
        What :func:`clock_style` found.
    zone
        Where the clock hung; not needed for styles that are not naive. None leaves naive times as they are.

    Examples
    --------
    >>> style = ClockStyle(counted_us=True)
    >>> ns, _ = wall_times(pa.array(["2022-01-24"]), pa.array(["13:30:00.5001"]), style, ZoneInfo("UTC"))
    >>> ns.astype("M8[ns]").astype(str).tolist()
    ['2022-01-24T13:30:00.005001000']
    """
    if style.epoch_ns:
        digits = len(str(style.epoch_ns)) - 1
        return fixed_point(dates, digits)
    if style.zoned and clocks is None:
        return iso_times(dates)
    data, offsets = buffers(dates)
    clock_data, clock_offsets = (data, offsets) if clocks is None else buffers(clocks)
    out = np.full(len(dates), MISSING, np.int64)
    ok = np.zeros(len(dates), np.int8)
    parse_wall_times(
        data, offsets, clock_data, clock_offsets, clocks is not None, style.order, style.counted_us, out, ok
    )
    if zone is not None and zone.key != "UTC":
        good = ok == OK
        if good.all():
            out = local_to_utc(out, zone)
        else:
            out[good] = local_to_utc(out[good], zone)
    return out, ok


def need_zone(zone: ZoneInfo | None, *, where: str, likely: str = "", why: str = "") -> ZoneInfo:
    """Return the zone, or say that it is needed and which one is likely.

    Raises
    ------
    ReaderError
        If there is none.

    Examples
    --------
    >>> need_zone(ZoneInfo("UTC"), where="f.csv").key
    'UTC'
    """
    if zone is not None:
        return zone
    name = likely or "America/New_York"
    hint = f" (likely: {why})" if why else ""
    raise ReaderError(
        "the file holds local times and does not say of which zone",
        expected="the zone in which the clock of the exporting program hung",
        where=where,
        remedy=f"say it with --zone {name}{hint}",
    )


def daily_break(wall_ns: NDArray[np.int64]) -> tuple[str, str]:
    """Tell the zone that CME's daily break (16:00 to 17:00 in Chicago) gives away, and the reason in words.

    Both are empty where the times do not show it: that needs all hours of a day but one on two weekdays at least.

    >>> five_minutes = np.arange(0, 3 * 24 * 12) * 300 * 10**9 + np.datetime64("2024-01-09", "ns").astype(np.int64)
    >>> hour = five_minutes // (3600 * 10**9) % 24
    >>> daily_break(five_minutes[hour != 17])[0]
    'America/New_York'
    """
    if not wall_ns.size:
        return "", ""
    hours = np.unique(wall_ns // _HOUR_NS)
    days = np.unique(hours // 24)
    by_day = [set((hours[hours // 24 == day] % 24).tolist()) for day in days.tolist()]
    full = [seen for seen in by_day if len(seen) == 23]
    if len(full) < 2 or any(seen != full[0] for seen in full):
        return "", ""
    missing = (set(range(24)) - full[0]).pop()
    noon = datetime(1970, 1, 1, 21, tzinfo=UTC) + timedelta(days=int(days[len(days) // 2]))
    break_start = noon.astimezone(ZoneInfo("America/Chicago")).replace(hour=16, minute=0)
    for name in _LIKELY_ZONES:
        if break_start.astimezone(ZoneInfo(name)).hour == missing:
            return name, f"no row between {missing:02d}:00 and {missing + 1:02d}:00, CME's daily break"
    return "", ""
