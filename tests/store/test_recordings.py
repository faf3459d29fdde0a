from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tapebook.market.arrow import from_arrow
from tapebook.market.tape import Tape
from tapebook.readers import open_source, open_tape
from tapebook.store import Lake
from tapebook.store.sql import query

NAMES = [
    "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    "databento/es/futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst",
    "databento_csv_arl/mbo.csv",
    "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_1.zip",
    "binance/spot_btcusdt_20240808.gz",
    "b3/PETR4_05032025.csv",
]


@pytest.mark.slow
@pytest.mark.recording
@pytest.mark.parametrize("name", NAMES)
def test_a_recording_comes_back_from_the_lake_bit_for_bit(
    name: str, recording: Callable[[str], Path], tmp_path: Path
) -> None:
    tape = open_tape(recording(name))
    events = tape.events()
    lake = Lake(tmp_path / "lake")
    report = lake.ingest(tape)
    assert report.rows == events.size > 0
    assert lake.tape().events().tobytes() == events.tobytes()
    assert from_arrow(lake.arrow()).tobytes() == events.tobytes()
    assert dict(lake.tape().instruments) == dict(tape.instruments)
    assert [f for f in lake.verify() if f.severity == "error"] == []
    again = lake.ingest(open_tape(recording(name)))
    assert again.again
    with query(lake, "SELECT count(*), sum(kind) FROM events") as answer:
        [batch] = answer.batches
    assert [c[0].as_py() for c in batch.columns] == [events.size, int(events["kind"].sum())]


@pytest.mark.recording
def test_the_es_recording_in_the_lake_has_its_trades_and_lots(recording: Callable[[str], Path], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(open_tape(recording(NAMES[0])))
    assert [(e.symbol, e.date) for e in lake.ls()] == [("ESH4", "2023-12-22"), ("ESH4", "2023-12-26")]
    with query(lake, "SELECT count(*), sum(qty), min(price), max(price) FROM trades") as answer:
        [batch] = answer.batches
    assert [c[0].as_py() for c in batch.columns] == [2973, 9892.0, 4800.25, 4811.75]


@pytest.mark.recording
def test_bars_and_definitions_go_into_the_lake_too(recording: Callable[[str], Path], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    for name in ("futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10", "definition-glbx-es-fut"):
        source = open_source(recording(f"databento/es/{name}.dbn.zst"))
        assert not isinstance(source, Tape)
        report = lake.ingest(source)
        assert lake.table(report.source).table().equals(source.table(), check_metadata=False)
    assert list(lake.verify()) == []
