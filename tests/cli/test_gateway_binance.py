"""``tapebook gateway --venue binance`` as a user starts it, and ``tapebook capture`` at it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tapebook.cli.main import main
from tapebook.market.events import Kind
from tests.capture.witness import events_in
from tests.processes import running
from tests.venues.test_binance_session import recording, script


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "btcusdt.txt"
    path.write_bytes(b"".join(b"%d %s\n" % (line.ts_recv_ns, line.body) for line in recording(*script(300))()))
    return path


@pytest.mark.slow
def test_a_recording_is_served_and_captured_by_the_command_line(raw: Path, tmp_path: Path) -> None:
    served = [sys.executable, "-m", "tapebook", "gateway", "--source", str(raw), "--venue", "binance", "--json"]
    served += ["--speed", "max", "--fault", "lose:n=1,at_s=0.2", "--seed", "3"]
    with running(served, stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        about = json.loads(gateway.stdout.readline())
        assert about["contracts"] == [{"id": "BTCUSDT"}]
        assert about["streams"] == ["btcusdt@depth@100ms", "btcusdt@trade"]
        with urlopen(about["rest"] + "/api/v3/exchangeInfo?symbol=BTCUSDT") as answer:
            assert json.load(answer)["symbols"][0]["filters"][0]["tickSize"] == "0.01"
        with pytest.raises(HTTPError):
            urlopen(about["rest"] + "/api/v3/exchangeInfo?symbol=XYZ")
        capture = [sys.executable, "-m", "tapebook", "capture", "--venue", "binance", "--contract", "BTCUSDT"]
        capture += ["--gateway", about["rest"], "--home", str(tmp_path), "--name", "s", "--duration", "6"]
        subprocess.run(capture, check=True, capture_output=True, timeout=120)
        gateway.terminate()
        last = json.loads(gateway.stdout.readline())["statistics"]
        assert gateway.wait(60) == 0
    assert last["ended"]
    assert last["faults"] == {"lose": 1}
    events = events_in(tmp_path / "s")
    assert (events["kind"] == Kind.TRADE).sum() in (289, 290)  # of 290, one less where a trade was left out


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (["--venue", "binance-coinm"], "another market"),
        (["--venue", "binance", "--prepare"], "--prepare"),
        (["--venue", "binance", "--fault", "rain"], "not a fault"),
        (["--venue", "binance", "--fault", "lose:share=2"], "not a fault"),
        (["--venue", "binance", "--end", "loop"], "no such choice"),
        (["--venue", "binance", "--speed", "fast"], "not a speed"),
    ],
)
def test_what_makes_no_replay_is_told(
    wrong: list[str], match: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gateway", "--source", str(raw), "--json", *wrong]) == 1
    assert match in json.dumps(json.loads(capsys.readouterr().out)["error"])
