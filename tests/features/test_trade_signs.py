from __future__ import annotations

import math

import numpy as np
import pytest

from tapebook.features.trade_signs import LAGS, SignMemory, TradeImbalance, make_imbalance, make_memory
from tapebook.market.checks import check_causality, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Kind, SideSource
from tapebook.market.operators import Operator
from tests.features.histories import PLAIN, UNIT, random_history


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(4))
def test_the_imbalance_is_that_of_the_prints_in_the_window(seed: int) -> None:
    events, history = random_history(seed, 300, sessions=True)
    rows = make_imbalance(PLAIN, 1, window_s=3.0).advance(events)
    trades = [m for m in history if m.price is not None]
    assert rows["ts_ns"].size == len(trades)
    for i, m in enumerate(trades):
        window = [o for o in trades[: i + 1] if m.t_ns - o.t_ns < 3 * UNIT and o.session == m.session]
        known = [o for o in window if o.side]
        lots = sum(o.qty for o in known)
        assert (rows["volume_lots"][i], rows["trades"][i]) == (lots, len(known))
        assert rows["unknown_lots"][i] == sum(o.qty for o in window if not o.side)
        for name, size in (("volume", lambda q: q), ("count", lambda _: 1), ("root", math.sqrt)):
            got = rows[f"imbalance_{name}"][i]
            if known:
                expected = sum(o.side * size(o.qty) for o in known) / sum(size(o.qty) for o in known)
                assert got == pytest.approx(expected, abs=2e-6)
            else:
                assert math.isnan(got)


@pytest.mark.uncompiled
def test_autocorrelations_are_weighted_means_of_products() -> None:
    events, history = random_history(1, 900)
    rows = make_memory(PLAIN, 1, half_life_trades=80).advance(events)
    signs = np.array([m.side for m in history if m.price is not None and m.side])
    assert rows["ts_ns"].size == signs.size
    weights = 0.5 ** (np.arange(signs.size)[::-1] / 80)
    mean = np.average(signs, weights=weights)
    assert rows["sign_mean"][-1] == pytest.approx(mean, rel=1e-9)
    for lag in LAGS:
        products = np.average(signs[lag:] * signs[:-lag], weights=weights[lag:])
        assert rows[f"sign_ac_{lag}"][-1] == pytest.approx((products - mean**2) / (1 - mean**2), rel=1e-9)
        assert np.isnan(rows[f"sign_ac_{lag}"][: lag + 99]).all()
        assert np.isfinite(rows[f"sign_ac_{lag}"][lag + 99])


@pytest.mark.uncompiled
def test_a_pair_does_not_reach_over_a_night() -> None:
    events, _ = random_history(2, 600)
    trades = events[events["kind"] == Kind.TRADE].copy()
    trades["side"] = np.where(np.arange(trades.size) < 100, 1, -1)
    trades["ts_event_ns"][100:] += 86_400 * UNIT
    rows = make_memory(PLAIN, 1, half_life_trades=1e9).advance(trades)
    n = trades.size
    mean = (100 - (n - 100)) / n
    assert rows["sign_ac_50"][-1] == pytest.approx((1 - mean**2) / (1 - mean**2))  # every pair is of one sign


def test_sides_come_from_the_rule_that_was_named() -> None:
    events, _ = random_history(3, 300, holes=0)
    blind = events.copy()
    blind["side"][events["kind"] == Kind.TRADE] = 0
    assert np.isnan(make_imbalance(PLAIN, 1).advance(blind)["imbalance_volume"]).all()
    rows = make_imbalance(PLAIN, 1, side="lee_ready").advance(blind)
    assert np.isfinite(rows["imbalance_volume"]).mean() > 0.9
    assert set(rows["side_source"].tolist()) == {SideSource.LEE_READY}


def test_the_laws_hold_for_other_windows_and_rules() -> None:
    events, _ = random_history(4, 700, sessions=True, holes=0.1)
    rng = np.random.default_rng(1)
    for side in ("venue", "lee_ready", "tick"):

        def imbalance(side: str = side) -> Operator:
            return make_imbalance(PLAIN, 1, window_s=50.0, side=side)

        def memory(side: str = side) -> Operator:
            return make_memory(PLAIN, 1, half_life_trades=40.0, side=side)

        for operator in (imbalance, memory):
            check_chunks(operator, events, rng.integers(0, events.size, 30).tolist())
            check_restart(operator, events, 400)
            check_causality(operator, events, 400, events[::-1][:60])


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="window_s"):
        TradeImbalance(window_s=0)
    with pytest.raises(ConfigurationError, match="half_life_trades"):
        SignMemory(half_life_trades=0)
