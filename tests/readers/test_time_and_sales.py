from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError, MalformedRecord, ReaderError, UnknownFormat
from tapebook.market.events import MISSING, Events, Flag, Kind, SideSource
from tapebook.readers import detect, open_tape
from tapebook.readers.time_and_sales_sides import side_words
from tests.readers.sierra_files import at, write

UTC = ZoneInfo("UTC")
MADRID = ZoneInfo("Europe/Madrid")
SPANISH = "Timestamp;Precio;Volumen;Lado;Bid;Ask"


def text(folder: Path, *lines: str, name: str = "time_and_sales_nq_20251127.csv") -> Path:
    return write(folder, name, "\n".join([*lines, ""]).encode())


def trades(events: Events) -> list[tuple[float, int, int]]:
    chosen = events[events["kind"] == Kind.TRADE]
    return [(int(e["price"]) / 1e9, int(e["qty_lots"]), int(e["side"])) for e in chosen]


def test_the_spanish_file_needs_no_map(tmp_path: Path) -> None:
    path = text(
        tmp_path,
        SPANISH,
        "2025-11-27 15:30:00.019;25313,25;6;BID;25320,5;25327,5",
        "2025-11-27 15:30:00.019;25313,25;1;ASK;25320,5;25327,5",
        "2025-11-27 15:30:00.020;25313;2;BETWEEN;25320,75;25327,5",
    )
    assert detect(path)[0].name == "time-and-sales"
    tape = open_tape(path, zone=MADRID)
    events = tape.events()
    assert trades(events) == [(25313.25, 6, -1), (25313.25, 1, 1), (25313.0, 2, 0)]
    assert [Kind(k).name for k in events["kind"]] == [
        *("QUOTE", "QUOTE", "TRADE"),
        "TRADE",
        *("QUOTE", "QUOTE", "TRADE"),
    ]
    assert [bool(f & Flag.LAST) for f in events["flags"]] == [False, True, True, True, False, True, True]
    assert events["ts_event_ns"][0] == at("2025-11-27T14:30:00.019") * 1000
    assert events["side_source"][events["kind"] == Kind.TRADE].tolist() == [SideSource.VENUE, SideSource.VENUE, 0]
    assert tape.instruments.only().symbol == "NQ"
    assert tape.notes["prints_outside_their_quote"] == 3
    with pytest.raises(ReaderError, match="--zone Europe/Madrid"):
        open_tape(path)


def test_any_columns_can_be_mapped_by_name_or_position(tmp_path: Path) -> None:
    lines = ["When|What|Many|Who|x|n", "2024-03-18T09:30:00Z|100.25|3|B|z|7", "2024-03-18T09:30:01Z|100.5|4|S|z|8"]
    path = text(tmp_path, *lines, name="tape.txt")
    with pytest.raises(UnknownFormat):
        open_tape(path)
    with pytest.raises(ReaderError, match="no column for time, price, qty"):
        open_tape(path, "time-and-sales")
    columns = {"time": "When", "price": "2", "qty": "many", "side": "4", "seq": "n"}
    events = open_tape(path, "time-and-sales", columns=columns, symbol="ESM4").events()
    assert trades(events) == [(100.25, 3, 1), (100.5, 4, -1)]
    assert events["sequence"].tolist() == [7, 8]


def test_a_file_without_a_header_is_mapped_by_position(tmp_path: Path) -> None:
    path = text(tmp_path, "18/03/2024,09:30:00.5,100.25,3", "18/03/2024,09:30:01,100.50,4", name="x.csv")
    columns = {"date": "1", "time": "2", "price": "3", "qty": "4"}
    events = open_tape(path, "time-and-sales", columns=columns, zone=UTC).events()
    assert trades(events) == [(100.25, 3, 0), (100.5, 4, 0)]
    assert events["ts_event_ns"][0] == at("2024-03-18T09:30:00.5") * 1000


