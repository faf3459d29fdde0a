"""Volume profile: where the session traded, its point of control and its value area.

Rules (each level is only as good as the rule behind it, so they are printed with every level):

* point of control: the row of most volume; ties go to the row nearest the middle of the traded range, then to the
  heavier half, then down;
* value area: from the point of control, the next two rows above against the next two below, the larger pair is added
  whole, ties go up, until 70 % of the volume is inside (``step=1`` compares single rows). Rows without trades count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tapebook.features.cumulative_delta import TRADED
from tapebook.features.touch import FoldOperator, View, in_price
from tapebook.kernels import touch as touch_kernel
from tapebook.kernels import volume_profile as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, PRICE_SCALE
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["COLUMNS", "Profile", "VolumeProfile", "levels_of", "make", "row_ticks_for"]

COLUMNS = (
    Column("ts_ns", "ns", "clock of the event that showed that the interval or the session was over"),
    Column("session", "days since 1970", "trade date of the profile"),
    Column("poc", "price", "point of control: lower edge of the row of most volume"),
    Column("val", "price", "lower edge of the lowest row of the value area"),
    Column("vah", "price", "lower edge of the highest row of the value area"),
    Column("volume_lots", "lots", "traded since the session began"),
    Column("closed", "true/false", "the session is over: these are its final levels"),
)

_ROWS_AROUND: Final = 1 << 20  # rows kept on either side of the first print; what prints beyond is counted, not placed
_ROWS_MARGIN: Final = 256


@dataclass(frozen=True)
class Profile:
    """A volume profile: equally long columns by row, from the lowest traded row to the highest, and its levels.

    Attributes
    ----------
    price
        Lower edge of each row (with one tick a row: the price itself).
    bought, sold, unknown
        Lots by aggressor.
    row_ticks
        Height of a row (0 where the instrument's tick is unknown).
    poc, val, vah
        Point of control and value area, as prices of rows; NaN where nothing traded.
    outside_lots
        Lots of prints too far away to have a row.
    """

    price: NDArray[np.float64]
    bought: NDArray[np.int64]
    sold: NDArray[np.int64]
    unknown: NDArray[np.int64]
    row_e9: int
    row_ticks: int
    poc: float
    val: float
    vah: float
    outside_lots: int = 0

    @property
    def volume(self) -> NDArray[np.int64]:
        """Lots of each row."""
        return self.bought + self.sold + self.unknown


class VolumeProfile:
    """Developing profile of the session: a row each ``every_s`` seconds (at the first event after), and when it ends.

    Parameters
    ----------
    instrument
        For its tick.
    row_ticks
        Height of a row; None takes one tick, or more where a tick is less than 1e-5 of the first price (1, 2, 5, 10 …).
    every_s
        Seconds between rows; the levels are those that stood before the event that makes the row.
    share, step
        Of the value area.
    reset
        ``session`` starts anew with each trade date, ``never`` runs on.

    References
    ----------
    Dalton, J., Jones, E. and Dalton, R. (1990), Mind over Markets.
    """

    def __init__(
        self,
        instrument: Instrument,
        *,
        row_ticks: int | None = None,
        every_s: float = 60.0,
        share: float = 0.7,
        step: Literal[1, 2] = 2,
        reset: Literal["session", "never"] = "session",
    ) -> None:
        if not 0 < share <= 1 or every_s <= 0 or (row_ticks is not None and row_ticks < 1):
            raise ConfigurationError(
                "bad volume profile",
                expected="0 < share <= 1, every_s > 0, row_ticks >= 1",
                found=f"share {share}, every_s {every_s}, row_ticks {row_ticks}",
            )
        self._tick_e9 = instrument.tick_e9
        self._row_ticks = row_ticks
        self._every_ns = round(every_s * 1e9)
        self._share = share
        self._step = step
        self._reset = reset
        self._grid = np.zeros(3, np.int64)  # row height in 1e-9 (0 before the first print), first print's row, base
        self._volumes = np.zeros((0, 3), np.int64)
        self._total = np.zeros(0, np.int64)
        self._state = np.zeros(kernel.N_STATE, np.int64)
        self._state[[kernel.SESSION, kernel.NEXT_NS]] = MISSING
        self._state[kernel.HIGH] = -1

    def fold(self, view: View) -> Rows:
        """Return the levels of each interval and session that is over."""
        self._make_room(view)
        session = view.session if self._reset == "session" else np.zeros(view.n, np.int64)
        out = np.empty((view.n, 7), np.int64)
        n = kernel.advance_volume_profile(
            view.events,
            view.clock_ns,
            session,
            int(self._grid[0]) or 1,
            int(self._grid[2]),
            self._every_ns,
            self._share,
            self._step,
            self._volumes,
            self._total,
            self._state,
            out,
        )
        rows = out[:n]
        row_e9 = int(self._grid[0])
        return {
            "ts_ns": view.ts_ns[rows[:, 0]],
            "session": rows[:, 1].copy(),
            "poc": in_price(rows[:, 2] * row_e9),
            "val": in_price(rows[:, 3] * row_e9),
            "vah": in_price(rows[:, 4] * row_e9),
            "volume_lots": rows[:, 5].copy(),
            "closed": rows[:, 6] == 1,
        }

    def profile(self) -> Profile:
        """Return the profile as it stands."""
        low, high = int(self._state[kernel.LOW]), int(self._state[kernel.HIGH])
        volumes = self._volumes[low : high + 1].copy() if high >= low else np.zeros((0, 3), np.int64)
        row_e9, _, base = (int(x) for x in self._grid)
        price = (np.arange(volumes.shape[0], dtype=np.int64) + base + low) * row_e9 / PRICE_SCALE
        poc, val, vah = levels_of(volumes.sum(axis=1), self._share, self._step)
        nan = float("nan")
        return Profile(
            price,
            volumes[:, kernel.BUY],
            volumes[:, kernel.SELL],
            volumes[:, kernel.UNKNOWN],
            row_e9,
            row_e9 // self._tick_e9 if self._tick_e9 else 0,
            float(price[poc]) if price.size else nan,
            float(price[val]) if price.size else nan,
            float(price[vah]) if price.size else nan,
            int(self._state[kernel.OUTSIDE]),
        )

    def _make_room(self, view: View) -> None:
        """Let the rows reach every price of the block that is not absurdly far from the first print."""
        places = np.empty(view.n, np.int64)
        n = touch_kernel.trades_of(view.events["kind"], view.events["price"], view.events["qty_lots"], places)
        if not n:
            return
        prices = view.events["price"][places[:n]]
        if not self._grid[0]:
            self._grid[0] = self._row_e9(int(prices[0]))
            self._grid[1] = self._grid[2] = int(prices[0]) // int(self._grid[0])
        rows = prices // int(self._grid[0])
        first = int(self._grid[1])
        low = max(int(rows.min()), first - _ROWS_AROUND) - int(self._grid[2])
        high = min(int(rows.max()), first + _ROWS_AROUND) - int(self._grid[2])
        size = self._total.size
        if low >= 0 and high < size:
            return
        below = max(0, -low) + (_ROWS_MARGIN if low < 0 else 0)
        above = max(0, high + 1 - size) + (_ROWS_MARGIN if high >= size else 0)
        # Room beyond the limit is never filled: whether a print has a row must not depend on how the tape was cut.
        below = min(below, int(self._grid[2]) - first + _ROWS_AROUND)
        above = min(above, first + _ROWS_AROUND + 1 - int(self._grid[2]) - size)
        self._volumes = np.pad(self._volumes, ((below, above), (0, 0)))
        self._total = np.pad(self._total, (below, above))
        self._grid[2] -= below
        if self._state[kernel.HIGH] >= self._state[kernel.LOW]:
            self._state[[kernel.LOW, kernel.HIGH]] += below
        else:
            self._state[kernel.LOW] = self._total.size

    def _row_e9(self, price: int) -> int:
        if not self._tick_e9:
            return int(10 ** max(math.floor(math.log10(abs(price) or 1)) - 4, 0))
        return (self._row_ticks or row_ticks_for(price, self._tick_e9)) * self._tick_e9

    def save(self) -> State:
        """Return a copy of the memory: the rows that traded, and where they stand."""
        low, high = int(self._state[kernel.LOW]), int(self._state[kernel.HIGH])
        state, grid = self._state.copy(), self._grid.copy()
        volumes = self._volumes[low : high + 1].copy() if high >= low else np.zeros((0, 3), np.int64)
        grid[2] += low if high >= low else 0
        state[[kernel.LOW, kernel.HIGH]] = (0, volumes.shape[0] - 1)
        return {"grid": grid, "volumes": volumes, "state": state}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"grid": self._grid, "volumes": self._volumes, "state": self._state}, "volume profile")
        self._grid = state["grid"].copy()
        self._volumes = state["volumes"].copy()
        self._total = self._volumes.sum(axis=1)
        self._state = state["state"].copy()


def row_ticks_for(price_e9: int, tick_e9: int, share: float = 1e-5) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50 … ticks that is at least ``share`` of a price.

    >>> row_ticks_for(6_000_000_000_000, 250_000_000), row_ticks_for(60_000_000_000_000, 10_000_000)
    (1, 100)
    """
    least = abs(price_e9) * share / tick_e9
    ticks = 1
    for factor in (2, 2.5, 2) * 20:
        if ticks >= least:
            break
        ticks = round(ticks * factor)
    return ticks


def levels_of(volume: NDArray[np.int64], share: float = 0.7, step: int = 2) -> tuple[int, int, int]:
    """Return the rows of the point of control, and of the bottom and top of the value area.

    >>> levels_of(np.array([1, 3, 6, 9, 9, 6, 3, 1]))
    (3, 1, 5)
    """
    total = np.ascontiguousarray(volume, np.int64)
    if not total.size:
        return -1, -1, -1
    area = np.zeros(2, np.int64)
    poc = kernel.point_of_control(total, 0, total.size - 1)
    kernel.value_area(total, 0, total.size - 1, poc, share, step, area)
    return int(poc), int(area[0]), int(area[1])


def make(instrument: Instrument, instrument_id: int) -> FoldOperator:
    """Return the feature as an operator of its own."""
    return FoldOperator(instrument, instrument_id, VolumeProfile(instrument))


register("volume_profile", make, columns=COLUMNS, needs=TRADED)
