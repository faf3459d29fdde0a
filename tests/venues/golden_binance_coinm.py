"""Binance COIN-M futures: contracts instead of coins, a snapshot that names its symbol, fields of the pair."""

from __future__ import annotations

import json
from typing import Any

from tapebook.market.events import MISSING as M
from tests.venues.golden import Golden
from tests.venues.golden_binance import CLEAR, GAP, LAST, LEVEL, MS, QUOTE, SNAPSHOT, TRADE, Level, P, S, stream

T = S + 3_000_000


def told(kind: str, **fields: Any) -> bytes:
    data = {"e": kind, "E": MS + 9, "T": MS + 3, "s": "BTCUSD_PERP", "ps": "BTCUSD", **fields}
    names = {"depthUpdate": "depth@100ms"}
    return stream(f"btcusd_perp@{names.get(kind, kind)}", json.dumps(data))


def depth(first: int, last: int, before: int, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> bytes:
    return told("depthUpdate", U=first, u=last, pu=before, b=bids, a=asks)


def snapshot(last: int, name: str = "btcusd_perp") -> bytes:
    book = {"lastUpdateId": last, "E": MS + 4, "T": MS + 2, "symbol": "BTCUSD_PERP", "pair": "BTCUSD"}
    return stream(f"{name}@snapshot", {**book, "bids": [["61804.7", "35"]], "asks": [["61804.8", "1645"]]})


FIRST = depth(100, 120, 95, (("61804.7", "40"),), ())
LIVE = (FIRST, snapshot(110))
BOOK = (
    (CLEAR, 0, M, M, S + 2_000_000, SNAPSHOT, 1, 0),
    (LEVEL, 1, 61_804_700_000_000, 35, S + 2_000_000, SNAPSHOT, 1, 0),
    (LEVEL, -1, 61_804_800_000_000, 1645, S + 2_000_000, SNAPSHOT | LAST, 1, 0),
    (LEVEL, 1, 61_804_700_000_000, 40, T, LAST, 1, 0),
)

PAIRS = (
    Golden(
        "an aggregate trade of four contracts",
        told("aggTrade", a=5, p="61804.8", q="4", f=7, l=9, m=False),
        ((TRADE, 1, 61_804_800_000_000, 4, T, LAST, 4, 1),),
        sequences=(5,),
    ),
    Golden(
        "a single trade, which no page documents",
        told("trade", t=5, p="61804.8", q="4", X="MARKET", m=True),
        ((TRADE, -1, 61_804_800_000_000, 4, T, LAST, 3, 1),),
        sequences=(5,),
    ),
    Golden(
        "a ticker",
        told("bookTicker", u=90, b="61804.7", B="35", a="61804.8", A="1645"),
        ((QUOTE, 1, 61_804_700_000_000, 35, T, 0, 2, 0), (QUOTE, -1, 61_804_800_000_000, 1645, T, LAST, 2, 0)),
        sequences=(90, 90),
    ),
    Golden("a snapshot that names its symbol", snapshot(110), BOOK, before=(FIRST,), sequences=(110, 110, 110, 120)),
    Golden(
        "a snapshot between two diffs: the later one is the next change",
        depth(150, 160, 120, (("61804.7", "40"),), ()),
        BOOK,
        before=(snapshot(130).replace(b"130", b"140"), FIRST),
        sequences=(140, 140, 140, 160),
        notes={"book BTCUSD_PERP: diff that the snapshot contains": 1},
    ),
    Golden(
        "a diff of the live book",
        depth(121, 125, 120, (), (("61805.0", "7"),)),
        ((LEVEL, -1, 61_805 * P, 7, T, LAST, 1, 0),),
        before=LIVE,
        sequences=(125,),
    ),
    Golden(
        "a diff without pu ends the book",
        depth(121, 125, 120, (), (("61805.0", "7"),)).replace(b'"pu": 120, ', b""),
        ((CLEAR, 0, M, M, T, LAST | GAP, 1, 0),),
        before=LIVE,
        sequences=(125,),
        notes={"resync": 1, "book BTCUSD_PERP: live -> stale: diff without pu": 1},
    ),
    *(
        Golden(
            f"trade {n:,}",
            told("trade", t=n, p="61804.8", q="4", X="MARKET", m=True),
            ((TRADE, -1, 61_804_800_000_000, 4, T, LAST, 3, 1),),
            sequences=(n,),
        )
        for n in range(10**9, 4 * 10**9, 10**9)
    ),
    Golden(
        "half a contract",
        told("trade", t=5, p="61804.8", q="0.5", X="MARKET", m=True),
        (),
        quarantined=("bad number",),
    ),
    Golden(
        "a snapshot that names another symbol than its request",
        snapshot(110, "ethusd_perp"),
        (),
        quarantined=("bad message",),
    ),
)
