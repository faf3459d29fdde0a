from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, SideSource, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.readers import open_tape
from tapebook.readers.sierra_write import write_depth, write_scid
from tests.readers.sierra_files import FIRST, LAST, DepthRow, ScidRow, at, depth_bytes, scid_bytes, trade, write

pytestmark = pytest.mark.uncompiled

ES = Instrument(symbol="ESM4", venue="CME", tick_e9=250_000_000, kind="future")
TICK = 250_000_000
T = at("2024-03-18T14:30:00")


def tape_of(events: Events, instrument: Instrument = ES, cut: int = 10**9) -> Tape:
    def read(_: int) -> list[Events]:
        return [events[i : i + cut] for i in range(0, events.size, cut)]

    return Tape(
        origin=Origin(name="made", format="test"),
        read=lambda n: iter(read(n)),
        instruments=InstrumentTable({1: instrument}),
    )


ROWS = st.lists(
    st.tuples(
        st.integers(1, 5_000),
        st.integers(1, 900),
        st.integers(1, 3),
        st.integers(1, 2**31 - 1),
        st.sampled_from([-1, 1]),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=30,
)


def scid_rows(steps: list[tuple[int, ...]]) -> list[ScidRow]:
    """Orders that each cause 1 to 4 trades, as Sierra Chart marks them."""
    us, rows = T, list[ScidRow]()
    for step_us, tick, spread, qty, side, n in steps:
        us += step_us
        bid = tick * 0.25
        ask = bid + spread * 0.25
        for k in range(n):
            mark = 0.0 if n == 1 or 0 < k < n - 1 else FIRST if k == 0 else LAST
            rows.append(trade(us, ask if side > 0 else bid, max(1, qty // (k + 1)), side, bid, ask, mark))
            us += 1
    return rows


@given(ROWS, st.integers(1, 9))
@settings(max_examples=80)
def test_a_scid_file_read_and_written_is_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, ...]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("w")
    data = scid_bytes(scid_rows(steps))
    tape = open_tape(write(folder, "ESM24-CME.scid", data))
    again = tape_of(tape.events(), cut=cut)
    written = write_scid(again, folder / "again.scid")
    assert (folder / "again.scid").read_bytes() == data
    assert written.notes == {}
    assert written.records == (len(data) - 56) // 40


DEPTH_STEPS = st.lists(
    st.tuples(st.integers(0, 999), st.integers(0, 9), st.integers(0, 1), st.integers(1, 99), st.booleans()), max_size=60
)


def depth_rows(steps: list[tuple[int, ...]]) -> list[DepthRow]:
    """Commands as a feed gives them: add what is not there, modify or delete what is."""
    known: set[tuple[int, float]] = set()
    rows: list[DepthRow] = [(T, 1, 0, 0, 0.0, 0), (T, 2, 0, 3, 100.0, 5), (T, 3, 1, 3, 100.25, 6)]
    known |= {(0, 100.0), (1, 100.25)}
    us = T
    for step_us, tick, ask, qty, gone in steps:
        us += step_us
        price = 100.25 + tick * 0.25 if ask else 100.0 - tick * 0.25
        if (ask, price) not in known:
            rows.append((us, 2 + ask, 1, qty % 7 + 1, price, qty))
            known.add((ask, price))
        elif gone:
            rows.append((us, 6 + ask, 1, 0, price, 0))
            known.discard((ask, price))
        else:
            rows.append((us, 4 + ask, 1, qty % 7 + 1, price, qty))
    return rows


@given(DEPTH_STEPS, st.integers(1, 9))
@settings(max_examples=80)
def test_a_depth_file_read_and_written_is_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, ...]], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("w")
    data = depth_bytes(depth_rows(steps))
    tape = open_tape(write(folder, "ESM24-CME.2024-03-18.depth", data))
    written = write_depth(tape_of(tape.events(), cut=cut), folder / "again.depth")
    assert (folder / "again.depth").read_bytes() == data
    assert written.notes == {}


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.integers(1, 40_000), st.integers(1, 999), st.sampled_from([-1, 0, 1])),
        min_size=1,
        max_size=40,
    )
)
@settings(max_examples=60)
def test_trades_written_and_read_are_the_same_trades(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, int, int]]
) -> None:
    events = empty_events(len(steps))
    events["kind"], events["instrument_id"], events["flags"] = Kind.TRADE, 1, Flag.LAST
    events["ts_event_ns"] = (T + np.cumsum([us for us, *_ in steps])) * 1000
    events["price"] = [tick * TICK for _, tick, _, _ in steps]
    events["qty_lots"] = [qty for _, _, qty, _ in steps]
    events["side"] = [side for *_, side in steps]
    events["side_source"] = np.where(events["side"] != 0, SideSource.VENUE, 0)
    path = tmp_path_factory.mktemp("w") / "ESM24-CME.scid"
    assert write_scid(tape_of(events), path).notes == {}
    assert open_tape(path).events().tobytes() == events.tobytes()


