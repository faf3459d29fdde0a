from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.market.errors import MalformedRecord
from tapebook.market.events import MISSING, Flag, Kind, SideSource, TradeCondition
from tapebook.market.tape import Tape
from tapebook.readers import open_tape, rows

Find = Callable[[str], Path]
HEADER = "time,bid,ask,last,bid_size,ask_size,volume"
T = "1762309237"
POINT = 10**9


def tape_of(folder: Path, lines: list[str], name: str = "ES_ticks_20251104.csv", **options: Any) -> Tape:
    path = folder / name
    path.write_text("\r\n".join([HEADER, *lines]) + "\r\n")
    return open_tape(path, **options)


def told(tape: Tape) -> list[tuple[str, int, int, int]]:
    events = tape.events()
    return [(Kind(e["kind"]).name, int(e["side"]), int(e["price"]) // (POINT // 4), int(e["qty_lots"])) for e in events]


def test_a_row_is_two_quotes_and_a_changed_last_price_a_trade_before_them(tmp_path: Path) -> None:
    lines = [f"{T}.5,10.0,10.25,10.25,1,1,0", f"{T}.7,10.0,10.25,10.25,1,1,0", f"{T}.7,10.25,10.5,10.5,1,1,0"]
    tape = tape_of(tmp_path, lines)
    assert told(tape) == [
        ("QUOTE", 1, 40, 1),
        ("QUOTE", -1, 41, 1),
        ("QUOTE", 1, 40, 1),
        ("QUOTE", -1, 41, 1),
        ("TRADE", 0, 42, MISSING),
        ("QUOTE", 1, 41, 1),
        ("QUOTE", -1, 42, 1),
    ]
    events = tape.events()
    trade = events[4]
    assert (trade["detail"], trade["side_source"]) == (TradeCondition.DERIVED, SideSource.NONE)
    assert ((events["flags"] & Flag.LAST) != 0).tolist() == [False, True, False, True, False, False, True]
    assert (events["ts_event_ns"] == MISSING).all()
    assert tape.notes == {"rows whose sizes are 1 on both sides": 3}
    assert (tape.instruments.only().symbol, tape.instruments.only().venue) == ("ES", "CME")


def test_times_keep_every_digit(tmp_path: Path) -> None:
    lines = [f"{t},10,11,10,1,1,0" for t in ("1762309237.7253287", "1762309238", "1762309239.123456789")]
    events = tape_of(tmp_path, lines).events()
    assert events["ts_recv_ns"][::2].tolist() == [1762309237725328700, 1762309238000000000, 1762309239123456789]
    assert ((events["flags"][::2] & Flag.REDUCED_PRECISION) != 0).tolist() == [True, True, False]


def test_a_volume_that_grows_is_the_quantity_of_the_trade(tmp_path: Path) -> None:
    volumes = ((10, 100), (10, 103), (11, 105), (12, 105), (12, 5), (12, 7))
    lines = [f"{T}.{i},10,11,{last},3,4,{volume}" for i, (last, volume) in enumerate(volumes)]
    tape = tape_of(tmp_path, lines)
    trades = [(price // 4, qty) for kind, _, price, qty in told(tape) if kind == "TRADE"]
    assert trades == [(10, 3), (11, 2), (12, MISSING), (12, 2)]
    assert tape.notes == {"rows in which the total volume falls": 1}


def test_empty_fields_are_missing_and_bridge_the_last_price(tmp_path: Path) -> None:
    lines = [f"{T}.1,10,11,10,1,1,0", f"{T}.2,,11,,1,,", f"{T}.3,10,11,10,1,1,0", f"{T}.4,10,11,11,1,1,0"]
    rows_told = told(tape_of(tmp_path, lines))
    assert rows_told[2:4] == [("QUOTE", 1, MISSING // (POINT // 4), MISSING), ("QUOTE", -1, 44, MISSING)]
    assert [r for r in rows_told if r[0] == "TRADE"] == [("TRADE", 0, 44, MISSING)]


def test_blocks_cut_anywhere_give_the_same_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    lines = [f"{T}.{k:03d},10,11,{rng.integers(9, 12)},{rng.integers(1, 3)},1,{k // 7}" for k in range(400)]
    lines[100] = lines[99]
    tape = tape_of(tmp_path, lines)
    whole, notes = tape.events(), dict(tape.notes)
    for size in (60, 500, 4096):
        monkeypatch.setattr(rows, "BLOCK_BYTES", size)
        assert tape.events().tobytes() == whole.tobytes()
        assert tape.notes == notes


def test_a_file_without_a_name_is_of_an_unknown_instrument_until_it_is_given(tmp_path: Path) -> None:
    line = [f"{T}.1,10,11,10,1,1,0"]
    assert tape_of(tmp_path, line, "quotes.csv").instruments.only().symbol == "UNKNOWN"
    assert tape_of(tmp_path, line, "quotes.csv", symbol="MNQZ5").instruments.only().root == "MNQ"


def test_a_bad_row_goes_to_the_quarantine_and_strict_ends_there(tmp_path: Path) -> None:
    lines = [f"{T}.1,10,11,10,1,1,0", f"{T}.2,1O,11,10,1,1,0", f"{T}.3,10,11,10,1,1,0"]
    tape = tape_of(tmp_path, lines)
    assert tape.events().size == 4
    assert tape.quarantine.counts == {"bad bid": 1}
    with pytest.raises(MalformedRecord, match=r"ES_ticks_20251104.csv line 3, field bid"):
        tape_of(tmp_path, lines, strict=True).events()


@pytest.mark.recording
@pytest.mark.parametrize(
    ("name", "n_rows", "n_trades"),
    [("ES_ticks_20251104_212034.csv.gz", 12_930, 3_545), ("ES_ticks_combined_20251104.csv.gz", 321_549, 83_265)],
)
def test_a_recording_is_what_python_reads(name: str, n_rows: int, n_trades: int, recording: Find) -> None:
    path = recording(f"topstepx/{name}")
    tape = open_tape(path)
    events = tape.events()
    text = zlib.decompressobj(wbits=31).decompress(path.read_bytes()).decode()
    plain = [line.split(",") for line in text[: text.rfind("\n")].splitlines()[1:]]
    assert len(plain) == n_rows
    quotes = events[events["kind"] == Kind.QUOTE]
    trades = events[events["kind"] == Kind.TRADE]
    assert (quotes.size, trades.size) == (2 * n_rows, n_trades)
    assert quotes["ts_recv_ns"][::2].tolist() == [int(Decimal(p[0]) * POINT) for p in plain]
    for i in (0, 1):
        assert quotes["price"][i::2].tolist() == [int(Decimal(p[1 + i]) * POINT) for p in plain]
        assert (quotes["qty_lots"][i::2] == 1).all()
    changed = [(a[0], a[3]) for b, a in itertools.pairwise(plain) if a[3] != b[3]]
    assert trades["price"].tolist() == [int(Decimal(p) * POINT) for _, p in changed]
    assert trades["ts_recv_ns"].tolist() == [int(Decimal(t) * POINT) for t, _ in changed]
    assert (trades["qty_lots"] == MISSING).all()
    assert bool(tape.quarantine.truncated) == (name == "ES_ticks_20251104_212034.csv.gz")
