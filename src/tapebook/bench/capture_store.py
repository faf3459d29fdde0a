"""What live capture writes: the journal, and rows into both databases beside plain ``executemany`` of the same rows.

The journal's peer is one ``os.write`` of each record: what a program has to do that wants a frame to survive its death
and has no mapped segment. ``executemany`` is given its tuples ready made, we make ours from columns. PostgreSQL is
measured where the environment variable TAPEBOOK_BENCH_POSTGRES holds the URL of a database; the schema
``tapebook_bench`` is made there and dropped again.
"""

from __future__ import annotations

import gc
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from tapebook.store.batches import Batch, BatchBuilder
from tapebook.store.database import Database, Session, open_database
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import Frame, FrameKind, record
from tapebook.store.schema import FIELDS

_Raw: TypeAlias = tuple[int, int, int, bytes]
_FRAMES: Final = 2_000_000
_ONE_BY_ONE: Final = 300_000
_ROWS: Final = 300_000
_BATCH: Final = 5_000
_T0: Final = 1_700_000_000 * 10**9
_PAYLOAD: Final = b"0123456789" * 20
_VARIABLE: Final = "TAPEBOOK_BENCH_POSTGRES"


def run(data: Path | None) -> list[dict[str, Any]]:
    """Measure; recordings are not needed."""
    _ = data
    with tempfile.TemporaryDirectory() as folder:
        figures = [*_journal(Path(folder)), *_database(Path(folder), "SQLite", f"sqlite://{folder}/ours.db")]
        url = os.environ.get(_VARIABLE, "")
        if url:
            figures += _postgres(Path(folder), url)
    return figures


