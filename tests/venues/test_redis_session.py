"""A reader of a fan-out beside a real server: everything once, what is missing told, and its place kept."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.capture.fanout import Fanout, FanoutSettings
from tapebook.capture.session_tape import session_tape
from tapebook.capture.sessions import captured
from tapebook.market.clock import WallClock
from tapebook.market.errors import VenueDenied, VenueProtocolError, VenueUnreachable
from tapebook.market.events import Events, Flag, Kind
from tapebook.market.instruments import InstrumentTable
from tapebook.venues.credentials import Secret
from tapebook.venues.policies import after_failures, delays
from tapebook.venues.redis.session import Entry, Missed, Session, follow
from tapebook.venues.redis.settings import Settings
from tapebook.venues.redis.wire import FIELD, Block, Keys, decode, encode_block
from tests.capture.redis_server import PASSWORD, QUOTED, RedisServer, redis_server
from tests.capture.some_frames import CONTRACT, frames_of
from tests.capture.some_sessions import all_events, make_journal, make_session, same
from tests.capture.test_fanout import levels


@pytest.fixture
def server() -> RedisServer:
    return redis_server()


async def until_quiet(session: Session) -> Events:
    """Return what comes until nothing more does."""
    out: list[Events] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.5), contextlib.aclosing(follow(session, InstrumentTable())) as events:
            async for block in events:
                out.append(block)  # noqa: PERF401 - what came before the end of time counts
    return np.concatenate(out)


def fan_out(folder: Path, server: RedisServer, prefix: str, **more: Any) -> None:
    settings = FanoutSettings(url=Secret(server.url), prefix=prefix, **({"entries_max": 1_000_000} | more))
    Fanout(captured(str(folder)), settings).run()


def reader(server: RedisServer, prefix: str, session: str = "monday", **more: Any) -> Session:
    settings = Settings(url=Secret(server.url), session=session, prefix=prefix, **({"block_s": 0.05} | more))
    return Session(settings, clock=WallClock(), chance=random.Random(1))


async def take(session: Session, n: int, instruments: InstrumentTable | None = None) -> Events:
    """Return the first events that come, ``n`` at least."""
    out: list[Events] = []
    table = InstrumentTable() if instruments is None else instruments
    async with asyncio.timeout(30), contextlib.aclosing(follow(session, table)) as events:
        async for block in events:
            out.append(block)
            if sum(b.size for b in out) >= n:
                break
    return np.concatenate(out)


def test_a_reader_gets_what_the_journal_holds(tmp_path: Path, server: RedisServer) -> None:
    folder, prefix = make_session(tmp_path), server.new_prefix()
    fan_out(folder, server, prefix)
    expected = all_events(session_tape(captured(str(folder))))
    table = InstrumentTable()
    assert same(asyncio.run(take(reader(server, prefix), expected.size, table)), expected)
    assert table[1].symbol == "MNQM5"


def test_a_reader_follows_a_capture_while_it_runs(tmp_path: Path, server: RedisServer) -> None:
    frames = frames_of(5_000)
    prefix = server.new_prefix()
    with make_journal(tmp_path / "live", frames[:300]) as journal:
        settings = FanoutSettings(url=Secret(server.url), prefix=prefix, entries_max=1_000_000)
        stop = threading.Event()
        thread = threading.Thread(target=Fanout(captured("live", tmp_path), settings, ended=stop.is_set).run)
        thread.start()
        expected = all_events(session_tape(captured("live", tmp_path)))

        def write() -> None:
            for i in range(300, len(frames), 100):
                time.sleep(0.01)
                journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[i : i + 100])

        writer = threading.Thread(target=write)
        try:
            time.sleep(0.3)
            writer.start()
            found = asyncio.run(take(reader(server, prefix, "live"), expected.size + 1_000))
        finally:
            writer.join()
            stop.set()
            thread.join()
        whole = all_events(session_tape(captured("live", tmp_path)))
        assert found.size > expected.size
        assert same(found, whole[: found.size])


def test_a_reader_that_gets_only_a_book_it_has_waits_for_more(tmp_path: Path, server: RedisServer) -> None:
    """A book that is passed over must not come again and again."""
    folder, prefix = make_session(tmp_path), server.new_prefix()
    fan_out(folder, server, prefix)
    n_events = all_events(session_tape(captured(str(folder)))).size

    async def main() -> int:
        session = reader(server, prefix)
        questions = seen = 0
        async with contextlib.aclosing(follow(session, InstrumentTable())) as events:
            async for block in events:
                seen, last = seen + block.size, block[-1:]
                if seen >= n_events:
                    break
            ask, client = session._read, session._client
            contract = next(iter(session.place))
            book = encode_block(Block(contract, seen, 1, 1, last, True))
            await client.xadd(Keys("monday", prefix).stream(contract), {FIELD: book})

            async def counted() -> Any:
                nonlocal questions
                questions += 1
                return await ask()

            session._read = counted  # type: ignore[method-assign] # to count how often it is asked
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.6):
                    await anext(events)
        return questions

    assert 2 < asyncio.run(main()) < 30  # one each 50 ms


def test_what_was_trimmed_before_it_was_read_is_told(tmp_path: Path, server: RedisServer) -> None:
    folder, prefix = make_session(tmp_path, n=8_000), server.new_prefix()
    fan_out(folder, server, prefix, events_max=4, entries_max=100)
    whole = all_events(session_tape(captured(str(folder))))

    async def first() -> list[Entry | Missed]:
        out: list[Entry | Missed] = []
        async with asyncio.timeout(10), contextlib.aclosing(reader(server, prefix).batches()) as batches:
            async for batch in batches:
                out += batch
                if len(out) > 50:
                    break
        return out

    items = asyncio.run(first())
    missed = [item for item in items if isinstance(item, Missed)]
    assert len(missed) == 1
    assert (missed[0].contract, missed[0].text) == (CONTRACT, "trimmed before they were read")
    block = decode(items[items.index(missed[0]) + 1].data)  # type: ignore[union-attr] # an Entry
    assert isinstance(block, Block)
    assert missed[0].events == block.first
    rest = whole[missed[0].events :]
    found = asyncio.run(until_quiet(reader(server, prefix)))
    assert found["kind"][0] == Kind.CLEAR
    assert found["flags"][0] == int(Flag.GAP | Flag.LAST)
    book = (found["flags"] & int(Flag.SNAPSHOT)) != 0
    assert book.sum() > 10  # the next book of the stream, once
    assert (found["kind"][book] == Kind.CLEAR).sum() == 1
    assert same(found[1:][~book[1:]], rest)
    assert levels(found) == levels(whole)


def test_a_reader_goes_on_where_it_stood(tmp_path: Path, server: RedisServer) -> None:
    folder, prefix = make_session(tmp_path), server.new_prefix()
    fan_out(folder, server, prefix, events_max=20)
    whole = all_events(session_tape(captured(str(folder))))

    async def some(n: int) -> Events:
        """Take n batches, and ask for one more: so many are then read."""
        session = reader(server, prefix, reader="desk", count=3)
        from tapebook.venues.redis.parse import Parser

        parser, out = Parser((), InstrumentTable()), []
        async with asyncio.timeout(10), contextlib.aclosing(session.batches()) as batches:
            async for batch in batches:
                if n < 0:
                    break  # handed on, and not taken
                n -= 1
                out += [parser.advance(item.data, 0) for item in batch if isinstance(item, Entry)]
        return np.concatenate(out)

    parts = [asyncio.run(some(5)) for _ in range(4)]
    found = np.concatenate(parts)
    assert all(part.size for part in parts)
    assert same(found, whole[: found.size])


def test_a_reader_that_comes_late_has_the_book(tmp_path: Path, server: RedisServer) -> None:
    folder, prefix = make_session(tmp_path, n=8_000), server.new_prefix()
    fan_out(folder, server, prefix, events_max=4, book_entries=400)
    whole = all_events(session_tape(captured(str(folder))))
    found = asyncio.run(until_quiet(reader(server, prefix, start="now")))
    snapshot = (found["flags"] & int(Flag.SNAPSHOT)) != 0
    assert found["kind"][0] == Kind.CLEAR
    assert snapshot[0]
    rest = found[~snapshot]
    assert 0 < rest.size < whole.size // 2
    assert same(rest, whole[-rest.size :])
    assert levels(found) == levels(whole)


def test_a_reader_may_begin_now(tmp_path: Path, server: RedisServer) -> None:
    prefix = server.new_prefix()
    frames = frames_of(3_000)
    with make_journal(tmp_path / "live", frames[:800]) as journal:
        fan_out(tmp_path / "live", server, prefix, follow=False)
        before = all_events(session_tape(captured("live", tmp_path)))

        async def later() -> Events:
            session = reader(server, prefix, "live", start="now")
            task = asyncio.create_task(take(session, 100))
            while not session.place:  # noqa: ASYNC110 - the session tells nobody that it stands ready
                await asyncio.sleep(0.01)
            journal.append((f.ts_recv_ns, f.source, f.kind, f.payload) for f in frames[800:])
            await asyncio.to_thread(fan_out, tmp_path / "live", server, prefix, follow=False)
            return await task

        found = asyncio.run(later())
        whole = all_events(session_tape(captured("live", tmp_path)))
    assert same(found, whole[before.size : before.size + found.size])


def test_a_reader_comes_back_when_the_server_does(tmp_path: Path) -> None:
    redis_server()
    server = RedisServer(shutil.which("redis-server") or "")
    try:
        folder = make_session(tmp_path)
        fan_out(folder, server, "p", events_max=20)
        whole = all_events(session_tape(captured(str(folder))))
        session = reader(server, "p", count=5, wait=delays(then=0.05))

        async def interrupted() -> Events:
            out: list[Events] = []
            killed = False
            async with asyncio.timeout(30), contextlib.aclosing(follow(session, InstrumentTable())) as events:
                async for block in events:
                    out.append(block)
                    n = sum(b.size for b in out)
                    if n > whole.size // 2 and not killed:
                        killed = True
                        server.kill()
                        asyncio.get_running_loop().call_later(0.3, server.start)
                    if n >= whole.size:
                        break
            return np.concatenate(out)

        found = asyncio.run(interrupted())
        assert session.connections == 2
        assert same(found, whole)
    finally:
        server.remove()


def test_a_stream_that_began_anew_is_told(tmp_path: Path, server: RedisServer) -> None:
    import redis

    folder, prefix = make_session(tmp_path, n=300), server.new_prefix()
    fan_out(folder, server, prefix)
    whole = all_events(session_tape(captured(str(folder))))
    session = reader(server, prefix)

    async def twice() -> list[Missed]:
        missed: list[Missed] = []
        n = 0
        async with asyncio.timeout(20), contextlib.aclosing(session.batches()) as batches:
            async for batch in batches:
                for item in batch:
                    if isinstance(item, Missed):
                        missed.append(item)
                        return missed
                    if item.contract and isinstance(block := decode(item.data), Block):
                        n += block.events.size
                if n == whole.size:
                    with redis.Redis.from_url(server.url) as base:
                        base.delete(Keys("monday", prefix).position)
                    await asyncio.to_thread(fan_out, folder, server, prefix)
                    n += 1
        return missed

    (missed,) = asyncio.run(twice())
    assert (missed.events, missed.text) == (0, "the stream began anew")


def test_errors_name_the_server_and_never_its_password(server: RedisServer) -> None:
    async def fails(session: Session) -> None:
        async for _ in session.batches():
            pass

    with pytest.raises(VenueProtocolError, match="no fan-out of this session") as caught:
        asyncio.run(fails(reader(server, server.new_prefix())))
    assert PASSWORD not in str(caught.value)
    assert QUOTED not in str(caught.value)
    wrong = Settings(url=Secret(f"redis://:not-it-8841@127.0.0.1:{server.port}/0"), session="monday")
    with pytest.raises(VenueDenied) as denied:
        asyncio.run(fails(Session(wrong, clock=WallClock(), chance=random.Random(1))))
    assert "not-it-8841" not in str(denied.value)
    away = Settings(
        url=Secret("redis://:not-it-8841@127.0.0.1:1/0"), session="s", stop=after_failures(2), wait=delays(then=0.01)
    )
    with pytest.raises(VenueUnreachable) as gone:
        asyncio.run(fails(Session(away, clock=WallClock(), chance=random.Random(1))))
    assert "not-it-8841" not in str(gone.value)
    assert "not-it-8841" not in repr(away)


def test_a_contract_that_the_session_does_not_have_is_told(tmp_path: Path, server: RedisServer) -> None:
    prefix = server.new_prefix()
    fan_out(make_session(tmp_path, n=200), server, prefix)
    with pytest.raises(VenueProtocolError, match="no such contract"):
        asyncio.run(take(reader(server, prefix, contracts=("ES",)), 1))
