from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tapebook.features import technical
from tapebook.features.bar_clock import BarClock
from tapebook.features.touch import FoldOperator, TouchFeed, view_of
from tapebook.kernels import technical as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Flag, Kind, TradeCondition
from tapebook.market.operators import registered
from tests.features.histories import PLAIN, UNIT, VECTORS, random_history, vector
from tests.oracles import technical as oracle

uncompiled = pytest.mark.uncompiled
NAN = math.nan


def walk(n: int, seed: int = 1, start: float = 5000.0) -> NDArray[np.float64]:
    return start + np.cumsum(np.random.default_rng(seed).choice([-0.25, 0.0, 0.25], n))


def column(name: str) -> NDArray[np.float64]:
    path = VECTORS / "inputs" / "ohlcv.csv"
    if not path.exists():
        pytest.skip("reference inputs are not on this machine (set TAPEBOOK_VECTORS)")
    lines = path.read_text().splitlines()
    at = lines[0].split(",").index(name)
    return np.array([float(line.split(",")[at]) for line in lines[1:]])


def same_where_told(got: NDArray[np.float64], told: list[float | None], tolerance: float) -> None:
    expected = np.array([NAN if x is None else x for x in told])
    defined = np.isfinite(expected)
    assert defined.sum() > 900
    np.testing.assert_allclose(got[defined], expected[defined], rtol=0, atol=tolerance)


@uncompiled
def test_all_of_ta_libs_reference_values() -> None:
    told = vector("ta__TA-Lib")
    close = column("close")
    bands, lines = technical.bollinger(close), technical.macd(close)
    same_where_told(technical.rsi(close), told["rsi14"], 1e-9)
    same_where_told(lines.macd, told["macd"], 1e-9)
    same_where_told(lines.signal, told["macd_signal"], 1e-9)
    same_where_told(lines.histogram, told["macd_hist"], 1e-9)
    same_where_told(bands.mid, told["bb_mid"], 1e-9)
    same_where_told(bands.upper, told["bb_up"], 1e-6)
    same_where_told(bands.lower, told["bb_lo"], 1e-6)
    same_where_told((bands.upper - bands.mid) / 2, told["stddev20"], 1e-6)
    same_where_told(technical.ema(close), told["ema20"], 1e-9)
    same_where_told(technical.atr(column("high"), column("low"), close), told["atr14"], 1e-9)


@uncompiled
def test_first_defined_places_are_ta_libs() -> None:
    close = walk(60)
    first = {
        "rsi": (technical.rsi(close), 14),
        "macd": (technical.macd(close).macd, 25),
        "signal": (technical.macd(close).signal, 33),
        "bands": (technical.bollinger(close).upper, 19),
        "ema": (technical.ema(close), 19),
        "atr": (technical.atr(close, close, close), 14),
    }
    for name, (values, place) in first.items():
        assert np.flatnonzero(np.isfinite(values))[0] == place, name


@uncompiled
def test_rsi_where_nothing_moved_is_undefined_and_no_zero() -> None:
    assert vector("ta__TA-Lib")["rsi_flat"][-1] == 0.0  # theirs
    assert np.isnan(technical.rsi(np.full(40, 100.0))).all()
    assert technical.rsi([*[100.0] * 20, 101.0])[-1] == 100.0
    assert technical.rsi([*[100.0] * 20, 99.0])[-1] == 0.0


@uncompiled
def test_averages_and_deviations_are_rivers() -> None:
    told = vector("online_stats__river")
    x = column("close")[:200]
    out = np.empty(199)
    kernel.ema_run(x[1:].copy(), 19, np.array([19.0, x[0]]), out)  # begun with the first value, weight 2 / 20
    np.testing.assert_allclose(out, told["EWMean_0_1"][1:], rtol=0, atol=1e-9)
    for n in range(2, 200):
        bands = technical.bollinger(x[:n], length=n, width=1.0)
        assert bands.mid[-1] == pytest.approx(told["Mean"][n - 1], abs=1e-9)
        variance = told["Var_ddof1"][n - 1] * (n - 1) / n
        assert (bands.upper - bands.mid)[-1] ** 2 == pytest.approx(variance, abs=1e-9)


