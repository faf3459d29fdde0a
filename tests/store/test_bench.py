"""The benchmark of captured data says what it measured, with and without a server, and leaves nothing behind."""

from __future__ import annotations

import pytest

from tapebook.bench import benchmarks, capture_store
from tests.store.capture_servers import postgres

KEYS = {"name", "what", "ours", "unit", "n_events", "peer", "peer_name", "ratio"}
ALWAYS = {"journal_lots", "journal_single", "journal_p99", "sqlite_rows", "sqlite_whole"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_FRAMES", 20_000), ("_ONE_BY_ONE", 2_000), ("_ROWS", 2_000), ("_BATCH", 500)):
        monkeypatch.setattr(capture_store, name, value)
    monkeypatch.delenv(capture_store._VARIABLE, raising=False)


def test_figures_are_complete_without_a_server() -> None:
    assert benchmarks()["capture_store"] is capture_store.run
    figures = capture_store.run(None)
    assert {f["name"] for f in figures} - {"journal_memory"} == ALWAYS
    for f in figures:
        assert set(f) == KEYS
        assert f["ours"] > 0 or f["name"] == "journal_memory"
        assert (f["peer"] is None) == (f["ratio"] is None) == (not f["peer_name"])


def test_a_server_is_measured_where_one_is_named_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres().new_database()
    monkeypatch.setenv(capture_store._VARIABLE, url)
    assert {f["name"] for f in capture_store.run(None)} >= {*ALWAYS, "postgresql_rows", "postgresql_whole"}
    import psycopg

    with psycopg.connect(url) as server:
        query = "SELECT count(*) FROM pg_namespace WHERE nspname = 'tapebook_bench'"
        assert server.execute(query).fetchall() == [(0,)]
        assert server.execute("SELECT to_regclass('public.sessions')").fetchall() == [(None,)]
