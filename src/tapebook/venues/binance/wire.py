"""Binance's own words: the messages of its market streams and its depth snapshot, as msgspec decodes them.

Field names are the venue's, one letter most of them. Prices and quantities stay text: they become integers exactly,
and all of a block at once (:mod:`tapebook.venues.binance.messages`). What a message holds beyond these fields is
skipped; what lacks one of them is no such message.

========== =============================================================================================
depth      ``<symbol>@depth[@100ms|@250ms|@500ms|@0ms]``: changed levels, quantity 0 where one is gone
ticker     ``<symbol>@bookTicker``: best bid and ask after every change; on spot without a time
trade      ``<symbol>@trade``: one match of two orders (on the futures undocumented, but sent)
aggTrade   ``<symbol>@aggTrade``: the matches of one taker order at one price, together
snapshot   answer of ``GET /api/v3/depth``, ``/fapi/v1/depth``, ``/dapi/v1/depth``: the whole book, up to a limit
========== =============================================================================================

Sources: Binance API documentation, "WebSocket Streams" of spot, USD-M and COIN-M futures, and recordings of 2024.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

Whole = Annotated[int, Meta(ge=0, le=1 << 62)]
"""An id or a time: what does not fit an int64 is no such thing."""

Levels = list[tuple[str, str]]  # price, quantity


class Envelope(Struct, frozen=True, gc=False):
    """What a line holds: a stream's message, a bare message, or the answer to a request."""

    stream: str = ""
    data: Raw = Raw()
    e: str = ""
    lastUpdateId: int = -1  # noqa: N815 - the venue's name
    u: int = -1


class Depth(Struct, frozen=True, gc=False):
    """Changed levels.

    ``{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":50093239189,"u":50093239202,``
    ``"b":[["61737.63000000","0.00000000"]],"a":[["61837.64000000","1.54698000"]]}``; futures add ``T`` and ``pu``.
    """

    E: Whole
    s: str
    U: Whole
    u: Whole
    b: Levels
    a: Levels
    T: Whole = 0
    pu: Whole | None = None


class Ticker(Struct, frozen=True, gc=False):
    """Best bid and ask.

    ``{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}``;
    futures add ``T`` and ``E``.
    """

    u: Whole
    s: str
    b: str
    B: str
    a: str
    A: str
    T: Whole = 0
    E: Whole = 0


class Trade(Struct, frozen=True, gc=False):
    """One match; ``m`` says that the buyer was the maker, so that the aggressor sold.

    ``{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000",``
    ``"T":1723161255342,"m":true,"M":true}``; futures add ``X``: MARKET, INSURANCE_FUND, ADL or NA.
    """

    s: str
    t: Whole
    p: str
    q: str
    T: Whole
    m: bool
    X: str = "MARKET"


class AggTrade(Struct, frozen=True, gc=False):
    """The matches ``f`` to ``l`` of one taker order at one price."""

    s: str
    a: Whole
    p: str
    q: str
    f: Whole
    l: Whole  # noqa: E741 - the venue's name
    T: Whole
    m: bool


class Snapshot(Struct, frozen=True, gc=False):
    """The whole book; only COIN-M names its symbol, only the futures tell a time."""

    lastUpdateId: Whole  # noqa: N815 - the venue's name
    bids: Levels
    asks: Levels
    T: Whole = 0
    E: Whole = 0
    symbol: str = ""


envelope = msgspec.json.Decoder(Envelope).decode
depth = msgspec.json.Decoder(Depth).decode
ticker = msgspec.json.Decoder(Ticker).decode
trade = msgspec.json.Decoder(Trade).decode
agg_trade = msgspec.json.Decoder(AggTrade).decode
snapshot = msgspec.json.Decoder(Snapshot).decode
