"""A tape summed up by intervals: the rows of the report's tables, and the columns of its plots.

Two faces of one kernel (:mod:`tapebook.kernels.timeline`): :class:`Intervals` writes a row for each interval of a given
width that held an event, :class:`Timeline` keeps a bounded number of columns over a span it does not know beforehand,
by merging neighbours without loss whenever they become too many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import View
from tapebook.kernels import timeline as kernel
from tapebook.kernels.intervals import HISTOGRAM_BINS, INTERVAL, halve
from tapebook.market.events import MISSING

__all__ = ["INTERVAL", "Intervals", "Timeline"]


class Intervals:
    """Rows of :data:`INTERVAL`, one for each interval of ``width_ns`` with an event, once it is over.

    Attributes
    ----------
    whole
        Sums over time of the whole tape so far: quiet intervals included, time between sessions left out.
    held_ns
        Nanoseconds by spread in ticks, by :func:`~tapebook.kernels.intervals.coarse_bin`.
    """

    def __init__(self, width_ns: int, tick_e9: int) -> None:
        self.width_ns = width_ns
        self.whole = np.zeros(1, INTERVAL)
        self.held_ns = np.zeros(HISTOGRAM_BINS, np.int64)
        self._tick_e9 = max(tick_e9, 1)
        self._state = np.zeros(kernel.N_STATE, np.int64)
        self._state[[kernel.SESSION, kernel.LAST_NS]] = MISSING
        self._open = np.zeros(1, INTERVAL)
        self._open["index"] = MISSING

    def see(self, view: View) -> NDArray[Any]:
        """Fold a view and return the rows of the intervals that are over."""
        out = np.empty(view.n, INTERVAL)
        n = kernel.advance_timeline(
            view.events,
            view.clock_ns,
            view.session,
            view.trading,
            view.bid_px,
            view.bid_sz,
            view.ask_px,
            view.ask_sz,
            view.thread,
            self.width_ns,
            self._tick_e9,
            self._state,
            self._open,
            self.whole,
            self.held_ns,
            out,
        )
        return out[:n]

    def rest(self) -> NDArray[Any]:
        """Return the row of the interval that is not over (none before the first event)."""
        return self._open.copy() if self._open["events"][0] else np.empty(0, INTERVAL)


class Timeline:
    """At most ``columns_max`` intervals over the whole tape, all of one width that grows as the tape does.

    Parameters
    ----------
    columns_max
        More columns than this are merged in pairs.
    width_ns
        Width to begin with.
    """

    def __init__(self, columns_max: int, width_ns: int, tick_e9: int) -> None:
        self.columns_max = columns_max
        self.width_ns = width_ns
        self._intervals = Intervals(width_ns, tick_e9)
        self._rows = np.empty(2 * columns_max, INTERVAL)
        self._n = 0

    def see(self, view: View) -> None:
        """Fold a view."""
        self._take(self._intervals.see(view))

    def columns(self) -> tuple[NDArray[Any], int]:
        """Return the columns so far, the open one included, at most ``columns_max``, and their width in ns."""
        rest = self._intervals.rest()
        rest["index"] //= self.width_ns // self._intervals.width_ns
        rows = np.concatenate([self._rows[: self._n], rest])
        width_ns = self.width_ns
        n = halve(rows, rows.size, 1)
        # Wide enough to be seen, also where most intervals are empty.
        span = int(rows["index"][n - 1] - rows["index"][0]) + 1 if n else 0
        while n > self.columns_max or span > 2 * self.columns_max:
            span //= 2
            n = halve(rows, n, 2)
            width_ns *= 2
        return rows[:n], width_ns

    def _take(self, rows: NDArray[Any]) -> None:
        # The kernel goes on with the width it began with: its finer rows merge into the wider columns.
        start = 0
        while start < rows.size:
            part = rows[start : start + self.columns_max].copy()
            part["index"] //= self.width_ns // self._intervals.width_ns
            if self._n + part.size > self._rows.size:
                self._n = halve(self._rows, self._n, 2)
                self.width_ns *= 2
                continue
            self._rows[self._n : self._n + part.size] = part
            self._n = halve(self._rows, self._n + part.size, 1)
            start += part.size
