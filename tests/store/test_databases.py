"""What holds for every database of captured data."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.events import MISSING
from tapebook.store.batches import BatchBuilder
from tapebook.store.database import (
    Database,
    DatabaseError,
    open_database,
)
from tapebook.store.journal_format import Frame
from tapebook.store.schema import FIELDS, TABLES, row_dtype
from tests.store.capture_servers import postgres
from tests.store.captured import SESSION, T0, batch_of, content, frames, plain


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
    assert {row[0] for row in found["trades"]} == {
        ("CON.F.US.MNQ.M25", "MNQM5"),
        ("CON.F.US.EP.M25", "ESM5"),
        ("Ü", ""),
    }


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
    with pytest.raises(DatabaseError, match=r"another session has this name.*choose another name"):
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


def test_the_tables_have_the_columns_that_they_are_documented_to_have(url: str) -> None:
    open_database(url).close()
    common = [
        "session_id",
        "sequence",
        "row_index",
        "received_timestamp",
        "exchange_timestamp",
        "contract_id",
        "symbol",
    ]
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
    begin = T0 + 9_000_000
    query = f"SELECT * FROM quotes WHERE received_timestamp >= {begin} AND received_timestamp < {begin + 100_000}"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
            plan = str(base.execute(f"EXPLAIN QUERY PLAN {query}").fetchall())
    else:
        import psycopg

        with psycopg.connect(url) as server:
            server.execute("ANALYZE quotes")
            plan = str(server.execute(f"EXPLAIN {query}").fetchall())
    assert "quotes_by_time" in plan


def test_both_databases_hold_the_same_rows(tmp_path: Path) -> None:
    found = []
    for url in (f"sqlite://{tmp_path}/capture.db", postgres().new_database()):
        with open_database(url) as database:
            session = database.begin_session(SESSION)
            database.write(session, batch_of(1, 500, keep_raw=True))
            found.append(content(database, session))
    assert found[0] == found[1]


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


def test_a_number_that_no_column_holds_is_a_finding_and_not_the_end(database: Database) -> None:
    def decoded(frame: Frame, rows: BatchBuilder) -> None:
        rows.quote("A", "a", bid_price=1)
        rows.trade("A", "a", price=10**9 if frame.sequence != 2 else 10**19)

    session = database.begin_session(SESSION)
    builder = BatchBuilder()
    for frame in frames(1, 3):
        builder.add(frame, decoded)
    database.write(session, builder.build())
    assert [row[1] for row in content(database, session)["trades"]] == [1, 3]
    assert [row[1] for row in content(database, session)["quotes"]] == [1, 3]
    (finding,) = database.quality(session)
    assert (finding.sequence, finding.finding) == (2, "a number does not fit its column")
    assert finding.raw_payload == frames(2, 2)[0].payload
