"""What holds for every database of captured data, and what each of them refuses."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.market.errors import ConfigurationError, MalformedRecord, SchemaMismatch, StoreError
from tapebook.market.events import MISSING
from tapebook.store.batches import Batch, BatchBuilder
from tapebook.store.database import (
    Database,
    DatabaseError,
    DatabaseFull,
    DatabaseGone,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseRefused,
    Session,
    TableRows,
    open_database,
)
from tapebook.store.journal_format import Frame
from tapebook.store.schema import FIELDS, TABLES, TableName, row_dtype
from tests.store.capture_servers import PASSWORD, QUOTED, postgres

SESSION = Session(name="monday", venue="projectx", journal="monday", started_timestamp=10**18)
T0 = 1_700_000_000 * 10**9


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/capture.db" if request.param == "sqlite" else postgres().new_database()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with open_database(url) as base:
        yield base


def decode(frame: Frame, rows: BatchBuilder) -> None:
    """Make rows of all tables out of a frame's number; every tenth frame is not understood."""
    n = frame.sequence
    contract = [("CON.F.US.MNQ.M25", "MNQM5"), ("CON.F.US.EP.M25", "ESM5"), ("Ü", "")][n % 3]
    exchange = MISSING if n % 5 == 0 else frame.ts_recv_ns - 1_000
    if n % 2:
        rows.trade(*contract, price=n * 10**9, size=n, side=(-1) ** n, exchange_ns=exchange, venue_sequence=n)
    if n % 10 == 0:
        raise MalformedRecord("not a message", expected="JSON", found=repr(frame.payload), where="frame")
    for level in range(n % 4):
        size = MISSING if n % 7 == 0 else n
        rows.depth(*contract, kind=2, side=1 - 2 * (n % 2), price=-n * level, size=size, exchange_ns=exchange, flags=1)
    bid = MISSING if n % 6 == 0 else n
    rows.quote(*contract, bid_price=bid, ask_price=2**63 - 1 - n, parts=n % 8, exchange_ns=exchange, channel=7)
    if n % 9 == 0:
        rows.gap(begin_ns=n, end_ns=None, reason="socket closed", detail="with a \0 in it", contract_id=contract[0])


def frames(first: int, last: int) -> list[Frame]:
    return [Frame(n, T0 + n * 1_000, 1, 1, b"payload \0 %d" % n) for n in range(first, last + 1)]


def batch_of(first: int, last: int, *, keep_raw: bool = False) -> Batch:
    builder = BatchBuilder(after=first - 1, keep_raw=keep_raw)
    for frame in frames(first, last):
        builder.add(frame, decode)
    return builder.build()


def plain(found: TableRows | Batch, table: TableName) -> list[tuple[Any, ...]]:
    rows = found.rows if isinstance(found, TableRows) else found.tables[table]
    return [(found.contracts[row["contract"]], *row.tolist()[1:]) for row in rows]


def content(database: Database, session: Session) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {
        table: [row for part in database.read(session, table) for row in plain(part, table)] for table in TABLES
    }
    return found | {"gaps": [*database.gaps(session)], "quality": [*database.quality(session)]}


def test_what_is_written_comes_back_with_every_field_and_what_is_missing_stays_missing(database: Database) -> None:
    session = database.begin_session(SESSION)
    batch = batch_of(1, 200)
    written = database.write(session, batch)
    assert written.inserted == written.rows == batch.n_rows
    found = content(database, session)
    for table in TABLES:
        assert found[table] == plain(batch, table)
        assert len(found[table]) > 50
    assert found["gaps"] == list(batch.gaps)
    assert found["quality"] == list(batch.quality)
    assert len(batch.quality) == 20
    assert batch.quality[0].raw_payload == b"payload \0 10"
    assert {row[0] for row in found["trades"]} == {("CON.F.US.MNQ.M25", "MNQM5"), ("CON.F.US.EP.M25", "ESM5"), ("Ü", "")}


