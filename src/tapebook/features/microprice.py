"""Microprice: the mid leaning towards the side that is about to give way.

``P = b + s qb / (qb + qa) = m + s (I - 1/2)``, with the bid's size pulling the price up. Many texts list it twice, as
"microprice" and as "weighted mid"; it is one formula. It is not a martingale (Stoikov's fitted micro-price is made to
be one, and is a different object), and for stocks with a small tick it predicts worse than the mid: the report tells,
for the recording at hand, which of the two was closer to the mid some seconds later.
"""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import microprice as kernel
from tapebook.market.events import PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

__all__ = ["COLUMNS", "Microprice", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column(
        "microprice", "price", "bid and ask, each weighted by the other side's size; NaN unless both stand uncrossed"
    ),
    Column("microprice_off_mid", "price", "microprice less mid: above zero leans up"),
)


class Microprice:
    """Microprice of the touch (weighted mid), a row for each change of the touch.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> tick = 250_000_000
    >>> rows = Microprice().fold(view_of([(19_200 * tick, 30, 19_201 * tick, 10)]))
    >>> rows["microprice"].tolist(), rows["microprice_off_mid"].tolist()
    ([4800.1875], [0.0625])
    """

    def fold(self, view: View) -> Rows:
        """Return the microprice after each change of the touch."""
        at = np.empty(view.n, np.int64)
        price, mid = np.empty(view.n, np.float64), np.empty(view.n, np.float64)
        n = kernel.advance_microprice(view.bid_px, view.bid_sz, view.ask_px, view.ask_sz, at, price, mid)
        return {
            "ts_ns": view.ts_ns[at[:n]],
            "microprice": price[:n] / PRICE_SCALE,
            "microprice_off_mid": (price[:n] - mid[:n]) / PRICE_SCALE,
        }

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Microprice())


register("microprice", make, columns=COLUMNS, needs=QUOTED)
