"""The command: tables in every format, the list, what a tape lacks, wrong usage."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from tapebook.cli.main import build, main
from tapebook.market.events import Kind
from tapebook.market.tape import Tape
from tapebook.report.sources import open_any
from tapebook.store.lake import Lake
from tests.conftest import ROOT

SIM = "sim:es?duration_s=20&seed=4"


def call(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(build(), ["features", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_all_formats_hold_the_same_rows(tmp_path: Path) -> None:
    for suffix in ("parquet", "csv", "json", "arrow"):
        call(SIM, "--set", "ofi,microprice", "--every", "100ms", "--to", str(tmp_path / f"a.{suffix}"))
    rows = pl.read_parquet(tmp_path / "a.parquet")
    assert rows.columns == ["ts_ns", "ofi_lots", "microprice", "microprice_off_mid"]
    assert rows.height > 150
    with pa.memory_map(str(tmp_path / "a.arrow")) as file:
        arrow = pl.from_arrow(pa.ipc.open_file(file).read_all())
        assert isinstance(arrow, pl.DataFrame)
        assert arrow.equals(rows)
    csv = pl.read_csv(tmp_path / "a.csv", infer_schema_length=None)
    lines = pl.read_ndjson(tmp_path / "a.json")
    for text in (csv, lines):
        stamps = text["ts"].str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns").cast(pl.Int64)
        assert stamps.to_list() == rows["ts_ns"].to_list()
        assert text["microprice"].to_list() == rows["microprice"].to_list()


def test_columns_carry_their_unit_and_meaning_into_the_file(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    call(SIM, "--set", "ofi", "--every", "1s", "--to", str(tmp_path / "a.parquet"))
    field = pq.read_schema(tmp_path / "a.parquet").field("ofi_lots")
    assert field.metadata[b"unit"] == b"lots"
    assert b"flow into the bid" in field.metadata[b"meaning"]


def test_json_says_what_was_written_and_how_long_each_column_took_to_begin(tmp_path: Path) -> None:
    out = str(tmp_path / "a.csv")
    told: dict[str, Any] = json.loads(
        call(SIM, "--set", "ofi,rsi,hawkes", "--every", "bar=time:1s", "--to", out, "--json")
    )
    assert told["path"] == out
    assert told["rows"] == 19
    assert told["columns"][:3] == ["ts_ns", "bar", "ofi_lots"]
    assert told["warm_up"]["ts_ns"] == 0
    # 15 bars of a second make the first value, and the 15th is known with the event that also closes the 15th row's
    # bar: that event is left out of the row, so the next one is the first to hold it.
    assert told["warm_up"]["rsi"] == 15
    assert told["warm_up"]["hawkes_buy_per_s"] is None
    assert told["lacks"] == {}


def test_one_feature_alone_gives_its_own_rows(tmp_path: Path) -> None:
    call(SIM, "--set", "effective_spread", "--to", str(tmp_path / "a.parquet"))
    tape = open_any(SIM)
    assert isinstance(tape, Tape)
    prints = tape.events()
    prints = prints[prints["kind"] == Kind.TRADE]
    rows = pl.read_parquet(tmp_path / "a.parquet")
    assert rows["ts_ns"].len() == prints.size
    assert rows.schema["side"] == pl.Int8


def test_what_the_tape_lacks_is_said_and_the_exit_code_tells(tmp_path: Path) -> None:
    tape = open_any(SIM)
    assert isinstance(tape, Tape)
    trades = tape.events()
    trades = trades[trades["kind"] == Kind.TRADE]
    only = Tape(origin=tape.origin, read=lambda _: iter([trades]), instruments=tape.instruments)
    Lake(tmp_path / "lake").ingest(only)
    out = tmp_path / "a.parquet"
    arguments = [str(tmp_path / "lake"), "--set", "ofi,cumulative_delta", "--every", "trade", "--to", str(out)]
    result = CliRunner().invoke(build(), ["features", *arguments])
    assert result.exit_code == 1
    assert "ofi needs quotes, levels or orders: this tape has none" in result.stderr
    rows = pl.read_parquet(out)
    assert rows["ofi_lots"].null_count() == rows.height == trades.size
    assert rows["cum_delta_lots"].null_count() == 0
    told = json.loads(call(*arguments, "--json", code=1))
    assert told["lacks"] == {"ofi": "quotes, levels or orders"}
    days = json.loads(call(*arguments[:-1], str(tmp_path / "days"), "--json", code=1))
    assert days["bad"] == 0
    assert days["days"][0]["lacks"] == told["lacks"]


def test_an_instrument_is_chosen_by_name_and_others_are_told(tmp_path: Path) -> None:
    for preset in ("es", "nq"):
        Lake(tmp_path / "lake").ingest(open_any(f"sim:{preset}?duration_s=10"))
    out = tmp_path / "a.csv"
    told = json.loads(call(str(tmp_path / "lake"), "--set", "ofi", "--every", "1s", "--to", str(out), "--json"))
    other = json.loads(
        call(
            str(tmp_path / "lake"), "--set", "ofi", "--every", "1s", "--to", str(out), "--json", "--instrument", "NQH6"
        )
    )
    assert {told["symbol"], other["symbol"]} >= {"NQH6"}
    assert len(told["others"]) == 1
    assert other["symbol"] == "NQH6"


def test_the_list_is_whole_for_people_and_machines() -> None:
    told = json.loads(call("--list", "--json"))["features"]
    names = {f["name"] for f in told}
    assert {"ofi", "microprice", "hawkes", "effective_spread", "windows"} <= names
    for feature in told:
        assert feature["needs"]
        assert all(c["name"] and c["meaning"] for c in feature["columns"])
    text = call("--list")
    assert all(name in text for name in names)
    windows = next(f for f in told if f["name"] == "windows")
    assert windows["parameters"][0]["default"] == "1/10/100/1000"


def test_the_list_may_be_of_some_features_only() -> None:
    told = json.loads(call("--list", "--set", "rsi:length=9,ofi", "--json"))["features"]
    assert [feature["name"] for feature in told] == ["rsi", "ofi"]
    text = call("--list", "--set", "ofi")
    assert "ofi_lots" in text
    assert "microprice" not in text


def test_the_page_of_features_is_current() -> None:
    """In a process of its own: nothing that a test registered is in it."""
    command = [sys.executable, "-m", "tapebook", "features", "--list", "--markdown"]
    page = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    written = (ROOT / "docs" / "features.md").read_text()
    assert written == page, "make it anew: tapebook features --list --markdown > docs/features.md"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        ([SIM], 2),
        ([SIM, "--set", "ofi"], 2),
        ([SIM, "--set", "ofi", "--to", "a.csv", "--workers", "2"], 2),
        ([SIM, "--set", "ofi", "--to", "a.csv", "--resume"], 2),
        ([SIM, "--set", "ofi,hawkes", "--to", "a.csv"], 1),
        ([SIM, "--set", "ofi", "--every", "sometimes", "--to", "a.csv"], 1),
        ([SIM, "--set", "ofi", "--every", "bar=heavy:3", "--to", "a.csv"], 1),
        ([SIM, "--set", "ofi", "--to", "a.xlsx"], 1),
        ([SIM, "--set", "offi", "--to", "a.csv"], 1),
        (["no-such-file.dbn", "--set", "ofi", "--to", "a.csv"], 1),
    ],
)
def test_wrong_usage_is_told_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["features", *arguments]) == code
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_an_interrupted_run_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    program = (
        "import signal, sys\nfrom tapebook.cli.main import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "sys.exit(main(['features', *sys.argv[1:]]))"
    )
    to = str(tmp_path / f"a.{suffix}")
    wanted = ["sim:es?duration_s=20000", "--set", "catalogue", "--every", "event", "--to", to]
    process = subprocess.Popen([sys.executable, "-c", program, *wanted])
    for _ in range(2400):
        if list(tmp_path.iterdir()):
            break
        time.sleep(0.05)
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    process.send_signal(signal.SIGINT)
    assert process.wait(60) not in (0, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.recording
def test_a_recording_with_its_depth_and_one_without(recording: Any, tmp_path: Path) -> None:
    mbo = recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    told = json.loads(
        call(str(mbo), "--set", "ofi,windows", "--every", "1s", "--to", str(tmp_path / "a.csv"), "--json")
    )
    assert told["lacks"] == {}
    assert told["rows"] > 1000
    trades = recording("crash_2025_10_10/coinbase_trades_2025-10-10_SKY-USD.csv.gz")
    told = json.loads(
        call(
            str(trades),
            "--set",
            "ofi,cumulative_delta",
            "--every",
            "trade",
            "--to",
            str(tmp_path / "b.csv"),
            "--json",
            code=1,
        )
    )
    assert set(told["lacks"]) == {"ofi"}
