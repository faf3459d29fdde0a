from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapebook.bars.bars import Bars, Footprint
from tapebook.bars.rules import BarRule
from tapebook.kernels import bar_state as kernel
from tapebook.market.checks import check_causality, check_chunks, check_restart, check_untouched
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events, Flag, Kind, SideSource, empty_events
from tapebook.market.instruments import Instrument
from tests.oracles import bars as oracle
from tests.tapes import TICK, random_levels

pytestmark = pytest.mark.uncompiled

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, calendar="24-7", kind="future")
RULES = ["time:10ms", "tick:7", "volume:60", "dollar:9000000", "range:3", "reversal:3", "renko:2", "delta:40"]
RULES += ["tick-imbalance:20", "volume-imbalance:20", "dollar-imbalance:20", "tick-runs:20", "volume-runs:20"]


def trades_of(events: Events) -> list[oracle.Trade]:
    rows = events[(events["kind"] == Kind.TRADE) & (events["instrument_id"] == 1)]
    return [(int(r["ts_event_ns"]), int(r["price"]), int(r["qty_lots"]), int(r["side"])) for r in rows]


@pytest.mark.parametrize("text", ["time:10ms", "tick:7", "volume:60", "range:3", "reversal:3", "delta:40"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bars_and_cells_equal_the_definition(text: str, seed: int) -> None:
    events = random_levels(seed, 2000)
    rule = BarRule.parse(text)
    bars, cells = Bars(ES, 1, BarRule(kind=rule.kind, size=rule.size, empty=False), cells=True).fold(events)
    size = rule.size * (TICK if rule.kind in ("range", "reversal") else 1)
    expected, still_open = oracle.closes(rule.kind, size, trades_of(events))
    if rule.kind == "time" and events["ts_event_ns"][-1] // rule.size > still_open[0][0] // rule.size:
        expected.append(still_open)  # an event that is no trade closed it
    assert len(expected) == bars.size > 5
    for i, trades in enumerate(expected):
        assert {k: int(bars[k][i]) for k in oracle.summary(trades)} == oracle.summary(trades)
        vwap = sum(p * q for _, p, q, _ in trades) / sum(q for _, _, q, _ in trades)
        assert bars["vwap"][i] == pytest.approx(vwap, rel=1e-15)
        mine = cells[cells["bar"] == i]
        assert {int(c["price"]): (int(c["bid"]), int(c["ask"]), int(c["unknown"])) for c in mine} == oracle.cells(
            trades
        )
        assert list(mine["price"]) == sorted(mine["price"])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_renko_bricks_equal_the_definition(seed: int) -> None:
    events = random_levels(seed, 3000)
    bars, _ = Bars(ES, 1, BarRule.parse("renko:2")).fold(events)
    expected = oracle.renko(2 * TICK, [p for _, p, _, _ in trades_of(events)])
    assert list(zip(bars["open"].tolist(), bars["close"].tolist(), strict=True)) == expected
    assert len(expected) > 5


@pytest.mark.parametrize("text", RULES)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 400), max_size=8), cut=st.integers(0, 400))
def test_the_laws_hold_for_every_rule(text: str, seed: int, cuts: list[int], cut: int) -> None:
    events = random_levels(seed, 400)
    rule = BarRule.parse(text)
    check_chunks(lambda: Bars(ES, 1, rule, cells=True), events, cuts)
    check_chunks(lambda: Footprint(ES, 1, rule), events, cuts)
    check_restart(lambda: Footprint(ES, 1, rule), events, cut)
    check_causality(lambda: Bars(ES, 1, rule), events, cut, random_levels(seed + 1, 50))
    check_untouched(lambda: Bars(ES, 1, rule), events)


@pytest.mark.parametrize("text", RULES)
def test_nothing_is_lost_and_cells_add_up_to_their_bar(text: str) -> None:
    events = random_levels(9, 5000)
    operator = Bars(ES, 1, BarRule.parse(text), cells=True)
    parts = [operator.fold(events), operator.flush()]
    bars, cells = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
    trades = trades_of(events)
    assert int(bars["volume"].sum()) == sum(q for _, _, q, _ in trades)
    assert int(bars["trades"].sum()) == len(trades)
    for bar in bars:
        mine = cells[cells["bar"] == bar["bar"]]
        assert int(mine["bid"].sum()) == bar["sell"]
        assert int(mine["ask"].sum()) == bar["buy"]
        assert int((mine["bid"] + mine["ask"] + mine["unknown"]).sum()) == bar["volume"]


