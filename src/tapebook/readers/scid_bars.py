"""The bars of Sierra Chart intraday files (``.scid``) as a table.

A file that holds bars and single trades (Sierra Chart fills older days with bars) opens as the trades by itself; this
format, asked for by name, gives its bars, and counts the trades in the notes. Times are the starts of the bars, in UTC.
What a record holds: :mod:`tapebook.readers.sierra_binary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.kernels import scid as kernel
from tapebook.market.errors import UnsupportedSchema
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Progress, Table
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.scid_records import REASONS, is_trade, prepare
from tapebook.readers.sierra_binary import SCID, read_records, reject_records, unix_ns

__all__ = ["BAR_SCHEMA", "FORMAT", "open_bars"]

BAR_SCHEMA: Final = pa.schema(
    [
        ("ts_event_ns", pa.int64()),
        ("symbol", pa.string()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.int64()),
        ("trades", pa.int64()),
        ("bid_volume", pa.int64()),
        ("ask_volume", pa.int64()),
    ]
)


def open_bars(path: Path, head: Head, options: ReadOptions) -> Table:
    """Open the bars of a ``.scid`` file; single trades in it are counted in the notes.

    Raises
    ------
    TruncatedFile, ReaderError, UnsupportedSchema
        If the header is cut, damaged, or of another version; if prices look scaled; if a book was asked for too.
    """
    if options.book_path is not None:
        raise UnsupportedSchema("bars cannot be merged with a .depth file", where=str(path), remedy="use --format scid")
    start, instrument, num, den = prepare(path, head, options)
    steps = np.diff(start["stamp_us"][~is_trade(start)])
    seconds = int(np.median(steps[steps > 0]) // 1_000_000) if (steps > 0).any() else 0
    table = Table(
        origin=Origin(
            name=path.name,
            format="scid",
            schema=f"bars-{seconds}s" if seconds else "bars",
            venue=instrument.venue,
            details={"price_multiplier": str(options.price_multiplier or 1)},
        ),
        schema=BAR_SCHEMA,
        read=lambda: iter(()),
        instruments=InstrumentTable({1: instrument}),
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )

    def read() -> Iterator[pa.RecordBatch]:
        with open_stream(path, table.progress, table.quarantine) as stream:
            for records, n, first in read_records(stream, SCID, str(path), table.quarantine, table.notes):
                bars = ~is_trade(records[:n])
                left = int(n - bars.sum())
                if left:
                    table.notes["trade_records_left_out"] = table.notes.get("trade_records_left_out", 0) + left
                bad = _why_bad(records[:n], bars)
                if bad.any():
                    reject_records(records, bad, first, SCID, str(path), table.quarantine, REASONS)
                keep = records[:n][bars & (bad == 0)]
                if keep.size:
                    yield _batch(keep, instrument, num, den)

    table.read = read
    return table


def _why_bad(records: NDArray[np.void], bars: NDArray[np.bool_]) -> NDArray[np.int8]:
    bad = np.zeros(records.size, np.int8)
    finite = np.ones(records.size, np.bool_)
    for name in ("open", "high", "low", "close"):
        finite &= np.isfinite(records[name]) & (np.abs(records[name]) < 9.2e6)
    bad[~finite] = kernel.BAD_PRICE
    bad[(records["volume"] > 2**31 - 1) | (records["n_trades"] > 2**31 - 1)] = kernel.BAD_VOLUME
    stamp = records["stamp_us"]
    early, late = kernel.UNIX_OF_SIERRA_US, kernel.UNIX_OF_SIERRA_US + 4_102_444_800_000_000
    bad[(stamp < early) | (stamp > late)] = kernel.BAD_TIME
    bad[~bars] = 0
    return bad


def _batch(bars: NDArray[np.void], instrument: Instrument, num: int, den: int) -> pa.RecordBatch:
    symbol = pa.array([instrument.symbol]).take(pa.array(np.zeros(bars.size, np.int8)))
    columns: list[Any] = [pa.array(unix_ns(bars["stamp_us"])), symbol]
    columns += [pa.array(_floats(bars[x], instrument.tick_e9, num, den)) for x in ("open", "high", "low", "close")]
    columns += [pa.array(bars[x].astype(np.int64)) for x in ("volume", "n_trades", "bid_volume", "ask_volume")]
    return pa.record_batch(columns, schema=BAR_SCHEMA)


def _floats(raw: NDArray[np.float32], tick_e9: int, num: int, den: int) -> NDArray[np.float64]:
    """Return 32-bit prices as the 64-bit floats that print as the price (4781.1, not 4781.10009765625)."""
    exact = np.zeros(raw.size, np.int64)
    kernel.prices_of_f32(np.ascontiguousarray(raw), tick_e9, num, den, exact)
    result: NDArray[np.float64] = exact / 1e9
    return result


FORMAT = Format(
    name="scid-bars",
    title="Sierra Chart intraday data: the bars of a file that holds trades too",
    sniff=lambda _head: 0,
    open=open_bars,
    example="ESH24-CME.scid",
)
