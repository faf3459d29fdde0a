"""Scripts of episodes that move the price or empty the book: flash crash, evaporation, informed flow.

Between its steps an episode acts through multipliers of the ordinary rates, and leads the efficient price.
"""

from __future__ import annotations

from typing import Any

from tapebook.kernels import lean_step
from tapebook.kernels.sim_flow import (
    AGGRESSOR_SIZE,
    AGGRESSORS,
    CHANGES,
    J_MOVE_LIQUIDITY,
    J_MOVE_MARKET,
    draw_size,
    excite,
    market,
)
from tapebook.kernels.sim_message import advance_time
from tapebook.kernels.sim_plan import (
    C_DEPTH,
    C_DURATION,
    C_HOLD,
    C_LOTS,
    C_RATE,
    C_RECOVER,
    C_SHARE,
    C_TICKS,
    THREE,
    TWO,
    band_of,
    come_back,
    end_episode,
    ns_of,
    orders_within,
    thin,
)
from tapebook.kernels.sim_state import ASK, BID, ONE, ZERO, World


@lean_step
def flash_crash(w: World, rng: Any, e: int) -> None:
    """Fall: the efficient price is led down, depth taken away, sellers sent; hold; recover towards where it was."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    if ep["phase"] == 0:
        ep["phase"] = 1
        ep["anchor"] = s["x"]
        ep["count"] = max(orders_within(w, BID, band_of(w, e)) + orders_within(w, ASK, band_of(w, e)), 2)
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
            excess = int(orders_within(w, each, band_of(w, e)) - depth * 0.5 * ep["count"])
            for _ in range(min(excess, 24)):
                thin(w, rng, e, each)
                advance_time(w, rng, s["t_ns"] + 2_000 + int(3_000 * rng.random()))
        if rng.random() < c[C_RATE] * step_ns / 1e9:
            market(w, rng, side, int(c[C_LOTS]) + draw_size(w, rng, AGGRESSOR_SIZE), THREE, ZERO, e + 1)
    if passed_s >= fall_s + hold_s + recover_s:
        end_episode(w, e)
    else:
        ep["next_ns"] = s["t_ns"] + step_ns


@lean_step
def evaporation(w: World, rng: Any, e: int) -> None:
    """Cancel orders on both sides within a moment until the share wanted is left; keep it so; bring them back."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    share = c[C_SHARE]
    band = band_of(w, e)
    bid, ask = orders_within(w, BID, band), orders_within(w, ASK, band)
    if ep["phase"] == 0:
        ep["phase"] = 1
        ep["count"] = bid + ask
        ep["add_bid"] = ep["add_ask"] = 0.5 * share * (1.0 + share)
    usual = 0.5 * ep["count"]
    away_ns = ep["start_ns"] + ns_of(c[C_DURATION] + c[C_HOLD])
    if s["t_ns"] >= away_ns:
        ep["add_bid"] = ep["add_ask"] = 1.0
        missing = 2.0 * usual - bid - ask
        left_s = c[C_RECOVER] - (s["t_ns"] - away_ns) / 1e9
        if missing < 0.1 * usual or left_s <= 0.0:
            end_episode(w, e)
            return
        come_back(w, rng, BID if bid < ask else ASK, band)
        ep["next_ns"] = s["t_ns"] + 1 + ns_of(left_s / missing * rng.standard_exponential())
        return
    excess = max(bid, ask) - share * usual
    if excess < 1.0:
        ep["next_ns"] = s["t_ns"] + 20_000_000
        return
    thin(w, rng, e, BID if bid > ask else ASK)
    left_s = max(c[C_DURATION] - (s["t_ns"] - ep["start_ns"]) / 1e9, 0.05)
    todo = max(bid + ask - 2.0 * share * usual, 1.0)
    ep["next_ns"] = s["t_ns"] + 1 + ns_of(left_s / todo * rng.standard_exponential())


@lean_step
def informed_flow(w: World, rng: Any, e: int) -> None:
    """Aggressors of one side, evenly in time; then the efficient price jumps their way and the touch is left."""
    s = w.s[0]
    ep = w.episodes[e]
    c = w.script[e]
    side = ep["side"]
    jump_ns = ep["start_ns"] + ns_of(c[C_DURATION])
    if s["t_ns"] < jump_ns:
        ep["pressure"] = 0.45 * side  # some of the others notice
        market(w, rng, side, int(c[C_LOTS] * (0.5 + rng.random())) + 1, ONE, ZERO, e + 1)
        ep["next_ns"] = min(s["t_ns"] + 1 + ns_of(rng.standard_exponential() / c[C_RATE]), jump_ns)
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
        end_episode(w, e)
        return
    if (ep["anchor"] - (s["ref"] - 0.5)) * side <= 0.5:
        ep["next_ns"] = s["t_ns"] + 20_000_000
        return
    for _ in range(4):
        thin(w, rng, e, -side)
        advance_time(w, rng, s["t_ns"] + 2_000 + int(5_000 * rng.random()))
    if ep["count"] % 3 == 1:
        market(w, rng, side, draw_size(w, rng, AGGRESSOR_SIZE) + int(c[C_LOTS]), TWO, ZERO, e + 1)
    ep["next_ns"] = s["t_ns"] + 2_000_000 + ns_of(0.004 * rng.random())
