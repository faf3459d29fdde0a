"""What a venue's session hands on: frames as they came, and what happened to its connections."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["Received", "Told", "What"]


class Received(NamedTuple):
    """A message as it came, before anything looked into it."""

    ts_recv_ns: int
    hub: str  # which of the session's lines: "market" or "user", or a venue's own name for it
    connection: int  # counts from 1; parsers begin anew with each
    data: bytes

    def __repr__(self) -> str:  # a frame may hold anything, also what is nobody's business
        return f"Received({self.hub} {self.connection}, {len(self.data)} bytes at {self.ts_recv_ns})"


class What(Enum):
    """What happened to a connection."""

    CONNECTED = "connected"  # nothing is subscribed yet, and what stood in the books is not known to stand
    JOINED = "joined"  # a connection opened beside the one that stands, to take its place: nothing was missed
    SUBSCRIBED = "subscribed"  # every subscription was answered
    REFUSED = "refused"  # a subscription was answered with an error
    SILENT = "silent"  # a stream fell silent and is subscribed again: its book begins anew
    MALFORMED = "malformed"  # a record that cannot be read; it is in the frame before
    LOST = "lost"  # the connection is gone; ``since_ns`` to the next CONNECTED is a gap
    RENEWED = "renewed"  # there is a new token
    FAILED = "failed"  # … or there is none
    WARNED = "warned"  # something that a person should look at


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
