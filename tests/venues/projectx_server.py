"""A small server that speaks ProjectX's REST and SignalR, with switches for what goes wrong on real days.

It shares no code with the client: JSON is the standard library's, the WebSocket is the sans-I/O half of `websockets`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.frames import Opcode
from websockets.server import ServerProtocol

RS = "\x1e"
QUIET = logging.getLogger("tests.venues.server")  # the server's own log holds what it was sent, tokens included
QUIET.setLevel(logging.CRITICAL)
USER, KEY = "somebody", "a-very-secret-key"


def token_text(n: int, life_s: float) -> str:
    part = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + life_s, "n": n}).encode()).decode().rstrip("=")  # noqa: TID251
    return f"eyJhbGciOiJub25lIn0.{part}.c2lnbmF0dXJl{n}"


class Socket:
    """One client's connection to a hub."""

    def __init__(self, gateway: Gateway, writer: asyncio.StreamWriter, hub: str) -> None:
        self.gateway, self.writer, self.hub = gateway, writer, hub
        self.protocol = ServerProtocol(logger=QUIET)
        self.calls: list[tuple[str, list[Any]]] = []
        self.pings = 0
        self.open = False
        self._text = ""

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self.writer.write(data)

    def send(self, *records: object) -> None:
        self.send_text("".join(json.dumps(record) + RS for record in records))

    def send_text(self, text: str, *, binary: bool = False) -> None:
        if binary:
            self.protocol.send_binary(text.encode())
        else:
            self.protocol.send_text(text.encode())
        self.flush()

    def abort(self) -> None:
        self.writer.transport.abort()

    def take(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if getattr(event, "opcode", None) in (Opcode.TEXT, Opcode.BINARY):
                self._text += bytes(event.data).decode()  # type: ignore[union-attr]  # a frame, as the test above says
        self.flush()
        *records, self._text = self._text.split(RS)
        for record in records:
            self.record(json.loads(record))

    def record(self, record: dict[str, Any]) -> None:
        gateway = self.gateway
        if gateway.mute:
            return
        if not self.open:
            assert record == {"protocol": "json", "version": 1}
            if gateway.handshake_error:
                self.send({"error": gateway.handshake_error})
                return
            self.open = True
            self.send({})
            gateway.opened.set()
        elif record["type"] == 6:
            self.pings += 1
            self.send({"type": 6})
        elif record["type"] == 1:
            self.calls.append((record["target"], record["arguments"]))
            if gateway.answer:
                answer: dict[str, Any] = {"type": 3, "invocationId": record["invocationId"]}
                error = gateway.errors.get(record["target"])
                self.send(answer | ({"error": error} if error else {"result": None}))


class Gateway:
    def __init__(self) -> None:
        self.sockets: list[Socket] = []
        self.requests: list[tuple[str, Any]] = []
        self.bearers: list[tuple[str, str]] = []  # paths, and the tokens that came with them
        self.tokens: set[str] = set()
        self.logins = 0
        self.life_s = 86400.0
        self.statuses: list[int] = []  # of the next REST answers, before anything is looked at
        self.hub_statuses: list[int] = []  # of the next sockets
        self.errors: dict[str, str] = {}  # of hub methods
        self.handshake_error = ""
        self.mute = False
        self.answer = True
        self.negotiated: set[str] = set()
        self.must_negotiate = False
        self.away: list[tuple[str, str]] = []  # of the next negotiations: another address, and a token for it
        self.opened = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def socket(self, n: int = -1, count: int = 1) -> Socket:
        """Return a connection on which the client has subscribed, waiting until there are ``count``."""
        async with asyncio.timeout(20):
            # Two conditions of a test: there is no event for both.
            while len(self.sockets) < count or not self.sockets[n].calls:  # noqa: ASYNC110 - as said above
                await asyncio.sleep(0.005)
        return self.sockets[n]

    def grant(self) -> str:
        token = token_text(len(self.tokens), self.life_s)
        self.tokens.add(token)
        return token

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
                token = headers.get("authorization", "").removeprefix("Bearer ")
                if headers.get("upgrade", "").lower() == "websocket":
                    await self._hub(head, target, token, reader, writer)
                    return
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.bearers.append((urlsplit(target).path, token))
                status, answer = self._rest(method, urlsplit(target).path, body, token)
                text = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _hub(
        self, head: bytes, target: str, token: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        query = parse_qs(urlsplit(target).query)
        status = self.hub_statuses.pop(0) if self.hub_statuses else 101
        if query.get("access_token", [""])[0] not in self.tokens or token not in self.tokens:
            status = 401
        if self.must_negotiate and query.get("id", [""])[0] not in self.negotiated:
            status = 404
        if status != 101:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
            return
        socket = Socket(self, writer, urlsplit(target).path)
        socket.protocol.receive_data(head)
        request: Any = next(iter(socket.protocol.events_received()))
        socket.protocol.send_response(socket.protocol.accept(request))
        socket.flush()
        self.sockets.append(socket)
        while data := await reader.read(65536):
            socket.take(data)

    def _rest(self, method: str, path: str, body: bytes, token: str) -> tuple[int, dict[str, Any]]:
        assert method == "POST"
        asked = json.loads(body) if body else {}
        self.requests.append((path, asked))
        if self.statuses:
            status = self.statuses.pop(0)
            if status != 200:
                return status, {}
        good = {"success": True, "errorCode": 0, "errorMessage": None}
        if path == "/api/Auth/loginKey":
            self.logins += 1
            if asked != {"userName": USER, "apiKey": KEY}:
                return 200, {"token": None, "success": False, "errorCode": 3, "errorMessage": None}
            return 200, {"token": self.grant(), **good}
        if token not in self.tokens:
            return 401, {}
        if path.endswith("/negotiate") and self.away:
            url, given = self.away.pop(0)
            return 200, {"url": url, "accessToken": given}
        if path.endswith("/negotiate"):
            name = f"c{len(self.negotiated)}+/="
            self.negotiated.add(name)
            offers = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
            return 200, {
                "negotiateVersion": 1,
                "connectionId": "x",
                "connectionToken": name,
                "availableTransports": offers,
            }
        if path == "/api/Auth/validate":
            return 200, {"newToken": self.grant(), **good}
        if path == "/api/Contract/search":
            contract = {"id": "CON.F.US.MNQ.U26", "name": "MNQU6", "tickSize": 0.25, "tickValue": 0.5, "extra": 1}
            return 200, {"contracts": [contract], **good}
        if path == "/api/History/retrieveBars":
            if asked["contractId"] == "no":
                return 200, {"bars": None, "success": False, "errorCode": 1, "errorMessage": None}
            bar = {"o": 29547, "h": 29547.5, "l": 29546.25, "c": 29547.25, "v": 7}
            bars = [{"t": f"2026-08-19T20:5{m}:00+00:00", **bar} for m in (2, 1, 0)]
            return 200, {"bars": bars, **good}
        return 200, {"success": False, "errorCode": 42, "errorMessage": f"Bearer {token} is not ours"}