def test_a_missing_value_is_null_in_the_table(url: str) -> None:
    with open_database(url) as database:
        database.write(database.begin_session(SESSION), batch_of(1, 20))
    query = "SELECT count(*), count(exchange_timestamp), min(bid_price) FROM quotes"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
            row = base.execute(query).fetchone()
    else:
        import psycopg

        with psycopg.connect(url) as server:
            row = server.execute(query).fetchone()
    assert row == (18, 16, 1)


def test_the_same_batch_again_changes_nothing_and_one_that_overlaps_adds_what_is_new(database: Database) -> None:
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 60))
    before = content(database, session)
    again = database.write(session, batch_of(1, 60))
    assert (again.inserted, again.watermark) == (0, 60)
    assert content(database, session) == before
    more = database.write(session, batch_of(31, 90))
    assert more.watermark == 90
    assert more.inserted == batch_of(61, 90).n_rows
    whole = batch_of(1, 90)
    assert all(content(database, session)[table] == plain(whole, table) for table in TABLES)


def test_an_older_batch_never_moves_the_watermark_back(database: Database) -> None:
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 60))
    assert database.write(session, batch_of(1, 20)).watermark == 60
    assert database.watermark(session) == 60


def test_a_batch_that_leaves_frames_out_is_refused_as_a_whole(database: Database) -> None:
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 10))
    with pytest.raises(DatabaseError, match="expected a batch that begins with frame 11 or earlier, found one .* 12"):
        database.write(session, batch_of(12, 20))
    assert database.watermark(session) == 10


def test_a_batch_that_fails_in_the_middle_leaves_nothing(database: Database) -> None:
    session = database.begin_session(SESSION)
    batch = batch_of(1, 30)
    broken = replace(batch, quality=[batch.quality[0]._replace(finding=None)])  # type: ignore[arg-type] # on purpose
    with pytest.raises(StoreError):
        database.write(session, broken)
    assert database.watermark(session) == 0
    assert not any(content(database, session).values())
    assert database.write(session, batch).inserted == batch.n_rows


def test_an_empty_batch_moves_the_watermark(database: Database) -> None:
    session = database.begin_session(SESSION)
    builder = BatchBuilder()
    builder.skip_to(7)
    assert database.write(session, builder.build()).watermark == 7


def test_raw_payloads_are_kept_with_the_first_row_of_a_frame_where_asked(database: Database) -> None:
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 30, keep_raw=True))
    database.write(session, batch_of(1, 40, keep_raw=True))
    carried = {}
    for table in TABLES:
        for part in database.read(session, table, raw=True):
            for row, raw in zip(part.rows, part.raw, strict=True):
                assert (raw is None) == (row["row_index"] != 0)
                if raw is not None:
                    carried[int(row["sequence"])] = raw
    assert carried == {f.sequence: f.payload for f in frames(1, 40) if f.sequence % 10}
    assert all(part.raw == () for part in database.read(session, "quotes"))


def test_a_read_is_cut_by_time_and_contract(database: Database) -> None:
    session = database.begin_session(SESSION)
    other = database.begin_session(replace(SESSION, name="tuesday", journal="tuesday"))
    database.write(session, batch_of(1, 100))
    database.write(other, batch_of(1, 100))
    ((part),) = database.read(session, "quotes", contract_id="Ü", start_ns=T0 + 20_000, end_ns=T0 + 41_000)
    assert part.rows["sequence"].tolist() == [23, 26, 29, 32, 35, 38, 41][:-1]
    assert part.contracts == (("Ü", ""),)


def test_sessions_are_listed_in_order_and_one_name_is_one_session(database: Database) -> None:
    first = database.begin_session(SESSION)
    later = database.begin_session(replace(SESSION, name="early", started_timestamp=5, settings='{"contracts":[]}'))
    assert database.begin_session(SESSION) == first
    database.end_session(first, 2 * 10**18)
    assert [s.name for s in database.sessions()] == ["early", "monday"]
    assert database.sessions()[0] == later
    assert (database.sessions()[1].ended_timestamp, database.sessions()[1].state) == (2 * 10**18, "ended")
    with pytest.raises(DatabaseError, match="another session has this name.*choose another name"):
        database.begin_session(replace(SESSION, journal="other"))
    with pytest.raises(DatabaseError, match="no such session"):
        database.watermark(replace(SESSION, session_id=99))


