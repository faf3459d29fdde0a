"""Features of many days on many cores or machines: the instrument-days of a lake, each a Parquet file of its own.

::

    out/venue=CME/symbol=ESH4/date=2023-12-26/features.parquet     the rows
                                              features.json        written last: what makes the day count
                                              state.npz            with carry: the memory at the day's end

A day's manifest holds a digest of what the rows are made from: the seals of its files, the features and their
parameters, the sources of the program and of plugins. A run that resumes skips the days whose digest is the same, so
that a killed run goes on where it was, and changed inputs or parameters make their days anew. One run at a time may
write into a folder.

State at the end of a session. ``reset`` (the default): each instrument-day begins afresh, with its warm-up, and days
are independent. ``carry``: the days of an instrument run in order within one task, each from the memory that the day
before left; a bad day then ends its instrument's run, because nobody knows what it would have handed on.

The rows do not hang on where or beside what a day is run: one process, many, or a Dask cluster give the same bits.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tapebook.market.errors import ConfigurationError, TickDataError
from tapebook.market.events import EVENT_SCHEMA_VERSION, Events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import State
from tapebook.market.parquet import SealedFile, write_whole
from tapebook.market.tape import Progress, Tape
from tapebook.research.day_runners import in_processes, in_this_process, on_a_cluster
from tapebook.research.feature_sets import choose_features, code_digest, features
from tapebook.research.features import Making, Request, table_of
from tapebook.store.lake import Lake
from tapebook.store.manifest import Source, partition
from tapebook.store.read import open_lake_tape
from tapebook.store.rows import to_disk, write_rows
from tapebook.store.selection import chosen as chosen_sources
from tapebook.store.selection import first_clock, overlaps, select

__all__ = ["Day", "DayReport", "DaysReport", "Plan", "plan_days", "run_days", "run_task"]

ROWS: Final = "features.parquet"
MANIFEST: Final = "features.json"
STATE: Final = "state.npz"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to make of a lake, the same for all its days.

    Attributes
    ----------
    features, every
        As on the command line (:func:`~tapebook.research.feature_sets.choose_features`; empty: own rows).
    any_hours
        Leave it to the venue, not to the calendar's timetable, when the market trades.
    carry
        Whether a day begins with the memory of the day before.
    """

    lake: Path
    out: Path
    features: str
    every: str = ""
    plugins: tuple[Path, ...] = ()
    any_hours: bool = False
    carry: bool = False
    resume: bool = False

    def request(self) -> Request:
        """Return what to make."""
        chosen = choose_features(self.features, features(self.plugins))
        return Request(tuple(chosen), self.every, hours=not self.any_hours)


@dataclass(frozen=True, kw_only=True)
class Day:
    """One instrument-day and the stored files it is made of."""

    venue: str
    symbol: str
    date: str
    sources: Mapping[str, Source]
    size_bytes: int
    digest: str = ""
    twice: str = ""  # what two of its sources both tell, which cannot be one tape

    @property
    def folder(self) -> str:
        """Where its results stand, below the plan's folder."""
        return partition(self.venue, self.symbol, self.date)


@dataclass(frozen=True, kw_only=True)
class Task:
    """Days that are run one after the other."""

    plan: Plan
    days: tuple[Day, ...]


@dataclass(frozen=True, kw_only=True)
class DayReport:
    """What became of a day."""

    venue: str
    symbol: str
    date: str
    size_bytes: int
    path: str = ""
    rows: int = 0
    kept: bool = False  # it was there already
    error: str = ""
    warm_up: dict[str, int | None] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DaysReport:
    """What became of all days."""

    out: Path
    days: list[DayReport]

    @property
    def bad(self) -> list[DayReport]:
        """Those that could not be made."""
        return [day for day in self.days if day.error]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        counts = {"made": sum(not d.kept and not d.error for d in self.days), "kept": sum(d.kept for d in self.days)}
        rows = sum(d.rows for d in self.days)
        return {
            "to": str(self.out),
            "rows": rows,
            **counts,
            "bad": len(self.bad),
            "days": [asdict(d) for d in self.days],
        }


