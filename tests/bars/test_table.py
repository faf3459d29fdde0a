from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tapebook.bars.rules import BarRule
from tapebook.bars.table import write_bars
from tapebook.cli.main import main
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tests.tapes import TICK, random_levels, random_orders


def tape(n: int = 3000) -> Tape:
    events = random_levels(5, n)
    table = InstrumentTable({k: Instrument(symbol=s, venue="CME", tick_e9=TICK) for k, s in ((1, "ESH4"), (2, "NQH4"))})
    return Tape(origin=Origin(name="t", format="test"), read=lambda _: iter([events]), instruments=table)


def frame_of(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_ndjson(path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_bars_are_the_same_in_every_format(suffix: str, tmp_path: Path) -> None:
    rule = BarRule.parse("tick:5")
    whole = write_bars(tape(), tmp_path / "whole.parquet", rule)
    again = write_bars(tape(), tmp_path / f"again{suffix}", rule)
    a, b = pl.read_parquet(whole.path), frame_of(again.path)
    assert (a.shape, a.columns) == (b.shape, b.columns)
    for name in ("open", "close", "vwap", "volume", "delta", "bid_first"):
        assert np.allclose(a[name].to_numpy(), b[name].to_numpy(), equal_nan=True, rtol=1e-12)
    assert set(a["symbol"]) == {"ESH4", "NQH4"}
    assert whole.bars["ESH4"] > whole.bars["NQH4"] > 0


def test_one_instrument_has_no_symbol_column_and_raw_keeps_integers(tmp_path: Path) -> None:
    done = write_bars(tape(), tmp_path / "b.parquet", BarRule.parse("range:4"), symbol="ESH4", raw=True)
    frame = pl.read_parquet(done.path)
    assert "symbol" not in frame.columns
    assert frame["open"].dtype == pl.Int64
    assert (frame["open"] % TICK == 0).all()


def test_nothing_to_make_bars_of_is_told(tmp_path: Path) -> None:
    orders = random_orders(1, 50)
    table = InstrumentTable({1: Instrument(symbol="ESH4", venue="CME")})
    silent = Tape(origin=Origin(name="t", format="test"), read=lambda _: iter([orders]), instruments=table)
    with pytest.raises(DataQualityError, match="no trades"):
        write_bars(silent, tmp_path / "b.csv", BarRule.parse("tick:5"))
    with pytest.raises(ConfigurationError, match=r"\.parquet, \.csv, \.json"):
        write_bars(tape(), tmp_path / "b.xlsx", BarRule.parse("tick:5"))
    assert not list(tmp_path.iterdir())


def test_the_commands_conserve_the_volume_of_a_real_hour(
    recording: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    es = str(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"))
    for command, columns in (("bars", ["volume"]), ("footprint", ["bid", "ask", "unknown"])):
        target = tmp_path / f"{command}.parquet"
        assert main([command, es, "--every", "range:8", "--partial", "--to", str(target), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["bars"]["ESH4"] > 5
        frame = pl.read_parquet(target)
        assert sum(int(frame[c].sum()) for c in columns) == 9892
