"""Features of many days: the same bits anywhere, bad days told, killed runs that go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tapebook.cli.main import build
from tapebook.market.errors import ConfigurationError, TickDataError
from tapebook.market.tape import Progress, Tape
from tapebook.report.sources import open_any
from tapebook.research import many_days
from tapebook.research.day_runners import in_processes, on_a_cluster
from tapebook.research.feature_sets import choose_features, features
from tapebook.research.features import Request, feature_table
from tapebook.research.many_days import DaysReport, Plan, plan_days, run_days
from tapebook.store.lake import Lake
from tests.conftest import ROOT

DATES = ("2026-03-03", "2026-03-04", "2026-03-05")
SET = "ofi,windows,hawkes"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two instruments, three days each, some seconds long."""
    path = tmp_path_factory.mktemp("days") / "lake"
    for n, date in enumerate(DATES):
        for preset in ("es", "nq"):
            tape = open_any(f"sim:{preset}?duration_s=8&date={date}&seed={n}")
            Lake(path).ingest(tape)
    return path


def contents(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*.parquet"))}


def run(
    lake: Path, out: Path, *, workers: int = 1, scheduler: str = "", carry: bool = False, **how: bool
) -> DaysReport:
    plan = Plan(lake=lake, out=out, features=SET, every="100ms", carry=carry, resume=how.get("resume", False))
    return run_days(plan, plan_days(plan), workers=workers, scheduler=scheduler, strict=how.get("strict", False))


@pytest.fixture(scope="module")
def alone(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    assert not run(lake, out).bad
    return out


def test_a_day_is_what_its_own_tape_gives(lake: Path, alone: Path) -> None:
    assert len(contents(alone)) == 6
    tape = Lake(lake).tape("CME", "ESH6", DATES[1], DATES[1])
    instrument_id = next(i for i, x in tape.instruments.items() if x.symbol == "ESH6")
    request = Request(tuple(choose_features(SET, features())), "100ms")
    rows = feature_table(tape, request, tape.instruments[instrument_id], instrument_id)
    stored = pl.read_parquet(alone / f"venue=CME/symbol=ESH6/date={DATES[1]}/features.parquet")
    assert stored.columns == list(rows)
    assert stored.height == rows["ts_ns"].size > 20
    for name, column in rows.items():
        assert np.array_equal(stored[name].fill_null(np.nan).to_numpy(), column, equal_nan=True), name


def test_the_folder_of_results_is_one_table_to_others(alone: Path) -> None:
    everything = pl.scan_parquet(alone / "**/*.parquet", hive_partitioning=True).collect()
    assert everything.group_by("symbol", "date").len().height == 6


@pytest.mark.slow
@pytest.mark.parametrize("carry", [False, True])
def test_two_processes_give_the_same_bits_as_one(lake: Path, tmp_path: Path, alone: Path, carry: bool) -> None:
    first = alone if not carry else tmp_path / "one"
    if carry:
        run(lake, first, carry=True)
    report = run(lake, tmp_path / "two", workers=2, carry=carry)
    assert len(report.days) == 6
    assert not report.bad
    assert contents(tmp_path / "two") == contents(first)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A Dask scheduler and two workers on the loopback, each a process of its own."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
    ) as made:
        yield made.scheduler_address


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's own: unclosed sockets at its end, and the like
def test_a_cluster_gives_the_same_bits_as_one_process(lake: Path, tmp_path: Path, alone: Path, cluster: str) -> None:
    report = run(lake, tmp_path / "out", scheduler=cluster)
    assert not report.bad
    assert contents(tmp_path / "out") == contents(alone)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # as above
def test_a_task_that_kills_its_worker_of_the_cluster_ends_no_run(cluster: str) -> None:
    told = dict(on_a_cluster(_dies_at_two, [1, 2, 3], cluster))
    assert told[1] == 10
    assert told[3] == 30
    assert "KilledWorker" in str(told[2])


def test_nobody_at_the_scheduler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    import distributed

    def nobody(*_: object, **__: object) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", nobody)
    with pytest.raises(ConfigurationError, match="no cluster answers"):
        list(on_a_cluster(_dies_at_two, [1], "tcp://127.0.0.1:1"))


def _dies_at_two(n: int) -> int:
    if n == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * n


@pytest.mark.slow
def test_a_task_that_kills_its_process_ends_no_run() -> None:
    told = dict(in_processes(_dies_at_two, [1, 2, 3, 4, 5], 2))
    assert {k: v for k, v in told.items() if k != 2} == {1: 10, 3: 30, 4: 40, 5: 50}
    assert "died" in str(told[2])


@pytest.fixture
def damaged(lake: Path, tmp_path: Path) -> Path:
    """The lake with one byte of one file turned."""
    import shutil

    copy = tmp_path / "damaged"
    shutil.copytree(lake, copy)
    bad = next((copy / "venue=CME" / "symbol=ESH6" / f"date={DATES[1]}").glob("*.parquet"))
    content = bytearray(bad.read_bytes())
    content[1000] ^= 1
    bad.write_bytes(content)
    return copy


def test_one_bad_day_is_told_and_does_not_end_the_run(damaged: Path, tmp_path: Path, alone: Path) -> None:
    report = run(damaged, tmp_path / "out")
    assert [(d.symbol, d.date) for d in report.bad] == [("ESH6", DATES[1])]
    assert "damaged" in report.bad[0].error
    whole = contents(alone)
    del whole[f"venue=CME/symbol=ESH6/date={DATES[1]}/features.parquet"]
    assert contents(tmp_path / "out") == whole
    with pytest.raises(TickDataError, match="a day cannot be made"):
        run(damaged, tmp_path / "strict", strict=True)


def test_days_that_carry_end_at_a_bad_one(damaged: Path, tmp_path: Path) -> None:
    report = run(damaged, tmp_path / "out", carry=True)
    assert [(d.symbol, d.date) for d in report.bad] == [("ESH6", DATES[1]), ("ESH6", DATES[2])]
    assert "the memory of" in report.bad[1].error


def test_the_command_counts_bad_days_and_its_exit_code_tells(damaged: Path, tmp_path: Path) -> None:
    arguments = ["features", str(damaged), "--set", SET, "--every", "100ms", "--to", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(build(), arguments)
    told = json.loads(result.stdout)
    assert (result.exit_code, told["made"], told["bad"]) == (1, 5, 1)
    one = CliRunner().invoke(build(), [*arguments[:-1], "--instrument", "NQH6", "--start", DATES[1], "--resume"])
    assert one.exit_code == 0, one.output
    assert "0 days made, 2 stood already" in one.stdout
    wrong = CliRunner().invoke(build(), [*arguments[:-3], "--to", str(tmp_path / "x.csv"), "--workers", "2"])
    assert wrong.exit_code == 2


def test_days_that_stand_are_skipped_and_made_anew_when_anything_changed(lake: Path, tmp_path: Path) -> None:
    assert all(not d.kept for d in run(lake, tmp_path).days)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}
    progress = Progress()
    plan = Plan(lake=lake, out=tmp_path, features=SET, every="100ms", resume=True)
    report = run_days(plan, plan_days(plan), progress=progress)
    assert all(d.kept and d.rows for d in report.days)
    assert progress.done_bytes == progress.total_bytes > 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")} == before
    for other in (replace(plan, features="ofi,windows:windows_ms=3"), replace(plan, every="1s")):
        assert all(not d.kept for d in run_days(other, plan_days(other)).days)
    run_days(plan, plan_days(plan))
    bad = next(iter(sorted(tmp_path.rglob("*.parquet"))))
    bad.write_bytes(bad.read_bytes()[:-9])
    assert [d.kept for d in run_days(plan, plan_days(plan)).days].count(False) == 1
    assert all(not d.kept for d in run(lake, tmp_path).days)  # unasked, nothing is skipped


def test_a_changed_file_of_the_lake_makes_its_day_anew(lake: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "lake"
    shutil.copytree(lake, copy)
    out = tmp_path / "out"
    run(copy, out)
    tape = open_any("sim:es?duration_s=5&date=2026-03-06&seed=9")
    Lake(copy).ingest(tape)
    kept = [d.kept for d in run(copy, out, resume=True).days]
    assert (len(kept), kept.count(False)) == (7, 1)


def test_days_that_carry_on_are_one_run_through_all_of_them(lake: Path, tmp_path: Path) -> None:
    run(lake, tmp_path, carry=True)
    tape = Lake(lake).tape("CME", "ESH6")
    instrument_id = next(i for i, x in tape.instruments.items() if x.symbol == "ESH6")
    request = Request(tuple(choose_features(SET, features())), "100ms")
    rows = feature_table(tape, request, tape.instruments[instrument_id], instrument_id)
    days = [pl.read_parquet(tmp_path / f"venue=CME/symbol=ESH6/date={d}/features.parquet") for d in DATES]
    joined = pl.concat(days)
    for name, column in rows.items():
        assert np.array_equal(joined[name].fill_null(np.nan).to_numpy(), column, equal_nan=True), name
    for later in list(tmp_path.glob(f"**/date={DATES[2]}/features.json")):
        later.unlink()
    wanted = contents(tmp_path)
    report = run(lake, tmp_path, carry=True, resume=True)
    assert sorted(d.date for d in report.days if not d.kept) == [DATES[2]] * 2
    assert contents(tmp_path) == wanted


def test_two_imports_of_one_day_are_a_bad_day_that_names_them(lake: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "lake"
    shutil.copytree(lake, copy)
    tape = open_any(f"sim:es?duration_s=7&date={DATES[0]}&seed=77")
    assert isinstance(tape, Tape)
    Lake(copy).ingest(tape)
    report = run(copy, tmp_path / "out")
    assert [(d.symbol, d.date) for d in report.bad] == [("ESH6", DATES[0])]
    assert "two sources tell the same thing" in report.bad[0].error


@pytest.mark.slow
@pytest.mark.parametrize("carry", ["reset", "carry"])
def test_a_killed_run_goes_on_and_gives_the_same_bytes(lake: Path, tmp_path: Path, alone: Path, carry: str) -> None:
    out = tmp_path / "out"
    child = [sys.executable, "-m", "tests.research.days_child", str(lake), str(out), "2", carry]
    process = subprocess.Popen(child, cwd=ROOT, stdout=subprocess.DEVNULL)
    _until(lambda: len(list(out.glob("**/features.json"))) >= 2 or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # its workers end when they see that it is gone
    done = {p: p.stat().st_mtime_ns for p in out.glob("**/features.json")}
    assert 2 <= len(done) < 6
    finished = subprocess.run(child, cwd=ROOT, check=True, capture_output=True, text=True)
    assert finished.stdout.split() == ["6", "0"]
    assert {p: p.stat().st_mtime_ns for p in done} == done
    wanted = alone
    if carry == "carry":
        wanted = tmp_path / "wanted"
        run(lake, wanted, carry=True)
    assert contents(out) == contents(wanted)
    assert not list(out.glob("**/.*.part"))


def _until(there: Callable[[], bool]) -> None:
    for _ in range(1200):
        if there():
            return
        time.sleep(0.02)
    raise AssertionError("it never came")


def test_nothing_chosen_is_told(lake: Path, tmp_path: Path) -> None:
    plan = Plan(lake=lake, out=tmp_path, features=SET, every="1s")
    with pytest.raises(ConfigurationError, match="no such days"):
        plan_days(plan, symbol="CLZ9")
    with pytest.raises(ConfigurationError, match="no common rows"):
        plan_days(replace(plan, every=""))


def test_an_error_of_any_sort_is_that_day_s(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("1/0")

    monkeypatch.setattr(many_days, "open_lake_tape", broken)
    report = run(lake, tmp_path)
    assert {d.error for d in report.bad} == {"ZeroDivisionError: 1/0"}
    assert len(report.bad) == 6
