from __future__ import annotations

import math

import numpy as np
import pytest

from tapebook.features.touch import FoldOperator, view_of
from tapebook.features.windows import Windows, make, window_columns
from tapebook.market.checks import check_causality, check_chunks, check_restart
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Flag, Kind, empty_events
from tests.features.histories import PLAIN, UNIT, random_history
from tests.oracles.windows import window_rows
from tests.tapes import random_anything

PRICES = ("vwap", "spread_mean")


@pytest.mark.uncompiled
@pytest.mark.parametrize("seed", range(6))
def test_every_window_equals_its_definition(seed: int) -> None:
    events, history = random_history(seed, 120, holes=0.15)
    windows_ms = (1e-6, 250.0, 900.0, 5000.0)
    rows = make(PLAIN, 1, windows_ms=windows_ms).advance(events)
    for ms, word in zip(windows_ms, ("1ns", "250ms", "900ms", "5s"), strict=True):
        expected = window_rows(history, round(ms * 1e6))
        assert rows["ts_ns"].size == len(expected)
        for name in expected[0]:
            for got, row in zip(rows[f"{name}_{word}"].tolist(), expected, strict=True):
                value = row[name]
                if value is None:
                    assert math.isnan(got), (name, word)
                else:
                    scale = UNIT if name in PRICES else 1
                    assert got == pytest.approx(float(value / scale), rel=1e-14, abs=5e-12), (name, word)


@pytest.mark.uncompiled
def test_what_has_left_a_window_leaves_nothing_behind() -> None:
    events, _ = random_history(9, 150)
    late = events[-40:].copy()
    shift = 3_600 * UNIT
    late["ts_event_ns"] += shift
    alone = late.copy()
    after = make(PLAIN, 1, windows_ms=(100.0,)).advance(np.concatenate([events, late]))
    fresh = make(PLAIN, 1, windows_ms=(100.0,)).advance(alone)
    n = fresh["ts_ns"].size
    for name in ("vwap_100ms", "spread_mean_100ms", "trades_per_s_100ms"):
        settled = ~np.isnan(fresh[name]) & (np.arange(n) > 5)
        assert settled.any()
        assert np.array_equal(after[name][-n:][settled], fresh[name][settled])


@pytest.mark.uncompiled
def test_windows_much_longer_than_a_block_need_more_room_and_keep_the_laws() -> None:
    events, _ = random_history(2, 260)

    def new() -> FoldOperator:
        return make(PLAIN, 1, windows_ms=(1.0, 60_000.0))

    check_chunks(new, events, [1, 2, 3, 77, 150, 151])
    check_restart(new, events, 133)
    check_causality(new, events, 90, events[::-1][:50])


def test_wild_sizes_and_prices_leave_no_trace() -> None:
    wild = random_anything(4, 300)
    far = wild[-1:].copy()
    calm, _ = random_history(3, 80, holes=0)
    calm["ts_event_ns"] += int(np.median(wild["ts_event_ns"])) - int(calm["ts_event_ns"][0]) + 3_600 * UNIT
    far["kind"], far["side"], far["flags"] = Kind.CLEAR, 0, Flag.LAST
    far["instrument_id"], far["ts_event_ns"], far["ts_recv_ns"] = 1, calm["ts_event_ns"][0], MISSING
    rows = make(PLAIN, 1).advance(np.concatenate([wild, far, calm]))
    clean = make(PLAIN, 1).advance(calm)
    last = clean["ts_ns"].size // 2
    for name in ("vwap_1s", "spread_mean_1s", "bought_lots_1s"):
        assert np.array_equal(rows[name][-last:], clean[name][-last:], equal_nan=True)


@pytest.mark.uncompiled
def test_a_tape_without_trades_or_without_quotes_gives_no_zeros_for_them() -> None:
    events, _ = random_history(5, 120)
    quotes = make(PLAIN, 1, windows_ms=(250.0,)).advance(events[events["kind"] == Kind.QUOTE])
    assert np.isnan(quotes["trades_per_s_250ms"]).all()
    assert np.isnan(quotes["bought_lots_250ms"]).all()
    assert np.isfinite(quotes["quotes_per_s_250ms"]).any()
    trades = make(PLAIN, 1, windows_ms=(250.0,)).advance(events[events["kind"] == Kind.TRADE])
    assert np.isnan(trades["quotes_per_s_250ms"]).all()
    assert np.isfinite(trades["bought_lots_250ms"]).any()
    unknown = events[events["kind"] == Kind.TRADE].copy()
    unknown["side"] = 0
    rows = make(PLAIN, 1, windows_ms=(250.0,)).advance(unknown)
    assert np.isnan(rows["sold_lots_250ms"]).all()
    assert np.isfinite(rows["vwap_250ms"]).any()


def test_a_window_is_empty_handed_until_it_was_filled_once() -> None:
    rows = Windows(windows_ms=(3000.0,)).fold(view_of([(100, 1, 101, 1)] * 6))
    assert np.isnan(rows["spread_mean_3s"]).tolist() == [True, True, True, False, False, False]


def test_a_clock_set_back_begins_anew() -> None:
    events = empty_events(60)
    events["instrument_id"], events["kind"], events["flags"] = 1, Kind.TRADE, Flag.LAST
    events["price"], events["qty_lots"], events["side"] = 100 * UNIT, 1, 1
    start = 20_000 * 86_400 * UNIT
    events["ts_event_ns"] = start + np.arange(60) * UNIT
    events["ts_event_ns"][30:] -= 7_200 * UNIT
    rows = make(PLAIN, 1, windows_ms=(5000.0,)).advance(events)
    known = np.flatnonzero(np.isfinite(rows["bought_lots_5s"]))
    assert np.isnan(rows["bought_lots_5s"][45:50]).all()  # the leap back is believed at its sixteenth stamp
    assert known[-1] == 59
    assert rows["bought_lots_5s"][-1] == 5


@pytest.mark.parametrize("windows_ms", [(), (0.0,), (-1.0,), (1.0, 1.0), (float("nan"),), (5e6,)])
def test_windows_that_cannot_be_are_refused(windows_ms: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError, match="windows"):
        Windows(windows_ms=windows_ms)


def test_a_memory_of_other_windows_is_refused() -> None:
    with pytest.raises(OperatorError, match="other windows"):
        Windows(windows_ms=(1.0,)).restore(Windows(windows_ms=(2.0,)).save())


def test_columns_are_named_after_their_window() -> None:
    names = [c.name for c in window_columns([1_000_000, 60_000_000_000])]
    assert names[1] == "vwap_1ms"
    assert names[-1] == "quotes_per_s_60s"
