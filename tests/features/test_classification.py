from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tapebook.features.classification import RULES, bulk_volume, classify, make, rule_of, source_of
from tapebook.kernels.classification import normal_cdf, student_cdf
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Kind, SideSource, TradeCondition
from tapebook.market.operators import concat_rows
from tapebook.readers import open_tape
from tests.features.histories import PLAIN, random_history, vector, vector_rows
from tests.oracles import classification as oracle

SHORT = {"tick": "tick", "quote": "quote", "lee_ready": "lr", "emo": "emo", "clnv": "clnv"}


@pytest.mark.uncompiled
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("reverse", [False, True])
def test_the_reference_vector_is_met_to_the_last_print(rule: str, reverse: bool) -> None:
    if rule == "quote" and reverse:
        pytest.skip("the quote rule has no direction")
    expected = vector("trade_classification__tclf")[("rev_" if reverse else "") + SHORT[rule]]
    rows = np.array(vector_rows("trades_quotes.csv"))
    assert classify(rows[:, 1], rows[:, 3], rows[:, 4], rule=rule, reverse=reverse).tolist() == expected


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(6))
def test_rows_equal_the_definitions_on_random_tapes(seed: int) -> None:
    events, history = random_history(seed, 150, holes=0.2)
    got = make(PLAIN, 1).advance(events)
    trades = [m for m in history if m.price is not None]
    prices = [m.price for m in trades if m.price is not None]
    for rule in RULES:
        expected = [oracle.side(rule, prices, i, m.before[0], m.before[2]) for i, m in enumerate(trades)]
        assert got[f"{rule}_side"].tolist() == expected
    assert got["side"].tolist() == [m.side for m in trades]


@pytest.mark.uncompiled
def test_a_rule_beside_an_empty_side_says_what_it_can() -> None:
    assert classify([100, 101], [MISSING, MISSING], [101, 101], rule="quote").tolist() == [0, 0]
    assert classify([100, 101], [MISSING, MISSING], [102, 102], rule="lee_ready").tolist() == [0, 1]
    assert classify([100, 101], [MISSING, MISSING], [102, 102], rule="clnv").tolist() == [0, 1]
    assert classify([100, MISSING, 101], rule="tick").tolist() == [0, 0, 1]


@pytest.mark.uncompiled
@pytest.mark.parametrize("detail", [TradeCondition.CROSS, TradeCondition.OFF_BOOK])
def test_a_print_that_met_no_quote_has_no_side_and_moves_no_tick_test(detail: TradeCondition) -> None:
    events, _ = random_history(1, 60, holes=0)
    places = np.flatnonzero(events["kind"] == Kind.TRADE)
    block = events.copy()
    block["detail"][places[5]], block["price"][places[5]] = detail, 10**15
    rows, without = make(PLAIN, 1).advance(block), make(PLAIN, 1).advance(np.delete(events, places[5]))
    for rule in RULES:
        assert rows[f"{rule}_side"][5] == 0
        assert np.delete(rows[f"{rule}_side"], 5).tolist() == without[f"{rule}_side"].tolist()


@pytest.mark.uncompiled
def test_the_tick_test_knows_nothing_of_the_session_before() -> None:
    events, _ = random_history(2, 40, holes=0)
    trades = events[events["kind"] == Kind.TRADE][:4].copy()
    trades["price"] = [100, 101, 105, 105]
    trades["ts_event_ns"][2:] += 86_400 * 10**9
    assert make(PLAIN, 1).advance(trades)["tick_side"].tolist() == [0, 1, 0, 0]


def test_distributions_are_those_of_scipy() -> None:
    x = np.concatenate([-np.logspace(-6, 8, 60), [0.0], np.logspace(-6, 8, 60)])
    for df in (0.1, 0.25, 2.5, 30.0):
        got = [student_cdf(float(v), df) for v in x]
        assert np.allclose(got, stats.t.cdf(x, df), rtol=1e-12, atol=1e-14)
    assert np.allclose([student_cdf(float(v), 1.0) for v in x], 0.5 + np.arctan(x) / np.pi, rtol=1e-12, atol=1e-14)
    assert np.allclose([normal_cdf(float(v)) for v in x], stats.norm.cdf(x), rtol=1e-12, atol=1e-300)


