"""Sierra Chart's text exports: bars as a table, single trades as events.

Two ways out of Sierra Chart lead to the same lines, a header ``Date, Time, Open, High, Low, Last, Volume, …`` and rows
parted by commas, tabs or semicolons, names padded with blanks:

* the study "Write Bar and Study Data To File" (``…BarData.txt``): bars of the chart, then the lines of its studies
  (:mod:`tapebook.readers.sierra_columns` says how those are named);
* "Export Intraday Data to Text File" (``.txt``, ``.itxt``): the records of a ``.scid`` file. If they are single trades,
  Open is 0, High the ask, Low the bid and Last the price, and they become events as in :mod:`tapebook.readers.scid`.

The time is the start of the bar, in the zone of the chart, which the file does not say: ``zone`` has to be given. Bars
of CME futures give it away, since none starts in the daily break (16:00 Chicago); the error says what it sees.
(Recorded ES exports end at 08:25 on the third Friday: five minutes before expiry in Chicago.) Dates are ``YYYY/M/D`` or
``M/D/YYYY``; where days and months cannot be told apart, the error asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.kernels import scid as kernel
from tapebook.market.errors import ReaderError
from tapebook.market.events import EVENT, MISSING, Events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Progress, Table, Tape
from tapebook.readers.columns import OK, fixed_point
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.local_time import ClockStyle, clock_style, daily_break, need_zone, wall_times
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read
from tapebook.readers.sierra_binary import SCID_RECORD, multiplier_of, refuse_scaled
from tapebook.readers.sierra_columns import bar_columns, fixed_positions
from tapebook.readers.sierra_names import instrument_of, parse_name
from tapebook.readers.text_bars import BarFile, common_step_s, floats, open_bar_file
from tapebook.readers.text_head import TextHead, text_head, unique_names

__all__ = ["FORMAT", "open_text"]

_NEEDED: Final = ("date", "open", "high", "low", "close", "volume")
_NOTES: Final = (
    (kernel.REPEATED, "quotes_repeated"),
    (kernel.QUOTES_ONLY, "records_with_bid_and_ask_only"),
    (kernel.OFF_GRID, "off_grid_prices"),
    (kernel.NO_SIDE, "trades_without_side"),
    (kernel.BARS, "bar_records_left_out"),
)


def open_text(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open a text export.

    Raises
    ------
    ReaderError
        If no zone is given, if days and months cannot be told apart, or a column is missing.
    ConfigurationError
        If the mapping of study columns does not fit.
    """
    text = _text(head)
    if text is None:
        raise ReaderError(
            "no Sierra Chart text export", expected="Date, Time, Open, High, Low, Last, Volume", where=str(path)
        )
    fixed = fixed_positions(text.names)
    dates = text.column(fixed["date"])
    style = clock_style(dates, str(path), order=options.columns.get("date_order", ""))
    wall = _wall(text, fixed, style)
    likely, why = daily_break(wall[wall != MISSING])
    zone = need_zone(options.zone, where=str(path), likely=likely or "America/Chicago", why=why)
    first = wall[wall != MISSING]
    on_ns = int(first[0]) if first.size else None
    instrument = instrument_of(parse_name(path.name), options, on_ns)
    decimal_comma = options.decimal_comma
    if decimal_comma is None:
        decimal_comma = text.decimal_comma([fixed[x] for x in ("open", "high", "low", "close")])
    if _single_trades(text, fixed):
        return _open_trades(path, head, options, text, style, zone, instrument, decimal_comma=decimal_comma)
    file = BarFile(
        format="sierra-text",
        text=text,
        columns=bar_columns(text, options, str(path)),
        times=lambda rows: _times(rows, fixed, style, zone),
        symbol=instrument.symbol,
        interval_s=common_step_s(wall),
        decimal_comma=decimal_comma,
        venue=instrument.venue,
        details={"zone": zone.key, "time": "start of the bar"},
    )
    return open_bar_file(path, head, options, file, InstrumentTable({1: instrument}))


