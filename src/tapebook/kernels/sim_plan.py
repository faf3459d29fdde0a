"""What the scripts of planted episodes share: their parameters by column, and small acts on the book.

Columns of ``World.script`` are named ``C_*``; the first two are shared, the others have a meaning by kind. Times are in
seconds there, in ns in the episode's record.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapebook.kernels import lean_step
from tapebook.kernels.sim_book import from_back, side_orders
from tapebook.kernels.sim_flow import ORDER_SIZE, draw_size, near_level
from tapebook.kernels.sim_match import cancel, join
from tapebook.kernels.sim_state import NONE, ZERO, World

NEVER_NS: Final = 1 << 62
TWO: Final = np.int64(2)
THREE: Final = np.int64(3)

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
def ns_of(seconds: float) -> int:
    """Seconds in ns."""
    return int(seconds * 1e9)


@lean_step
def touch(w: World, side: int) -> Any:
    """Best level of a side."""
    return w.s[0]["best_bid"] if side > 0 else w.s[0]["best_ask"]


@lean_step
def away(w: World, side: int, ticks: int) -> Any:
    """Level behind the touch of a side, or the last one of the grid."""
    return min(max(touch(w, side) - side * ticks, 0), w.levels.size - 1)


@lean_step
def alive(w: World, slot: int, slot_id: int) -> bool:
    """Tell whether the order that had this slot still rests."""
    return bool(slot != NONE and slot_id != 0 and w.orders[slot]["id"] == slot_id)


@lean_step
def calm(w: World, e: int) -> None:
    """Stop acting on the ordinary rates."""
    ep = w.episodes[e]
    ep["add_bid"] = ep["add_ask"] = ep["cancel_bid"] = ep["cancel_ask"] = 1.0
    ep["pressure"] = 0.0


@lean_step
def end_episode(w: World, e: int) -> None:
    """Stop acting, for good."""
    calm(w, e)
    ep = w.episodes[e]
    ep["ended_ns"] = w.s[0]["t_ns"]
    ep["next_ns"] = NEVER_NS


@lean_step
def band_of(w: World, e: int) -> Any:
    """Ticks from the reference price that an episode acts on: its own number, or the near levels."""
    band = int(w.script[e, C_BAND])
    return band if band > 0 else w.near.shape[1]


@lean_step
def orders_within(w: World, side: int, band: int) -> Any:
    """Resting orders of a side within ``band`` ticks of the reference price."""
    total = 0
    for i in range(band):
        total += w.levels[near_level(w, side, i)]["orders"]
    return total


@lean_step
def thin(w: World, rng: Any, e: int, side: int) -> None:
    """Cancel one order of a side within the episode's band, the fuller a level the likelier there."""
    band = band_of(w, e)
    total = orders_within(w, side, band)
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
def come_back(w: World, rng: Any, side: int, band: int) -> None:
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
