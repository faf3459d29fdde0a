from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tapebook.features.fair_prices import StoikovPrice
from tapebook.features.touch import view_of
from tapebook.market.errors import ConfigurationError
from tapebook.models.microprice import MicropriceTable
from tests.features.histories import UNIT

pytestmark = pytest.mark.uncompiled


def table() -> MicropriceTable:
    g = np.array([[-0.4, 0.0, 0.4], [-0.9, 0.0, 0.9]])
    return MicropriceTable(np.array([0.3, 0.7]), g, np.full((2, 3), 50), UNIT, "X", "yesterday")


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    table().save(tmp_path / "table.json")
    again = MicropriceTable.load(tmp_path / "table.json")
    assert again.as_dict() == table().as_dict()


def test_the_model_and_the_feature_read_the_same_cell() -> None:
    rng = np.random.default_rng(1)
    touches = [
        (99 * UNIT, int(b), (99 + int(s)) * UNIT, int(a))
        for b, a, s in zip(rng.integers(0, 20, 200), rng.integers(1, 20, 200), rng.integers(1, 5, 200), strict=True)
    ]
    rows = StoikovPrice(UNIT, table().as_dict()).fold(view_of(touches))
    distinct = [t for i, t in enumerate(touches) if i == 0 or t != touches[i - 1]]
    expected = [table().lean_ticks(t[1], t[3], (t[2] - t[0]) // UNIT) for t in distinct]
    assert rows["stoikov_off_mid"].tolist() == expected
    assert (rows["why"] == 1).tolist() == [not table().knows((t[2] - t[0]) // UNIT) for t in distinct]


def test_without_sizes_or_a_spread_there_is_no_lean() -> None:
    assert math.isnan(table().lean_ticks(0, 0, 1))
    assert math.isnan(table().lean_ticks(3, 3, 0))
    assert math.isnan(table().lean_ticks(-1, 3, 1))


def test_arrays_that_do_not_fit_are_refused() -> None:
    good = table().as_dict()
    for wrong in ({"edges": [0.5]}, {"edges": [0.7, 0.3]}, {"tick_e9": 0}, {"visits": [[1, 1, 1]]}):
        with pytest.raises(ConfigurationError):
            MicropriceTable.of_dict(good | wrong)
    with pytest.raises(ConfigurationError, match="no micro-price table"):
        MicropriceTable.of_dict({"edges": [0.5]})
