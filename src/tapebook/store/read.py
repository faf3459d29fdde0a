"""Out of the lake: the selected files of some sources as one ordinary tape, or as Arrow.

The order is the one in which everything arrived. Within a source that is exact, for any number of instruments: each
event knows its position on the tape (``arrival``). Between sources the clock decides, message by message
(:func:`~tapebook.store.merge.message_clock`); at equal times the source that begins first goes first.

Instrument ids are those of the tapes. Only where two sources use one id for different instruments, or different ids for
one, does the later source's id change; ``notes["instrument_ids_changed"]`` counts the events.

Nothing is believed unchecked: each row group is compared with its CRC before it is decoded, each file's seal with the
manifest, and the number of rows with both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tapebook.market.arrow import check_version, event_schema, from_arrow, to_arrow
from tapebook.market.errors import StoreCorrupted, StoreError
from tapebook.market.events import MISSING, Events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.parquet import SealedFile
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.store.manifest import Source, StoredFile
from tapebook.store.merge import Keyed, Stream, merge, message_clock
from tapebook.store.selection import Selection, first_clock


@dataclass(frozen=True)
class Ids:
    """The instruments of several sources in one table, and which ids had to change for it."""

    instruments: InstrumentTable
    changes: Mapping[str, Mapping[int, int]]  # by source: its id to the tape's, only those that differ


def open_file(root: Path, stored: StoredFile) -> SealedFile:
    """Open a file of the lake and check that it is the one that the manifest lists.

    Raises
    ------
    StoreCorrupted
        If it is gone, damaged, or another one.
    SchemaMismatch
        If its events have another layout.
    """
    path = root / stored.path
    try:
        file = SealedFile(path)
    except FileNotFoundError:
        raise StoreCorrupted(
            "a file of the lake is gone",
            expected=f"{stored.rows} rows of {stored.symbol or 'a table'}",
            found="no file",
            where=str(path),
            remedy="restore it from a copy, or import the original recording again",
        ) from None
    if file.seal != stored.seal or file.rows != stored.rows:
        file.close()
        raise StoreCorrupted(
            "not the file that was imported",
            expected=f"seal {stored.seal}, {stored.rows} rows",
            found=f"seal {file.seal or 'none'}, {file.rows} rows",
            where=str(path),
            remedy="restore it from a copy, or import the original recording again",
        )
    try:
        check_version(file.metadata, str(path))
    except BaseException:
        file.close()
        raise
    return file


def batches(
    root: Path, stored: StoredFile, selection: Selection, progress: Progress, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield the row groups of one file as they were decoded, cut to the selection's time."""
    with open_file(root, stored) as file:
        start = 0
        wanted = None if columns is None else sorted({*columns, "ts_event_ns", "ts_recv_ns"})
        for i, group in enumerate(file.row_groups):
            if selection.takes_clock(group.clock_ns) or (stored.untimed and selection.clock[0] is None):
                table = file.read(i, wanted if selection.by_clock else columns)
                if selection.by_clock:
                    table = _cut(table, selection)
                if table.num_rows:
                    yield table if columns is None else table.select(list(columns))
            progress.done_bytes += group.end_byte - start
            start = group.end_byte
        progress.done_bytes += stored.size_bytes - start


def source_events(root: Path, source: Source, selection: Selection, progress: Progress) -> Iterator[Events]:
    """Yield the events of one source in the order of its tape."""

    def open_stored(stored: StoredFile) -> Iterator[Keyed]:
        last = -1
        for table in batches(root, stored, selection, progress):
            arrival = table["arrival"].to_numpy()
            if arrival[0] <= last or (np.diff(arrival) <= 0).any():
                raise StoreCorrupted(
                    "events are not in the order of their tape",
                    expected="rising positions",
                    where=str(root / stored.path),
                    remedy="import the original recording again",
                )
            last = int(arrival[-1])
            yield arrival, from_arrow(table)

    for _, events in merge([Stream(f.arrival[0], partial(open_stored, f)) for f in source.files]):
        yield events


def open_lake_tape(root: Path, sources: Mapping[str, Source], selection: Selection, name: str) -> Tape:
    """Return the selected events as a tape that can be read again and again."""
    ids = unify_ids(sources, selection)
    progress = Progress(total_bytes=sum(f.size_bytes for s in sources.values() for f in s.files))
    notes: dict[str, int] = {}

    def events_of(source: Source) -> Iterator[Events]:
        change = ids.changes.get(source.id, {})
        for events in source_events(root, source, selection, progress):
            yield _renumber(events, change, notes) if change else events

    def read(_: int) -> Iterator[Events]:
        if len(sources) == 1:
            yield from events_of(next(iter(sources.values())))
            return

        def keyed(source: Source) -> Iterator[Keyed]:
            return message_clock(events_of(source))

        for _keys, events in merge([Stream(first_clock(s.files), partial(keyed, s)) for s in sources.values()]):
            yield events

    venues = {f.venue for s in sources.values() for f in s.files}
    return Tape(
        origin=Origin(
            name=name,
            format="tapebook-lake",
            schema="+".join(sorted({s.origin.schema for s in sources.values()})),
            venue=venues.pop() if len(venues) == 1 else "",
            details={"sources": [{"id": s.id, "name": s.origin.name} for s in sources.values()]},
        ),
        read=read,
        instruments=ids.instruments,
        quarantine=Quarantine(),
        progress=progress,
        notes=notes,
    )


