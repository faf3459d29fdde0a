"""The book over time as a picture: resting quantity by price row and column, and what traded where.

A column holds the book as it stood at the end of its interval, and the trades inside it. Rows and columns are bounded:
neighbouring columns become one when there are too many, neighbouring rows when the price walks out of the grid.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.volume_profile import row_ticks_for
from tapebook.kernels.depth_map import add_levels
from tapebook.market.events import MISSING, Side

__all__ = ["COLUMNS_MAX", "DepthMap"]

COLUMNS_MAX: Final = 720
_ROWS: Final = 2048
_SPAN: Final = 0.03  # of the first price: what the rows cover at first
_BOUGHT, _SOLD = 0, 1
_ABSURD: Final = 8  # times the first price, or that part of it: what lies beyond must not make the rows useless


class DepthMap:
    """Resting lots and traded lots on a grid of time and price that grows coarser as the tape goes on.

    Parameters
    ----------
    width_ns
        Width of a column to begin with.
    tick_e9
        The instrument's tick, in 1e-9.

    Attributes
    ----------
    width_ns, row_e9
        Width of a column, height of a row, as they are now.
    """

    def __init__(self, width_ns: int, tick_e9: int) -> None:
        self.width_ns = width_ns
        self.row_e9 = 0
        self._tick_e9 = max(tick_e9, 1)
        self._base = 0
        self._first = 0
        self._n = 0
        self._index = np.zeros(2 * COLUMNS_MAX, np.int64)
        self._depth = np.zeros((2 * COLUMNS_MAX, _ROWS), np.float32)
        self._traded = np.zeros((2, 2 * COLUMNS_MAX, _ROWS), np.float32)
        self._sampled = np.zeros(2 * COLUMNS_MAX, np.bool_)

    def due(self, clock_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places in a block before which the book is to be sampled: the first event of each new column."""
        index = np.where(clock_ns == MISSING, -1, clock_ns // self.width_ns)
        last = self._index[self._n - 1] if self._n else -1
        running = np.maximum.accumulate(np.concatenate([[last], index]))
        places: NDArray[np.int64] = np.flatnonzero(np.diff(running) > 0)
        return places

    def sample(self, clock_ns: int, price: NDArray[np.int64], lots: NDArray[np.int64], bid: int, ask: int) -> None:
        """Put the levels of a book (both sides in one array) into the column of ``clock_ns``, when it stood so."""
        touch = [p for p in (bid, ask) if p != MISSING and self._sane(p)]
        if not touch:
            return
        self._reach(min(touch), max(touch))
        column = self._column(clock_ns)
        self._depth[column] = 0
        add_levels(price, lots, self.row_e9, self._base, self._depth[column])
        self._sampled[column] = True

    def trade(
        self, clock_ns: NDArray[np.int64], price: NDArray[np.int64], lots: NDArray[np.int64], side: NDArray[np.int8]
    ) -> None:
        """Add prints; those without an aggressor count half on either side of the picture."""
        if not price.size:
            return
        low, high = self._sane_range(int(price[0]))
        sane = (price >= low) & (price <= high)
        clock_ns, price, lots, side = clock_ns[sane], price[sane], lots[sane], side[sane]
        if not clock_ns.size:
            return
        index = clock_ns // self.width_ns
        starts = np.concatenate([[0], np.flatnonzero(np.diff(index) != 0) + 1, [index.size]])
        for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            self._reach(int(price[a:b].min()), int(price[a:b].max()))
            column = self._column(int(clock_ns[a]))
            for which, sign in ((_BOUGHT, Side.BUY), (_SOLD, Side.SELL)):
                weight = np.where(side[a:b] == sign, 1.0, np.where(side[a:b] == 0, 0.5, 0.0))
                rows = price[a:b] // self.row_e9 - self._base
                inside = (rows >= 0) & (rows < _ROWS)
                np.add.at(self._traded[which, column], rows[inside], (lots[a:b] * weight)[inside])

    @property
    def empty(self) -> bool:
        """Whether nothing was put in."""
        return self._n == 0

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the columns' intervals (index * width_ns is where one begins), depth, bought and sold lots.

        Columns whose book was never seen hold NaN depth.
        """
        depth = self._depth[: self._n].copy()
        depth[~self._sampled[: self._n]] = np.nan
        bought, sold = self._traded[0, : self._n], self._traded[1, : self._n]
        return self._index[: self._n].copy(), depth, bought.copy(), sold.copy()

    def prices_e9(self) -> NDArray[np.int64]:
        """Return the lower edge of each row."""
        return (np.arange(_ROWS, dtype=np.int64) + self._base) * self.row_e9

    def _column(self, clock_ns: int) -> int:
        index = clock_ns // self.width_ns
        if self._n and index <= self._index[self._n - 1]:
            return int(np.searchsorted(self._index[: self._n], index).clip(0, self._n - 1))
        if self._n == self._index.size:
            self._halve()
            return self._column(clock_ns)
        self._index[self._n] = index
        self._n += 1
        return self._n - 1

    def _halve(self) -> None:
        """Make columns twice as wide: the later book stays, trades add."""
        self.width_ns *= 2
        index = self._index[: self._n] // 2
        firsts = np.concatenate([[True], np.diff(index) > 0])
        target = np.cumsum(firsts) - 1
        n = int(target[-1]) + 1
        traded = np.zeros_like(self._traded)
        depth = np.zeros_like(self._depth)
        sampled = np.zeros_like(self._sampled)
        for column in range(self._n):
            traded[:, target[column]] += self._traded[:, column]
            if self._sampled[column]:
                depth[target[column]] = self._depth[column]
                sampled[target[column]] = True
        self._index[:n] = index[firsts]
        self._traded, self._depth, self._sampled, self._n = traded, depth, sampled, n

    def _sane(self, price: int) -> bool:
        low, high = self._sane_range(price)
        return low <= price <= high

    def _sane_range(self, price: int) -> tuple[int, int]:
        """Return between which prices one is of the same order as the first one (which ``price`` is, if none was)."""
        self._first = self._first or price
        far = min(_ABSURD * max(abs(self._first), 1000 * self._tick_e9), 1 << 61)
        return (self._first // _ABSURD if self._first > 0 else -far), far

    def _reach(self, low: int, high: int) -> None:
        """Let the rows cover the prices with room on either side."""
        if not self.row_e9:
            self.row_e9 = self._tick_e9 * row_ticks_for(low, self._tick_e9, _SPAN / _ROWS)
            self._base = (low + high) // 2 // self.row_e9 - _ROWS // 2
        margin = _ROWS // 8
        for _ in range(64):
            top = high // self.row_e9 - self._base
            bottom = low // self.row_e9 - self._base
            if bottom >= margin and top < _ROWS - margin:
                return
            self._widen(downwards=bottom < margin)

    def _widen(self, *, downwards: bool) -> None:
        """Make rows twice as high, with the new room below or above."""
        base = self._base // 2 - (_ROWS // 2 if downwards else 0)
        rows = (np.arange(_ROWS) + self._base) // 2 - base
        for grid in (self._depth[: self._n], self._traded[0, : self._n], self._traded[1, : self._n]):
            wide = np.zeros((_ROWS, self._n), np.float32)
            inside = (rows >= 0) & (rows < _ROWS)
            np.add.at(wide, rows[inside], grid.T[inside])
            grid[:] = wide.T
        self.row_e9 *= 2
        self._base = base
