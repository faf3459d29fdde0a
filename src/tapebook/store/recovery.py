"""After a kill: bring a database to exactly what the journal holds, nothing twice, nothing missing.

A batch and its watermark commit together, so the database holds all rows of the frames up to its watermark and none
of those behind it. What is missing is read from the journal, decoded as it was live, and written the same way. Killed
again in between, it is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tapebook.market.errors import StoreError
from tapebook.market.quarantine import Quarantine
from tapebook.store.batches import BatchBuilder, Decode
from tapebook.store.database import Database, Session
from tapebook.store.journal_files import identity_of, segments
from tapebook.store.journal_read import JournalReader


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What a recovery did.

    Attributes
    ----------
    before, after
        The database's watermark.
    frames
        Frames read from the journal.
    rows, inserted
        Rows that they hold, and how many of them the database did not have.
    missing_frames
        Numbers behind the watermark that no frame has: damaged, pruned, or never written (a power failure).
    ahead
        How many frames the database knows that the journal does not: lost by the journal in a power failure. They
        are in the database; open the journal with ``after=`` the watermark, so that their numbers stay theirs. 0 where
        the journal was not read to its end (``through``).
    torn
        The journal's last record was not whole: it was never acknowledged.
    bad_records
        Damage that was met, by kind.
    """

    before: int
    after: int
    frames: int
    rows: int
    inserted: int
    missing_frames: int
    ahead: int
    torn: bool
    bad_records: dict[str, int]


def recover(
    journal: Path,
    decode: Decode,
    database: Database,
    session: Session,
    *,
    start: int | None = None,
    through: int | None = None,
    batch_frames: int = 5_000,
    keep_raw: bool = False,
    quarantine: Quarantine | None = None,
    progress: Callable[[int], None] = lambda _frames: None,
) -> Recovered:
    """Write into ``database`` what ``journal`` holds behind the session's watermark.

    Parameters
    ----------
    journal
        The journal's folder; it may be one that nobody has opened since the kill.
    decode
        As live, see :data:`~tapebook.store.batches.Decode`.
    database, session
        Where the rows belong.
    start
        Begin at this frame instead, to put back rows that were deleted; those that are there stay as they are.
    through
        End with this frame: for a journal that is being written, its ``last_sequence`` at some moment.
    batch_frames
        Frames in one transaction.
    keep_raw
        Keep payloads in the database, as live.
    quarantine
        Where damage to the journal is told.
    progress
        Called with the number of frames done.
    """
    check_journal(journal, session)
    before = database.watermark(session)
    begin = before + 1 if start is None else max(1, min(start, before + 1))
    frames = rows = inserted = 0
    builder = BatchBuilder(after=begin - 1, keep_raw=keep_raw)
    with JournalReader(journal, start=begin, through=through, quarantine=quarantine) as reader:
        for frame in reader:
            builder.add(frame, decode)
            frames += 1
            if builder.n_frames >= batch_frames:
                written = database.write(session, builder.build())
                rows, inserted = rows + written.rows, inserted + written.inserted
                progress(frames)
        told = reader.statistics()
        if told.last_sequence >= begin:
            builder.skip_to(told.last_sequence)
    if builder.n_frames:
        written = database.write(session, builder.build())
        rows, inserted = rows + written.rows, inserted + written.inserted
        progress(frames)
    ahead = 0
    if through is None:
        ahead = before - (told.last_sequence if frames or told.missing_frames else _last(journal))
    return Recovered(
        before=before,
        after=database.watermark(session),
        frames=frames,
        rows=rows,
        inserted=inserted,
        missing_frames=told.missing_frames,
        ahead=max(ahead, 0),
        torn=told.torn,
        bad_records=told.bad_records,
    )


def check_journal(journal: Path, session: Session) -> None:
    """Raise where a journal is another session's."""
    identity = identity_of(journal) if journal.is_dir() else ""
    if identity and identity != session.journal:
        raise StoreError(
            "the journal is another session's",
            expected=repr(session.journal),
            found=repr(identity),
            where=str(journal),
            remedy="name the journal of this session",
        )


def _last(journal: Path) -> int:
    """Return the journal's last frame."""
    known = segments(journal)
    if not known or known[-1].sealed:
        return known[-1].last_sequence if known else 0
    last = known[-1].first_sequence - 1
    with JournalReader(journal, start=last + 1) as reader:
        for frame in reader:
            last = frame.sequence
    return last
