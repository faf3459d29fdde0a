from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from tapebook.market.errors import ConfigurationError, MalformedRecord, ReaderError
from tapebook.market.events import Flag, Kind
from tapebook.readers import detect, open_table, open_tape
from tapebook.readers.scid import FORMAT as SCID_FORMAT
from tests.readers.sierra_files import FIRST, at, scid_bytes, trade, write

CHICAGO = ZoneInfo("America/Chicago")
HEADER = "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume"
ROW = "2024/3/18, 08:30:00, 5195.75, 5196.00, 5195.25, 5195.50, 273, 213, 153, 120"


def text(folder: Path, *lines: str, name: str = "ESM24-CME.scid_BarData.txt") -> Path:
    return write(folder, name, "\n".join([*lines, ""]).encode())


def test_a_bar_starts_at_its_stamp_in_the_zone_given(tmp_path: Path) -> None:
    table = open_table(text(tmp_path, HEADER, ROW), zone=CHICAGO)
    assert table.table().to_pylist() == [
        {
            "ts_event_ns": at("2024-03-18T13:30:00") * 1000,  # Chicago is at UTC-5 since 10 March
            "symbol": "ESM4",
            "open": 5195.75,
            "high": 5196.0,
            "low": 5195.25,
            "close": 5195.5,
            "volume": 273,
            "trades": 213,
            "bid_volume": 153,
            "ask_volume": 120,
        }
    ]


def test_the_other_header_and_other_delimiters_are_read(tmp_path: Path) -> None:
    names = "Date; Time; Open; High; Low; Last; Volume; # of Trades; OHLC Avg; HLC Avg; HL Avg; Bid Volume; Ask Volume"
    row = "3/18/2024;08:30:00.500;5195,75;5196;5195,25;5195,5;273;213;5195,6;5195,5;5195,6;153;120"
    for mark in (";", "\t"):
        path = text(tmp_path, names.replace(";", mark), row.replace(";", mark))
        (bar,) = open_table(path, zone=CHICAGO).table().to_pylist()
        assert (bar["open"], bar["ohlc_avg"], bar["trades"], bar["ask_volume"]) == (5195.75, 5195.6, 213, 120)
        assert bar["ts_event_ns"] == at("2024-03-18T13:30:00.500") * 1000


STUDIES = f"{HEADER}, Low, Avg, Low, "
STUDY_ROW = f"{ROW}, 1.5, 2.5, , 4"


def test_study_columns_keep_their_position_in_their_name(tmp_path: Path) -> None:
    table = open_table(text(tmp_path, STUDIES, STUDY_ROW), zone=CHICAGO)
    assert table.schema.names[-4:] == ["c11_Low", "c12_Avg", "c13_Low", "c14"]
    (bar,) = table.table().to_pylist()
    assert (bar["low"], bar["c11_Low"], bar["c12_Avg"], bar["c13_Low"], bar["c14"]) == (5195.25, 1.5, 2.5, None, 4.0)


