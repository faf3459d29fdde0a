"""Events through Redis Streams: all of them, once each, whatever is killed, and nothing secret anywhere."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.book.ladder import Ladder
from tapebook.capture.fanout import Fanout, FanoutSettings, FanoutState
from tapebook.capture.rows import DEPTH_CHANNEL
from tapebook.capture.session_tape import Choice, session_tape
from tapebook.capture.sessions import captured
from tapebook.cli.main import main
from tapebook.market.errors import ConfigurationError, StoreError, VenueDenied
from tapebook.market.events import Events, Flag, Side
from tapebook.market.instruments import InstrumentTable
from tapebook.venues.credentials import Secret
from tapebook.venues.redis.parse import Parser
from tapebook.venues.redis.wire import FIELD, Block, Keys, decode
from tests.capture.redis_server import PASSWORD, QUOTED, RedisServer, redis_server
from tests.capture.some_frames import CONTRACT, frames_of
from tests.capture.some_sessions import MES, TWO, all_events, make_journal, make_session, of_two, same


@pytest.fixture
def server() -> RedisServer:
    return redis_server()


def settings(server: RedisServer, prefix: str, **more: Any) -> FanoutSettings:
    return FanoutSettings(url=Secret(server.url), prefix=prefix, **({"entries_max": 1_000_000} | more))


def client(server: RedisServer) -> Any:
    import redis

    return redis.Redis.from_url(server.url)


def entries_of(server: RedisServer, prefix: str, session: str, contract: str = CONTRACT) -> list[bytes]:
    with client(server) as base:
        return [fields[FIELD] for _, fields in base.xrange(Keys(session, prefix).stream(contract))]


def events_in(server: RedisServer, prefix: str, session: str) -> Events:
    parser = Parser((), InstrumentTable())
    frames = [frame for frame in entries_of(server, prefix, session) if not is_book(frame)]
    return np.concatenate([parser.advance(frame, 0) for frame in frames])


def is_book(frame: bytes) -> bool:
    found = decode(frame)
    return isinstance(found, Block) and found.book


def test_the_streams_hold_what_the_journal_does(tmp_path: Path, server: RedisServer) -> None:
    session = captured(str(make_session(tmp_path)))
    prefix = server.new_prefix()
    told: list[FanoutState] = []
    last = Fanout(session, settings(server, prefix, events_max=7), tell=told.append).run()
    expected = all_events(session_tape(session))
    assert same(events_in(server, prefix, "monday"), expected)
    assert (last.state, last.events) == ("done", expected.size)
    frames = [decode(frame) for frame in entries_of(server, prefix, "monday")]
    blocks = [block for block in frames if isinstance(block, Block) and not block.book]
    books = [block for block in frames if isinstance(block, Block) and block.book]
    assert len(blocks) + len(books) == len(frames) - 1  # the first is the contract table
    assert books
    assert max(block.events.size for block in blocks) <= 7
    assert told[-1].state == "done"


def test_a_second_run_sends_nothing_twice(tmp_path: Path, server: RedisServer) -> None:
    session = captured(str(make_session(tmp_path, n=500)))
    prefix = server.new_prefix()
    first = Fanout(session, settings(server, prefix)).run()
    before = entries_of(server, prefix, "monday")
    second = Fanout(session, settings(server, prefix)).run()
    assert (second.events, second.position) == (0, first.position)
    assert entries_of(server, prefix, "monday") == before


def test_it_follows_a_capture_and_ends_with_it(tmp_path: Path, server: RedisServer) -> None:
    frames = frames_of(4_000)
    prefix = server.new_prefix()
    states: list[FanoutState] = []
    with make_journal(tmp_path / "live", frames[:500]) as journal:
        work = Fanout(captured("live", tmp_path), settings(server, prefix), tell=states.append)
        thread = threading.Thread(target=work.run)
        thread.start()
        for i in range(500, len(frames), 100):
            journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[i : i + 100])
            time.sleep(0.01)
        assert thread.is_alive()
    thread.join(30)
    assert not thread.is_alive()
    expected = all_events(session_tape(captured("live", tmp_path)))
    assert same(events_in(server, prefix, "live"), expected)
    assert states[-1].state == "done"


@pytest.mark.slow
def test_a_fan_out_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, server: RedisServer) -> None:
    make_journal(tmp_path / "s", frames := frames_of(20_000)).close()
    folder, prefix = tmp_path / "s", server.new_prefix()
    chance = random.Random(5)
    command = [sys.executable, "-m", "tests.capture.fanout_child", str(folder), server.url, prefix]
    at = kills = 0
    with client(server) as base:

        def position() -> int:
            return int(base.hget(Keys("s", prefix).position, "sequence") or 0)

        while at < len(frames):
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
                while position() == at and process.poll() is None:
                    time.sleep(0.001)
                time.sleep(chance.random() * 0.04)
                process.kill()
            at = position()
            kills += at < len(frames)
    assert kills >= 2
    state = Fanout(captured(str(folder)), settings(server, prefix)).run()
    assert same(events_in(server, prefix, "s"), all_events(session_tape(captured(str(folder)))))
    assert (state.state, state.events) == ("done", 0)


def test_each_contract_has_a_stream(tmp_path: Path, server: RedisServer) -> None:
    prefix = server.new_prefix()
    make_journal(tmp_path / "two", of_two(frames_of(3_000)), sources=TWO).close()
    session = captured("two", tmp_path)
    Fanout(session, settings(server, prefix, events_max=30)).run()
    whole = all_events(session_tape(session))
    sizes = []
    for contract in (CONTRACT, MES):
        parser = Parser((contract,), InstrumentTable())
        frames = [frame for frame in entries_of(server, prefix, "two", contract) if not is_book(frame)]
        found = np.concatenate([parser.advance(frame, 0) for frame in frames])
        part = all_events(session_tape(session, choice=Choice(contract=contract)))
        found["instrument_id"] = part["instrument_id"]
        assert same(found, part)
        sizes.append(found.size)
    assert min(sizes) > 300
    assert sum(sizes) == whole.size


@pytest.mark.slow
def test_an_answer_that_was_lost_is_looked_up_and_not_sent_again(
    tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every other transaction the connection breaks before its answer is read."""
    import redis
    from redis.client import Pipeline

    inner = Pipeline.execute
    calls = 0

    def execute(self: Any, *args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        answer = inner(self, *args, **more)
        if calls % 2:
            raise redis.ConnectionError("the answer was lost")
        return answer

    monkeypatch.setattr(Pipeline, "execute", execute)
    session = captured(str(make_session(tmp_path, n=20_000)))
    prefix = server.new_prefix()
    Fanout(session, settings(server, prefix), sleep=lambda _: None).run()
    assert calls >= 4
    assert same(events_in(server, prefix, "monday"), all_events(session_tape(session)))


def test_a_server_that_goes_away_makes_it_wait_and_nothing_else(tmp_path: Path) -> None:
    redis_server()  # skips where there is none
    import shutil

    server = RedisServer(shutil.which("redis-server") or "")
    try:
        frames = frames_of(6_000)
        states: list[FanoutState] = []
        with make_journal(tmp_path / "live", frames[:500]) as journal:
            work = Fanout(captured("live", tmp_path), settings(server, "p"), tell=states.append)
            thread = threading.Thread(target=work.run)
            thread.start()
            for i in range(500, len(frames), 100):
                if i in (1_000, 2_000):
                    server.kill()
                if i in (1_500, 2_500):
                    server.start()
                journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[i : i + 100])
                time.sleep(0.02)
        thread.join(60)
        assert not thread.is_alive()
        assert same(events_in(server, "p", "live"), all_events(session_tape(captured("live", tmp_path))))
        assert "waiting" in {state.state for state in states}
        assert not any(PASSWORD in s.error or QUOTED in s.error for s in states)
    finally:
        server.remove()


