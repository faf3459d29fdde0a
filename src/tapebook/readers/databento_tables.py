"""Databento records that are no events, as Arrow rows: bars, definitions, statistics, imbalances.

Columns carry the vendor's field names; times end in ``_ns`` (int64, ns since 1970 UTC), prices are float64, single
letters are strings. ``symbol`` is what the file (or the record) says the number means. What the vendor calls undefined
is null. ``instrument_id`` and ``publisher_id`` are the vendor's numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.events import PRICE_SCALE
from tapebook.readers import databento_records as records
from tapebook.readers.databento_symbols import Names

_INSTRUMENTS_MAX: Final = 10_000
"""More than so many instruments of one table are not entered into its instrument table: the rows name them."""

_BAR_FIRST: Final = ("ts_event_ns", "symbol", "open", "high", "low", "close", "volume")
_TABLE_FIRST: Final = ("ts_recv_ns", "ts_event_ns", "symbol")
_DAY_NS: Final = 86_400_000_000_000


class Layout:
    """The columns of one record type, and how they come out of a field of a record (or of a CSV)."""

    def __init__(self, rtype: int, version: int, names: Sequence[str] | None = None, *, ts_out: bool = False) -> None:
        self.rtype = rtype
        self.dtype = records.fields(rtype, version, ts_out=ts_out)
        self.prices = records.price_fields(rtype, version)
        self.times = records.time_fields(rtype, version) | {"ts_out"}
        known = [n for n in self.dtype.names or () if n not in ("length", "rtype") and n[0] != "_" and n[:2] != "_r"]
        fields = [n for n in known if names is None or n in names]
        kinds = {self.column(n): self._kind(n) for n in fields} | {"symbol": pa.string()}
        first = [n for n in (_BAR_FIRST if rtype in records.OHLCV else _TABLE_FIRST) if n in kinds]
        order = first + [n for n in kinds if n not in first]
        self.fields = {self.column(n): n for n in fields}
        self.schema = pa.schema([(n, kinds[n]) for n in order])

    def column(self, field: str) -> str:
        """Return the name of a field's column."""
        return f"{field}_ns" if field in self.times else field

    def _kind(self, field: str) -> pa.DataType:
        if field in self.prices:
            return pa.float64()
        base = self.dtype[field]
        if field in self.times:
            return pa.int64()
        if base.kind == "S":
            return pa.string()
        if field == "volume":
            return pa.int64()
        return pa.from_numpy_dtype(base)

    def batch(self, rows: NDArray[Any], symbols: pa.Array) -> pa.RecordBatch:
        """Return rows as Arrow columns."""
        arrays = [symbols if n == "symbol" else self._array(rows, self.fields[n]) for n in self.schema.names]
        return pa.record_batch(arrays, schema=self.schema)

    def _array(self, rows: NDArray[Any], field: str) -> pa.Array:
        values = rows[field]
        if field in self.prices:
            undefined = values == np.iinfo(np.int64).max
            return pa.array(values / PRICE_SCALE, mask=undefined)
        if field in self.times:
            return pa.array(values.astype(np.int64), mask=values == np.iinfo(np.uint64).max)
        if values.dtype.kind == "S":
            return pa.array([v.decode("utf-8", "replace") for v in values.tolist()], pa.string())
        # The largest number of its type is "undefined" all over a definition, elsewhere only in a statistic's quantity.
        may_lack = self.rtype == records.DEFINITION and field not in ("publisher_id", "instrument_id")
        mask = values == np.iinfo(values.dtype).max if may_lack or field == "quantity" else None
        kind = self.schema.field(self.column(field)).type
        return pa.array(values, mask=mask).cast(kind)


def symbols_of(rows: NDArray[Any], names: Names, *, time_field: str) -> pa.Array:
    """Return the symbol of each row, entering the instruments into the table of ``names``."""
    definitions = "raw_symbol" in (rows.dtype.names or ())
    if definitions:
        for number, symbol, tick in zip(
            rows["instrument_id"].tolist(),
            rows["raw_symbol"].tolist(),
            rows["min_price_increment"].tolist(),
            strict=True,
        ):
            names.define(number, symbol.decode("utf-8", "replace"), tick if tick != np.iinfo(np.int64).max else 0)
    key = rows["publisher_id"].astype(np.int64) << 32 | rows["instrument_id"].astype(np.int64)
    day = rows[time_field].astype(np.int64) // _DAY_NS
    pairs, inverse = np.unique(np.stack([key, day]), axis=1, return_inverse=True)
    found = []
    for pair_key, pair_day in pairs.T.tolist():
        moment = pair_day * _DAY_NS
        if names.n_rows < _INSTRUMENTS_MAX:
            names.instrument_id(pair_key, moment)
        found.append(names.symbol_at(pair_key & 0xFFFFFFFF, moment)[0])
    return pa.array(found, pa.string()).take(pa.array(inverse.reshape(-1)))