@uncompiled
@pytest.mark.parametrize("length", [1, 2, 5, 14])
def test_values_equal_the_definitions_on_a_random_walk(length: int) -> None:
    x = walk(150, seed=length)
    np.testing.assert_allclose(technical.rsi(x, length), oracle.rsi(x.tolist(), length), atol=1e-9)
    np.testing.assert_allclose(technical.ema(x, length), oracle.ema(x.tolist(), length, length - 1), atol=1e-9)
    lines = technical.macd(x, length, length + 3, 4)
    macd, signal = oracle.macd(x.tolist(), length, length + 3, 4)
    np.testing.assert_allclose(lines.macd, macd, atol=1e-9)
    np.testing.assert_allclose(lines.signal, signal, atol=1e-9)
    if length > 1:
        bands = technical.bollinger(x, length, 1.5)
        mean, sd = (np.array(c) for c in zip(*oracle.moments(x.tolist(), length), strict=True))
        np.testing.assert_allclose(bands.mid, mean, atol=1e-9)
        np.testing.assert_allclose(bands.upper, mean + 1.5 * sd, atol=1e-9)
        moved = sd > 0
        position = (x - (mean - 1.5 * sd))[moved] / (3 * sd[moved])
        np.testing.assert_allclose(bands.position[moved], position, atol=1e-9)
        assert np.isnan(bands.position[~moved]).all()


@uncompiled
def test_one_price_at_a_time_gives_the_bits_of_the_whole_array() -> None:
    x = walk(200, seed=4)
    x[[50, 120]] = NAN, np.inf
    x[130:160] = x[130]
    states = {n: np.zeros(n) for n in (kernel.RSI_N, kernel.MACD_N, kernel.BOLLINGER_N, kernel.EMA_N)}
    rsi, macd, bollinger, ema = (np.zeros(s.size) for s in states.values())
    ring = np.zeros(10)
    rows = [
        (
            kernel.rsi_step(p, 7, rsi),
            *kernel.macd_step(p, 3, 8, 4, macd),
            kernel.bollinger_step(p, 10, 2.0, ring, bollinger),
            kernel.ema_step(p, 6, ema),
        )
        for p in x.tolist()
    ]
    lines = technical.macd(x, 3, 8, 4)
    whole = [technical.rsi(x, 7), lines.macd, lines.signal, technical.bollinger(x, 10).position, technical.ema(x, 6)]
    atr = np.zeros(kernel.ATR_N)
    bars = zip((x + 1.0).tolist(), (x - 1.0).tolist(), x.tolist(), strict=True)
    atr_steps = np.array([kernel.atr_step(*bar, 5, atr) for bar in bars])
    whole.append(technical.atr(x + 1.0, x - 1.0, x, 5))
    for steps, run in zip([*np.array(rows).T, atr_steps], whole, strict=True):
        np.testing.assert_array_equal(steps, run)
        assert np.isfinite(run).sum() > 80


@uncompiled
def test_a_price_that_is_no_number_starts_afresh() -> None:
    x = walk(60, seed=2)
    broken = np.concatenate([x, [NAN], x])
    for function in (technical.rsi, technical.ema, lambda p: technical.macd(p).signal):
        alone = function(x)
        np.testing.assert_array_equal(function(broken)[61:], alone)
    np.testing.assert_array_equal(technical.bollinger(broken).position[61:], technical.bollinger(x).position)
    assert np.isnan(technical.atr(broken, broken, broken)[60:75]).all()


@pytest.mark.parametrize("level", [0.0, 5_000.0, 1e6])
def test_bands_of_a_million_prices_do_not_drift(level: float) -> None:
    ticks = np.cumsum(np.random.default_rng(9).integers(-1, 2, 1_000_000))
    x = level + 0.25 * ticks
    n = 20
    sums = [np.cumsum(np.concatenate([[0], ticks**k])) for k in (1, 2)]  # integers: exact
    s1, s2 = (s[n:] - s[:-n] for s in sums)
    sd = np.sqrt((n * s2 - s1 * s1).astype(np.float64)) / n * 0.25
    bands = technical.bollinger(x, n, 1.0)
    assert np.abs((bands.upper - bands.mid)[n - 1 :] - sd).max() < 1e-9 * max(1.0, level / 1e4)
    position = bands.position[n - 1 :]
    assert np.isnan(position[sd == 0]).all()
    moved = sd > 0
    exact = 0.5 + (ticks[n - 1 :] * n - s1)[moved] * 0.25 / n / (2 * sd[moved])
    np.testing.assert_allclose(position[moved], exact, atol=1e-12)


