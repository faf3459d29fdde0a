"""DBN against the vendor's own decoder, record by record, and against tapes made with its record classes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn as dbn
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import MalformedRecord, TruncatedFile, UnsupportedSchema
from tapebook.market.events import MISSING, Events, Flag, Kind, Phase
from tapebook.market.tape import Table, Tape
from tapebook.readers import databento_records as records
from tapebook.readers import dbn as reader
from tapebook.readers import dbn_stream, open_source, open_table, open_tape
from tests.conftest import DATA
from tests.oracles.dbn import Event, Twin

UNDEF = (1 << 63) - 1
TIME_UNDEF = (1 << 64) - 1
T0 = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000


def decoded(path: Path) -> tuple[Any, list[Any]]:
    """The vendor's own decoding."""
    raw = path.read_bytes()
    compression = dbn.Compression.ZSTD if raw[:4] == b"\x28\xb5\x2f\xfd" else dbn.Compression.NONE
    decoder = dbn.DBNDecoder(
        compression=dbn.Compression(compression),
        upgrade_policy=dbn.VersionUpgradePolicy(dbn.VersionUpgradePolicy.AS_IS),
    )
    meta, *found = decoder.write_and_decode(raw)
    return meta, found


FILES = sorted(p for p in DATA.glob("databento/**/*.dbn*") if ".frag" not in p.name) if DATA.exists() else []
NAMES = [p.relative_to(DATA).as_posix() for p in FILES]
EVENT_WORDS = ("mbo", "mbp", "trades", "tbbo", "bbo", "status")


def current(path: Path) -> bool:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
        start = path.read_bytes()[:4] if path.suffix == ".dbn" else stream.read(4)
    return start[3] > 0


def as_events(events: Events, tape: Tape) -> list[Event]:
    del tape
    return [
        Event(
            kind=int(e["kind"]),
            side=int(e["side"]),
            price=int(e["price"]),
            qty_lots=int(e["qty_lots"]),
            sequence=int(e["sequence"]),
            ts_event_ns=int(e["ts_event_ns"]),
            ts_recv_ns=int(e["ts_recv_ns"]),
            number=int(e["instrument_id"]),
            flags=int(e["flags"]),
            count=int(e["count"]),
            order_id=int(e["order_id"]),
            channel=int(e["channel"]),
            side_source=int(e["side_source"]),
            detail=int(e["detail"]),
        )
        for e in events
    ]


@pytest.mark.skipif(not FILES, reason="recordings are not on this machine (set TAPEBOOK_DATA)")
@pytest.mark.parametrize("path", [p for p in FILES if any(w in p.name for w in EVENT_WORDS)], ids=lambda p: p.name)
def test_events_are_what_the_vendors_decoder_gives(path: Path) -> None:
    if not current(path):
        with pytest.raises(UnsupportedSchema, match="version 0"):
            open_source(path)
        return
    meta, found = decoded(path)
    if path.name == "test_data.cmbp-1.dbn.zst":  # its one record is undefined in every field
        with pytest.raises(MalformedRecord, match=r"none of the 1 records.*bad time"):
            open_tape(path).events()
        return
    tape = open_tape(path)
    events = tape.events()
    assert as_events(events, tape) == Twin(str(meta.schema)).events(found)
    assert not tape.quarantine.total
    assert not tape.quarantine.truncated
    assert [i.venue for i in tape.instruments.values()] == ["CME"]
    assert [i.symbol for i in tape.instruments.values()] == list(meta.mappings)


TABLE_WORDS = ("ohlcv", "definition", "statistics", "imbalance")


