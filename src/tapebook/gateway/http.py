"""HTTP and WebSockets on one port, over h11 and the websockets library without their sockets.

Measured beside Starlette on uvicorn, which would carry the same: see ``docs/gateway.md``. What decided is that faults
need the transport itself (cut it, keep it half open, split a record over frames).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import h11
from websockets.datastructures import Headers
from websockets.http11 import Request as Upgrade

from tapebook.gateway.rest import Answer
from tapebook.gateway.sockets import HubSocket

__all__ = ["Asked", "HttpConnection"]

_BODY_BYTES_MAX: Final = 1 << 20
_REASONS: Final = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    404: b"Not Found",
    405: b"Method Not Allowed",
    409: b"Conflict",
    413: b"Payload Too Large",
    429: b"Too Many Requests",
    503: b"Service Unavailable",
}


class Asked(NamedTuple):
    """A request as it came."""

    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        """The token in the header, or else in the query."""
        kind, _, text = self.headers.get("authorization", "").partition(" ")
        return text.strip() if kind.lower() == "bearer" and text.strip() else self.query.get("access_token", "")


class HttpConnection(asyncio.Protocol):
    """A connection: requests, until one of them makes it a WebSocket.

    Parameters
    ----------
    answer
        Answers a request.
    upgrade
        Answers a request for a WebSocket: with the hub's name, or with a refusal.
    make
        Makes the WebSocket of a hub.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Answer],
        upgrade: Callable[[Asked], str | Answer],
        make: Callable[[str, Asked, Upgrade, asyncio.Transport], HubSocket],
        opened: set[HttpConnection],
    ) -> None:
        self._answer, self._upgrade, self._make = answer, upgrade, make
        self._opened = opened
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=32 * 1024)
        self._head: h11.Request | None = None
        self._body = bytearray()
        self.transport: asyncio.Transport
        self.socket: HubSocket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._opened.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection."""
        self._opened.discard(self)
        if self.socket is not None:
            self.socket.lost()

    def pause_writing(self) -> None:
        """Hand on that too much waits."""
        if self.socket is not None:
            self.socket.pause()

    def resume_writing(self) -> None:
        """Hand on that there is room."""
        if self.socket is not None:
            self.socket.resume()

    def data_received(self, data: bytes) -> None:
        """Take in bytes."""
        if self.socket is not None:
            self.socket.receive(data)
            return
        try:
            self._http.receive_data(data)
            self._events()
        except h11.RemoteProtocolError:
            self._refuse(400)

    def _events(self) -> None:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return
            if event is h11.PAUSED:
                if self._http.our_state is h11.DONE:
                    self._http.start_next_cycle()
                    continue
                return
            if isinstance(event, h11.Request):
                self._head, self._body = event, bytearray()
                if self._http.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                    self.transport.write(self._http.send(go_on) or b"")
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > _BODY_BYTES_MAX:
                    self._refuse(413)
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._whole()
                if self.socket is not None or self.transport.is_closing():
                    return
            else:  # the client closed its end
                self.transport.close()
                return

    def _whole(self) -> None:
        head = self._head
        assert head is not None
        target = head.target.decode("latin-1")
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        asked = Asked(head.method.decode(), parts.path, query, headers, bytes(self._body))
        if headers.get("upgrade", "").lower() != "websocket":
            self._send(self._answer(asked))
            return
        found = self._upgrade(asked)
        if isinstance(found, Answer):
            self._send(found)
            return
        request = Upgrade(target, Headers([(k.decode("latin-1"), v.decode("latin-1")) for k, v in head.headers]))
        rest = self._http.trailing_data[0]
        self.socket = self._make(found, asked, request, self.transport)
        if rest:
            self.socket.receive(rest)

    def _send(self, answer: Answer) -> None:
        headers = [("Content-Length", str(len(answer.body))), ("Server", "tapebook gateway")]
        if answer.body:
            headers.append(("Content-Type", answer.kind))
        response = h11.Response(status_code=answer.status, headers=headers, reason=_REASONS.get(answer.status, b""))
        data = self._http.send(response) or b""
        data += self._http.send(h11.Data(data=answer.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        self.transport.write(data)
        if self._http.our_state is h11.MUST_CLOSE:
            self.transport.close()

    def _refuse(self, status: int) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(Answer(status))
        self.transport.close()
