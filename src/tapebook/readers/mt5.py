"""MetaTrader 5 tick export (View, Symbols, Ticks, Export): TAB-separated, a line a tick, unchanged fields empty.

``<DATE> <TIME> <BID> <ASK> <LAST> <VOLUME> <FLAGS>``; the date is ``YYYY.MM.DD``, the time has milliseconds.

* An empty field repeats the value of the tick before. 0 in a price means that there is none.
* **FLAGS** say what changed: 2 bid, 4 ask, 8 last, 16 volume, 32 bought, 64 sold; further bits occur, are documented
  nowhere and are counted. A tick is a trade when 8 or 16 is set: its price is LAST, its size VOLUME, whether the field
  is filled or repeated. 32 and 64 together (120 on B3: auctions) are no side. Old builds write no FLAGS: there a filled
  LAST or VOLUME makes a trade, of unknown side.
* A bid or ask that differs from the one before is a QUOTE; only the side that changed. Its size is not in the file.
* In one tick the trade comes first and the quotes that it left after it: one message, Flag.LAST on its last record.
* A trade without volume (an index, a synthetic symbol) is kept with quantity 0 and TradeCondition.DERIVED.
* Several ticks share a millisecond; the order of the file is kept.
* **Times are the broker's server clock** and the file does not say which zone that is: ``zone`` has to be given
  (``America/Sao_Paulo`` for B3; many others keep New York + 7 h, ``NY+7``).
* UTF-16 with a byte order mark is read; so are commas or semicolons instead of tabs.

Symbol and dates stand in the file name: ``WINQ26_202608010900_202608011830.csv``. Names of continuous series
(``WIN$N``) are kept as they are: each broker builds them in its own way.

Cost (one core, CPU time): 0.21 us a tick, 4.8 M ticks/s.
Sources: MQL5 reference (``MqlTick``, ``TICK_FLAG_*``) and exports described in public repositories.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.kernels import mt5 as kernel
from tapebook.market.errors import ReaderError
from tapebook.market.events import EVENT, MISSING, Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.readers.columns import BAD, EMPTY, OK, TOO_FINE, fixed_point
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.local_time import ClockStyle, need_zone, wall_times
from tapebook.readers.mt5_names import columns_of, header_of, instrument_of, likely_zone
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read

__all__ = ["FORMAT", "open_ticks"]

_NEEDED: Final = ("DATE", "TIME", "BID", "ASK")
_NOTES: Final = (
    (kernel.NO_NEWS, "ticks_without_news"),
    (kernel.WITHOUT_SIDE, "trades_without_side"),
    (kernel.BOTH_SIDES, "trades_with_both_sides"),
    (kernel.UNKNOWN_BITS, "ticks_with_unknown_flags"),
    (kernel.WITHOUT_VOLUME, "trades_without_volume"),
    (kernel.UNFLAGGED, "quotes_that_flags_do_not_tell"),
)


def open_ticks(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a tick export.

    Raises
    ------
    ReaderError
        If no zone is given or a column is missing.
    """
    text = header_of(head)
    if text is None or not columns_of(text, _NEEDED):
        raise ReaderError(
            "no MetaTrader 5 tick export",
            expected="<DATE> <TIME> <BID> <ASK> <LAST> <VOLUME> <FLAGS>",
            found=head.first_line[:80],
            where=str(path),
        )
    first = [row[:2] for row in text.rows[:1] if len(row) > 1]
    wall, ok = wall_times(
        pa.array([date for date, _ in first], pa.string()),
        pa.array([clock for _, clock in first], pa.string()),
        ClockStyle(),
        None,
    )
    on_ns = int(wall[0]) if ok.size and ok[0] == OK else None
    volumes = text.column(text.names.index("VOLUME")) if "VOLUME" in text.names else []
    instrument = instrument_of(path, options, on_ns, volumes)
    likely, why = likely_zone(instrument)
    zone = need_zone(options.zone, where=str(path), likely=likely, why=why)
    decimal_comma = options.decimal_comma
    if decimal_comma is None:
        decimal_comma = text.decimal_comma([text.names.index("BID"), text.names.index("ASK")])
    tape = Tape(
        origin=Origin(
            name=path.name,
            format="mt5-ticks",
            schema="ticks",
            venue=instrument.venue,
            details={"zone": zone.key, "flags": "FLAGS" in text.names},
        ),
        read=lambda _max: iter(()),
        instruments=InstrumentTable({1: instrument}),
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )

    def read(events_max: int) -> Iterator[Events]:
        state = np.full(kernel.N_STATE, MISSING, np.int64)
        tallies = np.zeros(kernel.N_TALLIES, np.int64)
        n_good = 0

        def events_of(rows: Rows) -> tuple[Events, int]:
            keep = np.ones(rows.n, np.bool_)
            ts, ok = wall_times(rows["DATE"], rows["TIME"], ClockStyle(), zone)
            rows.require(tape.quarantine, keep, ok, "TIME")
            fields: dict[str, tuple[NDArray[np.int64], NDArray[np.int8]]] = {}
            for name in ("BID", "ASK", "LAST", "VOLUME", "FLAGS"):
                values, ok = _column(rows, name, decimal_comma=bool(decimal_comma))
                if name == "VOLUME":
                    _to_lots(values, ok, instrument.lot_e9)
                if name in rows.names:
                    rows.require(tape.quarantine, keep, np.where(ok == EMPTY, np.int8(OK), ok), name)
                fields[name] = values, ok
            out = np.empty(3 * rows.n, EVENT)
            no_price = np.zeros(rows.n, np.bool_)
            n = kernel.events_of_ticks(
                ts,
                *fields["BID"],
                *fields["ASK"],
                *fields["LAST"],
                *fields["VOLUME"],
                *fields["FLAGS"],
                keep,
                1,
                state,
                tallies,
                no_price,
                out,
            )
            if no_price.any():
                expected = "LAST in this tick or in one before"
                rows.reject(tape.quarantine, no_price, "trade without a price", expected=expected, name="LAST")
            return out[:n], n + int((keep & ~no_price).sum())

        with open_stream(path, tape.progress, tape.quarantine) as stream:
            for rows in read_rows(
                stream,
                text.names,
                file=str(path),
                quarantine=tape.quarantine,
                delimiter=text.delimiter,
                encoding=head.encoding,
                quoted=text.quoted,
            ):
                events, n = events_of(rows)
                n_good += n
                tape.notes.update({name: int(tallies[i]) for i, name in _NOTES if tallies[i]})
                yield from (events[i : i + events_max] for i in range(0, events.size, events_max))
        refuse_if_nothing_read(n_good, tape.quarantine, str(path))

    tape.read = read
    return tape


def _column(rows: Rows, name: str, *, decimal_comma: bool) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    if name not in rows.names:
        return np.full(rows.n, MISSING, np.int64), np.zeros(rows.n, np.int8)
    return fixed_point(rows[name], 0 if name == "FLAGS" else 9, decimal_comma=decimal_comma)


def _to_lots(values: NDArray[np.int64], ok: NDArray[np.int8], lot_e9: int) -> None:
    """Turn volumes in 1e-9 into lots, in place; what is no whole number of lots, or negative, is refused."""
    good = ok == OK
    ok[good & (values % lot_e9 != 0)] = TOO_FINE
    ok[good & (values < 0)] = BAD
    values[good] //= lot_e9


def _sniff(head: Head) -> int:
    return 100 if columns_of(header_of(head), _NEEDED) else 0


FORMAT = Format(
    name="mt5-ticks",
    title="MetaTrader 5 tick export",
    sniff=_sniff,
    open=open_ticks,
    example="WINQ26_202608010900_202608011830.csv",
)
