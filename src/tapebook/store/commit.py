"""Commits: all of an import or nothing, whatever is killed in between.

The steps, and what a kill leaves behind at each:

1. The tape is written below ``_tapebook/incoming/<name>``, every file forced to disk. Killed: a folder that no one
   holds a lock on; the next import removes it.
2. ``commit.json`` there lists where the files are going. Then, one import at a time, they are renamed into their
   partitions. Killed: files that no manifest lists, which readers do not see; the next import removes them.
3. The manifest is renamed into place: from now on the import counts, and the files of an older edition that it lists in
   ``replaces`` do not. Killed: the next import finishes step 4.
4. The replaced files are removed, and the list of them.

File names hold the source's hash and the file's seal, so that a file is never overwritten by another content.

An older edition: in a partition that both have, an import *replaces* the files of another source if that source has
the same name, format, schema and venue of origin and the import spans all of its time there: the same file, fetched
again when it had grown or was corrected. What it does not span is kept, and if both tell the same thing, reading says
so. A truncated file is refused beside a whole one.

The same content again changes nothing (its first name stays), unless files of it are damaged or replaced: then they are
written anew. That is how a damaged lake is repaired.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tapebook.market.errors import StoreCorrupted, StoreError, TickDataError
from tapebook.market.parquet import sync_folder
from tapebook.market.tape import Progress
from tapebook.store import manifest
from tapebook.store.locks import Incoming, lake_lock, left_over
from tapebook.store.manifest import Source, StoredFile
from tapebook.store.verify import check_bytes

Staged = list[tuple[Path, StoredFile]]
"""Files below ``incoming`` and what is known of them; their ``path`` ends in the part's number yet."""

Span = tuple[int, int] | None
"""Smallest and largest clock; None where no event has a time."""


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """What an import did.

    Attributes
    ----------
    source
        The content's id; empty for an input without rows, which leaves no trace.
    rows
        Events or rows imported.
    files
        What is stored now.
    replaced
        Paths of an older edition's files that are gone.
    again
        True where this content was in the lake already; its files stay as they are, or are written anew if damaged.
    bad_records, truncated, notes
        What the reader quarantined and noticed.
    """

    source: str
    rows: int
    files: tuple[StoredFile, ...] = ()
    replaced: tuple[str, ...] = ()
    again: bool = False
    bad_records: dict[str, int]
    truncated: str
    notes: dict[str, int]


def commit(root: Path, incoming: Path, entry: Source, staged: Staged) -> IngestReport:
    """Make the staged files of ``entry`` count (the caller holds the lake's lock)."""
    tidy(root)
    known, _ = _readable(root)
    files = []
    for _, stored in staged:
        folder, _, part = stored.path.rpartition("/")
        files.append(msgspec.structs.replace(stored, path=f"{folder}/{entry.id}-{part}-{stored.seal}.parquet"))
    names = {f.path for f in files}
    old = known.get(entry.id)
    if old is not None and _whole(root, old):
        return report(old, (), again=True)
    editions = [other for other in known.values() if _same_origin(entry, other)]
    for other in editions if entry.truncated else ():
        if not other.truncated and _older(files, other, _overlap):
            raise StoreError(
                "a truncated file would stand beside a whole one",
                expected=f"all of {entry.origin.name}, as source {other.id} has it",
                found=entry.truncated,
                where=str(root),
                remedy=f"fetch the file again, or remove the source first (tapebook lake remove {other.id})",
            )
    replaced = tuple(f.path for other in editions for f in _older(files, other, _covers))
    stale = tuple(f.path for f in old.files if f.path not in names) if old is not None else ()
    (incoming / "commit.json").write_bytes(msgspec.json.encode(sorted(names)))
    sync_folder(incoming)
    _move(root, [(path, f.path) for (path, _), f in zip(staged, files, strict=True)])
    entry = msgspec.structs.replace(entry, files=tuple(files), replaces=replaced + stale)
    manifest.save(root, entry)
    (incoming / "commit.json").unlink()
    tidy(root)
    return report(entry, replaced, again=old is not None)


def _whole(root: Path, source: Source) -> bool:
    """Return whether all of a source is stored, and every byte of it as it was written."""
    if source.stored_rows != source.rows:
        return False
    try:
        check_bytes(root, source.files, Progress())
    except TickDataError:
        return False
    return True


def _same_origin(entry: Source, other: Source) -> bool:
    if other.id == entry.id or other.table or entry.table:
        return False
    mine, theirs = entry.origin, other.origin
    return (mine.name, mine.format, mine.schema, mine.venue) == (
        theirs.name,
        theirs.format,
        theirs.schema,
        theirs.venue,
    )


