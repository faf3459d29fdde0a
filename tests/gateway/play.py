"""Our own client at a gateway: what the tests of this folder share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import numpy as np

from tapebook.gateway.clock import MAX
from tapebook.gateway.faults import Fault
from tapebook.gateway.play import PlaySettings
from tapebook.gateway.server import Gateway
from tapebook.gateway.settings import GatewaySettings
from tapebook.gateway.source import Form, Source
from tapebook.market.clock import WallClock
from tapebook.market.events import MISSING, Events, Kind
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.venues.credentials import Credentials, Secret
from tapebook.venues.policies import at_least
from tapebook.venues.projectx import Parser
from tapebook.venues.projectx.contracts import Contract
from tapebook.venues.projectx.session import Session
from tapebook.venues.projectx.settings import Received, Settings, Told, What
from tapebook.venues.signalr_hub import HubTimes

ES = Instrument(
    symbol="ESH4", venue="CME", tick_e9=250_000_000, multiplier=Decimal(50), root="ES", kind="future", expiry="2024-03"
)
QUICK = HubTimes(handshake_s=5, answer_s=5, ping_s=2, silence_s=5)


def tape_of(events: Events, *instruments: Instrument) -> Tape:
    table = InstrumentTable(dict(enumerate(instruments or (ES,), start=1)))
    return Tape(origin=Origin(name="a tape", format="test"), read=lambda _n: iter([events]), instruments=table)


def parser_of(source: Source) -> Parser:
    rows = [one.row() for one in source.listings]
    contracts = [Contract(id=r["id"], tickSize=Decimal(str(r["tickSize"])), tickValue=Decimal(1)) for r in rows]
    return Parser(contracts, InstrumentTable(), levels_max=1 << 20)


def read_back(source: Source, events_max: int = 2048) -> tuple[Events, Parser]:
    """Return what our parser makes of a source's records."""
    parser = parser_of(source)
    blocks = [parser.advance(m.record, 5) for chunk in source.chunks(events_max=events_max) for m in chunk]
    return np.concatenate(blocks), parser


def alike(found: Events, expected: Events, kind: Kind, *fields: str) -> bool:
    """Whether the events of a kind are the same, in the same order."""
    found, expected = found[found["kind"] == kind], expected[expected["kind"] == kind]
    return found.size == expected.size and all((found[f] == expected[f]).all() for f in fields)


def settings(*faults: Fault, speed: float = MAX, **more: Any) -> GatewaySettings:
    how: dict[str, Any] = {"settle_s": 0.1} | more.pop("play", {})
    play = PlaySettings(speed=speed, **how)
    every: dict[str, Any] = {"play": play, "faults": faults, "users": {"me": "key"}, "admin_token": "admin"}
    return GatewaySettings(**every | more)


def play(
    source: Source, how: GatewaySettings, scene: Callable[[Gateway], Awaitable[None]], limit_s: float = 60
) -> None:
    async def main() -> None:
        async with Gateway(source, how, chance=random.Random(1).randbytes) as gateway:
            await scene(gateway)

    asyncio.run(asyncio.wait_for(main(), limit_s))


def session(gateway: Gateway, contracts: Iterable[str] | None = None, **more: Any) -> Session:
    url = gateway.url
    how = Settings(
        rest=url,
        market_hub=f"{url}/hubs/market",
        user_hub=f"{url}/hubs/user",
        times=QUICK,
        wait=at_least(0.02),
        use_proxy=False,
        negotiate=more.pop("negotiate", False),
    )
    ids = [one.id for one in gateway.source.listings] if contracts is None else list(contracts)
    who = Credentials(Secret("me"), Secret("key"))
    return Session(how, who, clock=WallClock(), chance=random.Random(1), contracts=ids, **more)


class Ears:
    """What a session heard: frames, what was told, and the events of both."""

    def __init__(self, gateway: Gateway, **more: Any) -> None:
        self.session = session(gateway, **more)
        self.parser = parser_of(gateway.source)
        self.frames: list[bytes] = []
        self.told: list[Told] = []
        self._events: list[Events] = []

    @property
    def events(self) -> Events:
        return np.concatenate(self._events)

    def count(self, what: What) -> int:
        return sum(told.what is what for told in self.told)

    async def listen(self, until: Callable[[Ears], object]) -> None:
        """Listen until something is so; each new connection and each stream that fell silent begins a book anew."""
        try:
            async with aclosing(self.session.frames()) as frames:  # type: ignore[type-var]  # an async generator is one
                async for item in frames:
                    if isinstance(item, Received):
                        if item.hub == "market":
                            self.frames.append(item.data)
                            self._events.append(self.parser.advance(item.data, item.ts_recv_ns))
                    else:
                        self.told.append(item)
                        if item.what is What.CONNECTED and item.hub == "market" and item.connection > 1:
                            self._events.append(self.parser.reset(item.ts_recv_ns))
                    if until(self):
                        return
        finally:
            await self.session.aclose()


async def until(happened: Callable[[], object], limit_s: float = 20) -> None:
    async with asyncio.timeout(limit_s):
        while not happened():  # noqa: ASYNC110 - any condition of a test: there is no event for it
            await asyncio.sleep(0.01)


def lost(ears: Ears) -> bool:
    return ears.count(What.LOST) > 0


def times_told(events: Events) -> Events:
    """Return events with the time that the wire tells of them: the venue's, or else ours."""
    out = events.copy()
    out["ts_event_ns"] = np.where(out["ts_event_ns"] == MISSING, out["ts_recv_ns"], out["ts_event_ns"])
    return out


FORM = Form()
