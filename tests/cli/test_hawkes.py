"""The command: table, JSON, files, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tapebook.cli.hawkes import register
from tapebook.features.hawkes import HawkesIntensity
from tapebook.market.errors import TickDataError

SIM = "sim:es?duration_s=120&seed=3"


def call(*arguments: str) -> str:
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["hawkes", *arguments], catch_exceptions=True)
    if isinstance(result.exception, TickDataError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_holds_the_fit_and_the_live_feature_loads_it(tmp_path: Path) -> None:
    found: dict[str, Any] = json.loads(call(SIM, "--to", str(tmp_path), "--json"))
    assert found["types"] == ["buys", "sells"]
    assert found["orders"]["orders"] > 500
    assert 0 < found["fit"]["branching_ratio"] < 1
    assert found["residuals"]["buys"]["ks"] < found["poisson_ks"]["buys"]
    assert HawkesIntensity.of_fit(found["fit"]).branching_ratio == pytest.approx(found["fit"]["branching_ratio"])
    assert (tmp_path / "hawkes.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    written = json.loads((tmp_path / "hawkes.json").read_text())
    assert written["fit"] == found["fit"]


def test_the_table_says_what_a_trader_asks() -> None:
    text = call(SIM, "--by", "none", "--n-exp", "2")
    for word in ("mu orders", "half-life orders [1]", "branching ratio", "stationary", "KS"):
        assert word in text


def test_a_power_law_shows_its_exponent() -> None:
    found = json.loads(call(SIM, "--shape", "power", "--by", "none", "--json"))
    assert len(found["fit"]["exponent"]) == 1
    assert found["fit"]["shape"] == "power"


def test_a_session_that_is_not_there_is_told() -> None:
    with pytest.raises(TickDataError, match="no orders in that session"):
        call(SIM, "--session", "1999-01-01")
