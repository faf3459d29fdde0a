from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tapebook.market.errors import StoreCorrupted, StoreError
from tapebook.market.events import MISSING, Flag, Kind, Phase
from tapebook.market.instruments import Instrument
from tapebook.store import Lake
from tapebook.store.sql import query
from tests.store.some_tapes import tape_of, trades
from tests.store.test_export import bars
from tests.tapes import random_levels, random_orders

EVENTS = np.concatenate([trades(100), trades(10, instrument_id=3), random_orders(1, 400), random_levels(2, 400)])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    made = Lake(tmp_path_factory.mktemp("sql") / "it's a lake")
    made.ingest(tape_of(EVENTS))
    made.ingest(bars())
    return made


def ask(lake: Lake, sql: str, **options: Any) -> list[tuple[Any, ...]]:
    with query(lake, sql, **options) as answer:
        table = pa.Table.from_batches(list(answer.batches), answer.schema)
    return list(zip(*(c.to_pylist() for c in table.columns), strict=True))


def test_the_views_count_what_the_tape_holds(lake: Lake) -> None:
    kinds = EVENTS["kind"]
    orders = np.isin(kinds, [Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE])
    for view, n in (
        ("events", EVENTS.size),
        ("trades", (kinds == Kind.TRADE).sum()),
        ("quotes", (kinds == Kind.QUOTE).sum()),
        ("levels", (kinds == Kind.LEVEL).sum()),
        ("orders", orders.sum()),
        ("status", 0),
        ("sources", 2),
        ("instruments", 4 - 1),  # two ids name one
        ("bars", 5),
        ("bars_1m", 5),
    ):
        assert ask(lake, f"SELECT count(*) FROM {view}") == [(n,)], view


def test_prices_and_quantities_are_those_of_the_instrument_exact_where_asked(lake: Lake) -> None:
    columns = "price, price_decimal::VARCHAR, qty, side, ts_event::VARCHAR"
    rows = ask(lake, f"SELECT {columns} FROM trades WHERE symbol = 'BTC/USDT' ORDER BY arrival")
    assert rows[1] == (4800.25, "4800.250000000", 2e-05, "buy", "2023-12-26 14:13:21")
    assert [r[2] for r in rows] == [q / 100_000 for q in (1, 2, 3, 4, 5, 6, 7, 1, 2, 3)]


def test_a_sum_over_the_lake_is_the_sum_over_the_tape(lake: Lake) -> None:
    es = EVENTS[(EVENTS["kind"] == Kind.TRADE) & (EVENTS["instrument_id"] == 1)]
    expected = [(1, es["qty_lots"][es["side"] == 1].sum()), (-1, es["qty_lots"][es["side"] == -1].sum())]
    rows = dict(ask(lake, "SELECT side, sum(qty_lots) FROM events WHERE kind = 1 AND symbol = 'ESH4' GROUP BY side"))
    assert [(side, int(rows[side])) for side, _ in expected] == expected


def test_missing_values_are_null_and_codes_are_words(tmp_path: Path) -> None:
    events = trades(3)
    events["kind"] = [Kind.QUOTE, Kind.STATUS, Kind.LEVEL]
    events["price"][0] = MISSING
    events["detail"][1] = Phase.HALT
    events["flags"][2] |= Flag.SNAPSHOT
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events))
    assert ask(lake, "SELECT price, price_decimal, side FROM quotes") == [(None, None, "ask")]
    assert ask(lake, "SELECT phase FROM status") == [("halt",)]
    assert ask(lake, "SELECT snapshot, count FROM levels") == [(True, None)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "SELECT * FROM lake",
        "SELECT getenv('HOME')",
    ],
)
def test_nothing_beside_the_lake_can_be_read(lake: Lake, sql: str) -> None:
    with pytest.raises(StoreError, match="the query failed"):
        ask(lake, sql)


