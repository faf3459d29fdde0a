"""A terminal behind a real RPyC server, captured: every tick and every sample that was seen is in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.capture.plan import CaptureSettings, Outcome
from tapebook.capture.session import Capture
from tapebook.capture.settings import load_session
from tapebook.capture.sources import SourceRequest
from tapebook.capture.status import CaptureStatistics
from tapebook.market.errors import VenueError
from tapebook.market.events import Events, Flag, Kind
from tapebook.market.instruments import InstrumentTable
from tapebook.venues.credentials import Credentials, Secret
from tapebook.venues.mt5.parse import Parser
from tapebook.venues.mt5.wire import Ticks, write_frame
from tapebook.venues.policies import delays
from tests.capture.live import QUIET, run
from tests.capture.witness import assert_complete
from tests.venues.mt5_server import SYMBOL
from tests.venues.test_mt5_session import Terminals

pytest.importorskip("rpyc")


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    folder = tmp_path / "terminal"
    folder.mkdir()
    found = Terminals(folder)
    yield found
    found.stop()


def captured(home: Path, terminals: Terminals, contract: str = SYMBOL, fault: str = "") -> tuple[Outcome, Events]:
    """Capture until every tick of the recording is there; with a fault on the way, until the line is lost."""
    addresses: dict[str, Any] = {"host": "127.0.0.1", "port": terminals.port, "wait": delays(0.1, then=0.2)}
    addresses |= {"look_s": 0.2, "ticks_s": 0.05, "book_s": 0.05, "since_ms": int(terminals.ticks["time_msc"][0])}
    asked = SourceRequest(venue="mt5", contracts=(contract,), addresses=addresses)
    settings = CaptureSettings(
        requests=(asked,), name="s", home=home, limits=QUIET, interval_s=0.1, batch_timeout_s=0.02
    )
    trades = int((terminals.ticks["flags"] & 24 != 0).sum())
    outcome: list[Outcome] = []

    async def work() -> None:
        stop = asyncio.Event()
        capture = Capture(settings, lambda _: Credentials(Secret(""), Secret("")))
        task = asyncio.create_task(capture.run(stop))

        async def until(true: Callable[[CaptureStatistics], bool]) -> None:
            while not task.done() and (capture.latest is None or not true(capture.latest)):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.02)

        try:
            async with asyncio.timeout(90):
                if fault:
                    await until(lambda now: now.rows.get("trades", 0) > 0 and now.rows.get("market_depth", 0) > 0)
                    terminals.fault(fault, on=True)
                    await until(lambda now: now.streams[0].state == "lost")
                    terminals.fault(fault, on=False)
                await until(lambda now: now.rows.get("trades", 0) >= trades)
        finally:
            stop.set()
            outcome.append(await asyncio.wait_for(task, 60))

    run(work())
    return outcome[0], assert_complete(home / "s")


def expected_of(terminals: Terminals) -> Events:
    parser = Parser([{"id": SYMBOL, "digits": 0, "volume_step": 1.0}], InstrumentTable())
    return parser.advance(write_frame(Ticks(SYMBOL, terminals.ticks.tobytes())), 1)


def told(events: Events, kind: Kind) -> list[tuple[int, ...]]:
    mine = events[events["kind"] == kind]
    names = ("ts_event_ns", "side", "price", "qty_lots", "side_source", "channel")
    return list(zip(*(mine[name].tolist() for name in names), strict=True))


@pytest.mark.slow
def test_every_tick_of_a_terminal_is_in_the_database_and_the_book_is_one_that_it_showed(
    terminals: Terminals, tmp_path: Path
) -> None:
    terminals.start()
    outcome, events = captured(tmp_path, terminals)
    assert outcome.state == "ended"
    assert outcome.statistics.rows["gaps"] == 0
    expected = expected_of(terminals)
    for kind in (Kind.TRADE, Kind.QUOTE):
        assert told(events, kind) == told(expected, kind)
    ladder: dict[tuple[int, int], int] = {}
    for event in events[events["kind"] == Kind.LEVEL]:
        ladder[int(event["side"]), int(event["price"])] = int(event["qty_lots"])
    shown = [{(1 if t == 2 else -1, int(p * 1e9)): int(v) for t, p, v in lines} for _, lines in terminals.books]
    assert {key: qty for key, qty in ladder.items() if qty} in shown
    (contract,) = load_session(tmp_path / "s").sources[0].contracts
    assert (contract["digits"], contract["trade_tick_size"], contract["zone"]) == (0, 5.0, "America/Sao_Paulo")
    assert "bid" not in contract


@pytest.mark.slow
def test_a_terminal_that_was_gone_leaves_a_gap_of_the_book_and_no_missing_tick(
    terminals: Terminals, tmp_path: Path
) -> None:
    terminals.start()
    outcome, events = captured(tmp_path, terminals, fault="gone")
    assert outcome.statistics.rows["gaps"] == 1
    assert told(events, Kind.TRADE) == told(expected_of(terminals), Kind.TRADE)
    clears = events[events["kind"] == Kind.CLEAR]
    assert (clears["flags"] & Flag.GAP != 0).any()
    assert (np.diff(events["ts_recv_ns"]) >= 0).all()


def test_a_symbol_that_the_broker_does_not_have_is_an_error_at_once(terminals: Terminals, tmp_path: Path) -> None:
    terminals.start()
    with pytest.raises(VenueError, match="NOPE"):
        captured(tmp_path / "captures", terminals, contract="NOPE")
    assert not (tmp_path / "captures").exists()
