"""Markouts: what a trade was worth to its taker some time later.

For a print at ``p`` with aggressor ``q`` and the mid ``m_h`` a horizon later, the taker's markout is ``q (m_h - p)``;
the maker's is the negative. It starts at minus half the effective spread, and rises by what the trade foretold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapebook.features.realised_spread import HORIZONS_S, RealisedSpread
from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

__all__ = ["COLUMNS", "Markout", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that showed that the horizon has passed"),
    Column("ts_trade_ns", "ns", "clock of the trade"),
    Column("horizon_ns", "ns", "how long after the trade the mid was taken"),
    Column("qty_lots", "lots", "of the trade"),
    Column("side", "+1/-1", "the aggressor: bought, sold"),
    Column("markout", "price", "side * (mid then - price): the taker's; the maker's is its negative"),
    Column("markout_ticks", "ticks", "the same in ticks; NaN where the tick is not known"),
    Column("markout_0", "price", "side * (mid before - price): minus half the effective spread"),
    Column("adverse", "price", "side * (mid then - mid before): what the maker lost to news; half the price impact"),
    Column("why", "code", "0 defined, 1 no two-sided quote then, 2 the session ended before, 3 the clock went back"),
)


class Markout:
    """Markout of each print at each horizon, a row as soon as the horizon has passed.

    The mid then is that of the last quote at or before the due time. Prints without an aggressor or without a two-sided
    quote before them have none; a print whose horizon reaches beyond its session gets NaN.

    Parameters
    ----------
    horizons_s
        Seconds after the trade.

    References
    ----------
    Conrad, J. and Wahal, S. (2020), The term structure of liquidity provision, Journal of Financial Economics 136:1.
    """

    def __init__(self, instrument: Instrument, horizons_s: Sequence[float] = HORIZONS_S) -> None:
        self._spreads = RealisedSpread(horizons_s)
        self._tick = float(instrument.tick) or np.nan

    def fold(self, view: View) -> Rows:
        """Return the rows whose horizon passed."""
        rows = self._spreads.fold(view)
        markout = 0.0 - rows["realised_spread"] / 2
        return {name: rows[name] for name in ("ts_ns", "ts_trade_ns", "horizon_ns", "qty_lots", "side")} | {
            "markout": markout,
            "markout_ticks": markout / self._tick,
            "markout_0": 0.0 - rows["effective_spread"] / 2,
            "adverse": rows["price_impact"] / 2,
            "why": rows["why"],
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return self._spreads.save()

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._spreads.restore(state)


def make(instrument: Instrument, instrument_id: int, *, horizons_s: Sequence[float] = HORIZONS_S) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Markout(instrument, horizons_s))


register("markout", make, columns=COLUMNS, needs=QUOTED, also_needs=frozenset({"trades"}))
