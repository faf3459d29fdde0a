"""A server that plays a raw recording of Binance as the venue would: streams over WebSocket, snapshots over REST.

Messages go out as they were recorded, byte for byte, to whoever subscribed their streams (``/stream?streams=…``,
``/ws/<stream>``, and SUBSCRIBE on a connection), behind any prefix that a market has (``/public``, ``/market``).
Whoever asks for depth at another speed than the recorder did gets the recorded one.

The recording's own snapshot is the answer of the first request for one: the stream stands still at its place until that
request came, so that a client meets the same messages in the same order as the recorder did. Later requests get the
book of that moment, kept from snapshot and diffs, as the venue would.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tapebook.gateway.binance_faults import BinanceFaults
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress
from tapebook.readers.binance_recording import whole_lines
from tapebook.readers.files import open_stream
from tapebook.venues.binance import wire

__all__ = ["BinanceReplay", "Line", "read_lines"]

_STREAM: Final = re.compile(rb'\{\s*"stream"\s*:\s*"([^"]+)"')
_DEPTH_PATHS: Final = ("/api/v3/depth", "/fapi/v1/depth", "/dapi/v1/depth")
_INFO_PATHS: Final = ("/api/v3/exchangeInfo", "/fapi/v1/exchangeInfo", "/dapi/v1/exchangeInfo")
_DEPTH: Final = re.compile(r"([^@]+@depth)(?:@\d+ms)?")
_UNKNOWN: Final = b'{"code":-1121,"msg":"Invalid symbol."}'
_TIME_PATHS: Final = ("/api/v3/time", "/fapi/v1/time", "/dapi/v1/time")
_S: Final = 1_000_000_000
_PIECE: Final = 256  # messages between two looks at the other tasks, at full speed
_PATIENCE_S: Final = 10.0


class Line(NamedTuple):
    """A line of a recording: when it was received, by which stream (empty: a snapshot), and the message."""

    ts_recv_ns: int
    stream: str
    body: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Read the lines of a recording; what is no message is passed over.

    Raises
    ------
    ConfigurationError
        If there is none.
    """
    found = False
    with open_stream(path, Progress(), Quarantine()) as stream:
        for lines, _ in whole_lines(stream, Quarantine(), path.name):
            for line in lines:
                stamp, _, body = line.partition(b" ")
                if not stamp.isdigit() or not body.startswith(b"{"):
                    continue
                named = _STREAM.match(body)
                if named is None and b'"lastUpdateId"' not in body[:40]:
                    continue
                found = True
                ns = int(stamp) * 10 ** (19 - len(stamp))
                yield Line(ns, named[1].decode() if named else "", body)
    if not found:
        raise ConfigurationError(
            "no raw recording of Binance's combined streams",
            expected='lines such as 1723161253937085768 {"stream":"btcusdt@depth@100ms","data":{…}}',
            where=str(path),
        )


@dataclass
class _Book:
    """A symbol's book in the venue's own words, price to quantity as text."""

    bids: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    last_id: int = -1
    times: dict[str, int] = field(default_factory=dict)
    before: deque[wire.Depth] = field(default_factory=lambda: deque(maxlen=10_000))  # the first snapshot

    def begin(self, body: bytes) -> None:
        snapshot = wire.snapshot(body)
        self.bids, self.asks, self.last_id = dict(snapshot.bids), dict(snapshot.asks), snapshot.lastUpdateId
        self.times = {"E": snapshot.E, "T": snapshot.T} if snapshot.E else {}
        while self.before:
            self.change(self.before.popleft())

    def change(self, diff: wire.Depth) -> None:
        if self.last_id < 0:
            self.before.append(diff)
            return
        if diff.u <= self.last_id:
            return
        for side, levels in ((self.bids, diff.b), (self.asks, diff.a)):
            for price, quantity in levels:
                if quantity.strip("0.") == "":
                    side.pop(price, None)
                else:
                    side[price] = quantity
        self.last_id = diff.u
        if self.times:
            self.times = {"E": diff.E, "T": diff.T}

    def answer(self, limit: int) -> bytes:
        bids = sorted(self.bids.items(), key=lambda level: -float(level[0]))[:limit]
        asks = sorted(self.asks.items(), key=lambda level: float(level[0]))[:limit]
        return msgspec.json.encode({"lastUpdateId": self.last_id, **self.times, "bids": bids, "asks": asks})


