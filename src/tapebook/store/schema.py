"""The tables of captured data, the same in SQLite and PostgreSQL; versioned, made and brought up to date at opening.

Every row that came from a frame has the key (``session_id``, ``sequence``, ``row_index``): the session, the frame's
number in the session's journal, and the row's place among all rows of that frame, in whichever table. A frame decoded
again gives the same keys, so that replaying a journal changes nothing.

Times are int64 ns since 1970 UTC, prices int64 in 1e-9 units, sizes int64 lots; what the venue did not say is NULL.

``quotes``        one row an update of the best prices; ``type``: the parts it tells (1 bid, 2 ask, 4 last and volume)
``trades``        one row a print; ``side`` +1 bought, -1 sold, 0 unknown; ``type`` is the event's TradeCondition
``market_depth``  one row a change of the book; ``side`` +1 bid, -1 ask; ``type`` is the event's Kind (2 level …)
``gaps``          the stream was broken: from when to when, and why
``quality``       frames that were not understood, findings of the checks
``watermark``     up to which frame a session is complete here; written with the rows, in one transaction
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

SCHEMA_VERSION: Final = 1

Dialect: TypeAlias = Literal["sqlite", "postgres"]
TableName: TypeAlias = Literal["quotes", "trades", "market_depth"]
Type: TypeAlias = Literal["i8", "i4", "i2"]


class Field(NamedTuple):
    """An integer column of a table of rows."""

    name: str
    type: Type
    null: bool


def _fields(*columns: str) -> tuple[Field, ...]:
    """Read ``name type`` and ``name type?`` (may be missing)."""
    found = []
    for column in columns:
        name, kind = column.split()
        type_: Type = "i8" if kind.startswith("i8") else "i4" if kind.startswith("i4") else "i2"
        found.append(Field(name, type_, kind.endswith("?")))
    return tuple(found)


_HEAD: Final = _fields("sequence i8", "row_index i4", "received_timestamp i8", "exchange_timestamp i8?")
_TAIL: Final = _fields("venue_sequence i8?", "channel i4", "flags i4")
_QUOTE: Final = ("bid_price i8?", "bid_size i8?", "ask_price i8?", "ask_size i8?", "last_price i8?", "volume i8?")
_TRADE: Final = ("price i8", "size i8?", "side i2", "side_source i2", "type i2", "order_id i8?")
_DEPTH: Final = ("price i8?", "size i8?", "side i2", "type i2", "orders i8?", "order_id i8?")

FIELDS: Final[dict[TableName, tuple[Field, ...]]] = {
    "quotes": (*_HEAD, *_fields(*_QUOTE, "type i2"), *_TAIL),
    "trades": (*_HEAD, *_fields(*_TRADE), *_TAIL),
    "market_depth": (*_HEAD, *_fields(*_DEPTH), *_TAIL),
}
"""The integer columns of each table of rows; beside them ``session_id``, two texts and ``raw_payload``."""

TABLES: Final[tuple[TableName, ...]] = ("quotes", "trades", "market_depth")


def row_dtype(table: TableName) -> np.dtype[np.void]:
    """Return a table's rows as numpy has them: its integer columns, and ``contract``, an index of (id, symbol).

    >>> row_dtype("trades").names[:5]
    ('contract', 'sequence', 'row_index', 'received_timestamp', 'exchange_timestamp')
    """
    return np.dtype([("contract", "<i4"), *((f.name, f"<{f.type}") for f in FIELDS[table])])


_TYPES: Final[dict[Dialect, dict[str, str]]] = {
    "sqlite": {
        "i8": "INTEGER", "i4": "INTEGER", "i2": "INTEGER", "text": "TEXT", "bytes": "BLOB",
        "id": "INTEGER PRIMARY KEY", "clustered": " WITHOUT ROWID", "by_time": "",
    },
    "postgres": {
        "i8": "bigint", "i4": "integer", "i2": "smallint", "text": "text", "bytes": "bytea",
        "id": "integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "clustered": "", "by_time": "USING brin ",
    },
}  # fmt: skip

# No foreign key: every write holds its session's row of ``watermark``; checked row by row it halves PostgreSQL's rate.
_KEY: Final = "session_id {i4} NOT NULL, sequence {i8} NOT NULL, row_index {i4} NOT NULL"
_KEYED: Final = ", PRIMARY KEY (session_id, sequence, row_index)){clustered}"
_ROW: Final = (
    f"({_KEY}, received_timestamp {{i8}} NOT NULL, exchange_timestamp {{i8}}, contract_id {{text}} NOT NULL, "
    "symbol {text} NOT NULL, "
)
_END: Final = f"venue_sequence {{i8}}, channel {{i4}} NOT NULL, flags {{i4}} NOT NULL, raw_payload {{bytes}}{_KEYED}"

# A version, once released, is never edited: the next one adds statements that bring its tables up to date.
_VERSION_1: Final = (
    (
        "CREATE TABLE sessions (session_id {id}, name {text} NOT NULL UNIQUE, venue {text} NOT NULL, "
        "journal {text} NOT NULL, started_timestamp {i8} NOT NULL, ended_timestamp {i8}, state {text} NOT NULL, "
        "settings {text} NOT NULL)"
    ),
    (
        "CREATE TABLE watermark (session_id {i4} PRIMARY KEY REFERENCES sessions, sequence {i8} NOT NULL, "
        "received_timestamp {i8})"
    ),
    (
        f"CREATE TABLE quotes {_ROW}bid_price {{i8}}, bid_size {{i8}}, ask_price {{i8}}, ask_size {{i8}}, "
        f"last_price {{i8}}, volume {{i8}}, type {{i2}} NOT NULL, {_END}"
    ),
    (
        f"CREATE TABLE trades {_ROW}price {{i8}} NOT NULL, size {{i8}}, side {{i2}} NOT NULL, "
        f"side_source {{i2}} NOT NULL, type {{i2}} NOT NULL, order_id {{i8}}, {_END}"
    ),
    (
        f"CREATE TABLE market_depth {_ROW}price {{i8}}, size {{i8}}, side {{i2}} NOT NULL, type {{i2}} NOT NULL, "
        f"orders {{i8}}, order_id {{i8}}, {_END}"
    ),
    (
        f"CREATE TABLE gaps ({_KEY}, begin_timestamp {{i8}}, end_timestamp {{i8}}, source {{i4}} NOT NULL, "
        f"contract_id {{text}} NOT NULL, reason {{text}} NOT NULL, detail {{text}} NOT NULL{_KEYED}"
    ),
    (
        f"CREATE TABLE quality ({_KEY}, received_timestamp {{i8}} NOT NULL, contract_id {{text}} NOT NULL, "
        f"finding {{text}} NOT NULL, expected {{text}} NOT NULL, found {{text}} NOT NULL, raw_payload {{bytes}}{_KEYED}"
    ),
    "CREATE INDEX quotes_by_time ON quotes {by_time}(received_timestamp)",
    "CREATE INDEX trades_by_time ON trades {by_time}(received_timestamp)",
    "CREATE INDEX market_depth_by_time ON market_depth {by_time}(received_timestamp)",
)
_MIGRATIONS: Final = (_VERSION_1,)


def migrations(dialect: Dialect, version: int) -> Sequence[str]:
    """Return the statements that bring a database of ``version`` (0: empty) to :data:`SCHEMA_VERSION`."""
    return [s.format_map(_TYPES[dialect]) for statements in _MIGRATIONS[version:] for s in statements]
