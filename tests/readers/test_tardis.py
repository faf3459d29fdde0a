from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tapebook.market.errors import MalformedRecord, UnsupportedSchema
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource
from tapebook.market.tape import Table, Tape
from tapebook.readers import open_table, open_tape, rows

Find = Callable[[str], Path]

KEYS = "exchange,symbol,timestamp,local_timestamp"
TRADES = f"{KEYS},id,side,price,amount"
QUOTES = f"{KEYS},ask_amount,ask_price,bid_price,bid_amount"
BOOK = f"{KEYS},is_snapshot,side,price,amount"
T = 1_700_000_000_000_000  # µs


def row(rest: str, at: int = 0, recv: int | None = None, symbol: str = "BTC-USD", exchange: str = "coinbase") -> str:
    return f"{exchange},{symbol},{T + at},{T + (at if recv is None else recv)},{rest}"


def tape_of(folder: Path, header: str, lines: list[str], name: str = "coinbase_trades.csv", **options: Any) -> Tape:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return open_tape(path, **options)


def told(events: Events) -> list[tuple[Any, ...]]:
    return [
        (Kind(e["kind"]).name, int(e["side"]), int(e["price"]), int(e["qty_lots"]), int(e["flags"])) for e in events
    ]


# ---- trades


def test_trades_keep_their_two_times_sides_and_ids(tmp_path: Path) -> None:
    lines = [row("41,buy,100.5,0.25", 0, 7), row("42,sell,100,1", 3, 9), row("43,unknown,100,2e-8", 4, 11)]
    tape = tape_of(tmp_path, TRADES, lines)
    events = tape.events()
    assert tape.origin.schema == "trades"
    assert events["ts_event_ns"].tolist() == [(T + t) * 1000 for t in (0, 3, 4)]
    assert events["ts_recv_ns"].tolist() == [(T + t) * 1000 for t in (7, 9, 11)]
    assert events["sequence"].tolist() == [41, 42, 43]
    assert events["side"].tolist() == [Side.BUY, Side.SELL, Side.UNKNOWN]
    assert events["side_source"].tolist() == [SideSource.VENUE, SideSource.VENUE, SideSource.NONE]
    assert events["price"].tolist() == [100_500_000_000, 100_000_000_000, 100_000_000_000]
    assert events["qty_lots"].tolist() == [25_000_000, 100_000_000, 2]


def test_rows_that_arrived_together_are_one_message_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recv = [0, 5, 5, 5, 6, 7, 7]
    lines = [row(f"{i},buy,100,1", 0, r) for i, r in enumerate(recv)]
    expected = [True, False, False, True, True, False, True]
    tape = tape_of(tmp_path, TRADES, lines)
    assert ((tape.events()["flags"] & Flag.LAST) != 0).tolist() == expected
    monkeypatch.setattr(rows, "BLOCK_BYTES", 130)
    assert len(list(tape.blocks())) > 2
    assert ((tape.events()["flags"] & Flag.LAST) != 0).tolist() == expected


def test_missing_trades_are_marked_where_the_venue_counts_one_by_one(tmp_path: Path) -> None:
    ids = [5, 6, 9, 9, 10]
    tape = tape_of(tmp_path, TRADES, [row(f"{i},buy,100,1", k) for k, i in enumerate(ids)])
    assert ((tape.events()["flags"] & Flag.GAP) != 0).tolist() == [False, False, True, False, False]
    assert tape.notes == {"trades missing by their ids": 2, "trade ids that repeat or run backwards": 1}
    gemini = tape_of(tmp_path, TRADES, [row(f"{i},buy,100,1", k, exchange="gemini") for k, i in enumerate(ids)])
    assert not (gemini.events()["flags"] & Flag.GAP).any()


def test_an_id_that_is_no_number_is_no_sequence(tmp_path: Path) -> None:
    tape = tape_of(tmp_path, TRADES, [row("ccc3c1fa-212c,buy,100,1")])
    assert tape.events()["sequence"].tolist() == [MISSING]


def test_a_row_that_repeats_the_one_before_is_told_across_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [row("0.5,101,99,0.25"), row("0.5,101,99,0.25"), row("0.5,101,98,0.25"), row("0.5,101,98,0.25", 1)]
    tape = tape_of(tmp_path, QUOTES, lines)
    assert tape.events().size == 8
    assert tape.notes == {"rows that repeat the row before them": 1}
    monkeypatch.setattr(rows, "BLOCK_BYTES", 90)
    tape.events()
    assert tape.notes == {"rows that repeat the row before them": 1}