def test_ninjatraders_tick_export_is_known(tmp_path: Path) -> None:
    path = text(tmp_path, "20240318 093000 1230000;5195.5;5195.25;5195.5;3", name="ES 06-24.Last.txt")
    assert detect(path)[0].name == "time-and-sales"
    events = open_tape(path, zone=UTC, symbol="ES 06-24").events()
    assert trades(events) == [(5195.5, 3, 0)]
    assert events["ts_event_ns"][0] == at("2024-03-18T09:30:00.123") * 1000
    assert (events["price"][:2] / 1e9).tolist() == [5195.25, 5195.5]


def test_times_of_day_need_a_date_and_pass_midnight(tmp_path: Path) -> None:
    path = text(tmp_path, "Time,Price,Size", "23:59:59,100,1", "00:00:01,100,1", "00:00:00,100,1", name="x.csv")
    with pytest.raises(ReaderError, match="--date YYYY-MM-DD"):
        open_tape(path, zone=UTC)
    tape = open_tape(path, zone=UTC, date="2024-03-18")
    want = [at("2024-03-18T23:59:59"), at("2024-03-19T00:00:01"), at("2024-03-19T00:00:00")]
    for _ in range(2):
        assert tape.events()["ts_event_ns"].tolist() == [us * 1000 for us in want]


def test_sizes_of_quotes_and_a_sequence_are_taken(tmp_path: Path) -> None:
    path = text(
        tmp_path,
        "time,price,qty,bid,ask,bid size,ask size,seq",
        "2024-03-18 09:30:00,100.25,3,100,100.25,7,,1",
        "2024-03-18 09:30:00,100.25,3,100,100.25,6,,2",
        name="x.csv",
    )
    events = open_tape(path, zone=UTC).events()
    assert events["qty_lots"].tolist() == [7, MISSING, 3, 6, MISSING, 3]
    assert events["sequence"].tolist() == [MISSING, MISSING, 1, MISSING, MISSING, 2]


def test_several_symbols_have_quotes_of_their_own(tmp_path: Path) -> None:
    path = text(
        tmp_path,
        "time,symbol,price,qty,bid,ask",
        "2024-03-18 09:30:00,ESM24,5200,1,5199.75,5200",
        "2024-03-18 09:30:00,NQM24,18000,1,17999.75,18000",
        "2024-03-18 09:30:01,ESM24,5200,1,5199.75,5200",
        name="x.csv",
    )
    tape = open_tape(path, zone=UTC)
    events = tape.events()
    assert events["kind"].tolist() == [3, 3, 1, 3, 3, 1, 1]
    symbols = [tape.instruments[int(i)].symbol for i in events["instrument_id"]]
    assert symbols == ["ESM4"] * 3 + ["NQM4"] * 3 + ["ESM4"]


def test_fractional_quantities_are_lots_of_the_instrument(tmp_path: Path) -> None:
    path = text(tmp_path, "time,price,qty", "1700000000123,60000.5,0.00012", "1700000000124,60000.5,1", name="x.csv")
    tape = open_tape(path, symbol="BTCUSDT", venue="BINANCE")
    events = tape.events()
    lot_e9 = tape.instruments.only().lot_e9
    assert [q * lot_e9 for q in events["qty_lots"].tolist()] == [120_000, 10**9]
    assert events["ts_event_ns"].tolist() == [1_700_000_000_123_000_000, 1_700_000_000_124_000_000]


@pytest.mark.parametrize(
    ("buy", "sell"),
    [("Buy", "SELL"), ("b", "s"), ("ASK", "BID"), ("at ask", "at bid"), ("1", "-1"), ("C", "V"), ("compra", "venta")],
)
def test_words_for_the_side(tmp_path: Path, buy: str, sell: str) -> None:
    rows = [f"2024-03-18 09:30:00,100,1,{word}" for word in (buy, sell, "", buy)]
    tape = open_tape(text(tmp_path, "time,price,qty,side", *rows, name="x.csv"), zone=UTC)
    assert [side for _, _, side in trades(tape.events())] == [1, -1, 0, 1]
    assert tape.notes["trades_without_side"] == 1


