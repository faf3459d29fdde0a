"""Planted episodes as scripts: each call of :func:`play` takes one step of one episode and says when the next is due.

A script places, cancels and trades through the same venue rules as the ordinary flow, which goes on around it and
reacts; every row that a script (or the execution of its orders) writes carries its number in ``tags``. The scripts
themselves are in ``sim_shocks`` and ``sim_tactics``.
"""

from __future__ import annotations

from typing import Any, Final

from tapebook.kernels import lean_step
from tapebook.kernels.sim_plan import NEVER_NS
from tapebook.kernels.sim_shocks import evaporation, flash_crash, informed_flow
from tapebook.kernels.sim_state import ZERO, World
from tapebook.kernels.sim_tactics import iceberg, layering, quote_stuffing, sweep, wash_trades

__all__ = ["play"]

FLASH_CRASH: Final = 1
EVAPORATION: Final = 2
QUOTE_STUFFING: Final = 3
ICEBERG: Final = 4
SWEEP: Final = 5
LAYERING: Final = 6
WASH_TRADES: Final = 7
INFORMED_FLOW: Final = 8


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
            flash_crash(w, rng, e)
        elif kind == EVAPORATION:
            evaporation(w, rng, e)
        elif kind == QUOTE_STUFFING:
            quote_stuffing(w, rng, e)
        elif kind == ICEBERG:
            iceberg(w, rng, e)
        elif kind == SWEEP:
            sweep(w, rng, e)
        elif kind == LAYERING:
            layering(w, rng, e)
        elif kind == WASH_TRADES:
            wash_trades(w, rng, e)
        else:
            informed_flow(w, rng, e)
    _combine(w)
