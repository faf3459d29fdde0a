"""ProjectX's REST interface over httpx: keeps its rate limits, and has a good token at hand.

The pure part, what may be asked and what answers mean, is :mod:`tapebook.venues.projectx.rest`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx

from tapebook.market.clock import Clock
from tapebook.market.errors import VenueError, VenueProtocolError, VenueThrottled, VenueUnreachable
from tapebook.venues.credentials import Credentials, Masking, Secret, masked
from tapebook.venues.projectx import rest
from tapebook.venues.projectx.settings import Settings
from tapebook.venues.projectx.token import Token, read_token
from tapebook.venues.signalr import negotiate_url, read_negotiated

__all__ = ["Rest", "bad_status", "unreachable"]

A = TypeVar("A", bound=rest.Answer)

_S: Final = 1_000_000_000
_THROTTLED_S: Final = (5.0, 15.0, 30.0)
"""How long nothing is asked after each HTTP 429 in a row; after the last of them it is the caller's."""

_REDIRECTS_MAX: Final = 5
logging.getLogger("httpx").addFilter(Masking())  # it logs addresses, and a hub may point to one with a token in it


class Rest:
    """Asks the REST interface: keeps its rate limits, and has a good token at hand.

    Parameters
    ----------
    settings, credentials
        Where, and who.
    clock, timer
        The wall clock that tokens live by, and a clock of ns that does not jump.
    sleep
        What waits.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        *,
        clock: Clock,
        timer: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limits = rest.Limits()
        self._credentials = credentials
        self._clock, self._timer, self._sleep = clock, timer, sleep
        self._http = httpx.AsyncClient(
            base_url=settings.rest, timeout=settings.request_s, trust_env=settings.use_proxy, follow_redirects=False
        )
        self._token: Token | None = None
        self._lock = asyncio.Lock()

    async def ask(self, endpoint: rest.Endpoint[A], **values: object) -> A:
        """Ask an endpoint and return its answer; a token that is refused is replaced once.

        Raises
        ------
        VenueError
            As :func:`tapebook.venues.projectx.rest.answer` says; VenueUnreachable where nothing answers.
        """
        token = await self.token()
        try:
            return await self._ask(endpoint, token, values)
        except rest.Denied as denied:
            if denied.code != -1:
                raise
        return await self._ask(endpoint, await self.token(refused=token), values)

    async def token(self, *, refused: Token | None = None) -> Token:
        """Return a token that is good as far as we know, renewed where it is old; ``refused`` is one that is not."""
        async with self._lock:
            token = self._token
            now = self._clock.now_ns()
            if token is None or token is refused or token.expired(now):
                self._token = await self._login()
            elif token.due(now):
                self._token = await self._renew(token)
            assert self._token is not None
            return self._token

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def negotiate(self, hub: str, token: Secret) -> tuple[str, Secret, str]:
        """Return the address, token and connection id that a hub offers; follows it to where it points."""
        for _ in range(_REDIRECTS_MAX):
            headers = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
            answer = read_negotiated(await self._post(negotiate_url(hub), b"", headers, "negotiate"))
            if not answer.url:
                return hub, token, answer.socket_id
            elsewhere = urlsplit(answer.url).netloc != urlsplit(hub).netloc
            # Our token is for the venue: another host gets the one that the venue gave for it, or none.
            token = Secret(answer.accessToken) if answer.accessToken or elsewhere else token
            hub = answer.url
        raise VenueProtocolError("the hub points elsewhere again and again", found=f"{_REDIRECTS_MAX} redirects")

    async def _login(self) -> Token:
        user, key = (secret.reveal() for secret in self._credentials)
        answer = await self._ask(rest.LOGIN_KEY, None, {"userName": user, "apiKey": key})
        return self._read(answer.token, "Auth/loginKey")

    async def _renew(self, token: Token) -> Token:
        try:
            answer = await self._ask(rest.VALIDATE, token, {})
            return self._read(answer.newToken, "Auth/validate")
        except rest.Denied:
            return await self._login()
        except VenueError:  # the old one is good for hours: the next call tries again
            return token

    def _read(self, text: str | None, where: str) -> Token:
        if not text:
            raise VenueProtocolError("an answer without its token", where=where)
        return read_token(text, self._clock.now_ns())

    async def _ask(self, endpoint: rest.Endpoint[A], token: Token | None, values: dict[str, object]) -> A:
        window = self.limits.of(endpoint)
        content = rest.body(endpoint, **values)
        headers = {"Content-Type": "application/json"}
        if token is not None and endpoint.with_token:
            headers["Authorization"] = f"Bearer {token.text.reveal()}"
        n = 0
        while True:
            while wait_ns := window.take(self._timer()):
                await self._sleep(wait_ns / _S)
            try:
                return await self._answer(endpoint, content, headers)
            except VenueThrottled:  # everything that is asked here can be asked again
                if n == len(_THROTTLED_S):
                    raise
                window.close(self._timer() + round(_THROTTLED_S[n] * _S))
                n += 1

    async def _answer(self, endpoint: rest.Endpoint[A], content: bytes, headers: dict[str, str]) -> A:
        try:
            answer = await self._http.post(endpoint.path, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise unreachable(error, endpoint.path) from None
        return rest.answer(endpoint, answer.status_code, answer.content)

    async def _post(self, url: str, content: bytes, headers: dict[str, str], where: str) -> bytes:
        try:
            answer = await self._http.post(url, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise unreachable(error, where) from None
        if answer.status_code != 200:
            raise bad_status(answer.status_code, where)
        return answer.content


def unreachable(error: Exception, where: str) -> VenueUnreachable:
    """Return the error for a request that nothing answered."""
    # Only the type and a masked text: errors of both libraries can quote the address.
    return VenueUnreachable("no answer", found=masked(f"{type(error).__name__} {error}".strip())[:300], where=where)


def bad_status(status: int, where: str) -> VenueError:
    """Return the error for a status that opens no connection."""
    found = f"HTTP {status}"
    if status in (401, 403):
        return rest.Denied("the token is not accepted", endpoint=where, code=-1, found=found)
    if status == 429:
        return VenueThrottled("too many connections", found=found, where=where)
    if status == 404 or status >= 500:
        return VenueUnreachable("the hub is not there", found=found, where=where)
    return VenueProtocolError("an unexpected status", expected="HTTP 101 or 200", found=found, where=where)
