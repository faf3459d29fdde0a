"""Databases of captured data: what every one of them can do, and what can go wrong.

The protocol is what capture, recovery and the commands about sessions are built on: it grows, it does not change.
What needs no more than the protocol stands beside it and works with every database: rows of all tables in order
(:mod:`~tapebook.store.capture_rows`), backup and moving (:mod:`~tapebook.store.capture_copy`), recovery and comparison
with the journal (:mod:`~tapebook.store.recovery`, :mod:`~tapebook.store.capture_verify`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

from tapebook.market.errors import ConfigurationError, SchemaMismatch, StoreError
from tapebook.store.batches import Batch, GapRow, QualityRow, Rows
from tapebook.store.schema import SCHEMA_VERSION, TableName

READ_ROWS: Final = 1 << 16
DELETING: Final = "deleting"
"""The state of a session whose rows are being deleted; a kill in between leaves it, and deleting again goes on."""


class DatabaseError(StoreError):
    """A database could not do what was asked; the journal has it all, so nothing is lost."""


class DatabaseLocked(DatabaseError):  # noqa: N818 - reads as the thing that happened, as the tree of errors does
    """Another program holds the database."""


class DatabaseReadOnly(DatabaseError):  # noqa: N818 - as DatabaseLocked
    """The database cannot be written."""


class DatabaseRefused(DatabaseError):  # noqa: N818 - as DatabaseLocked
    """The server does not let us in: user, password, database name."""


class DatabaseGone(DatabaseError):  # noqa: N818 - as DatabaseLocked
    """The server cannot be reached, or went away: open the database again; the watermark says what was committed."""


class DatabaseFull(DatabaseError):  # noqa: N818 - as DatabaseLocked
    """There is no room for what was written."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of capture.

    Attributes
    ----------
    name
        What people call it; one in a database.
    venue
        Where the frames come from.
    journal
        The identity of the journal that the rows come from.
    started_timestamp, ended_timestamp
        ns since 1970 UTC; None while it runs.
    state
        ``running``, ``ended``, or what the capture says of itself.
    settings
        JSON: contracts, streams, versions.
    session_id
        Given by the database.
    """

    name: str
    venue: str
    journal: str
    started_timestamp: int
    ended_timestamp: int | None = None
    state: str = "running"
    settings: str = "{}"
    session_id: int = 0


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a write did."""

    rows: int  # in the batch
    inserted: int  # of them new; the others were there already
    watermark: int


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """Rows as they are read: ``contract`` of a row is the index of (contract_id, symbol)."""

    rows: Rows
    contracts: tuple[tuple[str, str], ...]
    raw: tuple[bytes | None, ...]  # as many as rows if they were asked for, else empty


@dataclass(frozen=True, kw_only=True)
class ContractStatistics:
    """What a session holds of one contract.

    Attributes
    ----------
    contract_id, symbol
        Both empty: gaps and findings that are no single contract's.
    rows
        How many rows each table has.
    first_received, last_received
        Of these rows, ns since 1970 UTC; None where there are none.
    traded_size
        Lots of all trades; None where no trade says its size.
    gaps, gap_ns
        Breaks of the stream, and how long they were where both ends are known.
    findings
        Frames not understood, findings of the checks.
    """

    contract_id: str
    symbol: str
    rows: Mapping[TableName, int]
    first_received: int | None = None
    last_received: int | None = None
    traded_size: int | None = None
    gaps: int = 0
    gap_ns: int = 0
    findings: int = 0

    @property
    def span_s(self) -> float:
        """Seconds from the first row to the last; NaN where there are less than two times."""
        if self.first_received is None or self.last_received is None or self.last_received <= self.first_received:
            return math.nan
        return (self.last_received - self.first_received) / 1e9

    def rate_per_s(self, table: TableName) -> float:
        """Return rows a second over :attr:`span_s`; NaN where that is."""
        return self.rows[table] / self.span_s