# ---- quotes and books


def test_a_quote_row_is_two_quotes_and_an_empty_side_is_missing(tmp_path: Path) -> None:
    tape = tape_of(tmp_path, QUOTES, [row("0.5,101,99,0.25"), row(",,99,0.25")])
    last = int(Flag.LAST)
    assert told(tape.events()) == [
        ("QUOTE", 1, 99_000_000_000, 25_000_000, 0),
        ("QUOTE", -1, 101_000_000_000, 50_000_000, last),
        ("QUOTE", 1, 99_000_000_000, 25_000_000, 0),
        ("QUOTE", -1, MISSING, MISSING, last),
    ]


def test_the_book_starts_anew_where_a_snapshot_begins(tmp_path: Path) -> None:
    lines = [
        row("false,bid,98,1", 0),
        row("true,bid,99,1", 1),
        row("true,ask,101,2", 1),
        row("false,bid,99,0", 2),
        row("false,ask,101,3", 2),
        row("true,bid,90,1", 3),
        row("true,bid,91,1", 4),
    ]
    tape = tape_of(tmp_path, BOOK, lines)
    last, snap = int(Flag.LAST), int(Flag.SNAPSHOT)
    assert told(tape.events()) == [
        ("LEVEL", 1, 98_000_000_000, 100_000_000, last),
        ("CLEAR", 0, MISSING, MISSING, snap),
        ("LEVEL", 1, 99_000_000_000, 100_000_000, snap),
        ("LEVEL", -1, 101_000_000_000, 200_000_000, snap | last),
        ("LEVEL", 1, 99_000_000_000, 0, 0),
        ("LEVEL", -1, 101_000_000_000, 300_000_000, last),
        ("CLEAR", 0, MISSING, MISSING, snap),
        ("LEVEL", 1, 90_000_000_000, 100_000_000, snap | last),
        ("LEVEL", 1, 91_000_000_000, 100_000_000, snap | last),
    ]
    assert tape.notes == {"snapshots": 2, "books that start without a snapshot": 1}


def test_a_change_that_could_not_be_read_leaves_a_gap(tmp_path: Path) -> None:
    lines = [row("true,bid,99,1", 0), row("false,bid,98,x", 1), row("false,ask,101,2", 2), row("false,ask,102,2", 3)]
    tape = tape_of(tmp_path, BOOK, lines)
    events = tape.events()
    assert ((events["flags"] & Flag.GAP) != 0).tolist() == [False, False, True, False]
    assert tape.quarantine.counts == {"bad amount": 1}


def test_instruments_of_a_grouped_file_do_not_mix(tmp_path: Path) -> None:
    lines = [
        row("true,bid,99,1", 0),
        row("true,bid,9,1", 0, symbol="ETH-USD"),
        row("false,bid,99,0", 1),
        row("true,bid,8,1", 1, symbol="ETH-USD"),
    ]
    tape = tape_of(tmp_path, BOOK, lines)
    events = tape.events()
    names = [tape.instruments[int(i)].symbol for i in events["instrument_id"]]
    kinds = [Kind(k).name for k in events["kind"]]
    assert list(zip(names, kinds, strict=True)) == [
        ("BTC-USD", "CLEAR"),
        ("BTC-USD", "LEVEL"),
        ("ETH-USD", "CLEAR"),
        ("ETH-USD", "LEVEL"),
        ("BTC-USD", "LEVEL"),
        ("ETH-USD", "LEVEL"),
    ]
    assert ((events["flags"] & Flag.LAST) != 0).tolist() == [False, True, False, True, True, True]


