"""Is the lake what was imported? Every byte of every file is read and compared.

Severities: ``error``, data are damaged or gone (reading them raises); ``warning``, they are whole but two sources
contradict each other; ``note``, something lies about that does no harm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from tapebook.market.arrow import EVENT_SCHEMA, from_arrow, instruments_of
from tapebook.market.errors import SchemaMismatch, StoreCorrupted, TickDataError
from tapebook.market.events import MISSING, Kind, clock_ns
from tapebook.market.tape import Progress
from tapebook.store import manifest
from tapebook.store.manifest import HOME, Source, StoredFile
from tapebook.store.partitions import ARRIVAL
from tapebook.store.read import open_file
from tapebook.store.selection import overlaps

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is not as it should be."""

    severity: Severity
    path: str  # below the lake
    problem: str
    remedy: str = ""


_KINDS: Final = {int(k): k.name for k in Kind}
_AGAIN: Final = "restore the file from a copy, or import the original recording again"


def verify(root: Path, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield everything that is wrong with the lake at ``root``, manifests first."""
    progress = progress or Progress()
    sources: dict[str, Source] = {}
    for path in sorted(manifest.sources_folder(root).glob("*.json")):
        try:
            sources[path.stem] = manifest.load(path)
        except (StoreCorrupted, SchemaMismatch) as error:
            yield _finding("error", root, path, error)
    gone = {path for s in sources.values() for path in s.replaces}
    sources = {i: manifest.without(s, gone) for i, s in sources.items()}
    progress.total_bytes = sum(f.size_bytes for s in sources.values() for f in s.files)
    for source in sources.values():
        for stored in source.files:
            try:
                yield from _check_file(root, source, stored, progress)
            except TickDataError as error:
                yield _finding("error", root, root / stored.path, error)
    yield from _disagreements(sources)
    for text in overlaps(sources.values()):
        remedy = "read with sources=…, or take one out: tapebook lake remove SOURCE"
        yield Finding(severity="warning", path="", problem=f"told twice: {text}", remedy=remedy)
    yield from _strangers(root, {f.path for s in sources.values() for f in s.files} | gone)


def _check_file(root: Path, source: Source, stored: StoredFile, progress: Progress) -> Iterator[Finding]:
    """Decode a whole file and compare it with what the manifest says; damage is raised."""
    path = root / stored.path
    if path.exists() and path.stat().st_size != stored.size_bytes:
        raise StoreCorrupted(
            "another size", expected=f"{stored.size_bytes} bytes", found=f"{path.stat().st_size} bytes", remedy=_AGAIN
        )
    kinds: dict[str, int] = defaultdict(int)
    clocks: list[tuple[int, int]] = []
    ids: set[int] = set()
    untimed = 0
    last = -1
    start = 0
    with open_file(root, stored) as file:
        if not source.table and [(f.name, f.type) for f in file.schema] != [(f.name, f.type) for f in _FIELDS]:
            raise StoreCorrupted("other columns", expected=str(_FIELDS), found=str(file.schema), remedy=_AGAIN)
        for i, group in enumerate(file.row_groups):
            table = file.read(i)
            progress.done_bytes += group.end_byte - start
            start = group.end_byte
            if source.table:
                continue
            events = from_arrow(table)
            arrival = table["arrival"].to_numpy()
            if arrival[0] <= last or (np.diff(arrival) <= 0).any():
                raise StoreCorrupted("events are not in the order of their tape", where=f"row group {i}", remedy=_AGAIN)
            last = int(arrival[-1])
            for kind, n in zip(*np.unique(events["kind"], return_counts=True), strict=True):
                kinds[_KINDS.get(int(kind), str(kind))] += int(n)
            ids.update(np.unique(events["instrument_id"]).tolist())
            clock = clock_ns(events)
            timed = clock[clock != MISSING]
            untimed += clock.size - timed.size
            span = (int(timed.min()), int(timed.max())) if timed.size else None
            if span != group.clock_ns:
                raise StoreCorrupted("another span of time", expected=f"{group.clock_ns}", found=f"{span}")
            clocks += [] if span is None else [span]
        found = (
            dict(kinds),
            tuple(sorted(ids)),
            untimed,
            last,
            (min(c[0] for c in clocks), max(c[1] for c in clocks)) if clocks else None,
        )
        said = (stored.kinds, stored.instrument_ids, stored.untimed, stored.arrival[1], stored.clock_ns)
        if not source.table and found != said:
            raise StoreCorrupted("not what the manifest lists", expected=f"{said}", found=f"{found}", remedy=_AGAIN)
        if not source.table:
            yield from _check_instruments(source, stored, file.metadata)


_FIELDS: Final = pa.schema([*EVENT_SCHEMA, ARRIVAL])


def _check_instruments(source: Source, stored: StoredFile, metadata: Mapping[bytes, bytes]) -> Iterator[Finding]:
    for instrument_id, instrument in instruments_of(metadata, stored.path).items():
        if (instrument.venue, instrument.symbol) != (stored.venue, stored.symbol):
            problem = f"{instrument.symbol} ({instrument.venue}) in the folder of {stored.symbol} ({stored.venue})"
            yield Finding(severity="error", path=stored.path, problem=problem, remedy=_AGAIN)
        if source.instruments.get(instrument_id) != instrument:
            problem = f"file and manifest disagree on what {instrument.symbol} is"
            yield Finding(severity="error", path=stored.path, problem=problem, remedy=_AGAIN)


def _disagreements(sources: Mapping[str, Source]) -> Iterator[Finding]:
    """Yield where sources take the same instrument for different things."""
    seen: dict[tuple[str, str], tuple[str, int, int]] = {}
    for source in sources.values():
        for instrument in source.instruments.values():
            key = (instrument.venue, instrument.symbol)
            first, lot, tick = seen.setdefault(key, (source.id, instrument.lot_e9, instrument.tick_e9))
            if (lot, tick) != (instrument.lot_e9, instrument.tick_e9):
                yield Finding(
                    severity="warning",
                    path=f"{HOME}/sources/{source.id}.json",
                    problem=f"lot or tick of {instrument.symbol} is another one than in source {first}",
                    remedy="import the older one again, with today's catalogue",
                )


def _strangers(root: Path, listed: set[str]) -> Iterator[Finding]:
    """Yield files that no manifest lists, and what killed imports left."""
    for top in ("venue=*", "tables"):
        for path in sorted(p for folder in root.glob(top) for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(root).as_posix()
            if name not in listed:
                problem = "belongs to no import: readers pass it over"
                yield Finding(severity="note", path=name, problem=problem, remedy="remove it")
    for path in sorted((root / HOME / "incoming").glob("import-*")):
        name = path.relative_to(root).as_posix()
        problem = "an import under way, or what a killed one left"
        yield Finding(severity="note", path=name, problem=problem, remedy="the next import cleans up")


def check_bytes(root: Path, files: Iterable[StoredFile], progress: Progress) -> None:
    """Compare every byte of ``files`` with the CRCs, without decoding: for programs that read them by themselves.

    Raises
    ------
    StoreCorrupted
        At the first file that is not what was imported.
    """
    for stored in files:
        with open_file(root, stored) as file:
            for i in range(len(file.row_groups)):
                file.check(i)
            progress.done_bytes += stored.size_bytes


def _finding(severity: Severity, root: Path, path: Path, error: TickDataError) -> Finding:
    text = error.message
    text += f": expected {error.expected}" if error.expected else ""
    text += f", found {error.found}" if error.found else ""
    return Finding(severity=severity, path=path.relative_to(root).as_posix(), problem=text, remedy=error.remedy)
