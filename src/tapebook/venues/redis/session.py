"""A reader of a fan-out: follows the streams of a session from another process or machine, and says what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Final

from tapebook.market.clock import Clock
from tapebook.market.errors import (
    ReaderError,
    SchemaMismatch,
    VenueDenied,
    VenueError,
    VenueProtocolError,
    VenueUnreachable,
)
from tapebook.market.events import Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.venues.policies import Chance, Streak
from tapebook.venues.redis.parse import Parser
from tapebook.venues.redis.settings import Settings, shown_url
from tapebook.venues.redis.wire import FIELD, Block, ContractTable, Keys, decode

__all__ = ["Entry", "Missed", "Session", "follow"]

_BEGIN: Final = "0-0"


@dataclass(frozen=True)
class Entry:
    """One entry of a stream, as it came.

    ``contract`` is empty for the contract table that a reader gets first.
    """

    ts_recv_ns: int
    contract: str
    data: bytes


@dataclass(frozen=True)
class Missed:
    """Events of a contract that were trimmed away before they were read, or whose stream began anew (0)."""

    ts_recv_ns: int
    contract: str
    events: int
    text: str


class Session:
    """Follows the streams.

    Parameters
    ----------
    settings
        Where, and what.
    clock
        Stamps what comes.
    chance
        Draws the waits.
    sleep
        Waits; tests put their own there.

    Attributes
    ----------
    place
        By contract: the last entry that was handed on, and the number of the event that follows it.
    table
        The contract table, once it is known.
    connections
        How often it connected.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock, chance: Chance, sleep: Callable[[float], Any] = asyncio.sleep
    ) -> None:
        self.settings = settings
        self.place: dict[str, tuple[str, int]] = {}
        self.table: ContractTable | None = None
        self.connections = 0
        self._clock, self._chance, self._sleep = clock, chance, sleep
        self._keys = Keys(settings.session, settings.prefix)
        self._client: Any = None
        self._taken: dict[str, tuple[str, int]] = {}  # handed on; a reader's place once it asks for more
        self._kept: dict[str, tuple[str, int]] = {}
        self._lacking: set[str] = set()  # contracts whose book is not known here

    async def batches(self) -> AsyncGenerator[list[Entry | Missed], None]:
        """Hand on what comes, for ever; close the iterator to hang up.

        A batch counts as read when the next one is asked for: the reader's place is then kept, so that after a kill
        it is handed on again rather than lost.

        Raises
        ------
        VenueDenied
            If the server refuses the password.
        VenueProtocolError
            If there is no such session.
        """
        import redis.exceptions as errors

        streak = Streak(self.settings.wait, self.settings.stop, self._chance, steady_s=0.0)
        read_ns = 0  # when something was read last; 0: not since the last failure
        try:
            while True:
                try:
                    if self._client is None:
                        yield await self._connect()
                    batch = await self._read()
                    read_ns = time.monotonic_ns()
                    if batch:
                        yield batch
                    self.place.update(self._taken)  # books that were passed over count as read too
                    await self._keep()
                except errors.AuthenticationError as error:
                    raise VenueDenied("Redis does not let us in", found=self._text(error), where=self._where) from None
                except (errors.ConnectionError, errors.TimeoutError, OSError) as error:
                    wait_s, read_ns = streak.failed(time.monotonic_ns(), read_ns), 0
                    if wait_s is None:
                        raise VenueUnreachable(
                            "Redis cannot be reached", found=self._text(error), where=self._where
                        ) from None
                    await self._hang_up()
                    await self._sleep(wait_s)
                except errors.RedisError as error:
                    raise VenueError("Redis failed", found=self._text(error), where=self._where) from None
        finally:
            await self._hang_up()

    @property
    def _where(self) -> str:
        return f"{shown_url(self.settings.url.reveal())}, session {self.settings.session!r}"

    def _text(self, error: Exception) -> str:
        """Return an error's text without the URL's password."""
        from urllib.parse import unquote, urlsplit

        text = str(error) or type(error).__name__
        password = urlsplit(self.settings.url.reveal()).password
        for secret in (password, unquote(password)) if password else ():
            text = text.replace(secret, "***")
        return text

    async def _connect(self) -> list[Entry | Missed]:
        """Connect, and return the contract table (again after each connection: it changes nothing)."""
        import redis.asyncio as client
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        settings = self.settings
        self._client = client.Redis.from_url(
            settings.url.reveal(),
            socket_timeout=settings.request_s + settings.block_s,
            socket_connect_timeout=settings.request_s,
            retry=Retry(NoBackoff(), 0),  # the settings say what is tried again, and when
        )
        data = await self._client.get(self._keys.contracts)
        if data is None:
            raise VenueProtocolError(
                "there is no fan-out of this session",
                expected=self._keys.contracts,
                where=self._where,
                remedy="start one: tapebook fanout SESSION --redis URL",
            )
        table = decode(data)
        if not isinstance(table, ContractTable):
            raise VenueProtocolError("the contract table is none", where=self._where)
        unknown = [contract for contract in settings.contracts if contract not in table.contracts]
        if unknown:
            raise VenueProtocolError(
                "the session has no such contract",
                expected=", ".join(table.contracts),
                found=", ".join(unknown),
                where=self._where,
            )
        self.table = table
        if not self.place:
            await self._find_place(settings.contracts or tuple(table.contracts))
        self._taken = dict(self.place)
        self.connections += 1
        return [Entry(self._clock.now_ns(), "", data)]

    async def _find_place(self, contracts: tuple[str, ...]) -> None:
        """Find where to begin: where this reader stood, else as the settings say."""
        kept: dict[bytes, bytes] = {}
        if self.settings.reader:
            kept = await self._client.hgetall(self._keys.reader(self.settings.reader))
        sent = await self._client.hgetall(self._keys.position) if self.settings.start == "now" else {}
        for contract in contracts:
            found = kept.get(contract.encode())
            if found is not None:
                entry, _, number = found.decode().partition(" ")
                self.place[contract] = entry, int(number)
            elif self.settings.start == "now":
                self._lacking.add(contract)
                book = sent.get(f"book {contract}".encode())
                last = await self._client.xrevrange(self._keys.stream(contract), count=1)
                # From the last book on, so that there is one; without one, from now.
                place = _before(book.decode()) if book is not None else last[0][0].decode() if last else _BEGIN
                self.place[contract] = place, -1
            else:
                self.place[contract] = _BEGIN, 0

    async def _read(self) -> list[Entry | Missed]:
        """Return what came, each contract's in its order."""
        streams = {self._keys.stream(contract): place[0] for contract, place in self.place.items()}
        found = await self._client.xread(
            streams, count=self.settings.count, block=max(int(self.settings.block_s * 1e3), 1)
        )
        names = {self._keys.stream(contract).encode(): contract for contract in self.place}
        now_ns = self._clock.now_ns()
        out: list[Entry | Missed] = []
        for key, entries in found or ():
            contract = names[key]
            following = self.place[contract][1]
            for entry, fields in entries:
                block = _block(fields)
                if block is not None and block.book:
                    wanted = contract in self._lacking and block.first >= following
                    if not wanted:
                        self._taken[contract] = entry.decode(), following
                        continue
                    self._lacking.discard(contract)
                    following = block.first
                elif block is not None:
                    missing = block.first - following
                    if missing and following >= 0:
                        self._lacking.add(contract)
                    if missing > 0 and following >= 0:
                        out.append(Missed(now_ns, contract, missing, "trimmed before they were read"))
                    elif missing < 0 <= following:
                        out.append(Missed(now_ns, contract, 0, "the stream began anew"))
                    following = block.first + block.events.size
                out.append(Entry(now_ns, contract, fields.get(FIELD, b"")))
                self._taken[contract] = entry.decode(), following
        return out

    async def _keep(self) -> None:
        """Keep the reader's place in Redis."""
        if self.settings.reader and self._kept != self.place:
            values = {contract: f"{entry} {following}" for contract, (entry, following) in self.place.items()}
            await self._client.hset(self._keys.reader(self.settings.reader), mapping=values)
            self._kept = dict(self.place)

    async def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await client.aclose()


