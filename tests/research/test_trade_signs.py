from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.features.classification import make
from tapebook.market.errors import ConfigurationError
from tapebook.market.operators import concat_rows
from tapebook.readers import open_tape
from tapebook.research.trade_signs import sign_autocorrelation


def test_autocorrelations_are_means_of_products_that_reach_over_no_night() -> None:
    rng = np.random.default_rng(1)
    signs, day = rng.choice([-1, 1], 500, p=[0.4, 0.6]), np.repeat([0, 1, 2], [200, 250, 50])
    got = sign_autocorrelation(signs, lags_max=80, session=day)
    mean = signs.mean()
    for lag in (1, 7, 49, 80):
        pairs = [(signs[i] - mean) * (signs[i + lag] - mean) for i in range(500 - lag) if day[i] == day[i + lag]]
        assert got.pairs[lag - 1] == len(pairs)
        assert got.autocorrelation[lag - 1] == pytest.approx(np.mean(pairs) / (1 - mean**2), abs=1e-12)


def test_orders_worked_in_pieces_leave_the_exponent_that_their_sizes_say() -> None:
    # Lillo, Mike and Farmer (2005): orders of Pareto length with tail exponent alpha, one piece after another of one
    # order picked at random among a few, make signs whose autocorrelation falls as lag^-(alpha - 1).
    rng = np.random.default_rng(2)
    alpha, n, working = 1.5, 400_000, 5
    left = np.zeros(working, np.int64)
    side = np.zeros(working, np.int64)
    signs = np.empty(n, np.int64)
    picks = rng.integers(0, working, n).tolist()
    lengths, new = np.ceil(rng.pareto(alpha, n) + 1).astype(np.int64), rng.choice([-1, 1], n)
    for t, k in enumerate(picks):
        if left[k] == 0:
            left[k], side[k] = lengths[t], new[t]
        signs[t] = side[k]
        left[k] -= 1
    got = sign_autocorrelation(signs, lags_max=1_000, fit_from=20)
    assert got.gamma == pytest.approx(alpha - 1, abs=0.15)
    assert got.hurst > 0.6
    assert got.to_dict()["gamma"] == got.gamma


def test_independent_signs_have_no_power_law() -> None:
    got = sign_autocorrelation(np.random.default_rng(3).choice([-1, 1], 100_000), lags_max=300)
    assert np.abs(got.autocorrelation / got.noise).mean() == pytest.approx(math.sqrt(2 / math.pi), abs=0.1)
    assert math.isnan(got.gamma)
    assert got.to_dict()["gamma"] is None


def test_sides_that_are_unknown_are_told() -> None:
    with pytest.raises(ConfigurationError, match="without a side"):
        sign_autocorrelation([1, 0, -1])


@pytest.mark.recording
@pytest.mark.slow
def test_the_signs_of_a_nasdaq_day_remember_for_a_hundred_trades(recording: Callable[[str], Path]) -> None:
    tape = open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"))
    key, instrument = next(iter(tape.instruments.items()))
    operator = make(instrument, key)
    side = concat_rows([operator.advance(block) for block in tape.blocks()])["side"]
    memory = sign_autocorrelation(side[side != 0])
    at = memory.autocorrelation[[0, 9, 99]]
    assert (at > 3 * memory.noise[[0, 9, 99]]).all()
    assert at[0] > at[1] > at[2]
    assert 0.4 < memory.gamma < 0.8  # Lillo and Farmer (2004): about 0.6
    assert memory.hurst > 0.5
