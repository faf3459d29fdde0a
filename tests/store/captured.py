"""Rows of every sort for databases of captured data, made from frames' numbers."""

from __future__ import annotations

from typing import Any

from tapebook.market.errors import MalformedRecord
from tapebook.market.events import MISSING
from tapebook.store.batches import Batch, BatchBuilder
from tapebook.store.database import (
    Database,
    Session,
    TableRows,
)
from tapebook.store.journal_format import Frame
from tapebook.store.schema import TABLES, TableName

SESSION = Session(name="monday", venue="projectx", journal="monday", started_timestamp=10**18)
T0 = 1_700_000_000 * 10**9


def decode(frame: Frame, rows: BatchBuilder) -> None:
    """Make rows of all tables out of a frame's number; every tenth frame is not understood."""
    n = frame.sequence
    contract = [("CON.F.US.MNQ.M25", "MNQM5"), ("CON.F.US.EP.M25", "ESM5"), ("Ü", "")][n % 3]
    exchange = MISSING if n % 5 == 0 else frame.ts_recv_ns - 1_000
    if n % 2:
        rows.trade(*contract, price=n * 10**9, size=n, side=(-1) ** n, exchange_ns=exchange, venue_sequence=n)
    if n % 10 == 0:
        raise MalformedRecord("not a message", expected="JSON", found=repr(frame.payload), where="frame")
    for level in range(n % 4):
        size = MISSING if n % 7 == 0 else n
        rows.depth(*contract, kind=2, side=1 - 2 * (n % 2), price=-n * level, size=size, exchange_ns=exchange, flags=1)
    bid = MISSING if n % 6 == 0 else n
    rows.quote(*contract, bid_price=bid, ask_price=2**63 - 1 - n, parts=n % 8, exchange_ns=exchange, channel=7)
    if n % 9 == 0:
        rows.gap(begin_ns=n, end_ns=None, reason="socket closed", detail="with a \0 in it", contract_id=contract[0])


def frames(first: int, last: int) -> list[Frame]:
    return [Frame(n, T0 + n * 1_000, 1, 1, b"payload \0 %d" % n) for n in range(first, last + 1)]


def batch_of(first: int, last: int, *, keep_raw: bool = False) -> Batch:
    builder = BatchBuilder(after=first - 1, keep_raw=keep_raw)
    for frame in frames(first, last):
        builder.add(frame, decode)
    return builder.build()


def plain(found: TableRows | Batch, table: TableName) -> list[tuple[Any, ...]]:
    rows = found.rows if isinstance(found, TableRows) else found.tables[table]
    return [(found.contracts[row["contract"]], *row.tolist()[1:]) for row in rows]


def content(database: Database, session: Session) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {
        table: [row for part in database.read(session, table) for row in plain(part, table)] for table in TABLES
    }
    return found | {"gaps": [*database.gaps(session)], "quality": [*database.quality(session)]}