async def follow(
    session: Session, instruments: InstrumentTable, *, quarantine: Quarantine | None = None
) -> AsyncGenerator[Events, None]:
    """Yield events as they come; where some are missing, a CLEAR with GAP stands for them, and later the next book.

    Parameters
    ----------
    session
        What to follow.
    instruments
        Gets the contracts.
    quarantine
        Where frames go that were not understood.
    """
    parser = Parser(session.settings.contracts, instruments, quarantine=quarantine)
    async with contextlib.aclosing(session.batches()) as batches:
        async for batch in batches:
            for item in batch:
                if isinstance(item, Missed):
                    events = parser.reset(item.ts_recv_ns, item.contract)
                else:
                    events = parser.advance(item.data, item.ts_recv_ns)
                if events.size:
                    yield events


def _before(entry: str) -> str:
    """Return the id before an entry's, so that reading from there begins with it.

    >>> _before("1795281371514-2"), _before("1795281371514-0")
    ('1795281371514-1', '1795281371513-18446744073709551615')
    """
    ms, _, n = entry.partition("-")
    return f"{ms}-{int(n) - 1}" if int(n) else f"{int(ms) - 1}-{2**64 - 1}"


def _block(fields: dict[bytes, bytes]) -> Block | None:
    """Return an entry's block; None for a table, and for what the parser will quarantine."""
    try:
        found = decode(fields.get(FIELD, b""))
    except (ReaderError, SchemaMismatch):
        return None
    return found if isinstance(found, Block) else None
