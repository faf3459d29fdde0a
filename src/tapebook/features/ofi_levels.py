"""Order-flow imbalance beyond the best prices: every level, all levels as one, and every level crossed.

What they explain of the mid's move, on recordings: ``docs/order-flow.md``. All follow the rules of
:mod:`tapebook.features.ofi`: what stands after a break, a locked or crossed book or a stop of trading has nothing to be
compared with (NaN), and a side that vanishes counts as a price infinitely far away with size 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.depth import LEVELS_MAX, DepthOperator, DepthView
from tapebook.kernels import ofi_levels as kernel
from tapebook.kernels.ofi import N_STATE
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = [
    "OfiGeneralised",
    "OfiIntegrated",
    "OfiLevels",
    "level_columns",
    "make_generalised",
    "make_integrated",
    "make_levels",
]

Floats = NDArray[np.float64]

_DEEP: Final = frozenset({"levels", "orders"})


def level_columns(levels: int) -> tuple[Column, ...]:
    """Return the columns of :class:`OfiLevels`."""
    flows = (
        Column(
            f"ofi_{m:02d}", "lots", f"flow into bid level {m} and out of ask level {m}, less the opposite", flow=True
        )
        for m in range(1, levels + 1)
    )
    return (Column("ts_ns", "ns", "clock of the event that changed a level"), *flows)


class OfiLevels:
    """Order-flow imbalance at every level, a row for each change of a level in view.

    Level ``m`` is compared with level ``m``: a move of the best price shifts all levels and counts at each of them. The
    levels of one book move together, so what is fitted on them wants a penalty (ridge) or their first principal
    component (:class:`OfiIntegrated`). A level that neither side has is NaN; ``ofi_01`` is the feature ``ofi``.

    Parameters
    ----------
    levels
        How deep.

    References
    ----------
    Xu, K., Gould, M. and Howison, S. (2019), Multi-level order-flow imbalance in a limit order book, Market
    Microstructure and Liquidity 4:3-4.

    Examples
    --------
    >>> from tapebook.features.depth import depth_view_of
    >>> books = [([(99, 5), (98, 7)], [(101, 4), (102, 6)]), ([(100, 2), (99, 5)], [(101, 4), (102, 1)])]
    >>> rows = OfiLevels(levels=2).fold(depth_view_of(books))
    >>> rows["ofi_01"].tolist(), rows["ofi_02"].tolist()
    ([nan, 2.0], [nan, 10.0])
    """

    def __init__(self, *, levels: int = 10) -> None:
        _check_levels(levels)
        self.levels = levels
        self.columns = level_columns(levels)
        self._state = np.zeros(N_STATE, np.int64)

    def flows(self, view: DepthView) -> Floats:
        """Return the flow of each change at each level, (levels, changes)."""
        _check_view(view, self.levels)
        at = view.at
        out = np.empty((self.levels, at.size))
        kernel.advance_ofi_levels(view.books, view.which, at, view.thread, view.trading, self.levels, self._state, out)
        return out

    def fold(self, view: DepthView) -> Rows:
        """Return the flow of each change."""
        flows = self.flows(view)
        return {"ts_ns": view.ts_ns[view.at]} | {f"ofi_{m + 1:02d}": flows[m] for m in range(self.levels)}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state}, "ofi_levels")
        self._state = state["state"].copy()


GENERALISED_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed a level"),
    Column("gofi_lots", "lots", "flow into the bids and out of the asks that the best price crossed", flow=True),
    Column("gofi_log", "ln lots", "the same with ln(1 + lots) of each level in place of its lots", flow=True),
)


class OfiGeneralised:
    """Order-flow imbalance that counts every level that the best price crossed, a row for each change of a level.

    ``count="net"``: what stands at the worse of the old and the new best price or better, after less before. Where the
    best price moves by one level and nothing else changes, this is the flow of Cont, Kukanov and Stoikov; where it
    jumps, because a source conflates, all that came or went on the way counts. ``count="gross"``: on a move, all that
    stands between old and new best, both included, with nothing taken off.

    The text of the paper that could be read says that the sum runs over all levels at or beyond the best price of the
    other moment, whenever the best price changed, and that the logarithm is taken of each quantity; its formulas could
    not be read (they are pictures), so ``gross`` is our reading of it. NaN where the price moves further than the view
    reaches, whose levels then are not all known.

    Parameters
    ----------
    levels
        How many levels of a side to see.
    count
        ``net`` or ``gross``.

    References
    ----------
    Su, Y., Sun, Z., Li, J. and Yuan, X. (2021), The price impact of generalized order flow imbalance, arXiv 2112.02947.

    Examples
    --------
    >>> from tapebook.features.depth import depth_view_of
    >>> books = [([(97, 5)], [(101, 4)]), ([(99, 2), (98, 3), (97, 5)], [(101, 4)])]
    >>> view = depth_view_of(books)
    >>> OfiGeneralised(levels=3).fold(view)["gofi_lots"].tolist()
    [nan, 5.0]
    >>> OfiGeneralised(levels=3, count="gross").fold(view)["gofi_lots"].tolist()
    [nan, 10.0]
    """

    def __init__(self, *, levels: int = 10, count: str = "net") -> None:
        _check_levels(levels)
        if count not in ("net", "gross"):
            raise ConfigurationError("count of a generalised flow", expected="net or gross", found=count)
        self.levels = levels
        self._gross = count == "gross"
        self._state = np.zeros(N_STATE, np.int64)

    def fold(self, view: DepthView) -> Rows:
        """Return the flow of each change."""
        _check_view(view, self.levels)
        at = view.at
        out = np.empty((2, at.size))
        kernel.advance_generalised(
            view.books,
            view.which,
            at,
            view.thread,
            view.trading,
            self.levels,
            self._gross,
            self._state,
            out,
        )
        return {"ts_ns": view.ts_ns[at], "gofi_lots": out[0], "gofi_log": out[1]}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state}, "ofi_generalised")
        self._state = state["state"].copy()


INTEGRATED_COLUMNS = (
    Column("ts_ns", "ns", "end of the interval"),
    Column("ofi_integrated", "average depths", "flow of all levels along the first component of the intervals before"),
    Column("ofi_first_share", "0 to 1", "share of that component in the variance of the levels so far"),
    Column("ofi_depth_lots", "lots", "average size of a level at the changes of the interval, missing levels as 0"),
)


class OfiIntegrated:
    """All levels' flow as one number: the first principal component, learnt from the intervals before.

    The flow of each level over an interval is divided by the interval's average depth of a level, and weighted by the
    first component of an exponentially weighted covariance of *earlier* intervals (one step of the power iteration an
    interval), the weights' absolute values adding up to 1 and their sum above zero. A row for each interval in which a
    level changed, once a later change shows that it is over; NaN until ``warm_intervals`` have been learnt from, and
    where the thread broke in the interval.

    Parameters
    ----------
    levels
        How deep.
    interval_s
        Length of an interval; intervals lie on multiples of it since 1970 and hold their beginning, not their end.
    half_life_s
        How long the covariance remembers, in time with changes.
    warm_intervals
        Intervals to learn from before the first value.

    References
    ----------
    Cont, R., Cucuringu, M. and Zhang, C. (2023), Cross-impact of order flow imbalance in equity markets, Quantitative
    Finance 23:10 (arXiv 2112.13213).

    Examples
    --------
    >>> OfiIntegrated(levels=5, interval_s=10).levels
    5
    """

    def __init__(
        self, *, levels: int = 10, interval_s: float = 10.0, half_life_s: float = 3600.0, warm_intervals: int = 30
    ) -> None:
        _check_levels(levels)
        if not (1e-3 <= interval_s <= 86_400 and half_life_s > 0 and warm_intervals >= 2):
            raise ConfigurationError(
                "a parameter of ofi_integrated",
                expected="interval_s 0.001 to 86400, half_life_s above 0, warm_intervals 2 or more",
                found=f"{interval_s}, {half_life_s}, {warm_intervals}",
            )
        self.levels = levels
        self._interval_ns = round(interval_s * 1e9)
        self._forget = float(-np.expm1(-np.log(2) * interval_s / half_life_s))
        self._warm = warm_intervals
        self._flows = OfiLevels(levels=levels)
        self._marks = np.zeros(kernel.N_MARKS, np.int64)
        self._sums, self._mean = np.zeros(levels + 1), np.zeros(levels)
        self._cov = np.zeros((levels, levels))
        self._weight = np.full(levels, 1.0 / np.sqrt(levels))

    @property
    def weights(self) -> Floats:
        """The weights of the levels as learnt so far."""
        w: Floats = self._weight / np.abs(self._weight).sum()
        return w

    def fold(self, view: DepthView) -> Rows:
        """Return the rows of the intervals that are over."""
        flow = self._flows.flows(view)
        at = view.at
        ts, out = np.empty(at.size, np.int64), np.empty((at.size, 3))
        n = kernel.advance_integrated(
            view.clock_ns[at],
            view.books,
            view.after,
            flow,
            self._interval_ns,
            self._forget,
            self._warm,
            self._marks,
            self._sums,
            self._mean,
            self._cov,
            self._weight,
            np.empty(self.levels),
            ts,
            out,
        )
        return {"ts_ns": ts[:n]} | {c.name: out[:n, i].copy() for i, c in enumerate(INTEGRATED_COLUMNS[1:])}

    def _memory(self) -> State:
        return {
            "marks": self._marks,
            "sums": self._sums,
            "mean": self._mean,
            "cov": self._cov,
            "weight": self._weight,
        }

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in (self._memory() | self._flows.save()).items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._memory(), "ofi_integrated")
        if state["cov"].shape != self._cov.shape:
            raise OperatorError(
                "ofi_integrated: other levels", expected=str(self._cov.shape), found=str(state["cov"].shape)
            )
        self._flows.restore(state)
        self._marks, self._sums, self._mean = (state[name].copy() for name in ("marks", "sums", "mean"))
        self._cov, self._weight = state["cov"].copy(), state["weight"].copy()


def _check_levels(levels: int) -> None:
    if not 1 <= levels <= LEVELS_MAX:
        raise ConfigurationError("levels of a side", expected=f"1 to {LEVELS_MAX}", found=str(levels))


def _check_view(view: DepthView, levels: int) -> None:
    if view.n_levels != levels:
        raise OperatorError(
            "the feed sees another depth",
            expected=f"{levels} levels",
            found=str(view.n_levels),
            remedy="give feed and feature the same levels",
        )


def make_levels(instrument: Instrument, instrument_id: int, *, levels: int = 10) -> DepthOperator:
    """Return :class:`OfiLevels` as an operator of its own."""
    return DepthOperator(instrument, instrument_id, OfiLevels(levels=levels), levels=levels)


def make_generalised(
    instrument: Instrument, instrument_id: int, *, levels: int = 10, count: str = "net"
) -> DepthOperator:
    """Return :class:`OfiGeneralised` as an operator of its own."""
    return DepthOperator(instrument, instrument_id, OfiGeneralised(levels=levels, count=count), levels=levels)


def make_integrated(
    instrument: Instrument,
    instrument_id: int,
    *,
    levels: int = 10,
    interval_s: float = 10.0,
    half_life_s: float = 3600.0,
    warm_intervals: int = 30,
) -> DepthOperator:
    """Return :class:`OfiIntegrated` as an operator of its own."""
    fold = OfiIntegrated(levels=levels, interval_s=interval_s, half_life_s=half_life_s, warm_intervals=warm_intervals)
    return DepthOperator(instrument, instrument_id, fold, levels=levels)


register("ofi_levels", make_levels, columns=level_columns(10), needs=_DEEP)
register("ofi_generalised", make_generalised, columns=GENERALISED_COLUMNS, needs=_DEEP)
register("ofi_integrated", make_integrated, columns=INTEGRATED_COLUMNS, needs=_DEEP)
