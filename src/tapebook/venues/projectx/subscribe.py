"""Which methods of the hubs to call, for which contracts and accounts; and again after a reconnect.

A connection that is new has no subscriptions, whatever the one before it had. Calling a Subscribe method twice is
harmless. Names are spelt exactly: the framework does not mind case, clients and servers of others do.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

__all__ = ["ALL_CHANNELS", "Call", "Channel", "again", "anew", "channel_of", "market_calls", "user_calls"]


class Channel(Enum):
    """A stream of the market hub: the event's name."""

    QUOTES = "GatewayQuote"
    TRADES = "GatewayTrade"
    DEPTH = "GatewayDepth"


ALL_CHANNELS: Final = (Channel.QUOTES, Channel.TRADES, Channel.DEPTH)
_METHODS: Final = {
    Channel.QUOTES: "ContractQuotes",
    Channel.TRADES: "ContractTrades",
    Channel.DEPTH: "ContractMarketDepth",
}
_CHANNELS: Final = {channel.value: channel for channel in Channel}
_BY_METHOD: Final = {f"Subscribe{name}": channel for channel, name in _METHODS.items()}


class Call(NamedTuple):
    """A method of a hub and what it is called with."""

    target: str
    arguments: tuple[object, ...] = ()


def market_calls(contracts: Iterable[str], channels: Iterable[Channel] = ALL_CHANNELS) -> list[Call]:
    """Return the calls that a new connection to the market hub begins with: quotes, trades, depth of each contract.

    >>> market_calls(["CON.F.US.EP.Z26"], [Channel.TRADES])
    [Call(target='SubscribeContractTrades', arguments=('CON.F.US.EP.Z26',))]
    """
    wanted = [channel for channel in ALL_CHANNELS if channel in set(channels)]
    return [Call(f"Subscribe{_METHODS[channel]}", (contract,)) for contract in contracts for channel in wanted]


def user_calls(accounts: Iterable[int]) -> list[Call]:
    """Return the calls that a new connection to the user hub begins with.

    They come before the state is fetched over REST: the other way round, what happens in between would be lost.

    >>> [call.target for call in user_calls([7])]
    ['SubscribeAccounts', 'SubscribeOrders', 'SubscribePositions', 'SubscribeTrades']
    """
    calls = [Call("SubscribeAccounts")]
    return calls + [Call(f"Subscribe{what}", (a,)) for a in accounts for what in ("Orders", "Positions", "Trades")]


def again(contract: str, channel: Channel) -> list[Call]:
    """Return the call that wakes a stream which fell silent."""
    return market_calls([contract], [channel])


def anew(contract: str, channel: Channel) -> list[Call]:
    """Return the calls that end a subscription and begin it anew.

    >>> [call.target for call in anew("CON.F.US.EP.Z26", Channel.DEPTH)]
    ['UnsubscribeContractMarketDepth', 'SubscribeContractMarketDepth']
    """
    return [Call(f"Unsubscribe{_METHODS[channel]}", (contract,)), *again(contract, channel)]


def channel_of(name: str) -> Channel | None:
    """Return the channel of an event or of a Subscribe method; None where it is neither.

    >>> channel_of("GatewayDepth") is channel_of("SubscribeContractMarketDepth")
    True
    """
    return _CHANNELS.get(name) or _BY_METHOD.get(name)
