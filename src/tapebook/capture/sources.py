"""Venues as a capture sees them: describe the contracts, then frames for ever; and the parser for each of their lines.

A venue joins with a class (:class:`Source`), a line in :data:`SOURCES` and one in :data:`PARSERS`; what a venue is, its
words and its sockets, stands in its own folder.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from tapebook.capture.notes import Note
from tapebook.capture.settings import SourceSettings
from tapebook.market.clock import Clock
from tapebook.market.errors import ConfigurationError, VenueDenied, VenueError
from tapebook.market.events import Events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.store.journal_format import FrameKind
from tapebook.venues.credentials import Credentials
from tapebook.venues.frames import Received, Told, What

__all__ = [
    "SOURCES",
    "WITHOUT_KEYS",
    "LiveParser",
    "Parsed",
    "RunParser",
    "Sink",
    "Source",
    "SourceRequest",
    "note_of",
    "parsers_for",
]


class Sink(Protocol):
    """Takes what a source has for the journal; never waits."""

    def frames(self, line: int, records: Sequence[tuple[int, int, int, bytes]]) -> None:
        """Take frames of one of the source's lines, as the journal has them: time, source number, kind, payload."""
        ...

    def note(self, line: int, ts_recv_ns: int, kind: FrameKind, note: Note) -> None:
        """Take what happened to a line."""
        ...


@dataclass(frozen=True, kw_only=True)
class SourceRequest:
    """What a user asks of one venue.

    Attributes
    ----------
    venue
        Its name.
    contracts
        As the venue writes them.
    quotes, trades, depth
        What to hear of.
    addresses
        Where the venue is, by the names of its settings (``rest``, ``market_hub`` …); empty: its public addresses.
    credentials
        File of user name and key, where the environment has none.
    """

    venue: str
    contracts: tuple[str, ...]
    quotes: bool = True
    trades: bool = True
    depth: bool = True
    addresses: dict[str, Any] = field(default_factory=dict)
    credentials: Path | None = None


class Source(Protocol):
    """A venue that sends."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Names of its lines: what connects, and is lost, by itself."""
        ...

    @property
    def warnings(self) -> list[str]:
        """What is told to people when the contracts have been looked up."""
        ...

    async def describe(self) -> list[dict[str, Any]]:
        """Look the contracts up and return their descriptions; a contract that does not exist is an error."""
        ...

    async def run(self, sink: Sink, numbers: Sequence[int]) -> None:
        """Hand on what comes, for ever; cancel it to hang up. ``numbers``: the journal's, by line."""
        ...

    def clock_address(self) -> str:
        """Return the address of something that answers over HTTP with the venue's date; empty: nothing does."""
        ...

    async def aclose(self) -> None:
        """Let go of everything."""
        ...


