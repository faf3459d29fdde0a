from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tapebook.market.errors import ConfigurationError
from tapebook.models.market_making import MarketMaker

MAKER = MarketMaker(volatility=0.3, intensity=0.9, decay=0.3, risk_aversion=0.01, tick=0.25)


def test_the_stationary_quotes_are_those_of_the_published_formula() -> None:
    q = MAKER.stationary(0.0, 0)
    g, k, a, s = 0.01, 0.3, 0.9, 0.3
    width = math.sqrt(s * s * g / (2 * k * a) * (1 + g / k) ** (1 + k / g))
    assert -q.bid == pytest.approx(math.log(1 + g / k) / g + width / 2, rel=1e-13)
    assert q.ask == pytest.approx(-q.bid, rel=1e-13)
    for n in range(-5, 6):
        q = MAKER.stationary(0.0, n)
        assert -q.bid == pytest.approx(math.log(1 + g / k) / g + (2 * n + 1) / 2 * width, rel=1e-12)
        assert q.ask == pytest.approx(math.log(1 + g / k) / g + (1 - 2 * n) / 2 * width, rel=1e-12)


def test_a_maker_who_minds_no_risk_quotes_one_decay_length_each_side() -> None:
    for aversion in (0.0, 1e-15, 1e-9):
        maker = replace(MAKER, risk_aversion=aversion)
        for q in (maker.finite(100.0, 3, 10.0), maker.stationary(100.0, 3)):
            assert q.ask - q.bid == pytest.approx(2 / 0.3, abs=1e-3)
    assert replace(MAKER, risk_aversion=1e-6).margin == pytest.approx(1 / 0.3, rel=1e-5)


def test_inventory_leans_both_quotes_against_itself_and_time_takes_the_lean_away() -> None:
    flat, long = MAKER.finite(100.0, 0, 60.0), MAKER.finite(100.0, 4, 60.0)
    assert long.bid < flat.bid
    assert long.ask < flat.ask
    assert long.reservation == pytest.approx(100.0 - 4 * 0.01 * 0.09 * 60)
    done = MAKER.finite(100.0, 4, -1.0)
    assert done.reservation == 100.0
    assert done.ask - done.bid == pytest.approx(2 * math.log(1 + 0.01 / 0.3) / 0.01)


def test_quotes_are_rounded_outward_and_stay_where_they_are_on_the_grid() -> None:
    q = MAKER.finite(100.1, 0, 0.0)
    assert q.bid_ticks is not None
    assert q.ask_ticks is not None
    assert q.bid_ticks * 0.25 <= q.bid < (q.bid_ticks + 1) * 0.25
    assert (q.ask_ticks - 1) * 0.25 < q.ask <= q.ask_ticks * 0.25
    on = replace(MAKER, risk_aversion=0.0, decay=10.0, tick=0.1).finite(100.2, 0, 0.0)  # 0.1 either side
    assert (on.bid_ticks, on.ask_ticks) == (1001, 1003)


def test_a_full_inventory_takes_one_side_out() -> None:
    full = MAKER.stationary(100.0, 10)
    assert full.bid_ticks is None
    assert math.isnan(full.bid)
    assert full.ask_ticks is not None
    short = MAKER.finite(100.0, -12, 5.0)
    assert short.ask_ticks is None
    assert short.bid_ticks is not None


def test_a_fee_is_put_on_top_and_a_rebate_comes_off() -> None:
    for fee in (0.1, -0.1):
        maker = replace(MAKER, fee=fee)
        q, plain = maker.finite(100.0, 0, 5.0), MAKER.finite(100.0, 0, 5.0)
        assert q.ask - plain.ask == pytest.approx(fee)
        assert (maker.width > MAKER.width) == (fee > 0)  # rarer fills: inventory is kept longer


def test_a_drift_leans_towards_where_the_mid_goes() -> None:
    up = replace(MAKER, drift=0.001)
    assert up.stationary(100.0, 0).reservation > 100.0
    assert up.finite(100.0, 0, 10.0).reservation == pytest.approx(100.01)
    with pytest.raises(ConfigurationError, match="drift"):
        replace(MAKER, drift=0.1, risk_aversion=0.0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="out of its range"):
        replace(MAKER, decay=0.0)
    with pytest.raises(ConfigurationError, match="out of its range"):
        replace(MAKER, inventory_max=0)
