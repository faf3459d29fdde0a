"""Sierra Chart market depth files (``MarketDepthData/X.YYYY-MM-DD.depth``): an L2 book, update by update.

A record is a command: clear the book; add, modify or delete a level of one side. A batch ends with a record whose flag
says so, and a book may be looked at only there: that record carries Flag.LAST. (In real files most updates are
batches of one.) At the start, and about every ten minutes, stands a snapshot: clear, then one "add" a level, one batch.
Its records carry Flag.SNAPSHOT: nothing happened, and a reader may begin at any of them.

Rules
-----
* Add and modify are LEVEL sets, delete is a LEVEL of quantity 0, and so is a level that is added or modified to 0 (told
  in the notes): feeds do not always say delete. ``count`` is the number of orders where the feed gives one.
* A clear that ends its batch is a cleared book and no snapshot.
* The quantity is whole; prices as in :mod:`tapebook.readers.scid`; times are UTC, one file a UTC day.
* A record that commands nothing is passed over, but its end-of-batch flag counts for the record before it.
* Orders below the last level that the feed gives are unknown; a level that falls out of its depth is deleted like any
  other, so the reader cannot mark it with Flag.VIEW.

Cost (one core, CPU time): 26 ns a record, 38 M records/s.
Sources: :mod:`tapebook.readers.sierra_binary`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from tapebook.kernels import scid
from tapebook.kernels import sierra_depth as kernel
from tapebook.market.events import EVENT, Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.readers.files import Head, open_stream
from tapebook.readers.formats import Format, ReadOptions
from tapebook.readers.sierra_binary import (
    DEPTH,
    check_header,
    multiplier_of,
    read_records,
    refuse_scaled,
    reject_records,
    unix_ns,
)
from tapebook.readers.sierra_names import instrument_of, parse_name

__all__ = ["FORMAT", "open_depth"]

_NOTES: Final = (
    (kernel.NO_COMMANDS, "records_without_command"),
    (kernel.CLEARS, "clears"),
    (kernel.SNAPSHOTS, "snapshots"),
    (kernel.OFF_GRID, "off_grid_prices"),
    (kernel.EMPTY_LEVELS, "levels_set_to_nothing"),
)
_REASONS: Final = {
    kernel.BAD_TIME: ("bad time", "microseconds since 1899-12-30 between 1970 and 2100"),
    kernel.BAD_PRICE: ("bad price", "a finite price below 9.2e9"),
    kernel.BAD_VOLUME: ("bad quantity", "a quantity below 2**31"),
    kernel.BAD_COMMAND: ("bad command", "0 to 7"),
}


def open_depth(path: Path, head: Head, options: ReadOptions) -> Tape:
    """Open a ``.depth`` file.

    Raises
    ------
    TruncatedFile, ReaderError, UnsupportedSchema
        If the header is cut, damaged, or of another version; if prices look scaled and no multiplier is given.
    """
    start = check_header(DEPTH, head)
    named = parse_name(path.name)
    stamp = start["stamp_us"]
    known = stamp[(stamp > scid.UNIX_OF_SIERRA_US) & (stamp < scid.UNIX_OF_SIERRA_US + 4_102_444_800_000_000)]
    instrument = instrument_of(named, options, int(unix_ns(known[0])) if known.size else None)
    levels = start["price"][start["command"] > 1]
    refuse_scaled(levels, instrument.tick_e9, options.price_multiplier, instrument.symbol, path)
    num, den = multiplier_of(options.price_multiplier)
    tape = Tape(
        origin=Origin(
            name=path.name,
            format="sierra-depth",
            schema="depth",
            venue=instrument.venue,
            details={
                "date": named.date,
                "resolution_ns": 1_000_000 if known.size and not (known % 1000).any() else 1_000,
                "price_multiplier": str(options.price_multiplier or 1),
            },
        ),
        read=lambda _max: iter(()),
        instruments=InstrumentTable({1: instrument}),
        quarantine=options.quarantine(),
        progress=Progress(total_bytes=head.size_bytes),
    )

    def read(events_max: int) -> Iterator[Events]:
        state = np.zeros(kernel.N_STATE, np.int64)
        tallies = np.zeros(kernel.N_TALLIES, np.int64)
        with open_stream(path, tape.progress, tape.quarantine) as stream:
            for records, n, first in read_records(stream, DEPTH, str(path), tape.quarantine, tape.notes):
                out = np.empty(n, EVENT)
                bad = np.zeros(n, np.int8)
                made = kernel.events_of_depth(records, n, instrument.tick_e9, num, den, 1, state, tallies, bad, out)
                if bad.any():
                    reject_records(records, bad, first, DEPTH, str(path), tape.quarantine, _REASONS)
                tape.notes.update({name: int(tallies[i]) for i, name in _NOTES if tallies[i]})
                yield from (out[i : min(i + events_max, made)] for i in range(0, made, events_max))
        if state[kernel.IN_BATCH]:
            tape.notes["batches_without_end"] = 1

    tape.read = read
    return tape


def _sniff(head: Head) -> int:
    return 100 if head.data[:4] == DEPTH.magic else 0


FORMAT = Format(
    name="sierra-depth",
    title="Sierra Chart market depth",
    sniff=_sniff,
    open=open_depth,
    example="ESH24-CME.2024-03-01.depth",
)
