"""How to reach a ProjectX gateway, and what a session says besides frames."""

from __future__ import annotations

from dataclasses import dataclass, field

from tapebook.venues.frames import Received, Told, What
from tapebook.venues.policies import NEVER, Stop, Wait, delays, jittered
from tapebook.venues.signalr_hub import HubTimes

__all__ = ["Received", "Settings", "Told", "What"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the venue is, and how patient we are; the defaults are TopstepX's.

    Attributes
    ----------
    rest, market_hub, user_hub
        Addresses. Other firms have ``https://api.<firm>.projectx.com`` and ``https://rtc.<firm>.projectx.com``.
    negotiate
        Ask the hub for a connection id first. The venue works without.
    times
        Pings and patience on a hub.
    wait, stop
        How long after a lost connection to try again, and when to give up: never.
    steady_s
        A connection that stood for so long was no failure: the waits begin anew after it.
    queue_frames
        Frames that wait for whoever takes them; when it is full the socket is not read, and the venue's own buffers
        fill. Nothing is dropped here.
    request_s
        Patience with REST.
    renew_check_s
        How often the token's age is looked at.
    use_proxy
        Whether the environment's proxies are used.
    """

    rest: str = "https://api.topstepx.com"
    market_hub: str = "https://rtc.topstepx.com/hubs/market"
    user_hub: str = "https://rtc.topstepx.com/hubs/user"
    negotiate: bool = False
    times: HubTimes = field(default_factory=HubTimes)
    wait: Wait = field(default_factory=lambda: jittered(delays(0, 2, 5, 10, then=30)))
    stop: Stop = NEVER
    steady_s: float = 30.0
    queue_frames: int = 10_000
    request_s: float = 15.0
    renew_check_s: float = 60.0
    use_proxy: bool = True
