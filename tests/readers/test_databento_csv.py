"""Databento's CSV against the vendor's own files in DBN, its transcoder's output, and polars."""

from __future__ import annotations

import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import zstandard

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.events import Flag, Kind
from tapebook.market.tape import Table
from tapebook.readers import detect, open_source, open_table, open_tape
from tests.conftest import DATA
from tests.oracles.dbn import Event, Twin
from tests.readers.test_dbn import FILES, as_events, current

UNDEF = (1 << 63) - 1


def transcoded(path: Path, *, pretty_px: bool, pretty_ts: bool, symbols: bool) -> bytes:
    """The vendor's own CSV of a DBN file."""
    raw = path.read_bytes()
    if raw[:4] == b"\x28\xb5\x2f\xfd":
        raw = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True).read()
    out = io.BytesIO()
    transcoder = dbn.Transcoder(
        file=out,
        encoding=dbn.Encoding(dbn.Encoding.CSV),
        compression=dbn.Compression(dbn.Compression.NONE),
        pretty_px=pretty_px,
        pretty_ts=pretty_ts,
        map_symbols=symbols,
        upgrade_policy=dbn.VersionUpgradePolicy(dbn.VersionUpgradePolicy.UPGRADE_TO_V3),
    )
    transcoder.write(raw)
    transcoder.flush()
    return out.getvalue()


PRETTY = [p for p in FILES if ".v3." in p.name or "/es/" in p.as_posix()]


@pytest.mark.slow
@pytest.mark.skipif(not FILES, reason="recordings are not on this machine (set TAPEBOOK_DATA)")
@pytest.mark.parametrize("pretty", [True, False], ids=["pretty", "raw"])
@pytest.mark.parametrize("path", PRETTY, ids=lambda p: p.name)
def test_a_csv_that_the_vendor_made_of_a_dbn_file_reads_the_same(path: Path, pretty: bool, tmp_path: Path) -> None:
    if not current(path):
        return
    text = transcoded(path, pretty_px=pretty, pretty_ts=pretty, symbols=True)
    copy = tmp_path / (path.name.split(".dbn")[0] + ".csv")
    copy.write_bytes(text)
    if text.count(b"\n") < 2:
        with pytest.raises(ReaderError, match="does not tell its schema"):
            open_source(copy)
        return
    ours, theirs = open_source(copy), open_source(path)
    assert ours.origin.format == "databento-csv"
    assert ours.origin.schema == theirs.origin.schema
    if isinstance(theirs, Table):
        assert isinstance(ours, Table)
        a, b = ours.table(), theirs.table()
        common = [n for n in a.column_names if n in b.column_names]
        assert set(a.column_names) >= set(b.column_names) - {"symbol"} - V1_ONLY
        for name in common:
            if name not in CHANGED_BY_UPGRADE | EMPTY_IN_CSV:
                assert a[name].to_pylist() == b[name].cast(a[name].type).to_pylist(), name
        return
    assert not isinstance(ours, Table)
    assert as_events(ours.events(), ours) == as_events(theirs.events(), theirs)
    assert ours.notes == theirs.notes
    assert list(ours.instruments.values()) == list(theirs.instruments.values())


# Version 3 of the definition left these out; the library fills its new ones when it upgrades.
V1_ONLY = {"trading_reference_price", "trading_reference_date", "md_security_trading_status", "settl_price_type"}
CHANGED_BY_UPGRADE = {"raw_instrument_id", "strike_price"}
EMPTY_IN_CSV = {"auction_time_ns"}  # the vendor writes a time of 0 as an empty field


def e9(value: Any) -> int:
    return UNDEF if value in (None, "") else int(Decimal(str(value)) * 10**9)


def ns(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64))


def order(row: dict[str, Any]) -> Any:
    return dbn.MBOMsg(
        publisher_id=row["publisher_id"],
        instrument_id=row["instrument_id"],
        ts_event=ns(row["ts_event"]),
        ts_recv=ns(row["ts_recv"]),
        order_id=row["order_id"],
        price=e9(row["price"]),
        size=row["size"],
        action=dbn.Action.from_str(row["action"]),
        side=dbn.Side.from_str(row["side"]),
        flags=row["flags"],
        channel_id=row["channel_id"],
        sequence=row["sequence"],
    )