def test_blocks_cut_anywhere_give_the_same_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    lines = []
    for k in range(300):
        snapshot = "true" if 100 <= k < 120 or rng.random() < 0.05 else "false"
        side = "bid" if rng.random() < 0.5 else "ask"
        symbol = "ETH-USD" if rng.random() < 0.3 else "BTC-USD"
        amount = "x" if rng.random() < 0.03 else str(rng.integers(0, 3))
        lines.append(row(f"{snapshot},{side},{rng.integers(90, 110)},{amount}", k // 3, symbol=symbol))
    tape = tape_of(tmp_path, BOOK, lines)
    whole, notes = tape.events(), dict(tape.notes)
    for size in (100, 333, 2048):
        monkeypatch.setattr(rows, "BLOCK_BYTES", size)
        assert tape.events().tobytes() == whole.tobytes()
        assert tape.notes == notes


# ---- tables


def test_a_derivative_ticker_is_a_table(tmp_path: Path) -> None:
    header = (
        f"{KEYS},funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price"
    )
    path = tmp_path / "t.csv"
    lines = [row(f"{T + 10},0.0001,,123.5,99.5,100,99.75", 1, 2), row(",,,,,,bad", 3, 4)]
    path.write_text("\n".join([header, *lines]) + "\n")
    table = open_table(path)
    assert table.table().to_pylist() == [
        {
            "ts_event_ns": (T + 1) * 1000,
            "ts_recv_ns": (T + 2) * 1000,
            "symbol": "BTC-USD",
            "ts_funding_ns": (T + 10) * 1000,
            "funding_rate": 0.0001,
            "predicted_funding_rate": None,
            "open_interest": 123.5,
            "last_price": 99.5,
            "index_price": 100.0,
            "mark_price": 99.75,
        }
    ]
    assert table.quarantine.counts == {"bad mark_price": 1}


def test_liquidations_are_told_by_name_and_are_no_trades(tmp_path: Path) -> None:
    path = tmp_path / "binance-futures_liquidations_2021-09-01_BTCUSDT.csv"
    path.write_text("\n".join([TRADES, row("7,buy,100,1")]) + "\n")
    table = open_table(path)
    assert isinstance(table, Table)
    assert table.table()["side"].to_pylist() == ["buy"]


def test_a_type_that_is_not_read_says_which_are(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedSchema, match="expected trades, quotes, incremental_book_L2"):
        tape_of(tmp_path, f"{KEYS},type,strike_price,expiration", [row("call,1,2")])


# ---- bad input


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row("1,buy,100,1").replace(str(T), "x", 1), "bad timestamp"),
        (row("1,buy,100,1").replace(str(T), "17", 1), "bad timestamp"),
        (row("1,buy,x,1"), "bad price"),
        (row("1,buy,100,-1"), "bad amount"),
        (row("1,buy,100,0.000000001"), "part of a lot"),
        (row("1,bought,100,1"), "bad side"),
        (row("1,buy,100,1", symbol="\x01"), "bad symbol"),
        (row("1,buy,100,1", exchange="kraken"), "bad exchange"),
        (row("1,buy,100"), "wrong number of fields"),
    ],
)
def test_a_bad_row_goes_to_the_quarantine_and_strict_ends_there(bad: str, reason: str, tmp_path: Path) -> None:
    lines = [row("1,buy,100,1"), bad, row("2,buy,100,1", 2)]
    tape = tape_of(tmp_path, TRADES, lines)
    assert tape.events().size == 2
    assert tape.quarantine.counts == {reason: 1}
    assert tape.quarantine.records[0].where.startswith("coinbase_trades.csv line 3")
    assert tape.quarantine.records[0].raw == bad.encode()
    with pytest.raises(MalformedRecord, match="line 3"):
        tape_of(tmp_path, TRADES, lines, strict=True).events()


# ---- the recordings, against polars

TAPES = [
    "tardis/bitmex_trades_XBTUSD.csv",
    "tardis/trades.csv",
    "crash_2025_10_10/binance-delivery_trades_2025-10-10_AVAXUSD_PERP.csv.gz",
    "crash_2025_10_10/binance_trades_2025-10-10_SKYUSDT.csv.gz",
    "crash_2025_10_10/coinbase_trades_2025-10-10_AVAX-USD.csv.gz",
    "crash_2025_10_10/coinbase_trades_2025-10-10_SKY-USD.csv.gz",
    "crash_2025_10_10/gemini_trades_2025-10-10_AVAXUSD.csv.gz",
    "crash_2025_10_10/gemini_trades_2025-10-10_SKYUSD.csv.gz",
]


def frame(path: Path) -> pl.DataFrame:
    data = path.read_bytes()
    return pl.read_csv(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, infer_schema=False)


def scaled(column: pl.Series, unit: int = 10**9) -> list[int]:
    """Exact, by a road of its own: Python's decimals."""
    from decimal import Decimal

    return [int(Decimal(x) * unit) for x in column]


