from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

from tapebook.cli import analyze, demo, main


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(main, "COMMANDS", ("analyze", "demo"))
    monkeypatch.chdir(tmp_path)


def test_analyze_names_what_it_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["analyze", "sim:es?duration_s=20", "--out", str(tmp_path / "r")]) == 0
    told = capsys.readouterr().out
    assert "ESH6" in told
    assert "report.html" in told
    assert (tmp_path / "r" / "report.html").exists()


def test_analyze_gives_machines_one_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main.main(["analyze", "sim:es?duration_s=20", "--out", str(tmp_path / "r"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["document"]["instrument"]["symbol"] == "ESH6"
    assert told["tables"]["seconds.parquet"] == 20


def test_the_report_has_a_folder_of_its_own_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["analyze", "sim:es?duration_s=5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == "reports/sim-es-duration_s-5/report.html"


def test_an_instrument_that_is_not_there_fails_with_its_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main.main(["analyze", "sim:es?duration_s=5", "--instrument", "NQH6", "--out", str(tmp_path / "r")]) == 1
    assert "name one of these with --instrument" in capsys.readouterr().err


def test_a_missing_file_fails_and_wrong_usage_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["analyze", "nothing.dbn"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert main.main(["analyze"]) == 2
    assert main.main(["analyze", "x", "--no-such-option"]) == 2


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("analyze", "demo"):
        assert main.main([name, "--help"]) == 0
        assert "Example: tapebook" in capsys.readouterr().out


def test_the_demo_ends_with_its_report_and_three_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "SPEC", "sim:es?seed=7&duration_s=40&episodes=sweep@20")
    assert main.main(["demo", "--out", str(tmp_path / "d")]) == 0
    told = capsys.readouterr().out
    assert str(tmp_path / "d" / "report.html") in told.replace("\n", "")
    assert told.count("  tapebook ") == 3


def test_the_whole_demo_session_can_be_planted() -> None:
    from tapebook.report.sources import open_any

    assert open_any(demo.SPEC).origin.details["duration_s"] == 1800
    assert len(demo.EPISODES) == 7


def test_modules_register_on_any_application() -> None:
    app = typer.Typer()
    analyze.register(app)
    demo.register(app)
    assert len(app.registered_commands) == 2
