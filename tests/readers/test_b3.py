from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource, TradeCondition
from tapebook.market.tape import Tape
from tapebook.readers import open_table, open_tape, rows
from tests.conftest import DATA

Find = Callable[[str], Path]
HEADER = "symbol,rpt_seq,network_received_time,event_type,md_entry_px,md_entry_size,aggressor,en_s_px_1,en_b_px_1"
DAYS = sorted(p.name for p in (DATA / "b3").glob("PETR4_*.csv")) if DATA.exists() else []
CENT = 10**7


def line(seq: int, rest: str, at: str = "2025-03-06 13:03:45.813922442+00:00", symbol: str = "PETR4") -> str:
    return f"{symbol},{seq},{at},{rest}"


def tape_of(folder: Path, lines: list[str], **options: Any) -> Tape:
    path = folder / "PETR4_06032025.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return open_tape(path, **options)


def told(events: Events) -> list[tuple[str, int, int, int]]:
    return [
        (
            Kind(e["kind"]).name,
            int(e["side"]),
            int(e["price"]) // CENT if e["price"] != MISSING else -1,
            int(e["qty_lots"]),
        )
        for e in events
    ]


def test_book_rows_are_quotes_without_a_size_and_trades_name_their_aggressor(tmp_path: Path) -> None:
    lines = [
        line(7, "book,,,,35.01,34.97"),
        line(9, "trade,35.01,900.0,4.0,35.01,34.97"),
        line(10, "trade,34.97,100.0,3.0,35.01,34.97"),
        line(11, "trade,34.99,100.0,2.0,35.01,34.97"),
    ]
    tape = tape_of(tmp_path, lines)
    events = tape.events()
    assert told(events) == [
        ("QUOTE", 1, 3497, MISSING),
        ("QUOTE", -1, 3501, MISSING),
        ("TRADE", Side.BUY, 3501, 900),
        ("TRADE", Side.SELL, 3497, 100),
        ("TRADE", Side.UNKNOWN, 3499, 100),
    ]
    venue, none = SideSource.VENUE, SideSource.NONE
    assert events["side_source"].tolist() == [none, none, venue, venue, none]
    assert ((events["flags"] & Flag.LAST) != 0).tolist() == [False, True, True, True, True]
    assert events["sequence"].tolist() == [7, 7, 9, 10, 11]
    assert (events["ts_recv_ns"] == 1741266225813922442).all()
    assert (events["ts_event_ns"] == MISSING).all()
    assert tape.notes == {"changes of the book that the file leaves out (rpt_seq)": 1}


def test_a_trade_row_whose_quote_is_news_gives_the_quote_first(tmp_path: Path) -> None:
    lines = [
        line(1, "trade,35,100,4,35.00,34.99"),
        line(2, "trade,35,100,4,35.00,34.99"),
        line(3, "trade,35,100,4,35.01,"),
    ]
    events = tape_of(tmp_path, lines).events()
    assert told(events) == [
        ("QUOTE", 1, 3499, MISSING),
        ("QUOTE", -1, 3500, MISSING),
        ("TRADE", 1, 3500, 100),
        ("TRADE", 1, 3500, 100),
        ("QUOTE", 1, -1, MISSING),
        ("QUOTE", -1, 3501, MISSING),
        ("TRADE", 1, 3500, 100),
    ]
    assert ((events["flags"] & Flag.LAST) != 0).tolist() == [False, True, True, True, False, True, True]


def test_prints_on_a_crossed_quote_are_the_auctions(tmp_path: Path) -> None:
    lines = [line(1, "book,,,,35.4,35.93"), line(2, "trade,35.02,100,4,35.4,35.93"), line(3, "book,,,,35.1,35.0")]
    tape = tape_of(tmp_path, [*lines, line(4, "trade,35.1,100,4,35.1,35.0")])
    events = tape.events()
    assert told(events)[:2] == [("QUOTE", 1, 3593, MISSING), ("QUOTE", -1, 3540, MISSING)]
    detail = events["detail"][events["kind"] == Kind.TRADE].tolist()
    assert detail == [TradeCondition.CROSS, TradeCondition.REGULAR]
    assert tape.notes["rows in which the quotes cross"] == 2


@pytest.mark.parametrize(
    ("text", "cents"), [("34.980000000000004", 3498), ("34.660000000000004", 3466), ("35.0", 3500), ("36", 3600)]
)
def test_the_residue_of_a_float_is_taken_off(text: str, cents: int, tmp_path: Path) -> None:
    events = tape_of(tmp_path, [line(1, f"book,,,,{text},34.97")]).events()
    assert int(events["price"][1]) == cents * CENT


