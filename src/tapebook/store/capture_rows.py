"""Rows of a captured session, all tables in the one order in which they came, a stretch of frames at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.store.database import Database, Session, TableRows
from tapebook.store.schema import TABLES, TableName, row_dtype

_FRAMES_FIRST: Final = 1 << 12
_FRAMES_MAX: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """All rows of the frames behind ``after`` up to ``through``.

    Attributes
    ----------
    tables
        Rows by table, each in its order.
    order
        The order of them all: places in the tables put behind one another as :data:`~tapebook.store.schema.TABLES`
        has them.
    """

    after: int
    through: int
    tables: Mapping[TableName, TableRows]
    order: NDArray[np.int64]


def rows_in_order(
    database: Database,
    session: Session,
    *,
    contract_id: str | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    after: int = 0,
    through: int | None = None,
    raw: bool = False,
    rows_wanted: int = 1 << 16,
) -> Iterator[Stretch]:
    """Yield a session's rows, of all tables, frame after frame; stretches without rows are left out.

    Parameters
    ----------
    database, session
        What to read; a session that is being captured is read up to where it stood at the call.
    contract_id
        Of this contract only.
    start_ns, end_ns
        Received from when to before when.
    after, through
        Frames behind this number, up to that one.
    raw
        With the payloads that the database keeps.
    rows_wanted
        About how many rows a stretch should have: what it costs in memory is some hundred bytes each.

    Examples
    --------
    >>> import tempfile
    >>> from tapebook.store.batches import BatchBuilder
    >>> from tapebook.store.database import open_database
    >>> from tapebook.store.journal_format import Frame
    >>> def decode(frame, rows):
    ...     rows.trade("ES", "ESH4", price=10**9, size=frame.sequence)
    ...     rows.quote("ES", "ESH4", bid_price=10**9)
    >>> rows = BatchBuilder()
    >>> for n in (1, 2):
    ...     rows.add(Frame(n, 10**18 + n, 0, 1, b""), decode)
    >>> with open_database(f"{tempfile.mkdtemp()}/capture.db") as database:
    ...     session = database.begin_session(Session(name="a", venue="v", journal="a", started_timestamp=0))
    ...     _ = database.write(session, rows.build())
    ...     (stretch,) = rows_in_order(database, session)
    >>> [len(stretch.tables[t].rows) for t in ("quotes", "trades")], stretch.order.tolist()
    ([2, 2], [2, 0, 3, 1])
    """
    last = database.watermark(session)
    through = last if through is None else min(through, last)
    if start_ns is not None or end_ns is not None:
        first, last = database.frames_between(session, start_ns, end_ns)
        after, through = max(after, first - 1), min(through, last)
    frames = _FRAMES_FIRST
    while after < through:
        until = min(after + frames, through)
        tables = {
            table: _joined(
                table,
                database.read(
                    session,
                    table,
                    contract_id=contract_id,
                    start_ns=start_ns,
                    end_ns=end_ns,
                    after=after,
                    through=until,
                    raw=raw,
                ),
            )
            for table in TABLES
        }
        n = sum(found.rows.size for found in tables.values())
        if n:
            keys = [np.concatenate([tables[t].rows[key] for t in TABLES]) for key in ("row_index", "sequence")]
            yield Stretch(after=after, through=until, tables=tables, order=np.lexsort(keys).astype(np.int64))
        # The next one by what this one gave, never more than twice as long.
        frames = max(1, min(2 * frames, _FRAMES_MAX, frames * rows_wanted // max(n, 1)))
        after = until


def _joined(table: TableName, parts: Iterator[TableRows]) -> TableRows:
    """Put parts of a read together: one table of contracts for them all."""
    found = list(parts)
    if len(found) == 1:
        return found[0]
    contracts: dict[tuple[str, str], int] = {}
    pieces = [np.empty(0, row_dtype(table))]
    for part in found:
        codes = np.array([contracts.setdefault(contract, len(contracts)) for contract in part.contracts], np.int32)
        rows = part.rows.copy()
        rows["contract"] = codes[rows["contract"]]
        pieces.append(rows)
    raw = tuple(payload for part in found for payload in part.raw)
    return TableRows(rows=np.concatenate(pieces), contracts=tuple(contracts), raw=raw)
