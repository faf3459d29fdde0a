from __future__ import annotations

import math

import numpy as np
import pytest

from tapebook.features.fracdiff import fracdiff, fracdiff_weights
from tapebook.market.errors import ConfigurationError
from tapebook.research.fracdiff import smallest_stationary_order, unit_root_test
from tests.features.histories import VECTORS, vector


def walk() -> np.ndarray:
    path = VECTORS / "inputs" / "walk.npz"
    if not path.exists():
        pytest.skip("reference inputs are not on this machine (set TAPEBOOK_VECTORS)")
    with np.load(path) as arrays:
        return np.array(arrays["logp"])


def test_the_unit_root_test_of_the_reference_vector() -> None:
    x = walk()
    told = vector("adf__statsmodels")
    for name, values in (("logp", x), ("diff", np.diff(x))):
        t, critical, lags = unit_root_test(values, lags=1)
        assert t == pytest.approx(told[name]["stat"], abs=1e-9)
        assert critical == pytest.approx(told[name]["crit5"], abs=1e-9)
        assert lags == told[name]["lags"]


def test_a_random_walk_needs_an_order_and_keeps_most_of_its_memory() -> None:
    x = walk()
    found = smallest_stationary_order(x, lags=1)
    assert 0.0 < found.order < 1.0
    assert found.t < found.critical
    assert found.n_weights == fracdiff_weights(found.order).size
    y = fracdiff(x - x[0], found.order)[found.n_weights - 1 :]
    assert found.n_values == y.size
    assert found.t == pytest.approx(unit_root_test(y, 1)[0])
    assert found.correlation == pytest.approx(float(np.corrcoef(y, x[found.n_weights - 1 :])[0, 1]))
    assert found.correlation > 0.8
    table = found.table()
    assert [row["order"] for row in table] == sorted({row["order"] for row in table})
    assert (table[0]["order"], table[-1]["order"]) == (0.0, 2.0)
    assert next(row["order"] for row in table if row["t"] < row["critical"]) == found.order
    assert found.to_dict()["looked"] == table
    w = fracdiff_weights(found.order - 0.011)
    below = fracdiff(x - x[0], found.order - 0.011)[w.size - 1 :]
    t, critical, _ = unit_root_test(below, 1)
    assert t >= critical


def test_what_is_stationary_needs_none_and_what_explodes_finds_none() -> None:
    rng = np.random.default_rng(1)
    assert smallest_stationary_order(rng.normal(size=500), lags=1).order == 0.0
    explosive = 1.02 ** np.arange(900.0) + rng.normal(size=900)
    found = smallest_stationary_order(explosive, lags=1)
    assert math.isnan(found.order)
    assert found.t >= found.critical


def test_lags_are_chosen_where_none_are_given() -> None:
    rng = np.random.default_rng(3)
    x = np.zeros(1_000)
    for i in range(4, 1_000):
        x[i] = 0.5 * x[i - 4] + rng.normal()
    assert unit_root_test(x)[2] >= 3


def test_series_that_cannot_be_tested_are_told() -> None:
    x = np.cumsum(np.random.default_rng(1).normal(size=200))
    for bad in (
        lambda: smallest_stationary_order(x[:40]),
        lambda: smallest_stationary_order(x),  # shorter than its windows
        lambda: smallest_stationary_order(x, precision=0.0),
        lambda: unit_root_test(np.ones(100)),
        lambda: unit_root_test([math.nan] * 100),
    ):
        with pytest.raises(ConfigurationError):
            bad()
