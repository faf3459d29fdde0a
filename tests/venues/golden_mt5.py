"""MetaTrader 5: answers of the terminal as frames, with invented numbers, and the events written out by hand.

Frames are put together here by hand, as MessagePack of lists and rows of 60 bytes, not by the session's encoder.
"""

from __future__ import annotations

import struct

import msgspec

from tapebook.market.events import MISSING as M
from tapebook.market.events import Flag, Kind
from tests.venues.golden import Golden

TRADE, LEVEL, QUOTE, CLEAR = int(Kind.TRADE), int(Kind.LEVEL), int(Kind.QUOTE), int(Kind.CLEAR)
LAST, SNAPSHOT, INFO = int(Flag.LAST), int(Flag.SNAPSHOT), int(Flag.INFO)
P = 1_000_000_000
MS = 1_787_161_891_000  # 17:51:31 on the wall in Brasilia, as if it were UTC
S = (MS + 3 * 3_600_000) * 1_000_000  # 2026-08-19T20:51:31 UTC
BID, ASK, LAST_PRICE, VOLUME, BUY, SELL = 2, 4, 8, 16, 32, 64

Line = tuple[int, float, float]


def tick(bid: float, ask: float, last: float, volume: int, flags: int, ms: int = 0, real: float | None = None) -> bytes:
    """Return a row: time, bid, ask, last, volume, time_msc, flags, volume_real."""
    at = MS + ms
    return struct.pack("<qdddQqId", at // 1000, bid, ask, last, volume, at, flags, volume if real is None else real)


def ticks(*rows: bytes, symbol: str = "WINQ26") -> bytes:
    return msgspec.msgpack.encode([1, symbol, b"".join(rows)])


def book(*lines: Line, symbol: str = "WINQ26") -> bytes:
    return msgspec.msgpack.encode([2, symbol, lines])


A = book((1, 130_010.0, 7.0), (1, 130_005.0, 4.0), (2, 130_000.0, 3.0), (2, 129_995.0, 9.0))
QUOTED = ticks(tick(130_000.0, 130_005.0, 0.0, 0, BID | ASK))

PAIRS = (
    Golden(
        "a quote of both sides, on the wall of Brasilia",
        QUOTED,
        ((QUOTE, 1, 130_000 * P, M, S, 0, 1, 0), (QUOTE, -1, 130_005 * P, M, S, LAST, 1, 0)),
    ),
    Golden(
        "a purchase, and the quote that it left",
        ticks(tick(130_000.0, 130_010.0, 130_005.0, 5, ASK | LAST_PRICE | VOLUME | BUY, 250)),
        (
            (TRADE, 1, 130_005 * P, 5, S + 250_000_000, 0, 1, 1),
            (QUOTE, -1, 130_010 * P, M, S + 250_000_000, LAST, 1, 0),
        ),
        before=(QUOTED,),
    ),
    Golden(
        "a sale of the dollar",
        ticks(tick(5400.0, 5400.5, 5400.0, 2, LAST_PRICE | VOLUME | SELL), symbol="WDOU26"),
        (
            (TRADE, -1, 5400 * P, 2, S, 0, 1, 1),
            (QUOTE, 1, 5400 * P, M, S, 0, 1, 0),
            (QUOTE, -1, 5400_500_000_000, M, S, LAST, 1, 0),
        ),
        instrument_id=2,
        notes={"quotes that flags do not tell": 2},
    ),
    Golden(
        "a trade of an auction has the bits of both sides, and no side",
        ticks(tick(130_000.0, 130_005.0, 130_000.0, 8, LAST_PRICE | VOLUME | BUY | SELL)),
        ((TRADE, 0, 130_000 * P, 8, S, LAST, 1, 0),),
        before=(QUOTED,),
        notes={"trades with both sides": 1},
    ),
    Golden(
        "two ticks of one millisecond are two messages",
        ticks(
            tick(130_000.0, 130_005.0, 130_005.0, 1, LAST_PRICE | VOLUME | BUY, 1),
            tick(130_000.0, 130_005.0, 130_005.0, 2, LAST_PRICE | VOLUME | BUY, 1),
        ),
        (
            (TRADE, 1, 130_005 * P, 1, S + 1_000_000, LAST, 1, 1),
            (TRADE, 1, 130_005 * P, 2, S + 1_000_000, LAST, 1, 1),
        ),
        before=(QUOTED,),
    ),
    Golden(
        "the first sample of a book",
        A,
        (
            (CLEAR, 0, M, M, M, SNAPSHOT, 2, 0),
            (LEVEL, 1, 130_000 * P, 3, M, SNAPSHOT, 2, 0),
            (LEVEL, 1, 129_995 * P, 9, M, SNAPSHOT, 2, 0),
            (LEVEL, -1, 130_005 * P, 4, M, SNAPSHOT, 2, 0),
            (LEVEL, -1, 130_010 * P, 7, M, SNAPSHOT | LAST, 2, 0),
        ),
    ),
    Golden(
        "the next sample says what is other",
        book((1, 130_010.0, 7.0), (1, 130_005.0, 2.0), (2, 130_000.0, 3.0), (3, 0.0, 50.0)),
        ((LEVEL, 1, 129_995 * P, 0, M, 0, 2, 0), (LEVEL, -1, 130_005 * P, 2, M, LAST, 2, 0)),
        before=(A,),
        notes={"lines of market orders": 1},
    ),
    Golden("the same sample again", A, (), before=(A,), notes={"books that change nothing": 1}),
    Golden(
        "a quote beside samples of the book only informs",
        QUOTED,
        ((QUOTE, 1, 130_000 * P, M, S, INFO, 1, 0), (QUOTE, -1, 130_005 * P, M, S, INFO | LAST, 1, 0)),
        before=(A,),
    ),
    Golden("a tick that says nothing new", QUOTED, (), before=(QUOTED,), notes={"ticks without news": 1}),
    Golden("no ticks", ticks(), (), notes={"frames without ticks": 1}),
    Golden(
        "what the broker says of a symbol",
        msgspec.msgpack.encode([3, "WINQ26", {"digits": 0, "point": 1.0, "name": "WINQ26"}]),
        (),
        notes={"descriptions of symbols": 1},
    ),
    Golden(
        "a bad tick between good ones",
        ticks(
            tick(130_000.0, 130_005.0, 130_005.0, 1, LAST_PRICE | VOLUME | BUY),
            tick(float("nan"), 130_005.0, 130_005.0, 1, LAST_PRICE | VOLUME | BUY),
            tick(130_000.0, 130_005.0, 130_005.0, 3, LAST_PRICE | VOLUME | BUY),
        ),
        ((TRADE, 1, 130_005 * P, 1, S, LAST, 1, 1), (TRADE, 1, 130_005 * P, 3, S, LAST, 1, 1)),
        before=(QUOTED,),
        quarantined=("a tick that cannot be",),
    ),
    Golden(
        "half a contract",
        ticks(tick(130_000.0, 130_005.0, 130_005.0, 0, LAST_PRICE | VOLUME | BUY, real=0.5)),
        (),
        quarantined=("a tick that cannot be",),
    ),
    Golden(
        "a trade before any price",
        ticks(tick(0.0, 0.0, 0.0, 5, VOLUME | BUY)),
        (),
        quarantined=("a trade without a price",),
    ),
    Golden(
        "rows cut short", ticks(tick(1.0, 2.0, 0.0, 0, BID)[:-1]), (), quarantined=("ticks that are no whole rows",)
    ),
    Golden(
        "a book with a price of no grid",
        book((1, float("inf"), 1.0)),
        (),
        quarantined=("a book that cannot be",),
    ),
    Golden("a frame of unknown form", b"\x93\x07\xa1x\xc0", (), quarantined=("a frame that cannot be read",)),
    Golden(
        "a symbol that nobody asked for",
        ticks(symbol="PETR4"),
        (),
        quarantined=("a symbol that is not subscribed",),
    ),
)
