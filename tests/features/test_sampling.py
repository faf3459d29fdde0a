from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from tapebook.features import (
    cumulative_delta,
    effective_spread,
    hawkes,
    imbalance,
    microprice,
    ofi,
    quoted_spread,
    realised_spread,
    windows,
)
from tapebook.features.moments import EveryEvent, EveryNs, EveryTrade, Moments, parse_every
from tapebook.features.sampling import Part, Sampled, part_of
from tapebook.features.touch import View
from tapebook.market.checks import check_all, check_chunks
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Operator, Registered, Rows, State, registered
from tests.features.histories import PLAIN, UNIT, random_history
from tests.tapes import TICK, random_anything, random_levels, random_orders

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
HOMES = (
    cumulative_delta,
    effective_spread,
    hawkes,
    imbalance,
    microprice,
    ofi,
    quoted_spread,
    realised_spread,
    windows,
)
SETS = (
    ("ofi", "microprice"),
    ("effective_spread", "hawkes", "imbalance"),
    ("realised_spread", "ofi"),  # keeps stamps of its own
    ("windows", "cumulative_delta"),
    ("plain", "ofi"),  # an operator with a feed of its own
)
MOMENTS: dict[str, Callable[[], Moments]] = {
    "event": EveryEvent,
    "trade": EveryTrade,
    "10ms": lambda: EveryNs(10_000_000),
    "1s": lambda: EveryNs(UNIT),
}
TAPES = {"levels": random_levels, "orders": random_orders, "anything": random_anything}


class Plain:
    """OFI with a feed of its own: what is not a FoldOperator."""

    def __init__(self, instrument: Instrument, instrument_id: int) -> None:
        self._ofi = ofi.make(instrument, instrument_id)

    def advance(self, events: Events) -> Rows:
        return {"ts_ns": (rows := self._ofi.advance(events))["ts_ns"], "plain_lots": rows["ofi_lots"]}

    def save(self) -> State:
        return self._ofi.save()

    def restore(self, state: State) -> None:
        self._ofi.restore(state)


def entry(name: str) -> Registered:
    if name == "plain":
        return Registered("plain", Plain, (Column("ts_ns", "ns", "clock"), Column("plain_lots", "lots", "flow", True)))
    return registered()[name]


def maker(names: tuple[str, ...], moments: Callable[[], Moments]) -> Callable[[], Sampled]:
    return lambda: Sampled(ES, 1, [part_of(n, entry(n), ES, 1) for n in names], moments())


