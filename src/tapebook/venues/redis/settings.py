"""How to reach a fan-out, what of it is wanted, and a Redis URL as it may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from tapebook.market.errors import ConfigurationError
from tapebook.venues.credentials import Secret
from tapebook.venues.policies import NEVER, Stop, Wait, delays, jittered
from tapebook.venues.redis.wire import PREFIX

__all__ = ["PASSWORD_VARIABLE", "URL_VARIABLE", "Settings", "redis_url", "shown_url"]

URL_VARIABLE: Final = "TAPEBOOK_REDIS_URL"
PASSWORD_VARIABLE: Final = "TAPEBOOK_REDIS_PASSWORD"  # noqa: S105 - a variable's name
_PASSWORDS: Final = (re.compile(r"(://[^/?#:@]*:)[^/?#]*(?=@)"), re.compile(r"(?i)([?&]password=)[^&#]*"))
_SCHEMES: Final = ("redis", "rediss", "unix")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where a fan-out is, and how patient a reader of it is.

    Attributes
    ----------
    url
        Of the server; may hold a password, so it never shows itself.
    session
        The captured session's name.
    contracts
        Ids; none: all of the session.
    prefix
        Of the keys, where the fan-out was told another.
    reader
        A name under which the reader's place is kept in Redis, so that it goes on where it stood; empty: it is not.
    start
        ``begin`` (what the streams still hold) or ``now`` (from the last book on); a reader whose place is kept goes on
        from there.
    count
        Blocks a read, of each contract.
    block_s
        How long a read waits for something to come.
    request_s
        Patience with the server.
    wait, stop
        How long after a lost connection to try again, and when to give up: never.
    """

    url: Secret
    session: str
    contracts: tuple[str, ...] = ()
    prefix: str = PREFIX
    reader: str = ""
    start: str = "begin"
    count: int = 256
    block_s: float = 1.0
    request_s: float = 10.0
    wait: Wait = field(default_factory=lambda: jittered(delays(0, 0.5, 1, 2, then=5)))
    stop: Stop = NEVER

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.start not in ("begin", "now"):
            raise ConfigurationError("where to begin", expected="begin or now", found=repr(self.start))
        if self.count < 1 or not self.block_s > 0 or not self.request_s > 0:
            raise ConfigurationError("a reader's count, block_s or request_s", expected="above 0")


def redis_url(text: str, environment: Mapping[str, str], *, argument: bool = False) -> Secret:
    """Return a server's URL with its password, if it has one, from where others cannot see it.

    Parameters
    ----------
    text
        As the user gave it; empty: that of ``TAPEBOOK_REDIS_URL``.
    environment
        Usually ``os.environ``; ``TAPEBOOK_REDIS_PASSWORD`` is put into a URL without password.
    argument
        It stood on a command line: a password in it is refused.

    >>> redis_url("redis://127.0.0.1:6379/0", {"TAPEBOOK_REDIS_PASSWORD": "x y"}).reveal()
    'redis://:x%20y@127.0.0.1:6379/0'
    """
    from urllib.parse import quote

    url = text or environment.get(URL_VARIABLE, "")
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(
            "not a Redis server", expected="redis://HOST:PORT/0, rediss://… or unix:///SOCKET", found=shown_url(url)
        )
    if shown_url(url) != url:
        if argument and text:
            raise ConfigurationError(
                "a password on the command line can be seen by others",
                found=shown_url(url),
                remedy=f"leave it out and set {PASSWORD_VARIABLE}, or {URL_VARIABLE}; and change it",
            )
        return Secret(url)
    password = environment.get(PASSWORD_VARIABLE, "")
    if not password:
        return Secret(url)
    user, _, host = parts.netloc.rpartition("@")
    return Secret(urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}")))


def shown_url(url: str) -> str:
    """Return a URL as it may be shown.

    >>> shown_url("redis://me:secret@host:6379/0"), shown_url("redis://:secret@host?password=secret")
    ('redis://me:***@host:6379/0', 'redis://:***@host?password=***')
    """
    for pattern in _PASSWORDS:
        url = pattern.sub(r"\1***", url)
    return url
