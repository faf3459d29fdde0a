"""What the fuzzing begins with: sequences of good frames of each target, and the words that its mutations put in."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np

from tapebook.venues.mt5 import wire as mt5
from tests.venues.golden import Golden

__all__ = ["WORDS", "binance", "golden", "metatrader", "signalr"]

Sequences = list[list[bytes]]

WORDS: tuple[bytes, ...] = (
    *(b"null", b"true", b"-1", b"0", b"-0.0", b"1e308", b"1e-320", b"9" * 25, b"0.1234567891", b"29547.13", b"1E400"),
    *(b'""', b'"\\ud800"', b'"\\u0000"', b"[" * 50, b"]", b"{}", b"[]", b"[null]", b"\x1e", b"\x00", b"\xff", b"\xf0"),
    *(b'"type":', b'"arguments":', b'"target":', b'"GatewayQuote"', b'"GatewayTrade"', b'"GatewayDepth"'),
    *(b'{"type":6}\x1e', b'{"type":7}\x1e', b'{"type":3,"invocationId":"1"}\x1e', b'"0001-01-01T00:00:00+00:00"'),
    *(b'"2026-02-30T20:51:31.1+00:00"', b'"2026-08-19T20:51:31.12345678901Z"', b"-9223372036854775808"),
    *(b'"error":', b'"bestBid":', b'"contractId":', b'"CON.F.US.MES.U26"', b'"depthUpdate"', b'"lastUpdateId":'),
    *(
        b'"type":5,',
        b'"type":6,',
        b'"type":11,',
        b'"type":99,',
        b"18446744073709551616",
        b"\xef\xbb\xbf",
        b"1e5",
        b"NaN",
    ),
)


def golden(name: str) -> Sequences:
    """Return a venue's golden messages, each behind those that came first."""
    pairs: Sequence[Golden] = import_module(f"tests.venues.golden_{name}").PAIRS
    return [[*pair.before, pair.frame] for pair in pairs]


def signalr() -> Sequences:
    """Return what both ends of a hub say."""
    events = [frame for frames in golden("projectx") for frame in frames]
    records = (
        b"{}\x1e",
        b'{"error":"no such protocol"}\x1e',
        b'{"type":3,"invocationId":"1","result":null}\x1e',
        b'{"type":3,"invocationId":"1","error":"no"}\x1e',
        b'{"type":2,"invocationId":"1","item":[1,2,{"a":null}]}\x1e',
        b'{"type":7,"error":"Connection closed with an error.","allowReconnect":true}\x1e{"type":6}\x1e',
        b'{"type":8,"sequenceId":1}\x1e{"type":9,"sequenceId":2}\x1e',
        b'{"negotiateVersion":1,"connectionToken":"b","availableTransports":[{"transport":"WebSockets"}]}',
        b'{"url":"https://elsewhere/hubs/market","accessToken":"t"}',
        b"\x1e\x1e",
        b'{"type":1,"tar',
        b'get":"GatewayLogout","arguments":["x"]}\x1e',
    )
    return [[b"{}\x1e", record] for record in records] + [[b"{}\x1e", *events[i : i + 3]] for i in range(len(events))]


def binance() -> Sequences:
    """Return a book that comes together, trades and tickers."""

    def of(stream: str, data: str) -> bytes:
        return f'{{"stream":"btcusdt@{stream}","data":{data}}}'.encode()

    def diff(first: int, last: int, bids: str, asks: str = "[]") -> bytes:
        body = f'{{"e":"depthUpdate","E":1723161255208,"s":"BTCUSDT","U":{first},"u":{last},"b":{bids},"a":{asks}}}'
        return of("depth@100ms", body)

    before = diff(100, 104, '[["61737.63","0.5"]]')
    snapshot = of("snapshot", '{"lastUpdateId":104,"bids":[["61737.63","1"],["61737","2"]],"asks":[["61738","3"]]}')
    after = diff(105, 107, '[["61737.63000000","0.00000000"]]', '[["61837.64000000","1.54698000"]]')
    ticker = of("bookTicker", '{"u":50,"s":"BTCUSDT","b":"61837.63","B":"3.78826","a":"61837.64","A":"1.54698"}')
    trade = of("trade", '{"e":"trade","s":"BTCUSDT","t":7,"p":"61837.63","q":"0.02","T":1723161255342,"m":true}')
    agg = '{"e":"aggTrade","s":"ETHUSDT","a":7,"p":"61837.63","q":"0.02","f":1,"l":2,"T":1723161255342,"m":true}'
    other = of("aggTrade", agg).replace(b"btcusdt", b"ethusdt")
    bare = b'{"e":"trade","s":"ETHUSDT","t":8,"p":"1.5","q":"0.02","T":1723161255342,"m":false,"X":"MARKET"}'
    gap = diff(120, 121, '[["61700","1"]]')
    book = [before, snapshot, after]
    answer = b'{"result":null,"id":1}'
    return [
        book,
        [*book, gap, snapshot],
        [ticker, trade, other, bare, answer],
        [*book, ticker, trade],
        [snapshot, after],
    ]


def metatrader() -> Sequences:
    """Return ticks, books and a description."""
    rows = np.zeros(3, mt5.TICK)
    rows["time_msc"] = [1_786_000_000_123, 1_786_000_000_124, 1_786_000_001_000]
    rows["time"] = rows["time_msc"] // 1000
    rows["bid"], rows["ask"], rows["last"] = 130_000.0, 130_005.0, 130_005.0
    rows["volume"], rows["volume_real"], rows["flags"] = 3, 3.0, [6, 56, 88]
    lines = ((mt5.SELL, 130_005.0, 4.0), (mt5.BUY, 130_000.0, 3.0), (mt5.BUY, 129_995.0, 9.0), (3, 0.0, 2.0))
    ticks = mt5.write_frame(mt5.Ticks("WINQ26", rows.tobytes()))
    book = mt5.write_frame(mt5.Book("WINQ26", lines))
    less = mt5.write_frame(mt5.Book("WINQ26", lines[:2]))
    about = mt5.write_frame(mt5.Symbol("WDOU26", {"digits": 1.0, "name": "WDOU26", "visible": True}))
    other = mt5.write_frame(mt5.Book("WDOU26", ((mt5.SELL, 5400.5, 4.0), (mt5.BUY, 5400.0, 3.0))))
    return [[ticks], [book, less, ticks], [about, other, other], [book, ticks, book], [ticks, ticks]]
