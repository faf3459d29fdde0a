"""What there is to know of a captured session: by contract and stream, gaps, findings, lag, room taken, books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from tapebook.capture.rows import DEPTH_CHANNEL
from tapebook.capture.session_tape import decoded_journal, session_tape
from tapebook.capture.sessions import Captured, load_pruned, open_database_of
from tapebook.capture.settings import CHECKPOINTS, JOURNAL
from tapebook.market.errors import StoreError
from tapebook.market.events import MISSING, Events, Flag, Kind
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress
from tapebook.quality.info import describe as describe_tape
from tapebook.store.batches import Batch, GapRow, QualityRow
from tapebook.store.database import ContractStatistics
from tapebook.store.journal_files import segments
from tapebook.store.journal_read import JournalReader
from tapebook.store.schema import TABLES, TableName
from tapebook.venues.credentials import masked

__all__ = ["SessionStatistics", "describe_session", "listed", "sizes_of", "statistics_of_session"]

Described: TypeAlias = dict[str, Any]
_TOLD: Final = 1_000


@dataclass(kw_only=True)
class SessionStatistics:
    """Counts of a session, from its database or from its journal: the same.

    Attributes
    ----------
    counted_in
        ``database`` or ``journal``.
    contracts
        By contract and symbol.
    gaps, quality
        Breaks of the streams, findings.
    watermark
        The last frame that is counted.
    """

    counted_in: str
    contracts: list[ContractStatistics] = field(default_factory=list)
    gaps: list[GapRow] = field(default_factory=list)
    quality: list[QualityRow] = field(default_factory=list)
    watermark: int = 0


def statistics_of_session(
    session: Captured, *, source: str = "", progress: Progress | None = None
) -> SessionStatistics:
    """Count a session; ``source`` as :func:`~tapebook.capture.sessions.session_tape`'s, empty: the database if it can.

    Raises
    ------
    StoreError
        If neither can be read.
    """
    if source != "journal" and session.has_database:
        try:
            base, stored = open_database_of(session)
        except StoreError:
            if source == "database" or session.journal is None:
                raise
        else:
            with base:
                return SessionStatistics(
                    counted_in="database",
                    contracts=base.statistics(stored),
                    gaps=base.gaps(stored),
                    quality=base.quality(stored),
                    watermark=base.watermark(stored),
                )
    tally = _Tally()
    found = SessionStatistics(counted_in="journal")
    for _, decoded, decoder in decoded_journal(session, progress=progress):
        tally.add(decoded.batch)
        found.gaps += decoded.batch.gaps
        found.quality += decoded.batch.quality
        found.watermark = decoder.last_sequence
    found.contracts = tally.statistics(found.gaps, found.quality)
    return found


def listed(session: Captured) -> Described:
    """Return one line of a list: nothing that takes long."""
    sizes = sizes_of(session)
    return {
        "name": session.label,
        "session": session.name,
        "venue": session.venue,
        "contracts": [str(c.get("id", "")) for source in session.sources for c in source.contracts],
        "state": session.state,
        "complete": session.complete,
        "started_ns": session.started_ns,
        "ended_ns": session.ended_ns,
        "folder": str(session.folder) if session.folder is not None else None,
        "database": session.shown,
        "size_bytes": sum(sizes.values()),
    }


def describe_session(session: Captured, *, deep: bool = False, progress: Progress | None = None) -> Described:
    """Tell everything of a session; all of it is JSON-able.

    Parameters
    ----------
    session
        Which one.
    deep
        Decode its journal as well: latencies of the venue, and how its books stood.
    progress
        Told how far that is.
    """
    about = listed(session)
    about["sizes"] = sizes_of(session)
    about["sources"] = [{"number": s.number, "name": s.name, "contracts": len(s.contracts)} for s in session.sources]
    pruned = load_pruned(session.folder) if session.folder is not None else None
    if pruned is not None:
        about["pruned"] = {"lake": pruned.lake, "source": pruned.source, "events": pruned.events}
    about["journal"] = _journal(session)
    if session.state == "pruned" or (session.journal is None and not session.has_database):
        about |= {"counted_in": "", "contracts_seen": [], "gaps": [], "findings": [], "watermark": 0}
    else:
        counted = statistics_of_session(session, progress=progress)
        names = {source.number: source.name for source in session.sources}
        about["counted_in"] = counted.counted_in
        about["watermark"] = counted.watermark
        about["contracts_seen"] = [contract_row(one) for one in counted.contracts]
        about["gaps"] = [_gap(row, names) for row in counted.gaps[:_TOLD]]
        about["n_gaps"] = len(counted.gaps)
        about["findings"] = _findings(counted.quality)
    last = about["journal"]["last_sequence"] if about["journal"] else about["watermark"]
    about["behind_frames"] = max(last - about["watermark"], 0) if about["counted_in"] == "database" else None
    if deep:
        about["books"] = _books(session, progress)
    return about


def contract_row(one: ContractStatistics) -> Described:
    """Return a contract's statistics, JSON-able."""

    def number(x: float) -> float | None:
        return x if x == x else None  # noqa: PLR0124 - not NaN

    return {
        "contract_id": one.contract_id,
        "symbol": one.symbol,
        "rows": {table: one.rows[table] for table in TABLES},
        "per_s": {table: number(one.rate_per_s(table)) for table in TABLES},
        "first_received_ns": one.first_received,
        "last_received_ns": one.last_received,
        "span_s": number(one.span_s),
        "traded_size": one.traded_size,
        "gaps": one.gaps,
        "gap_s": one.gap_ns / 1e9,
        "findings": one.findings,
    }


