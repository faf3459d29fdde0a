from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tapebook.features.ofi import Ofi, make
from tapebook.features.touch import view_of
from tapebook.kernels.ofi import ofi_increment
from tapebook.market.events import MISSING, Flag, Kind
from tests.features.histories import PLAIN, random_history, vector, vector_rows
from tests.oracles import touches as oracle

pytestmark = pytest.mark.uncompiled


def test_the_price_cases_of_the_reference_vector() -> None:
    rows = [(b, bq, a, aq) for b, bq, a, aq in vector_rows("ofi_cases.csv")]
    expected = vector("ofi_best_level__hand")["cks"]
    got = [ofi_increment(*old, *new) for old, new in itertools.pairwise(rows)]
    assert [0, *got] == expected


@pytest.mark.parametrize("seed", range(8))
def test_rows_equal_the_definition_on_random_touches(seed: int) -> None:
    events, history = random_history(seed, 150, holes=0.2)
    got = make(PLAIN, 1).advance(events)["ofi_lots"].tolist()
    expected = oracle.ofi_rows([m.after for m in history])
    assert len(got) == len(expected)
    for x, y in zip(got, expected, strict=True):
        assert (math.isnan(x) and y is None) or x == y


def test_what_joins_the_bid_and_what_leaves_the_ask_push_up_alike() -> None:
    base = (100, 10, 101, 10)
    for better in ((100, 15, 101, 10), (100, 10, 101, 5), (101, 5, 102, 10), (100, 10, 102, 7)):
        assert ofi_increment(*base, *better) > 0
        mirrored = tuple(-x if i % 2 == 0 else x for i, x in enumerate((better[2], better[3], better[0], better[1])))
        assert ofi_increment(-101, 10, -100, 10, *mirrored) == -ofi_increment(*base, *better)


def test_the_first_touch_has_no_flow_and_is_no_zero() -> None:
    assert math.isnan(Ofi().fold(view_of([(100, 10, 101, 8)]))["ofi_lots"][0])


@pytest.mark.parametrize(
    ("kind", "flag"), [(Kind.CLEAR, 0), (Kind.TRADE, Flag.GAP), (Kind.QUOTE, Flag.SNAPSHOT), (Kind.STATUS, 0)]
)
def test_nothing_is_differenced_across_a_break(kind: Kind, flag: int) -> None:
    events, _ = random_history(3, 60, holes=0)
    quotes = events[events["kind"] == Kind.QUOTE][:40]
    broken = np.insert(quotes, 20, quotes[20:21])
    broken["kind"][20], broken["flags"][20], broken["side"][20] = kind, int(flag), 1
    broken["price"][20] = quotes["price"][20]
    broken["detail"][20] = 3 if kind == Kind.STATUS else 0
    whole = make(PLAIN, 1).advance(quotes)["ofi_lots"]
    cut = make(PLAIN, 1).advance(broken)["ofi_lots"]
    assert np.isfinite(whole[1:]).all()
    assert np.isnan(cut[1:]).sum() >= 1


def test_a_size_that_was_not_told_gives_no_flow() -> None:
    rows = Ofi().fold(view_of([(100, 10, 101, 8), (100, MISSING, 101, 8), (100, 12, 101, 8)]))
    assert np.isnan(rows["ofi_lots"]).all()
