"""Records of the market hub in every form that somebody saw or guards against; and what is wrong with the others.

Recorded are a list of trades or of depth entries, documented one object; clients also expect ``null`` entries, entries
by position, JSON text within JSON, data without the contract argument before them and short names of contracts. Forms
that no recording shows are counted in ``notes``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from tapebook.market.events import MISSING
from tapebook.venues.projectx import wire
from tapebook.venues.projectx.contracts import ContractMap
from tapebook.venues.projectx.figures import time_ns
from tapebook.venues.signalr import UNREADABLE, Malformed, Record, RecordType, decode, text_of

__all__ = ["NoMarketData", "Notes", "Unreadable", "read_slowly", "when"]

_TARGETS: Final = ("GatewayQuote", "GatewayTrade", "GatewayDepth")


class Unreadable(Exception):  # noqa: N818 - reads as what it is; never leaves the parser
    """A message with a value that is none."""

    def __init__(self, reason: str, expected: str, found: str, place: int = -1) -> None:
        super().__init__(reason)
        self.reason, self.expected, self.found = reason, expected, found
        self.place = place  # of the contract whose it was; -1 where nobody knows


class NoMarketData(Exception):  # noqa: N818 - as Unreadable
    """A record that no book and no tape needs; with a reason where it should not be there at all."""

    def __init__(self, reason: str = "", expected: str = "", found: str = "") -> None:
        super().__init__(reason)
        self.reason, self.expected, self.found = reason, expected, found


class Notes:
    """Counts what is noticed, by its text."""

    __slots__ = ("counts",)

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def __call__(self, text: str, n: int = 1) -> None:
        """Count ``n`` more of one sort."""
        if n:
            self.counts[text] = self.counts.get(text, 0) + int(n)


def when(text: str | None) -> int:
    """Return a time in ns; MISSING where none was told; what is no time makes the message unreadable."""
    if text is None:
        return MISSING
    ns = time_ns(text)
    if ns is None:
        raise Unreadable("bad time", "ISO 8601 with an offset, 2009-2100", text)
    return ns


def read_slowly(raw: bytes, contracts: ContractMap, note: Notes) -> tuple[int, wire.MarketEvent]:
    """Return a contract's place and the market event of a record, whatever its form.

    Raises
    ------
    NoMarketData
        If it is none.
    Unreadable
        If it is one, or may be one, and cannot be read.
    """
    record = decode(raw)
    if isinstance(record, Malformed):
        if raw == b"{}":
            note("handshakes")
            raise NoMarketData
        raise Unreadable(record.reason, "JSON of a hub record", record.found)
    if record.type != RecordType.INVOCATION:
        raise _other(record, note)
    target = record.target or ""
    if target not in _TARGETS:
        if target.startswith("GatewayUser"):
            note("records of the user hub")
            raise NoMarketData
        raise NoMarketData("an event of unknown name", ", ".join(_TARGETS), repr(record.target))
    place = -1
    try:
        arguments = record.arguments or []
        place = _whose(arguments, contracts, note)
        return place, _event(target, contracts.ids[place], arguments[-1], note)
    except UNREADABLE as error:
        raise Unreadable(f"a {target} that cannot be read", "the fields of its type", str(error), place) from None


def _other(record: Record, note: Notes) -> NoMarketData:
    if record.type == RecordType.CLOSE:
        note("closes by the server")
    elif RecordType.INVOCATION < record.type <= RecordType.SEQUENCE:
        note("records without market data")
    else:
        return NoMarketData("a record of unknown type", "types 1 to 9", str(record.type))
    return NoMarketData()


def _whose(arguments: Sequence[Raw], contracts: ContractMap, note: Notes) -> int:
    if not arguments:
        raise Unreadable("an event without arguments", "contract id and data", "none")
    if len(arguments) > 1:
        place = contracts.find(text_of(arguments[0]))
    else:  # only defensive clients know this form
        place = contracts.find(_name_in(arguments[0]))
        note("events without a contract argument")
    if place < 0:
        found = bytes(arguments[0])[:80].decode("utf-8", "replace")
        raise Unreadable("an event of a contract that is not subscribed", ", ".join(contracts.ids), found)
    return place


def _event(target: str, contract: str, raw: Raw, note: Notes) -> wire.MarketEvent:
    if target == "GatewayQuote":
        try:
            quote = wire.quote(raw)
        except msgspec.ValidationError:
            quote = msgspec.convert(_plain(raw), wire.Quote)
            note("quotes as JSON text")
        return wire.QuoteEvent(1, (contract, quote))
    if target == "GatewayTrade":
        return wire.TradeEvent(1, (contract, _entries(wire.trades, raw, wire.Trade, wire.TradeRow, note)))
    return wire.DepthEvent(1, (contract, _entries(wire.depths, raw, wire.Depth, wire.DepthRow, note)))


def _entries(read: Callable[[Raw], Any], raw: Raw, by_name: type, by_place: type, note: Notes) -> Any:
    """Return the entries of an argument; ``read`` knows the recorded and the documented form."""
    try:
        return read(raw)
    except msgspec.ValidationError:
        found = _plain(raw)
    if isinstance(found, list) and found and not isinstance(found[0], list | dict | None):
        found = [found]  # one entry by position
    out = []
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, list):
            row = msgspec.structs.asdict(msgspec.convert(value, by_place))
            out.append(by_name(**row))
        elif value is not None:
            out.append(msgspec.convert(value, by_name))
    note("events in a form that no recording shows")
    return out


def _plain(raw: Raw) -> Any:
    """Return an argument as plain objects, also where it is JSON text within JSON."""
    value = msgspec.json.decode(raw)
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _name_in(raw: Raw) -> str | None:
    """Return the contract that data name, where their message does not."""
    value = _plain(raw)
    if isinstance(value, list):
        value = next((entry for entry in value if isinstance(entry, dict)), None)
    name = (value.get("contractId") or value.get("contract")) if isinstance(value, dict) else None
    return name if isinstance(name, str) else None
