"""Bars for features that live on a clock of their own: an interval of time, or a number of trades.

:class:`BarClock` turns views into bars; :class:`BarFold` is a feature that needs nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import View
from tapebook.kernels import bar_clock as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.operators import Column, Rows, State, check_state

__all__ = ["PAUSE_BARS", "BarClock", "BarFold", "ClockBars"]

PAUSE_BARS: Final = 3600
"""After so many intervals without an event, bars begin afresh."""


class ClockBars(NamedTuple):
    """Closed bars, a row each; prices in price units.

    Attributes
    ----------
    ts_ns
        End of the interval; of bars by trades the clock of the print that closed it.
    close, high, low
        Of the mid: the last observable two-sided one, and its range while the bar was open, the mid at its beginning
        included.
    volume
        Lots traded; NaN until anything has traded since the bars began.
    trades
        How many prints.
    reference
        The session's first mid.
    age
        Bars since they began afresh: 0 where nothing that came before may be compared with.
    """

    ts_ns: NDArray[np.int64]
    close: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    volume: NDArray[np.float64]
    trades: NDArray[np.float64]
    reference: NDArray[np.float64]
    age: NDArray[np.int64]

    def part(self, rows: slice) -> ClockBars:
        """Return some of the bars."""
        return ClockBars(
            self.ts_ns[rows],
            self.close[rows],
            self.high[rows],
            self.low[rows],
            self.volume[rows],
            self.trades[rows],
            self.reference[rows],
            self.age[rows],
        )

    def spells(self) -> Iterator[tuple[slice, bool]]:
        """Return the stretches of bars that belong together, and whether each begins afresh."""
        edges = np.flatnonzero(self.age == 0).tolist()
        starts = edges if edges and edges[0] == 0 else [0, *edges]
        for start, stop in zip(starts, [*starts[1:], self.age.size], strict=True):
            if start < stop:
                yield slice(start, stop), bool(self.age[start] == 0)


class BarClock:
    """Turns views into bars of the mid, for one instrument.

    Bars are aligned to multiples of ``bar_s`` since 1970 on the steady clock. An interval closes with the first event
    at or past its end, before that event counts; one without events carries the mid. Bars begin afresh, with the first
    observable mid, after a new session, a break of the thread, a clock put back, and a pause of more than 3600 bars.

    Parameters
    ----------
    bar_s
        Seconds of an interval.
    bar_trades
        Close a bar by the number of prints instead; 0: by time.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> clock = BarClock(bar_s=2.0)
    >>> euro = 1_000_000_000
    >>> bars = clock.read(view_of([(m * euro, 1, (m + 2) * euro, 1) for m in (9, 10, 11, 14)]))
    >>> bars.ts_ns.tolist(), bars.close.tolist(), bars.high.tolist(), bars.volume.tolist()
    ([2000000000], [11.0], [11.0], [nan])
    """

    def __init__(self, *, bar_s: float = 1.0, bar_trades: int = 0, pause_bars: int = PAUSE_BARS) -> None:
        if not 1e-6 <= bar_s <= 86_400.0:
            raise ConfigurationError(
                "bar length cannot be so", expected="1e-6 to 86400 seconds", found=repr(bar_s), where="bar_s"
            )
        if bar_trades < 0:
            raise ConfigurationError(
                "bar length cannot be so",
                expected="trades in a bar, 0 for bars by time",
                found=repr(bar_trades),
                where="bar_trades",
            )
        self.bar_ns = 0 if bar_trades else round(bar_s * 1e9)
        self._bar_trades = bar_trades
        self._pause_bars = pause_bars
        self._marks = np.zeros(kernel.MARKS_N, np.int64)
        self._marks[[kernel.SESSION, kernel.REFERENCE_SESSION]] = MISSING
        self._sums = np.zeros(kernel.B_AGE, np.float64)

    def read(self, view: View) -> ClockBars:
        """Fold a view and return the bars that it closed."""
        events = view.events
        kind, price, qty, detail = (events[name] for name in ("kind", "price", "qty_lots", "detail"))
        room = view.n + self._pause_bars + 1
        n_out = np.zeros(1, np.int64)
        ends_parts, bars_parts = [], []
        start = 0
        while True:
            ends, bars = np.empty(room, np.int64), np.empty((room, kernel.B_N), np.float64)
            start = kernel.read_bars(
                kind,
                price,
                qty,
                detail,
                view.clock_ns, view.session, view.trading, view.bid_px, view.ask_px, view.thread,
                self.bar_ns, self._bar_trades, self._pause_bars,
                self._marks, self._sums, start, ends, bars, n_out,
            )  # fmt: skip
            ends_parts.append(ends[: n_out[0]].copy())
            bars_parts.append(bars[: n_out[0]].T.copy())
            if start == view.n:
                break
        rows = bars_parts[0] if len(bars_parts) == 1 else np.concatenate(bars_parts, axis=1)
        return ClockBars(
            ends_parts[0] if len(ends_parts) == 1 else np.concatenate(ends_parts),
            rows[kernel.CLOSE] / PRICE_SCALE,
            rows[kernel.HIGH] / PRICE_SCALE,
            rows[kernel.LOW] / PRICE_SCALE,
            rows[kernel.VOLUME],
            rows[kernel.TRADES],
            rows[kernel.REFERENCE] / PRICE_SCALE,
            rows[kernel.B_AGE].astype(np.int64),
        )

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"marks": self._marks.copy(), "sums": self._sums.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"marks": self._marks, "sums": self._sums}, "bar clock")
        self._marks, self._sums = state["marks"].copy(), state["sums"].copy()


class BarFold(ABC):
    """A feature of the bars of a :class:`BarClock`: a row for each bar.

    A feature of this sort says how it takes the bars of one spell (:meth:`fold_spell`); its memory is the arrays in
    ``memory``, which are all zeros wherever bars begin afresh. ``names`` are its columns after ``ts_ns``.
    """

    def __init__(self, columns: tuple[Column, ...], *, bar_s: float, bar_trades: int, memory: State) -> None:
        self.names = tuple(column.name for column in columns[1:])
        self.clock = BarClock(bar_s=bar_s, bar_trades=bar_trades)
        self.memory = memory

    def fold(self, view: View) -> Rows:
        """Return the rows of the bars that a view closed."""
        bars = self.clock.read(view)
        rows = {name: np.empty(bars.age.size, np.float64) for name in self.names}
        for spell, fresh in bars.spells():
            if fresh:
                for array in self.memory.values():
                    array[...] = 0
            self.fold_spell(bars.part(spell), {n: c[spell] for n, c in rows.items()})
        return {"ts_ns": bars.ts_ns, **rows}

    @abstractmethod
    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""

    def save(self) -> State:
        """Return a copy of the memory."""
        return self.clock.save() | {f"fold.{name}": array.copy() for name, array in self.memory.items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self.clock.restore(state)
        like = {f"fold.{name}": array for name, array in self.memory.items()}
        check_state(state, like, type(self).__name__)
        for name, array in self.memory.items():
            saved = state[f"fold.{name}"]
            if saved.shape != array.shape:
                raise ConfigurationError(
                    f"{type(self).__name__}: saved with other parameters",
                    expected=f"{name} of shape {array.shape}",
                    found=str(saved.shape),
                    remedy="restore with the parameters it was saved with",
                )
            array[...] = saved
