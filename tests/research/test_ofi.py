from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.market.errors import DataQualityError
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.tape import Origin, Tape
from tapebook.readers import open_tape
from tapebook.research import ofi
from tapebook.research.ofi import Explained, Intervals
from tests.features.histories import UNIT
from tests.oracles import flow as oracle

AMZN = "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"


def tape_of(events: Events, block: int) -> Tape:
    instrument = Instrument(symbol="X", venue="Y", tick_e9=UNIT)
    return Tape(
        origin=Origin(name="made", format="made"),
        read=lambda _: (events[i : i + block] for i in range(0, events.size, block)),
        instruments=InstrumentTable({1: instrument}),
    )


def random_tape(seed: int, n: int) -> Events:
    """Two-sided quotes of one level, each a message, and prints."""
    rng = np.random.default_rng(seed)
    e = empty_events(2 * n)
    e["instrument_id"] = 1
    e["kind"] = Kind.QUOTE
    e["ts_event_ns"] = np.repeat(20_000 * 86_400 * UNIT + np.sort(rng.integers(0, 400 * UNIT, n)), 2)
    bid = 100 + np.cumsum(rng.integers(-1, 2, n))
    e["price"][0::2], e["price"][1::2] = bid * UNIT, (bid + rng.integers(1, 3, n)) * UNIT
    e["side"] = np.tile([1, -1], n)
    e["qty_lots"] = rng.integers(1, 30, 2 * n)
    e["flags"] = np.tile([0, int(Flag.LAST)], n)
    prints = e[1::10].copy()
    prints["kind"], prints["side"] = Kind.TRADE, rng.choice([-1, 0, 1], prints.size)
    both: Events = np.insert(e, np.arange(2, 2 * n + 1, 10), prints)
    return both


def made_sample(seed: int, n: int, levels: int = 3) -> Intervals:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(50, 400, n)
    flow = (rng.normal(0, 1, (n, 1)) + 0.5 * rng.normal(0, 1, (n, levels))) * depth[:, None]
    move = flow @ np.array([1.0, 0.5, 0.0])[:levels] / depth + rng.normal(0, 0.5, n)
    return Intervals(move, flow, flow[:, 0], rng.normal(0, 1, n), depth, 1.0, 0)


