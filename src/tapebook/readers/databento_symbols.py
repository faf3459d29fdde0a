"""Which instrument a Databento record is about: by publisher, number and date.

The vendor's ``instrument_id`` is a number that may mean another symbol on another day (US stocks change it daily), and
the same number for every venue of a consolidated dataset. A file's metadata, or symbol-mapping and definition records
within the stream, say what it means and when. Here each (publisher, number, span of time) becomes one of the tape's
instruments; one instrument keeps one id over the whole tape: the vendor's first number for it where that is free.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import msgspec
import numpy as np

from tapebook.kernels.dbn_words import N_ROWS, Instruments, Memory
from tapebook.market.catalog import instrument_for
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.readers.databento_venues import belongs, dataset_of, kind_of, venue_of

EVER: Final = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
"""A span without bounds."""


class Names:
    """Learns what numbers mean, and keeps the rows in which the kernel looks them up.

    Parameters
    ----------
    dataset
        The vendor's name of it; empty where it is not known.
    table
        The tape's instruments; it grows as they appear. It outlives this object, which is made anew for each reading.
    symbol, venue
        What the user says; ``symbol`` counts where the file names none.
    on_ns
        A time of the data, for one-digit years of contracts.
    """

    def __init__(
        self, dataset: str, table: InstrumentTable, *, symbol: str = "", venue: str = "", on_ns: int | None = None
    ) -> None:
        self.dataset = dataset
        self.table = table
        self.notes: dict[str, int] = {}
        self._symbol = symbol
        self._venue = venue
        self._on_ns = on_ns
        self._spans: dict[int, list[tuple[int, int, str]]] = {}  # what was learned last stands first
        self._ticks: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self._ids = {(i.venue, i.symbol): known for known, i in table.items()}
        self._free = 1
        self.rows = Instruments(*(np.zeros(64, np.int64) for _ in range(5)))
        self.n_rows = 0

    @property
    def n_slots(self) -> int:
        """How many instruments the rows tell of."""
        return len(self._slots)

    @property
    def numbers(self) -> list[int]:
        """The numbers that have a name."""
        return list(self._spans)

    def learn(self, number: int, symbol: str, start_ns: int = EVER[0], end_ns: int = EVER[1]) -> None:
        """Take in that ``number`` means ``symbol`` from ``start_ns`` until before ``end_ns``; later news win."""
        if start_ns < end_ns and symbol:
            self._spans.setdefault(number, []).insert(0, (start_ns, end_ns, symbol))
            self._forget(number)

    def define(self, number: int, symbol: str, tick_e9: int) -> None:
        """Take in an instrument definition: its tick counts before the catalogue's."""
        if tick_e9 > 0:
            self._ticks[number] = tick_e9
        if number not in self._spans:
            self.learn(number, symbol)

    def symbol_at(self, number: int, ts_ns: int) -> tuple[str, int, int]:
        """Return the symbol of a number at a time, and the span around it in which that stays true."""
        spans = self._spans.get(number)
        if not spans:
            return self._symbol or str(number), *EVER
        edges = sorted({EVER[0], EVER[1], *(s for s, _, _ in spans), *(e for _, e, _ in spans)})
        i = min(bisect_right(edges, ts_ns), len(edges) - 1)
        start_ns, end_ns = edges[i - 1], edges[i]
        for first, end, symbol in spans:
            if first <= ts_ns < end:
                return symbol, start_ns, end_ns
        # Outside every span: the nearest one. A session's first records may be older than its date.
        nearest = min(spans, key=lambda span: min(abs(ts_ns - span[0]), abs(ts_ns - span[1])))
        return nearest[2], start_ns, end_ns

    def instrument_id(self, key: int, ts_ns: int) -> int:
        """Return our id of publisher << 32 | number at a time, adding its row for the kernel."""
        publisher, number = key >> 32, key & 0xFFFFFFFF
        symbol, start_ns, end_ns = self.symbol_at(number, ts_ns)
        spans = self._spans.get(number)
        if not spans:
            self._note("unmapped_instruments")
        elif not any(s <= ts_ns < e for s, e, _ in spans):
            self._note("records_outside_symbol_dates")
        if not belongs(publisher, self.dataset):
            self._note("foreign_publishers")
        venue = self._venue or venue_of(publisher, self.dataset)
        found = self._place(self._instrument(symbol, venue, publisher, number, ts_ns), number)
        self._insert(key, start_ns, end_ns, found)
        return found

    def _instrument(self, symbol: str, venue: str, publisher: int, number: int, ts_ns: int) -> Instrument:
        tick = self._ticks.get(number, 0)
        instrument = instrument_for(
            symbol,
            venue,
            kind=kind_of(self.dataset or dataset_of(publisher)),
            tick_e9=tick,
            lot_e9=PRICE_SCALE,
            on_ns=self._on_ns if self._on_ns is not None else ts_ns,
        )
        if tick and instrument.tick_e9 != tick:
            if instrument.tick_e9:
                self._note("tick_differs_from_catalogue")
            instrument = msgspec.structs.replace(instrument, tick_e9=tick)
        return instrument

    def _place(self, instrument: Instrument, number: int) -> int:
        """Return the instrument's id: the one it has, else the vendor's number, else the smallest free one."""
        key = (instrument.venue, instrument.symbol)
        known = self._ids.get(key)
        if known is not None:
            return known
        wanted = number
        if wanted == 0 or wanted in self.table:
            while self._free in self.table:
                self._free += 1
            wanted = self._free
        self._ids[key] = self.table.add(instrument, wanted)
        return self._ids[key]

    def _insert(self, key: int, start_ns: int, end_ns: int, instrument_id: int) -> None:
        slot = self._slots.setdefault(instrument_id, len(self._slots))
        n = self.n_rows
        if n == self.rows.key.size:
            self.rows = Instruments(*(np.concatenate([column, np.zeros_like(column)]) for column in self.rows))
        first = int(np.searchsorted(self.rows.key[:n], key))
        end = int(np.searchsorted(self.rows.key[:n], key, side="right"))
        at = first + int(np.searchsorted(self.rows.start_ns[first:end], start_ns))
        for column, value in zip(self.rows, (key, start_ns, end_ns, instrument_id, slot), strict=True):
            column[at + 1 : n + 1] = column[at:n].copy()
            column[at] = value
        self.n_rows = n + 1

    def _forget(self, number: int) -> None:
        keep = (self.rows.key[: self.n_rows] & 0xFFFFFFFF) != number
        if keep.all():
            return
        n = int(keep.sum())
        for column in self.rows:
            column[:n] = column[: self.n_rows][keep]
        self.n_rows = n

    def _note(self, name: str) -> None:
        self.notes[name] = self.notes.get(name, 0) + 1

    def serve(self, memory: Memory, key: int, ts_ns: int) -> Memory:
        """Answer the kernel's question; return its memory with room for the new instrument."""
        self.instrument_id(key, ts_ns)
        memory.head[N_ROWS] = self.n_rows
        if self.n_slots > memory.open_at.size:
            more = max(64, self.n_slots)
            open_at = np.concatenate([memory.open_at, np.full(more, -1, np.int64)])
            open_slots = np.concatenate([memory.open_slots, np.zeros(more, np.int64)])
            memory = memory._replace(open_at=open_at, open_slots=open_slots)
        return memory
