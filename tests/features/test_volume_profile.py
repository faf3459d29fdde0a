from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.features.cumulative_delta import make as make_delta
from tapebook.features.touch import FoldOperator
from tapebook.features.volume_profile import VolumeProfile, levels_of, make, row_ticks_for
from tapebook.kernels import volume_profile as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tests.features.histories import PLAIN, UNIT, random_history, vector, vector_rows
from tests.oracles import profile as oracle

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=UNIT // 4, root="ES", calendar="CME", kind="future")


def prints(prices: list[float], *, ts: int = 0, qty: int = 1, side: int = 1) -> Events:
    e = empty_events(len(prices))
    e["instrument_id"], e["kind"], e["side"], e["flags"], e["qty_lots"] = 1, Kind.TRADE, side, Flag.LAST, qty
    e["price"] = [round(p * UNIT) for p in prices]
    e["ts_event_ns"] = ts + np.arange(len(prices))
    return e


@pytest.mark.uncompiled
@pytest.mark.parametrize("step", [1, 2])
def test_value_areas_equal_the_reference_vectors(step: int) -> None:
    expected = vector("value_area__hand")[f"step{step}_up_centre_low"]
    for row, wanted in zip(vector_rows("profiles.csv"), expected, strict=True):
        volume = np.array(row)
        traded = np.flatnonzero(volume)
        low, high = int(traded[0]), int(traded[-1])
        poc, val, vah = (r + low for r in levels_of(volume[low : high + 1], 0.7, step))
        assert (poc, val, vah) == (wanted["poc"], wanted["val"], wanted["vah"])


@pytest.mark.uncompiled
def test_the_golden_profile_of_the_footprint_document() -> None:
    volume = np.array([14, 39, 75, 85, 58, 36, 4])  # ticks 9 to 15
    assert [r + 9 for r in levels_of(volume)] == [12, 10, 14]
    assert [r + 9 for r in levels_of(volume, step=1)] == [12, 11, 13]


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=25).filter(lambda v: v[0] > 0 and v[-1] > 0),
    st.sampled_from([Fraction(68, 100), Fraction(7, 10), Fraction(1)]),
    st.sampled_from([1, 2]),
)
def test_levels_follow_their_rules_on_any_profile(volume: list[int], share: Fraction, step: int) -> None:
    poc, val, vah = levels_of(np.array(volume), float(share), step)
    assert poc == oracle.point_of_control(volume)
    assert (val, vah) == oracle.value_area(volume, poc, share, step)
    assert val <= poc <= vah
    assert sum(volume[val : vah + 1]) >= share * sum(volume)


@pytest.mark.uncompiled
def test_a_tie_goes_to_the_heavier_half() -> None:
    assert levels_of(np.array([1, 5, 1, 5, 3]))[0] == 3
    assert levels_of(np.array([3, 5, 1, 5, 1]))[0] == 1
    assert levels_of(np.array([1, 5, 1, 5, 1]))[0] == 1


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(4))
def test_no_lot_is_lost(seed: int) -> None:
    events, history = random_history(seed, 300)
    fold = VolumeProfile(PLAIN, reset="never")
    FoldOperator(PLAIN, 1, fold).advance(events)
    profile = fold.profile()
    trades = [m for m in history if m.price is not None]
    for which, side in ((profile.bought, 1), (profile.sold, -1), (profile.unknown, 0)):
        assert int(which.sum()) == sum(m.qty for m in trades if m.side == side)
    by_price = {float(p): int(v) for p, v in zip(profile.price, profile.volume, strict=True) if v}
    expected: dict[float, int] = {}
    for m in trades:
        assert m.price is not None
        expected[m.price / UNIT] = expected.get(m.price / UNIT, 0) + m.qty
    assert by_price == expected


@pytest.mark.uncompiled
def test_volume_delta_and_profile_agree() -> None:
    events, _ = random_history(5, 300)
    delta = make_delta(PLAIN, 1).advance(events)
    fold = VolumeProfile(PLAIN)
    FoldOperator(PLAIN, 1, fold).advance(events)
    profile = fold.profile()
    assert delta["cum_volume_lots"][-1] == profile.volume.sum()
    assert delta["cum_delta_lots"][-1] == profile.bought.sum() - profile.sold.sum()
    assert delta["cum_unknown_lots"][-1] == profile.unknown.sum()