def _journal(folder: Path) -> Iterator[dict[str, Any]]:
    frames = [(_T0 + i, 0, FrameKind.FRAME, _PAYLOAD) for i in range(1_000)]
    settings = JournalSettings()
    with Journal(folder / "lots", settings=settings) as journal:
        before = after = 0
        seconds = 0.0
        for i in range(_FRAMES // 1_000):
            start = time.perf_counter()
            journal.append(frames)
            seconds += time.perf_counter() - start
            if i == _FRAMES // 10_000:  # a tenth is in: threads and buffers are there
                before = _memory()
            after = _memory() if i == _FRAMES // 1_000 - 1 else after
    with Journal(folder / "single", settings=settings) as journal:
        took = _each(lambda frame: journal.append((frame,)), frames)
    peer = _each(_write_each(folder / "peer"), frames)
    ours, theirs = _ONE_BY_ONE / took.sum() * 1e9, _ONE_BY_ONE / peer.sum() * 1e9
    name = "os.write of each record"
    yield _figure("journal_lots", "journal, frames of 200 bytes, 1,000 an append", _FRAMES / seconds, _FRAMES)
    yield _figure("journal_single", "journal, frames of 200 bytes, one an append", ours, _ONE_BY_ONE, theirs, name)
    late, peer_late = (float(np.quantile(x, 0.99)) / 1e3 for x in (took, peer))
    yield _figure("journal_p99", "journal, one append, p99", late, _ONE_BY_ONE, peer_late, name, unit="µs", less=True)
    if before:
        growth = (after - before) / 2**20
        yield _figure("journal_memory", f"journal, memory more after {_FRAMES:,} frames", growth, _FRAMES, unit="MiB")


def _each(append: Callable[[_Raw], Any], frames: Sequence[_Raw]) -> NDArray[np.int64]:
    """Return the ns of each of many single appends."""
    took = np.empty(_ONE_BY_ONE, np.int64)
    clock = time.perf_counter_ns
    gc.collect()
    for i in range(_ONE_BY_ONE):
        frame = frames[i % 1_000]
        start = clock()
        append(frame)
        took[i] = clock() - start
    return took


def _write_each(path: Path) -> Callable[[_Raw], Any]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sequence = 0

    def append(frame: _Raw) -> None:
        nonlocal sequence
        sequence += 1
        os.write(handle, record(Frame(sequence, *frame)))

    return append


def _memory() -> int:
    """Return the process's own memory (mapped files are the system's); 0 where it is not told."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("RssAnon")), 0)


def _postgres(folder: Path, url: str) -> Iterator[dict[str, Any]]:
    import psycopg

    with psycopg.connect(url) as server:
        server.execute("DROP SCHEMA IF EXISTS tapebook_bench CASCADE")
        server.execute("CREATE SCHEMA tapebook_bench")
    try:
        joint = "&" if "?" in url else "?"
        yield from _database(folder, "PostgreSQL", f"{url}{joint}options={quote('-csearch_path=tapebook_bench')}")
    finally:
        with psycopg.connect(url) as server:
            server.execute("DROP SCHEMA tapebook_bench CASCADE")


def _database(folder: Path, kind: str, url: str) -> Iterator[dict[str, Any]]:
    name = kind.lower()
    with open_database(url) as database:
        session = database.begin_session(_session("rows"))
        batches = list(_batches())
        start = time.perf_counter()
        for batch in batches:
            database.write(session, batch)
        ours = _ROWS / (time.perf_counter() - start)
        peer_id = database.begin_session(_session("executemany")).session_id
        peer = _ROWS / _executemany(url, [_tuples(peer_id, batch) for batch in batches])
        yield _figure(
            f"{name}_rows", f"{kind}, rows of depth in batches of {_BATCH:,}", ours, _ROWS, peer, "executemany"
        )
        with Journal(folder / f"journal-{name}") as journal:
            seconds = _whole(journal, database)
        yield _figure(
            f"{name}_whole",
            f"journal, batches and {kind}, frames a second of our processor time",
            _ROWS / seconds,
            _ROWS,
        )


def _session(name: str) -> Session:
    return Session(name=name, venue="bench", journal=name, started_timestamp=0)


def _decode(frame: Frame, rows: BatchBuilder) -> None:
    n = frame.sequence
    price = 18_250 * 10**9 + n % 97 * 250_000_000
    stamps = {"exchange_ns": frame.ts_recv_ns - 30_000_000}
    rows.depth("CON.F.US.MNQ.M25", "MNQM5", kind=2, side=1 - 2 * (n & 1), price=price, size=n % 50, **stamps)


def _batches() -> Iterator[Batch]:
    builder = BatchBuilder()
    for n in range(1, _ROWS + 1):
        builder.add(Frame(n, _T0 + n * 200_000, 0, FrameKind.FRAME, _PAYLOAD), _decode)
        if n % _BATCH == 0:
            yield builder.build()


def _tuples(session_id: int, batch: Batch) -> list[tuple[Any, ...]]:
    """Return rows as somebody has them who keeps no columns."""
    missing = np.iinfo(np.int64).min
    rows = batch.tables["market_depth"].tolist()
    return [(session_id, *batch.contracts[r[0]], *(None if v == missing else v for v in r[1:])) for r in rows]


def _executemany(url: str, batches: list[list[tuple[Any, ...]]]) -> float:
    """Return the seconds that the same rows take, a commit a batch."""
    names = ["session_id", "contract_id", "symbol", *(f.name for f in FIELDS["market_depth"])]
    insert = f"INSERT INTO market_depth ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - our own names
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite://"))) as base:
            base.execute("PRAGMA synchronous=NORMAL")
            start = time.perf_counter()
            for rows in batches:
                base.executemany(insert, rows)
                base.commit()
            return time.perf_counter() - start
    import psycopg

    with psycopg.connect(url) as server, server.cursor() as cursor:
        start = time.perf_counter()
        for rows in batches:
            cursor.executemany(insert.replace("?", "%s"), rows)
            server.commit()
        return time.perf_counter() - start


def _whole(journal: Journal, database: Database) -> float:
    """Return the processor seconds from bytes to committed rows, all our threads, in lots as a socket gives them."""
    session = database.begin_session(_session("whole"))
    builder = BatchBuilder()
    sequence = 0
    start = time.process_time()
    while sequence < _ROWS:
        lot = [(_T0 + n * 200_000, 0, FrameKind.FRAME, _PAYLOAD) for n in range(sequence + 1, sequence + 21)]
        journal.append(lot)
        for row in lot:
            sequence += 1
            builder.add(Frame(sequence, *row), _decode)
        if builder.n_frames >= _BATCH:
            database.write(session, builder.build())
    database.write(session, builder.build())
    return time.process_time() - start


def _figure(
    name: str,
    what: str,
    ours: float,
    n: int,
    peer: float | None = None,
    peer_name: str = "",
    *,
    unit: str = "",
    less: bool = False,
) -> dict[str, Any]:
    ratio = None if peer is None else peer / ours if less else ours / peer
    unit = unit or ("rows/s" if name.endswith("_rows") else "frames/s")
    figure = {"name": name, "what": what, "ours": ours, "unit": unit, "n_events": n}
    return {**figure, "peer": peer, "peer_name": peer_name, "ratio": ratio}