def test_bulk_volume_is_the_distribution_of_the_scaled_change() -> None:
    rng = np.random.default_rng(4)
    close, volume = np.cumsum(rng.normal(size=300)), rng.integers(1, 900, 300)
    change = np.diff(close)
    bought, sold = bulk_volume(close, volume, df=0.25)
    assert np.allclose(bought[1:], volume[1:] * stats.t.cdf(change / change.std(ddof=1), 0.25), rtol=1e-10)
    assert np.allclose((bought + sold)[1:], volume[1:])
    bought, _ = bulk_volume(close, volume, half_life_bars=20)
    weights = 0.5 ** (np.arange(150)[::-1] / 20)  # of the changes before the last of 151
    sigma = np.sqrt((weights * change[:150] ** 2).sum() / weights.sum())
    assert bought[151] == pytest.approx(volume[151] * stats.norm.cdf(change[150] / sigma), rel=1e-10)
    assert np.isnan(bought[:2]).all()


def test_a_scale_that_is_online_does_not_know_the_bars_to_come() -> None:
    rng = np.random.default_rng(5)
    close, volume = np.cumsum(rng.normal(size=100)), np.full(100, 10)
    whole, _ = bulk_volume(close, volume, half_life_bars=9)
    part, _ = bulk_volume(close[:50], volume[:50], half_life_bars=9)
    assert np.array_equal(whole[:50], part, equal_nan=True)


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="integers"):
        classify([1.5, 2.5], rule="tick")
    with pytest.raises(ConfigurationError, match="no such side rule"):
        classify([1, 2], [1, 1], [2, 2], rule="guess")
    with pytest.raises(ConfigurationError, match="no quote"):
        classify([1, 2])
    with pytest.raises(ConfigurationError, match="length"):
        classify([1, 2], [1], [2])
    with pytest.raises(ConfigurationError, match="at least 0"):
        bulk_volume([1.0], [1.0], df=-1)
    with pytest.raises(ConfigurationError, match="bulk"):
        rule_of("guess", "bulk")
    assert (rule_of("venue"), source_of("venue"), source_of("bulk")) == (0, SideSource.VENUE, SideSource.BULK)


def test_random_prints_have_the_sides_that_tclf_gives_them() -> None:
    tclf = pytest.importorskip("tclf.classical_classifier")
    pd = pytest.importorskip("pandas")
    from tapebook.bench.classification import random_prints

    price, bid, ask = random_prints(20_000)
    frame = pd.DataFrame({"trade_price": price, "bid_ex": bid, "ask_ex": ask}).astype(float)
    lag = np.full(price.size, np.nan)
    last = np.nan
    for i in range(1, price.size):
        last = price[i - 1] if price[i - 1] != price[i] else last
        lag[i] = last
    frame["price_ex_lag"] = lag
    for rule, short in SHORT.items():
        peer = tclf.ClassicalClassifier([(short, "ex")], strategy="const").fit(frame).predict(frame)
        assert np.array_equal(classify(price, bid, ask, rule=rule), peer), rule


@pytest.mark.recording
@pytest.mark.slow
def test_lee_ready_on_the_quote_before_is_right_on_every_visible_execution(recording: Callable[[str], Path]) -> None:
    tape = open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"))
    operator = make(tape.instruments.only(), next(iter(tape.instruments)))
    rows = concat_rows([operator.advance(block) for block in tape.blocks()])
    visible = (rows["side"] != 0) & (rows["detail"] == TradeCondition.REGULAR)
    for rule in ("quote", "lee_ready", "emo", "clnv"):
        assert (rows[f"{rule}_side"] == rows["side"])[visible].mean() == 1.0
    # 0.877 by an independent computation on this day that knows nothing of hidden prints.
    price = np.round(rows["price"][visible] * 100).astype(np.int64)
    assert (classify(price, rule="tick") == rows["side"][visible]).mean() == pytest.approx(0.877, abs=0.002)
    assert (rows["tick_side"] == rows["side"])[visible].mean() == pytest.approx(0.896, abs=0.002)


def test_the_peer_module_is_optional() -> None:
    assert importlib.import_module("tapebook.bench.classification").run.__doc__
