"""A market set up from a preset: every array that the kernels read and write, ready to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.sim_plan import NEVER_NS
from tapebook.kernels.sim_state import LEVEL, NONE, ORDER, PARAMS, ROOM, STALE, STATE, World
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import EVENT, PRICE_SCALE
from tapebook.simulator.episodes import Episode
from tapebook.simulator.planting import planted
from tapebook.simulator.preset import Knots, Preset, Queues

__all__ = ["INSTRUMENT_ID", "grown", "new_page", "new_world"]

INSTRUMENT_ID: Final = 1

_POOL_MIN: Final = 1 << 15
_FIRST_ID: Final = 6_400_000_000_000


def _mark_lots(knots: Knots, exponent: float) -> float:
    """Return the lots whose power makes the average mark 1."""
    p, lots = np.array(knots).T
    u = (np.arange(10_000) + 0.5) / 10_000
    sizes = np.exp(np.interp(u, p, np.log(lots)))
    return float((sizes**exponent).mean() ** (1 / exponent)) if exponent else float(sizes.mean())


def _baselines(preset: Preset) -> tuple[float, float]:
    """Return the exogenous rates that lead to the preset's average rates."""
    f = preset.flow
    market = f.aggressors_per_s * (1 - sum(f.market_market)) - f.moves_per_s * sum(f.move_market)
    changes = f.changes_per_s * (1 - sum(f.changes_changes))
    changes -= f.aggressors_per_s * sum(f.market_changes) + f.moves_per_s * sum(f.move_changes)
    for name, rate in (("aggressors_per_s", market), ("changes_per_s", changes)):
        if rate <= 0:
            raise ConfigurationError(
                f"preset {preset.name}: flow.{name}",
                expected="more than excitation alone brings",
                found=f"{getattr(f, name):g}, {-rate:g} short",
                remedy="raise it or lower the branching ratios",
            )
    return market, changes


def _params(preset: Preset, open_ns: int, close_ns: int) -> NDArray[np.void]:
    p = np.zeros(1, PARAMS)
    tick = preset.instrument.tick_e9
    start = int(preset.start_price * PRICE_SCALE) // tick
    market, changes = _baselines(preset)
    q = preset.queues
    fixed = {
        "base_e9": (start - preset.grid_levels // 2) * tick,
        "tick_e9": tick,
        "levels": preset.grid_levels,
        "instrument_id": INSTRUMENT_ID,
        "open_ns": open_ns,
        "close_ns": close_ns,
        "latency_ns": round(preset.latency.least_us * 1000),
        "market_per_s": market,
        "liquidity_per_s": changes,
        "mark_lots": _mark_lots(preset.sizes.aggressors, preset.flow.mark_exponent),
        "shape_floor": preset.hours.floor,
        "shape_open": preset.hours.opening,
        "shape_close": preset.hours.closing,
        "shape_s": preset.hours.decay_s,
        "usual_weight": 2 * (2 * sum(q.near_weight) + q.deep_weight),
        "jitter_ns": preset.latency.jitter_us * 1000,
    }
    for name, value in fixed.items():
        p[0][name] = value
    for part in (preset.flow, q, preset.sizes, preset.signs, preset.price, preset.latency):
        for name in part.__struct_fields__:
            if name in (PARAMS.names or ()) and name not in fixed:
                p[0][name] = getattr(part, name)
    return p


def _knots(*laws: Knots) -> NDArray[np.float64]:
    """Lay out quantile laws side by side, the shorter padded with their last knot."""
    n = max(len(law) for law in laws)
    table = np.empty((len(laws), 2, n))
    for i, law in enumerate(laws):
        padded = [*law, *[law[-1]] * (n - len(law))]
        table[i, 0] = [k[0] for k in padded]
        table[i, 1] = np.log([k[1] for k in padded])
    return table


def _free(orders: NDArray[np.void], first: int) -> None:
    """Chain the slots from ``first`` on into a list of free ones."""
    orders["next"][first:] = np.arange(first + 1, orders.size + 1)
    orders["next"][-1] = NONE


def _pool_size(q: Queues) -> int:
    """Return slots for three times the usual orders and some; :func:`grown` makes more where that is not enough."""
    n_orders = 2 * (sum(q.near_orders) + (q.deep_levels - len(q.near_orders)) * q.deep_orders)
    return _POOL_MIN + 2 * ROOM + int(3 * n_orders)


def new_page(n_events: int) -> tuple[NDArray[np.void], NDArray[np.int32]]:
    """Return room for ``n_events`` events and their tags."""
    return np.zeros(n_events, EVENT), np.zeros(n_events, np.int32)


def new_world(
    preset: Preset,
    rng: np.random.Generator,
    episodes: Sequence[Episode],
    *,
    start_ns: int,
    open_ns: int,
    close_ns: int,
) -> World:
    """Return a market with an empty book, the preset's warm-up before ``start_ns``."""
    f, q = preset.flow, preset.queues
    tau = np.array(f.tau_s)
    jumps = np.array([f.market_market, f.market_changes, f.changes_changes, f.move_market, f.move_changes]) / tau
    records, parameters = planted(episodes, start_ns)
    orders = np.zeros(_pool_size(q), ORDER)
    _free(orders, 0)
    levels = np.zeros(preset.grid_levels, LEVEL)
    levels["head"] = levels["tail"] = NONE
    s = np.zeros(1, STATE)
    middle = preset.grid_levels // 2
    state = {
        "t_ns": start_ns - round(preset.hours.warm_up_s * 1e9),
        "end_ns": start_ns,
        "planned_ns": NEVER_NS,
        "silent": 1,
        "next_id": _FIRST_ID,
        "n_free": orders.size,
        "best_bid": 0,
        "best_ask": preset.grid_levels - 1,
        "ref": middle,
        "x": middle - 0.5,
        "shape": preset.hours.floor,
        "ratio": 1.0,
    }
    for name, value in state.items():
        s[0][name] = value
    for name in ("add_bid", "add_ask", "cancel_bid", "cancel_ask"):
        s[0][name] = 1.0
    metaorders = np.empty((preset.signs.metaorders, 2), np.int64)
    metaorders[:, 0] = rng.choice([1, -1], preset.signs.metaorders)
    metaorders[:, 1] = rng.integers(1, 20, preset.signs.metaorders)
    out, tags = new_page(1)
    return World(
        p=_params(preset, open_ns, close_ns),
        s=s,
        orders=orders,
        levels=levels,
        tau_s=tau,
        excited=np.zeros((2, tau.size)),
        jumps=jumps,
        near=np.array([q.near_orders, q.near_weight], dtype=np.float64),
        weights=np.zeros(4 * len(q.near_orders) + 4),
        sizes=_knots(preset.sizes.orders, preset.sizes.aggressors),
        meta=metaorders,
        stale=np.zeros(STALE, np.int64),
        episodes=records,
        script=parameters,
        held=np.full((len(episodes), 64, 2), NONE, np.int64),
        out=out,
        tags=tags,
    )


def grown(w: World) -> World:
    """Return the market with twice the room for orders (slots keep their numbers)."""
    n = w.orders.size
    orders = np.zeros(2 * n, ORDER)
    orders[:n] = w.orders
    _free(orders, n)
    # The new slots go in front of what is left of the old ones.
    orders["next"][-1] = w.s[0]["free"]
    w.s[0]["free"] = n
    w.s[0]["n_free"] += n
    return w._replace(orders=orders)
