from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tapebook.kernels.hayashi_yoshida import hayashi_yoshida
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import Flag, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.readers import open_tape
from tapebook.research.price_discovery import Mids, covariance, lead_lag, mids_of, on_grid, shares
from tests.features.histories import VECTORS, vector
from tests.oracles import hayashi_yoshida as oracle

Floats = NDArray[np.float64]


def sweep(s: list[int], x: list[float], t: list[int], y: list[float], shifts: list[int]) -> list[float]:
    out = np.empty(len(shifts))
    i, f = np.int64, np.float64
    hayashi_yoshida(np.array(s, i), np.array(x, f), np.array(t, i), np.array(y, f), np.array(shifts, i), out)
    return out.tolist()


@pytest.mark.uncompiled
def test_the_covariances_of_the_reference_vector() -> None:
    expected = vector("hayashi_yoshida__hand")
    ticks = np.load(VECTORS / "inputs" / "async_ticks.npz")
    n, m = expected["n_a"], expected["n_b"]
    s, t = (ticks["ta"][:n] * 1e9).astype(int).tolist(), (ticks["tb"][:m] * 1e9).astype(int).tolist()
    shifts = [round(float(key) * 1e9) for key in expected["hy"]]
    got = sweep(s, ticks["pa"][:n].tolist(), t, ticks["pb"][:m].tolist(), shifts)
    assert got == pytest.approx(list(expected["hy"].values()), rel=1e-12)


def test_the_whole_reference_tape_comes_near_the_true_covariance() -> None:
    vector("realized__hfhd")
    ticks = np.load(VECTORS / "inputs" / "async_ticks.npz")
    s, x, t, y = ((ticks[k] * 1e9 if k[0] == "t" else ticks[k]).tolist() for k in ("ta", "pa", "tb", "pb"))
    got = sweep(s, x, t, y, [0])[0]
    # The library leaves out intervals at the edges: equal but for these.
    assert got == pytest.approx(vector("realized__hfhd")["hy"], rel=0.02)


stamps = st.lists(st.integers(0, 60), min_size=0, max_size=25, unique=True).map(sorted)


@pytest.mark.uncompiled
@given(stamps, stamps, st.integers(-70, 70), st.integers(0, 1 << 30))
def test_one_sweep_equals_every_pair(s: list[int], t: list[int], shift: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(-9, 9, len(a)).astype(float).tolist() for a in (s, t))
    assert sweep(s, x, t, y, [shift]) == [oracle.covariance(s, x, t, y, shift)]


def watched(path: Floats, seconds: Floats, name: str, delay_s: float = 0.0) -> Mids:
    """A price on a grid of milliseconds, seen at the given times, told with a delay."""
    ts = np.unique((seconds * 1000).astype(np.int64))
    return Mids(ts_ns=ts * 1_000_000 + round(delay_s * 1e9), mid=path[ts], symbol=name, venue="SIM", clock="receive")


def test_a_planted_lead_shows_at_its_lag_and_in_the_ratio() -> None:
    rng = np.random.default_rng(1)
    w = rng.standard_normal((2, 600_001)).cumsum(axis=1)
    x, y = w[0], 0.8 * w[0] + 0.6 * w[1]
    first, second = (np.sort(rng.uniform(0, 600, n)) for n in (3000, 2000))
    a, b = watched(x, first, "A"), watched(y, second, "B", delay_s=0.3)
    found = lead_lag(a, b, np.arange(-20, 21) / 10)
    assert found.peak_s == pytest.approx(0.3)
    assert found.peak_correlation == pytest.approx(0.8, abs=0.06)
    assert found.ratio > 1.5
    assert found.noise < 0.1
    back = lead_lag(b, a, np.arange(-20, 21) / 10)
    assert back.peak_s == pytest.approx(-0.3)
    assert back.ratio == pytest.approx(1 / found.ratio)
    at_once = np.interp(0.0, found.lags_s, found.correlation)
    assert at_once < found.peak_correlation - 0.1


def test_a_grid_would_have_shrunk_the_correlation_that_pairs_keep() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(600_001).cumsum()
    a, b = (watched(x, np.sort(rng.uniform(0, 600, 1500)), name) for name in "AB")
    hy = lead_lag(a, b, [0.0]).peak_correlation
    moves = np.diff(on_grid([a, b], 0.1), axis=0)
    assert hy == pytest.approx(1.0, abs=0.08)
    assert np.asarray(np.corrcoef(moves.T))[0, 1] < 0.5  # Epps


def corrected(seed: int, n: int, alpha: Floats, omega: Floats, gamma: Floats | None = None) -> Floats:
    """Prices by an error-correction model with p_1 - p_j as its errors."""
    k = omega.shape[0]
    shocks = np.random.default_rng(seed).standard_normal((n, k)) @ np.linalg.cholesky(omega).T
    p, last = np.zeros((n + 1, k)), np.zeros(k)
    for t in range(n):
        last = alpha @ (p[t, 0] - p[t, 1:]) + (gamma @ last if gamma is not None else 0.0) + shocks[t]
        p[t + 1] = p[t] + last
    return p


