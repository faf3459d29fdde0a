"""A user's own feature in one file: the very file that the documentation shows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tapebook.cli.main import build
from tapebook.market.checks import check_all
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Kind
from tapebook.market.operators import registered
from tapebook.report.sources import open_any
from tapebook.research import feature_sets
from tapebook.research.feature_sets import features, load_plugin
from tests.conftest import ROOT
from tests.tapes import random_anything, random_levels, random_orders

PLUGIN = Path(__file__).with_name("side_runs.py")
SIM = "sim:es?duration_s=30&seed=4"


def call(*arguments: str) -> str:
    result = CliRunner().invoke(build(), ["features", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def test_the_documentation_shows_this_file() -> None:
    page = (ROOT / "docs" / "add-a-feature.md").read_text()
    assert f"```python\n{PLUGIN.read_text()}```" in page


def test_it_keeps_the_laws() -> None:
    load_plugin(PLUGIN)
    make = registered()["side_runs"].make
    tape = open_any(SIM)
    events = tape.events()[:2000]  # type: ignore[union-attr] # a simulation is a tape
    check_all(lambda: make(tape.instruments.only(), int(events["instrument_id"][0])), events)
    for tape_of in (random_levels, random_orders, random_anything):
        check_all(lambda: make(tape.instruments.only(), 1), tape_of(3, 300))


def test_the_command_runs_it_beside_the_program_s_own(tmp_path: Path) -> None:
    out = tmp_path / "table.parquet"
    told = json.loads(
        call(
            SIM,
            "--plugin",
            str(PLUGIN),
            "--set",
            "side_runs:longest=3,ofi",
            "--every",
            "trade",
            "--to",
            str(out),
            "--json",
        )
    )
    rows = pl.read_parquet(out)
    assert told["rows"] == rows.height > 100
    assert rows["run_prints"].abs().max() == 3
    events = open_any(SIM).events()  # type: ignore[union-attr] # as above
    sides = events["side"][events["kind"] == Kind.TRADE].astype(np.int64)
    runs, now = [], 0
    for side in sides[sides != 0].tolist():
        now = max(-3, min(3, now + side)) if now * side > 0 else side
        runs.append(now)
    assert rows["run_prints"].to_list()[-len(runs) :] == runs


def test_the_list_names_it_with_its_columns(tmp_path: Path) -> None:
    listed: list[dict[str, Any]] = json.loads(call("--list", "--plugin", str(PLUGIN), "--json"))["features"]
    mine = next(f for f in listed if f["name"] == "side_runs")
    assert mine["summary"] == "Prints in a row of one aggressor, at most `longest`."
    assert mine["parameters"] == [{"name": "longest", "type": "int", "default": "1000"}]
    assert [c["name"] for c in mine["columns"]] == ["ts_ns", "run_prints"]
    assert mine["needs"] == "trades"
    assert "| `run_prints` | prints |" in call("--list", "--plugin", str(PLUGIN), "--markdown")


@pytest.mark.slow
def test_a_plugin_s_kernel_is_compiled_again_when_the_file_changes(tmp_path: Path) -> None:
    own = tmp_path / "my_runs.py"
    text = PLUGIN.read_text().replace('"side_runs"', '"my_runs"')
    program = (
        "import sys\nfrom tapebook.cli.main import main\n"
        f"main(['features', {SIM!r}, '--plugin', {str(own)!r}, '--set', 'my_runs', '--to', sys.argv[1]])\n"
    )
    tops = []
    for n, change in enumerate(("state[0] + side[i]", "state[0] + 2 * side[i]")):
        own.write_text(text.replace("state[0] + side[i]", change))
        out = tmp_path / f"{n}.parquet"
        subprocess.run([sys.executable, "-c", program, str(out)], check=True, capture_output=True)
        tops.append(int(np.abs(pl.read_parquet(out)["run_prints"].to_numpy()).max()))
    assert tops[1] == 2 * tops[0] - 1


@pytest.mark.parametrize("text", ["import nowhere_at_all", "1 / 0", "def ("])
def test_a_plugin_that_fails_says_where_and_why(tmp_path: Path, text: str) -> None:
    bad = tmp_path / f"bad_{abs(hash(text))}.py"
    bad.write_text(text)
    with pytest.raises(ConfigurationError, match="a plugin cannot be loaded") as caught:
        load_plugin(bad)
    assert caught.value.where == str(bad)
    assert caught.value.found


def test_a_plugin_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no plugin"):
        load_plugin(tmp_path / "gone.py")


def test_two_plugins_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text("")
    load_plugin(tmp_path / "a" / "twin.py")
    load_plugin(tmp_path / "a" / "twin.py")
    with pytest.raises(ConfigurationError, match="no plugin"):
        load_plugin(tmp_path / "b" / "twin.py")


class _Point:
    name, value = "mine", "my_package.mine"

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.loaded = 0

    def load(self) -> None:
        if self.fails:
            raise ImportError("no module named my_package")
        self.loaded += 1


def test_installed_packages_offer_features_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = _Point(fails=False)
    asked = []

    def offered(group: str) -> list[_Point]:
        asked.append(group)
        return [point]

    monkeypatch.setattr(feature_sets, "entry_points", offered)
    features()
    assert (asked, point.loaded) == (["tapebook.features"], 1)
    monkeypatch.setattr(feature_sets, "entry_points", lambda group: [_Point(fails=True)])
    with pytest.raises(ConfigurationError, match="a plugin cannot be loaded") as caught:
        features()
    assert caught.value.where == "entry point mine = my_package.mine"