@pytest.mark.parametrize("words", [("A", "B"), ("1", "2"), ("b",), ("x", "buy"), ("s",)])
def test_words_that_may_mean_two_things_are_asked_for(tmp_path: Path, words: tuple[str, ...]) -> None:
    rows = [f"2024-03-18 09:30:00,100,1,{word}" for word in words]
    path = text(tmp_path, "time,price,qty,side", *rows, name="x.csv")
    with pytest.raises(ReaderError, match="side_buy=WORD"):
        open_tape(path, zone=UTC)
    said = {"side_buy": words[0], "side_sell": "|".join(words[1:])}
    assert [s for *_, s in trades(open_tape(path, zone=UTC, columns=said).events())] == [1, *[-1] * (len(words) - 1)]


def test_a_word_that_comes_later_and_means_nothing_is_counted(tmp_path: Path) -> None:
    rows = [f"2024-03-18 09:30:00,100,1,{word}" for word in ["BID"] * 3000 + ["CROSS"]]
    tape = open_tape(text(tmp_path, "time,price,qty,side", *rows, name="x.csv"), zone=UTC)
    assert [s for *_, s in trades(tape.events())] == [-1] * 3000 + [0]
    assert tape.notes["side_words_not_understood"] == 1


def test_words_that_contradict_the_quotes_are_refused(tmp_path: Path) -> None:
    rows = [f"2024-03-18 09:30:{i:02d},100.25,1,BID,100,100.25" for i in range(30)]
    path = text(tmp_path, "time,price,qty,side,bid,ask", *rows, name="x.csv")
    with pytest.raises(ReaderError, match="30 of the first 30 trades at a quote are the other way round"):
        open_tape(path, zone=UTC)
    with pytest.raises(ReaderError, match="contradict"):
        open_tape(path, zone=UTC, columns={"side_sell": "BID"})
    assert {s for *_, s in trades(open_tape(path, zone=UTC, columns={"side_buy": "BID"}).events())} == {1}


def test_only_whole_families_of_words_are_understood() -> None:
    assert side_words(["BETWEEN", ""], {}, "f")["bid"] == -1
    assert "b" not in side_words([], {}, "f")


def test_a_map_with_an_unknown_word_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="found volume"):
        open_tape(text(tmp_path, SPANISH, "x;1;1;BID;1;1"), zone=UTC, columns={"volume": "2"})


def test_a_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReaderError, match=r"column for 'price' is not there.*Precio"):
        open_tape(text(tmp_path, SPANISH, "x;1;1;BID;1;1"), zone=UTC, columns={"price": "Preis"})


def test_bad_rows_are_told_and_the_rest_is_read(tmp_path: Path) -> None:
    good = "2025-11-27 15:30:00.019;25313,25;6;BID;25320,5;25327,5"
    bad = [
        good.replace("25313,25", "25.313,25"),
        good.replace("2025-11-27", "2025-11-31"),
        good.replace(";6;", ";6,5;"),
        good.replace(";6;", ";-6;"),
        good + ";",
    ]
    tape = open_tape(text(tmp_path, SPANISH, good, *bad, good.replace("25320,5", "253x")), zone=MADRID)
    assert len(trades(tape.events())) == 2
    assert dict(tape.quarantine.counts) == {
        "bad Precio": 1,
        "bad Timestamp": 1,
        "bad Volumen": 2,
        "wrong number of fields": 1,
    }
    assert tape.notes["bid_not_understood"] == 1
    with pytest.raises(MalformedRecord, match="none of the"):
        open_tape(text(tmp_path, SPANISH, bad[0], bad[1], name="nq.csv"), zone=MADRID).events()


