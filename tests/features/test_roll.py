from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.roll import Roll, make, roll_spreads
from tapebook.market.checks import check_causality, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Operator
from tests.features.histories import PLAIN, UNIT, random_history


@pytest.mark.uncompiled
def test_the_window_is_the_covariance_of_its_pairs() -> None:
    rng = np.random.default_rng(1)
    price = 10_000 + np.cumsum(rng.integers(-3, 4, 400)) + rng.choice([0, 5], 400)
    got = roll_spreads(price, window=50)
    d = np.diff(price)
    for i in range(51, 400):  # the price at i ends the change i - 1
        x, y = d[i - 50 : i], d[i - 51 : i - 1]
        c = np.mean(x * y) - x.mean() * y.mean()
        assert got.cov[i] == pytest.approx(c, rel=1e-12, abs=1e-12)
    assert np.isnan(got.cov[:51]).all()
    assert np.array_equal(np.isnan(got.roll[51:]), got.cov[51:] >= 0)
    assert np.allclose(got.roll[51:], 2 * np.sqrt(-np.where(got.cov < 0, got.cov, np.nan))[51:], equal_nan=True)


@pytest.mark.uncompiled
def test_weights_that_forget_make_a_weighted_covariance() -> None:
    rng = np.random.default_rng(2)
    price = 10_000 + rng.choice([0, 5], 300) + np.cumsum(rng.integers(-1, 2, 300))
    got = roll_spreads(price, half_life_trades=60)
    d = np.diff(price)
    w = 0.5 ** (np.arange(298)[::-1] / 60)
    x, y = d[1:], d[:-1]
    c = np.average(x * y, weights=w) - np.average(x, weights=w) * np.average(y, weights=w)
    assert got.ew_cov[-1] == pytest.approx(c, rel=1e-10)
    assert np.isnan(got.ew_cov[:101]).all()
    assert np.isfinite(got.ew_cov[101:]).all()


def test_a_known_spread_is_found_again() -> None:
    rng = np.random.default_rng(3)
    mid = np.cumsum(rng.normal(scale=2.0, size=200_000))
    price = np.round(1e6 + mid + 10 * rng.choice([-1, 1], mid.size)).astype(np.int64)
    assert roll_spreads(price, window=150_000).roll[-1] == pytest.approx(20.0, rel=0.02)


@pytest.mark.uncompiled
def test_a_trend_has_no_spread_and_it_is_no_zero() -> None:
    got = roll_spreads(np.cumsum(np.repeat([1, 3, 1, 3, 5, 7], 40)), window=60)
    assert (got.cov[-20:] >= 0).all()
    assert np.isnan(got.roll[-20:]).all()


@pytest.mark.uncompiled
def test_the_operator_on_a_tape_is_the_function_on_its_prices() -> None:
    events, _ = random_history(4, 600, holes=0)
    trades = events[events["kind"] == Kind.TRADE]
    rows = make(PLAIN, 1, window=30, half_life_trades=20).advance(events)
    batch = roll_spreads(trades["price"] // UNIT, window=30, half_life_trades=20)
    assert np.array_equal(rows["roll_spread"], batch.roll, equal_nan=True)
    assert np.array_equal(rows["roll_ew_cov"], batch.ew_cov, equal_nan=True)


@pytest.mark.uncompiled
def test_no_change_reaches_over_a_night() -> None:
    events, _ = random_history(5, 300, holes=0)
    trades = events[events["kind"] == Kind.TRADE][:60].copy()
    trades["price"][30:] += 500 * UNIT
    trades["ts_event_ns"][30:] += 86_400 * UNIT
    rows = make(PLAIN, 1, window=40).advance(trades)
    assert np.nanmax(np.abs(rows["roll_cov"])) < 20


def test_the_laws_hold_off_the_grid_too() -> None:
    events, _ = random_history(6, 500, sessions=True, holes=0.1)
    events["price"][events["kind"] == Kind.TRADE] += 333_333_333
    odd = Instrument(symbol="X", venue="Y", tick_e9=700_000_000)
    rng = np.random.default_rng(1)

    def operator() -> Operator:
        return make(odd, 1, window=7, half_life_trades=9)

    check_chunks(operator, events, rng.integers(0, events.size, 30).tolist())
    check_restart(operator, events, 321)
    check_causality(operator, events, 321, events[::-1][:60])


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="window"):
        Roll(PLAIN, window=1)
    with pytest.raises(ConfigurationError, match="integer"):
        roll_spreads([1.5, 2.5])
    with pytest.raises(ConfigurationError, match="other window"):
        Roll(PLAIN, 5).restore(Roll(PLAIN, 6).save())