def plan_days(
    plan: Plan,
    *,
    venue: str = "",
    symbol: str = "",
    start: str = "",
    end: str = "",
    sources: Sequence[str] = (),
) -> list[Task]:
    """Return the tasks: a day each, or an instrument each where days carry their state on.

    Raises
    ------
    ConfigurationError
        If the request cannot be met by any instrument, or nothing is chosen.
    StoreError
        If there is no such lake.
    """
    request = plan.request()
    table_of(request, Instrument(symbol="ES", venue="CME", tick_e9=250_000_000), 1)
    made_of = repr(
        (
            EVENT_SCHEMA_VERSION,
            code_digest(plan.plugins),
            [(c.label, c.entry.name, sorted(c.parameters.items())) for c in request.chosen],
            (plan.every, plan.any_hours, plan.carry),
        )
    )
    selection = select(venue, symbol, start, end, sources)
    by_day: dict[tuple[str, str, str], dict[str, Source]] = {}
    for source in chosen_sources(selection, Lake(plan.lake).sources()).values():
        keys = sorted({(f.venue, f.symbol, f.date) for f in source.files})
        for key in keys:
            files = tuple(f for f in source.files if (f.venue, f.symbol, f.date) == key)
            ids = {i for f in files for i in f.instrument_ids}
            own = {i: x for i, x in source.instruments.items() if i in ids}
            by_day.setdefault(key, {})[source.id] = msgspec.structs.replace(source, files=files, instruments=own)
    if not by_day:
        raise ConfigurationError(
            "the lake holds no such days",
            expected="instrument-days",
            found=f"{venue or 'any venue'}, {symbol or 'any symbol'}, {start or 'start'} to {end or 'end'}",
            where=str(plan.lake),
            remedy="see tapebook lake ls",
        )
    by_instrument: dict[tuple[str, str], list[Day]] = {}
    for key, found in sorted(by_day.items()):
        by_instrument.setdefault(key[:2], []).append(_day(key, found, made_of))
    if not plan.carry:
        return [Task(plan=plan, days=(day,)) for days in by_instrument.values() for day in days]
    return [Task(plan=plan, days=_chained(days)) for days in by_instrument.values()]


def _day(key: tuple[str, str, str], found: Mapping[str, Source], made_of: str) -> Day:
    files = sorted((f.path, f.seal, f.rows) for s in found.values() for f in s.files)
    instruments = [msgspec.json.encode(x) for s in found.values() for x in s.instruments.values()]
    digest = hashlib.sha256(repr((key, files, instruments, made_of)).encode()).hexdigest()[:32]
    ordered = dict(sorted(found.items(), key=lambda item: (first_clock(item[1].files), item[0])))
    return Day(
        venue=key[0],
        symbol=key[1],
        date=key[2],
        sources=ordered,
        size_bytes=sum(f.size_bytes for s in found.values() for f in s.files),
        digest=digest,
        twice="; ".join(overlaps(found.values())[:3]),
    )


def _chained(days: Sequence[Day]) -> tuple[Day, ...]:
    """Let each day's digest hang on that of the day before."""
    chained: list[Day] = []
    before = ""
    for day in days:
        before = hashlib.sha256(f"{before} {day.digest}".encode()).hexdigest()[:32]
        chained.append(Day(**{**vars(day), "digest": before}))
    return tuple(chained)


def run_days(
    plan: Plan,
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    scheduler: str = "",
    strict: bool = False,
    progress: Progress | None = None,
) -> DaysReport:
    """Run the tasks: here, in ``workers`` processes, or on the Dask cluster at ``scheduler``.

    A bad day is told in the report and does not end the run, unless ``strict``.

    Raises
    ------
    TickDataError
        With ``strict``, at the first bad day.
    ConfigurationError
        If the cluster cannot be reached.
    """
    progress = progress or Progress()
    progress.total_bytes = sum(day.size_bytes for task in tasks for day in task.days)
    found: Iterator[tuple[Task, list[DayReport] | str]]
    if scheduler or workers > 1:  # the longest first, so that nobody waits for one of them at the end
        tasks = sorted(tasks, key=lambda task: -sum(day.size_bytes for day in task.days))
    if scheduler:
        found = on_a_cluster(run_task, tasks, scheduler)
    elif workers > 1:
        found = in_processes(run_task, tasks, workers)
    else:
        found = in_this_process(run_task, tasks)
    days: list[DayReport] = []
    for task, reports in found:
        told = [_failed(day, reports) for day in task.days] if isinstance(reports, str) else reports
        days += told
        progress.done_bytes += sum(day.size_bytes for day in told)
        bad = next((day for day in told if day.error), None)
        if strict and bad is not None:
            raise TickDataError("a day cannot be made", found=bad.error, where=f"{bad.symbol} {bad.date}")
    return DaysReport(plan.out, sorted(days, key=lambda d: (d.venue, d.symbol, d.date)))