def statements(lake: Lake, tmp_path: Path) -> Iterator[str]:
    file = str(lake.paths()[0]).replace("'", "''")
    yield f"COPY (SELECT 1) TO '{tmp_path / 'x.csv'}'"
    yield f"COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)"
    yield f"EXPORT DATABASE '{tmp_path / 'db'}'"
    yield f"ATTACH '{tmp_path / 'x.db'}'"
    yield "INSTALL httpfs"
    yield "LOAD httpfs"
    yield "SET enable_external_access = true"
    yield "PRAGMA enable_profiling"
    yield "CREATE TABLE x AS SELECT 1"
    yield "DROP VIEW events"
    yield "SELECT 1; SELECT 2"
    yield ""


def test_nothing_but_one_select_is_run(lake: Lake, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in lake.path.rglob("*") if p.is_file()}
    for sql in statements(lake, tmp_path):
        with pytest.raises(StoreError, match="only reading is allowed"):
            ask(lake, sql)
    assert list(tmp_path.iterdir()) == []
    assert {p: p.read_bytes() for p in lake.path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nope FROM trades", "nope"),
        ("SELECT * FROM prints", "prints does not exist"),
        ("SELECT error('boom')", "boom"),
        ("SELECT price::TINYINT FROM events", "out of range"),
    ],
)
def test_a_bad_query_says_why_and_which_views_there_are(lake: Lake, sql: str, words: str) -> None:
    with pytest.raises(StoreError, match="the query failed") as told:
        ask(lake, sql)
    assert words in str(told.value)
    assert "the views are events" in str(told.value)


def test_damage_is_found_before_the_answer(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(1_000)))
    [path] = lake.paths()
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreCorrupted, match="a row group is damaged"):
        ask(lake, "SELECT sum(price) FROM events")


def test_sources_that_tell_the_same_thing_are_not_counted_twice(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    a = lake.ingest(tape_of(trades(60), "a.csv"))
    lake.ingest(tape_of(trades(100)[40:], "b.csv"))
    with pytest.raises(StoreError, match="two sources tell the same thing"):
        ask(lake, "SELECT count(*) FROM trades")
    assert ask(lake, "SELECT count(*), any_value(source) FROM trades", sources=a.source) == [(60, a.source)]
    assert ask(lake, "SELECT count(*) FROM trades", mix=True) == [(120,)]


def test_the_choice_of_files_is_the_tapes(lake: Lake) -> None:
    assert ask(lake, "SELECT count(*) FROM events", symbol="BTC/USDT") == [(10,)]
    n = lake.tape(start="2023-12-01").events().size
    assert ask(lake, "SELECT count(*) FROM events", start="2023-12-01") == [(n,)]
    with pytest.raises(StoreError, match="holds no such events"):
        ask(lake, "SELECT 1", symbol="XX")


def test_an_empty_lake_answers_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(bars())
    assert ask(lake, "SELECT count(*) FROM trades") == [(0,)]
    assert ask(lake, "SELECT sum(volume) FROM bars") == [(13,)]


def test_odd_names_and_events_without_a_time_are_found_by_sql_too(tmp_path: Path) -> None:
    names = ["../../etc", "a=b&c", "BTC/USDT", "ES 240621C05000000", "é漢", "100%", "it's", "0001", "a+b", "null", ""]
    instruments = {i + 1: Instrument(symbol=name, venue="X/Y") for i, name in enumerate(names)}
    events = trades(len(names))
    events["instrument_id"] = np.arange(1, len(names) + 1)
    events["ts_event_ns"][3] = events["ts_recv_ns"][3] = MISSING
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(events, instruments=instruments))
    rows = ask(lake, "SELECT symbol, date IS NULL, venue FROM events ORDER BY arrival")
    assert [r[0] or "" for r in rows] == names
    assert [r[1] for r in rows] == [i == 3 for i in range(len(names))]
    assert {r[2] for r in rows} == {"X/Y"}
