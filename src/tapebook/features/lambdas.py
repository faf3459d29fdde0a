"""What flow costs the market: Kyle's and Hasbrouck's lambda, Amihud's illiquidity, on bars of a clock.

A lambda is a slope, so it comes with its standard error and R^2; one change divided by one volume is none. The standard
error here takes residuals as independent; :mod:`tapebook.research.lambdas` has the one that does not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.classification import rule_of, source_of, tick_memory
from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import lambdas as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = [
    "AMIHUD_COLUMNS",
    "HASBROUCK_COLUMNS",
    "KYLE_COLUMNS",
    "Amihud",
    "FlowBars",
    "HasbrouckLambda",
    "KyleLambda",
    "lot_value",
]

_FIT: Final = (
    Column("r2", "0..1", "share of the variance of the moves that the flow explains"),
    Column("n_eff", "bars", "how many equally weighted bars the fit is worth"),
    Column("side_source", "code", "who says which side the aggressor was on (see SideSource)"),
)
KYLE_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that closed the bar"),
    Column("flow_lots", "lots", "bought less sold in the bar", flow=True),
    Column("mid_change", "price", "mid at its end less mid at its start; NaN without both", flow=True),
    Column("kyle_lambda", "price per lot", "slope of the mid's change on the flow; NaN below ten bars"),
    Column("kyle_se", "price per lot", "its standard error, residuals taken as independent"),
    Column("kyle_bp_per_million", "1e-4 per 1e6", "the same slope: relative, for a million of notional"),
    *_FIT,
)
HASBROUCK_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that closed the bar"),
    Column("signed_root", "sqrt(currency)", "sum over its prints of side * sqrt(notional)", flow=True),
    Column("return_bp", "1e-4", "log return of the mid over the bar; NaN without both ends", flow=True),
    Column("hasbrouck_lambda", "1e-4 per sqrt(currency)", "slope of the return on it; NaN below ten bars"),
    Column("hasbrouck_se", "1e-4 per sqrt(currency)", "its standard error, residuals taken as independent"),
    *_FIT,
)
AMIHUD_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that closed the bar"),
    Column("notional", "currency", "traded in the bar", flow=True),
    Column("amihud_bar", "1 per 1e6", "|log return| of the bar for a million of notional"),
    Column("amihud", "1 per 1e6", "mean of the bars so far that forgets"),
)


def lot_value(instrument: Instrument) -> float:
    """Return the notional of one lot at a price of 1, or of one lot at any price, negated, for inverse contracts.

    >>> from decimal import Decimal
    >>> lot_value(Instrument(symbol="ESH4", venue="CME", multiplier=Decimal(50)))
    50.0
    """
    lots = instrument.lot_e9 / PRICE_SCALE * float(instrument.multiplier)
    return -lots if instrument.inverse else lots


class FlowBars:
    """Bars of a clock with prices, flow and the mid at both ends: what the lambdas and spreads of bars stand on.

    A bar that has an event exists; it is known with the first event beyond its end, or of another session. Crosses,
    off-book prints and prints outside continuous trading are in no bar.

    Parameters
    ----------
    bar_s
        Length of a bar in seconds; bars start at multiples of it since 1970.
    side
        Whose side a print has: ``venue``, or one of :data:`tapebook.features.classification.RULES`.
    """

    def __init__(self, instrument: Instrument, bar_s: float, side: str = "venue") -> None:
        if bar_s < 1e-9:
            raise ConfigurationError("bad bar", expected="bar_s at least 1e-9 seconds", found=str(bar_s))
        self._bar_ns = round(bar_s * 1e9)
        self._rule = rule_of(side)
        self.source = int(source_of(side))
        self._lot_value = lot_value(instrument)
        self._ints = np.zeros(kernel.I_N, np.int64)
        self._ints[kernel.AT] = -1
        self.memory: State = {"bar": self._ints, "flow": np.zeros(kernel.FLOW_N), "tick": tick_memory()}

    def fold(self, view: View) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the bars that a view closed: integers and floats, as :mod:`tapebook.kernels.lambdas` lays them out."""
        bars, flow = np.empty((view.n, kernel.BAR_N), np.int64), np.empty((view.n, kernel.FLOW_N))
        n = kernel.advance_flow_bars(
            view.events,
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.ask_px,
            view.thread,
            self._bar_ns,
            self._rule,
            self._lot_value,
            self.memory["tick"],
            self.memory["bar"],
            self.memory["flow"],
            bars,
            flow,
        )
        return bars[:n], flow[:n]


