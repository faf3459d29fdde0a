"""Databases that go away, disks that fill up: told, waited for, and nothing that was journalled is lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tapebook.capture.receive import Limits
from tapebook.capture.recover import recover_session
from tapebook.capture.settings import load_session
from tapebook.market.errors import StoreError
from tapebook.market.events import Kind
from tapebook.store.journal import JournalSettings
from tests.capture.live import capturing, level, run, trade
from tests.capture.witness import assert_complete
from tests.store.capture_servers import PASSWORD, PostgresServer, postgres, programs

pytestmark = pytest.mark.slow


def lots_of(folder: Path, url: str = "") -> list[int]:
    events = assert_complete(folder, url)
    found: list[int] = events[events["kind"] == Kind.TRADE]["qty_lots"].tolist()
    return found


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Return a server of this test's own, for it is stopped."""
    postgres()  # skips where there is none
    folder = programs()
    assert folder is not None
    made = PostgresServer(folder, durable=True)
    yield made
    made.remove()


def test_postgresql_is_stopped_and_started_under_load(tmp_path: Path, server: PostgresServer) -> None:
    url = server.new_database()

    async def work() -> None:
        async with capturing(tmp_path, database=url) as c:
            socket = await c.socket()
            n = 0
            for _ in range(3):
                for _ in range(100):
                    n += 1
                    socket.send(trade(1000, n), level(1, 1005 + n % 9, n))
                    await asyncio.sleep(0.001)
                await asyncio.to_thread(server.stop)
                for _ in range(100):
                    n += 1
                    socket.send(trade(1000, n))
                    await asyncio.sleep(0.001)
                await c.until(lambda: c.capture.statistics().database == "waiting")
                assert c.lag > 0
                server.start()  # here: it ends with the thread that started it
                await c.until(lambda: c.lag == 0)
            outcome = await c.end()
        assert outcome.state == "ended"
        assert PASSWORD not in (tmp_path / "s" / "capture.log").read_text()

    run(work())
    assert lots_of(tmp_path / "s", url) == list(range(1, 601))
    assert PASSWORD not in (tmp_path / "s" / "session.json").read_text()
    assert "pa%3Ass" not in (tmp_path / "s" / "session.json").read_text()


def test_a_server_that_is_away_at_the_begin_is_waited_for(tmp_path: Path, server: PostgresServer) -> None:
    url = server.new_database()
    server.stop()

    async def work() -> None:
        async with capturing(tmp_path, database=url) as c:
            socket = await c.socket()
            socket.send(trade(1000, 1))
            await c.received(1)
            assert c.capture.statistics().database == "waiting"
            server.start()  # here: it ends with the thread that started it
            await c.until(lambda: c.lag == 0)
            await c.end()

    run(work())
    assert lots_of(tmp_path / "s", url) == [1]


def test_a_wrong_password_is_an_error_at_once(tmp_path: Path) -> None:
    url = postgres().url("postgres", password="wrong-one")

    async def work() -> None:
        async with capturing(tmp_path, database=url) as c:
            with pytest.raises(StoreError, match=r"user|password") as caught:
                await c.task
            assert "wrong-one" not in str(caught.value)

    run(work())
    assert not (tmp_path / "s" / "session.json").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or os.geteuid() != 0
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("a small file system needs Linux and the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_it_ends_cleanly_before_the_disk_is_full(tmp_path: Path, small_disk: Path) -> None:
    limits = Limits(clock_s=0, disk_warn_mb=20, disk_stop_mb=10, watch_s=0.05)

    async def work() -> None:
        async with capturing(
            small_disk, limits=limits, journal=JournalSettings(segment_bytes=1 << 20, codec="none")
        ) as c:
            socket = await c.socket()
            n = 0
            while not c.task.done() and n < 200_000:
                n += 50
                socket.send(*(trade(1000, i) for i in range(50)))
                await asyncio.sleep(0.001)
            outcome = await asyncio.wait_for(c.task, 60)
        assert "the disk is nearly full" in outcome.reason
        assert outcome.state == "ended"

    run(work())
    log = (small_disk / "s" / "capture.log").read_text()
    assert "MB of disk are left" in log
    assert len(lots_of(small_disk / "s")) > 1000


def test_a_full_disk_loses_nothing_that_is_in_the_journal(tmp_path: Path, small_disk: Path) -> None:
    """The database shares the disk and nobody watches: both are full, and after making room all is there."""
    limits = Limits(clock_s=0, disk_warn_mb=0, disk_stop_mb=0, watch_s=30)

    async def work() -> None:
        async with capturing(
            small_disk, limits=limits, drain_s=0.3, journal=JournalSettings(segment_bytes=1 << 20, codec="none")
        ) as c:
            socket = await c.socket()
            n = 0
            while not c.task.done() and n < 400_000:
                n += 50
                socket.send(*(trade(1000, i) for i in range(n - 49, n + 1)))
                await asyncio.sleep(0.001)
            outcome = await asyncio.wait_for(c.task, 60)
        assert "full" in outcome.reason

    run(work())
    about = load_session(small_disk / "s")
    url = about.database
    if not about.complete:
        subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
        # Where the session's own file could not be written either, it still says that the session runs.
        assert recover_session(small_disk / "s").state in ("ended", "killed")
    lots = lots_of(small_disk / "s", url)
    assert lots == list(range(1, len(lots) + 1))
    assert len(lots) > 1000


def test_a_read_only_database_is_an_error_at_once(tmp_path: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    async def work() -> None:
        async with capturing(tmp_path, database=str(small_disk / "capture.db")) as c:
            with pytest.raises(StoreError, match=r"cannot be opened|read-only"):
                await c.task

    run(work())
    assert not (tmp_path / "s" / "session.json").exists()


def test_a_slow_database_lags_and_catches_up(tmp_path: Path) -> None:
    """Stopped processes are the slowest there are."""
    import signal

    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            socket.send(trade(1000, 1))
            await c.committed(1)
            follower = c.capture._follower
            assert follower is not None
            os.kill(follower.pid, signal.SIGSTOP)
            for n in range(2, 3002):
                socket.send(trade(1000, n))
                if n % 100 == 0:
                    await asyncio.sleep(0)
            await c.received(3001)
            assert c.lag >= 3000
            assert c.capture.statistics().lag_s > 0
            assert c.capture.statistics().synced_frames > 0
            os.kill(follower.pid, signal.SIGCONT)
            await c.until(lambda: c.lag == 0)
            await c.end()

    run(work())
    assert lots_of(tmp_path / "s") == list(range(1, 3002))


def test_memory_that_runs_short_makes_batches_smaller(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path, memory_mb=1.0) as c:
            socket = await c.socket()
            for n in range(1, 50):
                socket.send(trade(1000, n))
                await asyncio.sleep(0.01)
            await c.committed(49)
            await c.until(lambda: c.capture.statistics().batch_rows < 5_000)
            seen = c.capture.statistics()
            assert any("MB of memory" in warning for warning in seen.warnings)
            await c.end()

    run(work())
    assert lots_of(tmp_path / "s") == list(range(1, 50))
