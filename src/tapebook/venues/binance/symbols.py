"""What ``exchangeInfo`` says of symbols: pure.

Of all that it says three things are taken: whether there is such a symbol, whether it trades, and its steps of price
and quantity. On spot the step of quantities is left alone: orders that were there before Binance made it coarser keep
their quantities in the book, and eight decimals hold them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from tapebook.market.errors import ConfigurationError, VenueProtocolError
from tapebook.venues.binance.subscribe import Market
from tapebook.venues.binance.sync import Rule

__all__ = ["Described", "chosen", "is_unknown", "no_such_symbol", "read"]

_UNKNOWN = -1121


class Described(NamedTuple):
    """A symbol; steps as the venue writes them, empty where it does not say."""

    id: str
    status: str
    tick_size: str
    step_size: str

    def row(self, market: Market) -> dict[str, str]:
        """Return it as parsers and a session's file have it: what stays the same."""
        row = {"id": self.id, "tickSize": self.tick_size}
        if market.rule is not Rule.SPOT:
            row["stepSize"] = self.step_size
        return {name: value for name, value in row.items() if value}


class _Filter(msgspec.Struct, frozen=True):
    filterType: str = ""  # noqa: N815 - the venue's name
    tickSize: str = ""  # noqa: N815 - the venue's name
    stepSize: str = ""  # noqa: N815 - the venue's name


class _Symbol(msgspec.Struct, frozen=True):
    symbol: str
    status: str = ""  # COIN-M: contractStatus
    contractStatus: str = ""  # noqa: N815 - the venue's name
    filters: list[_Filter] = []


class _Info(msgspec.Struct, frozen=True):
    symbols: list[_Symbol]


class _Error(msgspec.Struct, frozen=True):
    code: int


def read(answer: bytes) -> list[Described]:
    """Read an answer.

    >>> filters = '[{"filterType":"PRICE_FILTER","tickSize":"0.10"},{"filterType":"LOT_SIZE","stepSize":"0.001"}]'
    >>> read(f'{{"symbols":[{{"symbol":"BTCUSDT","status":"TRADING","filters":{filters}}}]}}'.encode())
    [Described(id='BTCUSDT', status='TRADING', tick_size='0.10', step_size='0.001')]

    Raises
    ------
    VenueProtocolError
        If it is none.
    """
    try:
        info = msgspec.json.decode(answer, type=_Info)
    except (msgspec.MsgspecError, ValueError) as error:
        raise VenueProtocolError("the answer describes no symbols", found=str(error)[:300]) from None
    return [
        Described(
            one.symbol,
            one.status or one.contractStatus,
            next((f.tickSize for f in one.filters if f.filterType == "PRICE_FILTER"), ""),
            next((f.stepSize for f in one.filters if f.filterType == "LOT_SIZE"), ""),
        )
        for one in info.symbols
    ]


def is_unknown(answer: bytes) -> bool:
    """Whether an error says that there is no such symbol."""
    try:
        return msgspec.json.decode(answer, type=_Error).code == _UNKNOWN
    except (msgspec.MsgspecError, ValueError):
        return False


def chosen(found: Iterable[Described], contracts: Sequence[str], market: Market) -> list[Described]:
    """Return the symbols asked for, in their order; one that is not there is an error."""
    known = {one.id: one for one in found}
    for symbol in contracts:
        if symbol not in known:
            raise no_such_symbol(symbol, market)
    return [known[symbol] for symbol in contracts]


def no_such_symbol(symbol: str, market: Market) -> ConfigurationError:
    """Return the error for a symbol that the venue does not have."""
    return ConfigurationError(
        "the venue has no such contract",
        expected=f"a symbol such as {market.examples[0]}",
        found=symbol,
        where=market.name,
        remedy="look it up on the exchange; spot, USD-M and COIN-M are three venues with symbols of their own",
    )
