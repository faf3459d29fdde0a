"""The two programs of ``endurance.py``: a gateway that notes what it hands to sockets, and an impatient capture.

``python -m tests.capture.endurance_children gateway`` (or ``capture``); settings are a JSON object on standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib
from array import array
from pathlib import Path
from typing import Any, Final

import msgspec

from tapebook.gateway.faults import Fault

__all__ = ["KEY", "LEVELS", "USER"]

USER: Final = "me"
KEY: Final = "a-key-of-the-tests"
LEVELS: Final = 10
"""Of a book that are compared."""


def gateway_main(asked: dict[str, Any]) -> None:
    """Play a simulated market with faults; ``end`` on standard input: tell what happened."""
    from tapebook.gateway import server
    from tapebook.gateway.hubs import ServerTimes
    from tapebook.gateway.play import End, PlaySettings
    from tapebook.gateway.settings import GatewaySettings
    from tapebook.gateway.sockets import HubSocket
    from tapebook.gateway.source import Form, Source
    from tapebook.simulator import simulate

    handed: list[Handed] = []

    class Handed(HubSocket):
        """A socket that notes the frames it hands to its transport."""

        def __init__(self, name: str, *args: Any, **more: Any) -> None:
            self.frames, self.market = array("L"), name == "market"
            super().__init__(name, *args, **more)
            handed.append(self)

        def _put(self, data: bytes) -> None:
            if data and not (self.frozen or self.closed):
                at = 0
                while at < len(data):
                    n, at = data[at + 1], at + 2
                    if n >= 126:
                        size = 2 if n == 126 else 8
                        n, at = int.from_bytes(data[at : at + size]), at + size
                    self.frames.append(zlib.crc32(data[at : at + n]))
                    at += n
            super()._put(data)

    setattr(server, "HubSocket", Handed)  # noqa: B010 - the class that the gateway makes its sockets of

    async def serve() -> None:
        source = Source(simulate("es", seed=asked["seed"], duration_s=asked["source_s"]), Form())
        play = PlaySettings(speed=asked["speed"], end=End.SILENT, settle_s=0.2)
        settings = GatewaySettings(
            users={USER: KEY},
            admin_token=KEY,
            limited=False,
            seed=asked["seed"],
            faults=tuple(msgspec.convert(asked["faults"], list[Fault])),
            times=ServerTimes(ping_s=0.5),
            frame_records=asked["frame_records"],
            play=play,
        )
        async with server.Gateway(source, settings) as gateway:
            contracts = [one.id for one in source.listings]
            print(json.dumps({"url": gateway.url, "contracts": contracts}), flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            books = [
                [sorted(market.bids.items(), reverse=True)[:LEVELS], sorted(market.asks.items())[:LEVELS]]
                for market in gateway.play.markets
            ]
            told: dict[str, Any] = {"books": books, "statistics": gateway.statistics()}
            told["handed"] = [(one.why, one.frames.tolist()) for one in handed if one.market]
            print(json.dumps(told), flush=True)

    asyncio.run(serve())


def capture_main(asked: dict[str, Any]) -> None:
    """Capture, with less patience than a real venue gets."""
    from tapebook.capture.plan import CaptureSettings
    from tapebook.capture.receive import Limits
    from tapebook.capture.session import run_capture
    from tapebook.capture.sources import SourceRequest
    from tapebook.store.journal import JournalSettings
    from tapebook.venues.credentials import Credentials, Secret
    from tapebook.venues.policies import at_least
    from tapebook.venues.signalr_hub import HubTimes

    url = asked["url"]
    addresses: dict[str, Any] = {"rest": url, "market_hub": f"{url}/hubs/market", "use_proxy": False}
    addresses |= {"times": HubTimes(5, 5, 1, 2), "wait": at_least(0.05), "request_s": 5.0}
    settings = CaptureSettings(
        requests=(SourceRequest(venue="projectx", contracts=tuple(asked["contracts"]), addresses=addresses),),
        name="s",
        home=Path(asked["home"]),
        database=asked["database"],
        batch_timeout_s=0.05,
        interval_s=0.5,
        limits=Limits(clock_s=5, disk_warn_mb=0, disk_stop_mb=0),
        journal=JournalSettings(segment_bytes=asked.get("segment_bytes", 4 << 20)),
    )
    outcome = run_capture(settings, lambda _: Credentials(Secret(USER), Secret(KEY)))
    now = outcome.statistics
    print(json.dumps({"state": outcome.state, "frames": now.frames, "rows": now.rows}), flush=True)


if __name__ == "__main__":
    _asked = json.loads(sys.stdin.readline())
    (gateway_main if sys.argv[1] == "gateway" else capture_main)(_asked)
