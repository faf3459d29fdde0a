"""The simulated market's own book: queues of orders chained through a pool, one queue a level.

Adding, reducing and taking off an order are O(1); when the last order of the best level leaves, the next best is found
by walking level by level, which is one step in a dense book and some tens in a sparse one. The book never loses a side
(callers keep the last order of each), so that the walk ends.
"""

from __future__ import annotations

from typing import Any

from tapebook.kernels import lean_step
from tapebook.kernels.sim_state import NONE, STALE, World

__all__ = ["from_back", "put", "reduce", "side_orders", "take_off", "yield_ref"]


@lean_step
def side_orders(w: World, side: int) -> int:
    """Resting orders of a side."""
    s = w.s[0]
    return int(s["n_bid"]) if side > 0 else int(s["n_ask"])


@lean_step
def yield_ref(w: World, side: int, level: int) -> None:
    """Move ``ref`` so that ``level`` belongs to ``side``; the caller knows that the other side is behind it."""
    s = w.s[0]
    if side > 0 and s["ref"] <= level:
        s["ref"] = level + 1
    elif side < 0 and s["ref"] > level:
        s["ref"] = level


@lean_step
def put(w: World, order_id: int, side: int, level: int, qty: int, episode: int) -> Any:
    """Let an order join the back of the queue at ``level`` and return its slot."""
    s = w.s[0]
    slot = s["free"]
    order = w.orders[slot]
    s["free"] = order["next"]
    s["n_free"] -= 1
    order["id"] = order_id
    order["qty"] = qty
    order["level"] = level
    order["side"] = side
    order["episode"] = episode
    order["reserve"] = 0
    order["peak"] = 0
    order["native"] = 0
    queue = w.levels[level]
    order["prev"] = queue["tail"]
    order["next"] = NONE
    if queue["tail"] == NONE:
        queue["head"] = slot
    else:
        w.orders[queue["tail"]]["next"] = slot
    queue["tail"] = slot
    queue["qty"] += qty
    queue["orders"] += 1
    if side > 0:
        s["n_bid"] += 1
        s["best_bid"] = max(s["best_bid"], level)
    else:
        s["n_ask"] += 1
        s["best_ask"] = min(s["best_ask"], level)
    return slot


@lean_step
def reduce(w: World, slot: int, qty: int) -> None:
    """Take ``qty`` lots off an order, less than it has: it keeps its place."""
    order = w.orders[slot]
    order["qty"] -= qty
    w.levels[order["level"]]["qty"] -= qty


@lean_step
def take_off(w: World, slot: int) -> None:
    """Take an order out of the book; its slot is free afterwards."""
    s = w.s[0]
    order = w.orders[slot]
    level = order["level"]
    queue = w.levels[level]
    before, behind = order["prev"], order["next"]
    if before == NONE:
        queue["head"] = behind
    else:
        w.orders[before]["next"] = behind
    if behind == NONE:
        queue["tail"] = before
    else:
        w.orders[behind]["prev"] = before
    queue["qty"] -= order["qty"]
    queue["orders"] -= 1
    order["id"] = 0
    order["next"] = s["free"]
    s["free"] = slot
    s["n_free"] += 1
    if order["side"] > 0:
        s["n_bid"] -= 1
        if queue["orders"] == 0 and level == s["best_bid"]:
            while w.levels[level]["orders"] == 0 and level > 0:
                level -= 1
            s["best_bid"] = level
    else:
        s["n_ask"] -= 1
        if queue["orders"] == 0 and level == s["best_ask"]:
            while w.levels[level]["orders"] == 0 and level < w.levels.size - 1:
                level += 1
            s["best_ask"] = level


@lean_step
def from_back(w: World, level: int, steps: int) -> Any:
    """Return the order ``steps`` from the back of a queue, or the next one ahead that no episode owns; NONE if none."""
    slot = w.levels[level]["tail"]
    for _ in range(steps):
        if slot == NONE:
            break
        slot = w.orders[slot]["prev"]
    while slot != NONE and w.orders[slot]["episode"] != 0:
        slot = w.orders[slot]["prev"]
    return slot


@lean_step
def remember_stale(w: World, level: int) -> None:
    """Note a queue that the price ran away from (the oldest note gives way)."""
    s = w.s[0]
    for i in range(s["n_stale"]):
        if w.stale[i] == level:
            return
    if s["n_stale"] == STALE:
        for i in range(1, STALE):
            w.stale[i - 1] = w.stale[i]
        s["n_stale"] -= 1
    w.stale[s["n_stale"]] = level
    s["n_stale"] += 1