ALPHA = np.array([[-0.05], [0.15]])
OMEGA = np.array([[1.0, 0.3], [0.3, 1.5]])


def test_known_shares_of_two_prices_are_recovered() -> None:
    found = shares(corrected(3, 100_000, ALPHA, OMEGA), lags=2)
    psi = np.array([0.75, 0.25])  # (alpha_2, -alpha_1) over their sum
    assert np.abs(found.component - psi).max() < 3 * found.component_se[0]
    assert found.component_se[0] < 0.03
    total = psi @ OMEGA @ psi
    orders = []
    for first in (0, 1):
        own = (psi[first] * np.sqrt(OMEGA[first, first]) + psi[1 - first] * 0.3 / np.sqrt(OMEGA[first, first])) ** 2
        orders.append(own / total)  # of the price that comes first
    assert found.information_high == pytest.approx(orders, abs=0.03)
    assert found.information_low == pytest.approx([1 - orders[1], 1 - orders[0]], abs=0.03)
    sd = np.sqrt(np.diag(OMEGA))
    r = 0.3 / np.sqrt(1.5)
    half = np.array([[np.sqrt(1 + r) + np.sqrt(1 - r), np.sqrt(1 + r) - np.sqrt(1 - r)]]) / 2
    root = np.array([[half[0, 0], half[0, 1]], [half[0, 1], half[0, 0]]])
    assert found.information_modified == pytest.approx((psi * sd @ root) ** 2 / total, abs=0.03)
    assert found.shock_correlation[0, 1] == pytest.approx(r, abs=0.02)
    for part in (found.component, found.information_mid, found.information_modified, found.leadership):
        assert part.sum() == pytest.approx(1.0)


def test_error_correction_is_that_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    p, lags = corrected(11, 3_000, ALPHA, OMEGA), 3
    moves = np.diff(p, axis=0)
    past = [moves[lags - i : len(moves) - i] for i in range(1, lags + 1)]
    x = np.column_stack([p[lags:-1, 0] - p[lags:-1, 1], np.ones(len(moves) - lags), *past])
    found = shares(p, lags=lags)
    for j in range(2):
        peer = sm.OLS(moves[lags:, j], x).fit(cov_type="HC0")
        assert found.alpha[j, 0] == pytest.approx(peer.params[0], rel=1e-9)
        assert found.alpha_t[j, 0] == pytest.approx(peer.tvalues[0], rel=1e-9)


def test_moves_that_linger_do_not_change_the_component_shares() -> None:
    gamma = np.array([[0.2, 0.1], [-0.1, 0.3]])
    found = shares(corrected(4, 100_000, ALPHA, OMEGA, gamma), lags=1)
    assert np.abs(found.component - [0.75, 0.25]).max() < 3 * found.component_se[0]


def test_three_prices_keep_their_shares_in_any_order() -> None:
    alpha = np.array([[-0.02, -0.02], [0.1, -0.02], [-0.02, 0.1]])
    omega = np.array([[1.0, 0.2, 0.1], [0.2, 1.0, 0.3], [0.1, 0.3, 2.0]])
    p = corrected(5, 60_000, alpha, omega)
    psi = np.linalg.svd(alpha)[0][:, -1]
    found = shares(p, lags=1)
    assert np.abs(found.component - psi / psi.sum()).max() < 4 * found.component_se.max()
    mixed = shares(p[:, [2, 0, 1]], lags=1)
    for part in ("component", "component_se", "information_low", "information_high", "information_modified"):
        assert getattr(mixed, part) == pytest.approx(getattr(found, part)[[2, 0, 1]], abs=1e-7)
    assert np.isnan(found.leadership).all()
    assert (found.information_low <= found.information_high).all()


@pytest.mark.slow
def test_the_standard_error_of_the_component_share_covers_the_truth() -> None:
    inside = 0
    for seed in range(200):
        found = shares(corrected(100 + seed, 3_000, ALPHA, OMEGA), lags=1)
        inside += abs(found.component[0] - 0.75) < 1.96 * found.component_se[0]
    assert 0.90 < inside / 200 < 0.99


@pytest.mark.slow
def test_a_price_that_only_follows_has_no_share_and_a_noisy_leader_still_leads() -> None:
    # p1 is the efficient price with noise, p2 the efficient price of a step before without: p1 has all the news.
    rng = np.random.default_rng(6)
    m = rng.standard_normal(100_001).cumsum()
    p = np.column_stack([m[1:] + 0.7 * rng.standard_normal(100_000), m[:-1]])
    found = shares(p, lags=20)
    assert found.leadership[0] > 0.8
    assert found.component[0] < 0.75  # the noise hides it from the component share
    clean = shares(np.column_stack([m[1:] + 0.05 * rng.standard_normal(100_000), m[:-1]]), lags=5)
    assert clean.information_low[0] > 0.95
    assert clean.component[0] > 0.87


