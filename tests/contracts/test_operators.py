"""The laws of operators, on everything that is registered: chunk, restart, causality, input untouched.

Registering is enrolling: whatever a module below ``OPERATOR_PACKAGES`` registers is put through all of it. The fast
part cuts random tapes of every sort in a few places. The slow part makes, for each operator, more than a thousand
random cuts of random tapes, as many of simulated markets and as many of recordings, inside messages too; and it runs
the kernels compiled and as plain Python.
"""

from __future__ import annotations

import inspect
import os
import pickle
import pkgutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapebook.market.checks import check_causality, check_chunks, check_restart, check_untouched, same_rows
from tapebook.market.events import Events, Flag, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Operator, Registered, Rows, registered
from tapebook.market.tape import Tape
from tests.conftest import DATA, ROOT
from tests.tapes import TICK, random_anything, random_levels, random_orders

OPERATOR_PACKAGES = ("tapebook.book", "tapebook.features", "tapebook.bars", "tapebook.quality")

INSTRUMENT = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
RECORDINGS = (  # file, first event, events
    ("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst", 8_000, 12_000),  # orders; hours of a slow day
    ("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", 0, 3_000),  # orders and levels
    ("binance/spot_btcusdt_20240808.gz", 1_000, 3_000),  # levels and quotes
    ("topstepx/ES_ticks_20251104_212034.csv.gz", 0, 3_000),  # trades and quotes
    ("tardis/quotes.csv", 0, 3_000),
    ("tardis/trades.csv", 0, 9_000),  # two hours
)
MARKETS = (  # the same of simulated markets, around things that go wrong
    ("sim:es?duration_s=60&seed=5&episodes=sweep@6,flash_crash@8", 2_500, 4_000),
    ("sim:es-thin?duration_s=600&seed=6&episodes=liquidity_evaporation@60", 0, 9_000),
    ("sim:nq?duration_s=120&seed=7&episodes=quote_stuffing@3,iceberg@6", 0, 4_000),
    ("sim:btc?duration_s=120&seed=8&episodes=layering@6,wash_trades@8", 0, 4_000),
)
RANDOM_NS = 1_700_000_000_000_000_000  # when tests/tapes.py begins: within the daily break of CME
OPENS_NS = 1_700_002_800_000_000_000
"""When CME opens: random tapes begin a little before, so that there is a session to begin and a market that trades."""
QUICK: dict[str, Any] = {
    "bar_s": 0.02,
    "window_s": 0.2,
    "every_s": 0.05,
    "interval_s": 0.02,
    "warm_intervals": 3,
    "half_life_s": 0.5,
    "velocity_half_life_s": 0.1,
    "length": 3,
    "fast": 2,
    "slow": 3,
    "signal": 2,
    "window_bars": 3,
    "volatility_bars": 3,
    "amihud_bars": 3,
    "kyle_half_life_bars": 5.0,
    "half_life_bars": 5.0,
    "threshold": 0.05,
    "fracdiff_threshold": 0.05,
    "rsi_length": 3,
    "macd_fast": 2,
    "macd_slow": 3,
    "macd_smooth": 2,
    "bollinger_length": 3,
    "horizons_s": (0.01, 0.1),
    "horizon_s": 0.2,
    "settle_s": 0.01,
    "bucket_lots": 20,
    "n": 3,
    "window": 20,
    "half_life_trades": 20.0,
    "windows_ms": (1.0, 10.0),
}
"""Parameters by their names, wherever an operator has them: so short that even a second of tape warms it up."""
CUTS_SLOW = 1_000
CLOSE = 1e-12  # a compiled logarithm and numpy's may differ in their last bit


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


def across_the_open(make: Callable[[int, int], Events], seed: int, n: int) -> Events:
    """A random tape, moved to where a fifth of a second after its beginning the market opens."""
    e = make(seed, n)
    shift = OPENS_NS - 200_000_000 - RANDOM_NS
    for stamp in ("ts_event_ns", "ts_recv_ns"):
        near = np.abs(e[stamp] / 1e9 - RANDOM_NS / 1e9) < 3_600
        e[stamp][near] += shift
    return e


NEVER_WARM = frozenset({"hawkes"})
"""Operators whose warm-up is longer than a random tape and not a parameter: the longer tapes warm them."""
SORTS: dict[str, Callable[[int, int], Events]] = {
    "levels": random_levels,
    "quotes": quotes,
    "orders": lambda seed, n: with_trades(random_orders, seed, n),
    "anything": random_anything,
}
TAPES = {sort: partial(across_the_open, make) for sort, make in SORTS.items()}


@cache
def slice_of(name: str, start: int, n: int) -> tuple[Events, Instrument, int] | None:
    """Part of a recording or a simulated market with its commonest instrument, None where the file is not there."""
    from tapebook.report.sources import open_any

    simulated = name.startswith("sim:")
    if not simulated and not (DATA / name).exists():
        return None
    tape = open_any(name if simulated else str(DATA / name))
    assert isinstance(tape, Tape)
    blocks, have = [], 0
    for block in tape.blocks():
        blocks.append(block)
        have += block.size
        if have >= start + n:
            break
    events: Events = np.concatenate(blocks)[start : start + n]
    ids, counts = np.unique(events["instrument_id"], return_counts=True)
    commonest = int(ids[counts.argmax()])
    return events, tape.instruments[commonest], commonest


def maker(
    entry: Registered, instrument: Instrument = INSTRUMENT, instrument_id: int = 1, *, quick: bool = False
) -> Callable[[], Operator]:
    more = quick_parameters(entry) if quick else {}
    return lambda: entry.make(instrument, instrument_id, **more)


def quick_parameters(entry: Registered) -> dict[str, Any]:
    return {name: value for name, value in QUICK.items() if name in inspect.signature(entry.make).parameters}


