"""The axes of the plots: time in the exchange's zone without the nights, prices with their decimals.

Time. Stretches in which nothing happened (nights, weekends, holidays) are taken out, so that five sessions stand side
by side; a plot draws a thin line where time leaps. :class:`TimeAxis` turns ns into seconds of such *active* time.
"""

from __future__ import annotations

import datetime as dt
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

__all__ = ["TimeAxis", "price_steps"]

_STEPS_S: Final = (
    *(1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200),
)
_DAY_S: Final = 86_400
_LEAP_S_MIN: Final = 1800.0
_LEAP_S_MAX: Final = 14_400.0
_LEAP_SHARE: Final = 0.01  # of the active time, within those bounds: shorter pauses stay, they say something


class TimeAxis:
    """Turns ns UTC into seconds of active time, and says where ticks go and what they are called.

    Parameters
    ----------
    starts_ns, ends_ns
        Stretches in which something happened.
    zone
        Of the labels.

    Examples
    --------
    >>> hour = 3_600_000_000_000
    >>> axis = TimeAxis(np.array([0, 20 * hour]), np.array([2 * hour, 21 * hour]), ZoneInfo("UTC"))
    >>> axis.length_s / 3600, axis(np.array([hour, 20 * hour])).tolist()
    (3.0, [3600.0, 7200.0])
    """

    def __init__(self, starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64], zone: ZoneInfo) -> None:
        self.zone = zone
        # Damaged stamps make rows that go back, and differences that leave int64.
        order = np.argsort(starts_ns, kind="stable")
        starts_ns = starts_ns[order]
        ends_ns = np.maximum.accumulate(np.maximum(ends_ns[order], starts_ns))
        pauses = np.maximum(starts_ns[1:].astype(np.float64) - ends_ns[:-1], 0)
        active_s = float(_lengths_s(starts_ns, ends_ns).sum())
        leap_ns = min(max(_LEAP_S_MIN, _LEAP_SHARE * active_s), _LEAP_S_MAX) * 1e9
        cut = np.flatnonzero(pauses > leap_ns)
        self._from_ns = np.concatenate([starts_ns[:1], starts_ns[cut + 1]])
        self._to_ns = np.concatenate([ends_ns[cut], ends_ns[-1:]])
        lengths = _lengths_s(self._from_ns, self._to_ns)
        self._from_s = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
        self.length_s = float(lengths.sum())
        self.leaps_s: list[float] = self._from_s[1:].tolist()

    def __call__(self, ts_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return positions on the axis; a time inside a pause falls on its edge."""
        i = np.clip(np.searchsorted(self._from_ns, ts_ns, side="right") - 1, 0, None)
        inside = np.clip(ts_ns, self._from_ns[i], self._to_ns[i])
        position: NDArray[np.float64] = self._from_s[i] + (inside - self._from_ns[i]) / 1e9
        return position

    def segment(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the stretch between leaps that each time belongs to."""
        i: NDArray[np.int64] = np.clip(np.searchsorted(self._from_ns, ts_ns, side="right") - 1, 0, None)
        return i

    def ticks(self, n_about: int = 8) -> tuple[list[float], list[str]]:
        """Return positions and labels: wall times of the zone, dates where a day begins."""
        step_s = next((s for s in _STEPS_S if self.length_s / s <= n_about), _DAY_S)
        days = self._days()
        if step_s >= _DAY_S or (len(days) > 2 and self.length_s / max(len(days), 1) < 2 * step_s):
            return self._day_ticks(n_about)
        positions: list[float] = []
        labels: list[str] = []
        last_day = ""
        for start_ns, end_ns, from_s in zip(self._from_ns, self._to_ns, self._from_s, strict=True):
            for ts_ns in self._wall_steps(int(start_ns), int(end_ns), step_s):
                position = float(from_s) + (ts_ns - int(start_ns)) / 1e9
                if positions and position - positions[-1] < 0.6 * step_s:
                    continue
                local = dt.datetime.fromtimestamp(ts_ns / 1e9, tz=self.zone)
                clock = _clock(ts_ns, local, step_s)
                day = f"{local:%d %b}"
                positions.append(position)
                labels.append(f"{clock}\n{day}" if day != last_day else clock)
                last_day = day
        return positions, labels

    def _wall_steps(self, start_ns: int, end_ns: int, step_s: float) -> list[int]:
        """Return times at whole steps of the wall clock; across a change to summer time they stay on the hour."""
        step_ns = round(step_s * 1e9)
        local = dt.datetime.fromtimestamp(start_ns // 1_000_000_000, tz=self.zone)
        offset = local.utcoffset() or dt.timedelta(0)
        offset_ns = round(offset.total_seconds()) * 1_000_000_000
        first = -(-(start_ns + offset_ns) // step_ns) * step_ns - offset_ns
        return list(range(first, end_ns + 1, step_ns))

    def _days(self) -> list[tuple[float, str]]:
        """Return where each local day begins on the axis."""
        found: list[tuple[float, str]] = []
        for start_ns, end_ns, from_s in zip(self._from_ns, self._to_ns, self._from_s, strict=True):
            day = dt.datetime.fromtimestamp(int(start_ns) // 1_000_000_000, tz=self.zone).date()
            last = dt.datetime.fromtimestamp(int(end_ns) // 1_000_000_000, tz=self.zone).date()
            while day <= last:
                midnight = dt.datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp() * 1e9
                position = float(from_s) + max(midnight - int(start_ns), 0) / 1e9
                label = f"{day:%d %b}"
                if not found or found[-1][1] != label:
                    found.append((position, label))
                day += dt.timedelta(days=1)
        return found

    def _day_ticks(self, n_about: int) -> tuple[list[float], list[str]]:
        days = self._days()
        every = -(-len(days) // n_about)
        shown = days[::every]
        return [p for p, _ in shown], [label for _, label in shown]


def _lengths_s(starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = (ends_ns.astype(np.float64) - starts_ns.astype(np.float64)) / 1e9
    exact = lengths < 1e9
    lengths[exact] = (ends_ns[exact] - starts_ns[exact]) / 1e9
    return lengths


def _clock(ts_ns: int, local: dt.datetime, step_s: float) -> str:
    if step_s >= 60:
        return f"{local:%H:%M}"
    if step_s >= 1:
        return f"{local:%H:%M:%S}"
    digits = 1 if step_s >= 0.1 else 2 if step_s >= 0.01 else 3
    return f"{local:%S}" + f".{ts_ns % 1_000_000_000:09d}"[: digits + 1] + " s"


def price_steps(low: float, high: float, tick: float, n_about: int = 6) -> list[float]:
    """Return prices for the ticks of an axis: multiples of the instrument's tick at round distances.

    >>> price_steps(4780.0, 4790.0, 0.25)
    [4780.0, 4782.0, 4784.0, 4786.0, 4788.0, 4790.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / n_about
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(unit * f for f in (1, 2, 2.5, 5, 10) if unit * f >= rough)
    if tick > 0:
        step = max(round(step / tick), 1) * tick
    first = np.ceil(low / step - 1e-9) * step
    return [float(round(x, 10)) for x in np.arange(first, high + step * 1e-6, step)]
