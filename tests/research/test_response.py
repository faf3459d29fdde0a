from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.features.effective_spread import make as make_effective
from tapebook.features.markouts import make
from tapebook.market.errors import ConfigurationError
from tapebook.market.operators import Rows, concat_rows
from tapebook.readers import open_tape
from tapebook.research.classification import most_traded
from tapebook.research.response import markout_curve, response, signature
from tests.features.histories import PLAIN, random_history


def prints_of(path: Path) -> Rows:
    tape = open_tape(path)
    key = most_traded(tape)
    operator = make_effective(tape.instruments[key], key)
    return concat_rows([operator.advance(block) for block in tape.blocks()])


def test_the_response_is_the_mean_signed_move_and_reaches_over_no_night() -> None:
    rng = np.random.default_rng(1)
    mid, side = np.cumsum(rng.normal(size=300)), rng.choice([-1, 0, 1], 300)
    mid[40] = np.nan
    day = np.repeat([0, 1], 150)
    got = response(mid, side, [1, 20], session=day, block=30)
    for k, lag in enumerate((1, 20)):
        moves = [
            side[i] * (mid[i + lag] - mid[i])
            for i in range(300 - lag)
            if side[i] and day[i] == day[i + lag] and np.isfinite(mid[i + lag] - mid[i])
        ]
        assert got.n[k] == len(moves)
        assert got.mean[k] == pytest.approx(np.mean(moves), abs=1e-12)
        assert got.low[k] < got.mean[k] < got.high[k]


def test_the_band_covers_the_truth_although_windows_overlap() -> None:
    rng = np.random.default_rng(2)
    lag, inside, inside_singly = 50, 0, 0
    for _ in range(120):
        side = rng.choice([-1, 1], 20_000)
        mid = np.cumsum(0.02 * np.r_[0, side[:-1]] + rng.normal(size=20_000))
        wide = response(mid, np.ones(20_000), [lag], block=1_000, draws=200, rng=rng)
        narrow = response(mid, np.ones(20_000), [lag], block=1, draws=50, rng=rng)
        inside += bool(wide.low[0] < 0 < wide.high[0])
        inside_singly += bool(narrow.low[0] < 0 < narrow.high[0])
    assert inside / 120 > 0.85
    assert inside_singly / 120 < 0.5  # what drawing single trades would claim


def test_a_diffusion_has_a_flat_signature_and_a_bounce_a_falling_one() -> None:
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(size=50_000))
    flat = signature(walk, [1, 10, 100])
    assert np.allclose(flat.mean, 1.0, atol=0.15)
    assert (flat.low < 1).all()
    assert (flat.high > 1).all()
    bounce = signature(walk + rng.choice([-1, 1], walk.size), [1, 10, 100])
    assert bounce.mean[0] == pytest.approx(3.0, abs=0.1)
    assert bounce.mean[0] > bounce.mean[1] > bounce.mean[2]


def test_the_markout_curve_is_the_mean_of_each_horizon() -> None:
    events, _ = random_history(4, 400)
    rows = make(PLAIN, 1, horizons_s=(0.5, 2.0)).advance(events)
    for weight in ("", "qty_lots"):
        curve = markout_curve(rows, weight=weight, block=20)
        assert curve.at.tolist() == [0.5, 2.0]
        for k, horizon in enumerate((500_000_000, 2_000_000_000)):
            of = (rows["horizon_ns"] == horizon) & np.isfinite(rows["markout"])
            weights = rows[weight][of] if weight else None
            assert curve.mean[k] == pytest.approx(np.average(rows["markout"][of], weights=weights))
            assert curve.n[k] == of.sum()


def test_a_lag_beyond_the_tape_has_no_mean() -> None:
    curve = response([1.0, 2.0], [1, 1], [1, 5])
    assert curve.n.tolist() == [1, 0]
    assert np.isnan(curve.mean[1])


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="lags"):
        response([1.0], [1], [0])
    with pytest.raises(ConfigurationError, match="bootstrap"):
        signature([1.0, 2.0], [1], block=0)


@pytest.mark.recording
@pytest.mark.slow
def test_real_responses_rise_over_some_trades_and_stay(recording: Callable[[str], Path]) -> None:
    # Bouchaud, Gefen, Potters and Wyart (2004): R rises by a factor of about two over the first tens of trades.
    for file in (
        "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip",
        "databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst",
    ):
        rows = prints_of(recording(file))
        curve = response(rows["mid"], rows["side"], [1, 20, 100])
        assert (curve.low > 0).all()
        assert 1.5 < curve.mean[1] / curve.mean[0] < 6.0
        assert curve.high[2] > curve.mean[1]  # what a trade moved is not given back within a hundred trades


@pytest.mark.recording
@pytest.mark.slow
def test_the_mid_of_a_large_tick_bounces_and_that_of_a_small_one_diffuses(recording: Callable[[str], Path]) -> None:
    rows = prints_of(recording("databento/es/esh4-glbx-mdp3-20231225.mbo.dbn.zst"))
    es = signature(rows["mid"] / 0.25, [1, 10, 50])
    assert es.mean[0] > 1.5 * es.mean[1]
    assert es.low[0] > es.mean[1]
    rows = prints_of(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"))
    amzn = signature(rows["mid"], [1, 10, 100])
    assert amzn.mean[1:] / amzn.mean[0] == pytest.approx([1, 1], abs=0.15)
