"""A session with Binance: the only file here with a socket.

Frames are handed on as they came, with the time of their arrival, before anything is read out of them but the numbers
that say whether a book needs a snapshot. The answer of a request for one becomes a frame like any other, at its place
among them, so that whoever reads the frames again comes to the same book.

A lost connection is tried again for ever. The venue ends every connection after 24 hours: another one is opened in time
and both are read until the new one has taken over, so that a day's end leaves no gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Final, TypeAlias

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from tapebook.market.clock import Clock
from tapebook.market.errors import VenueError, VenueProtocolError, VenueThrottled, VenueUnreachable
from tapebook.venues.binance import symbols
from tapebook.venues.binance.settings import Settings
from tapebook.venues.binance.subscribe import Channel, Connection, SnapshotWatch, connections, snapshot_frame
from tapebook.venues.binance.sync import Rule
from tapebook.venues.frames import Received, Told, What
from tapebook.venues.limits import Window
from tapebook.venues.mailbox import Mailbox, collected, ended
from tapebook.venues.policies import Chance, Streak

__all__ = ["Session"]

Put: TypeAlias = Callable[[Received | Told], Awaitable[None]]

_S: Final = 1_000_000_000
_MESSAGE_BYTES_MAX: Final = 64 << 20
_SHUTDOWN: Final = b'"e":"serverShutdown"'
_LOOK_S: Final = 0.05
_AGAIN_S: Final = 1.0  # after a take-over that failed
_THROTTLED: Final = (418, 429)


class _Line:
    """The connections to one address: one that stands, and for a while the one that takes its place."""

    def __init__(self, connection: Connection, session: Session, put: Put) -> None:
        self.name, self._url, self._with_depth = connection.name, connection.url, connection.with_depth
        self._session, self._settings, self._put = session, session.settings, put
        self._connection = 0
        self._last_ns = 0  # when the last frame came
        self._leave = asyncio.Event()  # the venue says that it is going to end this connection

    async def run(self) -> None:
        timer, settings = self._session.timer, self._settings
        streak = Streak(settings.wait, settings.stop, self._session.chance, steady_s=settings.steady_s)
        while True:
            opened_ns = 0
            try:
                socket = await self._open()
                opened_ns = timer()
                await self._begin(What.CONNECTED)
                await self._stand(socket)
                why: VenueError = VenueUnreachable("the venue ended the connection", where=self.name)
            except VenueError as error:
                why = error
            wait_s = streak.failed(timer(), opened_ns)
            if wait_s is None:
                raise why
            await self._tell(What.LOST, f"{why}; again in {wait_s:.1f} s", since_ns=self._last_ns)
            await self._session.sleep(wait_s)

    async def _open(self) -> ClientConnection:
        try:
            return await connect(
                self._url,
                compression=None,
                open_timeout=self._settings.request_s,
                ping_interval=self._settings.silence_s,
                ping_timeout=self._settings.silence_s,
                close_timeout=1,
                max_size=_MESSAGE_BYTES_MAX,
                proxy=True if self._settings.use_proxy else None,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            kind = VenueThrottled if status in _THROTTLED else VenueUnreachable
            raise kind("the venue opens no connection", found=f"HTTP {status}", where=self.name) from None
        except (OSError, TimeoutError, WebSocketException, ValueError) as error:
            raise VenueUnreachable(
                "no answer", found=f"{type(error).__name__} {error}"[:300], where=self.name
            ) from None

    async def _begin(self, what: What) -> None:
        self._connection += 1
        if what is What.CONNECTED and self._with_depth:
            self._session.watch.lost()
        await self._tell(what, since_ns=self._last_ns)

    async def _stand(self, socket: ClientConnection) -> None:
        """Read a connection until it ends; before its time is over, let another one take its place."""
        reading = asyncio.create_task(self._read(socket, self._connection))
        left_s = self._settings.life_s
        try:
            while True:
                self._leave.clear()
                leaving = asyncio.create_task(self._leave.wait())
                try:
                    await asyncio.wait((reading, leaving), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    leaving.cancel()
                if reading.done():
                    return await reading
                try:
                    new = await self._open()
                except VenueError as error:
                    await self._tell(What.FAILED, f"no connection to take over: {error}")
                    left_s = _AGAIN_S
                    continue
                if reading.done():  # it ended meanwhile, and what came since is missing: no seam can be claimed
                    new.transport.abort()
                    return await reading
                left_s = self._settings.life_s
                await self._begin(What.JOINED)
                old, old_socket = reading, socket
                reading, socket = asyncio.create_task(self._read(new, self._connection)), new
                await asyncio.wait((old, reading), timeout=self._settings.beside_s)
                await _end(old, old_socket)
        finally:
            await _end(reading, socket)

    async def _read(self, socket: ClientConnection, connection: int) -> None:
        clock, watch = self._session.clock, self._session.watch
        try:
            while True:
                data: bytes = await socket.recv(decode=False)
                self._last_ns = ts = clock.now_ns()
                watch.heard(data)
                await self._put(Received(ts, self.name, connection, data))
                if _SHUTDOWN in data[:80]:
                    self._leave.set()
        except ConnectionClosed as error:
            raise VenueUnreachable("the connection is gone", found=str(error), where=self.name) from None

    async def _tell(self, what: What, text: str = "", *, since_ns: int = 0) -> None:
        now = self._session.clock.now_ns()
        await self._put(Told(now, self.name, self._connection, what, text, since_ns))


class Session:
    """Everything that comes from Binance, in the order in which it came.

    Parameters
    ----------
    settings
        Where.
    clock
        Stamps what comes.
    chance
        Draws the jitter of waits.
    contracts, channels
        What to hear; without channels depth, quotes and the market's documented trades.
    timer, sleep
        A clock of ns that does not jump, and what waits.

    Attributes
    ----------
    connections
        The lines: each opens, and is lost, by itself. Where one with depth is opened anew every book begins anew, and
        whoever decodes the frames has to do the same (:meth:`~tapebook.venues.binance.parse.Parser.reset`); what comes
        of the line ``"snapshot"`` belongs to them. A connection that joined takes the place of one that stands:
        nothing was missed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        chance: Chance,
        contracts: Sequence[str],
        channels: Sequence[Channel] = (),
        timer: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        market = settings.market
        self.settings, self.clock, self.chance = settings, clock, chance
        self.timer, self.sleep = timer, sleep
        channels = tuple(channels) or (Channel.DEPTH, Channel.QUOTES, market.trades)
        self.connections = connections(market, contracts, channels, settings.sockets)
        deep = [s for c in self.connections if c.with_depth for s in c.symbols]
        self._contracts = tuple(dict.fromkeys(symbol.upper() for symbol in contracts))
        self.watch = SnapshotWatch(market.rule, deep, again_s=settings.again_s, refresh_s=settings.refresh_s)
        self._window = Window(settings.snapshots_per_minute, 60, share=1)
        self._http = httpx.AsyncClient(
            base_url=settings.rest_base, timeout=settings.request_s, trust_env=settings.use_proxy
        )

    async def frames(self) -> AsyncGenerator[Received | Told, None]:
        """Yield what comes, for ever; close the iterator (``contextlib.aclosing``) to hang up."""
        async with contextlib.aclosing(self.batches()) as batches:
            async for batch in batches:
                for item in batch:
                    yield item

    async def batches(self) -> AsyncGenerator[list[Received | Told], None]:
        """Yield what comes as :meth:`frames` does, all at once that came since the last time."""
        box: Mailbox[Received | Told | BaseException] = Mailbox(self.settings.queue_frames)
        lines = [_Line(connection, self, box.put) for connection in self.connections]
        works = [*(line.run() for line in lines), self._fetch(box.put)]
        async with contextlib.aclosing(collected(box, works)) as batches:
            async for batch in batches:
                yield batch

    async def describe(self) -> list[symbols.Described]:
        """Return what the venue says of the symbols.

        Raises
        ------
        ConfigurationError
            If there is no such symbol.
        VenueError
            If the venue does not say.
        """
        market = self.settings.market
        found: list[symbols.Described] = []
        if market.rule is Rule.SPOT:
            for symbol in self._contracts:
                answer = await self._ask(market.info_path, {"symbol": symbol})
                if answer.status_code == 400 and symbols.is_unknown(answer.content):
                    raise symbols.no_such_symbol(symbol, market)
                found += symbols.read(_content(answer, market.info_path))
        else:  # all or none
            found = symbols.read(await self._get(market.info_path, {}))
        return symbols.chosen(found, self._contracts, market)

    async def aclose(self) -> None:
        """Close the REST connections."""
        await self._http.aclose()

    async def server_time_ms(self) -> int:
        """Ask the venue for its time."""
        answer = await self._get(self.settings.market.time_path, {})
        try:
            return int(msgspec.json.decode(answer, type=dict[str, int])["serverTime"])
        except (msgspec.MsgspecError, KeyError) as error:
            raise VenueProtocolError("no time in the answer", found=str(error)) from None

    async def _fetch(self, put: Put) -> None:
        """Ask for snapshots, whenever a book needs one."""
        n = 0
        while True:
            for symbol in self.watch.due(self.timer()):
                while wait_ns := self._window.take(self.timer()):
                    await self.sleep(wait_ns / _S)
                n += 1
                try:
                    await self._snapshot(symbol, n, put)
                except VenueError as error:
                    if isinstance(error, VenueThrottled):
                        self._window.close(self.timer() + 30 * _S)
                    await put(Told(self.clock.now_ns(), "snapshot", n, What.FAILED, f"{symbol}: {error}"))
            await asyncio.sleep(_LOOK_S)

    async def _snapshot(self, symbol: str, n: int, put: Put) -> None:
        market = self.settings.market
        answer = await self._get(market.snapshot_path, {"symbol": symbol, "limit": market.snapshot_levels})
        ts = self.clock.now_ns()
        try:
            frame, last_update_id = snapshot_frame(symbol, answer)
        except (msgspec.MsgspecError, ValueError) as error:
            raise VenueProtocolError("the answer is no snapshot", found=str(error), where=symbol) from None
        self.watch.snapshot(symbol, last_update_id)
        await put(Received(ts, "snapshot", n, frame))

    async def _get(self, path: str, values: dict[str, str | int]) -> bytes:
        return _content(await self._ask(path, values), path)

    async def _ask(self, path: str, values: dict[str, str | int]) -> httpx.Response:
        try:
            answer = await self._http.get(path, params=values)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise VenueUnreachable("no answer", found=f"{type(error).__name__} {error}"[:300], where=path) from None
        if answer.status_code in _THROTTLED:
            raise VenueThrottled("too many requests", found=f"HTTP {answer.status_code}", where=path)
        return answer


def _content(answer: httpx.Response, path: str) -> bytes:
    if answer.status_code != 200:
        found = f"HTTP {answer.status_code} {answer.text[:200]}"
        raise VenueProtocolError("the request is not answered", expected="HTTP 200", found=found, where=path)
    return answer.content


async def _end(task: asyncio.Task[None], socket: ClientConnection) -> None:
    socket.transport.abort()  # a good-bye that nobody may hear is not waited for
    await ended(task, VenueError)
