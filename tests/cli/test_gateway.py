"""``tapebook gateway``: what it says of itself, and that a process of it serves and ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tapebook.cli.main import main
from tests.processes import running

SIM = "sim:es?duration_s=5"


@contextmanager
def served(*options: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "tapebook", "gateway", "--source", SIM, "--json", *options]
    with running(command, stdout=subprocess.PIPE, text=True, env=os.environ | environment) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())


def ask(url: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, headers)) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_a_gateway_says_where_it_is_serves_and_ends_with_what_happened() -> None:
    with served("--contract", "CON.F.US.MES.H26", "--fault", "lose:share=0.1") as (process, told):
        assert [c["id"] for c in told["contracts"]] == ["CON.F.US.MES.H26"]
        assert told["market_hub"] == told["rest"] + "/hubs/market"
        who = told["environment"]
        login = {"userName": who["TAPEBOOK_PROJECTX_USER"], "apiKey": who["TAPEBOOK_PROJECTX_API_KEY"]}
        token = ask(told["rest"] + "/api/Auth/loginKey", login)["token"]
        assert ask(told["rest"] + "/api/Contract/available", {"live": False}, token)["contracts"] == told["contracts"]
        (fault,) = ask(told["rest"] + "/admin/statistics", token=told["admin_token"])["faults_on"]
        assert fault["fault"] == "lose"
        process.terminate()
        assert process.stdout is not None
        last = json.loads(process.stdout.readline())["statistics"]
        assert last["requests"]["Auth/loginKey"] == 1
        assert process.wait(60) == 0


@pytest.mark.slow
def test_keys_of_the_environment_are_taken_and_never_shown() -> None:
    keys = {"TAPEBOOK_PROJECTX_USER": "me", "TAPEBOOK_PROJECTX_API_KEY": "s3cret", "TAPEBOOK_GATEWAY_TOKEN": "4dmin"}
    with served(**keys) as (_, told):
        assert "s3cret" not in json.dumps(told)
        assert "4dmin" not in json.dumps(told)
        assert ask(told["rest"] + "/api/Auth/loginKey", {"userName": "me", "apiKey": "s3cret"})["success"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--speed", "fast"],
        ["--start", "soon"],
        ["--stamps", "s"],
        ["--fault", "rain"],
        ["--tick", "x"],
        ["--shift", "--prepare"],
        ["--host", "0.0.0.0"],
        ["--contract", "ES"],
        ["--contract", "NQH6=CON.F.US.ENQ.H26"],
    ],
)
def test_what_makes_no_gateway_is_told(
    wrong: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TAPEBOOK_PROJECTX_USER", "TAPEBOOK_PROJECTX_API_KEY", "TAPEBOOK_GATEWAY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert main(["gateway", "--source", SIM, "--json", *wrong]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["type"] == "ConfigurationError"
    assert error["expected"]
