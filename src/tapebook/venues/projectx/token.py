"""How long a token lives, and when to renew it.

A token is a JSON web token of 24 hours. It says itself until when (``exp``); one that does not is taken to live 24
hours from when it came. It is renewed at five sixths of its life (20 hours), so that a reconnect always finds a good
one; an open connection keeps the token it was opened with.
"""

from __future__ import annotations

import base64
from typing import Final, NamedTuple

import msgspec

from tapebook.venues.credentials import Secret
from tapebook.venues.signalr import UNREADABLE

__all__ = ["LIFE_S", "Token", "read_token"]

LIFE_S: Final = 24 * 3600
_S: Final = 1_000_000_000


class _Claims(msgspec.Struct):
    exp: float | None = None
    iat: float | None = None


class Token(NamedTuple):
    """A token and its life."""

    text: Secret
    since_ns: int
    until_ns: int

    def due(self, now_ns: int) -> bool:
        """Say whether it is time to renew it."""
        return now_ns >= self.since_ns + (self.until_ns - self.since_ns) * 5 // 6

    def expired(self, now_ns: int) -> bool:
        """Say whether it is of no use any more."""
        return now_ns >= self.until_ns


def read_token(text: str, now_ns: int) -> Token:
    """Return a token that came just now.

    A life that ended before it began, or is longer than a year, is a clock that is wrong (the venue's or ours), and the
    venue's usual life is taken.

    >>> token = read_token("no JSON web token", 0)
    >>> token.due(20 * 3600 * 10**9 - 1), token.due(20 * 3600 * 10**9), token
    (False, True, Token(text=***, since_ns=0, until_ns=86400000000000))
    """
    until = now_ns + LIFE_S * _S
    parts = text.split(".")
    if len(parts) == 3:
        try:
            body = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
            claims = msgspec.json.decode(body, type=_Claims)
            told = round(claims.exp * _S) if claims.exp is not None else until
        except UNREADABLE:
            told = until
        if now_ns < told < now_ns + 366 * 86400 * _S:
            until = told
    return Token(Secret(text), now_ns, until)
