"""A market played through the gateway at full speed, captured, and read back: event for event what was played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tapebook.book import Ladder
from tapebook.capture.plan import Outcome
from tapebook.capture.receive import Limits
from tapebook.capture.sources import SourceRequest
from tapebook.gateway.faults import Fault
from tapebook.gateway.figures import Stamps
from tapebook.gateway.play import End
from tapebook.gateway.server import Gateway, seeded
from tapebook.gateway.source import Form, Source
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Kind, Side
from tapebook.readers import open_tape
from tapebook.simulator import simulate
from tapebook.venues.policies import at_least
from tapebook.venues.signalr_hub import HubTimes
from tests.capture.live import capturing, request, run
from tests.capture.witness import assert_complete, events_in
from tests.gateway.play import alike, read_back, settings
from tests.store.capture_servers import postgres

LIMITS = Limits(clock_s=0.2, disk_warn_mb=0, disk_stop_mb=0)


def same_but_for_our_clock(found: Events, expected: Events) -> bool:
    names = [name for name in found.dtype.names or () if name != "ts_recv_ns"]
    return found.size == expected.size and all((found[n] == expected[n]).all() for n in names)


def captured(source: Source, home: Path, **more: Any) -> tuple[Outcome, Events]:
    """Play a source to its end into a capture; return how that ended, and what our parser makes of the source."""
    expected = read_back(source)[0]
    trades = int((expected["kind"] == Kind.TRADE).sum())
    outcome: list[Outcome] = []

    async def work() -> None:
        how = settings(play={"end": End.SILENT})
        async with Gateway(source, how, chance=seeded(1)) as gateway:
            contracts = tuple(listing.id for listing in source.listings)
            asked = (request(gateway, contracts=contracts),)
            given: dict[str, Any] = {"limits": LIMITS, "user": "me", "key": "key", "gateway": gateway} | more
            async with capturing(home, requests=asked, **given) as c:
                await c.until(lambda: sum(gateway.statistics()["played"].values()) > 0, 60)
                await c.until(lambda: c.capture.statistics().rows["trades"] >= trades and c.lag == 0, 120)
                await c.until(lambda: c.capture.statistics().streams[0].last_age_s > 0.3)  # type: ignore[operator] # it came
                await c.until(lambda: c.lag == 0)
                outcome.append(await c.end())

    run(work())
    return outcome[0], expected


@pytest.mark.slow
@pytest.mark.parametrize("url_for", [lambda: "", lambda: postgres().new_database()])
def test_a_simulated_market_is_in_the_database_event_for_event(url_for: Callable[[], str], tmp_path: Path) -> None:
    source = Source(simulate("es", seed=4, duration_s=20), Form(stamps=Stamps.NS))
    url = url_for()
    outcome, expected = captured(source, tmp_path, database=url)
    assert outcome.statistics.rows["gaps"] == 0
    events = assert_complete(tmp_path / "s", url)
    assert same_but_for_our_clock(events, expected)
    tape = simulate("es", seed=4, duration_s=20).events()
    assert alike(events, tape, Kind.TRADE, "ts_event_ns", "price", "qty_lots", "side", "side_source")


def test_a_contract_that_the_venue_does_not_have_is_an_error_at_once(tmp_path: Path) -> None:
    source = Source(simulate("es", seed=4, duration_s=1), Form(stamps=Stamps.NS))

    async def work() -> None:
        async with Gateway(source, settings(), chance=seeded(1)) as gateway:
            asked = (request(gateway, contracts=("CON.F.US.XYZ.Z99",)),)
            with pytest.raises(ConfigurationError, match="no such contract"):
                async with capturing(tmp_path, requests=asked, user="me", key="key", gateway=gateway) as c:
                    await c.task

    run(work())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.recording
def test_a_recording_is_in_the_database_event_for_event(recording: Callable[[str], Path], tmp_path: Path) -> None:
    opened = open_tape(recording("databento/es/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"))
    _, expected = captured(Source(opened, Form(stamps=Stamps.NS)), tmp_path)
    assert_complete(tmp_path / "s")
    assert same_but_for_our_clock(events_in(tmp_path / "s"), expected)


FAULTS = (
    Fault(fault="lose", n=30, at_s=0.5),
    Fault(fault="duplicate", n=30, at_s=0.8),
    Fault(fault="reorder", n=30, at_s=1.1),
    Fault(fault="malformed", n=10, at_s=1.4),
    Fault(fault="split", n=20, at_s=1.7),
    Fault(fault="merge", n=20, at_s=2.0),
    Fault(fault="reset", at_s=2.3),
    Fault(fault="drop", at_s=2.6),
    Fault(fault="close", at_s=3.5),
    Fault(fault="expire", at_s=4.0),
    Fault(fault="half_open", at_s=4.5),
    Fault(fault="restart", at_s=7.5, for_s=0.3),
    Fault(fault="drop", at_s=9.0),
)


def book_of(events: Events) -> list[list[tuple[int, int]]]:
    ladder = Ladder(tick_e9=250_000_000)
    ladder.advance(events[events["kind"] != Kind.TRADE])
    return [[(one.price, one.qty_lots) for one in ladder.levels(side, 10)] for side in (Side.BID, Side.ASK)]


@pytest.mark.slow
def test_every_fault_ends_with_a_complete_journal_marked_gaps_and_a_right_book(tmp_path: Path) -> None:
    source = Source(simulate("es", seed=4, duration_s=44), Form(stamps=Stamps.NS))
    expected = read_back(source)[0]

    async def work() -> None:
        how = settings(*FAULTS, speed=4.0, play={"end": End.SILENT})
        async with Gateway(source, how, chance=seeded(1)) as gateway:
            addresses = {"rest": gateway.url, "market_hub": f"{gateway.url}/hubs/market", "use_proxy": False}
            addresses |= {"times": HubTimes(5, 5, 1, 2), "wait": at_least(0.05)}
            contracts = tuple(listing.id for listing in source.listings)
            asked = (SourceRequest(venue="projectx", contracts=contracts, addresses=addresses),)
            async with capturing(tmp_path, requests=asked, user="me", key="key", gateway=gateway) as c:
                await c.until(lambda: gateway.statistics()["ended"], 60)
                await asyncio.sleep(0.5)
                await c.until(lambda: c.lag == 0)
                outcome = await c.end()
            assert outcome.statistics.streams[0].connections >= 5
            assert outcome.statistics.rows["gaps"] >= 4
            assert outcome.statistics.rows["quality"] >= 5

    run(work())
    events = assert_complete(tmp_path / "s")
    assert book_of(events) == book_of(expected)