def trades(n: int, **columns: object) -> Events:
    events = empty_events(n)
    events["kind"], events["instrument_id"], events["flags"], events["side"] = Kind.TRADE, 1, Flag.LAST, 1
    events["ts_event_ns"], events["price"], events["qty_lots"] = T * 1000, 4_000 * TICK, 1
    for name, value in columns.items():
        events[name] = value
    return events


def test_equal_and_falling_stamps_are_moved_to_rise_and_counted(tmp_path: Path) -> None:
    events = trades(4, ts_event_ns=np.array([T, T, T - 50, T + 1]) * 1000)
    written = write_scid(tape_of(events, cut=2), tmp_path / "ESM24-CME.scid")
    assert written.notes["stamps_moved"] == 3
    stamps = open_tape(tmp_path / "ESM24-CME.scid").events()["ts_event_ns"]
    assert stamps.tolist() == [(T + i) * 1000 for i in range(4)]


def test_a_price_that_a_float_cannot_hold_is_counted(tmp_path: Path) -> None:
    fine = Instrument(symbol="X", venue="Y", tick_e9=1)
    written = write_scid(tape_of(trades(1, price=70_000_000_000_001), fine), tmp_path / "X.scid")
    assert written.notes["prices_inexact"] == 1


def test_a_volume_beyond_32_bits_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"does not fit.*give lots_per_unit"):
        write_scid(tape_of(trades(1, qty_lots=2**31)), tmp_path / "ESM24-CME.scid")
    assert list(tmp_path.iterdir()) == []


def test_fractional_lots_are_put_together_to_units(tmp_path: Path) -> None:
    written = write_scid(tape_of(trades(2, qty_lots=[3_000, 1_499])), tmp_path / "X.scid", lots_per_unit=1_000)
    assert written.notes["volumes_rounded"] == 1
    assert open_tape(tmp_path / "X.scid").events()["qty_lots"].tolist() == [3, 1]


def test_a_multiplier_is_undone_by_the_reader(tmp_path: Path) -> None:
    events = trades(9, price=(np.arange(9) + 4_000) * TICK, ts_event_ns=(T + np.arange(9)) * 1000)
    write_scid(tape_of(events), tmp_path / "ESM24-CME.scid", price_multiplier=Decimal("0.01"))
    read = open_tape(tmp_path / "ESM24-CME.scid", price_multiplier=Decimal("0.01")).events()
    assert read["price"].tolist() == events["price"].tolist()


def test_what_is_no_trade_is_left_out_and_counted(tmp_path: Path) -> None:
    events = trades(2, kind=np.array([Kind.LEVEL, Kind.TRADE]))
    assert write_scid(tape_of(events), tmp_path / "ESM24-CME.scid").notes == {"events_left_out": 1}
    assert write_depth(tape_of(events), tmp_path / "d.depth").notes == {"events_left_out": 1}


def test_a_second_day_of_depth_is_refused(tmp_path: Path) -> None:
    events = trades(2, kind=Kind.LEVEL, ts_event_ns=np.array([T, T + 86_400_000_000]) * 1000)
    with pytest.raises(ConfigurationError, match="more than one UTC day"):
        write_depth(tape_of(events), tmp_path / "d.depth")
    assert list(tmp_path.iterdir()) == []


def test_many_orders_at_a_level_are_capped_and_counted(tmp_path: Path) -> None:
    events = trades(2, kind=Kind.LEVEL, count=np.array([70_000, COUNT_MISSING], np.uint32), price=[TICK, 2 * TICK])
    written = write_depth(tape_of(events), tmp_path / "ESM24-CME.2024-03-18.depth")
    assert written.notes == {"counts_capped": 1}
    assert open_tape(tmp_path / "ESM24-CME.2024-03-18.depth").events()["count"].tolist() == [65535, COUNT_MISSING]


def test_one_of_several_instruments_is_written(tmp_path: Path) -> None:
    events = trades(3, instrument_id=np.array([1, 2, 1], np.uint32), ts_event_ns=(T + np.arange(3)) * 1000)
    tape = tape_of(events)
    tape.instruments.add(Instrument(symbol="NQM4", venue="CME", tick_e9=TICK), 2)
    with pytest.raises(ConfigurationError, match="exactly one instrument"):
        write_scid(tape, tmp_path / "x.scid")
    assert write_scid(tape, tmp_path / "x.scid", instrument_id=2).records == 1


def test_a_missing_quote_is_written_as_none(tmp_path: Path) -> None:
    events = trades(3, ts_event_ns=T * 1000)
    events["kind"][:2] = Kind.QUOTE
    events["side"][1] = -1
    events["price"][1] = MISSING
    events["flags"][0] = 0
    events["side_source"][2] = SideSource.VENUE
    events["qty_lots"][:2] = MISSING
    write_scid(tape_of(events), tmp_path / "ESM24-CME.scid")
    assert open_tape(tmp_path / "ESM24-CME.scid").events().tobytes() == events.tobytes()
