"""A session with a ProjectX gateway: its hubs over websockets.

This file and the one for REST beside it (``rest_session.py``, over httpx) are the only ones here with a socket.

Frames are handed on as they came, with the time of their arrival, before anything is read out of them: a journal comes
first. What a session reads itself (handshakes, answers, pings, which stream spoke) decides nothing about a frame.
A lost connection is tried again for ever, with a token that is good; every subscription is made anew.

The hub's address carries the token. It is never logged: the library under us gets a logger that does not write
requests, and every text that leaves this file goes through :func:`~tapebook.venues.credentials.masked`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from tapebook.market.clock import Clock
from tapebook.market.errors import ConfigurationError, VenueError, VenueUnreachable
from tapebook.venues import signalr_hub
from tapebook.venues.credentials import Credentials, Masking, masked
from tapebook.venues.mailbox import Mailbox, collected, ended
from tapebook.venues.policies import Chance, Streak
from tapebook.venues.projectx import codes, rest
from tapebook.venues.projectx.rest_session import Rest, bad_status, unreachable
from tapebook.venues.projectx.settings import Received, Settings, Told, What
from tapebook.venues.projectx.subscribe import Call, Channel, again, anew, channel_of, market_calls, user_calls
from tapebook.venues.projectx.token import Token
from tapebook.venues.projectx.watch import Step, StreamWatch
from tapebook.venues.signalr import HANDSHAKE_REQUEST, RECORD_BYTES_MAX, socket_url
from tapebook.venues.signalr_hub import Heard, Hub

__all__ = ["Session"]

Put: TypeAlias = Callable[[Received | Told], Awaitable[None]]

_LOG: Final = logging.getLogger("tapebook.venues.projectx.socket")
_LOG.setLevel(logging.INFO)  # at DEBUG the library writes requests, and the address of a hub holds the token
_LOG.addFilter(Masking())


class _Line:
    """One hub: connects, keeps the connection alive, subscribes, and connects again."""

    def __init__(
        self,
        name: str,
        url: str,
        calls: Sequence[Call],
        watch: StreamWatch | None,
        session: Session,
        put: Put,
    ) -> None:
        self.name, self.url, self.calls, self.watch = name, url, calls, watch
        self._streams = {
            (channel.value, f'"{call.arguments[0]}"'.encode()): (str(call.arguments[0]), channel)
            for call in calls
            if (channel := channel_of(call.target)) is not None
        }
        self._session, self._settings, self._rest = session, session.settings, session.rest
        self._put = put
        self._connection = 0
        self._last_ns = 0  # when the last frame came
        self._opened_ns = 0  # by the timer; 0: not connected
        self._unanswered = 0
        self._why = ""  # why we ourselves gave the connection up
        self._refused: Token | None = None
        self._putting = False

    async def run(self) -> None:
        timer, settings = self._session.timer, self._settings
        streak = Streak(settings.wait, settings.stop, self._session.chance, steady_s=settings.steady_s)
        while True:
            self._opened_ns, self._why = 0, ""
            try:
                await self._connect()
                why: VenueError = VenueUnreachable("the hub ended the connection")
            except VenueError as error:
                if self._connection == 0 and _hopeless(error):
                    raise
                why = error
            wait_s = streak.failed(timer(), self._opened_ns)
            if wait_s is None:
                raise why
            await self._tell(What.LOST, f"{masked(str(why))}; again in {wait_s:.1f} s", since_ns=self._last_ns)
            await self._session.sleep(wait_s)

    async def _connect(self) -> None:
        token = await self._rest.token(refused=self._refused)
        self._refused = None
        hub_url, secret, socket_id = self.url, token.text, ""
        if self._settings.negotiate:
            hub_url, secret, socket_id = await self._rest.negotiate(self.url, token.text)
        try:
            socket = await connect(
                socket_url(hub_url, token=secret.reveal(), socket_id=socket_id),
                additional_headers={"Authorization": f"Bearer {secret.reveal()}"} if secret else None,
                compression=None,
                open_timeout=self._settings.times.handshake_s,
                ping_interval=None,  # the hubs' own pings are records
                close_timeout=1,
                max_size=RECORD_BYTES_MAX * 4,
                logger=_LOG,
                proxy=True if self._settings.use_proxy else None,
            )
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                self._refused = token
            raise bad_status(error.response.status_code, f"{self.name} hub") from None
        except (OSError, TimeoutError, WebSocketException, ValueError) as error:
            raise unreachable(error, f"{self.name} hub") from None
        await self._read(socket)

    async def _read(self, socket: ClientConnection) -> None:
        timer, clock = self._session.timer, self._session.clock
        hub = Hub(timer(), self._settings.times)
        self._connection += 1
        self._opened_ns = timer()
        await self._tell(What.CONNECTED, since_ns=self._last_ns)
        keeper = asyncio.create_task(self._keep(socket, hub))
        try:
            await socket.send(HANDSHAKE_REQUEST.decode())
            while True:
                data: bytes = await socket.recv(decode=False)
                self._last_ns = ts = clock.now_ns()
                self._putting = True
                await self._put(Received(ts, self.name, self._connection, data))
                self._putting = False
                for heard in hub.receive(data, now := timer()):
                    if heard.what is not signalr_hub.What.EVENT:
                        await self._hear(heard, socket, hub)
                    elif self.watch is not None and (stream := self._streams.get((heard.target, heard.argument))):
                        self.watch.heard(*stream, now)
        except ConnectionClosed as error:
            raise VenueUnreachable("the connection is gone", found=self._why or masked(str(error))) from None
        finally:
            self._putting = False
            socket.transport.abort()  # a good-bye that nobody may hear is not waited for
            await ended(keeper, ConnectionClosed, TimeoutError)

    async def _hear(self, heard: Heard, socket: ClientConnection, hub: Hub) -> None:
        if heard.what is signalr_hub.What.OPENED:
            self._unanswered = len(self.calls)
            for call in self.calls:
                await self._call(call, socket, hub)
            if self.watch is not None:
                self.watch.connected(self._session.timer())
        elif heard.what is signalr_hub.What.ANSWERED:
            if heard.error:
                asked = f"{heard.target}{heard.argument.decode('utf-8', 'replace')}"
                await self._tell(What.REFUSED, masked(f"{asked}: {heard.error}"))
            self._unanswered -= 1
            if self._unanswered == 0:
                await self._tell(What.SUBSCRIBED)
        elif heard.what is signalr_hub.What.CLOSED:
            raise VenueUnreachable("the hub closed the connection", found=masked(heard.error), where=f"{self.name} hub")
        else:
            await self._tell(What.MALFORMED, heard.error)

    async def _keep(self, socket: ClientConnection, hub: Hub) -> None:
        """Ping, and give the connection up when it is overdue or cannot be written to."""
        times, timer = self._settings.times, self._session.timer
        pause_s = min(1.0, times.ping_s / 4, times.silence_s / 4, times.answer_s / 4)
        try:
            while not self._why:
                await asyncio.sleep(pause_s)
                now = timer()
                if self._putting:
                    hub.busy(now)
                self._why = hub.overdue(now)
                ping = hub.ping(now)
                if ping and not self._why:
                    await self._send(socket, ping)
                if self.watch is not None and hub.opened and not self._putting:
                    await self._wake(self.watch, now, socket, hub)
        except VenueUnreachable as error:
            self._why = str(error)
        finally:
            socket.transport.abort()

    async def _wake(self, watch: StreamWatch, now: int, socket: ClientConnection, hub: Hub) -> None:
        for silent in watch.due(now):
            text = f"nothing for {silent.for_s:.0f} s while the contract speaks elsewhere: {silent.step.name.lower()}"
            names = {"contract": silent.contract, "channel": silent.channel.value}
            await self._tell(What.SILENT, text, **names)
            if silent.step is Step.RECONNECT:
                self._why = f"{silent.contract} {silent.channel.value}: {text}"
                return
            for call in (again if silent.step is Step.AGAIN else anew)(silent.contract, silent.channel):
                await self._call(call, socket, hub)

    async def _call(self, call: Call, socket: ClientConnection, hub: Hub) -> None:
        await self._send(socket, hub.invoke(call.target, call.arguments, self._session.timer()))

    async def _send(self, socket: ClientConnection, record: bytes) -> None:
        answer_s = self._settings.times.answer_s
        try:
            await asyncio.wait_for(socket.send(record.decode()), answer_s)
        except TimeoutError:
            raise VenueUnreachable(f"nothing could be sent for {answer_s:g} s", where=f"{self.name} hub") from None

    async def _tell(self, what: What, text: str = "", **more: Any) -> None:
        now = self._session.clock.now_ns()
        await self._put(Told(now, self.name, self._connection, what, text, **more))


class Session:
    """Everything that comes from a gateway, in the order in which it came.

    Parameters
    ----------
    settings, credentials
        Where, and who.
    clock
        Stamps what comes.
    chance
        Draws the jitter of waits.
    contracts, channels
        What to hear of the market; nothing opens no market hub.
    accounts
        Whose orders, positions and trades to hear of; None opens no user hub.
    timer, sleep
        A clock of ns that does not jump, and what waits.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        *,
        clock: Clock,
        chance: Chance,
        contracts: Sequence[str] = (),
        channels: Sequence[Channel] = tuple(Channel),
        accounts: Sequence[int] | None = None,
        watch: StreamWatch | None = None,
        timer: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings, self.clock, self.chance = settings, clock, chance
        self.timer, self.sleep = timer, sleep
        self.rest = Rest(settings, credentials, clock=clock, timer=timer, sleep=sleep)
        self._contracts, self._channels, self._accounts = tuple(contracts), tuple(channels), accounts
        self._watch = watch or StreamWatch(self._contracts, self._channels)

    async def frames(self) -> AsyncIterator[Received | Told]:
        """Yield what comes, for ever; close the iterator (``contextlib.aclosing``) to hang up.

        Raises
        ------
        ConfigurationError
            If neither contracts nor accounts were asked for.
        VenueDenied
            If the venue does not accept user name and key when the session begins. Later, and for every other failure,
            it is told and tried again, unless ``settings.stop`` says otherwise.
        """
        async with contextlib.aclosing(self.batches()) as batches:
            async for batch in batches:
                for item in batch:
                    yield item

    async def batches(self) -> AsyncGenerator[list[Received | Told], None]:
        """Yield what comes as :meth:`frames` does, all at once that came since the last time."""
        box: Mailbox[Received | Told | BaseException] = Mailbox(self.settings.queue_frames)
        lines = []
        if self._contracts:
            calls = market_calls(self._contracts, self._channels)
            lines.append(_Line("market", self.settings.market_hub, calls, self._watch, self, box.put))
        if self._accounts is not None:
            lines.append(_Line("user", self.settings.user_hub, user_calls(self._accounts), None, self, box.put))
        if not lines:
            raise ConfigurationError("nothing to hear", expected="contracts, or accounts")
        works = [*(line.run() for line in lines), self._renew(box.put)]
        async with contextlib.aclosing(collected(box, works)) as batches:
            async for batch in batches:
                yield batch

    async def aclose(self) -> None:
        """Close the REST connections."""
        await self.rest.aclose()

    async def _renew(self, put: Put) -> None:
        """Keep a good token at hand, so that a reconnect after a day need not wait for one."""
        last: Token | None = None
        while True:
            await asyncio.sleep(self.settings.renew_check_s)
            try:
                token = await self.rest.token()
            except VenueError as error:
                await put(Told(self.clock.now_ns(), "", 0, What.FAILED, masked(str(error))))
                continue
            if last is not None and token is not last:
                await put(Told(self.clock.now_ns(), "", 0, What.RENEWED))
            last = token


def _hopeless(error: VenueError) -> bool:
    """Whether the venue knows us and does not want us: trying again would not change that."""
    return isinstance(error, rest.Denied) and error.code > 0 and error.code != codes.LoginCode.UNKNOWN_ERROR
