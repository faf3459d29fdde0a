from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, Phase, SideSource, empty_events
from tapebook.market.events import TradeCondition as Condition
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.store.text import COLUMNS, QUOTED, csv_lines, decimal_text, event_columns, iso_text, json_lines
from tests.store.some_tapes import INSTRUMENTS, wild_tapes

TABLE = InstrumentTable({**INSTRUMENTS, 99: Instrument(symbol='we"ird,\n', venue="X\\Y", lot_e9=250)})


def oracle(events: Events, i: int) -> dict[str, str | None]:
    """One event in words, by hand."""
    e = {name: int(events[name][i]) for name in events.dtype.names or ()}
    instrument = TABLE[e["instrument_id"]]
    trade = e["kind"] == Kind.TRADE

    def time(ns: int) -> str | None:
        if ns == MISSING:
            return None
        return f"{np.datetime64(ns // 10**9, 's')}.{ns % 10**9:09d}Z"

    def exact(value: int, lot_e9: int) -> str | None:
        return None if value == MISSING else f"{Decimal(value) * Decimal(lot_e9):f}"

    sides = {1: "buy", -1: "sell"} if trade else {1: "bid", -1: "ask"}
    detail = None
    if trade and e["detail"]:
        detail = Condition(e["detail"]).name.lower() if e["detail"] < len(Condition) else str(e["detail"])
    if e["kind"] == Kind.STATUS:
        detail = Phase(e["detail"]).name.lower() if e["detail"] < len(Phase) else str(e["detail"])
    source = e["side_source"]
    return {
        "ts_event": time(e["ts_event_ns"]),
        "ts_recv": time(e["ts_recv_ns"]),
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "kind": Kind(e["kind"]).name.lower(),
        "side": sides.get(e["side"]),
        "price": exact(e["price"], 1),
        "qty": exact(e["qty_lots"], instrument.lot_e9),
        "order_id": str(e["order_id"]) if e["order_id"] else None,
        "count": str(e["count"]) if e["count"] != COUNT_MISSING else None,
        "sequence": str(e["sequence"]) if e["sequence"] != MISSING else None,
        "channel": str(e["channel"]),
        "side_source": (SideSource(source).name.lower() if source < len(SideSource) else str(source))
        if source
        else None,
        "detail": detail,
    }


@given(wild_tapes(events_max=30))
def test_text_says_every_field_exactly_as_a_slow_twin_does(case: tuple[Events, list[int]]) -> None:
    events, _ = case
    columns = event_columns(events, TABLE)
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(c.to_pylist() for c in columns), strict=True)]
    for i, row in enumerate(rows):
        expected = oracle(events, i)
        for name in ("price", "qty"):  # the twin keeps zeros that mean nothing, and counts in 1e-9
            if expected[name] is not None:
                assert Decimal(row[name]) * 10**9 == Decimal(expected[name] or "")
                assert row[name] == "0" or not (row[name].endswith("0") and "." in row[name])
                expected[name] = row[name]
        flags = row.pop("flags")
        bits = int(events["flags"][i])
        named = [f.name for f in Flag if bits & f]
        rest = bits & ~sum(Flag)
        assert (flags or "") == "|".join([*map(str, named), *([hex(rest)] if rest else [])])
        assert row == expected


@given(wild_tapes(events_max=30))
def test_the_standard_readers_of_csv_and_json_give_the_words_back(case: tuple[Events, list[int]]) -> None:
    events, _ = case
    columns = event_columns(events, TABLE)
    words = list(zip(*(c.to_pylist() for c in columns), strict=True))
    text = "".join(csv_lines(columns).to_pylist())
    assert [tuple(r) for r in csv.reader(io.StringIO(text, newline=""))] == [
        tuple(w or "" for w in row) for row in words
    ]
    lines = json_lines(COLUMNS, columns, QUOTED).to_pylist()
    for line, row in zip(lines, words, strict=True):
        assert line.endswith("}\n")
        said = json.loads(line)
        assert list(said) == list(COLUMNS)
        assert all(isinstance(said[n], str | None) if n in QUOTED else isinstance(said[n], int | None) for n in COLUMNS)
        assert tuple(None if v is None else str(v) for v in said.values()) == row


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_decimals_are_exact_for_every_int64(values: list[int]) -> None:
    texts = decimal_text(np.array(values, np.int64)).to_pylist()
    for value, text in zip(values, texts, strict=True):
        if value == MISSING:
            assert text is None
        else:
            assert Decimal(text) * 10**9 == value
            assert "E" not in text


def test_quantities_beyond_int64_of_nanounits_are_told_exactly() -> None:
    events = empty_events(3)
    events["kind"] = Kind.TRADE
    events["qty_lots"] = [2**62, -(2**62) - 7, 5]
    events["instrument_id"] = 99
    columns = dict(zip(COLUMNS, event_columns(events, TABLE), strict=True))
    expected = [Decimal(q) * 250 / 10**9 for q in (2**62, -(2**62) - 7, 5)]
    assert [Decimal(t) for t in columns["qty"].to_pylist()] == expected


def test_times_before_1970_and_at_the_last_ns_keep_their_digits() -> None:
    assert iso_text(np.array([-1, 0, 2**63 - 1])).to_pylist() == [
        "1969-12-31T23:59:59.999999999Z",
        "1970-01-01T00:00:00.000000000Z",
        "2262-04-11T23:47:16.854775807Z",
    ]