def _older(files: list[StoredFile], other: Source, relation: Callable[[Span, Span], bool]) -> list[StoredFile]:
    """Return the files of ``other`` in partitions where the time of ``files`` has that relation to theirs."""
    new = _spans(files)
    found = {key for key, span in _spans(other.files).items() if key in new and relation(new[key], span)}
    return [f for f in other.files if (f.venue, f.symbol, f.date) in found]


def _spans(files: Iterable[StoredFile]) -> dict[tuple[str, str, str], Span]:
    """Return the span of the clock by partition."""
    spans: dict[tuple[str, str, str], Span] = {}
    for f in files:
        key = (f.venue, f.symbol, f.date)
        known = spans.get(key)
        if known is None or f.clock_ns is None:
            spans[key] = known or f.clock_ns
        else:
            spans[key] = min(known[0], f.clock_ns[0]), max(known[1], f.clock_ns[1])
    return spans


def _overlap(new: Span, old: Span) -> bool:
    if new is None or old is None:
        return new is old
    return new[0] <= old[1] and old[0] <= new[1]


def _covers(new: Span, old: Span) -> bool:
    if new is None or old is None:
        return new is old  # both without any time: the name is all there is to go by
    return new[0] <= old[0] and old[1] <= new[1]


def _move(root: Path, moves: list[tuple[Path, str]]) -> None:
    """Rename files to their places, folders made as needed; all of it is on disk when this returns."""
    touched: set[Path] = set()
    for source, path in moves:
        target = root / path
        missing = [p for p in target.parents if p.is_relative_to(root) and not p.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        touched.update(p.parent for p in missing)
        touched.add(target.parent)
        os.replace(source, target)  # noqa: PTH105 - Path.replace has no other meaning, this one says rename(2)
    for folder in touched:
        sync_folder(folder)


def remove(root: Path, source_id: str) -> tuple[str, ...]:
    """Take a source out of the lake and return the paths of its files."""
    with lake_lock(root), Incoming(root) as incoming:
        tidy(root)
        path = manifest.sources_folder(root) / f"{source_id}.json"
        files = tuple(f.path for f in manifest.load(path).files)
        # As a commit that never got its manifest: killed from here on, the next import removes the rest.
        (incoming / "commit.json").write_bytes(msgspec.json.encode(files))
        path.unlink()
        sync_folder(path.parent)
        _unlink(root, files)
        return files


def tidy(root: Path) -> None:
    """Finish what a killed import left (the caller holds the lake's lock)."""
    known, whole = _readable(root)
    for source_id in [s.id for s in known.values() if s.replaces]:
        gone = set(known[source_id].replaces)
        for other in list(known.values()):
            if other.id != source_id and not gone.isdisjoint(f.path for f in other.files):
                known[other.id] = manifest.without(other, gone)
                _keep(root, known[other.id])
        _unlink(root, gone)
        known[source_id] = msgspec.structs.replace(known[source_id], replaces=())
        manifest.save(root, known[source_id])
    for folder in (manifest.sources_folder(root), manifest.sources_folder(root).parent):
        for half_written in folder.glob(".*.part"):
            half_written.unlink()
    listed = {f.path for s in known.values() for f in s.files}
    for folder in left_over(root):
        targets = folder / "commit.json"
        # With a manifest unreadable no one knows what it lists: then nothing is removed but the folder.
        if targets.exists() and whole:
            try:
                paths = msgspec.json.decode(targets.read_bytes(), type=list[str])
            except msgspec.DecodeError:  # killed while writing it: nothing had been moved yet
                paths = []
            _unlink(root, [p for p in paths if p not in listed])
        shutil.rmtree(folder, ignore_errors=True)


def _readable(root: Path) -> tuple[dict[str, Source], bool]:
    """Return the manifests as they are, and whether all of them could be read.

    An import must be able to repair a lake with damaged manifests, so here they are passed over.
    """
    known = {}
    whole = True
    for path in sorted(manifest.sources_folder(root).glob("*.json")):
        try:
            known[path.stem] = manifest.load(path)
        except StoreCorrupted:
            whole = False
    return known, whole


def _keep(root: Path, source: Source) -> None:
    """Save a source that lost files; one that lost all of them is gone."""
    if source.files:
        manifest.save(root, source)
    else:
        (manifest.sources_folder(root) / f"{source.id}.json").unlink()


def _unlink(root: Path, paths: Iterable[str]) -> None:
    """Remove files, and the folders that become empty."""
    for path in paths:
        target = root / path
        target.unlink(missing_ok=True)
        for folder in target.parents:
            if folder == root:
                break
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def report(entry: Source, replaced: tuple[str, ...], *, again: bool) -> IngestReport:
    """Return what is told of an import."""
    return IngestReport(
        source=entry.id,
        rows=entry.rows,
        files=entry.files,
        replaced=replaced,
        again=again,
        bad_records=entry.bad_records,
        truncated=entry.truncated,
        notes=entry.notes,
    )