@pytest.mark.skipif(not FILES, reason="recordings are not on this machine (set TAPEBOOK_DATA)")
@pytest.mark.parametrize("path", [p for p in FILES if any(w in p.name for w in TABLE_WORDS)], ids=lambda p: p.name)
def test_tables_are_what_the_vendors_decoder_gives(path: Path) -> None:
    if not current(path):
        with pytest.raises(UnsupportedSchema, match="version 0"):
            open_source(path)
        return
    meta, found = decoded(path)
    source = open_table(path)
    table = source.table()
    assert table.num_rows == len(found)
    assert source.origin.schema == ("bars " if "ohlcv" in path.name else "") + str(meta.schema)
    rows = table.to_pylist()
    for row, record in zip(rows, found, strict=True):
        days = [
            (name, i["start_date"], i["end_date"])
            for name, spans in meta.mappings.items()
            for i in spans
            if i["symbol"] == str(record.instrument_id)
        ]
        when = dt.datetime.fromtimestamp(getattr(record, "ts_recv", record.ts_event) / 1e9, dt.UTC).date()
        named = [name for name, start, end in days if start <= when < end] or [name for name, _, _ in days]
        assert row["symbol"] == (named[0] if named else str(record.instrument_id))
        for name, value in row.items():
            if name != "symbol":
                assert_same(value, getattr(record, name.removesuffix("_ns")), name)
    left_out = {"length", "rtype", "hd", "ts_out"} | {n for n in dir(found[0]) if n[0] == "_"} if found else set()
    names = {c.removesuffix("_ns") for c in table.column_names}
    for name in type(found[0])._ordered_fields if found else ():
        assert name in names or name in left_out, f"{name} is lost"


def assert_same(value: Any, told: Any, name: str) -> None:
    if value is None:
        assert told in (UNDEF, TIME_UNDEF, 2**31 - 1, 2**32 - 1, 2**16 - 1, 2**15 - 1, 255, 127), name
    elif isinstance(value, float):
        assert value == told / 1e9, name
    elif isinstance(value, str):
        assert value in (str(told).strip("\0"), told), name
    else:
        assert value == int(told), name


def test_the_es_recording_has_its_trades(recording: Callable[[str], Path]) -> None:
    tape = open_tape(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"))
    events = tape.events()
    trades = events[events["kind"] == Kind.TRADE]
    assert (trades.size, int(trades["qty_lots"].sum())) == (2_973, 9_892)
    assert events.size == 68_792
    # Its snapshot ends without the vendor's end mark; nothing else does.
    assert tape.notes == {"messages_without_end_mark": 1}
    snapshot = (events["flags"] & Flag.SNAPSHOT) != 0
    assert np.flatnonzero(events["flags"][snapshot] & Flag.LAST).tolist() == [int(snapshot.sum()) - 1]


@pytest.mark.skipif(not FILES, reason="recordings are not on this machine (set TAPEBOOK_DATA)")
@pytest.mark.parametrize("version", records.VERSIONS)
@pytest.mark.parametrize("rtype", sorted(records.NAMES), ids=lambda r: records.NAMES[r])
def test_lengths_and_fields_agree_with_the_library(rtype: int, version: int) -> None:
    assert records.fields(rtype, version).itemsize == records.lengths(version)[rtype]
    assert records.fields(rtype, version, ts_out=True).itemsize == records.lengths(version, ts_out=True)[rtype]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("test_data.definition.v1.dbn.frag.zst", 1),
        ("test_data.definition.dbn.frag.zst", 2),
        ("test_data.definition.v3.dbn.frag.zst", 3),
        ("multi-frame.definition.v1.dbn.frag.zst", 1),
    ],
)
def test_the_version_of_a_fragment_is_told_by_its_records(
    recording: Callable[[str], Path], name: str, version: int
) -> None:
    source = open_table(recording(f"databento/{name}"))
    assert source.origin.details["version"] == version
    table = source.table()
    assert table.num_rows == (8 if "multi" in name else 2)
    assert table.column("symbol").to_pylist()[:1] == ["GEM3 P9812"]


def test_a_fragment_of_events_is_a_tape(recording: Callable[[str], Path], tmp_path: Path) -> None:
    whole = recording("databento/test_data.mbp-1.v3.dbn.zst")
    raw = zstandard.ZstdDecompressor().stream_reader(whole.read_bytes()).read()
    path = tmp_path / "some.bin"
    path.write_bytes(raw[8 + int.from_bytes(raw[4:8], "little") :])
    events = open_tape(path).events()
    assert events.tobytes() == open_tape(whole).events().tobytes()


def test_dbz_is_refused_with_the_command_that_converts_it(recording: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedSchema, match=r"DBZ.*dbn test_data\.mbo\.dbz -o test_data\.mbo\.dbn\.zst"):
        open_source(recording("databento/test_data.mbo.dbz"))


# Tapes made with the vendor's record classes.