class Database(Protocol):
    """Where rows of captured sessions are kept. One thread at a time, one :meth:`read` after the other."""

    @property
    def url(self) -> str:
        """Where it is, without any password: fit for a log."""
        ...

    def begin_session(self, session: Session) -> Session:
        """Make a session, or return the one of that name (its venue and journal must be the same)."""
        ...

    def end_session(self, session: Session, ended_timestamp: int | None, state: str = "ended") -> None:
        """Note when and how a session ended; with None and ``running``, that it goes on."""
        ...

    def delete_session(self, session: Session) -> int:
        """Delete a session with all its rows; return how many. Its journal is not touched.

        Nobody may write it meanwhile: a writer's next batch is refused. A kill in between leaves the session as it
        was or in the state ``deleting``; deleting again completes it.
        """
        ...

    def sessions(self) -> list[Session]:
        """Return all sessions, oldest first."""
        ...

    def watermark(self, session: Session) -> int:
        """Return the last frame up to which the session is complete here; 0 at its beginning."""
        ...

    def write(self, session: Session, batch: Batch) -> Written:
        """Write a batch and the watermark in one transaction; rows that are there already stay as they are."""
        ...

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
        """Yield a table's rows in the order in which they came.

        Of the frames behind number ``after`` up to ``through``, received from ``start_ns`` to before ``end_ns``. For
        rows of all tables in one order see :func:`tapebook.store.capture_rows.rows_in_order`.
        """
        ...

    def frames_between(self, session: Session, start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
        """Return the first and the last frame with a row received in this time; (0, 0) where there is none."""
        ...

    def statistics(self, session: Session) -> list[ContractStatistics]:
        """Return what a session holds, by contract (and symbol). It looks at every row: seconds for a long session."""
        ...

    def gaps(self, session: Session) -> list[GapRow]:
        """Return the session's gaps."""
        ...

    def quality(self, session: Session) -> list[QualityRow]:
        """Return the session's findings."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def open_database(url: str) -> Database:
    """Open, and make where there is none, the database that a URL names.

    ``postgresql://user@host/name`` (the password from PGPASSWORD or ~/.pgpass rather than from the URL),
    ``sqlite:///folder/file.db``, or the path of a file.

    >>> import tempfile
    >>> with open_database(f"{tempfile.mkdtemp()}/capture.db") as database:
    ...     database.sessions()
    []
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in ("postgresql", "postgres"):
        from tapebook.store.postgres import PostgresDatabase

        return PostgresDatabase(url)
    if scheme not in ("", "sqlite"):
        raise ConfigurationError(
            "no such kind of database",
            expected="sqlite:///FILE, postgresql://USER@HOST/NAME or the path of a file",
            found=f"{scheme}://…",
        )
    from tapebook.store.sqlite import SqliteDatabase

    path = url.removeprefix("sqlite://")
    # sqlite:///x is the file /x, as a URL has it; sqlite://x is told from it by its one slash less.
    return SqliteDatabase(Path(path))


def check_version(found: int, where: str) -> None:
    """Raise where a newer program made the database."""
    if found > SCHEMA_VERSION:
        raise SchemaMismatch(
            "a newer program made the database",
            expected=f"schema version {SCHEMA_VERSION} or older",
            found=f"version {found}",
            where=where,
            remedy="update tapebook, or use another database",
        )


def check_session(known: Session, asked: Session, where: str) -> Session:
    """Return the session that a database has, unless another is asked for by its name."""
    if known.state == DELETING:
        raise DatabaseError(
            "the session is half deleted",
            where=f"{where}, session {asked.name!r}",
            remedy="delete it again, or choose another name",
        )
    if (known.venue, known.journal) != (asked.venue, asked.journal):
        raise DatabaseError(
            "another session has this name",
            expected=f"venue {known.venue!r}, journal {known.journal!r}",
            found=f"venue {asked.venue!r}, journal {asked.journal!r}",
            where=f"{where}, session {asked.name!r}",
            remedy="choose another name",
        )
    return known


def check_order(batch: Batch, watermark: int, where: str) -> None:
    """Raise where frames are missing between the watermark and a batch: it would be declared complete with a hole."""
    if batch.first_sequence > watermark + 1:
        raise DatabaseError(
            "frames are missing between the database and the batch",
            expected=f"a batch that begins with frame {watermark + 1} or earlier",
            found=f"one that begins with frame {batch.first_sequence}",
            where=where,
            remedy="recover the session from its journal (tapebook capture --recover)",
        )
