"""Whatever is missing or refuses, at the begin or in the middle: an error or a state that says it; nothing is lost.

What a database refuses when it is opened, locks, full disks shared with the journal, and servers that are stopped are
in ``test_troubles.py`` and ``test_capture.py``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket as sockets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tapebook.capture.session import Capture
from tapebook.gateway.server import Gateway, seeded
from tapebook.gateway.source import Source
from tapebook.market.events import Kind
from tapebook.simulator import simulate
from tapebook.venues.policies import at_least
from tests.capture.live import Running, capturing, run, trade
from tests.capture.live import request as asking
from tests.capture.witness import assert_complete
from tests.gateway.play import settings
from tests.store.capture_servers import postgres

pytestmark = pytest.mark.slow
ES = "CON.F.US.EP.H26"


def lots_of(folder: Path, url: str = "") -> list[int]:
    events = assert_complete(folder, url)
    found: list[int] = events[events["kind"] == Kind.TRADE]["qty_lots"].tolist()
    return found


def mounted(folder: Path, megabytes: int) -> None:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    able = sys.platform == "linux" and os.geteuid() == 0
    if not able or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs Linux and the right to mount one")


def remounted(folder: Path, how: str) -> bool:
    command = ["mount", "-o", f"remount,{how}", str(folder)]
    return not subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 6 MB, for a database alone."""
    folder = tmp_path / "disk"
    mounted(folder, 6)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def waiting(c: Running, word: str, seconds: float = 30.0) -> None:
    """Wait until the database is waited for, and the status says why."""

    def seen() -> bool:
        now = c.capture.statistics()
        return now.database == "waiting" and word in now.database_error

    await c.until(seen, seconds)


def test_a_database_on_a_full_disk_is_waited_for_and_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    sent = 0

    async def work() -> None:
        nonlocal sent
        async with capturing(tmp_path, database=str(small_disk / "capture.db")) as c:
            socket = await c.socket()
            while c.capture.statistics().database != "waiting" and sent < 400_000:
                socket.send(*(trade(1000, sent + i + 1) for i in range(200)))
                sent += 200
                await asyncio.sleep(0.005)
            await waiting(c, "full")
            for _ in range(10):
                sent += 1
                socket.send(trade(1000, sent))
            assert remounted(small_disk, "size=400m")
            await c.until(lambda: c.capture.statistics().database == "following" and c.lag == 0, 60)
            assert (await c.end()).state == "ended"

    run(work())
    assert lots_of(tmp_path / "s", str(small_disk / "capture.db")) == list(range(1, sent + 1))


def test_a_database_that_becomes_read_only_is_waited_for(tmp_path: Path, small_disk: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path, database=str(small_disk / "capture.db")) as c:
            socket = await c.socket()
            socket.send(trade(1000, 1))
            await c.committed(1)
            follower = c.capture._follower
            assert follower is not None
            for _ in range(50):  # it cannot be done while somebody has the file open
                if follower.pid:
                    os.kill(follower.pid, signal.SIGKILL)
                if remounted(small_disk, "ro"):
                    break
                await asyncio.sleep(0.05)
            else:
                pytest.fail("the disk did not become read-only")
            socket.send(trade(1000, 2))
            await c.until(lambda: c.capture.statistics().database in ("failed", "waiting"), 30)
            assert "read" in c.capture.statistics().database_error
            assert c.lag > 0
            assert remounted(small_disk, "rw")
            await c.until(lambda: c.lag == 0, 60)
            assert (await c.end()).state == "ended"

    run(work())
    assert lots_of(tmp_path / "s", str(small_disk / "capture.db")) == [1, 2]


def test_postgresql_that_does_not_know_the_password_any_more_is_waited_for(tmp_path: Path) -> None:
    import psycopg

    server = postgres()
    url = server.new_database()
    name = url.rpartition("/")[2]
    with psycopg.connect(server.url(), autocommit=True) as base:
        base.execute("CREATE ROLE taker LOGIN SUPERUSER PASSWORD 'first'")
        own = server.url(name, user="taker", password="first")

        async def work() -> None:
            async with capturing(tmp_path, database=own) as c:
                socket = await c.socket()
                socket.send(trade(1000, 1))
                await c.committed(1)
                base.execute("ALTER ROLE taker PASSWORD 'second'")
                base.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'taker'")
                for n in range(2, 52):
                    socket.send(trade(1000, n))
                await waiting(c, "password")
                assert "first" not in c.capture.statistics().database_error
                base.execute("ALTER ROLE taker PASSWORD 'first'")
                await c.until(lambda: c.lag == 0, 60)
                assert (await c.end()).state == "ended"

        try:
            run(work())
        finally:
            base.execute("ALTER ROLE taker NOLOGIN")
    assert lots_of(tmp_path / "s", url) == list(range(1, 52))


