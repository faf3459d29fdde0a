from __future__ import annotations

import math

import numpy as np
import pytest

from tapebook.features.bar_clock import BarClock
from tapebook.features.touch import TouchFeed, view_of
from tapebook.features.velocity import Velocity
from tapebook.features.velocity import make as make_velocity
from tapebook.features.volatility import (
    RealisedVolatility,
    bipower_variance,
    make,
    measures,
    realised_variance,
    trading_seconds,
)
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Flag, Kind
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles import volatility as oracle
from tests.oracles.touches import mid, two_sided

uncompiled = pytest.mark.uncompiled


@uncompiled
@pytest.mark.parametrize("n", [3, 4, 10, 77])
def test_measures_equal_their_definitions(n: int) -> None:
    r = np.random.default_rng(n).normal(0, 1e-3, n)
    np.testing.assert_allclose(measures(r), oracle.measures(r.tolist()), rtol=1e-12)
    assert realised_variance(r) == pytest.approx(measures(r).realised)
    assert bipower_variance(r) == measures(r).bipower


@uncompiled
def test_what_did_not_move_has_no_share_of_jumps() -> None:
    still = measures(np.zeros(10))
    assert still[:4] == (0.0, 0.0, 0.0, 0.0)
    assert math.isnan(still.jump_share)
    assert math.isnan(still.jump_z)
    alone = measures([0.0, 0.0, 1.0, 0.0, 0.0])
    assert alone.jump_share == 1.0
    assert math.isnan(alone.jump_z)


def test_all_measures_are_unbiased_and_z_is_standard_normal_without_jumps() -> None:
    rng = np.random.default_rng(11)
    found = np.array([measures(rng.normal(0, 0.01, 390)) for _ in range(3000)])
    iv = 390 * 1e-4
    # Standard errors of these means are below 0.2 % of the variance, and 0.02 of z.
    np.testing.assert_allclose(found[:, :4].mean(axis=0), iv, rtol=0.01)
    assert abs(found[:, 5].mean()) < 0.1
    assert abs(found[:, 5].std() - 1.0) < 0.06
    assert 0.035 < (found[:, 5] > 1.645).mean() < 0.075


def test_a_jump_is_seen_and_hardly_enters_the_robust_measures() -> None:
    rng = np.random.default_rng(12)
    seen, robust = 0, []
    for _ in range(200):
        r = rng.normal(0, 0.01, 390)
        r[rng.integers(0, 390)] += 0.1  # a fifth of the variance
        m = measures(r)
        seen += m.jump_z > 2.326
        robust.append((m.bipower, m.min_rv, m.med_rv, m.jump_share))
    bipower, least, median, share = np.mean(robust, axis=0)
    assert seen >= 150  # of 200, at 1 %
    assert 0.12 < share < 0.01 / (0.01 + 0.039)  # its neighbours lift the bipower variance
    assert bipower / 0.039 < 1.07
    assert least / 0.039 < 1.03
    assert median / 0.039 < 1.03


