from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, TradeCondition
from tapebook.market.tape import Tape
from tapebook.readers import binance_recording, open_tape
from tests.readers.binance_lines import RECV_NS, Market

Find = Callable[[str], Path]
DAYS = ["cm_btcusd_perp_20240808", "cm_btcusd_perp_20240809", "spot_btcusdt_20240808", "spot_btcusdt_20240809"]
DAYS += ["usdm_btcusdt_20240808"]
WITH_SNAPSHOT = [day for day in DAYS if day.endswith("08")]


def tape_of(lines: list[bytes], folder: Path, name: str = "recording", **options: Any) -> Tape:
    path = folder / name
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return open_tape(path, **options)


def messages(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with gzip.open(path) as file:
        for line in file:
            stamp, _, body = line.partition(b" ")
            yield int(stamp), json.loads(body)


class DictBook:
    """A book from LEVEL and CLEAR events, by the definition."""

    def __init__(self, events: Events) -> None:
        self.levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.states = self.crossed = 0  # observable ones, and those of them that cross or lock
        best = {1: MISSING, -1: -MISSING}
        columns = ("kind", "side", "price", "qty_lots", "flags")
        for kind, side, price, qty, flags in zip(*(events[c].tolist() for c in columns), strict=True):
            if kind == Kind.CLEAR:
                self.levels = {1: {}, -1: {}}
                best = {1: MISSING, -1: -MISSING}
            elif kind == Kind.LEVEL:
                levels = self.levels[side]
                levels.pop(price, None)
                if qty:
                    levels[price] = qty
                    best[side] = max(best[side] * side, price * side) * side
                elif price == best[side]:
                    best[side] = max((p * side for p in levels), default=MISSING) * side
            if kind in (Kind.CLEAR, Kind.LEVEL) and flags & Flag.LAST:
                self.states += 1
                self.crossed += best[1] >= best[-1]


def venue_book(m: Market, lot: int) -> dict[int, dict[int, int]]:
    return {
        sign: {int(Decimal(p) * 10**9): int(Decimal(q) * lot) for p, q in m.book[side].items()}
        for sign, side in ((1, "b"), (-1, "a"))
    }


# ---- what each message becomes


def test_each_message_becomes_its_events(tmp_path: Path) -> None:
    m = Market()
    lines = [
        m.diff({"99.99": "1.00000000"}, {}),
        m.ticker("99.99", "100.01"),
        m.snapshot(),
        m.diff({"99.98": "0.50000000"}, {"100.01": "2.00000000", "100.02": "0.00000000"}),
        m.ticker("0.00000000", "100.01"),
        m.trade("100.01", "0.00000001", buyer_is_maker=False),
        m.trade("99.99", "3.5", buyer_is_maker=True),
    ]
    events = tape_of(lines, tmp_path).events()
    rows = [
        (Kind(e["kind"]).name, int(e["side"]), int(e["price"]), int(e["qty_lots"]), int(e["sequence"]), int(e["flags"]))
        for e in events
    ]
    last, snapshot, info = int(Flag.LAST), int(Flag.SNAPSHOT), int(Flag.INFO)
    assert rows == [
        ("QUOTE", 1, 99_990_000_000, 150_000_000, 1003, 0),
        ("QUOTE", -1, 100_010_000_000, 250_000_000, 1003, last),
        ("CLEAR", 0, MISSING, MISSING, 1003, snapshot),
        ("LEVEL", 1, 99_990_000_000, 100_000_000, 1003, snapshot | last),
        ("LEVEL", 1, 99_980_000_000, 50_000_000, 1006, 0),
        ("LEVEL", -1, 100_010_000_000, 200_000_000, 1006, 0),
        ("LEVEL", -1, 100_020_000_000, 0, 1006, last),
        ("QUOTE", 1, MISSING, MISSING, 1006, info),
        ("QUOTE", -1, 100_010_000_000, 250_000_000, 1006, last | info),
        ("TRADE", Side.BUY, 100_010_000_000, 1, 101, last),
        ("TRADE", Side.SELL, 99_990_000_000, 350_000_000, 102, last),
    ]
    assert events["channel"].tolist() == [2, 2, 1, 1, 1, 1, 1, 2, 2, 3, 3]
    assert events["ts_recv_ns"].tolist() == [RECV_NS + i * 10**6 for i in (2, 2, 4, 4, 4, 4, 4, 5, 5, 6, 7)]
    assert events["ts_event_ns"][:4].tolist() == [MISSING] * 4, "spot tickers and snapshots tell no time"
    assert (events["ts_event_ns"][4:7] == 1723161257003 * 10**6).all()


def test_a_recording_without_streams_names_is_read_too(tmp_path: Path) -> None:
    m = Market()
    wrapped = [m.diff({"99.00": "1"}, {}), m.ticker("99.00", "101.00"), m.trade("99.00", "1", buyer_is_maker=True)]
    wrapped += [m.snapshot()]
    bare = []
    for line in wrapped:
        stamp, _, body = line.partition(b" ")
        message = json.loads(body)
        bare.append(stamp + b" " + json.dumps(message.get("data", message), separators=(",", ":")).encode())
    (tmp_path / "bare").mkdir()
    assert tape_of(bare, tmp_path / "bare").events().tobytes() == tape_of(wrapped, tmp_path).events().tobytes()


@pytest.mark.parametrize(("digits", "factor"), [(13, 10**6), (16, 1000), (19, 1)])
def test_receive_stamps_may_be_ms_us_or_ns(digits: int, factor: int, tmp_path: Path) -> None:
    line = Market().ticker("99.00", "101.00")
    tape = tape_of([line[:digits] + line[19:]], tmp_path)
    assert tape.events()["ts_recv_ns"].tolist() == [(RECV_NS + 10**6) // factor * factor] * 2


def test_aggregate_trades_are_not_told_beside_single_ones(tmp_path: Path) -> None:
    m = Market()
    agg = [m.trade("100", "1", buyer_is_maker=True, what="aggTrade") for _ in range(2)]
    assert tape_of(agg, tmp_path).events()["channel"].tolist() == [4, 4]
    tape = tape_of([*agg, m.trade("100", "1", buyer_is_maker=True)], tmp_path)
    assert tape.events()["channel"].tolist() == [3]
    assert tape.notes == {"aggregate trades passed over: the single trades are there": 2}


def test_matches_off_the_book_and_empty_ones_are_told_apart(tmp_path: Path) -> None:
    m = Market(futures=True)
    lines = [m.diff({}, {"101.0": "1"})]
    lines += [m.trade("100", "1", buyer_is_maker=True, X=x) for x in ("MARKET", "INSURANCE_FUND", "NA", "ADL")]
    tape = tape_of(lines, tmp_path)
    assert tape.origin.venue == "BINANCE-USDM"
    events = tape.events()
    off = TradeCondition.OFF_BOOK
    assert events["detail"].tolist() == [TradeCondition.REGULAR, off, off]
    assert tape.notes["trade messages without a trade (X is NA)"] == 1


def test_missing_trades_are_marked_and_counted(tmp_path: Path) -> None:
    m = Market()
    lines = [m.trade("100", "1", buyer_is_maker=True) for _ in range(6)]
    tape = tape_of([lines[0], lines[1], lines[4], lines[4], lines[5]], tmp_path)
    assert ((tape.events()["flags"] & Flag.GAP) != 0).tolist() == [False, False, True, False, False]
    assert tape.notes == {"trades missing by their ids": 2, "trade ids that repeat or run backwards": 1}


def test_streams_that_make_no_events_are_counted(tmp_path: Path) -> None:
    m = Market()
    other = m.line({"stream": "btcusdt@markPrice", "data": {"e": "markPriceUpdate", "s": "BTCUSDT"}})
    tape = tape_of([m.ticker("99", "101"), other, other], tmp_path)
    assert tape.events().size == 2
    assert tape.notes == {"stream not read: markPrice": 2}


# ---- the book


def test_a_dropped_diff_clears_the_book_until_the_next_snapshot_joins_on(tmp_path: Path) -> None:
    m = Market()
    lines = [m.diff({"99.00": "1"}, {"101.00": "1"}), m.snapshot()]
    lines += [m.diff({"98.00": "1"}, {})]
    m.diff({"98.00": "2"}, {"101.00": "0"})  # lost
    lines += [m.diff({"97.00": "1"}, {}), m.ticker("99.00", "101.00"), m.diff({"97.00": "5"}, {})]
    stale = tape_of(lines, tmp_path, "stale")
    events = stale.events()
    assert [Kind(k).name for k in events["kind"]] == ["CLEAR", "LEVEL", "LEVEL", "LEVEL", "CLEAR", "QUOTE", "QUOTE"]
    assert int(events["flags"][4]) == Flag.GAP | Flag.LAST
    assert not (events["flags"][5:] & Flag.INFO).any(), "without a book the ticker is all there is"
    assert stale.notes == {
        "resync": 1,
        "book BTCUSDT: empty -> buffering: first diff": 1,
        "book BTCUSDT: buffering -> syncing: snapshot": 1,
        "book BTCUSDT: syncing -> live: diff bridged": 1,
        "book BTCUSDT: live -> stale: gap": 1,
        "book BTCUSDT: not live at the end (stale)": 1,
        "book BTCUSDT: diffs that no snapshot joined on": 2,
    }
    live = tape_of([*lines, m.snapshot(), m.diff({"96.00": "1"}, {})], tmp_path, "live")
    assert DictBook(live.events()).levels == venue_book(m, 10**8)
    assert live.notes["book BTCUSDT: stale -> syncing: snapshot"] == 1
    assert "book BTCUSDT: not live at the end (stale)" not in live.notes


@given(st.integers(0, 2**32), st.integers(10, 60), st.booleans())
def test_any_lost_line_leaves_the_venues_book_or_none(seed: int, n: int, futures: bool) -> None:
    m = Market(futures=futures)
    lines = [*m.walk(seed, n), m.snapshot(), *m.walk(seed + 1, n)]
    del lines[seed % len(lines)]
    lines.append(m.diff({}, {}))  # what is lost after the last message nobody can know
    with tempfile.TemporaryDirectory() as folder:
        tape = tape_of(lines, Path(folder))
        book = DictBook(tape.events())
    live = not any("not live" in note for note in tape.notes)
    assert book.levels == (venue_book(m, 10**3 if futures else 10**8) if live else {1: {}, -1: {}})
    assert book.crossed == 0


def test_a_bad_number_in_a_diff_is_a_missing_diff(tmp_path: Path) -> None:
    m = Market()
    lines = [m.diff({"99.00": "1"}, {}), m.snapshot(), m.diff({"98.00": "1"}, {}), m.diff({"97.00": "1"}, {})]
    lines += [m.diff({"96.00": "1"}, {})]
    lines[3] = lines[3].replace(b'"97.00","1"', b'"97.00","x"')
    tape = tape_of(lines, tmp_path)
    events = tape.events()
    assert [Kind(k).name for k in events["kind"]] == ["CLEAR", "LEVEL", "LEVEL", "CLEAR"]
    (bad,) = tape.quarantine.records
    assert (bad.reason, bad.where, bad.found, bad.raw) == ("bad number", "recording line 4", "97.00 x", lines[3])


def test_a_snapshot_that_does_not_say_whose_it_is_is_refused_among_several(tmp_path: Path) -> None:
    a, b = Market(), Market(symbol="ETHUSDT")
    tape = tape_of([a.diff({"99.00": "1"}, {}), b.diff({"9.00": "1"}, {}), a.snapshot()], tmp_path)
    assert tape.events().size == 0
    assert tape.quarantine.counts == {"bad message": 1}
    assert "names no symbol" in tape.quarantine.records[0].found


def test_instruments_have_books_of_their_own(tmp_path: Path) -> None:
    a, b = Market(), Market(symbol="ETHUSDT")
    lines = [a.diff({"99.00": "1"}, {}), a.snapshot(), a.diff({"98.00": "1"}, {})]
    lines += [b.diff({"9.00": "1"}, {}), b.ticker("9", "10"), a.ticker("99", "101")]
    lines += [b.diff({"8.00": "1"}, {}), a.diff({"97.00": "1"}, {})]
    tape = tape_of(lines, tmp_path)
    events = tape.events()
    eth = next(k for k, i in tape.instruments.items() if i.symbol == "ETHUSDT")
    mine = events["instrument_id"] == eth
    assert events["kind"][mine].tolist() == [Kind.QUOTE] * 2
    assert not (events["flags"][mine] & Flag.INFO).any()
    assert (events["flags"][~mine & (events["kind"] == Kind.QUOTE)] & Flag.INFO).all()


# ---- bad input


@pytest.mark.parametrize(
    "bad",
    [
        b"1723161256172216566",
        b"1723161256172216566 {",
        b"172316125617221656 " + Market().ticker("99", "101")[20:],
        b"x723161256172216566 " + Market().ticker("99", "101")[20:],
        Market().ticker("99", "101").replace(b'"u":1000', b'"u":-1'),
        Market().ticker("99", "101").replace(b'"u":1000', b'"u":99999999999999999999'),
        Market().ticker("99", "101").replace(b'"s":"BTCUSDT"', b'"s":"BTCUSDU"'),
        Market().ticker("9_9", "101"),
        Market().ticker("-99", "101"),
        Market().ticker("99.0000000001", "101"),
        Market().trade("99", "0.000000001", buyer_is_maker=True),
        Market().trade("99", "1", buyer_is_maker=True, T=99),
        b"1723161256172216566 {}",
        b"1723161256172216566 [1]",
        b'1723161256172216566 {"stream":"btcusdt@trade","data":{"e":"\xff"}}',
    ],
)
def test_a_bad_line_goes_to_the_quarantine_and_strict_ends_there(bad: bytes, tmp_path: Path) -> None:
    lines = [Market().ticker("99.00", "101.00"), bad, Market().ticker("99.00", "101.00")]
    tape = tape_of(lines, tmp_path)
    assert tape.events().size == 4
    assert [(r.where, r.raw) for r in tape.quarantine.records] == [("recording line 2", bad)]
    with pytest.raises(MalformedRecord, match="recording line 2"):
        tape_of(lines, tmp_path, strict=True).events()


def test_a_file_that_ends_inside_a_message_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(b"\n".join([Market().ticker("99", "101"), Market().ticker("99", "101")[:-5]]))
    tape = open_tape(path)
    assert tape.events().size == 2
    assert "ends inside a message" in tape.quarantine.truncated
    assert "cut line 2" in tape.quarantine.truncated


def test_a_file_in_which_no_message_can_be_read_is_refused(tmp_path: Path) -> None:
    lines = [Market().ticker("x", "y")] * 3
    with pytest.raises(MalformedRecord, match="none of the 3 records"):
        tape_of(lines, tmp_path).events()


def test_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "utf16"
    path.write_bytes(Market().ticker("99", "101").decode().encode("utf-16"))
    with pytest.raises(ReaderError, match="UTF-8, as the venue sends it"):
        open_tape(path)


@pytest.mark.parametrize("n_bytes", [1, 97, 1000, 4096])
def test_how_the_bytes_are_cut_makes_no_difference(
    n_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = Market()
    lines = [*m.walk(1, 20), m.snapshot(), *m.walk(2, 20)]
    del lines[30]
    tape = tape_of(lines, tmp_path)
    whole, notes = tape.events(), dict(tape.notes)
    monkeypatch.setattr(binance_recording, "_CHUNK_BYTES", n_bytes)
    assert tape.events().tobytes() == whole.tobytes()
    assert tape.notes == notes


@pytest.mark.parametrize("n_bytes", [1, 1 << 20])
def test_a_gap_is_seen_in_a_diff_without_levels(n_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance_recording, "_CHUNK_BYTES", n_bytes)
    m = Market()
    lines = [m.diff({"99.00": "1"}, {}), m.snapshot(), m.diff({"98.00": "1"}, {}), m.diff({}, {}), m.diff({}, {})]
    del lines[3]
    events = tape_of(lines, tmp_path).events()
    assert [Kind(k).name for k in events["kind"]] == ["CLEAR", "LEVEL", "LEVEL", "CLEAR"]
    assert int(events["flags"][-1]) == Flag.GAP | Flag.LAST


# ---- the recordings


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize("day", DAYS)
def test_a_recording_holds_what_plain_json_says(day: str, recording: Find) -> None:
    path = recording(f"binance/{day}.gz")
    tape = open_tape(path)
    events = tape.events()
    assert not tape.quarantine.total
    (instrument,) = tape.instruments.values()
    trades = events[events["kind"] == Kind.TRADE]
    quotes = events[events["kind"] == Kind.QUOTE]
    expected: list[tuple[int, int, int, int, int]] = []
    tickers: list[tuple[int, int, int, int]] = []
    for recv, m in messages(path):
        data = m.get("data", {})
        if m.get("stream", "").endswith("@trade"):
            price, qty = Decimal(data["p"]) * 10**9, Decimal(data["q"]) / instrument.lot
            expected.append((recv, data["T"] * 10**6, int(price), int(qty), -1 if data["m"] else 1))
        elif m.get("stream", "").endswith("@bookTicker"):
            for price, qty in ((data["b"], data["B"]), (data["a"], data["A"])):
                tickers.append((recv, data["u"], int(Decimal(price) * 10**9), int(Decimal(qty) / instrument.lot)))
    got = zip(*(trades[n].tolist() for n in ("ts_recv_ns", "ts_event_ns", "price", "qty_lots", "side")), strict=True)
    assert list(got) == expected
    got_quotes = zip(*(quotes[n].tolist() for n in ("ts_recv_ns", "sequence", "price", "qty_lots")), strict=True)
    assert list(got_quotes) == tickers
    assert (np.diff(events["ts_recv_ns"]) >= 0).all()
    late_ns = np.median(trades["ts_recv_ns"] - trades["ts_event_ns"])
    assert -1_500_000_000 < late_ns < -1_200_000_000, "the recorder's clock runs behind: kept as it is"


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize("day", WITH_SNAPSHOT)
def test_the_book_of_a_recording_never_crosses_and_is_the_documented_one(day: str, recording: Find) -> None:
    path = recording(f"binance/{day}.gz")
    tape = open_tape(path)
    events = tape.events()
    book = DictBook(events)
    assert book.states > 3_000
    assert book.crossed == 0
    symbol = tape.instruments.only().symbol
    assert tape.notes == {
        f"book {symbol}: empty -> buffering: first diff": 1,
        f"book {symbol}: buffering -> live: snapshot bridged": 1,
    }
    # The documented recipe, as plainly as it can be put down: Decimals in dicts, the first diff by hand.
    spot = day.startswith("spot")
    everything = list(messages(path))
    snapshot = next(m for _, m in everything if "lastUpdateId" in m)
    last = snapshot["lastUpdateId"]
    sides = {"b": {Decimal(p): q for p, q in snapshot["bids"]}, "a": {Decimal(p): q for p, q in snapshot["asks"]}}
    for _, m in everything:
        data = m.get("data", {})
        if data.get("e") != "depthUpdate" or (data["u"] <= last if spot else data["u"] < last):
            continue
        for side, levels in sides.items():
            for price, qty in data[side]:
                levels[Decimal(price)] = qty
    lot = tape.instruments.only().lot
    for sign, name in ((1, "b"), (-1, "a")):
        plain = {int(p * 10**9): int(Decimal(q) / lot) for p, q in sides[name].items() if Decimal(q)}
        assert book.levels[sign] == plain


@pytest.mark.recording
@pytest.mark.slow
def test_a_line_dropped_from_a_recording_is_detected_and_a_later_snapshot_heals_it(
    recording: Find, tmp_path: Path
) -> None:
    with gzip.open(recording("binance/spot_btcusdt_20240808.gz")) as file:
        lines = [next(file).rstrip(b"\n") for _ in range(6_000)]
    depth = [i for i, line in enumerate(lines) if b"@depth" in line[:60]]
    dropped, healed = depth[100], depth[150]
    # A snapshot as the venue would have answered it, from the book that all the lines make.
    book = DictBook(tape_of(lines[: healed + 1], tmp_path, "all").events())
    last = json.loads(lines[healed].partition(b" ")[2])["data"]["u"]
    text = {s: [[str(Decimal(p) / 10**9), str(Decimal(q) / 10**8)] for p, q in book.levels[s].items()] for s in (1, -1)}
    answer = {"lastUpdateId": last, "bids": text[1], "asks": text[-1]}
    snapshot = lines[healed].partition(b" ")[0] + b" " + json.dumps(answer).encode()

    broken = tape_of(lines[:dropped] + lines[dropped + 1 :], tmp_path, "broken")
    events = broken.events()
    assert broken.notes["resync"] == 1
    assert broken.notes["book BTCUSDT: not live at the end (stale)"] == 1
    (gap,) = np.flatnonzero(events["flags"] & Flag.GAP)
    assert events["kind"][gap] == Kind.CLEAR
    assert not (events["kind"][gap + 1 :] == Kind.LEVEL).any()

    mended = lines[:dropped] + lines[dropped + 1 : healed + 1] + [snapshot] + lines[healed + 1 :]
    tape = tape_of(mended, tmp_path, "mended")
    after, whole = DictBook(tape.events()), DictBook(tape_of(lines, tmp_path, "all").events())
    assert after.levels == whole.levels
    assert after.crossed == 0


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize("what", ["spot_btcusdt", "cm_btcusd_perp"])
def test_the_second_day_goes_on_with_the_book_of_the_first_when_they_are_joined(
    what: str, recording: Find, tmp_path: Path
) -> None:
    days = [recording(f"binance/{what}_2024080{d}.gz") for d in (8, 9)]
    alone = open_tape(days[1])
    events = alone.events()
    assert not (events["kind"] == Kind.LEVEL).any()
    assert any("not live at the end (buffering)" in note for note in alone.notes)
    assert not (events["flags"] & Flag.INFO).any()
    both = tmp_path / "both.gz"
    both.write_bytes(days[0].read_bytes() + days[1].read_bytes())
    tape = open_tape(both)
    book = DictBook(tape.events())
    assert (book.crossed, book.states > 6_000) == (0, True)
    assert "resync" not in tape.notes