def test_sequences_that_run_backwards_and_unknown_codes_are_told(tmp_path: Path) -> None:
    lines = [
        line(5, "book,,,,35,34"),
        line(4, "trade,35,1,4,35,34"),
        line(4, "trade,35,1,9,35,34"),
        line(9, "book,,,,35,34"),
    ]
    tape = tape_of(tmp_path, lines)
    assert tape.events()["side"].tolist() == [1, -1, 1, 0, 1, -1]
    assert tape.notes == {
        "rpt_seq repeats or runs backwards": 2,
        "changes of the book that the file leaves out (rpt_seq)": 4,
        "aggressor codes of unknown meaning": 1,
    }


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(1, "book,,,,35,34", at="2025-03-06 13:03:45"), "bad network_received_time"),
        (line(1, "book,,,,35,34").replace(",1,", ",x,", 1), "bad rpt_seq"),
        (line(1, "quote,,,,35,34"), "bad event_type"),
        (line(1, "trade,,100,4,35,34"), "bad md_entry_px"),
        (line(1, "trade,35,1.5,4,35,34"), "part of a lot"),
        (line(1, "book,,,,34.98000001234,34"), "bad en_s_px_1"),
        (line(1, "book,,,,35,34", symbol="\x02"), "bad symbol"),
        (line(1, "book,,,,35"), "wrong number of fields"),
    ],
)
def test_a_bad_row_goes_to_the_quarantine_and_strict_ends_there(bad: str, reason: str, tmp_path: Path) -> None:
    good = line(1, "book,,,,35,34")
    tape = tape_of(tmp_path, [good, bad, good])
    assert tape.events().size == 4
    assert tape.quarantine.counts == {reason: 1}
    with pytest.raises(MalformedRecord, match="line 3"):
        tape_of(tmp_path, [good, bad, good], strict=True).events()


def test_blocks_cut_anywhere_give_the_same_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    lines = []
    for k in range(300):
        bid = rng.integers(3490, 3500)
        quote = f"{(bid + rng.integers(-1, 4)) / 100},{bid / 100}"
        rest = f"trade,{bid / 100},100,{rng.integers(2, 5)}" if rng.random() < 0.6 else "book,,,"
        lines.append(line(k, f"{rest},{quote}", symbol="VALE3" if rng.random() < 0.3 else "PETR4"))
    tape = tape_of(tmp_path, lines)
    whole, notes = tape.events(), dict(tape.notes)
    assert len(tape.instruments) == 2
    for size in (100, 777, 4096):
        monkeypatch.setattr(rows, "BLOCK_BYTES", size)
        assert tape.events().tobytes() == whole.tobytes()
        assert tape.notes == notes


# ---- the recordings


@pytest.mark.recording
@pytest.mark.parametrize("name", DAYS or ["PETR4_05032025.csv"])
def test_a_day_is_what_polars_reads(name: str, recording: Find) -> None:
    path = recording(f"b3/{name}")
    tape = open_tape(path)
    events = tape.events()
    plain = pl.read_csv(path, infer_schema_length=None)
    assert not tape.quarantine.total
    trades, quotes = events[events["kind"] == Kind.TRADE], events[events["kind"] == Kind.QUOTE]
    printed, book = plain.filter(pl.col("event_type") == "trade"), plain.filter(pl.col("event_type") == "book")
    assert (trades.size, quotes.size) == (printed.height, 2 * book.height)
    nanos = (pl.col("network_received_time").str.to_datetime(time_unit="ns", time_zone="UTC")).cast(pl.Int64)
    assert trades["ts_recv_ns"].tolist() == printed.select(nanos).to_series().to_list()
    assert quotes["ts_recv_ns"][::2].tolist() == book.select(nanos).to_series().to_list()

    def cents(column: pl.Series) -> list[int]:
        return [round(x * 100) * CENT for x in column.to_list()]

    assert trades["price"].tolist() == cents(printed["md_entry_px"])
    assert quotes["price"][::2].tolist() == cents(book["en_b_px_1"])
    assert quotes["price"][1::2].tolist() == cents(book["en_s_px_1"])
    assert trades["qty_lots"].tolist() == [int(x) for x in printed["md_entry_size"].to_list()]
    sides = {2.0: 0, 3.0: -1, 4.0: 1}
    assert trades["side"].tolist() == [sides[x] for x in printed["aggressor"].to_list()]
    crossed = plain.filter(pl.col("en_b_px_1") > pl.col("en_s_px_1"))
    assert tape.notes.get("rows in which the quotes cross", 0) == crossed.height
    assert (
        int((quotes["price"][::2] > quotes["price"][1::2]).sum())
        == crossed.filter(pl.col("event_type") == "book").height
    )
    assert (
        int((trades["detail"] == TradeCondition.CROSS).sum()) == crossed.filter(pl.col("event_type") == "trade").height
    )