def arrow_batches(root: Path, sources: Mapping[str, Source], selection: Selection) -> Iterator[pa.Table]:
    """Yield the selected events as Arrow in the tape's order, the decoded columns as they lie.

    Rows are rearranged, at the price of a copy, only where files overlap in position or sources in time.
    """
    ids = unify_ids(sources, selection)
    schema = event_schema(ids.instruments)
    if not _in_order(sources) or ids.changes:
        for block in open_lake_tape(root, sources, selection, "").blocks(1 << 18):
            yield pa.Table.from_batches([to_arrow(block)]).replace_schema_metadata(schema.metadata)
        return
    for source in sources.values():
        for stored in sorted(source.files, key=lambda f: f.arrival):
            for table in batches(root, stored, selection, Progress(), schema.names):
                yield table.replace_schema_metadata(schema.metadata)


def unify_ids(sources: Mapping[str, Source], selection: Selection) -> Ids:
    """Give all sources one instrument table; an id stays what it was wherever it can.

    Raises
    ------
    StoreError
        If sources disagree on the lot of an instrument: their quantities mean different things.
    """
    table: dict[int, Instrument] = {}
    first: dict[tuple[str, str], tuple[int, Instrument, str]] = {}  # its first id, words and source
    changes: dict[str, dict[int, int]] = {}
    everything = selection.venues is None and selection.symbols is None and selection.sources is None
    for source in sources.values():
        used = {i for f in source.files for i in f.instrument_ids}
        for own_id, instrument in source.instruments.items():
            if own_id not in used and not everything:
                continue
            key = (instrument.venue, instrument.symbol)
            first_id, known, home = first.setdefault(key, (own_id, instrument, source.id))
            if known.lot_e9 != instrument.lot_e9:
                raise StoreError(
                    f"sources disagree on the lot of {instrument.symbol}",
                    expected=f"{known.lot} (source {home})",
                    found=f"{instrument.lot} (source {source.id})",
                    remedy="read one of them, with sources=…, or import the other again with today's catalogue",
                )
            there = table.get(own_id)
            if there is None and (home == source.id or own_id == first_id):
                new_id = own_id  # a tape may itself use two ids for one instrument
            elif there is not None and (there.venue, there.symbol) == key:
                new_id = own_id
            elif home == source.id and known is instrument:
                new_id = max(table) + 1
                first[key] = (new_id, instrument, source.id)
            else:
                new_id = first_id
            if instrument.tick_e9 or new_id not in table:
                table[new_id] = instrument
            if new_id != own_id:
                changes.setdefault(source.id, {})[own_id] = new_id
    return Ids(InstrumentTable(table), changes)


def _renumber(events: Events, change: Mapping[int, int], notes: dict[str, int]) -> Events:
    ids = events["instrument_id"]
    new = ids.copy()
    for old_id, new_id in change.items():
        new[ids == old_id] = new_id
    n_changed = int((new != ids).sum())
    if not n_changed:
        return events
    notes["instrument_ids_changed"] = notes.get("instrument_ids_changed", 0) + n_changed
    events = events.copy()
    events["instrument_id"] = new
    return events


def _in_order(sources: Mapping[str, Source]) -> bool:
    """Return whether reading file after file gives the tape's order."""
    end = MISSING
    for source in sources.values():
        files = sorted(source.files, key=lambda f: f.arrival)
        if any(a.arrival[1] >= b.arrival[0] for a, b in pairwise(files)):
            return False
        if len(sources) > 1:
            if any(f.clock_ns is None or f.untimed for f in files) or first_clock(files) < end:
                return False
            end = max(f.clock_ns[1] for f in files if f.clock_ns is not None)
    return True


def _cut(table: pa.Table, selection: Selection) -> pa.Table:
    start, end = selection.clock
    clock = pc.coalesce(table["ts_recv_ns"], table["ts_event_ns"]).fill_null(MISSING).to_numpy()
    keep = np.ones(clock.size, bool)
    if start is not None:
        keep &= clock >= start
    if end is not None:
        keep &= clock < end
    return table if keep.all() else table.filter(pa.array(keep))
