from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapebook.market.errors import ReaderError, TickDataError, TruncatedFile, UnsupportedSchema
from tapebook.market.events import COUNT_MISSING, Events, Flag, Kind
from tapebook.market.tape import Tape
from tapebook.readers import open_tape, sierra_binary
from tests.readers.sierra_files import DepthRow, at, depth_bytes, write

pytestmark = pytest.mark.uncompiled

T = at("2024-03-18T14:30:00")
NAME = "ESM24-CME.2024-03-18.depth"
CLEAR, ADD_BID, ADD_ASK, MOD_BID, MOD_ASK, DEL_BID, DEL_ASK = range(1, 8)


def read(folder: Path, rows: list[DepthRow]) -> tuple[Tape, Events]:
    tape = open_tape(write(folder, NAME, depth_bytes(rows)))
    return tape, tape.events()


def told(events: Events) -> list[tuple[str, int, float, int, int, Flag]]:
    return [
        (
            Kind(e["kind"]).name,
            int(e["side"]),
            int(e["price"]) / 1e9 if e["kind"] == Kind.LEVEL else 0.0,
            int(e["qty_lots"]) if e["kind"] == Kind.LEVEL else 0,
            int(e["count"]),
            Flag(int(e["flags"])),
        )
        for e in events
    ]


def test_a_snapshot_is_a_batch_and_updates_are_news(tmp_path: Path) -> None:
    rows: list[DepthRow] = [
        (T, CLEAR, 0, 0, 0.0, 0),
        (T, ADD_BID, 0, 3, 5195.5, 30),
        (T, ADD_ASK, 1, 4, 5195.75, 40),
        (T + 5, MOD_BID, 1, 2, 5195.5, 20),
        (T + 6, DEL_ASK, 0, 9, 5195.75, 7),
        (T + 6, ADD_ASK, 1, 0, 5196.0, 50),
    ]
    tape, events = read(tmp_path, rows)
    assert told(events) == [
        ("CLEAR", 0, 0.0, 0, COUNT_MISSING, Flag.SNAPSHOT),
        ("LEVEL", 1, 5195.5, 30, 3, Flag.SNAPSHOT),
        ("LEVEL", -1, 5195.75, 40, 4, Flag.SNAPSHOT | Flag.LAST),
        ("LEVEL", 1, 5195.5, 20, 2, Flag.LAST),
        ("LEVEL", -1, 5195.75, 0, 0, Flag(0)),
        ("LEVEL", -1, 5196.0, 50, COUNT_MISSING, Flag.LAST),
    ]
    assert events["ts_event_ns"].tolist() == [us * 1000 for us, *_ in rows]
    assert tape.notes == {"clears": 1, "snapshots": 1}
    assert tape.origin.details["date"] == "2024-03-18"


def test_a_clear_that_ends_its_batch_is_no_snapshot(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [(T, CLEAR, 1, 0, 0.0, 0), (T, ADD_BID, 1, 1, 100.0, 1)])
    assert [Flag(int(f)) for f in events["flags"]] == [Flag.LAST, Flag.LAST]
    assert "snapshots" not in tape.notes


def test_a_level_set_to_nothing_is_gone_and_counted(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [(T, MOD_ASK, 1, 0, 100.0, 0)])
    assert told(events) == [("LEVEL", -1, 100.0, 0, 0, Flag.LAST)]
    assert tape.notes["levels_set_to_nothing"] == 1


def test_a_record_without_command_may_end_a_batch(tmp_path: Path) -> None:
    rows: list[DepthRow] = [(T, ADD_BID, 0, 1, 100.0, 1), (T, 0, 1, 0, 0.0, 0), (T, ADD_ASK, 1, 1, 101.0, 1)]
    tape, events = read(tmp_path, rows)
    assert [bool(f & Flag.LAST) for f in events["flags"]] == [True, True]
    assert tape.notes["records_without_command"] == 1


def test_a_batch_that_never_ends_is_counted(tmp_path: Path) -> None:
    tape, events = read(tmp_path, [(T, ADD_BID, 1, 1, 100.0, 1), (T, ADD_BID, 0, 1, 99.0, 1)])
    assert tape.notes["batches_without_end"] == 1
    assert not events["flags"][-1] & Flag.LAST