def test_opening_again_finds_everything_and_migrates_nothing(url: str) -> None:
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 50))
        before = content(database, session)
    with open_database(url) as database, open_database(url) as beside:
        assert database.sessions() == [session]
        assert content(beside, session) == before


def test_a_database_of_a_newer_program_is_refused(url: str) -> None:
    open_database(url).close()
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
            base.execute("PRAGMA user_version=99")
    else:
        import psycopg

        with psycopg.connect(url) as server:
            server.execute("UPDATE tapebook_schema SET version = 99")
    with pytest.raises(SchemaMismatch, match=r"found version 99.*update tapebook"):
        open_database(url)


def test_the_tables_have_the_columns_that_they_are_documented_to_have(url: str) -> None:
    open_database(url).close()
    common = ["session_id", "sequence", "row_index", "received_timestamp", "exchange_timestamp", "contract_id", "symbol"]
    for table in TABLES:
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
                names = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
        else:
            import psycopg

            with psycopg.connect(url) as server:
                names = [c.name for c in server.execute(f"SELECT * FROM {table}").description or []]
        assert names[:7] == common
        assert set(names) == {*common, "raw_payload", *(f.name for f in FIELDS[table])}
        assert row_dtype(table).names == ("contract", *(f.name for f in FIELDS[table]))


