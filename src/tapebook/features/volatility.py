"""Realised volatility of the mid per square root of time, what of it were jumps, and the same of any array of returns.

Variance per unit of time is the sum of squared returns over the time it took; it is not the deviation from a mean, and
a year has the instrument's own trading seconds. Estimators for prices with noise, from whole samples, are in
:mod:`tapebook.research.volatility`.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tapebook.features.bar_clock import BarFold, ClockBars
from tapebook.features.touch import QUOTED, FoldOperator
from tapebook.kernels import volatility as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, register

__all__ = [
    "COLUMNS",
    "Measures",
    "RealisedVolatility",
    "bipower_variance",
    "make",
    "measures",
    "realised_variance",
    "trading_seconds",
]

COLUMNS = (
    Column("ts_ns", "ns", "end of the bar"),
    Column("realised_volatility_bp", "bp/sqrt(s)", "root of squared returns over the time they took"),
    Column("realised_volatility_annual_percent", "%", "the same over a year of the instrument's trading seconds"),
    Column("bipower_volatility_bp", "bp/sqrt(s)", "from products of neighbouring returns: jumps hardly count"),
    Column("min_volatility_bp", "bp/sqrt(s)", "from the smaller of two neighbouring returns"),
    Column("median_volatility_bp", "bp/sqrt(s)", "from the middle one of three neighbouring returns"),
    Column("jump_share", "ratio", "of the variance that were jumps, 1 - bipower / realised; NaN if nothing moved"),
    Column("jump_z", "sd", "ratio test of no jump, large where there was one; NaN without neighbouring moves"),
)

_YEAR_FORMAT = "M8[Y]"


class Measures(NamedTuple):
    """Variances (of log returns, over the whole sample) and what of it were jumps."""

    realised: float
    bipower: float
    min_rv: float
    med_rv: float
    jump_share: float
    jump_z: float


def realised_variance(returns: ArrayLike) -> float:
    """Return the sum of squared returns.

    >>> realised_variance([3.0, -4.0])
    25.0
    """
    r = _returns(returns, 1)
    return float(np.square(r).sum())


def bipower_variance(returns: ArrayLike) -> float:
    """Return the variance that jumps hardly reach (Barndorff-Nielsen and Shephard 2004).

    >>> round(bipower_variance([1.0, -1.0, 1.0]), 6)  # pi/2 * 3/2 * 2
    4.712389
    """
    return measures(returns).bipower


def measures(returns: ArrayLike) -> Measures:
    """Return realised, bipower, MinRV and MedRV variance, the jump share and the ratio test's z of at least 3 returns.

    References
    ----------
    Barndorff-Nielsen, O. and Shephard, N. (2004), Power and bipower variation, Journal of Financial Econometrics 2:1.
    Huang, X. and Tauchen, G. (2005), The relative contribution of jumps, Journal of Financial Econometrics 3:4.
    Andersen, T., Dobrev, D. and Schaumburg, E. (2012), Jump-robust volatility estimation, Journal of Econometrics
    169:1.

    Examples
    --------
    >>> calm = measures([1.0, -1.0] * 100)
    >>> jump = measures([1.0, -1.0] * 50 + [30.0] + [1.0, -1.0] * 50)
    >>> calm.jump_share, round(jump.jump_share, 2), jump.jump_z > 5
    (0.0, 0.63, True)
    """
    r = _returns(returns, 3)
    size, power, out = np.empty(r.size), np.empty(r.size), np.empty(kernel.MEASURES_N)
    kernel.sizes_of(r, size, power)
    kernel.measure_returns(size, power, 0, r.size, out)
    return Measures(*out.tolist())


@cache
def trading_seconds(calendar_name: str, year: int) -> float:
    """Return how long a market trades in a calendar year, by its timetable; NaN where the calendar does not know it.

    >>> trading_seconds("24-7", 2024) / 86_400
    366.0
    >>> round(trading_seconds("US-STOCKS", 2023) / 3600)  # extended hours: 16 a day, less on half days
    3994
    """
    start, end = (int(np.datetime64(f"{y}-01-01", "ns").astype(np.int64)) for y in (year, year + 1))
    if calendar_name == "24-7":
        return (end - start) / 1e9
    from tapebook.market.sessions import calendar

    table = calendar(calendar_name)
    if not (table.first <= dt.date(year, 1, 1) and dt.date(year, 12, 31) <= table.last):
        return float("nan")
    sessions = table.sessions_between(start, end)
    open_ns = sum(
        s.close_ns - s.open_ns - sum(b - a for a, b in s.halts) for s in sessions if s.trade_date.year == year
    )
    return open_ns / 1e9


class RealisedVolatility(BarFold):
    """Realised volatility of the mid over a trailing window, a row for each bar, and what of it were jumps.

    Returns are the logs of mid over mid between bars; intervals without events count with a return of zero, since time
    has passed. NaN until the window is full after a beginning (:class:`~tapebook.features.bar_clock.BarClock`).
    Sampled so finely that the bounce of the mid shows, it is too high: look at a signature plot
    (:func:`tapebook.research.volatility.signature_plot`) before choosing ``bar_s``. Where most returns are zero, as
    with bars much shorter than the time between changes of the mid, all but the realised one are too low and jumps too
    many.

    Parameters
    ----------
    window_s
        How far it looks back; a whole number of bars, at least 3.
    bar_s
        Seconds of a bar.
    calendar
        Whose trading seconds make a year.

    References
    ----------
    Andersen, T., Bollerslev, T., Diebold, F. and Labys, P. (2003), Modeling and forecasting realized volatility,
    Econometrica 71:2.

    Examples
    --------
    >>> from tapebook.features.touch import view_of
    >>> euro = 1_000_000_000
    >>> view = view_of([(m * euro, 1, (m + 2) * euro, 1) for m in (9999, 10000, 9999, 10000, 9999)])
    >>> rows = RealisedVolatility(window_s=3.0).fold(view)  # the mid moves by one of ten thousand each second
    >>> rows["realised_volatility_bp"].round(3).tolist()
    [nan, nan, nan, 1.0]
    """

    def __init__(self, *, window_s: float = 300.0, bar_s: float = 1.0, calendar: str = "24-7") -> None:
        n = round(window_s / bar_s) if bar_s > 0.0 and 0.0 < window_s < np.inf else 0
        if not 3 <= n <= 1_000_000 or abs(n * bar_s - window_s) > 1e-9 * window_s:
            raise ConfigurationError(
                "window cannot be so",
                expected="a whole number of bars, 3 to 1000000",
                found=f"window_s={window_s!r}, bar_s={bar_s!r}",
                where="window_s",
            )
        self._n = n
        self._calendar = calendar
        memory = {
            "last": np.zeros(1),
            "size": np.zeros(2 * n),
            "power": np.zeros(2 * n),
            "marks": np.zeros(kernel.MARKS_N, np.int64),
        }
        super().__init__(COLUMNS, bar_s=bar_s, bar_trades=0, memory=memory)

    def fold_spell(self, bars: ClockBars, out: dict[str, NDArray[np.float64]]) -> None:
        """Write the columns of bars that belong together."""
        m = self.memory
        found = np.empty((bars.age.size, kernel.MEASURES_N))
        kernel.volatility_run(bars.close, self._n, m["last"], m["size"], m["power"], m["marks"], found)
        per_s = np.sqrt(found[:, : kernel.MED_RV + 1] / (self._n * self.clock.bar_ns * 1e-9))
        names = self.names
        out[names[0]][:] = 1e4 * per_s[:, kernel.RV]
        out[names[1]][:] = 100.0 * per_s[:, kernel.RV] * self._roots_of_years(bars.ts_ns)
        for name, place in zip(names[2:5], (kernel.BV, kernel.MIN_RV, kernel.MED_RV), strict=True):
            out[name][:] = 1e4 * per_s[:, place]
        out[names[5]][:] = found[:, kernel.SHARE]
        out[names[6]][:] = found[:, kernel.Z]

    def _roots_of_years(self, ts_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the root of the trading seconds of the year of each stamp."""
        years, which = np.unique(ts_ns.view("M8[ns]").astype(_YEAR_FORMAT).astype(np.int64), return_inverse=True)
        seconds = [trading_seconds(self._calendar, 1970 + year) for year in years.tolist()]
        roots: NDArray[np.float64] = np.sqrt(np.array(seconds, np.float64))[which]
        return roots


def _returns(values: ArrayLike, least: int) -> NDArray[np.float64]:
    r = np.ascontiguousarray(values, dtype=np.float64)
    if r.ndim != 1 or r.size < least or not np.isfinite(r).all():
        raise ConfigurationError(
            "returns cannot be so", expected=f"at least {least} finite numbers in one dimension", found=str(r.shape)
        )
    return r


def make(instrument: Instrument, instrument_id: int, *, window_s: float = 300.0, bar_s: float = 1.0) -> FoldOperator:
    """Return the feature as an operator of its own."""
    fold = RealisedVolatility(window_s=window_s, bar_s=bar_s, calendar=instrument.calendar)
    return FoldOperator(instrument, instrument_id, fold)


register("realised_volatility", make, columns=COLUMNS, needs=QUOTED)
