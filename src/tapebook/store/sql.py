"""SQL over a lake, by DuckDB, reading and nothing else.

Views:

=============  =======================================================================================================
events         every stored event as it is: the columns of the event record, ``venue symbol date source arrival``
trades         ts_event ts_recv venue symbol date price price_decimal qty side condition order_id sequence source
quotes levels  ts_event ts_recv venue symbol date side price price_decimal qty count snapshot sequence source
orders         ts_event ts_recv venue symbol date action side price price_decimal qty order_id sequence source
status         ts_event ts_recv venue symbol date phase source
instruments    venue symbol tick lot multiplier currency calendar kind root expiry inverse
sources        id name format schema venue rows truncated bad_records
bars …         imported tables, by the name of their schema (``bars_1m``); ``bars`` all those that begin with it
=============  =======================================================================================================

Times are TIMESTAMP_NS in UTC. ``price`` and ``qty`` are doubles for arithmetic, ``price_decimal`` is exact;
``events.price`` is the integer of 1e-9. Order rows by ``arrival`` of one source, or by time.

What a query may do: one SELECT (or EXPLAIN), on the files that were chosen. DuckDB is told to open no other file, no
network, no extension, and that these settings are final; statements of other kinds are refused before they run.

Before the query the bytes of all chosen files are compared with their checksums (DuckDB itself would not notice a
flipped bit): 0.3 s a GB from memory, else as fast as the disk. ``check=False`` leaves that out.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from tapebook.market.arrow import EVENT_SCHEMA
from tapebook.market.errors import StoreError
from tapebook.market.events import PRICE_SCALE, Flag, Kind, Phase, TradeCondition
from tapebook.market.tape import Progress
from tapebook.store.lake import Lake
from tapebook.store.manifest import Source
from tapebook.store.partitions import ARRIVAL
from tapebook.store.selection import Moment, Words, select
from tapebook.store.verify import check_bytes

__all__ = ["Answer", "query"]

_ROWS: Final = 1 << 16
_RESERVED: Final = frozenset({"events", "trades", "quotes", "levels", "orders", "status", "instruments", "sources"})
_TIMES: Final = "make_timestamp_ns(ts_event_ns) AS ts_event, make_timestamp_ns(ts_recv_ns) AS ts_recv"
_WHOSE: Final = "venue, symbol, date"
_PRICE: Final = (
    "price / 1e9 AS price, CAST(price AS DECIMAL(19, 0)) * CAST(0.000000001 AS DECIMAL(10, 9)) AS price_decimal"
)
_BOOK_SIDE: Final = "CASE side WHEN 1 THEN 'bid' WHEN -1 THEN 'ask' END AS side"


@dataclass(frozen=True)
class Answer:
    """What a query gives: Arrow batches of ``schema``, to be read inside the ``with`` that made it."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


