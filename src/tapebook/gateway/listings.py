"""Contracts of the gateway: what an instrument of a tape is called, and how it is described, on this wire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tapebook.gateway.figures import price_text
from tapebook.market.catalog import active
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.symbols import MONTH_CODES, parse_contract

__all__ = ["Listing", "contract_id", "listing"]

_QUARTERS: Final = (3, 6, 9, 12)
_ID: Final = re.compile(r"CON\.F\.[A-Z]{2,3}\.[A-Z0-9]+\.[FGHJKMNQUVXZ]\d{2}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A contract as ``Contract/search`` describes it."""

    id: str
    name: str
    description: str
    tick_e9: int
    tick_value: str  # a JSON number
    symbol_id: str
    instrument: Instrument

    def row(self) -> dict[str, Any]:
        """Return what goes into an answer; numbers as the decimals they are."""
        tick, value = float(price_text(self.tick_e9)), float(self.tick_value)
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "tickSize": int(tick) if tick == int(tick) else tick,
            "tickValue": int(value) if value == int(value) else value,
            "activeContract": True,
            "symbolId": self.symbol_id,
        }


def contract_id(instrument: Instrument, on_ns: int) -> str:
    """Return the id of an instrument's contract: with the venue's own root, which often is not the exchange's.

    What is no future, or names no month, gets the next quarterly month after ``on_ns``: the wire has no other names.

    >>> contract_id(Instrument(symbol="ESH4", venue="CME", kind="future", root="ES", expiry="2024-03"), 0)
    'CON.F.US.EP.H24'
    >>> contract_id(Instrument(symbol="BTCUSDT", venue="BINANCE"), 1_723_000_000_000_000_000)
    'CON.F.US.BTCUSDT.U24'
    """
    future = active().contents.futures.get(instrument.root)
    root = future.aliases[0] if future is not None and future.aliases else instrument.root or instrument.symbol
    root = re.sub(r"[^A-Z0-9]", "", root.upper()) or "X"
    if instrument.expiry:
        year, month = (int(part) for part in instrument.expiry.split("-"))
    else:
        day = datetime.fromtimestamp(max(on_ns, 0) // PRICE_SCALE, UTC)
        year, month = day.year, next(m for m in _QUARTERS if m >= day.month)
    return f"CON.F.US.{root}.{MONTH_CODES[month - 1]}{year % 100:02d}"


def listing(instrument: Instrument, name: str, tick_e9: int) -> Listing:
    """Return how the contract of that id describes an instrument.

    Raises
    ------
    ConfigurationError
        If ``name`` is no contract id.
    """
    if _ID.fullmatch(name) is None:
        raise ConfigurationError(
            "not a contract id", expected="CON.F.US.<root>.<month><yy>, such as CON.F.US.ENQ.H24", found=repr(name)
        )
    root, month = name.split(".")[3:5]
    contract = parse_contract(name)
    short = f"{instrument.root or root}{month[0]}{month[-1]}"
    value = instrument.multiplier * tick_e9 / PRICE_SCALE
    return Listing(
        id=name,
        name=short,
        description=f"{instrument.symbol} of {instrument.venue}" + (f": {contract.expiry}" if contract else ""),
        tick_e9=tick_e9,
        tick_value=f"{value.normalize():f}",
        symbol_id=f"F.US.{root}",
        instrument=instrument,
    )
