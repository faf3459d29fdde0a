"""A captured session beside its journal: whether every row is there that the frames hold, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from tapebook.market.quarantine import Quarantine
from tapebook.store.batches import Batch, BatchBuilder, Decode
from tapebook.store.database import Database, Session
from tapebook.store.journal_read import JournalReader
from tapebook.store.recovery import check_journal
from tapebook.store.schema import TABLES

_Key: TypeAlias = tuple[str, int, int]  # table, sequence, row_index
_Rows: TypeAlias = dict[_Key, tuple[Any, ...]]
_FRAMES: Final = 5_000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A row that the journal and the database do not agree on."""

    table: str
    sequence: int
    row_index: int
    journalled: tuple[Any, ...] | None  # None: the journal has no such row
    stored: tuple[Any, ...] | None  # None: the database has none


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a comparison found.

    Attributes
    ----------
    frames, rows
        Frames of the journal up to the watermark, and the rows that they hold.
    missing, extra, different
        Rows that the database does not have, has without the journal, has with other values.
    unverifiable
        Rows of frames that the journal has no more: damaged, pruned, lost in a power failure.
    behind
        Frames of the journal behind the watermark: recovery brings them in.
    differences
        The first of them.
    bad_records
        Damage to the journal, by kind.
    """

    frames: int
    rows: int
    missing: int
    extra: int
    different: int
    unverifiable: int
    behind: int
    differences: tuple[Difference, ...]
    bad_records: Mapping[str, int]

    @property
    def agrees(self) -> bool:
        """Whether the database holds exactly what the journal says, as far as it still says it."""
        return not (self.missing or self.extra or self.different)


def verify_session(
    journal: Path,
    decode: Decode,
    database: Database,
    session: Session,
    *,
    batch_frames: int = _FRAMES,
    differences_kept: int = 20,
    quarantine: Quarantine | None = None,
    progress: Callable[[int], None] = lambda _frames: None,
) -> Verified:
    """Compare a session, row by row, with what its journal holds up to the watermark.

    Parameters
    ----------
    journal, decode, database, session
        As :func:`~tapebook.store.recovery.recover` takes them.
    batch_frames
        Frames compared at a time.
    differences_kept
        How many differences are told one by one.
    quarantine
        Where damage to the journal is told.
    progress
        Called with the number of frames done.
    """
    check_journal(journal, session)
    with JournalReader(journal, quarantine=quarantine) as reader:
        batches = _decoded(reader, decode, batch_frames)
        found = verify_batches(batches, database, session, differences_kept=differences_kept, progress=progress)
        return replace(found, bad_records=reader.statistics().bad_records)


def _decoded(reader: JournalReader, decode: Decode, batch_frames: int) -> Iterator[tuple[Batch, AbstractSet[int]]]:
    builder = BatchBuilder()
    present: set[int] = set()
    done = 0
    for frame in reader:
        while frame.sequence > done + batch_frames:
            done += batch_frames
            builder.skip_to(done)
            yield builder.build(), present
            present = set()
        builder.add(frame, decode)
        present.add(frame.sequence)
    yield builder.build(), present


def verify_batches(
    batches: Iterable[tuple[Batch, AbstractSet[int]]],
    database: Database,
    session: Session,
    *,
    differences_kept: int = 20,
    progress: Callable[[int], None] = lambda _frames: None,
) -> Verified:
    """Compare a session with batches made anew from its journal, by whatever decoder.

    Parameters
    ----------
    batches
        From the first frame on, without a hole: each with the numbers of the frames that the journal has of it.
    database, session, differences_kept, progress
        As :func:`verify_session` takes them.
    """
    through = database.watermark(session)
    counts = dict.fromkeys(("frames", "rows", "missing", "extra", "different", "unverifiable", "behind"), 0)
    kept: list[Difference] = []
    others = _others(database, session)
    done = 0

    def compare(journalled: _Rows, present: AbstractSet[int], last: int) -> None:
        nonlocal done
        stored = _stored(database, session, done, last, others)
        done = last
        counts["rows"] += len(journalled)
        for key in sorted(journalled.keys() | stored.keys(), key=lambda k: (k[1], k[2], k[0])):
            here, there = journalled.get(key), stored.get(key)
            if here == there:
                continue
            if key[1] not in present:
                counts["unverifiable"] += 1
                continue
            counts["missing" if there is None else "extra" if here is None else "different"] += 1
            if len(kept) < differences_kept:
                kept.append(Difference(table=key[0], sequence=key[1], row_index=key[2], journalled=here, stored=there))

    for batch, present in batches:
        behind = sum(n > through for n in present)
        counts["behind"] += behind
        counts["frames"] += len(present) - behind
        if done < through:
            rows = {key: row for key, row in _rows_of(batch).items() if key[1] <= through}
            compare(rows, present, min(batch.last_sequence, through))
            progress(counts["frames"])
    while done < through:  # the journal ends before the database does
        compare({}, set(), min(done + _FRAMES, through))
    return Verified(**counts, differences=tuple(kept), bad_records={})


def _rows_of(batch: Batch) -> _Rows:
    found: _Rows = {}
    for table, rows in batch.tables.items():
        for row in rows.tolist():
            found[table, row[1], row[2]] = (*batch.contracts[row[0]], *row[3:])
    for gap in batch.gaps:
        found["gaps", gap.sequence, gap.row_index] = tuple(gap[2:])
    for finding in batch.quality:
        found["quality", finding.sequence, finding.row_index] = tuple(finding[2:])
    return found


def _others(database: Database, session: Session) -> _Rows:
    found: _Rows = {("gaps", row.sequence, row.row_index): tuple(row[2:]) for row in database.gaps(session)}
    return found | {("quality", row.sequence, row.row_index): tuple(row[2:]) for row in database.quality(session)}


def _stored(database: Database, session: Session, after: int, through: int, others: _Rows) -> _Rows:
    found = {key: row for key, row in others.items() if after < key[1] <= through}
    for table in TABLES:
        for part in database.read(session, table, after=after, through=through):
            for row in part.rows.tolist():
                found[table, row[1], row[2]] = (*part.contracts[row[0]], *row[3:])
    return found