def test_a_range_of_time_is_found_by_its_index(url: str) -> None:
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 20_000))
    query = f"SELECT * FROM quotes WHERE received_timestamp >= {T0 + 9_000_000} AND received_timestamp < {T0 + 9_100_000}"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
            plan = str(base.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
    else:
        import psycopg

        with psycopg.connect(url) as server:
            server.execute("ANALYZE quotes")
            plan = str(server.execute(f"EXPLAIN {query}").fetchall())  # type: ignore[arg-type] # our own numbers
    assert "quotes_by_time" in plan


def test_both_databases_hold_the_same_rows(tmp_path: Path) -> None:
    found = []
    for url in (f"sqlite://{tmp_path}/capture.db", postgres().new_database()):
        with open_database(url) as database:
            session = database.begin_session(SESSION)
            database.write(session, batch_of(1, 500, keep_raw=True))
            found.append(content(database, session))
    assert found[0] == found[1]


def test_a_second_writer_of_a_session_waits_and_then_is_told(url: str) -> None:
    with opened(url, wait_s=0.2) as first, opened(url, wait_s=0.2) as second:
        session = first.begin_session(SESSION)
        with held(first, session):
            with pytest.raises(DatabaseLocked, match=r"close the other program") as caught:
                second.write(session, batch_of(1, 5))
            assert PASSWORD not in str(caught.value)
        second.write(session, batch_of(1, 5))
        assert first.watermark(session) == 5


def opened(url: str, *, wait_s: float) -> Any:
    from tapebook.store.sqlite import SqliteDatabase

    if url.startswith("sqlite"):
        return SqliteDatabase(Path(url.removeprefix("sqlite://")), busy_timeout_s=wait_s)
    from tapebook.store.postgres import PostgresDatabase

    return PostgresDatabase(url, lock_timeout_s=wait_s)


def held(database: Any, session: Session) -> Any:
    """Open a transaction that has written to the session."""
    from contextlib import contextmanager

    @contextmanager
    def hold() -> Iterator[None]:
        with database._transaction() as base:
            base.execute(f"UPDATE watermark SET sequence = 0 WHERE session_id = {session.session_id}")
            yield

    return hold()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_is_no_database_or_cannot_be_made_is_told(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"this is no database, it is a text of some length" * 40)
    with pytest.raises(DatabaseError, match=r"no SQLite database.*name another" if what == "file" else "cannot be made"):
        open_database(str(path if what == "file" else path / "b" / "c.db"))


def test_a_read_only_database_is_told(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(8)
    with open_database(f"sqlite://{folder}/c.db") as database:
        database.begin_session(SESSION)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with pytest.raises(DatabaseReadOnly, match="writable|owner and mode"), open_database(f"{folder}/c.db") as database:
        database.write(database.sessions()[0], batch_of(1, 5))


def test_a_full_disk_is_told_and_the_batch_can_be_written_when_there_is_room(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(2)
    with open_database(f"sqlite://{folder}/c.db") as database:
        session = database.begin_session(SESSION)
        (folder / "ballast").write_bytes(bytes(1 << 20))
        done = 0
        with pytest.raises(DatabaseFull, match="free disk space"):
            for first in range(1, 100_000, 1_000):
                done = database.write(session, batch_of(first, first + 999)).watermark
        assert database.watermark(session) == done
        (folder / "ballast").unlink()
        assert database.write(session, batch_of(done + 1, done + 100)).watermark == done + 100


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a file system of some megabytes (root alone can)."""
    mounted = []

    def mount(megabytes: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        if sys.platform != "linux" or os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("a file system of its own can be mounted by root on Linux only")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_wrong_password_a_wrong_name_and_a_dead_port_are_told_without_the_password() -> None:
    server = postgres()
    cases = [
        (server.url(password="wrong%2Fword"), DatabaseRefused, "wrong/word"),
        (server.url(user="nobody"), DatabaseRefused, PASSWORD),
        (server.url("no_such_database"), DatabaseRefused, PASSWORD),
        (server.url().replace(str(server.port), "1"), DatabaseGone, PASSWORD),
    ]
    for url, kind, secret in cases:
        with pytest.raises(kind) as caught:
            open_database(url)
        error = caught.value
        told = f"{error} {error!r} {error.__cause__} {error.where}"
        assert secret not in told
        assert QUOTED not in told
        assert "wrong%2Fword" not in told
        assert error.remedy
        assert "127.0.0.1" in error.where


def test_a_url_that_cannot_be_read_is_not_quoted() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ConfigurationError, match="percent-encode") as caught:
        open_database("postgresql://me:sec%ret@host:port/x?what=1")
    assert "sec" not in str(caught.value).replace("percent", "")
    with pytest.raises(ConfigurationError, match="expected sqlite"):
        open_database("mysql://me:secret@host/x")


def test_a_server_that_goes_away_is_told_and_the_watermark_says_what_was_committed() -> None:
    server = postgres()
    url = server.new_database()
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 50))
        server.stop()
        try:
            with pytest.raises(DatabaseGone, match="watermark") as caught:
                database.write(session, batch_of(51, 60))
            assert PASSWORD not in str(caught.value)
        finally:
            server.start()
        assert PASSWORD not in database.url
    with open_database(url) as database:
        assert database.watermark(session) == 50
        database.write(session, batch_of(51, 60))
        assert content(database, session)["trades"] == plain(batch_of(1, 60), "trades")


def test_a_server_that_dies_in_the_middle_of_a_batch_keeps_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = postgres()
    url = server.new_database()
    from tapebook.store.postgres import PostgresDatabase

    database = PostgresDatabase(url)
    session = database.begin_session(SESSION)
    copy, calls = database._copy, [0]

    def dying(*values: Any, **words: Any) -> int:
        calls[0] += 1
        if calls[0] == 2:
            server.stop()
        return copy(*values, **words)

    monkeypatch.setattr(database, "_copy", dying)
    try:
        with pytest.raises(DatabaseGone):
            database.write(session, batch_of(1, 50))
    finally:
        server.start()
    database.close()
    with open_database(url) as again:
        assert again.watermark(session) == 0
        assert not any(content(again, session).values())


def test_numbers_at_the_ends_of_their_range_survive(database: Database) -> None:
    session = database.begin_session(SESSION)
    builder = BatchBuilder()
    low, high = MISSING + 1, 2**63 - 1

    def edges(_frame: Frame, rows: BatchBuilder) -> None:
        rows.trade("a", "b", price=low, size=high, side=-1, side_source=5, condition=4, order_id=low, exchange_ns=high)
        rows.depth("a" * 300, "b", kind=9, side=-1, channel=65535, flags=65535, orders=0, order_id=-1)

    builder.add(Frame(1, high, 65535, 255, b""), edges)
    batch = builder.build()
    database.write(session, batch)
    assert {t: content(database, session)[t] for t in TABLES} == {t: plain(batch, t) for t in TABLES}
    assert np.all(batch.tables["market_depth"]["price"] == MISSING)
