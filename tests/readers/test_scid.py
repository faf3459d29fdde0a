from __future__ import annotations

import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapebook.market.errors import ReaderError, TruncatedFile, UnsupportedSchema
from tapebook.market.events import MISSING, Events, Flag, Kind, SideSource
from tapebook.market.tape import Table, Tape
from tapebook.readers import open_source, open_table, open_tape, sierra_binary
from tests.readers.sierra_files import FIRST, LAST, ScidRow, at, scid_bytes, trade, write

pytestmark = pytest.mark.uncompiled

T = at("2024-03-18T14:30:00.123")


def read(tmp_path: Path, rows: list[ScidRow], name: str = "ESM24-CME.scid") -> tuple[Tape, Events]:
    tape = open_tape(write(tmp_path, name, scid_bytes(rows)))
    return tape, tape.events()


def told(events: Events) -> list[tuple[str, int, int, int, bool]]:
    """Kind, price in cents, quantity, side, LAST."""
    return [
        (
            Kind(e["kind"]).name,
            int(e["price"]) // 10**7,
            int(e["qty_lots"]),
            int(e["side"]),
            bool(e["flags"] & Flag.LAST),
        )
        for e in events
    ]


def test_a_trade_comes_with_the_quote_before_it(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [trade(T, 5195.75, 3, 1, 5195.5, 5195.75)])
    assert told(events) == [
        ("QUOTE", 519550, MISSING, 1, False),
        ("QUOTE", 519575, MISSING, -1, True),
        ("TRADE", 519575, 3, 1, True),
    ]
    assert set(events["ts_event_ns"].tolist()) == {T * 1000}
    assert set(events["ts_recv_ns"].tolist()) == {MISSING}
    assert events["side_source"].tolist() == [0, 0, SideSource.VENUE]
    assert tape.instruments.only().symbol == "ESM4"


def test_bid_volume_is_a_sale_and_no_volume_on_either_side_is_unknown(tmp_path: Path) -> None:
    sold = trade(T, 5195.5, 2, -1, 5195.5, 5195.75)
    unknown = trade(T + 1, 5195.5, 2, 0, 5195.5, 5195.75)
    tape, events = read(tmp_path, [sold, unknown])
    trades = events[events["kind"] == Kind.TRADE]
    assert trades["side"].tolist() == [-1, 0]
    assert trades["side_source"].tolist() == [SideSource.VENUE, SideSource.NONE]
    assert tape.notes["trades_without_side"] == 1


def test_a_quote_that_stays_makes_no_event_and_is_counted(tmp_path: Path) -> None:
    rows = [trade(T + i, 5195.5, 1, -1, 5195.5, 5195.75) for i in range(4)]
    tape, events = read(tmp_path, rows)
    assert [Kind(k).name for k in events["kind"]] == ["QUOTE", "QUOTE", *["TRADE"] * 4]
    assert tape.notes["quotes_repeated"] == 3


def test_no_bid_or_ask_is_missing_and_no_price_of_zero(tmp_path: Path) -> None:
    _, events = read(tmp_path, [trade(T, 5195.5, 1, -1, 5195.5, 0.0)])
    assert events["price"].tolist() == [5195500000000, MISSING, 5195500000000]


def test_a_record_without_volume_only_tells_the_quote(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [(T, 0.0, 5195.75, 5195.5, 5195.5, 1, 0, 0, 0)])
    assert [Kind(k).name for k in events["kind"]] == ["QUOTE", "QUOTE"]
    assert tape.notes["records_with_bid_and_ask_only"] == 1