def test_a_mapping_file_names_study_columns(tmp_path: Path) -> None:
    mapping = write(tmp_path, "map.toml", b'[columns]\n11 = "band_low"\n13 = "profile_low"\n')
    path = text(tmp_path, STUDIES, STUDY_ROW)
    table = open_table(path, zone=CHICAGO, mapping_path=mapping, columns={"average": "Avg"})
    assert table.schema.names[-4:] == ["band_low", "average", "profile_low", "c14"]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ('[columns]\n5 = "x"', "column 5 is 'Low', which has a name"),
        ('[columns]\n99 = "x"', "column 99 is not in the file"),
        ('[columns]\n11 = "close"', "'close' is taken"),
        ('[columns]\n11 = "x"\n12 = "x"', "'x' is taken"),
        ('[columns]\n11 = "a b"', "no name for a column"),
        ('[columns]\nLow = "x"', "no position with a name"),
        ("columns = 3", "another form"),
        ('[other]\n11 = "x"', "another form"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(tmp_path: Path, mapping: str, message: str) -> None:
    path = write(tmp_path, "map.toml", mapping.encode())
    with pytest.raises(ConfigurationError, match=message):
        open_table(text(tmp_path, STUDIES, STUDY_ROW), zone=CHICAGO, mapping_path=path)


def test_a_repeated_name_is_not_found_by_name(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"several columns are called 'Low'.*positions 5, 11, 13"):
        open_table(text(tmp_path, STUDIES, STUDY_ROW), zone=CHICAGO, columns={"mine": "Low"})


def test_without_a_zone_the_file_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    rows = [
        f"2024/3/{day}, {hour:02d}:00:00, 1, 1, 1, 1, 1, 1, 1, 0"
        for day in (19, 20, 21)
        for hour in range(24)
        if hour != 17
    ]
    with pytest.raises(ReaderError, match=r"--zone America/New_York.*no row between 17:00 and 18:00"):
        open_table(text(tmp_path, HEADER, *rows))


def test_bad_rows_go_to_the_quarantine_and_the_rest_is_read(tmp_path: Path) -> None:
    bad = [ROW.replace("5196.00", "51x"), ROW.replace("2024/3/18", "2024/3/32"), ROW.replace(", 273", ""), ROW + ", 1"]
    table = open_table(text(tmp_path, HEADER, ROW, *bad, ROW), zone=CHICAGO)
    assert table.table().num_rows == 2
    assert dict(table.quarantine.counts) == {"bad High": 1, "bad Time": 1, "wrong number of fields": 2}
    with pytest.raises(MalformedRecord):
        open_table(text(tmp_path, HEADER, ROW, *bad), zone=CHICAGO, strict=True).table()
    with pytest.raises(MalformedRecord, match="none of the 4 records"):
        open_table(text(tmp_path, HEADER, *bad), zone=CHICAGO).table()


def test_bars_that_contradict_themselves_stay_and_are_counted(tmp_path: Path) -> None:
    table = open_table(
        text(tmp_path, HEADER, ROW, ROW.replace("5196.00", "5100.00"), ROW.replace("153", "154")), zone=CHICAGO
    )
    assert table.table().num_rows == 3
    assert table.notes == {"bars_outside_their_range": 1, "bid_and_ask_volume_differ_from_volume": 1}


def test_a_missing_column_is_no_sierra_file(tmp_path: Path) -> None:
    path = text(tmp_path, "Date, Time, Open, High, Low", "2024/3/18, 08:30:00, 1, 1, 1")
    with pytest.raises(ReaderError):
        open_table(path, zone=CHICAGO)


def test_single_trades_as_text_are_the_events_of_the_binary_file(tmp_path: Path) -> None:
    us = at("2024-03-18T14:30:00.123")
    rows = [
        trade(us, 5195.75, 3, 1, 5195.5, 5195.75, FIRST),
        trade(us + 1, 5195.5, 2, -1, 5195.5, 5195.75),
        trade(us + 2_000_000, 5195.25, 1, -1, 5195.25, 5195.5),
    ]
    binary = open_tape(write(tmp_path, "ESM24-CME.scid", scid_bytes([(r[0], 0.0, *r[2:]) for r in rows]))).events()
    lines = [
        f"2024/3/18, 09:30:{(r[0] - us) // 10**6:02d}.{(r[0] % 10**6):06d}, 0.00, {r[2]:.2f}, {r[3]:.2f}, {r[4]:.2f},"
        f" {r[6]}, 1, {r[7]}, {r[8]}"
        for r in rows
    ]
    tape = open_tape(text(tmp_path, HEADER, *lines, name="ESM24-CME.txt"), zone=CHICAGO)
    assert tape.events().tobytes() == binary.tobytes()
    assert tape.origin.format == "sierra-text"
    assert SCID_FORMAT.name == "scid"


RECORDED = {
    "ESZ23": (17_672, 100_433_292, "2023-09-18T05:00:00", "2023-12-15T14:25:00"),
    "ESH24": (17_117, 80_523_243, "2023-12-18T06:00:00", "2024-03-15T13:25:00"),
    "ESM24": (18_767, 89_947_971, "2024-03-18T05:00:00", "2024-06-21T13:25:00"),
}


@pytest.mark.parametrize("contract", sorted(RECORDED))
def test_the_recorded_bars_are_those_of_an_independent_reading(recording: Callable[[str], Path], contract: str) -> None:
    path = recording(f"sierra/{contract}-CME.scid_BarData__5m.txt")
    assert detect(path)[0].name == "sierra-text"
    with pytest.raises(ReaderError, match="--zone America/Chicago"):
        open_table(path)
    table = open_table(path, zone=CHICAGO)
    ours = pl.DataFrame(table.table())
    n, volume, first, last = RECORDED[contract]
    assert (ours.height, ours["volume"].sum()) == (n, volume)
    assert ours["ts_event_ns"].to_numpy()[[0, -1]].astype("M8[ns]").astype("M8[s]").astype(str).tolist() == [
        first,
        last,
    ]
    theirs = pl.read_csv(path, infer_schema_length=0)
    theirs.columns = [c.strip() for c in theirs.columns]
    theirs = theirs.with_columns(pl.all().str.strip_chars())
    when = (theirs["Date"] + " " + theirs["Time"]).str.to_datetime("%Y/%m/%d %H:%M:%S", time_unit="ns")
    utc = when.dt.replace_time_zone("America/Chicago").dt.convert_time_zone("UTC").dt.epoch("ns")
    assert ours["ts_event_ns"].to_list() == utc.to_list()
    pairs = {"open": "Open", "high": "High", "low": "Low", "close": "Last"}
    for mine, name in pairs.items():
        assert ours[mine].to_list() == theirs[name].cast(pl.Float64).to_list()
    for mine, name in {"trades": "NumberOfTrades", "bid_volume": "BidVolume", "ask_volume": "AskVolume"}.items():
        assert ours[mine].to_list() == theirs[name].cast(pl.Int64).to_list()
    assert table.notes == {}
    assert table.origin.schema == "bars-300s"
    # None starts in CME's break, in winter and in summer: the zone given is the zone of the file.
    chicago = (
        ours["ts_event_ns"].cast(pl.Datetime("ns")).dt.replace_time_zone("UTC").dt.convert_time_zone("America/Chicago")
    )
    assert 16 not in set(chicago.dt.hour().to_list())
    assert np.unique(chicago.dt.hour().to_numpy()).size == 23


def test_nothing_but_last_flags_stand_on_the_trades_of_text(tmp_path: Path) -> None:
    line = "2024/3/18, 09:30:00, 0, 5196, 5195, 5195, 1, 1, 1, 0"
    events = open_tape(text(tmp_path, HEADER, line, name="ESM24-CME.txt"), zone=CHICAGO).events()
    assert [(Kind(e["kind"]).name, Flag(int(e["flags"]))) for e in events] == [
        ("QUOTE", Flag(0)),
        ("QUOTE", Flag.LAST),
        ("TRADE", Flag.LAST),
    ]
