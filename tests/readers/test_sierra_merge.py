from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tapebook.market.errors import ReaderError
from tapebook.market.events import Flag, Kind
from tapebook.readers import open_tape, sierra_binary
from tapebook.readers.files import read_head
from tapebook.readers.formats import ReadOptions
from tapebook.readers.scid import open_trades
from tapebook.readers.sierra_depth import open_depth
from tapebook.readers.sierra_merge import merge
from tests.readers.sierra_files import FIRST, LAST, DepthRow, ScidRow, at, depth_bytes, scid_bytes, trade, write

pytestmark = pytest.mark.uncompiled

T = at("2024-03-18T14:30:00")


def files(folder: Path, trades: list[ScidRow], depth: list[DepthRow]) -> tuple[Path, Path]:
    return (
        write(folder, "ESM24-CME.scid", scid_bytes(trades)),
        write(folder, "ESM24-CME.2024-03-18.depth", depth_bytes(depth)),
    )


def test_a_trade_comes_before_the_depth_of_the_same_stamp(tmp_path: Path) -> None:
    scid, depth = files(
        tmp_path,
        [trade(T, 100.25, 5, 1, 100.0, 100.25), trade(T + 11, 100.25, 1, 1, 100.0, 100.25)],
        [(T - 5, 3, 1, 1, 100.25, 9), (T, 5, 1, 1, 100.25, 4), (T + 10, 5, 1, 1, 100.25, 3)],
    )
    tape = open_tape(scid, book_path=depth)
    assert [(Kind(e["kind"]).name, int(e["qty_lots"])) for e in tape.events()] == [
        ("LEVEL", 9),
        ("TRADE", 5),
        ("LEVEL", 4),
        ("LEVEL", 3),
        ("TRADE", 1),
    ]
    assert tape.origin.schema == "trades+depth"


def test_depth_first_can_be_asked_for(tmp_path: Path) -> None:
    scid, depth = files(
        tmp_path, [trade(T, 100.25, 5, 1, 100.0, 100.25)], [(T, 5, 1, 1, 100.25, 4), (T + 1, 5, 1, 1, 100.25, 3)]
    )
    options = ReadOptions()
    tape = merge(
        open_trades(scid, read_head(scid), options), open_depth(depth, read_head(depth), options), ties="depth"
    )
    assert [Kind(e["kind"]).name for e in tape.events()] == ["LEVEL", "TRADE", "LEVEL"]


def test_where_depth_has_milliseconds_the_trades_counter_is_no_time(tmp_path: Path) -> None:
    scid, depth = files(
        tmp_path,
        [trade(T, 100.25, 5, 1, 100.0, 100.25), trade(T + 1, 100.25, 6, 1, 100.0, 100.25)],
        [(T, 5, 1, 1, 100.25, 4), (T + 1000, 5, 1, 1, 100.25, 3)],
    )
    events = open_tape(scid, book_path=depth).events()
    assert events["qty_lots"].tolist() == [5, 6, 4, 3]


def test_trades_of_other_days_are_left_out_and_counted(tmp_path: Path) -> None:
    day = 86_400_000_000
    scid, depth = files(
        tmp_path,
        [trade(T - day, 100.25, 1, 1, 100.0, 100.25), trade(T, 100.25, 2, 1, 0, 0), trade(T + day, 100.25, 3, 1, 0, 0)],
        [(T, 5, 1, 1, 100.25, 4)],
    )
    tape = open_tape(scid, book_path=depth)
    assert tape.events()["qty_lots"].tolist() == [2, 4]
    assert tape.notes["trades_of_other_days"] == 2


def test_two_instruments_are_refused(tmp_path: Path) -> None:
    scid, _ = files(tmp_path, [trade(T, 100.25, 1, 1, 100.0, 100.25)], [])
    other = write(tmp_path, "NQM24-CME.2024-03-18.depth", depth_bytes([(T, 5, 1, 1, 100.25, 4)]))
    with pytest.raises(ReaderError, match="expected ESM4 on CME, found NQM4 on CME"):
        open_tape(scid, book_path=other)


def test_an_empty_depth_file_is_told(tmp_path: Path) -> None:
    scid, depth = files(tmp_path, [trade(T, 100.25, 1, 1, 100.0, 100.25)], [])
    tape = open_tape(scid, book_path=depth)
    assert tape.events().size == 0
    assert tape.notes == {"depth_is_empty": 1}


def test_a_merged_tape_can_be_read_twice(tmp_path: Path) -> None:
    scid, depth = files(
        tmp_path, [trade(T, 100.25, 1, 1, 100.0, 100.25)], [(T, 1, 0, 0, 0.0, 0), (T, 3, 1, 1, 100.25, 4)]
    )
    tape = open_tape(scid, book_path=depth)
    first, notes = tape.events().tobytes(), dict(tape.notes)
    assert tape.events().tobytes() == first
    assert tape.notes == notes
    assert tape.notes["depth: snapshots"] == 1


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 6),
    st.sampled_from(["trade", "depth"]),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_merge_is_a_stable_sort_of_messages(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    trade_steps: list[tuple[int, int]],
    depth_steps: list[tuple[int, bool]],
    chunk: int,
    ties: str,
) -> None:
    us, trades = T + 3, list[ScidRow]()
    for i, (step, mark) in enumerate(trade_steps):
        us += step
        trades.append(trade(us, 100.25, i + 1, 1, 0.0, 0.0, (0.0, FIRST, LAST)[mark]))
    us, depth = T + 3, list[DepthRow]()
    for i, (step, ends) in enumerate(depth_steps):
        us += step
        depth.append((us, 4, int(ends), 1, 100.0, 1000 + i))
    scid, book = files(tmp_path_factory.mktemp("m"), trades, depth)
    options = ReadOptions()
    with monkeypatch.context() as patch:
        patch.setattr(sierra_binary, "RECORDS_IN_CHUNK", chunk)
        first = open_trades(scid, read_head(scid), options)
        second = open_depth(book, read_head(book), options)
        parts = [first.events(), second.events()]
        merged = merge(first, second, ties="trade" if ties == "trade" else "depth").events()

    def messages(which: int) -> list[tuple[int, int, int, list[int]]]:
        """Time of the first record, rank at equal times, order in the file, quantities."""
        found: list[tuple[int, int, int, list[int]]] = []
        latest = 0
        begun = False
        for e in parts[which]:
            if not begun:
                latest = max(latest, int(e["ts_event_ns"]))
                found.append((latest, which if ties == "trade" else 1 - which, len(found), []))
            found[-1][3].append(int(e["qty_lots"]))
            begun = not e["flags"] & Flag.LAST
        return found

    trades_only = parts[0]["kind"] == Kind.TRADE
    parts[0] = parts[0][trades_only]
    want = [qty for m in sorted(messages(0) + messages(1), key=lambda m: m[:3]) for qty in m[3]]
    assert merged["qty_lots"].tolist() == want
