"""The ordinary flow: marked Hawkes arrivals that a queue-reactive book turns into orders.

Two intensities drive the market, aggressors (M) and changes of the book (L), each a baseline times the intraday shape
plus excitation that decays on several time scales::

    lambda_M(t) = mu_M u(t) + sum_k E_Mk(t)         lambda_L(t) = mu_L u(t) r(t) + sum_k E_Lk(t)
    E_jk decays as exp(-t / tau_k); an event of type i adds mark * eta_ijk / tau_k to it

with i one of M, L and a move of the reference price, and the mark of an aggressor (lots / usual lots)^exponent.
``r`` is the weight of everything that can happen to the book over its usual value, cut to [0.3, 3].

*What* happens to the book is drawn by weight. At distance i from the reference price, with n orders resting and n_i
usual there, an order joins with weight 2 a_i / (1 + n/n_i) and one leaves with weight a_i n/n_i: the queue-reactive
model's birth and death rates, in equilibrium at n = n_i. Leaving orders are picked towards the back of the queue, some
of them move instead (MODIFY) or lose lots. Queues further out share one weight a side and the same two rates.

The touch (i = 0) is left by two sorts of tilt t <= 1, joins times t and leaves times 1/t: where the efficient price x
departs from the mid, exp(-pull |x - mid| / pin) on the side it moves towards; and exp(-pull_queue |n_bid - n_ask| /
(n_bid + n_ask)) on the shorter side: nobody wants to be the last at a price, and a price just reached is easily lost
again. Leaving has a part that does not shrink with the queue (flight), and a short queue attracts joins (rush: early
places are worth having), so that a touch does not stay short.

x diffuses and takes in the surprise of each aggressor's sign; aggressors lean its way. When a touch is used up, the
reference price moves there with a probability that grows with (x - mid), else the queue is refilled; inside a wider
spread it follows x.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapebook.kernels import lean_step
from tapebook.kernels.sim_book import from_back, put, reduce, remember_stale, side_orders, take_off
from tapebook.kernels.sim_match import MODIFY, aggress, cancel, join
from tapebook.kernels.sim_message import begin, end, write
from tapebook.kernels.sim_state import NONE, ONE, ZERO, World

__all__ = [
    "draw_size",
    "excite",
    "intensities",
    "liquidity",
    "market",
    "market_event",
    "near_level",
    "settle",
    "usual_mark",
    "weigh",
]

J_MARKET_MARKET: Final = np.int64(0)
J_MARKET_LIQUIDITY: Final = np.int64(1)
J_LIQUIDITY_LIQUIDITY: Final = np.int64(2)
J_MOVE_MARKET: Final = np.int64(3)
J_MOVE_LIQUIDITY: Final = np.int64(4)
AGGRESSORS: Final = ZERO
CHANGES: Final = ONE
ORDER_SIZE: Final = ZERO
AGGRESSOR_SIZE: Final = ONE
_TILT_MAX: Final = 3.0


@lean_step
def near_level(w: World, side: int, i: int) -> Any:
    """Return the level at distance ``i`` from the reference price on a side, or the last one of the grid."""
    ref = w.s[0]["ref"]
    return max(ref - 1 - i, 0) if side > 0 else min(ref + i, w.levels.size - 1)


@lean_step
def excite(w: World, row: int, type_: int, mark: float) -> None:
    """Add an event's excitation to the intensity of ``type_``."""
    for k in range(w.tau_s.size):
        w.excited[type_, k] += w.jumps[row, k] * mark


@lean_step
def intensities(w: World) -> Any:
    """Return the intensities of aggressors and of changes of the book, in events a second."""
    s = w.s[0]
    p = w.p[0]
    market_rate = p["market_per_s"] * s["shape"]
    excited = 0.0
    for k in range(w.tau_s.size):
        market_rate += w.excited[0, k]
        excited += w.excited[1, k]
    liquidity_rate = p["liquidity_per_s"] * s["shape"] * min(max(s["ratio"], 0.3), 3.0)
    return market_rate, liquidity_rate + min(excited, p["excited_max_per_s"])