def sizes_of(session: Captured) -> dict[str, int]:
    """Return the bytes on disk by part; a server's database is not ours to measure."""
    if session.folder is None:
        return {}
    folder = session.folder
    out = {"journal": _size(folder / JOURNAL), "checkpoints": _size(folder / CHECKPOINTS)}
    path = Path(session.database.removeprefix("sqlite://"))
    if session.has_database and "postgres" not in session.database.partition("://")[0]:
        out["database"] = sum(_size(path.with_name(path.name + end)) for end in ("", "-wal", "-shm"))
    out["log"] = sum(_size(found) for found in folder.glob("capture.log*"))
    return out


def _size(path: Path) -> int:
    """Return the bytes that a file or folder takes (room that was only reserved counts)."""
    try:
        if path.is_dir():
            return sum(_size(inner) for inner in path.iterdir())
        return path.stat().st_size
    except FileNotFoundError:  # gone between our listing and our asking
        return 0


def _journal(session: Captured) -> Described | None:
    journal = session.journal
    if journal is None:
        return None
    known = segments(journal)
    last = known[-1].last_sequence
    if not known[-1].sealed:
        last = known[-1].first_sequence - 1
        with JournalReader(journal, start=known[-1].first_sequence) as reader:
            while frames := reader.read():
                last = frames[-1].sequence
    return {
        "segments": len(known),
        "sealed": sum(one.sealed for one in known),
        "first_sequence": known[0].first_sequence,
        "last_sequence": last,
    }


def _gap(row: GapRow, names: dict[int, str]) -> Described:
    begin, end = row.begin_timestamp, row.end_timestamp
    return {
        "begin_ns": begin,
        "end_ns": end,
        "duration_s": (end - begin) / 1e9 if begin is not None and end is not None else None,
        "source": names.get(row.source, str(row.source)),
        "contract_id": row.contract_id,
        "reason": row.reason,
        "detail": row.detail,
    }


def _findings(rows: Iterable[QualityRow]) -> list[Described]:
    """Return findings by sort and contract, the most frequent first, each with its first example."""
    counts: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], QualityRow] = {}
    for row in rows:
        key = row.finding, row.contract_id
        counts[key] += 1
        first.setdefault(key, row)
    return [
        {
            "finding": finding,
            "contract_id": contract_id,
            "count": n,
            "first_ns": first[finding, contract_id].received_timestamp,
            "expected": first[finding, contract_id].expected,
            "found": masked(first[finding, contract_id].found),
        }
        for (finding, contract_id), n in counts.most_common()
    ]


