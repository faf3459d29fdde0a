"""Binance spot: messages as the venue documents them, with invented numbers, and the events written out by hand."""

from __future__ import annotations

import json
from typing import Any

from tapebook.market.events import MISSING as M
from tapebook.market.events import Flag, Kind
from tests.venues.golden import Golden

TRADE, LEVEL, QUOTE, CLEAR = int(Kind.TRADE), int(Kind.LEVEL), int(Kind.QUOTE), int(Kind.CLEAR)
LAST, SNAPSHOT, INFO, GAP = int(Flag.LAST), int(Flag.SNAPSHOT), int(Flag.INFO), int(Flag.GAP)
P = 1_000_000_000
# Ids lie far from each other, or every pair would be a repeat of the one before.
MS = 1_787_172_691_000  # 2026-08-19T20:51:31 UTC
S = MS * 1_000_000
ONE = 100_000_000  # a lot is 1e-8

Level = tuple[str, str]


def stream(name: str, data: dict[str, Any] | str) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f'{{"stream":"{name}","data":{text}}}'.encode()


def depth(first: int, last: int, bids: tuple[Level, ...], asks: tuple[Level, ...], symbol: str = "BTCUSDT") -> bytes:
    data = {"e": "depthUpdate", "E": MS + 7, "s": symbol, "U": first, "u": last, "b": bids, "a": asks}
    return stream(f"{symbol.lower()}@depth@100ms", data)


def snapshot(last: int, symbol: str = "BTCUSDT") -> bytes:
    book = {"lastUpdateId": last, "bids": [["100.00", "1.5"], ["99.99", "2"]], "asks": [["100.01", "0.00000001"]]}
    return stream(f"{symbol.lower()}@snapshot", book)


def trade(number: int, *, sold: bool, symbol: str = "BTCUSDT", price: str = "100.25000000", **more: Any) -> bytes:
    data = {"e": "trade", "E": MS + 8, "s": symbol, "t": number, "p": price, "q": "0.02000000", "T": MS + 5}
    return stream(f"{symbol.lower()}@trade", {**data, "m": sold, "M": True, **more})


