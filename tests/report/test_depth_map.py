from __future__ import annotations

import numpy as np
import pytest

from tapebook.market.events import MISSING
from tapebook.report.depth_map import COLUMNS_MAX, DepthMap

pytestmark = pytest.mark.uncompiled

TICK = 250_000_000


def levels(mid_ticks: int, n: int = 20) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    price = np.array([mid_ticks - 1 - i for i in range(n)] + [mid_ticks + 1 + i for i in range(n)], np.int64) * TICK
    return price, np.full(2 * n, 5, np.int64)


def sample(grid: DepthMap, t: int, mid_ticks: int) -> None:
    price, lots = levels(mid_ticks)
    grid.sample(t, price, lots, (mid_ticks - 1) * TICK, (mid_ticks + 1) * TICK)


def test_a_column_holds_the_book_by_price() -> None:
    grid = DepthMap(1_000, TICK)
    sample(grid, 500, 20_000)
    index, depth, _, _ = grid.columns()
    assert index.tolist() == [0]
    filled = dict(zip((grid.prices_e9() // TICK).tolist(), depth[0].tolist(), strict=True))
    assert filled[19_999] == filled[20_001] == 5
    assert filled[20_000] == 0
    assert sum(filled.values()) == 200


def test_many_columns_merge_and_no_lot_that_traded_is_lost() -> None:
    grid = DepthMap(1_000, TICK)
    n = 5 * COLUMNS_MAX
    clock = np.arange(n) * 1_000
    price = np.full(n, 20_000 * TICK)
    lots = np.arange(1, n + 1)
    side = np.array([1, -1, 0] * (n // 3) + [1] * (n % 3), np.int8)
    for a in range(0, n, 500):
        part = slice(a, a + 500)
        grid.trade(clock[part], price[part], lots[part], side[part])
        sample(grid, int(clock[part][-1]), 20_000)
    index, depth, bought, sold = grid.columns()
    assert index.size <= 2 * COLUMNS_MAX
    assert grid.width_ns > 1_000
    assert bought.sum() + sold.sum() == pytest.approx(lots.sum(), rel=1e-6)
    assert bought.sum() == pytest.approx((lots[side == 1].sum() + lots[side == 0].sum() / 2), rel=1e-6)
    seen = np.isfinite(depth[:, 0])
    assert seen.any()
    assert (depth[seen].sum(axis=1) == 200).all()


@pytest.mark.parametrize("step", [37, -37])
def test_a_walk_out_of_the_grid_makes_rows_higher_and_loses_nothing_near_the_touch(step: int) -> None:
    grid = DepthMap(1_000, TICK)
    for i in range(100):
        sample(grid, i * 1_000, 20_000 + step * i)
        traded = np.array([(20_000 + step * i) * TICK])
        grid.trade(np.array([i * 1_000]), traded, np.array([3]), np.array([1], np.int8))
    _, depth, bought, _ = grid.columns()
    assert grid.row_e9 > TICK
    assert grid.row_e9 % TICK == 0
    assert bought.sum() == 300
    rows = grid.prices_e9()
    for i in (0, 50, 99):
        inside = np.flatnonzero(bought[i])
        assert inside.size == 1
        traded_at = (20_000 + step * i) * TICK
        assert rows[inside[0]] <= traded_at < rows[inside[0]] + grid.row_e9
        assert depth[i].sum() == 200


def test_an_empty_book_leaves_no_column_and_an_unseen_one_no_zero() -> None:
    grid = DepthMap(1_000, TICK)
    grid.sample(0, np.zeros(0, np.int64), np.zeros(0, np.int64), MISSING, MISSING)
    assert grid.empty
    grid.trade(np.array([0]), np.array([20_000 * TICK]), np.array([3]), np.array([1], np.int8))
    assert np.isnan(grid.columns()[1]).all()