class LiveParser(Protocol):
    """A parser that can be told that its connection is a new one."""

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one frame."""
        ...

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:
        """Begin anew: everything, or one contract."""
        ...

    def save(self) -> State:
        """Return a copy of the memory."""
        ...

    def restore(self, state: State) -> None:
        """Take up a memory."""
        ...


@runtime_checkable
class RunParser(LiveParser, Protocol):
    """A parser that is much faster over many frames at once."""

    def advance_run(self, frames: Sequence[tuple[bytes, int]]) -> tuple[Events, list[int], list[int]]:
        """Take in frames; return events, how many each frame brought, and which frames are in the quarantine."""
        ...


class ProjectX:
    """Quotes, trades and depth of a ProjectX gateway."""

    lines = ("market",)

    def __init__(self, request: SourceRequest, credentials: Credentials, clock: Clock) -> None:
        from tapebook.venues.projectx.session import Session
        from tapebook.venues.projectx.settings import Settings
        from tapebook.venues.projectx.subscribe import Channel

        self.warnings: list[str] = []
        wanted = ((Channel.QUOTES, request.quotes), (Channel.TRADES, request.trades), (Channel.DEPTH, request.depth))
        try:
            settings = Settings(**request.addresses)
        except TypeError as error:
            raise ConfigurationError("an unknown setting of the venue", found=str(error), where="projectx") from None
        self._settings = settings
        self._contracts = request.contracts
        self._session = Session(
            settings,
            credentials,
            clock=clock,
            chance=random.SystemRandom(),
            contracts=request.contracts,
            channels=[channel for channel, on in wanted if on],
        )

    async def describe(self) -> list[dict[str, Any]]:
        """Ask ``Contract/searchById`` for each; where it fails otherwise than by "not found", the id alone must do."""
        from tapebook.venues.projectx import rest
        from tapebook.venues.projectx.codes import ContractCode

        out: list[dict[str, Any]] = []
        for contract_id in self._contracts:
            described: dict[str, Any] = {"id": contract_id}
            try:
                answer = await self._session.rest.ask(rest.CONTRACT, contractId=contract_id)
                if answer.contract is not None:
                    described = {n: v for n, v in msgspec.to_builtins(answer.contract).items() if v is not None}
            except VenueDenied:
                raise
            except rest.Refused as error:
                if error.code == ContractCode.CONTRACT_NOT_FOUND:
                    raise ConfigurationError(
                        "the venue has no such contract",
                        expected="a contract id such as CON.F.US.MNQ.U26",
                        found=contract_id,
                        where="projectx",
                        remedy="look it up on the platform; an expired contract is gone",
                    ) from None
                self.warnings.append(f"{contract_id} could not be looked up ({error}): the catalogue must do")
            except VenueError as error:
                self.warnings.append(f"{contract_id} could not be looked up ({error}): the catalogue must do")
            out.append(described)
        return out

    async def run(self, sink: Sink, numbers: Sequence[int]) -> None:
        """Hand on frames and notes."""
        kinds = {
            What.CONNECTED: FrameKind.CONNECT,
            What.LOST: FrameKind.DISCONNECT,
            What.SUBSCRIBED: FrameKind.SUBSCRIBE,
            What.SILENT: FrameKind.GAP,
        }
        number, kind = numbers[0], int(FrameKind.FRAME)
        async with aclosing(self._session.batches()) as batches:
            async for batch in batches:
                records: list[tuple[int, int, int, bytes]] = []
                for item in batch:
                    if isinstance(item, Received):
                        records.append((item.ts_recv_ns, number, kind, item.data))
                        continue
                    if records:
                        sink.frames(0, records)
                        records = []
                    sink.note(0, item.ts_recv_ns, kinds.get(item.what, FrameKind.NOTE), note_of(item, _CHANNELS))
                if records:
                    sink.frames(0, records)

    def clock_address(self) -> str:
        """Return the address that answers ``pong``, without a token."""
        return self._settings.rest.rstrip("/") + "/api/Status/ping"

    async def aclose(self) -> None:
        """Close the REST connections."""
        await self._session.aclose()


_CHANNELS: Final = {"GatewayQuote": "quotes", "GatewayTrade": "trades", "GatewayDepth": "depth"}


def note_of(told: Told, channels: Mapping[str, str]) -> Note:
    """Return what a session told as the journal has it; ``channels`` are ours by the venue's names."""
    return Note(
        what=told.what.value,
        text=told.text,
        connection=told.connection,
        since_ns=told.since_ns,
        contract=told.contract,
        channel=channels.get(told.channel, told.channel),
    )


def _binance(request: SourceRequest, _: Credentials, clock: Clock) -> Source:
    from tapebook.capture.source_binance import Binance

    return Binance(request, clock)


def _mt5(request: SourceRequest, _: Credentials, clock: Clock) -> Source:
    from tapebook.capture.source_mt5 import MT5

    return MT5(request, clock)


SOURCES: Final[dict[str, Callable[[SourceRequest, Credentials, Clock], Source]]] = {
    "projectx": ProjectX,
    "binance": _binance,
    "binance-usdm": _binance,
    "binance-coinm": _binance,
    "mt5": _mt5,
}
"""By venue: makes its source."""

