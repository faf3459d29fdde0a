from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tapebook.market.errors import MalformedRecord
from tapebook.market.events import MISSING, Flag, Kind, Side, SideSource
from tapebook.market.tape import Table, Tape
from tapebook.readers import detect, open_source, open_table, open_tape

Find = Callable[[str], Path]

MS = 1_723_161_256_123
US = 1_735_689_600_000_123
SPOT_TRADES = [
    "3735683259,61837.63,0.02,1236.7526,{t},True,True",
    "3735683260,61837.64,0.00000001,1,{t},False,True",
    "3735683264,61837.65,1,1,{t},False,False",
]


def write(folder: Path, name: str, lines: list[str], header: str = "") -> Path:
    """As Binance packs them: a zip with one CSV of the same name."""
    text = "\n".join([header, *lines] if header else lines) + "\n"
    path = folder / f"{name}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", text)
    return path


@pytest.mark.parametrize(("stamp", "ns"), [(MS, MS * 10**6), (US, US * 1000)])
def test_spot_trades_in_milliseconds_or_microseconds(stamp: int, ns: int, tmp_path: Path) -> None:
    path = write(tmp_path, "BTCUSDT-trades-2024-08-08", [line.format(t=stamp) for line in SPOT_TRADES])
    assert detect(path)[0].name == "binance-dump"
    tape = open_tape(path)
    events = tape.events()
    assert (tape.instruments.only().symbol, tape.instruments.only().venue) == ("BTCUSDT", "BINANCE")
    assert events["ts_event_ns"].tolist() == [ns] * 3
    assert events["ts_recv_ns"].tolist() == [MISSING] * 3
    assert events["price"].tolist() == [61_837_630_000_000, 61_837_640_000_000, 61_837_650_000_000]
    assert events["qty_lots"].tolist() == [2_000_000, 1, 100_000_000]
    assert events["side"].tolist() == [Side.SELL, Side.BUY, Side.BUY]
    assert (events["side_source"] == SideSource.VENUE).all()
    assert events["sequence"].tolist() == [3735683259, 3735683260, 3735683264]
    assert ((events["flags"] & Flag.GAP) != 0).tolist() == [False, False, True]
    assert tape.notes == {"trades missing by their ids": 3}


@pytest.mark.parametrize(
    ("folder", "name", "header", "line", "venue"),
    [
        ("", "BTCUSDT-trades-2024-08-08", "", "1,100,1,100,{t},true", "BINANCE-USDM"),
        (
            "",
            "BTCUSDT-trades-2024-08-08",
            "id,price,qty,quote_qty,time,is_buyer_maker",
            "1,100,1,100,{t},true",
            "BINANCE-USDM",
        ),
        (
            "",
            "BTCUSD_PERP-trades-2024-08-08",
            "id,price,qty,base_qty,time,is_buyer_maker",
            "1,100,1,1,{t},true",
            "BINANCE-COINM",
        ),
        ("", "BTCUSDT-aggTrades-2024-08-08", "", "1,100,1,5,6,{t},true,true", "BINANCE"),
        ("futures/um/daily/aggTrades", "BTCUSDT-aggTrades-2024-08-08", "", "1,100,1,5,6,{t},true", "BINANCE-USDM"),
        (
            "futures/cm/daily/aggTrades",
            "BTCUSD_240927-aggTrades-2024-08-08",
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
            "1,100,1,5,6,{t},true",
            "BINANCE-COINM",
        ),
    ],
)
def test_every_shape_of_trades_and_whose_it_is(
    folder: str, name: str, header: str, line: str, venue: str, tmp_path: Path
) -> None:
    tape = open_tape(write(tmp_path / folder, name, [line.format(t=MS)] * 2, header))
    assert tape.origin.venue == venue
    assert tape.instruments.only().symbol == name.split("-", maxsplit=1)[0]
    events = tape.events()
    assert events["price"].tolist() == [100 * 10**9] * 2
    assert (events["qty_lots"] * tape.instruments.only().lot_e9).tolist() == [10**9] * 2
    assert events["sequence"].tolist() == [1, 1]
    assert events["ts_event_ns"].tolist() == [MS * 10**6] * 2


def test_the_user_may_say_whose_it_is(tmp_path: Path) -> None:
    path = write(tmp_path, "renamed", [f"1,100,1,100,{MS},true"])
    tape = open_tape(path)
    assert tape.instruments.only().symbol == "UNKNOWN"
    assert "give --symbol" in tape.origin.details["symbol"]
    told = open_tape(path, symbol="ETHUSD_PERP", venue="binance-delivery")
    assert (told.instruments.only().symbol, told.origin.venue) == ("ETHUSD_PERP", "BINANCE-COINM")


def test_a_ticker_row_is_two_quotes(tmp_path: Path) -> None:
    header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
    lines = [f"7,99.9,0.5,100.1,2,{MS},{MS + 5}", f"8,0,0,100.1,2,{MS},{MS + 5}"]
    for head in (header, ""):
        tape = open_tape(write(tmp_path, "BTCUSDT-bookTicker-2024-03-01", lines, head))
        events = tape.events()
        assert tape.origin.venue == "BINANCE-USDM"
        assert events["kind"].tolist() == [Kind.QUOTE] * 4
        assert events["side"].tolist() == [1, -1, 1, -1]
        assert events["price"].tolist() == [99_900_000_000, 100_100_000_000, MISSING, 100_100_000_000]
        assert events["qty_lots"].tolist() == [500, 2000, MISSING, 2000]
        assert events["sequence"].tolist() == [7, 7, 8, 8]
        assert events["flags"].tolist() == [0, Flag.LAST] * 2
        assert events["ts_event_ns"].tolist() == [MS * 10**6] * 4


KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


@pytest.mark.parametrize(("header", "venue"), [("", "BINANCE"), (KLINE_HEADER, "BINANCE-USDM")])
def test_klines_are_bars(header: str, venue: str, tmp_path: Path) -> None:
    line = f"{MS},100.5,101,99.5,100,12.5,{MS + 59_999},1250.25,42,6.25,625,0"
    table = open_table(write(tmp_path, "BTCUSDT-1m-2024-08-08", [line], header))
    assert (table.origin.schema, table.origin.venue) == ("bars-1m", venue)
    assert "assumed" in table.origin.details["venue"]
    assert table.table().to_pylist() == [
        {
            "ts_event_ns": MS * 10**6,
            "symbol": "BTCUSDT",
            "open": 100.5,
            "high": 101.0,
            "low": 99.5,
            "close": 100.0,
            "volume": 12.5,
            "ts_close_ns": (MS + 59_999) * 10**6,
            "quote_volume": 1250.25,
            "n_trades": 42,
            "taker_buy_volume": 6.25,
            "taker_buy_quote_volume": 625.0,
        }
    ]
    spot = open_table(write(tmp_path / "spot/daily/klines", "BTCUSDT-1m-2024-08-08", [line], header))
    assert (spot.origin.venue, dict(spot.origin.details)) == ("BINANCE", {})


def test_metrics_are_a_table(tmp_path: Path) -> None:
    header = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_long_short_ratio"
    lines = ["2024-08-08 00:05:00,BTCUSDT,81234.5,5000000,1.25", "2024-08-08 0:10:00,BTCUSDT,1,2,3"]
    table = open_table(write(tmp_path, "BTCUSDT-metrics-2024-08-08", lines, header))
    assert table.table().to_pylist() == [
        {
            "ts_event_ns": int(datetime(2024, 8, 8, 0, 5, tzinfo=UTC).timestamp()) * 10**9,
            "symbol": "BTCUSDT",
            "sum_open_interest": 81234.5,
            "sum_open_interest_value": 5e6,
            "count_long_short_ratio": 1.25,
        }
    ]
    assert table.quarantine.counts == {"bad create_time": 1}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (f"2,x,1,100,{MS},true", "bad price"),
        (f"2,100,-1,100,{MS},true", "bad qty"),
        (f"2,100,0.0001,100,{MS},true", "part of a lot"),
        ("2,100,1,100,17,true", "bad time"),
        (f"2,100,1,100,{MS}000000,true", "bad time"),
        (f"x,100,1,100,{MS},true", "bad id"),
        (f"2,100,1,100,{MS},maybe", "bad is_buyer_maker"),
        (f"2,100,1,100,{MS}", "wrong number of fields"),
    ],
)
def test_a_bad_row_goes_to_the_quarantine_and_strict_ends_there(bad: str, reason: str, tmp_path: Path) -> None:
    good = f"1,100,1,100,{MS},true"
    path = tmp_path / "BTCUSDT-trades-2024-08-08.csv"
    path.write_text(f"{good}\n{good}\n{bad}\n{good}" + "\n")
    tape = open_tape(path)
    assert tape.events().size == 3
    assert tape.quarantine.counts == {reason: 1}
    assert "line 3" in tape.quarantine.records[0].where
    with pytest.raises(MalformedRecord, match="line 3"):
        open_tape(path, strict=True).events()


def test_a_damaged_zip_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "BTCUSDT-trades-2024-08-08", [f"{i},100,1,100,{MS + i * i},true" for i in range(20_000)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    source = open_source(path)
    assert isinstance(source, Tape)
    source.events()
    assert source.quarantine.truncated


@pytest.mark.recording
def test_the_depth_of_the_crash_is_read_but_for_its_malformed_stamp(recording: Find) -> None:
    path = recording("crash_2025_10_10/BTCUSDT-bookDepth-2025-10-10.csv")
    source = open_source(path)
    assert isinstance(source, Table)
    found = source.table()
    (bad,) = source.quarantine.records
    assert (bad.reason, bad.found) == ("bad timestamp", "' 2025-10-10 21:34:32'")
    assert bad.where.endswith("line 25883, field timestamp")
    with path.open(newline="") as file:
        plain = [r for r in csv.DictReader(file) if not r["timestamp"].startswith(" ")]
    assert found.num_rows == len(plain) == 28_789
    seconds = [datetime.strptime(f"{r['timestamp']} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp() for r in plain]
    assert found["ts_event_ns"].to_pylist() == [int(s) * 10**9 for s in seconds]
    for name in ("percentage", "depth", "notional", "weighted_avg_price"):
        assert found[name].to_pylist() == [float(r[name]) for r in plain]


@pytest.mark.recording
def test_the_depth_of_the_crash_stands_still_while_the_market_falls(recording: Find) -> None:
    frame: Any = pl.from_arrow(open_table(recording("crash_2025_10_10/BTCUSDT-bookDepth-2025-10-10.csv")).table())
    minute = pl.col("ts_event_ns") // 60_000_000_000 % 1440
    still = frame.filter((pl.col("percentage") == -1) & minute.is_between(21 * 60 + 10, 21 * 60 + 28))
    assert still.height > 30
    assert still["depth"].n_unique() == 1