def test_bars_are_no_time_and_sales(tmp_path: Path) -> None:
    path = text(tmp_path, "time,open,high,low,close,price,volume", "2024-03-18,1,1,1,1,1,1", name="x.csv")
    with pytest.raises(UnknownFormat):
        open_tape(path)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(-9, 9), st.integers(1, 99), st.sampled_from(["BID", "ASK", ""])),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from([";", "\t", "|"]),
    st.booleans(),
    st.integers(1, 9),
)
@settings(max_examples=60)
def test_what_was_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    prints: list[tuple[int, int, int, str]],
    mark: str,
    comma: bool,
    block: int,
) -> None:
    ms = 0
    lines, want = ["time;price;qty;side"], []
    for step, ticks, qty, word in prints:
        ms += step
        price = 5000 + ticks * 0.25
        lines.append(f"2024-03-18 09:30:00.{ms % 1000:03d};{price:.2f};{qty};{word}")
        want.append((price, qty, {"BID": -1, "ASK": 1, "": 0}[word]))
    body = "\n".join(lines).replace(";", mark)
    path = write(
        tmp_path_factory.mktemp("tas"),
        "x.csv",
        (body.replace(",", "?").replace(".", "," if comma else ".") + "\n").encode(),
    )
    tape = open_tape(path, zone=UTC)
    assert [row for events in tape.blocks(block) for row in trades(events)] == want


RECORDED = {
    "time_and_sales_nq_.csv": (19_794, 21_126, 12_040, "2025-10-09T16:00:00.032", "2025-10-09T16:30:00.932"),
    "time_and_sales_nq_20251127.csv": (43_719, 46_746, 24_631, "2025-11-26T23:00:00.019", "2025-11-27T17:59:59.016"),
}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_the_recordings_are_those_of_an_independent_reading(recording: Callable[[str], Path], name: str) -> None:
    path = recording(f"nq_time_and_sales/{name}")
    n, volume, bought, first, last = RECORDED[name]
    tape = open_tape(path, zone=MADRID)
    events = tape.events()
    ours = events[events["kind"] == Kind.TRADE]
    assert (ours.size, int(ours["qty_lots"].sum()), int((ours["side"] > 0).sum())) == (n, volume, bought)
    assert np.datetime_as_string(ours["ts_event_ns"][[0, -1]].view("M8[ns]"), "ms").tolist() == [first, last]
    theirs = pl.read_csv(path, separator=";", infer_schema_length=0)
    theirs.columns = ["t", "p", "v", "s", "b", "a"]
    e9 = [(theirs[c].str.replace(",", ".").cast(pl.Float64) * 4).cast(pl.Int64) * 250_000_000 for c in ("p", "b", "a")]
    assert ours["price"].tolist() == e9[0].to_list()
    assert ours["qty_lots"].tolist() == theirs["v"].cast(pl.Int64).to_list()
    assert ours["side"].tolist() == [{"BID": -1, "ASK": 1}[s] for s in theirs["s"].to_list()]
    when = theirs["t"].str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="ns")
    utc = when.dt.replace_time_zone("Europe/Madrid").dt.convert_time_zone("UTC").dt.epoch("ns")
    assert ours["ts_event_ns"].tolist() == utc.to_list()
    # The quote before each trade is the quote of its row.
    quote: dict[int, int] = {}
    quotes = []
    for e in events:
        if e["kind"] == Kind.QUOTE:
            quote[int(e["side"])] = int(e["price"])
        else:
            quotes.append((quote[1], quote[-1]))
    assert quotes == list(zip(e9[1].to_list(), e9[2].to_list(), strict=True))
    assert tape.instruments.only().symbol == "NQ"


def test_the_clock_of_the_recordings_hung_in_madrid(recording: Callable[[str], Path]) -> None:
    """CME halts at 13:00 New York on Thanksgiving: the file's last print is a second before that, in Madrid time."""
    events = open_tape(recording("nq_time_and_sales/time_and_sales_nq_20251127.csv"), zone=MADRID).events()
    ours = events[events["kind"] == Kind.TRADE]
    seconds = ours["ts_event_ns"] // 10**9 - at("2025-11-27T00:00:00") // 10**6
    halt, new_york_opens = 18 * 3600, 14 * 3600 + 1800
    assert halt - 5 < int(seconds.max()) < halt

    def volume(start: int) -> int:
        return int(ours["qty_lots"][(seconds >= start) & (seconds < start + 900)].sum())

    assert volume(new_york_opens) > 2 * volume(new_york_opens - 900)
    assert volume(new_york_opens) == max(volume(s) for s in range(0, 18 * 3600, 900))