def by_hand(names: tuple[str, ...], moments: str, events: Events) -> list[dict[str, Any]]:
    """The definition, one event after the other: each feature is asked alone, and its rows stand where they came."""
    operators: dict[str, Operator] = {n: entry(n).make(ES, 1) for n in names}
    flows = {c.name for n in names for c in entry(n).columns if c.flow}
    last: dict[str, Any] = {}
    sums: dict[str, list[float]] = {}
    armed: set[str] = set()
    table: list[dict[str, Any]] = []
    clock = _clock()
    waits: int | None = None

    def tell(ts_ns: int) -> None:
        row = {"ts_ns": ts_ns} | last
        for name in flows:
            added = sums.pop(name, [])
            defined = [x for x in added if x == x]
            armed.update([name] if defined else [])
            if defined or (not added and name in armed):
                total = 0.0
                for x in defined:
                    total += x
                row[name] = total
        table.append(row)

    step = MOMENTS[moments]()
    for i in range(events.size):
        one = events[i : i + 1]
        if one["instrument_id"][0] != 1:
            continue
        now, stamp = clock(one), int(one["ts_recv_ns"][0] if one["ts_recv_ns"][0] != MISSING else one["ts_event_ns"][0])
        if isinstance(step, EveryNs) and now is not None:
            if waits is not None and now > waits:
                tell(waits)
            waits = -(-now // step.every_ns) * step.every_ns
        for operator in operators.values():
            rows = operator.advance(one)
            for name, column in rows.items():
                if name in flows:
                    sums.setdefault(name, []).extend(column.tolist())
                elif name != "ts_ns" and column.size:
                    last[name] = column[-1]
        observable = one["flags"][0] & Flag.LAST
        traded = one["kind"][0] == Kind.TRADE and one["price"][0] != MISSING and one["qty_lots"][0] > 0
        if (isinstance(step, EveryEvent) and observable) or (isinstance(step, EveryTrade) and traded):
            tell(stamp)
    return table


def _clock() -> Callable[[Events], int | None]:
    from tapebook.features.touch import TouchFeed

    feed = TouchFeed(ES, 1)

    def now(one: Events) -> int | None:
        t = int(feed.time(one).clock_ns[0])
        return None if t == MISSING else t

    return now


@cache
def tape(name: str, seed: int, n: int) -> Events:
    events = TAPES[name](seed, n)
    if name == "levels":  # a venue stamps many events alike
        events["ts_recv_ns"] = np.sort(events["ts_recv_ns"] // 20_000_000) * 20_000_000
    return events


@pytest.mark.uncompiled
@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize("names", SETS, ids="+".join)
@pytest.mark.parametrize("kind", TAPES)
def test_each_sample_is_what_the_features_alone_had_told_by_then(
    names: tuple[str, ...], moments: str, kind: str
) -> None:
    events = tape(kind, 3, 250)
    rows = maker(names, MOMENTS[moments])().advance(events)
    expected = by_hand(names, moments, events)
    assert rows["ts_ns"].tolist() == [row["ts_ns"] for row in expected]
    for name, column in rows.items():
        for got, row in zip(column.tolist(), expected, strict=True):
            value = row.get(name, MISSING if column.dtype == np.int64 else float("nan"))
            assert got == value or (got != got and value != value), name


@pytest.mark.parametrize("moments", MOMENTS)
@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_a_table_keeps_the_laws_of_operators(names: tuple[str, ...], moments: str) -> None:
    for kind in TAPES:
        check_all(maker(names, MOMENTS[moments]), tape(kind, 5, 300))


@pytest.mark.uncompiled
def test_columns_of_one_name_carry_their_feature() -> None:
    table = maker(("effective_spread", "quoted_spread"), EveryTrade)()
    names = [c.name for c in table.columns]
    assert len(names) == len(set(names))
    assert {"effective_spread_mid", "quoted_spread_mid", "quoted_spread_bp", "effective_spread"} <= set(names)
    assert list(table.advance(random_levels(1, 50))) == names


@pytest.mark.uncompiled
def test_an_order_flow_sampled_adds_up_to_the_flow_of_every_event() -> None:
    events = random_levels(8, 400)
    fine = maker(("ofi",), EveryEvent)().advance(events)["ofi_lots"]
    coarse = maker(("ofi",), lambda: EveryNs(50_000_000))().advance(np.concatenate([events, _after(events)]))
    assert np.nansum(coarse["ofi_lots"]) == np.nansum(fine)


def _after(events: Events) -> Events:
    """One quiet event much later, that shows that all boundaries before it have passed."""
    late = empty_events(1)
    late["instrument_id"], late["kind"], late["flags"] = 1, Kind.STATUS, Flag.LAST
    late["ts_event_ns"] = late["ts_recv_ns"] = int(events["ts_recv_ns"].max()) + UNIT
    return late


@pytest.mark.uncompiled
def test_a_boundary_is_told_by_the_first_event_past_it_and_empty_intervals_are_not() -> None:
    history, _ = random_history(4, 2, holes=0)
    one = history[:1]
    events = np.concatenate([one] * 5)
    events["ts_event_ns"] = [10 * UNIT, 10 * UNIT + 5, 11 * UNIT, 11 * UNIT + 1, 700 * UNIT]
    rows = Sampled(PLAIN, 1, [part_of("ofi", registered()["ofi"], PLAIN, 1)], parse_every("1s")).advance(events)
    assert rows["ts_ns"].tolist() == [10 * UNIT, 11 * UNIT, 12 * UNIT]


@pytest.mark.uncompiled
def test_what_the_tape_does_not_hold_is_missing_and_no_zero() -> None:
    events = random_levels(2, 300)
    quotes = events[events["kind"] != Kind.TRADE]
    rows = maker(("hawkes", "effective_spread"), EveryEvent)().advance(quotes)
    assert rows["ts_ns"].size > 100
    assert (rows["qty_lots"] == MISSING).all()
    assert all(np.isnan(c).all() for n, c in rows.items() if n not in ("ts_ns", "qty_lots"))
    trades = events[events["kind"] == Kind.TRADE]
    rows = maker(("ofi", "microprice"), EveryTrade)().advance(trades)
    assert rows["ts_ns"].size == trades[trades["instrument_id"] == 1].size
    assert all(np.isnan(c).all() for n, c in rows.items() if n != "ts_ns")


@pytest.mark.uncompiled
def test_a_feature_of_two_parameters_stands_twice_in_a_table() -> None:
    fast = part_of("fast", registered()["windows"], ES, 1, windows_ms=(5.0,))
    slow = part_of("slow", registered()["windows"], ES, 1, windows_ms=(5.0, 50.0))
    table = Sampled(ES, 1, [fast, slow], EveryTrade())
    names = [c.name for c in table.columns]
    assert {"fast_vwap_5ms", "slow_vwap_5ms", "vwap_50ms"} <= set(names)
    check_chunks(lambda: Sampled(ES, 1, [fast, slow], EveryTrade()), random_levels(1, 120), [5, 50])


class _Late:
    """A fold that stamps its rows with another clock: a row for each second event, with how many it has seen."""

    def __init__(self) -> None:
        self.seen = np.zeros(1, np.int64)

    def fold(self, view: View) -> Rows:
        count = self.seen[0] + 1 + np.arange(view.n)
        self.seen += view.n
        second = count % 2 == 0
        return {"ts_ns": (view.clock_ns + 1)[second], "seen": count[second]}

    def save(self) -> State:
        return {"seen": self.seen.copy()}

    def restore(self, state: State) -> None:
        self.seen = state["seen"].copy()


LATE = (Column("ts_ns", "ns", "another clock"), Column("seen", "", "events"))


@pytest.mark.uncompiled
@pytest.mark.parametrize("moments", MOMENTS)
def test_a_feature_whose_rows_are_stamped_otherwise_is_run_from_sample_to_sample(moments: str) -> None:
    def new() -> Sampled:
        return Sampled(ES, 1, [Part("late", LATE, _Late)], MOMENTS[moments]())

    events = random_levels(1, 200)
    check_all(new, events)
    if moments == "event":
        mine = events[events["instrument_id"] == 1]
        seen = 1 + np.flatnonzero(mine["flags"] & Flag.LAST)
        expected = np.where(seen < 2, MISSING, seen - seen % 2)
        assert new().advance(events)["seen"].tolist() == expected.tolist()


class _Fickle(_Late):
    """A fold that stamps its first row with the event's clock, and the next ones otherwise."""

    def fold(self, view: View) -> Rows:
        first = self.seen[0] == 0
        self.seen += view.n
        return {"ts_ns": view.ts_ns[:1] if first else view.clock_ns[:1] + 1}


@pytest.mark.uncompiled
def test_a_feature_that_stamps_now_so_and_now_otherwise_is_named() -> None:
    table = Sampled(ES, 1, [Part("fickle", LATE[:1], _Fickle)], EveryEvent())
    table.advance(random_levels(1, 50))
    with pytest.raises(OperatorError, match="fickle: rows cannot be put in order"):
        table.advance(random_levels(2, 50))


@pytest.mark.uncompiled
def test_columns_that_were_not_promised_are_told() -> None:
    part = Part("late", (*LATE, Column("x", "1", "not there")), _Late)
    with pytest.raises(ConfigurationError, match="keep its word"):
        Sampled(ES, 1, [part], EveryEvent())


@pytest.mark.uncompiled
@pytest.mark.parametrize("text", ["", "events", "0s", "-1s", "1.0000000001s", "bar", "5"])
def test_steps_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="sampling step"):
        parse_every(text)
