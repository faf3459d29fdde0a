from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.touch import TouchFeed
from tapebook.market.events import MISSING
from tapebook.report.flow import FlowFit, least_squares
from tapebook.report.forecast import Forecast
from tapebook.report.intervals import INTERVAL, Intervals
from tests.features.histories import PLAIN, UNIT, random_history

SECOND = 1_000_000_000


def second_rows(n: int, seed: int = 1) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Seconds with a mid that follows flow, two-sided throughout, with gaps between them."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, INTERVAL)
    rows["index"] = np.cumsum(rng.integers(1, 3, n))
    rows["ofi"] = rng.integers(-50, 51, n)
    rows["bought"], rows["sold"] = rng.integers(0, 20, n), rng.integers(0, 20, n)
    mid = 1_000 * UNIT + np.cumsum(rows["ofi"] * UNIT // 100 + rng.integers(-UNIT // 50, UNIT // 50, n))
    rows["mid2_last"] = 2 * mid
    rows["bid_px"], rows["ask_px"] = mid - UNIT, mid + UNIT
    rows["imbalance"] = rng.uniform(-1, 1, n)
    rows["microprice"] = mid + rows["imbalance"] * UNIT / 2
    return rows


def test_a_line_is_the_one_of_numpy() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=200), rng.normal(size=200)
    y += 3 * x + 1
    fit = least_squares(np.array([x.size, x.sum(), y.sum(), (x * x).sum(), (x * y).sum(), (y * y).sum()]))
    assert fit is not None
    slope, intercept = np.polyfit(x, y, 1)
    assert (fit.slope, fit.intercept) == pytest.approx((slope, intercept))
    assert fit.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    residual = y - slope * x - intercept
    error = np.sqrt((residual**2).sum() / (x.size - 2) / ((x - x.mean()) ** 2).sum())
    assert fit.slope_error == pytest.approx(error)


@pytest.mark.parametrize("moments", [[2, 1, 1, 1, 1, 1], [5, 10, 3, 20, 6, 9], [5, 3, 10, 9, 6, 20]])
def test_too_few_points_or_none_that_differ_give_no_line(moments: list[float]) -> None:
    assert least_squares(np.array(moments, np.float64)) is None


@pytest.mark.parametrize("seconds", [1, 10])
@pytest.mark.parametrize("cuts", [1, 3, 50])
def test_points_are_flow_and_move_of_each_interval(seconds: int, cuts: int) -> None:
    rows = second_rows(400)
    flow = FlowFit(seconds)
    for part in np.array_split(rows, cuts):
        flow.see(part)
    flow.finish()
    group = rows["index"] // seconds
    expected = []
    before = None
    for g in np.unique(group):
        mine = rows[group == g]
        if before is not None:
            move = (int(mine["mid2_last"][-1]) - before) / 2
            expected.append((mine["ofi"].sum(), (mine["bought"] - mine["sold"]).sum(), move))
        before = int(mine["mid2_last"][-1])
    assert flow.points().tolist() == [list(map(float, p)) for p in expected]
    fit = flow.fit()
    assert fit is not None
    assert fit.n == len(expected)


def test_an_interval_with_a_break_a_crossing_or_another_session_is_left_out() -> None:
    rows = second_rows(10)
    rows["index"] = np.arange(10)
    rows["breaks"][2], rows["crossed"][4], rows["session"][7:] = 1, 1, 1
    rows["mid2_last"][9] = MISSING
    flow = FlowFit(1)
    flow.see(rows)
    flow.finish()
    assert flow.points()[:, 0].tolist() == rows["ofi"][[1, 3, 5, 6, 8]].tolist()


def test_very_many_points_are_thinned_but_not_the_fit_nor_what_stands_out() -> None:
    flow = FlowFit(1)
    rows = second_rows(1_000)
    rows["ofi"][500] = 100_000
    for i in range(140):
        more = rows.copy()
        more["index"] += i * 3_000
        if i:
            more["ofi"][500] = 0
        flow.see(more)
    flow.finish()
    fit = flow.fit()
    assert fit is not None
    assert fit.n > 139_000
    assert flow.points().shape[0] < 70_000
    assert flow.points()[:, 0].max() == 100_000


@pytest.mark.parametrize("cuts", [1, 4, 100])
def test_the_future_mid_is_the_one_that_stood_some_seconds_later(cuts: int) -> None:
    rows = second_rows(300, seed=4)
    forecast = Forecast(5)
    for part in np.array_split(rows, cuts):
        forecast.see(part)
    errors, micro_errors, moves = [], [], []
    last = int(rows["index"][-1])
    for row in rows:
        if row["index"] + 5 > last:
            continue
        later = rows[rows["index"] <= row["index"] + 5][-1]["mid2_last"] / 2
        mid = (row["bid_px"] + row["ask_px"]) / 2
        errors.append(later - mid)
        micro_errors.append(later - row["microprice"])
        moves.append((row["imbalance"], later - mid))
    assert forecast.n == len(errors)
    assert forecast.errors_e9() == pytest.approx(
        (np.sqrt(np.mean(np.square(errors))), np.sqrt(np.mean(np.square(micro_errors))))
    )
    table = forecast.by_imbalance()
    assert sum(row["seconds"] for row in table) == len(errors)
    top = [move for imbalance, move in moves if imbalance >= 0.8]
    assert table[-1]["move_e9"] == pytest.approx(np.mean(top))


def test_nothing_seen_is_undefined_and_no_zero() -> None:
    assert np.isnan(Forecast().errors_e9()).all()
    assert FlowFit(1).fit() is None
    assert FlowFit(1).points().shape == (0, 3)


def test_flow_of_the_seconds_is_the_flow_of_the_feature() -> None:
    from tapebook.features.ofi import Ofi

    events, _ = random_history(6, 400, holes=0.1)
    view = TouchFeed(PLAIN, 1).see(events)
    intervals = Intervals(SECOND, UNIT)
    rows = np.concatenate([intervals.see(view), intervals.rest()])
    feature = Ofi().fold(view)["ofi_lots"]
    assert rows["ofi"].sum() == np.nansum(feature)
    assert rows["breaks"].sum() == np.isnan(feature).sum()
