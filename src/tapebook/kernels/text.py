"""Exact numbers and times out of text, a column at a time, without a detour through floats.

Input is the Arrow layout of a column of byte strings: ``data`` (uint8, all values end to end) and ``offsets`` (int32 or
int64, one more than rows). ``ok[i]`` says whether row ``i`` was understood; a row that was not leaves ``out[i]`` alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import kernel

OK, EMPTY, BAD, TOO_FINE, TOO_LARGE = 1, 0, -1, -2, -3
"""What ``ok`` says: understood; empty; not a number; more digits than the scale holds; beyond int64."""


@kernel
def parse_decimals(
    data: NDArray[np.uint8],
    offsets: NDArray[Any],
    digits: int,
    point: int,
    out: NDArray[np.int64],
    ok: NDArray[np.int8],
) -> None:
    """Read decimal numbers as integers of 10**-digits: "12.5" with digits 2 is 1250. ``point`` is the separator's byte.

    Accepts a sign, surrounding blanks and quotes, and an exponent (1e-05); zeros beyond ``digits`` are fine, other
    digits there are TOO_FINE.
    """
    for row in range(out.size):
        i = offsets[row]
        end = offsets[row + 1]
        while i < end and (data[i] == 32 or data[i] == 34 or data[i] == 9):
            i += 1
        while end > i and (data[end - 1] == 32 or data[end - 1] == 34 or data[end - 1] == 9 or data[end - 1] == 13):
            end -= 1
        if i == end:
            ok[row] = EMPTY
            continue
        negative = data[i] == 45
        if negative or data[i] == 43:
            i += 1
        # An exponent moves the point: find it first.
        shift = 0
        last = end
        bad = False
        for j in range(i, end):
            if data[j] == 101 or data[j] == 69:
                last = j
                k = j + 1
                down = k < end and data[k] == 45
                if k < end and (data[k] == 45 or data[k] == 43):
                    k += 1
                if k == end or end - k > 3:
                    bad = True
                for m in range(k, end):
                    if data[m] < 48 or data[m] > 57:
                        bad = True
                        break
                    shift = shift * 10 + (np.int64(data[m]) - 48)
                if down:
                    shift = -shift
                break
        value = np.int64(0)
        places = digits + shift  # how many fraction digits still count
        n_digits = 0
        seen_point = False
        code = OK
        for j in range(i, last):
            c = data[j]
            if c == point and not seen_point:
                seen_point = True
                continue
            if c < 48 or c > 57:
                bad = True
                break
            n_digits += 1
            digit = np.int64(c) - 48
            if seen_point:
                if places <= 0:
                    if digit != 0:
                        code = TOO_FINE
                    continue
                places -= 1
            if value > 922337203685477579:
                code = TOO_LARGE
                break
            value = value * 10 + digit
        if bad or n_digits == 0:
            ok[row] = BAD
            continue
        if code == OK:
            while places > 0 and code == OK:
                if value > 922337203685477579:
                    code = TOO_LARGE
                    break
                value = value * 10
                places -= 1
            while places < 0 and code == OK:  # digits before the point that an exponent moved behind the scale
                if value % 10 != 0:
                    code = TOO_FINE
                value = value // 10
                places += 1
        if code != OK:
            ok[row] = code
            continue
        out[row] = -value if negative else value
        ok[row] = OK


@kernel
def days_from_civil(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono algorithms", 2013)."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    yoe = y - era * 400
    doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
    return era * 146097 + doe - 719468


@kernel
def parse_iso_times(
    data: NDArray[np.uint8],
    offsets: NDArray[Any],
    out: NDArray[np.int64],
    zoned: NDArray[np.int8],
    ok: NDArray[np.int8],
) -> None:
    """Read times such as ``2025-07-17T07:05:09.035793433Z`` or ``2025/7/7 07:05:09,03 +01:00`` as ns since 1970.

    Year first, any of ``-/.`` between date parts, ``T`` or blanks before the time, 0-9 fraction digits after ``.`` or
    ``,``, then nothing, ``Z`` or an offset. ``zoned[i]`` is 1 where the text named a zone (``out`` is UTC then) and 0
    where it did not (``out`` is local wall time as if it were UTC: the caller knows the zone).
    """
    for row in range(out.size):
        i = offsets[row]
        end = offsets[row + 1]
        while i < end and (data[i] == 32 or data[i] == 34 or data[i] == 9):
            i += 1
        while end > i and (data[end - 1] == 32 or data[end - 1] == 34 or data[end - 1] == 9 or data[end - 1] == 13):
            end -= 1
        if i == end:
            ok[row] = EMPTY
            continue
        ok[row] = BAD
        zoned[row] = 0
        # Six numbers with their separators: Y - M - D T h : m : s
        parts = np.zeros(6, np.int64)
        good = True
        at = 0
        for part in range(6):
            n = 0
            v = np.int64(0)
            while i < end and 48 <= data[i] <= 57 and n < 4:
                v = v * 10 + (np.int64(data[i]) - 48)
                i += 1
                n += 1
            if n == 0 or (part == 0 and n != 4) or (part > 0 and n > 2):
                good = False
                break
            parts[part] = v
            at = part
            if part < 2:
                if i < end and (data[i] == 45 or data[i] == 47 or data[i] == 46):
                    i += 1
                else:
                    good = False
                    break
            elif part == 2:
                if i == end:
                    break  # a date alone is midnight
                if data[i] == 84 or data[i] == 32:
                    i += 1
                    while i < end and data[i] == 32:
                        i += 1
                else:
                    good = False
                    break
            elif part < 5:
                if i < end and data[i] == 58:
                    i += 1
                elif part == 4:
                    break  # hh:mm without seconds
                else:
                    good = False
                    break
        if not good or at < 2 or at == 3:
            continue
        fraction = np.int64(0)
        if i < end and (data[i] == 46 or data[i] == 44):
            i += 1
            n = 0
            while i < end and 48 <= data[i] <= 57:
                if n < 9:
                    fraction = fraction * 10 + (np.int64(data[i]) - 48)
                    n += 1
                elif data[i] != 48:
                    good = False
                i += 1
            if n == 0:
                good = False
            for _ in range(n, 9):
                fraction *= 10
        offset_s = np.int64(0)
        while i < end and data[i] == 32:
            i += 1
        if i < end:
            if (data[i] == 90 or data[i] == 122) and i + 1 == end:
                zoned[row] = 1
            elif (data[i] == 43 or data[i] == 45) and (end - i == 6 or end - i == 5 or end - i == 3):
                sign = 1 if data[i] == 43 else -1
                clock = np.int64(0)
                n = 0
                for j in range(i + 1, end):
                    if 48 <= data[j] <= 57:
                        clock = clock * 10 + (np.int64(data[j]) - 48)
                        n += 1
                    elif data[j] != 58 or n != 2:
                        good = False
                if n == 2:
                    clock *= 100
                elif n != 4:
                    good = False
                offset_s = sign * ((clock // 100) * 3600 + (clock % 100) * 60)
                zoned[row] = 1
            else:
                good = False
        year, month, day, hour, minute, second = parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]
        if not good or month < 1 or month > 12 or day < 1 or day > 31 or hour > 23 or minute > 59 or second > 59:
            continue
        if year < 1900 or year > 2200 or (day > 28 and days_from_civil(year, month, day) >= next_month(year, month)):
            continue
        seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s
        out[row] = seconds * 1_000_000_000 + fraction
        ok[row] = OK


@kernel
def next_month(year: int, month: int) -> int:
    """Return the day number of the first of the following month."""
    if month == 12:
        return days_from_civil(year + 1, 1, 1)
    return days_from_civil(year, month + 1, 1)
