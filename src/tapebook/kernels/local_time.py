"""Dates and clocks as people and trading programs write them (face and meaning: :mod:`tapebook.readers.local_time`).

Where :func:`tapebook.kernels.text.parse_iso_times` reads one year-first column, this reads a date and a time that may
stand in two columns, with the year last, with AM/PM, compact, or with a fraction that is no fraction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel
from tapebook.kernels.text import BAD, EMPTY, OK, days_from_civil, next_month

YEAR_FIRST, MONTH_FIRST, DAY_FIRST = 0, 1, 2
"""Orders of the parts of a date."""

_NO = -1


@kernel
def _digit(data: NDArray[np.uint8], i: int, end: int) -> bool:
    return bool(i < end and 48 <= data[i] <= 57)


@kernel
def _pair(data: NDArray[np.uint8], i: int) -> int:
    """Return the number of two digits (-1: none)."""
    tens, ones = np.int64(data[i]) - 48, np.int64(data[i + 1]) - 48
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return np.int64(_NO)
    return tens * 10 + ones


@kernel
def _group(data: NDArray[np.uint8], start: int, end: int, width_max: int) -> int:
    """Return the digits at ``start`` as 16 * value + how many there are."""
    value = np.int64(0)
    width = 0
    while width < width_max and _digit(data, start + width, end):
        value = value * 10 + (np.int64(data[start + width]) - 48)
        width += 1
    return value * 16 + width


@kernel
def _date_days(data: NDArray[np.uint8], start: int, end: int, order: int) -> int:
    """Return 64 * (days since 1970 + 100000) + the width of the date that starts at ``start`` (-1: none)."""
    i = start
    group = _group(data, i, end, 8)
    a, a_width = group // 16, group % 16
    i += a_width
    if a_width == 8:  # compact: 20240102, 01022024, 02012024
        if order == YEAR_FIRST:
            a, b, c = a // 10000, a // 100 % 100, a % 100
            a_width, c_width = 4, 2
        else:
            a, b, c = a // 1000000, a // 10000 % 100, a % 10000
            a_width, c_width = 2, 4
    else:
        if a_width == 0 or i >= end or (data[i] != 45 and data[i] != 47 and data[i] != 46):
            return _NO
        i += 1
        group = _group(data, i, end, 2)
        b, b_width = group // 16, group % 16
        i += b_width
        if b_width == 0 or i >= end or (data[i] != 45 and data[i] != 47 and data[i] != 46):
            return _NO
        i += 1
        group = _group(data, i, end, 4)
        c, c_width = group // 16, group % 16
        i += c_width
    if order == YEAR_FIRST:
        year, month, day, year_width, day_width = a, b, c, a_width, c_width
    elif order == MONTH_FIRST:
        month, day, year, year_width, day_width = a, b, c, c_width, a_width
    else:
        day, month, year, year_width, day_width = a, b, c, c_width, a_width
    if year_width == 2:
        year += 1900 if year >= 70 else 2000
    elif year_width != 4:
        return _NO
    if day_width == 0 or day_width > 2 or month < 1 or month > 12 or day < 1 or day > 31 or year < 1900 or year > 2200:
        return _NO
    days = days_from_civil(year, month, day)
    if day > 28 and days >= next_month(year, month):
        return _NO
    return 64 * (days + 100000) + (i - start)


@kernel
def _clock_ns(data: NDArray[np.uint8], start: int, end: int, counted_us: bool) -> int:
    """Return ns after midnight of a clock that fills ``start`` to ``end`` (-1: none)."""
    i = start
    hour, minute, second = np.int64(0), np.int64(0), np.int64(0)
    width = 0
    usual = end - start >= 8 and data[start + 2] == 58 and data[start + 5] == 58  # hh:mm:ss
    if usual:
        hour = _pair(data, start)
        minute = _pair(data, start + 3)
        second = _pair(data, start + 6)
        if hour < 0 or minute < 0 or second < 0:
            return _NO
        i += 8
    else:
        while _digit(data, i, end) and width < 6:
            hour = hour * 10 + (np.int64(data[i]) - 48)
            width += 1
            i += 1
    if usual:
        pass
    elif width == 6:  # compact: 093000
        hour, minute, second = hour // 10000, hour // 100 % 100, hour % 100
    elif width in (1, 2):
        for part in range(2):
            if i < end and data[i] == 58:
                i += 1
            elif part == 1:
                break  # hh:mm
            else:
                return _NO
            value = np.int64(0)
            width = 0
            while _digit(data, i, end) and width < 2:
                value = value * 10 + (np.int64(data[i]) - 48)
                width += 1
                i += 1
            if width != 2:
                return _NO
            if part == 0:
                minute = value
            else:
                second = value
    else:
        return _NO
    fraction = np.int64(0)
    # 09:30:00.123, 09:30:00,123, 09:30:00:123, and 093000 1230000 as NinjaTrader has it
    if i < end and (data[i] == 46 or data[i] == 44 or data[i] == 58 or (data[i] == 32 and _digit(data, i + 1, end))):
        i += 1
        width = 0
        while _digit(data, i, end):
            if width < 9:
                fraction = fraction * 10 + (np.int64(data[i]) - 48)
                width += 1
            elif data[i] != 48:
                return _NO
            i += 1
        if width == 0:
            return _NO
        if counted_us:
            if fraction > 999999:
                return _NO
            fraction *= 1000
        else:
            for _ in range(width, 9):
                fraction *= 10
    while i < end and data[i] == 32:
        i += 1
    if i < end:  # AM, PM, a.m., p.m.
        letter = data[i] | 32
        if letter not in (97, 112):
            return _NO
        i += 1
        if i < end and data[i] == 46:
            i += 1
        if i == end or (data[i] | 32) != 109:
            return _NO
        i += 1
        if i < end and data[i] == 46:
            i += 1
        if i != end or hour < 1 or hour > 12:
            return _NO
        hour = hour % 12 + (12 if letter == 112 else 0)
    if hour > 23 or minute > 59 or second > 59:
        return _NO
    return ((hour * 60 + minute) * 60 + second) * 1_000_000_000 + fraction


@kernel
def parse_wall_times(
    dates: NDArray[np.uint8],
    date_offsets: NDArray[Any],
    clocks: NDArray[np.uint8],
    clock_offsets: NDArray[Any],
    separate: bool,
    order: int,
    counted_us: bool,
    out: NDArray[np.int64],
    ok: NDArray[np.int8],
) -> None:
    """Read local wall times as ns since 1970, as if they were UTC.

    With ``separate`` the date stands in ``dates`` and the time of day in ``clocks``; else both stand in ``dates``,
    parted by blanks or T, and a date alone is midnight. ``counted_us`` says that the digits after the point count
    microseconds and are not padded: "5001" is 5001 us.
    """
    days = 0
    last_start = 0
    last_width = 0
    for row in range(out.size):
        i = int(date_offsets[row])
        end = int(date_offsets[row + 1])
        while i < end and (dates[i] == 32 or dates[i] == 34 or dates[i] == 9):
            i += 1
        while end > i and (dates[end - 1] == 32 or dates[end - 1] == 34 or dates[end - 1] == 9 or dates[end - 1] == 13):
            end -= 1
        if i == end:
            ok[row] = EMPTY
            continue
        ok[row] = BAD
        # The next row's date is nearly always this row's: comparing bytes costs a tenth of the calendar.
        same = last_width > 0 and end - i >= last_width and not _digit(dates, i + last_width, end)
        k = 0
        while same and k < last_width:
            same = dates[i + k] == dates[last_start + k]
            k += 1
        if not same:
            date = _date_days(dates, i, end, order)
            if date < 0:
                last_width = 0
                continue
            days = date // 64 - 100000
            last_start = i
            last_width = date % 64
        i += last_width
        clock = 0
        if separate:
            if i != end:
                continue
            i = int(clock_offsets[row])
            end = int(clock_offsets[row + 1])
            while i < end and (clocks[i] == 32 or clocks[i] == 34 or clocks[i] == 9):
                i += 1
            while end > i and (
                clocks[end - 1] == 32 or clocks[end - 1] == 34 or clocks[end - 1] == 9 or clocks[end - 1] == 13
            ):
                end -= 1
            if i == end:
                ok[row] = EMPTY
                continue
            clock = _clock_ns(clocks, i, end, counted_us)
        elif i < end:
            if dates[i] != 32 and dates[i] != 84:
                continue
            i += 1
            while i < end and dates[i] == 32:
                i += 1
            clock = _clock_ns(dates, i, end, counted_us)
        if clock < 0:
            continue
        out[row] = days * 86_400_000_000_000 + clock
        ok[row] = OK
