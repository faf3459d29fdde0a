"""Captured data in one SQLite file: the default. Write-ahead log, one writer, any number of readers.

``synchronous`` NORMAL: a power failure may take the last transactions, never a part of one. The watermark goes with
them, so the journal puts them back. FULL forces every commit to the disk.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import numpy as np

from tapebook.market.events import MISSING
from tapebook.store.batches import Batch, GapRow, QualityRow, Rows
from tapebook.store.database import (
    DELETING,
    READ_ROWS,
    ContractStatistics,
    DatabaseError,
    DatabaseFull,
    DatabaseLocked,
    DatabaseReadOnly,
    Session,
    TableRows,
    Written,
    check_order,
    check_session,
    check_version,
)
from tapebook.store.database_sql import (
    END_SESSION,
    FORGET_SESSION,
    KEYED_TABLES,
    SESSIONS,
    SET_WATERMARK,
    STATISTICS,
    select_rows,
    select_span,
    span_of,
    statistics_of,
)
from tapebook.store.schema import FIELDS, SCHEMA_VERSION, TABLES, TableName, migrations, row_dtype

_DELETE_ROWS: Final = 100_000
_LAST: Final = 2**63 - 1
_ERRORS: Final = {
    sqlite3.SQLITE_BUSY: (DatabaseLocked, "the database is locked", "close the other program that writes it"),
    sqlite3.SQLITE_LOCKED: (DatabaseLocked, "the database is locked", "close the other program that writes it"),
    sqlite3.SQLITE_READONLY: (DatabaseReadOnly, "the database is read-only", "make file and folder writable"),
    sqlite3.SQLITE_PERM: (DatabaseReadOnly, "the database may not be opened", "check the file's owner and mode"),
    sqlite3.SQLITE_CANTOPEN: (DatabaseReadOnly, "the database cannot be opened", "check the folder's owner and mode"),
    sqlite3.SQLITE_FULL: (DatabaseFull, "no room for the database", "free disk space; the journal has what is missing"),
    sqlite3.SQLITE_NOTADB: (DatabaseError, "the file is no SQLite database", "name another file"),
    sqlite3.SQLITE_CORRUPT: (DatabaseError, "the database is damaged", "name a new file and recover from the journal"),
}


def _insert(table: str, columns: str) -> str:
    marks = ", ".join("?" * len(columns.split(",")))
    key = "(session_id, sequence, row_index)"
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT {key} DO NOTHING"  # noqa: S608 - our own names


_INSERTS: Final = {
    table: _insert(table, "session_id, contract_id, symbol, raw_payload, " + ", ".join(f.name for f in FIELDS[table]))
    for table in TABLES
}
_INSERT_GAP: Final = _insert("gaps", "session_id, " + ", ".join(GapRow._fields))
_INSERT_QUALITY: Final = _insert("quality", "session_id, " + ", ".join(QualityRow._fields))


class SqliteDatabase:
    """A :class:`~tapebook.store.database.Database` in one file.

    Parameters
    ----------
    path
        Made, with its folder, if it is not there.
    busy_timeout_s
        How long to wait for another writer.
    synchronous
        ``NORMAL`` or ``FULL``, see above.
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = 5.0, synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    ) -> None:
        self.path = path
        with self._told():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseReadOnly(
                    "the folder cannot be made", found=error.strerror or str(error), where=str(path.parent)
                ) from error
            # Transactions are ours (BEGIN IMMEDIATE): the module's own begin too late to keep a second writer out.
            self._base = sqlite3.connect(
                path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=64
            )
            try:
                self._base.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file: deleting gives room back
                self._base.execute("PRAGMA journal_mode=WAL")
                self._base.execute(f"PRAGMA synchronous={synchronous}")
                self._base.execute("PRAGMA foreign_keys=ON")
                self._migrate()
            except BaseException:
                self._base.close()
                raise

    @property
    def url(self) -> str:
        """Where it is."""
        return f"sqlite://{self.path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin_session(self, session: Session) -> Session:
        """Make a session, or return the one of that name."""
        with self._transaction() as base:
            for known in self._sessions("WHERE name = ?", session.name):
                return check_session(known, session, self.url)
            values = (session.name, session.venue, session.journal, session.started_timestamp)
            row = base.execute(
                "INSERT INTO sessions (name, venue, journal, started_timestamp, ended_timestamp, state, settings) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*values, session.ended_timestamp, session.state, session.settings),
            )
            base.execute("INSERT INTO watermark VALUES (?, 0, NULL)", (row.lastrowid,))
            return replace(session, session_id=row.lastrowid or 0)

    def end_session(self, session: Session, ended_timestamp: int | None, state: str = "ended") -> None:
        """Note when and how a session ended."""
        with self._transaction() as base:
            base.execute(END_SESSION, (ended_timestamp, state, session.session_id))

    def delete_session(self, session: Session) -> int:
        """Delete a session with all its rows, a part at a time: the write-ahead log stays small."""
        key = (session.session_id,)
        with self._transaction() as base:
            self._watermark(session)
            base.execute("UPDATE sessions SET state = ? WHERE session_id = ?", (DELETING, *key))
        deleted, more = 0, True
        while more:
            more = False
            with self._transaction() as base:
                for table in KEYED_TABLES:
                    place = f"SELECT sequence FROM {table} WHERE session_id = ? ORDER BY sequence LIMIT 1 OFFSET ?"  # noqa: S608 - our own names
                    row = base.execute(place, (*key, _DELETE_ROWS)).fetchone()
                    more = more or row is not None
                    last = row[0] if row is not None else _LAST
                    delete = f"DELETE FROM {table} WHERE session_id = ? AND sequence <= ?"  # noqa: S608 - our own names
                    deleted += base.execute(delete, (*key, last)).rowcount
                if not more:
                    for statement in FORGET_SESSION:
                        base.execute(statement, key)
        with self._told():  # give the room back
            # As a script: a single statement would be left after its first page.
            self._base.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    def sessions(self) -> list[Session]:
        """Return all sessions, oldest first."""
        with self._told():
            return self._sessions("")

    def watermark(self, session: Session) -> int:
        """Return the last frame up to which the session is complete here."""
        with self._told():
            return self._watermark(session)

    def write(self, session: Session, batch: Batch) -> Written:
        """Write a batch and the watermark in one transaction."""
        with self._transaction() as base:
            watermark = self._watermark(session)
            check_order(batch, watermark, self.url)
            before = base.total_changes
            for table, rows in batch.tables.items():
                if rows.size:
                    base.executemany(_INSERTS[table], _bound(session.session_id, table, rows, batch))
            if batch.gaps:
                base.executemany(_INSERT_GAP, ((session.session_id, *row) for row in batch.gaps))
            if batch.quality:
                base.executemany(_INSERT_QUALITY, ((session.session_id, *row) for row in batch.quality))
            inserted = base.total_changes - before
            if batch.last_sequence > watermark:
                watermark = batch.last_sequence
                base.execute(SET_WATERMARK, (watermark, batch.received_timestamp, session.session_id))
        return Written(rows=batch.n_rows, inserted=inserted, watermark=watermark)

    def read(
        self,
        session: Session,
        table: TableName,
        *,
        contract_id: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        after: int = 0,
        through: int | None = None,
        raw: bool = False,
    ) -> Iterator[TableRows]:
        """Yield a table's rows in the order in which they came."""
        with self._told():
            if start_ns is not None or end_ns is not None:
                # Rows lie by their key: the index by time says which keys to look at.
                first, last = self._span(table, session, start_ns, end_ns)
                after = max(after, (first or 1) - 1)
                through = min(last or 0, _LAST if through is None else through)
            query, values = select_rows(
                table,
                session.session_id,
                contract_id=contract_id,
                start_ns=start_ns,
                end_ns=end_ns,
                after=after,
                through=through,
                raw=raw,
            )
            cursor = self._base.execute(query, values)
            while found := cursor.fetchmany(READ_ROWS):
                yield table_rows(table, found, raw=raw)

    def frames_between(self, session: Session, start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
        """Return the first and the last frame with a row received in this time."""
        with self._told():
            return span_of(self._span(table, session, start_ns, end_ns) for table in TABLES)

    def statistics(self, session: Session) -> list[ContractStatistics]:
        """Return what a session holds, by contract."""
        with self._told():
            self._base.execute("BEGIN")
            try:
                key = (session.session_id,)
                return statistics_of([self._base.execute(query, key).fetchall() for query in STATISTICS])
            finally:
                self._base.execute("COMMIT")

    def gaps(self, session: Session) -> list[GapRow]:
        """Return the session's gaps."""
        return [GapRow(*row) for row in self._others("gaps", GapRow._fields, session)]

    def quality(self, session: Session) -> list[QualityRow]:
        """Return the session's findings."""
        return [QualityRow(*row) for row in self._others("quality", QualityRow._fields, session)]

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def _others(self, table: str, columns: tuple[str, ...], session: Session) -> list[tuple[Any, ...]]:
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE session_id = ? ORDER BY sequence, row_index"  # noqa: S608 - our own names
        with self._told():
            return self._base.execute(query, (session.session_id,)).fetchall()

    def _span(
        self, table: TableName, session: Session, start_ns: int | None, end_ns: int | None
    ) -> tuple[int | None, int | None]:
        """Return the first and last frame of a time; ``+`` keeps the planner from walking through the whole session."""
        column = "session_id" if start_ns is None and end_ns is None else "+session_id"
        query, values = select_span(table, column, session.session_id, start_ns, end_ns)
        first, last = self._base.execute(query, values).fetchone()
        return first, last

    def _sessions(self, where: str, *values: str) -> list[Session]:
        query = f"{SESSIONS} {where} ORDER BY started_timestamp, session_id"
        return [session_of(row) for row in self._base.execute(query, values)]

    def _watermark(self, session: Session) -> int:
        query = "SELECT sequence FROM watermark WHERE session_id = ?"
        row = self._base.execute(query, (session.session_id,)).fetchone()
        if row is None:
            raise DatabaseError(
                "no such session", found=repr(session.name), where=self.url, remedy="call begin_session first"
            )
        return int(row[0])

    def _migrate(self) -> None:
        (version,) = self._base.execute("PRAGMA user_version").fetchone()
        check_version(version, self.url)
        if version == SCHEMA_VERSION:
            return
        with self._transaction() as base:
            (version,) = base.execute("PRAGMA user_version").fetchone()  # another process may have been first
            for statement in migrations("sqlite", version):
                base.execute(statement)
            base.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say in our words what SQLite refused."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            kind, message, remedy = _ERRORS.get(
                code, (DatabaseError, "the database failed", "open it again and recover from the journal")
            )
            raise kind(message, found=str(error), where=self.url, remedy=remedy) from error


