from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tapebook.features.classification import bulk_volume
from tapebook.features.vpin import Vpin, make, vpin
from tapebook.market.checks import check_causality, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Kind, SideSource, TradeCondition, empty_events
from tapebook.market.operators import Operator
from tapebook.readers import open_tape
from tests.features.histories import PLAIN, random_history, vector
from tests.oracles import vpin as oracle

DAY = 86_400 * 10**9


def prints(seed: int, n: int, *, days: int = 1) -> Events:
    rng = np.random.default_rng(seed)
    events = empty_events(n)
    events["instrument_id"], events["kind"] = 1, Kind.TRADE
    events["ts_event_ns"] = 19_800 * DAY + np.sort(rng.integers(0, days * DAY, n))
    events["price"] = (1_000 + np.cumsum(rng.integers(-1, 2, n))) * 10**9
    events["qty_lots"] = rng.choice([1, 2, 5, 70], n, p=[0.5, 0.3, 0.15, 0.05])
    events["side"] = rng.choice([1, -1, 0], n, p=[0.5, 0.4, 0.1])
    return events


@pytest.mark.uncompiled
def test_the_buckets_of_the_reference_vector() -> None:
    v = vector("vpin__hand")
    got = vpin(v["size"], v["side"], v["V"], 3)
    assert np.abs(got.imbalance_lots).tolist() == v["bucket_imbalance"]
    assert got.vpin[2:].tolist() == v["vpin_n3"]


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(6))
def test_buckets_and_rows_equal_the_definition_lot_by_lot(seed: int) -> None:
    events = prints(seed, 200)
    qty, side = events["qty_lots"].tolist(), events["side"].tolist()
    expected = oracle.buckets(qty, side, 13)
    batch = vpin(qty, side, 13, 4)
    assert list(zip(batch.imbalance_lots.tolist(), batch.closed_by.tolist(), strict=True)) == expected
    values = oracle.vpin([b for b, _ in expected], 13, 4)
    assert [None if math.isnan(x) else x for x in batch.vpin] == [None if x is None else float(x) for x in values]
    rows = make(PLAIN, 1, bucket_lots=13, n=4).advance(events)
    last = np.cumsum(rows["buckets"]) - 1
    assert last[-1] == len(expected) - 1
    assert rows["imbalance_lots"].tolist() == [expected[k][0] for k in last]
    assert np.array_equal(rows["vpin"], batch.vpin[last], equal_nan=True)


@pytest.mark.uncompiled
def test_a_print_of_a_hundred_buckets_closes_a_hundred() -> None:
    events = prints(1, 1)
    events["qty_lots"], events["side"] = 1_000, -1
    rows = make(PLAIN, 1, bucket_lots=10, n=50).advance(events)
    assert (rows["buckets"].tolist(), rows["vpin"].tolist(), rows["imbalance_lots"].tolist()) == ([100], [1.0], [-10])
    assert vpin([1_000], [-1], 10).closed_by.tolist() == [0] * 100


@pytest.mark.uncompiled
def test_a_wild_print_takes_no_longer_and_leaves_what_all_its_buckets_would() -> None:
    events = prints(3, 50)
    events["qty_lots"][20], events["side"][20] = 2**40, 1
    wild = make(PLAIN, 1, bucket_lots=10, n=5, window=20).advance(events)
    events["qty_lots"][20] = 2**40 % 10 + 1_000
    tame = make(PLAIN, 1, bucket_lots=10, n=5, window=20).advance(events)
    assert wild["buckets"].max() > 10**11
    assert np.array_equal(wild["vpin"], tame["vpin"], equal_nan=True)
    assert np.array_equal(wild["vpin_cdf"], tame["vpin_cdf"], equal_nan=True)


@pytest.mark.uncompiled
def test_lots_without_a_side_fill_buckets_and_are_told_of() -> None:
    events = prints(4, 40)
    events["qty_lots"], events["side"] = 5, 0
    rows = make(PLAIN, 1, bucket_lots=10, n=2).advance(events)
    assert (rows["vpin"][1:] == 0).all()
    assert (rows["unknown_share"][1:] == 1).all()


@pytest.mark.uncompiled
def test_the_rank_is_among_the_trailing_values_and_missing_until_there_are_enough() -> None:
    events = prints(5, 700)
    rows = make(PLAIN, 1, bucket_lots=7, n=3, window=150).advance(events)
    values = vpin(events["qty_lots"], events["side"], 7, 3).vpin[2:]
    place = np.cumsum(rows["buckets"]) - 1 - 2
    for k, got in zip(place.tolist(), rows["vpin_cdf"].tolist(), strict=True):
        before = values[max(0, k - 149) : k + 1]
        if k + 1 < 100:
            assert math.isnan(got)
        else:
            assert got == (before <= values[k]).mean()


def test_independent_signs_have_an_excess_of_one() -> None:
    rng = np.random.default_rng(6)
    events = prints(6, 60_000)
    events["side"] = rng.choice([1, -1], events.size)
    for bucket in (600, 3_000):
        rows = make(PLAIN, 1, bucket_lots=bucket, n=50).advance(events)
        assert np.nanmean(rows["vpin_excess"]) == pytest.approx(1.0, abs=0.05)
    small, large = (np.nanmean(vpin(events["qty_lots"], events["side"], b).vpin) for b in (600, 3_000))
    assert small / large == pytest.approx(math.sqrt(5), rel=0.1)  # the level is an artefact of the bucket


