"""How to reach Binance, and how patient we are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tapebook.venues.binance.subscribe import MARKETS, Channel, Market
from tapebook.venues.policies import NEVER, Stop, Wait, delays, jittered

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the venue is, and how patient we are.

    Attributes
    ----------
    market
        One of :data:`~tapebook.venues.binance.subscribe.MARKETS`.
    socket, rest
        Addresses instead of the market's own, such as a replay server's or those of ``data-stream.binance.vision``.
    wait, stop
        How long after a lost connection to try again, and when to give up: never.
    steady_s
        A connection that stood for so long was no failure: the waits begin anew after it.
    life_s, beside_s
        The venue ends a connection after 24 hours. Before that another is opened, and both are read for a while:
        nothing is missed, and what comes twice is passed over by its ids.
    silence_s
        A connection that answers no ping for so long is given up.
    again_s
        A snapshot that came too early is asked for again after this.
    refresh_s
        A snapshot of a live book is asked for so often.
    snapshots_per_minute
        Well below the venue's limit on spot: 24 deep snapshots a minute and address.
    queue_frames
        Frames that wait for whoever takes them; when it is full the sockets are not read. Nothing is dropped here.
    request_s
        Patience with REST.
    use_proxy
        Whether the environment's proxies are used.
    """

    market: Market = field(default_factory=lambda: MARKETS["binance"])
    socket: str = ""
    rest: str = ""
    wait: Wait = field(default_factory=lambda: jittered(delays(0, 1, 2, 5, 10, then=30)))
    stop: Stop = NEVER
    steady_s: float = 30.0
    life_s: float = 23.5 * 3600
    beside_s: float = 5.0
    silence_s: float = 20.0
    again_s: float = 2.0
    refresh_s: float = 1800.0
    snapshots_per_minute: int = 20
    queue_frames: int = 10_000
    request_s: float = 15.0
    use_proxy: bool = True

    @property
    def sockets(self) -> Mapping[Channel, str]:
        """Address of each channel's streams."""
        return dict.fromkeys(Channel, self.socket.rstrip("/")) if self.socket else self.market.sockets

    @property
    def rest_base(self) -> str:
        """Address of the REST interface."""
        return (self.rest or self.market.rest).rstrip("/")
