"""How fast the lake takes and gives events, how large it is, and how much memory an import needs.

    python benchmarks/lake.py RECORDING [EVENTS_MAX]

The recording is tiled in time until there are EVENTS_MAX events (5 million by default). Best of three, one process.
Figures are by processor time, of all threads together ("on one core"), so that other work on the machine matters less;
queries also by the clock on the wall, because DuckDB uses every core.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tapebook.market.events import MISSING, Events
from tapebook.market.tape import Tape
from tapebook.readers import open_tape
from tapebook.store import Lake
from tapebook.store.sql import query


def tiled(tape: Tape, n: int) -> Tape:
    """The tape again and again, each time later by its own length, streamed."""
    events = tape.events()
    span = int(events["ts_event_ns"].max() - events["ts_event_ns"].min()) + 1_000_000_000

    def read(_: int) -> Iterator[Events]:
        done = 0
        shift = 0
        while done < n:
            copy = events[: n - done].copy()
            for name in ("ts_event_ns", "ts_recv_ns"):
                copy[name] = np.where(copy[name] == MISSING, MISSING, copy[name] + shift)
            copy["order_id"] += np.uint64(shift // 1_000_000)
            yield copy
            done += copy.size
            shift += span

    return Tape(origin=tape.origin, read=read, instruments=tape.instruments)


def best(run: Callable[[], Any], times: int = 3, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of the fastest of a few runs."""
    took = []
    for _ in range(times):
        start = clock()
        run()
        took.append(clock() - start)
    return min(took)


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drain(tape: Tape) -> int:
    return sum(block.size for block in tape.blocks())


def main() -> None:
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000_000
    folder = Path(tempfile.mkdtemp(dir="."))
    try:
        tape = tiled(open_tape(sys.argv[1]), n)
        reading = best(lambda: drain(tape))
        before = peak_mb()

        def ingest() -> None:
            shutil.rmtree(folder / "lake", ignore_errors=True)
            Lake(folder / "lake").ingest(tape)

        took = best(ingest)
        lake = Lake(folder / "lake")
        size = sum(e.size_bytes for e in lake.ls())
        rate = n / (took - reading) / 1e6
        print(f"import      {rate:6.2f} M events/s (without making the tape), {size / n:.2f} bytes an event")
        print(f"memory      {peak_mb():6.0f} MB peak, {before:.0f} MB before the import")
        print(f"partitions  {len(lake.ls()):6}   files {len(lake.paths())}")
        print(f"tape        {n / best(lambda: drain(lake.tape())) / 1e6:6.2f} M events/s")
        if n <= 20_000_000:
            print(f"arrow       {n / best(lake.arrow) / 1e6:6.2f} M events/s")
            print(f"polars      {n / best(lake.polars) / 1e6:6.2f} M events/s")
        print(f"verify      {size / best(lambda: list(lake.verify())) / 1e6:6.0f} MB/s")
        entries = lake.ls()
        middle = (entries[len(entries) // 2].first_ns or 0) + 1_000_000_000
        ranged = best(lambda: drain(lake.tape(start=middle, end=middle + 60_000_000_000)))
        print(f"a minute    {ranged * 1e3:6.1f} ms")
        for name, sql in (
            ("count", "SELECT count(*) FROM trades"),
            ("volume by date", "SELECT date, sum(qty), min(price), max(price) FROM trades GROUP BY ALL"),
            ("profile", "SELECT price, side, sum(qty) FROM trades GROUP BY ALL ORDER BY ALL"),
            (
                "all columns",
                "SELECT max(order_id), sum(price), sum(sequence), max(ts_recv_ns), sum(qty_lots) FROM events",
            ),
        ):
            for check in (True, False):

                def ask(sql: str = sql, check: bool = check) -> pa.Table:
                    with query(lake, sql, check=check) as answer:
                        return pa.Table.from_batches(list(answer.batches), answer.schema)

                wall, cpu = best(ask, clock=time.perf_counter), best(ask)
                how = f"{name}{'' if check else ', --trust'}"
                print(f"sql         {wall * 1e3:6.0f} ms wall, {n / cpu / 1e6:6.1f} M events/s on one core  {how}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
