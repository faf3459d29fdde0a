"""The shape of the book, and what it costs to sweep it.

Both make a row for each change of a level in view. Distances are measured from the mid, so that none is zero.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tapebook.features.depth import DepthOperator, DepthView
from tapebook.features.touch import in_price
from tapebook.kernels import book_shape as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

__all__ = ["COLUMNS", "SWEEP_COLUMNS", "BookShape", "SweepPrice", "make", "make_sweep"]

_DEEP: Final = frozenset({"levels", "orders"})

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed a level"),
    Column("imbalance_levels", "-1 to 1", "bid less ask lots of all levels over their sum"),
    Column("imbalance_faded", "-1 to 1", "the same with weight decay**i, i = 0 at the touch"),
    Column("book_pressure", "-1 to 1", "the same with weight 1 / distance from the mid (circulating: lots / price)"),
    Column("log_queue_ratio", "1", "ln((best bid lots + 1) / (best ask lots + 1))"),
    Column("bid_near_lots", "lots", "bids within within_ticks of the mid; NaN where the view does not reach as far"),
    Column("ask_near_lots", "lots", "asks within within_ticks of the mid; NaN where the view does not reach as far"),
    Column("bid_near_bp_lots", "lots", "bids within within_bp of the mid; NaN where the view does not reach as far"),
    Column("ask_near_bp_lots", "lots", "asks within within_bp of the mid; NaN where the view does not reach as far"),
    Column("bid_slope", "lots/tick", "cumulative bid lots on ticks from the mid, least squares over the levels"),
    Column("ask_slope", "lots/tick", "cumulative ask lots on ticks from the mid, least squares over the levels"),
    Column(
        "bid_convexity", "lots/tick^2", "quadratic term of the same as a parabola; above zero: depth grows outwards"
    ),
    Column(
        "ask_convexity", "lots/tick^2", "quadratic term of the same as a parabola; above zero: depth grows outwards"
    ),
    Column("top_share", "0 to 1", "share of the best levels in the lots of all levels"),
    Column("one_sided", "true/false", "one side is missing, so that imbalances are +1 or -1 by definition"),
)


class BookShape:
    """Imbalances, pressure, depth, slope and convexity of the best levels.

    What needs a mid is NaN unless both sides stand uncrossed, what needs ticks where the instrument's are unknown, and
    all of it where the size of a level in view was not told.

    Parameters
    ----------
    tick_e9
        The instrument's tick; 0 where unknown.
    levels
        How many levels of a side.
    decay
        Weight of a level in ``imbalance_faded`` relative to the better one before it.
    within_ticks, within_bp
        How far from the mid near depth reaches.
    variant
        ``literature``, or ``circulating``: pressure as the raw difference of lots over distance in price, which is not
        comparable across instruments.

    References
    ----------
    Naes, R. and Skjeltorp, J. (2006), Order book characteristics and the volume-volatility relation, Journal of
    Financial Markets 9:4 (slope).

    Examples
    --------
    >>> from tapebook.features.depth import depth_view_of
    >>> tick = 1_000_000_000
    >>> view = depth_view_of([([(99 * tick, 30), (98 * tick, 10)], [(101 * tick, 10), (102 * tick, 30)])])
    >>> rows = BookShape(tick, levels=2, decay=0.5).fold(view)
    >>> [round(float(rows[name][0]), 4) for name in ("imbalance_levels", "imbalance_faded", "book_pressure")]
    [0.0, 0.1667, 0.1667]
    >>> rows["bid_slope"].tolist(), rows["ask_slope"].tolist(), rows["top_share"].tolist()
    ([10.0], [30.0], [0.5])
    """

    def __init__(
        self,
        tick_e9: int,
        *,
        levels: int = 10,
        decay: float = 0.5,
        within_ticks: float = 5.0,
        within_bp: float = 5.0,
        variant: str = "literature",
    ) -> None:
        if not (0 < decay <= 1 and within_ticks > 0 and within_bp > 0 and levels >= 1):
            raise ConfigurationError(
                "a parameter of the book's shape",
                expected="decay in (0, 1], within_ticks and within_bp above 0, a level or more",
                found=f"{decay}, {within_ticks}, {within_bp}, {levels}",
            )
        if variant not in ("literature", "circulating"):
            raise ConfigurationError("variant of book_shape", expected="literature or circulating", found=variant)
        self._tick_e9 = tick_e9
        self._decay, self._ticks, self._bp = decay, within_ticks, within_bp
        self._raw = variant == "circulating"

    def fold(self, view: DepthView) -> Rows:
        """Return the shape after each change."""
        n = view.at.size
        out, one_sided = np.empty((kernel.N_SHAPE, n)), np.empty(n, np.bool_)
        kernel.advance_book_shape(
            view.books,
            view.after,
            view.n_levels,
            self._tick_e9,
            self._decay,
            self._ticks,
            self._bp,
            self._raw,
            np.empty((3, view.n_levels)),
            np.empty(2),
            out,
            one_sided,
        )
        named = {column.name: out[i] for i, column in enumerate(COLUMNS[1:-1])}
        return {"ts_ns": view.ts_ns[view.at]} | named | {"one_sided": one_sided}

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


SWEEP_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed a level"),
    Column("buy_sweep", "price", "average price of buying sweep_lots at once; NaN if the asks in view are fewer"),
    Column("sell_sweep", "price", "average price of selling sweep_lots at once; NaN if the bids in view are fewer"),
    Column("sweep_mid", "price", "half their sum: the mid for that size (VAMP)"),
    Column("round_trip_cost", "price", "their difference: what buying and selling at once costs a lot"),
)


class SweepPrice:
    """What it costs to take a given size at once from the levels in view.

    Parameters
    ----------
    sweep_lots
        The size.

    Examples
    --------
    >>> from tapebook.features.depth import depth_view_of
    >>> unit = 1_000_000_000
    >>> view = depth_view_of([([(99 * unit, 10)], [(101 * unit, 5), (102 * unit, 5)])])
    >>> rows = SweepPrice(sweep_lots=10).fold(view)
    >>> [rows[name].tolist()[0] for name in ("buy_sweep", "sell_sweep", "sweep_mid", "round_trip_cost")]
    [101.5, 99.0, 100.25, 2.5]
    """

    def __init__(self, *, sweep_lots: float = 10.0) -> None:
        if not sweep_lots > 0:
            raise ConfigurationError("sweep_lots", expected="lots above zero", found=str(sweep_lots))
        self._lots = float(sweep_lots)

    def fold(self, view: DepthView) -> Rows:
        """Return the prices after each change."""
        at, after = view.at, view.after
        out = np.empty((2, at.size))
        kernel.advance_sweep(view.books, after, view.n_levels, self._lots, out)
        beyond, below = out / PRICE_SCALE
        bid, ask = in_price(view.bid_px[at + 1]), in_price(view.ask_px[at + 1])
        return {
            "ts_ns": view.ts_ns[at],
            "buy_sweep": ask + beyond,
            "sell_sweep": bid - below,
            "sweep_mid": (bid + ask) / 2 + (beyond - below) / 2,
            "round_trip_cost": (ask - bid) + beyond + below,
        }

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


def make(
    instrument: Instrument,
    instrument_id: int,
    *,
    levels: int = 10,
    decay: float = 0.5,
    within_ticks: float = 5.0,
    within_bp: float = 5.0,
    variant: str = "literature",
) -> DepthOperator:
    """Return :class:`BookShape` as an operator of its own."""
    fold = BookShape(
        instrument.tick_e9,
        levels=levels,
        decay=decay,
        within_ticks=within_ticks,
        within_bp=within_bp,
        variant=variant,
    )
    return DepthOperator(instrument, instrument_id, fold, levels=levels)


def make_sweep(
    instrument: Instrument, instrument_id: int, *, sweep_lots: float = 10.0, levels: int = 20
) -> DepthOperator:
    """Return :class:`SweepPrice` as an operator of its own."""
    return DepthOperator(instrument, instrument_id, SweepPrice(sweep_lots=sweep_lots), levels=levels)


register("book_shape", make, columns=COLUMNS, needs=_DEEP)
register("sweep_price", make_sweep, columns=SWEEP_COLUMNS, needs=_DEEP)
