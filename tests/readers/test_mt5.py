from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.market.errors import MalformedRecord, ReaderError
from tapebook.market.events import MISSING, Events, Flag, Kind, SideSource, TradeCondition
from tapebook.market.tape import Tape
from tapebook.readers import detect, open_table, open_tape
from tapebook.readers.local_time import zone_of
from tests.readers.sierra_files import at, write

pytestmark = pytest.mark.uncompiled

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
NAME = "WINQ26_202608030900_202608031830.csv"
HEADER = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>"

Tick = tuple[str, str, str, str, str, str]
"""Time of day, then the fields as they stand in a line."""


def export(folder: Path, ticks: Sequence[Tick], *, header: str = HEADER, name: str = NAME, encoding: str = "") -> Path:
    lines = [header, *("\t".join(("2026.08.03", *tick)) for tick in ticks), ""]
    text = "\r\n".join(lines)
    return write(folder, name, ("\ufeff" + text).encode(encoding) if encoding else text.encode())


def read(folder: Path, ticks: Sequence[Tick], **how: str) -> tuple[Tape, Events]:
    tape = open_tape(export(folder, ticks, **how), zone=SAO_PAULO)
    return tape, tape.events()


def told(events: Events) -> list[tuple[str, float | None, int, int, bool]]:
    """Kind, price, quantity (0 for a quote), side, LAST."""
    return [
        (
            Kind(e["kind"]).name,
            None if e["price"] == MISSING else int(e["price"]) / 1e9,
            0 if e["qty_lots"] == MISSING else int(e["qty_lots"]),
            int(e["side"]),
            bool(e["flags"] & Flag.LAST),
        )
        for e in events
    ]


def test_flags_say_what_is_a_trade_and_on_which_side(tmp_path: Path) -> None:
    tape, events = read(
        tmp_path,
        [
            ("09:00:00.001", "135000", "135005", "", "", "6"),
            ("09:00:00.001", "", "", "135005", "3", "56"),
            ("09:00:00.002", "", "", "135000", "2", "88"),
            ("09:00:00.003", "", "", "135005", "1", "120"),
            ("09:00:00.004", "", "", "135005", "1", "24"),
        ],
    )
    assert told(events) == [
        ("QUOTE", 135000.0, 0, 1, False),
        ("QUOTE", 135005.0, 0, -1, True),
        ("TRADE", 135005.0, 3, 1, True),
        ("TRADE", 135000.0, 2, -1, True),
        ("TRADE", 135005.0, 1, 0, True),
        ("TRADE", 135005.0, 1, 0, True),
    ]
    assert events["side_source"].tolist() == [0, 0, SideSource.VENUE, SideSource.VENUE, 0, 0]
    assert events["ts_event_ns"][1:3].tolist() == [at("2026-08-03T12:00:00.001") * 1000] * 2
    assert tape.notes == {"trades_with_both_sides": 1, "trades_without_side": 1}
    instrument = tape.instruments.only()
    assert (instrument.symbol, instrument.venue, instrument.tick_e9) == ("WINQ26", "B3", 5_000_000_000)


def test_empty_fields_repeat_what_stood_before(tmp_path: Path) -> None:
    _, events = read(
        tmp_path,
        [
            ("09:00:00.001", "135000", "", "135005", "7", "56"),
            ("09:00:00.002", "", "", "", "", "88"),
            ("09:00:00.003", "", "", "", "4", "56"),
        ],
    )
    assert told(events)[2:] == [("TRADE", 135005.0, 7, -1, True), ("TRADE", 135005.0, 4, 1, True)]


def test_in_one_tick_the_trade_comes_before_the_quotes_it_left(tmp_path: Path) -> None:
    _, events = read(tmp_path, [("09:00:00.001", "135000", "135010", "135005", "7", "62")])
    assert told(events) == [
        ("TRADE", 135005.0, 7, 1, False),
        ("QUOTE", 135000.0, 0, 1, False),
        ("QUOTE", 135010.0, 0, -1, True),
    ]