def metadata(
    schema: str | None = None,
    mappings: dict[str, list[tuple[str, str, int]]] | None = None,
    *,
    dataset: str = "GLBX.MDP3",
    version: int = 3,
    ts_out: bool = False,
) -> bytes:
    spans = [
        SimpleNamespace(
            raw_symbol=name,
            intervals=[
                SimpleNamespace(
                    start_date=dt.date.fromisoformat(a), end_date=dt.date.fromisoformat(b), symbol=str(number)
                )
                for a, b, number in parts
            ],
        )
        for name, parts in (mappings or {}).items()
    ]
    return bytes(
        dbn.Metadata(
            dataset=dataset,
            start=T0,
            stype_in=dbn.SType(dbn.SType.RAW_SYMBOL) if schema else None,
            stype_out=dbn.SType(dbn.SType.INSTRUMENT_ID),
            schema=dbn.Schema.from_str(schema) if schema else None,
            symbols=list(mappings or {}),
            mappings=spans,
            version=version,
            ts_out=ts_out,
        )
    )


def mbo(**given: Any) -> Any:
    fields: dict[str, Any] = {
        "publisher_id": 1,
        "instrument_id": 17,
        "ts_event": T0,
        "ts_recv": T0 + 1,
        "order_id": 5,
        "price": 4_000_000_000_000,
        "size": 3,
        "action": "A",
        "side": "B",
        "flags": 128,
        "sequence": 1,
    } | given
    fields["action"] = dbn.Action.from_str(fields["action"])
    fields["side"] = dbn.Side.from_str(fields["side"])
    return dbn.MBOMsg(**fields)


def write(path: Path, head: bytes, parts: list[Any]) -> Path:
    path.write_bytes(head + b"".join(bytes(p) for p in parts))
    return path


ORDERS = st.builds(
    mbo,
    instrument_id=st.integers(1, 3),
    ts_event=st.integers(T0, T0 + 2),
    ts_recv=st.integers(T0, T0 + 2),
    order_id=st.integers(0, 2**64 - 1),
    price=st.integers(-(2**62), 2**62),
    size=st.integers(0, 2**32 - 2),
    action=st.sampled_from("ACMTFNR"),
    side=st.sampled_from("AB"),
    flags=st.sampled_from([0, 0, 128, 130, 40, 168, 4, 64, 16, 192, 8]),
    channel_id=st.integers(0, 255),
    sequence=st.integers(0, 2**32 - 1),
)


