from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tapebook.features.catalogue import Catalogue
from tapebook.features.touch import TouchFeed
from tapebook.market.events import Events, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.report.over_time import COLUMNS, N_VPIN, OverTime, VolumeBuckets
from tests.features.histories import PLAIN, random_history


def trades(seed: int, n: int) -> tuple[Events, np.ndarray]:
    rng = np.random.default_rng(seed)
    e = empty_events(n)
    e["kind"] = Kind.TRADE
    e["qty_lots"] = rng.integers(1, 60, n)
    e["side"] = rng.choice([-1, 0, 1, 1], n)
    return e, np.cumsum(rng.integers(1, 1000, n))


@pytest.mark.parametrize("seed", range(4))
def test_buckets_are_those_of_a_lot_by_lot_count_whatever_the_cuts(seed: int) -> None:
    e, clock = trades(seed, 900)
    rng = np.random.default_rng(seed)
    cuts = [0, *sorted(rng.integers(0, e.size, 5).tolist()), e.size]
    buckets = VolumeBuckets()
    for a, b in pairwise(cuts):
        buckets.see(e[a:b], clock[a:b])
    sides = np.repeat(e["side"].astype(int), e["qty_lots"])
    times = np.repeat(clock, e["qty_lots"])
    n = sides.size // buckets.lots
    assert 512 <= n <= 1024
    assert buckets.imbalance.tolist() == sides[: n * buckets.lots].reshape(n, -1).sum(axis=1).tolist()
    assert buckets.closed_ns.tolist() == times[buckets.lots - 1 :: buckets.lots][:n].tolist()
    vpin = buckets.vpin()
    for i in (N_VPIN - 1, N_VPIN, n - 1):
        expected = np.abs(buckets.imbalance[i - N_VPIN + 1 : i + 1]).sum() / (N_VPIN * buckets.lots)
        assert vpin[i] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(vpin[: N_VPIN - 1]).all()


def test_independent_sides_have_about_the_level_that_is_told_for_them() -> None:
    rng = np.random.default_rng(1)
    e = empty_events(60_000)
    e["kind"], e["qty_lots"], e["side"] = Kind.TRADE, rng.integers(1, 20, e.size), rng.choice([-1, 1], e.size)
    buckets = VolumeBuckets()
    buckets.see(e, np.arange(e.size))
    assert np.nanmean(buckets.vpin()) == pytest.approx(buckets.null(), rel=0.05)


def test_moments_are_rows_of_the_catalogue_whatever_the_cuts() -> None:
    events, _ = random_history(1, 3000)
    events["ts_event_ns"] = events["ts_event_ns"][0] + np.arange(events.size) * 700_000_000
    instrument: Instrument = PLAIN
    rows = Catalogue(instrument, 1).advance(events)
    told = []
    for cuts in ([0, events.size], [0, 1, 999, 1500, events.size]):
        feed, over = TouchFeed(instrument, 1), OverTime(instrument, 1)
        for a, b in pairwise(cuts):
            over.see(feed.see(events[a:b]))
        told.append(over.document())
        last = np.flatnonzero(np.diff(events["ts_event_ns"] // over.width_ns, append=1 << 62))
        assert len(told[-1]["ts_ns"]) == last.size <= 1200
        for name in COLUMNS:
            assert np.array_equal(told[-1][name], rows[name][last], equal_nan=True)
    assert repr(told[0]) == repr(told[1])


def test_a_tape_without_trades_has_no_buckets() -> None:
    buckets = VolumeBuckets()
    buckets.see(empty_events(0), np.zeros(0, np.int64))
    document = buckets.document()
    assert document["vpin"] == []
    assert np.isnan(document["null"])