@pytest.mark.recording
@pytest.mark.slow
def test_the_aggressor_codes_agree_with_the_quote_that_stood_before(recording: Find) -> None:
    found: Counter[tuple[int, str]] = Counter()
    for name in DAYS or ["PETR4_05032025.csv"]:
        events = open_tape(recording(f"b3/{name}")).events()
        kind, price, side = events["kind"], events["price"], events["side"]
        after_quote = np.flatnonzero((kind[2:] == Kind.TRADE) & (kind[1:-1] == Kind.QUOTE)) + 2
        stamps = events["ts_recv_ns"]
        for i in after_quote[stamps[after_quote] > stamps[after_quote - 1]].tolist():
            bid, ask = price[i - 2], price[i - 1]
            if bid < ask:
                where = "ask" if price[i] >= ask else "bid" if price[i] <= bid else "between"
                found[int(side[i]), where] += 1
    assert found[1, "ask"] / (found[1, "ask"] + found[1, "bid"]) > 0.97
    assert found[-1, "bid"] / (found[-1, "ask"] + found[-1, "bid"]) > 0.97
    assert found[1, "ask"] > 1_000
    assert found[-1, "bid"] > 1_000
    assert found[0, "between"] > 4 * (found[0, "ask"] + found[0, "bid"])


# ---- bars

BARS = ["18/05/2022 09:05;106930,5;106995;106855;106965;2", "18/05/2022 09:00;106940;106960;106830;106935;1"]


def bars_of(folder: Path, lines: list[str], **options: Any) -> Any:
    path = folder / "winfut_five_minute.csv"
    path.write_text("\n".join(["\ufeffData;Open;High;Low;Close;Candle", *lines]) + "\n", encoding="utf-8")
    return open_table(path, **options)


def test_bars_have_decimal_commas_day_first_dates_and_the_zone_their_numbers_prove(tmp_path: Path) -> None:
    table = bars_of(tmp_path, BARS)
    wall = datetime(2022, 5, 18, 9, 5, tzinfo=ZoneInfo("America/Sao_Paulo"))
    assert table.table().to_pylist()[0] == {
        "ts_event_ns": int(wall.timestamp()) * 10**9,
        "symbol": "WINFUT",
        "open": 106930.5,
        "high": 106995.0,
        "low": 106855.0,
        "close": 106965.0,
        "volume": None,
        "candle": 2,
    }
    assert table.notes == {"bars older than the one before them (newest first)": 1}
    assert table.instruments.only().root == "WIN"


def test_bars_whose_numbers_prove_no_zone_ask_for_it(tmp_path: Path) -> None:
    lines = ["18/05/2022 13:05;1;1;1;1;2", "18/05/2022 13:00;1;1;1;1;1"]
    with pytest.raises(ReaderError, match="--zone America/Sao_Paulo"):
        bars_of(tmp_path, lines).table()
    table = bars_of(tmp_path, lines, zone=ZoneInfo("UTC"))
    assert table.table()["ts_event_ns"].to_pylist()[1] == 1652878800 * 10**9


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("31/02/2022 09:00;1;1;1;1;1", "bad Data"),
        ("18/05/2022 09:00;1;x;1;1;1", "bad High"),
        ("18/05/2022 09:00;1;1;1;1;x", "bad Candle"),
    ],
)
def test_a_bad_bar_goes_to_the_quarantine(bad: str, reason: str, tmp_path: Path) -> None:
    table = bars_of(tmp_path, [*BARS, bad])
    assert table.table().num_rows == 2
    assert table.quarantine.counts == {reason: 1}


@pytest.mark.recording
def test_the_bars_are_what_the_csv_module_reads(recording: Find) -> None:
    path = recording("b3/winfut_five_minute.csv")
    table = open_table(path)
    found = table.table()
    with path.open(encoding="utf-8-sig", newline="") as file:
        plain = list(csv.DictReader(file, delimiter=";"))
    assert found.num_rows == len(plain) == 20_001
    for name in ("Open", "High", "Low", "Close"):
        assert found[name.lower()].to_pylist() == [float(r[name].replace(",", ".")) for r in plain]
    zone = ZoneInfo("America/Sao_Paulo")
    stamps = [datetime.strptime(r["Data"], "%d/%m/%Y %H:%M").replace(tzinfo=zone) for r in plain]
    assert found["ts_event_ns"].to_pylist() == [int(t.timestamp()) * 10**9 for t in stamps]
    assert found["candle"].to_pylist() == [int(r["Candle"]) for r in plain]
    assert table.notes == {"bars older than the one before them (newest first)": 20_000}