def free_port() -> int:
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def state_of(capture: Capture) -> str:
    streams = capture.statistics().streams
    return streams[0].state if streams else ""


def test_a_gateway_that_is_down_at_the_begin_is_tried_until_it_is_there(tmp_path: Path) -> None:
    source, port = Source(simulate("es", seed=4, duration_s=3)), free_port()
    es = source.listings[0].id

    async def work() -> None:
        url = f"http://127.0.0.1:{port}"
        addresses: dict[str, Any] = {"rest": url, "market_hub": f"{url}/hubs/market", "use_proxy": False}
        addresses |= {"wait": at_least(0.1), "request_s": 2.0}
        requests = (asking(_Nowhere(), contracts=(es,), addresses=addresses),)
        async with capturing(tmp_path, gateway=_Nowhere(), requests=requests, user="me", key="key") as c:
            await c.until(lambda: state_of(c.capture) == "lost")
            seen = c.capture.statistics()
            assert any("could not be looked up" in warning for warning in seen.warnings)
            assert seen.frames == 0
            async with Gateway(source, settings(port=port), chance=seeded(1)) as gateway:
                await c.until(lambda: state_of(c.capture) == "live")
                await c.until(lambda: gateway.statistics()["ended"])
                await c.until(lambda: c.lag == 0 and c.frames > 20)
            assert (await c.end()).state == "ended"

    run(work())
    assert len(lots_of(tmp_path / "s")) > 10
    assert "All connection attempts failed" in (tmp_path / "s" / "capture.log").read_text()


class _Nowhere:
    url = "http://127.0.0.1:1"


def test_a_closed_market_is_a_live_line_that_says_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            await c.until(lambda: state_of(c.capture) == "live")
            await asyncio.sleep(1.0)
            seen = c.capture.statistics()
            assert (seen.state, seen.database, seen.lag_frames) == ("running", "following", 0)
            assert seen.streams[0].silences == 0
            assert seen.streams[0].last_age_s is not None
            assert seen.streams[0].last_age_s > 0.9
            assert sum(seen.rows.values()) == 0
            socket.send(trade(1000, 1))  # it opens
            await c.until(lambda: c.capture.statistics().rows["trades"] == 1)
            outcome = await c.end()
        assert outcome.statistics.rows["gaps"] == 0

    run(work())
    assert lots_of(tmp_path / "s") == [1]


def test_a_venue_that_takes_the_key_back_is_told_and_asked_again(tmp_path: Path) -> None:
    """The connection is lost and the login refused: what came before is safe, and it goes on trying."""

    async def work() -> None:
        async with capturing(tmp_path) as c:
            socket = await c.socket()
            socket.send(trade(1000, 1))
            await c.committed(1)
            c.gateway.tokens.clear()
            c.gateway.statuses[:] = [401]
            socket.abort()
            await c.until(lambda: state_of(c.capture) == "lost")
            again = await _socket(c)
            again.send(trade(1000, 2))
            await c.until(lambda: c.capture.statistics().rows["trades"] == 2, 40)
            outcome = await c.end()
        assert outcome.statistics.rows["gaps"] == 1

    run(work())
    assert lots_of(tmp_path / "s") == [1, 2]


async def _socket(c: Running) -> Any:
    await c.until(lambda: len(c.gateway.sockets) > 1 and bool(c.gateway.sockets[-1].calls), 40)
    return c.gateway.sockets[-1]


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEBOOK_PROJECTX_USER", "me")
    monkeypatch.setenv("TAPEBOOK_PROJECTX_API_KEY", "wrong-key-8231")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--contract", ES], ("user name", "key")),
        (["--contract", ES, "--db", "/proc/no/such.db"], ()),
        (["--contract", ES, "--db", "postgresql://nobody@127.0.0.1:1/none"], ()),
    ],
)
@pytest.mark.usefixtures("keys")
def test_on_the_command_line_each_is_one_error_and_no_secret(
    more: list[str], words: tuple[str, ...], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code: list[int] = []

    async def work() -> None:
        source = Source(simulate("es", seed=4, duration_s=1))
        async with Gateway(source, settings(), chance=seeded(1)) as gateway:
            arguments = ["capture", "--venue", "projectx", "--gateway", gateway.url, "--home", str(tmp_path), *more]
            code.append(await asyncio.to_thread(_command, arguments))

    run(work())
    told = capfd.readouterr()
    assert code == [1]
    assert "Traceback" not in told.err
    assert all(word in told.err for word in words)
    assert "wrong-key-8231" not in told.out + told.err


def _command(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "tapebook", *arguments, "--duration", "2"]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    sys.stderr.write(found.stderr)
    sys.stdout.write(found.stdout)
    return found.returncode
