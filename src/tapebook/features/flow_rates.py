"""How fast orders join, leave and trade on each side, at the touch and near it, and how old the best prices are.

Where a tape carries orders, arrivals and cancels are told. Where it carries levels, what a level lost beyond what
traded on its side is taken for cancelled, and each change of a level counts as one order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.depth import DepthOperator, DepthView
from tapebook.kernels import flow_rates as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "FlowRates", "make"]

Floats = NDArray[np.float64]

_SIDES: Final = (("bid", "bids"), ("ask", "asks"))
_ZONES: Final = (("", "at the best price or better"), ("near_", "within near_ticks of the best price"))


def _columns() -> tuple[Column, ...]:
    found = [Column("ts_ns", "ns", "clock of the event that changed the touch")]
    for side, sides in _SIDES:
        for zone, where in _ZONES:
            for what, words in (("add", "that join"), ("cancel", "that are cancelled")):
                for unit in ("orders", "lots"):
                    name = f"{side}_{zone}{what}_{unit}_per_s"
                    found.append(Column(name, f"{unit}/s", f"{unit} of the {sides} {words} {where}"))
        found += [
            Column(f"{side}_trade_orders_per_s", "prints/s", f"prints against the {sides}"),
            Column(f"{side}_trade_lots_per_s", "lots/s", f"lots traded against the {sides}"),
            Column(f"{side}_queue_age_s", "s", f"how long the best price of the {sides} stands; NaN if not known"),
        ]
    return (
        *found,
        Column("cancel_add_ratio", "1", "lots cancelled over lots added near the touch, both sides"),
        Column("order_trade_ratio", "1", "orders added and cancelled near the touch for each print"),
    )


COLUMNS = _columns()


class FlowRates:
    """Arrival, cancel and trade rates of each side, a row for each change of the touch.

    Rates fade by real time and begin anew with each session; NaN until one half-life of it has passed. An order counts
    where it stands to the best price that could be seen before its message. A modification counts as a cancel and an
    add of what it left, and as nothing where its message told of a fill on its side; a cancel that only takes away what
    was filled is none. Snapshots, what only came into view, records that only inform, and crosses and off-book prints
    count as nothing. Before the first print of the tape what trades is not known, nor, on a tape of levels, what is
    cancelled: NaN.

    Parameters
    ----------
    tick_e9
        The instrument's tick.
    half_life_s
        How long a rate remembers.
    near_ticks
        How far from the best price "near" reaches; on tapes of levels no further than the levels in view.

    References
    ----------
    Large, J. (2007), Measuring the resiliency of an electronic limit order book, Journal of Financial Markets 10:1.

    Examples
    --------
    >>> from tapebook.features.depth import depth_view_of
    >>> books = [([(99, 5)], [(101, 4)]), ([(99, 5)], [(101, 4)])]
    >>> rows = FlowRates(1, half_life_s=1.0).fold(depth_view_of(books))
    >>> len(rows) == len(COLUMNS), rows["bid_add_lots_per_s"].tolist()
    (True, [nan])
    """

    def __init__(self, tick_e9: int, *, half_life_s: float = 10.0, near_ticks: int = 5) -> None:
        if not (half_life_s > 0 and 0 <= near_ticks <= 1_000_000):
            raise ConfigurationError(
                "a parameter of the flow's rates",
                expected="half_life_s above 0, near_ticks 0 to a million",
                found=f"{half_life_s}, {near_ticks}",
            )
        self._tau_s = half_life_s / float(np.log(2))
        self._warm_ns = round(half_life_s * 1e9)
        self._near = near_ticks * max(tick_e9, 0)
        self._state = np.full(kernel.N_STATE, MISSING, np.int64)
        self._state[kernel.THREAD :] = 0
        self._sums = np.zeros((2, 2, kernel.N_WHAT, 2))

    def fold(self, view: DepthView) -> Rows:
        """Return the rates after each change of the touch."""
        e, n_events = view.events, view.n
        at, warm = np.empty(n_events, np.int64), np.empty(n_events, np.bool_)
        sums, age = np.empty((n_events, *self._sums.shape)), np.empty((n_events, 2), np.int64)
        n = kernel.advance_flow_rates(
            e["kind"],
            e["flags"],
            e["detail"],
            e["side"],
            e["price"],
            e["qty_lots"],
            view.clock_ns,
            view.session,
            view.thread,
            view.books,
            view.which,
            view.n_levels,
            self._tau_s * 1e9,
            self._warm_ns,
            self._near,
            self._state,
            self._sums,
            at,
            sums,
            age,
            warm,
        )
        rate = np.where(warm[:n, None, None, None, None], sums[:n], np.nan) / self._tau_s
        added, cancelled, traded, taken = (rate[:, :, :, w] for w in range(kernel.N_WHAT))
        # A level tells what trades and cancels took together; on a tape of orders nothing is taken without a reason.
        cancelled = cancelled + np.where(taken > 0, np.maximum(taken - traded, 0.0), 0.0)
        rows: Rows = {"ts_ns": view.ts_ns[at[:n]]}
        for s, (side, _) in enumerate(_SIDES):
            for z, (zone, _) in enumerate(_ZONES):
                for u, unit in enumerate(("orders", "lots")):
                    rows[f"{side}_{zone}add_{unit}_per_s"] = added[:, s, z, u].copy()
                    rows[f"{side}_{zone}cancel_{unit}_per_s"] = cancelled[:, s, z, u].copy()
            rows[f"{side}_trade_orders_per_s"] = traded[:, s, 0, 0].copy()
            rows[f"{side}_trade_lots_per_s"] = traded[:, s, 0, 1].copy()
            held = age[:n, s] != MISSING
            rows[f"{side}_queue_age_s"] = np.where(held, np.where(held, age[:n, s], 0) / 1e9, np.nan)
        lots_in, lots_out = added[:, :, 1, 1].sum(axis=1), cancelled[:, :, 1, 1].sum(axis=1)
        orders = (added[:, :, 1, 0] + cancelled[:, :, 1, 0]).sum(axis=1)
        rows["cancel_add_ratio"] = _over(lots_out, lots_in)
        rows["order_trade_ratio"] = _over(orders, traded[:, :, 0, 0].sum(axis=1))
        return {column.name: rows[column.name] for column in COLUMNS}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy(), "sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state, "sums": self._sums}, "flow_rates")
        self._state, self._sums = state["state"].copy(), state["sums"].copy()


def _over(above: Floats, below: Floats) -> Floats:
    """Return a ratio, NaN where nothing is below."""
    sound = below > 0
    ratio: Floats = np.where(sound, above / np.where(sound, below, 1.0), np.nan)
    return ratio


def make(
    instrument: Instrument,
    instrument_id: int,
    *,
    half_life_s: float = 10.0,
    near_ticks: int = 5,
    levels: int = 10,
) -> DepthOperator:
    """Return the feature as an operator of its own."""
    fold = FlowRates(instrument.tick_e9, half_life_s=half_life_s, near_ticks=near_ticks)
    return DepthOperator(instrument, instrument_id, fold, levels=levels)


register("flow_rates", make, columns=COLUMNS, needs=frozenset({"levels", "orders"}))