def test_undocumented_flags_are_masked_and_counted(tmp_path: Path) -> None:
    tape, events = read(
        tmp_path, [("09:00:00.001", "", "", "135005", "1", "1080"), ("09:00:00.002", "135000", "", "", "", "130")]
    )
    assert [row[0] for row in told(events)] == ["TRADE", "QUOTE"]
    assert events["side"][0] == 1
    assert tape.notes["ticks_with_unknown_flags"] == 2


def test_a_price_of_zero_is_no_price(tmp_path: Path) -> None:
    _, events = read(
        tmp_path,
        [
            ("09:00:00.001", "1.10512", "1.10519", "0.00000", "0", "6"),
            ("09:00:00.002", "0", "1.10519", "0.00000", "0", "2"),
        ],
        name="EURUSD_202608030900_202608031830.csv",
    )
    assert told(events) == [
        ("QUOTE", 1.10512, 0, 1, False),
        ("QUOTE", 1.10519, 0, -1, True),
        ("QUOTE", None, 0, 1, True),
    ]


def test_a_last_price_without_volume_is_derived(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [("09:00:00.001", "", "", "135005", "", "8")])
    assert told(events) == [("TRADE", 135005.0, 0, 0, True)]
    assert events["detail"].tolist() == [TradeCondition.DERIVED]
    assert tape.notes["trades_without_volume"] == 1


def test_a_trade_before_any_price_is_refused(tmp_path: Path) -> None:
    tape, events = read(
        tmp_path, [("09:00:00.001", "", "", "", "3", "16"), ("09:00:00.002", "", "", "135005", "3", "56")]
    )
    assert len(events) == 1
    assert dict(tape.quarantine.counts) == {"trade without a price": 1}


def test_old_exports_have_no_flags(tmp_path: Path) -> None:
    ticks = [
        ("09:00:00.001", "135000", "135005", "", ""),
        ("09:00:00.002", "", "", "135005", "3"),
        ("09:00:00.003", "134995", "", "", ""),
    ]
    path = write(
        tmp_path,
        NAME,
        "\r\n".join([HEADER.replace("\t<FLAGS>", ""), *("\t".join(("2026.08.03", *t)) for t in ticks), ""]).encode(),
    )
    tape = open_tape(path, zone=SAO_PAULO)
    assert [row[:4] for row in told(tape.events())] == [
        ("QUOTE", 135000.0, 0, 1),
        ("QUOTE", 135005.0, 0, -1),
        ("TRADE", 135005.0, 3, 0),
        ("QUOTE", 134995.0, 0, 1),
    ]
    assert tape.origin.details["flags"] is False


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    ticks: list[Tick] = [
        ("09:00:00.001", "135000", "135005", "", "", "6"),
        ("09:00:00.001", "", "", "135005", "3", "56"),
    ]
    _, plain = read(tmp_path, ticks)
    path = export(tmp_path, ticks, encoding=encoding)
    assert detect(path)[0].name == "mt5-ticks"
    assert open_tape(path, zone=SAO_PAULO).events().tobytes() == plain.tobytes()


def test_the_zone_is_asked_for_and_b3_is_brasilia(tmp_path: Path) -> None:
    tick: list[Tick] = [("09:00:00.001", "135000", "135005", "", "", "6")]
    with pytest.raises(ReaderError, match="--zone America/Sao_Paulo"):
        open_tape(export(tmp_path, tick))
    path = export(tmp_path, tick, name="EURUSD_202608030900_202608031830.csv")
    with pytest.raises(ReaderError, match=r"--zone NY\+7"):
        open_tape(path)
    assert open_tape(path, zone=zone_of("NY+7")).events()["ts_event_ns"][0] == at("2026-08-03T06:00:00.001") * 1000


