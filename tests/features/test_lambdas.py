from __future__ import annotations

import itertools
import math
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from tapebook.features.lambdas import Amihud, HasbrouckLambda, KyleLambda, lot_value, make_amihud, make_kyle
from tapebook.features.touch import FoldOperator
from tapebook.kernels import lambdas as kernel
from tapebook.market.checks import check_causality, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles.touches import Moment, mid, two_sided

BAR = 5 * UNIT


def bars_of(history: list[Moment]) -> list[list[Moment]]:
    """Moments in the same cell of the clock and session, without the last bar, which is still open."""
    groups = [list(g) for _, g in itertools.groupby(history, lambda m: (m.t_ns // BAR, m.session))]
    return groups[:-1]


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(3))
def test_bars_and_slope_are_those_of_the_definition(seed: int) -> None:
    events, history = random_history(seed, 400, sessions=True, holes=0.1)
    rows = FoldOperator(PLAIN, 1, KyleLambda(PLAIN, 5.0, 0.0)).advance(events)
    flow, change = [], []
    for bar in bars_of(history):
        flow.append(sum(m.side * m.qty for m in bar if m.price is not None))
        whole = two_sided(bar[0].before) and two_sided(bar[-1].after)
        change.append(float(mid(bar[-1].after) - mid(bar[0].before)) / UNIT if whole else math.nan)
    assert rows["flow_lots"].tolist() == flow
    assert np.allclose(rows["mid_change"], change, rtol=1e-12, equal_nan=True)
    good = np.isfinite(change)
    fit = stats.linregress(np.array(flow)[good], np.array(change)[good])
    assert rows["kyle_lambda"][-1] == pytest.approx(fit.slope, rel=1e-9)
    assert rows["kyle_se"][-1] == pytest.approx(fit.stderr, rel=1e-9)
    assert rows["r2"][-1] == pytest.approx(fit.rvalue**2, rel=1e-9)
    assert rows["n_eff"][-1] == pytest.approx(good.sum())


@pytest.mark.uncompiled
def test_a_fit_that_forgets_is_weighted_least_squares() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(5, 2, 300), rng.normal(size=300)
    y += 0.3 * x
    y[7] = np.nan
    decay = 0.5 ** (1 / 40)
    out = np.empty((300, kernel.FIT_N))
    kernel.regress(x, y, decay, np.zeros(kernel.REG_N), out)
    good = np.isfinite(y)
    w = (decay ** np.arange(299)[::-1]) ** 0.5
    design = np.column_stack([np.ones(299), x[good]]) * w[:, None]
    slope = np.linalg.lstsq(design, y[good] * w, rcond=None)[0][1]
    assert out[-1, kernel.SLOPE] == pytest.approx(slope, rel=1e-10)
    assert np.isnan(out[:9, kernel.SLOPE]).all()
    assert out[-1, kernel.N_EFF] == pytest.approx((w**2).sum() ** 2 / (w**4).sum())


@pytest.mark.uncompiled
def test_a_flow_that_does_not_vary_has_no_lambda() -> None:
    out = np.empty((50, kernel.FIT_N))
    kernel.regress(np.full(50, 3.0), np.arange(50.0), 0.99, np.zeros(kernel.REG_N), out)
    assert np.isnan(out[:, kernel.SLOPE]).all()
    assert np.isnan(out[:, kernel.R2]).all()


def test_the_standard_error_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        x = rng.normal(size=200)
        out = np.empty((200, kernel.FIT_N))
        kernel.regress(x, 0.5 * x + rng.normal(size=200), 1.0, np.zeros(kernel.REG_N), out)
        inside += abs(out[-1, kernel.SLOPE] - 0.5) < 1.972 * out[-1, kernel.SE]
    assert 0.92 < inside / 400 < 0.98


@pytest.mark.uncompiled
def test_hasbrouck_takes_the_root_of_each_print() -> None:
    events, history = random_history(4, 300, holes=0)
    es = Instrument(symbol="X", venue="Y", tick_e9=UNIT, multiplier=Decimal(50))
    rows = FoldOperator(es, 1, HasbrouckLambda(es, 5.0, 0.0)).advance(events)
    expected = [
        sum(m.side * math.sqrt(50 * m.qty * m.price / UNIT) for m in bar if m.price is not None)
        for bar in bars_of(history)
    ]
    assert np.allclose(rows["signed_root"], expected, rtol=1e-12)
    moves = [1e4 * math.log(mid(bar[-1].after) / mid(bar[0].before)) for bar in bars_of(history)[1:]]
    good = np.isfinite(rows["return_bp"][1:])
    assert good.mean() > 0.9
    assert np.allclose(rows["return_bp"][1:][good], np.array(moves)[good], rtol=1e-9, atol=1e-9)


@pytest.mark.uncompiled
def test_amihud_is_the_mean_move_for_a_million_of_notional() -> None:
    events, history = random_history(5, 400, sessions=True)
    es = Instrument(symbol="X", venue="Y", tick_e9=UNIT, multiplier=Decimal(50))
    rows = FoldOperator(es, 1, Amihud(es, 5.0, 0.0)).advance(events)
    expected, last = [], (0, -1)
    for bar in bars_of(history):
        trades = [m for m in bar if m.price is not None]
        if trades:
            prices = [m.price for m in trades if m.price is not None]
            before = last[0] if last[1] == bar[0].session else prices[0]
            notional = sum(50 * m.qty * (m.price or 0) / UNIT for m in trades)
            expected.append(1e6 * abs(math.log(prices[-1] / before)) / notional)
            last = (prices[-1], bar[0].session)
    assert np.allclose(rows["amihud_bar"], expected, rtol=1e-9)
    assert np.allclose(rows["amihud"], np.cumsum(expected) / np.arange(1, len(expected) + 1), rtol=1e-9)


@pytest.mark.uncompiled
def test_events_before_the_first_stamp_are_in_no_bar() -> None:
    events, _ = random_history(3, 200)
    late = events.copy()
    late["ts_event_ns"][:60] = MISSING
    alone, rows = (make_amihud(PLAIN, 1, bar_s=5.0).advance(e) for e in (events[60:], late))
    assert rows["notional"].tolist() == alone["notional"].tolist()


@pytest.mark.uncompiled
def test_an_inverse_contract_is_worth_its_multiplier_at_any_price() -> None:
    coin = Instrument(symbol="BTCUSD_PERP", venue="BINANCE-COINM", multiplier=Decimal(100), inverse=True)
    assert lot_value(coin) == -100.0
    events, _ = random_history(6, 100)
    rows = make_amihud(coin, 1, bar_s=5.0).advance(events)
    assert set(rows["notional"] % 100) == {0.0}


def test_the_laws_hold_with_bars_short_enough_to_matter() -> None:
    events, _ = random_history(7, 500, sessions=True, holes=0.1)
    rng = np.random.default_rng(1)
    for side in ("venue", "lee_ready"):
        for fold in (KyleLambda, HasbrouckLambda):

            def operator(fold: type[KyleLambda | HasbrouckLambda] = fold, side: str = side) -> FoldOperator:
                return FoldOperator(PLAIN, 1, fold(PLAIN, 2.0, 20.0, side))

            assert np.isfinite(operator().advance(events)["r2"]).sum() > 20
            check_chunks(operator, events, rng.integers(0, events.size, 30).tolist())
            check_restart(operator, events, 333)
            check_causality(operator, events, 333, events[::-1][:80])
    check_chunks(lambda: make_amihud(PLAIN, 1, bar_s=2.0), events, rng.integers(0, events.size, 30).tolist())


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="bar_s"):
        make_kyle(PLAIN, 1, bar_s=0.0)
    with pytest.raises(ConfigurationError, match="half-life"):
        make_kyle(PLAIN, 1, half_life_bars=-1.0)
    with pytest.raises(ConfigurationError, match="side rule"):
        make_kyle(PLAIN, 1, side="bulk")
