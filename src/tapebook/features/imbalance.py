"""Imbalance of the queues at the touch: which side is heavier."""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import imbalance as kernel
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, register

__all__ = ["COLUMNS", "Imbalance", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column("imbalance", "-1 to 1", "bid less ask size over their sum; NaN with an empty book or unknown sizes"),
    Column("queue_share", "0 to 1", "bid size over the sum: the same on the scale of Cont and Stoikov"),
    Column("one_sided", "true/false", "one side is missing, so that the imbalance is +1 or -1 by definition"),
)


class Imbalance:
    """Queue imbalance (qb - qa) / (qb + qa), a row for each change of the touch.

    References
    ----------
    Gould, M. and Bonart, J. (2016), Queue imbalance as a one-tick-ahead price predictor in a limit order book, Market
    Microstructure and Liquidity 2:2.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> Imbalance().fold(view_of([(100, 30, 101, 10)]))["imbalance"].tolist()
    [0.5]
    """

    def fold(self, view: View) -> Rows:
        """Return the imbalance after each change of the touch."""
        at = np.empty(view.n, np.int64)
        value = np.empty(view.n, np.float64)
        one_sided = np.empty(view.n, np.bool_)
        n = kernel.advance_imbalance(view.bid_px, view.bid_sz, view.ask_px, view.ask_sz, at, value, one_sided)
        return {
            "ts_ns": view.ts_ns[at[:n]],
            "imbalance": value[:n],
            "queue_share": (value[:n] + 1) / 2,
            "one_sided": one_sided[:n],
        }

    def save(self) -> State:
        """Return the memory: there is none beyond the feed's."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Imbalance())


register("imbalance", make, columns=COLUMNS, needs=QUOTED)
