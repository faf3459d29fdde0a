"""What databases of captured data refuse, and how they say it."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tapebook.market.errors import ConfigurationError, SchemaMismatch, StoreError
from tapebook.store.database import (
    Database,
    DatabaseError,
    DatabaseFull,
    DatabaseGone,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseRefused,
    Session,
    open_database,
)
from tests.store.capture_servers import PASSWORD, QUOTED, postgres
from tests.store.captured import SESSION, batch_of, content, plain


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


def test_a_batch_that_fails_in_the_middle_leaves_nothing(database: Database) -> None:
    session = database.begin_session(SESSION)
    batch = batch_of(1, 30)
    broken = replace(batch, quality=[batch.quality[0]._replace(finding=None)])  # type: ignore[arg-type] # on purpose
    with pytest.raises(StoreError):
        database.write(session, broken)
    assert database.watermark(session) == 0
    assert not any(content(database, session).values())
    assert database.write(session, batch).inserted == batch.n_rows


def test_a_batch_that_leaves_frames_out_is_refused_as_a_whole(database: Database) -> None:
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 10))
    with pytest.raises(DatabaseError, match=r"expected a batch that begins with frame 11 or earlier, found one .* 12"):
        database.write(session, batch_of(12, 20))
    assert database.watermark(session) == 10


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


def test_a_second_writer_of_a_session_waits_and_then_is_told(url: str) -> None:
    with opened(url, wait_s=0.2) as first, opened(url, wait_s=0.2) as second:
        session = first.begin_session(SESSION)
        with held(first, session):
            with pytest.raises(DatabaseLocked, match=r"close the other program") as caught:
                second.write(session, batch_of(1, 5))
            assert PASSWORD not in str(caught.value)
        second.write(session, batch_of(1, 5))
        assert first.watermark(session) == 5


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_is_no_database_or_cannot_be_made_is_told(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"this is no database, it is a text of some length" * 40)
    with pytest.raises(
        DatabaseError, match=r"no SQLite database.*name another" if what == "file" else "cannot be made"
    ):
        open_database(str(path if what == "file" else path / "b" / "c.db"))


def test_a_read_only_database_is_told(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(8)
    with open_database(f"sqlite://{folder}/c.db") as database:
        database.begin_session(SESSION)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    with pytest.raises(DatabaseReadOnly, match=r"writable|owner and mode"), open_database(f"{folder}/c.db") as database:
        database.write(database.sessions()[0], batch_of(1, 5))


def fill(database: Database, session: Session) -> None:
    for first in range(1, 100_000, 1_000):
        assert database.write(session, batch_of(first, first + 999)).watermark == first + 999


def test_a_full_disk_is_told_and_the_batch_can_be_written_when_there_is_room(small_disk: Callable[[int], Path]) -> None:
    folder = small_disk(2)
    with open_database(f"sqlite://{folder}/c.db") as database:
        session = database.begin_session(SESSION)
        (folder / "ballast").write_bytes(bytes(1 << 20))
        with pytest.raises(DatabaseFull, match="free disk space"):
            fill(database, session)
        done = database.watermark(session)
        assert 0 < done < 100_000
        (folder / "ballast").unlink()
        assert database.write(session, batch_of(done + 1, done + 100)).watermark == done + 100


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
