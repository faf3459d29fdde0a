"""Tokens of the gateway: JSON web tokens, signed with a key that lives as long as the process.

Time is an argument (ns since 1970), chance as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import msgspec

from tapebook.venues.signalr import UNREADABLE

__all__ = ["Standing", "Tokens"]

_S: Final = 1_000_000_000
_HEAD: Final = {"alg": "HS256", "typ": "JWT"}


class Standing(Enum):
    """What a token is worth."""

    GOOD = "good"
    EXPIRED = "expired"
    ENDED = "ended"  # by logout
    NONE = "no token of this gateway"


class Tokens:
    """Grants tokens and judges them.

    >>> import os
    >>> tokens = Tokens(3600, os.urandom)
    >>> token = tokens.grant("demo", 0)
    >>> tokens.judge(token, 10**9).name, tokens.judge(token, 3601 * 10**9).name, tokens.judge(token + "x", 0).name
    ('GOOD', 'EXPIRED', 'NONE')
    """

    def __init__(self, life_s: float, random: Callable[[int], bytes]) -> None:
        self.life_s = life_s
        self._random = random
        self._key = random(32)
        self._ended: set[str] = set()
        self._oldest_ns = -(1 << 62)  # what was granted before is expired

    def grant(self, user: str, now_ns: int) -> str:
        """Return a new token; the older ones stay good."""
        claims = {
            "sub": user,
            "jti": self._random(12).hex(),
            "iat": now_ns // _S,
            "exp": (now_ns + round(self.life_s * _S)) // _S,
            "iss": "tapebook gateway",
            "ns": now_ns,
        }
        body = f"{_packed(msgspec.json.encode(_HEAD))}.{_packed(msgspec.json.encode(claims))}"
        return f"{body}.{self._signature(body)}"

    def judge(self, token: str, now_ns: int) -> Standing:
        """Return what a token is worth now."""
        claims = self.claims(token)
        if not claims:
            return Standing.NONE
        if claims["jti"] in self._ended:
            return Standing.ENDED
        if claims["ns"] <= self._oldest_ns or now_ns >= claims["ns"] + round(self.life_s * _S):
            return Standing.EXPIRED
        return Standing.GOOD

    def claims(self, token: str) -> dict[str, Any]:
        """Return what a token of this gateway says; nothing for any other text."""
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(body).encode()):
            return {}
        try:
            text = body.partition(".")[2]
            claims = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except UNREADABLE:
            return {}
        return claims if isinstance(claims, dict) else {}

    def end(self, token: str) -> None:
        """Log out: the token is good for nothing any more."""
        claims = self.claims(token)
        if claims:
            self._ended.add(claims["jti"])

    def expire(self, now_ns: int) -> None:
        """Let everything granted up to now be expired."""
        self._oldest_ns = max(self._oldest_ns, now_ns)

    def _signature(self, body: str) -> str:
        return _packed(hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).digest())


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
