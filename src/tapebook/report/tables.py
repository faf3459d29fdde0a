"""The report's tables as Parquet files: written in row groups while the tape is read, renamed into place at the end.

Times are int64 ns UTC, prices float64 in the quoted currency, quantities float64 in base units (contracts, shares,
coins; int64 where a lot is a whole unit), undefined values null.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tapebook.market.events import MISSING, PRICE_SCALE, SideSource
from tapebook.market.instruments import Instrument

__all__ = ["TableWriter", "Tables", "second_columns", "write_table"]

_GROUP_ROWS: Final = 1 << 17
SCHEMA_VERSION: Final = "1"


class TableWriter:
    """Writes rows of one table as they come; the file appears under its name only when :meth:`close` is called.

    A table without rows is not written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_rows = 0
        self._part = path.with_suffix(path.suffix + ".part")
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.Table] = []
        self._n_held = 0

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add equally long columns (NaN becomes null)."""
        table = pa.table({name: _column(values) for name, values in columns.items()})
        if not table.num_rows:
            return
        self._held.append(table)
        self._n_held += table.num_rows
        self.n_rows += table.num_rows
        if self._n_held >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Finish the file and put it under its name."""
        self._flush()
        if self._writer is None:
            self.path.unlink(missing_ok=True)  # of an earlier run: it would not belong to this report
            return
        self._writer.close()
        self._writer = None
        os.replace(self._part, self.path)  # noqa: PTH105 - Path.replace is the same; the pair reads as rename into place

    def abandon(self) -> None:
        """Throw away what was written."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._part.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held)
        self._held, self._n_held = [], 0
        if self._writer is None:
            schema = table.schema.with_metadata({"tapebook.report_tables": SCHEMA_VERSION})
            self._writer = pq.ParquetWriter(self._part, schema, compression="zstd")
        self._writer.write_table(table.replace_schema_metadata(self._writer.schema.metadata))


class Tables:
    """The tables that grow with the tape."""

    def __init__(self, folder: Path, instrument: Instrument) -> None:
        self.folder = folder
        self.seconds = TableWriter(folder / "seconds.parquet")
        self.prints = _Prints(folder / "trades.parquet", instrument)

    def close(self) -> dict[str, int]:
        """Finish all files; return the rows of each by file name."""
        written = {}
        for writer in (self.seconds, self.prints):
            writer.close()
            if writer.n_rows:
                written[writer.path.name] = writer.n_rows
        return written

    def abandon(self) -> None:
        """Throw away what was written."""
        self.seconds.abandon()
        self.prints.abandon()


class _Prints(TableWriter):
    """Rows by print, with lots turned into base units."""

    def __init__(self, path: Path, instrument: Instrument) -> None:
        super().__init__(path)
        self._instrument = instrument

    def write(self, columns: Mapping[str, Any]) -> None:
        shown: dict[str, Any] = {}
        for name, values in columns.items():
            if name.endswith("_lots"):
                shown[name.removesuffix("_lots")] = quantity(values, self._instrument)
            elif name == "session":
                shown["trade_date"] = values.astype("M8[D]")
            elif name == "side_source":
                names = pa.array([s.name.lower() for s in SideSource])
                shown[name] = pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), names)
            elif name != "why":
                shown[name] = values
        super().write(shown)


def write_table(path: Path, columns: Mapping[str, Any]) -> int:
    """Write a small table whole; return its rows."""
    writer = TableWriter(path)
    writer.write(columns)
    writer.close()
    return writer.n_rows


def quantity(lots: NDArray[np.int64], instrument: Instrument) -> NDArray[Any]:
    """Return lots as base units: int64 where a lot is a whole unit, else float64.

    >>> quantity(np.array([3]), Instrument(symbol="ESH4", venue="CME")).tolist()
    [3]
    """
    if instrument.whole_lots:
        return lots * (instrument.lot_e9 // PRICE_SCALE)
    return lots * (instrument.lot_e9 / PRICE_SCALE)


def second_columns(rows: NDArray[Any], instrument: Instrument) -> dict[str, Any]:
    """Return rows of one second as the columns of ``seconds.parquet``; docs/report.md tells what each means."""

    def price(name: str, scale: float = PRICE_SCALE) -> NDArray[np.float64]:
        values: NDArray[np.float64] = np.where(rows[name] == MISSING, np.nan, rows[name] / scale)
        return values

    def lots(name: str) -> NDArray[Any]:
        return quantity(rows[name], instrument)

    quoted = np.where(rows["quoted_ns"] > 0, rows["quoted_ns"], np.nan)
    sized = np.where(rows["sized_ns"] > 0, rows["sized_ns"], np.nan)
    volume = rows["bought"] + rows["sold"] + rows["unknown"]
    standing = (rows["bid_px"] != MISSING) & (rows["ask_px"] != MISSING)
    unit = instrument.lot_e9 / PRICE_SCALE
    return {
        "ts_ns": (rows["index"] + 1) * 1_000_000_000,  # the end of the second: only then are its values known
        "trade_date": rows["session"].astype("M8[D]"),
        "trading": rows["trading"] == 1,
        "events": rows["events"],
        "touch_changes": rows["touches"],
        "trades": rows["trades"],
        "volume": quantity(volume, instrument),
        "bought": lots("bought"),
        "sold": lots("sold"),
        "side_unknown": lots("unknown"),
        "cum_delta": lots("delta"),
        "open": price("open"),
        "high": price("high"),
        "low": price("low"),
        "close": price("close"),
        "vwap": rows["notional"] / np.where(volume > 0, volume, np.nan) / PRICE_SCALE,
        "bid": price("bid_px"),
        "ask": price("ask_px"),
        "bid_size": np.where(standing & (rows["bid_sz"] != MISSING), rows["bid_sz"] * unit, np.nan),
        "ask_size": np.where(standing & (rows["ask_sz"] != MISSING), rows["ask_sz"] * unit, np.nan),
        "mid": price("mid2_last", 2 * PRICE_SCALE),
        "mid_high": price("mid2_high", 2 * PRICE_SCALE),
        "mid_low": price("mid2_low", 2 * PRICE_SCALE),
        "microprice": rows["microprice"] / PRICE_SCALE,
        "imbalance": rows["imbalance"],
        "quoted_spread_mean": rows["spread_ns"] / quoted / PRICE_SCALE,
        "quoted_spread_min": price("spread_min"),
        "quoted_spread_max": price("spread_max"),
        "bid_size_mean": rows["bid_sz_ns"] / sized * unit,
        "ask_size_mean": rows["ask_sz_ns"] / sized * unit,
        "ofi": lots("ofi"),
        "ofi_breaks": rows["breaks"],
    }


def _column(values: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    array = np.asarray(values)
    if array.dtype == object:
        return pa.array(array.tolist())
    return pa.array(array, from_pandas=array.dtype.kind == "f")  # NaN is null