def test_the_trades_of_one_order_are_one_message(tmp_path: Path) -> None:
    rows = [
        trade(T, 100.25, 1, 1, 100.0, 100.25),
        trade(T + 1, 100.25, 1, 1, 100.0, 100.25, FIRST),
        trade(T + 2, 100.25, 2, 1, 100.0, 100.25),
        trade(T + 3, 100.5, 3, 1, 100.0, 100.5, LAST),
        trade(T + 4, 100.5, 4, 1, 100.25, 100.5),
    ]
    tape, events = read(tmp_path, rows)
    assert [(name, qty, last) for name, _, qty, _, last in told(events)] == [
        ("QUOTE", MISSING, False),
        ("QUOTE", MISSING, True),
        ("TRADE", 1, True),
        ("TRADE", 1, False),
        ("TRADE", 2, False),
        ("QUOTE", MISSING, False),
        ("QUOTE", MISSING, False),
        ("TRADE", 3, True),
        ("QUOTE", MISSING, False),
        ("QUOTE", MISSING, True),
        ("TRADE", 4, True),
    ]
    assert "unbundled_trades_without_end" not in tape.notes


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([(0, FIRST), (2_000, 0.0)], "unbundled_trades_without_end"),
        ([(0, FIRST), (1, FIRST), (2, LAST)], "unbundled_trades_without_end"),
        ([(0, FIRST)], "unbundled_trades_without_end"),
        ([(0, LAST)], "unbundled_trades_without_start"),
    ],
)
def test_a_group_that_is_cut_ends_and_is_counted(tmp_path: Path, rows: list[tuple[int, float]], note: str) -> None:
    tape, events = read(tmp_path, [trade(T + us, 100.25, 1, 1, 100.0, 100.25, mark) for us, mark in rows])
    assert tape.notes[note] == 1
    assert events["flags"][-1] & Flag.LAST
    first = events[events["kind"] == Kind.TRADE][0]
    assert bool(first["flags"] & Flag.LAST)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3_000),
            st.integers(-20, 20),
            st.integers(1, 9),
            st.sampled_from([-1, 0, 1]),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(1, 7),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_chunking_gives_the_same_events(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, ...]], chunk: int
) -> None:
    us, rows = T, []
    for step_us, ticks, qty, side, mark in steps:
        us += step_us
        price = 5000 + ticks * 0.25
        rows.append(trade(us, price, qty, side, price - 0.25 * (side >= 0), price + 0.25, (0.0, FIRST, LAST)[mark]))
    folder = tmp_path_factory.mktemp("scid")
    _, whole = read(folder, rows)
    with monkeypatch.context() as patch:
        patch.setattr(sierra_binary, "RECORDS_IN_CHUNK", chunk)
        _, cut = read(folder, rows)
    assert cut.tobytes() == whole.tobytes()
    trades = whole[whole["kind"] == Kind.TRADE]
    assert trades["qty_lots"].tolist() == [qty for _, _, qty, _, _ in steps]
    assert trades["price"].tolist() == [5000 * 10**9 + ticks * 250_000_000 for _, ticks, _, _, _ in steps]
    assert whole["flags"][-1] & Flag.LAST


@given(st.integers(1, 2**24 - 1), st.integers(0, 8))
@settings(max_examples=300)
def test_a_price_of_a_known_tick_is_exact_wherever_a_float_can_tell(n: int, tick_index: int) -> None:
    from tapebook.kernels.scid import COARSE, ON_GRID, price_of_f32

    tick_e9 = [250_000_000, 10_000_000, 50_000, 500_000, 15_625_000, 5_000_000_000, 100_000_000, 31_250_000, 1_000][
        tick_index
    ]
    if n * tick_e9 >= 9 * 10**18:
        return
    out = np.zeros(1, np.int64)
    code = price_of_f32(float(np.float32(n * tick_e9 / 1e9)), tick_e9, 1, 1, out)
    assert code in (ON_GRID, COARSE)
    if n < 2**23:  # so far a float step is narrower than a tick
        assert code == ON_GRID
    if code == ON_GRID:
        assert out[0] == n * tick_e9


@given(st.decimals(min_value="0.0001", max_value=99_999, places=4))
@settings(max_examples=300)
def test_without_a_tick_the_shortest_decimal_is_taken(value: Decimal) -> None:
    from tapebook.kernels.scid import price_of_f32

    stored = np.float32(float(value))
    out = np.zeros(1, np.int64)
    price_of_f32(float(stored), 0, 1, 1, out)
    shortest = Decimal(np.format_float_positional(stored, unique=True))
    assert abs(Decimal(int(out[0])) / 10**9) == abs(shortest)


def test_a_price_off_the_grid_is_kept_and_counted(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [trade(T, 5195.6, 1, 1, 5195.5, 5195.75)])
    assert int(events["price"][-1]) == 5_195_600_000_000
    assert tape.notes["off_grid_prices"] == 1


def test_a_tick_finer_than_a_float_is_flagged(tmp_path: Path) -> None:
    row = trade(T, 70_000.01, 1, 1, 70_000.0, 70_000.02)
    path = write(tmp_path, "X.scid", scid_bytes([row]))
    from tapebook.kernels.scid import COARSE, price_of_f32

    out = np.zeros(1, np.int64)
    assert price_of_f32(float(np.float32(70_000.01)), 1_000_000, 1, 1, out) == COARSE
    assert open_tape(path, symbol="NOTHING").events()["price"][-1] == 70_000_010_000_000


