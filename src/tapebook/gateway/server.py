"""The gateway: REST, both hubs and the admin calls on one port of this machine."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from tapebook.gateway.faults import CHANNELS, Fault, Faults
from tapebook.gateway.http import Asked, HttpConnection
from tapebook.gateway.hubs import Call
from tapebook.gateway.play import End, Play
from tapebook.gateway.rest import Answer, Desk, Request
from tapebook.gateway.settings import GatewaySettings
from tapebook.gateway.sockets import HubSocket
from tapebook.gateway.source import DEPTH, QUOTES, TRADES, Source
from tapebook.gateway.tokens import Standing, Tokens
from tapebook.market.clock import Clock, WallClock
from tapebook.market.errors import TickDataError
from tapebook.venues.signalr import UNREADABLE, encode_close

if TYPE_CHECKING:
    from websockets.http11 import Request as Upgrade

__all__ = ["Gateway", "GatewaySettings", "seeded"]

_S: Final = 1_000_000_000
_TICK_S: Final = 0.02
_NEGOTIATED_S: Final = 60
_FLUSH_S: Final = 5.0
_STREAMS: Final = {"ContractQuotes": QUOTES, "ContractTrades": TRADES, "ContractMarketDepth": DEPTH}
_TRANSPORTS: Final = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]
_ERROR: Final = "Connection closed with an error."


class Gateway:
    """A source, served; an asynchronous context.

    Parameters
    ----------
    source
        What is played.
    settings
        Where and how.
    clock, timer
        The wall clock that tokens live by, and a clock of ns that does not jump.
    """

    def __init__(
        self,
        source: Source,
        settings: GatewaySettings | None = None,
        *,
        clock: Clock | None = None,
        timer: Callable[[], int] = time.monotonic_ns,
        chance: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.source, self.settings = source, settings or GatewaySettings()
        self._clock, self._timer, self._chance = clock or WallClock(), timer, chance
        self.users = dict(self.settings.users) or {"demo": chance(16).hex()}
        self.admin_token = self.settings.admin_token or chance(16).hex()
        self.tokens = Tokens(self.settings.token_life_s, chance)
        self.faults = Faults(self.settings.seed)
        self.faults.streams_of = self._streams_of
        self.play = Play(source, self.settings.play, clock=self._clock, timer=timer)
        self.play.on_begin = lambda: self.faults.begin(self._timer())
        self.play.on_end = self._end
        self.desk = Desk(
            lambda: source.listings,
            lambda place: self.play.markets[place] if place < len(self.play.markets) else None,
            self.users,
            self.tokens,
            limited=self.settings.limited,
            now_of=lambda: self.play.now_ns,
        )
        self.sockets: set[HubSocket] = set()
        self.closed: dict[str, int] = {}  # why connections ended
        self.over = asyncio.Event()  # the source was played and the gateway is to end
        self.port = 0
        self._connections: set[HttpConnection] = set()
        self._ids: dict[str, int] = {}  # negotiated: until when; 0: in use
        self._id_of: dict[HubSocket, str] = {}
        self._down_until_ns = 0
        self._refused = 0
        self._sent = [0, 0]  # records and bytes of connections that are gone
        self._tasks: list[asyncio.Task[None]] = []
        self._server: asyncio.Server
        for fault in self.settings.faults:
            self.faults.add(fault, timer())

    @property
    def url(self) -> str:
        """Where REST is."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, self.settings.host, self.settings.port)
        self.port = self._server.sockets[0].getsockname()[1]
        if self.settings.play.prepare:
            await asyncio.to_thread(self.play.prepare)
        self._tasks = [asyncio.create_task(self.play.run()), asyncio.create_task(self._tick())]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for socket in tuple(self.sockets):
            socket.hang_up(encode_close(), "the gateway ends")
        for _turn in range(round(_FLUSH_S / _TICK_S)):  # what was sent may still wait in transports
            if not any(one.transport.is_closing() for one in self._connections):
                break
            await asyncio.sleep(_TICK_S)
        for connection in tuple(self._connections):
            connection.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait(self) -> None:
        """Wait until the gateway is to end; an error of the play is raised here."""
        over = asyncio.ensure_future(self.over.wait())
        await asyncio.wait([over, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        while not over.done():
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.wait([over, *(t for t in self._tasks if not t.done())], return_when=asyncio.FIRST_COMPLETED)

    def statistics(self) -> dict[str, Any]:
        """Return what happened so far."""
        play, now = self.play, self._timer()
        return {
            "played": dict(zip(CHANNELS, play.messages, strict=True)),
            "began": bool(play.began_ns),
            "ended": play.ended,
            "loops": play.loops,
            "seconds": (now - play.began_ns) / _S if play.began_ns else 0.0,
            "source_ns": play.source_ns,
            "wire_ns": play.now_ns,
            "source_read": self._share(),
            "connections": [
                {"hub": s.name, "streams": len(s.streams), "records": s.records, "bytes": s.bytes, "frozen": s.frozen}
                for s in self.sockets
            ],
            "records_sent": self._sent[0] + sum(s.records for s in self.sockets),
            "bytes_sent": self._sent[1] + sum(s.bytes for s in self.sockets),
            "ended_connections": dict(self.closed),
            "refused_connections": self._refused,
            "requests": dict(self.desk.counts),
            "faults": dict(self.faults.counts),
            "faults_on": [msgspec.to_builtins(fault) for fault in self.faults.listed()],
            "not_carried": dict(self.source.lost),
        }

    def _share(self) -> float:
        progress = self.source.tape.progress
        return min(progress.done_bytes / progress.total_bytes, 1.0) if progress.total_bytes else 0.0

    # ---- requests --------------------------------------------------------------------------------------------------

    def _connected(self) -> HttpConnection:
        return HttpConnection(self._answer, self._upgrade, self._make, self._connections)

    def _answer(self, asked: Asked) -> Answer:
        path = asked.path.lower().rstrip("/")
        if path.startswith("/admin/"):
            return self._admin(path.removeprefix("/admin/"), asked)
        now = self._timer()
        if path.startswith("/hubs/"):
            if now < self._down_until_ns:
                return Answer(404)
            return self._negotiate(path, asked)
        if now < self._down_until_ns:
            return Answer(503)
        return self.desk.answer(Request(asked.verb, asked.path, asked.body, asked.token), self._clock.now_ns(), now)

    def _negotiate(self, path: str, asked: Asked) -> Answer:
        hub, _, what = path.removeprefix("/hubs/").partition("/")
        if hub not in ("market", "user") or what != "negotiate":
            return Answer(404)
        if asked.verb != "POST":
            return Answer(405)
        if not self._good(asked):
            return Answer(401)
        version = 1 if asked.query.get("negotiateVersion", "0") not in ("", "0") else 0
        name = self._chance(12).hex()
        told: dict[str, Any] = {"negotiateVersion": version, "connectionId": name}
        if version:
            name = told["connectionToken"] = self._chance(12).hex()
        self._ids[name] = self._timer() + _NEGOTIATED_S * _S
        return Answer(200, msgspec.json.encode({**told, "availableTransports": _TRANSPORTS}), "application/json")

    def _good(self, asked: Asked) -> bool:
        texts = {asked.token, asked.query.get("access_token", "")} - {""}
        now = self._clock.now_ns()
        return any(self.tokens.judge(text, now) is Standing.GOOD for text in texts)

    def _upgrade(self, asked: Asked) -> str | Answer:
        hub = asked.path.lower().strip("/").removeprefix("hubs/")
        status = 0
        if hub not in ("market", "user") or self._timer() < self._down_until_ns:
            status = 404
        elif not self._good(asked):
            status = 401
        elif (name := asked.query.get("id", "")) and self._ids.get(name, -1) <= self._timer():
            status = 409 if self._ids.get(name) == 0 else 404
        elif not {"sec-websocket-key", "sec-websocket-version"} <= set(asked.headers):
            status = 400
        if status:
            self._refused += 1
            return Answer(status)
        return hub

    def _make(self, hub: str, asked: Asked, request: Upgrade, transport: asyncio.Transport) -> HubSocket:
        socket = HubSocket(
            hub,
            request,
            transport,
            faults=self.faults,
            frame_records=self.settings.frame_records,
            times=self.settings.times,
            timer=self._timer,
            call=self._call,
            left=self._gone,
        )
        if socket.closed:
            self._refused += 1
            return socket
        self.sockets.add(socket)
        if hub == "market":
            self.play.listeners.add(socket)
        name = asked.query.get("id", "")
        if name:
            self._ids[name] = 0
            self._id_of[socket] = name
        return socket

    def _gone(self, socket: HubSocket) -> None:
        self.sockets.discard(socket)
        self.play.listeners.discard(socket)
        self._ids.pop(self._id_of.pop(socket, ""), None)
        self.closed[socket.why] = self.closed.get(socket.why, 0) + 1
        self._sent[0] += socket.records
        self._sent[1] += socket.bytes

    def _call(self, socket: HubSocket, call: Call) -> bytes:
        """Carry out a hub's method; return what follows its answer."""
        subscribe = call.target.startswith("Subscribe")
        channel = _STREAMS.get(call.target.removeprefix("Un").removeprefix("Subscribe").removeprefix("subscribe"))
        if channel is None:
            return b""  # the user hub: there is nothing to tell before there are orders
        place = self.desk.place_of(call.arguments[0])
        if place < 0:
            self.faults.count("subscriptions of contracts that are not here")
            return b""
        stream = 3 * place + channel
        if not subscribe:
            socket.streams.discard(stream)
            return b""
        socket.streams.add(stream)
        self.play.subscribed()
        return self.play.standing(stream) if self.settings.snapshot else b""

    # ---- time ------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._timer()
            for fault in self.faults.due(now):
                self._happen(fault, now)
            for socket in tuple(self.sockets):
                socket.tick(now)
            for name, until in tuple(self._ids.items()):
                if 0 < until <= now:
                    del self._ids[name]

    def _end(self) -> None:
        if self.settings.play.end in (End.CLOSE, End.EXIT):
            for socket in tuple(self.sockets):
                if socket.name == "market":
                    socket.hang_up(encode_close(), "the source is at its end")
        if self.settings.play.end is End.EXIT:
            self.over.set()

    # ---- faults ----------------------------------------------------------------------------------------------------

    def _streams_of(self, fault: Fault) -> frozenset[int]:
        places = [i for i, one in enumerate(self.source.listings) if fault.contract in ("", one.id)]
        channels = [CHANNELS.index(fault.channel)] if fault.channel else [QUOTES, TRADES, DEPTH]
        return frozenset(3 * place + channel for place in places for channel in channels)

    def _happen(self, fault: Fault, now: int) -> None:
        kind, lasts_ns = fault.fault, round(fault.lasts_s * _S)
        if kind == "silent":
            self.faults.silence(fault, now)
            return
        self.faults.count(kind)
        if kind == "throttle":
            self.desk.throttled_until_ns = now + lasts_ns
        elif kind == "expire":
            self.tokens.expire(self._clock.now_ns())
        elif kind == "restart":
            self._down_until_ns = now + lasts_ns
            self._ids.clear()
            for socket in tuple(self.sockets):
                socket.abort("the gateway restarts")
        elif kind == "reset":
            for stream in sorted(self._streams_of(fault)):
                if stream % 3 == DEPTH and stream // 3 < len(self.play.markets):
                    record = self.play.standing(stream)
                    for socket in tuple(self.sockets):
                        if stream in socket.streams:
                            socket.send(record)
        else:
            for socket in [s for s in self.sockets if fault.hub in ("", s.name) and not s.frozen]:
                if kind == "drop":
                    socket.abort("dropped")
                elif kind == "close":
                    socket.hang_up(encode_close(_ERROR, allow_reconnect=True), "closed with an error")
                else:
                    socket.freeze()
                    if lasts_ns:
                        asyncio.get_running_loop().call_later(lasts_ns / _S, socket.abort, "was half open")

    def _admin(self, what: str, asked: Asked) -> Answer:
        if not compare_digest(asked.token.encode("utf-8", "replace"), self.admin_token.encode()):
            return Answer(401)
        if (asked.verb, what) == ("GET", "statistics"):
            return Answer(200, msgspec.json.encode(self.statistics()))
        if (asked.verb, what) == ("POST", "start"):
            self.play.ask()
            return Answer(200, b"{}")
        if (asked.verb, what) == ("DELETE", "faults"):
            self.faults.clear()
            return Answer(200, msgspec.json.encode({"faults": []}))
        if (asked.verb, what) != ("POST", "faults"):
            return Answer(404)
        try:
            told = msgspec.json.decode(asked.body, type=Fault | list[Fault])
        except (*UNREADABLE, TickDataError) as error:
            return Answer(400, msgspec.json.encode({"error": str(error)}))
        now = self._timer()
        for fault in told if isinstance(told, list) else [told]:
            self.faults.add(fault, now)
        for fault in self.faults.due(now):
            self._happen(fault, now)
        return Answer(200, msgspec.json.encode({"faults": self.faults.listed()}))


def seeded(seed: int) -> Callable[[int], bytes]:
    """Return what draws keys and ids the same each time, for tests; never for a gateway that others can reach."""
    return random.Random(seed).randbytes
