"""ProjectX's own words: what its two hubs send, as msgspec decodes it, and its enumerations.

Field names are the venue's. What a message holds beyond these fields is skipped (the raw record is in the journal).
Times stay text and prices floats here; both become integers exactly in :mod:`tapebook.venues.projectx.figures`.

The documentation and the wire differ; the forms that were recorded on the wire are the ones these types are made for:

* trades and depth come as a list of entries, by the documentation as one object: both are read, and ``null`` entries;
* quotes are sparse: a field that is not there did not change. So absent (``UNSET``), ``null`` and 0 are three things;
* events of the user hub are wrapped in ``{"action": n, "data": …}``, by the documentation they are not: both are read;
* ``null`` fields are left out on the hubs.

Sources: ProjectX Gateway API documentation; payloads recorded on practice accounts in July and August 2026.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

__all__ = [
    "Account",
    "Depth",
    "DepthEvent",
    "DomType",
    "MarketEvent",
    "Order",
    "OrderSide",
    "OrderStatus",
    "OrderType",
    "Position",
    "PositionType",
    "Quote",
    "QuoteEvent",
    "Trade",
    "TradeEvent",
    "TradeLogType",
    "UserTrade",
    "Wrapped",
]


class DomType(IntEnum):
    """What an entry of the depth channel says."""

    UNKNOWN = 0
    ASK = 1
    BID = 2
    BEST_ASK = 3
    BEST_BID = 4
    TRADE = 5
    RESET = 6
    LOW = 7
    HIGH = 8
    NEW_BEST_BID = 9
    NEW_BEST_ASK = 10
    FILL = 11


class TradeLogType(IntEnum):
    """Aggressor of a market trade."""

    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    """How an order is worked."""

    UNKNOWN = 0
    LIMIT = 1
    MARKET = 2
    STOP_LIMIT = 3
    STOP = 4
    TRAILING_STOP = 5
    JOIN_BID = 6
    JOIN_ASK = 7


class OrderSide(IntEnum):
    """Side of an order."""

    BID = 0  # buy
    ASK = 1  # sell


class OrderStatus(IntEnum):
    """Where an order stands; 7 and 8 are not in the documentation, 8 was seen for waiting bracket legs."""

    NONE = 0
    OPEN = 1
    FILLED = 2
    CANCELLED = 3
    EXPIRED = 4
    REJECTED = 5
    PENDING = 6
    PENDING_CANCELLATION = 7
    SUSPENDED = 8


TERMINAL: Final = frozenset(
    {OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.EXPIRED, OrderStatus.REJECTED},
)
"""Statuses that nothing follows; every other number, known or not, is a working order."""


class PositionType(IntEnum):
    """Direction of a position; a closed one comes with UNDEFINED and size 0."""

    UNDEFINED = 0
    LONG = 1
    SHORT = 2


class Quote(Struct, frozen=True, gc=False):
    """What changed of the touch; no sizes exist here, and ``volume`` is the session's total.

    ``{"symbol":"F.US.MNQ","bestBid":29547,"bestAsk":29547.5,"lastUpdated":"2026-08-19T20:51:31.4347534+00:00",``
    ``"timestamp":"2026-08-19T20:51:31.348+00:00","contract":"CON.F.US.MNQ.U26"}``

    ``timestamp`` (ms) is the feed's time, ``lastUpdated`` (100 ns) the gateway's, some 87 ms later.
    """

    bestBid: float | UnsetType | None = UNSET  # noqa: N815 - the venue's name, as all of these
    bestAsk: float | UnsetType | None = UNSET  # noqa: N815
    lastPrice: float | UnsetType | None = UNSET  # noqa: N815
    volume: float | UnsetType | None = UNSET
    timestamp: str | None = None
    lastUpdated: str | None = None  # noqa: N815
    contract: str | None = None
    symbol: str | None = None


class Trade(Struct, frozen=True, gc=False):
    """One print; ``type`` is a :class:`TradeLogType`.

    ``{"symbolId":"F.US.MES","price":7730.5,"timestamp":"2026-08-19T20:51:30.052+00:00","type":1,"volume":1,``
    ``"contractId":"CON.F.US.MES.U26"}``
    """

    price: float
    type: int | None = None
    volume: float | None = None
    timestamp: str | None = None
    contractId: str | None = None  # noqa: N815
    symbolId: str | None = None  # noqa: N815


class Depth(Struct, frozen=True, gc=False):
    """One change of the book; ``type`` is a :class:`DomType`.

    ``{"contractId":"CON.F.US.MNQ.U26","timestamp":"2026-08-19T20:51:31.4173693+00:00","type":4,"price":29547,``
    ``"volume":2,"currentVolume":0}``

    ``volume`` is what rests at the price. Clients disagree whether ``currentVolume`` is, where it is not 0: entries in
    which both speak and differ are counted.
    """

    type: int
    price: float | None = None
    volume: float | None = None
    currentVolume: float | None = None  # noqa: N815
    timestamp: str | None = None
    contractId: str | None = None  # noqa: N815


class TradeRow(Struct, frozen=True, gc=False, array_like=True):
    """A print by position (no recording shows it; a client guards against it): ``["F.US.MES",7730.5,"2026-…",1,1]``."""

    symbolId: str | None  # noqa: N815
    price: float
    timestamp: str | None = None
    type: int | None = None
    volume: float | None = None


class DepthRow(Struct, frozen=True, gc=False, array_like=True):
    """A change of the book by position (as :class:`TradeRow`): ``["2026-…",4,29547,2,0]``."""

    timestamp: str | None
    type: int
    price: float | None = None
    volume: float | None = None
    currentVolume: float | None = None  # noqa: N815


class Account(Struct, frozen=True):
    """A trading account, of ``GatewayUserAccount`` and ``Account/search``.

    ``{"id":1,"name":"PRAC-1","balance":149848.64,"canTrade":true,"isVisible":true,"simulated":true}``
    """

    id: int
    name: str = ""
    balance: float | None = None
    canTrade: bool | None = None  # noqa: N815
    isVisible: bool | None = None  # noqa: N815
    simulated: bool | None = None


class Order(Struct, frozen=True):
    """An order, of ``GatewayUserOrder`` and the order queries; prices are absolute, ``trailPrice`` a distance.

    ``{"id":7,"accountId":1,"contractId":"CON.F.US.MNQ.U26","symbolId":"F.US.MNQ","creationTimestamp":"2026-…",``
    ``"updateTimestamp":"2026-…","status":5,"type":2,"side":1,"size":1,"fillVolume":0,"customTag":"t"}``
    """

    id: int
    accountId: int  # noqa: N815
    contractId: str  # noqa: N815
    status: int
    type: int
    side: int
    size: int
    symbolId: str | None = None  # noqa: N815
    creationTimestamp: str | None = None  # noqa: N815
    updateTimestamp: str | None = None  # noqa: N815
    limitPrice: float | None = None  # noqa: N815
    stopPrice: float | None = None  # noqa: N815
    fillVolume: int | None = None  # noqa: N815
    filledPrice: float | None = None  # noqa: N815
    customTag: str | None = None  # noqa: N815
    trailDistance: int | None = None  # noqa: N815
    trailPrice: float | None = None  # noqa: N815
    parentOrderId: int | None = None  # noqa: N815
    linkedOrderId: int | None = None  # noqa: N815

    @property
    def working(self) -> bool:
        """Whether it may still trade: every status but the four terminal ones, numbers nobody knows included."""
        return self.status not in TERMINAL


class Position(Struct, frozen=True):
    """A position, of ``GatewayUserPosition`` and ``Position/searchOpen``; closed with ``"type":0,"size":0``.

    ``{"id":9,"accountId":1,"contractId":"CON.F.US.MNQ.U26","contractDisplayName":"MNQU26",``
    ``"creationTimestamp":"2026-…","type":0,"size":0,"averagePrice":29398.5}``
    """

    id: int
    accountId: int  # noqa: N815
    contractId: str  # noqa: N815
    type: int
    size: int
    averagePrice: float | None = None  # noqa: N815
    creationTimestamp: str | None = None  # noqa: N815
    contractDisplayName: str | None = None  # noqa: N815


class UserTrade(Struct, frozen=True):
    """A half-turn of an account, of ``GatewayUserTrade`` and ``Trade/search``; no profit told: it opened.

    ``{"id":3,"accountId":1,"contractId":"CON.F.US.MNQ.U26","creationTimestamp":"2026-…","price":29423,``
    ``"profitAndLoss":-49,"fees":0.36,"commissions":0.25,"side":0,"size":1,"voided":false,"orderId":7}``
    """

    id: int
    accountId: int  # noqa: N815
    contractId: str  # noqa: N815
    side: int
    size: int
    price: float
    orderId: int | None = None  # noqa: N815
    creationTimestamp: str | None = None  # noqa: N815
    profitAndLoss: float | None = None  # noqa: N815
    fees: float | None = None
    commissions: float | None = None
    voided: bool | None = None


class Wrapped(Struct, frozen=True):
    """What the user hub sends around its data; what ``action`` means is not documented, and nothing relies on it."""

    action: int
    data: Raw


class QuoteEvent(Struct, frozen=True, gc=False, tag_field="target", tag="GatewayQuote"):
    """``{"type":1,"target":"GatewayQuote","arguments":["CON.F.US.MNQ.U26",{"bestBid":29547,"bestAsk":29547.5}]}``."""

    type: int
    arguments: tuple[str, Quote]


class TradeEvent(Struct, frozen=True, gc=False, tag_field="target", tag="GatewayTrade"):
    """``{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.MES.U26",[{"price":7730.5,"type":1,"volume":1}]]}``."""

    type: int
    arguments: tuple[str, list[Trade | None] | Trade]


class DepthEvent(Struct, frozen=True, gc=False, tag_field="target", tag="GatewayDepth"):
    """``{"type":1,"target":"GatewayDepth","arguments":["CON.F.US.MNQ.U26",[{"type":4,"price":29547,"volume":2}]]}``."""

    type: int
    arguments: tuple[str, list[Depth | None] | Depth]


MarketEvent: TypeAlias = QuoteEvent | TradeEvent | DepthEvent
"""A whole record of the market hub in a form that is recorded or documented: read in one go (1 µs)."""

market_event = msgspec.json.Decoder(MarketEvent).decode
quote = msgspec.json.Decoder(Quote).decode
trades = msgspec.json.Decoder(list[Trade | None] | Trade).decode
depths = msgspec.json.Decoder(list[Depth | None] | Depth).decode
wrapped = msgspec.json.Decoder(Wrapped).decode
