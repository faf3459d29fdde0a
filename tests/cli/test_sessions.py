"""``tapebook sessions`` as a user runs it: tables, ``--json``, exit codes; and sessions as files of other commands."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tapebook.capture.session_tape import session_tape
from tapebook.capture.sessions import captured
from tapebook.cli.main import main
from tests.capture.some_frames import CONTRACT, T0, frames_of
from tests.capture.some_sessions import all_events, make_journal, make_session
from tests.store.capture_servers import PASSWORD, QUOTED, postgres


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with one session in ``captures``."""
    make_session(tmp_path / "captures", "monday", 1_500)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "captures"


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def run(*arguments: str) -> int:
    return main(["sessions", *arguments])


def test_list_tells_every_session(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_session(home, "tuesday", 100, state="killed")
    with make_journal(home / "now", frames_of(50)):
        assert run("list") == 0
        out = capsys.readouterr().out
        assert run("list", "--json") == 0
    sessions = {one["name"]: one for one in told(capsys)["sessions"]}
    assert {name: one["state"] for name, one in sessions.items()} == {
        "monday": "ended",
        "tuesday": "killed",
        "now": "running",
    }
    assert all(one["contracts"] == [CONTRACT] for one in sessions.values())
    for word in ("monday", "tuesday", "running", CONTRACT, "projectx"):
        assert word in out
    assert run("list", "--home", "nowhere") == 0
    assert "no sessions in nowhere" in capsys.readouterr().out


def test_a_session_whose_file_is_damaged_keeps_nobody_from_the_others(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_journal(home / "tuesday", frames_of(100)).close()
    make_journal(home / "broken", frames_of(100)).close()
    (home / "broken" / "session.json").write_text('{"name": "bro')
    assert run("list", "--json") == 0
    states = {one["name"]: one["state"] for one in told(capsys)["sessions"]}
    assert states == {"broken": "damaged", "monday": "ended", "tuesday": "killed"}
    assert run("list") == 0
    assert "damaged" in capsys.readouterr().out
    assert main(["capture", "--recover", "--all", "--json"]) == 1
    broken, tuesday = told(capsys)["recovered"]
    assert (broken["name"], broken["state"], tuesday["state"]) == ("broken", "incomplete", "killed")
    assert "cannot be read" in broken["error"]
    assert tuesday["rows"] > 50
    (home / "broken" / "pruned.json").write_text("{")
    assert run("prune", "--older-than", "1s", "--dry-run") == 0
    capsys.readouterr()
    assert run("show", "broken") == 1
    assert "put the file back" in capsys.readouterr().err
    assert run("list", "--json") == 0
    assert [one["complete"] for one in told(capsys)["sessions"]] == [False, True, True]


def test_show_tells_counts_gaps_findings_and_books(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "monday", "--deep") == 0
    out = capsys.readouterr().out
    for word in (
        CONTRACT,
        "MNQM5",
        "gap ",
        "the connection was lost",
        "finding",
        "book ",
        "every frame of the journal",
    ):
        assert word in out, word
    assert run("show", "monday", "--json") == 0
    about = told(capsys)
    assert about["contracts_seen"]
    assert about["n_gaps"] == len(about["gaps"]) > 0


def test_show_of_what_is_not_there_says_what_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.is_dir()
    assert run("show", "friday") == 1
    err = capsys.readouterr().err
    assert "no such session" in err
    assert "monday" in err


def test_compare_tells_both_side_by_side(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_session(home, "other", 1_500)
    assert run("compare", "monday", "other") == 0
    out = capsys.readouterr().out
    assert "in both" in out
    assert "market_depth" in out
    assert run("compare", "monday", "other", "--json", "--from", "database") == 0
    found = told(capsys)
    assert found["same"] is True
    assert run("compare", "monday", "other", "--from", "hearsay") == 2


def test_verify_ends_with_1_where_a_row_is_missing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "monday") == 0
    assert "all is well" in capsys.readouterr().out
    with sqlite3.connect(home / "monday" / "capture.db") as base:
        base.execute("DELETE FROM quotes WHERE sequence = (SELECT max(sequence) FROM quotes)")
    base.close()
    assert run("verify", "monday") == 1
    out = capsys.readouterr().out
    assert "NOT whole" in out
    assert "missing from the database" in out
    assert run("verify", "monday", "--json") == 1
    assert told(capsys)["missing"] >= 1


@pytest.mark.parametrize("ending", ["csv", "json", "parquet", "arrow"])
def test_export_writes_a_part_as_asked(home: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    events = all_events(session_tape(captured("monday", home)))
    middle = int(events["ts_recv_ns"][events.size // 2])
    to = f"out.{ending}"
    assert run("export", "monday", "--to", to, "--contract", CONTRACT, "--end", str(middle), "--json") == 0
    assert told(capsys)["rows"] == (events["ts_recv_ns"] < middle).sum()
    assert Path(to).stat().st_size > 0
    assert run("export", "monday", "--to", to, "--start", "yesterday") == 1
    assert "--start" in capsys.readouterr().err


def test_export_into_a_lake_that_other_commands_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert home.is_dir()
    assert run("export", "monday", "--to", "lake") == 0
    capsys.readouterr()
    assert main(["info", "lake", "--json"]) == 0
    assert main(["info", "monday", "--json"]) == 0
    lake, session = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert lake["rows"] == session["rows"]
    assert lake["instruments"][0]["by_kind"] == session["instruments"][0]["by_kind"]


def test_backup_and_restore(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("backup", "monday", "--to", "copies/monday.tar.zst") == 0
    capsys.readouterr()
    assert run("verify", "copies/monday.tar.zst", "--json") == 0
    assert told(capsys)["name"] == "monday"
    assert run("restore", "copies/monday.tar.zst", "--as", "again") == 0
    assert "again" in capsys.readouterr().out
    assert run("compare", "monday", "again", "--json") == 0
    assert told(capsys)["same"]
    assert run("verify", "again") == 0
    assert run("restore", "copies/monday.tar.zst") == 1
    assert run("restore", "nothing.tar") == 1
    archive = Path("copies/monday.tar.zst").read_bytes()
    Path("copies/bad.tar.zst").write_bytes(archive[: len(archive) // 2])
    assert run("verify", "copies/bad.tar.zst") == 1
    assert sorted(path.name for path in home.iterdir()) == ["again", "monday"]


def test_prune_asks_first_and_then_moves_into_the_lake(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The session's stamps are far from today: what is older than 0 s is every session whose stamps have passed."""
    about = json.loads((home / "monday" / "session.json").read_text())
    (home / "monday" / "session.json").write_text(json.dumps(about | {"ended_ns": 10**18}))
    assert run("prune", "--older-than", "30d", "--dry-run") == 0
    assert "would move into lake" in capsys.readouterr().out
    assert not Path("lake").exists()
    assert run("prune", "--older-than", "30d", "--session", "tuesday") == 1
    assert "tuesday: left alone" in capsys.readouterr().out
    assert run("prune", "--older-than", "30d", "--json") == 0
    (done,) = told(capsys)["sessions"]
    assert done["pruned"]
    assert done["freed_bytes"] > 0
    assert run("list") == 0
    assert "pruned" in capsys.readouterr().out
    assert run("show", "monday") == 0
    assert "import" in capsys.readouterr().out
    assert run("verify", "monday") == 0
    assert main(["info", "monday"]) == 0
    assert run("prune", "--older-than", "soon") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["analyze", "monday", "--out", "report"],
        ["info", "monday"],
        ["bars", "monday", "--every", "tick:50", "--to", "bars.csv"],
        ["footprint", "monday", "--every", "tick:50", "--to", "cells.csv"],
        ["book", "monday", "--to", "book.parquet"],
        ["features", "monday", "--set", "catalogue", "--to", "features.parquet"],
        ["convert", "monday", "--to", "copy.parquet"],
        ["info", "captures/monday"],
    ],
    ids=lambda c: f"{c[0]} {c[1]}",
)
def test_commands_take_a_session_as_they_take_a_file(
    home: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert home.is_dir()
    assert main(command) == 0, capsys.readouterr().err


def test_a_database_alone_is_enough(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite://{home}/monday/capture.db"
    assert run("list", "--home", "nowhere", "--db", url, "--json") == 0
    (one,) = told(capsys)["sessions"]
    assert (one["name"], one["folder"]) == ("monday", None)
    assert run("show", "monday", "--home", "nowhere", "--db", url) == 0
    assert run("export", f"{url}#monday", "--to", str(tmp_path / "m.parquet"), "--json") == 0
    assert main(["info", f"{url}#monday"]) == 0


def test_a_password_on_the_command_line_is_refused_and_not_shown(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.is_dir()
    url = postgres().new_database()
    for arguments in (
        ["list", "--db", url],
        ["show", "x", "--db", url],
        ["show", f"{url}#x"],
        ["restore", "b", "--db", url],
    ):
        assert run(*arguments) == 1
        out = capsys.readouterr()
        assert "command line" in out.err
        assert PASSWORD not in out.out + out.err
        assert QUOTED not in out.out + out.err
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    bare = url.replace(f":{QUOTED}", "")
    make_session(home, "wednesday", 200, database=bare)
    assert run("show", "wednesday", "--json") == 0
    assert PASSWORD not in capsys.readouterr().out
    assert run("verify", "wednesday") == 0
    assert run("list", "--home", "nowhere", "--db", bare, "--json") == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out.splitlines()[-1])["sessions"]] == ["wednesday"]


def test_every_command_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("list", "show", "compare", "export", "verify", "backup", "restore", "prune"):
        assert run(name, "--help") == 0
        assert "Example: tapebook sessions" in capsys.readouterr().out.replace("\n", " "), name


def test_times_of_the_made_up_session_lie_where_the_tests_think() -> None:
    assert frames_of(10)[0].ts_recv_ns == T0
