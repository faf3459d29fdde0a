"""A capture in the test's own process, with the follower as a real child, beside a server of the tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tapebook.capture.plan import CaptureSettings, Outcome
from tapebook.capture.receive import Limits
from tapebook.capture.session import Capture
from tapebook.capture.sources import SourceRequest
from tapebook.store.journal import JournalSettings
from tapebook.venues.credentials import Credentials, Secret
from tests.venues.projectx_server import KEY, USER, Gateway, Socket

MNQ = "CON.F.US.MNQ.U26"
_OPENING = 4  # the handshake and the answers to three subscriptions
QUIET = Limits(clock_s=0, disk_warn_mb=0, disk_stop_mb=0)


@dataclass
class Running:
    """A capture under way."""

    gateway: Gateway
    capture: Capture
    stop: asyncio.Event
    task: asyncio.Task[Outcome]

    async def socket(self, count: int = 1) -> Socket:
        return await self.gateway.socket(count=count)

    async def until(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    async def committed(self, frames: int) -> None:
        """Wait until so many frames of data came on the first connection, and the database has them all."""
        await self.received(frames)
        await self.until(lambda: self.lag == 0)

    async def received(self, frames: int) -> None:
        """Wait until so many frames of data came on the first connection."""
        await self.until(lambda: self.frames >= frames + _OPENING)

    @property
    def frames(self) -> int:
        receiver = self.capture._receiver
        return sum(s.frames for s in receiver.streams.values()) if receiver else 0

    @property
    def lag(self) -> int:
        capture = self.capture
        assert capture._receiver is not None
        assert capture._follower is not None
        return capture._receiver.journal.last_sequence - capture._follower.latest.watermark

    async def end(self) -> Outcome:
        self.stop.set()
        return await asyncio.wait_for(self.task, 60)


def request(gateway: Any, **more: Any) -> SourceRequest:
    addresses = {"rest": gateway.url, "market_hub": f"{gateway.url}/hubs/market", "use_proxy": False}
    return SourceRequest(**({"venue": "projectx", "contracts": (MNQ,), "addresses": addresses} | more))


@contextlib.asynccontextmanager
async def capturing(
    home: Path, *, user: str = USER, key: str = KEY, gateway: Any = None, **more: Any
) -> AsyncIterator[Running]:
    """Run a capture until the body ends."""
    async with contextlib.AsyncExitStack() as stack:
        if gateway is None:
            gateway = await stack.enter_async_context(Gateway())
        given: dict[str, Any] = {"name": "s", "limits": QUIET, "interval_s": 0.1, "batch_timeout_s": 0.02, "home": home}
        given |= {"requests": (request(gateway),), "journal": JournalSettings(segment_bytes=1 << 20)}
        settings = CaptureSettings(**(given | more))
        capture = Capture(settings, lambda _: Credentials(Secret(user), Secret(key)))
        stop = asyncio.Event()
        running = Running(gateway, capture, stop, asyncio.create_task(capture.run(stop)))
        try:
            yield running
        finally:
            stop.set()
            await asyncio.wait([running.task], timeout=60)
            if not running.task.done():
                running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)


def run(work: Awaitable[None]) -> None:
    """Run a test's coroutine."""

    async def main() -> None:
        await work

    asyncio.run(main())


def quote(bid: float, ask: float) -> dict[str, Any]:
    told = {"bestBid": bid, "bestAsk": ask, "timestamp": "2026-08-19T20:51:31.348+00:00"}
    return {"type": 1, "target": "GatewayQuote", "arguments": [MNQ, told]}


def trade(price: float, volume: int, side: int = 0) -> dict[str, Any]:
    told = {"price": price, "volume": volume, "type": side, "timestamp": "2026-08-19T20:51:31.348+00:00"}
    return {"type": 1, "target": "GatewayTrade", "arguments": [MNQ, [told]]}


def level(kind: int, price: float, volume: int) -> dict[str, Any]:
    told = {"type": kind, "price": price, "volume": volume, "timestamp": "2026-08-19T20:51:31.4173693+00:00"}
    return {"type": 1, "target": "GatewayDepth", "arguments": [MNQ, [told]]}
