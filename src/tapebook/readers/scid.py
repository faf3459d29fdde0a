"""Sierra Chart intraday files (``.scid``): single trades with bid and ask become events, bars become a table.

A record is one trade where ``Open`` holds no price but a mark: 0 for a trade with bid and ask (at most one trade in
the record), or one of two huge negative numbers for the first and the last of the trades that one order caused
("unbundled" trades). Then High and Low are the **ask** and the **bid** before the trade, Close its price, and
BidVolume or AskVolume says which side was hit: bid volume is an aggressive sale. All other records are bars. A file
may hold both, because Sierra Chart fills older days with bars: :data:`FORMAT` gives the trades of such a file and
counts the bars in the notes; :mod:`tapebook.readers.scid_bars` gives the bars.

Rules
-----
* QUOTE records stand before the trade, and only when bid or ask changed. 0 means that there was none. Sizes are not in
  the file.
* The trades from a first mark to a last mark are one message: only its last record carries Flag.LAST. A group that
  never ends (next record over a millisecond later, or a new first mark) ends where it stops, and is counted.
* A record without volume only tells bid and ask.
* Times are UTC. For feeds that stamp milliseconds the three digits below count the trades within one millisecond
  (``stamps`` in ``origin.details`` says which it looks like); they are kept, they keep the order.
* Prices are 32-bit floats. With the catalogue's tick they become exact ticks at once; a price off the grid, and any
  price of an unknown instrument, becomes the shortest decimal that rounds to the same float. Where a float step is
  wider than a tick, Flag.REDUCED_PRECISION says so. Prices in a feed's own unit (NQ x 100) are refused until
  ``--price-multiplier`` is given.
* A file that ends inside a record gives its whole records: Sierra Chart appends every few seconds.
* With ``book_path`` (a ``.depth`` file) both are merged: :mod:`tapebook.readers.sierra_merge`.

Cost (one core, CPU time): 70 ns a record where two of three change the quote, 14 M records/s; a file of 1 GB is read
in 2 s with 225 MB in all.
Sources: :mod:`tapebook.readers.sierra_binary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import scid as kernel
from tapebook.market.events import EVENT, MISSING, Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Progress, Table, Tape
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.scid_bars import open_bars
from tapebook.readers.scid_records import REASONS, is_trade, prepare, sample
from tapebook.readers.sierra_binary import SCID, check_header, read_records, reject_records
from tapebook.readers.sierra_merge import with_depth

__all__ = ["FORMAT", "open_file", "open_trades"]

_NOTES: Final = (
    (kernel.BARS, "bar_records_left_out"),
    (kernel.REPEATED, "quotes_repeated"),
    (kernel.QUOTES_ONLY, "records_with_bid_and_ask_only"),
    (kernel.OFF_GRID, "off_grid_prices"),
    (kernel.ROUNDED, "prices_coarser_than_a_tick"),
    (kernel.NO_SIDE, "trades_without_side"),
    (kernel.SPLIT_DIFFERS, "bid_and_ask_volume_differ_from_volume"),
    (kernel.GROUP_UNENDED, "unbundled_trades_without_end"),
    (kernel.GROUP_UNSTARTED, "unbundled_trades_without_start"),
)


def open_file(path: Path, head: Head, options: ReadOptions) -> Tape | Table:
    """Open a ``.scid`` file: a Tape where any record looked at is a trade, else a Table of bars.

    Looked at are the first 64 KiB and, of a plain file, the last 4,096 records.

    Raises
    ------
    TruncatedFile, ReaderError, UnsupportedSchema
        If the header is cut, damaged, or of another version; if prices look scaled and no multiplier is given.
    """
    seen = sample(check_header(SCID, head), path, head)
    if seen.size and not is_trade(seen).any():
        return open_bars(path, head, options)
    return open_trades(path, head, options)


def open_trades(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open the single trades of a ``.scid`` file, merged with the ``.depth`` file that ``options.book_path`` names."""
    start, instrument, num, den = prepare(path, head, options)
    tape = Tape(
        origin=Origin(
            name=path.name,
            format="scid",
            schema="trades",
            venue=instrument.venue,
            details={"stamps": _stamps(start), "price_multiplier": str(options.price_multiplier or 1)},
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
        with open_stream(path, tape.progress, tape.quarantine) as stream:
            for records, n, first in read_records(stream, SCID, str(path), tape.quarantine, tape.notes):
                out = np.empty(3 * n, EVENT)
                bad = np.zeros(n, np.int8)
                made = kernel.events_of_records(records, n, instrument.tick_e9, num, den, 1, state, tallies, bad, out)
                if bad.any():
                    reject_records(records, bad, first, SCID, str(path), tape.quarantine, REASONS)
                tape.notes.update({name: int(tallies[i]) for i, name in _NOTES if tallies[i]})
                yield from (out[i : min(i + events_max, made)] for i in range(0, made, events_max))

    tape.read = read
    return tape if options.book_path is None else with_depth(tape, options)


def _stamps(start: NDArray[np.void]) -> str:
    """Say what the digits below the millisecond seem to be, from the first trades."""
    stamp = start["stamp_us"][is_trade(start)]
    if stamp.size < 2:
        return "unknown"
    new_ms = np.append(True, np.diff(stamp // 1000) != 0)
    counted = (stamp[new_ms] % 1000 == 0).mean() > 0.9
    return "milliseconds; the digits below count the order" if counted else "microseconds"


def _sniff(head: Head) -> int:
    return 100 if head.data[:4] == SCID.magic else 0


FORMAT = Format(
    name="scid",
    title="Sierra Chart intraday data (single trades, or bars)",
    sniff=_sniff,
    open=open_file,
    example="ESH24-CME.scid",
)
