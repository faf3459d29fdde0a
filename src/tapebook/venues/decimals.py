"""Decimal text of the wire into integers, a whole column at a time; and which times can be true."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.kernels.text import parse_decimals
from tapebook.market.events import MISSING

__all__ = ["buffers", "fixed_point", "plausible"]

_EMPTY_BYTES = np.zeros(0, np.uint8)


def buffers(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the bytes and offsets of a (large-)string or binary column; nulls come out empty.

    >>> data, offsets = buffers(pa.array(["12", None, "3"]))
    >>> bytes(data[offsets[0] : offsets[1]]), offsets.tolist()
    (b'12', [0, 2, 2, 3])
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if column.null_count:
        column = column.fill_null("" if pa.types.is_string(column.type) else b"")
    wide = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    _, offset_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64 if wide else np.int32, len(column) + 1 + column.offset)[
        column.offset :
    ]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else _EMPTY_BYTES
    return data, offsets.astype(np.int32, copy=False)


def fixed_point(
    column: pa.Array, digits: int = 9, *, decimal_comma: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Read decimal numbers as int64 in units of 10**-digits; empty or bad ones are MISSING.

    >>> values, ok = fixed_point(pa.array(["4781.25", "", "x", "1e-05"]))
    >>> values[[0, 3]].tolist(), ok.tolist()
    ([4781250000000, 10000], [1, 0, -1, 1])
    """
    data, offsets = buffers(column)
    out = np.full(len(column), MISSING, np.int64)
    ok = np.zeros(len(column), np.int8)
    parse_decimals(data, offsets, digits, ord("," if decimal_comma else "."), out, ok)
    return out, ok


def plausible(ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which times lie between 2009 and 2100: what a machine can have stamped that recorded market data.

    >>> plausible(np.array([0, 1_700_000_000 * 10**9, MISSING])).tolist()
    [False, True, False]
    """
    result: NDArray[np.bool_] = (ns >= 1_230_768_000 * 10**9) & (ns < 4_102_444_800 * 10**9)
    return result
