"""A tape's bars, or their footprint cells, as a file: Parquet, CSV or JSON lines by its extension.

Prices are float64 and volumes in base units (int64 where lots are whole); ``raw`` keeps the integers of the events.
Times stay int64 ns. With several instruments a column ``symbol`` stands first; each has its own bars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.bars.bars import Bars
from tapebook.bars.rules import BarRule
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import MISSING, PRICE_SCALE, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.parquet import write_whole
from tapebook.market.tape import Tape

__all__ = ["BarTable", "bar_tables", "write_bars"]

_PRICES: Final = ("open", "high", "low", "close", "price", "bid_first", "ask_first", "bid_last", "ask_last", "vwap")
_LOTS: Final = ("volume", "buy", "sell", "delta", "delta_max", "delta_min", "bid", "ask", "unknown")
_FORMATS: Final = (".parquet", ".csv", ".json")


@dataclass(frozen=True)
class BarTable:
    """What was written."""

    path: Path
    rows: int
    bars: dict[str, int]  # by symbol
    columns: tuple[str, ...]


def bar_tables(
    tape: Tape, rule: BarRule, *, cells: bool = False, raw: bool = False, symbol: str = "", partial: bool = False
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield (symbol, rows) of the bars of a tape, or of their cells, block by block.

    Parameters
    ----------
    cells
        Footprint cells instead of bars.
    raw
        Integers as in the events.
    symbol
        Only this instrument.
    partial
        Also the bar that is open when the tape ends.
    """
    operators: dict[int, Bars] = {}

    def instrument_of(instrument_id: int) -> Instrument:
        return tape.instruments.get(instrument_id) or Instrument(symbol=f"#{instrument_id}", venue=tape.origin.venue)

    for block in tape.blocks():
        for instrument_id in np.unique(block["instrument_id"]).tolist():
            instrument = instrument_of(instrument_id)
            if symbol and instrument.symbol != symbol:
                continue
            mine = block[block["instrument_id"] == instrument_id]
            if instrument_id not in operators:
                if not (mine["kind"] == Kind.TRADE).any():
                    continue
                operators[instrument_id] = Bars(instrument, instrument_id, rule, cells=cells, quotes=not cells)
            bars, found = operators[instrument_id].fold(mine)
            rows = found if cells else bars
            if rows.size:
                yield instrument.symbol, _batch(rows, instrument, raw=raw)
    if not operators:
        known = ", ".join(sorted(i.symbol for i in tape.instruments.values()))
        raise DataQualityError(
            "there are no trades to make bars of",
            expected=f"trades{' of ' + symbol if symbol else ''}",
            found=known or "no events",
            where=tape.origin.name,
        )
    if partial:
        for instrument_id, operator in operators.items():
            bars, found = operator.flush()
            rows = found if cells else bars
            if rows.size:
                yield instrument_of(instrument_id).symbol, _batch(rows, instrument_of(instrument_id), raw=raw)


def _batch(rows: NDArray[np.void], instrument: Instrument, *, raw: bool) -> pa.RecordBatch:
    columns: dict[str, Any] = {}
    for name in rows.dtype.names or ():
        values = np.ascontiguousarray(rows[name])
        gone = values == MISSING if values.dtype == np.int64 else np.isnan(values) if values.dtype.kind == "f" else None
        if not raw and name in _PRICES:
            values = values / PRICE_SCALE
        elif not raw and name in _LOTS:
            values = (
                values * (instrument.lot_e9 // PRICE_SCALE) if instrument.whole_lots else values * float(instrument.lot)
            )
        columns[name] = pa.array(values, mask=gone if gone is not None and gone.any() else None)
    return pa.RecordBatch.from_pydict(columns)


def write_bars(
    tape: Tape,
    path: Path,
    rule: BarRule,
    *,
    cells: bool = False,
    raw: bool = False,
    symbol: str = "",
    partial: bool = False,
) -> BarTable:
    """Write bars or cells; the file appears when it is whole.

    Raises
    ------
    ConfigurationError
        If the extension is no format that can be written.
    DataQualityError
        If the tape has no trades.
    """
    if path.suffix not in _FORMATS:
        raise ConfigurationError(
            "no such output format", expected=", ".join(_FORMATS), found=path.suffix or "no extension", where=str(path)
        )
    parts: dict[str, list[pa.RecordBatch]] = {}
    for name, batch in bar_tables(tape, rule, cells=cells, raw=raw, symbol=symbol, partial=partial):
        parts.setdefault(name, []).append(batch)
    tables = {name: pa.Table.from_batches(batches) for name, batches in parts.items()}
    if len(tables) > 1:
        tables = {
            n: t.add_column(0, "symbol", pa.array([n] * t.num_rows).dictionary_encode()) for n, t in tables.items()
        }
    if not tables:
        raise DataQualityError(
            "not one bar closed",
            expected="a longer tape or smaller bars",
            found=f"{rule.kind} {rule.size:g}",
            where=tape.origin.name,
            remedy="pass --partial to get the bar that was still open",
        )
    whole = pa.concat_tables(tables.values(), promote_options="permissive").unify_dictionaries()
    with write_whole(path) as beside:
        _write(whole, beside, path.suffix)
    n_bars = {n: len(np.unique(t["bar"].to_numpy())) for n, t in tables.items()}
    return BarTable(path, whole.num_rows, n_bars, tuple(whole.column_names))


def _write(table: pa.Table, file: Any, suffix: str) -> None:
    if suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, file, compression="zstd")
    elif suffix == ".csv":
        import pyarrow.csv

        pyarrow.csv.write_csv(table, file)
    else:
        import polars as pl

        frame = pl.from_arrow(table)
        assert isinstance(frame, pl.DataFrame)
        frame.write_ndjson(file)
