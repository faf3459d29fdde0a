"""Where a gateway stands and how it behaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tapebook.gateway.faults import Fault
from tapebook.gateway.hubs import ServerTimes
from tapebook.gateway.play import PlaySettings
from tapebook.market.errors import ConfigurationError

__all__ = ["GatewaySettings"]

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Where the gateway stands and how it behaves.

    Attributes
    ----------
    host, port
        Where it listens; port 0: any free one.
    users
        API keys by user name; nothing makes a key for the user ``demo``.
    admin_token
        What admin calls carry as a bearer token; nothing makes one.
    token_life_s
        How long a token is good.
    limited
        Whether the venue's rate limits hold.
    frame_records
        Records that go in one message of the socket, at most, where they are due together.
    snapshot
        Whether a subscription begins with the book and the quote as they stand.
    faults, seed
        Faults that are on from the beginning, and what draws them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    users: Mapping[str, str] = field(default_factory=dict)
    admin_token: str = ""
    token_life_s: float = 24 * 3600.0
    limited: bool = True
    frame_records: int = 16
    snapshot: bool = True
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    times: ServerTimes = field(default_factory=ServerTimes)
    play: PlaySettings = field(default_factory=PlaySettings)

    def __post_init__(self) -> None:
        if self.host not in _LOOPBACK and not (self.users and self.admin_token):
            raise ConfigurationError(
                "a gateway that others can reach needs keys of its own",
                expected="TAPEBOOK_PROJECTX_USER, TAPEBOOK_PROJECTX_API_KEY and TAPEBOOK_GATEWAY_TOKEN set",
                found=f"host {self.host}",
                remedy="leave --host away to serve this machine alone",
            )
        if self.frame_records < 1:
            raise ConfigurationError("frame_records", expected="at least 1", found=str(self.frame_records))
