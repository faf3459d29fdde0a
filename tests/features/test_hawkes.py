"""The live Hawkes feature: the model's own intensities, the laws with a warm memory, orders counted once."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.features.hawkes import HawkesIntensity
from tapebook.features.touch import FoldOperator
from tapebook.market.checks import check_causality, check_chunks, check_restart, check_untouched
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Rows
from tapebook.models.hawkes import Hawkes
from tests.tapes import random_anything, random_levels

pytestmark = pytest.mark.uncompiled

INSTRUMENT = Instrument(symbol="AAA", venue="X", tick_e9=250_000_000)
START = 1_710_252_000_000_000_000
MODEL = Hawkes(
    np.array([0.5, 0.3]),
    np.array([[[0.2, 0.2], [0.1, 0.0]], [[0.05, 0.1], [0.3, 0.1]]]),
    np.array([[0.5, 20.0], [1.0, 8.0]]),
)


def of_model() -> HawkesIntensity:
    return HawkesIntensity.of_fit(MODEL.to_dict())


def prints(
    times_s: np.ndarray[tuple[int], np.dtype[np.float64]], side: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> Events:
    e = empty_events(times_s.size)
    e["kind"], e["price"], e["qty_lots"], e["instrument_id"], e["flags"] = Kind.TRADE, 100, 1, 1, Flag.LAST
    e["ts_event_ns"] = START + np.round(times_s * 1e9).astype(np.int64)
    e["side"] = side
    return e


def rows(feature: HawkesIntensity, events: Events) -> Rows:
    return FoldOperator(INSTRUMENT, 1, feature).advance(events)


def test_live_intensities_are_those_of_the_model_on_the_whole_past() -> None:
    times, types = MODEL.simulate(300.0, np.random.default_rng(1))
    live = rows(of_model(), prints(times, 1 - 2 * types))
    stamps = (live["ts_ns"] - START) * 1e-9
    just_after = np.nextafter(stamps, np.inf)
    research = MODEL.intensity(stamps, types, just_after)
    warm = stamps - stamps[0] >= np.log(2) / 0.5
    assert np.isnan(live["hawkes_buy_per_s"][~warm]).all()
    for name, i in (("hawkes_buy_per_s", 0), ("hawkes_sell_per_s", 1)):
        assert live[name][warm] == pytest.approx(research[warm, i], rel=1e-6)
    buy, sell = research[warm].T
    assert live["hawkes_ratio"][warm] == pytest.approx(buy / sell, rel=1e-6)
    assert live["hawkes_imbalance"][warm] == pytest.approx((buy - sell) / (buy + sell), abs=1e-6)
    assert live["hawkes_self_excitation"][warm] == pytest.approx(1 - 0.8 / (buy + sell), rel=1e-6)


def test_on_a_long_sample_the_excited_share_is_near_the_branching_ratio() -> None:
    h = Hawkes(np.array([0.5, 0.5]), np.array([[[0.4], [0.2]], [[0.2], [0.4]]]), np.full((2, 1), 3.0))
    times, types = h.simulate(4000.0, np.random.default_rng(2))
    found = rows(
        HawkesIntensity(half_life_s=np.log(2) / 3, self_children=0.4, cross_children=0.2), prints(times, 1 - 2 * types)
    )
    defined = ~np.isnan(found["hawkes_buy_per_s"])
    first = int(np.flatnonzero(defined)[0])
    assert (found["ts_ns"][first] - found["ts_ns"][0]) * 1e-9 >= 300.0  # the default baseline needs one half-life
    assert defined[first:].all()
    # Just before an event the mean intensity counts the events: the adaptive baseline must come out near mu.
    base = (1 - found["hawkes_self_excitation"]) * (found["hawkes_buy_per_s"] + found["hawkes_sell_per_s"])
    assert np.nanmean(base) == pytest.approx(1.0, rel=0.2)


def test_the_fills_of_one_order_make_one_row_and_one_rise() -> None:
    times = np.array([0.0, 5.0, 5.0, 5.0, 9.0])
    side = np.array([1, -1, -1, -1, 1])
    feature = HawkesIntensity(baseline_per_s=(0.5, 0.5), half_life_s=1.0)
    merged = rows(feature, prints(times, side))
    once = rows(HawkesIntensity(baseline_per_s=(0.5, 0.5), half_life_s=1.0), prints(times[[0, 1, 4]], side[[0, 1, 4]]))
    assert merged["ts_ns"].size == 3
    assert merged["hawkes_sell_per_s"].tobytes() == once["hawkes_sell_per_s"].tobytes()
    assert merged["hawkes_sell_per_s"][1] > 0.8


def test_prints_without_a_side_make_no_row_and_a_new_session_starts_again() -> None:
    day = 86_400.0
    feature = HawkesIntensity(baseline_per_s=(0.5, 0.5), half_life_s=1.0)
    found = rows(feature, prints(np.array([0.0, 3.0, 4.0, day, day + 3]), np.array([1, 0, 1, 1, 1])))
    assert np.isnan(found["hawkes_buy_per_s"]).tolist() == [True, False, True, False]


@pytest.mark.parametrize("seed", range(4))
def test_the_laws_hold_once_the_memory_is_warm(seed: int) -> None:
    def quick() -> FoldOperator:
        feature = HawkesIntensity(
            half_life_s=(0.01, 0.2), self_children=0.2, baseline_half_life_s=0.05, merge_ns=5_000_000
        )
        return FoldOperator(INSTRUMENT, 1, feature)

    def fitted() -> FoldOperator:
        fast = MODEL.scaled(50.0).to_dict()
        return FoldOperator(INSTRUMENT, 1, HawkesIntensity.of_fit(fast))

    rng = np.random.default_rng(seed)
    for tape in (random_levels, random_anything):
        events, changed = tape(seed, 600), tape(seed + 50, 100)
        for make in (quick, fitted):
            check_untouched(make, events)
            check_chunks(make, events, rng.integers(0, 600, 30).tolist())
            check_restart(make, events, int(rng.integers(0, 600)))
            check_causality(make, events, int(rng.integers(0, 600)), changed)
    assert np.isfinite(quick().advance(random_levels(seed, 600))["hawkes_ratio"]).sum() > 30


def test_parameters_that_explode_or_do_not_fit_are_refused() -> None:
    for options in (
        {"self_children": 0.9, "cross_children": 0.2},
        {"half_life_s": 0.0},
        {"self_children": -0.1},
        {"baseline_per_s": (0.0, 1.0)},
        {"baseline_half_life_s": 0.0},
        {"merge_ns": -1},
    ):
        with pytest.raises(ConfigurationError):
            HawkesIntensity(**options)
    with pytest.raises(ConfigurationError, match="buys and sells"):
        HawkesIntensity.of_fit(Hawkes.one(1.0, 0.5, 1.0).to_dict())
    with pytest.raises(ConfigurationError):
        HawkesIntensity.of_fit({})
