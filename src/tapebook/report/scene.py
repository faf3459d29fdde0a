"""What all plots over time share: the columns of the tape, the time axis, the instrument's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.report.axes import TimeAxis

__all__ = ["Scene", "filled", "make_scene"]

_ABSURD: Final = 8.0  # times the usual print: what lies beyond is not shown
_REACH_MAX: Final = 3.0  # times the common range: mids further out are not shown


@dataclass(frozen=True)
class Scene:
    """Columns of a tape over time, ready to be drawn.

    Attributes
    ----------
    rows
        :data:`~tapebook.report.intervals.INTERVAL`, in order.
    width_ns
        Width of a column.
    axis
        The time axis.
    start, middle, end
        Where each column stands on it.
    gap
        True where the line must be broken before a column, because time leaps.
    """

    instrument: Instrument
    rows: NDArray[Any]
    width_ns: int
    axis: TimeAxis
    start: NDArray[np.float64]
    middle: NDArray[np.float64]
    end: NDArray[np.float64]
    gap: NDArray[np.bool_]

    @property
    def tick(self) -> float:
        """The tick, 0 where unknown."""
        return self.instrument.tick_e9 / PRICE_SCALE

    @property
    def lot(self) -> float:
        """Base units in a lot."""
        return self.instrument.lot_e9 / PRICE_SCALE

    def price(self, name: str) -> NDArray[np.float64]:
        """Return a price of each column; NaN where it has none."""
        scale = 2 * PRICE_SCALE if name.startswith("mid2") else PRICE_SCALE
        values: NDArray[np.float64] = np.where(self.rows[name] == MISSING, np.nan, self.rows[name] / scale)
        return values

    def quantity(self, name: str) -> NDArray[np.float64]:
        """Return lots of each column as base units."""
        values: NDArray[np.float64] = self.rows[name] * self.lot
        return values

    def mean(self, name: str, weight: str, scale: float = 1.0) -> NDArray[np.float64]:
        """Return a mean over time of each column."""
        ns = np.where(self.rows[weight] > 0, self.rows[weight], np.nan)
        values: NDArray[np.float64] = self.rows[name] / ns / scale
        return values

    def line(self, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return x and y of a line through the columns' ends that is broken where time leaps."""
        places = np.flatnonzero(self.gap)
        return np.insert(self.end, places, np.nan), np.insert(values, places, np.nan)

    def last_price(self) -> NDArray[np.float64]:
        """Return the price to draw: the mid, the last print where a column has no mid; carried on between them."""
        prints = self.price("close")
        if not self.quoted:
            return filled(prints)
        mids = self.price("mid2_last")
        return filled(np.where(np.isfinite(mids), mids, prints))

    def range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest price of each column, of mids or of prints as :meth:`last_price`."""
        low, high = self.price("low"), self.price("high")
        if not self.quoted:
            return low, high
        mid_low, mid_high = self.price("mid2_low"), self.price("mid2_high")
        quoted = np.isfinite(mid_low)
        return np.where(quoted, mid_low, low), np.where(quoted, mid_high, high)

    def reach(self) -> tuple[float, float]:
        """Return the lowest and highest price to show: all prints, and all mids unless some are absurd.

        A quote of 0.01 to 2000 on a stock at 13 has a mid of 1000 that nobody believes.
        """
        low, high = self.range()
        mids = np.concatenate([low, high])
        mids = mids[np.isfinite(mids)]
        prints = np.concatenate([self.price("low"), self.price("high")])
        prints = prints[np.isfinite(prints)]
        usual = abs(float(np.median(prints))) if prints.size else 0.0
        prints = prints[np.abs(prints) <= _ABSURD * usual] if usual else prints
        if not mids.size:
            return (float(prints.min()), float(prints.max())) if prints.size else (0.0, 1.0)
        common = np.concatenate([np.quantile(mids, [0.01, 0.99]), prints])
        bottom, top = float(common.min()), float(common.max())
        if float(mids.max() - mids.min()) <= _REACH_MAX * max(top - bottom, self.tick):
            return min(bottom, float(mids.min())), max(top, float(mids.max()))
        return bottom, top

    @property
    def quoted(self) -> bool:
        """Whether mids say more of the price than prints: more columns have one."""
        mids, prints = self.rows["mid2_last"] != MISSING, self.rows["close"] != MISSING
        return bool(mids.any() and mids.sum() >= prints.sum())


def make_scene(instrument: Instrument, rows: NDArray[Any], width_ns: int, zone: ZoneInfo) -> Scene:
    """Return the scene of a tape's columns (at least one)."""
    starts = rows["index"] * width_ns
    ends = starts + width_ns
    starts[0] = max(int(starts[0]), int(rows["first_ns"][0]))
    ends[-1] = min(int(ends[-1]), max(int(rows["last_ns"][-1]), int(starts[-1]) + 1))
    axis = TimeAxis(starts, ends, zone)
    start, end = axis(starts), axis(np.maximum(ends, starts + 1))
    segment = axis.segment(starts)
    gap = np.concatenate([[False], np.diff(segment) > 0])
    return Scene(instrument, rows, width_ns, axis, start, (start + end) / 2, end, gap)


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Carry values over the columns that have none.

    >>> filled(np.array([np.nan, 1.0, np.nan, 2.0])).tolist()
    [nan, 1.0, 1.0, 2.0]
    """
    place = np.where(np.isfinite(values), np.arange(values.size), -1)
    last = np.maximum.accumulate(place)
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)
