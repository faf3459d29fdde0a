from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.errors import SchemaMismatch, StoreError, TickDataError
from tapebook.market.events import Kind
from tapebook.market.instruments import Instrument
from tapebook.store import Lake
from tests.store.some_tapes import DAY_NS, INSTRUMENTS, START_NS, tape_of, trades


def content(lake: Lake) -> dict[str, str]:
    """Every file of a lake and its hash, the lock aside."""
    files = sorted(p for p in lake.path.rglob("*") if p.is_file() and p.name != "lock")
    return {p.relative_to(lake.path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_importing_the_same_tape_twice_leaves_byte_identical_files(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(3_000, step_ns=DAY_NS // 1000)
    first = lake.ingest(tape_of(events))
    before = content(lake)
    second = lake.ingest(tape_of(events, cuts=[7, 1000]))
    assert content(lake) == before
    assert (first.again, second.again) == (False, True)
    assert first.files == second.files
    assert second.replaced == ()
    elsewhere = Lake(tmp_path / "other")
    elsewhere.ingest(tape_of(events))
    assert content(elsewhere) == before


def test_the_same_content_under_another_name_is_stored_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(100)
    first = lake.ingest(tape_of(events, "a.dbn"))
    second = lake.ingest(tape_of(events, "b.dbn"))
    assert first.source == second.source
    assert second.again
    assert [s.origin.name for s in lake.sources().values()] == ["a.dbn"]
    assert lake.tape().events().tobytes() == events.tobytes()
    assert list(lake.verify()) == []


def test_the_same_events_of_another_instrument_are_another_source(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(10)
    a = lake.ingest(tape_of(events))
    b = lake.ingest(tape_of(events, instruments={1: Instrument(symbol="AMZN", venue="XNAS")}))
    assert a.source != b.source
    assert len(lake.ls()) == 2


def test_a_file_that_has_grown_replaces_its_older_self(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(2_000, step_ns=DAY_NS // 1000)
    lake.ingest(tape_of(events[:1_200]))
    report = lake.ingest(tape_of(events))
    assert len(report.replaced) == 2
    assert lake.tape().events().tobytes() == events.tobytes()
    assert len(lake.sources()) == 1
    assert list(lake.verify()) == []


def test_files_of_one_name_stand_side_by_side_where_their_times_do_not_overlap(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(200)
    lake.ingest(tape_of(events[100:]))
    report = lake.ingest(tape_of(events[:100]))
    assert report.replaced == ()
    assert len(lake.ls()) == 1
    assert lake.tape().events().tobytes() == events.tobytes()


def test_an_older_edition_keeps_the_days_that_the_newer_one_does_not_have(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(10, step_ns=DAY_NS, instrument_id=3)
    lake.ingest(tape_of(events))
    newer = trades(3, start_ns=START_NS + 3 * DAY_NS, step_ns=DAY_NS, instrument_id=3)
    newer["price"] += 1
    lake.ingest(tape_of(newer))
    assert len(lake.sources()) == 2
    expected = np.concatenate([events[:3], newer, events[6:]])
    assert lake.tape().events().tobytes() == expected.tobytes()
    lake.ingest(tape_of(events))  # and back again: the last import wins
    assert lake.tape().events().tobytes() == events.tobytes()
    assert list(lake.verify()) == []


def test_a_shorter_edition_of_a_day_replaces_nothing_and_reading_asks_which(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(100)
    lake.ingest(tape_of(events))
    assert lake.ingest(tape_of(events[20:60])).replaced == ()
    with pytest.raises(StoreError, match="two sources tell the same thing"):
        lake.tape()


def test_a_truncated_file_is_refused_beside_a_whole_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(100)
    lake.ingest(tape_of(events))
    before = content(lake)
    with pytest.raises(StoreError, match=r"truncated file would stand beside a whole one.*tapebook lake remove"):
        lake.ingest(tape_of(events[:50], truncated="byte 1234"))
    assert content(lake) == before
    partial = Lake(tmp_path / "partial")
    assert partial.ingest(tape_of(events[:50], truncated="byte 1234")).truncated == "byte 1234"
    assert len(partial.ingest(tape_of(events)).replaced) == 1


def test_sources_that_tell_the_same_thing_are_not_mixed_unless_asked_for(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    events = trades(100)
    a = lake.ingest(tape_of(events[:60], "a.dbn"))
    b = lake.ingest(tape_of(events[40:], "b.dbn"))
    with pytest.raises(
        StoreError, match=r"two sources tell the same thing.*trades of ESH4 \(CME\) from 2023-12-26"
    ) as e:
        lake.tape()
    assert a.source in str(e.value)
    assert b.source in str(e.value)
    assert [(f.severity, f.problem.split(":")[0]) for f in lake.verify()] == [("warning", "told twice")]
    assert lake.tape(sources=a.source[:6]).events().tobytes() == events[:60].tobytes()
    assert lake.tape(mix=True).events().size == 120
    assert lake.tape(end=START_NS + 39 * 10**9).events().size == 39  # no overlap within the range
    assert len(lake.remove(a.source)) == 1
    assert lake.tape().events().tobytes() == events[40:].tobytes()
    assert list(lake.verify()) == []


def test_sources_that_complement_each_other_are_merged_by_the_clock_without_tearing_messages(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    prints = trades(50, step_ns=1000)
    quotes = trades(100, step_ns=500)
    quotes["kind"] = Kind.QUOTE
    quotes["flags"] = np.arange(100) % 2  # two records a message, the second ends it
    quotes["ts_event_ns"] += 100
    quotes["ts_recv_ns"] += 100
    lake.ingest(tape_of(prints, "trades.csv"))
    lake.ingest(tape_of(quotes, "quotes.csv"))
    merged = lake.tape().events()
    assert merged[merged["kind"] == Kind.TRADE].tobytes() == prints.tobytes()
    assert merged[merged["kind"] == Kind.QUOTE].tobytes() == quotes.tobytes()
    # By hand: print i at 1000 i, the message of quotes 2 i and 2 i + 1 begins at 1000 i + 100.
    assert merged["kind"][:9].tolist() == [1, 3, 3] * 3
    assert lake.arrow()["kind"].to_pylist() == merged["kind"].tolist()


def test_ids_change_only_where_two_sources_use_one_for_different_instruments(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(5), "a.csv", instruments={1: INSTRUMENTS[1]}))
    lake.ingest(tape_of(trades(5, start_ns=START_NS + DAY_NS), "b.csv", instruments={1: INSTRUMENTS[2]}))
    same = trades(5, start_ns=START_NS + 2 * DAY_NS, instrument_id=9)
    lake.ingest(tape_of(same, "c.csv", instruments={9: INSTRUMENTS[1]}))
    tape = lake.tape()
    events = tape.events()
    assert {i: x.symbol for i, x in tape.instruments.items()} == {1: "ESH4", 2: "NQH4"}
    assert events["instrument_id"].tolist() == [1] * 5 + [2] * 5 + [1] * 5
    assert tape.notes == {"instrument_ids_changed": 10}
    assert lake.tape(symbol="NQH4").events()["instrument_id"].tolist() == [1] * 5
    assert lake.arrow()["instrument_id"].to_pylist() == events["instrument_id"].tolist()


def test_sources_that_disagree_on_the_lot_are_not_read_as_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(5), "a.csv", instruments={1: Instrument(symbol="X", venue="V")}))
    later = trades(5, start_ns=START_NS + DAY_NS)
    lake.ingest(tape_of(later, "b.csv", instruments={1: Instrument(symbol="X", venue="V", lot_e9=10)}))
    with pytest.raises(StoreError, match="sources disagree on the lot of X"):
        lake.tape()
    assert [f.severity for f in lake.verify()] == ["warning"]
    assert lake.tape(start=START_NS + DAY_NS).events().tobytes() == later.tobytes()


def test_an_import_that_fails_leaves_the_lake_as_it_was(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(10)))
    before = content(lake)
    tape = tape_of(trades(10, start_ns=START_NS + DAY_NS))

    def fails(_: int) -> object:
        yield trades(5)
        raise TickDataError("the reader gave up")

    tape.read = fails  # type: ignore[assignment]
    with pytest.raises(TickDataError, match="the reader gave up"):
        lake.ingest(tape)
    assert content(lake) == before
    assert list(lake.verify()) == []


def test_a_tape_without_events_leaves_no_trace(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    report = lake.ingest(tape_of(trades(0)))
    assert (report.source, report.rows, report.files) == ("", 0, ())
    assert lake.ls() == []
    assert lake.sources() == {}


def test_what_the_reader_noticed_is_kept_with_the_source(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    tape = tape_of(trades(3))
    read = tape.read

    def noticing(n: int) -> object:
        yield from read(n)
        tape.quarantine.add("bad price", where="line 7")
        tape.notes["resyncs"] = 2

    tape.read = noticing  # type: ignore[assignment]
    report = lake.ingest(tape)
    [source] = lake.sources().values()
    assert source.bad_records == report.bad_records == {"bad price": 1}
    assert source.notes == {"resyncs": 2}
    assert source.origin == tape.origin


def test_a_folder_that_holds_something_else_is_not_made_a_lake(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="something else than a lake"):
        Lake(tmp_path).ingest(tape_of(trades(1)))
    with pytest.raises(StoreError, match="this is no lake"):
        Lake(tmp_path).ls()
    with pytest.raises(StoreError, match="a lake is a folder"):
        Lake(tmp_path / "thesis.tex").ingest(tape_of(trades(1)))


def test_a_lake_of_another_version_says_so(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(1)))
    (lake.path / "_tapebook" / "lake.json").write_text('{"tapebook_lake": 7}')
    with pytest.raises(SchemaMismatch, match="expected version 1, found version 7"):
        lake.tape()
    with pytest.raises(SchemaMismatch):
        lake.ingest(tape_of(trades(2)))


def test_asking_for_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest(tape_of(trades(3)))
    with pytest.raises(StoreError, match="expected CME/ESH4, found venue any, symbol NQH4"):
        lake.tape(symbol="NQH4")
    with pytest.raises(StoreError, match="no such source"):
        lake.tape(sources="zzz")
    with pytest.raises(TickDataError, match="not a bound of time"):
        lake.tape(start="yesterday")
    with pytest.raises(TickDataError, match="an empty range of time"):
        lake.tape(start="2024-01-02", end="2024-01-01")