def test_prices_in_the_feeds_own_unit_are_refused_until_the_multiplier_is_said(tmp_path: Path) -> None:
    rows = [trade(T + i, (25_263.25 + i * 0.25) * 100, 1, 1, (25_263 + i * 0.25) * 100, 0.0) for i in range(12)]
    path = write(tmp_path, "NQZ5.CME.scid", scid_bytes(rows))
    with pytest.raises(ReaderError, match=r"all multiples of 100 ticks.*--price-multiplier 0.01 \(or 1, if 2526325"):
        open_tape(path)
    events = open_tape(path, price_multiplier=Decimal("0.01")).events()
    trades = events[events["kind"] == Kind.TRADE]
    assert trades["price"].tolist() == [25_263_250_000_000 + i * 250_000_000 for i in range(12)]
    assert open_tape(path, price_multiplier=Decimal(1)).events()["price"][-1] == 2_526_600_000_000_000


def test_bars_are_a_table(tmp_path: Path) -> None:
    rows: list[ScidRow] = [
        (T + i * 60_000_000, 78.5 + i, 79.0 + i, 78.25 + i, 78.53 + i, 10, 100, 60, 40) for i in range(3)
    ]
    table = open_table(write(tmp_path, "CLJ24-NYMEX.scid", scid_bytes(rows)))
    assert table.origin.schema == "bars-60s"
    assert table.table().to_pylist()[0] == {
        "ts_event_ns": T * 1000,
        "symbol": table.instruments.only().symbol,
        "open": 78.5,
        "high": 79.0,
        "low": 78.25,
        "close": 78.53,  # and not 78.52999877929688
        "volume": 100,
        "trades": 10,
        "bid_volume": 60,
        "ask_volume": 40,
    }


def test_a_file_of_bars_and_trades_gives_the_trades_and_counts_the_bars(tmp_path: Path) -> None:
    bar: ScidRow = (T, 100.0, 101.0, 99.0, 100.5, 7, 70, 30, 40)
    path = write(tmp_path, "ESM24-CME.scid", scid_bytes([bar, bar, trade(T + 5, 100.25, 1, 1, 100.0, 100.25)]))
    tape = open_tape(path)
    assert (tape.events()["kind"] == Kind.TRADE).sum() == 1
    assert tape.notes["bar_records_left_out"] == 2
    bars = open_table(path, "scid-bars")
    assert bars.table().num_rows == 2
    assert bars.notes["trade_records_left_out"] == 1


def test_trades_that_only_the_end_of_a_file_holds_are_found(tmp_path: Path) -> None:
    bar: ScidRow = (T, 100.0, 101.0, 99.0, 100.5, 7, 70, 30, 40)
    rows = [bar] * 6_000 + [trade(T + 5, 100.25, 1, 1, 100.0, 100.25)]
    source = open_source(write(tmp_path, "ESM24-CME.scid", scid_bytes(rows)))
    assert isinstance(source, Tape)


@pytest.mark.parametrize("rest", [1, 17, 39])
def test_a_growing_file_gives_its_whole_records(tmp_path: Path, rest: int) -> None:
    data = scid_bytes([trade(T + i, 100.25, 1, 1, 100.0, 100.25) for i in range(3)])
    tape = open_tape(write(tmp_path, "ESM24-CME.scid", data[: 56 + 2 * 40 + rest]))
    assert (tape.events()["kind"] == Kind.TRADE).sum() == 2
    assert tape.notes["partial_record_bytes"] == rest
    assert "ends inside a record" in tape.quarantine.truncated
    with pytest.raises(TruncatedFile, match=f"found {rest} bytes"):
        open_tape(tmp_path / "ESM24-CME.scid", strict=True).events()


def test_a_file_of_a_header_alone_is_an_empty_tape(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "ESM24-CME.scid", scid_bytes([])))
    assert isinstance(source, Tape)
    assert source.events().size == 0


@pytest.mark.parametrize("n", [4, 20, 55])
def test_a_cut_header_is_told(tmp_path: Path, n: int) -> None:
    with pytest.raises(TruncatedFile, match=f"expected 56 bytes, found {n} bytes"):
        open_source(write(tmp_path, "ESM24-CME.scid", scid_bytes([])[:n]))


