"""What makes a simulated market: every number that can be changed, in one frozen value.

A :class:`Preset` is made of small parts (hours, flow, queues, sizes, signs, price, latency). Change one with
``msgspec.structs.replace``, or write a TOML file that names the preset it starts from and only what differs::

    base = "es"
    name = "es-thin"

    [queues]
    near_orders = [14, 20, 22, 24, 24, 24, 24, 24, 24, 24]

    [price]
    vol_ticks = 0.4

What the numbers mean in the model stands in docs/simulator.md; the presets themselves in
:mod:`tapebook.simulator.presets`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument

__all__ = ["Flow", "Hours", "Latency", "Preset", "PriceLaw", "Queues", "Signs", "Sizes"]

Knots: TypeAlias = tuple[tuple[float, float], ...]
"""A quantile law of sizes: (probability, lots), both rising, from probability 0 to 1; log lots are linear between."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a preset: a value with named fields and no others."""


class Hours(_Part, frozen=True):
    """When the tape starts, and how activity runs through the session.

    Attributes
    ----------
    date
        Trade date of the instrument's calendar (``YYYY-MM-DD``).
    start_s
        Seconds after the opening of regular hours at which the tape starts (after midnight UTC for a 24-7 calendar).
    floor, opening, closing
        Activity is ``floor + opening * exp(-(t - open) / decay_s) + closing * exp(-(close - t) / decay_s)``; keep its
        average near 1. Rates go with it, volatility with its square root.
    decay_s
        See above; 0: activity is ``floor`` all day.
    warm_up_s
        Simulated unseen before the tape starts, so that queues, excitation and metaorders forget how they began.
    """

    date: str = "2026-03-04"
    start_s: float = 0.0
    floor: float = 1.0
    opening: float = 0.0
    closing: float = 0.0
    decay_s: float = 0.0
    warm_up_s: float = 90.0


class Flow(_Part, frozen=True):
    """Rates and clustering: two Hawkes intensities, aggressors and changes of the book.

    Attributes
    ----------
    aggressors_per_s, changes_per_s
        Average rates; what excitation brings is taken off to give the baselines.
    moves_per_s
        Moves of the reference price expected a second (they excite too).
    tau_s
        Time scales of the excitation's decay.
    market_market, market_changes, changes_changes, move_market, move_changes
        Events that one event brings directly, by time scale (branching ratios; the sum of ``market_market`` and that of
        ``changes_changes`` must be below 1).
    mark_exponent
        An aggressor excites as its lots to this power.
    excited_max_per_s
        Cap of the excitation of changes.
    """

    aggressors_per_s: float
    changes_per_s: float
    moves_per_s: float
    tau_s: tuple[float, ...]
    market_market: tuple[float, ...]
    market_changes: tuple[float, ...]
    changes_changes: tuple[float, ...]
    move_market: tuple[float, ...]
    move_changes: tuple[float, ...]
    mark_exponent: float = 0.3
    excited_max_per_s: float = 50_000.0


class Queues(_Part, frozen=True):
    """How long queues are, and where things happen.

    Attributes
    ----------
    near_orders
        Usual orders at distance 0, 1, 2 … ticks from the reference price, for each side.
    near_weight
        How often something happens there, relative to each other.
    deep_orders, deep_levels, deep_weight
        Usual orders of each level behind the near ones, up to ``deep_levels`` from the reference price; one weight for
        all of them on a side.
    gap_boost
        An empty touch attracts orders this many times as strongly.
    rush, rush_share
        A touch of a share z below ``rush_share`` of its usual orders attracts ``1 + rush * (1 - z / rush_share)`` times
        as strongly.
    flight
        The part of leaving the touch that does not shrink with it, relative to leaving a usual one.
    stale_weight
        For each order left behind by a jump of the price: how often such orders leave or follow.
    cancel_back
        A leaving order's place from the back is ``n * U**cancel_back``: 1 any place, larger: younger orders leave.
    reprice_share, reduce_share, partial_share
        Of leaving orders: how many move to another price (MODIFY), lose lots in place (MODIFY), are cancelled in part.
    """

    near_orders: tuple[float, ...]
    near_weight: tuple[float, ...]
    deep_orders: float
    deep_levels: int
    deep_weight: float
    gap_boost: float = 1.0
    rush: float = 0.0
    rush_share: float = 0.3
    flight: float = 0.0
    stale_weight: float = 0.0
    cancel_back: float = 1.5
    reprice_share: float = 0.0
    reduce_share: float = 0.0
    partial_share: float = 0.0


