from __future__ import annotations

import csv
import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.features.high_low_spreads import HighLowSpreads, edge_spread, high_low_spreads, make
from tapebook.market.checks import check_causality, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.operators import Operator
from tests.features.histories import PLAIN, UNIT, VECTORS, random_history, vector


def bars() -> NDArray[np.float64]:
    path = VECTORS / "inputs" / "ohlc_spread10bp.csv"
    if not path.exists():
        pytest.skip("reference vector ohlc_spread10bp.csv is not on this machine (set TAPEBOOK_VECTORS)")
    rows = list(csv.reader(path.read_text().splitlines()))[1:]
    return np.array(rows, float).T.copy()


@pytest.mark.uncompiled
def test_corwin_schultz_is_the_reference_vector() -> None:
    expected = vector("corwin_schultz__RiskLabAI")
    got = high_low_spreads(*bars(), gaps=False)
    first = [math.nan if x is None else x for x in expected["first20"]]
    assert np.allclose(got.pairs_corwin_schultz[:20], first, rtol=1e-9, atol=1e-15, equal_nan=True)
    assert got.corwin_schultz == pytest.approx(expected["mean"], rel=1e-9)


@pytest.mark.uncompiled
def test_edge_is_the_reference_vector() -> None:
    expected = vector("edge_spread__bidask")
    all_bars = bars()
    assert edge_spread(*all_bars) == pytest.approx(expected["full"], rel=1e-9)
    assert edge_spread(*all_bars, signed=True) == pytest.approx(expected["signed"], rel=1e-9)
    assert edge_spread(*all_bars[:, :100], signed=True) == pytest.approx(expected["first100_signed"], rel=1e-9)
    assert high_low_spreads(*all_bars).edge == edge_spread(*all_bars)


def test_edge_is_that_of_bidask_on_bars_that_hardly_trade_too() -> None:
    bidask = pytest.importorskip("bidask")
    rng = np.random.default_rng(1)
    for _ in range(50):
        steps = rng.integers(-1, 2, (40, int(rng.integers(1, 6)))) * (rng.random((40, 1)) < 0.6)
        path = 100 + 0.01 * np.cumsum(steps.ravel()).reshape(steps.shape)
        ohlc = path[:, 0], path.max(axis=1), path.min(axis=1), path[:, -1]
        expected = bidask.edge(*ohlc, sign=True)
        assert edge_spread(*ohlc, signed=True) == pytest.approx(expected, rel=1e-7, abs=1e-9, nan_ok=True)


@pytest.mark.uncompiled
def test_pairs_are_the_formulas_of_the_papers() -> None:
    o, h, low, c = bars()[:, :200]
    kept = high_low_spreads(o, h, low, c, gaps=False, below="keep")
    k = 3 - 2 * math.sqrt(2)
    for t in range(1, 200):
        beta = math.log(h[t - 1] / low[t - 1]) ** 2 + math.log(h[t] / low[t]) ** 2
        gamma = math.log(max(h[t - 1], h[t]) / min(low[t - 1], low[t])) ** 2
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
        assert kept.pairs_corwin_schultz[t] == pytest.approx(
            2 * (math.exp(alpha) - 1) / (1 + math.exp(alpha)), abs=1e-14
        )
        eta0, eta1 = (math.log(h[i] * low[i]) / 2 for i in (t - 1, t))
        expected = 4 * (math.log(c[t - 1]) - eta0) * (math.log(c[t - 1]) - eta1)
        assert kept.pairs_abdi_ranaldo[t] == pytest.approx(expected, abs=1e-15)
    squares = kept.pairs_abdi_ranaldo[1:]
    assert kept.abdi_ranaldo == pytest.approx(math.sqrt(max(squares.mean(), 0)))
    assert kept.abdi_ranaldo_mean == pytest.approx(np.sqrt(np.maximum(squares, 0)).mean())
    dropped = high_low_spreads(o, h, low, c, gaps=False, below="drop")
    positive = kept.pairs_corwin_schultz[kept.pairs_corwin_schultz >= 0]
    assert dropped.corwin_schultz == pytest.approx(positive.mean())


@pytest.mark.uncompiled
def test_a_gap_over_night_is_no_spread_and_no_variance() -> None:
    o, h, low, c = bars()[:, :50]
    jump = np.where(np.arange(50) >= 25, 1.2, 1.0)
    plain = high_low_spreads(o, h, low, c).pairs_corwin_schultz
    jumped = high_low_spreads(o * jump, h * jump, low * jump, c * jump).pairs_corwin_schultz
    assert np.allclose(np.delete(plain, [0, 25]), np.delete(jumped, [0, 25]), atol=1e-12)
    raw = high_low_spreads(o * jump, h * jump, low * jump, c * jump, gaps=False, below="keep").pairs_corwin_schultz
    assert raw[25] < -0.2 < 0.0 <= jumped[25]


@pytest.mark.uncompiled
def test_rows_are_the_function_on_the_last_bars() -> None:
    events, history = random_history(1, 900, holes=0)
    rows = make(PLAIN, 1, bar_s=5.0, window_bars=12).advance(events)
    groups = [[m.price for m in g] for _, g in itertools.groupby(history, lambda m: m.t_ns // (5 * UNIT))]
    ohlc = [(p[0], max(p), min(p), p[-1]) for g in groups[:-1] if (p := [x / UNIT for x in g if x is not None])]
    assert rows["ts_ns"].size == len(ohlc)
    assert np.isnan(rows["edge_bp"][:11]).all()
    for i in range(11, len(ohlc), 7):
        expected = high_low_spreads(*np.array(ohlc[i - 11 : i + 1]).T, gaps=False)
        assert rows["corwin_schultz_bp"][i] == pytest.approx(1e4 * expected.corwin_schultz, rel=1e-9)
        assert rows["abdi_ranaldo_bp"][i] == pytest.approx(1e4 * expected.abdi_ranaldo, rel=1e-9, abs=1e-6)
        assert rows["edge_bp"][i] == pytest.approx(1e4 * expected.edge, rel=1e-6, nan_ok=True)
        assert rows["pairs"][i] == 11


def test_the_laws_hold_with_bars_short_enough_to_matter() -> None:
    events, _ = random_history(2, 700, sessions=True, holes=0.1)
    rng = np.random.default_rng(1)

    def operator() -> Operator:
        return make(PLAIN, 1, bar_s=2.0, window_bars=9)

    check_chunks(operator, events, rng.integers(0, events.size, 30).tolist())
    check_restart(operator, events, 400)
    check_causality(operator, events, 400, events[::-1][:60])


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="no bars"):
        edge_spread([1.0, 0.0], [1, 1], [1, 1], [1, 1])
    with pytest.raises(ConfigurationError, match="no such choice"):
        high_low_spreads([1], [1], [1], [1], below="guess")
    with pytest.raises(ConfigurationError, match="window_bars"):
        HighLowSpreads(PLAIN, window_bars=2)
    assert math.isnan(edge_spread([1.0, 1.0], [1, 1], [1, 1], [1, 1]))
