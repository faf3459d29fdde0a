"""Captured data in PostgreSQL, for several users at once (extra ``postgres``: psycopg 3).

Rows arrive by binary COPY. A batch behind the watermark cannot meet rows of its own: they and the watermark commit
together, and whoever writes holds the watermark's row locked. Such a batch is copied straight into the tables. A batch
that reaches back (a replay) is copied into a temporary table and inserted from there where its keys are new.

The commit waits for the server's disk unless ``synchronous_commit`` is off; then a server that loses power may lose the
last half second, watermark included, and the journal puts it back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, LiteralString, Self

from tapebook.market.errors import ConfigurationError
from tapebook.store.batches import Batch, GapRow, QualityRow
from tapebook.store.database import (
    READ_ROWS,
    ContractStatistics,
    DatabaseError,
    DatabaseFull,
    DatabaseGone,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseRefused,
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
from tapebook.store.postgres_rows import columns, copy_block
from tapebook.store.schema import SCHEMA_VERSION, TABLES, TableName, migrations
from tapebook.store.sqlite import raw_column, session_of, table_rows

try:
    import psycopg
    from psycopg import conninfo
except ImportError as error:
    raise ConfigurationError(
        "PostgreSQL needs psycopg",
        expected="psycopg 3",
        found=str(error),
        remedy="pip install 'tapebook[postgres]'",
    ) from None

_KEY: Final = "(session_id, sequence, row_index)"
_MIGRATION_LOCK: Final = 7_461_706  # any number that all of us share
_KINDS: Final = (
    # SQLSTATE begins with, error, message, remedy
    ("28", DatabaseRefused, "the server does not let us in", "check user and password (PGPASSWORD, ~/.pgpass)"),
    ("3D", DatabaseRefused, "the server has no such database", "make it: createdb NAME"),
    ("42501", DatabaseRefused, "the user may not do this", "grant it CREATE and USAGE on the schema"),
    ("25006", DatabaseReadOnly, "the database is read-only", "connect to the primary server"),
    ("55P03", DatabaseLocked, "the database is locked", "close the other program that writes this session"),
    ("40", DatabaseLocked, "another program writes the same rows", "close the other program that writes this session"),
    ("53100", DatabaseFull, "no room on the server's disk", "free disk space; the journal has what is missing"),
    ("53", DatabaseGone, "the server has no room for us", "raise its limits or try again"),
    ("57", DatabaseGone, "the server went away", "open it again; the watermark says what was committed"),
    ("08", DatabaseGone, "the server went away", "open it again; the watermark says what was committed"),
)  # fmt: skip


class PostgresDatabase:
    """A :class:`~tapebook.store.database.Database` on a PostgreSQL server.

    Parameters
    ----------
    url
        ``postgresql://user@host:port/name`` or libpq's ``key=value`` words. A password in it is used and never shown.
    connect_timeout_s, lock_timeout_s
        How long to wait for the server, and for another writer of the same session.
    """

    def __init__(self, url: str, *, connect_timeout_s: int = 10, lock_timeout_s: float = 5.0) -> None:
        try:
            words = conninfo.conninfo_to_dict(url)
        except psycopg.Error:  # its message quotes the URL
            raise ConfigurationError(
                "the database's URL cannot be read",
                expected="postgresql://USER@HOST:PORT/NAME",
                remedy="percent-encode special characters of the password, or set PGPASSWORD instead",
            ) from None
        self._secrets = [str(words[key]) for key in ("password", "sslpassword", "passfile") if words.get(key)]
        shown = {key: words[key] for key in ("user", "host", "port", "dbname") if words.get(key)}
        user = f"{shown['user']}@" if "user" in shown else ""
        port = f":{shown['port']}" if "port" in shown else ""
        self.url = f"postgresql://{user}{shown.get('host', '')}{port}/{shown.get('dbname', '')}"
        words.setdefault("connect_timeout", connect_timeout_s)
        words.setdefault("application_name", "tapebook")
        self._staged = False
        with self._told(connecting=True):
            self._base = psycopg.connect(conninfo.make_conninfo("", **words))
        try:
            with self._transaction() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(lock_timeout_s * 1000)}ms",))
                cursor.execute("SELECT set_config('client_min_messages', 'warning', false)")
            self._migrate()
        except BaseException:
            self._base.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def begin_session(self, session: Session) -> Session:
        """Make a session, or return the one of that name."""
        with self._transaction() as cursor:
            cursor.execute(
                "INSERT INTO sessions (name, venue, journal, started_timestamp, ended_timestamp, state, settings) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING session_id",
                (
                    session.name,
                    session.venue,
                    session.journal,
                    session.started_timestamp,
                    session.ended_timestamp,
                    session.state,
                    session.settings,
                ),
            )
            made = cursor.fetchone()
            if made is not None:
                cursor.execute("INSERT INTO watermark VALUES (%s, 0, NULL)", made)
                return replace(session, session_id=made[0])
            cursor.execute(_sql(SESSIONS + " WHERE name = %s"), (session.name,))
            known = cursor.fetchone()
            assert known is not None
            return check_session(session_of(known), session, self.url)

    def end_session(self, session: Session, ended_timestamp: int | None, state: str = "ended") -> None:
        """Note when and how a session ended."""
        with self._transaction() as cursor:
            cursor.execute(_sql(END_SESSION), (ended_timestamp, state, session.session_id))

    def delete_session(self, session: Session) -> int:
        """Delete a session with all its rows, in one transaction; the server reuses the room after its next vacuum."""
        key = (session.session_id,)
        with self._transaction() as cursor:
            self._watermark(cursor, session, "FOR UPDATE")
            deletes = [f"DELETE FROM {table} WHERE session_id = ?" for table in KEYED_TABLES]  # noqa: S608 - our own names
            deleted = sum(cursor.execute(_sql(delete), key).rowcount for delete in deletes)
            for statement in FORGET_SESSION:
                cursor.execute(_sql(statement), key)
        return deleted

    def sessions(self) -> list[Session]:
        """Return all sessions, oldest first."""
        with self._transaction() as cursor:
            cursor.execute(_sql(SESSIONS + " ORDER BY started_timestamp, session_id"))
            return [session_of(row) for row in cursor]

    def watermark(self, session: Session) -> int:
        """Return the last frame up to which the session is complete here."""
        with self._transaction() as cursor:
            return self._watermark(cursor, session, "")

    def write(self, session: Session, batch: Batch) -> Written:
        """Write a batch and the watermark in one transaction."""
        with self._transaction() as cursor:
            watermark = self._watermark(cursor, session, "FOR UPDATE")
            check_order(batch, watermark, self.url)
            inserted = 0
            for table, rows in batch.tables.items():
                if rows.size:
                    block = copy_block(session.session_id, table, rows, batch, raw_column(rows, batch))
                    inserted += self._copy(cursor, table, block, new=batch.first_sequence > watermark)
            inserted += self._others(cursor, "gaps", GapRow._fields, session, batch.gaps)
            inserted += self._others(cursor, "quality", QualityRow._fields, session, batch.quality)
            if batch.last_sequence > watermark:
                watermark = batch.last_sequence
                cursor.execute(_sql(SET_WATERMARK), (watermark, batch.received_timestamp, session.session_id))
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
        with self._told(), self._base.transaction(), self._base.cursor("tapebook_read", binary=True) as cursor:
            cursor.execute(_sql(query), values)
            while found := cursor.fetchmany(READ_ROWS):
                yield table_rows(table, found, raw=raw)

    def frames_between(self, session: Session, start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
        """Return the first and the last frame with a row received in this time."""
        queries = [select_span(table, "session_id", session.session_id, start_ns, end_ns) for table in TABLES]
        with self._transaction() as cursor:
            return span_of([cursor.execute(_sql(query), values).fetchall()[0] for query, values in queries])

    def statistics(self, session: Session) -> list[ContractStatistics]:
        """Return what a session holds, by contract."""
        with self._transaction() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            key = (session.session_id,)
            return statistics_of([cursor.execute(_sql(query), key).fetchall() for query in STATISTICS])

    def gaps(self, session: Session) -> list[GapRow]:
        """Return the session's gaps."""
        return [GapRow(*row) for row in self._all("gaps", GapRow._fields, session)]

    def quality(self, session: Session) -> list[QualityRow]:
        """Return the session's findings."""
        return [QualityRow(*row) for row in self._all("quality", QualityRow._fields, session)]

    def close(self) -> None:
        """Let go of the connection."""
        self._base.close()

    def _all(self, table: str, names: tuple[str, ...], session: Session) -> list[tuple[Any, ...]]:
        query = f"SELECT {', '.join(names)} FROM {table} WHERE session_id = %s ORDER BY sequence, row_index"  # noqa: S608 - our own names
        with self._transaction() as cursor:
            return cursor.execute(_sql(query), (session.session_id,)).fetchall()

    def _watermark(self, cursor: psycopg.Cursor[tuple[Any, ...]], session: Session, lock: str) -> int:
        query = f"SELECT sequence FROM watermark WHERE session_id = %s {lock}"  # noqa: S608 - our own words
        row = cursor.execute(_sql(query), (session.session_id,)).fetchone()
        if row is None:
            raise DatabaseError(
                "no such session", found=repr(session.name), where=self.url, remedy="call begin_session first"
            )
        return int(row[0])

    def _copy(self, cursor: psycopg.Cursor[tuple[Any, ...]], table: TableName, block: bytes, *, new: bool) -> int:
        """Copy rows into a table, or by way of a temporary one where some may be there already."""
        names = columns(table)
        target = table if new else f"staged_{table}"
        if not new:
            self._stage(cursor)
        with cursor.copy(_sql(f"COPY {target} ({names}) FROM STDIN (FORMAT BINARY)")) as copy:
            copy.write(block)
        if new:
            return cursor.rowcount
        insert = f"INSERT INTO {table} ({names}) SELECT {names} FROM {target} ON CONFLICT {_KEY} DO NOTHING"  # noqa: S608 - our own names
        return cursor.execute(_sql(insert)).rowcount

    def _stage(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        """Make the temporary tables of this transaction."""
        if self._staged:
            return
        for table in TABLES:
            cursor.execute(_sql(f"CREATE TEMP TABLE staged_{table} (LIKE {table} INCLUDING DEFAULTS) ON COMMIT DROP"))
        self._staged = True

    def _others(
        self,
        cursor: psycopg.Cursor[tuple[Any, ...]],
        table: str,
        names: tuple[str, ...],
        session: Session,
        rows: Any,
    ) -> int:
        if not rows:
            return 0
        marks = ", ".join(["%s"] * (len(names) + 1))
        insert = f"INSERT INTO {table} (session_id, {', '.join(names)}) VALUES ({marks}) ON CONFLICT {_KEY} DO NOTHING"  # noqa: S608 - our own names
        cursor.executemany(_sql(insert), [(session.session_id, *row) for row in rows])
        return cursor.rowcount

    def _migrate(self) -> None:
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
            cursor.execute("SELECT to_regclass('tapebook_schema')")
            there = cursor.fetchone()
            version = 0
            if there is not None and there[0] is not None:
                row = cursor.execute("SELECT version FROM tapebook_schema").fetchone()
                version = row[0] if row is not None else 0
            check_version(version, self.url)
            if version == SCHEMA_VERSION:
                return
            if version == 0:
                cursor.execute("CREATE TABLE tapebook_schema (version integer NOT NULL)")
                cursor.execute("INSERT INTO tapebook_schema VALUES (0)")
            for statement in migrations("postgres", version):
                cursor.execute(_sql(statement))
            cursor.execute("UPDATE tapebook_schema SET version = %s", (SCHEMA_VERSION,))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
        with self._told():
            try:
                with self._base.transaction(), self._base.cursor() as cursor:
                    yield cursor
            finally:
                self._staged = False

    @contextlib.contextmanager
    def _told(self, *, connecting: bool = False) -> Iterator[None]:
        """Say in our words what the server refused, without any secret."""
        try:
            yield
        except psycopg.Error as error:
            state = error.sqlstate or ""
            found = " ".join(str(error).split())
            for secret in self._secrets:
                found = found.replace(secret, "***")
            lost = not connecting and self._base.closed
            kind, message, remedy = next(
                (tuple_[1:] for tuple_ in _KINDS if state.startswith(tuple_[0])),
                (DatabaseError, "the database failed", "open it again and recover from the journal"),
            )
            if not state and (connecting or lost or isinstance(error, psycopg.OperationalError)):
                kind, message, remedy = _without_state(found, connecting=connecting)
            # Without the cause: its text, and the connection's words it may hold, are not ours to show.
            raise kind(message, found=found, where=self.url, remedy=remedy) from None


def _without_state(found: str, *, connecting: bool) -> tuple[type[DatabaseError], str, str]:
    """Return what an error says that the client library made: it carries no code while it is connecting."""
    if connecting:
        if "password" in found or "authentication" in found or "pg_hba" in found or "role " in found:
            return _KINDS[0][1:]
        if "database " in found and "does not exist" in found:
            return _KINDS[1][1:]
        return DatabaseGone, "the server cannot be reached", "start it, or check host and port"
    return _KINDS[-1][1:]


def _sql(text: str) -> LiteralString:
    """Vouch for a statement (its names are ours, its values are bound) and mark values as psycopg does."""
    return text.replace("?", "%s")
