"""``tapebook capture`` as a user runs it: a process, signals, exit codes, and nothing secret anywhere."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tapebook.bench._capture_sender import CONTRACT
from tapebook.capture.plan import CaptureSettings
from tapebook.capture.recover import unfinished
from tapebook.capture.settings import load_session
from tapebook.cli.main import main
from tapebook.market.errors import ConfigurationError
from tests.capture.witness import assert_complete, journalled
from tests.processes import running

KEY = "a-key-that-must-not-be-seen"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@contextlib.contextmanager
def sender(n: int, rate: float) -> Iterator[str]:
    """Yield the address of a venue that sends ``n`` records."""
    command = [sys.executable, "-m", "tapebook.bench._capture_sender"]
    with running(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        settings = {"records": n, "rate": rate, "per_frame": 2, "distinct": 20_000, "core": None}
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"


def started(url: str, home: Path, *more: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tapebook", "capture", "--venue", "projectx", "--contract", CONTRACT]
    command += ["--gateway", url, "--home", str(home), "--name", "s", "--interval", "0.2", *more]
    environment = os.environ | {"TAPEBOOK_PROJECTX_USER": "me", "TAPEBOOK_PROJECTX_API_KEY": KEY}
    return running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rows_in(home: Path) -> int:
    import sqlite3

    path = home / "s" / "capture.db"
    if not path.exists():
        return 0
    base = sqlite3.connect(path)
    try:
        return int(base.execute("SELECT count(*) FROM trades").fetchone()[0])
    except sqlite3.OperationalError:  # it is being made
        return 0
    finally:
        base.close()


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly_and_nothing_secret_is_anywhere(tmp_path: Path) -> None:
    with sender(100_000, 2_000) as url, started(url, tmp_path, "--json") as process:
        until(lambda: rows_in(tmp_path) > 50)
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[-1]["session"]["state"] == "ended"
    assert lines[-1]["session"]["statistics"]["lag_frames"] == 0
    assert any("statistics" in line for line in lines[:-1])
    assert_complete(tmp_path / "s")
    for text in (out.encode(), err.encode(), arguments, *(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())):
        assert KEY.encode() not in text


@pytest.mark.slow
def test_a_killed_capture_is_brought_up_to_date_by_its_follower_and_by_recover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sender(100_000, 2_000) as url, started(url, tmp_path) as process:
        until(lambda: rows_in(tmp_path) > 50)
        process.kill()
        process.communicate()
    folder = tmp_path / "s"
    frames = len(journalled(folder))

    def caught_up() -> bool:
        try:
            assert_complete(folder)
        except AssertionError:
            return False
        return True

    until(caught_up)  # the follower outlived it
    assert unfinished(tmp_path) == [folder]
    assert main(["capture", "--recover", "--all", "--home", str(tmp_path), "--json"]) == 0
    (done,) = json.loads(capsys.readouterr().out)["recovered"]
    assert done["state"] == "killed"
    assert load_session(folder).state == "killed"
    assert unfinished(tmp_path) == []
    assert len(journalled(folder)) == frames
    assert main(["capture", "--recover", "s", "--home", str(tmp_path)]) == 0
    assert "0 rows written" in capsys.readouterr().out


@pytest.mark.slow
def test_the_time_ends_it(tmp_path: Path) -> None:
    with sender(100_000, 500) as url, started(url, tmp_path, "--duration", "1.5", "--no-depth") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "the time is over" in out
    assert "projectx/market" in err
    assert_complete(tmp_path / "s")


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["capture", *arguments])
    found = capsys.readouterr()
    return code, found.out + found.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "name a venue"),
        (["--venue", "nowhere", "--contract", "X"], 1, "no such venue"),
        (["--venue", "projectx", "--contract", "X", "--db", "postgresql://me:secret@host/x"], 1, "PGPASSWORD"),
        (["--recover"], 2, "name a SESSION"),
        (["--recover", "nothing"], 1, "no such session"),
        (["s"], 2, "with --recover only"),
        (["--venue", "projectx", "--contract", "X", "--zone", "NY+7"], 2, "--zone"),
        (["--venue", "binance", "--contract", "X", "--single-trades"], 2, "--single-trades"),
        (["--venue", "mt5", "--contract", "X", "--gateway", "http://127.0.0.1:1"], 2, "--gateway"),
        (["--venue", "projectx", "--venue", "b", "--contract", "X"], 2, "VENUE:X"),
        (["--venue", "projectx", "--contract", "X", "--no-quotes", "--no-trades", "--no-depth"], 1, "nothing to hear"),
        (["--venue", "projectx", "--contract", "X"], 1, "no credentials"),
    ],
)
def test_wrong_use_is_told(
    arguments: list[str],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TAPEBOOK_PROJECTX")]:
        monkeypatch.delenv(name)
    found = told(arguments, capsys)
    assert found[0] == code
    assert words in found[1]
    assert "secret" not in found[1]


def test_nothing_to_recover_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(["--recover", "--all", "--home", str(tmp_path)], capsys)
    assert code == 0
    assert "no session needs it" in text


def test_options_beside_a_file_count_or_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(write(tmp_path / "a.toml", "batch_rows = 7\nmetrics_port = 9\n" + GOOD))
    for option in (["--no-depth"], ["--gateway", "http://127.0.0.1:1"], ["--zone", "NY+7"], ["--venue", "projectx"]):
        code, text = told(["--config", path, *option], capsys)
        assert (code, option[0].removeprefix("--no-") in text) == (2, True)
    code, text = told(["--recover", "s", "--duration", "3"], capsys)
    assert (code, "--duration" in text) == (2, True)
    seen: list[CaptureSettings] = []

    def caught(settings: CaptureSettings, *_: object, **__: object) -> None:
        seen.append(settings)
        raise ConfigurationError("enough")

    monkeypatch.setattr("tapebook.cli.capture._run", caught)
    assert told(["--config", path, "--metrics", "0", "--memory-mb", "300", "--sync-ms", "0"], capsys)[0] == 1
    (settings,) = seen
    assert (settings.batch_rows, settings.metrics_port, settings.memory_mb, settings.limits.sync_s) == (7, 0, 300, 0)


def test_the_help_tells_the_defaults_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    from typing import get_args, get_type_hints

    import typer

    from tapebook.capture.config import CaptureFile
    from tapebook.cli.capture import register

    app = typer.Typer()
    register(app)
    command = app.registered_commands[0].callback
    assert command is not None
    options = {
        "batch_size": "batch_rows",
        "batch_timeout": "batch_timeout_s",
        "memory_mb": "memory_mb",
        "disk_warn_mb": "disk_warn_mb",
        "disk_stop_mb": "disk_stop_mb",
        "sync_ms": "sync_ms",
        "interval": "interval_s",
    }
    hints = get_type_hints(command, include_extras=True)
    file = CaptureFile(venue=[])
    for option, setting in options.items():
        assert f"({getattr(file, setting):,g})" in get_args(hints[option])[1].help, option


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


GOOD = '[[venue]]\nname = "projectx"\ncontracts = ["A"]\n'


def test_a_file_says_what_to_capture(tmp_path: Path) -> None:
    from tapebook.capture.config import load_capture_file

    path = write(tmp_path / "a.toml", 'name = "mnq"\nbatch_rows = 7\n' + GOOD + "quotes = false\n", 0o644)
    file = load_capture_file(path)
    settings = file.but(duration_s=5.0).settings()
    assert (settings.name, settings.batch_rows, settings.duration_s) == ("mnq", 7, 5.0)
    assert settings.requests[0].quotes is False
    assert settings.requests[0].trades is True


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (GOOD + 'user_name = "u"\napi_key = "hush"\n', 0o644, "0600"),
        ('database = "postgresql://u:hush@h/d"\n' + GOOD, 0o640, "0600"),
        (GOOD + "colour = 1\n", 0o600, "colour"),
        ('name = "hush', 0o600, "cannot be read"),
        ("name = 5\n" + GOOD, 0o600, "name"),
        (GOOD + GOOD, 0o600, "twice"),
        (GOOD + 'api_key = "hush"\n', 0o600, "half a key"),
        ("duration_s = 0\n" + GOOD, 0o600, "duration"),
        ("batch_rows = 0\n" + GOOD, 0o600, "batch_rows"),
        ("sync_ms = -1\n" + GOOD, 0o600, "sync_ms"),
    ],
)
def test_a_wrong_file_is_told_without_its_secrets(tmp_path: Path, text: str, mode: int, words: str) -> None:
    from tapebook.capture.config import load_capture_file
    from tapebook.market.errors import ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        load_capture_file(write(tmp_path / "a.toml", text, mode)).settings()
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)
    kept: dict[str, Any] = {"file": write(tmp_path / "b.toml", GOOD + 'user_name = "u"\napi_key = "hush"\n')}
    assert "hush" not in repr(load_capture_file(kept["file"]))
