"""How to reach a ProjectX gateway, and what a session says besides frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from tapebook.venues.policies import NEVER, Stop, Wait, delays, jittered
from tapebook.venues.signalr_hub import HubTimes

__all__ = ["CREDENTIALS_PREFIX", "Received", "Settings", "Told", "What"]

CREDENTIALS_PREFIX: Final = "TAPEBOOK_PROJECTX"
"""Of the variables that hold user name and key (:func:`~tapebook.venues.credentials.find_credentials`)."""


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


class Received(NamedTuple):
    """A message of a hub's socket as it came, before anything looked into it."""

    ts_recv_ns: int
    hub: str  # "market" or "user"
    connection: int  # counts from 1; parsers begin anew with each
    data: bytes


class What(Enum):
    """What happened to a connection."""

    CONNECTED = "connected"  # nothing is subscribed yet, and what stood in the books is not known to stand
    SUBSCRIBED = "subscribed"  # every subscription was answered
    REFUSED = "refused"  # a subscription was answered with an error
    SILENT = "silent"  # a stream fell silent and is subscribed again: its book begins anew
    MALFORMED = "malformed"  # a record that cannot be read; it is in the frame before
    LOST = "lost"  # the connection is gone; ``since_ns`` to the next CONNECTED is a gap
    RENEWED = "renewed"  # there is a new token
    FAILED = "failed"  # … or there is none


class Told(NamedTuple):
    """Something that a journal notes beside the frames."""

    ts_recv_ns: int
    hub: str
    connection: int
    what: What
    text: str = ""
    since_ns: int = 0  # LOST: when the last frame came; 0: none did
    contract: str = ""  # SILENT
    channel: str = ""  # SILENT: the event's name
