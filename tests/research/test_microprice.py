from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.errors import DataQualityError
from tapebook.readers import open_tape
from tapebook.research import microprice
from tapebook.research.microprice import Touches
from tests.features.histories import UNIT, vector


def random_touches(seed: int, n: int, *, pull: float = 0.8) -> Touches:
    """A touch of one tick whose next move goes, with probability ``pull``, to the side that is about to give way."""
    rng = np.random.default_rng(seed)
    lots = rng.integers(1, 50, (n, 2))
    share = lots[:, 0] / lots.sum(axis=1)
    moves = rng.random(n) < 0.2
    up = rng.random(n) < 0.5 + pull * (share - 0.5)
    step = np.where(moves, np.where(up, 1, -1), 0)
    bid = 1000 + np.concatenate([[0], np.cumsum(step)[:-1]])
    return Touches(
        np.arange(n) * UNIT,
        bid * UNIT,
        lots[:, 0].astype(np.int64),
        (bid + 1) * UNIT,
        lots[:, 1].astype(np.int64),
        np.zeros(n, np.int64),
        UNIT,
    )


def test_the_sum_is_that_of_the_worked_example() -> None:
    example = vector("stoikov__hand")
    q, t, r = (np.array(example[name]) for name in ("Q", "T", "R1K"))
    g, _ = microprice.converge(q, t, r)
    assert g == pytest.approx(example["Gstar"], abs=2e-6)
    assert np.linalg.solve(np.eye(2) - q, r) == pytest.approx(example["G1"])


def test_counts_that_were_not_mirrored_do_not_converge() -> None:
    q, t = np.array([[0.5, 0.2], [0.2, 0.5]]), np.array([[0.2, 0.1], [0.1, 0.2]])
    with pytest.raises(DataQualityError, match="does not converge"):
        microprice.converge(q, t, np.array([-0.15, 0.20]))


def test_a_chain_is_counted_with_its_mirror_image() -> None:
    sample = random_touches(1, 3_000)
    counted = microprice.chain(sample, n_buckets=6, n_spreads=1)
    assert (counted.q + counted.t).sum(axis=1) == pytest.approx(np.ones(6))
    assert counted.r == pytest.approx(-counted.r[::-1])
    assert counted.q == pytest.approx(counted.q[::-1, ::-1])
    assert counted.edges == pytest.approx(1 - counted.edges[::-1])
    # Straight from the definition, for one state.
    bucket = np.searchsorted(counted.edges, sample.share, side="right")
    moves = np.diff(sample.mid_ticks)
    up = [m for m, b in zip(moves, bucket, strict=False) if b == 4] + [
        -m for m, b in zip(moves, bucket, strict=False) if 5 - b == 4
    ]
    assert counted.r[4] == pytest.approx(np.mean(up))


def test_the_fit_finds_the_pull_that_is_there_and_none_where_there_is_none() -> None:
    found = microprice.fit(random_touches(2, 60_000), n_buckets=5, n_spreads=1).g_ticks[0]
    # Sizes are drawn anew each time, so only the first move is foretold: by what the bucket's share says, up to the
    # part of the time that the mid stays and the state changes before it moves.
    assert (np.diff(found) > 0).all()
    assert found == pytest.approx(-found[::-1])
    assert found[-1] > 0.05
    none = microprice.fit(random_touches(3, 60_000, pull=0.0), n_buckets=5, n_spreads=1).g_ticks[0]
    assert np.abs(none).max() < 0.02


def test_states_that_were_hardly_seen_do_not_lean() -> None:
    table = microprice.fit(random_touches(4, 400), n_buckets=10, n_spreads=1, visits_min=60)
    seen = table.visits[0] >= 60
    assert (table.g_ticks[0][~seen] == 0).all()
    assert (~seen).any()


def test_nothing_is_carried_from_one_run_into_the_next() -> None:
    sample = random_touches(5, 100)
    apart = Touches(
        sample.t_ns, sample.bid, sample.bid_lots, sample.ask, sample.ask_lots, np.arange(100), sample.tick_e9
    )
    counted = microprice.chain(apart, n_buckets=4, n_spreads=1)
    assert counted.visits.sum() == 0
    assert np.isnan(microprice._mid_later(apart, 1.0, apart.t_ns, np.arange(100))).all()


def test_the_fitted_curve_is_the_one_that_made_the_moves() -> None:
    rng = np.random.default_rng(6)
    lots = rng.integers(1, 200, (20_000, 2)).astype(np.int64)
    z = 2 * lots[:, 0] / lots.sum(axis=1) - 1
    lean = 0.3 * z + 0.2 * z**3
    up = rng.random(20_000) < 0.5 + lean / 2  # a tick up or down, so that the mean move is the lean
    ask = 1000 + np.concatenate([[0], np.cumsum(np.where(up, 1, -1))[:-1]])
    sample = Touches(
        np.arange(20_000) * UNIT,
        (ask - 1) * UNIT,
        lots[:, 0].copy(),
        ask * UNIT,
        lots[:, 1].copy(),
        np.zeros(20_000, np.int64),
        UNIT,
    )
    c1, c3, c5 = microprice.fit_curve(sample, horizon_s=1.0)
    at = np.array([-0.9, -0.5, 0.5, 0.9])
    assert c1 * at + c3 * at**3 + c5 * at**5 == pytest.approx(0.3 * at + 0.2 * at**3, abs=0.04)


def test_the_report_measures_against_the_mid_that_stands_a_horizon_later() -> None:
    sample = random_touches(7, 5_000)
    table = microprice.fit(sample, n_buckets=5, n_spreads=1)
    rows = {r.price: r for r in microprice.report(table, sample, horizons_s=[2.0], every_s=1.0)}
    later = sample.mid_ticks[3:] - sample.mid_ticks[1:-2]  # the grid begins after the first touch
    assert rows["mid"].n == 4_997
    assert rows["mid"].rmse_ticks == pytest.approx(float(np.sqrt((later**2).mean())))
    assert math.isnan(rows["mid"].correlation)
    off = (sample.share[1:-2] - 0.5) * 1
    assert rows["weighted mid"].rmse_ticks == pytest.approx(float(np.sqrt(((later - off) ** 2).mean())))
    assert rows["micro-price"].rmse_ticks < rows["mid"].rmse_ticks
    assert rows["micro-price"].correlation > 0


@pytest.mark.recording
@pytest.mark.slow
def test_on_a_small_tick_stock_the_weighted_mid_is_worse_than_the_mid_and_the_micro_price_is_not(
    recording: Callable[[str], Path],
) -> None:
    # Over the whole day an independent computation has 4.18 ticks for the mid and 5.80 for the weighted mid at 5 s.
    day = microprice.touches(open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")))
    table = microprice.fit(day.part(0, 0.5))
    whole = {r.price: r.rmse_ticks for r in microprice.report(table, day, horizons_s=[5.0])}
    assert whole["mid"] == pytest.approx(4.18, abs=0.45)
    assert whole["weighted mid"] == pytest.approx(5.80, abs=0.45)
    rest = {r.price: r.rmse_ticks for r in microprice.report(table, day.part(0.5, 1), horizons_s=[5.0])}
    assert rest["micro-price"] < rest["mid"] < rest["weighted mid"]


@pytest.mark.recording
def test_a_tape_without_quotes_says_so(recording: Callable[[str], Path]) -> None:
    with pytest.raises(DataQualityError, match="nothing to fit"):
        microprice.touches(open_tape(recording("tardis/trades.csv")))