class BinanceReplay:
    """Plays a recording to all clients that subscribe.

    Parameters
    ----------
    lines
        The recording: called anew for each pass.
    speed
        1 as fast as it was recorded, 10 ten times so, 0 as fast as the slowest client takes it.
    hold_snapshots
        Stand still at a recorded snapshot until a client asked for it.
    clients
        Connections that must have subscribed before it begins.
    instruments
        What ``exchangeInfo`` tells; it is not there without them.
    faults
        What is to go wrong.

    Attributes
    ----------
    counts
        What was sent and asked, by name.
    skip
        Says of a message whether to leave it out: a gap, for tests of those who must notice it.
    """

    def __init__(
        self,
        lines: Callable[[], Iterator[Line]],
        *,
        speed: float = 1.0,
        hold_snapshots: bool = True,
        clients: int = 1,
        instruments: Sequence[Instrument] = (),
        faults: BinanceFaults | None = None,
    ) -> None:
        if speed < 0:
            raise ConfigurationError("no such speed", expected="0 (as fast as possible) or more", found=str(speed))
        self._lines, self._speed, self._hold = lines, speed, hold_snapshots
        self.counts: Counter[str] = Counter()
        self.faults = faults or BinanceFaults()
        self._wanted, self._instruments = clients, {one.symbol: one for one in instruments}
        self.skip: Callable[[Line], bool] = lambda _: False
        self.busy = 0  # so many connections to streams are refused, for tests of those who must come again
        self.position_ns = 0
        self.ended = asyncio.Event()
        self._clients: dict[ServerConnection, set[str]] = {}
        self._books: dict[str, _Book] = {}
        self._recorded: bytes | None = None  # the snapshot at which the stream stands still
        self._asked = asyncio.Event()
        self._known = asyncio.Event()  # there is a book
        self._subscribed = asyncio.Event()
        self._symbol = ""
        self._server: Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; return the port. The recording starts with the first subscription."""
        self._server = await serve(
            self._client, host, port, process_request=self._request, compression=None, ping_interval=None
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        """Close all connections."""
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()

    def drop(self) -> None:
        """Break all connections without a word."""
        for client in tuple(self._clients):
            client.transport.abort()

    async def announce_shutdown(self) -> None:
        """Tell all clients that the venue is going to end their connections, as it does before a restart."""
        for client in tuple(self._clients):
            with contextlib.suppress(ConnectionClosed):
                await client.send(f'{{"e":"serverShutdown","E":{self.position_ns // 10**6}}}')

    async def close(self) -> None:
        """End all connections in good order; whoever comes back hears nothing more."""
        await asyncio.gather(*(client.close(1001, "the recording has ended") for client in tuple(self._clients)))

    @property
    def n_clients(self) -> int:
        """Connections with a subscription."""
        return sum(bool(streams) for streams in self._clients.values())

    async def play(self) -> None:
        """Send the recording, from its first line to its last."""
        await self._subscribed.wait()
        loop = asyncio.get_running_loop()
        begun, first_ns, n = loop.time(), None, 0
        for line in self._lines():
            for fault in self.faults.due(line.ts_recv_ns):
                if fault == "drop":
                    self.drop()
                else:
                    await self.announce_shutdown()
            if first_ns is None:
                first_ns = line.ts_recv_ns
            if self._speed:
                due = begun + (line.ts_recv_ns - first_ns) / _S / self._speed
                if (wait_s := due - loop.time()) > 0:
                    await asyncio.sleep(wait_s)
            elif n % _PIECE == 0:
                await asyncio.sleep(0)
            n += 1
            self.position_ns = line.ts_recv_ns
            if not line.stream:
                await self._snapshot(line.body)
                continue
            self._follow(line)
            if self.skip(line) or self.faults.loses():
                self.counts["messages left out"] += 1
                continue
            await self._send(line)
        self.ended.set()

    async def _send(self, line: Line) -> None:
        key = _key(line.stream)
        for client, streams in tuple(self._clients.items()):
            if key in streams:
                try:
                    await client.send(line.body, text=True)
                    self.counts["messages sent"] += 1
                except ConnectionClosed:
                    self._clients.pop(client, None)

    async def _snapshot(self, body: bytes) -> None:
        if self._symbol:
            self._books.setdefault(self._symbol, _Book()).begin(body)
        if self._hold:
            self._recorded, self._asked = body, asyncio.Event()
            self._known.set()
            try:
                await asyncio.wait_for(self._asked.wait(), _PATIENCE_S)
                await asyncio.sleep(0.2)  # the answer goes another way than the stream: let it arrive first
            except TimeoutError:
                self.counts["snapshots that nobody asked for"] += 1
            self._recorded = None
        self._known.set()

    def _follow(self, line: Line) -> None:
        symbol, _, what = line.stream.partition("@")
        if not what.startswith("depth"):
            return
        self._symbol = symbol.upper()
        self._books.setdefault(self._symbol, _Book()).change(wire.depth(wire.envelope(line.body).data))

    async def _client(self, client: ServerConnection) -> None:
        address = urlsplit(client.request.path if client.request else "")
        streams = set(parse_qs(address.query).get("streams", [""])[0].split("/")) - {""}
        if "/ws/" in address.path:
            streams.add(address.path.rpartition("/")[2])
        self._clients[client] = keys = {_key(stream) for stream in streams}
        self.counts["connections"] += 1
        self._begin_if_all_are_there()
        try:
            async for text in client:
                await self._control(client, streams, text)
                keys.clear()
                keys.update(map(_key, streams))
                self._begin_if_all_are_there()
        except ConnectionClosed:
            pass
        finally:
            self._clients.pop(client, None)

    def _begin_if_all_are_there(self) -> None:
        if self.n_clients >= self._wanted:
            self._subscribed.set()

    async def _control(self, client: ServerConnection, streams: set[str], text: str | bytes) -> None:
        try:
            call = msgspec.json.decode(text)
            method, params, number = call["method"], call.get("params", []), call.get("id")
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError):
            await client.send('{"error":{"code":2,"msg":"Invalid request: unknown format"}}')
            return
        result = None
        if method == "SUBSCRIBE":
            streams.update(params)
        elif method == "UNSUBSCRIBE":
            streams.difference_update(params)
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(streams)
        await client.send(msgspec.json.encode({"result": result, "id": number}), text=True)

    async def _request(self, client: ServerConnection, request: Request) -> Response | None:
        address = urlsplit(request.path)
        if address.path in _TIME_PATHS:
            return _answer(msgspec.json.encode({"serverTime": self.position_ns // 10**6}))
        if address.path in _INFO_PATHS and self._instruments:
            return self._info(parse_qs(address.query).get("symbol", [""])[0])
        if address.path in _DEPTH_PATHS:
            return await self._depth(parse_qs(address.query))
        if not address.path.rstrip("/").endswith("/stream") and "/ws" not in address.path:
            return client.respond(HTTPStatus.NOT_FOUND, "no such path\n")
        if self.busy:
            self.busy -= 1
            return client.respond(HTTPStatus.SERVICE_UNAVAILABLE, "busy\n")
        return None

    def _info(self, symbol: str) -> Response:
        if symbol and symbol not in self._instruments:
            return _answer(_UNKNOWN, HTTPStatus.BAD_REQUEST)
        told = [self._instruments[symbol]] if symbol else self._instruments.values()
        return _answer(msgspec.json.encode({"symbols": [_described(one) for one in told]}))

    async def _depth(self, query: dict[str, list[str]]) -> Response:
        symbol = query.get("symbol", [""])[0].upper()
        limit = query.get("limit", ["100"])[0]
        if not limit.isdecimal():
            return _answer(
                b'{"code":-1100,"msg":"Illegal characters found in parameter \'limit\'."}', HTTPStatus.BAD_REQUEST
            )
        self.counts["snapshots asked for"] += 1
        try:
            await asyncio.wait_for(self._known.wait(), _PATIENCE_S)
        except TimeoutError:
            return _answer(b'{"code":-1001,"msg":"no book yet"}', HTTPStatus.SERVICE_UNAVAILABLE)
        if self._recorded is not None:
            self._asked.set()
            return _answer(self._recorded)
        book = self._books.get(symbol)
        if book is None or book.last_id < 0:
            return _answer(_UNKNOWN, HTTPStatus.BAD_REQUEST)
        return _answer(book.answer(int(limit)))


@lru_cache(4096)
def _key(stream: str) -> str:
    """Return what stands for a stream: depth of every speed is one.

    >>> _key("btcusdt@depth@100ms"), _key("btcusdt@depth20@100ms")
    ('btcusdt@depth', 'btcusdt@depth20@100ms')
    """
    depth = _DEPTH.fullmatch(stream)
    return depth[1] if depth else stream


def _described(one: Instrument) -> dict[str, object]:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": f"{one.tick:f}"},
        {"filterType": "LOT_SIZE", "stepSize": f"{one.lot:f}"},
    ]
    return {"symbol": one.symbol, "status": "TRADING", "filters": filters}


def _answer(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status.value, status.phrase, headers, body)
