"""Every feature on the bad input that real feeds bring: it raises nothing, makes nothing up, and gets over it.

Whatever a module of the floor registers is put through all of it. The tables below say what a feature may tell although
the market did not: everything else has to be NaN.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapebook.features
from tapebook.market.events import MISSING, Events, Flag, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Registered, Rows, registered
from tests.features.bad_days import DAY, DIALECTS, START_NS, STRETCHES, TICK, Market, stub_quotes

INSTRUMENT = Instrument(symbol="X", venue="Y", tick_e9=TICK)
MOMENTS = 2_500
LEAK = 4e9  # MISSING as a price, or half of it in a mid, is larger; nothing that is told here is

# Short enough to be defined within the day.
SHORT: dict[str, dict[str, Any]] = {
    "vpin": {"bucket_lots": 20, "n": 10},
    "high_low_spread": {"bar_s": 5.0, "window_bars": 20},
    "amihud": {"bar_s": 5.0},
    "realised_volatility": {"window_s": 60.0},
    "fracdiff": {"threshold": 1e-2},
}
ALL = frozenset({"*"})
UNTOLD = {"resilience": frozenset({"depth_half_s", "spread_recovery_s"})}
"""What may be NaN on a good day: what did not come back within the horizon."""

PRINTS_ALONE = dict.fromkeys(
    (
        "amihud",
        "cumulative_delta",
        "hawkes",
        "high_low_spread",
        "roll_spread",
        "sign_memory",
        "trade_imbalance",
        "volume_profile",
        "vpin",
    ),
    ALL,
)
"""Features of prints: they need no book."""

NO_TWO_SIDES: dict[str, frozenset[str]] = PRINTS_ALONE | {
    "book_shape": frozenset({"imbalance_levels", "imbalance_faded", "log_queue_ratio", "top_share"}),  # of sizes
    "catalogue": frozenset({"hawkes_buy_per_s", "hawkes_sell_per_s", "hawkes_ratio", "hawkes_self_excitation"}),
    "effective_spread": frozenset({"price"}),  # of the print
    "flow_rates": ALL,
    "hasbrouck_lambda": frozenset({"signed_root", "n_eff"}),  # the flow; how much was learnt: nothing
    "imbalance": ALL,  # 1 or -1 by definition, and one_sided says so
    "kyle_lambda": frozenset({"n_eff"}),
    "ofi_integrated": frozenset({"ofi_depth_lots"}),
    "trade_side": frozenset({"price"}),
    "windows": frozenset(
        f"{what}_{window}"
        for what in ("vwap", "imbalance_mean", "bought_lots", "sold_lots", "trades_per_s", "quotes_per_s")
        for window in ("1ms", "10ms", "100ms", "1s")
    ),
}
"""What may be told while the touch never is two-sided and uncrossed."""

ONE_SIDE = NO_TWO_SIDES | dict.fromkeys(
    ("ofi", "ofi_decomposed", "ofi_generalised", "ofi_integrated", "ofi_levels", "ofi_log"), ALL
)
ONE_SIDE["catalogue"] |= {f"ofi_{n}" for n in (1, 2, 3, 5)}
"""The same where one side is empty throughout: an empty side is infinitely far away, and the other one still flows."""

NO_PRINTS: dict[str, frozenset[str]] = {
    "hasbrouck_lambda": frozenset({"signed_root", "return_bp", "n_eff"}),  # no flow, and what moved without it
    "kyle_lambda": frozenset({"mid_change", "n_eff"}),
    "windows": frozenset(
        f"{what}_{window}"
        for what in ("spread_mean", "imbalance_mean", "quotes_per_s")
        for window in ("1ms", "10ms", "100ms", "1s")
    ),
}
"""What features that need prints may tell without one."""

OF_TIME: dict[str, frozenset[str]] = {
    **dict.fromkeys(("atr", "bollinger", "ema", "fracdiff", "macd", "rsi", "realised_volatility"), ALL),
    **dict.fromkeys(("amihud", "hasbrouck_lambda", "high_low_spread", "kyle_lambda"), ALL),
    **dict.fromkeys(("flow_rates", "hawkes", "markout", "next_move", "realised_spread", "resilience"), ALL),
    **dict.fromkeys(("trade_imbalance", "velocity", "windows", "ofi_integrated", "volume_profile"), ALL),
    "catalogue": frozenset({"realised_volatility_bp", "price_velocity", "price_acceleration", "rsi_14", "macd"}),
    "ofi_log": frozenset({"ofi_slog"}),
    "quoted_spread": frozenset({"quoted_spread_mean"}),
    "vpin": frozenset({"span_s"}),
}
"""What needs time, and must not be told where no event has a stamp."""


@cache
def operators() -> dict[str, Registered]:
    for module in pkgutil.walk_packages(tapebook.features.__path__, "tapebook.features."):
        import_module(module.name)
    return {name: entry for name, entry in registered().items() if entry.home.startswith("tapebook.features")}


EVERY = pytest.mark.parametrize("name", list(operators()))


@pytest.fixture(scope="module")
def rows_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Rows]:
    """Return a function that runs a feature, with parameters short enough for a short day."""
    table: Path = tmp_path_factory.mktemp("fitted") / "stoikov.json"
    table.write_text(json.dumps({"edges": [0.5], "g_ticks": [[-0.25, 0.25]], "tick_e9": TICK}), encoding="utf-8")

    def run(name: str, events: Events, instrument: Instrument = INSTRUMENT) -> Rows:
        parameters = SHORT.get(name, {})
        if name == "stoikov" and instrument.tick_e9 == TICK:
            parameters = {"table": str(table)}
        rows = operators()[name].make(instrument, 1, **parameters).advance(events)
        for column, values in floats(rows):
            assert not np.isinf(values).any(), f"{name}: {column} is infinite"
            assert (np.abs(values[np.isfinite(values)]) < LEAK).all(), f"{name}: {column} tells a missing value"
        return rows

    return run


def floats(rows: Rows) -> Iterator[tuple[str, Any]]:
    for column, values in rows.items():
        if values.dtype.kind == "f":
            yield column, values


def told(rows: Rows) -> set[str]:
    return {column for column, values in floats(rows) if np.isfinite(values).any()}


def assert_told(name: str, rows: Rows, allowed: dict[str, frozenset[str]], where: str) -> None:
    may = allowed.get(name, frozenset())
    more = set() if may == ALL else told(rows) - may
    assert not more, f"{name} tells {sorted(more)} {where}"


@cache
def day(dialect: str, stretch: Callable[[Market], None] | None = None, moments: int = MOMENTS) -> Events:
    """A day with a bad stretch in the middle of it."""
    market = Market(dialect)
    market.moments(moments)
    if stretch is not None:
        stretch(market)
    market.moments(moments)
    return market.events()


def last_tenth(rows: Rows) -> Rows:
    n = rows["ts_ns"].size
    return {column: values[n - max(n // 10, 1) :] for column, values in rows.items()} if n else rows


@EVERY
@pytest.mark.parametrize("stretch", STRETCHES, ids=lambda stretch: stretch.__name__)
def test_a_bad_stretch_is_over_when_it_is_over(
    name: str, stretch: Callable[[Market], None], rows_of: Callable[..., Rows]
) -> None:
    for dialect in DIALECTS:
        good, bad = (last_tenth(rows_of(name, day(dialect, s))) for s in (None, stretch))
        assert bool(bad["ts_ns"].size) == bool(good["ts_ns"].size), f"{name} {dialect}: no more rows"
        for column, values in floats(good):
            if not values.size or column in UNTOLD.get(name, ()):
                continue
            share, share_bad = np.isfinite(values).mean(), np.isfinite(bad[column]).mean()
            where = f"{name} {dialect}: {column}"
            # What is told throughout must be so again; what is told now and then (a filled sweep) about as often.
            assert share_bad >= (1.0 if share == 1.0 else share - 0.2), (
                f"{where} is told in {share_bad:.2f} of the rows"
            )
            if share_bad and share and stretch is not stub_quotes:
                size = np.nanmax(np.abs(values)), np.nanmax(np.abs(bad[column]))
                assert size[1] <= 20 * size[0] + 1e-9, f"{where} is of another size: {size}"


@EVERY
@pytest.mark.uncompiled
def test_a_few_messages_around_a_bad_stretch_raise_nothing(name: str, rows_of: Callable[..., Rows]) -> None:
    for dialect in DIALECTS:
        for stretch in STRETCHES:
            if not stretch.__name__.startswith("day_"):
                rows_of(name, day(dialect, stretch, 10))


@EVERY
@pytest.mark.uncompiled
def test_nothing_and_a_single_event_make_at_most_a_row(name: str, rows_of: Callable[..., Rows]) -> None:
    events = day("orders", None, 10)
    assert rows_of(name, events[:0])["ts_ns"].size == 0
    for dialect in DIALECTS:
        events = day(dialect, None, 10)
        for at in [0, *(int(np.flatnonzero(events["kind"] == kind)[0]) for kind in np.unique(events["kind"]))]:
            rows = rows_of(name, events[at : at + 1])
            assert rows["ts_ns"].size <= 1


@EVERY
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_market_did_not_tell_is_not_made_up(name: str, dialect: str, rows_of: Callable[..., Rows]) -> None:
    events = day(dialect)
    prints = events["kind"] == Kind.TRADE
    assert_told(name, rows_of(name, events[prints]), NO_TWO_SIDES, "of prints alone")
    for side in (1, -1):
        alone = events[prints | (events["side"] == side)].copy()
        alone["flags"] |= int(Flag.LAST)
        assert_told(name, rows_of(name, alone), ONE_SIDE, f"of side {side} alone")
    for shift in (40, 1):
        crossed = events.copy()
        crossed["price"][~prints & (events["side"] == 1)] += shift * TICK
        if shift == 40:
            assert_told(name, rows_of(name, crossed), NO_TWO_SIDES, "of a crossed book")
        else:
            rows_of(name, crossed)  # locked most of the time
    zero = events.copy()
    zero["qty_lots"][prints] = 0
    for without in (events[~prints], zero):
        rows = rows_of(name, without)
        if "trades" in operators()[name].needs | operators()[name].also_needs and name != "resilience":
            assert_told(name, rows, NO_PRINTS, "without prints")
        assert not {c for c in told(rows) if "trade" in c and name == "flow_rates"}


@EVERY
@pytest.mark.parametrize("dialect", DIALECTS)
def test_without_stamps_nothing_of_time_is_told_and_late_stamps_are_enough(
    name: str, dialect: str, rows_of: Callable[..., Rows]
) -> None:
    events = day(dialect)
    timeless = events.copy()
    timeless["ts_event_ns"] = timeless["ts_recv_ns"] = MISSING
    of_time = OF_TIME.get(name, frozenset())
    known = told(rows_of(name, timeless))
    assert not (known if of_time == ALL else known & of_time)
    half = events.size // 2
    timeless[half:] = events[half:]
    good, late = last_tenth(rows_of(name, events)), last_tenth(rows_of(name, timeless))
    for column, values in floats(good):
        if np.isfinite(values).all() and column not in UNTOLD.get(name, ()):
            assert np.isfinite(late[column]).all(), f"{name} {dialect}: {column}"


@EVERY
def test_an_instrument_hardly_known_is_enough(name: str, rows_of: Callable[..., Rows]) -> None:
    for instrument in (
        Instrument(symbol="X", venue="Y"),  # no tick
        Instrument(symbol="X", venue="Y", tick_e9=TICK, multiplier=Decimal(100), inverse=True),
        Instrument(symbol="X", venue="Y", tick_e9=TICK, calendar="CME"),
    ):
        for dialect in DIALECTS:
            rows_of(name, day(dialect), instrument)
            saturday = day(dialect).copy()
            saturday["ts_event_ns"] += 3 * DAY - START_NS % DAY
            rows_of(name, saturday, instrument)
