"""Planted episodes as scripts: each call of :func:`play` takes one step of one episode and says when the next is due.

A script places, cancels and trades through the same venue rules as the ordinary flow, which goes on around it and
reacts; every row that a script (or the execution of its orders) writes carries its number in ``tags``. Between its
steps an episode acts through multipliers of the ordinary rates. Columns of ``script`` are named ``C_*`` below; times
in seconds there, ns in the episode's record. All kinds stand in one file, though that makes more than 400 lines: each
is a short script of the same few verbs, and whoever reads one wants the others beside it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapebook.kernels import lean_step
from tapebook.kernels.sim_book import from_back, side_orders, yield_ref
from tapebook.kernels.sim_flow import (
    AGGRESSOR_SIZE,
    AGGRESSORS,
    CHANGES,
    J_MOVE_LIQUIDITY,
    J_MOVE_MARKET,
    ORDER_SIZE,
    draw_size,
    excite,
    market,
    near_level,
)
from tapebook.kernels.sim_match import aggress, cancel, join
from tapebook.kernels.sim_message import advance_time
from tapebook.kernels.sim_state import ASK, BID, HELD, NONE, ONE, ZERO, World

__all__ = ["NEVER_NS", "play"]

NEVER_NS: Final = 1 << 62

_TWO: Final = np.int64(2)
_THREE: Final = np.int64(3)

FLASH_CRASH: Final = 1
EVAPORATION: Final = 2
QUOTE_STUFFING: Final = 3
ICEBERG: Final = 4
SWEEP: Final = 5
LAYERING: Final = 6
WASH_TRADES: Final = 7
INFORMED_FLOW: Final = 8

# Columns of ``script``. The first two are shared, the others have a meaning by kind.
C_DURATION: Final = 0
C_LOTS: Final = 1
C_TICKS: Final = 2  # flash crash, informed flow: size of the move
C_HOLD: Final = 3  # flash crash, evaporation, layering: seconds
C_RECOVER: Final = 4  # flash crash, evaporation: seconds
C_SHARE: Final = 5  # flash crash: recovered share; evaporation: depth left; sweep: share of the last level
C_RATE: Final = 6  # per second: flash crash, informed flow: aggressors; quote stuffing: messages
C_COUNT: Final = 7  # sweep: levels; layering: layers; wash trades: round trips
C_OFFSET: Final = 8  # quote stuffing, layering: ticks from the touch
C_LIFE: Final = 9  # quote stuffing: seconds an order lives
C_PEAK: Final = 10
C_NATIVE: Final = 11
C_DEPTH: Final = 12  # flash crash: depth left
C_BAND: Final = 13  # flash crash, evaporation: ticks from the touch that are emptied


@lean_step
def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


@lean_step
def _touch(w: World, side: int) -> Any:
    """Best level of a side."""
    return w.s[0]["best_bid"] if side > 0 else w.s[0]["best_ask"]


@lean_step
def _away(w: World, side: int, ticks: int) -> Any:
    """Level behind the touch of a side, or the last one of the grid."""
    return min(max(_touch(w, side) - side * ticks, 0), w.levels.size - 1)


@lean_step
def _alive(w: World, slot: int, slot_id: int) -> bool:
    return bool(slot != NONE and slot_id != 0 and w.orders[slot]["id"] == slot_id)


@lean_step
def _calm(w: World, e: int) -> None:
    """Stop acting on the ordinary rates."""
    ep = w.episodes[e]
    ep["add_bid"] = ep["add_ask"] = ep["cancel_bid"] = ep["cancel_ask"] = 1.0
    ep["pressure"] = 0.0


@lean_step
def _end(w: World, e: int) -> None:
    _calm(w, e)
    ep = w.episodes[e]
    ep["ended_ns"] = w.s[0]["t_ns"]
    ep["next_ns"] = NEVER_NS


@lean_step
def _band(w: World, e: int) -> Any:
    """Ticks from the reference price that an episode acts on: its own number, or the near levels."""
    band = int(w.script[e, C_BAND])
    return band if band > 0 else w.near.shape[1]


@lean_step
def _orders_within(w: World, side: int, band: int) -> Any:
    """Resting orders of a side within ``band`` ticks of the reference price."""
    total = 0
    for i in range(band):
        total += w.levels[near_level(w, side, i)]["orders"]
    return total


@lean_step
def _thin(w: World, rng: Any, e: int, side: int) -> None:
    """Cancel one order of a side within the episode's band, the fuller a level the likelier there."""
    band = _band(w, e)
    total = _orders_within(w, side, band)
    if total == 0 or side_orders(w, side) <= 1:
        return
    k = int(rng.random() * total)
    for i in range(band):
        level = near_level(w, side, i)
        n = w.levels[level]["orders"]
        if k < n:
            slot = from_back(w, level, k)
            if slot != NONE:
                cancel(w, rng, slot, w.orders[slot]["qty"], e + 1)
            return
        k -= n


