"""MetaTrader 5 bar export (View, Symbols, Bars, Export).

``<DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE> <TICKVOL> <VOL> <SPREAD>``, TAB-separated; files of daily and longer bars
have no TIME. The time is the start of the bar on the broker's server clock: ``zone`` has to be given, as for ticks
(:mod:`tapebook.readers.mt5`). ``volume`` is VOL, what was traded (0 at brokers that do not know it); ``tick_volume`` is
the number of ticks; ``spread_points`` the spread in the symbol's smallest digit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.errors import ReaderError
from tapebook.market.events import MISSING
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Table
from tapebook.readers.files import Head
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.local_time import ClockStyle, need_zone, wall_times
from tapebook.readers.mt5_names import columns_of, header_of, instrument_of, likely_zone
from tapebook.readers.rows import Rows
from tapebook.readers.text_bars import BarColumn, BarFile, common_step_s, open_bar_file

__all__ = ["FORMAT", "open_bars"]

_NEEDED: Final = ("DATE", "OPEN", "HIGH", "LOW", "CLOSE")
_OURS: Final = {
    "OPEN": "open",
    "HIGH": "high",
    "LOW": "low",
    "CLOSE": "close",
    "VOL": "volume",
    "TICKVOL": "tick_volume",
    "SPREAD": "spread_points",
}


def open_bars(path: Path, head: Head, options: ReadOptions) -> Table:
    """Open a bar export.

    Raises
    ------
    ReaderError
        If no zone is given or a column is missing.
    """
    text = header_of(head)
    if text is None or not columns_of(text, _NEEDED) or not ({"VOL", "TICKVOL"} & set(text.names)):
        raise ReaderError(
            "no MetaTrader 5 bar export",
            expected="<DATE> <TIME> <OPEN> <HIGH> <LOW> <CLOSE> <TICKVOL> <VOL> <SPREAD>",
            found=head.first_line[:80],
            where=str(path),
        )
    rows = [row for row in text.rows if len(row) == len(text.names)]
    has_time = "TIME" in text.names
    dates = pa.array([row[text.names.index("DATE")] for row in rows], pa.string())
    clocks = pa.array([row[text.names.index("TIME")] for row in rows], pa.string()) if has_time else None
    wall = wall_times(dates, clocks, ClockStyle(), None)[0]
    known = wall[wall != MISSING]
    names = dict(_OURS) if "VOL" in text.names else _OURS | {"TICKVOL": "volume"}
    volumes = text.column(text.names.index("VOL" if "VOL" in text.names else "TICKVOL"))
    instrument = instrument_of(path, options, int(known[0]) if known.size else None, volumes)
    likely, why = likely_zone(instrument)
    zone = need_zone(options.zone, where=str(path), likely=likely, why=why)

    def times(rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int8], str]:
        ts, ok = wall_times(rows["DATE"], rows["TIME"] if has_time else None, ClockStyle(), zone)
        return ts, ok, "TIME" if has_time else "DATE"

    whole = all(v.isdecimal() for v in volumes)
    columns = [
        BarColumn(
            names[name],
            i,
            "int" if name == "SPREAD" or (name in ("VOL", "TICKVOL") and whole) else "float",
            names[name] in ("open", "high", "low", "close", "volume"),
        )
        for i, name in enumerate(text.names)
        if name in names
    ]
    comma = options.decimal_comma
    file = BarFile(
        format="mt5-bars",
        text=text,
        columns=columns,
        times=times,
        symbol=instrument.symbol,
        interval_s=common_step_s(wall),
        decimal_comma=text.decimal_comma([text.names.index("CLOSE")]) if comma is None else comma,
        venue=instrument.venue,
        details={"zone": zone.key, "time": "start of the bar", "volume": "VOL" if "VOL" in text.names else "TICKVOL"},
    )
    return open_bar_file(path, head, options, file, InstrumentTable({1: instrument}))


def _sniff(head: Head) -> int:
    text = header_of(head)
    return 100 if columns_of(text, _NEEDED) and text is not None and {"VOL", "TICKVOL"} & set(text.names) else 0


FORMAT = Format(
    name="mt5-bars",
    title="MetaTrader 5 bar export",
    sniff=_sniff,
    open=open_bars,
    example="WINQ26_M1_202608010900_202608011830.csv",
)
