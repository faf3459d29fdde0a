"""Several trailing windows at once: what traded, at what price and on which side, and how the touch stood meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import QUOTED, FoldOperator, View
from tapebook.kernels import windows as kernel
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, PRICE_SCALE, Kind
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "WINDOWS_MS", "Windows", "make", "window_columns"]

WINDOWS_MS: Final = (1.0, 10.0, 100.0, 1000.0)
"""Milliseconds that each window looks back."""

_LONGEST_NS: Final = 1 << 42  # 73 minutes: as far as the sums stay exact
_RING_MIN: Final = 64
_FIGURES: Final = (
    ("vwap", "price", "volume-weighted mean price of the prints of the last {}; NaN without one"),
    ("spread_mean", "price", "time-weighted mean quoted spread over the last {}; NaN without a two-sided quote"),
    ("imbalance_mean", "-1 to 1", "time-weighted mean imbalance of the touch over the last {}; NaN without a touch"),
    ("bought_lots", "lots", "bought by aggressors in the last {}; NaN until a print names its aggressor"),
    ("sold_lots", "lots", "sold by aggressors in the last {}; NaN until a print names its aggressor"),
    ("trades_per_s", "1/s", "prints a second over the last {}; NaN before the first print"),
    ("quotes_per_s", "1/s", "changes of the touch (price or size) a second over the last {}; NaN before the first"),
)


def window_columns(windows_ns: Sequence[int]) -> tuple[Column, ...]:
    """Return the columns for given windows.

    >>> [c.name for c in window_columns([1_500_000])][:3]
    ['ts_ns', 'vwap_1500us', 'spread_mean_1500us']
    """
    made = [Column("ts_ns", "ns", "clock of the observable event")]
    for ns in windows_ns:
        word = _word(ns)
        made += [Column(f"{name}_{word}", unit, meaning.format(word)) for name, unit, meaning in _FIGURES]
    return tuple(made)


def _word(ns: int) -> str:
    """Return a span in the largest unit that holds it whole."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 1000)):
        if ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns"


COLUMNS = window_columns([round(ms * 1e6) for ms in WINDOWS_MS])


