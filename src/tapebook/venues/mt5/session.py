"""A session with a MetaTrader 5 terminal: asks it again and again, and hands on what each question newly brought.

The module's functions block, so one thread asks them all. A terminal that does not answer, has lost its broker, or
hangs is let go of and attached to anew, for ever; ticks of the time between are in its history and follow, the books of
that time are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from tapebook.market.clock import Clock
from tapebook.market.errors import VenueError, VenueUnreachable
from tapebook.market.zones import zone_of
from tapebook.venues.frames import Received, Told, What
from tapebook.venues.mt5.poll import TickPoll
from tapebook.venues.mt5.settings import Settings
from tapebook.venues.mt5.terminal import Call, Terminal, local_call, remote_call
from tapebook.venues.mt5.wire import Book, Symbol, Ticks, write_frame
from tapebook.venues.policies import Chance, Streak

__all__ = ["Session"]

T = TypeVar("T")

_S: Final = 1_000_000_000
_AHEAD_S: Final = 86_400  # "until now" by a clock that may be hours ahead of ours
_OFF_S: Final = 900.0  # a fresh tick this far from now means another zone, or a clock that is wrong


class Session:
    """Everything that a terminal newly has of some symbols.

    Parameters
    ----------
    settings
        Where the terminal is.
    clock
        Stamps what comes.
    chance
        Draws the jitter of waits.
    contracts
        Symbols as the broker writes them.
    ticks, book
        What to ask for.
    since_ms
        Begin with the ticks of this time of the server's clock; None: with the newest one.
    connect
        Makes the way to the module; by default as the settings say.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        chance: Chance,
        contracts: Sequence[str],
        ticks: bool = True,
        book: bool = True,
        since_ms: int | None = None,
        connect: Callable[[], Call] | None = None,
        timer: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.settings, self.clock, self.chance = settings, clock, chance
        self.timer, self.sleep = timer, sleep
        self.contracts = tuple(dict.fromkeys(contracts))
        self._ticks, self._book, self._since_ms = ticks, book, since_ms
        self._connect = connect or self._way
        self._zone = zone_of(settings.zone)
        self._polls: dict[str, TickPoll] = {}
        self._books: dict[str, tuple[Any, ...]] = {}
        self._connection = 0
        self._last_ns = 0
        self._pool = ThreadPoolExecutor(1, "mt5")
        self._zone_told = False

    async def describe(self) -> list[dict[str, Any]]:
        """Return what the broker says of the symbols; raises VenueError where there is no such symbol."""
        terminal = await self._call(self._attach)
        try:
            out = []
            for symbol in self.contracts:
                await self._call(terminal.select, symbol, with_book=False)
                out.append({"id": symbol, **await self._call(terminal.describe, symbol)})
            return out
        finally:
            await self._call(terminal.close)

    async def frames(self) -> AsyncGenerator[Received | Told, None]:
        """Yield what comes, for ever; close the iterator (``contextlib.aclosing``) to let go of the terminal."""
        settings = self.settings
        streak = Streak(settings.wait, settings.stop, self.chance, steady_s=settings.steady_s)
        while True:
            opened_ns = 0
            terminal: Terminal | None = None
            try:
                terminal = await self._call(self._attach)
                books = await self._select(terminal)
                opened_ns = self.timer()
                self._connection += 1
                self._books.clear()
                text = f"build {terminal.build}, {terminal.company}"
                yield self._told(What.CONNECTED, text, since_ns=self._last_ns)
                for symbol in sorted(set(self.contracts) - books if self._book else ()):
                    yield self._told(What.REFUSED, "the broker shows no book", contract=symbol, channel="depth")
                async for item in self._ask(terminal, books):
                    yield item
                why: VenueError = VenueUnreachable("the terminal has lost its broker")
            except VenueError as error:
                why = error
            finally:
                if terminal is not None:
                    await self._let_go(terminal)
            wait_s = streak.failed(self.timer(), opened_ns)
            if wait_s is None:
                raise why
            yield self._told(What.LOST, f"{why}; again in {wait_s:.1f} s", since_ns=self._last_ns)
            await self.sleep(wait_s)

    async def aclose(self) -> None:
        """Let go of the thread; a question that hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, terminal: Terminal, books: set[str]) -> AsyncIterator[Received | Told]:
        """Ask in turns; ends when the terminal says that it has lost its broker."""
        settings = self.settings
        asks = len(self.contracts) * self._ticks / settings.ticks_s + len(books) / settings.book_s
        slower = max(1.0, asks / settings.calls_per_s)
        due: list[tuple[int, float, str, str]] = [
            *((0, settings.ticks_s * slower, "ticks", s) for s in self.contracts if self._ticks),
            *((0, settings.book_s * slower, "book", s) for s in sorted(books)),
            (0, settings.look_s, "look", ""),
        ]
        for symbol in self.contracts:
            named = await self._call(terminal.describe, symbol)
            yield self._received(write_frame(Symbol(symbol, named)))
        while True:
            due.sort()
            at, every_s, what, symbol = due[0]
            wait_ns = at - self.timer()
            if wait_ns > 0:
                await self.sleep(wait_ns / _S)
            due[0] = (max(at, self.timer()) + round(every_s * _S), every_s, what, symbol)
            if what == "look":
                if not await self._call(terminal.alive):
                    return
            elif what == "ticks":
                async for item in self._new_ticks(terminal, symbol):
                    yield item
            else:
                lines = await self._call(terminal.book, symbol)
                if self._books.get(symbol) != lines:  # the same book again says nothing
                    self._books[symbol] = lines
                    yield self._received(write_frame(Book(symbol, lines)))

    async def _new_ticks(self, terminal: Terminal, symbol: str) -> AsyncIterator[Received | Told]:
        poll = self._polls.get(symbol)
        if poll is None:
            from_ms = self._since_ms
            if from_ms is None:
                from_ms = await self._call(terminal.last_tick_ms, symbol)
            poll = self._polls[symbol] = TickPoll(from_ms)
        to_s = self.clock.now_ns() // _S + _AHEAD_S
        reloaded = poll.reloaded
        rows = poll.take(await self._call(terminal.ticks, symbol, poll.from_s, to_s))
        if poll.reloaded > reloaded:
            text = "the terminal's history is another one: what follows its newest known tick is taken"
            yield self._told(What.WARNED, text, contract=symbol, channel="ticks")
        if rows.size:
            item = self._received(write_frame(Ticks(symbol, rows.tobytes())))
            yield item
            if not self._zone_told and poll.from_s:
                async for told in self._check_zone(int(rows["time_msc"][-1]), item.ts_recv_ns, symbol):
                    yield told

    async def _check_zone(self, server_ms: int, now_ns: int, symbol: str) -> AsyncIterator[Told]:
        """Say once if fresh ticks are not of now: the zone is another, or the market sleeps."""
        from datetime import UTC, datetime

        wall = datetime.fromtimestamp(server_ms / 1000, UTC).replace(tzinfo=self._zone)
        off_s = wall.timestamp() - now_ns / _S
        self._zone_told = True
        if abs(off_s) > _OFF_S:
            text = f"by zone {self._zone.key} the newest tick is {off_s / 3600:+.2f} h from now"
            yield self._told(What.WARNED, text, contract=symbol, channel="ticks")

    async def _select(self, terminal: Terminal) -> set[str]:
        books = set()
        for symbol in self.contracts:
            if await self._call(terminal.select, symbol, with_book=self._book) and self._book:
                books.add(symbol)
        return books

    def _attach(self) -> Terminal:
        return Terminal(self._connect(), path=self.settings.path)

    def _way(self) -> Call:
        settings = self.settings
        if not settings.host:
            return local_call()
        return remote_call(settings.host, settings.port, timeout_s=settings.answer_s)

    async def _call(self, ask: Callable[..., T], *values: object, **named: object) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(
                loop.run_in_executor(self._pool, lambda: ask(*values, **named)), self.settings.answer_s + 5
            )
        except TimeoutError:
            # The thread hangs in the module and cannot be ended: another one takes its place.
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = ThreadPoolExecutor(1, "mt5")
            raise VenueUnreachable("the terminal hangs", found=f"no answer for {self.settings.answer_s:g} s") from None

    async def _let_go(self, terminal: Terminal) -> None:
        with contextlib.suppress(VenueError, RuntimeError):  # it hangs, or the thread is gone
            await self._call(terminal.close)

    def _received(self, frame: bytes) -> Received:
        self._last_ns = self.clock.now_ns()
        return Received(self._last_ns, "terminal", self._connection, frame)

    def _told(self, what: What, text: str = "", **more: Any) -> Told:
        return Told(self.clock.now_ns(), "terminal", self._connection, what, text, **more)
