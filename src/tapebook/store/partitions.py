"""One pass over a tape into many Parquet files: split by instrument and trade date, in bounded memory.

Events wait in a buffer per partition until they fill a row group. A trade date that the tape has left behind is
finished ``LEFT_EVENTS`` later. Two limits keep a tape of thousands of instruments in bounds: when all buffers together
hold ``PENDING_EVENTS_MAX``, the fullest is written out as a smaller row group; when ``OPEN_FILES_MAX`` files are open,
the one that was written to longest ago is finished. Where more comes for a finished partition, it goes on in another
file (``part``). What is written depends on the tape alone, not on time or chance: the same tape gives the same bytes.

Each event is stored with its position on the tape (``arrival``), which is what puts several partitions together again
in the order in which everything arrived. It costs next to nothing where a partition holds runs of the tape.

Cost: splitting a block of one instrument and date 3-8 ns an event (the calendar), of many a stable sort besides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tapebook.market.arrow import EVENT_SCHEMA, event_metadata, to_arrow
from tapebook.market.events import EVENT, MISSING, Events, Kind, clock_ns
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.parquet import EVENT_ENCODINGS, ROW_GROUP_EVENTS, SealedWriter
from tapebook.market.sessions import calendar
from tapebook.market.tape import Origin
from tapebook.store.manifest import StoredFile, partition

PENDING_EVENTS_MAX: Final = 1 << 20
"""Events held in buffers at most: 64 MiB of records."""

LEFT_EVENTS: Final = 1 << 17
"""Events of the tape after which a partition is finished if its instrument has moved on to another trade date."""

OPEN_FILES_MAX: Final = 128

ARRIVAL: Final = pa.field("arrival", pa.int64(), nullable=False)
"""Position on the tape that was imported."""

UNDATED: Final = ""

_KIND_NAMES: Final = {int(k): k.name for k in Kind}


@dataclass
class _Partition:
    """What is open for one venue, symbol and trade date."""

    venue: str
    symbol: str
    date: str
    folder: str
    pending: deque[tuple[Events, NDArray[np.int64]]] = field(default_factory=deque)
    n_pending: int = 0
    part: int = 0
    writer: SealedWriter | None = None
    used: int = 0  # when it was written to last, as a count
    fed: int = 0  # position on the tape of the last event it was given
    rows: int = 0
    untimed: int = 0
    clock: tuple[int, int] | None = None
    arrival: tuple[int, int] = (0, 0)
    kinds: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    ids: set[int] = field(default_factory=set)


class PartitionedWriter:
    """Write the blocks of one tape below ``folder``, to be moved into a lake afterwards.

    Parameters
    ----------
    folder
        An empty folder of our own.
    origin
        Stored in each file.
    instruments
        The tape's table; it may grow while the tape is read. An id that it does not hold becomes an instrument
        ``id-<number>`` of the origin's venue (or UNKNOWN).
    """

    def __init__(
        self,
        folder: Path,
        origin: Origin,
        instruments: InstrumentTable,
        *,
        pending_events_max: int = PENDING_EVENTS_MAX,
        open_files_max: int = OPEN_FILES_MAX,
    ) -> None:
        self.named: dict[int, Instrument] = {}  # instruments of the events so far
        self.n_events = 0
        self._folder = folder
        self._origin = origin
        self._instruments = instruments
        self._pending_events_max = pending_events_max
        self._open_files_max = open_files_max
        self._schema = pa.schema([*EVENT_SCHEMA, ARRIVAL], metadata=event_metadata(origin=origin))
        self._partitions: dict[tuple[str, str, str], _Partition] = {}
        self._last_date: dict[tuple[str, str], str] = {}
        self._n_pending = 0
        self._n_open = 0
        self._n_files = 0
        self._uses = 0
        self._done: list[tuple[Path, StoredFile]] = []
        self._events = np.empty(
            ROW_GROUP_EVENTS, EVENT
        )  # used again and again: fresh pages would cost more than the copy
        self._arrival = np.empty(ROW_GROUP_EVENTS, np.int64)
        self._left: dict[tuple[str, str, str], _Partition] = {}  # of dates that their instrument has moved on from

    def add(self, block: Events) -> None:
        """Take the next events of the tape."""
        arrival = np.arange(self.n_events, self.n_events + block.size, dtype=np.int64)
        self.n_events += block.size
        for (venue, symbol), instrument, rows in self._by_instrument(block):
            events, at = (block, arrival) if rows is None else (block[rows], arrival[rows])
            for date, cut in self._by_date((venue, symbol), instrument, events):
                self._append((venue, symbol, date), events[cut], at[cut])
        for key, part in list(self._left.items()):
            if self.n_events - part.fed > LEFT_EVENTS:
                self._flush(part)
                self._close(part)
                del self._left[key]
        while self._n_pending > self._pending_events_max:
            self._flush(max(self._partitions.values(), key=lambda p: p.n_pending))

    def finish(self) -> list[tuple[Path, StoredFile]]:
        """Write out everything and return the files with what is known of them (``path`` ends in the part's number)."""
        for part in self._partitions.values():
            self._flush(part)
            self._close(part)
        return self._done

    def abandon(self) -> None:
        """Close what is open; nothing that was written counts."""
        for part in self._partitions.values():
            if part.writer is not None:
                part.writer.abandon()

    def _by_instrument(self, block: Events) -> Iterator[tuple[tuple[str, str], Instrument, NDArray[np.intp] | None]]:
        ids = block["instrument_id"]
        if (ids == ids[0]).all():
            instrument = self._name(int(ids[0]))
            yield (instrument.venue, instrument.symbol), instrument, None
            return
        unique, inverse = np.unique(ids, return_inverse=True)
        slots: dict[tuple[str, str], int] = {}  # two ids may name one instrument: their events stay in order
        found = [self._name(int(i)) for i in unique]
        slot_of = np.array([slots.setdefault((i.venue, i.symbol), len(slots)) for i in found])
        slot = slot_of[inverse]
        order = np.argsort(slot, kind="stable")
        edges = np.searchsorted(slot[order], np.arange(len(slots) + 1))
        by_key = {(i.venue, i.symbol): i for i in found}
        for key, n in slots.items():
            yield key, by_key[key], order[edges[n] : edges[n + 1]]

    def _name(self, instrument_id: int) -> Instrument:
        known = self.named.get(instrument_id)
        if known is None:
            known = self._instruments.get(instrument_id) or Instrument(
                symbol=f"id-{instrument_id}", venue=self._origin.venue or "UNKNOWN"
            )
            self.named[instrument_id] = known
        return known

    def _by_date(
        self, key: tuple[str, str], instrument: Instrument, events: Events
    ) -> Iterator[tuple[str, slice | NDArray[np.intp]]]:
        clock = clock_ns(events)
        dates = calendar(instrument.calendar).trade_dates(clock, outside="missing")
        unknown = np.isnat(dates)
        if unknown.any():
            # Beyond the calendar's years the UTC day stands in; an event without a time stays with the one before it.
            dates = np.where(unknown, clock.view("M8[ns]").astype("M8[D]"), dates)
            last = np.maximum.accumulate(np.where(np.isnat(dates), -1, np.arange(dates.size)))
            dates = np.where(last >= 0, dates[last], np.datetime64(self._last_date.get(key) or "NaT", "D"))
        before = (*key, self._last_date.get(key, UNDATED))
        self._last_date[key] = _iso(dates[-1])
        if before in self._partitions and before[2] != self._last_date[key]:
            self._left[before] = self._partitions[before]
        edges = np.flatnonzero(dates[1:] != dates[:-1]) + 1
        if edges.size < 16:  # runs of one date, as they come: a slice costs nothing
            for start, end in pairwise([0, *edges.tolist(), dates.size]):
                yield _iso(dates[start]), slice(start, end)
            return
        unique, inverse = np.unique(dates, return_inverse=True)
        for i, date in enumerate(unique):
            yield _iso(date), np.flatnonzero(inverse == i)

    def _append(self, key: tuple[str, str, str], events: Events, arrival: NDArray[np.int64]) -> None:
        part = self._partitions.get(key)
        if part is None:
            part = self._partitions[key] = _Partition(*key, folder=partition(*key))
        part.fed = int(arrival[-1])
        if key[2] != self._last_date[key[:2]]:
            self._left[key] = part
        else:
            self._left.pop(key, None)
        part.pending.append((events, arrival))
        part.n_pending += events.size
        self._n_pending += events.size
        if part.n_pending >= ROW_GROUP_EVENTS:
            self._flush(part, whole_groups=True)

    def _flush(self, part: _Partition, *, whole_groups: bool = False) -> None:
        """Write what waits (only whole row groups of it, if asked); the rest goes on waiting."""
        left = part.n_pending - part.n_pending % ROW_GROUP_EVENTS if whole_groups else part.n_pending
        while left:
            n = min(left, ROW_GROUP_EVENTS)
            self._gather(part, n)
            self._write(part, self._events[:n], self._arrival[:n])
            left -= n

    def _gather(self, part: _Partition, n: int) -> None:
        """Move ``n`` waiting events into the one array that row groups are written from."""
        done = 0
        while done < n:
            events, arrival = part.pending[0]
            take = min(n - done, events.size)
            self._events[done : done + take] = events[:take]
            self._arrival[done : done + take] = arrival[:take]
            if take == events.size:
                part.pending.popleft()
            else:
                part.pending[0] = events[take:], arrival[take:]
            done += take
        part.n_pending -= n
        self._n_pending -= n

    def _write(self, part: _Partition, events: Events, arrival: NDArray[np.int64]) -> None:
        if part.writer is None:
            self._open(part)
        assert part.writer is not None
        self._uses += 1
        part.used = self._uses
        clock = clock_ns(events)
        timed = clock[clock != MISSING]
        span = (int(timed.min()), int(timed.max())) if timed.size else None
        columns = [*to_arrow(events).columns, pa.array(arrival)]
        part.writer.write(pa.RecordBatch.from_arrays(columns, schema=self._schema), span)
        part.arrival = (part.arrival[0] if part.rows else int(arrival[0]), int(arrival[-1]))
        part.rows += events.size
        part.untimed += events.size - timed.size
        part.kinds += np.bincount(events["kind"], minlength=256)
        part.ids.update(np.unique(events["instrument_id"]).tolist())
        if span is not None:
            part.clock = span if part.clock is None else (min(part.clock[0], span[0]), max(part.clock[1], span[1]))

    def _open(self, part: _Partition) -> None:
        if self._n_open >= self._open_files_max:
            self._close(min((p for p in self._partitions.values() if p.writer is not None), key=lambda p: p.used))
        part.writer = SealedWriter(self._folder / f"{self._n_files}.part", self._schema, EVENT_ENCODINGS)
        self._n_open += 1
        self._n_files += 1

    def _close(self, part: _Partition) -> None:
        if part.writer is None:
            return
        own = InstrumentTable({i: self.named[i] for i in part.ids})
        seal = part.writer.close(event_metadata(own, self._origin))
        stored = StoredFile(
            path=f"{part.folder}/{part.part}",
            venue=part.venue,
            symbol=part.symbol,
            date=part.date,
            seal=seal,
            size_bytes=part.writer.path.stat().st_size,
            rows=part.rows,
            clock_ns=part.clock,
            untimed=part.untimed,
            arrival=part.arrival,
            kinds={_KIND_NAMES.get(int(k), str(k)): int(part.kinds[k]) for k in np.flatnonzero(part.kinds)},
            instrument_ids=tuple(sorted(part.ids)),
        )
        self._done.append((part.writer.path, stored))
        self._n_open -= 1
        part.part += 1
        part.writer, part.rows, part.untimed, part.clock = None, 0, 0, None
        part.kinds = np.zeros(256, np.int64)
        part.ids = set()


def _iso(date: np.datetime64) -> str:
    return UNDATED if np.isnat(date) else str(date)
