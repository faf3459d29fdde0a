"""Kills between journal and database, and a server that comes and goes: what recovery makes of them.

The journal, read by another program than ours, is the witness; databases are asked in plain SQL.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tapebook.market.errors import StoreError
from tapebook.store.batches import BatchBuilder
from tapebook.store.database import Database, DatabaseError, Session, open_database
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import Frame
from tapebook.store.recovery import recover
from tests.store.capture_child import SESSION, T0, Life, decode, killer, payload, read_journal, rows_of
from tests.store.capture_servers import PostgresServer, postgres, programs

_QUERIES = (
    "SELECT 'trades', sequence, row_index, price, size FROM trades",
    "SELECT 'quotes', sequence, row_index, bid_price, bid_size FROM quotes",
    "SELECT 'market_depth', sequence, row_index, price, size FROM market_depth",
    "SELECT 'quality', sequence, row_index, 0, 0 FROM quality",
)


def asked(url: str) -> tuple[int, list[tuple[str, int, int, int, int]]]:
    """Return watermark and rows of one moment, without a line of the program under test."""
    queries = ["SELECT coalesce(max(sequence), 0) FROM watermark", " UNION ALL ".join(_QUERIES)]
    if url.startswith("postgres"):
        import psycopg

        with psycopg.connect(url) as server, server.transaction():
            server.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            answers = [server.execute(query).fetchall() for query in queries]
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
            base.execute("BEGIN")
            answers = [base.execute(query).fetchall() for query in queries]
    return answers[0][0][0], sorted(answers[1])


def expected(frames: list[tuple[int, bytes]], through: int) -> list[tuple[str, int, int, int, int]]:
    return sorted(row for n, data in frames if n <= through for row in rows_of(n, data))


def made(url: str) -> str:
    open_database(url).close()
    return url


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are POSIX")
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.parametrize(("lives", "kills"), [(1, 6), pytest.param(14, 8, marks=pytest.mark.slow)])
def test_no_kill_takes_or_doubles_a_row(tmp_path: Path, kind: str, lives: int, kills: int) -> None:
    rng = random.Random(f"{kind} {lives}")
    seen: Counter[str] = Counter()
    with killer() as by:
        for life in range(lives):
            here = tmp_path / str(life)
            here.mkdir()
            journal = here / "journal"
            url = made(f"sqlite://{here}/capture.db" if kind == "sqlite" else postgres().new_database())
            for kill in range(kills):
                acknowledged, phase = by.kill(
                    Life(
                        journal=str(journal),
                        acknowledged=str(here / "acknowledged"),
                        url=url,
                        seed=rng.getrandbits(40),
                        phase=(wanted := rng.choice([0, 1, 1, 2, 2, 2])),
                        delay_s=rng.uniform(0.0, (0.02, 0.03, 0.12)[wanted]),
                        step=rng.choice([0, 0, rng.randint(1, 40)]),
                    )
                )
                seen[phase] += 1
                frames = read_journal(journal)
                assert len(frames) >= acknowledged, "an acknowledged frame is gone"
                watermark, rows = asked(url)
                assert watermark <= len(frames), "the database is ahead of the journal"
                assert rows == expected(frames, watermark), "rows and watermark do not belong together"
                seen["behind"] += watermark < len(frames)
                if kill % 3 == 1 and kill < kills - 1:
                    continue  # the next one finds it unrecovered, and may be killed while it recovers
                with open_database(url) as database:
                    told = recover(journal, decode, database, database.begin_session(SESSION)) if frames else None
                watermark, rows = asked(url)
                assert watermark == len(frames)
                assert rows == expected(frames, watermark), "recovery left a row out, or wrote one twice"
                assert told is None or (told.missing_frames, told.ahead) == (0, 0)
    print(f"{kind}: {lives * kills} kills, {dict(seen)}")
    assert seen["capturing"] >= lives * kills // 4
    assert seen["behind"] > 0, "no kill came between journal and database"


def capturing(journal: Journal, url: str, stop: threading.Event, met: Counter[str]) -> None:
    """Journal and write until told to stop; a database that is gone is opened again and recovered."""
    database: Database | None = None
    session: Session = SESSION
    builder = BatchBuilder()
    last = 0
    while not stop.is_set():
        new = [(T0 + n, n % 3, 1, payload(n)) for n in range(last + 1, last + 21)]
        before, last = last, journal.append(new)
        try:
            if database is None:
                database = open_database(url)
                session = database.begin_session(SESSION)
                recover(journal.folder, decode, database, session)
                builder = BatchBuilder(after=database.watermark(session))
                met["opened"] += 1
                continue
            for n, row in enumerate(new, start=before + 1):
                builder.add(Frame(n, *row), decode)
            if builder.n_frames >= 200:
                database.write(session, builder.build())
                met["written"] += 1
        except DatabaseError as error:
            met[type(error).__name__] += 1
            if database is not None:
                database.close()
            database = None
            time.sleep(0.01)
    if database is not None:
        database.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    postgres()  # skips where there is none
    folder = programs()
    assert folder is not None
    one = PostgresServer(folder, durable=True)
    yield one
    one.remove()


@pytest.mark.slow
def test_a_server_that_is_stopped_and_started_under_load_loses_and_doubles_nothing(
    tmp_path: Path, server: PostgresServer
) -> None:
    rng = random.Random(5)
    url = server.new_database()
    stop = threading.Event()
    met: Counter[str] = Counter()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            capturing(journal, url, stop, met)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failed.append(error)

    with Journal(tmp_path, identity=SESSION.journal, settings=JournalSettings(segment_bytes=1 << 20)) as journal:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            for _ in range(6):
                time.sleep(rng.uniform(0.2, 0.6))
                server.stop()
                time.sleep(rng.uniform(0.0, 0.3))
                server.start()
            time.sleep(0.3)
        finally:
            stop.set()
            thread.join(60)
        last = journal.last_sequence
    assert not failed
    assert met["opened"] >= 6
    assert met["DatabaseGone"] >= 6
    frames = read_journal(tmp_path)
    assert len(frames) == last
    watermark, rows = asked(url)
    assert rows == expected(frames, watermark)
    with open_database(url) as database:
        recover(tmp_path, decode, database, database.begin_session(SESSION))
    watermark, rows = asked(url)
    print(f"{last} frames, {len(rows)} rows, {dict(met)}")
    assert watermark == last
    assert rows == expected(frames, last)


def journalled(folder: Path, first: int, last: int, *, after: int = 0) -> None:
    with Journal(folder, identity="monday", settings=JournalSettings(segment_bytes=8_192), after=after) as journal:
        journal.append((T0 + n, n % 3, 1, payload(n)) for n in range(first, last + 1))


def test_what_recovery_did_is_told(tmp_path: Path, url: str) -> None:
    journalled(tmp_path / "j", 1, 900)
    done: list[int] = []
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        told = recover(tmp_path / "j", decode, database, session, batch_frames=250, progress=done.append)
        n_rows = len(expected(read_journal(tmp_path / "j"), 900))
        assert (told.before, told.after, told.frames, told.rows, told.inserted) == (0, 900, 900, n_rows, n_rows)
        assert (told.missing_frames, told.ahead, told.torn, told.bad_records) == (0, 0, False, {})
        assert done == [250, 500, 750, 900]
        again = recover(tmp_path / "j", decode, database, session)
        assert (again.before, again.after, again.frames, again.inserted) == (900, 900, 0, 0)
    assert asked(url)[1] == expected(read_journal(tmp_path / "j"), 900)


def test_rows_that_were_deleted_are_put_back_from_where_one_says(tmp_path: Path, url: str) -> None:
    journalled(tmp_path / "j", 1, 900)
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        recover(tmp_path / "j", decode, database, session)
        before = asked(url)
        with database._transaction() as base:  # type: ignore[attr-defined] # both have one
            base.execute("DELETE FROM trades WHERE sequence > 400")
        told = recover(tmp_path / "j", decode, database, session, start=300)
        assert (told.frames, told.before, told.after) == (601, 900, 900)
        assert told.inserted == sum(row[0] == "trades" and row[1] > 400 for row in before[1])
    assert asked(url) == before


def test_damaged_frames_are_told_and_passed_over(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "j"
    journalled(folder, 1, 900)
    sealed = sorted(folder.glob("*.sealed"))
    data = bytearray(sealed[1].read_bytes())
    data[5_000:5_100] = bytes(100)
    sealed[1].write_bytes(data)
    lost = range(*(int(n) + i for i, n in enumerate(sealed[1].stem.split("-"))))
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        told = recover(folder, decode, database, session)
        assert (told.after, told.frames + told.missing_frames) == (900, 900)
        assert 0 < told.missing_frames <= len(lost)
        assert sum(told.bad_records.values()) == 2
        assert recover(folder, decode, database, session).frames == 0
    frames = [(n, payload(n)) for n in range(1, 901) if n not in lost]
    assert set(expected(frames, 900)) <= set(asked(url)[1])


def test_a_database_that_is_ahead_of_its_journal_is_told_and_its_numbers_stay_its_own(tmp_path: Path, url: str) -> None:
    folder = tmp_path / "j"
    journalled(folder, 1, 100)
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        recover(folder, decode, database, session)
        for path in folder.glob("*.sealed"):  # a power failure, and the database on another machine
            path.unlink()
        journalled(folder, 1, 60)
        assert (told := recover(folder, decode, database, session)).ahead == 40
        assert (told.frames, told.after) == (0, 100)
        journalled(folder, 101, 110, after=database.watermark(session))
        assert recover(folder, decode, database, session).after == 110
    assert asked(url)[1] == expected([(n, payload(n)) for n in range(1, 111)], 110)


def test_a_journal_that_is_being_written_is_recovered_to_a_frame(tmp_path: Path, url: str) -> None:
    settings = JournalSettings(segment_bytes=8_192)
    with Journal(tmp_path / "j", identity="monday", settings=settings) as journal, open_database(url) as database:
        session = database.begin_session(SESSION)
        for until in (400, 900, 900):
            journal.append((T0 + n, n % 3, 1, payload(n)) for n in range(journal.last_sequence + 1, until + 101))
            told = recover(journal.folder, decode, database, session, through=until)
            assert (told.after, told.missing_frames, told.ahead, told.torn) == (until, 0, 0, False)
            assert asked(url) == (until, expected([(n, payload(n)) for n in range(1, until + 1)], until))
        memory = journal._memory
        assert memory is not None
        memory[journal._at + 4 : journal._at + 40] = b"x" * 36  # the writer is in the middle of a record
        assert not recover(journal.folder, decode, database, session, through=journal.last_sequence).torn
        assert recover(journal.folder, decode, database, session).torn


def test_another_sessions_journal_is_refused(tmp_path: Path, url: str) -> None:
    journalled(tmp_path / "j", 1, 10)
    with open_database(url) as database:
        session = database.begin_session(Session(name="b", venue="projectx", journal="tuesday", started_timestamp=0))
        with pytest.raises(StoreError, match=r"another session's: expected 'tuesday', found 'monday'"):
            recover(tmp_path / "j", decode, database, session)
