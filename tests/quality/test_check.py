"""Each defect planted by hand is found by name, number and place; nothing is found in a clean tape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.kernels.quality import latency_bin
from tapebook.market.checks import pieces
from tapebook.market.errors import TruncatedFile
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.quality.check import QualityCheck
from tapebook.quality.findings import MEANINGS, Finding
from tapebook.quality.latency import bin_middle_ns, percentiles_ns
from tests.tapes import MID, TICK, random_levels, random_orders

START = 1_703_602_800_000_000_000  # 2023-12-26 15:00 UTC: inside the CME day session


def table(*, calendar: str = "24-7") -> InstrumentTable:
    es = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, calendar=calendar, kind="future", root="ES")
    return InstrumentTable({1: es, 2: Instrument(symbol="NQH4", venue="CME", tick_e9=TICK)})


def trades(n: int = 200, step_ns: int = 10_000_000) -> Events:
    e = empty_events(n)
    e["instrument_id"], e["kind"], e["side"], e["qty_lots"], e["flags"] = 1, Kind.TRADE, 1, 2, Flag.LAST
    e["price"] = MID
    e["ts_event_ns"] = START + np.arange(n) * step_ns
    e["ts_recv_ns"] = e["ts_event_ns"] + 100_000
    e["sequence"] = np.arange(n)
    return e


def find(events: Events, name: str, **options: object) -> list[Finding]:
    check = QualityCheck(table(), **options)  # type: ignore[arg-type] # tests pass keywords through
    check.see(events)
    return [f for f in check.findings() if f.name == name]


def test_a_clean_tape_has_no_findings() -> None:
    check = QualityCheck(table())
    check.see(trades())
    assert check.findings() == []


def change(field: str, value: object) -> Callable[[Events], None]:
    def apply(e: Events) -> None:
        e[field][50] = value

    return apply


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    ("name", "damage", "count", "where"),
    [
        ("ts_event_missing", change("ts_event_ns", MISSING), 1, "event 50"),
        ("ts_event_backwards", change("ts_event_ns", START), 1, "event 50"),
        ("ts_recv_backwards", change("ts_recv_ns", START), 1, "event 50"),
        ("recv_before_event", change("ts_recv_ns", START + 499_999_999), 1, "event 50"),
        ("gap_flagged", change("flags", Flag.GAP), 1, "event 50"),
        ("maybe_bad_flagged", change("flags", Flag.MAYBE_BAD), 1, "event 50"),
        ("sequence_backwards", change("sequence", 3), 1, "event 50"),
        ("sequence_gaps", change("sequence", 50 + 1000), 1, "event 50"),
        ("off_grid_trade", change("price", MID + 1), 1, "event 50"),
        ("bad_size", change("qty_lots", 0), 1, "event 50"),
        ("bad_size", change("qty_lots", -3), 1, "event 50"),
        ("trade_without_size", change("qty_lots", MISSING), 1, "event 50"),
        ("trade_without_price", change("price", MISSING), 1, "event 50"),
        ("side_unknown", change("side", 0), 1, "event 50"),
    ],
)
def test_a_planted_defect_is_found_by_name_number_and_place(
    name: str, damage: Callable[[Events], None], count: int, where: str
) -> None:
    events = trades()
    damage(events)
    found = find(events, name)
    assert [(f.count, f.first_where) for f in found] == [(count, where)]
    assert found[0].meaning == MEANINGS[name]


def test_a_resting_price_off_the_grid_is_an_error() -> None:
    events = trades()
    events["kind"][50], events["price"][50] = Kind.LEVEL, MID + 1
    assert [(f.severity, f.first_where) for f in find(events, "off_grid")] == [("error", "event 50")]


def quotes(*touches: tuple[int, int]) -> Events:
    e = empty_events(2 * len(touches))
    e["instrument_id"], e["kind"], e["qty_lots"] = 1, Kind.QUOTE, 5
    e["side"], e["flags"] = np.tile([1, -1], len(touches)), np.tile([0, Flag.LAST], len(touches))
    e["price"] = [MID + TICK * x for pair in touches for x in pair]
    return e


@pytest.mark.parametrize("cut", range(13))
def test_crossed_states_are_told_apart_by_what_the_market_was_doing(cut: int) -> None:
    events = quotes((0, 1), (2, 1), (3, 1), (0, 1), (1, 1), (2, 1))
    opening = 1_703_545_200 * 10**9  # 2023-12-25 23:00 UTC, the first second of trading after the holiday
    events["ts_event_ns"] = opening + np.repeat([-9, -8, 1, 2, 3, 4], 2)
    check = QualityCheck(table(calendar="CME"))
    for block in pieces(events, [cut]):
        check.see(block)
    found = {f.name: (f.count, f.first_ts_ns) for f in check.findings()}
    # The auction's crossing lasts past the hour; the one at +4 began while the market traded.
    assert found["crossed_auction"] == (2, opening - 8)
    assert found["crossed"] == (1, opening + 4)
    assert found["locked"] == (1, opening + 3)


def test_a_repeated_record_is_a_duplicate_even_after_others() -> None:
    events = trades()
    events[150] = events[100]
    assert [(f.count, f.first_where) for f in find(events, "duplicate")] == [(1, "event 150")]


def test_records_without_a_sequence_are_not_called_duplicates() -> None:
    events = trades()
    events["sequence"] = MISSING
    events[51] = events[50]
    assert find(events, "duplicate") == []


def test_missing_numbers_are_counted_when_the_sequence_counts_one_by_one() -> None:
    events = trades()
    events["sequence"][120:] += 7
    (found,) = find(events, "sequence_gaps")
    assert (found.count, found.details["missing_numbers"], found.first_where) == (1, 7, "event 120")


def test_a_sequence_shared_with_other_instruments_is_no_gap_unless_the_venue_says_one_by_one() -> None:
    events = trades()
    events["sequence"] *= 3
    assert find(events, "sequence_gaps") == []
    assert find(events, "sequence_gaps", consecutive=True)[0].details["missing_numbers"] == 2 * 199


def test_a_book_that_stands_still_while_trades_go_on_is_frozen() -> None:
    events = trades(400, step_ns=100_000_000)
    events["kind"][:10] = Kind.LEVEL
    events["price"][:10] = MID - TICK
    (found,) = find(events, "frozen_book")
    assert (found.severity, found.count) == ("error", 1)
    assert found.details["longest_s"] == pytest.approx(39.0)


def test_a_pause_inside_the_session_is_told_and_one_outside_is_not() -> None:
    check = QualityCheck(table(calendar="CME"))
    events = trades(200)
    events["ts_event_ns"][100:] += 600 * 10**9
    events["ts_recv_ns"][100:] += 600 * 10**9
    check.see(events)
    silent = [f for f in check.findings() if f.name == "silent"]
    assert [(f.count, round(f.details["longest_s"])) for f in silent] == [(1, 600)]
    night = QualityCheck(table(calendar="CME"))
    events["ts_event_ns"] += (22 - 15) * 3600 * 10**9 - 300 * 10**9  # the pause now covers 21:55 to 22:05 UTC
    events["ts_recv_ns"] = events["ts_event_ns"] + 100_000
    night.see(events)
    assert [f.name for f in night.findings() if f.name == "silent" and f.details["longest_s"] > 301] == []


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 600), max_size=12))
def test_findings_do_not_depend_on_how_the_tape_was_cut(seed: int, cuts: list[int]) -> None:
    events = np.concatenate([random_levels(seed, 300), random_orders(seed, 300, instrument_id=2)])
    whole, cut = QualityCheck(table()), QualityCheck(table())
    whole.see(events)
    for block in pieces(events, cuts):
        cut.see(block)
    assert repr(whole.findings()) == repr(cut.findings())
    assert whole.latency_ns() == cut.latency_ns()


def test_what_could_not_be_read_is_among_the_findings() -> None:
    quarantine = Quarantine()
    quarantine.add("bad price", expected="a number", found="'x'", where="f.csv line 9", raw=b"1,x")
    quarantine.truncate(TruncatedFile("end of file inside a gzip frame"))
    check = QualityCheck(table())
    check.see(trades())
    found = {f.name: f for f in check.findings(quarantine)}
    assert found["quarantined"].first_where == "f.csv line 9"
    assert found["quarantined"].details["raw"] == "1,x"
    assert "gzip" in found["truncated"].first_where


@pytest.mark.uncompiled
@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=50))
def test_latency_percentiles_are_within_three_percent(latencies: list[int]) -> None:
    histogram = np.zeros(4096, np.int64)
    for x in latencies:
        histogram[latency_bin(x)] += 1
    ordered = sorted(latencies)
    got = percentiles_ns(histogram, (0.0, 0.5, 1.0))
    want = [ordered[0], ordered[max(0, -(-len(ordered) // 2) - 1)], ordered[-1]]
    for a, b in zip(got, want, strict=True):
        assert abs(a - b) <= abs(b) / 32


@given(st.integers(-(2**62), 2**62))
def test_a_bin_holds_its_middle(x: int) -> None:
    assert latency_bin(bin_middle_ns(latency_bin(x))) == latency_bin(x)