@pytest.mark.parametrize("block", [37, 10_000])
def test_intervals_are_the_sums_between_two_mids(block: int) -> None:
    events = random_tape(1, 900)
    (got,) = ofi.intervals(tape_of(events, block), seconds=[10.0], levels=2)
    from tapebook.features.ofi import make

    rows = make(Instrument(symbol="X", venue="Y", tick_e9=UNIT), 1).advance(events)
    mids: dict[int, float] = {}
    touch = {1: 0, -1: 0}
    for e in events:
        if e["kind"] == Kind.QUOTE:
            touch[int(e["side"])] = int(e["price"])
        if e["flags"] & Flag.LAST and touch[1] < touch[-1]:
            mids[int(e["ts_event_ns"]) // (10 * UNIT)] = (touch[1] + touch[-1]) / 2 / UNIT
    index = sorted(mids)
    flow = dict.fromkeys(index, 0.0)
    for t, x in zip(rows["ts_ns"], rows["ofi_lots"], strict=True):
        flow[int(t) // (10 * UNIT)] += 0.0 if np.isnan(x) else x
    trades = events[(events["kind"] == Kind.TRADE)]
    signed = dict.fromkeys(index, 0.0)
    for e in trades:
        signed[int(e["ts_event_ns"]) // (10 * UNIT)] += float(e["side"]) * float(e["qty_lots"])
    assert got.move_ticks.tolist() == [mids[b] - mids[a] for a, b in itertools.pairwise(index)]
    assert got.flow[:, 0].tolist() == [flow[k] for k in index[1:]]
    assert got.signed.tolist() == [signed[k] for k in index[1:]]
    assert got.left_out == 1


def test_a_quiet_interval_counts_with_no_move_and_a_break_is_left_out() -> None:
    events = random_tape(2, 300)
    t = events["ts_event_ns"] - 20_000 * 86_400 * UNIT
    quiet = events[(t < 100 * UNIT) | (t > 150 * UNIT)]
    (got,) = ofi.intervals(tape_of(quiet, 64), seconds=[10.0], levels=1)
    assert got.move_ticks.size == 39
    assert (got.flow[10:14] == 0).all()
    broken = quiet.copy()
    broken["flags"][-20] |= int(Flag.GAP)
    (less,) = ofi.intervals(tape_of(broken, 64), seconds=[10.0], levels=1)
    assert less.left_out == got.left_out + 1


def test_errors_hold_under_autocorrelation_as_the_definition_says() -> None:
    rng = np.random.default_rng(3)
    x = np.cumsum(rng.normal(0, 1, (80, 2)), axis=0)
    error = np.convolve(rng.normal(0, 1, 84), np.ones(5), "valid")
    design = np.column_stack([np.ones(80), x])
    for lags in (0, 4):
        assert ofi.newey_west(x, error, lags) == pytest.approx(oracle.newey_west(design, error, lags), rel=1e-8)
    assert ofi.newey_west(x, error) == pytest.approx(oracle.newey_west(design, error, 3), rel=1e-8)


def test_errors_are_those_of_statsmodels() -> None:
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(4)
    x, y = rng.normal(0, 1, (200, 2)), rng.normal(0, 1, 200)
    found = api.OLS(y, api.add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": 4})
    assert ofi.newey_west(x, np.asarray(found.resid), 4) == pytest.approx(found.bse, rel=1e-8)


def test_a_ridge_without_penalty_is_least_squares_and_with_much_of_it_nothing() -> None:
    sample = made_sample(5, 400)
    constant, slope = ofi.ridge(sample.flow, sample.move_ticks, 0.0)
    design = np.column_stack([np.ones(400), sample.flow])
    assert [constant, *slope] == pytest.approx(np.linalg.lstsq(design, sample.move_ticks, rcond=None)[0].tolist())
    assert np.abs(ofi.ridge(sample.flow, sample.move_ticks, 1e9)[1]).max() < 1e-9
    assert ofi.ridge(np.zeros((400, 1)), sample.move_ticks, 1.0)[1].tolist() == [0.0]


def test_what_divides_by_depth_explains_a_market_whose_impact_is_one_over_depth() -> None:
    found = {r.model: r for r in ofi.explain(made_sample(6, 4_000))}
    assert list(found) == list(ofi.MODELS)
    assert found["levels by depth, ridge"].r2_adjusted > found["levels, least squares"].r2_adjusted
    assert found["integrated"].r2_out_of_sample > found["first component"].r2_out_of_sample
    assert abs(found["trade imbalance"].t_hac) < 4
    assert found["best level"].t_hac > 20


def test_of_a_tape_of_the_touch_only_the_touch_is_asked() -> None:
    sample = made_sample(8, 400)
    sample.flow[:, 1:] = 0.0
    assert [r.model for r in ofi.explain(sample)] == ["best level", "best level by depth", "trade imbalance"]


def test_adjusted_r2_of_one_regressor_is_the_textbook_one() -> None:
    sample = made_sample(7, 500)
    r = np.corrcoef(sample.flow[:, 0], sample.move_ticks)[0, 1]
    best = next(r for r in ofi.explain(sample) if r.model == "best level")
    assert best.r2_adjusted == pytest.approx(1 - (1 - r**2) * 499 / 498)


def test_too_little_is_refused() -> None:
    with pytest.raises(DataQualityError, match="too little"):
        ofi.explain(made_sample(1, 50))


def test_the_table_is_markdown() -> None:
    text = ofi.table([Explained("best level", 1234, 0.5, 0.25, 0.01, 7.0)], "X, 1 s")
    assert text.splitlines()[0] == "X, 1 s, 1,234 intervals"
    assert text.splitlines()[-1] == "| best level | 0.500 | 0.250 | 7.0 |"


@pytest.mark.recording
@pytest.mark.slow
def test_a_nasdaq_day_is_explained_as_it_is_known_to_be(recording: Callable[[str], Path]) -> None:
    # An independent computation over the same day, 10 s: best level 0.312, five levels by least squares 0.598, their
    # first component 0.592, their sum 0.589, trade imbalance 0.321.
    (sample,) = ofi.intervals(open_tape(recording(AMZN)), seconds=[10.0], levels=5)
    found = {r.model: r.r2_adjusted for r in ofi.explain(sample)}
    assert sample.move_ticks.size == 2_339
    assert found["best level"] == pytest.approx(0.312, abs=0.02)
    assert found["levels, least squares"] == pytest.approx(0.598, abs=0.02)
    assert found["first component"] == pytest.approx(0.592, abs=0.02)
    assert found["sum of levels"] == pytest.approx(0.589, abs=0.02)
    assert found["trade imbalance"] == pytest.approx(0.321, abs=0.02)


@pytest.mark.recording
@pytest.mark.slow
def test_dividing_by_depth_is_what_holds_out_of_sample(recording: Callable[[str], Path]) -> None:
    (sample,) = ofi.intervals(open_tape(recording(AMZN)), seconds=[10.0], levels=5)
    found = {r.model: r.r2_out_of_sample for r in ofi.explain(sample)}
    assert found["integrated"] > 0.7
    assert found["best level"] < 0  # the impact of a lot in the morning is not that of the afternoon
