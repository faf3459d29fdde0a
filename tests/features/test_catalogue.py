"""The fused catalogue beside its oracle on random histories, and its edges."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tapebook.features.catalogue import COLUMNS, Catalogue
from tapebook.features.touch import TouchFeed
from tapebook.market.checks import check_causality, check_chunks, check_restart, check_untouched
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Events, Flag, Kind, Phase, TradeCondition, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Rows
from tapebook.simulator import simulate
from tests.features.histories import random_history
from tests.oracles.catalogue import catalogue_rows
from tests.simulator.small import SMALL_ES
from tests.tapes import random_anything, random_levels, random_orders

TICK = 250_000_000
PLAIN = Instrument(symbol="X", venue="Y", tick_e9=TICK, multiplier=Decimal(50))
START = 1_710_252_000_000_000_000
DEFAULTS: dict[str, Any] = {
    name: value for name, value in (Catalogue.__init__.__kwdefaults__ or {}).items() if name != "hours"
}
QUICK: dict[str, Any] = {
    "velocity_half_life_s": 0.2,
    "hawkes_half_life_s": 0.3,
    "hawkes_baseline_half_life_s": 1.0,
    "bar_s": 0.25,
    "pause_bars_max": 12,
    "volatility_bars": 5,
    "amihud_bars": 4,
    "kyle_half_life_bars": 3.0,
    "fracdiff_threshold": 0.02,
    "rsi_length": 4,
    "macd_fast": 3,
    "macd_slow": 5,
    "macd_smooth": 3,
    "bollinger_length": 5,
}


def depth_history(seed: int, n: int, *, wild: float = 0.02) -> Events:
    """Messages of level sets around a wandering mid that keep the book mostly whole, prints, and now and then a fault.

    A share ``wild`` of the messages is a cleared book, a gap, a halt, an empty or crossed side, a pause or a new day.
    """
    rng = np.random.default_rng(seed)
    records: list[tuple[int, int, int, int, int, int, int]] = []  # t, kind, side, price, qty, flags, detail
    mid, t = 16_000, START
    sides: dict[int, dict[int, int]] = {1: {}, -1: {}}

    def message(*levels: tuple[int, int, int], flags: int = 0) -> None:
        for j, (side, x, qty) in enumerate(levels):
            last = int(Flag.LAST) if j == len(levels) - 1 else 0
            records.append((t, Kind.LEVEL, side, x * TICK, qty, last | flags, 0))
            sides[side].pop(x, None)
            if qty:
                sides[side][x] = qty

    while len(records) < n:
        t += int(
            rng.choice([0, 1, 1_000_000, 40_000_000, 130_000_000, 400_000_000], p=[0.2, 0.1, 0.3, 0.2, 0.15, 0.05])
        )
        if rng.random() < wild:
            fault = int(rng.integers(0, 7))
            if fault == 0:
                records.append((t, Kind.CLEAR, 0, MISSING, MISSING, Flag.LAST, 0))
                sides = {1: {}, -1: {}}
            elif fault in (1, 2):
                phase = Phase.HALT if fault == 1 else Phase.OPEN
                records.append((t, Kind.STATUS, 0, MISSING, MISSING, Flag.LAST, phase))
            elif fault == 3:
                message((1, mid - 20, 3), flags=int(Flag.GAP))
            elif fault == 4 and sides[1]:
                message(*[(1, x, 0) for x in list(sides[1])])
            elif fault == 5 and sides[-1]:
                message((1, min(sides[-1]) + int(rng.integers(0, 2)), 5))
            else:
                t += int(rng.choice([2_000_000_000, 5_000_000_000, 86_400_000_000_000]))
        if rng.random() < 0.3:
            side = int(rng.choice([1, -1, 0], p=[0.45, 0.45, 0.1]))
            detail = int(
                rng.choice([TradeCondition.REGULAR, TradeCondition.CROSS, TradeCondition.OFF_BOOK], p=[0.9, 0.05, 0.05])
            )
            price = mid + int(rng.integers(-1, 2))
            records.append((t, Kind.TRADE, side, price * TICK, int(rng.integers(1, 9)), Flag.LAST, detail))
            continue
        mid += int(rng.choice([-1, 0, 1], p=[0.15, 0.7, 0.15]))
        gone = [(1, x, 0) for x in sides[1] if x >= mid + 1] + [(-1, x, 0) for x in sides[-1] if x <= mid]
        side = int(rng.choice([1, -1]))
        x = mid - int(rng.integers(0, 7)) if side > 0 else mid + 1 + int(rng.integers(0, 7))
        message(*gone, (side, x, int(rng.integers(1, 30))), *([(1, mid, 7)] if not sides[1] else []))
    e = empty_events(n)
    e["instrument_id"] = 1
    for name, column in zip(
        ("ts_event_ns", "kind", "side", "price", "qty_lots", "flags", "detail"),
        zip(*records[:n], strict=True),
        strict=True,
    ):
        e[name] = column
    e["flags"][-1] |= Flag.LAST
    return e


def agree(events: Events, instrument: Instrument = PLAIN, *, big: float = 1.0, **options: Any) -> Rows:
    """Compare every row and column with the oracle; ``big`` scales what a rounding of flows may be."""
    mine = events[events["instrument_id"] == events["instrument_id"][0]]
    who = int(mine["instrument_id"][0]) if mine.size else 1
    got = Catalogue(instrument, who, **options).advance(events)
    timed = TouchFeed(instrument, who).time(events)
    p = DEFAULTS | options
    expected = catalogue_rows(timed.events, timed.clock_ns, timed.session, timed.trading, instrument, p)
    assert got["ts_ns"].tolist() == timed.ts_ns.tolist()
    assert list(got) == [c.name for c in COLUMNS]
    size = {  # what a difference is measured against, where it is not the value itself
        "price_velocity": 1e-5,
        "price_acceleration": 1e-4,
        "macd": 1e-9,
        "macd_signal": 1e-9,
        "kyle_lambda": 1e-9,
        "fracdiff_log_price": 1e-13,
        "bollinger_position": 1e-7,
        "imbalance": 1e-12,
        "weighted_imbalance": 1e-12,
        "book_pressure": 1e-12,
        "hawkes_self_excitation": 1e-12,
        "realised_volatility_bp": 1e-9,
    }
    for c in COLUMNS[1:]:
        want = np.array([row[c.name] for row in expected])
        have = got[c.name]
        undefined = np.isnan(want) != np.isnan(have)
        assert not undefined.any(), f"{c.name}: row {np.flatnonzero(undefined)[:5]}"
        least = 1e-9 * big if c.flow else size.get(c.name, 1e-300)
        assert have == pytest.approx(want, rel=1e-9, abs=least, nan_ok=True), c.name
    return got


@pytest.mark.parametrize("seed", range(4))
def test_every_column_is_what_its_definition_says(seed: int) -> None:
    rows = agree(depth_history(seed, 900), **QUICK)
    share = {name: float(np.isfinite(column.astype(np.float64)).mean()) for name, column in rows.items()}
    assert min(share.values()) > 0.05, share


@pytest.mark.uncompiled
@pytest.mark.parametrize("options", [{}, {"bar_trades": 1}], ids=["by time", "by trades"])
def test_uncompiled_kernels_say_the_same(options: dict[str, Any]) -> None:
    agree(depth_history(11, 260, wild=0.01), **(QUICK | options))


@pytest.mark.parametrize("trades", [1, 3])
def test_bars_of_trades_close_before_the_print_that_follows_them(trades: int) -> None:
    rows = agree(depth_history(5, 900, wild=0.01), **(QUICK | {"bar_trades": trades}))
    assert np.isfinite(rows["kyle_lambda"]).mean() > 0.1


def test_other_depths_and_forms() -> None:
    events = depth_history(6, 500)
    agree(events, levels=1, decay=1.0, **QUICK)
    agree(events, levels=3, decay=0.3, variant="circulating", **QUICK)
    agree(events, levels=7, variant="circulating", **QUICK)
    inverse = Instrument(symbol="X", venue="Y", tick_e9=TICK, multiplier=Decimal(100), inverse=True)
    agree(events, inverse, **QUICK)


@pytest.mark.parametrize("seed", range(3))
def test_wild_tapes_agree_too(seed: int) -> None:
    quick = QUICK | {"bar_s": 0.02, "velocity_half_life_s": 0.02, "hawkes_baseline_half_life_s": 0.05}
    agree(random_levels(seed, 700), **quick)
    agree(random_orders(seed, 700), **quick)
    agree(random_history(seed, 300, sessions=True)[0], **QUICK)


@pytest.mark.parametrize("seed", range(3))
def test_values_that_no_feed_should_send_break_nothing(seed: int) -> None:
    events = random_anything(seed, 900)
    sane = np.abs(events["qty_lots"]) < 1 << 50  # sums of larger ones depend on their order
    sane &= np.abs(events["price"].astype(np.float64)) < 1e14
    agree(events[sane], big=1e6, **(QUICK | {"bar_s": 0.1}))
    Catalogue(PLAIN, 1).advance(events)


@pytest.mark.slow
def test_a_simulated_session_agrees_with_the_oracle() -> None:
    tape = simulate(SMALL_ES, 3, duration_s=40.0)
    events = tape.events()[:3_000]
    agree(events, tape.instruments.only(), **(QUICK | {"bar_s": 0.05, "velocity_half_life_s": 0.5}))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("options", [{}, {"bar_trades": 2}], ids=["by time", "by trades"])
def test_the_laws_hold_once_the_memory_is_warm(seed: int, options: dict[str, Any]) -> None:
    def make() -> Catalogue:
        return Catalogue(PLAIN, 1, **(QUICK | options))

    events, changed = depth_history(seed, 800), depth_history(seed + 50, 100)
    rng = np.random.default_rng(seed)
    check_untouched(make, events)
    check_chunks(make, events, rng.integers(0, 800, 60).tolist())
    check_restart(make, events, int(rng.integers(0, 800)))
    check_causality(make, events, int(rng.integers(0, 800)), changed)


def test_blocks_larger_than_a_piece_are_cut_without_a_trace() -> None:
    events = depth_history(8, 9_500, wild=0.002)
    check_chunks(lambda: Catalogue(PLAIN, 1, **QUICK), events, [1, 4096, 4097, 8192, 9_000])


def steady(seconds: float, *, trades: bool = True, every_ns: int = 100_000_000) -> Events:
    """Five levels a side that stand from the start, then a change of size and a print in turn."""
    n = int(seconds * 1e9 / every_ns)
    e = empty_events(10 + n)
    e["instrument_id"], e["flags"] = 1, Flag.LAST
    e["kind"] = Kind.LEVEL
    e["ts_event_ns"] = START
    e["flags"][:9] = 0
    for i in range(5):
        for s, side in enumerate((1, -1)):
            e["side"][2 * i + s], e["qty_lots"][2 * i + s] = side, 10
            e["price"][2 * i + s] = (16_000 - i if side > 0 else 16_001 + i) * TICK
    rest = e[10:]
    k = np.arange(n)
    rest["ts_event_ns"] = START + every_ns * (k + 1)
    # Moves of one side's best size change nothing of the mid; a step of the ask by a tick does, and back.
    rest["side"], rest["price"] = -1, 16_001 * TICK
    rest["qty_lots"] = np.where(k % 4 == 0, 0, 10)
    if trades:
        odd = k % 4 == 1
        rest["kind"][odd], rest["side"][odd] = Kind.TRADE, np.where(k % 8 == 1, 1, -1)[odd]
        rest["qty_lots"][odd] = (3 + k % 5)[odd]
    return e


def test_the_warm_up_is_what_the_documentation_says() -> None:
    """Bars close at whole seconds; the first one after ``steady`` began is the first with a mid."""
    rows = Catalogue(PLAIN, 1).advance(steady(700.0))
    first = {name: int(np.flatnonzero(np.isfinite(column))[0]) for name, column in rows.items()}
    after_s = {name: (int(rows["ts_ns"][i]) - START) / 1e9 for name, i in first.items()}
    for name in ("mid", "micro_price", "weighted_mid", "imbalance", "weighted_imbalance", "book_pressure", "spread"):
        assert after_s[name] == 0
    for name in ("ofi_1", "ofi_2", "ofi_3", "ofi_5"):
        assert after_s[name] == pytest.approx(0.1)
    closes = {  # how many bars have to have closed
        "rsi_14": 15,
        "macd": 26,
        "macd_signal": 34,
        "bollinger_position": 20,
        "fracdiff_log_price": 282,
        "fracdiff_volume_lots": 282,
        "kyle_lambda": 301,
        "amihud": 301,
        "realised_volatility_bp": 301,
    }
    for name, n in closes.items():
        assert after_s[name] == n, name
    assert after_s["price_velocity"] == after_s["price_acceleration"] == pytest.approx(2.0)
    assert after_s["hawkes_buy_per_s"] == after_s["hawkes_ratio"] == pytest.approx(300.2, abs=0.11)
    for name, column in rows.items():  # and from then on nothing is undefined
        assert np.isfinite(column[first[name] :]).all(), name


def test_without_trades_only_what_needs_none_is_defined() -> None:
    rows = Catalogue(PLAIN, 1).advance(steady(700.0, trades=False))
    intensities = ("hawkes_buy_per_s", "hawkes_sell_per_s", "hawkes_ratio", "hawkes_self_excitation")
    needs = (*intensities, "kyle_lambda", "amihud", "fracdiff_volume_lots")
    for name, column in rows.items():
        assert np.isnan(column).all() if name in needs else np.isfinite(column[-1]), name


def test_quotes_alone_have_no_deep_flow() -> None:
    events, _ = random_history(2, 300, holes=0)
    rows = Catalogue(PLAIN, 1).advance(events)
    assert np.isfinite(rows["ofi_1"]).any()
    for name in ("ofi_2", "ofi_3", "ofi_5"):
        assert np.isnan(rows[name]).all()


def test_a_bad_touch_makes_columns_of_the_moment_undefined_and_bars_carry_the_last_mid() -> None:
    base = steady(40.0)
    bad = base.copy()
    bad["price"][50] = 16_000 * TICK  # the ask comes down onto the bid: locked, and stays
    bad["kind"][50], bad["side"][50], bad["qty_lots"][50] = Kind.LEVEL, -1, 5
    rows = Catalogue(PLAIN, 1, **QUICK).advance(bad)
    for name in (
        "mid",
        "micro_price",
        "weighted_mid",
        "imbalance",
        "book_pressure",
        "spread",
        "price_velocity",
        "ofi_1",
    ):
        assert np.isnan(rows[name][50:]).all(), name
    assert np.isfinite(rows["rsi_14"][60:]).all()
    assert rows["realised_volatility_bp"][-1] == 0.0  # the carried mid does not move


def test_an_empty_block_and_a_single_event_are_blocks_too() -> None:
    events = depth_history(3, 10)
    catalogue = Catalogue(PLAIN, 1)
    assert all(column.size == 0 for column in catalogue.advance(events[:0]).values())
    one = catalogue.advance(events[:1])
    assert all(column.size == 1 for column in one.values())
    assert np.isnan(one["mid"][0])


def test_a_damaged_stamp_closes_no_bars() -> None:
    events = steady(60.0)
    damaged = events.copy()
    damaged["ts_event_ns"][300] += 40 * 86_400 * 1_000_000_000
    damaged["ts_event_ns"][350] = MISSING
    a, b = (Catalogue(PLAIN, 1, **QUICK).advance(e) for e in (events, damaged))
    for name in ("rsi_14", "macd", "fracdiff_log_price", "kyle_lambda"):
        assert a[name][400:].tobytes() == b[name][400:].tobytes(), name


def test_a_long_pause_begins_the_bars_anew_and_a_short_one_carries_the_mid() -> None:
    events = steady(60.0)
    for pause_s, fresh in ((3.6, False), (3.7, True)):
        late = events.copy()
        late["ts_event_ns"][310:] += int(pause_s * 1e9)
        rows = Catalogue(PLAIN, 1, **(QUICK | {"pause_bars_max": 13})).advance(late)
        assert np.isnan(rows["rsi_14"][310]) == fresh


def test_sessions_and_hours_are_those_of_the_other_features() -> None:
    """Across a night, a weekend and a holiday of CME, in one block and in many."""
    instrument = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
    events = steady(400.0)
    events["ts_event_ns"] = 1_703_200_000_000_000_000 + np.arange(events.size) * 297_000_000_000
    timed = TouchFeed(instrument, 1).time(events)
    assert timed.trading.any()
    assert not timed.trading.all()
    for size in (1, 7, events.size):
        catalogue = Catalogue(instrument, 1, **QUICK)
        rows = [catalogue.advance(events[i : i + size])["mid"] for i in range(0, events.size, size)]
        # The first nine records are one message: nothing stands before the tenth.
        expected = timed.trading & (np.arange(events.size) >= 9)
        assert (np.isfinite(np.concatenate(rows)) == expected).all()


@pytest.mark.parametrize(
    "options",
    [
        {"levels": 0},
        {"decay": 0.0},
        {"decay": 1.1},
        {"variant": "other"},
        {"bar_s": 0.0},
        {"bar_trades": -1},
        {"volatility_bars": 0},
        {"macd_fast": 30},
        {"kyle_half_life_bars": 0.1},
        {"hawkes_self_children": 1.2},
        {"velocity_half_life_s": math.nan},
        {"bollinger_width": 0.0},
    ],
)
def test_parameters_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Catalogue(PLAIN, 1, **options)


def test_a_memory_of_other_parameters_is_refused() -> None:
    with pytest.raises(OperatorError, match="other parameters"):
        Catalogue(PLAIN, 1).restore(Catalogue(PLAIN, 1, volatility_bars=7).save())
