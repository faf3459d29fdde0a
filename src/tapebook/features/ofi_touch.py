"""Best-level order-flow imbalance on other scales: damped by depth, in logarithms, and by what caused it.

All follow the rules of :mod:`tapebook.features.ofi`: what stands after a break, a locked or crossed book or a stop of
trading has nothing to be compared with (NaN), and a side that vanishes counts as a price infinitely far away with size
0.
"""

from __future__ import annotations

import numpy as np

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import ofi_touch as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["OfiDecomposed", "OfiLog", "make_decomposed", "make_log"]


class _TouchFlow:
    """What :class:`OfiLog` and :class:`OfiDecomposed` share: one pass over the touch."""

    names: tuple[tuple[str, int], ...] = ()

    def __init__(self, *, depth_half_life_s: float = 60.0) -> None:
        if not depth_half_life_s > 0:
            raise ConfigurationError("depth_half_life_s", expected="seconds above zero", found=str(depth_half_life_s))
        self._tau_ns = depth_half_life_s * 1e9 / np.log(2)
        self._state = np.zeros(kernel.N_STATE, np.int64)
        self._depth = np.zeros(1)

    def fold(self, view: View) -> Rows:
        """Return the flows of each change of the touch."""
        at, out = np.empty(view.n, np.int64), np.empty((5, view.n))
        n = kernel.advance_touch_flow(
            view.events["kind"],
            view.events["flags"],
            view.clock_ns,
            view.bid_px,
            view.bid_sz,
            view.ask_px,
            view.ask_sz,
            view.thread,
            view.trading,
            self._tau_ns,
            self._state,
            self._depth,
            at,
            out,
        )
        return {"ts_ns": view.ts_ns[at[:n]]} | {name: out[row, :n] for name, row in self.names}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"state": self._state.copy(), "depth": self._depth.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"state": self._state, "depth": self._depth}, "ofi")
        self._state, self._depth = state["state"].copy(), state["depth"].copy()


LOG_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column("ofi_slog", "1", "sign(e) ln(1 + |e| / average depth) of the best-level flow e", flow=True),
    Column("ofi_log", "ln lots", "best-level flow with ln(1 + lots) in place of lots", flow=True),
)


class OfiLog(_TouchFlow):
    """Best-level order-flow imbalance, damped: huge orders and thin markets count on one scale.

    ``ofi_slog`` measures each flow by the average depth (half the sum of both best sizes, weighted by time) that stood
    before it; ``ofi_log`` is the flow of the logarithms ("stationarised").

    Parameters
    ----------
    depth_half_life_s
        How long the average depth remembers.

    References
    ----------
    Cont, R., Kukanov, A. and Stoikov, S. (2014), The price impact of order book events, Journal of Financial
    Econometrics 12:1. Su et al. (2021), arXiv 2112.02947, section 2.1, for the flow of logarithms.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> rows = OfiLog().fold(view_of([(100, 10, 101, 10), (100, 20, 101, 10)]))
    >>> rows["ofi_slog"].round(4).tolist(), rows["ofi_log"].round(4).tolist()
    ([nan, 0.6931], [nan, 0.6466])
    """

    names = (("ofi_slog", 0), ("ofi_log", 1))


DECOMPOSED_COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that changed the touch"),
    Column("ofi_adds_lots", "lots", "flow from what joined: bids less asks", flow=True),
    Column("ofi_cancels_lots", "lots", "flow from what left in a message without a trade: asks less bids", flow=True),
    Column("ofi_trades_lots", "lots", "flow from what left in a message with a trade: asks less bids", flow=True),
)


class OfiDecomposed(_TouchFlow):
    """Best-level order-flow imbalance by what caused it; the three columns add up to the feature ``ofi``.

    What joins the best level of a side (or betters its price) is an add; what leaves it is a trade if the venue's
    message traded, else a cancel. A modification counts by what it did to the level. The tape must carry orders: where
    trades and levels come in messages of their own, every trade would count as a cancel.

    References
    ----------
    Sitaru, B., Calinescu, A. and Cucuringu, M. (2023), Order flow decomposition for price impact analysis in equity
    limit order books, ICAIF.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> rows = OfiDecomposed().fold(view_of([(100, 10, 101, 8), (100, 15, 101, 6)]))
    >>> [rows[name].tolist()[1] for name in ("ofi_adds_lots", "ofi_cancels_lots", "ofi_trades_lots")]
    [5.0, 2.0, 0.0]
    """

    names = (("ofi_adds_lots", 2), ("ofi_cancels_lots", 3), ("ofi_trades_lots", 4))

    def __init__(self) -> None:
        super().__init__()


def make_log(instrument: Instrument, instrument_id: int, *, depth_half_life_s: float = 60.0) -> FoldOperator:
    """Return :class:`OfiLog` as an operator of its own."""
    return FoldOperator(instrument, instrument_id, OfiLog(depth_half_life_s=depth_half_life_s))


def make_decomposed(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return :class:`OfiDecomposed` as an operator of its own."""
    return FoldOperator(instrument, instrument_id, OfiDecomposed())


register("ofi_log", make_log, columns=LOG_COLUMNS, needs=QUOTED)
register("ofi_decomposed", make_decomposed, columns=DECOMPOSED_COLUMNS, needs=frozenset({"orders"}))
