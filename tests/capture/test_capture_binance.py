"""Recordings of Binance played at full speed, captured, and read back: event for event what was recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tapebook.book import Ladder
from tapebook.capture.plan import CaptureSettings, Outcome
from tapebook.capture.session import Capture
from tapebook.capture.settings import load_session
from tapebook.capture.sources import SourceRequest
from tapebook.gateway.binance_faults import BinanceFaults, parse_binance_fault
from tapebook.gateway.binance_replay import BinanceReplay, Line, read_lines
from tapebook.market.catalog import instrument_for
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Flag, Kind, Side
from tapebook.readers import open_tape
from tapebook.venues.binance.subscribe import MARKETS
from tapebook.venues.credentials import Credentials, Secret
from tapebook.venues.policies import delays
from tests.capture.live import QUIET, run
from tests.capture.witness import assert_complete, events_in
from tests.venues.test_binance_session import recording as played
from tests.venues.test_binance_session import script


class Running:
    """A capture under way."""

    def __init__(self, capture: Capture) -> None:
        self.capture, self.stop = capture, asyncio.Event()
        self.task = asyncio.create_task(capture.run(self.stop))

    async def until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    def still(self) -> bool:
        """Whether nothing more comes, and the database has it all."""
        receiver, follower = self.capture._receiver, self.capture._follower
        if receiver is None or follower is None or receiver.journal.last_sequence != follower.latest.watermark:
            return False
        last_ns = max((stream.last_ns for stream in receiver.streams.values()), default=0)
        return last_ns > 0 and receiver.clock.now_ns() - last_ns > 500_000_000

    async def end(self) -> Outcome:
        self.stop.set()
        return await asyncio.wait_for(self.task, 60)


@contextlib.asynccontextmanager
async def capturing(
    home: Path, replay: BinanceReplay, venue: str, contract: str, **more: Any
) -> AsyncIterator[Running]:
    port = await replay.start()
    addresses = {"socket": f"ws://127.0.0.1:{port}", "rest": f"http://127.0.0.1:{port}", "use_proxy": False}
    addresses |= {"wait": delays(0.05, then=0.05), "again_s": 0.1} | more
    asked = SourceRequest(venue=venue, contracts=(contract,), addresses=addresses)
    settings = CaptureSettings(
        requests=(asked,), name="s", home=home, limits=QUIET, interval_s=0.1, batch_timeout_s=0.02
    )
    running = Running(Capture(settings, lambda _: Credentials(Secret(""), Secret(""))))
    player = asyncio.create_task(replay.play())
    try:
        yield running
    finally:
        player.cancel()
        running.stop.set()
        await asyncio.wait([running.task], timeout=60)
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        await replay.stop()


def captured(home: Path, replay: BinanceReplay, venue: str, contract: str, **more: Any) -> tuple[Outcome, Events]:
    """Play a recording to its end into a capture; return how that ended, and what the database holds."""
    outcome: list[Outcome] = []

    async def work() -> None:
        async with capturing(home, replay, venue, contract, **more) as c:
            await c.until(replay.ended.is_set)
            await c.until(c.still)
            outcome.append(await c.end())

    run(work())
    return outcome[0], assert_complete(home / "s")


def same_but_for_our_clock(found: Events, expected: Events) -> bool:
    names = [name for name in found.dtype.names or () if name != "ts_recv_ns"]
    return found.size == expected.size and all((found[n] == expected[n]).all() for n in names)


@pytest.mark.slow
@pytest.mark.recording
@pytest.mark.parametrize(
    ("name", "venue"),
    [
        ("spot_btcusdt_20240808", "binance"),
        ("usdm_btcusdt_20240808", "binance-usdm"),
        ("cm_btcusd_perp_20240808", "binance-coinm"),
    ],
)
def test_a_recording_is_in_the_database_event_for_event(
    name: str, venue: str, recording: Callable[[str], Path], tmp_path: Path
) -> None:
    path = recording(f"binance/{name}.gz")
    contract = MARKETS[venue].examples[0]
    replay = BinanceReplay(
        lambda: read_lines(path), speed=0, instruments=[instrument_for(contract, MARKETS[venue].venue)]
    )
    outcome, events = captured(tmp_path, replay, venue, contract, single_trades=True)
    assert outcome.state == "ended"
    assert outcome.statistics.rows["gaps"] == 0
    assert outcome.statistics.rows["quality"] == 0
    assert same_but_for_our_clock(events, open_tape(path).events())
    assert load_session(tmp_path / "s").sources[0].contracts[0]["tickSize"]


def lines() -> Callable[[], Iterator[Line]]:
    return played(*script(400))


def book_of(events: Events) -> list[tuple[int, int | None]]:
    ladder = Ladder(tick_e9=10_000_000)
    ladder.advance(events[events["kind"] != Kind.TRADE])
    return [(one.price, one.qty_lots) for one in ladder.levels(Side.BID, 5)]


@pytest.mark.slow
def test_faults_end_with_marked_gaps_a_right_book_and_every_trade_that_was_sent(tmp_path: Path) -> None:
    """399 diffs and trades of 1 ms each, at a tenth of the speed."""
    texts = ("lose:n=1,at_s=0.1", "drop:at_s=0.25", "shutdown:at_s=0.45")
    faults = BinanceFaults(map(parse_binance_fault, texts), seed=1)
    replay = BinanceReplay(lines(), speed=0.1, faults=faults)
    outcome, events = captured(tmp_path, replay, "binance", "BTCUSDT", beside_s=0.2)
    assert faults.counts == {"lose": 1, "drop": 1, "shutdown": 1}
    assert outcome.statistics.streams[0].connections == 2
    assert outcome.statistics.rows["gaps"] == 1
    assert book_of(events) == [(400 * 10**9, 10**8), (10 * 10**9, 10**8)]
    clears = events[events["kind"] == Kind.CLEAR]
    assert (clears["flags"] & Flag.GAP != 0).sum() >= 1
    ids = events["sequence"][events["kind"] == Kind.TRADE].tolist()
    assert ids == sorted(set(ids))
    assert ids[-1] == 399
    gaps = events[(events["kind"] == Kind.TRADE) & (events["flags"] & Flag.GAP != 0)]
    missing = 390 - len(ids)
    assert bool(missing) <= gaps.size <= 2 * bool(missing)


def test_a_symbol_that_the_venue_does_not_have_is_an_error_at_once(tmp_path: Path) -> None:
    replay = BinanceReplay(lines(), instruments=[instrument_for("BTCUSDT", "BINANCE")])

    async def work() -> None:
        async with capturing(tmp_path, replay, "binance", "XYZUSDT") as c:
            with pytest.raises(ConfigurationError, match="no such contract"):
                await c.task

    run(work())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_lines_share_one_parser_and_a_lost_line_of_trades_harms_no_book(tmp_path: Path) -> None:
    """As on the USD-M futures, which have an address for books and another one for trades."""
    from tapebook.capture.decode import Decoder
    from tapebook.capture.notes import Note, write_note
    from tapebook.capture.settings import SourceSettings
    from tapebook.store.journal_format import Frame, FrameKind
    from tests.venues import golden_binance_usdm as golden

    named = [{"id": "BTCUSDT"}]
    sources = [
        SourceSettings(number=i, venue="binance-usdm", line=line, contracts=named)
        for i, line in enumerate(("depth+bookTicker", "aggTrade"))
    ]
    connect = write_note(Note(what="connected", since_ns=5))
    now = 1_787_172_691_000_000_000
    frames = [
        Frame(1, now, 0, int(FrameKind.FRAME), golden.FIRST),
        Frame(2, now, 0, int(FrameKind.FRAME), golden.snapshot(110)),
        Frame(3, now, 1, int(FrameKind.CONNECT), connect),
        Frame(4, now, 1, int(FrameKind.FRAME), golden.aggregate(5, sold=True)),
        Frame(5, now, 1, int(FrameKind.FRAME), b"{"),
        Frame(6, now, 0, int(FrameKind.FRAME), golden.depth(150, 160, 120, (("61800.10", "0.000"),), ())),
        Frame(7, now, 0, int(FrameKind.CONNECT), connect),
    ]
    whole, first, second = Decoder(sources), Decoder(sources), Decoder(sources)
    whole.feed(frames)
    decoded = whole.build()
    kinds = decoded.events["kind"].tolist()
    assert kinds[-4:] == [Kind.LEVEL, Kind.TRADE, Kind.LEVEL, Kind.CLEAR]
    assert [(row.sequence, row.finding) for row in decoded.batch.quality] == [(5, "bad message")]
    first.feed(frames[:4])
    early = first.build()
    second.restore(first.save())
    second.feed(frames[4:])
    assert early.events.tobytes() + second.build().events.tobytes() == decoded.events.tobytes()


def test_a_session_goes_on_after_its_database_is_read(tmp_path: Path) -> None:
    replay = BinanceReplay(lines(), speed=0)
    _, events = captured(tmp_path, replay, "binance", "BTCUSDT")
    assert events_in(tmp_path / "s").tobytes() == events.tobytes()
    assert book_of(events) == [(400 * 10**9, 10**8), (10 * 10**9, 10**8)]