class _BarFold:
    """A fold over flow bars with a memory of its own."""

    name = ""

    def __init__(self, instrument: Instrument, bar_s: float, half_life_bars: float, side: str) -> None:
        if half_life_bars < 0:
            raise ConfigurationError(
                f"{self.name}: bad half-life",
                expected="bars above zero, or 0 to forget none",
                found=str(half_life_bars),
            )
        self._bars = FlowBars(instrument, bar_s, side)
        self._decay = 0.5 ** (1 / half_life_bars) if half_life_bars else 1.0
        self._own: State = {}

    def _fit(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        fit = np.empty((x.size, kernel.FIT_N))
        kernel.regress(x, y, self._decay, self._own["regression"], fit)
        return fit

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in (self._bars.memory | self._own).items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._bars.memory | self._own, self.name)
        self._bars.memory = {name: state[name].copy() for name in self._bars.memory}
        self._own = {name: state[name].copy() for name in self._own}


class KyleLambda(_BarFold):
    """Kyle's lambda: regression of the mid's change over a bar on the signed volume in it, a row for each bar.

    Parameters
    ----------
    bar_s
        Length of a bar in seconds.
    half_life_bars
        After so many bars a bar has half its weight; 0 forgets none.
    side
        Whose side a print has: ``venue``, ``tick``, ``quote``, ``lee_ready``, ``emo``, ``clnv``.

    References
    ----------
    Kyle, A. (1985), Continuous auctions and insider trading, Econometrica 53:6.
    Goyenko, R., Holden, C. and Trzcinka, C. (2009), Do liquidity measures measure liquidity?, Journal of Financial
    Economics 92:2.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> view = view_of([(100 + i // 2, 5, 102 + i // 2, 5) for i in range(40)])
    >>> plain = Instrument(symbol="X", venue="Y")
    >>> KyleLambda(plain, bar_s=2.0).fold(view)["kyle_lambda"].shape  # a row for each bar that was closed
    (19,)
    """

    name = "kyle lambda"

    def __init__(
        self, instrument: Instrument, bar_s: float = 10.0, half_life_bars: float = 360.0, side: str = "venue"
    ) -> None:
        super().__init__(instrument, bar_s, half_life_bars, side)
        self._lot_value = lot_value(instrument)
        self._own = {"regression": np.zeros(kernel.REG_N)}

    def fold(self, view: View) -> Rows:
        """Return a row for each bar that was closed."""
        bars, _ = self._bars.fold(view)
        first, last = bars[:, kernel.MID2_FIRST], bars[:, kernel.MID2_LAST]
        whole = (first != MISSING) & (last != MISSING)
        change = np.where(whole, (last - first) / (2 * PRICE_SCALE), np.nan)
        lots = bars[:, kernel.SIGNED].copy()
        fit = self._fit(lots.astype(np.float64), change)
        mid = np.where(last > 0, last / (2 * PRICE_SCALE), np.nan)
        worth = np.full(mid.size, -self._lot_value) if self._lot_value < 0 else mid * self._lot_value
        return {
            "ts_ns": view.ts_ns[bars[:, kernel.AT]],
            "flow_lots": lots,
            "mid_change": change,
            "kyle_lambda": fit[:, kernel.SLOPE].copy(),
            "kyle_se": fit[:, kernel.SE].copy(),
            "kyle_bp_per_million": fit[:, kernel.SLOPE] / mid * 1e4 / worth * 1e6,
            "r2": fit[:, kernel.R2].copy(),
            "n_eff": fit[:, kernel.N_EFF].copy(),
            "side_source": np.full(mid.size, self._bars.source, np.uint8),
        }


