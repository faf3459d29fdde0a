"""Binance's session against a server that plays recordings: nothing missed, gaps mended, a day's end without a seam."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tapebook.gateway.binance_replay import BinanceReplay, Line, read_lines
from tapebook.market.catalog import instrument_for
from tapebook.market.clock import WallClock
from tapebook.market.errors import ConfigurationError, VenueError
from tapebook.market.events import Events, Flag, Kind
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.readers import open_tape
from tapebook.venues.binance.parse import Parser
from tapebook.venues.binance.session import Session
from tapebook.venues.binance.settings import Settings
from tapebook.venues.binance.subscribe import MARKETS, Channel
from tapebook.venues.frames import Received, Told, What
from tapebook.venues.policies import delays
from tests.conftest import DATA

T0 = 1_723_161_253_000_000_000
MS = 1_000_000


def depth(u: int, *bids: tuple[str, str], first: int | None = None) -> tuple[str, str]:
    data = {"e": "depthUpdate", "E": T0 // MS, "s": "BTCUSDT", "U": u if first is None else first, "u": u, "b": bids}
    return "btcusdt@depth@100ms", json.dumps({"stream": "btcusdt@depth@100ms", "data": {**data, "a": []}})


def trade(number: int) -> tuple[str, str]:
    data = {"e": "trade", "s": "BTCUSDT", "t": number, "p": "100.5", "q": "0.25", "T": T0 // MS, "m": False}
    return "btcusdt@trade", json.dumps({"stream": "btcusdt@trade", "data": data})


def snapshot(last: int, *bids: tuple[str, str]) -> tuple[str, str]:
    return "", json.dumps({"lastUpdateId": last, "bids": bids, "asks": [["101.00", "1.0"]]})


def recording(*messages: tuple[str, str]) -> Callable[[], Iterator[Line]]:
    lines = [Line(T0 + i * MS, stream, body.encode()) for i, (stream, body) in enumerate(messages)]
    return lambda: iter(lines)


def script(n: int) -> list[tuple[str, str]]:
    """Messages 10 to n of a book whose best bid is the number of the last one, with a trade beside each."""
    out = [depth(10, ("10.00", "1.0")), trade(10), depth(11, ("11.00", "1.0")), snapshot(10, ("10.00", "1.0"))]
    for u in range(12, n + 1):
        out += [depth(u, (f"{u - 1}.00", "0.0"), (f"{u}.00", "1.0")), trade(u - 1)]
    return out


Item = Received | Told


@asynccontextmanager
async def playing(replay: BinanceReplay, **settings: object) -> AsyncIterator[Session]:
    port = await replay.start()
    market = settings.pop("market", MARKETS["binance"])
    where = Settings(
        market=market,  # type: ignore[arg-type] # a market, given by name
        socket=f"ws://127.0.0.1:{port}",
        rest=f"http://127.0.0.1:{port}",
        wait=delays(0.01, then=0.05),
        again_s=0.1,
        use_proxy=False,
        **settings,  # type: ignore[arg-type] # of the settings' own names
    )
    channels = [Channel.DEPTH, Channel.QUOTES, Channel.TRADES]
    contract = market.examples[0]  # type: ignore[attr-defined] # as above
    session = Session(where, clock=WallClock(), chance=random.Random(1), contracts=[contract], channels=channels)
    player = asyncio.create_task(replay.play())
    try:
        yield session
    finally:
        player.cancel()
        await session.aclose()
        await replay.stop()


async def heard(session: Session, replay: BinanceReplay, s: float = 60, items: list[Item] | None = None) -> list[Item]:
    """Return all that comes until the recording has ended and nothing more came for a while."""
    items = [] if items is None else items
    async with asyncio.timeout(s), aclosing(session.frames()) as frames:
        while True:
            try:
                items.append(await asyncio.wait_for(anext(frames), 0.4 if replay.ended.is_set() else s))
            except TimeoutError:
                return items


async def frames_in(items: list[Item], n: int) -> None:
    """Wait until so many frames came."""
    async with asyncio.timeout(60):
        while sum(isinstance(item, Received) for item in items) < n:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.005)


def events_of(items: list[Item], parser: Parser) -> Events:
    """Return the events of what came, as a capture would make them."""
    out = []
    for item in items:
        if isinstance(item, Received):
            out.append(parser.advance(item.data, item.ts_recv_ns))
        elif item.what is What.CONNECTED:
            out.append(parser.reset(item.ts_recv_ns))
    return np.concatenate(out)


def told(items: list[Item]) -> list[What]:
    return [item.what for item in items if isinstance(item, Told)]


def trades_of(events: Events) -> list[int]:
    found: list[int] = events["sequence"][events["kind"] == Kind.TRADE].tolist()
    return found


def best_bid(events: Events) -> float:
    """Return the best bid that stands after all events."""
    bids: dict[int, int] = {}
    for kind, side, price, qty in zip(
        *(events[n].tolist() for n in ("kind", "side", "price", "qty_lots")), strict=True
    ):
        if kind == Kind.CLEAR:
            bids.clear()
        elif kind == Kind.LEVEL and side == 1:
            bids[price] = qty
    return max((price for price, qty in bids.items() if qty), default=0) / 1e9


def test_a_book_comes_from_a_snapshot_and_the_diffs_around_it() -> None:
    async def main() -> None:
        replay = BinanceReplay(recording(*script(60)), speed=0)
        async with playing(replay) as session:
            items = await heard(session, replay)
        quarantine = Quarantine()
        events = events_of(items, Parser(["BTCUSDT"], InstrumentTable(), quarantine=quarantine))
        assert told(items) == [What.CONNECTED]
        assert trades_of(events) == list(range(10, 60))
        assert best_bid(events) == 60
        assert quarantine.total == 0
        assert replay.counts["snapshots asked for"] == 1

    asyncio.run(main())


def test_a_missing_diff_is_a_gap_and_a_new_snapshot_mends_the_book() -> None:
    async def main() -> None:
        replay = BinanceReplay(recording(*script(200)), speed=0.2)
        replay.skip = lambda line: '"u": 40,' in line.body.decode()
        async with playing(replay) as session:
            items = await heard(session, replay)
        events = events_of(items, Parser(["BTCUSDT"], InstrumentTable()))
        clears = events[events["kind"] == Kind.CLEAR]
        assert (clears["flags"] & Flag.GAP != 0).tolist() == [False, True, False]
        assert best_bid(events) == 200
        assert replay.counts["snapshots asked for"] == 2

    asyncio.run(main())


def test_a_lost_connection_is_opened_again_and_the_book_begins_anew() -> None:
    async def main() -> None:
        replay = BinanceReplay(recording(*script(300)), speed=0.3)
        async with playing(replay) as session:
            items: list[Item] = []
            listening = asyncio.create_task(heard(session, replay, items=items))
            await frames_in(items, 100)
            replay.drop()
            await listening
        assert told(items) == [What.CONNECTED, What.LOST, What.CONNECTED]
        lost = next(item for item in items if isinstance(item, Told) and item.what is What.LOST)
        assert lost.since_ns > 0
        events = events_of(items, Parser(["BTCUSDT"], InstrumentTable()))
        assert best_bid(events) == 300
        ids = trades_of(events)
        assert ids == sorted(set(ids))
        missed = 290 - len(ids)
        flagged = events[(events["kind"] == Kind.TRADE) & (events["flags"] & Flag.GAP != 0)]
        assert flagged.size == (1 if missed else 0)

    asyncio.run(main())


@pytest.mark.parametrize("why", ["its time is over", "the venue announces its end"])
def test_another_connection_takes_over_without_a_seam(why: str) -> None:
    async def main() -> None:
        replay = BinanceReplay(recording(*script(300)), speed=0.3)
        life_s = 0.5 if why == "its time is over" else 1000.0
        async with playing(replay, life_s=life_s, beside_s=0.2) as session:
            items: list[Item] = []
            listening = asyncio.create_task(heard(session, replay, items=items))
            await frames_in(items, 100)
            if life_s > 1:
                await replay.announce_shutdown()
            await listening
        assert told(items)[:2] == [What.CONNECTED, What.JOINED]
        assert What.LOST not in told(items)
        received = [item for item in items if isinstance(item, Received)]
        assert len({item.data for item in received}) < len(received)  # both told the same for a while
        notes: dict[str, int] = {}
        events = events_of(items, Parser(["BTCUSDT"], InstrumentTable(), notes=notes))
        assert trades_of(events) == list(range(10, 300))
        assert best_bid(events) == 300
        assert (events["flags"] & Flag.GAP == 0).all()
        assert notes["trade ids that repeat or run backwards"] > 0

    asyncio.run(main())


def test_a_take_over_that_fails_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapebook.venues.binance.session._AGAIN_S", 0.1)

    async def main() -> None:
        replay = BinanceReplay(recording(*script(300)), speed=0.3)
        async with playing(replay, life_s=1000.0, beside_s=0.2) as session:
            items: list[Item] = []
            listening = asyncio.create_task(heard(session, replay, items=items))
            await frames_in(items, 100)
            replay.busy = 2
            await replay.announce_shutdown()
            await listening
        assert told(items)[:4] == [What.CONNECTED, What.FAILED, What.FAILED, What.JOINED]
        events = events_of(items, Parser(["BTCUSDT"], InstrumentTable()))
        assert trades_of(events) == list(range(10, 300))
        assert (events["flags"] & Flag.GAP == 0).all()

    asyncio.run(main())


def test_a_book_that_only_the_decoder_lost_is_mended_by_the_next_refresh() -> None:
    """Its numbers follow, but a price in it is none."""
    messages = script(300)
    messages[60] = (messages[60][0], messages[60][1].replace('.00", "1.0"', '.00", "x"'))

    async def main() -> None:
        replay = BinanceReplay(recording(*messages), speed=0.2)
        async with playing(replay, refresh_s=0.5) as session:
            items = await heard(session, replay)
        quarantine = Quarantine()
        events = events_of(items, Parser(["BTCUSDT"], InstrumentTable(), quarantine=quarantine))
        assert quarantine.total == 1
        assert best_bid(events) == 300
        clears = events[events["kind"] == Kind.CLEAR]
        assert (clears["flags"] & Flag.GAP != 0).tolist() == [False, True, False]

    asyncio.run(main())


def test_symbols_are_described_and_an_unknown_one_is_an_error() -> None:
    async def main() -> None:
        known = [instrument_for("BTCUSDT", "BINANCE")]
        replay = BinanceReplay(recording(*script(20)), instruments=known)
        async with playing(replay) as session:
            (told,) = await session.describe()
            assert told.row(MARKETS["binance"]) == {"id": "BTCUSDT", "tickSize": "0.01"}
            assert await session.server_time_ms() == 0
        market = MARKETS["binance-usdm"]
        async with playing(BinanceReplay(recording(*script(20)), instruments=known), market=market) as session:
            (told,) = await session.describe()
            assert told.row(market)["stepSize"] == "0.00000001"
        other = [instrument_for("ETHUSDT", "BINANCE")]
        for market in (MARKETS["binance"], MARKETS["binance-usdm"]):
            async with playing(BinanceReplay(recording(*script(20)), instruments=other), market=market) as session:
                with pytest.raises(ConfigurationError, match="no such contract"):
                    await session.describe()
        async with playing(BinanceReplay(recording(*script(20)))) as session:
            with pytest.raises(VenueError, match="404"):
                await session.describe()

    asyncio.run(main())


def test_what_is_no_recording_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("1723161253937085768 hello\n")
    with pytest.raises(ConfigurationError, match="no raw recording"):
        list(read_lines(path))


@pytest.mark.slow
@pytest.mark.recording
@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("spot_btcusdt_20240808", "binance"),
        ("usdm_btcusdt_20240808", "binance-usdm"),
        ("cm_btcusd_perp_20240808", "binance-coinm"),
    ],
)
def test_a_recording_played_at_full_speed_arrives_event_for_event(name: str, market: str) -> None:
    """All that the reader makes of the file, apart from our own receive stamps."""
    path = DATA / "binance" / f"{name}.gz"
    chosen = MARKETS[market]._replace(depth_stream="depth@100ms" if market == "binance" else "depth@0ms")
    source = np.concatenate(list(open_tape(path).read(1 << 30)))

    async def main() -> list[Item]:
        replay = BinanceReplay(lambda: read_lines(path), speed=0)
        async with playing(replay, market=chosen) as session:
            return await heard(session, replay, s=120)

    items = asyncio.run(main())
    parser = Parser([chosen.examples[0]], InstrumentTable(), venue=chosen.venue)
    events = events_of(items, parser)
    assert events.size == source.size
    for column in events.dtype.names or ():
        if column != "ts_recv_ns":
            assert (events[column] == source[column]).all(), column