class Sizes(_Part, frozen=True):
    """Lots of orders and aggressors.

    Attributes
    ----------
    orders, aggressors
        Quantile laws: (probability, lots).
    round_share
        Share of sizes above 5 that are rounded to 5, 25 or 100.
    take_touch_share
        Share of aggressors that take exactly the touch, where it is short.
    through_share, through_levels
        Share of aggressors that go on to the next price, and through how many at most.
    post_share
        Share of aggressors whose rest stays as an order when they have used up the price.
    """

    orders: Knots
    aggressors: Knots
    round_share: float = 0.0
    take_touch_share: float = 0.0
    through_share: float = 0.0
    through_levels: int = 1
    post_share: float = 0.0


class Signs(_Part, frozen=True):
    """Which side an aggressor takes.

    Attributes
    ----------
    repeat_share, repeat_s
        Share that takes the side of the last aggressor, if that came within ``repeat_s``.
    meta_share, metaorders, meta_exponent, meta_children_max
        Of the others: share that are children of one of so many metaorders, whose numbers of children are Pareto with
        this exponent (Lillo, Mike and Farmer 2005: signs then correlate as lag to the power 1 - exponent).
    lean_price, lean_queue
        The rest leans to the efficient price and to the shorter queue (logistic weights).
    """

    repeat_share: float
    repeat_s: float
    meta_share: float
    metaorders: int
    meta_exponent: float
    meta_children_max: float
    lean_price: float
    lean_queue: float


class PriceLaw(_Part, frozen=True):
    """How the efficient price moves, and how the book follows it.

    Attributes
    ----------
    vol_ticks
        Of the efficient price's own diffusion: ticks per square root of a second.
    impact_ticks
        An aggressor of the usual size and fully surprising sign moves it so far (twice that from the other side).
    pin_ticks
        Distances between efficient price and mid are counted in this.
    pull, pull_queue
        How strongly the touch that the efficient price moves towards is left; the same for the shorter touch.
    move_bias, move_lean
        A used-up touch moves the reference price with probability logistic(bias + lean * distance towards there).
    follow_share
        Share of events at which the reference price follows inside a spread wider than a tick.
    """

    vol_ticks: float
    impact_ticks: float
    pin_ticks: float
    pull: float
    pull_queue: float
    move_bias: float
    move_lean: float
    follow_share: float