@contextmanager
def query(
    lake: Lake,
    sql: str,
    *,
    venue: Words = None,
    symbol: Words = None,
    start: Moment = None,
    end: Moment = None,
    sources: Words = None,
    mix: bool = False,
    check: bool = True,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Ask a lake; the options choose files as :meth:`Lake.tape` does (a range by trade date, not by ns).

    Raises
    ------
    StoreError
        If the statement is no single SELECT, DuckDB refuses it, or chosen sources tell the same thing twice.
    StoreCorrupted
        If a chosen file is not what was imported.
    """
    import duckdb

    _refuse_all_but_select(sql)
    known = lake.sources()
    if select(venue, symbol, start, end, sources).by_clock:
        raise StoreError("a query chooses files", expected="trade dates", remedy="put the times into the WHERE")
    found: Mapping[str, Source] = {}
    if any((venue, symbol, start, end, sources)) or any(not s.table for s in known.values()):
        _, found = lake.choose(venue, symbol, start, end, sources=sources, mix=mix)
    tables = {i: s for i, s in known.items() if s.table}
    files = [f for s in [*found.values(), *tables.values()] for f in s.files]
    progress = progress or Progress()
    progress.total_bytes = sum(f.size_bytes for f in files)
    if check:
        check_bytes(lake.path, files, progress)
    with tempfile.TemporaryDirectory(prefix="tapebook-sql-") as spill:
        connection = duckdb.connect(":memory:", config={"python_enable_replacements": "false"})
        try:
            _views(connection, lake.path, found, tables)
            _lock(connection, [str(lake.path / f.path) for f in files], spill)
            relation = connection.sql(sql)
            # DuckDB 2 renamed it, and warns at the old name.
            read = getattr(type(relation), "to_arrow_reader", None) or type(relation).fetch_arrow_reader
            reader = read(relation, _ROWS)
            yield Answer(reader.schema, _told(reader))
        except duckdb.Error as error:
            raise _refused(error) from None
        finally:
            connection.close()


def _told(reader: Any) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an answer; what fails while it runs is told like what fails before."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except Exception as error:  # noqa: BLE001 - DuckDB's errors come as themselves, as Arrow's or as OSError
            raise _refused(error) from None
        yield batch


def _refuse_all_but_select(sql: str) -> None:
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise _refused(error) from None
    kinds = [s.type.name for s in statements]
    if len(kinds) != 1 or kinds[0] not in ("SELECT", "EXPLAIN"):
        raise StoreError(
            "only reading is allowed",
            expected="one SELECT",
            found=", ".join(kinds) or "nothing",
            where=sql[:80],
            remedy="write answers to a file with --to",
        )


def _lock(connection: Any, paths: list[str], spill: str) -> None:
    """Let DuckDB read ``paths`` and nothing else, for good."""
    settings = [
        f"SET temp_directory = {_quoted(spill)}",
        f"SET allowed_directories = [{_quoted(spill)}]",
        f"SET allowed_paths = [{', '.join(map(_quoted, paths))}]",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET TimeZone = 'UTC'",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ]
    for setting in settings:
        connection.execute(setting)


def _views(connection: Any, root: Path, found: Mapping[str, Source], tables: Mapping[str, Source]) -> None:
    files = [str(root / f.path) for s in found.values() for f in s.files]
    if files:
        types = "{'venue': VARCHAR, 'symbol': VARCHAR, 'date': DATE}"
        names = ", ".join(f.name for f in [*EVENT_SCHEMA, ARRIVAL])
        listed = f"[{', '.join(map(_quoted, files))}]"
        source = r"regexp_extract(filename, '([0-9a-f]{16})-\d+-[0-9a-f]{8}\.parquet$', 1) AS source"
        parquet = f"read_parquet({listed}, hive_partitioning = true, hive_types = {types}, filename = true)"
        _view(connection, "events", f"{names}, {_WHOSE}, {source}", f"FROM {parquet}")
    else:
        columns = ", ".join(f"NULL::{_sql_type(f.type)} AS {f.name}" for f in [*EVENT_SCHEMA, ARRIVAL])
        whose = "NULL::VARCHAR AS venue, NULL::VARCHAR AS symbol, NULL::DATE AS date, NULL::VARCHAR AS source"
        _view(connection, "events", f"{columns}, {whose}", "WHERE false")
    quantity = f"qty_lots * {_lot(found)} / 1e9 AS qty"
    book = f"{_TIMES}, {_WHOSE}, {_BOOK_SIDE}, {_PRICE}, {quantity}"
    level = f"{book}, count, flags & {int(Flag.SNAPSHOT)} <> 0 AS snapshot, sequence, arrival, source"
    side = "CASE side WHEN 1 THEN 'buy' WHEN -1 THEN 'sell' END AS side"
    condition = f"{_case('detail', TradeCondition)} AS condition"
    print_ = f"{_TIMES}, {_WHOSE}, {_PRICE}, {quantity}, {side}, {condition}, order_id, sequence, arrival, source"
    action = f"{_case('kind', Kind)} AS action"
    order = f"{_TIMES}, {_WHOSE}, {action}, {_BOOK_SIDE}, {_PRICE}, {quantity}, order_id, sequence, arrival, source"
    orders = ", ".join(str(int(k)) for k in (Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE))
    phase = f"{_TIMES}, {_WHOSE}, {_case('detail', Phase)} AS phase, arrival, source"
    for name, columns, kinds in (
        ("trades", print_, int(Kind.TRADE)),
        ("quotes", level, int(Kind.QUOTE)),
        ("levels", level, int(Kind.LEVEL)),
        ("orders", order, orders),
        ("status", phase, int(Kind.STATUS)),
    ):
        _view(connection, name, columns, f"FROM events WHERE kind IN ({kinds})")
    _small_tables(connection, found, tables)
    by_name: dict[str, list[str]] = {}
    for table in tables.values():
        word = re.sub(r"\W", "_", table.table.lower()) or "rows"
        word = f"table_{word}" if word in _RESERVED or word[0].isdigit() else word
        paths = [str(root / f.path) for f in table.files]
        for view in {word, "bars"} if word.startswith("bars") else {word}:
            by_name.setdefault(view, []).extend(paths)
    for name, paths in by_name.items():
        listed = f"[{', '.join(map(_quoted, paths))}]"
        _view(connection, name, "*", f"FROM read_parquet({listed}, union_by_name = true, hive_partitioning = false)")


def _view(connection: Any, name: str, columns: str, rest: str) -> None:
    connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns} {rest}')


def _small_tables(connection: Any, found: Mapping[str, Source], tables: Mapping[str, Source]) -> None:
    everything = [*found.values(), *tables.values()]
    connection.execute(
        "CREATE TABLE instruments (venue VARCHAR, symbol VARCHAR, tick DOUBLE, lot DOUBLE, multiplier DECIMAL(28, 9), "
        "currency VARCHAR, calendar VARCHAR, kind VARCHAR, root VARCHAR, expiry VARCHAR, inverse BOOLEAN)"
    )
    instruments = {(i.venue, i.symbol): i for s in everything for i in s.instruments.values()}
    rows: list[Sequence[Any]] = [
        [
            *(i.venue, i.symbol, i.tick_e9 / PRICE_SCALE, i.lot_e9 / PRICE_SCALE, i.multiplier, i.currency),
            *(i.calendar, i.kind, i.root, i.expiry, i.inverse),
        ]
        for _, i in sorted(instruments.items())
    ]
    if rows:
        connection.executemany("INSERT INTO instruments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    connection.execute(
        "CREATE TABLE sources (id VARCHAR, name VARCHAR, format VARCHAR, schema VARCHAR, venue VARCHAR, rows BIGINT, "
        "truncated VARCHAR, bad_records BIGINT)"
    )
    rows = [
        [
            *(s.id, s.origin.name, s.origin.format, s.origin.schema, s.origin.venue, s.stored_rows, s.truncated),
            sum(s.bad_records.values()),
        ]
        for s in everything
    ]
    if rows:
        connection.executemany("INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _lot(found: Mapping[str, Source]) -> str:
    """Return the lot in 1e-9 as SQL: a number, or by instrument where they differ."""
    keys = {(f.venue, f.symbol) for s in found.values() for f in s.files}
    lots = {(i.venue, i.symbol): i.lot_e9 for s in found.values() for i in s.instruments.values()}
    by_lot: dict[int, list[str]] = {}
    for key in sorted(keys):
        by_lot.setdefault(lots.get(key, PRICE_SCALE), []).append(_quoted(f"{key[0]}/{key[1]}"))
    if len(by_lot) < 2:
        return f"{float(next(iter(by_lot), PRICE_SCALE))!r}"
    cases = " ".join(
        f"WHEN venue || '/' || symbol IN ({', '.join(names)}) THEN {lot}.0" for lot, names in by_lot.items()
    )
    return f"(CASE {cases} END)"


def _case(column: str, names: Any) -> str:
    return f"CASE {column} " + " ".join(f"WHEN {int(n)} THEN '{n.name.lower()}'" for n in names) + " END"


def _sql_type(kind: pa.DataType) -> str:
    return {
        "int64": "BIGINT",
        "uint64": "UBIGINT",
        "uint32": "UINTEGER",
        "uint16": "USMALLINT",
        "uint8": "UTINYINT",
    }.get(str(kind), "TINYINT")


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


def _refused(error: Exception) -> StoreError:
    """Tell DuckDB's words without its stack and advertisement."""
    text = str(error).strip().split("\n\n")[0]
    return StoreError(
        "the query failed",
        found=text,
        remedy=f"the views are {', '.join(sorted(_RESERVED))} (DESCRIBE trades)",
    )