@pytest.mark.parametrize(
    ("tick", "reason"),
    [
        (("09:00:00.001", "x", "", "", "", "6"), "bad BID"),
        (("9h", "135000", "", "", "", "6"), "bad TIME"),
        (("09:00:00.001", "135000", "", "", "1.5", "6"), "bad VOLUME"),
        (("09:00:00.001", "135000", "", "", "-1", "6"), "bad VOLUME"),
        (("09:00:00.001", "135000", "", "", "1", "6a"), "bad FLAGS"),
    ],
)
def test_bad_fields_are_told(tmp_path: Path, tick: Tick, reason: str) -> None:
    good: Tick = ("09:00:00.002", "135000", "135005", "", "", "6")
    tape, events = read(tmp_path, [good] * 3 + [tick] + [good])
    assert dict(tape.quarantine.counts) == {reason: 1}
    assert tape.quarantine.records[0].where.split(",")[0].endswith("line 5")
    assert events.size == 2
    with pytest.raises(MalformedRecord, match="none of the 1 records"):
        open_tape(export(tmp_path, [tick]), zone=SAO_PAULO, symbol="WINQ26").events()


Value = st.one_of(st.none(), st.integers(1, 9))


@given(
    st.lists(st.tuples(st.integers(0, 3), Value, Value, Value, Value, st.integers(0, 255)), min_size=1, max_size=40),
    st.integers(1, 9),
)
@settings(max_examples=80)
def test_events_are_those_of_the_definition_whatever_the_block(
    tmp_path_factory: pytest.TempPathFactory,
    ticks: list[tuple[int, int | None, int | None, int | None, int | None, int]],
    block: int,
) -> None:
    ms = 0
    lines: list[Tick] = []
    want: list[tuple[str, float | None, int, int, bool]] = []
    state: dict[str, int | None] = dict.fromkeys(("bid", "ask", "last", "volume"))
    for step, bid, ask, last, volume, flags in ticks:
        ms += step
        filled = ["" if v is None else str(v) for v in (bid, ask, last, volume)]
        lines.append((f"09:00:00.{ms:03d}", filled[0], filled[1], filled[2], filled[3], str(flags)))
        state["last"] = last or state["last"]
        state["volume"] = volume or state["volume"]
        message: list[tuple[str, float | None, int, int]] = []
        if flags & 24 and state["last"] is not None:
            bought, sold = bool(flags & 32), bool(flags & 64)
            message.append(("TRADE", float(state["last"]), state["volume"] or 0, int(bought) - int(sold)))
        for key, value, side in (("bid", bid, 1), ("ask", ask, -1)):
            if value is not None and value != state[key]:
                state[key] = value
                message.append(("QUOTE", float(value), 0, side))
        want += [(*record, i == len(message) - 1) for i, record in enumerate(message)]
    tape = open_tape(export(tmp_path_factory.mktemp("mt5"), lines), zone=SAO_PAULO)
    try:
        found = [row for events in tape.blocks(block) for row in told(events)]
    except MalformedRecord:
        assert not want
        return
    assert found == want


BARS = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"


def test_bars_are_a_table(tmp_path: Path) -> None:
    rows = [f"2026.08.03\t09:0{m}:00\t135000\t135010\t134990\t135005\t{m + 1}\t{m + 10}\t5" for m in range(3)]
    path = write(tmp_path, "WINQ26_M1_202608030900_202608030902.csv", "\r\n".join([BARS, *rows, ""]).encode())
    assert detect(path)[0].name == "mt5-bars"
    table = open_table(path, zone=SAO_PAULO)
    assert table.origin.schema == "bars-60s"
    assert table.table().to_pylist()[0] == {
        "ts_event_ns": at("2026-08-03T12:00:00") * 1000,
        "symbol": "WINQ26",
        "open": 135000.0,
        "high": 135010.0,
        "low": 134990.0,
        "close": 135005.0,
        "tick_volume": 1,
        "volume": 10,
        "spread_points": 5,
    }


def test_daily_bars_have_no_time(tmp_path: Path) -> None:
    text = "\n".join([BARS.replace("\t<TIME>", ""), "2026.08.03\t1.1\t1.2\t1.0\t1.15\t9\t0\t7", ""])
    path = write(tmp_path, "EURUSD_Daily_202608030000_202608040000.csv", text.encode())
    (bar,) = open_table(path, zone=zone_of("NY+7")).table().to_pylist()
    assert (bar["symbol"], bar["ts_event_ns"]) == ("EURUSD", at("2026-08-02T21:00:00") * 1000)