@pytest.mark.recording
@pytest.mark.parametrize("name", TAPES)
def test_trades_are_what_polars_reads(name: str, recording: Find) -> None:
    path = recording(name)
    tape, plain = open_tape(path), frame(path)
    events = tape.events()
    instrument = tape.instruments.only()
    assert not tape.quarantine.total
    assert events["price"].tolist() == scaled(plain["price"])
    assert (events["qty_lots"] * instrument.lot_e9).tolist() == scaled(plain["amount"])
    assert (
        events["side"].tolist() == plain["side"].replace_strict({"buy": 1, "sell": -1}, return_dtype=pl.Int8).to_list()
    )
    for ours, theirs in (("ts_event_ns", "timestamp"), ("ts_recv_ns", "local_timestamp")):
        assert events[ours].tolist() == (plain[theirs].cast(pl.Int64) * 1000).to_list()
    if plain["id"][0].isdigit():
        assert events["sequence"].tolist() == plain["id"].cast(pl.Int64).to_list()
    assert (events["kind"] == Kind.TRADE).all()


@pytest.mark.recording
def test_the_crash_recordings_have_the_holes_that_their_ids_show(recording: Find) -> None:
    found = {}
    for name in TAPES[2:6]:
        tape = open_tape(recording(name))
        n = int(((tape.events()["flags"] & Flag.GAP) != 0).sum())
        found[name.split("_")[-1]] = (n, tape.notes.get("trades missing by their ids", 0))
    assert found == {
        "PERP.csv.gz": (328, 1295),
        "SKYUSDT.csv.gz": (0, 0),
        "AVAX-USD.csv.gz": (5, 39),
        "SKY-USD.csv.gz": (3, 9),
    }


@pytest.mark.recording
@pytest.mark.parametrize("name", ["tardis/quotes.csv", "tardis/huobi-dm-swap_quotes_BTC-USD.csv"])
def test_quotes_are_what_polars_reads(name: str, recording: Find) -> None:
    path = recording(name)
    tape, plain = open_tape(path), frame(path)
    events, lot_e9 = tape.events(), tape.instruments.only().lot_e9
    assert not tape.quarantine.total
    for i, side in enumerate(("bid", "ask")):
        assert events["price"][i::2].tolist() == scaled(plain[f"{side}_price"])
        assert (events["qty_lots"][i::2] * lot_e9).tolist() == scaled(plain[f"{side}_amount"])
    assert events["ts_recv_ns"][::2].tolist() == (plain["local_timestamp"].cast(pl.Int64) * 1000).to_list()


@pytest.mark.recording
@pytest.mark.parametrize("n_levels", [5, 25])
def test_a_book_from_the_changes_of_snapshot_rows_equals_every_row(n_levels: int, recording: Find) -> None:
    path = recording(f"tardis/binance-futures_book_snapshot_{n_levels}_BTCUSDT.csv")
    tape, plain = open_tape(path), frame(path)
    events, lot_e9 = tape.events(), tape.instruments.only().lot_e9
    levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
    stamps = (plain["local_timestamp"].cast(pl.Int64) * 1000).to_list()
    for r, stamp in enumerate(stamps):
        mine = events[events["ts_recv_ns"] == stamp]
        assert bool(mine["flags"][-1] & Flag.LAST)
        for e in mine:
            if e["kind"] == Kind.LEVEL:
                levels[int(e["side"])].pop(int(e["price"]), None)
                if e["qty_lots"]:
                    levels[int(e["side"])][int(e["price"])] = int(e["qty_lots"]) * lot_e9
        for sign, name in ((1, "bids"), (-1, "asks")):
            row_of = [
                (scaled(plain[f"{name}[{k}].price"])[r], scaled(plain[f"{name}[{k}].amount"])[r])
                for k in range(n_levels)
            ]
            assert sorted(levels[sign].items(), reverse=sign > 0) == row_of


@pytest.mark.recording
def test_the_deribit_snapshot_is_whole(recording: Find) -> None:
    path = recording("tardis/deribit_incremental_book_L2_BTC-PERPETUAL.csv")
    tape, plain = open_tape(path), frame(path)
    events = tape.events()
    assert [Kind(k).name for k in events["kind"]] == ["CLEAR"] + ["LEVEL"] * plain.height
    assert events["price"][1:].tolist() == scaled(plain["price"])
    assert (events["qty_lots"][1:] * tape.instruments.only().lot_e9).tolist() == scaled(plain["amount"])
    assert (events["flags"] & Flag.SNAPSHOT).all()
    assert np.flatnonzero(events["flags"] & Flag.LAST).tolist() == [events.size - 1]
