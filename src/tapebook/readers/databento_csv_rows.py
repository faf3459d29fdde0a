"""Rows of Databento's CSV become DBN records: exact numbers, times in either spelling, single letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.quarantine import Quarantine
from tapebook.readers import databento_records as records
from tapebook.readers.columns import BAD, EMPTY, OK, TOO_LARGE, buffers, fixed_point, iso_times
from tapebook.readers.databento_tables import Layout
from tapebook.readers.rows import Rows

_UTC: Final = ZoneInfo("UTC")
_RAW_PRICE_MIN: Final = 10_000_000
_UNDEFINED_PRICE: Final = int(np.iinfo(np.int64).max)
_UNDEFINED_TIME: Final = int(np.iinfo(np.uint64).max)


class RowReader:
    """Turns rows into records of one type.

    Parameters
    ----------
    rtype, version
        Which record.
    first
        Columns of the first rows, from which the spelling of times and prices is told.
    """

    def __init__(self, rtype: int, version: int, first: Mapping[str, Sequence[str]]) -> None:
        self.rtype = rtype
        self.version = version
        self.dtype = records.fields(rtype, version)
        self._prices = records.price_fields(rtype, version)
        self._times = records.time_fields(rtype, version)
        names = self.dtype.names or ()
        self.needed = [n for n in names if n != "length" and not n.startswith("_")]
        seen = [v for n in first if n in self._times for v in first[n] if v]
        self.time_spelling = "ns" if seen and all(v.isdecimal() for v in seen) else "ISO 8601"
        seen = [v for n in first if n in self._prices for v in first[n] if v]
        whole = bool(seen) and all(v.removeprefix("-").isdecimal() for v in seen)
        fixed = whole and max(abs(int(v)) for v in seen) >= _RAW_PRICE_MIN
        self.price_spelling = "1e-9" if fixed else "decimal"

    def layout(self, columns: Sequence[str]) -> Layout:
        """Return the table columns of the fields that the file has."""
        return Layout(self.rtype, self.version, columns)

    def records(self, rows: Rows, quarantine: Quarantine) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a record for every row, and which of them are sound; the others are in the quarantine."""
        out = np.zeros(rows.n, self.dtype)
        keep = np.ones(rows.n, dtype=np.bool_)
        out["length"] = self.dtype.itemsize // 4
        out["rtype"] = self.rtype
        for name in self.needed:
            if name not in rows.names:
                continue
            values, ok = self._column(rows[name], name)
            if (ok != OK).any():
                rows.require(quarantine, keep, ok, name)
                values = np.where(ok == OK, values, np.zeros(1, values.dtype))
            out[name] = values
        foreign = keep & ~np.isin(out["rtype"], records.types_of(records.NAMES[self.rtype]))
        if foreign.any():
            rows.reject(quarantine, foreign, "rtype of another schema", expected=str(self.rtype), name="rtype")
            keep &= ~foreign
        return out, keep

    def _column(self, column: pa.Array, name: str) -> tuple[NDArray[Any], NDArray[np.int8]]:
        kind = self.dtype[name]
        values: NDArray[Any]
        if name in self._times:
            return self._time(column)
        if name in self._prices:
            values, ok = fixed_point(column, 0 if self.price_spelling == "1e-9" else 9)
            return _with_undefined(column, values, ok, _UNDEFINED_PRICE, np.dtype(np.int64))
        if kind.kind == "S":
            values, ok = _letters(column) if kind.itemsize == 1 else _strings(column, kind)
            if self.rtype in records.TABLES:  # a letter may be undefined there
                ok = np.where(ok == EMPTY, np.int8(OK), ok)
            return values, ok
        values, ok = fixed_point(column, 0)
        if kind == np.uint64:
            return _unsigned(column, values, ok)
        bounds = np.iinfo(kind)
        ok[(ok == OK) & ((values < bounds.min) | (values > bounds.max))] = TOO_LARGE
        if self.rtype in records.TABLES:  # definitions leave out what is undefined: the largest number of its type
            return _with_undefined(column, values, ok, int(bounds.max), np.dtype(np.int64))
        return values, ok

    def _time(self, column: pa.Array) -> tuple[NDArray[Any], NDArray[np.int8]]:
        if self.time_spelling == "ns":
            values, ok = fixed_point(column, 0)
        else:
            values, ok = iso_times(column, _UTC)  # the vendor states that all its times are UTC
        ok[(ok == OK) & (values < 0)] = BAD
        return _with_undefined(column, values.view(np.uint64), ok, _UNDEFINED_TIME, np.dtype(np.uint64))


def _with_undefined(
    column: pa.Array, values: NDArray[Any], ok: NDArray[np.int8], undefined: int, dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[np.int8]]:
    """Fill in what the vendor leaves empty, or spells as the largest number of its type."""
    empty = ok == EMPTY
    large = np.flatnonzero(ok == TOO_LARGE)
    if large.size:
        text = str(undefined).encode()
        told = np.array([(v or b"").strip(b' "') == text for v in column.take(pa.array(large)).to_pylist()], np.bool_)
        empty[large[told]] = True
    if empty.any():
        values = values.astype(dtype)
        values[empty] = np.array(undefined, dtype)
        ok = np.where(empty, np.int8(OK), ok)
    return values, ok


def _unsigned(
    column: pa.Array, values: NDArray[np.int64], ok: NDArray[np.int8]
) -> tuple[NDArray[Any], NDArray[np.int8]]:
    """Read numbers beyond int64 too: order ids use all 64 bits."""
    out = values.astype(np.uint64)
    ok[(ok == OK) & (values < 0)] = BAD
    for i in np.flatnonzero(ok == TOO_LARGE).tolist():
        text = (column[i].as_py() or b"").strip(b' "')
        if text.isdigit() and int(text) < 1 << 64:
            out[i] = int(text)
            ok[i] = OK
    return out, ok


def _letters(column: pa.Array) -> tuple[NDArray[Any], NDArray[np.int8]]:
    data, offsets = buffers(column)
    start, size = offsets[:-1], np.diff(offsets)
    ok = np.where(size == 1, OK, np.where(size == 0, EMPTY, BAD)).astype(np.int8)
    out = np.zeros(len(column), np.uint8)
    out[size == 1] = data[start[size == 1]]
    return out.view("S1"), ok


def _strings(column: pa.Array, kind: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.int8]]:
    texts = [(v or b"").strip(b'"') for v in column.to_pylist()]
    ok = np.array([OK if len(v) <= kind.itemsize else TOO_LARGE for v in texts], np.int8)
    return np.array(texts, kind), ok
