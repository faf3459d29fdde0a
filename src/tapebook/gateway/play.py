"""The market runs: records leave at their time, to whoever subscribed their stream.

At full speed the slowest client sets the pace: while one of them does not take what was sent, nothing is sent to any,
and while nobody has subscribed the market stands still. At a factor it goes on without anybody, as markets do.
"""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Final, Protocol

from tapebook.gateway.clock import MAX, Pacer
from tapebook.gateway.encode import Entry, Writer
from tapebook.gateway.market import Market
from tapebook.gateway.source import DEPTH, QUOTES, Message, Source
from tapebook.market.clock import Clock
from tapebook.market.errors import ConfigurationError
from tapebook.venues.projectx.wire import DomType

__all__ = ["End", "Listener", "Play", "PlaySettings", "Start"]

_S: Final = 1_000_000_000
BATCH: Final = 256
_SLEEP_MAX_S: Final = 0.25
_due = attrgetter("ts_ns")


class Start(Enum):
    """When the market begins to run."""

    SUBSCRIBE = "subscribe"  # when clients have subscribed
    NOW = "now"
    ASKED = "asked"  # by POST /admin/start


class End(Enum):
    """What happens at the end of the source."""

    CLOSE = "close"  # sockets of the market hub get a Close record
    SILENT = "silent"  # nothing: sockets stay open
    LOOP = "loop"  # it begins again
    EXIT = "exit"  # as close, and the gateway ends


@dataclass(frozen=True, kw_only=True)
class PlaySettings:
    """How the market runs.

    Attributes
    ----------
    speed
        Factor, or :data:`~tapebook.gateway.clock.MAX`.
    clients
        How many connections must have subscribed before it begins.
    settle_s
        How long nobody must have subscribed anything more before it begins.
    shift
        Whether the times that are told are moved so that the source begins now.
    prepare
        Whether the whole source is made into records, in memory, before it begins.
    """

    speed: float = 1.0
    start: Start = Start.SUBSCRIBE
    end: End = End.CLOSE
    clients: int = 1
    settle_s: float = 0.5
    shift: bool = False
    prepare: bool = False

    def __post_init__(self) -> None:
        if self.shift and self.prepare:
            raise ConfigurationError(
                "records that are made before the beginning do not know when it will be",
                expected="--shift or --prepare",
                found="both",
            )


class Listener(Protocol):
    """A connection to the market hub."""

    streams: set[int]
    blocked: bool
    frozen: bool

    def offer(self, batch: Sequence[Message]) -> None:
        """Send what of the batch was subscribed."""
        ...

    async def room(self) -> None:
        """Wait until more may be sent, or the connection is gone."""
        ...


