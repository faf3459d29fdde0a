"""The simulated market's loop: Ogata thinning between planned steps, and how a tape opens and closes.

Between events both intensities only fall (excitation decays), so that their sum just after an event bounds them until
the next: a candidate after an exponential wait is kept with the ratio of the intensity then to the bound. The intraday
shape may rise by a thousandth at the turn of a second; the bound is left as it is, which loses that thousandth for one
wait. A planned step that comes before the candidate takes its place; the candidate is forgotten, which is exact because
waits are memoryless.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapebook.kernels import lean_kernel
from tapebook.kernels.sim_book import put
from tapebook.kernels.sim_episodes import play
from tapebook.kernels.sim_flow import (
    ORDER_SIZE,
    draw_size,
    intensities,
    liquidity,
    market_event,
    near_level,
    settle,
    weigh,
)
from tapebook.kernels.sim_match import ADD
from tapebook.kernels.sim_message import NO_PRICE, advance_time, begin, end, flag, new_id, write
from tapebook.kernels.sim_state import NONE, ROOM, ZERO, World

__all__ = ["populate", "run", "snapshot", "tell_phase"]

_CLEAR: Final = np.int64(8)
_STATUS: Final = np.int64(9)
_SNAPSHOT: Final = np.int64(2)  # Flag.SNAPSHOT


@lean_kernel
def populate(w: World, rng: Any) -> None:
    """Fill an empty book with queues around their usual length; warming up gives them their shape."""
    p = w.p[0]
    n_near = w.near.shape[1]
    for side in (1, -1):
        for i in range(p["deep_levels"]):
            usual = w.near[0, i] if i < n_near else p["deep_orders"]
            for _ in range(int(usual * (0.5 + rng.random()) + rng.random())):
                put(w, new_id(w), side, near_level(w, side, i), draw_size(w, rng, ORDER_SIZE), ZERO)


@lean_kernel
def tell_phase(w: World, rng: Any, phase: int) -> None:
    """Write a STATUS message."""
    begin(w, rng)
    write(w, _STATUS, ZERO, NO_PRICE, ZERO, ZERO, ZERO)
    if w.s[0]["silent"] == 0:
        w.out[w.s[0]["n"] - 1]["detail"] = phase
    end(w)


@lean_kernel
def snapshot(w: World, rng: Any) -> None:
    """Write the whole book as one snapshot message: CLEAR, then an ADD for each order, best prices first."""
    s = w.s[0]
    begin(w, rng)
    write(w, _CLEAR, ZERO, NO_PRICE, ZERO, ZERO, ZERO)
    flag(w, _SNAPSHOT)
    for side in (1, -1):
        left = s["n_bid"] if side > 0 else s["n_ask"]
        level = s["best_bid"] if side > 0 else s["best_ask"]
        while left > 0:
            slot = w.levels[level]["head"]
            while slot != NONE:
                order = w.orders[slot]
                write(w, ADD, side, level, order["qty"], order["id"], ZERO)
                flag(w, _SNAPSHOT)
                left -= 1
                slot = order["next"]
            level -= side
    end(w)


@lean_kernel
def run(w: World, rng: Any) -> bool:
    """Simulate until the page is full or the pool of orders runs low (False), or the end is reached (True)."""
    s = w.s[0]
    while s["n"] + ROOM <= w.out.size and s["n_free"] > ROOM:
        weigh(w)
        market_rate, liquidity_rate = intensities(w)
        bound = market_rate + liquidity_rate
        at_ns = s["t_ns"] + 1 + int(rng.standard_exponential() / bound * 1e9)
        planned = s["planned_ns"] <= at_ns
        if planned:
            at_ns = max(s["planned_ns"], s["t_ns"])
        if at_ns >= s["end_ns"]:
            advance_time(w, rng, s["end_ns"])
            return True
        advance_time(w, rng, at_ns)
        ref, bid, ask = s["ref"], s["best_bid"], s["best_ask"]
        if planned:
            play(w, rng)
        else:
            market_rate, liquidity_rate = intensities(w)
            v = rng.random() * bound
            if v < market_rate:
                market_event(w, rng)
            elif v < market_rate + liquidity_rate:
                liquidity(w, rng)
            else:
                continue
        settle(w, rng, ref, bid, ask)
    return False
