from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.readers import detect, open_table
from tapebook.readers.ninjatrader import period_s
from tests.readers.sierra_files import at, write

NEW_YORK = ZoneInfo("America/New_York")
SCHEMA = "#schema: NinjaDataExport/v2.3, volumetric=True"
HEADER = (
    "timestamp,instrument,period,open,high,low,close,volume,vwap,vwap_upper1,vol_ask,vol_bid,vol_delta,session_date"
)


def row(stamp: str, *, period: str = "Volumetric_1", upper: float = 101.0, session: str = "2026-02-06") -> str:
    return f"{stamp},ES,{period},100,101,99.5,100.5,10,100.123456789012,{upper},7,3,4,{session}"


def text(folder: Path, *rows: str, header: str = HEADER) -> Path:
    return write(folder, "ES_Volumetric_1.csv", "\n".join([SCHEMA, header, *rows, ""]).encode())


def test_the_stamp_is_the_end_of_the_bar(tmp_path: Path) -> None:
    (bar,) = open_table(text(tmp_path, row("2026-02-05T18:01:00.000")), zone=NEW_YORK).table().to_pylist()
    assert bar == {
        "ts_event_ns": at("2026-02-05T23:00:00") * 1000,
        "symbol": "ES",
        "period": "Volumetric_1",
        "open": 100.0,
        "high": 101.0,
        "low": 99.5,
        "close": 100.5,
        "volume": 10,
        "vwap": 100.123456789012,
        "vwap_upper1": 101.0,
        "ask_volume": 7,
        "bid_volume": 3,
        "delta": 4,
        "session_date": "2026-02-06",
        "ts_end_ns": at("2026-02-05T23:01:00") * 1000,
    }


def test_a_bar_of_ticks_starts_where_the_one_before_ended(tmp_path: Path) -> None:
    stamps = ["2026-02-05T18:00:05.000", "2026-02-05T18:00:09.500", "2026-02-05T18:00:30.000"]
    path = text(tmp_path, *(row(s, period="Tick_2000") for s in stamps))
    table = open_table(path, zone=NEW_YORK)
    for _ in range(2):  # a second pass begins anew
        bars = table.table()
        ends = bars["ts_end_ns"].to_pylist()
        assert bars["ts_event_ns"].to_pylist() == [ends[0], ends[0], ends[1]]
    assert table.origin.schema == "bars"


@pytest.mark.parametrize(
    ("period", "seconds"),
    [("Volumetric_5", 300), ("Minute_1", 60), ("Second_30", 30), ("Day_1", 86400), ("Range_8", 0)],
)
def test_periods(period: str, seconds: int) -> None:
    assert period_s(period) == seconds


def test_the_zone_is_asked_for_with_the_session_as_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"--zone America/New_York.*session_date changes at 18:00"):
        open_table(text(tmp_path, row("2026-02-05T18:01:00.000")))


def test_bands_on_the_wrong_side_are_counted_and_kept(tmp_path: Path) -> None:
    path = text(tmp_path, row("2026-02-05T18:01:00.000"), row("2026-02-05T18:02:00.000", upper=99.0))
    table = open_table(path, zone=NEW_YORK)
    assert table.table()["vwap_upper1"].to_pylist() == [101.0, 99.0]
    assert table.notes == {"bands_on_the_wrong_side": 1}


def test_bad_rows_and_missing_columns_are_told(tmp_path: Path) -> None:
    good = row("2026-02-05T18:01:00.000")
    table = open_table(text(tmp_path, good, row("2026-02-05"), row("x"), good.replace(",100.5,", ",,")), zone=NEW_YORK)
    assert table.table().num_rows == 2
    assert dict(table.quarantine.counts) == {"bad timestamp": 1, "bad close": 1}
    with pytest.raises(ReaderError, match="no close"):
        open_table(text(tmp_path, good, header=HEADER.replace("close", "klose")), zone=NEW_YORK)
    with pytest.raises(MalformedRecord):
        open_table(text(tmp_path, row("x")), zone=NEW_YORK, symbol="ES").table()


def test_the_recording_is_that_of_an_independent_reading(recording: Callable[[str], Path]) -> None:
    path = recording("ninjatrader/ES_Volumetric_1.csv")
    assert detect(path)[0].name == "ninjatrader"
    table = open_table(path, zone=NEW_YORK)
    ours = pl.DataFrame(table.table())
    theirs = pl.read_csv(path, comment_prefix="#")
    assert ours.height == theirs.height == 9419
    assert ours["volume"].sum() == theirs["volume"].sum() == 9_337_404
    same = {n: n for n in theirs.columns if n not in ("timestamp", "instrument")}
    same |= {"vol_ask": "ask_volume", "vol_bid": "bid_volume", "vol_delta": "delta"}
    for name, mine in same.items():
        assert ours[mine].to_list() == theirs[name].to_list(), name
    when = theirs["timestamp"].str.to_datetime("%Y-%m-%dT%H:%M:%S%.3f", time_unit="ns")
    utc = when.dt.replace_time_zone("America/New_York").dt.convert_time_zone("UTC").dt.epoch("ns")
    assert ours["ts_end_ns"].to_list() == utc.to_list()
    assert (ours["ts_end_ns"] - ours["ts_event_ns"]).unique().to_list() == [60 * 10**9]
    # Each session begins at 18:00 and ends at 17:00 in New York: the stamp is the end, and the zone is right.
    local = (
        ours["ts_event_ns"].cast(pl.Datetime("ns")).dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    )
    first = ours.with_columns(local=local).group_by("session_date").agg(pl.col("local").min(), n=pl.len())
    assert set(first["local"].dt.to_string("%H:%M").to_list()) == {"18:00"}
    assert 17 not in set(local.dt.hour().to_list())
    assert table.notes == {"bands_on_the_wrong_side": 9419}
    assert np.datetime_as_string(ours["ts_event_ns"].to_numpy()[[0, -1]].view("M8[ns]"), "s").tolist() == [
        "2026-02-05T23:00:00",
        "2026-02-16T17:58:00",
    ]