@lean_step
def draw_size(w: World, rng: Any, law: int) -> Any:
    """Draw lots by the quantile law: log lots are linear between its knots, some sizes are rounded as people do."""
    u = rng.random()
    knots = w.sizes[law]
    k = 1
    while k < knots.shape[1] - 1 and knots[0, k] < u:
        k += 1
    span = knots[0, k] - knots[0, k - 1]
    share = (u - knots[0, k - 1]) / span if span > 0.0 else 0.0
    qty = max(1, int(np.exp(knots[1, k - 1] + share * (knots[1, k] - knots[1, k - 1])) + 0.5))
    if qty > 5 and rng.random() < w.p[0]["round_share"]:
        unit = 5 if qty < 40 else 25 if qty < 200 else 100
        qty = max(unit, (qty + unit // 2) // unit * unit)
    return qty


@lean_step
def weigh(w: World) -> None:
    """Write the weight of each thing that can happen to the book: (add, cancel) by distance and side, deep, stale."""
    s = w.s[0]
    p = w.p[0]
    n_near = w.near.shape[1]
    gap = (s["x"] - (s["ref"] - 0.5)) / p["pin_ticks"]
    bid, ask = w.levels[s["ref"] - 1]["orders"], w.levels[s["ref"]]["orders"]
    uneven = (bid - ask) / (bid + ask) if bid > 0 and ask > 0 else 0.0
    up = np.exp(p["pull"] * min(max(gap, -_TILT_MAX), _TILT_MAX) + p["pull_queue"] * uneven)
    total = 0.0
    for j in range(2):
        side = 1 - 2 * j
        # Left is left; but nobody joins a queue the more for its being long.
        tilt = min(up if side > 0 else 1.0 / up, 1.0)
        adds = s["add_bid"] if side > 0 else s["add_ask"]
        cancels = s["cancel_bid"] if side > 0 else s["cancel_ask"]
        for i in range(n_near):
            full = w.levels[near_level(w, side, i)]["orders"] / w.near[0, i]
            add = w.near[1, i] * adds * 2.0 / (1.0 + full)
            leave = w.near[1, i] * cancels * full
            if i == 0 and full == 0.0:
                add *= tilt * p["gap_boost"]
            elif i == 0:
                add *= tilt * (1.0 + p["rush"] * max(1.0 - full / p["rush_share"], 0.0))
                leave = w.near[1, i] * cancels * (full / tilt + p["flight"] * (1.0 / tilt - 1.0))
            w.weights[2 * (j * n_near + i)] = add
            w.weights[2 * (j * n_near + i) + 1] = leave
            total += add + leave
        w.weights[4 * n_near + j] = p["deep_weight"]
        total += p["deep_weight"]
    stale = 0
    for i in range(s["n_stale"]):
        stale += w.levels[w.stale[i]]["orders"]
    w.weights[4 * n_near + 2] = p["stale_weight"] * stale
    total += w.weights[4 * n_near + 2]
    w.weights[4 * n_near + 3] = total
    s["ratio"] = total / p["usual_weight"]


@lean_step
def _leave(w: World, rng: Any, side: int, level: int) -> None:
    """Let one order of a queue move, lose lots, or leave."""
    p = w.p[0]
    n = w.levels[level]["orders"]
    slot = from_back(w, level, int(n * rng.random() ** p["cancel_back"]))
    if slot == NONE or side_orders(w, side) <= 1:
        return
    order = w.orders[slot]
    u = rng.random()
    if u < p["reprice_share"]:
        n_near = w.near.shape[1]
        first = 0 if side > 0 else 2 * n_near
        adds = 0.0
        for i in range(n_near):
            adds += w.weights[first + 2 * i]
        v = rng.random() * adds
        i = 0
        while i < n_near - 1 and v >= w.weights[first + 2 * i]:
            v -= w.weights[first + 2 * i]
            i += 1
        target = near_level(w, side, i)
        if target == level:
            return
        order_id, qty = order["id"], order["qty"]
        begin(w, rng)
        write(w, MODIFY, side, target, qty, order_id, ZERO)
        take_off(w, slot)
        put(w, order_id, side, target, qty, ZERO)
        end(w)
        return
    u -= p["reprice_share"]
    if order["qty"] > 1 and u < p["reduce_share"]:
        less = 1 + int(rng.random() * (order["qty"] - 1))
        begin(w, rng)
        reduce(w, slot, less)
        write(w, MODIFY, side, level, order["qty"], order["id"], ZERO)
        end(w)
    elif order["qty"] > 1 and u < p["reduce_share"] + p["partial_share"]:
        cancel(w, rng, slot, 1 + int(rng.random() * (order["qty"] - 1)), ZERO)
    else:
        cancel(w, rng, slot, order["qty"], ZERO)


@lean_step
def liquidity(w: World, rng: Any) -> None:
    """Let one thing happen to the book, drawn by the weights that :func:`weigh` left."""
    s = w.s[0]
    p = w.p[0]
    n_near = w.near.shape[1]
    u = rng.random() * w.weights[4 * n_near + 3]
    i = 0
    while i < 4 * n_near + 2 and u >= w.weights[i]:
        u -= w.weights[i]
        i += 1
    excite(w, J_LIQUIDITY_LIQUIDITY, CHANGES, 1.0)
    if i < 4 * n_near:
        side = 1 if i < 2 * n_near else -1
        level = near_level(w, side, i // 2 % n_near)
        if i % 2 == 0:
            join(w, rng, side, level, draw_size(w, rng, ORDER_SIZE), ZERO)
        elif w.levels[level]["orders"] > 0:
            _leave(w, rng, side, level)
    elif i < 4 * n_near + 2:
        side = 1 if i == 4 * n_near else -1
        level = near_level(w, side, n_near + int(rng.random() * (p["deep_levels"] - n_near)))
        full = w.levels[level]["orders"] / p["deep_orders"]
        adds = 2.0 * (s["add_bid"] if side > 0 else s["add_ask"])
        if rng.random() < adds / (adds + full * (1.0 + full)):
            join(w, rng, side, level, draw_size(w, rng, ORDER_SIZE), ZERO)
        else:
            _leave(w, rng, side, level)
    elif s["n_stale"] > 0:
        _leave_stale(w, rng)


@lean_step
def _leave_stale(w: World, rng: Any) -> None:
    """Let an order leave a queue that the price ran away from, or follow the price."""
    s = w.s[0]
    i = int(rng.random() * s["n_stale"])
    level = w.stale[i]
    ref = s["ref"]
    side = 1 if level < ref else -1
    distance = ref - 1 - level if side > 0 else level - ref
    usual = w.near[0, distance] if distance < w.near.shape[1] else w.p[0]["deep_orders"]
    if w.levels[level]["orders"] > usual:
        _leave(w, rng, side, level)
    if w.levels[level]["orders"] <= usual or distance == 0:
        s["n_stale"] -= 1
        w.stale[i] = w.stale[s["n_stale"]]


@lean_step
def _market_sign(w: World, rng: Any) -> int:
    """Draw the side of an aggressor: an episode's, the last one's, a metaorder's, or a reaction to the book."""
    s = w.s[0]
    p = w.p[0]
    if s["pressure"] != 0.0 and rng.random() < abs(s["pressure"]):
        return 1 if s["pressure"] > 0.0 else -1
    u = rng.random()
    if u < p["repeat_share"]:
        if s["t_ns"] - s["trade_ns"] < p["repeat_s"] * 1e9 and s["last_sign"] != 0:
            return int(s["last_sign"])
        u = p["repeat_share"] + rng.random() * (1.0 - p["repeat_share"])
    if u < p["repeat_share"] + p["meta_share"] * (1.0 - p["repeat_share"]):
        k = int(rng.random() * w.meta.shape[0])
        sign = w.meta[k, 0]
        w.meta[k, 1] -= 1
        if w.meta[k, 1] <= 0:
            # A metaorder's children are Pareto in number: long memory of signs (Lillo, Mike, Farmer 2005).
            w.meta[k, 0] = 1 if rng.random() < 0.5 else -1
            children = (1.0 - rng.random()) ** (-1.0 / p["meta_exponent"])
            w.meta[k, 1] = int(min(children, p["meta_children_max"]) + 0.5)
        return int(sign)
    bid, ask = w.levels[s["best_bid"]]["qty"], w.levels[s["best_ask"]]["qty"]
    gap = (s["x"] - (s["ref"] - 0.5)) / p["pin_ticks"]
    lean = p["lean_price"] * min(max(gap, -_TILT_MAX), _TILT_MAX) + p["lean_queue"] * (bid - ask) / (bid + ask)
    return 1 if rng.random() < 1.0 / (1.0 + np.exp(-lean)) else -1


@lean_step
def usual_mark(w: World, qty: int) -> float:
    """Mark of an aggressor of ``qty`` lots, about 1 on average."""
    p = w.p[0]
    return float(min((qty / p["mark_lots"]) ** p["mark_exponent"], 4.0))


@lean_step
def market(w: World, rng: Any, side: int, qty: int, levels_max: int, post: int, episode: int) -> Any:
    """Send an aggressor and let the market take notice; return the lots that traded."""
    s = w.s[0]
    p = w.p[0]
    traded = aggress(w, rng, side, qty, levels_max, post, episode)
    mark = usual_mark(w, max(traded, 1))
    excite(w, J_MARKET_MARKET, AGGRESSORS, mark)
    excite(w, J_MARKET_LIQUIDITY, CHANGES, mark)
    # Only the surprise moves the efficient price: a persistent flow is expected, and so does not trend it away.
    s["x"] += p["impact_ticks"] * mark * (side - s["predicted"])
    s["predicted"] += 0.1 * (side - s["predicted"])
    s["last_sign"] = side
    s["trade_ns"] = s["t_ns"]
    return traded


@lean_step
def market_event(w: World, rng: Any) -> None:
    """Let one aggressor of the ordinary flow arrive."""
    s = w.s[0]
    p = w.p[0]
    side = _market_sign(w, rng)
    qty = draw_size(w, rng, AGGRESSOR_SIZE)
    touch = w.levels[s["best_ask"] if side > 0 else s["best_bid"]]["qty"]
    levels_max = p["through_levels"] if rng.random() < p["through_share"] else ONE
    if rng.random() < p["take_touch_share"] and touch <= 4 * p["mark_lots"]:
        qty = touch
    post = ONE if rng.random() < p["post_share"] else ZERO
    market(w, rng, side, qty, levels_max, post, ZERO)


@lean_step
def settle(w: World, rng: Any, ref: int, bid: int, ask: int) -> None:
    """Decide where the reference price stands after something happened; before it, it stood at ``ref``."""
    s = w.s[0]
    p = w.p[0]
    b, a = s["best_bid"], s["best_ask"]
    at = s["ref"]
    if a - b == 1:
        s["ref"] = a
    else:
        wanted = int(np.floor(s["x"] + 1.0))
        down = b < bid and bid == at - 1
        up = a > ask and ask == at
        gap = (s["x"] - (at - 0.5)) / p["pin_ticks"]
        if down or up:
            way = -1.0 if down else 1.0
            if rng.random() < 1.0 / (1.0 + np.exp(-(p["move_bias"] + p["move_lean"] * gap * way))):
                s["ref"] = min(max(wanted, b + 1), at - 1) if down else max(min(wanted, a), at + 1)
        elif rng.random() < p["follow_share"]:
            s["ref"] = min(max(wanted, b + 1), a)
    if s["ref"] == ref:
        return
    excite(w, J_MOVE_MARKET, AGGRESSORS, 1.0)
    excite(w, J_MOVE_LIQUIDITY, CHANGES, 1.0)
    if p["stale_weight"] > 0.0:
        left = ref - 1 if s["ref"] > ref else ref
        if w.levels[left]["orders"] > p["deep_orders"]:
            remember_stale(w, left)
