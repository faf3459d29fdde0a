"""A session with a terminal behind a real RPyC server: every tick once, in order, whatever happens to the terminal."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.market.clock import WallClock
from tapebook.market.errors import ConfigurationError, VenueError, VenueProtocolError, VenueUnreachable
from tapebook.market.events import Events, Flag, Kind
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.venues.frames import Received, Told, What
from tapebook.venues.mt5.parse import Parser
from tapebook.venues.mt5.poll import TickPoll
from tapebook.venues.mt5.session import Session
from tapebook.venues.mt5.settings import Settings
from tapebook.venues.mt5.terminal import Terminal, local_call, remote_call
from tapebook.venues.mt5.wire import TICK, Book, Ticks, read_frame, ticks_of
from tapebook.venues.policies import after_failures, delays
from tests.processes import running
from tests.venues.mt5_server import NO_BOOK, SYMBOL

ROOT = Path(__file__).parents[2]
pytest.importorskip("rpyc")

Item = Received | Told
N = 3000


def some_ticks(n: int = N) -> Any:
    """Trades and quotes of WIN: several in a millisecond, the aggressor in the flags, one of an auction."""
    rng = np.random.default_rng(5)
    rows = np.zeros(n, TICK)
    ms = 1_786_450_000_000 + np.cumsum(rng.integers(0, 4, n))  # about 4.5 s of the server's clock
    mid = 130_000 + 5 * np.cumsum(rng.integers(-1, 2, n))
    trade = rng.random(n) < 0.4
    rows["time"], rows["time_msc"] = ms // 1000, ms
    rows["bid"], rows["ask"] = mid, mid + 5
    rows["last"] = np.where(rng.random(n) < 0.5, mid, mid + 5)
    rows["volume"] = rows["volume_real"] = rng.integers(1, 20, n)
    rows["flags"] = np.where(trade, np.where(rows["last"] == mid, 88, 56), 6)
    rows["flags"][10] = 120
    return rows


def some_books(ticks: Any) -> list[tuple[int, list[tuple[int, float, float]]]]:
    out = []
    for row in ticks[::50]:
        asks = [(1, float(row["ask"] + 5 * i), float(3 + i)) for i in range(5)][::-1]
        bids = [(2, float(row["bid"] - 5 * i), float(2 + i)) for i in range(5)]
        out.append((int(row["time_msc"]), asks + bids))
    return out


class Terminals:
    """A folder with a recording, and the server that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ticks = some_ticks()
        self.books = some_books(self.ticks)
        np.save(folder / "ticks.npy", self.ticks)
        (folder / "books.json").write_text(json.dumps(self.books))
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self, speed: float = 1.0) -> int:
        (self.folder / "port").unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.venues.mt5_server", str(self.folder), str(speed)]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        for _ in range(400):
            if (self.folder / "port").exists():
                self.port = int((self.folder / "port").read_text())
                return self.port
            time.sleep(0.05)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def fault(self, name: str, on: bool) -> None:
        path = self.folder / name
        path.touch() if on else path.unlink()


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    found = Terminals(tmp_path)
    yield found
    found.stop()


def session_of(terminals: Terminals, **settings: Any) -> Session:
    first_ms = int(terminals.ticks["time_msc"][0])
    where = Settings(host="127.0.0.1", port=terminals.port, wait=delays(0.1, then=0.2), look_s=0.2, **settings)
    return Session(where, clock=WallClock(), chance=random.Random(1), contracts=[SYMBOL], since_ms=first_ms)


async def until(
    session: Session, n_ticks: int, s: float = 60, *, terminals: Terminals | None = None, fault: str = ""
) -> list[Item]:
    """Return what comes until so many ticks came, in whichever frames.

    A fault begins when ticks and (where it is asked for often) a book came, and ends when the session has told that the
    terminal is lost.
    """
    items: list[Item] = []
    seen = 0
    shown = session.settings.book_s >= 1
    left = [True, False] if terminals is not None and fault else []
    async with asyncio.timeout(s), aclosing(session.frames()) as frames:
        async for item in frames:
            items.append(item)
            if isinstance(item, Received):
                seen += tick_rows([item]).size
                shown = shown or isinstance(read_frame(item.data), Book)
                if seen >= n_ticks:
                    break
            if terminals is not None and left and (seen and shown if left[0] else What.LOST in told(items)):
                terminals.fault(fault, on=left.pop(0))
    return items


