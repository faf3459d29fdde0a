"""Scripts of episodes that are one participant's orders: stuffed quotes, iceberg, sweep, layers, wash trades."""

from __future__ import annotations

from typing import Any

from tapebook.kernels import lean_step
from tapebook.kernels.sim_book import yield_ref
from tapebook.kernels.sim_flow import market
from tapebook.kernels.sim_match import aggress, cancel, join
from tapebook.kernels.sim_message import advance_time
from tapebook.kernels.sim_plan import (
    C_COUNT,
    C_DURATION,
    C_HOLD,
    C_LIFE,
    C_LOTS,
    C_NATIVE,
    C_OFFSET,
    C_PEAK,
    C_RATE,
    C_SHARE,
    alive,
    away,
    calm,
    end_episode,
    ns_of,
    touch,
)
from tapebook.kernels.sim_state import ASK, BID, HELD, NONE, ONE, ZERO, World


@lean_step
def quote_stuffing(w: World, rng: Any, e: int) -> None:
    """Add an order, cancel it at once, and again, at one price near the touch."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    period_s = 2.0 / c[C_RATE]
    if alive(w, ep["slot"], ep["slot_id"]):
        cancel(w, rng, ep["slot"], w.orders[ep["slot"]]["qty"], e + 1)
        ep["slot"] = NONE
        if s["t_ns"] >= ep["start_ns"] + ns_of(c[C_DURATION]):
            end_episode(w, e)
        else:
            ep["next_ns"] = s["t_ns"] + 1 + ns_of(max(period_s - c[C_LIFE], 0.0) * (0.5 + rng.random()))
        return
    if s["t_ns"] >= ep["start_ns"] + ns_of(c[C_DURATION]):
        end_episode(w, e)
        return
    offset = int(c[C_OFFSET])
    level = ep["level"]
    if ep["count"] == 0 or (touch(w, side) - level) * side < 1:
        level = away(w, side, offset)
        ep["level"] = level
    slot = join(w, rng, side, level, int(c[C_LOTS]), e + 1)
    ep["slot"] = slot
    ep["slot_id"] = w.orders[slot]["id"]
    ep["count"] += 1
    ep["next_ns"] = s["t_ns"] + 1 + ns_of(c[C_LIFE] * (0.5 + rng.random()))


@lean_step
def iceberg(w: World, rng: Any, e: int) -> None:
    """Rest an iceberg at the touch; lead the flow against it until it is used up or out of time."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    if ep["phase"] == 0:
        ep["phase"] = 1
        level = touch(w, side)
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
    if not alive(w, ep["slot"], ep["slot_id"]):
        end_episode(w, e)
        return
    if s["t_ns"] >= ep["start_ns"] + ns_of(c[C_DURATION]):
        cancel(w, rng, ep["slot"], w.orders[ep["slot"]]["qty"], e + 1)
        end_episode(w, e)
        return
    # The market presses on the level: the efficient price is held a little beyond it, so that the others leave.
    beyond = ep["level"] + 0.5 * side - side * 0.9 * w.p[0]["pin_ticks"]
    s["x"] += 0.2 * (beyond - s["x"])
    ep["next_ns"] = s["t_ns"] + 20_000_000


@lean_step
def sweep(w: World, rng: Any, e: int) -> None:
    """One aggressor takes whole levels and a part of the last."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    n_levels = int(c[C_COUNT])
    level = touch(w, -side)
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
    end_episode(w, e)


@lean_step
def _layers_go(w: World, rng: Any, e: int) -> bool:
    """Cancel the next layer that still rests; False when none does."""
    for j in range(HELD):
        if alive(w, w.held[e, j, 0], w.held[e, j, 1]):
            slot = w.held[e, j, 0]
            cancel(w, rng, slot, w.orders[slot]["qty"], e + 1)
            return True
    return False


@lean_step
def layering(w: World, rng: Any, e: int) -> None:
    """Layers on one side, a small order on the other that gets filled under their pressure, then the layers go."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    n_layers = int(c[C_COUNT])
    if ep["phase"] == 0:
        level = away(w, side, int(c[C_OFFSET]) + ep["count"])
        slot = join(w, rng, side, level, int(c[C_LOTS]), e + 1)
        w.held[e, ep["count"], 0] = slot
        w.held[e, ep["count"], 1] = w.orders[slot]["id"]
        ep["count"] += 1
        if ep["count"] == n_layers:
            ep["phase"] = 1
        ep["next_ns"] = s["t_ns"] + 5_000_000 + ns_of(0.015 * rng.random())
        return
    if ep["phase"] == 1:
        level = touch(w, -side)
        slot = join(w, rng, -side, level, int(c[C_PEAK]), e + 1)
        ep["slot"] = slot
        ep["slot_id"] = w.orders[slot]["id"]
        ep["phase"] = 2
        ep["pressure"] = 0.4 * side
        ep["anchor"] = s["t_ns"] + c[C_HOLD] * 1e9
        ep["next_ns"] = s["t_ns"] + 5_000_000
        return
    if ep["phase"] == 2:
        if alive(w, ep["slot"], ep["slot_id"]) and s["t_ns"] < ep["start_ns"] + ns_of(c[C_DURATION]):
            order = w.orders[ep["slot"]]
            level, qty = order["level"], order["qty"]
            ep["next_ns"] = s["t_ns"] + 5_000_000
            if level != touch(w, -side):  # the touch moved away: the small order follows it
                cancel(w, rng, ep["slot"], qty, e + 1)
                slot = join(w, rng, -side, touch(w, -side), qty, e + 1)
                ep["slot"] = slot
                ep["slot_id"] = w.orders[slot]["id"]
            elif s["t_ns"] >= ep["anchor"]:  # the market gives way: sellers (of layered asks) reach the small order
                ahead = qty
                slot = w.levels[level]["head"]
                while slot != NONE and slot != ep["slot"]:
                    ahead += w.orders[slot]["qty"]
                    slot = w.orders[slot]["next"]
                market(w, rng, side, max(1, ahead // 3 + 1), ONE, ZERO, e + 1)
                ep["next_ns"] = s["t_ns"] + 10_000_000 + ns_of(0.03 * rng.random())
            return
        ep["phase"] = 3
        calm(w, e)
        if alive(w, ep["slot"], ep["slot_id"]):
            cancel(w, rng, ep["slot"], w.orders[ep["slot"]]["qty"], e + 1)
        ep["next_ns"] = s["t_ns"] + 8_000_000
        return
    if _layers_go(w, rng, e):
        ep["next_ns"] = s["t_ns"] + 200_000 + ns_of(0.0003 * rng.random())
    else:
        end_episode(w, e)


@lean_step
def wash_trades(w: World, rng: Any, e: int) -> None:
    """When the spread is open: buy and sell the same lots with oneself at one price inside it, price unchanged."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    lots = int(c[C_LOTS])
    if s["t_ns"] >= ep["start_ns"] + ns_of(c[C_DURATION]) or ep["count"] >= int(c[C_COUNT]):
        end_episode(w, e)
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
    ep["next_ns"] = s["t_ns"] + ns_of(0.3 * rng.standard_exponential())
