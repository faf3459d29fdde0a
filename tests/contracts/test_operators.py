"""The laws of operators, on everything that is registered: chunk, restart, causality, input untouched.

Registering is enrolling: whatever a module below ``OPERATOR_PACKAGES`` registers is put through all of it, on random
tapes of every sort and, where they are on this machine, on slices of recordings. The fast part cuts each tape in a few
places; the slow part makes more than a thousand cuts for each operator, inside messages too.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module

import numpy as np
import pytest

from tapebook.market.checks import check_causality, check_chunks, check_restart, check_untouched, same_rows
from tapebook.market.errors import TickDataError
from tapebook.market.events import Events, Flag, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Operator, Registered, registered
from tests.conftest import DATA
from tests.tapes import TICK, random_anything, random_levels, random_orders

OPERATOR_PACKAGES = ("tapebook.book", "tapebook.features", "tapebook.bars", "tapebook.quality")

INSTRUMENT = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
RECORDINGS = (  # file, first event, events
    ("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst", 8_000, 2_500),
    ("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", 0, 2_000),
    ("binance/spot_btcusdt_20240808.gz", 1_000, 2_500),
    ("tardis/quotes.csv", 0, 1_500),
)
CUTS_SLOW = 1_000


@cache
def operators() -> dict[str, Registered]:
    for package in OPERATOR_PACKAGES:
        try:
            found = import_module(package)
        except ModuleNotFoundError:  # a floor that is not built yet
            continue
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            import_module(module.name)
    return dict(registered())


def with_trades(make: Callable[[int, int], Events], seed: int, n: int) -> Events:
    """A tape and prints of a second seed, mixed."""
    prints = random_levels(seed + 1, n // 4)
    prints = prints[prints["kind"] == Kind.TRADE]
    both = np.concatenate([make(seed, n - prints.size), prints])
    mixed: Events = both[np.argsort(both["ts_event_ns"], kind="stable")]
    return mixed


def quotes(seed: int, n: int) -> Events:
    """Two-sided quotes, each a message of two records, with a print now and then."""
    e = random_levels(seed, n)
    e["kind"] = np.where(e["kind"] == Kind.TRADE, Kind.TRADE, Kind.QUOTE)
    pair = np.arange(n) % 2
    e["side"] = np.where(e["kind"] == Kind.TRADE, e["side"], 1 - 2 * pair)
    e["flags"] = np.where((pair == 1) | (e["kind"] == Kind.TRADE), int(Flag.LAST), 0)
    return e


TAPES: dict[str, Callable[[int, int], Events]] = {
    "levels": random_levels,
    "quotes": quotes,
    "orders": lambda seed, n: with_trades(random_orders, seed, n),
    "anything": random_anything,
}


@cache
def slice_of(name: str, start: int, n: int) -> tuple[Events, Instrument, int] | None:
    """Part of a recording with its commonest instrument, None where no reader or file is there."""
    from tapebook.readers import open_tape

    if not (DATA / name).exists():
        return None
    try:
        tape = open_tape(DATA / name)
        blocks, have = [], 0
        for block in tape.blocks():
            blocks.append(block)
            have += block.size
            if have >= start + n:
                break
    except TickDataError:
        return None
    events: Events = np.concatenate(blocks)[start : start + n]
    ids, counts = np.unique(events["instrument_id"], return_counts=True)
    commonest = int(ids[counts.argmax()])
    return events, tape.instruments[commonest], commonest


def maker(entry: Registered, instrument: Instrument = INSTRUMENT, instrument_id: int = 1) -> Callable[[], Operator]:
    return lambda: entry.make(instrument, instrument_id)


def names() -> list[str]:
    return list(operators())


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_on_random_tapes(name: str, tape: str) -> None:
    make = maker(operators()[name])
    rng = np.random.default_rng(11)
    events, changed = TAPES[tape](1, 400), TAPES[tape](2, 100)
    check_untouched(make, events)
    check_chunks(make, events, rng.integers(0, 400, 12).tolist())
    check_chunks(make, events[:60], list(range(60)))  # event by event, as live
    for cut in rng.integers(0, 400, 3).tolist():
        check_restart(make, events, cut)
        check_causality(make, events, cut, changed)


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("name", names())
def test_events_of_other_instruments_are_passed_over(name: str, tape: str) -> None:
    make = maker(operators()[name])
    events = TAPES[tape](5, 300)
    events["instrument_id"] = np.random.default_rng(1).choice([1, 2], 300)
    alone = make().advance(events[events["instrument_id"] == 1])
    same_rows(make().advance(events), alone, "with and without another instrument")


@pytest.mark.parametrize("name", names())
def test_rows_have_the_columns_that_the_registry_promises(name: str) -> None:
    entry = operators()[name]
    empty = entry.make(INSTRUMENT, 1).advance(random_levels(1, 10)[:0])
    full = entry.make(INSTRUMENT, 1).advance(random_orders(3, 400))
    assert list(empty) == list(full) == [column.name for column in entry.columns]
    assert full["ts_ns"].dtype == np.int64
    for column in entry.columns:
        assert empty[column.name].dtype == full[column.name].dtype
        assert full[column.name].shape[0] == full["ts_ns"].size
        assert column.meaning


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize("recording_name", [name for name, _, _ in RECORDINGS])
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_on_recordings(name: str, recording_name: str) -> None:
    start, n = next((start, n) for file, start, n in RECORDINGS if file == recording_name)
    found = slice_of(recording_name, start, n)
    if found is None:
        pytest.skip(f"recording {recording_name} cannot be read on this machine")
    events, instrument, instrument_id = found
    make = maker(operators()[name], instrument, instrument_id)
    rng = np.random.default_rng(3)
    check_untouched(make, events)
    check_chunks(make, events, rng.integers(0, events.size, 40).tolist())
    for cut in rng.integers(0, events.size, 4).tolist():
        check_restart(make, events, cut)
        check_causality(make, events, cut, events[::-1][:200])


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_for_a_thousand_cuts(name: str) -> None:
    make = maker(operators()[name])
    rng = np.random.default_rng(17)
    cuts = 0
    for seed in range(1_000):
        tape = list(TAPES.values())[seed % len(TAPES)]
        n = int(rng.integers(20, 500))
        events = tape(seed, n)
        places = rng.integers(0, n + 1, 20).tolist()
        check_chunks(make, events, places)
        for cut in places[:3]:
            check_restart(make, events, cut)
        check_causality(make, events, places[3], tape(seed + 1, 50))
        cuts += len(places) + 4
        if cuts >= CUTS_SLOW:
            break
    assert cuts >= CUTS_SLOW
