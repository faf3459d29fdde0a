"""The clock of a time & sales file: where times stand, how they are written, and what they need to be told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.errors import ReaderError
from tapebook.market.events import MISSING
from tapebook.readers.columns import OK, local_to_utc
from tapebook.readers.formats import ReadOptions
from tapebook.readers.local_time import ClockStyle, clock_style, need_zone, wall_times
from tapebook.readers.rows import Rows
from tapebook.readers.text_head import TextHead
from tapebook.readers.time_and_sales_columns import Columns

__all__ = ["Clock", "clock_of"]

_TIME_OF_DAY: Final = re.compile(r"\d{1,2}:\d\d")
_DAY_NS: Final = 86_400_000_000_000
_LIKELY: Final = {
    "spanish": ("Europe/Madrid", "the known files with these headings hung in Madrid"),
    "ninjatrader": ("UTC", "NinjaTrader exports ticks in UTC"),
}


@dataclass
class Clock:
    """Reads the times of one file."""

    style: ClockStyle
    zone: ZoneInfo | None
    time_at: int | None
    date_at: int | None
    date: str = ""  # of a file that holds times of day alone
    day_offset_ns: int = 0
    last_ns: int = MISSING

    def read(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int8], str]:
        """Return UTC times, whether they were understood, and the field to blame."""
        time_at = self.time_at if self.time_at is not None else self.date_at
        assert time_at is not None, "columns_of demands a time or a date"
        blamed = rows.names[time_at]
        if self.date:
            days = pa.array([self.date]).take(pa.array(np.zeros(rows.n, np.int8)))
            wall, ok = wall_times(days, rows.columns[time_at], self.style, None)
            self._past_midnight(wall, ok)
            return _utc(wall, ok, self.zone), ok, blamed
        if self.date_at is not None and self.time_at is not None:
            ts, ok = wall_times(rows.columns[self.date_at], rows.columns[self.time_at], self.style, self.zone)
            return ts, ok, blamed
        ts, ok = wall_times(rows.columns[time_at], None, self.style, self.zone)
        return ts, ok, blamed

    def _past_midnight(self, wall: NDArray[np.int64], ok: NDArray[np.int8]) -> None:
        """Add a day, in place, for every time that the clock fell back by more than twelve hours."""
        good = np.flatnonzero(ok == OK)
        if not good.size:
            return
        clock = wall[good]
        before = np.concatenate([[self.last_ns if self.last_ns != MISSING else clock[0]], clock[:-1]])
        days = np.cumsum(clock - before < -_DAY_NS // 2) * _DAY_NS + self.day_offset_ns
        self.last_ns, self.day_offset_ns = int(clock[-1]), int(days[-1])
        wall[good] = clock + days


def _utc(wall: NDArray[np.int64], ok: NDArray[np.int8], zone: ZoneInfo | None) -> NDArray[np.int64]:
    good = ok == OK
    if zone is not None and good.any():
        wall[good] = local_to_utc(wall[good], zone)
    return wall


def clock_of(text: TextHead, columns: Columns, options: ReadOptions, where: str) -> Clock:
    """Return how the times of a file are read.

    Raises
    ------
    ReaderError
        If no zone is given for times without an offset, or no date for times of day; if a date cannot be read for sure.
    """
    order = options.columns.get("date_order", "")
    time_at, date_at = columns.at.get("time"), columns.at.get("date")
    first = next(iter(text.column(time_at)), "") if time_at is not None else ""
    clocks_alone = bool(_TIME_OF_DAY.match(first)) or (
        date_at is not None and bool(re.fullmatch(r"\d{6}([.,]\d+)?", first))
    )
    date = ""
    if time_at is not None and not clocks_alone:
        date_at = None  # the time says the date too
        style = clock_style(text.column(time_at), where, order=order)
    elif date_at is not None:
        style = clock_style(text.column(date_at), where, order=order)
    elif options.date:
        date, style = options.date, ClockStyle()
    else:
        raise ReaderError(
            "the file holds times of day and no date",
            expected="the date of the first row",
            found=first,
            where=where,
            remedy="say it with --date YYYY-MM-DD",
        )
    zone = options.zone
    if style.naive:
        likely, why = _LIKELY.get(columns.known, ("", ""))
        zone = need_zone(zone, where=where, likely=likely, why=why)
    else:
        zone = None
    return Clock(style, zone, time_at, date_at, date)