def run_task(task: Task) -> list[DayReport]:
    """Run the days of a task, each to its end or to its error."""
    reports: list[DayReport] = []
    before: Path | None = None
    for day in task.days:
        folder = task.plan.out / day.folder
        told = _kept(task.plan, day, folder) if task.plan.resume else None
        if told is None:
            try:
                told = _make(task.plan, day, folder, before)
            except Exception as error:  # noqa: BLE001 - whatever a day meets must not end the others
                text = str(error) if isinstance(error, TickDataError) else f"{type(error).__name__}: {error}"
                told = _failed(day, text)
        reports.append(told)
        if task.plan.carry and told.error:
            rest = task.days[len(reports) :]
            return reports + [_failed(d, f"the memory of {day.date} is not there: {told.error}") for d in rest]
        before = folder / STATE if task.plan.carry else None
    return reports


def _failed(day: Day, error: str) -> DayReport:
    return DayReport(venue=day.venue, symbol=day.symbol, date=day.date, size_bytes=day.size_bytes, error=error)


def _kept(plan: Plan, day: Day, folder: Path) -> DayReport | None:
    """Return the report of a day that stands already, None if it has to be made."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
        told = msgspec.convert(manifest["report"], DayReport)
        with SealedFile(folder / ROWS) as file:
            whole = file.seal == manifest["seal"]
    except (OSError, KeyError, TypeError, msgspec.MsgspecError, TickDataError):
        return None
    if not whole or manifest["digest"] != day.digest or (plan.carry and not (folder / STATE).exists()):
        return None
    return DayReport(**{**asdict(told), "kept": True})


def _make(plan: Plan, day: Day, folder: Path, before: Path | None) -> DayReport:
    if day.twice:
        raise ConfigurationError(
            "two sources tell the same thing",
            found=day.twice,
            remedy="choose with --source, or take one out: tapebook lake remove SOURCE",
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for left_over in folder.glob(".*.part"):
        left_over.unlink(missing_ok=True)
    tape = open_lake_tape(plan.lake, day.sources, select(day.venue, day.symbol, None, None, None), str(plan.lake))
    ids = [i for i, x in tape.instruments.items() if (x.venue, x.symbol) == (day.venue, day.symbol)]
    instrument = tape.instruments[ids[0]] if ids else Instrument(symbol=day.symbol, venue=day.venue)
    making = Making(plan.request(), instrument, ids[0] if ids else -1)
    if before is not None:
        making.operator.restore(_load(before))
    write_rows(making.batches(_one_id(tape, ids)), making.schema, folder / ROWS)
    table = making.told(folder / ROWS)
    if plan.carry:
        _save(folder / STATE, making.operator.save())
    told = DayReport(
        venue=day.venue,
        symbol=day.symbol,
        date=day.date,
        size_bytes=day.size_bytes,
        path=f"{day.folder}/{ROWS}",
        rows=table.rows,
        warm_up=table.warm_up,
        lacks=table.lacks,
    )
    with SealedFile(folder / ROWS) as file:
        seal = file.seal
    _write(folder / MANIFEST, msgspec.json.encode({"digest": day.digest, "seal": seal, "report": told}) + b"\n")
    return told


def _one_id(tape: Tape, ids: Sequence[int]) -> Iterator[Events]:
    """Yield the events under one id: a venue may give an instrument a second one within a day."""
    for block in tape.blocks():
        if len(ids) > 1 and not (block["instrument_id"] == ids[0]).all():
            block = block.copy()  # noqa: PLW2901 - the tape's own block stays as it is
            block["instrument_id"][np.isin(block["instrument_id"], ids)] = ids[0]
        yield block


def _save(path: Path, state: State) -> None:
    held = io.BytesIO()
    np.savez(held, allow_pickle=False, **state)
    _write(path, held.getvalue())


def _load(path: Path) -> State:
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _write(path: Path, content: bytes) -> None:
    with write_whole(path) as beside, beside.open("wb") as file:
        file.write(content)
        to_disk(file)
