"""Microprice and imbalance of a touch."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.features import imbalance, microprice
from tapebook.features.imbalance import Imbalance
from tapebook.features.microprice import Microprice
from tapebook.features.touch import view_of
from tapebook.market.events import MISSING
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles import touches as oracle

pytestmark = pytest.mark.uncompiled


def changes(history: list[oracle.Moment]) -> list[oracle.Touch]:
    return [m.after for m in history if m.after != m.before]


@pytest.mark.parametrize("seed", range(5))
def test_microprice_equals_the_definition_and_lies_between_bid_and_ask(seed: int) -> None:
    events, history = random_history(seed, 200, holes=0.2)
    rows = microprice.make(PLAIN, 1).advance(events)
    touches = changes(history)
    assert rows["ts_ns"].size == len(touches)
    for got, off, touch in zip(rows["microprice"].tolist(), rows["microprice_off_mid"].tolist(), touches, strict=True):
        expected = oracle.microprice(touch)
        if expected is None:
            assert np.isnan(got)
            continue
        assert got == pytest.approx(float(expected / UNIT), rel=1e-14)
        assert touch[0] is not None
        assert touch[2] is not None
        assert touch[0] < got * UNIT < touch[2]
        assert (off > 0) == (touch[1] > touch[3])


@pytest.mark.parametrize("seed", range(5))
def test_imbalance_equals_the_definition(seed: int) -> None:
    events, history = random_history(seed, 200, holes=0.2)
    rows = imbalance.make(PLAIN, 1).advance(events)
    for got, one_sided, touch in zip(
        rows["imbalance"].tolist(), rows["one_sided"].tolist(), changes(history), strict=True
    ):
        expected = oracle.imbalance(touch)
        assert (np.isnan(got) and expected is None) or got == float(expected or 0)
        assert one_sided == ((touch[0] is None) != (touch[2] is None))
    assert np.array_equal(rows["queue_share"], (rows["imbalance"] + 1) / 2, equal_nan=True)


def test_a_heavy_bid_pulls_the_microprice_up() -> None:
    light, heavy = Microprice().fold(view_of([(100, 1, 200, 9), (100, 9, 200, 1)]))["microprice"]
    assert light < heavy


def test_unknown_sizes_are_undefined_and_no_zero() -> None:
    view = view_of([(100, MISSING, 200, 5)])
    assert np.isnan(Microprice().fold(view)["microprice"]).all()
    assert np.isnan(Imbalance().fold(view)["imbalance"]).all()