def test_other_sizes_in_the_header_are_told(tmp_path: Path) -> None:
    data = bytearray(scid_bytes([trade(T, 100.25, 1, 1, 100.0, 100.25)]))
    data[8:12] = struct.pack("<I", 44)
    with pytest.raises(UnsupportedSchema, match="records of 40 bytes, found 56 and 44"):
        open_source(write(tmp_path, "ESM24-CME.scid", bytes(data)))


def test_a_file_with_floating_point_days_is_told(tmp_path: Path) -> None:
    data = scid_bytes([])
    data += b"".join(struct.pack("<dffffIIII", 40_000.5 + i / 86400, 0, 1, 1, 1, 1, 1, 1, 0) for i in range(5))
    with pytest.raises(UnsupportedSchema, match=r"old Sierra Chart.*40000.5.*open it once in a current Sierra Chart"):
        open_source(write(tmp_path, "ESU9.scid", data))


def test_bad_records_go_to_the_quarantine_with_their_place(tmp_path: Path) -> None:
    good = trade(T, 100.25, 1, 1, 100.0, 100.25)
    rows: list[ScidRow] = [
        good,
        (-(10**15) * 3, *good[1:]),
        (T, 0.0, 1.0, 1.0, float("nan"), 1, 1, 1, 0),
        (T, 0.0, 1.0, 1.0, 1e30, 1, 1, 1, 0),
        (T, 0.0, 1.0, 1.0, 1.0, 1, 2**31, 0, 0),
    ]
    tape, events = read(tmp_path, rows)
    assert (events["kind"] == Kind.TRADE).sum() == 1
    assert dict(tape.quarantine.counts) == {"bad time": 1, "bad price": 2, "bad volume": 1}
    assert tape.quarantine.records[0].where.endswith("record 1 at byte 96")
    assert len(tape.quarantine.records[0].raw) == 40


def test_compressed_copies_are_read(tmp_path: Path) -> None:
    import gzip

    data = scid_bytes([trade(T, 100.25, 1, 1, 100.0, 100.25)])
    tape = open_tape(write(tmp_path, "ESM24-CME.scid.gz", gzip.compress(data)))
    assert tape.instruments.only().symbol == "ESM4"
    assert tape.events().size == 3


def test_the_name_gives_the_symbol_in_every_spelling(tmp_path: Path) -> None:
    data = scid_bytes([trade(T, 100.25, 1, 1, 100.0, 100.25)])
    for name in ("ESM24-CME.scid", "ESM24_FUT_CME.scid", "ESM4.CME.scid", "F.US.EPM24.scid"):
        assert open_tape(write(tmp_path, name, data)).instruments.only().symbol == "ESM4"
    stock = open_tape(write(tmp_path, "AAPL-NQTV.scid", data)).instruments.only()
    assert (stock.symbol, stock.venue, stock.lot_e9) == ("AAPL", "NQTV", 10**9)


def test_what_the_digits_below_the_millisecond_are_is_told(tmp_path: Path) -> None:
    counted = [trade(T // 1000 * 1000 + 1000 * (i // 3) + i % 3, 100.25, 1, 1, 100.0, 100.25) for i in range(9)]
    assert read(tmp_path, counted)[0].origin.details["stamps"].startswith("milliseconds")
    true = [trade(T + 1237 * i + 1, 100.25, 1, 1, 100.0, 100.25) for i in range(9)]
    assert read(tmp_path, true)[0].origin.details["stamps"] == "microseconds"


def test_every_truncation_and_every_flipped_bit_of_the_header_ends_well(tmp_path: Path) -> None:
    from tapebook.market.errors import TickDataError

    data = scid_bytes([trade(T + i, 100.25 + i, 1, 1, 100.0, 100.25) for i in range(3)])
    for n in range(1, len(data)):
        try:
            source = open_source(write(tmp_path, "ESM24-CME.scid", data[:n]))
            assert isinstance(source, Tape)
            source.events()
            assert (n - 56) % 40 == 0 or source.notes["partial_record_bytes"] == (n - 56) % 40
        except TickDataError:
            assert n < 56
    for bit in range(12 * 8, len(data) * 8, 7):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            source = open_source(write(tmp_path, "ESM24-CME.scid", bytes(broken)))
            _ = source.table() if isinstance(source, Table) else source.events()
        except TickDataError:
            pass
