"""Questions that every database of captured data is asked in the same words; ``?`` stands where a value is bound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from tapebook.market.events import MISSING
from tapebook.store.database import ContractStatistics
from tapebook.store.schema import FIELDS, TABLES, TableName

SESSIONS: Final = (
    "SELECT session_id, name, venue, journal, started_timestamp, ended_timestamp, state, settings FROM sessions"
)
END_SESSION: Final = "UPDATE sessions SET ended_timestamp = ?, state = ? WHERE session_id = ?"
SET_WATERMARK: Final = (
    "UPDATE watermark SET sequence = ?, received_timestamp = coalesce(?, received_timestamp) WHERE session_id = ?"
)
KEYED_TABLES: Final = (*TABLES, "gaps", "quality")
FORGET_SESSION: Final = tuple(f"DELETE FROM {t} WHERE session_id = ?" for t in ("watermark", "sessions"))  # noqa: S608 - our own names
_HALF: Final = 1 << 20  # sizes are summed in two parts: a sum that leaves 64 bits is an error in SQLite
_SIZES: Final = f"sum(size / {_HALF}), sum(size - size / {_HALF} * {_HALF})"
_STATISTICS: Final[dict[TableName, str]] = {
    table: (
        f"SELECT contract_id, symbol, count(*), min(received_timestamp), max(received_timestamp), "  # noqa: S608 - our own names
        f"{_SIZES if table == 'trades' else 'NULL, NULL'} FROM {table} WHERE session_id = ? "
        "GROUP BY contract_id, symbol"
    )
    for table in TABLES
}
_GAPS: Final = (
    "SELECT contract_id, count(*), sum(coalesce(end_timestamp - begin_timestamp, 0)) FROM gaps WHERE session_id = ? "
    "GROUP BY contract_id"
)
_FINDINGS: Final = "SELECT contract_id, count(*) FROM quality WHERE session_id = ? GROUP BY contract_id"
STATISTICS: Final = (*_STATISTICS.values(), _GAPS, _FINDINGS)
"""To be asked of one moment (in one transaction), answers to :func:`statistics_of`."""


def select_rows(
    table: TableName,
    session_id: int,
    *,
    contract_id: str | None,
    start_ns: int | None,
    end_ns: int | None,
    after: int,
    through: int | None,
    raw: bool,
) -> tuple[str, list[int | str]]:
    """Return the query for rows in the order in which they came, and its values."""
    names = [f"coalesce({f.name}, {MISSING})" if f.null else f.name for f in FIELDS[table]]
    conditions = (
        ("session_id = ?", session_id),
        ("contract_id = ?", contract_id),
        ("received_timestamp >= ?", start_ns),
        ("received_timestamp < ?", end_ns),
        ("sequence > ?", after),
        ("sequence <= ?", through),
    )
    asked = [(condition, value) for condition, value in conditions if value is not None]
    columns = ", ".join(["contract_id", "symbol", *(["raw_payload"] if raw else []), *names])
    where = " AND ".join(condition for condition, _ in asked)
    query = f"SELECT {columns} FROM {table} WHERE {where} ORDER BY sequence, row_index"  # noqa: S608 - our own names
    return query, [value for _, value in asked]


def select_span(
    table: TableName, session: str, session_id: int, start_ns: int | None, end_ns: int | None
) -> tuple[str, list[int]]:
    """Return the query for the first and last frame of a time; ``session``: its column, as the planner is to see it."""
    asked = [(f"{session} = ?", session_id)]
    asked += [("received_timestamp >= ?", start_ns)] if start_ns is not None else []
    asked += [("received_timestamp < ?", end_ns)] if end_ns is not None else []
    where = " AND ".join(condition for condition, _ in asked)
    query = f"SELECT min(sequence), max(sequence) FROM {table} WHERE {where}"  # noqa: S608 - our own names
    return query, [value for _, value in asked]


def span_of(found: Iterable[tuple[int | None, int | None]]) -> tuple[int, int]:
    """Return the first and last of several tables' spans; (0, 0) where there is none."""
    known = [(first, last) for first, last in found if first is not None and last is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else (0, 0)


def statistics_of(answers: list[list[tuple[Any, ...]]]) -> list[ContractStatistics]:
    """Put the answers to :data:`STATISTICS` together, contract by contract."""
    found: dict[tuple[str, str], ContractStatistics] = {}
    symbols: dict[str, str] = {}

    def of(contract_id: str, symbol: str) -> ContractStatistics:
        nothing = ContractStatistics(contract_id=contract_id, symbol=symbol, rows=dict.fromkeys(TABLES, 0))
        return found.setdefault((contract_id, symbol), nothing)

    for table, rows in zip(TABLES, answers[: len(TABLES)], strict=True):
        for contract_id, symbol, count, first, last, high, low in rows:
            known = of(contract_id, symbol)
            symbols.setdefault(contract_id, symbol)
            found[contract_id, symbol] = replace(
                known,
                rows={**known.rows, table: int(count)},
                first_received=min(first, first if known.first_received is None else known.first_received),
                last_received=max(last, last if known.last_received is None else known.last_received),
                traded_size=known.traded_size if high is None else int(high) * _HALF + int(low),
            )
    # Gaps and findings know the contract and not its symbol: they count with the first that it has.
    gaps, findings = answers[len(TABLES) :]
    for contract_id, count, length in gaps:
        known = of(contract_id, symbols.get(contract_id, ""))
        found[contract_id, known.symbol] = replace(known, gaps=int(count), gap_ns=int(length))
    for contract_id, count in findings:
        known = of(contract_id, symbols.get(contract_id, ""))
        found[contract_id, known.symbol] = replace(known, findings=int(count))
    return [found[key] for key in sorted(found)]
