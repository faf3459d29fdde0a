"""Text columns into integers: the border between a vendor's CSV and the words of the program.

Every function takes an Arrow column of strings or bytes and returns ``(values, ok)``; what ``ok`` holds is listed in
:mod:`tapebook.kernels.text`. Missing values stay missing (``ok`` EMPTY), bad ones are for the quarantine.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.kernels.text import BAD, EMPTY, OK, TOO_FINE, TOO_LARGE, parse_iso_times
from tapebook.market.events import MISSING
from tapebook.market.zones import local_to_utc
from tapebook.venues.decimals import buffers, fixed_point, plausible

__all__ = [
    "BAD",
    "EMPTY",
    "OK",
    "TOO_FINE",
    "TOO_LARGE",
    "buffers",
    "epoch_times",
    "fixed_point",
    "floats",
    "iso_times",
    "local_to_utc",
    "plausible",
    "texts",
    "why_not",
]


def epoch_times(column: pa.Array, unit_digits: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Read times since 1970 as ns: ``unit_digits`` 9 for seconds, 6 ms, 3 µs, 0 ns; fractions are exact.

    A time outside 2009-2100 is BAD: a damaged digit must not move the clock by centuries.

    >>> ns, ok = epoch_times(pa.array(["1762309237.7253287", "1", "x"]), 9)
    >>> int(ns[0]), ok.tolist()
    (1762309237725328700, [1, -1, -1])
    """
    out, ok = fixed_point(column, unit_digits)
    wild = (ok == OK) & ~plausible(out)
    out[wild] = MISSING
    ok[wild] = BAD
    return out, ok


def floats(column: pa.Array, *, decimal_comma: bool = False) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Read numbers as float64, for the columns of tables that nobody adds up exactly; empty or bad ones are NaN.

    >>> values, ok = floats(pa.array(["979983314.2056", "", "1e400", "x"]))
    >>> float(values[0]), ok.tolist()
    (979983314.2056, [1, 0, -1, -1])
    """
    out = np.full(len(column), np.nan)
    ok = np.zeros(len(column), np.int8)
    given = np.flatnonzero(np.diff(buffers(column)[1]) > 0)
    plain = texts(column.take(pa.array(given)))
    if decimal_comma:
        plain = pc.replace_substring(plain, ",", ".")
    try:
        out[given] = pc.cast(pc.utf8_trim_whitespace(plain), pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # at least one of them is no number: find out which
        for row, text in zip(given.tolist(), plain.to_pylist(), strict=True):
            try:
                out[row] = float(text) if "_" not in text else np.nan
            except ValueError:
                out[row] = np.nan
    ok[given] = np.where(np.isfinite(out[given]), OK, BAD)
    out[ok != OK] = np.nan
    return out, ok


def texts(column: pa.Array) -> pa.Array:
    r"""Return a column of bytes as text; what is no UTF-8 comes out with replacement characters, and never raises.

    >>> texts(pa.array([b"ok", b"\xff"])).to_pylist()
    ['ok', '\ufffd']
    """
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([(value or b"").decode("utf-8", "replace") for value in column.to_pylist()], pa.string())


def iso_times(column: pa.Array, zone: ZoneInfo | None = None) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Read year-first times as ns since 1970 UTC; ``zone`` is where the clock hung for times that name no offset.

    A time without an offset is BAD when ``zone`` is None: a naive time is never guessed to be UTC.

    >>> ns, ok = iso_times(pa.array(["1970-01-01T00:00:01.5Z", "1970-01-01 00:00:00"]), ZoneInfo("America/New_York"))
    >>> ns.tolist(), ok.tolist()
    ([1500000000, 18000000000000], [1, 1])
    """
    data, offsets = buffers(column)
    out = np.full(len(column), MISSING, np.int64)
    zoned = np.zeros(len(column), np.int8)
    ok = np.zeros(len(column), np.int8)
    parse_iso_times(data, offsets, out, zoned, ok)
    naive = (ok == OK) & (zoned == 0)
    if naive.any():
        if zone is None:
            out[naive] = MISSING
            ok[naive] = BAD
        else:
            out[naive] = local_to_utc(out[naive], zone)
    return out, ok


def why_not(code: int) -> str:
    """Return what was expected instead, for a value that a parser above refused with ``code``."""
    return {
        EMPTY: "a value",
        BAD: "a number",
        TOO_FINE: "no more digits than the instrument's smallest unit",
        TOO_LARGE: "a number within int64",
    }.get(code, "")
