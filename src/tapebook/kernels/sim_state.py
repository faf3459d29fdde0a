"""The memory of a simulated market: record layouts, and the bundle of arrays that every ``sim_`` kernel is handed.

Prices are *levels* here: whole ticks from the bottom of the grid (an event's price is ``base_e9 + level * tick_e9``).
A level holds one side's queue. ``ref`` parts the sides, as the reference price of the queue-reactive model does: bids
rest at ``ref - 1`` and below, asks at ``ref`` and above, so that the book cannot cross whatever is drawn.

Orders are slots of a pool, chained into one queue a level (head is first in priority) and into a list of free slots.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ASK",
    "BID",
    "EPISODE",
    "HELD",
    "LEVEL",
    "NONE",
    "ONE",
    "ORDER",
    "PARAMS",
    "ROOM",
    "STALE",
    "STATE",
    "ZERO",
    "World",
]

BID: Final = np.int64(1)
ASK: Final = np.int64(-1)
ZERO: Final = np.int64(0)
ONE: Final = np.int64(1)
# Constants that are handed from kernel to kernel are numpy's: numba would compile the callee anew for each Python
# literal (the simulator would compile for twice as long).

NONE: Final = -1
"""No slot."""

ROOM: Final = 8192
"""Rows kept free at the end of a page: one message of the loop never writes more."""

HELD: Final = 64
"""Orders that one episode can hold at once."""

STALE: Final = 64
"""Levels remembered because the price ran away from a queue there."""

ORDER: Final = np.dtype(
    [
        ("id", "<i8"),  # 0: the slot is free
        ("qty", "<i8"),
        ("level", "<i8"),
        ("side", "<i8"),
        ("next", "<i8"),  # towards the back of the queue; of a free slot: the next free one
        ("prev", "<i8"),
        ("episode", "<i8"),  # 0: an order of the ordinary flow, else the planted episode's index + 1
        ("reserve", "<i8"),  # hidden lots of an iceberg
        ("peak", "<i8"),  # what it shows after a refill
        ("native", "<i8"),  # 1: a refill keeps the id (the venue's iceberg), 0: each has a new one
    ]
)

LEVEL: Final = np.dtype([("qty", "<i8"), ("orders", "<i8"), ("head", "<i8"), ("tail", "<i8")])

STATE: Final = np.dtype(
    [
        ("t_ns", "<i8"),
        ("recv_ns", "<i8"),
        ("end_ns", "<i8"),
        ("shape_ns", "<i8"),  # the intraday shape is taken anew at this time
        ("planned_ns", "<i8"),  # earliest step of any episode
        ("trade_ns", "<i8"),  # last aggressor
        ("n", "<i8"),  # rows written to the page
        ("silent", "<i8"),  # 1: nothing is written (warming up)
        ("sequence", "<i8"),
        ("next_id", "<i8"),
        ("free", "<i8"),
        ("n_free", "<i8"),
        ("n_bid", "<i8"),  # resting orders
        ("n_ask", "<i8"),
        ("best_bid", "<i8"),
        ("best_ask", "<i8"),
        ("ref", "<i8"),
        ("n_stale", "<i8"),
        ("last_sign", "<i8"),
        ("x", "<f8"),  # efficient price, in levels; the mid is ref - 0.5
        ("shape", "<f8"),  # intraday activity, 1 on average
        ("predicted", "<f8"),  # sign of the next aggressor as the past tells it
        ("ratio", "<f8"),  # weight of all that can happen to the book, over its usual value
        ("add_bid", "<f8"),  # what episodes multiply the rates by
        ("add_ask", "<f8"),
        ("cancel_bid", "<f8"),
        ("cancel_ask", "<f8"),
        ("pressure", "<f8"),  # share of aggressors whose side an episode decides; its sign is the side
    ]
)

PARAMS: Final = np.dtype(
    [(name, "<i8") for name in ("base_e9", "tick_e9", "levels", "instrument_id", "open_ns", "close_ns", "deep_levels")]
    + [(name, "<i8") for name in ("through_levels", "line_ns", "latency_ns")]
    + [
        (name, "<f8")
        for name in (
            "market_per_s",  # exogenous aggressors a second
            "liquidity_per_s",  # exogenous changes of the book a second
            "excited_max_per_s",  # self-excited changes a second are capped here
            "mark_exponent",
            "mark_lots",
            "shape_floor",
            "shape_open",
            "shape_close",
            "shape_s",
            "usual_weight",  # weight of the book at its usual queues
            "deep_orders",
            "deep_weight",
            "stale_weight",
            "gap_boost",
            "rush",
            "rush_share",
            "flight",
            "cancel_back",
            "reprice_share",
            "reduce_share",
            "partial_share",
            "round_share",
            "take_touch_share",
            "through_share",
            "post_share",
            "meta_share",
            "meta_exponent",
            "meta_children_max",
            "repeat_share",
            "repeat_s",
            "lean_price",
            "lean_queue",
            "vol_ticks",  # of the efficient price, ticks per square root of a second
            "impact_ticks",
            "pin_ticks",
            "pull",
            "pull_queue",
            "move_bias",
            "move_lean",
            "follow_share",
            "jitter_ns",
            "jitter_sigma",
        )
    ]
)

EPISODE: Final = np.dtype(
    [
        ("kind", "<i8"),
        ("side", "<i8"),
        ("start_ns", "<i8"),
        ("next_ns", "<i8"),
        ("ended_ns", "<i8"),  # 0 while it has not ended
        ("phase", "<i8"),
        ("count", "<i8"),
        ("level", "<i8"),
        ("slot", "<i8"),
        ("slot_id", "<i8"),
        ("lots", "<i8"),  # executed of the episode's own resting orders
        ("add_bid", "<f8"),
        ("add_ask", "<f8"),
        ("cancel_bid", "<f8"),
        ("cancel_ask", "<f8"),
        ("pressure", "<f8"),
        ("anchor", "<f8"),
    ]
)


class World(NamedTuple):
    """Everything a kernel reads and writes; ``out`` and ``tags`` are the page being filled."""

    p: NDArray[np.void]  # one PARAMS
    s: NDArray[np.void]  # one STATE
    orders: NDArray[np.void]  # pool of ORDER
    levels: NDArray[np.void]  # LEVEL by level
    tau_s: NDArray[np.float64]  # time scales of the excitation
    excited: NDArray[np.float64]  # (2, time scales): aggressors, changes of the book
    jumps: NDArray[np.float64]  # (5, time scales): what one event adds, rows J_* of sim_flow
    near: NDArray[np.float64]  # (2, near levels): usual orders, weight
    weights: NDArray[np.float64]  # scratch: weight of each thing that can happen to the book
    sizes: NDArray[np.float64]  # (2 laws, 2, knots): probability, log of lots; rows adds, aggressors
    meta: NDArray[np.int64]  # (slots, 2): sign, children left
    stale: NDArray[np.int64]  # levels
    episodes: NDArray[np.void]  # EPISODE
    script: NDArray[np.float64]  # (episodes, parameters), columns as sim_plan names them
    held: NDArray[np.int64]  # (episodes, HELD, 2): slot, id
    out: NDArray[Any]  # EVENT
    tags: NDArray[np.int32]  # for each row of out: 0, or the index + 1 of the episode that made it