class HasbrouckLambda(_BarFold):
    """Hasbrouck's lambda: regression of the log return over a bar on its signed root notional, a row for each bar.

    Parameters
    ----------
    bar_s
        Length of a bar in seconds (five minutes in the paper).
    half_life_bars
        After so many bars a bar has half its weight; 0 forgets none.
    side
        Whose side a print has: ``venue``, ``tick``, ``quote``, ``lee_ready``, ``emo``, ``clnv``.

    References
    ----------
    Hasbrouck, J. (2009), Trading costs and returns for US equities, Journal of Finance 64:3.
    """

    name = "hasbrouck lambda"

    def __init__(
        self, instrument: Instrument, bar_s: float = 10.0, half_life_bars: float = 360.0, side: str = "venue"
    ) -> None:
        super().__init__(instrument, bar_s, half_life_bars, side)
        self._own = {"regression": np.zeros(kernel.REG_N)}

    def fold(self, view: View) -> Rows:
        """Return a row for each bar that was closed."""
        bars, flow = self._bars.fold(view)
        first, last = bars[:, kernel.MID2_FIRST], bars[:, kernel.MID2_LAST]
        whole = (first > 0) & (last > 0)
        moved = np.where(whole, last, 1) / np.where(whole, first, 1)
        change = np.where(whole, 1e4 * np.log(moved), np.nan)
        root = flow[:, kernel.SIGNED_ROOT].copy()
        fit = self._fit(root, change)
        return {
            "ts_ns": view.ts_ns[bars[:, kernel.AT]],
            "signed_root": root,
            "return_bp": change,
            "hasbrouck_lambda": fit[:, kernel.SLOPE].copy(),
            "hasbrouck_se": fit[:, kernel.SE].copy(),
            "r2": fit[:, kernel.R2].copy(),
            "n_eff": fit[:, kernel.N_EFF].copy(),
            "side_source": np.full(root.size, self._bars.source, np.uint8),
        }


class Amihud(_BarFold):
    """Amihud's illiquidity: how far a million of notional moved the price, a row for each bar with a trade.

    The return runs from the last trade of the bar before (of the same session; else from the bar's first) to the last
    of this one. Notional is price times lots times multiplier, so that contracts and price levels compare.

    Parameters
    ----------
    bar_s
        Length of a bar in seconds (a day in the paper).
    half_life_bars
        After so many bars a bar has half its weight; 0 forgets none.

    References
    ----------
    Amihud, Y. (2002), Illiquidity and stock returns, Journal of Financial Markets 5:1.
    """

    name = "amihud"

    def __init__(self, instrument: Instrument, bar_s: float = 60.0, half_life_bars: float = 60.0) -> None:
        super().__init__(instrument, bar_s, half_life_bars, "venue")
        self._own = {"last": np.full(2, MISSING, np.int64), "mean": np.zeros(kernel.A_N)}

    def fold(self, view: View) -> Rows:
        """Return a row for each bar with a trade that was closed."""
        bars, flow = self._bars.fold(view)
        out = np.empty((bars.shape[0], 3))
        n = kernel.advance_amihud(bars, flow, self._decay, self._own["last"], self._own["mean"], out)
        at = out[:n, 0].astype(np.int64)
        return {
            "ts_ns": view.ts_ns[bars[at, kernel.AT]],
            "notional": flow[at, kernel.NOTIONAL],
            "amihud_bar": 1e6 * out[:n, 1],
            "amihud": 1e6 * out[:n, 2],
        }


def make_kyle(
    instrument: Instrument,
    instrument_id: int,
    *,
    bar_s: float = 10.0,
    half_life_bars: float = 360.0,
    side: str = "venue",
) -> FoldOperator:
    """Return Kyle's lambda as an operator of its own."""
    return FoldOperator(instrument, instrument_id, KyleLambda(instrument, bar_s, half_life_bars, side))


def make_hasbrouck(
    instrument: Instrument,
    instrument_id: int,
    *,
    bar_s: float = 10.0,
    half_life_bars: float = 360.0,
    side: str = "venue",
) -> FoldOperator:
    """Return Hasbrouck's lambda as an operator of its own."""
    return FoldOperator(instrument, instrument_id, HasbrouckLambda(instrument, bar_s, half_life_bars, side))


def make_amihud(
    instrument: Instrument, instrument_id: int, *, bar_s: float = 60.0, half_life_bars: float = 60.0
) -> FoldOperator:
    """Return Amihud's illiquidity as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Amihud(instrument, bar_s, half_life_bars))


_TRADED: Final = frozenset({"trades"})

register("kyle_lambda", make_kyle, columns=KYLE_COLUMNS, needs=_TRADED, also_needs=QUOTED)
register("hasbrouck_lambda", make_hasbrouck, columns=HASBROUCK_COLUMNS, needs=_TRADED, also_needs=QUOTED)
register("amihud", make_amihud, columns=AMIHUD_COLUMNS, needs=_TRADED)