@uncompiled
def test_rows_are_the_measures_of_the_returns_in_the_window() -> None:
    events, _ = random_history(5, 260, sessions=True, holes=0.1)
    rows = make(PLAIN, 1, window_s=5.0).advance(events)
    bars = BarClock().read(TouchFeed(PLAIN, 1).see(events))
    checked = 0
    for spell, _fresh in bars.spells():
        r = np.diff(np.log(bars.close[spell]))
        for i in range(bars.close[spell].size):
            row = {name: column[spell][i] for name, column in rows.items()}
            if i < 5:
                assert math.isnan(row["realised_volatility_bp"])
                continue
            window = r[i - 5 : i]
            expected = measures(window) if window.any() else measures(np.zeros(5))
            per_s = [1e4 * math.sqrt(v / 5.0) for v in expected[:4]]
            got = [
                row[name]
                for name in (
                    "realised_volatility_bp", "bipower_volatility_bp", "min_volatility_bp", "median_volatility_bp"
                )
            ]  # fmt: skip
            np.testing.assert_allclose(got, per_s, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose([row["jump_share"], row["jump_z"]], expected[4:], rtol=1e-9, atol=1e-9)
            year = 366 if np.datetime64(int(row["ts_ns"]), "ns").astype("M8[Y]").astype(int) % 4 == 2 else 365
            annual = 100 * math.sqrt(expected[0] / 5.0 * year * 86_400)
            assert row["realised_volatility_annual_percent"] == pytest.approx(annual, rel=1e-9)
            checked += 1
    assert checked > 20


@uncompiled
def test_a_year_has_the_instruments_own_trading_seconds() -> None:
    assert trading_seconds("24-7", 2023) == 365 * 86_400
    cme = trading_seconds("CME", 2023) / 3600
    assert 5_700 < cme < 5_900  # some 250 days of 23 hours, less holidays
    assert math.isnan(trading_seconds("CME", 1990))
    # ES at 1 bp per root second in a year of 23-hour days, and what 252 days of 6.5 hours would say.
    assert math.sqrt(trading_seconds("CME", 2023)) * 0.01 == pytest.approx(45.7, abs=0.4)


@uncompiled
def test_windows_that_are_no_whole_number_of_bars_are_told() -> None:
    for window_s, bar_s in ((2.0, 1.0), (10.5, 1.0), (math.nan, 1.0), (10.0, 0.0), (math.inf, 1.0), (1e9, 1e-3)):
        with pytest.raises(ConfigurationError):
            RealisedVolatility(window_s=window_s, bar_s=bar_s)
    RealisedVolatility(window_s=0.3, bar_s=0.1)
    with pytest.raises(ConfigurationError):
        measures([1.0, 2.0])
    with pytest.raises(ConfigurationError):
        realised_variance([math.nan])


@uncompiled
@pytest.mark.parametrize("half_life_s", [0.7, 2.0, 30.0])
def test_velocity_is_weighted_least_squares_on_all_points(half_life_s: float) -> None:
    events, history = random_history(9, 120, holes=0.1)
    rows = make_velocity(PLAIN, 1, half_life_s=half_life_s).advance(events)
    assert rows["ts_ns"].size == len(history)
    points: list[tuple[float, float]] = []
    checked = 0
    for i, moment in enumerate(history):
        got = [float(rows[name][i]) for name in list(rows)[1:]]
        if not two_sided(moment.after):
            assert np.isnan(got).all()
            continue
        points.append(((moment.t_ns - history[0].t_ns) * 1e-9, float(mid(moment.after)) / UNIT))
        if points[-1][0] - points[0][0] < half_life_s:
            assert np.isnan(got).all()
        elif len({t for t, _ in points}) > 3:
            t, p = (np.array(c) for c in zip(*points, strict=True))
            if math.isfinite(got[0]):
                np.testing.assert_allclose(got, oracle.velocity(t, p, half_life_s), rtol=1e-6, atol=1e-7)
                checked += 1
    assert checked > 40


@uncompiled
def test_a_parabola_is_found_exactly_far_from_where_ticks_are_counted() -> None:
    t = np.arange(60)
    ticks = 3 * t * t - 20 * t
    rows = Velocity(half_life_s=3.0, tick_e9=2).fold(view_of([(2 * int(x), 1, 2 * int(x) + 4, 1) for x in ticks]))
    np.testing.assert_allclose(rows["velocity_ticks_per_s"][6:], (6 * t - 20)[6:], rtol=1e-9)
    np.testing.assert_allclose(rows["acceleration_ticks_per_s2"][6:], 6.0, rtol=1e-7)


def test_t_of_velocity_is_standard_normal_where_mids_are_noise() -> None:
    rng = np.random.default_rng(4)
    noise = rng.integers(-30, 31, 40_000) * 2
    rows = Velocity(half_life_s=20.0, tick_e9=2).fold(view_of([(int(x), 1, int(x) + 2, 1) for x in noise]))
    for name in ("velocity_t", "acceleration_t"):
        t = rows[name][200::100]
        assert abs(t.mean()) < 0.2
        assert abs(t.std() - 1.0) < 0.12


@uncompiled
def test_velocity_begins_afresh_after_a_break_and_is_nan_without_a_tick() -> None:
    events, _ = random_history(3, 120, holes=0.0)
    quotes = events[events["kind"] == Kind.QUOTE]
    middle = quotes.size // 2 - (quotes.size // 2) % 2
    quotes["flags"][middle] |= int(Flag.GAP)
    rows = make_velocity(PLAIN, 1).advance(quotes)["velocity_ticks_per_s"]
    assert np.isfinite(rows[middle // 2 - 1])
    assert np.isnan(rows[middle // 2])
    unknown = make_velocity(type(PLAIN)(symbol="X", venue="Y"), 1).advance(quotes)
    assert np.isnan(unknown["velocity_ticks_per_s"]).all()
    with pytest.raises(ConfigurationError):
        Velocity(half_life_s=0.0, tick_e9=1)