def _bound(session_id: int, table: TableName, rows: Rows, batch: Batch) -> Iterable[tuple[Any, ...]]:
    """Return the values of each row, as SQLite binds them."""
    codes = rows["contract"].tolist()
    ids = [batch.contracts[c][0] for c in codes]
    symbols = [batch.contracts[c][1] for c in codes]
    columns = [_column(rows[f.name], null=f.null) for f in FIELDS[table]]
    return zip(repeat(session_id), ids, symbols, raw_column(rows, batch) or repeat(None), *columns, strict=False)


def _column(values: Rows, *, null: bool) -> Iterable[Any]:
    if not null:
        return values.tolist()  # type: ignore[no-any-return] # numpy does not say what a list of int64 holds
    missing = values == MISSING
    if missing.all():
        return repeat(None)
    if not missing.any():
        return values.tolist()  # type: ignore[no-any-return] # as above
    return [None if gone else value for value, gone in zip(values.tolist(), missing.tolist(), strict=True)]


def raw_column(rows: Rows, batch: Batch) -> list[bytes | None]:
    """Return the payload of each row that carries one; nothing where the batch keeps none."""
    if not batch.raw:
        return []
    places = zip(rows["sequence"].tolist(), rows["row_index"].tolist(), strict=True)
    return [None if index else batch.raw.get(sequence) for sequence, index in places]


def session_of(row: tuple[Any, ...]) -> Session:
    """Return a session from its columns."""
    return Session(
        session_id=row[0],
        name=row[1],
        venue=row[2],
        journal=row[3],
        started_timestamp=row[4],
        ended_timestamp=row[5],
        state=row[6],
        settings=row[7],
    )


def table_rows(table: TableName, found: list[tuple[Any, ...]], *, raw: bool) -> TableRows:
    """Return rows (contract_id, symbol, the payload if it was asked for, the integer columns) as numpy has them."""
    contracts: dict[tuple[str, str], int] = {}
    first = 3 if raw else 2
    rows = np.empty(len(found), row_dtype(table))
    rows["contract"] = [contracts.setdefault(row[:2], len(contracts)) for row in found]
    n = len(FIELDS[table])
    values = np.fromiter(chain.from_iterable(row[first:] for row in found), np.int64, n * len(found)).reshape(-1, n)
    for i, column in enumerate(FIELDS[table]):
        rows[column.name] = values[:, i]
    return TableRows(rows=rows, contracts=tuple(contracts), raw=tuple(row[2] for row in found) if raw else ())