class Play:
    """One source, running."""

    def __init__(self, source: Source, settings: PlaySettings, *, clock: Clock, timer: Callable[[], int]) -> None:
        self.source, self.settings = source, settings
        self.listeners: set[Listener] = set()
        self.markets: list[Market] = []
        self.messages = [0, 0, 0]  # by channel
        self.began_ns = 0  # by the timer; 0: not yet
        self.ended = False
        self.loops = 0
        self.shift_ns = 0
        self.source_ns = source.first_ns
        self.on_begin: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self._clock, self._timer = clock, timer
        self._asked = asyncio.Event()
        self._wanted = asyncio.Event()
        self._subscribed_ns = 0
        self._pacer = Pacer(settings.speed)
        self._prepared: list[list[Message]] | None = None
        self._writers: list[Writer] = []

    @property
    def now_ns(self) -> int:
        """The time that the wire tells."""
        return self.source_ns + self.shift_ns

    def prepare(self) -> int:
        """Make all records ahead; return how many."""
        self._prepared = list(self.source.chunks())
        return sum(len(chunk) for chunk in self._prepared)

    def ask(self) -> None:
        """Begin now."""
        self._asked.set()

    def subscribed(self) -> None:
        """Note that somebody subscribed something."""
        self._subscribed_ns = self._timer()
        self._wanted.set()

    def standing(self, stream: int) -> bytes:
        """Return what a subscriber of a stream is told first: the book and the quote as they stand."""
        place, channel = divmod(stream, 3)
        if place >= len(self.markets):
            return b""
        market, writer = self.markets[place], self._writer(place)
        if channel == DEPTH:
            return market.depth_record(writer, self.now_ns)
        return market.quote_record(writer, self.now_ns) if channel == QUOTES else b""

    async def run(self) -> None:
        """Play the source to its end."""
        await self._begin()
        self.began_ns = self._timer()
        self.on_begin()
        while True:
            if self.loops:
                self._anew()
            if self.settings.shift:
                self.shift_ns = self._clock.now_ns() - self.source.first_ns
            self._pacer.begin(self.source.first_ns, self._timer())
            chunks = iter(self._prepared) if self._prepared is not None else self.source.chunks(self.shift_ns)
            await self._through(chunks)
            self.loops += 1
            if self.settings.end is not End.LOOP:
                break
        self.ended = True
        self.on_end()

    async def _begin(self) -> None:
        if self.settings.start is Start.NOW:
            return
        if self.settings.start is Start.ASKED:
            await self._asked.wait()
            return
        settle_ns = round(self.settings.settle_s * _S)
        while not self._asked.is_set():
            if not self._wanted.is_set():
                await self._wanted.wait()
            enough = sum(bool(one.streams) for one in self.listeners) >= self.settings.clients
            left = self._subscribed_ns + settle_ns - self._timer()
            if enough and left <= 0:
                return
            await asyncio.sleep(max(left / _S, 0.01) if enough else 0.02)

    async def _through(self, chunks: Iterator[list[Message]]) -> None:
        ahead = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
        try:
            while (chunk := await ahead) is not None:
                ahead = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
                await self._chunk(chunk)
        finally:
            if not ahead.done():
                await asyncio.wait([ahead])  # the thread is in the middle of a block: it cannot be left behind

    async def _chunk(self, chunk: list[Message]) -> None:
        at, n = 0, len(chunk)
        full_speed = self.settings.speed == MAX
        while at < n:
            if full_speed:
                await self._company()
                end = min(at + BATCH, n)
            else:
                end = bisect_right(chunk, self._pacer.reached(self._timer()), at, min(at + BATCH, n), key=_due)
                if end == at:
                    wait_s = self._pacer.wait_ns(chunk[at].ts_ns, self._timer()) / _S
                    await asyncio.sleep(min(wait_s, _SLEEP_MAX_S))
                    continue
            batch = chunk[at:end] if end - at < n else chunk
            at = end
            self._play(batch)
            if full_speed:
                for listener in tuple(self.listeners):
                    if listener.blocked:
                        await listener.room()
            await asyncio.sleep(0)

    def _play(self, batch: Sequence[Message]) -> None:
        markets, counts = self.markets, self.messages
        for message in batch:
            place, channel = divmod(message.stream, 3)
            while place >= len(markets):
                markets.append(Market())
            markets[place].apply(message)
            counts[channel] += 1
        self.source_ns = batch[-1].ts_ns
        for listener in tuple(self.listeners):
            listener.offer(batch)

    def _anew(self) -> None:
        """Let the books be empty: what stood at the end does not stand at the beginning."""
        reset = Entry(int(DomType.RESET), 0, 0)
        batch = []
        for place in range(len(self.markets)):
            record = self._writer(place).depth(self.now_ns, [reset])
            batch.append(Message(self.source_ns, 3 * place + DEPTH, record, (reset,)))
        if batch:
            self._play(batch)

    async def _company(self) -> None:
        """Wait until somebody listens."""
        while not any(one.streams and not one.frozen for one in self.listeners):
            self._wanted.clear()
            await self._wanted.wait()

    def _writer(self, place: int) -> Writer:
        form = self.source.form
        for listing in itertools.islice(self.source.listings, len(self._writers), place + 1):
            self._writers.append(Writer(listing, shape=form.shape, digits=form.stamps.digits))
        return self._writers[place]
