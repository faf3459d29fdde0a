"""Recordings of TopstepX quotes: ``time,bid,ask,last,bid_size,ask_size,volume``, a row for every message.

What the columns can and cannot tell, and what becomes of it:

* ``time`` is the recorder's clock (seconds since 1970, printed from a float: rows of a burst share it), so it is
  ``ts_recv_ns``; the venue's time is not in the file. Its digits are kept exactly; Flag.REDUCED_PRECISION says that
  they end before the nanosecond.
* ``bid`` and ``ask`` make two QUOTE events with the sizes that the file states. The gateway's quotes carry no sizes
  (``projectx-gateway`` documents none), and where every row says 1 that is a recorder's stand-in; :attr:`Tape.notes`
  counts these rows.
* ``last`` is the price of the last trade. Where it changes a trade happened: a TRADE with ``detail`` DERIVED, in front
  of the quotes that it left behind. Its quantity is MISSING and its side unknown; trades at an unchanged price leave no
  trace. The first row's ``last`` is older than the file and makes none.
* ``volume`` is the session's total in the gateway's quotes. Where it grows, the growth is the quantity of that TRADE
  (also at an unchanged price). In the recordings known so far it is always 0.

The contract is not in the file: the name tells the product (``ES_ticks_20251104.csv.gz``), ``--symbol`` overrules it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.catalog import canonical_venue, instrument_for
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, TradeCondition, empty_events
from tapebook.market.tape import Origin, Tape
from tapebook.readers.columns import buffers, epoch_times
from tapebook.readers.fields import Repeats, lots, note, prices
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.rows import Rows, read_rows, refuse_if_nothing_read

COLUMNS: Final = ("time", "bid", "ask", "last", "bid_size", "ask_size", "volume")
UNKNOWN: Final = "UNKNOWN"
"""Symbol of a file that does not name its instrument."""

_NAME = re.compile(r"^([A-Z0-9]{1,5}?)_ticks")


def sniff(head: Head) -> int:
    """Say how sure it is that a file is such a recording."""
    return 100 if tuple(name.strip() for name in head.first_line.split(",")) == COLUMNS else 0


def open_quotes(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a recording."""
    name = _NAME.search(path.name)
    symbol = options.symbol or (name[1] if name else UNKNOWN)
    venue = canonical_venue(options.venue or "TOPSTEPX")
    times = [line.split(",")[0].split(".")[0] for line in head.lines[1:2]]
    on_ns = int(times[0]) * 10**9 if times and re.fullmatch(r"\d{10}", times[0]) else None
    instrument = instrument_for(symbol, venue, kind="future", on_ns=on_ns)
    details = {} if symbol != UNKNOWN else {"symbol": "not in the file nor its name: give --symbol"}
    origin = Origin(name=path.name, format=FORMAT.name, schema="quotes", venue=instrument.venue, details=details)
    tape = Tape(origin=origin, read=lambda _n: iter(()), quarantine=options.quarantine())
    who = tape.instruments.add(instrument)
    member = head.members[0] if head.members else ""

    def read(_events_max: int) -> Iterator[Events]:
        quotes = _Quotes(tape, instrument.lot_e9)
        n_good = 0
        with open_stream(path, tape.progress, tape.quarantine, member=member) as stream:
            for rows in read_rows(
                stream,
                COLUMNS,
                file=path.name,
                quarantine=tape.quarantine,
                encoding=head.encoding,
                notes=tape.notes,
            ):
                events = quotes.advance(rows)
                if events.size:
                    events["instrument_id"] = who
                    n_good += events.size
                    yield events
        refuse_if_nothing_read(n_good, tape.quarantine, path.name)

    tape.read = read
    return tape


class _Quotes:
    """Makes events of rows; remembers the last price and the total volume."""

    def __init__(self, tape: Tape, lot_e9: int) -> None:
        self._tape = tape
        self._lot_e9 = lot_e9
        self._last = MISSING
        self._volume = MISSING
        self._repeats = Repeats(tape.notes)

    def advance(self, rows: Rows) -> Events:
        quarantine, notes = self._tape.quarantine, self._tape.notes
        keep = np.ones(rows.n, np.bool_)
        ns, ok = epoch_times(rows["time"], 9)
        rows.require(quarantine, keep, ok, "time")
        self._repeats.see(rows, ns)
        coarse = _fraction_digits(rows) < 9
        price = [prices(rows, name, quarantine, keep, optional=True) for name in ("bid", "ask")]
        last = prices(rows, "last", quarantine, keep, optional=True)
        size = [lots(rows, name, quarantine, keep, self._lot_e9, optional=True) for name in ("bid_size", "ask_size")]
        total = lots(rows, "volume", quarantine, keep, self._lot_e9, optional=True)

        chosen = np.flatnonzero(keep)
        last, total = last[chosen], total[chosen]
        price_before, changed = _changes(last, self._last)
        total_before, _ = _changes(total, self._volume)
        grown = np.where((total != MISSING) & (total_before != MISSING), total - np.maximum(total_before, 0), 0)
        traded = (changed & (price_before != MISSING)) | ((grown > 0) & (last != MISSING))
        note(notes, "rows in which the total volume falls", int((grown < 0).sum()))
        note(notes, "rows whose sizes are 1 on both sides", int(((size[0] == 1) & (size[1] == 1))[chosen].sum()))
        if chosen.size:
            self._last = int(last[last != MISSING][-1]) if (last != MISSING).any() else self._last
            self._volume = int(total[total != MISSING][-1]) if (total != MISSING).any() else self._volume

        n = 2 + traded.astype(np.int64)
        row = np.repeat(np.arange(chosen.size), n)
        end = np.cumsum(n)
        events = empty_events(row.size)
        events["ts_recv_ns"] = ns[chosen][row]
        events["kind"] = Kind.QUOTE
        for k, side in ((2, Side.BID), (1, Side.ASK)):
            place, i = end - k, int(side == Side.ASK)
            events["side"][place] = side
            events["price"][place] = price[i][chosen]
            events["qty_lots"][place] = np.where(price[i] == MISSING, MISSING, size[i])[chosen]
        trade = (end - 3)[traded]
        events["kind"][trade] = Kind.TRADE
        events["detail"][trade] = TradeCondition.DERIVED
        events["price"][trade] = last[traded]
        events["qty_lots"][trade] = np.where(grown > 0, grown, MISSING)[traded]
        events["flags"][end - 1] = int(Flag.LAST)
        events["flags"][coarse[chosen][row]] |= np.uint16(Flag.REDUCED_PRECISION)
        return events


def _changes(values: NDArray[np.int64], before: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the last known value in front of each, and where a known value differs from it."""
    known = values != MISSING
    place = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    filled = np.where(place >= 0, values[np.maximum(place, 0)], before)
    in_front = np.concatenate([np.array([before], np.int64), filled[:-1]])
    return in_front, known & (values != in_front)


def _fraction_digits(rows: Rows) -> NDArray[np.int64]:
    """Return how many digits each time has behind the point (its seconds have ten in front of it)."""
    lengths: NDArray[np.int64] = np.diff(buffers(rows["time"])[1]).astype(np.int64)
    return np.maximum(lengths - 11, 0)


FORMAT = Format(
    name="topstepx",
    title="TopstepX quote recordings: best bid, best ask and last price",
    sniff=sniff,
    open=open_quotes,
    example="ES_ticks_20251104.csv.gz",
)