def ticker(number: int, bid: Level, ask: Level, **more: Any) -> bytes:
    data = {"u": number, "s": "BTCUSDT", "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
    return stream("btcusdt@bookTicker", {**data, **more})


TOUCH = (("100.00000000", "1.00000000"), ("100.01000000", "2.00000000"))
FIRST = depth(5, 7, (("100.00", "3"),), ())
SECOND = depth(8, 9, (), (("100.01", "0.00000000"),))
LIVE = (FIRST, snapshot(6), SECOND)
"""A book at update id 9: the snapshot at 6, and the diffs that go on from there."""
E = S + 7_000_000

BOOK = (
    (CLEAR, 0, M, M, M, SNAPSHOT, 1, 0),
    (LEVEL, 1, 100 * P, 150_000_000, M, SNAPSHOT, 1, 0),
    (LEVEL, 1, 99_990_000_000, 2 * ONE, M, SNAPSHOT, 1, 0),
    (LEVEL, -1, 100_010_000_000, 1, M, SNAPSHOT | LAST, 1, 0),
)

PAIRS = (
    Golden(
        "a purchase: the seller was the maker",
        trade(7, sold=False),
        ((TRADE, 1, 100_250_000_000, 2_000_000, S + 5_000_000, LAST, 3, 1),),
        sequences=(7,),
    ),
    Golden(
        "a sale of the other symbol",
        trade(8, sold=True, symbol="ETHUSDT"),
        ((TRADE, -1, 100_250_000_000, 2_000_000, S + 5_000_000, LAST, 3, 1),),
        sequences=(8,),
        instrument_id=2,
    ),
    Golden(
        "a trade far behind: the venue numbers anew, as a test network does each month",
        trade(3, sold=False),
        ((TRADE, 1, 100_250_000_000, 2_000_000, S + 5_000_000, LAST | GAP, 3, 1),),
        before=(trade(9_000_003, sold=False),),
        sequences=(3,),
        notes={"ids that begin anew": 1},
    ),
    Golden(
        "a trade with microseconds, as they may be asked for",
        trade(20_000_000, sold=False, T=MS * 1000 + 123),
        ((TRADE, 1, 100_250_000_000, 2_000_000, S + 123_000, LAST, 3, 1),),
        sequences=(20_000_000,),
    ),
    Golden(
        "a trade after missing ones",
        trade(10, sold=False),
        ((TRADE, 1, 100_250_000_000, 2_000_000, S + 5_000_000, LAST | GAP, 3, 1),),
        before=(trade(7, sold=False),),
        sequences=(10,),
        notes={"trades missing by their ids": 2},
    ),
    Golden(
        "a trade that another connection told already",
        trade(7, sold=False),
        (),
        before=(trade(7, sold=False),),
        notes={"trade ids that repeat or run backwards": 1},
    ),
    Golden(
        "an aggregate trade beside the single ones",
        stream("btcusdt@aggTrade", f'{{"s":"BTCUSDT","a":1,"p":"1","q":"1","f":7,"l":8,"T":{MS},"m":true}}'),
        (),
        notes={"aggregate trades passed over: the single trades are there": 1},
    ),
    Golden(
        "a ticker, which has no time",
        ticker(40, *TOUCH),
        ((QUOTE, 1, 100 * P, ONE, M, 0, 2, 0), (QUOTE, -1, 100_010_000_000, 2 * ONE, M, LAST, 2, 0)),
        sequences=(40, 40),
    ),
    Golden(
        "a ticker of an empty side",
        ticker(50_000_000, ("0.00000000", "0.00000000"), TOUCH[1]),
        ((QUOTE, 1, M, M, M, 0, 2, 0), (QUOTE, -1, 100_010_000_000, 2 * ONE, M, LAST, 2, 0)),
        sequences=(50_000_000, 50_000_000),
    ),
    Golden(
        "a ticker that another connection told already",
        ticker(40, *TOUCH),
        (),
        before=(ticker(40, *TOUCH),),
        notes={"tickers told twice": 1},
    ),
    Golden(
        "a ticker beside a live book only informs",
        ticker(90_000_000, *TOUCH),
        ((QUOTE, 1, 100 * P, ONE, M, INFO, 2, 0), (QUOTE, -1, 100_010_000_000, 2 * ONE, M, INFO | LAST, 2, 0)),
        before=LIVE,
        sequences=(90_000_000, 90_000_000),
    ),
    Golden(
        "a diff waits for a snapshot",
        FIRST,
        (),
        notes={"book BTCUSDT: empty -> buffering: first diff": 1},
    ),
    Golden(
        "a snapshot and the diff that waited for it",
        snapshot(6),
        (*BOOK, (LEVEL, 1, 100 * P, 3 * ONE, E, LAST, 1, 0)),
        before=(FIRST,),
        sequences=(6, 6, 6, 6, 7),
        notes={"book BTCUSDT: buffering -> live: snapshot bridged": 1},
    ),
    Golden(
        "a snapshot that waits for its first diff",
        FIRST,
        (*BOOK, (LEVEL, 1, 100 * P, 3 * ONE, E, LAST, 1, 0)),
        before=(snapshot(6),),
        sequences=(6, 6, 6, 6, 7),
        notes={"book BTCUSDT: syncing -> live: diff bridged": 1},
    ),
    Golden(
        "a diff of both sides, the bids first",
        depth(10, 12, (("99.99", "0.5"), ("99.98", "1")), (("100.02", "4"),)),
        (
            (LEVEL, 1, 99_990_000_000, 50_000_000, E, 0, 1, 0),
            (LEVEL, 1, 99_980_000_000, ONE, E, 0, 1, 0),
            (LEVEL, -1, 100_020_000_000, 4 * ONE, E, LAST, 1, 0),
        ),
        before=LIVE,
        sequences=(12, 12, 12),
    ),
    Golden(
        "a level that is gone",
        depth(10, 10, (), (("100.01000000", "0.00000000"),)),
        ((LEVEL, -1, 100_010_000_000, 0, E, LAST, 1, 0),),
        before=LIVE,
        sequences=(10,),
    ),
    Golden(
        "a diff behind a missing one ends the book",
        depth(12, 13, (("99.99", "1"),), ()),
        ((CLEAR, 0, M, M, E, LAST | GAP, 1, 0),),
        before=LIVE,
        sequences=(13,),
        notes={"resync": 1, "book BTCUSDT: live -> stale: gap": 1},
    ),
    Golden(
        "a diff that repeats what is known",
        SECOND,
        (),
        before=LIVE,
        notes={"book BTCUSDT: diff that repeats what is known": 1},
    ),
    Golden(
        "a snapshot that is older than the diffs",
        snapshot(3),
        (),
        before=(FIRST,),
        notes={"book BTCUSDT: snapshot older than the diffs": 1},
    ),
    Golden(
        "a snapshot of a book that is live",
        snapshot(20),
        (),
        before=LIVE,
        notes={"book BTCUSDT: snapshot while the book is live": 1},
    ),
    Golden(
        "the answer to a subscription is no market data",
        b'{"result":null,"id":1}',
        (),
        quarantined=("bad message",),
    ),
    Golden(
        "the announcement of a shutdown",
        f'{{"e":"serverShutdown","E":{MS}}}'.encode(),
        (),
        notes={"stream not read: serverShutdown": 1},
    ),
    Golden(
        "a stream that nobody reads",
        stream("btcusdt@kline_1m", '{"e":"kline"}'),
        (),
        notes={"stream not read: kline_1m": 1},
    ),
    *(
        Golden(
            f"trade {n:,}",
            trade(n, sold=False),
            ((TRADE, 1, 100_250_000_000, 2_000_000, S + 5_000_000, LAST, 3, 1),),
            sequences=(n,),
        )
        for n in range(10**9, 10**10, 10**9)
    ),
    Golden("a quantity finer than the lot", trade(7, sold=False, q="0.123456789"), (), quarantined=("bad number",)),
    Golden("a price that is no number", trade(7, sold=False, price="x"), (), quarantined=("bad number",)),
    Golden("a time that cannot be", trade(7, sold=False, T=5), (), quarantined=("bad time",)),
    Golden("a trade without its price", stream("btcusdt@trade", '{"e":"trade"}'), (), quarantined=("bad message",)),
    Golden("a message cut short", trade(7, sold=False)[:-20], (), quarantined=("bad message",)),
    Golden("a symbol that is not subscribed", trade(7, sold=False, symbol="XRPUSDT"), (), quarantined=("bad message",)),
    Golden("a stream that brings another symbol", trade(7, sold=False, s="ETHUSDT"), (), quarantined=("bad message",)),
    Golden(
        "after a diff that cannot be read the next one does not follow",
        depth(11, 11, (("99.99", "1"),), ()),
        ((CLEAR, 0, M, M, E, LAST | GAP, 1, 0),),
        before=(*LIVE, depth(10, 10, (("x", "1"),), ())),
        sequences=(11,),
        quarantined=("bad number",),
    ),
)