def test_a_stream_is_bounded(tmp_path: Path, server: RedisServer) -> None:
    session = captured(str(make_session(tmp_path, n=8_000)))
    prefix = server.new_prefix()
    Fanout(session, settings(server, prefix, events_max=4, entries_max=100)).run()
    frames = [decode(frame) for frame in entries_of(server, prefix, "monday")]
    assert 100 <= len(frames) < 400  # Redis cuts whole nodes of a stream
    assert isinstance(frames[0], Block)
    assert frames[0].first > 0


@pytest.mark.parametrize("restarts", [0, 3])
def test_books_in_the_stream_are_those_of_who_read_everything(
    tmp_path: Path, server: RedisServer, restarts: int
) -> None:
    """Whether it ran through or began again, with the whole stream there or only a part of it."""
    frames = frames_of(6_000)
    prefix = server.new_prefix()
    n = len(frames) // (restarts + 1) + 1
    with make_journal(tmp_path / "s", []) as journal:
        for i in range(0, len(frames), n):
            journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[i : i + n])
            how = settings(server, prefix, events_max=10, book_entries=5, entries_max=150, follow=False)
            Fanout(captured("s", tmp_path), how).run()
    whole = all_events(session_tape(captured("s", tmp_path)))
    books = [b for b in map(decode, entries_of(server, prefix, "s")) if isinstance(b, Block) and b.book]
    assert len(books) >= 2
    for book in books:
        assert levels(book.events) == levels(whole[: book.first])
        assert book.events["flags"][-1] & int(Flag.LAST)