def _books(session: Captured, progress: Progress | None) -> list[Described]:
    """Return how each instrument's book stood, and the venue's latency."""
    quarantine = Quarantine(keep=0)
    tape = session_tape(session, quarantine=quarantine)
    if progress is not None:
        tape.progress = progress
    resets = _Resets()
    inner = tape.read
    tape.read = lambda n: map(resets.see, inner(n))
    return [
        {
            "symbol": one["symbol"],
            "latency_ns": one["latency_ns"],
            "depth": one["depth"],
            "resets": resets.counts.get(one["symbol"], 0),
            "completeness_percent": one["completeness_percent"],
        }
        for one in _named(describe_tape(tape)["instruments"], resets, tape)
    ]


def _named(instruments: list[Described], resets: _Resets, tape: Any) -> list[Described]:
    resets.counts = {tape.instruments[i].symbol: n for i, n in resets.by_id.items() if i in tape.instruments}
    return instruments


class _Resets:
    """Counts how often each book began anew."""

    def __init__(self) -> None:
        self.by_id: Counter[int] = Counter()
        self.counts: dict[str, int] = {}

    def see(self, events: Events) -> Events:
        cleared = events["instrument_id"][(events["kind"] == Kind.CLEAR) & (events["channel"] == DEPTH_CHANNEL)]
        self.by_id.update(cleared.tolist())
        return events


class _Tally:
    """Counts batches as :meth:`~tapebook.store.database.Database.statistics` counts rows."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Counter[TableName]] = {}
        self._span: dict[tuple[str, str], tuple[int, int]] = {}
        self._traded: dict[tuple[str, str], int] = {}

    def add(self, batch: Batch) -> None:
        """Count one batch."""
        for table, rows in batch.tables.items():
            for code in np.unique(rows["contract"]).tolist():
                key = batch.contracts[code]
                mine = rows[rows["contract"] == code]
                self._rows.setdefault(key, Counter())[table] += mine.size
                received = mine["received_timestamp"]
                first, last = self._span.get(key, (2**63 - 1, MISSING))
                self._span[key] = min(first, int(received.min())), max(last, int(received.max()))
                if table == "trades":
                    sizes = mine["size"][mine["size"] != MISSING]
                    if sizes.size:
                        self._traded[key] = self._traded.get(key, 0) + sum(sizes.tolist())

    def statistics(self, gaps: list[GapRow], quality: list[QualityRow]) -> list[ContractStatistics]:
        """Return what was counted."""
        symbols: dict[str, str] = {}
        for contract_id, symbol in self._rows:
            symbols.setdefault(contract_id, symbol)
        keys = dict.fromkeys(self._rows)
        for contract_id in (*(row.contract_id for row in gaps), *(row.contract_id for row in quality)):
            keys.setdefault((contract_id, symbols.get(contract_id, "")))
        out = []
        for key in sorted(keys):
            span = self._span.get(key)
            mine = [row for row in gaps if row.contract_id == key[0]]
            out.append(
                ContractStatistics(
                    contract_id=key[0],
                    symbol=key[1],
                    rows={table: self._rows.get(key, Counter())[table] for table in TABLES},
                    first_received=span[0] if span else None,
                    last_received=span[1] if span else None,
                    traded_size=self._traded.get(key),
                    gaps=len(mine),
                    gap_ns=sum(
                        row.end_timestamp - row.begin_timestamp
                        for row in mine
                        if row.begin_timestamp is not None and row.end_timestamp is not None
                    ),
                    findings=sum(row.contract_id == key[0] for row in quality),
                )
            )
        return out


def is_news(events: Events) -> Any:
    """Return which events are news: no part of a snapshot, no beginning anew."""
    snapshot = (events["flags"] & int(Flag.SNAPSHOT)) != 0
    return ~snapshot & (events["kind"] != Kind.CLEAR)
