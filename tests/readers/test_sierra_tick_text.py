from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from tapebook.market.errors import ReaderError
from tapebook.market.events import Events, Flag, Kind
from tapebook.readers import detect, open_tape
from tests.readers.sierra_files import at, write

UTC = ZoneInfo("UTC")
TICK = 250_000_000
NAMES = "Date;Time;Sequence;DepthSequence;Price;Volume;TradeType;AskPrice;BidPrice;AskSize;BidSize"
HEADER = f"{NAMES};TotalAskDepth;TotalBidDepth;AskDOMPrice;BidDOMPrice;AskDOM_0;BidDOM_0;AskDOM_1;BidDOM_1"


def line(time: str, seq: int, price: float, side: int, ladder: str, quote: str = "100.25;100;7;8") -> str:
    return f"2022-01-24;{time};{seq};{seq - 1};{price};1;{side};{quote};50;60;{ladder}"


def text(folder: Path, *lines: str, name: str = "ESH22_FUT_CME_20220124_133000.txt") -> Path:
    return write(folder, name, "\r\n".join([HEADER, *lines, ""]).encode())


def book(events: Events) -> dict[tuple[int, int], int]:
    """Return the levels that the events leave, in ticks."""
    found: dict[tuple[int, int], int] = {}
    for e in events:
        if e["kind"] == Kind.CLEAR:
            found.clear()
        elif e["kind"] == Kind.LEVEL:
            key = (int(e["side"]), int(e["price"]) // TICK)
            if e["qty_lots"]:
                found[key] = int(e["qty_lots"])
            else:
                found.pop(key, None)
    return found


def test_a_ladder_is_given_when_the_next_one_shows_that_it_was_known(tmp_path: Path) -> None:
    path = text(
        tmp_path,
        line("13:30:00.5000", 10, 100.25, 2, "100.25;100;1;2;3;4"),
        line("13:30:00.47000", 12, 100, 1, "100.25;100;1;2;3;4"),
        line("13:30:01.6000", 14, 100, 1, "100.5;100.25;5;6;7;8"),
    )
    events = open_tape(path, zone=UTC).events()
    assert [Kind(k).name for k in events["kind"]] == [
        *("QUOTE", "QUOTE", "TRADE", "TRADE"),
        *("CLEAR", "LEVEL", "LEVEL", "LEVEL", "LEVEL", "QUOTE", "QUOTE", "TRADE"),
        *("CLEAR", "LEVEL", "LEVEL", "LEVEL", "LEVEL"),
    ]
    first = events[4:9]
    assert set(first["ts_event_ns"].tolist()) == {at("2022-01-24T13:30:01.006") * 1000}  # the third line's
    assert book(events[:9]) == {(-1, 401): 1, (1, 400): 2, (-1, 402): 3, (1, 399): 4}
    assert book(events) == {(-1, 402): 5, (1, 401): 6, (-1, 403): 7, (1, 400): 8}
    assert (first["flags"] & Flag.SNAPSHOT).all()
    assert [bool(f & Flag.LAST) for f in events["flags"]][3:12] == [True, *[False] * 4, True, False, True, True]
    assert events["sequence"][2] == 10
    assert events["sequence"][0] == 9


def test_trade_type_one_is_a_sale_two_a_purchase(tmp_path: Path) -> None:
    ladder = "100.25;100;1;2;3;4"
    path = text(tmp_path, *(line(f"13:30:00.{i}000", i, 100, kind, ladder) for i, kind in ((1, 1), (2, 2), (3, 0))))
    tape = open_tape(path, zone=UTC)
    events = tape.events()
    assert events[events["kind"] == Kind.TRADE]["side"].tolist() == [-1, 1, 0]
    assert tape.notes["trades_without_side"] == 1


def test_without_a_tick_there_are_no_levels_and_a_note(tmp_path: Path) -> None:
    path = text(tmp_path, line("13:30:00.5000", 10, 100.25, 2, "100.25;100;1;2;3;4"), name="tbt.txt")
    tape = open_tape(path, zone=UTC)
    assert set(tape.events()["kind"].tolist()) == {Kind.QUOTE, Kind.TRADE}
    assert tape.notes["ladders_without_tick"] == 1
    assert (open_tape(path, zone=UTC, symbol="ESH22").events()["kind"] == Kind.LEVEL).any()


def test_a_locked_ladder_is_flagged_and_counted(tmp_path: Path) -> None:
    path = text(tmp_path, line("13:30:00.5000", 10, 100.25, 2, "100;100;1;2;3;4"))
    tape = open_tape(path, zone=UTC)
    levels = tape.events()[-5:]
    assert (levels["flags"] & Flag.MAYBE_BAD).all()
    assert tape.notes["ladders_locked_or_crossed"] == 1


def test_empty_sizes_are_no_levels(tmp_path: Path) -> None:
    path = text(tmp_path, line("13:30:00.5000", 10, 100.25, 2, "100.25;100;1;2;0;0"))
    assert book(open_tape(path, zone=UTC).events()) == {(-1, 401): 1, (1, 400): 2}


def test_bad_fields_are_told(tmp_path: Path) -> None:
    ladder = "100.25;100;1;2;3;4"
    good = line("13:30:00.5000", 10, 100.25, 2, ladder)
    path = text(tmp_path, good, good.replace(";1;2;3;4", ";1;x;3;4"), good.replace("13:30:00.5000", "13:30"), good[:-9])
    tape = open_tape(path, zone=UTC)
    tape.events()
    assert dict(tape.quarantine.counts) == {"bad BidDOM_0": 1, "wrong number of fields": 1}
    assert (tape.events()["kind"] == Kind.TRADE).sum() == 2


def test_the_zone_has_to_be_given(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match="--zone UTC"):
        open_tape(text(tmp_path, line("13:30:00.5000", 10, 100.25, 2, "100.25;100;1;2;3;4")))


def test_the_recording_is_that_of_an_independent_reading(recording: Callable[[str], Path]) -> None:
    path = recording("sierra/tbt.txt")
    assert detect(path)[0].name == "sierra-ticks"
    tape = open_tape(path, zone=UTC)
    events = tape.events()
    trades = events[events["kind"] == Kind.TRADE]
    theirs = pl.read_csv(path, separator=";")
    assert trades.size == theirs.height == 2026
    assert int(trades["qty_lots"].sum()) == theirs["Volume"].sum() == 2846
    assert trades["sequence"].tolist() == theirs["Sequence"].to_list()
    assert (trades["price"] / 1e9).tolist() == theirs["Price"].to_list()
    assert trades["side"].tolist() == [{1: -1, 2: 1}[t] for t in theirs["TradeType"].to_list()]
    seconds = theirs["Time"].str.slice(0, 8).str.to_time("%H:%M:%S").to_physical() // 1000
    micros = theirs["Time"].str.split(".").list.get(1).cast(pl.Int64)
    midnight = at("2022-01-24T00:00:00")
    assert (trades["ts_event_ns"] // 1000 - midnight).tolist() == (seconds + micros).to_list()
    assert (np.diff(trades["ts_event_ns"]) > 0).all()  # as decimal fractions they would go back in time
    assert np.datetime_as_string(trades["ts_event_ns"][[0, -1]].view("M8[ns]"), "us").tolist() == [
        "2022-01-24T13:30:00.005000",
        "2022-01-24T13:31:00.955009",
    ]


def test_the_recorded_ladders_and_quotes_are_rebuilt_at_every_line(recording: Callable[[str], Path]) -> None:
    path = recording("sierra/tbt.txt")
    theirs = pl.read_csv(path, separator=";")
    tape = open_tape(path, zone=UTC, symbol="ESH22")
    asks = theirs.select([f"AskDOM_{i}" for i in range(40)]).to_numpy()
    bids = theirs.select([f"BidDOM_{i}" for i in range(40)]).to_numpy()
    top = [(int(a * 4), int(b * 4)) for a, b in theirs.select("AskDOMPrice", "BidDOMPrice").rows()]
    ladders = [
        {(-1, top[k][0] + i): int(asks[k, i]) for i in range(40)}
        | {(1, top[k][1] - i): int(bids[k, i]) for i in range(40)}
        for k in range(theirs.height)
    ]
    quotes = theirs.select("BidPrice", "BidSize", "AskPrice", "AskSize").rows()
    seen: dict[tuple[int, int], int] = {}
    quote: dict[int, tuple[float, int]] = {}
    row = 0
    for e in tape.events():
        if e["kind"] == Kind.CLEAR:
            seen.clear()
        elif e["kind"] == Kind.LEVEL:
            key = (int(e["side"]), int(e["price"]) // TICK)
            seen[key] = int(e["qty_lots"])
            if not e["qty_lots"]:
                del seen[key]
        elif e["kind"] == Kind.QUOTE:
            quote[int(e["side"])] = (int(e["price"]) / 1e9, int(e["qty_lots"]))
        else:
            # The book at a line is the ladder that stood before its own one began.
            before = next((k for k in range(row - 1, -1, -1) if ladders[k] != ladders[row]), None)
            if row and ladders[row] != ladders[row - 1]:
                assert seen == ladders[row - 1]
            elif before is not None:
                assert seen == ladders[before]
            bid, bid_size, ask, ask_size = quotes[row]
            assert quote == {1: (bid, bid_size), -1: (ask, ask_size)}
            row += 1
    assert row == theirs.height
    assert seen == ladders[-1]
    assert tape.notes["ladders"] == 59


def test_a_ladder_in_the_recording_is_younger_than_the_lines_that_show_it(recording: Callable[[str], Path]) -> None:
    """Where a ladder equals the quote of a line, in price, size and sum of ten levels, the line ends its run."""
    theirs = pl.read_csv(recording("sierra/tbt.txt"), separator=";")
    asks = theirs.select([f"AskDOM_{i}" for i in range(40)]).to_numpy()
    bids = theirs.select([f"BidDOM_{i}" for i in range(40)]).to_numpy()
    tops = theirs.select("AskDOMPrice", "BidDOMPrice").to_numpy()
    quote = theirs.select("AskPrice", "BidPrice", "AskSize", "BidSize", "TotalAskDepth", "TotalBidDepth").to_numpy()
    starts = [
        0,
        *(np.flatnonzero((np.diff(asks, axis=0) != 0).any(1) | (np.diff(bids, axis=0) != 0).any(1)) + 1).tolist(),
    ]
    ends = [*starts[1:], theirs.height]
    places = []
    for start, end in zip(starts, ends, strict=True):
        want = [*tops[start], asks[start, 0], bids[start, 0], asks[start, :10].sum(), bids[start, :10].sum()]
        equal = np.flatnonzero((quote == want).all(axis=1))
        places += [(k - start) / (end - start) for k in equal.tolist() if start <= k < end and end - start >= 10]
        assert all(start <= k < end for k in equal.tolist())
    assert len(places) >= 10
    assert min(places) > 0.6