def test_split_volume_bars_are_all_exactly_full() -> None:
    events = random_levels(4, 3000)
    bars, _ = Bars(ES, 1, BarRule(kind="volume", size=37, split=True)).fold(events)
    assert set(bars["volume"].tolist()) == {37}
    assert bars.size == sum(q for _, _, q, _ in trades_of(events)) // 37


def test_a_large_trade_fills_several_split_bars_at_once() -> None:
    events = empty_events(1)
    events["instrument_id"], events["kind"], events["price"], events["qty_lots"] = 1, Kind.TRADE, TICK, 1000
    events["ts_event_ns"] = 5
    bars, _ = Bars(ES, 1, BarRule(kind="volume", size=3, split=True)).fold(events)
    assert bars.size == 333


def test_empty_intervals_carry_the_last_price_and_can_be_left_out() -> None:
    events = empty_events(3)
    events["instrument_id"], events["kind"], events["qty_lots"] = 1, Kind.TRADE, 1
    events["price"] = [10 * TICK, 11 * TICK, 12 * TICK]
    events["ts_event_ns"] = [0, 35, 60]
    bars, _ = Bars(ES, 1, BarRule(kind="time", size=10)).fold(events)
    assert bars["start_ns"].tolist() == [0, 10, 20, 30, 40, 50]
    assert bars["close"].tolist() == [10 * TICK] * 3 + [11 * TICK] * 3
    assert bars["empty"].tolist() == [0, 1, 1, 0, 1, 1]
    bars, _ = Bars(ES, 1, BarRule(kind="time", size=10, empty=False)).fold(events)
    assert bars["start_ns"].tolist() == [0, 30]


def test_the_end_of_a_session_closes_a_bar() -> None:
    cme = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, calendar="CME")
    events = empty_events(4)
    events["instrument_id"], events["kind"], events["qty_lots"], events["price"] = 1, Kind.TRADE, 1, TICK
    day = 86_400 * 10**9
    monday = 1_704_204_000 * 10**9  # 2024-01-02 14:00 UTC
    events["ts_event_ns"] = [monday, monday + 1, monday + day, monday + day + 1]
    bars, _ = Bars(cme, 1, BarRule.parse("tick:100")).fold(events)
    assert bars["trades"].tolist() == [2]
    assert bars["cause"].tolist() == [kernel.SESSION]


def test_volume_bars_equal_an_independent_library(reference: Callable[[str], Path]) -> None:
    rows = np.genfromtxt(reference("vectors/inputs/trades_quotes.csv"), delimiter=",", names=True)
    vector = json.loads(reference("vectors/expected/bars__mlfinpy.json").read_text())["expected"]["volume100"]
    events = empty_events(rows.size)
    events["instrument_id"], events["kind"], events["flags"], events["side_source"] = (
        1,
        Kind.TRADE,
        Flag.LAST,
        SideSource.NONE,
    )
    events["price"] = rows["price_ticks"].astype(np.int64) * TICK
    events["qty_lots"] = rows["size"].astype(np.int64)
    events["ts_event_ns"] = np.arange(rows.size)
    bars, _ = Bars(ES, 1, BarRule.parse("volume:100")).fold(events)
    assert (bars["end_ns"] + 1).tolist() == vector["tick_num"]
    for name in ("open", "high", "low", "close"):
        assert (bars[name] / 1e9).tolist() == vector[name]


@pytest.mark.parametrize("text", ["time:5", "tick:0", "range:2.5", "tick:", "foo:3", "time:1y", "volume-time:3"])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        BarRule.parse(text)


def test_imbalance_bars_neither_explode_nor_die() -> None:
    rng = np.random.default_rng(0)
    events = empty_events(100_000)
    events["instrument_id"], events["kind"] = 1, Kind.TRADE
    events["ts_event_ns"] = np.arange(events.size)
    events["price"] = TICK * 4000
    events["qty_lots"] = rng.integers(1, 20, events.size)
    events["side"] = rng.choice([-1, 1], events.size)
    bars, _ = Bars(ES, 1, BarRule.parse("volume-imbalance:500")).fold(events)
    assert 20 <= bars.size <= 2000
    assert bars["trades"].max() <= 5000
    assert bars["trades"].min() >= 50