class Latency(_Part, frozen=True):
    """Receive time minus event time: a constant, a log-normal jitter, and what the line needs for each message."""

    least_us: float
    jitter_us: float
    jitter_sigma: float
    line_ns: int = 300


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A simulated market.

    Attributes
    ----------
    name
        Short, as ``sim:NAME`` takes it.
    meaning
        One line for people.
    instrument
        What is traded; its tick, lot and calendar are used.
    start_price
        Price of the efficient price at the start, in the quoted currency.
    grid_levels
        Ticks of the price grid; the start lies in its middle. A session that travels further than half of it is held
        at its edge, so choose it generously (32 bytes each).
    hours, flow, queues, sizes, signs, price, latency
        The parts.
    """

    name: str
    meaning: str
    instrument: Instrument
    start_price: Decimal
    hours: Hours
    flow: Flow
    queues: Queues
    sizes: Sizes
    signs: Signs
    price: PriceLaw
    latency: Latency
    grid_levels: int = 1 << 15

    def __post_init__(self) -> None:
        for ok, what, expected, found in self._checks():
            if not ok:
                raise ConfigurationError(f"preset {self.name}: {what}", expected=expected, found=str(found))

    def _checks(self) -> list[tuple[bool, str, str, object]]:
        f, q, s = self.flow, self.queues, self.sizes
        scales = len(f.tau_s)
        kernels = (f.market_market, f.market_changes, f.changes_changes, f.move_market, f.move_changes)
        leaving = q.reprice_share + q.reduce_share + q.partial_share
        sizes = (s.round_share, s.take_touch_share, s.through_share, s.post_share)
        shares = (leaving, *sizes, self.signs.repeat_share, self.signs.meta_share)
        ticks = self.start_price * PRICE_SCALE / max(self.instrument.tick_e9, 1)
        told = msgspec.to_builtins(self, builtin_types=(Decimal,))
        strange = [f"{path} = {value}" for path, value in _numbers(told) if not math.isfinite(value)]
        return [
            (not strange, "not a number", "finite numbers", ", ".join(strange)),
            (self.instrument.tick_e9 > 0, "no tick size", "an instrument with tick_e9", self.instrument.tick_e9),
            (ticks == int(ticks) and ticks > 0, "start_price", "a positive multiple of the tick", self.start_price),
            (int(ticks) > self.grid_levels // 2, "grid_levels", f"at most {2 * int(ticks) - 1}", self.grid_levels),
            (self.grid_levels >= 1024, "grid_levels", "at least 1024", self.grid_levels),
            (self.hours.warm_up_s >= 0, "hours.warm_up_s", "no negative time", self.hours.warm_up_s),
            (scales > 0 and min(f.tau_s) > 0, "flow.tau_s", "positive times", f.tau_s),
            (all(len(k) == scales for k in kernels), "flow", f"{scales} values in each kernel, as tau_s has", kernels),
            (sum(f.market_market) < 1, "flow.market_market", "a sum below 1 (stationary)", sum(f.market_market)),
            (sum(f.changes_changes) < 1, "flow.changes_changes", "a sum below 1 (stationary)", sum(f.changes_changes)),
            (len(q.near_orders) >= 2, "queues.near_orders", "at least 2 levels", q.near_orders),
            (min(q.near_orders, default=0) > 0, "queues.near_orders", "positive numbers", q.near_orders),
            (len(q.near_weight) == len(q.near_orders), "queues.near_weight", "one for each level", q.near_weight),
            (q.deep_levels > len(q.near_orders) and q.deep_orders > 0, "queues.deep_levels", "more", q.deep_levels),
            (q.rush_share > 0, "queues.rush_share", "a positive share", q.rush_share),
            (_rising(s.orders), "sizes.orders", "(probability, lots) rising from 0 to 1", s.orders),
            (_rising(s.aggressors), "sizes.aggressors", "(probability, lots) rising from 0 to 1", s.aggressors),
            (all(0 <= x <= 1 for x in shares), "a share", "a number from 0 to 1", shares),
            (s.through_levels >= 1, "sizes.through_levels", "at least 1", s.through_levels),
            (self.signs.metaorders >= 1 and self.signs.meta_exponent > 0, "signs", "a metaorder or more", self.signs),
            (self.price.pin_ticks > 0, "price.pin_ticks", "a positive number", self.price.pin_ticks),
            (self.latency.least_us >= 0, "latency.least_us", "no negative time", self.latency.least_us),
        ]


def _numbers(told: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number in nested tables and lists, with its place."""
    if isinstance(told, dict):
        for name, value in told.items():
            yield from _numbers(value, f"{path}.{name}".lstrip("."))
    elif isinstance(told, list | tuple):
        for value in told:
            yield from _numbers(value, path)
    elif isinstance(told, int | float | Decimal):
        yield path, float(told)


def _rising(knots: Knots) -> bool:
    p, lots = [k[0] for k in knots], [k[1] for k in knots]
    return len(knots) >= 2 and p[0] == 0 and p[-1] == 1 and p == sorted(p) and lots == sorted(lots) and lots[0] >= 1
