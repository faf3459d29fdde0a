"""Effective spread: what a taker really paid, measured from the middle of the quote that stood before the trade."""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View, in_price
from tapebook.kernels import effective_spread as kernel
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

__all__ = ["COLUMNS", "EffectiveSpread", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the trade"),
    Column("price", "price", "of the trade"),
    Column("qty_lots", "lots", "of the trade"),
    Column("side", "+1/-1/0", "the aggressor: bought, sold, unknown"),
    Column("side_source", "code", "who says so (see SideSource)"),
    Column("mid", "price", "middle of the quote that stood before the trade's message"),
    Column("quoted_spread", "price", "of that quote"),
    Column("effective_spread", "price", "2 * side * (price - mid): signed, a trade inside the quote may be below zero"),
    Column("effective_spread_bp", "1e-4 of the mid", "the same, relative"),
    Column("why", "code", "0 defined, 1 side unknown, 2 no two-sided quote before it, 3 auction or off-book print"),
)


class EffectiveSpread:
    """Effective spread 2 q (p - m), a row for each print.

    The quote is the one before the message that carries the trade: with the one after it, effective spreads come out a
    tenth too small. The sign is kept; |p - m| would hide trades inside the quote.

    References
    ----------
    Lee, C. and Ready, M. (1991), Inferring trade direction from intraday data, Journal of Finance 46:2.
    Huang, R. and Stoll, H. (1996), Dealer versus auction markets, Journal of Financial Economics 41:3.
    """

    def fold(self, view: View) -> Rows:
        """Return the effective spread of each print."""
        at = np.empty(view.n, np.int64)
        spread = np.empty(view.n, np.int64)
        why = np.empty(view.n, np.uint8)
        n = kernel.advance_effective_spread(view.events, view.trading, view.bid_px, view.ask_px, at, spread, why)
        at, effective = at[:n], in_price(spread[:n])
        bid, ask = view.bid_px[at], view.ask_px[at]
        two_sided = (bid != MISSING) & (ask != MISSING) & (bid < ask)
        mid, quoted = np.full(n, np.nan), np.full(n, np.nan)
        mid[two_sided] = (bid[two_sided] / 2 + ask[two_sided] / 2) / PRICE_SCALE
        quoted[two_sided] = (ask[two_sided] - bid[two_sided]) / PRICE_SCALE
        return {
            "ts_ns": view.ts_ns[at],
            "price": in_price(view.events["price"][at]),
            "qty_lots": view.events["qty_lots"][at],
            "side": view.events["side"][at],
            "side_source": view.events["side_source"][at],
            "mid": mid,
            "quoted_spread": quoted,
            "effective_spread": effective,
            "effective_spread_bp": 1e4 * effective / np.where(mid > 0, mid, np.nan),
            "why": why[:n],
        }

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, EffectiveSpread())


register("effective_spread", make, columns=COLUMNS, needs=QUOTED, also_needs=frozenset({"trades"}))