def test_a_skew_between_clocks_moves_the_peak_by_as_much_and_turns_the_shares() -> None:
    rng = np.random.default_rng(7)
    x = rng.standard_normal(300_001).cumsum()
    times = [np.sort(rng.uniform(0, 300, 3000)) for _ in range(2)]
    a, b = watched(x, times[0], "A"), watched(x, times[1], "B")
    late = watched(x, times[0], "A", delay_s=0.2)
    fair, skewed = (shares(on_grid([m, b], 0.1), lags=5) for m in (a, late))
    assert fair.component[0] == pytest.approx(0.5, abs=0.1)
    assert skewed.component[0] < 0.2
    assert lead_lag(late, b, np.arange(-10, 11) / 10).peak_s == pytest.approx(-0.2)


def test_what_says_nothing_is_refused() -> None:
    p = corrected(8, 500, ALPHA, OMEGA)
    with pytest.raises(ConfigurationError, match="2 to 6 prices"):
        shares(p[:, :1])
    with pytest.raises(ConfigurationError, match="rows"):
        shares(p[:20], lags=10)
    with pytest.raises(DataQualityError, match="never moves"):
        shares(np.column_stack([p[:, 0], np.zeros(501)]), lags=1)
    still = Mids(ts_ns=np.array([0, 10]), mid=np.ones(2), symbol="A", venue="SIM", clock="event")
    with pytest.raises(DataQualityError, match="does not move"):
        lead_lag(still, still, [0.0])
    with pytest.raises(ConfigurationError, match="grid"):
        on_grid([still, still], 1.0)


def quotes_tape(rows: list[tuple[int, int, int]]) -> Tape:
    """Two-sided quotes: stamp, bid, ask."""
    e = empty_events(2 * len(rows))
    e["kind"], e["instrument_id"], e["qty_lots"] = Kind.QUOTE, 1, 5
    e["side"], e["flags"] = np.tile([1, -1], len(rows)), np.tile([0, int(Flag.LAST)], len(rows))
    e["ts_event_ns"] = np.repeat([r[0] for r in rows], 2)
    e["price"] = np.array([r[1:] for r in rows]).ravel() * 1_000_000_000
    table = InstrumentTable({1: Instrument(symbol="X", venue="Y", tick_e9=1_000_000_000, calendar="24-7")})
    return Tape(origin=Origin(name="made", format="test"), read=lambda _: iter([e]), instruments=table)


def test_mids_are_changes_of_two_sided_quotes_with_the_last_of_each_stamp() -> None:
    tape = quotes_tape([(10, 100, 102), (20, 101, 102), (20, 102, 104), (30, 102, 104), (40, 105, 104), (50, 103, 104)])
    mids = mids_of(tape, clock="event")
    assert mids.ts_ns.tolist() == [10, 20, 50]
    assert mids.mid.tolist() == [101.0, 103.0, 103.5]
    with pytest.raises(DataQualityError, match="receive"):
        mids_of(tape)
    with pytest.raises(ConfigurationError, match="clock"):
        mids_of(tape, clock="wall")
    assert mids_of(tape, clock="event", quotes_only=True).mid.tolist() == mids.mid.tolist()


def test_a_price_that_moves_covaries_with_itself_by_its_variance() -> None:
    rng = np.random.default_rng(9)
    m = Mids(ts_ns=np.arange(0, 1000, 10), mid=rng.standard_normal(100), symbol="A", venue="S", clock="event")
    expected = sum((y - x) ** 2 for x, y in pairwise(m.mid.tolist()))
    assert covariance(m, m)[0] == pytest.approx(expected)
    alone = lead_lag(m, m, [0.0])
    assert alone.peak_correlation == pytest.approx(1.0)
    assert np.isnan(alone.noise)


@pytest.mark.recording
@pytest.mark.slow
def test_perpetuals_and_spot_of_one_coin_share_one_price(recording: Callable[[str], Path]) -> None:
    names = ("usdm_btcusdt_20240808.gz", "cm_btcusd_perp_20240808.gz", "spot_btcusdt_20240808.gz")
    mids = [mids_of(open_tape(recording(f"binance/{name}")), quotes_only=True) for name in names]
    found = shares(np.log(on_grid(mids, 0.1)), lags=20, names=names)
    assert found.component.sum() == pytest.approx(1.0)
    assert (found.component_se > 0.1).all()  # six minutes do not tell
    scan = lead_lag(mids[0], mids[2], np.arange(-50, 51) / 50)
    assert scan.peak_s == pytest.approx(0.12, abs=0.021)  # as docs/price-discovery.md has it
    assert scan.peak_correlation > 5 * scan.noise
    assert scan.ratio > 10
    # A tenth of a second of clock turns the shares.
    spot = {}
    for skew_ns in (-100_000_000, 100_000_000):
        moved = replace(mids[2], ts_ns=mids[2].ts_ns + skew_ns)
        spot[skew_ns] = shares(np.log(on_grid([*mids[:2], moved], 0.1)), lags=20).component[2]
    assert spot[-100_000_000] > 0.5
    assert spot[100_000_000] < 0.1