class Windows:
    """VWAP, mean spread and imbalance, bought and sold volume, and rates, over several trailing windows ``(t - w, t]``.

    A row for each observable event (the last record of a message), the event included. ``t`` is the steady clock.
    All columns of a window are NaN until it has been filled once since the tape began, or since its clock was set back.
    Sums are integers that what leaves is subtracted from: they never drift.

    Windows know no sessions: time in which the market does not trade, or without a two-sided quote, has no weight in
    the mean spread (likewise the mean imbalance); prints without an aggressor count in VWAP and rate only. A size above
    2**40 lots, or a price beyond 1.15e9, is passed over as damage. Imbalances are kept to 4e-12.

    Parameters
    ----------
    windows_ms
        How far each window looks back, up to 73 minutes.

    References
    ----------
    Berkowitz, S., Logue, D. and Noser, E. (1988), The total cost of transactions on the NYSE, Journal of Finance 43:1
    (VWAP). McInish, T. and Wood, R. (1992), Journal of Finance 47:2 (spreads weighted by time).

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> quotes = [(100 * euro, 3, 101 * euro, 1), (100 * euro, 1, 103 * euro, 1), (100 * euro, 1, 103 * euro, 2)]
    >>> rows = Windows(windows_ms=(2000.0,)).fold(view_of(quotes))
    >>> rows["spread_mean_2s"].tolist(), rows["imbalance_mean_2s"].tolist(), rows["quotes_per_s_2s"].tolist()
    ([nan, nan, 2.0], [nan, nan, 0.25], [nan, nan, 1.0])
    """

    def __init__(self, *, windows_ms: Sequence[float] = WINDOWS_MS) -> None:
        windows_ns = [round(ms * 1e6) if 0 < ms < 1e9 else 0 for ms in windows_ms]
        if (
            not windows_ns
            or min(windows_ns) < 1
            or max(windows_ns) > _LONGEST_NS
            or len({*windows_ns}) < len(windows_ns)
        ):
            raise ConfigurationError(
                "windows cannot be so",
                expected="different windows of 1 ns to 73 minutes",
                found=repr(tuple(windows_ms)),
                where="windows_ms",
            )
        self.columns = window_columns(windows_ns)
        self._windows_ns = np.array(windows_ns, np.int64)
        self._marks = np.zeros(kernel.N_MARKS, np.int64)
        self._marks[[kernel.NOW, kernel.FIRST]] = MISSING
        self._sums = np.zeros((len(windows_ns), kernel.N_SUMS), np.int64)
        self._trades = np.zeros((_RING_MIN, kernel.N_TRADE), np.int64)
        self._segments = np.zeros((_RING_MIN, kernel.N_SEGMENT), np.int64)

    def fold(self, view: View) -> Rows:
        """Return the aggregates at each observable event."""
        self._make_room(int(np.count_nonzero(view.events["kind"] == Kind.TRADE)), view.n)
        at = np.empty(view.n, np.int64)
        out = np.empty((view.n, self._windows_ns.size, kernel.N_OUT))
        n = kernel.advance_windows(
            view.events,
            view.clock_ns,
            view.trading,
            view.bid_px,
            view.bid_sz,
            view.ask_px,
            view.ask_sz,
            self._windows_ns,
            self._marks,
            self._sums,
            self._trades,
            self._segments,
            at,
            out,
        )
        out = out[:n]
        out[:, :, [kernel.VWAP, kernel.SPREAD_MEAN]] /= PRICE_SCALE
        flat = np.ascontiguousarray(out.reshape(n, len(self.columns) - 1).T)
        rows: Rows = {"ts_ns": view.ts_ns[at[:n]]}
        return rows | {column.name: flat[k] for k, column in enumerate(self.columns[1:])}

    def _make_room(self, n_trades: int, n_events: int) -> None:
        """Let the rings hold what waits and a block more; their size is no part of the memory's meaning."""
        trades, segments = self._waiting()
        if trades.shape[0] + n_trades > self._trades.shape[0]:
            self._trades = _ring(trades, trades.shape[0] + n_trades)
            self._shift(kernel.TRADES_END, kernel.TRADE_HEAD)
        # A change of the touch and one of trading make one segment; an event at which the clock stands anew, one more.
        if segments.shape[0] + 2 * n_events + 2 > self._segments.shape[0]:
            self._segments = _ring(segments, segments.shape[0] + 2 * n_events + 2)
            self._shift(kernel.SEGMENTS_END, kernel.SEGMENT_HEAD)

    def _shift(self, end: int, head: int) -> None:
        """Count places in a ring from the first that still waits."""
        first = self._sums[:, head].min()
        self._sums[:, head] -= first
        self._marks[end] -= first

    def _waiting(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found = []
        for ring, end, head in (
            (self._trades, kernel.TRADES_END, kernel.TRADE_HEAD),
            (self._segments, kernel.SEGMENTS_END, kernel.SEGMENT_HEAD),
        ):
            places = np.arange(self._sums[:, head].min(), self._marks[end])
            found.append(ring[places & (ring.shape[0] - 1)])
        return found[0], found[1]

    def save(self) -> State:
        """Return a copy of the memory: what waits to leave a window, and the sums."""
        trades, segments = self._waiting()
        marks, sums = self._marks.copy(), self._sums.copy()
        for end, head in (
            (kernel.TRADES_END, kernel.TRADE_HEAD),
            (kernel.SEGMENTS_END, kernel.SEGMENT_HEAD),
        ):
            first = sums[:, head].min()
            sums[:, head] -= first
            marks[end] -= first
        windows_ns = self._windows_ns.copy()
        return {"windows_ns": windows_ns, "marks": marks, "sums": sums, "trades": trades, "segments": segments}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        like = {"windows_ns": self._windows_ns, "marks": self._marks, "sums": self._sums}
        check_state(state, like | {"trades": self._trades, "segments": self._segments}, "windows")
        if not np.array_equal(state["windows_ns"], self._windows_ns):
            raise OperatorError(
                "windows: saved with other windows",
                expected=f"{self._windows_ns.tolist()} ns",
                found=f"{state['windows_ns'].tolist()} ns",
                remedy="restore with the windows it was saved with",
            )
        self._marks, self._sums = state["marks"].copy(), state["sums"].copy()
        self._trades, self._segments = _ring(state["trades"], 0), _ring(state["segments"], 0)


def _ring(waiting: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    """Return a ring of a power of two places with ``waiting`` at its beginning."""
    size = _RING_MIN
    while size < max(room, waiting.shape[0]):
        size *= 2
    ring = np.zeros((size, waiting.shape[1]), np.int64)
    ring[: waiting.shape[0]] = waiting
    return ring


def make(instrument: Instrument, instrument_id: int, *, windows_ms: Sequence[float] = WINDOWS_MS) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, Windows(windows_ms=windows_ms))


register("windows", make, columns=COLUMNS, needs=QUOTED, also_needs=frozenset({"trades"}))