@uncompiled
def test_a_leap_leaves_no_rounding_behind_in_the_bands() -> None:
    x = np.concatenate([np.full(5, 1e9), 5.0 + 1e-4 * np.array([0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1])])
    bands = technical.bollinger(x, length=8, width=1.0)
    mean, sd = oracle.moments(x.tolist(), 8)[-1]
    assert (bands.upper - bands.mid)[-1] == pytest.approx(sd, rel=1e-6)
    assert bands.mid[-1] == pytest.approx(mean, rel=1e-12)


@uncompiled
def test_equal_prices_after_a_move_have_no_deviation_at_all() -> None:
    x = np.array([0.1, 0.7, 0.3] + [0.2] * 6)
    bands = technical.bollinger(x, length=4)
    assert np.isnan(bands.position[-3:]).all()
    assert bands.bandwidth[-1] == 0.0
    assert np.isfinite(bands.position[3:6]).all()


def test_ta_lib_itself_agrees_on_a_random_walk() -> None:
    talib = pytest.importorskip("talib")
    x = walk(100_000, seed=3)
    high, low = x + 0.5, x - 0.25
    ours = technical.macd(x)
    bands = technical.bollinger(x)
    upper, mid, lower = talib.BBANDS(x, 20)
    macd, signal, histogram = talib.MACD(x)
    pairs: list[tuple[Any, Any, float]] = [
        (technical.rsi(x), talib.RSI(x, 14), 1e-9),
        (ours.macd, macd, 1e-9),
        (ours.signal, signal, 1e-9),
        (ours.histogram, histogram, 1e-9),
        (bands.mid, mid, 1e-9),
        (bands.upper, upper, 1e-6),
        (bands.lower, lower, 1e-6),
        (technical.ema(x), talib.EMA(x, 20), 1e-9),
        (technical.atr(high, low, x), talib.ATR(high, low, x, 14), 1e-9),
    ]
    for got, theirs, tolerance in pairs:
        defined = np.isfinite(theirs)
        assert np.abs(got[defined] - theirs[defined]).max() < tolerance


@uncompiled
@pytest.mark.parametrize("seed", range(6))
def test_bars_are_what_was_known_at_the_end_of_each_interval(seed: int) -> None:
    events, history = random_history(seed, 120, sessions=True, holes=0.2)
    got = BarClock(bar_s=1.0).read(TouchFeed(PLAIN, 1).see(events))
    expected = oracle.time_bars(history, UNIT)
    assert len(expected) > 10
    rows = zip(got.ts_ns, got.close * UNIT, got.high * UNIT, got.low * UNIT, got.volume, got.age, strict=True)
    np.testing.assert_array_equal(np.array([list(r) for r in rows]), np.array(expected, np.float64))


@uncompiled
def test_a_long_pause_begins_bars_afresh_and_a_short_one_carries_the_mid() -> None:
    view = view_of([(100, 1, 102, 1), (102, 1, 104, 1), (104, 1, 106, 1)], every_ns=10 * UNIT)
    carried = BarClock(bar_s=1.0).read(view)
    assert carried.age.tolist() == list(range(20))
    assert (carried.close * UNIT).round().tolist() == [101] * 10 + [103] * 10
    assert BarClock(bar_s=1.0, pause_bars=9).read(view).age.tolist() == list(range(20))
    assert BarClock(bar_s=1.0, pause_bars=8).read(view).age.size == 0