@lean_step
def _come_back(w: World, rng: Any, side: int, band: int) -> None:
    """Let an ordinary order return within ``band`` ticks, where orders usually are."""
    n_near = w.near.shape[1]
    most = w.p[0]["deep_orders"]
    for i in range(n_near):
        most = max(most, w.near[0, i])
    i = 0
    for _ in range(1000):
        i = int(rng.random() * band)
        usual = w.near[0, i] if i < n_near else w.p[0]["deep_orders"]
        if rng.random() * most < usual:
            break
    join(w, rng, side, near_level(w, side, i), draw_size(w, rng, ORDER_SIZE), ZERO)


@lean_step
def _flash_crash(w: World, rng: Any, e: int) -> None:
    """Fall: the efficient price is led down, depth taken away, sellers sent; hold; recover towards where it was."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    if ep["phase"] == 0:
        ep["phase"] = 1
        ep["anchor"] = s["x"]
        ep["count"] = max(_orders_within(w, BID, _band(w, e)) + _orders_within(w, ASK, _band(w, e)), 2)
    passed_s = (s["t_ns"] - ep["start_ns"]) / 1e9
    fall_s, hold_s, recover_s = c[C_DURATION], c[C_HOLD], c[C_RECOVER]
    moved = side * c[C_TICKS]
    down = passed_s < fall_s
    if down:
        target = ep["anchor"] + moved * (passed_s / fall_s)
    elif passed_s < fall_s + hold_s:
        target = ep["anchor"] + moved
    else:
        back = min((passed_s - fall_s - hold_s) / recover_s, 1.0)
        target = ep["anchor"] + moved * (1.0 - c[C_SHARE] * back)
    s["x"] += 0.5 * (target - s["x"])
    depth = c[C_DEPTH]
    if passed_s < fall_s + hold_s:
        rate = 0.5 * depth * (1.0 + depth)  # joins at which a queue comes to rest at this share of its usual length
    else:
        done = min((passed_s - fall_s - hold_s) / recover_s, 1.0)
        rate = 0.5 * depth * (1.0 + depth) * (1.0 - done) + done
        ep["pressure"] = -0.3 * side * (1.0 - done)
    ep["add_bid"] = ep["add_ask"] = rate
    step_ns = 5_000_000
    if down:
        ep["pressure"] = 0.6 * side
        for each in (1, -1):
            excess = int(_orders_within(w, each, _band(w, e)) - depth * 0.5 * ep["count"])
            for _ in range(min(excess, 24)):
                _thin(w, rng, e, each)
                advance_time(w, rng, s["t_ns"] + 2_000 + int(3_000 * rng.random()))
        if rng.random() < c[C_RATE] * step_ns / 1e9:
            market(w, rng, side, int(c[C_LOTS]) + draw_size(w, rng, AGGRESSOR_SIZE), _THREE, ZERO, e + 1)
    if passed_s >= fall_s + hold_s + recover_s:
        _end(w, e)
    else:
        ep["next_ns"] = s["t_ns"] + step_ns


@lean_step
def _evaporation(w: World, rng: Any, e: int) -> None:
    """Cancel orders on both sides within a moment until the share wanted is left; keep it so; bring them back."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    share = c[C_SHARE]
    band = _band(w, e)
    bid, ask = _orders_within(w, BID, band), _orders_within(w, ASK, band)
    if ep["phase"] == 0:
        ep["phase"] = 1
        ep["count"] = bid + ask
        ep["add_bid"] = ep["add_ask"] = 0.5 * share * (1.0 + share)
    usual = 0.5 * ep["count"]
    away_ns = ep["start_ns"] + _ns(c[C_DURATION] + c[C_HOLD])
    if s["t_ns"] >= away_ns:
        ep["add_bid"] = ep["add_ask"] = 1.0
        missing = 2.0 * usual - bid - ask
        left_s = c[C_RECOVER] - (s["t_ns"] - away_ns) / 1e9
        if missing < 0.1 * usual or left_s <= 0.0:
            _end(w, e)
            return
        _come_back(w, rng, BID if bid < ask else ASK, band)
        ep["next_ns"] = s["t_ns"] + 1 + _ns(left_s / missing * rng.standard_exponential())
        return
    excess = max(bid, ask) - share * usual
    if excess < 1.0:
        ep["next_ns"] = s["t_ns"] + 20_000_000
        return
    _thin(w, rng, e, BID if bid > ask else ASK)
    left_s = max(c[C_DURATION] - (s["t_ns"] - ep["start_ns"]) / 1e9, 0.05)
    todo = max(bid + ask - 2.0 * share * usual, 1.0)
    ep["next_ns"] = s["t_ns"] + 1 + _ns(left_s / todo * rng.standard_exponential())


