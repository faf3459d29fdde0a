from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tapebook.cli import instruments
from tapebook.market.catalog import use
from tapebook.market.errors import ConfigurationError, UnknownInstrument


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TAPEBOOK_CATALOG", raising=False)
    monkeypatch.delenv("TAPEBOOK_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield
    use(None)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    instruments.register(app)
    return CliRunner().invoke(app, list(arguments))


def told(*arguments: str) -> dict[str, Any]:
    answer = json.loads(run(*arguments, "--json").stdout)
    assert isinstance(answer, dict)
    return answer


def test_the_list_names_every_product_with_the_value_of_its_tick() -> None:
    rows = {(row["venue"], row["symbol"]): row for row in told()["instruments"]}
    assert rows["CME", "ES"]["tick_value"] == "12.50"
    assert rows["CME", "ZN"]["tick"] == "0.015625"
    assert rows["BINANCE-COINM", "BTCUSD_PERP"]["tick_value"] is None
    shown = run().stdout
    for row in rows.values():
        assert row["symbol"] in shown
        assert row["name"] in shown


def test_one_symbol_is_explained() -> None:
    answer = told("CON.F.US.EP.H24")
    assert {key: answer[key] for key in ("asked", "symbol", "venue", "expiry", "tick", "multiplier", "how")} == {
        "asked": "CON.F.US.EP.H24",
        "symbol": "ESH4",
        "venue": "CME",
        "expiry": "2024-03",
        "tick": "0.25",
        "multiplier": "50",
        "how": "product",
    }
    shown = run("CON.F.US.EP.H24").stdout
    assert "2024-03" in shown
    assert "12.50 USD" in shown


def test_the_date_decides_the_decade() -> None:
    assert told("ESH4", "--on-date", "2014-01-02")["expiry"] == "2014-03"
    assert told("ESH4", "--on-date", "2024-01-02")["expiry"] == "2024-03"
    assert run("ESH4", "--on-date", "yesterday").exit_code == 2
    undecided = told("ESH4")
    assert undecided["expiry"] == ""
    assert "--on-date" in undecided["note"]
    assert "--on-date" in run("ESH4").stdout


def test_an_unknown_symbol_is_an_error_of_ours() -> None:
    assert isinstance(run("NQQH24").exception, UnknownInstrument)


def test_a_catalogue_file_is_taken_or_its_mistake_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[future.FESX]\nname = "Euro Stoxx 50"\nvenue = "EUREX"\ntick = 1\nmultiplier = 10\n')
    assert told("FESXH25", "--catalog", str(path))["tick_value"] == "10.00"
    path.write_text("[future.FESX]\nname = 3")
    assert isinstance(run("--catalog", str(path)).exception, ConfigurationError)
