"""Which way the trades of the last while went, and how long their signs remember.

Signs of trades stay correlated for thousands of trades, because large orders are worked in pieces (Lillo and Farmer
2004); the shape of that memory is fitted in :mod:`tapebook.research.trade_signs`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.classification import rule_of, source_of, tick_memory
from tapebook.features.touch import FoldOperator, View
from tapebook.kernels import trade_signs as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["IMBALANCE_COLUMNS", "LAGS", "MEMORY_COLUMNS", "SignMemory", "TradeImbalance"]

LAGS: Final = (1, 2, 5, 10, 20, 50)
"""Lags, in trades, at which the memory of signs is told."""

_SOURCE: Final = Column("side_source", "code", "who says which side the aggressor was on (see SideSource)")
IMBALANCE_COLUMNS = (
    Column("ts_ns", "ns", "clock of the trade"),
    Column(
        "imbalance_volume", "-1..1", "bought less sold over bought plus sold, in lots, in the window; NaN with none"
    ),
    Column("imbalance_count", "-1..1", "the same of the number of prints"),
    Column("imbalance_root", "-1..1", "the same of the roots of their sizes"),
    Column("volume_lots", "lots", "bought plus sold in the window"),
    Column("trades", "", "prints with a side in the window"),
    Column("unknown_lots", "lots", "of prints without a side in the window: in no imbalance"),
    _SOURCE,
)
MEMORY_COLUMNS = (
    Column("ts_ns", "ns", "clock of the trade"),
    Column("sign_mean", "-1..1", "mean sign with weights that forget; NaN below a hundred prints"),
    *(
        Column(f"sign_ac_{lag}", "-1..1", f"autocorrelation of the signs at lag {lag}; NaN below a hundred pairs")
        for lag in LAGS
    ),
    _SOURCE,
)

_RING_MIN: Final = 64


class TradeImbalance:
    """Trade imbalance over a window of time, a row for each print.

    The window is half open: a print leaves it ``window_s`` after it came. A new session starts with an empty window.
    Crosses, off-book prints and prints outside continuous trading do not count.

    Parameters
    ----------
    window_s
        Length of the window in seconds.
    side
        Whose side a print has: ``venue``, ``tick``, ``quote``, ``lee_ready``, ``emo``, ``clnv``.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> view = view_of([(100, 5, 102, 5)] * 3)
    >>> view.events["kind"], view.events["price"] = Kind.TRADE, 101
    >>> view.events["qty_lots"], view.events["side"] = [4, 4, 12], [1, -1, 1]
    >>> TradeImbalance(window_s=2.0).fold(view)["imbalance_volume"].tolist()
    [1.0, 0.0, 0.5]
    """

    def __init__(self, window_s: float = 10.0, side: str = "venue") -> None:
        if window_s <= 0:
            raise ConfigurationError("bad window", expected="window_s above 0", found=str(window_s))
        self._window_ns = max(round(window_s * 1e9), 1)
        self._rule, self._source = rule_of(side), source_of(side)
        self._tick = tick_memory()
        self._sums = np.zeros(kernel.I_N, np.int64)
        self._sums[kernel.SESSION] = MISSING
        self._ring = np.zeros((_RING_MIN, kernel.R_N), np.int64)

    def fold(self, view: View) -> Rows:
        """Return the imbalance after each print."""
        prints = int(np.count_nonzero(view.events["kind"] == Kind.TRADE))
        self._make_room(prints)
        at, out = np.empty(prints, np.int64), np.empty((prints, 7), np.int64)
        n = kernel.advance_trade_imbalance(
            view.events,
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.ask_px,
            view.thread,
            self._rule,
            self._window_ns,
            self._tick,
            self._sums,
            self._ring,
            at,
            out,
        )
        count, signed, lots, signed_lots, root, signed_root, unknown = out[:n].T
        return {
            "ts_ns": view.ts_ns[at[:n]],
            "imbalance_volume": _ratio(signed_lots, lots),
            "imbalance_count": _ratio(signed, count),
            "imbalance_root": _ratio(signed_root, root),
            "volume_lots": lots.copy(),
            "trades": count.copy(),
            "unknown_lots": unknown.copy(),
            "side_source": np.full(n, self._source, np.uint8),
        }

    def _make_room(self, n: int) -> None:
        """Let the ring hold what is in the window and ``n`` prints more; its size means nothing."""
        need = int(self._sums[kernel.LAST] - self._sums[kernel.FIRST]) + n
        if need > self._ring.shape[0]:
            self._set(self._inside(), need)

    def _inside(self) -> NDArray[np.int64]:
        places = np.arange(self._sums[kernel.FIRST], self._sums[kernel.LAST]) & (self._ring.shape[0] - 1)
        inside: NDArray[np.int64] = self._ring[places]
        return inside

    def _set(self, inside: NDArray[np.int64], need: int) -> None:
        capacity = _RING_MIN
        while capacity < need:
            capacity *= 2
        self._ring = np.zeros((capacity, kernel.R_N), np.int64)
        self._ring[: inside.shape[0]] = inside
        self._sums[[kernel.FIRST, kernel.LAST]] = 0, inside.shape[0]

    def save(self) -> State:
        """Return a copy of the memory: the prints inside the window, and the sums over them."""
        sums = self._sums.copy()
        sums[[kernel.FIRST, kernel.LAST]] = 0, sums[kernel.LAST] - sums[kernel.FIRST]
        return {"sums": sums, "inside": self._inside().copy(), "tick": self._tick.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"sums": self._sums, "inside": self._ring, "tick": self._tick}, "trade imbalance")
        self._sums, self._tick = state["sums"].copy(), state["tick"].copy()
        self._set(state["inside"], state["inside"].shape[0])


def _ratio(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = above / np.where(below > 0, below, np.nan)
    return ratio


class SignMemory:
    """Autocorrelation of trade signs at a few lags, counted in trades, a row for each print with a side.

    No pair of prints reaches over a session. Fills of one order are prints of their own, and of one sign: part of the
    memory at short lags is theirs.

    Parameters
    ----------
    half_life_trades
        After so many prints a pair has half its weight.
    side
        Whose side a print has: ``venue``, ``tick``, ``quote``, ``lee_ready``, ``emo``, ``clnv``.

    References
    ----------
    Lillo, F. and Farmer, J. D. (2004), The long memory of the efficient market, Studies in Nonlinear Dynamics and
    Econometrics 8:3.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> view = view_of([(100, 5, 102, 5)] * 200)
    >>> view.events["kind"], view.events["price"], view.events["qty_lots"] = Kind.TRADE, 101, 1
    >>> view.events["side"] = [1, -1] * 100
    >>> rows = SignMemory().fold(view)
    >>> rows["sign_ac_1"][-1].round(2), rows["sign_ac_2"][-1].round(2)
    (np.float64(-1.0), np.float64(1.0))
    """

    def __init__(self, half_life_trades: float = 2000.0, side: str = "venue") -> None:
        if half_life_trades <= 0:
            raise ConfigurationError("bad half-life", expected="half_life_trades above 0", found=str(half_life_trades))
        self._decay = 0.5 ** (1 / half_life_trades)
        self._rule, self._source = rule_of(side), source_of(side)
        self._memory: State = {
            "tick": tick_memory(),
            "ints": np.array([MISSING, 0], np.int64),
            "ring": np.zeros(max(LAGS) + 1, np.int64),
            "means": np.zeros((len(LAGS) + 1, 3)),
        }

    def fold(self, view: View) -> Rows:
        """Return the memory of signs after each print with a side."""
        at, out = np.empty(view.n, np.int64), np.empty((view.n, len(LAGS) + 1))
        m = self._memory
        n = kernel.advance_sign_memory(
            view.events,
            view.session,
            view.trading,
            view.bid_px,
            view.ask_px,
            view.thread,
            self._rule,
            self._decay,
            np.array(LAGS, np.int64),
            m["tick"],
            m["ints"],
            m["ring"],
            m["means"],
            at,
            out,
        )
        rows: Rows = {"ts_ns": view.ts_ns[at[:n]], "sign_mean": out[:n, 0].copy()}
        rows |= {f"sign_ac_{lag}": out[:n, k + 1].copy() for k, lag in enumerate(LAGS)}
        return rows | {"side_source": np.full(n, self._source, np.uint8)}

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: array.copy() for name, array in self._memory.items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._memory, "sign memory")
        self._memory = {name: state[name].copy() for name in self._memory}


def make_imbalance(
    instrument: Instrument, instrument_id: int, *, window_s: float = 10.0, side: str = "venue"
) -> FoldOperator:
    """Return the trade imbalance as an operator of its own."""
    return FoldOperator(instrument, instrument_id, TradeImbalance(window_s, side))


def make_memory(
    instrument: Instrument, instrument_id: int, *, half_life_trades: float = 2000.0, side: str = "venue"
) -> FoldOperator:
    """Return the memory of signs as an operator of its own."""
    return FoldOperator(instrument, instrument_id, SignMemory(half_life_trades, side))


_TRADED: Final = frozenset({"trades"})

register("trade_imbalance", make_imbalance, columns=IMBALANCE_COLUMNS, needs=_TRADED)
register("sign_memory", make_memory, columns=MEMORY_COLUMNS, needs=_TRADED)