@pytest.mark.uncompiled
def test_the_bucket_of_a_day_follows_from_the_days_before_it_only() -> None:
    events = prints(7, 400, days=4)
    day = events["ts_event_ns"] // DAY
    volumes = [int(events["qty_lots"][day == d].sum()) for d in np.unique(day)]
    rows = make(PLAIN, 1, n=2, buckets_per_day=20, half_life_sessions=1).advance(events)
    assert rows["ts_ns"].min() >= (day.min() + 1) * DAY
    first = rows["ts_ns"] // DAY == day.min() + 1
    assert (rows["volume_lots"][first][2:] == 2 * math.floor(volumes[0] / 20 + 0.5)).all()
    second = rows["ts_ns"] // DAY == day.min() + 2
    assert (rows["volume_lots"][second][3:] == 2 * math.floor((volumes[0] + volumes[1]) / 2 / 20 + 0.5)).all()


@pytest.mark.parametrize("side", ["venue", "tick", "lee_ready", "bulk"])
def test_the_laws_hold_for_every_side_rule_and_for_buckets_by_the_day(side: str) -> None:
    rng = np.random.default_rng(8)
    events, _ = random_history(8, 900, sessions=True)
    for bucket in (0, 9):
        for cut in rng.integers(0, events.size, 4).tolist():

            def operator(bucket: int = bucket) -> Operator:
                return make(PLAIN, 1, bucket_lots=bucket, n=3, side=side, window=120, bar_s=5, half_life_bars=20)

            assert operator().advance(events)["ts_ns"].size > 10
            check_chunks(operator, events, rng.integers(0, events.size, 9).tolist())
            check_restart(operator, events, cut)
            check_causality(operator, events, cut, events[::-1][:60])


@pytest.mark.uncompiled
def test_bulk_buckets_have_the_shares_of_bulk_volume() -> None:
    events = prints(9, 300)
    minute = events["ts_event_ns"] // (60 * 10**9)
    last = np.flatnonzero(np.r_[minute[1:] != minute[:-1], True])
    lots = np.diff(np.r_[0, np.cumsum(events["qty_lots"])[last]])
    bought, sold = bulk_volume(events["price"][last].astype(float), lots, half_life_bars=30)
    signed = np.floor(np.nan_to_num(bought - sold) + 0.5).astype(int)
    rows = make(PLAIN, 1, bucket_lots=1, n=1, side="bulk", half_life_bars=30).advance(events)
    assert rows["buckets"].sum() == lots[:-1].sum()  # the last bar is still open
    total = make(PLAIN, 1, bucket_lots=int(lots[:-1].sum()), n=1, side="bulk", half_life_bars=30).advance(events)
    assert total["imbalance_lots"].tolist() == [signed[:-1].sum()]
    assert set(rows["side_source"].tolist()) == {SideSource.BULK}
    assert np.isnan(rows["vpin_null"]).all()


@pytest.mark.uncompiled
@pytest.mark.uncompiled
def test_buckets_that_began_before_the_first_stamp_have_no_span() -> None:
    events = prints(4, 300)
    events["ts_event_ns"][:100] = MISSING
    for side in ("venue", "bulk"):
        rows = make(PLAIN, 1, bucket_lots=20, n=5, side=side, bar_s=60.0).advance(events)
        span = rows["span_s"][np.isfinite(rows["vpin"])]
        assert np.isnan(span[0])
        assert 0 < span[-1] < 86_400
    volume = events["qty_lots"][:100].sum()
    bulk = make(PLAIN, 1, bucket_lots=20, n=1, side="bulk").advance(events[:100])
    assert bulk["buckets"].sum() == volume // 20  # of unknown side: no stamp, no bar
    assert (bulk["unknown_share"] == 1).all()


def test_off_book_prints_fill_no_bucket() -> None:
    events = prints(10, 30)
    events["detail"] = TradeCondition.OFF_BOOK
    assert make(PLAIN, 1, bucket_lots=1).advance(events)["ts_ns"].size == 0


@pytest.mark.recording
@pytest.mark.slow
def test_the_level_of_a_real_day_is_made_by_its_bucket_and_lies_above_chance(recording: Callable[[str], Path]) -> None:
    tape = open_tape(recording("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"))
    (key,) = tape.instruments
    events = np.concatenate(list(tape.blocks()))
    means = []
    for bucket_lots in (16_215, 4_053, 810):  # a fiftieth of the day, a two-hundredth, a thousandth
        rows = make(tape.instruments[key], key, bucket_lots=bucket_lots, n=25).advance(events)
        means.append(np.nanmean(rows["vpin"]))
        assert np.nanmedian(rows["vpin_excess"]) > 1.2
    assert means == pytest.approx([0.29, 0.39, 0.64], abs=0.02)


def test_wrong_parameters_are_told() -> None:
    with pytest.raises(ConfigurationError, match="bulk"):
        Vpin(side="guess")
    with pytest.raises(ConfigurationError, match="at least 1"):
        Vpin(n=0)
    with pytest.raises(ConfigurationError, match="sides of"):
        vpin([1, 2], [1], 10)
    with pytest.raises(ConfigurationError, match="n and window"):
        Vpin(n=3).restore(Vpin(n=4).save())