def _open_trades(
    path: Path,
    head: Head,
    options: ReadOptions,
    text: TextHead,
    style: ClockStyle,
    zone: ZoneInfo,
    instrument: Instrument,
    *,
    decimal_comma: bool,
) -> Tape:
    fixed = fixed_positions(text.names)
    num, den = multiplier_of(options.price_multiplier)
    closes, ok = floats(pa.array([v.encode() for v in text.column(fixed["close"])]), decimal_comma=decimal_comma)
    prices = closes[ok == OK].astype(np.float32)
    refuse_scaled(prices, instrument.tick_e9, options.price_multiplier, instrument.symbol, path)
    tape = Tape(
        origin=Origin(
            name=path.name,
            format="sierra-text",
            schema="trades",
            venue=instrument.venue,
            details={"zone": zone.key, "price_multiplier": str(options.price_multiplier or 1)},
        ),
        read=lambda _max: iter(()),
        instruments=InstrumentTable({1: instrument}),
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )

    def read(events_max: int) -> Iterator[Events]:
        state = np.full(kernel.N_STATE, MISSING, np.int64)
        state[kernel.IN_GROUP] = 0
        tallies = np.zeros(kernel.N_TALLIES, np.int64)
        n_good = 0
        with open_stream(path, tape.progress, tape.quarantine) as stream:
            for rows in read_rows(
                stream,
                unique_names(text.names),
                file=str(path),
                quarantine=tape.quarantine,
                delimiter=text.delimiter,
                encoding=head.encoding,
                quoted=text.quoted,
            ):
                records = _records(rows, fixed, style, zone, tape, decimal_comma=decimal_comma)
                out = np.empty(3 * records.size, EVENT)
                bad = np.zeros(records.size, np.int8)
                n = kernel.events_of_records(
                    records, records.size, instrument.tick_e9, num, den, 1, state, tallies, bad, out
                )
                for i in np.flatnonzero(bad).tolist():
                    tape.quarantine.add(
                        "bad record",
                        found=str(records[i]),
                        where=f"{path}, after line {rows.line(0)}",
                        raw=records[i].tobytes(),
                    )
                n_good += records.size
                tape.notes.update({name: int(tallies[i]) for i, name in _NOTES if tallies[i]})
                yield from (out[i : min(i + events_max, n)] for i in range(0, n, events_max))
        refuse_if_nothing_read(n_good, tape.quarantine, str(path))

    tape.read = read
    return tape


def _records(
    rows: Rows, fixed: dict[str, int], style: ClockStyle, zone: ZoneInfo, tape: Tape, *, decimal_comma: bool
) -> NDArray[np.void]:
    """Return rows as the records of a ``.scid`` file, which they once were."""
    keep = np.ones(rows.n, np.bool_)
    ts, ok, blamed = _times(rows, fixed, style, zone)
    rows.require(tape.quarantine, keep, ok, blamed)
    records = np.zeros(rows.n, SCID_RECORD)
    for word in ("open", "high", "low", "close"):
        values, ok = floats(rows.columns[fixed[word]], decimal_comma=decimal_comma)
        rows.require(tape.quarantine, keep, ok, rows.names[fixed[word]])
        ok_range = np.abs(np.where(ok == OK, values, 0)) < 9.2e9
        rows.require(tape.quarantine, keep, np.where(ok_range, np.int8(OK), np.int8(-1)), rows.names[fixed[word]])
        records[word] = np.where(keep, values, 0)
    for word, name in (
        ("volume", "volume"),
        ("trades", "n_trades"),
        ("bid_volume", "bid_volume"),
        ("ask_volume", "ask_volume"),
    ):
        if word in fixed:
            whole, ok = fixed_point(rows.columns[fixed[word]], 0)
            fits = (ok == OK) & (whole >= 0) & (whole < 2**31)
            rows.require(
                tape.quarantine, keep, np.where(fits, ok, np.minimum(ok, np.int8(-1))), rows.names[fixed[word]]
            )
            records[name] = np.where(keep, whole, 0)
    records["stamp_us"] = np.where(keep, ts // 1000 + kernel.UNIX_OF_SIERRA_US, 0)
    return records[keep]


def _times(
    rows: Rows, fixed: dict[str, int], style: ClockStyle, zone: ZoneInfo
) -> tuple[NDArray[np.int64], NDArray[np.int8], str]:
    clocks = rows.columns[fixed["time"]] if "time" in fixed else None
    ts, ok = wall_times(rows.columns[fixed["date"]], clocks, style, zone)
    return ts, ok, rows.names[fixed["time"] if "time" in fixed else fixed["date"]]


def _wall(text: TextHead, fixed: dict[str, int], style: ClockStyle) -> NDArray[np.int64]:
    """Return the wall times of the head."""
    rows = [row for row in text.rows if len(row) == len(text.names)]
    dates = pa.array([row[fixed["date"]] for row in rows], pa.string())
    clocks = pa.array([row[fixed["time"]] for row in rows], pa.string()) if "time" in fixed else None
    return wall_times(dates, clocks, style, None)[0]


def _single_trades(text: TextHead, fixed: dict[str, int]) -> bool:
    """Tell whether the rows are single trades: nothing in Open, one trade each."""
    if "trades" not in fixed or not text.rows:
        return False
    rows = [row for row in text.rows if len(row) == len(text.names)]
    return bool(rows) and all(
        re.fullmatch(r"-?0+([.,]0*)?", row[fixed["open"]]) and row[fixed["trades"]] in ("0", "1") for row in rows
    )


def _text(head: Head) -> TextHead | None:
    first = head.first_line.lstrip("\ufeff").lstrip().lstrip('"').lower()
    if not first.startswith("date"):
        return None
    text = text_head(head)
    if text is None:
        return None
    fixed = fixed_positions(text.names)
    return text if all(word in fixed for word in _NEEDED) else None


def _sniff(head: Head) -> int:
    text = _text(head)
    if text is None:
        return 0
    words = {name.replace(" ", "").lower() for name in text.names}
    return 95 if "last" in words and "time" in words else 40


FORMAT = Format(
    name="sierra-text",
    title="Sierra Chart text export (bars with study columns, or single trades)",
    sniff=_sniff,
    open=open_text,
    example="ESH24-CME.scid_BarData.txt",
)
