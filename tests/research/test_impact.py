from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.readers import open_tape
from tapebook.research.impact import (
    SignedTrades,
    of_runs,
    of_trades,
    through_bins,
    through_observations,
    trades_of,
)

Floats = NDArray[np.float64]
UNIT = 1_000_000_000


def planted(seed: int, n: int, exponent: float, noise: float, *, turn: float = 0.5) -> SignedTrades:
    """Orders whose mid moves by a power of their size, for good."""
    rng = np.random.default_rng(seed)
    side = 1 - 2 * (np.cumsum(rng.random(n) < turn) % 2)
    qty = np.ceil(10 * rng.pareto(1.7, n) + 1)
    moves = 0.002 * side * qty**exponent + noise * rng.standard_normal(n)
    mid = 100 + np.append(0.0, np.cumsum(moves)[:-1])
    ts = np.arange(n) * UNIT
    return SignedTrades(ts_ns=ts, side=side, qty_lots=qty, price=mid + 0.01 * side, mid=mid, reach=np.full(n, 0.01))


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.8])
def test_a_planted_exponent_of_single_orders_comes_back(exponent: float) -> None:
    found = of_trades(planted(1, 200_000, exponent, 0.01))
    for fit in (found.least_squares, found.logarithms):
        assert fit.exponent == pytest.approx(exponent, abs=max(4 * fit.exponent_se, 0.03))
    trades = planted(1, 200_000, exponent, 0.01)
    scale = trades.qty_lots.sum() ** exponent / trades.volatility()
    assert found.least_squares.prefactor == pytest.approx(0.002 * scale, rel=0.2)


def test_runs_add_what_their_orders_moved() -> None:
    # Linear impact: a run of any length moves the mid by its size.
    trades = planted(2, 100_000, 1.0, 0.001, turn=0.3)
    found = of_runs(trades)
    assert found.least_squares.exponent == pytest.approx(1.0, abs=0.02)
    assert found.what == "runs"
    assert sum(row["count"] for row in found.table()) > 10_000


def test_standard_errors_of_the_power_law_cover() -> None:
    rng = np.random.default_rng(3)
    x, e = np.geomspace(1, 1000, 12), np.full(12, 0.3)
    hits = np.zeros(4)
    for _ in range(400):
        points = 2.0 * x**0.5 + e * rng.standard_normal(12)
        fits = [through_bins(x, points, e)]
        size = np.ceil(rng.pareto(1.7, 2000) * 10 + 1)
        fits.append(through_observations(size, 2.0 * size**0.5 + size**0.5 * rng.standard_normal(2000)))
        for k, fit in enumerate(fits):
            hits[2 * k] += abs(fit.prefactor - 2) < 1.96 * fit.prefactor_se
            hits[2 * k + 1] += abs(fit.exponent - 0.5) < 1.96 * fit.exponent_se
    assert (hits / 400 > 0.90).all(), hits
    assert (hits / 400 < 0.985).all(), hits


def test_impact_has_no_unit() -> None:
    # Prices times 7 and lots times 3: the same law.
    a = planted(4, 50_000, 0.5, 0.01)
    b = SignedTrades(**(vars(a) | {"mid": 7 * a.mid, "price": 7 * a.price, "qty_lots": 3 * a.qty_lots}))
    one, two = of_trades(a).least_squares, of_trades(b).least_squares
    assert two.exponent == pytest.approx(one.exponent, rel=1e-6)
    assert two.prefactor == pytest.approx(one.prefactor, rel=1e-5)


def made_tape() -> Tape:
    """Quotes and prints: an order of two fills, a sell, a print without a side, a hidden one, one in a crossed book."""
    rows = [  # stamp, kind, price, qty, side, detail, flags
        (1, Kind.QUOTE, 100, 5, 1, 0, 0), (1, Kind.QUOTE, 102, 5, -1, 0, 1),
        (2, Kind.TRADE, 102, 5, 1, 0, 1), (2, Kind.TRADE, 103, 5, 1, 0, 1),
        (3, Kind.QUOTE, 101, 5, 1, 0, 0), (3, Kind.QUOTE, 103, 5, -1, 0, 1),
        (4, Kind.TRADE, 101, 2, -1, 0, 1), (5, Kind.TRADE, 102, 2, 0, 0, 1), (6, Kind.TRADE, 102, 2, 1, 1, 1),
        (7, Kind.QUOTE, 104, 5, 1, 0, 0), (7, Kind.QUOTE, 103, 5, -1, 0, 1), (8, Kind.TRADE, 104, 2, 1, 0, 1),
    ]  # fmt: skip
    e: Events = empty_events(len(rows))
    e["instrument_id"] = 1
    names = ("ts_event_ns", "kind", "price", "qty_lots", "side", "detail", "flags")
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        e[name] = np.array(column) * (UNIT if name == "price" else 1)
    assert int(Flag.LAST) == 1
    table = InstrumentTable({1: Instrument(symbol="X", venue="Y", tick_e9=UNIT, calendar="24-7")})
    return Tape(origin=Origin(name="made", format="test"), read=lambda _: iter([e]), instruments=table)


def test_fills_of_one_order_are_one_and_meet_the_quote_before_it() -> None:
    t = trades_of(made_tape())
    assert (t.ts_ns.tolist(), t.side.tolist(), t.qty_lots.tolist()) == ([2, 4], [1, -1], [10.0, 2.0])
    assert (t.price.tolist(), t.mid.tolist(), t.reach.tolist()) == ([102.5, 101.0], [101.0, 102.0], [2.0, 1.0])


def test_too_little_is_told() -> None:
    trades = planted(6, 50, 0.5, 0.01)
    with pytest.raises(DataQualityError, match="too little"):
        of_trades(trades)
    with pytest.raises(ConfigurationError, match="horizon"):
        of_trades(trades, ahead=50)
    with pytest.raises(DataQualityError, match="above zero"):
        through_bins(np.ones(5), -np.ones(5), np.ones(5))
    with pytest.raises(DataQualityError, match="do not rise"):
        through_observations(np.arange(1.0, 50.0), -np.ones(49))


@pytest.mark.recording
@pytest.mark.slow
def test_single_orders_of_a_stock_have_concave_impact(recording: Callable[[str], Path]) -> None:
    trades = trades_of(open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_1.zip")))
    found = of_trades(trades)  # the figures of docs/models.md
    assert found.least_squares.exponent == pytest.approx(-0.013, abs=0.002)  # sizes adapt to what stands at the touch
    runs = of_runs(trades)
    assert (runs.least_squares.exponent, runs.least_squares.prefactor) == pytest.approx((0.505, 1.15), abs=0.01)
    assert (runs.logarithms.exponent, runs.logarithms.prefactor) == pytest.approx((0.445, 0.762), abs=0.005)
