from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from tapebook.cli import simulate as command
from tapebook.market.arrow import from_arrow
from tapebook.market.errors import ConfigurationError
from tapebook.simulator import parse_spec
from tapebook.simulator.truth import TRUTH_SCHEMA


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    result = CliRunner().invoke(app, ["simulate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_folder_gets_the_tape_and_the_truth(tmp_path: Path) -> None:
    to = tmp_path / "a" / "es"
    arguments = ["--seed", "3", "--duration-s", "20", "--episode", "sweep@10", "--episode", "quote-stuffing@3"]
    said: dict[str, Any] = json.loads(run(*arguments, "--to", str(to), "--json"))
    tape = parse_spec("sim:es?seed=3&duration_s=20&episodes=sweep@10,quote-stuffing@3")
    events = tape.events()
    assert from_arrow(pq.read_table(to / "events.parquet")).tobytes() == events.tobytes()
    truth = pq.read_table(to / "truth.parquet")
    assert truth.schema.equals(TRUTH_SCHEMA)
    assert truth.equals(tape.truth())
    told = json.loads((to / "truth.json").read_text())
    assert [e["kind"] for e in told["episodes"]] == ["quote_stuffing", "sweep"]
    assert told["episodes"][1]["parameters"]["levels"] == 4
    assert said["rows"] == events.size
    assert said["symbol"] == "ESH6"
    assert said["not_planted"] == 0
    assert [e["kind"] for e in said["episodes"]] == ["quote_stuffing", "sweep"]


@pytest.mark.parametrize("name", ["nq.parquet", "nq.csv.gz"])
def test_a_file_gets_the_tape_and_its_neighbour_the_truth(tmp_path: Path, name: str) -> None:
    said = run("--preset", "nq", "--duration-s", "5", "--episode", "sweep@2", "--to", str(tmp_path / name))
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "nq.truth.json", "nq.truth.parquet"])
    assert "sweep" in said
    assert "NQH6" in said


def test_what_found_no_occasion_is_said(tmp_path: Path) -> None:
    arguments = ["--duration-s", "1", "--episode", "wash-trades@0.5:duration_s=0.001", "--to", str(tmp_path)]
    assert json.loads(run(*arguments, "--json"))["not_planted"] == 1
    assert "found no occasion" in run(*arguments)


def test_day_and_start_can_be_chosen(tmp_path: Path) -> None:
    run("--date", "2026-03-05", "--start-s", "3600", "--duration-s", "1", "--to", str(tmp_path))
    first = from_arrow(pq.read_table(tmp_path / "events.parquet"))["ts_event_ns"][0]
    assert str(first.view("M8[ns]"))[:19] == "2026-03-05T15:30:00"


def test_a_wrong_argument_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        run("--preset", "gold", "--to", str(tmp_path / "x"))
    with pytest.raises(ConfigurationError):
        run("--episode", "sweep@99999", "--duration-s", "5", "--to", str(tmp_path / "x"))
    with pytest.raises(ConfigurationError):
        run("--duration-s", "5", "--to", str(tmp_path / "x.docx"))
    assert list(tmp_path.iterdir()) == []
