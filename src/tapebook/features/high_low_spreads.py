"""Spreads from bars of trade prices: Corwin-Schultz, Abdi-Ranaldo and EDGE, for tapes and files without quotes.

Where there are quotes, the quoted and the effective spread are measured, not guessed: use those. Of these three, EDGE
is the least biased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.lambdas import FlowBars
from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import high_low_spreads as kernel
from tapebook.kernels.lambdas import AT
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "HighLowSpreads", "SpreadsOfBars", "edge_spread", "high_low_spreads", "make"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that closed the bar"),
    Column(
        "corwin_schultz_bp", "1e-4", "mean over the pairs of the last bars, those below zero as 0; NaN until enough"
    ),
    Column("abdi_ranaldo_bp", "1e-4", "root of the mean over the pairs; 0 where the mean is below zero"),
    Column("abdi_ranaldo_mean_bp", "1e-4", "mean of the roots, those of pairs below zero as 0"),
    Column("edge_bp", "1e-4", "of the last bars together; NaN where they cannot tell"),
    Column("pairs", "", "pairs of bars of one session among the last bars; NaN until enough"),
)

_BELOW: Final = {"zero": kernel.FLOOR, "keep": kernel.KEEP, "drop": kernel.DROP}


class HighLowSpreads:
    """Spreads from trade bars of a clock, a row for each bar with a trade, over the last bars.

    Pairs are of successive bars with trades, of one session.

    Parameters
    ----------
    bar_s
        Length of a bar in seconds.
    window_bars
        Bars that the spreads are taken over.

    References
    ----------
    Corwin, S. and Schultz, P. (2012), A simple way to estimate bid-ask spreads from daily high and low prices, Journal
    of Finance 67:2.
    Abdi, F. and Ranaldo, A. (2017), A simple estimation of bid-ask spreads from daily close, high, and low prices,
    Review of Financial Studies 30:12.
    Ardia, D., Guidotti, E. and Kroencke, T. (2024), Efficient estimation of bid-ask spreads from open, high, low, and
    close prices, Journal of Financial Economics 161.
    """

    def __init__(self, instrument: Instrument, bar_s: float = 60.0, window_bars: int = 60) -> None:
        if window_bars < 3:
            raise ConfigurationError("bad window", expected="window_bars at least 3", found=str(window_bars))
        self._bars = FlowBars(instrument, bar_s)
        self._own: State = {
            "ring": np.zeros((window_bars, 4)),
            "joined": np.zeros(window_bars, np.bool_),
            "count": np.array([0, MISSING], np.int64),
        }

    def fold(self, view: View) -> Rows:
        """Return a row for each bar with a trade that was closed."""
        bars, _ = self._bars.fold(view)
        at, out = np.empty(bars.shape[0], np.int64), np.empty((bars.shape[0], kernel.S_N))
        ring, joined = self._own["ring"], self._own["joined"]
        room = np.empty_like(ring), np.empty_like(joined), np.empty((ring.shape[0], 2))
        n = kernel.advance_high_low(bars, ring, joined, self._own["count"], *room, at, out)
        out = out[:n]
        return {
            "ts_ns": view.ts_ns[bars[at[:n], AT]],
            "corwin_schultz_bp": 1e4 * out[:, kernel.CS],
            "abdi_ranaldo_bp": 1e4 * out[:, kernel.AR],
            "abdi_ranaldo_mean_bp": 1e4 * out[:, kernel.AR_MEAN],
            "edge_bp": 1e4 * out[:, kernel.EDGE],
            "pairs": out[:, kernel.PAIRS].copy(),
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in (self._bars.memory | self._own).items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._bars.memory | self._own, "high-low spreads")
        if state["ring"].shape != self._own["ring"].shape:
            raise ConfigurationError(
                "high-low spreads: other window",
                expected=f"{self._own['ring'].shape[0]} bars",
                found=str(state["ring"].shape[0]),
                remedy="restore with the window_bars it was saved with",
            )
        self._bars.memory = {name: state[name].copy() for name in self._bars.memory}
        self._own = {name: state[name].copy() for name in self._own}


@dataclass(frozen=True)
class SpreadsOfBars:
    """Spreads of an array of bars, as shares of the price.

    Attributes
    ----------
    corwin_schultz, abdi_ranaldo, abdi_ranaldo_mean, edge
        Over all bars together.
    pairs_corwin_schultz, pairs_abdi_ranaldo
        Of each bar and the one before it: the spread; the squared spread, below zero or not. NaN for the first bar.
    """

    corwin_schultz: float
    abdi_ranaldo: float
    abdi_ranaldo_mean: float
    edge: float
    pairs_corwin_schultz: NDArray[np.float64]
    pairs_abdi_ranaldo: NDArray[np.float64]


def high_low_spreads(
    open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, *, gaps: bool = True, below: str = "zero"
) -> SpreadsOfBars:
    """Return the spreads of whole arrays of bars.

    Parameters
    ----------
    open_, high, low, close
        Prices above zero.
    gaps
        Whether Corwin-Schultz first shifts a bar whose range does not reach the close before it (overnight gaps).
    below
        What becomes of two-bar spreads of Corwin-Schultz below zero: ``zero`` (the paper), ``keep``, ``drop``.

    Examples
    --------
    >>> s = high_low_spreads([10, 10.1, 10], [10.2, 10.3, 10.2], [9.9, 10, 9.9], [10.1, 10, 10.1])
    >>> s.pairs_corwin_schultz.round(4).tolist()
    [nan, 0.0058, 0.0058]
    """
    if below not in _BELOW:
        raise ConfigurationError("no such choice", expected=", ".join(_BELOW), found=below)
    bars = _logs(open_, high, low, close)
    out, pairs = np.empty(kernel.S_N), np.empty((bars.shape[0], 2))
    kernel.spreads_of(bars, np.ones(bars.shape[0], np.bool_), gaps, _BELOW[below], pairs, out)
    cs, ar, ar_mean, edge = (float(x) for x in out[: kernel.PAIRS])
    return SpreadsOfBars(cs, ar, ar_mean, edge, pairs[:, 0].copy(), pairs[:, 1].copy())


def edge_spread(open_: ArrayLike, high: ArrayLike, low: ArrayLike, close: ArrayLike, *, signed: bool = False) -> float:
    """Return the EDGE spread of bars as a share of the price; NaN where they cannot tell.

    Parameters
    ----------
    signed
        Give a negative value where the squared spread comes out below zero, so that averages are not biased upwards.
    """
    bars = _logs(open_, high, low, close)
    squared = float(kernel.edge_squared(bars, np.ones(bars.shape[0], np.bool_)))
    size = math.sqrt(abs(squared))
    return -size if signed and squared < 0 else size


def _logs(*columns: ArrayLike) -> NDArray[np.float64]:
    prices = [np.asarray(column, np.float64) for column in columns]
    if len({p.shape for p in prices}) != 1 or prices[0].ndim != 1 or not all((p > 0).all() for p in prices):
        raise ConfigurationError(
            "these are no bars",
            expected="open, high, low and close of one length, above zero",
            found=", ".join(f"{p.shape}" for p in prices),
            remedy="leave out the bars without a trade",
        )
    return np.ascontiguousarray(np.log(np.column_stack(prices)))


def make(instrument: Instrument, instrument_id: int, *, bar_s: float = 60.0, window_bars: int = 60) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, HighLowSpreads(instrument, bar_s, window_bars))


register("high_low_spread", make, columns=COLUMNS, needs=frozenset({"trades"}))