@lean_step
def _quote_stuffing(w: World, rng: Any, e: int) -> None:
    """Add an order, cancel it at once, and again, at one price near the touch."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    period_s = 2.0 / c[C_RATE]
    if _alive(w, ep["slot"], ep["slot_id"]):
        cancel(w, rng, ep["slot"], w.orders[ep["slot"]]["qty"], e + 1)
        ep["slot"] = NONE
        if s["t_ns"] >= ep["start_ns"] + _ns(c[C_DURATION]):
            _end(w, e)
        else:
            ep["next_ns"] = s["t_ns"] + 1 + _ns(max(period_s - c[C_LIFE], 0.0) * (0.5 + rng.random()))
        return
    if s["t_ns"] >= ep["start_ns"] + _ns(c[C_DURATION]):
        _end(w, e)
        return
    offset = int(c[C_OFFSET])
    level = ep["level"]
    if ep["count"] == 0 or (_touch(w, side) - level) * side < 1:
        level = _away(w, side, offset)
        ep["level"] = level
    slot = join(w, rng, side, level, int(c[C_LOTS]), e + 1)
    ep["slot"] = slot
    ep["slot_id"] = w.orders[slot]["id"]
    ep["count"] += 1
    ep["next_ns"] = s["t_ns"] + 1 + _ns(c[C_LIFE] * (0.5 + rng.random()))


@lean_step
def _iceberg(w: World, rng: Any, e: int) -> None:
    """Rest an iceberg at the touch; lead the flow against it until it is used up or out of time."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    if ep["phase"] == 0:
        ep["phase"] = 1
        level = _touch(w, side)
        peak = int(c[C_PEAK])
        slot = join(w, rng, side, level, peak, e + 1)
        order = w.orders[slot]
        order["peak"] = peak
        order["reserve"] = int(c[C_LOTS]) - peak
        order["native"] = int(c[C_NATIVE])
        ep["slot"] = slot
        ep["slot_id"] = order["id"]
        ep["level"] = level
        ep["pressure"] = -0.5 * side
    if not _alive(w, ep["slot"], ep["slot_id"]):
        _end(w, e)
        return
    if s["t_ns"] >= ep["start_ns"] + _ns(c[C_DURATION]):
        cancel(w, rng, ep["slot"], w.orders[ep["slot"]]["qty"], e + 1)
        _end(w, e)
        return
    # The market presses on the level: the efficient price is held a little beyond it, so that the others leave.
    beyond = ep["level"] + 0.5 * side - side * 0.9 * w.p[0]["pin_ticks"]
    s["x"] += 0.2 * (beyond - s["x"])
    ep["next_ns"] = s["t_ns"] + 20_000_000