def levels(events: Events) -> list[list[tuple[int, int]]]:
    """Return the depth that events leave behind."""
    ladder = Ladder(tick_e9=250_000_000)
    ladder.advance(events[events["channel"] == DEPTH_CHANNEL])
    return [[(level.price, level.qty_lots) for level in ladder.levels(side)] for side in (Side.BID, Side.ASK)]


def test_two_fan_outs_of_one_session_are_told(tmp_path: Path, server: RedisServer) -> None:
    session = captured(str(make_session(tmp_path, n=300)))
    prefix = server.new_prefix()
    work = Fanout(session, settings(server, prefix))
    send = work._streams.send

    def other_first(load: Any) -> None:
        with client(server) as base:
            base.hset(Keys("monday", prefix).position, "sequence", 7)
        send(load)

    work._streams.send = other_first  # type: ignore[method-assign] # another process at the worst moment
    with pytest.raises(StoreError, match="another process"):
        work.run()


def test_another_session_of_the_same_name_is_told(tmp_path: Path, server: RedisServer) -> None:
    prefix = server.new_prefix()
    folder = make_session(tmp_path, n=200)
    Fanout(captured(str(folder)), settings(server, prefix)).run()
    text = (folder / "session.json").read_text()
    about = json.loads(text)
    (folder / "session.json").write_text(json.dumps(about | {"started_ns": about["started_ns"] + 1}))
    with pytest.raises(StoreError, match="another session's"):
        Fanout(captured(str(folder)), settings(server, prefix)).run()


def test_a_wrong_password_is_an_error_that_does_not_show_it(tmp_path: Path, server: RedisServer) -> None:
    session = captured(str(make_session(tmp_path, n=200)))
    url = f"redis://:wrong-and-secret@127.0.0.1:{server.port}/0"
    with pytest.raises(VenueDenied) as caught:
        Fanout(session, FanoutSettings(url=Secret(url))).run()
    assert "wrong-and-secret" not in str(caught.value)
    assert "***" in str(caught.value)


def test_the_command_takes_no_password_as_an_argument(
    tmp_path: Path, server: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_session(tmp_path, n=200)
    arguments = ["fanout", "monday", "--home", str(tmp_path), "--prefix", server.new_prefix(), "--once"]
    assert main([*arguments, "--redis", server.url]) == 1
    out = capsys.readouterr()
    assert "command line" in out.err
    assert PASSWORD not in out.err + out.out
    assert QUOTED not in out.err + out.out
    monkeypatch.setenv("TAPEBOOK_REDIS_PASSWORD", PASSWORD)
    assert main([*arguments, "--redis", f"redis://127.0.0.1:{server.port}/0", "--json"]) == 0
    states = [json.loads(line)["fanout"] for line in capsys.readouterr().out.splitlines()]
    assert states[-1]["state"] == "done"
    assert states[-1]["events"] > 100
    assert os.environ["TAPEBOOK_REDIS_PASSWORD"] == PASSWORD


def test_settings_that_make_no_sense_are_refused(server: RedisServer) -> None:
    with pytest.raises(ConfigurationError, match="entries_max"):
        settings(server, "p", entries_max=0)
