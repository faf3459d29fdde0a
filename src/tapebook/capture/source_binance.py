"""Binance's three markets as a capture sees them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

from tapebook.capture.notes import Note
from tapebook.capture.sources import RunParser, Sink, SourceRequest, note_of
from tapebook.market.clock import Clock
from tapebook.market.errors import ConfigurationError, VenueError
from tapebook.market.events import Events, empty_events
from tapebook.market.operators import State
from tapebook.store.journal_format import FrameKind
from tapebook.venues.binance.session import Session
from tapebook.venues.binance.settings import Settings
from tapebook.venues.binance.subscribe import MARKETS, Channel
from tapebook.venues.frames import Received, What

__all__ = ["Beside", "Binance", "has_depth"]

_KINDS: Final = {What.CONNECTED: FrameKind.CONNECT, What.LOST: FrameKind.DISCONNECT}
"""A connection that joined is no new one: it takes the place of one that stands, and the books go on."""

_CHANNELS: Final = {"bookTicker": "quotes", "trade": "trades", "aggTrade": "trades"}


class Binance:
    """Quotes, trades and depth of one of Binance's markets.

    Besides the session's settings ``addresses`` may hold ``single_trades``: on the futures, the stream of single
    trades that no page documents, instead of aggregate ones.
    """

    def __init__(self, request: SourceRequest, clock: Clock) -> None:
        self.warnings: list[str] = []
        market = MARKETS[request.venue]
        addresses = dict(request.addresses)
        trades = Channel.TRADES if addresses.pop("single_trades", False) else market.trades
        wanted = ((Channel.DEPTH, request.depth), (Channel.QUOTES, request.quotes), (trades, request.trades))
        try:
            self._settings = Settings(market=market, **addresses)
        except TypeError as error:
            text = str(error)
            raise ConfigurationError("an unknown setting of the venue", found=text, where=request.venue) from None
        self._contracts = tuple(dict.fromkeys(contract.upper() for contract in request.contracts))
        self._session = Session(
            self._settings,
            clock=clock,
            chance=random.SystemRandom(),
            contracts=self._contracts,
            channels=[channel for channel, on in wanted if on],
        )
        self.lines = tuple(connection.name for connection in self._session.connections)

    async def describe(self) -> list[dict[str, Any]]:
        """Ask ``exchangeInfo``; where the venue does not say, the symbols alone must do."""
        try:
            found = await self._session.describe()
        except VenueError as error:
            self.warnings.append(f"symbols could not be looked up ({error}): the catalogue must do")
            return [{"id": contract} for contract in self._contracts]
        self.warnings += [
            f"{one.id} does not trade now: {one.status}" for one in found if one.status not in ("", "TRADING")
        ]
        return [one.row(self._settings.market) for one in found]

    async def run(self, sink: Sink, numbers: Sequence[int]) -> None:
        """Hand on frames and notes; snapshots go to the first line with depth."""
        place = {name: i for i, name in enumerate(self.lines)}
        place["snapshot"] = next((i for i, name in enumerate(self.lines) if has_depth(name)), 0)
        fresh = set(range(len(self.lines)))  # lines of which nothing came since they connected
        kind = int(FrameKind.FRAME)
        async with aclosing(self._session.batches()) as batches:
            async for batch in batches:
                records: list[tuple[int, int, int, bytes]] = []
                at = 0
                for item in batch:
                    line = place[item.hub]
                    if records and (line != at or not isinstance(item, Received)):
                        sink.frames(at, records)
                        records = []
                    at = line
                    if not isinstance(item, Received):
                        sink.note(
                            line, item.ts_recv_ns, _KINDS.get(item.what, FrameKind.NOTE), note_of(item, _CHANNELS)
                        )
                        if item.what is What.CONNECTED:
                            fresh.add(line)
                        continue
                    records.append((item.ts_recv_ns, numbers[line], kind, item.data))
                    if fresh and line in fresh and item.hub != "snapshot":
                        fresh.discard(line)
                        sink.frames(line, records)
                        records = []
                        note = Note(what=What.SUBSCRIBED.value, text="messages flow", connection=item.connection)
                        sink.note(line, item.ts_recv_ns, FrameKind.SUBSCRIBE, note)
                if records:
                    sink.frames(at, records)

    def clock_address(self) -> str:
        """Return the address that answers with the venue's time."""
        return self._settings.rest_base + self._settings.market.time_path

    async def aclose(self) -> None:
        """Close the REST connections."""
        await self._session.aclose()


def has_depth(line: str) -> bool:
    """Whether depth comes on a line, by its name.

    >>> has_depth("depth+bookTicker-2"), has_depth("aggTrade")
    (True, False)
    """
    return "depth" in line.partition("-")[0].split("+")


class Beside:
    """A line without depth: it shares the parser of a session, and harms no book when its own connection breaks."""

    def __init__(self, parser: RunParser) -> None:
        self.advance, self.advance_run = parser.advance, parser.advance_run

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:  # noqa: ARG002 - as parsers have it
        """Return nothing."""
        return empty_events(0)

    def save(self) -> State:
        """Return nothing: the line with depth keeps the parser's memory."""
        return {}

    def restore(self, state: State) -> None:
        """Take up nothing."""
