"""NinjaTrader volumetric bars as the "NinjaDataExport" indicator writes them.

The first line is ``#schema: NinjaDataExport/v2.3, volumetric=True``, the second names the columns: ``timestamp,
instrument, period, open, high, low, close, volume``, indicators, ``vol_ask, vol_bid, vol_delta`` (volume bought at the
ask, sold at the bid, and their difference) and ``session_date``.

The stamp is the **end** of the bar, as always in NinjaTrader, in the zone of the program. Both can be read off the
recording: the first bar of a session says 18:01 and the last one 17:00, where CME trades 17:00 to 16:00 in Chicago; so
a one-minute bar that says 18:01 began with the session at 18:00 in New York. ``ts_event_ns`` is the start of the bar,
``ts_end_ns`` the file's own stamp, both UTC. The zone is not in the file: ``zone`` has to be given. For bars that are
no times (ticks, volume, range) nobody wrote down the start: there ``ts_event_ns`` is the end of the bar before, and of
the first one its own end.

``session_date`` is the trade date, kept as text. Prices are floats as in the file; indicators keep their names, even
where those are wrong: in the recording the six bands of the VWAP stand in another order than the header says
(``vwap_upper2`` lies below the VWAP in nearly every row), which the notes count as ``bands_on_the_wrong_side``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.catalog import instrument_for
from tapebook.market.errors import ReaderError
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Table
from tapebook.readers.columns import OK
from tapebook.readers.files import Head
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.local_time import ClockStyle, daily_break, need_zone, wall_times
from tapebook.readers.rows import Rows
from tapebook.readers.text_bars import BarColumn, BarFile, floats, open_bar_file
from tapebook.readers.text_head import TextHead, text_head

__all__ = ["FORMAT", "open_bars", "period_s"]

_OURS: Final = {"vol_ask": "ask_volume", "vol_bid": "bid_volume", "vol_delta": "delta"}
_WHOLE: Final = ("volume", "vol_ask", "vol_bid", "vol_delta")
_REQUIRED: Final = ("open", "high", "low", "close", "volume")
_TEXT: Final = ("period", "session_date")
_MINUTES: Final = re.compile(r"(?:Volumetric|Minute)_(\d+)", re.IGNORECASE)
_SECONDS: Final = re.compile(r"Second_(\d+)", re.IGNORECASE)
_DAYS: Final = re.compile(r"Day_(\d+)", re.IGNORECASE)


def period_s(period: str) -> int:
    """Return the seconds that a bar of this period spans, 0 where it is no time.

    >>> period_s("Volumetric_1"), period_s("Second_30"), period_s("Tick_2000")
    (60, 30, 0)
    """
    for pattern, unit_s in ((_MINUTES, 60), (_SECONDS, 1), (_DAYS, 86400)):
        match = pattern.fullmatch(period.strip())
        if match:
            return int(match[1]) * unit_s
    return 0


@dataclass
class _Clock:
    """Makes the start of bars from the stamps of their ends."""

    style: ClockStyle
    zone: ZoneInfo
    seconds: int
    last_end_ns: int = MISSING

    def start(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int8], str]:
        end, ok = wall_times(rows["timestamp"], None, self.style, self.zone)
        if self.seconds:
            return np.where(ok == OK, end - self.seconds * 1_000_000_000, end), ok, "timestamp"
        start = end.copy()
        good = np.flatnonzero(ok == OK)
        if good.size:
            start[good[1:]] = end[good[:-1]]
            start[good[0]] = end[good[0]] if self.last_end_ns == MISSING else self.last_end_ns
            self.last_end_ns = int(end[good[-1]])
        return start, ok, "timestamp"

    def end(self, rows: Rows) -> pa.Array:
        end, ok = wall_times(rows["timestamp"], None, self.style, self.zone)
        return pa.array(end, mask=ok != OK)


def open_bars(path: Path, head: Head, options: ReadOptions) -> Table:
    """Open a file of volumetric bars.

    Raises
    ------
    ReaderError
        If no zone is given or a column is missing.
    """
    text = text_head(head, header_lines=2, delimiter=",")
    missing = [name for name in ("timestamp", *_REQUIRED) if text is None or text.find(name) < 0]
    if text is None or missing:
        raise ReaderError(
            "columns are missing, or stand there twice",
            expected="timestamp, open, high, low, close, volume",
            found=f"no {', '.join(missing)}",
            where=f"{path} line 2",
        )
    style = ClockStyle()
    seconds = period_s(_first(text, "period"))
    wall, ok = wall_times(pa.array(text.column(text.find("timestamp"))), None, style, None)
    likely, why = daily_break(wall[ok == OK] - max(seconds, 1) * 1_000_000_000)
    if not likely and _starts_at_six(text, wall):
        likely, why = "America/New_York", "session_date changes at 18:00, when CME opens in New York time"
    zone = need_zone(options.zone, where=str(path), likely=likely or "America/New_York", why=why)
    clock = _Clock(style, zone, seconds)
    instruments = InstrumentTable()
    symbol: str | int = text.find("instrument")
    names = [options.symbol] if options.symbol or symbol == -1 else sorted(set(text.column(int(symbol))))
    known = [instrument_for(name or path.stem, options.venue, kind="future", lot_e9=PRICE_SCALE) for name in names]
    for instrument in known:
        instruments.add(instrument)
    if len(known) == 1:
        symbol = known[0].symbol
    columns = [
        BarColumn(
            _OURS.get(name, name),
            i,
            "text" if name in _TEXT else "int" if name in _WHOLE and _whole(text, i) else "float",
            name in _REQUIRED,
        )
        for i, name in enumerate(text.names)
        if name not in ("timestamp", "instrument")
    ]
    table = open_bar_file(
        path,
        head,
        options,
        BarFile(
            format="ninjatrader",
            text=text,
            columns=_each_once(columns),
            times=lambda rows: _restarted(clock, rows),
            symbol=symbol,
            interval_s=seconds,
            venue=known[0].venue if known else "",
            details={
                "zone": zone.key,
                "time": "start of the bar; ts_end_ns is the file's stamp",
                "schema": _schema(head),
            },
            further_schema=[("ts_end_ns", pa.int64())],
            further=lambda rows, keep: _ends(clock, rows, keep, table.notes),
        ),
        instruments,
    )
    return table


def _ends(clock: _Clock, rows: Rows, keep: NDArray[np.bool_], notes: dict[str, int]) -> list[pa.Array]:
    """Return the ends of the bars, and count those whose bands contradict their names."""
    if "vwap" in rows.names:
        middle, _ = floats(rows["vwap"])
        wrong = np.zeros(rows.n, np.bool_)
        for name in rows.names:
            sign = 1 if name.startswith("vwap_upper") else -1 if name.startswith("vwap_lower") else 0
            if sign:
                wrong |= (floats(rows[name])[0] - middle) * sign < 0
        n = int((wrong & keep).sum())
        if n:
            notes["bands_on_the_wrong_side"] = notes.get("bands_on_the_wrong_side", 0) + n
    return [clock.end(rows)]


def _restarted(clock: _Clock, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int8], str]:
    """Return starts; the first rows of a pass forget the end that the pass before left behind."""
    if rows.first_row == 0:
        clock.last_end_ns = MISSING
    return clock.start(rows)


def _each_once(columns: list[BarColumn]) -> list[BarColumn]:
    """Return the columns with a position in the name of every repeated one."""
    seen: set[str] = {"ts_event_ns", "symbol", "ts_end_ns"}
    out = []
    for c in columns:
        name = c.name if c.name and c.name not in seen else f"c{c.position + 1:02d}_{c.name}".rstrip("_")
        seen.add(name)
        out.append(BarColumn(name, c.position, c.kind, c.required))
    return out


def _first(text: TextHead, name: str) -> str:
    position = text.find(name)
    values = text.column(position) if position >= 0 else []
    return values[0] if values else ""


def _whole(text: TextHead, position: int) -> bool:
    return all(v.lstrip("-").isdecimal() for v in text.column(position))


def _starts_at_six(text: TextHead, wall: NDArray[np.int64]) -> bool:
    """Tell whether the first bar belongs to the next day's session and ends within the first hour after 18:00."""
    session = _first(text, "session_date")
    if not session or not wall.size or wall[0] == MISSING:
        return False
    day = str(wall[0].astype("M8[ns]").astype("M8[D]"))
    return session > day and int(wall[0] // 3_600_000_000_000 % 24) == 18


def _schema(head: Head) -> str:
    return head.first_line.lstrip("\ufeff#").removeprefix("schema:").strip()


def _sniff(head: Head) -> int:
    return 100 if head.first_line.lstrip("\ufeff").startswith("#schema: NinjaDataExport/") else 0


FORMAT = Format(
    name="ninjatrader",
    title="NinjaTrader volumetric bars (NinjaDataExport)",
    sniff=_sniff,
    open=open_bars,
    example="ES_Volumetric_1.csv",
)
