from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.touch import TouchFeed, View
from tapebook.kernels import intervals as kernel
from tapebook.market.events import MISSING
from tapebook.report.intervals import Intervals, Timeline
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles.intervals import intervals as oracle

SECOND = 1_000_000_000


def views(seed: int, n: int = 300, cuts: int = 1) -> list[View]:
    events, _ = random_history(seed, n, holes=0.15)
    feed = TouchFeed(PLAIN, 1)
    return [feed.see(part) for part in np.array_split(events, cuts)]


def rows_of(seed: int, width_ns: int, cuts: int = 1) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    intervals = Intervals(width_ns, UNIT)
    parts = [intervals.see(view) for view in views(seed, cuts=cuts)]
    return np.concatenate([*parts, intervals.rest()])


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("width_ns", [SECOND, 100_000_000, 60 * SECOND])
def test_rows_equal_the_definition(seed: int, width_ns: int) -> None:
    _, history = random_history(seed, 300, holes=0.15)
    expected = oracle(history, width_ns)
    rows = rows_of(seed, width_ns)
    assert rows["index"].tolist() == sorted(expected)
    for row in rows:
        want = expected[int(row["index"])]
        for name in ("trades", "bought", "sold", "unknown", "ofi", "breaks", "delta", "quoted_ns"):
            assert row[name] == want[name], name
        prices = want["prices"]
        got = [int(row[n]) for n in ("open", "high", "low", "close")]
        assert got == ([prices[0], max(prices), min(prices), prices[-1]] if prices else [MISSING] * 4)
        mids = [2 * m for m in want["mids"]]
        got = [int(row[n]) for n in ("mid2_first", "mid2_high", "mid2_low", "mid2_last")]
        assert got == ([mids[0], max(mids), min(mids), mids[-1]] if mids else [MISSING] * 4)
        assert row["spread_ns"] == pytest.approx(float(want["spread_ns"]), rel=1e-12)


@pytest.mark.uncompiled
@pytest.mark.parametrize("cuts", [2, 7, 100])
def test_rows_do_not_depend_on_how_the_tape_is_cut(cuts: int) -> None:
    assert rows_of(1, SECOND, cuts).tobytes() == rows_of(1, SECOND).tobytes()


@pytest.mark.uncompiled
def test_merged_rows_are_the_rows_of_the_wider_interval_but_for_time_between_them() -> None:
    narrow, wide = rows_of(2, SECOND), rows_of(2, 4 * SECOND)
    merged = narrow.copy()
    merged = merged[: kernel.halve(merged, merged.size, 4)]
    for name in merged.dtype.names or ():
        if name in ("spread_ns", "quoted_ns", "bid_sz_ns", "ask_sz_ns", "sized_ns", "first_ns", "touches"):
            continue
        if name.startswith(("mid2", "spread")):
            continue  # a wide interval does not look again at the quote that stood when one of its parts began
        assert np.array_equal(merged[name], wide[name], equal_nan=merged[name].dtype.kind == "f"), name
    assert (merged["quoted_ns"] <= wide["quoted_ns"]).all()


@pytest.mark.parametrize("columns", [4, 16, 100])
def test_a_timeline_keeps_few_columns_and_loses_nothing(columns: int) -> None:
    timeline = Timeline(columns, 1_000_000, UNIT)
    for view in views(3, n=2_000, cuts=9):
        timeline.see(view)
    rows, width_ns = timeline.columns()
    _, history = random_history(3, 2_000, holes=0.15)
    assert 0 < rows.size <= columns
    assert rows["trades"].sum() == sum(m.price is not None for m in history)
    assert rows["bought"].sum() == sum(m.qty for m in history if m.price is not None and m.side == 1)
    assert (np.diff(rows["index"]) > 0).all()
    assert (rows["first_ns"] // width_ns == rows["index"]).all()
    prices = [m.price for m in history if m.price is not None]
    known = rows[rows["high"] != MISSING]
    assert (known["high"].max(), known["low"].min()) == (max(prices), min(prices))
    again, width_again = timeline.columns()
    assert (again.tobytes(), width_again) == (rows.tobytes(), width_ns)


def test_a_tape_of_moments_far_apart_still_gets_columns_that_can_be_seen() -> None:
    timeline = Timeline(100, 1_000_000, UNIT)
    for view in views(3, n=40):
        timeline.see(view)
    rows, width_ns = timeline.columns()
    span = int(rows["last_ns"][-1] - rows["first_ns"][0])
    assert width_ns * 400 > span


@pytest.mark.uncompiled
def test_bins_are_exact_below_64_and_within_four_percent_beyond() -> None:
    for x in [*range(200), 1_000, 12_345, 10**6, 10**9]:
        start, end = kernel.bin_start(kernel.coarse_bin(x)), kernel.bin_start(kernel.coarse_bin(x) + 1)
        assert start <= x < end
        assert end - start <= max(1, 0.04 * x)