def tick_rows(items: list[Item]) -> Any:
    frames = [read_frame(item.data) for item in items if isinstance(item, Received)]
    return np.concatenate([np.zeros(0, TICK), *(ticks_of(f.rows) for f in frames if isinstance(f, Ticks))])


def events_of(items: list[Item], quarantine: Quarantine | None = None) -> Events:
    parser = Parser([{"id": SYMBOL, "digits": 0, "volume_step": 1.0}], InstrumentTable(), quarantine=quarantine)
    out = []
    for item in items:
        if isinstance(item, Received):
            out.append(parser.advance(item.data, item.ts_recv_ns))
        elif item.what is What.CONNECTED:
            out.append(parser.reset(item.ts_recv_ns))
    return np.concatenate(out)


def told(items: list[Item]) -> list[What]:
    return [item.what for item in items if isinstance(item, Told)]


def test_every_tick_arrives_once_and_in_order(terminals: Terminals) -> None:
    terminals.start()
    items = asyncio.run(until(session_of(terminals, ticks_s=0.03, book_s=0.05), N))
    assert (tick_rows(items) == terminals.ticks).all()
    quarantine = Quarantine()
    events = events_of(items, quarantine)
    assert quarantine.total == 0
    trades = events[events["kind"] == Kind.TRADE]
    flags = terminals.ticks["flags"]
    traded = flags & 24 != 0
    assert trades.size == traded.sum()
    assert (trades["price"] == (terminals.ticks["last"][traded] * 1e9).astype(np.int64)).all()
    assert (trades["qty_lots"] == terminals.ticks["volume"][traded]).all()
    wanted = np.where(flags[traded] == 56, 1, np.where(flags[traded] == 88, -1, 0))
    assert (trades["side"] == wanted).all()
    # 3 hours: Brasilia's clock, as if it were UTC, becomes UTC.
    wall = terminals.ticks["time_msc"][traded] * 1_000_000
    assert (trades["ts_event_ns"] == wall + 3 * 3600 * 10**9).all()
    books = events[events["kind"] == Kind.LEVEL]
    assert books.size > 50
    assert What.WARNED in told(items)  # by the zone the ticks are not of today


def test_books_are_samples_and_the_same_one_again_says_nothing(terminals: Terminals) -> None:
    terminals.start()
    items = asyncio.run(until(session_of(terminals, ticks_s=0.1, book_s=0.02), N))
    events = events_of(items)
    clears = events[events["kind"] == Kind.CLEAR]
    assert clears.size == 1
    ladder: dict[tuple[int, int], int] = {}
    for event in events[events["kind"] == Kind.LEVEL]:
        ladder[int(event["side"]), int(event["price"])] = int(event["qty_lots"])
    standing = {key: qty for key, qty in ladder.items() if qty}
    shown = [{(1 if t == 2 else -1, int(p * 1e9)): int(v) for t, p, v in lines} for _, lines in terminals.books]
    assert standing in shown
    quotes = events[events["kind"] == Kind.QUOTE]
    assert (quotes["flags"][5:] & Flag.INFO != 0).any()


@pytest.mark.parametrize("fault", ["broker-lost", "gone"])
def test_a_terminal_that_comes_back_has_kept_the_ticks_of_meanwhile(terminals: Terminals, fault: str) -> None:
    terminals.start()

    session = session_of(terminals, ticks_s=0.03, book_s=0.05)
    items = asyncio.run(until(session, N, terminals=terminals, fault=fault))
    assert What.LOST in told(items)
    assert told(items).count(What.CONNECTED) >= 2
    assert (tick_rows(items) == terminals.ticks).all()
    clears = events_of(items)
    clears = clears[clears["kind"] == Kind.CLEAR]
    assert (clears["flags"] & Flag.GAP != 0).any()