@uncompiled
def test_a_bar_of_trades_closes_with_the_print_after_its_last() -> None:
    events, history = random_history(2, 120, holes=0.0)
    bars = BarClock(bar_trades=5).read(TouchFeed(PLAIN, 1).see(events))
    first = next(i for i, m in enumerate(history) if m.after[0] is not None)
    prints = [m for m in history[first:] if m.price is not None]
    closing = prints[5::5]
    assert bars.ts_ns.tolist() == [m.t_ns for m in closing]
    assert bars.trades.tolist() == [5.0] * len(closing)
    assert bars.volume.tolist() == [float(sum(m.qty for m in prints[i : i + 5])) for i in range(0, 5 * len(closing), 5)]
    mids = [(m.before[0] or 0) + (m.before[2] or 0) for m in closing]
    assert (bars.close * 2).tolist() == [x / UNIT for x in mids]


@uncompiled
def test_crosses_and_off_book_prints_are_in_no_bar() -> None:
    events, _ = random_history(4, 100, holes=0.0)
    plain = BarClock().read(TouchFeed(PLAIN, 1).see(events))
    trades = np.flatnonzero(events["kind"] == Kind.TRADE)
    events["detail"][trades[::2]] = TradeCondition.CROSS
    events["detail"][trades[1::2]] = TradeCondition.OFF_BOOK
    without = BarClock().read(TouchFeed(PLAIN, 1).see(events))
    assert np.isfinite(plain.volume).any()
    assert np.isnan(without.volume).all()
    np.testing.assert_array_equal(plain.close, without.close)


@uncompiled
@pytest.mark.parametrize("name", ["rsi", "macd", "bollinger", "ema", "atr"])
def test_operators_say_of_bars_what_the_functions_say_of_arrays(name: str) -> None:
    events, _ = random_history(8, 260, sessions=True, holes=0.1)
    lengths = {
        "rsi": {"length": 3}, "macd": {"fast": 2, "slow": 4, "signal": 3}, "bollinger": {"length": 4},
        "ema": {"length": 3}, "atr": {"length": 3},
    }[name]  # fmt: skip
    rows = registered()[name].make(PLAIN, 1, **lengths).advance(events)
    bars = BarClock().read(TouchFeed(PLAIN, 1).see(events))
    np.testing.assert_array_equal(rows["ts_ns"], bars.ts_ns)
    spells = 0
    for spell, fresh in bars.spells():
        assert fresh
        spells += 1
        arrays = [bars.high[spell], bars.low[spell], bars.close[spell]] if name == "atr" else [bars.close[spell]]
        found = getattr(technical, name)(*arrays, **lengths)
        columns = found if isinstance(found, tuple) else (found,)
        for key, values in zip(list(rows)[1:], columns, strict=True):
            np.testing.assert_array_equal(rows[key][spell], values)
    assert spells > 1


@uncompiled
def test_a_break_of_the_thread_begins_afresh() -> None:
    events, _ = random_history(3, 200, holes=0.0)
    quotes = events[events["kind"] == Kind.QUOTE]
    whole = technical.Rsi(length=2)
    cut = technical.Rsi(length=2)
    broken = quotes.copy()
    middle = quotes.size // 2 - (quotes.size // 2) % 2
    broken["flags"][middle] |= int(Flag.GAP)
    rows = FoldOperator(PLAIN, 1, whole).advance(quotes)["rsi"]
    others = FoldOperator(PLAIN, 1, cut).advance(broken)["rsi"]
    assert np.isfinite(rows[5:]).all()
    assert np.isnan(others[5:]).sum() >= 2


@uncompiled
def test_parameters_out_of_range_are_told() -> None:
    for bad in (
        lambda: technical.Rsi(length=0),
        lambda: technical.Macd(fast=26, slow=12),
        lambda: technical.Macd(signal=0),
        lambda: technical.Bollinger(length=1),
        lambda: technical.Bollinger(width=0.0),
        lambda: technical.Ema(length=0),
        lambda: technical.Atr(length=0),
        lambda: technical.rsi(np.ones((2, 2))),
        lambda: technical.atr([1.0], [1.0, 2.0], [1.0]),
        lambda: BarClock(bar_s=0.0),
        lambda: BarClock(bar_s=NAN),
        lambda: BarClock(bar_trades=-1),
    ):
        with pytest.raises(ConfigurationError):
            bad()


@uncompiled
def test_a_memory_saved_with_other_parameters_is_refused() -> None:
    state = technical.Bollinger(length=5).save()
    with pytest.raises(ConfigurationError, match="other parameters"):
        technical.Bollinger(length=6).restore(state)