@given(parts=st.lists(ORDERS, max_size=60), block=st.integers(1, 70))
@pytest.mark.uncompiled
def test_any_run_of_orders_is_read_as_the_twin_reads_it(
    parts: list[Any], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = {f"ES{c}4": [("2023-01-01", "2024-01-01", i)] for i, c in enumerate("HMU", 1)}
    path = write(tmp_path_factory.mktemp("dbn") / "x.dbn", metadata("mbo", names), parts)
    tape = open_tape(path)
    found = [e for b in tape.blocks(block) for e in as_events(b, tape)]
    assert found == Twin("mbo").events(parts)
    assert all(b.size <= block for b in tape.blocks(block))


def depth(number: int, levels: list[tuple[int, int, int, int]], **given: Any) -> Any:
    pairs = [dbn.BidAskPair(bid_px=b, bid_sz=bq, bid_ct=1, ask_px=a, ask_sz=aq, ask_ct=2) for b, bq, a, aq in levels]
    pairs += [dbn.BidAskPair()] * (10 - len(pairs))
    fields: dict[str, Any] = {
        "publisher_id": 1,
        "instrument_id": number,
        "ts_event": T0,
        "ts_recv": T0 + 1,
        "price": 100,
        "size": 1,
        "action": "A",
        "side": "B",
        "depth": 0,
        "flags": 128,
        "sequence": 1,
    } | given
    fields["action"] = dbn.Action.from_str(fields["action"])
    fields["side"] = dbn.Side.from_str(fields["side"])
    return dbn.MBP10Msg(levels=pairs, **fields)


SIDE_OF_BOOK = st.lists(
    st.tuples(st.integers(1, 14), st.integers(1, 3)), max_size=10, unique_by=lambda level: level[0]
).map(sorted)


@st.composite
def depths(draw: st.DrawFn) -> Any:
    bids, asks = draw(SIDE_OF_BOOK), draw(SIDE_OF_BOOK)
    n = max(len(bids), len(asks))
    levels = []
    for i in range(n):
        b, bq = (-bids[i][0], bids[i][1]) if i < len(bids) else (UNDEF, 0)
        a, aq = asks[i] if i < len(asks) else (UNDEF, 0)
        levels.append((b, bq, a, aq))
    return depth(
        draw(st.integers(1, 2)),
        levels,
        action=draw(st.sampled_from("ACMTRN")),
        side=draw(st.sampled_from("ABN")),
        flags=draw(st.sampled_from([0, 128, 130])),
        ts_event=draw(st.integers(T0, T0 + 2)),
        ts_recv=draw(st.integers(T0, T0 + 2)),
    )


@given(parts=st.lists(depths(), max_size=25), block=st.integers(1, 70))
@pytest.mark.uncompiled
def test_any_run_of_ten_level_views_is_read_as_the_twin_reads_it(
    parts: list[Any], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    names = {"ESH4": [("2023-01-01", "2024-01-01", 1)], "ESM4": [("2023-01-01", "2024-01-01", 2)]}
    path = write(tmp_path_factory.mktemp("dbn") / "x.dbn", metadata("mbp-10", names), parts)
    tape = open_tape(path)
    assert [e for b in tape.blocks(block) for e in as_events(b, tape)] == Twin("mbp-10").events(parts)


def test_a_small_window_gives_the_same_events(
    recording: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst")
    whole = open_tape(path).events()
    monkeypatch.setattr(dbn_stream, "_WINDOW_BYTES", 4096)
    monkeypatch.setattr(dbn_stream, "_BLOCK_EVENTS_MIN", 16)
    assert np.concatenate(list(open_tape(path).blocks(16))).tobytes() == whole.tobytes()


@pytest.mark.uncompiled
def test_a_number_means_the_symbol_of_its_day(tmp_path: Path) -> None:
    days = {
        "ESH4": [("2023-11-14", "2023-11-15", 17), ("2023-11-15", "2023-11-16", 18)],
        "NQH4": [("2023-11-15", "2023-11-16", 17)],
    }
    t1 = T0 + DAY
    parts = [mbo(), mbo(ts_event=t1, ts_recv=t1), mbo(ts_event=t1, ts_recv=t1 + 1, instrument_id=18), mbo()]
    tape = open_tape(write(tmp_path / "x.dbn", metadata("mbo", days), parts))
    ids = tape.events()["instrument_id"].tolist()
    assert [tape.instruments[i].symbol for i in ids] == ["ESH4", "NQH4", "ESH4", "ESH4"]
    assert ids[0] == ids[2]
    assert not tape.notes


def test_a_number_without_a_name_is_told_and_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dbn", metadata("mbo"), [mbo(), mbo()])
    tape = open_tape(path)
    tape.events()
    assert tape.instruments.keys() == {17}
    assert tape.instruments.only().symbol == "17"
    assert tape.notes == {"unmapped_instruments": 1}
    named = open_tape(path, symbol="ESH4")
    named.events()
    assert named.instruments.only().tick_value == 12.5


def test_venues_of_a_consolidated_dataset_are_instruments_of_their_own(tmp_path: Path) -> None:
    names = {"AAPL": [("2023-01-01", "2024-01-01", 17)]}
    parts = [mbo(publisher_id=66), mbo(publisher_id=71)]
    tape = open_tape(write(tmp_path / "x.dbn", metadata("mbo", names, dataset="EQUS.ALL"), parts))
    ids = tape.events()["instrument_id"].tolist()
    assert [(tape.instruments[i].symbol, tape.instruments[i].venue) for i in ids] == [
        ("AAPL", "XNAS"),
        ("AAPL", "BATS"),
    ]


@pytest.mark.uncompiled
def test_a_mixed_stream_names_its_instruments_itself(tmp_path: Path) -> None:
    mapping = dbn.SymbolMappingMsg(
        publisher_id=1,
        instrument_id=17,
        ts_event=T0,
        stype_in=dbn.SType(dbn.SType.PARENT),
        stype_in_symbol="ES.FUT",
        stype_out=dbn.SType(dbn.SType.RAW_SYMBOL),
        stype_out_symbol="ESH4",
        start_ts=T0,
        end_ts=T0 + DAY,
    )
    definition = dbn.InstrumentDefMsg(
        publisher_id=1,
        instrument_id=18,
        ts_event=T0,
        ts_recv=T0,
        min_price_increment=50_000_000,
        display_factor=1_000_000_000,
        raw_symbol="ZZH4-ZZM4",
        asset="ZZ",
        security_type="FUT",
        instrument_class=dbn.InstrumentClass.from_str("S"),
        security_update_action=dbn.SecurityUpdateAction.from_str("A"),
    )
    bar = dbn.OHLCVMsg(
        rtype=0x20, publisher_id=1, instrument_id=17, ts_event=T0, open=1, high=1, low=1, close=1, volume=1
    )
    hello = dbn.SystemMsg(ts_event=T0, msg="Heartbeat")
    parts = [hello, mapping, mbo(), definition, bar, mbo(instrument_id=18, ts_event=T0 + 1), hello]
    tape = open_tape(write(tmp_path / "x.dbn", metadata(None), parts))
    events = tape.events()
    assert [tape.instruments[i].symbol for i in events["instrument_id"].tolist()] == ["ESH4", "ZZH4-ZZM4"]
    assert tape.instruments[18].tick_e9 == 50_000_000
    assert tape.notes == {
        "gateway_messages": 2,
        "symbol_mappings": 1,
        "definitions": 1,
        "passed_over_ohlcv-1s": 1,
    }


@pytest.mark.uncompiled
def test_a_mixed_stream_without_events_is_a_table(tmp_path: Path) -> None:
    bar = dbn.OHLCVMsg(
        rtype=0x20, publisher_id=1, instrument_id=17, ts_event=T0, open=10**9, high=1, low=1, close=1, volume=7
    )
    source = open_source(write(tmp_path / "x.dbn", metadata(None), [bar, bar]))
    assert isinstance(source, Table)
    assert source.origin.schema == "bars ohlcv-1s"
    assert source.table().to_pylist()[0] | {"symbol": "17", "open": 1.0, "volume": 7} == source.table().to_pylist()[0]


def test_send_times_are_passed_over(tmp_path: Path) -> None:
    names = {"ESH4": [("2023-01-01", "2024-01-01", 17)]}
    plain = [mbo(order_id=i) for i in range(3)]
    longer = []
    for record in plain:
        raw = bytearray(bytes(record) + (T0 + 9).to_bytes(8, "little"))
        raw[0] += 2
        longer.append(bytes(raw))
    a = open_tape(write(tmp_path / "a.dbn", metadata("mbo", names), plain)).events()
    b = open_tape(write(tmp_path / "b.dbn", metadata("mbo", names, ts_out=True), longer)).events()
    assert a.tobytes() == b.tobytes()
    fragment = open_tape(write(tmp_path / "c.frag", b"", longer), symbol="ESH4").events()
    assert fragment.tobytes() == a.tobytes()


def test_phases_of_a_status(recording: Callable[[str], Path]) -> None:
    events = open_tape(recording("databento/test_data.status.v3.dbn.zst")).events()
    assert [Phase(p) for p in events["detail"].tolist()] == [Phase.OPEN, Phase.PRE_OPEN, Phase.PRE_OPEN, Phase.OPEN]


def test_a_sampled_quote_is_told_for_the_end_of_its_interval(recording: Callable[[str], Path]) -> None:
    events = open_tape(recording("databento/test_data.bbo-1s.v3.dbn.zst")).events()
    assert (events["ts_event_ns"] % 1_000_000_000 == 0).all()
    assert (events["ts_recv_ns"] == MISSING).all()
    assert set(events["kind"].tolist()) == {Kind.QUOTE}


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.dbn"
    path.write_bytes(b"DBN\x03\xff\xff\xff\xff" + b"\0" * 100)
    with pytest.raises(MalformedRecord, match="length of the metadata"):
        open_source(path)
    path.write_bytes(metadata("mbo")[:60])
    with pytest.raises(TruncatedFile, match=r"inside its metadata.*60 bytes"):
        open_source(path)
    path.write_bytes(b"DBN\x09" + metadata("mbo")[4:])
    with pytest.raises(UnsupportedSchema, match=r"version 1 to 3, found version 9"):
        open_source(path)


def test_the_format_says_what_it_is() -> None:
    assert reader.FORMAT.name == "dbn"