def test_a_session_starts_anew_at_seventeen_hours_in_chicago() -> None:
    evening = int(np.datetime64("2024-03-05T21:59:00", "ns").astype(np.int64))
    night = int(np.datetime64("2024-03-05T23:00:00", "ns").astype(np.int64))
    tape = np.concatenate([prints([5000, 5000.25, 5000.25], ts=evening), prints([5100], ts=night, side=-1)])
    rows = make(ES, 1).advance(tape)
    assert rows["closed"].tolist() == [True]
    assert rows["poc"].tolist() == [5000.25]
    assert rows["volume_lots"].tolist() == [3]
    assert [str(np.datetime64(int(d), "D")) for d in rows["session"]] == ["2024-03-05"]
    delta = make_delta(ES, 1).advance(tape)
    assert delta["cum_delta_lots"].tolist() == [1, 2, 3, -1]


@pytest.mark.uncompiled
def test_a_developing_level_is_told_when_its_interval_is_over_and_not_before() -> None:
    minute = 60 * UNIT
    tape = np.concatenate([prints([10, 10, 11], ts=5), prints([11, 11], ts=minute + 5), prints([12], ts=3 * minute)])
    rows = make(PLAIN, 1).advance(tape)
    assert rows["ts_ns"].tolist() == [minute + 5, 3 * minute]
    assert rows["poc"].tolist() == [10, 11]
    assert rows["volume_lots"].tolist() == [3, 5]


@pytest.mark.uncompiled
def test_an_absurd_price_takes_no_memory_and_is_counted() -> None:
    fold = VolumeProfile(PLAIN, reset="never")
    operator = FoldOperator(PLAIN, 1, fold)
    operator.advance(prints([100, 101]))
    operator.advance(prints([5e9], qty=7))
    profile = fold.profile()
    assert profile.volume.sum() == 2
    assert profile.outside_lots == 7
    assert fold.save()["volumes"].shape[0] == 2


@pytest.mark.uncompiled
def test_rows_grow_with_the_price_where_a_tick_is_tiny() -> None:
    assert row_ticks_for(6_000 * UNIT, UNIT // 4) == 1
    assert row_ticks_for(60_000 * UNIT, UNIT // 100) == 100
    btc = Instrument(symbol="BTCUSDT", venue="BINANCE", tick_e9=UNIT // 100)
    fold = VolumeProfile(btc)
    FoldOperator(btc, 1, fold).advance(prints([60_000.55, 60_000.99, 60_001.0]))
    profile = fold.profile()
    assert (profile.row_ticks, profile.price.tolist(), profile.volume.tolist()) == (100, [60_000, 60_001], [2, 1])


@pytest.mark.uncompiled
def test_an_instrument_without_a_tick_gets_rows_from_its_first_price() -> None:
    nameless = Instrument(symbol="?", venue="?")
    fold = VolumeProfile(nameless)
    FoldOperator(nameless, 1, fold).advance(prints([0.1234, 0.1235, 0.13]))
    assert fold.profile().row_e9 == 10_000  # 1e-4 of 0.1
    assert fold.profile().volume.sum() == 3


@pytest.mark.uncompiled
def test_prices_below_zero_have_rows_too() -> None:
    fold = VolumeProfile(PLAIN, row_ticks=2)
    FoldOperator(PLAIN, 1, fold).advance(prints([-37, -38, 1]))
    profile = fold.profile()
    assert dict(zip(profile.price.tolist(), profile.volume.tolist(), strict=True))[-38.0] == 2
    assert profile.volume.sum() == 3


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.5}, {"every_s": 0.0}, {"row_ticks": 0}])
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        VolumeProfile(PLAIN, **bad)  # type: ignore[arg-type]  # the point of the test


def test_nothing_traded_gives_no_levels() -> None:
    profile = VolumeProfile(PLAIN).profile()
    assert profile.price.size == 0
    assert np.isnan([profile.poc, profile.val, profile.vah]).all()
    assert levels_of(np.zeros(0, np.int64)) == (-1, -1, -1)
    assert kernel.N_STATE == 6
