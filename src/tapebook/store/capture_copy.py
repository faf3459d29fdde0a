"""A captured session copied from one database into another: backup, restoring one, moving to a server and back.

Rows, gaps, findings and payloads come with their keys, the watermark with them, batch by batch: a copy that was killed
goes on where it stood when it is called again. A session that is being captured is copied up to where it stood.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tapebook.store.batches import Batch, GapRow, QualityRow, Rows
from tapebook.store.capture_rows import Stretch, rows_in_order
from tapebook.store.database import Database, Session
from tapebook.store.schema import TableName


def copy_session(
    source: Database,
    session: Session,
    target: Database,
    *,
    name: str = "",
    progress: Callable[[int], None] = lambda _frames: None,
) -> Session:
    """Copy a session; return it as ``target`` has it.

    Parameters
    ----------
    source, session
        What to copy.
    target
        Where to; a session of that name there must be this one (the same venue and journal).
    name
        Another name for it there.
    progress
        Called with the number of frames done.

    Examples
    --------
    >>> import tempfile
    >>> from tapebook.store.database import open_database
    >>> folder = tempfile.mkdtemp()
    >>> with open_database(f"{folder}/capture.db") as source, open_database(f"{folder}/backup.db") as target:
    ...     session = source.begin_session(Session(name="a", venue="v", journal="a", started_timestamp=0))
    ...     copy_session(source, session, target).name
    'a'
    """
    there = target.begin_session(replace(session, name=name or session.name, session_id=0))
    begin, last = target.watermark(there), source.watermark(session)
    gaps = [row for row in source.gaps(session) if begin < row.sequence <= last]
    findings = [row for row in source.quality(session) if begin < row.sequence <= last]
    after = begin

    def write(stretch: Stretch | None, through: int) -> None:
        nonlocal after
        target.write(there, _batch(stretch, after, through, gaps, findings))
        after = through
        progress(after - begin)

    for stretch in rows_in_order(source, session, after=begin, through=last, raw=True):
        write(stretch, stretch.through)
    if after < last:  # frames without rows
        write(None, last)
    target.end_session(there, session.ended_timestamp, session.state)
    return replace(there, ended_timestamp=session.ended_timestamp, state=session.state)


def _batch(stretch: Stretch | None, after: int, through: int, gaps: list[GapRow], findings: list[QualityRow]) -> Batch:
    """Return a stretch as it is written."""
    contracts: dict[tuple[str, str], int] = {}
    tables: dict[TableName, Rows] = {}
    raw: dict[int, bytes] = {}
    received: int | None = None
    for table, found in stretch.tables.items() if stretch is not None else ():
        codes = [contracts.setdefault(contract, len(contracts)) for contract in found.contracts]
        rows = found.rows.copy()
        if rows.size:
            rows["contract"] = np.array(codes, np.int32)[rows["contract"]]
            received = max(received or 0, int(rows["received_timestamp"][-1]))
        tables[table] = rows
        raw.update(
            (sequence, payload)
            for sequence, payload in zip(rows["sequence"].tolist(), found.raw, strict=True)
            if payload is not None
        )
    return Batch(
        first_sequence=after + 1,
        last_sequence=through,
        received_timestamp=received,
        contracts=tuple(contracts),
        tables=tables,
        raw=raw,
        gaps=[row for row in gaps if after < row.sequence <= through],
        quality=[row for row in findings if after < row.sequence <= through],
    )
