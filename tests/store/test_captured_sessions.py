"""Captured sessions: what they hold, their rows in order, copies of them, and what is left when they are deleted."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tapebook.market.errors import StoreError
from tapebook.store import sqlite as sqlite_module
from tapebook.store.batches import BatchBuilder
from tapebook.store.capture_copy import copy_session
from tapebook.store.capture_rows import Stretch, rows_in_order
from tapebook.store.capture_verify import verify_session
from tapebook.store.database import Database, DatabaseError, open_database
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import Frame
from tapebook.store.schema import TABLES
from tests.store.capture_servers import postgres
from tests.store.captured import SESSION, T0, batch_of, content, decode, frames


def test_statistics_count_what_a_slow_count_counts(database: Database) -> None:
    session = database.begin_session(SESSION)
    beside = database.begin_session(replace(SESSION, name="tuesday", journal="tuesday"))
    database.write(session, batch_of(1, 300))
    database.write(beside, batch_of(1, 50))
    found = content(database, session)
    told = {s.contract_id: s for s in database.statistics(session)}
    assert list(told) == sorted(told)
    for contract_id, one in told.items():
        if not contract_id:
            continue
        times = []
        for table in TABLES:
            rows = [row for row in found[table] if row[0] == (contract_id, one.symbol)]
            assert one.rows[table] == len(rows)
            times += [row[3] for row in rows]
        assert (one.first_received, one.last_received) == (min(times), max(times))
        assert one.span_s == (max(times) - min(times)) / 1e9
        assert one.rate_per_s("trades") == one.rows["trades"] / one.span_s
        sizes = [row[6] for row in found["trades"] if row[0][0] == contract_id]
        assert one.traded_size == (sum(sizes) if sizes else None)
        assert one.gaps == sum(gap.contract_id == contract_id for gap in database.gaps(session))
    # The frames that were not understood name no contract.
    assert (told[""].findings, told[""].rows["quotes"], told[""].first_received) == (30, 0, None)
    assert math.isnan(told[""].rate_per_s("quotes"))
    assert sum(s.findings for s in database.statistics(beside)) == 5


def test_gaps_have_a_length_and_sizes_may_be_as_large_as_they_come(database: Database) -> None:
    def large(frame: Frame, rows: BatchBuilder) -> None:
        rows.trade("A", "a", price=1, size=2**63 - frame.sequence)
        rows.gap(begin_ns=10, end_ns=10 + frame.sequence, reason="silence", contract_id="A")

    session = database.begin_session(SESSION)
    builder = BatchBuilder()
    for frame in frames(1, 4):
        builder.add(frame, large)
    database.write(session, builder.build())
    (told,) = database.statistics(session)
    assert (told.traded_size, told.gaps, told.gap_ns, told.symbol) == (4 * 2**63 - 10, 4, 10, "a")


def flat(stretches: list[Stretch]) -> list[tuple[Any, ...]]:
    found = []
    for stretch in stretches:
        rows = [
            (
                table,
                row["sequence"],
                row["row_index"],
                stretch.tables[table].contracts[row["contract"]],
                *row.tolist()[4:],
            )
            for table in TABLES
            for row in stretch.tables[table].rows
        ]
        found += [rows[i] for i in stretch.order]
    return found


@pytest.mark.parametrize("rows_wanted", [1, 700, 1 << 16])
def test_rows_of_all_tables_come_in_the_order_in_which_they_came(database: Database, rows_wanted: int) -> None:
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 9_000, keep_raw=True))
    stretches = list(rows_in_order(database, session, rows_wanted=rows_wanted, after=8_000 if rows_wanted == 1 else 0))
    found = flat(stretches)
    keys = [row[1:3] for row in found]
    assert keys == sorted(set(keys))
    first = keys[0][0]
    assert len(found) == sum(rows.size for rows in batch_of(int(first), 9_000).tables.values())
    assert all(a.through <= b.after for a, b in pairwise(stretches))
    part = {"contract_id": "Ü", "start_ns": T0 + 8_500_000, "end_ns": T0 + 8_600_000}
    wanted = [row for row in found if row[3][0] == "Ü" and 8_500 <= row[1] < 8_600]
    assert flat(list(rows_in_order(database, session, **part, rows_wanted=rows_wanted))) == wanted  # type: ignore[arg-type] # words
    assert len(wanted) > 50
    assert not list(rows_in_order(database, session, start_ns=T0 + 10**12))
    assert database.frames_between(session, None, None) == (1, 8_999)
    assert database.frames_between(session, T0 + 5_000, T0 + 8_001) == (5, 8)
    assert database.frames_between(session, 0, 1) == (0, 0)


def test_a_read_of_frames_is_cut_at_frames_and_at_times_that_go_back(database: Database) -> None:
    session = database.begin_session(SESSION)
    builder = BatchBuilder()
    for n, ts in enumerate((50, 10, 40, 20, 30), start=1):  # a clock that was set back
        builder.add(Frame(n, ts, 0, 1, b""), lambda _, rows: rows.quote("A", "a", bid_price=1))
    database.write(session, builder.build())

    def sequences(**words: Any) -> list[int]:
        return [n for part in database.read(session, "quotes", **words) for n in part.rows["sequence"].tolist()]

    assert sequences(after=1, through=4) == [2, 3, 4]
    assert sequences(start_ns=20, end_ns=41) == [3, 4, 5]
    assert sequences(start_ns=20, end_ns=41, after=3) == [4, 5]
    assert sequences(start_ns=20, through=4) == [1, 3, 4]
    assert sequences(start_ns=51) == []
    assert sequences(end_ns=10) == []


def test_a_short_time_of_a_long_session_is_read_by_keys_and_not_by_a_walk_through_it(tmp_path: Path) -> None:
    with sqlite_module.SqliteDatabase(tmp_path / "c.db") as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 1_000))
        asked: list[str] = []
        database._base.set_trace_callback(asked.append)
        list(database.read(session, "quotes", start_ns=T0 + 500_000, end_ns=T0 + 501_000))
        database._base.set_trace_callback(None)
        plans = [str(database._base.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()) for query in asked]
    assert ["COVERING INDEX quotes_by_time" in plan for plan in plans] == [True, False]
    assert "PRIMARY KEY (session_id=? AND sequence>? AND sequence<?)" in plans[1]


def test_deleting_a_session_leaves_nothing_of_it_and_all_of_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "_DELETE_ROWS", 100)
    session = database.begin_session(SESSION)
    other = database.begin_session(replace(SESSION, name="tuesday", journal="tuesday"))
    database.write(session, batch_of(1, 600))
    database.write(other, batch_of(1, 600))
    before = content(database, other)
    assert database.delete_session(session) == batch_of(1, 600).n_rows
    assert database.sessions() == [other]
    assert content(database, other) == before
    assert not any(content(database, session).values())
    with pytest.raises(DatabaseError, match="no such session"):
        database.delete_session(session)
    with pytest.raises(DatabaseError, match="no such session"):
        database.write(session, batch_of(601, 610))
    again = database.begin_session(SESSION)
    assert database.watermark(again) == 0


def test_a_deletion_that_was_cut_off_is_told_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_module, "_DELETE_ROWS", 100)
    path = tmp_path / "c.db"
    with open_database(str(path)) as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 600))
        with closing(sqlite3.connect(path)) as base:
            base.execute(
                "CREATE TRIGGER t BEFORE DELETE ON trades WHEN old.sequence > 300 BEGIN SELECT raise(ABORT, 'x'); END"
            )
        with pytest.raises(DatabaseError):
            database.delete_session(session)
        (left,) = database.sessions()
        assert left.state == "deleting"
        assert 0 < sum(map(len, content(database, session).values())) < batch_of(1, 600).n_rows
        with pytest.raises(DatabaseError, match="half deleted"):
            database.begin_session(SESSION)
        with closing(sqlite3.connect(path)) as base:
            base.execute("DROP TRIGGER t")
        database.delete_session(left)
        assert database.sessions() == []


def test_deleting_gives_the_room_back(tmp_path: Path) -> None:
    path = tmp_path / "c.db"
    with open_database(str(path)) as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 20_000))
        full = path.stat().st_size
        database.delete_session(session)
    assert path.stat().st_size < full / 20


def test_a_session_that_goes_on_is_running_again(database: Database) -> None:
    session = database.begin_session(SESSION)
    database.end_session(session, 5)
    database.end_session(session, None, "running")
    assert database.sessions() == [session]


@pytest.mark.parametrize(("source", "target"), [("sqlite", "sqlite"), ("sqlite", "postgres"), ("postgres", "sqlite")])
def test_a_copy_is_the_session_and_goes_on_where_it_was_cut_off(tmp_path: Path, source: str, target: str) -> None:
    def url(kind: str, name: str) -> str:
        return f"{tmp_path}/{name}.db" if kind == "sqlite" else postgres().new_database()

    with open_database(url(source, "a")) as here, open_database(url(target, "b")) as there:
        session = here.begin_session(replace(SESSION, settings='{"contracts":["Ü"]}'))
        here.write(session, batch_of(1, 8_000, keep_raw=True))
        first = copy_session(here, session, there)
        assert content(there, first) == content(here, session)
        builder = BatchBuilder(after=8_000, keep_raw=True)
        for frame in frames(8_001, 9_000):
            builder.add(frame, decode)
        for frame in frames(9_001, 9_005):  # frames without a row
            builder.add(frame, lambda _frame, _rows: None)
        here.write(session, builder.build())
        here.end_session(session, 2 * 10**18, "ended")
        done: list[int] = []
        copied = copy_session(here, here.sessions()[0], there, progress=done.append)
        assert done[-1] == 1_005
        assert there.watermark(copied) == here.watermark(session) == 9_005
        assert content(there, copied) == content(here, session)
        assert there.sessions() == [copied] == [replace(here.sessions()[0], session_id=copied.session_id)]
        for table in TABLES:
            ours, theirs = (
                [p for part in base.read(which, table, raw=True) for p in part.raw]
                for base, which in ((here, session), (there, copied))
            )
            assert ours == theirs
        second = copy_session(here, session, there, name="again")
        assert content(there, second) == content(here, session)


def journal_of(folder: Path, last: int) -> Path:
    with Journal(folder, identity="monday", settings=JournalSettings(segment_bytes=65_536)) as journal:
        journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames(1, last))
    return folder


def test_a_session_that_agrees_with_its_journal_is_told_so(database: Database, tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "journal", 3_000)
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 2_500))
    told = verify_session(journal, decode, database, session, batch_frames=700)
    assert told.agrees
    assert (told.frames, told.rows, told.behind) == (2_500, batch_of(1, 2_500).n_rows, 500)
    assert (told.unverifiable, told.differences, told.bad_records) == (0, (), {})
    with pytest.raises(StoreError, match="another session's"):
        verify_session(journal, decode, database, replace(session, journal="tuesday"))


def test_every_row_that_differs_from_the_journal_is_found(url: str, tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "journal", 1_000)
    with open_database(url) as database:
        session = database.begin_session(SESSION)
        database.write(session, batch_of(1, 1_000))
    change(
        url,
        "DELETE FROM trades WHERE sequence IN (7, 777)",
        "UPDATE quotes SET bid_price = 5 WHERE sequence = 101",
        "UPDATE quotes SET bid_price = NULL WHERE sequence = 103",
        "UPDATE market_depth SET row_index = 99 WHERE sequence = 501",
        "DELETE FROM quality WHERE sequence = 10",
        "UPDATE gaps SET reason = 'other' WHERE sequence = 9",
    )
    with open_database(url) as database:
        told = verify_session(journal, decode, database, session, batch_frames=64)
        assert (told.missing, told.extra, told.different, told.agrees) == (4, 1, 3, False)
        assert {(d.table, d.sequence) for d in told.differences} == {
            *(("trades", 7), ("trades", 777), ("quotes", 101), ("quotes", 103)),
            *(("market_depth", 501), ("quality", 10), ("gaps", 9)),
        }
        assert len(verify_session(journal, decode, database, session, differences_kept=2).differences) == 2


def change(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base, base:
            for statement in statements:
                base.execute(statement)
    else:
        import psycopg

        with psycopg.connect(url) as server:
            for statement in statements:
                server.execute(statement)


def test_rows_of_frames_that_the_journal_lost_cannot_be_verified(database: Database, tmp_path: Path) -> None:
    journal = journal_of(tmp_path / "journal", 3_000)
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 3_000))
    sealed = sorted(journal.glob("*.sealed"))
    first, last = map(int, sealed[1].stem.split("-"))
    sealed[1].unlink()
    told = verify_session(journal, decode, database, session)
    assert told.agrees
    assert told.unverifiable == batch_of(first, last).n_rows
    assert told.bad_records == {"missing journal frames": 1}
    assert told.frames == 3_000 - (last + 1 - first)
    sealed[-1].unlink()  # the journal ends before the database does
    assert (told := verify_session(journal, decode, database, session)).agrees
    assert told.unverifiable == batch_of(first, last).n_rows + batch_of(_first(sealed[-1]), 3_000).n_rows


def _first(path: Path) -> int:
    return int(path.stem.split("-")[0])


def test_progress_is_told(database: Database, tmp_path: Path) -> None:
    done: list[int] = []
    session = database.begin_session(SESSION)
    database.write(session, batch_of(1, 500))
    verify_session(journal_of(tmp_path / "j", 500), decode, database, session, batch_frames=100, progress=done.append)
    assert done == [100, 200, 300, 400, 500]
