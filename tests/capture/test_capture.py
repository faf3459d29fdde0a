"""A capture from its sockets to its database: what was sent is there, and what went wrong is told."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from tapebook.capture.plan import CaptureSettings, default_name
from tapebook.capture.recover import find_session, recover_session, unfinished
from tapebook.capture.settings import load_session
from tapebook.capture.sources import SourceRequest
from tapebook.market.errors import ConfigurationError, StoreError, VenueDenied
from tapebook.market.events import Kind
from tests.capture.live import MNQ, capturing, level, quote, request, run, trade
from tests.capture.witness import assert_complete, events_in
from tests.venues.projectx_server import KEY, Gateway


def test_what_was_sent_is_in_the_database(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            for i in range(500):
                socket.send(quote(29547 + i % 7, 29547.5 + i % 7), trade(29547.25, i + 1, i % 2))
                socket.send(level(1, 29560 + i % 9, i), level(2, 29540 - i % 9, i))
            await c.committed(1000)
            outcome = await c.end()
        assert outcome.state == "ended"
        assert outcome.statistics.lag_frames == 0
        assert outcome.statistics.rows["trades"] == 500
        assert outcome.statistics.last[MNQ] == {"trade": 29547.25, "bid": 29549.0, "ask": 29549.5}

    run(work())
    events = assert_complete(tmp_path / "s")
    trades = events[events["kind"] == Kind.TRADE]
    assert trades["qty_lots"].tolist() == list(range(1, 501))
    assert trades["side"].tolist() == [1, -1] * 250
    assert events_in(tmp_path / "s", "journal").tobytes() == events_in(tmp_path / "s").tobytes()
    about = load_session(tmp_path / "s")
    assert (about.state, about.complete) == ("ended", True)
    assert unfinished(tmp_path) == []


def test_a_lost_connection_is_a_gap_and_capture_goes_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            (await c.socket()).send(quote(1000, 1001), level(1, 1001, 5))
            await c.committed(2)
            c.gateway.sockets[0].abort()
            socket = await c.socket(count=2)
            socket.send(quote(1002, 1003), trade(1002, 3))
            await c.until(lambda: c.capture.statistics().rows["trades"] == 1)
            outcome = await c.end()
        assert outcome.statistics.streams[0].connections == 2
        assert outcome.statistics.rows["gaps"] == 1

    run(work())
    events = assert_complete(tmp_path / "s")
    assert Kind.CLEAR in events["kind"].tolist()


def test_rejected_records_are_kept_with_their_bytes(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            socket.send_text("rubbish\x1e")
            socket.send(trade(1000.13, 1))  # off the grid
            await c.until(lambda: c.capture.statistics().rows["quality"] == 2)
            await c.end()

    run(work())
    assert_complete(tmp_path / "s")
    base = sqlite3.connect(tmp_path / "s" / "capture.db")
    raw = [row[0] for row in base.execute("SELECT raw_payload FROM quality")]
    assert raw[0] == b"rubbish"
    assert b"1000.13" in raw[1]


def test_payloads_are_in_the_database_where_that_is_asked_for(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path, keep_raw=True) as c:
            (await c.socket()).send(trade(1000, 1))
            await c.until(lambda: c.capture.statistics().rows["trades"] == 1)
            await c.end()

    run(work())
    assert_complete(tmp_path / "s")
    base = sqlite3.connect(tmp_path / "s" / "capture.db")
    assert b"GatewayTrade" in base.execute("SELECT raw_payload FROM trades").fetchone()[0]


def test_a_session_is_gone_on_with_and_the_time_between_is_a_gap(tmp_path: Path) -> None:
    async def work() -> None:
        for n in (1, 2):
            async with capturing(tmp_path) as c:
                (await c.socket()).send(trade(1000, n), level(1, 1001, n))
                await c.committed(2)
                await c.until(lambda n=n: c.capture.statistics().rows["trades"] == 1)  # type: ignore[misc] # bound in the loop
                await c.end()

    run(work())
    events = assert_complete(tmp_path / "s")
    assert events[events["kind"] == Kind.TRADE]["qty_lots"].tolist() == [1, 2]
    base = sqlite3.connect(tmp_path / "s" / "capture.db")
    assert base.execute("SELECT reason FROM gaps").fetchall() == [("resumed",)]
    assert base.execute("SELECT state FROM sessions").fetchall() == [("ended",)]


def test_several_venues_go_into_one_journal_and_one_database(tmp_path: Path) -> None:
    other = "CON.F.US.MES.U26"

    async def work() -> None:
        async with Gateway() as second, Gateway() as first:
            asked = (request(first), request(second, contracts=(other,), quotes=False, depth=False))
            async with capturing(tmp_path, gateway=first, requests=asked) as c:
                ours, theirs = await first.socket(), await second.socket()
                for n in range(1, 51):
                    ours.send(trade(29547.25, n))
                    record = trade(7730.5, n)
                    record["arguments"][0] = other
                    theirs.send(record)
                await c.until(lambda: c.capture.statistics().rows["trades"] == 100)
                theirs.abort()
                await second.socket(count=2)
                outcome = await c.end()
            assert [s.name for s in outcome.statistics.streams] == ["projectx/market", "projectx/market"]
            assert [s.connections for s in outcome.statistics.streams] == [1, 2]
            assert set(outcome.statistics.last) == {MNQ, other}
            assert [len(socket.calls) for socket in (ours, theirs)] == [3, 1]

    run(work())
    events = assert_complete(tmp_path / "s")
    trades = events[events["kind"] == Kind.TRADE]
    for instrument in (1, 2):
        assert trades[trades["instrument_id"] == instrument]["qty_lots"].tolist() == list(range(1, 51))
    base = sqlite3.connect(tmp_path / "s" / "capture.db")
    assert base.execute("SELECT source FROM gaps").fetchall() == [(1,)]  # the other line stood
    base.close()


def test_a_name_that_captured_something_else_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            await c.socket()
            await c.end()
        with pytest.raises(StoreError, match="captured something else"):
            async with (
                Gateway() as gateway,
                capturing(tmp_path, gateway=gateway, requests=(request(gateway, contracts=("CON.F.US.EP.U26",)),)) as c,
            ):
                await c.task

    run(work())


def test_a_session_that_cannot_be_gone_on_with_stays_as_it_was(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            await c.socket()
            await c.end()
        before = (tmp_path / "s" / "session.json").read_bytes()
        (tmp_path / "s" / "capture.db").write_bytes(b"this is no database, whatever its name says" * 50)
        for beside in (tmp_path / "s").glob("capture.db-*"):
            beside.unlink()
        with pytest.raises(StoreError):
            async with Gateway() as gateway, capturing(tmp_path, gateway=gateway) as c:
                await c.task
        assert (tmp_path / "s" / "session.json").read_bytes() == before

    run(work())


def test_the_name_of_a_session_that_was_pruned_into_a_lake_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            await c.socket()
            await c.end()
        (tmp_path / "s" / "pruned.json").write_text("{}")
        with pytest.raises(StoreError, match=r"pruned.*another name"):
            async with Gateway() as gateway, capturing(tmp_path, gateway=gateway) as c:
                await c.task

    run(work())


@pytest.mark.slow
def test_the_follower_may_be_killed_again_and_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            n = 0
            for _ in range(4):
                for _ in range(40):
                    n += 1
                    socket.send(trade(1000, n), quote(999 + n % 5, 1005), level(1, 1005 + n % 9, n))
                    await asyncio.sleep(0.002)
                follower = c.capture._follower
                assert follower is not None
                await c.until(lambda f=follower: f.pid != 0)  # type: ignore[misc] # bound in the loop
                os.kill(follower.pid, signal.SIGKILL)
                await asyncio.sleep(0.05)
            await c.until(lambda: c.lag == 0)
            outcome = await c.end()
        assert outcome.statistics.follower_restarts >= 3
        assert outcome.state == "ended"

    run(work())
    events = assert_complete(tmp_path / "s")
    assert events[events["kind"] == Kind.TRADE]["qty_lots"].tolist() == list(range(1, 161))


@pytest.mark.slow
def test_a_locked_database_is_waited_for_and_nothing_is_lost(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            socket.send(trade(1000, 1))
            await c.until(lambda: c.capture.statistics().rows["trades"] == 1)
            other = sqlite3.connect(tmp_path / "s" / "capture.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for n in range(2, 102):
                socket.send(trade(1000, n))
            await c.until(lambda: c.capture.statistics().database == "waiting")
            seen = c.capture.statistics()
            assert "locked" in seen.database_error
            assert seen.lag_frames >= 100
            other.execute("ROLLBACK")
            await c.until(lambda: c.lag == 0)
            assert c.capture.statistics().database == "following"
            await c.end()

    run(work())
    events = assert_complete(tmp_path / "s")
    assert events[events["kind"] == Kind.TRADE]["qty_lots"].tolist() == list(range(1, 102))


@pytest.mark.slow
def test_a_database_that_is_away_at_the_end_is_brought_up_to_date_later(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path, drain_s=0.2) as c:
            socket = await c.socket()
            await c.until(lambda: c.lag == 0)
            other = sqlite3.connect(tmp_path / "s" / "capture.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            socket.send(trade(1000, 1))
            await c.received(1)
            outcome = await c.end()
            other.close()
        assert outcome.state == "incomplete"

    run(work())
    assert unfinished(tmp_path) == [tmp_path / "s"]
    done = recover_session(find_session("s", tmp_path))
    assert done.state == "ended"
    events = assert_complete(tmp_path / "s")
    assert events["qty_lots"].tolist() == [1]
    assert unfinished(tmp_path) == []
    assert recover_session(tmp_path / "s").rows == 0  # again: nothing is there twice
    assert_complete(tmp_path / "s")


def test_a_file_that_is_no_database_is_an_error_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    folder.mkdir()
    file = folder / "file"
    file.write_text("this is no database, and long enough to be looked at by the library as one")

    async def work() -> None:
        with pytest.raises(StoreError, match="no SQLite database"):
            async with capturing(tmp_path, database=str(file)) as c:
                await c.task

    run(work())
    assert not (tmp_path / "s" / "session.json").exists()


def test_a_wrong_key_is_an_error_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        with pytest.raises(VenueDenied):
            async with capturing(tmp_path, key="wrong") as c:
                await c.task

    run(work())


def test_a_capture_that_is_cancelled_leaves_a_session_that_can_be_recovered(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            for n in range(1, 200):
                socket.send(trade(1000, n))
            await c.received(199)
            c.task.cancel()
            await asyncio.gather(c.task, return_exceptions=True)

    run(work())
    recover_session(tmp_path / "s")
    events = assert_complete(tmp_path / "s")
    assert events["qty_lots"].tolist() == list(range(1, 200))


def test_no_secret_is_in_any_file_or_message(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tokens: set[str] = set()

    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            socket.send(trade(1000, 1))
            await c.until(lambda: c.capture.statistics().rows["trades"] == 1)
            c.gateway.hub_statuses = [401, 503]
            socket.abort()
            await c.socket(count=2)
            tokens.update(c.gateway.tokens)
            await c.end()
            assert KEY not in repr(c.capture.settings)

    run(work())
    out = "".join(capfd.readouterr())
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.name for p in files} >= {"capture.db", "capture.log", "session.json"}
    assert len(tokens) >= 1
    for secret in (KEY, *tokens):
        assert secret not in out
        for path in files:
            assert secret.encode() not in path.read_bytes(), path


def test_settings_that_make_no_sense_are_refused() -> None:
    good = SourceRequest(venue="projectx", contracts=(MNQ,))
    for wrong in (
        {"requests": ()},
        {"requests": (SourceRequest(venue="nowhere", contracts=(MNQ,)),)},
        {"requests": (SourceRequest(venue="projectx", contracts=()),)},
        {"requests": (SourceRequest(venue="projectx", contracts=(MNQ,), quotes=False, trades=False, depth=False),)},
        {"requests": (good,), "name": "../up"},
        {"requests": (good,), "duration_s": 0.0},
        {"requests": (good,), "interval_s": 0.0},
    ):
        with pytest.raises(ConfigurationError):
            CaptureSettings(**wrong)
    assert default_name([good], 0).endswith("-projectx-MNQ.U26")
