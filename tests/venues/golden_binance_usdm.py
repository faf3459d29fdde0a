"""Binance USD-M futures: what differs from spot: ``pu`` instead of consecutive ids, times, aggregate trades, lots."""

from __future__ import annotations

import json
from typing import Any

from tapebook.market.events import MISSING as M
from tests.venues.golden import Golden
from tests.venues.golden_binance import CLEAR, GAP, INFO, LAST, LEVEL, MS, QUOTE, SNAPSHOT, TRADE, Level, P, S, stream

ONE = 1000  # a lot is 0.001
T = S + 3_000_000


def depth(first: int, last: int, before: int, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> bytes:
    data = {"e": "depthUpdate", "E": MS + 9, "T": MS + 3, "s": "BTCUSDT", "U": first, "u": last, "pu": before}
    return stream("btcusdt@depth@100ms", {**data, "b": bids, "a": asks})


def snapshot(last: int) -> bytes:
    book = {
        "lastUpdateId": last,
        "E": MS + 4,
        "T": MS + 2,
        "bids": [["61800.20", "2.909"]],
        "asks": [["61800.30", "1"]],
    }
    return stream("btcusdt@snapshot", book)


def aggregate(number: int, *, sold: bool, **more: Any) -> bytes:
    data = {"e": "aggTrade", "E": MS + 9, "a": number, "s": "BTCUSDT", "p": "61800.30", "q": "0.006", "f": 1, "l": 3}
    return stream("btcusdt@aggTrade", {**data, "T": MS + 3, "m": sold, **more})


def single(number: int, sort: str = "MARKET") -> bytes:
    data = {"e": "trade", "E": MS + 9, "T": MS + 3, "s": "BTCUSDT", "t": number, "p": "61800.30", "q": "0.006"}
    return stream("btcusdt@trade", {**data, "X": sort, "m": False})


TICKER = stream(
    "btcusdt@bookTicker",
    json.dumps(
        {"e": "bookTicker", "u": 90, "s": "BTCUSDT", "b": "61800.20", "B": "2.507", "a": "61800.30", "A": "2.510"}
        | {"T": MS + 3, "E": MS + 3}
    ),
)
FIRST = depth(100, 120, 95, (("61800.10", "1"),), ())
LIVE = (FIRST, snapshot(110))
TRADED = (TRADE, 1, 61_800_300_000_000, 6, T, LAST, 3, 1)

PAIRS = (
    Golden(
        "an aggregate trade, the documented stream",
        aggregate(5, sold=True),
        ((TRADE, -1, 61_800_300_000_000, 6, T, LAST, 4, 1),),
        sequences=(5,),
    ),
    Golden(
        "aggregate trades are missing",
        aggregate(70_000_008, sold=False),
        ((TRADE, 1, 61_800_300_000_000, 6, T, LAST | GAP, 4, 1),),
        before=(aggregate(70_000_005, sold=False),),
        sequences=(70_000_008,),
        notes={"trades missing by their ids": 2},
    ),
    Golden("a single trade, which no page documents", single(90_000_000), (TRADED,), sequences=(90_000_000,)),
    Golden(
        "an aggregate trade once single ones came",
        aggregate(5, sold=True),
        (),
        before=(single(9),),
        notes={"aggregate trades passed over: the single trades are there": 1},
    ),
    Golden(
        "a trade of the insurance fund is off the book",
        single(40_000_000, "INSURANCE_FUND"),
        (TRADED,),
        sequences=(40_000_000,),
        details=(3,),
    ),
    Golden(
        "a trade message that tells of no trade",
        single(9, "NA"),
        (),
        notes={"trade messages without a trade (X is NA)": 1},
    ),
    Golden(
        "a ticker of update ids far behind: the venue numbers anew",
        TICKER,
        (
            (QUOTE, 1, 61_800_200_000_000, 2507, T, 0, 2, 0),
            (QUOTE, -1, 61_800_300_000_000, 2510, T, LAST, 2, 0),
        ),
        before=(TICKER.replace(b'"u": 90', b'"u": 90000000'),),
        sequences=(90, 90),
        notes={"ids that begin anew": 1},
    ),
    Golden(
        "a ticker with the matching engine's time",
        TICKER,
        (
            (QUOTE, 1, 61_800_200_000_000, 2507, T, 0, 2, 0),
            (QUOTE, -1, 61_800_300_000_000, 2510, T, LAST, 2, 0),
        ),
        sequences=(90, 90),
    ),
    Golden(
        "a ticker beside a live book",
        TICKER,
        (
            (QUOTE, 1, 61_800_200_000_000, 2507, T, INFO, 2, 0),
            (QUOTE, -1, 61_800_300_000_000, 2510, T, INFO | LAST, 2, 0),
        ),
        before=LIVE,
        sequences=(90, 90),
    ),
    Golden(
        "a snapshot within the diff that waits for it",
        snapshot(110),
        (
            (CLEAR, 0, M, M, S + 2_000_000, SNAPSHOT, 1, 0),
            (LEVEL, 1, 61_800_200_000_000, 2909, S + 2_000_000, SNAPSHOT, 1, 0),
            (LEVEL, -1, 61_800_300_000_000, ONE, S + 2_000_000, SNAPSHOT | LAST, 1, 0),
            (LEVEL, 1, 61_800_100_000_000, ONE, T, LAST, 1, 0),
        ),
        before=(FIRST,),
        sequences=(110, 110, 110, 120),
    ),
    Golden(
        "a diff follows by pu, though ids are missing between",
        depth(150, 160, 120, (("61800.10", "0.000"),), (("61801.00", "0.5"),)),
        ((LEVEL, 1, 61_800_100_000_000, 0, T, 0, 1, 0), (LEVEL, -1, 61_801 * P, 500, T, LAST, 1, 0)),
        before=LIVE,
        sequences=(160, 160),
    ),
    Golden(
        "a diff with another pu does not follow, though its ids do",
        depth(121, 130, 119, (("61800.10", "1"),), ()),
        ((CLEAR, 0, M, M, T, LAST | GAP, 1, 0),),
        before=LIVE,
        sequences=(130,),
        notes={"resync": 1, "book BTCUSDT: live -> stale: gap": 1},
    ),
    *(
        Golden(
            f"aggregate trade {n:,}",
            aggregate(n, sold=True),
            ((TRADE, -1, 61_800_300_000_000, 6, T, LAST, 4, 1),),
            sequences=(n,),
        )
        for n in range(10**9, 6 * 10**9, 10**9)
    ),
    Golden("a quantity finer than the lot", single(9).replace(b"0.006", b"0.0065"), (), quarantined=("bad number",)),
    Golden("a trade that is cut short", single(9)[:-9], (), quarantined=("bad message",)),
)
