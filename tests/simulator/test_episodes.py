"""Each planted episode can be recognised in the tape by its definition, and the truth table says where it is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tapebook.market.events import Events, Flag, Kind
from tapebook.simulator import PRESETS, Preset, SimulatedTape, simulate
from tests.simulator.watch import messages, views

SECOND = 1_000_000_000
ALL = pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
SEEDS = pytest.mark.parametrize("seed", [11, 12, 13])


def planted(preset: Preset, seed: int, duration_s: float, episode: str) -> tuple[SimulatedTape, Events, dict[str, Any]]:
    """Return the tape, its events, and the truth about the only episode."""
    tape = simulate(preset, seed, duration_s, [episode])
    events = tape.events()
    rows = tape.truth().to_pylist()
    assert len(rows) == 1, f"{episode} was not planted"
    return tape, events, {**rows[0], **json.loads(rows[0]["parameters"])}


def tick(tape: SimulatedTape) -> int:
    return tape.instruments.only().tick_e9


def between(events: Events, start_ns: int, end_ns: int) -> Events:
    return events[(events["ts_event_ns"] >= start_ns) & (events["ts_event_ns"] <= end_ns)]


@ALL
@SEEDS
def test_an_iceberg_is_refilled_in_the_message_that_used_up_its_peak(preset: Preset, seed: int) -> None:
    _, e, truth = planted(preset, seed, 130, "iceberg@20")
    assert truth["kind"] == "iceberg"
    message = messages(e)
    price = truth["price_low"]
    assert price == truth["price_high"], "an iceberg stays at its price"
    executed = e[(e["kind"] == Kind.EXECUTE) & (e["price"] == price) & (e["side"] == truth["side"])]
    with_trade = np.isin(message, message[e["kind"] == Kind.TRADE])
    refills = e[with_trade & (e["kind"] == Kind.ADD) & (e["price"] == price) & (e["side"] == truth["side"])]
    # Beside a refill, only an aggressor's own rest is added in a message with trades, and that has the aggressor's id.
    refills = refills[~np.isin(refills["order_id"], e["order_id"][e["kind"] == Kind.TRADE])]
    assert refills.size >= 5
    assert np.isin(refills["order_id"], truth["order_ids"]).all()
    assert len(set(refills["order_id"].tolist())) == refills.size, "each refill has a new id"
    assert (refills["qty_lots"][:-1] == truth["peak_lots"]).all(), "each refill shows the peak"
    of_it = executed[np.isin(executed["order_id"], truth["order_ids"])]
    assert int(of_it["qty_lots"].sum()) == truth["filled_lots"] <= truth["lots"]
    assert truth["filled_lots"] >= 5 * truth["peak_lots"]


@ALL
@SEEDS
def test_a_native_iceberg_keeps_its_id_and_is_modified_back_to_its_peak(preset: Preset, seed: int) -> None:
    _, e, truth = planted(preset, seed, 130, "iceberg@20:native=true:side=ask")
    told = np.flatnonzero((e["kind"] == Kind.EXECUTE) & (e["flags"] & Flag.INFO != 0))
    assert told.size >= 5
    assert truth["n_orders"] == 1
    after = e[told + 1]
    assert (after["kind"] == Kind.MODIFY).all()
    assert (e["order_id"][told] == truth["order_ids"][0]).all()
    assert (after["order_id"] == truth["order_ids"][0]).all()
    assert (after["price"] == truth["price_low"]).all()
    assert (after["qty_lots"][:-1] == truth["peak_lots"]).all()
    assert (e["qty_lots"][told] == 1).all()
    assert (messages(e)[told] == messages(e)[told + 1]).all()


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_nothing_is_refilled_where_no_iceberg_was_planted(preset: Preset) -> None:
    e = simulate(preset, 11, 200).events()
    assert not (e["flags"] & Flag.INFO).any()
    message = messages(e)
    added = e[np.isin(message, message[e["kind"] == Kind.TRADE]) & (e["kind"] == Kind.ADD)]
    assert np.isin(added["order_id"], e["order_id"][e["kind"] == Kind.TRADE]).all()
    assert simulate(preset, 11, 5).truth().num_rows == 0


@ALL
@SEEDS
@pytest.mark.parametrize("side", [1, -1])
def test_a_sweep_is_one_aggressor_through_all_levels_at_one_time(preset: Preset, seed: int, side: int) -> None:
    _, e, truth = planted(preset, seed, 30, f"sweep@20:levels=4:side={'buy' if side > 0 else 'sell'}")
    assert truth["first_sequence"] == truth["last_sequence"]
    mine = e[e["sequence"] == truth["first_sequence"]]
    trades = mine[mine["kind"] == Kind.TRADE]
    assert trades.size == 4
    assert len(set(mine["ts_event_ns"].tolist())) == 1
    assert set(trades["order_id"].tolist()) == set(truth["order_ids"])
    assert (np.diff(trades["price"]) * side > 0).all(), "each price is worse than the one before"
    assert (trades["side"] == side).all()
    assert int(trades["qty_lots"].sum()) == truth["traded_lots"]
    executed = mine[mine["kind"] == Kind.EXECUTE]
    for trade in trades:
        at = executed[executed["price"] == trade["price"]]
        assert int(at["qty_lots"].sum()) == trade["qty_lots"]
        assert (at["side"] == -side).all()


@ALL
@SEEDS
@pytest.mark.parametrize("side", [1, -1])
def test_layers_rest_away_from_the_touch_until_the_other_side_is_filled(preset: Preset, seed: int, side: int) -> None:
    tape, e, truth = planted(preset, seed, 60, f"layering@20:side={side}")
    orders = e[np.isin(e["order_id"], truth["order_ids"])]
    adds = orders[orders["kind"] == Kind.ADD]
    layers = adds[adds["side"] == side]
    assert layers.size == truth["layers"] >= 3
    assert (layers["qty_lots"] == truth["lots"]).all()
    ordinary = e[(e["kind"] == Kind.ADD) & ~np.isin(e["order_id"], truth["order_ids"])]
    assert truth["lots"] > np.quantile(ordinary["qty_lots"], 0.99), "a layer is a large order"
    seen = views(e, layers["ts_event_ns"].tolist(), tick(tape))
    for layer, view in zip(layers, seen, strict=True):
        touch = view.mid_ticks - side * view.spread_ticks / 2
        assert (touch - layer["price"] / tick(tape)) * side >= truth["offset_ticks"] - 0.01
    assert not np.isin(e["order_id"][e["kind"] == Kind.EXECUTE], layers["order_id"]).any(), "no layer trades"
    small = adds[adds["side"] == -side]
    fills = e[(e["kind"] == Kind.EXECUTE) & np.isin(e["order_id"], small["order_id"])]
    assert int(fills["qty_lots"].sum()) == truth["small_lots"] == truth["filled_lots"]
    gone = e[(e["kind"] == Kind.CANCEL) & np.isin(e["order_id"], layers["order_id"])]
    assert gone.size == layers.size
    filled_ns = int(fills["ts_event_ns"][-1])
    assert int(layers["ts_event_ns"][-1]) < int(fills["ts_event_ns"][0])
    assert filled_ns < int(gone["ts_event_ns"][0])
    assert int(gone["ts_event_ns"][-1]) - filled_ns < SECOND / 5


@ALL
@SEEDS
def test_wash_trades_are_equal_and_opposite_at_one_price_and_leave_the_quotes(preset: Preset, seed: int) -> None:
    tape, e, truth = planted(preset, seed, 110, "wash_trades@20:round_trips=6:duration_s=85")
    mine = e[np.isin(e["order_id"], truth["order_ids"])]
    trades = mine[mine["kind"] == Kind.TRADE]
    n_trips = trades.size // 2
    assert 3 <= n_trips <= 6
    assert (trades["qty_lots"] == truth["lots"]).all()
    buys, sells = trades[trades["side"] > 0], trades[trades["side"] < 0]
    assert buys.size == sells.size == n_trips
    assert (buys["price"] == sells["price"]).all()
    fills = mine[mine["kind"] == Kind.EXECUTE]
    assert (fills["qty_lots"] == truth["lots"]).all(), "each trade meets one order, and all of it"
    assert (fills["order_id"] != trades["order_id"]).all()
    adds = mine[mine["kind"] == Kind.ADD]
    times = np.stack([adds["ts_event_ns"][::2], sells["ts_event_ns"], buys["ts_event_ns"] + 1]).T
    assert (times[:, 2] - times[:, 0] < SECOND / 1000).all()
    seen = views(e, times.ravel().tolist(), tick(tape))
    for i in range(n_trips):
        before, after = seen[3 * i], seen[3 * i + 2]
        assert (before.mid_ticks, before.spread_ticks) == (after.mid_ticks, after.spread_ticks)


def busiest_price(events: Events, window_ns: int = SECOND // 10) -> int:
    """Return the most adds and cancels at one price within a tenth of a second."""
    flow = events[np.isin(events["kind"], [Kind.ADD, Kind.CANCEL]) & (events["flags"] & Flag.SNAPSHOT == 0)]
    keys = np.stack([flow["ts_event_ns"] // window_ns, flow["price"]])
    return int(np.unique(keys, axis=1, return_counts=True)[1].max())


@ALL
@SEEDS
def test_stuffed_quotes_are_hundreds_of_short_orders_at_one_price_in_a_tenth_of_a_second(
    preset: Preset, seed: int
) -> None:
    _, e, truth = planted(preset, seed, 30, "quote_stuffing@20:side=ask")
    own = e[np.isin(e["order_id"], truth["order_ids"])]
    assert busiest_price(own) > 500
    assert busiest_price(e[e["ts_event_ns"] < truth["start_ns"]]) < 250
    adds, cancels = own[own["kind"] == Kind.ADD], own[own["kind"] == Kind.CANCEL]
    assert (adds["side"] == -1).all()
    assert adds.size > 1000
    assert cancels.size >= 0.98 * adds.size
    born = dict(zip(adds["order_id"].tolist(), adds["ts_event_ns"].tolist(), strict=True))
    life_ns = [t - born[i] for i, t in zip(cancels["order_id"].tolist(), cancels["ts_event_ns"].tolist(), strict=True)]
    assert max(life_ns) < 3_000_000
    assert abs((truth["end_ns"] - truth["start_ns"]) / SECOND - 1.5) < 0.05


@ALL
@SEEDS
@pytest.mark.parametrize("side", [-1, 1])
def test_a_flash_crash_falls_through_an_empty_book_and_comes_back(preset: Preset, seed: int, side: int) -> None:
    tape, e, truth = planted(preset, seed, 90, f"flash_crash@20:side={side}")
    start = truth["start_ns"]
    fall, hold, recover = truth["fall_s"], truth["hold_s"], truth["recover_s"]
    at_s = [-6, -4, -2, 0, 0.3 * fall, 0.5 * fall, 0.7 * fall, fall + 1, fall + hold + recover]
    seen = views(e, [start + int(s * SECOND) for s in at_s], tick(tape), truth["band_ticks"])
    moved = [(v.mid_ticks - seen[3].mid_ticks) * side / truth["ticks"] for v in seen]
    assert moved[7] > 0.8, "the fall"
    assert moved[8] < moved[7] - 0.5, "the recovery"
    before = np.median([v.depth for v in seen[:4]])
    during = np.median([v.depth for v in seen[4:7]])
    assert during < 0.4 * before, "the book empties"
    trades = between(e[e["kind"] == Kind.TRADE], start, start + int(fall * SECOND))
    assert (trades["qty_lots"] * trades["side"]).sum() * side > 0.3 * trades["qty_lots"].sum()


@ALL
@SEEDS
def test_liquidity_evaporates_within_a_second_without_trades_and_returns(preset: Preset, seed: int) -> None:
    tape, e, truth = planted(preset, seed, 70, "liquidity_evaporation@20")
    start = truth["start_ns"]
    fade, hold = truth["fade_s"], truth["hold_s"]
    at_s = [-6, -4, -2, 0, fade + 0.2, fade + 0.5 * hold, fade + hold - 0.5, fade + hold + truth["recover_s"] + 0.5]
    seen = views(e, [start + int(s * SECOND) for s in at_s], tick(tape), truth["band_ticks"])
    before = np.median([v.depth for v in seen[:4]])
    assert max(v.depth for v in seen[4:7]) < 0.45 * before
    assert seen[7].depth > 0.6 * before
    assert truth["n_orders"] == 0, "the orders that go were there before"
    fading = between(e, start, start + int((fade + 0.2) * SECOND))
    older = e["order_id"][(e["kind"] == Kind.ADD) & (e["ts_event_ns"] < start)]
    withdrawn = np.isin(fading["order_id"], truth["withdrawn_ids"]) & (fading["kind"] == Kind.CANCEL)
    executed = np.isin(fading["order_id"], older) & (fading["kind"] == Kind.EXECUTE)
    assert np.count_nonzero(withdrawn) > 0.35 * before
    assert np.count_nonzero(executed) < 0.8 * np.count_nonzero(withdrawn), "trades do not explain it"


@ALL
@SEEDS
@pytest.mark.parametrize("side", [1, -1])
def test_informed_flow_leans_one_way_before_the_price_jumps_that_way(preset: Preset, seed: int, side: int) -> None:
    tape, e, truth = planted(preset, seed, 60, f"informed_flow@20:side={side}")
    start = truth["start_ns"]
    jump = start + int(truth["lead_s"] * SECOND)
    trades = e[e["kind"] == Kind.TRADE]
    lead = between(trades, start, jump)
    own = lead[np.isin(lead["order_id"], truth["order_ids"])]
    assert (own["side"] == side).all()
    assert own.size > 0.5 * truth["lead_s"] * truth["aggressors_per_s"]
    assert (lead["qty_lots"] * lead["side"]).sum() * side > 0.2 * lead["qty_lots"].sum(), "the flow leans"
    seen = views(e, [start, jump, jump + 2 * SECOND, jump + 12 * SECOND], tick(tape))
    jumped = (seen[2].mid_ticks - seen[1].mid_ticks) * side / truth["ticks"]
    assert jumped > 0.6, "the jump"


@ALL
def test_the_truth_can_be_read_before_and_after_the_tape(preset: Preset) -> None:
    episodes = ["sweep@10", "quote_stuffing@2:duration_s=0.1", "sweep@5:side=sell"]
    before = simulate(preset, 14, 15, episodes)
    after = simulate(preset, 14, 15, episodes)
    after.events()
    first = before.truth()
    assert first.equals(after.truth())
    assert first.equals(before.truth())
    assert first["episode"].to_pylist() == [1, 2, 0], "in order of their start"
    assert before.events().tobytes() == after.events().tobytes()


@ALL
def test_places_and_sequences_of_the_truth_point_at_the_episode_s_rows(preset: Preset) -> None:
    tape = simulate(preset, 15, 20, ["sweep@10:levels=3", "quote_stuffing@12:duration_s=0.1"])
    e = tape.events()
    for row in tape.truth().to_pylist():
        first, last = e[row["first_event"]], e[row["last_event"]]
        assert (int(first["sequence"]), int(last["sequence"])) == (row["first_sequence"], row["last_sequence"])
        assert int(first["ts_event_ns"]) == row["start_ns"]
        assert int(first["order_id"]) in row["order_ids"]
        assert row["withdrawn_ids"] == []
        span = e[row["first_event"] : row["last_event"] + 1]
        assert row["n_events"] <= span.size
        mine = e[np.isin(e["order_id"], row["order_ids"])]
        assert int(mine["price"].min()) >= row["price_low"]
        assert int(mine["price"].max()) <= row["price_high"]


def test_wash_trades_that_find_no_open_spread_are_not_in_the_truth() -> None:
    tape = simulate("es", 16, 1, ["wash_trades@0.5:duration_s=0.001"])
    assert tape.truth().num_rows == 0