def test_a_terminal_that_hangs_is_given_up_and_taken_up_again(terminals: Terminals) -> None:
    terminals.start()

    session = session_of(terminals, ticks_s=0.03, book_s=0.05, answer_s=0.5)
    items = asyncio.run(until(session, N, terminals=terminals, fault="hang"))
    assert What.LOST in told(items)
    assert (tick_rows(items) == terminals.ticks).all()


def test_a_server_that_is_killed_is_told_and_tried_again(terminals: Terminals) -> None:
    terminals.start()

    async def main() -> list[Item]:
        session = session_of(terminals, stop=after_failures(3))
        items: list[Item] = []

        async def listen() -> None:
            async with asyncio.timeout(20), aclosing(session.frames()) as frames:
                async for item in frames:
                    if not items:
                        terminals.stop()
                    items.append(item)

        with pytest.raises(VenueUnreachable):
            await listen()
        return items

    assert told(asyncio.run(main())).count(What.LOST) == 2


def test_a_reloaded_history_is_told_and_nothing_comes_twice(terminals: Terminals) -> None:
    terminals.start()

    session = session_of(terminals, ticks_s=0.03, book_s=1)
    items = asyncio.run(until(session, N - 20, terminals=terminals, fault="reloaded"))
    assert any("history is another" in item.text for item in items if isinstance(item, Told))
    rows = tick_rows(items)
    assert (np.diff(rows["time_msc"]) >= 0).all()
    more = Counter(row.tobytes() for row in rows) - Counter(row.tobytes() for row in terminals.ticks)
    assert not more  # nothing came more often than it happened


def test_symbols_are_described_and_unknown_ones_are_an_error(terminals: Terminals) -> None:
    terminals.start()
    terminal = Terminal(remote_call("127.0.0.1", terminals.port))
    assert (terminal.build, terminal.connected, terminal.company) == (4755, True, "A Broker")
    assert terminal.select(SYMBOL, with_book=True)
    assert not terminal.select(NO_BOOK, with_book=True)
    assert terminal.describe(SYMBOL)["trade_tick_size"] == 5.0
    with pytest.raises(VenueError, match=r"select.*Call failed.*NOPE|select.*NOPE.*Call failed"):
        terminal.select("NOPE", with_book=False)
    terminal.close()


def test_history_is_asked_for_until_two_answers_agree(terminals: Terminals) -> None:
    terminals.start(speed=1000.0)
    terminal = Terminal(remote_call("127.0.0.1", terminals.port))
    terminal.select(SYMBOL, with_book=False)
    first, last = (int(terminals.ticks["time_msc"][i]) // 1000 for i in (0, -1))
    rows = terminal.history(SYMBOL, first, last, lambda: time.sleep(0.05))
    assert (rows == terminals.ticks).all()
    terminal.close()


def test_without_a_server_or_the_module_the_error_says_what_to_do(terminals: Terminals) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(VenueUnreachable, match="mt5linux"):
            remote_call("127.0.0.1", taken.getsockname()[1])
    if os.name != "nt":
        with pytest.raises(ConfigurationError, match="RPyC server"):
            local_call()


def test_a_server_without_the_module_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    code = (
        "from rpyc.utils.server import ThreadedServer; from rpyc.core.service import SlaveService; "
        "s = ThreadedServer(SlaveService, hostname='127.0.0.1', port=0); s.listener.listen(); "
        "print(s.port, flush=True); s.start()"  # it listens before it tells where
    )
    command = [sys.executable, "-c", code]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with pytest.raises(VenueProtocolError, match="MetaTrader5"):
            remote_call("127.0.0.1", port)


def test_ticks_that_share_a_millisecond_with_known_ones_are_taken_once() -> None:
    rng = np.random.default_rng(3)
    rows = some_ticks(400)
    for _ in range(50):
        poll = TickPoll(int(rows["time_msc"][0]))
        got, end = [], 0
        while end < rows.size:
            end = min(rows.size, end + int(rng.integers(0, 40)))
            seen = rows[:end]
            got.append(poll.take(seen[seen["time_msc"] // 1000 >= poll.from_s]))
        assert (np.concatenate(got) == rows).all()
        assert poll.reloaded == 0