WITHOUT_KEYS: Final = frozenset(SOURCES) - {"projectx"}
"""Venues that ask for no user name and no key."""


class Parsed(NamedTuple):
    """A line's parser, which instrument each of its contracts is, and where its bad records go."""

    parser: LiveParser
    instruments: Sequence[tuple[str, int]]  # (contract id, instrument_id)
    quarantine: Quarantine


Lines = Sequence[SourceSettings]


def _projectx_parsers(lines: Lines, table: InstrumentTable, notes: dict[str, int]) -> list[Parsed]:
    from tapebook.venues.projectx.contracts import Contract
    from tapebook.venues.projectx.parse import Parser

    out = []
    for line in lines:
        try:
            contracts = [msgspec.convert(described, Contract, strict=False) for described in line.contracts]
        except msgspec.ValidationError as error:
            raise ConfigurationError("a contract's description is none", found=str(error), where=line.name) from None
        quarantine = _quarantine()
        parser = Parser(contracts, table, quarantine=quarantine, notes=notes)
        instruments = [(contract.id, parser.add(contract)) for contract in contracts]
        out.append(Parsed(parser, instruments, quarantine))
    return out


def _binance_parsers(lines: Lines, table: InstrumentTable, notes: dict[str, int]) -> list[Parsed]:
    """One parser for all lines: trades of one line and the book of another are of the same instruments."""
    from tapebook.capture.source_binance import Beside, has_depth
    from tapebook.venues.binance.parse import Parser
    from tapebook.venues.binance.subscribe import MARKETS

    quarantine = _quarantine()
    parser = Parser(lines[0].contracts, table, venue=MARKETS[lines[0].venue].venue, quarantine=quarantine, notes=notes)
    instruments = list(parser.instrument_ids.items())
    keeper = next((line for line in lines if has_depth(line.line)), lines[0])
    return [
        Parsed(parser if line is keeper or has_depth(line.line) else Beside(parser), instruments, quarantine)
        for line in lines
    ]


def _mt5_parsers(lines: Lines, table: InstrumentTable, notes: dict[str, int]) -> list[Parsed]:
    from tapebook.venues.mt5.parse import Parser

    out = []
    for line in lines:
        quarantine = _quarantine()
        zone = str(next((c["zone"] for c in line.contracts if "zone" in c), "America/Sao_Paulo"))
        parser = Parser(line.contracts, table, zone=zone, quarantine=quarantine, notes=notes)
        out.append(Parsed(parser, list(parser.instrument_ids.items()), quarantine))
    return out


PARSERS: Final[dict[str, Callable[[Lines, InstrumentTable, dict[str, int]], list[Parsed]]]] = {
    "projectx": _projectx_parsers,
    "binance": _binance_parsers,
    "binance-usdm": _binance_parsers,
    "binance-coinm": _binance_parsers,
    "mt5": _mt5_parsers,
}
"""By venue: makes the parsers of a session's lines."""


def parsers_for(sources: Lines, table: InstrumentTable, notes: dict[str, int]) -> list[Parsed]:
    """Return the parser of each line; lines of one session of a venue may share theirs.

    Raises
    ------
    ConfigurationError
        If the program does not know the venue, or a description is none.
    """
    out: list[Parsed] = []
    sessions: list[list[SourceSettings]] = []
    for source in sources:
        if source.venue not in PARSERS:
            raise ConfigurationError("no such venue", expected=", ".join(PARSERS), found=repr(source.venue))
        before = sessions[-1] if sessions else []
        beside = before and (before[0].venue, before[0].contracts) == (source.venue, source.contracts)
        if beside and source.line not in [line.line for line in before]:
            before.append(source)
        else:
            sessions.append([source])
    for lines in sessions:
        out += PARSERS[lines[0].venue](lines, table, notes)
    return out


def _quarantine() -> Quarantine:
    return Quarantine(keep=1 << 30)  # emptied after each frame
