from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tapebook.cli import main as program
from tapebook.store import Lake
from tests.store.some_tapes import DAY_NS, START_NS, tape_of, trades


@pytest.fixture(autouse=True)
def only_these_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(program, "COMMANDS", ("convert", "lake", "sql"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A lake that serves as input: the commands under test read whatever can be opened."""
    lake = Lake(tmp_path / "in")
    lake.ingest(tape_of(trades(200, step_ns=DAY_NS // 100)))
    lake.ingest(tape_of(trades(50, start_ns=START_NS + DAY_NS, instrument_id=3), "btc.csv"))
    return lake.path


def say(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Run with --json and return what it said."""
    assert program.main([*arguments, "--json"]) == code
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_convert_into_a_lake_twice_then_list_verify_and_ask(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = say(capsys, "convert", str(recorded), "--to", "lake")
    [done] = first["inputs"]
    assert (done["rows"], done["again"], first["failed"]) == (250, False, [])
    [again] = say(capsys, "convert", str(recorded), "--to", "lake")["inputs"]
    assert (again["again"], again["source"]) == (True, done["source"])
    listed = say(capsys, "lake", "ls")["partitions"]
    assert sum(p["events"] for p in listed) == 250
    assert {p["symbol"] for p in listed} == {"ESH4", "BTC/USDT"}
    assert say(capsys, "lake", "verify") | {"size_bytes": 0} == {
        "lake": "lake",
        "ok": True,
        "size_bytes": 0,
        "findings": [],
    }
    answer = say(capsys, "sql", "select symbol, count(*) n from trades group by all order by all")
    assert answer == {"columns": ["symbol", "n"], "rows": [["BTC/USDT", 50], ["ESH4", 200]], "n_rows": 2}
    paths = say(capsys, "lake", "path", "--symbol", "ESH4")["paths"]
    assert paths
    assert all(Path(p).exists() for p in paths)


def test_what_people_see_names_the_figures(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["convert", str(recorded), "--to", "lake"]) == 0
    assert "250 rows" in capsys.readouterr().err
    assert program.main(["lake", "ls"]) == 0
    out = capsys.readouterr().out
    assert "BTC/USDT" in out
    assert "250 events" in out
    assert program.main(["lake", "ls", "--sources"]) == 0
    assert "tapebook-lake" in capsys.readouterr().out
    assert program.main(["lake", "verify"]) == 0
    assert "all as imported" in capsys.readouterr().out
    assert program.main(["sql", "select '[red]x' as a, price from trades", "--rows-max", "3"]) == 0
    out = capsys.readouterr().out
    assert "[red]x" in out
    assert "250 rows, the first 3 shown" in out


def test_convert_into_files_by_extension(recorded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("x.csv", "x.json.gz", "x.parquet", "x.arrow"):
        said = say(capsys, "convert", str(recorded), "--to", name, "--instrument", "BTC/USDT")
        assert said["inputs"][0]["rows"] == 50
    rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
    assert {r["symbol"] for r in rows} == {"BTC/USDT"}
    assert rows[0]["qty"] == "0.00001"


def test_an_answer_goes_to_a_file(recorded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    say(
        capsys, "sql", "select ts_event, price_decimal from trades order by 1", "--lake", str(recorded), "--to", "a.csv"
    )
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert len(rows) == 250
    assert rows[0] == {"ts_event": "2023-12-26T14:13:20.000000000Z", "price_decimal": "4800.000000000"}


def test_failures_are_told_with_exit_code_1(recorded: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    error = say(capsys, "sql", "selec", "--lake", str(recorded), code=1)["error"]
    assert error["type"] == "StoreError"
    assert say(capsys, "lake", "ls", code=1)["error"]["message"] == "this is no lake"
    error = say(capsys, "convert", str(recorded), "--to", "x.xlsx", code=1)["error"]
    assert error["message"] == "is this a file or a folder?"
    assert "/" in error["remedy"]
    error = say(capsys, "convert", str(recorded), "--to", "x.csv", "--instrument", "XX", code=1)["error"]
    assert "BTC/USDT, ESH4" in error["expected"]
    said = say(capsys, "convert", "nowhere.csv", str(recorded), "--to", "lake", code=1)
    assert [f["name"] for f in said["failed"]] == ["nowhere.csv"]
    assert [d["rows"] for d in said["inputs"]] == [250]
    assert say(capsys, "convert", "nowhere.csv", str(recorded), "--to", "l2", "--strict", code=1)["error"]
    assert not (tmp_path / "l2" / "_tapebook" / "sources").exists()


def test_verify_names_the_damaged_file_with_exit_code_1(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Lake(recorded).paths(symbol="ESH4")[0]
    path.write_bytes(path.read_bytes()[:-1])
    said = say(capsys, "lake", "verify", "--lake", str(recorded), code=1)
    assert said["ok"] is False
    assert [f["path"] for f in said["findings"]] == [path.relative_to(recorded).as_posix()]
    assert program.main(["lake", "verify", "--lake", str(recorded)]) == 1
    assert "import the original recording again" in capsys.readouterr().out


def test_remove_takes_an_import_out(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = say(capsys, "lake", "ls", "--sources", "--lake", str(recorded))["sources"]
    [btc] = [s["id"] for s in listed if s["name"] == "btc.csv"]
    assert len(say(capsys, "lake", "remove", btc, "--lake", str(recorded))["removed"]) == 1
    assert {p["symbol"] for p in say(capsys, "lake", "ls", "--lake", str(recorded))["partitions"]} == {"ESH4"}
    assert say(capsys, "lake", "remove", "zz", "--lake", str(recorded), code=1)["error"]["type"] == "StoreError"


@pytest.mark.parametrize("command", [["convert"], ["sql"], ["lake", "ls"], ["lake", "verify"], ["lake", "path"]])
def test_help_has_one_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([*command, "--help"]) == 0
    assert capsys.readouterr().out.count("Example:") == 1
