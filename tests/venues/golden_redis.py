"""Frames of a fan-out, byte for byte, and what they mean.

The bytes are put together here by hand, from the description in ``tapebook.venues.redis.wire``, not by its encoder.
"""

from __future__ import annotations

import json
import struct
import zlib

from tapebook.market.events import COUNT_MISSING, MISSING, Flag, Kind
from tests.venues.golden import Golden

MNQ, MES = "CON.F.US.MNQ.U26", "CON.F.US.MES.U26"
NOW = 1_787_172_692_000_000_000
SENT = NOW - 3_000_000
M = MISSING
LAST, SNAPSHOT, GAP = int(Flag.LAST), int(Flag.SNAPSHOT), int(Flag.GAP)
P = 1_000_000_000
TRADE, LEVEL, QUOTE, CLEAR, STATUS = (int(k) for k in (Kind.TRADE, Kind.LEVEL, Kind.QUOTE, Kind.CLEAR, Kind.STATUS))

Told = tuple[int, int, int, int, int, int, int, int]
"""kind, side, price, qty_lots, ts_event_ns, flags, channel, side_source"""


def frame(sort: int, contract: str, rest: bytes, *, version: int = 1, schema: int = 1) -> bytes:
    head = struct.pack("<BBBxH", version, sort, schema, len(contract))
    body = contract.encode() + rest
    return b"TBEV" + head + struct.pack("<I", zlib.crc32(head + body)) + body


def table(*contracts: str) -> bytes:
    instruments = {
        contract: {
            "symbol": contract.split(".")[3] + "U6",
            "venue": "CME",
            "tick_e9": 250_000_000,
            "lot_e9": P,
            "multiplier": "2",
            "currency": "USD",
            "calendar": "CME",
            "kind": "future",
            "root": contract.split(".")[3],
            "expiry": "2026-09",
            "inverse": False,
        }
        for contract in contracts
    }
    return frame(1, "", json.dumps({"session": "monday", "contracts": instruments}).encode())


def event(told: Told, *, instrument_id: int = 9, ts_recv_ns: int = NOW) -> bytes:
    kind, side, price, qty, ts_event_ns, flags, channel, source = told
    numbers = struct.pack("<qqqqQq", ts_event_ns, ts_recv_ns, price, qty, 0, MISSING)
    return numbers + struct.pack("<IIHHBbBB", instrument_id, COUNT_MISSING, flags, channel, kind, side, source, 0)


def block(contract: str, first: int, *told: Told, sort: int = 2) -> bytes:
    return frame(sort, contract, struct.pack("<qqq", first, 5, 6) + b"".join(map(event, told)))


BOTH = table(MNQ, MES)
BOOK: tuple[Told, ...] = (
    (CLEAR, 0, M, M, SENT, SNAPSHOT, 1, 0),
    (LEVEL, 1, 29_500 * P, 7, SENT, SNAPSHOT, 1, 0),
    (LEVEL, -1, 29_500 * P + P // 4, 3, SENT, SNAPSHOT | LAST, 1, 0),
)
TOUCH: tuple[Told, ...] = (
    (QUOTE, 1, 29_500 * P, M, SENT, 0, 2, 0),
    (QUOTE, -1, 29_500 * P + P // 4, M, SENT, LAST, 2, 0),
)
PRINTS: tuple[Told, ...] = tuple(
    (TRADE, 1 - 2 * (i % 2), 29_500 * P + (i % 3) * P // 4, 1 + i % 5, SENT + i, LAST, 0, 1) for i in range(40)
)
HOLE: tuple[Told, ...] = ((CLEAR, 0, M, M, M, GAP | LAST, 1, 0),)

PAIRS = (
    Golden("a contract table", BOTH, (), notes={"contract tables": 1}),
    Golden("prints", block(MNQ, 0, *PRINTS), PRINTS, before=(BOTH,)),
    Golden("a book from its beginning", block(MNQ, 2, *BOOK), BOOK, before=(BOTH,)),
    Golden("the book as it stands, for who comes later", block(MNQ, 5, *BOOK, sort=3), BOOK, before=(BOTH,)),
    Golden("both sides of a quote", block(MNQ, 5, *TOUCH), TOUCH, before=(BOTH,)),
    Golden("a book that begins anew", block(MNQ, 7, *HOLE), HOLE, before=(BOTH,)),
    Golden("the other contract", block(MES, 0, *PRINTS), PRINTS, before=(BOTH,), instrument_id=2),
    Golden("a block in the middle of a stream", block(MNQ, 9_000, *PRINTS), PRINTS, before=(BOTH,)),
    Golden(
        "a damaged frame",
        block(MNQ, 0, *PRINTS)[:-1] + b"\xff",
        (),
        before=(BOTH,),
        quarantined=("a damaged frame",),
    ),
    Golden("no frame of ours", b"hello", (), quarantined=("not a frame of a fan-out",)),
    Golden(
        "a contract that no table names",
        block(MES, 0, *PRINTS),
        (),
        before=(table(MNQ),),
        quarantined=("events of a contract that no table names",),
    ),
    Golden(
        "a block that ends inside a message",
        block(MNQ, 0, *TOUCH[:1]),
        (),
        before=(BOTH,),
        quarantined=("a block that is not of whole messages",),
    ),
    Golden(
        "a frame of another version",
        frame(2, MNQ, struct.pack("<qqq", 0, 5, 6) + event(PRINTS[0]), schema=2),
        (),
        before=(BOTH,),
        quarantined=("another version of the fan-out",),
    ),
    Golden("a table that is no JSON", frame(1, "", b"{"), (), quarantined=("a contract table that cannot be read",)),
    Golden("a frame of an unknown sort", frame(4, MNQ, b""), (), quarantined=("a frame of unknown form",)),
)
