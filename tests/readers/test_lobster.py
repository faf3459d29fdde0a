"""LOBSTER pairs: a plain dict book, driven by the events, must show every row of the order-book file."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.kernels import lobster as kernel
from tapebook.market.errors import MalformedRecord, ReaderError, TickDataError, UnsupportedSchema
from tapebook.market.events import MISSING, Events, Flag, Kind, Phase, SideSource, TradeCondition
from tapebook.market.tape import Tape
from tapebook.readers import detect, open_tape
from tests.oracles.lobster import Row, levels_of, random_day

NAME = "AMZN_2012-06-21_34200000_57600000_{half}_{n}.csv"
SCALE = kernel.SCALE


def write_pair(folder: Path, messages: list[str], rows: list[Row] | None, n: int, name: str = NAME) -> Path:
    path = folder / name.format(half="message", n=n)
    path.write_text("".join(f"{m}\n" for m in messages))
    if rows is not None:
        text = "".join(",".join(map(str, row)) + "\n" for row in rows)
        (folder / name.format(half="orderbook", n=n)).write_text(text)
    return path


def books(events: Events) -> Iterator[tuple[int, dict[int, dict[int, int]], int]]:
    """Drive a book of plain dicts; after each message: its line, the book by side, and how often it made no sense."""
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}
    wrong = 0
    names = ("kind", "side", "price", "qty_lots", "flags", "sequence")
    for kind, side, price, qty, flags, line in zip(*(events[n].tolist() for n in names), strict=True):
        level = sides.get(side, {})
        if kind == Kind.CLEAR:
            sides = {1: {}, -1: {}}
        elif kind == Kind.LEVEL:
            level[price] = qty
        elif kind == Kind.ADD:
            level[price] = level.get(price, 0) + qty
        elif kind in (Kind.CANCEL, Kind.EXECUTE):
            wrong += level.get(price, 0) < qty
            level[price] = max(level.get(price, 0) - qty, 0)
        if level.get(price) == 0:
            del level[price]
        if flags & Flag.LAST:
            yield line, sides, wrong


def same_as_rows(events: Events, rows: list[Row]) -> int:
    """Compare the book after each message with its row; return how many were compared."""
    n = 0
    for line, sides, wrong in books(events):
        assert not wrong, f"line {line}: taken from a level that did not hold it"
        if line == MISSING:
            continue
        for side in (1, -1):
            told = {price * SCALE: size for price, size in levels_of(rows[line - 1], side).items()}
            assert sides[side] == told, f"line {line}, side {side}"
        n += 1
    return n


def from_zip(path: Path, half: str) -> pl.DataFrame:
    with zipfile.ZipFile(path) as archive:
        (name,) = (n for n in archive.namelist() if f"_{half}_" in n)
        return pl.read_csv(io.BytesIO(archive.read(name)), has_header=False, infer_schema=False)


@pytest.mark.slow
@pytest.mark.parametrize(("levels", "n_messages"), [(1, 57_515), (5, 155_935)])
def test_every_row_of_the_recorded_book_is_shown(
    levels: int, n_messages: int, recording: Callable[[str], Path]
) -> None:
    path = recording(f"lobster/LOBSTER_SampleFile_AMZN_2012-06-21_{levels}.zip")
    tape = open_tape(path)
    events = tape.events()
    rows = [list(map(int, row)) for row in from_zip(path, "orderbook").rows()]
    assert same_as_rows(events, rows) == len(rows) == n_messages
    assert tape.notes["corrected_levels"] == 0
    assert not tape.quarantine.total


@pytest.mark.parametrize("levels", [1, 5])
def test_messages_are_all_there(levels: int, recording: Callable[[str], Path]) -> None:
    path = recording(f"lobster/LOBSTER_SampleFile_AMZN_2012-06-21_{levels}.zip")
    tape = open_tape(path)
    events = tape.events()
    told = from_zip(path, "message")
    told.columns = ["time", "type", "id", "size", "price", "direction"]
    told = told.with_columns(pl.exclude("time").cast(pl.Int64))
    by_type = dict(told.group_by("type").len().iter_rows())
    kinds = Counter(events["kind"].tolist())
    assert kinds[Kind.ADD] == by_type[1]
    assert kinds[Kind.CANCEL] == by_type[2] + by_type[3]
    assert kinds[Kind.EXECUTE] == by_type[4]
    assert kinds[Kind.TRADE] == by_type[4] + by_type[5]
    for kind, types in ((Kind.ADD, [1]), (Kind.CANCEL, [2, 3]), (Kind.EXECUTE, [4]), (Kind.TRADE, [4, 5])):
        mine = events[events["kind"] == kind]
        theirs = told.filter(pl.col("type").is_in(types))
        assert mine["order_id"].tolist() == theirs["id"].to_list()
        assert mine["qty_lots"].tolist() == theirs["size"].to_list()
        assert mine["price"].tolist() == (theirs["price"] * SCALE).to_list()
        sign = -1 if kind == Kind.TRADE else 1
        assert mine["side"].tolist() == (theirs["direction"] * sign).to_list()
        midnight = np.datetime64("2012-06-21T04:00", "ns").astype(np.int64)
        ns = [round(float("0." + t.split(".")[1]) * 10**9) + int(t.split(".")[0]) * 10**9 for t in theirs["time"]]
        assert (mine["ts_event_ns"] - midnight).tolist() == ns
    hidden = events[(events["kind"] == Kind.TRADE) & (events["detail"] == TradeCondition.HIDDEN)]
    assert hidden.size == by_type[5]
    assert set(hidden["side_source"].tolist()) == {SideSource.VENUE}
    assert tape.instruments.only().symbol == "AMZN"
    assert tape.instruments.only().kind == "stock"
    # A message goes beyond its level nowhere, and one time of the day was printed through a double.
    assert tape.notes.get("messages_beyond_their_level", 0) == 0
    assert tape.notes.get("times_rounded_to_ns", 0) == (1 if levels == 5 else 0)


@pytest.mark.uncompiled
@given(seed=st.integers(0, 2**32), levels=st.integers(1, 5), thin=st.booleans(), block=st.integers(1, 300))
def test_any_day_is_shown_row_by_row(
    seed: int, levels: int, thin: bool, block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    messages, rows = random_day(seed, 80, levels, thin=thin)
    tape = open_tape(write_pair(tmp_path_factory.mktemp("lobster"), messages, rows, levels))
    blocks = list(tape.blocks(block))
    assert same_as_rows(np.concatenate(blocks), rows) == len(rows)
    assert tape.notes["corrected_levels"] == 0
    assert np.concatenate(blocks).tobytes() == tape.events().tobytes()


def test_a_view_of_a_day_is_what_entered_and_left_it(tmp_path: Path) -> None:
    messages, rows = random_day(3, 400, 2)
    tape = open_tape(write_pair(tmp_path, messages, rows, 2))
    events = tape.events()
    view = events[(events["flags"] & Flag.VIEW) != 0]
    assert view.size > 100
    assert set(view["kind"].tolist()) == {Kind.LEVEL}
    assert (view["qty_lots"] > 0).sum() == tape.notes["levels_entered_view"]
    assert (view["qty_lots"] == 0).sum() == tape.notes["levels_left_view"]
    # What leaves or enters is worse than all that stays.
    after = {line: {side: set(book) for side, book in sides.items()} for line, sides, _ in books(events)}
    for line, side, price in zip(*(view[n].tolist() for n in ("sequence", "side", "price")), strict=True):
        others = after[line][side] - {price}
        assert others
        assert all(price * side < other * side for other in others)


def test_a_halt_is_a_status_and_a_cross_has_no_side(tmp_path: Path) -> None:
    row = [1_000_100, 10, 999_900, 10]
    messages = [
        "36023.5,7,0,0,-1,-1",
        "36323,7,0,0,0,-1",
        "36400.000000001,6,0,500,1000000,-1",
        "36723,7,0,0,1,-1",
    ]
    events = open_tape(write_pair(tmp_path, messages, [row] * 4, 1)).events()[3:]
    assert events["kind"].tolist() == [Kind.STATUS, Kind.STATUS, Kind.TRADE, Kind.STATUS]
    phases = events[events["kind"] == Kind.STATUS]["detail"].tolist()
    assert phases == [Phase.HALT, Phase.QUOTING, Phase.OPEN]
    cross = events[2]
    assert (int(cross["detail"]), int(cross["side"]), int(cross["side_source"])) == (TradeCondition.CROSS, 0, 0)
    assert int(cross["price"]) == 100_000_000_000
    assert str(cross["ts_event_ns"].view("M8[ns]")) == "2012-06-21T14:06:40.000000001"


def test_an_execution_is_a_trade_against_the_resting_order(tmp_path: Path) -> None:
    messages = ["34200.1,4,77,10,1000100,-1"]
    events = open_tape(write_pair(tmp_path, messages, [[1_000_200, 5, 999_900, 10]], 1)).events()
    snapshot, (trade, execution) = events[:-2], events[-2:]
    # Undone, the message gives the book before it: 10 more at 100.01.
    assert snapshot["kind"].tolist() == [Kind.CLEAR, Kind.LEVEL, Kind.LEVEL, Kind.LEVEL]
    assert snapshot["price"].tolist()[1:] == [99_990_000_000, 100_010_000_000, 100_020_000_000]
    assert set((snapshot["flags"] & Flag.SNAPSHOT).tolist()) == {int(Flag.SNAPSHOT)}
    assert (int(trade["side"]), int(trade["order_id"]), int(trade["side_source"])) == (1, 77, SideSource.VENUE)
    assert (int(execution["side"]), int(execution["order_id"])) == (-1, 77)
    assert (int(trade["flags"]) & Flag.LAST, int(execution["flags"]) & Flag.LAST) == (0, 1)


@pytest.mark.uncompiled
def test_what_the_messages_do_not_explain_is_corrected_and_counted(tmp_path: Path) -> None:
    messages, rows = random_day(5, 60, 3)
    rows[20][1] += 7  # a quantity at the best ask, for one row: corrected there and back again after
    tape = open_tape(write_pair(tmp_path, messages, rows, 3))
    events = tape.events()
    assert same_as_rows(events, rows) == 60
    corrections = events[(events["flags"] & Flag.MAYBE_BAD) != 0]
    assert tape.notes["corrected_levels"] == corrections.size > 0
    assert set(corrections["kind"].tolist()) == {Kind.LEVEL}


def test_a_bad_message_costs_that_message(tmp_path: Path) -> None:
    messages, rows = random_day(6, 60, 3)
    path = write_pair(tmp_path, [*messages[:30], "x" + messages[30], *messages[31:]], rows, 3)
    tape = open_tape(path)
    events = tape.events()
    assert [r.where for r in tape.quarantine.records] == [f"{path} line 31, field time"]
    assert 31 not in events["sequence"].tolist()
    shown = {line for line, sides, _ in books(events) if line != MISSING and sides[1] == scaled(rows[line - 1], 1)}
    assert shown >= set(range(33, 61))
    with pytest.raises(MalformedRecord, match=r"bad time.*line 31"):
        open_tape(path, strict=True).events()


def scaled(row: Row, side: int) -> dict[int, int]:
    return {price * SCALE: size for price, size in levels_of(row, side).items()}


@pytest.mark.uncompiled
@pytest.mark.parametrize("what", ["no number", "unordered"])
def test_a_bad_row_of_the_book_costs_no_message(what: str, tmp_path: Path) -> None:
    messages, rows = random_day(7, 60, 3)
    path = write_pair(tmp_path, messages, rows, 3)
    book = tmp_path / NAME.format(half="orderbook", n=3)
    lines = book.read_text().splitlines()
    fields = lines[30].split(",")
    lines[30] = ",".join(["x", *fields[1:]] if what == "no number" else fields[4:8] + fields[:4] + fields[8:])
    book.write_text("\n".join(lines) + "\n")
    tape = open_tape(path)
    events = tape.events()
    assert same_as_rows(events, rows) == 60 or tape.notes["corrected_levels"]
    assert tape.notes["messages_without_book_row"] == 1
    assert set(range(1, 61)) <= set(events["sequence"].tolist())
    assert tape.quarantine.total == 1


@pytest.mark.uncompiled
def test_without_the_book_file_everything_is_doubtful(tmp_path: Path) -> None:
    messages, _ = random_day(8, 60, 3)
    tape = open_tape(write_pair(tmp_path, messages, None, 3))
    events = tape.events()
    assert (events["flags"] & Flag.MAYBE_BAD != 0).all()
    assert tape.notes["days_without_book_file"] == 1
    assert tape.origin.details["book_file"] is None


def test_either_half_opens_the_pair_and_the_book_may_lie_elsewhere(tmp_path: Path) -> None:
    messages, rows = random_day(9, 40, 2)
    path = write_pair(tmp_path, messages, rows, 2)
    book = tmp_path / NAME.format(half="orderbook", n=2)
    whole = open_tape(path).events().tobytes()
    assert open_tape(book).events().tobytes() == whole
    other = tmp_path / "elsewhere"
    other.mkdir()
    moved, plain = other / "b.csv", other / "m.csv"
    moved.write_bytes(book.read_bytes())
    plain.write_bytes(path.read_bytes())
    assert open_tape(plain, symbol="AMZN", date="2012-06-21", book_path=moved).events().tobytes() == whole
    zipped = tmp_path / "gz"
    zipped.mkdir()
    for half in (path, book):
        (zipped / f"{half.name}.gz").write_bytes(gzip.compress(half.read_bytes()))
    assert open_tape(zipped / f"{path.name}.gz").events().tobytes() == whole


def test_what_a_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    messages, rows = random_day(9, 10, 2)
    path = tmp_path / "m.csv"
    path.write_text("\n".join(messages))
    with pytest.raises(ReaderError, match=r"which stock.*--symbol"):
        open_tape(path)
    with pytest.raises(ReaderError, match=r"which day.*--date"):
        open_tape(path, symbol="AMZN")
    with pytest.raises(ReaderError, match="bad date"):
        open_tape(path, symbol="AMZN", date="21.6.2012")
    write_pair(tmp_path, messages, rows, 2).unlink()
    with pytest.raises(ReaderError, match="order-book half"):
        open_tape(tmp_path / NAME.format(half="orderbook", n=2))


def archive(path: Path, *days: tuple[str, str, int]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for symbol, date, seed in days:
            messages, rows = random_day(seed, 30, 2)
            stem = f"{symbol}_{date}_34200000_57600000"
            target.writestr(f"{stem}_message_2.csv", "\n".join(messages) + "\n")
            target.writestr(f"{stem}_orderbook_2.csv", "\n".join(",".join(map(str, r)) for r in rows) + "\n")
    return path


def test_days_of_an_archive_follow_each_other(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", ("AMZN", "2012-06-22", 1), ("AMZN", "2012-06-21", 2))
    tape = open_tape(path)
    events = tape.events()
    days = events["ts_event_ns"].view("M8[ns]").astype("M8[D]").astype(str).tolist()
    assert days == sorted(days)
    assert set(days) == {"2012-06-21", "2012-06-22"}
    assert (events["kind"] == Kind.CLEAR).sum() == 2


def test_of_several_stocks_one_has_to_be_named(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", ("AMZN", "2012-06-21", 1), ("MSFT", "2012-06-21", 2))
    with pytest.raises(ReaderError, match=r"AMZN, MSFT.*--symbol"):
        open_tape(path)
    tape = open_tape(path, symbol="MSFT")
    assert tape.instruments.only().symbol == "MSFT"
    assert tape.events().size


def test_a_7z_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "_data_dwn_32_302__AMZN_2012-06-21_2012-06-21_5.7z"
    path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100))
    with pytest.raises(UnsupportedSchema, match="7z x"):
        open_tape(path)


def test_the_content_tells_a_message_file(tmp_path: Path) -> None:
    messages, _ = random_day(1, 10, 2)
    path = tmp_path / "data.txt"
    path.write_text("\n".join(messages))
    assert detect(path)[0].name == "lobster"


def test_levels_beyond_the_files_are_dummies(tmp_path: Path) -> None:
    messages = ["34200.1,1,5,10,1000000,1", "34200.2,3,5,10,1000000,1"]
    rows = [
        [9_999_999_999, 0, 1_000_000, 10, 9_999_999_999, 0, -9_999_999_999, 0],
        [9_999_999_999, 0, -9_999_999_999, 0, 9_999_999_999, 0, -9_999_999_999, 0],
    ]
    tape = open_tape(write_pair(tmp_path, messages, rows, 2))
    assert same_as_rows(tape.events(), rows) == 2
    assert tape.notes == {"corrected_levels": 0}


@pytest.mark.slow
@pytest.mark.parametrize("archived", [False, True], ids=["csv", "zip"])
def test_damage_is_refused_or_told_and_never_a_foreign_error(archived: bool, tmp_path: Path) -> None:
    if archived:
        path = archive(tmp_path / "x.zip", ("AMZN", "2012-06-21", 4))
    else:
        messages, rows = random_day(4, 30, 2)
        path = write_pair(tmp_path, messages, rows, 2)
    data = path.read_bytes()
    sound = open_tape(path)
    whole = sound.events()
    notes = dict(sound.notes)
    rng = np.random.default_rng(1)
    silent = 0
    for place in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(0, 8))
        for copy in (bytes(flipped), data[:place]):
            path.write_bytes(copy)
            try:
                tape: Tape = open_tape(path)
                events = tape.events()
            except TickDataError:
                continue
            told = tape.quarantine.total or tape.quarantine.truncated or tape.notes != notes
            # The first message is undone to make the book before it: nothing can contradict that.
            first = not archived and place < data.index(b"\n")
            silent += events.size != whole.size and not told and not first
    assert silent == 0
