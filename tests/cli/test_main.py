"""Exit codes, errors for people and machines, and the shared options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tapebook import __version__
from tapebook.cli.main import COMMANDS, main


def test_no_arguments_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert name in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example: tapebook" in shown or "Commands" in shown


@pytest.mark.parametrize("arguments", [["info"], ["info", "--nonsense", "x"], ["nonsense"], ["bars", "sim:es"]])
def test_wrong_usage_is_told_and_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert "Usage" in said.out + said.err


def test_a_failure_is_one_line_on_stderr_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "nothing.csv")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: no such file")
    assert said.err.count("\n") == 1


def test_a_failure_for_machines_is_one_json_object_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.csv").touch()
    assert main(["info", str(tmp_path / "empty.csv"), "--json"]) == 1
    said = capsys.readouterr()
    error = json.loads(said.out)["error"]
    assert said.err == ""
    assert (error["type"], error["found"]) == ("ReaderError", "0 bytes")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--zone", "Europe/Madri", "Europe/Madrid"),
        ("--column", "price", "ours=theirs"),
        ("--price-multiplier", "-2", "above 0"),
        ("--format", "nonsense", "no such format"),
    ],
)
def test_a_wrong_value_says_what_was_expected(
    option: str, value: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    assert main(["info", str(path), option, value]) == 1
    assert words in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"tapebook {__version__}"
