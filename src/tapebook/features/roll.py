"""Roll's spread from trade prices alone (Roll 1984), for tapes without quotes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import roll as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "Roll", "make", "roll_spreads"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the trade"),
    Column("roll_spread", "price", "2 sqrt(-c), c over the last trades; NaN until they are enough, and where c >= 0"),
    Column("roll_spread_bp", "1e-4", "the same, relative to the price of the trade"),
    Column("roll_ew_spread", "price", "with weights that forget; NaN below a hundred pairs of changes, where c >= 0"),
    Column("roll_cov", "price^2", "c over the last trades: above zero where prices trend; NaN until they are enough"),
    Column("roll_ew_cov", "price^2", "c with weights that forget"),
)

_PAIRS_MIN = 100


class Roll:
    """Roll's spread 2 sqrt(-cov(dp, dp before)), a row for each print, over a window and with weights that forget.

    Where changes of price go with each other (a trend, or sides that follow each other) there is no bounce to see: NaN,
    not the root of the absolute value. Sides that repeat make it far too small: compare with the effective spread
    wherever there are quotes. Crosses, off-book prints and prints outside continuous trading do not count.

    Parameters
    ----------
    window
        Pairs of successive price changes in the window.
    half_life_trades
        After so many trades a pair has half its weight.

    References
    ----------
    Roll, R. (1984), A simple implicit measure of the effective bid-ask spread in an efficient market, Journal of
    Finance 39:4.

    Examples
    --------
    >>> roll_spreads([100, 102, 100, 102, 100, 102], window=4).roll.tolist()  # a bounce of one spread of 2
    [nan, nan, nan, nan, nan, 4.0]
    """

    def __init__(self, instrument: Instrument, window: int = 500, half_life_trades: float = 500.0) -> None:
        if window < 2 or half_life_trades <= 0:
            raise ConfigurationError(
                "bad parameters of roll",
                expected="window at least 2, half_life_trades above 0",
                found=f"{window}, {half_life_trades}",
            )
        self._unit = float(instrument.tick_e9 or PRICE_SCALE)
        self._decay = 0.5 ** (1 / half_life_trades)
        self._memory = _memory(window)

    def fold(self, view: View) -> Rows:
        """Return a row for each print."""
        at, out = np.empty(view.n, np.int64), np.empty((view.n, 2))
        n = kernel.advance_roll(
            view.events,
            view.session,
            view.trading,
            view.thread,
            self._unit,
            self._decay,
            _PAIRS_MIN,
            self._memory["ints"],
            self._memory["floats"],
            self._memory["ring"],
            at,
            out,
        )
        unit = self._unit / PRICE_SCALE
        price = view.events["price"][at[:n]] / PRICE_SCALE
        spread, ew = unit * _spread(out[:n, 0]), unit * _spread(out[:n, 1])
        return {
            "ts_ns": view.ts_ns[at[:n]],
            "roll_spread": spread,
            "roll_spread_bp": 1e4 * spread / np.where(price > 0, price, np.nan),
            "roll_ew_spread": ew,
            "roll_cov": unit * unit * out[:n, 0],
            "roll_ew_cov": unit * unit * out[:n, 1],
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in self._memory.items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._memory, "roll")
        if state["ring"].shape != self._memory["ring"].shape:
            raise ConfigurationError(
                "roll: other window",
                expected=f"{self._memory['ring'].shape[0]} pairs",
                found=str(state["ring"].shape[0]),
                remedy="restore with the window it was saved with",
            )
        self._memory = {name: state[name].copy() for name in self._memory}


def _memory(window: int) -> State:
    ints = np.zeros(kernel.I_N, np.int64)
    ints[[kernel.LAST_PX, kernel.SESSION]] = MISSING
    return {"ints": ints, "floats": np.zeros(kernel.F_N), "ring": np.zeros((window, 2))}


def _spread(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    below = np.where(covariance < 0, covariance, np.nan)
    spread: NDArray[np.float64] = 2.0 * np.sqrt(-below)
    return spread


class RollSpreads:
    """What :func:`roll_spreads` returns: ``roll`` and ``ew`` (spreads), ``cov`` and ``ew_cov``, after each price."""

    def __init__(self, covariances: NDArray[np.float64]) -> None:
        self.cov, self.ew_cov = covariances[:, 0].copy(), covariances[:, 1].copy()
        self.roll, self.ew = _spread(self.cov), _spread(self.ew_cov)


def roll_spreads(price: ArrayLike, *, window: int = 500, half_life_trades: float = 500.0) -> RollSpreads:
    """Return Roll's spreads after each price of an array, in the units of the prices: the same fold as :class:`Roll`.

    Parameters
    ----------
    price
        Integers: ticks or 1e-9.
    window, half_life_trades
        As of :class:`Roll`.
    """
    px = np.asarray(price)
    if px.dtype.kind not in "iu" or window < 2 or half_life_trades <= 0:
        raise ConfigurationError(
            "Roll's spread cannot be made of these",
            expected="integer prices, window at least 2, half_life_trades above 0",
            found=f"{px.dtype}, {window}, {half_life_trades}",
        )
    m, out = _memory(window), np.empty((px.size, 2))
    prices = np.ascontiguousarray(px, np.int64)
    kernel.roll_all(prices, 0.5 ** (1 / half_life_trades), _PAIRS_MIN, m["ints"], m["floats"], m["ring"], out)
    return RollSpreads(out)


def make(
    instrument: Instrument, instrument_id: int, *, window: int = 500, half_life_trades: float = 500.0
) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Roll(instrument, window, half_life_trades))


register("roll_spread", make, columns=COLUMNS, needs=frozenset({"trades"}))