def defined(rows: Rows) -> int:
    """How many values of the rows are defined, stamps apart."""
    columns = [column for name, column in rows.items() if name != "ts_ns"]
    return sum(int((~np.isnan(c)).sum()) if c.dtype.kind == "f" else c.size for c in columns)


def names() -> list[str]:
    return list(operators())


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_on_random_tapes(name: str, tape: str) -> None:
    make = maker(operators()[name], quick=True)
    rng = np.random.default_rng(11)
    events, changed = TAPES[tape](1, 400), TAPES[tape](2, 100)
    check_untouched(make, events)
    check_chunks(make, events, rng.integers(0, 400, 12).tolist())
    check_chunks(make, events[:60], list(range(60)))  # event by event, as live
    for cut in rng.integers(0, 400, 3).tolist():
        check_restart(make, events, cut)
        check_causality(make, events, cut, changed)


@pytest.mark.parametrize("name", sorted(set(names()) - NEVER_WARM))
def test_random_tapes_give_an_operator_something_to_tell(name: str) -> None:
    """Laws that hold among undefined values alone would say nothing."""
    make = maker(operators()[name], quick=True)
    assert sum(defined(make().advance(tape(1, 400))) for tape in TAPES.values())


@pytest.mark.parametrize("tape", TAPES)
@pytest.mark.parametrize("name", names())
def test_events_of_other_instruments_are_passed_over(name: str, tape: str) -> None:
    make = maker(operators()[name], quick=True)
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


def cut_at_random(make: Callable[[], Operator], events: Events, rng: np.random.Generator, cuts: int) -> int:
    """Put an operator through every law at so many random places of a tape: in many pieces, in few, in two."""
    few, restarts, changes = 5, 6, 3
    check_untouched(make, events)
    done = restarts + changes
    for cut in rng.integers(0, events.size + 1, restarts).tolist():
        check_restart(make, events, cut)
    for cut in rng.integers(0, events.size + 1, changes).tolist():
        check_causality(make, events, cut, events[::-1][:200])
    for n in (few, few, cuts - done - 2 * few):
        check_chunks(make, events, rng.integers(0, events.size + 1, n).tolist())
        done += n
    return done


def on_all(name: str, tapes: tuple[tuple[str, int, int], ...], seed: int) -> None:
    """Put an operator through the laws on stretches of all the tapes that are here, and once more with short memory."""
    found = {tape: part for tape, start, n in tapes if (part := slice_of(tape, start, n)) is not None}
    if not found:
        pytest.skip("no recording is on this machine (set TAPEBOOK_DATA to the folder of recordings)")
    entry = operators()[name]
    rng = np.random.default_rng(seed)
    cuts = -(-CUTS_SLOW // len(found))
    done, values = 0, 0
    for tape, part in found.items():
        try:
            done += cut_at_random(maker(entry, *part[1:]), part[0], rng, cuts)
            if quick_parameters(entry):
                cut_at_random(maker(entry, *part[1:], quick=True), part[0], rng, cuts // 2)
        except AssertionError as error:
            error.add_note(f"on {tape}")
            raise
        values += defined(maker(entry, *part[1:], quick=True)().advance(part[0]))
    assert done >= CUTS_SLOW
    assert values


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_for_a_thousand_cuts_of_recordings(name: str) -> None:
    on_all(name, RECORDINGS, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_for_a_thousand_cuts_of_simulated_markets(name: str) -> None:
    on_all(name, MARKETS, 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_the_laws_hold_for_a_thousand_cuts_of_random_tapes(name: str) -> None:
    make = maker(operators()[name], quick=True)
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


def short_tapes() -> dict[str, tuple[Events, Instrument, int]]:
    """Tapes of all sorts that are short enough for plain Python."""
    tapes = {sort: (tape(23, 400), INSTRUMENT, 1) for sort, tape in TAPES.items()}
    for where, start, _ in (*MARKETS, *RECORDINGS):
        part = slice_of(where, start, 600)
        if part is not None:
            tapes[where] = part
    return tapes


def rows_of_all(tapes: dict[str, tuple[Events, Instrument, int]]) -> dict[str, Rows]:
    """What every operator makes of these tapes."""
    made = {}
    for name, entry in operators().items():
        for tape, (events, instrument, instrument_id) in tapes.items():
            with warnings.catch_warnings():
                if tape == "anything":  # prices and sizes that no feed sends wrap around; all else has to be silent
                    warnings.simplefilter("ignore", RuntimeWarning)
                made[f"{name} {tape}"] = maker(entry, instrument, instrument_id, quick=True)().advance(events)
    return made


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs both ways to run kernels")
def test_compiled_and_uncompiled_agree(tmp_path: Path) -> None:
    tapes, held = tmp_path / "tapes", tmp_path / "rows"
    tapes.write_bytes(pickle.dumps(short_tapes()))
    program = (
        "import pathlib, pickle, sys\n"
        "from tests.contracts.test_operators import rows_of_all\n"
        "tapes, held = map(pathlib.Path, sys.argv[1:])\n"
        "held.write_bytes(pickle.dumps(rows_of_all(pickle.loads(tapes.read_bytes()))))\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tapes), str(held)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True)
    plain: dict[str, Rows] = pickle.loads(held.read_bytes())
    for what, rows in rows_of_all(pickle.loads(tapes.read_bytes())).items():
        assert list(plain[what]) == list(rows)
        for name, column in rows.items():
            other = plain[what][name]
            assert (other.dtype, other.shape) == (column.dtype, column.shape), f"{what}: {name}"
            close = CLOSE if column.dtype.kind == "f" else 0
            np.testing.assert_allclose(other, column, rtol=close, atol=close, err_msg=f"{what}: {name}")
