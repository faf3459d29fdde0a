"""Tapes as records: the shapes of the wire, and that our parser gives the tape's events back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tapebook.book import OrderBook
from tapebook.gateway.encode import Shape
from tapebook.gateway.figures import Stamps
from tapebook.gateway.source import DEPTH, QUOTES, TRADES, Form, Source
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource, empty_events
from tapebook.market.instruments import Instrument
from tapebook.simulator import simulate
from tests.gateway.play import ES, alike, read_back, tape_of
from tests.tapes import MID, TICK, random_levels, random_orders

S = 1_708_531_200_000_000_000  # 2024-02-21T16:00:00 UTC
P = 1_000_000_000
NS = Form(stamps=Stamps.NS)


def some(*rows: tuple[int, int, int, int, int]) -> Events:
    """Events of (kind, side, price, quantity, flags), a millisecond apart."""
    events = empty_events(len(rows))
    for i, (kind, side, price, qty, flags) in enumerate(rows):
        events[i]["kind"], events[i]["side"], events[i]["price"], events[i]["qty_lots"] = kind, side, price, qty
        events[i]["flags"] = flags
    events["instrument_id"] = 1
    events["ts_event_ns"] = S + np.arange(len(rows)) * 1_000_000
    events["side_source"][(events["kind"] == Kind.TRADE) & (events["side"] != 0)] = SideSource.VENUE
    return events


def records(events: Events, form: Form | None = None) -> list[tuple[str, str, Any]]:
    """Return target, contract and data of each record."""
    out = []
    for chunk in Source(tape_of(events), form).chunks():
        for message in chunk:
            for raw in message.record.split(b"\x1e")[:-1]:
                told = json.loads(raw)
                assert told["type"] == 1
                out.append((told["target"], *told["arguments"]))
    return out


LAST = int(Flag.LAST)
BID, ASK = int(Side.BID), int(Side.ASK)
LITTLE = (
    (Kind.LEVEL, BID, 4000 * P, 5, 0),
    (Kind.LEVEL, ASK, 4000 * P + P // 4, 7, LAST),
    (Kind.TRADE, BID, 4000 * P + P // 4, 2, 0),
    (Kind.LEVEL, ASK, 4000 * P + P // 4, 0, LAST),
)


def test_records_have_the_shape_that_was_recorded_on_the_wire() -> None:
    contract = "CON.F.US.EP.H24"
    entry = {"contractId": contract, "timestamp": "2024-02-21T16:00:00.001+00:00", "currentVolume": 0}
    first = [entry | {"type": 2, "price": 4000, "volume": 5}, entry | {"type": 1, "price": 4000.25, "volume": 7}]
    stamp = "2024-02-21T16:00:00.001+00:00"
    quote = {"symbol": "F.US.EP", "bestBid": 4000, "bestAsk": 4000.25, "lastUpdated": stamp, "timestamp": stamp}
    trade = {"symbolId": "F.US.EP", "price": 4000.25, "timestamp": "2024-02-21T16:00:00.002+00:00", "type": 0}
    found = records(some(*LITTLE))
    assert found[:3] == [
        ("GatewayDepth", contract, first),
        ("GatewayQuote", contract, quote | {"contract": contract}),
        ("GatewayTrade", contract, [trade | {"volume": 2, "contractId": contract}]),
    ]
    gone = entry | {"timestamp": "2024-02-21T16:00:00.003+00:00", "type": 1, "price": 4000.25, "volume": 0}
    assert found[3] == ("GatewayDepth", contract, [gone])
    sparse = found[4][2]
    assert sparse.keys() == {"symbol", "lastPrice", "bestAsk", "volume", "lastUpdated", "timestamp", "contract"}
    assert (sparse["lastPrice"], sparse["bestAsk"], sparse["volume"]) == (4000.25, 0, 2)


def test_the_documented_shape_has_single_objects_and_every_field() -> None:
    found = records(some(*LITTLE), Form(shape=Shape.DOCUMENTED))
    assert [target for target, _, _ in found[:4]] == ["GatewayDepth", "GatewayDepth", "GatewayQuote", "GatewayTrade"]
    assert found[0][2].keys() == {"timestamp", "type", "price", "volume", "currentVolume"}
    fields = "symbol symbolName lastPrice bestBid bestAsk change changePercent open high low volume"
    assert found[2][2].keys() == {*fields.split(), "lastUpdated", "timestamp"}
    assert found[3][2].keys() == {"symbolId", "price", "timestamp", "type", "volume"}


def test_prints_repeat_trades_on_the_depth_channel() -> None:
    trades = [(Kind.TRADE, BID, 4000 * P, qty, LAST) for qty in (2, 3)]
    found = [data[0] for target, _, data in records(some(*trades), Form(prints=True)) if target == "GatewayDepth"]
    assert [(d["type"], d["volume"], d["currentVolume"]) for d in found] == [(5, 2, 2), (5, 5, 3)]


@pytest.mark.parametrize(("stamps", "text"), [("ms", ".123"), ("100ns", ".1234567"), ("ns", ".123456789")])
def test_stamps_have_the_digits_asked_for(stamps: str, text: str) -> None:
    events = some((Kind.TRADE, BID, 4000 * P, 1, LAST))
    events["ts_event_ns"] = S + 123_456_789
    (found,) = records(events, Form(stamps=Stamps(stamps)))
    assert found[2][0]["timestamp"] == f"2024-02-21T16:00:00{text}+00:00"


@pytest.mark.parametrize("seed", range(4))
def test_trades_and_levels_come_back_event_for_event(seed: int) -> None:
    events = random_levels(seed, 5000, instrument_id=1)
    events["instrument_id"] = 1
    events["flags"] |= LAST  # a venue message each, so that none mixes channels
    events = events[events["kind"] != Kind.QUOTE]
    events["side"][events["kind"] == Kind.CLEAR] = 0
    found, parser = read_back(Source(tape_of(events), NS))
    assert parser.quarantine.total == 0
    found = found[found["kind"] != Kind.QUOTE]  # the touch, which the tape itself does not tell
    first = int(np.flatnonzero(events["kind"] != Kind.TRADE)[0])
    assert found["kind"][first] == Kind.CLEAR  # the parser's own, before the first depth
    if events["kind"][first] != Kind.CLEAR:
        found = np.delete(found, first)
    for name in ("kind", "ts_event_ns", "qty_lots"):
        mine = events[name].copy()
        mine[(events["kind"] == Kind.CLEAR)] = MISSING if name == "qty_lots" else mine[events["kind"] == Kind.CLEAR]
        assert (found[name] == mine).all(), name
    priced = events["kind"] != Kind.CLEAR
    for name in ("price", "side"):
        assert (found[name][priced] == events[name][priced]).all()


def test_quotes_come_back_side_by_side_whether_they_changed_or_not() -> None:
    rng = np.random.default_rng(3)
    bids = MID + TICK * np.cumsum(rng.integers(-1, 2, 400))
    rows = [
        (Kind.QUOTE, side, int(bid) + (side < 0) * TICK, 3, LAST * (side < 0)) for bid in bids for side in (BID, ASK)
    ]
    events = some(*rows)
    events["ts_event_ns"] = np.repeat(events["ts_event_ns"][::2], 2)
    found, parser = read_back(Source(tape_of(events), NS))
    assert found.size == events.size
    assert alike(found, events, Kind.QUOTE, "price", "side", "ts_event_ns")
    assert (found["flags"] == events["flags"]).all()
    assert (found["qty_lots"] == MISSING).all()  # the protocol has no sizes for them
    assert parser.quarantine.total == 0


def test_several_quotes_in_one_venue_message_are_several_records() -> None:
    rows = [(Kind.QUOTE, BID, 4000 * P, 3, 0), (Kind.QUOTE, ASK, 4001 * P, 3, 0), (Kind.QUOTE, BID, 4001 * P, 3, LAST)]
    found = records(some(*rows))
    assert [(d.get("bestBid"), d.get("bestAsk")) for _, _, d in found] == [(4000, 4001), (4001, None)]


def test_a_touch_on_the_channel_of_the_levels_stays_there() -> None:
    rows = [(Kind.LEVEL, BID, 4000 * P, 3, LAST), (Kind.QUOTE, BID, 4001 * P, 2, LAST)]
    events = some(*rows)
    events["channel"] = 1
    found = [(target, data[0]["type"]) for target, _, data in records(events) if target == "GatewayDepth"]
    assert found == [("GatewayDepth", 2), ("GatewayDepth", 4)]


def test_a_clear_of_one_side_removes_its_levels() -> None:
    rows = [
        (Kind.LEVEL, BID, 4000 * P, 3, 0),
        (Kind.LEVEL, ASK, 4001 * P, 3, LAST),
        (Kind.CLEAR, BID, MISSING, MISSING, LAST),
    ]
    last = [data for target, _, data in records(some(*rows)) if target == "GatewayDepth"][-1]
    assert [(d["type"], d["price"], d["volume"]) for d in last] == [(2, 4000, 0)]


@pytest.mark.parametrize("seed", range(3))
def test_orders_become_the_levels_of_their_book(seed: int) -> None:
    """After each venue message the levels that were told are the best ten of the book by orders."""
    events = random_orders(seed, 3000, wild=0)
    events["ts_recv_ns"] = S + np.arange(events.size)  # no two alike: they tell which message a record is of
    source = Source(tape_of(events))
    book = OrderBook(tick_e9=ES.tick_e9)
    ends = np.flatnonzero(events["flags"] & LAST)
    told: dict[int, dict[int, int]] = {1: {}, 2: {}}
    messages = [m for chunk in source.chunks() for m in chunk if m.stream == DEPTH][::-1]
    begin = 0
    for end in ends.tolist():
        book.advance(events[begin : end + 1])
        begin = end + 1
        while messages and messages[-1].ts_ns <= int(events["ts_recv_ns"][end]):
            for kind, price, volume, _ in messages.pop().news:
                told[kind][price] = volume
        for kind, side in ((2, Side.BID), (1, Side.ASK)):
            levels = {level.price: level.qty_lots for level in book.levels(side, 10)}
            assert {p: v for p, v in told[kind].items() if v} == levels


@pytest.mark.parametrize("events_max", [1, 7, 333])
def test_any_cut_of_the_tape_gives_the_same_records(events_max: int) -> None:
    for events in (random_levels(5, 700), random_orders(5, 700)):
        instruments = (ES, Instrument(symbol="NQH4", venue="CME", tick_e9=ES.tick_e9, root="NQ", expiry="2024-03"))
        source = Source(tape_of(events, *instruments))
        whole = [m for chunk in source.chunks() for m in chunk]
        lost = dict(source.lost)
        assert [m for chunk in source.chunks(events_max=events_max) for m in chunk] == whole
        assert source.lost == lost


def test_contracts_are_named_as_the_venue_names_them() -> None:
    events = random_levels(1, 50)
    nq = Instrument(symbol="NQH4", venue="CME", tick_e9=ES.tick_e9, root="NQ", kind="future", expiry="2024-03")
    assert [one.id for one in Source(tape_of(events, ES, nq)).listings] == ["CON.F.US.EP.H24", "CON.F.US.ENQ.H24"]
    named = Source(tape_of(events, ES, nq), Form(contracts={"NQH4": "CON.F.US.MNQ.H24"}))
    assert named.listings[1].row() == {
        "id": "CON.F.US.MNQ.H24",
        "name": "NQH4",
        "description": "NQH4 of CME: 2024-03",
        "tickSize": 0.25,
        "tickValue": 0.25,
        "activeContract": True,
        "symbolId": "F.US.MNQ",
    }
    with pytest.raises(ConfigurationError, match="does not have"):
        Source(tape_of(events, ES, nq), Form(contracts={"YM": "CON.F.US.YM.H24"}))
    with pytest.raises(ConfigurationError, match="not a contract id"):
        Source(tape_of(random_levels(1, 5), ES, nq), Form(contracts={"ESH4": "ES"}))
    with pytest.raises(ConfigurationError, match="same contract id"):
        Source(tape_of(events, ES, nq), Form(contracts={"NQH4": "CON.F.US.EP.H24"}))


def test_an_empty_source_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="nothing to play"):
        Source(tape_of(empty_events(0)[:0]))


def test_streams_are_numbered_by_contract_and_channel() -> None:
    source = Source(simulate("es", seed=2, duration_s=20))
    streams = {m.stream for chunk in source.chunks() for m in chunk}
    assert streams == {QUOTES, TRADES, DEPTH}
