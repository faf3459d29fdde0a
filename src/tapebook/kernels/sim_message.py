"""The simulated venue's wire: the clock, sequence numbers, latency, and rows of a message.

One message has one time, one sequence number and one receive time, and its last row carries Flag.LAST. The receive
time is the event time plus a constant, plus a log-normal jitter, and never earlier than the message before plus
``line_ns``: the line delivers in order and needs that long for each, so that a burst arrives late.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tapebook.kernels import lean_step
from tapebook.kernels.sim_state import World

__all__ = ["NO_PRICE", "advance_time", "begin", "end", "flag", "new_id", "write"]

_LAST: Final = 1  # Flag.LAST
_COUNT_MISSING: Final = 0xFFFFFFFF
_MISSING: Final = int(np.iinfo(np.int64).min)
_VENUE: Final = 1  # SideSource.VENUE
_TRADE: Final = 1  # Kind.TRADE
NO_PRICE: Final = np.int64(-1)
"""A level that stands for no price."""


@lean_step
def intraday_shape(w: World) -> Any:
    """Activity at this time of the session: a floor, and two exponentials from its ends (the U)."""
    p = w.p[0]
    t_ns = w.s[0]["t_ns"]
    value = p["shape_floor"]
    if p["shape_s"] > 0.0:
        value += p["shape_open"] * np.exp(-max(t_ns - p["open_ns"], 0) / 1e9 / p["shape_s"])
        value += p["shape_close"] * np.exp(-max(p["close_ns"] - t_ns, 0) / 1e9 / p["shape_s"])
    return value


@lean_step
def advance_time(w: World, rng: Any, t_ns: int) -> None:
    """Let time pass: excitation decays, the efficient price diffuses, the intraday shape is renewed every second."""
    s = w.s[0]
    p = w.p[0]
    dt_s = (t_ns - s["t_ns"]) / 1e9
    if dt_s <= 0.0:
        return
    for k in range(w.tau_s.size):
        decay = np.exp(-dt_s / w.tau_s[k])
        w.excited[0, k] *= decay
        w.excited[1, k] *= decay
    s["t_ns"] = t_ns
    if t_ns >= s["shape_ns"]:
        s["shape"] = intraday_shape(w)
        s["shape_ns"] = t_ns + 1_000_000_000
    x = s["x"] + p["vol_ticks"] * np.sqrt(s["shape"] * dt_s) * rng.standard_normal()
    # The grid ends somewhere: a price that got there is held a hundredth of the grid inside.
    edge = p["levels"] * 0.01
    s["x"] = min(max(x, edge), p["levels"] - edge)


@lean_step
def new_id(w: World) -> Any:
    """Return the next order id of the venue."""
    s = w.s[0]
    s["next_id"] += 1
    return s["next_id"]


@lean_step
def begin(w: World, rng: Any) -> None:
    """Open a message: its sequence number and receive time."""
    s = w.s[0]
    p = w.p[0]
    s["sequence"] += 1
    jitter_ns = p["jitter_ns"] * np.exp(p["jitter_sigma"] * rng.standard_normal())
    s["recv_ns"] = max(s["t_ns"] + p["latency_ns"] + int(jitter_ns), s["recv_ns"] + p["line_ns"])


@lean_step
def write(w: World, kind: int, side: int, level: int, qty: int, order_id: int, episode: int) -> None:
    """Write one row of the open message."""
    s = w.s[0]
    p = w.p[0]
    if s["silent"] != 0:
        return
    i = s["n"]
    row = w.out[i]
    row["ts_event_ns"] = s["t_ns"]
    row["ts_recv_ns"] = s["recv_ns"]
    row["price"] = _MISSING if level == NO_PRICE else p["base_e9"] + level * p["tick_e9"]
    row["qty_lots"] = _MISSING if level == NO_PRICE else qty
    row["order_id"] = order_id
    row["sequence"] = s["sequence"]
    row["instrument_id"] = p["instrument_id"]
    row["count"] = _COUNT_MISSING
    row["flags"] = 0
    row["channel"] = 0
    row["kind"] = kind
    row["side"] = side
    row["side_source"] = _VENUE if kind == _TRADE else 0
    row["detail"] = 0
    w.tags[i] = episode
    s["n"] = i + 1


@lean_step
def flag(w: World, flags: int) -> None:
    """Set flags of the row written last."""
    s = w.s[0]
    if s["silent"] == 0:
        w.out[s["n"] - 1]["flags"] |= flags


@lean_step
def end(w: World) -> None:
    """Close the message: its last row says so."""
    s = w.s[0]
    if s["silent"] == 0 and s["n"] > 0:
        w.out[s["n"] - 1]["flags"] |= _LAST