def test_a_bad_record_that_ends_a_batch_ends_it_all_the_same(tmp_path: Path) -> None:
    rows: list[DepthRow] = [(T, ADD_BID, 0, 1, 100.0, 1), (T, 77, 1, 1, 101.0, 1), (T, ADD_ASK, 1, 1, 102.0, 1)]
    tape, events = read(tmp_path, rows)
    assert [bool(f & Flag.LAST) for f in events["flags"]] == [True, True]
    assert dict(tape.quarantine.counts) == {"bad command": 1}


def test_bad_records_are_told_by_reason(tmp_path: Path) -> None:
    rows: list[DepthRow] = [
        (T, ADD_BID, 1, 1, 100.0, 1),
        (T, ADD_BID, 1, 1, float("inf"), 1),
        (T, ADD_BID, 1, 1, 100.0, 2**31),
        (-(10**15) * 3, ADD_BID, 1, 1, 100.0, 1),
    ]
    tape, _ = read(tmp_path, rows)
    assert dict(tape.quarantine.counts) == {"bad price": 1, "bad quantity": 1, "bad time": 1}
    assert tape.quarantine.records[0].where.endswith("record 1 at byte 88")


@given(
    st.lists(
        st.tuples(
            st.integers(0, 900),
            st.integers(0, 7),
            st.booleans(),
            st.integers(0, 3),
            st.integers(-8, 8),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=50,
    ),
    st.integers(1, 6),
)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_book_is_that_of_the_commands_whatever_the_chunks(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, ...]], chunk: int
) -> None:
    us, rows = T, list[DepthRow]()
    for step_us, command, ends, orders, ticks, quantity in steps:
        us += step_us
        rows.append((us, command, int(ends), orders, 5000 + ticks * 0.25, quantity))
    folder = tmp_path_factory.mktemp("depth")
    _, whole = read(folder, rows)
    with monkeypatch.context() as patch:
        patch.setattr(sierra_binary, "RECORDS_IN_CHUNK", chunk)
        _, cut = read(folder, rows)
    assert cut.tobytes() == whole.tobytes()
    # The books after each command, from the documentation, and after each event.
    want: dict[tuple[int, float], int] = {}
    for _, command, _, _, price, quantity in rows:
        key = (1 if command % 2 == 0 else -1, price)
        if command == CLEAR:
            want.clear()
        elif command in (ADD_BID, ADD_ASK, MOD_BID, MOD_ASK) and quantity:
            want[key] = quantity
        elif command:
            want.pop(key, None)
    got: dict[tuple[int, float], int] = {}
    for kind, side, price, quantity, _, _ in told(whole):
        if kind == "CLEAR":
            got.clear()
        elif quantity:
            got[side, price] = quantity
        else:
            got.pop((side, price), None)
    assert got == want


def test_a_growing_file_gives_its_whole_records(tmp_path: Path) -> None:
    data = depth_bytes([(T, ADD_BID, 1, 1, 100.0, 1)] * 3)
    tape = open_tape(write(tmp_path, NAME, data[:-5]))
    assert tape.events().size == 2
    assert tape.notes["partial_record_bytes"] == 19


@pytest.mark.parametrize("n", [4, 63])
def test_a_cut_header_is_told(tmp_path: Path, n: int) -> None:
    with pytest.raises(TruncatedFile, match="expected 64 bytes"):
        open_tape(write(tmp_path, NAME, depth_bytes([])[:n]))


def test_floating_point_days_are_told(tmp_path: Path) -> None:
    data = depth_bytes([]) + struct.pack("<dBBHfII", 44_000.25, 2, 1, 1, 100.0, 1, 0)
    with pytest.raises(UnsupportedSchema, match="old Sierra Chart"):
        open_tape(write(tmp_path, NAME, data))


def test_scaled_prices_are_refused(tmp_path: Path) -> None:
    rows: list[DepthRow] = [(T, ADD_BID, 1, 1, 500_000.0 + 25 * i, 1) for i in range(12)]
    with pytest.raises(ReaderError, match=r"--price-multiplier 0.01"):
        open_tape(write(tmp_path, NAME, depth_bytes(rows)))


def test_every_flipped_bit_ends_well(tmp_path: Path) -> None:
    data = depth_bytes([(T, CLEAR, 0, 0, 0.0, 0), (T, ADD_BID, 0, 1, 100.0, 1), (T, ADD_ASK, 1, 1, 101.0, 1)])
    for bit in range(0, len(data) * 8, 5):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with suppress(TickDataError):
            open_tape(write(tmp_path, NAME, bytes(broken))).events()
