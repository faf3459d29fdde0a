from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tapebook.report.axes import TimeAxis, price_steps
from tapebook.report.bars import wall_seconds

HOUR = 3_600_000_000_000
CHICAGO = ZoneInfo("America/Chicago")


def ns(*stamps: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(stamps, "M8[ns]").astype(np.int64)


def labels(start: str, end: str, zone: ZoneInfo) -> list[str]:
    return TimeAxis(ns(start), ns(end), zone).ticks()[1]


def test_nights_are_taken_out_and_marked() -> None:
    starts = ns("2024-03-04T14:30", "2024-03-05T14:30", "2024-03-06T14:30")
    axis = TimeAxis(starts, starts + 6 * HOUR, ZoneInfo("America/New_York"))
    assert axis.length_s == 18 * 3600
    assert axis.leaps_s == [6 * 3600, 12 * 3600]
    assert axis(ns("2024-03-05T15:30")).tolist() == [7 * 3600]
    assert axis(ns("2024-03-05T03:00")).tolist() == [6 * 3600]  # in the night: on its edge
    assert axis.segment(ns("2024-03-05T15:30", "2024-03-06T15:30")).tolist() == [1, 2]


def test_short_pauses_stay() -> None:
    starts = ns("2024-03-04T14:30", "2024-03-04T14:50")
    assert TimeAxis(starts, starts + HOUR // 6, CHICAGO).leaps_s == []


def test_labels_are_wall_times_of_the_exchange_with_the_day_once() -> None:
    assert labels("2023-12-25T22:00", "2023-12-26T00:00", CHICAGO)[:3] == ["16:00\n25 Dec", "16:15", "16:30"]


def test_labels_stay_on_the_hour_where_summer_time_begins() -> None:
    starts = ns("2024-03-08T14:30", "2024-03-11T13:30")  # half past eight in Chicago, before and after the change
    axis = TimeAxis(starts, starts + 3 * HOUR, CHICAGO)
    _, texts = axis.ticks()
    assert all(t.split("\n")[0].endswith((":00", ":30")) for t in texts)
    assert sum("08 Mar" in t for t in texts) == 1
    assert sum("11 Mar" in t for t in texts) == 1


def test_a_second_and_a_year_have_readable_labels() -> None:
    assert labels("2024-03-04T14:30:00", "2024-03-04T14:30:01", CHICAGO)[1].endswith(" s")
    days = labels("2023-03-04T00:00", "2024-03-04T00:00", CHICAGO)
    assert 4 <= len(days) <= 9
    assert all(":" not in d for d in days)


@pytest.mark.parametrize(
    ("low", "high", "tick"),
    [(4_780.0, 4_790.0, 0.25), (0.00012, 0.00034, 0.00001), (61_000.0, 61_900.0, 0.01), (-3, 4, 0)],
)
def test_price_steps_lie_on_the_grid_and_inside(low: float, high: float, tick: float) -> None:
    steps = price_steps(low, high, tick)
    assert 3 <= len(steps) <= 14
    assert low - 1e-9 <= steps[0] <= steps[-1] <= high + 1e-9
    if tick:
        assert np.allclose(np.round(np.array(steps) / tick), np.array(steps) / tick)


def test_a_flat_price_has_one_step() -> None:
    assert price_steps(5.0, 5.0, 0.25) == [5.0]


def test_seconds_of_the_day_follow_summer_time() -> None:
    before, after = ns("2024-03-08T14:30", "2024-03-11T13:30")
    assert wall_seconds(np.array([before, after]), CHICAGO).tolist() == [8 * 3600 + 1800] * 2
