"""The lake: events on disk as Parquet by venue, instrument and trade date, and back as the same tape.

::

    lake/
      venue=CME/symbol=ESH4/date=2023-12-26/<source>-<part>-<seal>.parquet     events
      tables/schema=bars-1m/<source>-0-<seal>.parquet                          bars, definitions
      _tapebook/sources/<source>.json                                          what an import is made of
      _tapebook/incoming/                                                      imports under way

The files are ordinary Parquet with hive partitions: ``pl.scan_parquet("lake/venue=*/**/*.parquet")`` or DuckDB read
them. Read through :class:`Lake`, they are checked, in the order of arrival, and only what was imported as a whole.

Rules:

* The trade date is that of the instrument's session calendar at the event's clock (receive time, or the venue's where
  nothing was received).
* The same content is stored once, under whatever name it comes. The same file fetched again (grown, corrected) replaces
  its older self in the partitions that both have (:mod:`tapebook.store.commit`).
* Different sources that tell the same things of the same time are kept, and reading refuses to mix them
  (:mod:`tapebook.store.selection`).

Figures (docs/lake.md says how measured): 8-9 bytes an event; import 2-3 M events/s and reading 6-9 M events/s on one
core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tapebook.market.arrow import event_schema
from tapebook.market.errors import StoreError
from tapebook.market.instruments import InstrumentTable
from tapebook.market.tape import Progress, Table, Tape
from tapebook.store import commit as _commit
from tapebook.store import home, manifest
from tapebook.store.commit import IngestReport
from tapebook.store.ingest import ingest
from tapebook.store.manifest import Source, StoredFile
from tapebook.store.read import arrow_batches, open_file, open_lake_tape, unify_ids
from tapebook.store.selection import Moment, Selection, Words, chosen, overlaps, select
from tapebook.store.verify import Finding, verify

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, kw_only=True)
class LakeEntry:
    """One partition, as :meth:`Lake.ls` lists it."""

    venue: str
    symbol: str
    date: str  # empty where no event had a time
    events: int
    size_bytes: int
    first_ns: int | None
    last_ns: int | None
    kinds: dict[str, int]
    sources: tuple[str, ...]


class Lake:
    """A lake in a folder.

    Parameters
    ----------
    path
        The folder. It is made a lake by the first import, if it is empty or not there yet.

    Examples
    --------
    >>> import tempfile
    >>> from tapebook.market.events import Kind, empty_events
    >>> from tapebook.market.instruments import Instrument, InstrumentTable
    >>> from tapebook.market.tape import Origin
    >>> e = empty_events(2)
    >>> e["ts_event_ns"], e["kind"], e["price"], e["qty_lots"], e["instrument_id"] = [5, 6], Kind.TRADE, 10**9, 1, 1
    >>> table = InstrumentTable({1: Instrument(symbol="AMZN", venue="XNAS")})
    >>> tape = Tape(origin=Origin(name="a.csv", format="example"), read=lambda n: iter([e]), instruments=table)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     lake = Lake(folder)
    ...     report = lake.ingest(tape)
    ...     same = lake.tape("XNAS", "AMZN").events().tobytes() == e.tobytes()
    ...     [(x.symbol, x.date, x.events) for x in lake.ls()], same, list(lake.verify())
    ([('AMZN', '1970-01-01', 2)], True, [])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def ingest(self, source: Tape | Table) -> IngestReport:
        """Import a tape or table, all of it or nothing, in one pass and bounded memory.

        Importing the same content again leaves the same lake. Follow ``source.progress`` from another thread to see
        how far it is.

        Raises
        ------
        StoreError
            If the folder holds something else than a lake, or a truncated file would replace a whole one.
        SchemaMismatch
            If another version of the program made the lake.
        """
        home.make(self.path)
        return ingest(self.path, source)

    def sources(self) -> dict[str, Source]:
        """Return everything that was imported, by id."""
        home.check(self.path)
        return manifest.load_all(self.path)

    def ls(
        self,
        venue: Words = None,
        symbol: Words = None,
        start: Moment = None,
        end: Moment = None,
        *,
        sources: Words = None,
    ) -> list[LakeEntry]:
        """List the partitions, sorted by venue, symbol and date."""
        found = chosen(select(venue, symbol, start, end, sources), self.sources())
        by_key: dict[tuple[str, str, str], list[tuple[str, StoredFile]]] = {}
        for source in found.values():
            for f in source.files:
                by_key.setdefault((f.venue, f.symbol, f.date), []).append((source.id, f))
        return [_entry(key, files) for key, files in sorted(by_key.items())]

    def tape(
        self,
        venue: Words = None,
        symbol: Words = None,
        start: Moment = None,
        end: Moment = None,
        *,
        sources: Words = None,
        mix: bool = False,
    ) -> Tape:
        """Return stored events as an ordinary tape: the same events, bit for bit, in the order in which they arrived.

        Parameters
        ----------
        venue, symbol
            One or several; all by default.
        start, end
            Dates (or ``YYYY-MM-DD``) are trade dates, both included. Integers are ns on the clock, ``start`` included
            and ``end`` not; events without a time are then part of a tape without ``start`` only.
        sources
            Ids (or beginnings of ids) of the imports to read; all by default.
        mix
            Merge sources even if they tell the same things of the same time.

        Raises
        ------
        StoreError
            If nothing is there, or if sources overlap and ``mix`` is False.
        StoreCorrupted
            While reading, if a file is not what was written.
        """
        selection, found = self.choose(venue, symbol, start, end, sources=sources, mix=mix)
        return open_lake_tape(self.path, found, selection, self.path.name or str(self.path))

    def arrow(
        self,
        venue: Words = None,
        symbol: Words = None,
        start: Moment = None,
        end: Moment = None,
        *,
        sources: Words = None,
        mix: bool = False,
    ) -> pa.Table:
        """Return the events of :meth:`tape` as one Arrow table of :data:`~tapebook.market.arrow.EVENT_SCHEMA`.

        The columns are those that were decoded, not copied again (but rearranged where several files overlap).
        """
        selection, found = self.choose(venue, symbol, start, end, sources=sources, mix=mix)
        schema = event_schema(unify_ids(found, selection).instruments)
        tables = list(arrow_batches(self.path, found, selection))
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def polars(
        self,
        venue: Words = None,
        symbol: Words = None,
        start: Moment = None,
        end: Moment = None,
        *,
        sources: Words = None,
        mix: bool = False,
    ) -> pl.DataFrame:
        """Return the events of :meth:`tape` as a polars frame over the memory of :meth:`arrow`."""
        import polars as pl

        table = self.arrow(venue, symbol, start, end, sources=sources, mix=mix)
        frame = pl.from_arrow(table, rechunk=False)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def paths(
        self,
        venue: Words = None,
        symbol: Words = None,
        start: Moment = None,
        end: Moment = None,
        *,
        sources: Words = None,
    ) -> list[Path]:
        """Return the Parquet files that hold the selected events, for programs that read them by themselves."""
        found = chosen(select(venue, symbol, start, end, sources), self.sources())
        files = [f for source in found.values() for f in source.files]
        return [self.path / f.path for f in sorted(files, key=lambda f: (f.venue, f.symbol, f.date, f.path))]

    def tables(self) -> dict[str, Source]:
        """Return the imported tables (bars, definitions …) by id."""
        return {i: s for i, s in self.sources().items() if s.table}

    def table(self, source: str) -> Table:
        """Return an imported table, given its id or the beginning of one.

        Raises
        ------
        StoreError
            If there is none, or several.
        """
        found = [s for i, s in self.tables().items() if i.startswith(source)]
        if len(found) != 1:
            raise StoreError(
                "no such table in the lake" if not found else "several tables have ids that begin so",
                expected=", ".join(s.id for s in found or self.tables().values()) or "a table",
                found=source,
                remedy="see tapebook lake ls --sources",
            )
        entry = found[0]
        with open_file(self.path, entry.files[0]) as file:
            schema = file.schema
        progress = Progress(total_bytes=sum(f.size_bytes for f in entry.files))
        return Table(
            origin=entry.origin,
            schema=schema,
            read=partial(_table_batches, self.path, entry.files, progress),
            instruments=InstrumentTable(entry.instruments),
            progress=progress,
        )

    def verify(self, progress: Progress | None = None) -> Iterator[Finding]:
        """Compare every byte with what was imported and yield what is wrong; nothing is changed."""
        home.check(self.path)
        return verify(self.path, progress)

    def remove(self, source: str) -> tuple[str, ...]:
        """Take one import out of the lake, given its id or the beginning of one; return the paths of its files.

        Raises
        ------
        StoreError
            If there is none, or several.
        """
        found = [i for i in self.sources() if source and i.startswith(source)]
        if len(found) != 1:
            raise StoreError(
                "no such source in the lake" if not found else "several sources have ids that begin so",
                expected="one id of tapebook lake ls --sources",
                found=source,
                remedy="give the whole id",
            )
        return _commit.remove(self.path, found[0])

    def choose(
        self,
        venue: Words = None,
        symbol: Words = None,
        start: Moment = None,
        end: Moment = None,
        *,
        sources: Words = None,
        mix: bool = False,
    ) -> tuple[Selection, dict[str, Source]]:
        """Return the sources that :meth:`tape` would read, with only the files that it would open.

        Raises
        ------
        StoreError
            As :meth:`tape`.
        """
        selection = select(venue, symbol, start, end, sources)
        known = self.sources()
        found = chosen(selection, known)
        if not found:
            there = sorted({f"{f.venue}/{f.symbol}" for s in known.values() if not s.table for f in s.files})
            raise StoreError(
                "the lake holds no such events",
                expected=", ".join(there[:20]) + (" …" if len(there) > 20 else "") or "an import first",
                found=f"venue {venue or 'any'}, symbol {symbol or 'any'}, {start or 'start'} to {end or 'end'}",
                where=str(self.path),
                remedy="see tapebook lake ls",
            )
        twice = [] if mix else overlaps(found.values(), selection)
        if twice:
            raise StoreError(
                "two sources tell the same thing",
                expected="each event once",
                found="; ".join(twice[:3]) + (" …" if len(twice) > 3 else ""),
                where=str(self.path),
                remedy="choose with sources=… (--source), or take one out: tapebook lake remove SOURCE",
            )
        return selection, found


def _entry(key: tuple[str, str, str], files: list[tuple[str, StoredFile]]) -> LakeEntry:
    kinds: dict[str, int] = {}
    spans = [f.clock_ns for _, f in files if f.clock_ns is not None]
    for _, f in files:
        for kind, n in f.kinds.items():
            kinds[kind] = kinds.get(kind, 0) + n
    return LakeEntry(
        venue=key[0],
        symbol=key[1],
        date=key[2],
        events=sum(f.rows for _, f in files),
        size_bytes=sum(f.size_bytes for _, f in files),
        first_ns=min((s[0] for s in spans), default=None),
        last_ns=max((s[1] for s in spans), default=None),
        kinds=dict(sorted(kinds.items())),
        sources=tuple(sorted({i for i, _ in files})),
    )


def _table_batches(root: Path, files: tuple[StoredFile, ...], progress: Progress) -> Iterator[Any]:
    for stored in files:
        with open_file(root, stored) as file:
            for i in range(len(file.row_groups)):
                yield from file.read(i).to_batches()
        progress.done_bytes += stored.size_bytes
