"""The simulated venue's rules: orders join, leave and move, and an aggressor meets the queue in price-time priority.

An aggressor's message is, for each price it trades at, one TRADE with the lots traded there and one EXECUTE for each
resting order it met; what is left of it may rest at the last price (ADD under its own id). An iceberg of which all that
shows is used up is refilled at the back of the queue in the same message:

* by reloading: EXECUTE of the whole visible order, then ADD of the next peak under a new id;
* as venues do natively: the id stays, the last lot's EXECUTE carries Flag.INFO, and a MODIFY up to the next peak
  (an increase, so that the order loses its place) carries it out.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapebook.kernels import lean_step
from tapebook.kernels.sim_book import put, reduce, side_orders, take_off, yield_ref
from tapebook.kernels.sim_message import begin, end, flag, new_id, write
from tapebook.kernels.sim_state import ONE, ROOM, ZERO, World

__all__ = ["ADD", "CANCEL", "EXECUTE", "MODIFY", "TRADE", "aggress", "cancel", "join"]

TRADE: Final = np.int64(1)
ADD: Final = np.int64(4)
CANCEL: Final = np.int64(5)
MODIFY: Final = np.int64(6)
EXECUTE: Final = np.int64(7)
_INFO: Final = np.int64(8)  # Flag.INFO
_ROWS_MAX: Final = ROOM // 2


@lean_step
def join(w: World, rng: Any, side: int, level: int, qty: int, episode: int) -> Any:
    """Add an order in a message of its own and return its slot."""
    order_id = new_id(w)
    begin(w, rng)
    yield_ref(w, side, level)
    slot = put(w, order_id, side, level, qty, episode)
    write(w, ADD, side, level, qty, order_id, episode)
    end(w)
    return slot


@lean_step
def cancel(w: World, rng: Any, slot: int, qty: int, episode: int) -> None:
    """Cancel ``qty`` lots of an order (all it has: it leaves) in a message of its own."""
    order = w.orders[slot]
    begin(w, rng)
    write(w, CANCEL, order["side"], order["level"], qty, order["id"], episode)
    if qty < order["qty"]:
        reduce(w, slot, qty)
    else:
        take_off(w, slot)
    end(w)


@lean_step
def _refill(w: World, slot: int, visible: int, tag: int) -> None:
    """Execute the last ``visible`` lots of what an iceberg shows, and show its next peak."""
    order = w.orders[slot]
    episode, side, level, native = order["episode"], order["side"], order["level"], order["native"]
    order_id, peak, reserve = order["id"], order["peak"], order["reserve"]
    # A rest too small to be a peak of its own is shown with the last one: a native refill must be an increase.
    shown = reserve if reserve < peak + 2 else peak
    if native != 0:
        if visible > 1:
            write(w, EXECUTE, side, level, visible - 1, order_id, tag)
        write(w, EXECUTE, side, level, ONE, order_id, tag)
        flag(w, _INFO)
        write(w, MODIFY, side, level, shown, order_id, tag)
    else:
        write(w, EXECUTE, side, level, visible, order_id, tag)
        order_id = new_id(w)
        write(w, ADD, side, level, shown, order_id, tag)
    take_off(w, slot)
    fresh = put(w, order_id, side, level, shown, episode)
    again = w.orders[fresh]
    again["peak"] = peak
    again["reserve"] = reserve - shown
    again["native"] = native
    planted = w.episodes[episode - 1]
    planted["slot"] = fresh
    planted["slot_id"] = order_id
    planted["count"] += 1


@lean_step
def _fill(w: World, slot: int, qty: int, tag: int) -> None:
    """Execute ``qty`` lots of a resting order."""
    order = w.orders[slot]
    episode = order["episode"]
    if episode > 0:
        w.episodes[episode - 1]["lots"] += qty
        tag = episode
    if qty < order["qty"]:
        write(w, EXECUTE, order["side"], order["level"], qty, order["id"], tag)
        reduce(w, slot, qty)
    elif order["reserve"] > 0:
        _refill(w, slot, qty, tag)
    else:
        write(w, EXECUTE, order["side"], order["level"], qty, order["id"], tag)
        take_off(w, slot)


@lean_step
def aggress(w: World, rng: Any, side: int, qty: int, levels_max: int, post: int, episode: int) -> Any:
    """Send an aggressing order of ``side`` through at most ``levels_max`` prices; return the lots that traded.

    With ``post`` 1, what is left when the last of these prices is used up rests there; with 0 it is dropped.
    The last resting order of a side is never taken, so that both sides always exist.
    """
    s = w.s[0]
    order_id = new_id(w)
    begin(w, rng)
    start = s["n"]
    left = qty
    level = s["best_ask"] if side > 0 else s["best_bid"]
    for _ in range(levels_max):
        level = s["best_ask"] if side > 0 else s["best_bid"]
        if left == 0 or side_orders(w, -side) <= 1 or s["n"] - start > _ROWS_MAX:
            break
        row = s["n"]
        write(w, TRADE, side, level, ZERO, order_id, episode)
        at_level = 0
        while left > 0 and w.levels[level]["orders"] > 0:
            if side_orders(w, -side) <= 1 or s["n"] - start > _ROWS_MAX:
                break
            slot = w.levels[level]["head"]
            take = min(left, w.orders[slot]["qty"])
            _fill(w, slot, take, episode)
            at_level += take
            left -= take
        if s["silent"] == 0:
            w.out[row]["qty_lots"] = at_level
    if left > 0 and left < qty and post != 0 and w.levels[level]["orders"] == 0:
        yield_ref(w, side, level)
        put(w, order_id, side, level, left, episode)
        write(w, ADD, side, level, left, order_id, episode)
    end(w)
    return qty - left
