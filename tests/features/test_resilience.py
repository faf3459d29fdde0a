from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.resilience import Resilience, make
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Kind, TradeCondition
from tapebook.market.operators import Rows
from tests.features.histories import PLAIN
from tests.features.test_flow_rates import tape

pytestmark = pytest.mark.uncompiled

BOOK = [
    (0.0, Kind.ADD, 1, 100, 10, 1, 0),
    (0.0, Kind.ADD, -1, 101, 10, 2, 0),
    (0.0, Kind.ADD, -1, 103, 2, 3, 0),
]
BUY = [(1.0, Kind.TRADE, 1, 101, 10, 0, 0), (1.0, Kind.EXECUTE, -1, 101, 10, 2, 0)]


def episodes(flow: list[tuple[float, Kind, int, int, int, int, int]], **parameters: float) -> Rows:
    return make(PLAIN, 1, **parameters).advance(tape(BOOK + flow))  # type: ignore[arg-type] # reach is whole


def test_depth_and_spread_are_timed_from_the_moment_they_were_gone() -> None:
    back = [
        (1.5, Kind.ADD, -1, 103, 3, 4, 0),  # five of ten: half of what was gone needs six
        (2.0, Kind.ADD, -1, 103, 1, 5, 0),
        (4.0, Kind.ADD, -1, 101, 1, 6, 0),
    ]
    rows = episodes(BUY + back)
    got = {name: column.tolist() for name, column in rows.items()}
    assert got["side"] == [1]
    assert (got["qty_lots"], got["depth_before_lots"], got["depth_after_lots"]) == ([10], [10], [2])
    assert (got["spread_before"], got["spread_after"]) == ([1.0], [3.0])
    assert got["depth_half_s"] == [1.0]
    assert got["spread_recovery_s"] == [3.0]
    assert got["why"] == [0]
    assert rows["ts_ns"][0] - rows["ts_trade_ns"][0] == 3_000_000_000


def test_what_does_not_come_back_in_time_is_not_made_up() -> None:
    rows = episodes([*BUY, (20.0, Kind.ADD, -1, 104, 1, 9, 0)], horizon_s=5.0)
    assert rows["why"].tolist() == [1]
    assert np.isnan(rows["depth_half_s"]).all()
    assert np.isnan(rows["spread_recovery_s"]).all()


def test_the_end_of_a_session_cuts_an_episode_off() -> None:
    rows = episodes([*BUY, (86_400.0, Kind.ADD, -1, 104, 1, 9, 0)], horizon_s=1e6)
    assert rows["why"].tolist() == [2]


def test_a_small_trade_and_a_cancel_without_a_trade_are_no_episodes() -> None:
    small = [(1.0, Kind.TRADE, 1, 101, 3, 0, 0), (1.0, Kind.EXECUTE, -1, 101, 3, 2, 0)]
    cancel = [(9.0, Kind.CANCEL, -1, 101, 7, 2, 0), (90.0, Kind.ADD, 1, 99, 1, 8, 0)]
    assert episodes(small + cancel)["why"].size == 0


def test_an_off_book_print_takes_nothing_from_the_book() -> None:
    cancel = [(1.0, Kind.CANCEL, -1, 101, 10, 2, 0), (90.0, Kind.ADD, 1, 99, 1, 8, 0)]
    events = tape([*BOOK, BUY[0], *cancel])
    assert make(PLAIN, 1).advance(events)["why"].size == 1
    events["detail"][3] = TradeCondition.OFF_BOOK
    assert make(PLAIN, 1).advance(events)["why"].size == 0


def test_a_level_that_is_told_after_the_trade_counts_if_it_settles_in_time() -> None:
    for late_s, found in ((0.05, 1), (0.5, 0)):
        levels = [
            (0.0, Kind.LEVEL, 1, 100, 10, 0, 0),
            (0.0, Kind.LEVEL, -1, 101, 10, 0, 0),
            (1.0, Kind.TRADE, 1, 101, 8, 0, 0),
            (1.0 + late_s, Kind.LEVEL, -1, 101, 2, 0, 0),
            (2.0, Kind.LEVEL, -1, 101, 9, 0, 0),
        ]
        assert make(PLAIN, 1).advance(tape(levels))["why"].size == found


def test_parameters_out_of_range_are_refused() -> None:
    for wrong in ({"reach": 0}, {"depleted_share": 0.0}, {"settle_s": -1.0}, {"horizon_s": 0.0}):
        with pytest.raises(ConfigurationError):
            Resilience(**wrong)