def view(row: dict[str, Any]) -> Any:
    levels = [
        dbn.BidAskPair(
            bid_px=e9(row[f"bid_px_{i:02}"]),
            ask_px=e9(row[f"ask_px_{i:02}"]),
            bid_sz=row[f"bid_sz_{i:02}"],
            ask_sz=row[f"ask_sz_{i:02}"],
            bid_ct=row[f"bid_ct_{i:02}"],
            ask_ct=row[f"ask_ct_{i:02}"],
        )
        for i in range(10)
    ]
    return dbn.MBP10Msg(
        publisher_id=row["publisher_id"],
        instrument_id=row["instrument_id"],
        ts_event=ns(row["ts_event"]),
        ts_recv=ns(row["ts_recv"]),
        price=e9(row["price"]),
        size=row["size"],
        action=dbn.Action.from_str(row["action"]),
        side=dbn.Side.from_str(row["side"]),
        depth=row["depth"],
        flags=row["flags"],
        sequence=row["sequence"],
        levels=levels,
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The file as polars reads it, prices as text."""
    names = pl.read_csv(path, n_rows=0).columns
    texts = {n: pl.String for n in names if n == "price" or "_px_" in n}
    return pl.read_csv(path, schema_overrides=texts).to_dicts()


def test_orders_of_a_stocks_day_are_the_rows_of_the_file(recording: Callable[[str], Path]) -> None:
    path = recording("databento_csv_arl/mbo.csv")
    tape = open_tape(path)
    events = tape.events()
    rows = rows_of(path)
    assert as_events(events, tape) == Twin("mbo").events([order(row) for row in rows])
    assert events.size == len(rows) == 5_886
    assert tape.instruments.only().symbol == "ARL"
    assert tape.instruments.only().venue == "XNAS"
    # The clear that opens the day has no end mark. NASDAQ marks the last message of a packet, so that records without
    # the mark that share a receive time with the next one are no omission.
    assert tape.notes == {"messages_without_end_mark": 1}


def test_a_book_driven_by_the_events_of_mbp_10_shows_every_row(recording: Callable[[str], Path]) -> None:
    path = recording("databento_csv_arl/mbp_actual.csv")
    tape = open_tape(path)
    records = [view(row) for row in rows_of(path)]
    twin = Twin("mbp-10")
    events = as_events(tape.events(), tape)
    assert events == twin.events(records)
    sizes = [len(Twin("mbp-10", twin_views).record(r)) for r, twin_views in zip(records, before(records), strict=True)]
    book: dict[int, dict[int, tuple[int, int]]] = {1: {}, -1: {}}
    at = 0
    for size, record in zip(sizes, records, strict=True):
        for event in events[at : at + size]:
            if event.kind == Kind.CLEAR:
                book = {1: {}, -1: {}}
            elif event.kind == Kind.LEVEL:
                if event.qty_lots:
                    book[event.side][event.price] = (event.qty_lots, event.count)
                else:
                    del book[event.side][event.price]
        at += size
        assert (book[1], book[-1]) == Twin.sides(record)
    assert at == len(events)
    # This file was put together from orders: its trades take from the book, which the vendor's own never do.
    assert tape.notes["unexplained_level_changes"] == 11


def before(records: list[Any]) -> list[dict[int, Any]]:
    """What each row is compared with: nothing, then the row before."""
    return [{}, *({r.instrument_id: Twin.sides(r)} for r in records[:-1])]


HEADER = (
    b"ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,price,size,"
    b"channel_id,order_id,flags,ts_in_delta,sequence,symbol\n"
)
ROW = (
    b"2025-07-17T08:05:03.360842448Z,2025-07-17T08:05:03.360677248Z,160,2,1108,A,B,5.510000000,100,"
    b"0,817593,130,165200,851012,ARL\n"
)


def test_one_row_in_all_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + ROW)
    tape = open_tape(path)
    assert as_events(tape.events(), tape) == [
        Event(
            kind=Kind.ADD,
            side=1,
            price=5_510_000_000,
            qty_lots=100,
            sequence=851012,
            ts_event_ns=1_752_739_503_360_677_248,
            ts_recv_ns=1_752_739_503_360_842_448,
            number=1108,
            flags=Flag.LAST,
            order_id=817593,
        )
    ]


@pytest.mark.parametrize(
    "change",
    [
        (b"5.510000000", b"5510000000"),
        (b"5.510000000", b"5.51"),
        (b"2025-07-17T08:05:03.360842448Z,2025-07-17T08:05:03.360677248Z", b"1752739503360842448,1752739503360677248"),
        (b"2025-07-17T08:05:03.360842448Z", b"2025-07-17 08:05:03.360842448+00:00"),
    ],
)
def test_spellings_of_the_same_row(change: tuple[bytes, bytes], tmp_path: Path) -> None:
    path, other = tmp_path / "x.csv", tmp_path / "y.csv"
    path.write_bytes(HEADER + ROW)
    other.write_bytes(HEADER + ROW.replace(*change))
    assert open_tape(other).events().tobytes() == open_tape(path).events().tobytes()


def test_an_index_column_and_other_columns_are_passed_over(tmp_path: Path) -> None:
    path, other = tmp_path / "x.csv", tmp_path / "y.csv"
    path.write_bytes(HEADER + ROW + ROW)
    other.write_bytes(b"," + HEADER[:-1] + b",mine\n0," + ROW[:-1] + b",a\n1," + ROW[:-1] + b",b\n")
    assert open_tape(other).events().tobytes() == open_tape(path).events().tobytes()


def test_without_a_symbol_the_number_stands_for_it(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes((HEADER + ROW).replace(b",symbol", b"").replace(b",ARL", b""))
    tape = open_tape(path)
    tape.events()
    assert tape.instruments[1108].symbol == "1108"
    assert tape.notes == {"unmapped_instruments": 1}
    named = open_tape(path, symbol="ARL")
    named.events()
    assert named.instruments.only().symbol == "ARL"


def test_one_number_with_two_symbols_is_two_instruments(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + ROW + ROW.replace(b"ARL", b"ARLP") + ROW.replace(b"1108", b"7"))
    tape = open_tape(path)
    symbols = [tape.instruments[i].symbol for i in tape.events()["instrument_id"].tolist()]
    assert symbols == ["ARL", "ARLP", "ARL"]


def test_order_ids_use_all_their_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER + ROW.replace(b"817593", b"18446744073709551614"))
    assert open_tape(path).events()["order_id"].tolist() == [2**64 - 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b",A,B,", b",X,B,"), "bad action"),
        ((b",A,B,", b",A,N,"), "bad side"),
        ((b",A,B,", b",AA,B,"), "bad action"),
        ((b"5.510000000", b"5.5x"), "bad price"),
        ((b"5.510000000", b""), "undefined price"),
        ((b",100,", b",-1,"), "bad size"),
        ((b",100,", b",4294967295,"), "undefined size"),
        ((b",100,", b",4294967296,"), "bad size"),
        ((b"2025-07-17T08:05:03.360677248Z", b"yesterday"), "bad ts_event"),
        ((b",160,", b",1,"), "rtype of another schema"),
        ((b",ARL", b""), "wrong number of fields"),
    ],
)
def test_a_bad_row_is_left_out_with_its_line_and_text(change: tuple[bytes, bytes], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    wrong = ROW.replace(*change)
    path.write_bytes(HEADER + ROW + wrong + ROW)
    tape = open_tape(path)
    assert tape.events().size == 2
    (bad,) = tape.quarantine.records
    assert bad.reason == reason
    assert bad.where.startswith(f"{path} line 3")
    assert bad.raw == wrong.rstrip(b"\n")
    with pytest.raises(MalformedRecord, match=rf"{reason}.*line 3"):
        open_tape(path, strict=True).events()


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(HEADER.replace(b",order_id", b"") + ROW.replace(b",817593", b""))
    with pytest.raises(MalformedRecord, match=r"columns of schema mbo are missing: expected order_id"):
        open_source(path)


def test_tbbo_is_told_by_the_name_of_the_file(recording: Callable[[str], Path], tmp_path: Path) -> None:
    text = transcoded(recording("databento/test_data.tbbo.v3.dbn.zst"), pretty_px=True, pretty_ts=True, symbols=True)
    for name, kinds in (("x.tbbo.csv", [3, 3, 1]), ("x.csv", [1, 3, 3])):
        (tmp_path / name).write_bytes(text)
        assert open_tape(tmp_path / name).events()["kind"].tolist() == kinds * 2


def test_an_undefined_number_of_a_table_is_null(recording: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    source_file = recording("databento/test_data.definition.v3.dbn.zst")
    path.write_bytes(transcoded(source_file, pretty_px=False, pretty_ts=False, symbols=True))
    source = open_table(path)
    table = source.table()
    assert isinstance(table, pa.Table)
    assert table["symbol"].to_pylist() == ["MSFT", "MSFT"]
    assert table["min_price_increment"].to_pylist() == [None, None]
    assert table["expiration_ns"].to_pylist() == [None, None]
    assert table["min_lot_size_round_lot"].to_pylist() == [100, 100]
    assert table["instrument_id"].to_pylist() == [6819, 6830]


def test_other_csv_files_are_not_claimed(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"ts_event,price,size\n1,2,3\n")
    with pytest.raises(ReaderError):
        detect(path)


@pytest.mark.slow
def test_a_file_cut_anywhere_or_with_a_flipped_bit_never_ends_in_a_foreign_error(tmp_path: Path) -> None:
    data = HEADER + ROW * 3
    path = tmp_path / "x.csv"
    rng = np.random.default_rng(3)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(0, 8))
        for copy in (data[:place], bytes(flipped)):
            path.write_bytes(copy)
            try:
                source = open_source(path)
                _ = source.table() if isinstance(source, Table) else source.events()
            except ReaderError:
                continue


def test_recordings_are_there_or_not() -> None:
    assert (not FILES) == (not DATA.exists())