@lean_step
def _sweep(w: World, rng: Any, e: int) -> None:
    """One aggressor takes whole levels and a part of the last."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    n_levels = int(c[C_COUNT])
    level = _touch(w, -side)
    qty = 0
    found = 0
    first = level
    while found < n_levels and 1 < level < w.levels.size - 1:
        at = w.levels[level]["qty"]
        if at > 0:
            found += 1
            qty += at if found < n_levels else max(1, int(at * c[C_SHARE]))
        if found < n_levels:
            level += side
    market(w, rng, side, qty, n_levels, ZERO, e + 1)
    s["x"] += 0.5 * (level - first)
    _end(w, e)


@lean_step
def _layers_go(w: World, rng: Any, e: int) -> bool:
    """Cancel the next layer that still rests; False when none does."""
    for j in range(HELD):
        if _alive(w, w.held[e, j, 0], w.held[e, j, 1]):
            slot = w.held[e, j, 0]
            cancel(w, rng, slot, w.orders[slot]["qty"], e + 1)
            return True
    return False


@lean_step
def _layering(w: World, rng: Any, e: int) -> None:
    """Layers on one side, a small order on the other that gets filled under their pressure, then the layers go."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    n_layers = int(c[C_COUNT])
    if ep["phase"] == 0:
        level = _away(w, side, int(c[C_OFFSET]) + ep["count"])
        slot = join(w, rng, side, level, int(c[C_LOTS]), e + 1)
        w.held[e, ep["count"], 0] = slot
        w.held[e, ep["count"], 1] = w.orders[slot]["id"]
        ep["count"] += 1
        if ep["count"] == n_layers:
            ep["phase"] = 1
        ep["next_ns"] = s["t_ns"] + 5_000_000 + _ns(0.015 * rng.random())
        return
    if ep["phase"] == 1:
        level = _touch(w, -side)
        slot = join(w, rng, -side, level, int(c[C_PEAK]), e + 1)
        ep["slot"] = slot
        ep["slot_id"] = w.orders[slot]["id"]
        ep["phase"] = 2
        ep["pressure"] = 0.4 * side
        ep["anchor"] = s["t_ns"] + c[C_HOLD] * 1e9
        ep["next_ns"] = s["t_ns"] + 5_000_000
        return
    if ep["phase"] == 2:
        if _alive(w, ep["slot"], ep["slot_id"]) and s["t_ns"] < ep["start_ns"] + _ns(c[C_DURATION]):
            order = w.orders[ep["slot"]]
            level, qty = order["level"], order["qty"]
            ep["next_ns"] = s["t_ns"] + 5_000_000
            if level != _touch(w, -side):  # the touch moved away: the small order follows it
                cancel(w, rng, ep["slot"], qty, e + 1)
                slot = join(w, rng, -side, _touch(w, -side), qty, e + 1)
                ep["slot"] = slot
                ep["slot_id"] = w.orders[slot]["id"]
            elif s["t_ns"] >= ep["anchor"]:  # the market gives way: sellers (of layered asks) reach the small order
                ahead = qty
                slot = w.levels[level]["head"]
                while slot != NONE and slot != ep["slot"]:
                    ahead += w.orders[slot]["qty"]
                    slot = w.orders[slot]["next"]
                market(w, rng, side, max(1, ahead // 3 + 1), ONE, ZERO, e + 1)
                ep["next_ns"] = s["t_ns"] + 10_000_000 + _ns(0.03 * rng.random())
            return
        ep["phase"] = 3
        _calm(w, e)
        if _alive(w, ep["slot"], ep["slot_id"]):
            cancel(w, rng, ep["slot"], w.orders[ep["slot"]]["qty"], e + 1)
        ep["next_ns"] = s["t_ns"] + 8_000_000
        return
    if _layers_go(w, rng, e):
        ep["next_ns"] = s["t_ns"] + 200_000 + _ns(0.0003 * rng.random())
    else:
        _end(w, e)


@lean_step
def _wash_trades(w: World, rng: Any, e: int) -> None:
    """When the spread is open: buy and sell the same lots with oneself at one price inside it, price unchanged."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    lots = int(c[C_LOTS])
    if s["t_ns"] >= ep["start_ns"] + _ns(c[C_DURATION]) or ep["count"] >= int(c[C_COUNT]):
        _end(w, e)
        return
    if s["best_ask"] - s["best_bid"] < 2:
        ep["next_ns"] = s["t_ns"] + 500_000
        return
    ref = s["ref"]
    level = s["best_bid"] + 1
    for side in (1, -1):
        slot = join(w, rng, side, level, lots, e + 1)
        advance_time(w, rng, s["t_ns"] + 30_000 + int(60_000 * rng.random()))
        aggress(w, rng, -side, w.orders[slot]["qty"], ONE, ZERO, e + 1)
        advance_time(w, rng, s["t_ns"] + 30_000 + int(60_000 * rng.random()))
    yield_ref(w, BID, ref - 1)
    yield_ref(w, ASK, ref)
    ep["count"] += 1
    ep["next_ns"] = s["t_ns"] + _ns(0.3 * rng.standard_exponential())


@lean_step
def _informed_flow(w: World, rng: Any, e: int) -> None:
    """Aggressors of one side, evenly in time; then the efficient price jumps their way and the touch is left."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    jump_ns = ep["start_ns"] + _ns(c[C_DURATION])
    if s["t_ns"] < jump_ns:
        ep["pressure"] = 0.45 * side  # some of the others notice
        market(w, rng, side, int(c[C_LOTS] * (0.5 + rng.random())) + 1, ONE, ZERO, e + 1)
        ep["next_ns"] = min(s["t_ns"] + 1 + _ns(rng.standard_exponential() / c[C_RATE]), jump_ns)
        return
    if ep["phase"] == 0:
        ep["phase"] = 1
        s["x"] = max(s["x"] * side, (s["ref"] - 0.5) * side) * side + side * c[C_TICKS]
        ep["anchor"] = s["x"]
        if side > 0:
            ep["add_ask"], ep["cancel_ask"] = 0.05, 10.0
        else:
            ep["add_bid"], ep["cancel_bid"] = 0.05, 10.0
        ep["pressure"] = 0.8 * side
        excite(w, J_MOVE_LIQUIDITY, CHANGES, 5.0)
        excite(w, J_MOVE_MARKET, AGGRESSORS, 5.0)
    ep["count"] += 1
    # What is known stays known: for a second and a half the efficient price does not fall behind the news.
    s["x"] = max(s["x"] * side, ep["anchor"] * side) * side
    if s["t_ns"] >= jump_ns + 1_500_000_000:
        _end(w, e)
        return
    if (ep["anchor"] - (s["ref"] - 0.5)) * side <= 0.5:
        ep["next_ns"] = s["t_ns"] + 20_000_000
        return
    for _ in range(4):
        _thin(w, rng, e, -side)
        advance_time(w, rng, s["t_ns"] + 2_000 + int(5_000 * rng.random()))
    if ep["count"] % 3 == 1:
        market(w, rng, side, draw_size(w, rng, AGGRESSOR_SIZE) + int(c[C_LOTS]), _TWO, ZERO, e + 1)
    ep["next_ns"] = s["t_ns"] + 2_000_000 + _ns(0.004 * rng.random())


@lean_step
def _combine(w: World) -> None:
    """Put the multipliers of all episodes together, and find the next step."""
    s = w.s[0]
    s["add_bid"] = s["add_ask"] = s["cancel_bid"] = s["cancel_ask"] = 1.0
    s["pressure"] = 0.0
    s["planned_ns"] = NEVER_NS
    for e in range(w.episodes.size):
        ep = w.episodes[e]
        s["add_bid"] *= ep["add_bid"]
        s["add_ask"] *= ep["add_ask"]
        s["cancel_bid"] *= ep["cancel_bid"]
        s["cancel_ask"] *= ep["cancel_ask"]
        s["pressure"] = min(max(s["pressure"] + ep["pressure"], -1.0), 1.0)
        s["planned_ns"] = min(s["planned_ns"], ep["next_ns"])


@lean_step
def play(w: World, rng: Any) -> None:
    """Take the step of the episode that is due first."""
    s = w.s[0]
    e = ZERO
    for i in range(w.episodes.size):
        if w.episodes[i]["next_ns"] < w.episodes[e]["next_ns"]:
            e = i
    if w.episodes.size > 0 and w.episodes[e]["next_ns"] <= s["t_ns"]:
        kind = w.episodes[e]["kind"]
        if kind == FLASH_CRASH:
            _flash_crash(w, rng, e)
        elif kind == EVAPORATION:
            _evaporation(w, rng, e)
        elif kind == QUOTE_STUFFING:
            _quote_stuffing(w, rng, e)
        elif kind == ICEBERG:
            _iceberg(w, rng, e)
        elif kind == SWEEP:
            _sweep(w, rng, e)
        elif kind == LAYERING:
            _layering(w, rng, e)
        elif kind == WASH_TRADES:
            _wash_trades(w, rng, e)
        else:
            _informed_flow(w, rng, e)
    _combine(w)
