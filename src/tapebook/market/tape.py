"""Tapes and tables: what readers, venues and simulators hand up.

A :class:`Tape` streams events; a :class:`Table` streams rows that are no events (bars, definitions, statistics).
Both can be read again from the start, know where they come from, and quarantine what they could not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tapebook.market.events import EVENT, Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_EVENTS: Final = 1 << 16
"""Events in a block unless told otherwise: 4 MiB, large enough that a compiled call costs nothing beside its work."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a tape or table comes from."""

    name: str  # a file name, a session, ``sim:es``
    format: str  # the reader's name: ``dbn``, ``lobster``, ``tardis-csv`` …
    schema: str = ""  # the format's own word for what is inside: ``mbo``, ``trades`` …
    venue: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)  # what else the source says of itself (JSON-able)


@dataclass
class Progress:
    """How far a source has been read; readers update it, command lines draw it."""

    done_bytes: int = 0
    total_bytes: int = 0  # 0: unknown


@dataclass(kw_only=True)
class Tape:
    """A run of events of one or more instruments, in arrival order, with where it came from.

    ``read`` is what makes it: called with the largest block size wanted, it yields arrays of
    :data:`~tapebook.market.events.EVENT` in arrival order, from the start, each time it is called.
    """

    origin: Origin
    read: Callable[[int], Iterator[Events]]
    instruments: InstrumentTable = field(default_factory=InstrumentTable)
    quarantine: Quarantine = field(default_factory=Quarantine)
    progress: Progress = field(default_factory=Progress)
    notes: dict[str, int] = field(default_factory=dict)  # counts of what the reader noticed: resyncs, gaps, corrections

    def blocks(self, events_max: int = BLOCK_EVENTS) -> Iterator[Events]:
        """Stream the events from the start in blocks of at most ``events_max``; none of them is empty."""
        self.quarantine.reset()
        self.notes.clear()
        self.progress.done_bytes = 0
        for block in self.read(events_max):
            for start in range(0, block.size, events_max):
                yield block[start : start + events_max]

    def events(self) -> Events:
        """Return the whole tape as one array (it must fit into memory)."""
        blocks = list(self.blocks())
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=EVENT)


@dataclass(kw_only=True)
class Table:
    """Rows that are no events: bars, instrument definitions, statistics, depth by distance.

    ``read`` yields Arrow record batches of ``schema``. Bars have the columns ``ts_event_ns`` (start of the bar, int64),
    ``symbol``, ``open high low close`` (float64) and ``volume`` (int64 or float64), then what the source adds;
    ``origin.schema`` starts with ``bars`` for them.
    """

    origin: Origin
    schema: pa.Schema
    read: Callable[[], Iterator[pa.RecordBatch]]
    instruments: InstrumentTable = field(default_factory=InstrumentTable)
    quarantine: Quarantine = field(default_factory=Quarantine)
    progress: Progress = field(default_factory=Progress)
    notes: dict[str, int] = field(default_factory=dict)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Stream the rows from the start."""
        self.quarantine.reset()
        self.notes.clear()
        self.progress.done_bytes = 0
        yield from self.read()

    def table(self) -> pa.Table:
        """Return all rows as one Arrow table."""
        import pyarrow as pa

        return pa.Table.from_batches(list(self.batches()), schema=self.schema)
