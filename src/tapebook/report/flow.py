"""How well order flow explains the mid's moves: least squares over intervals (Cont, Kukanov and Stoikov 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.intervals import halve
from tapebook.market.events import MISSING

__all__ = ["Fit", "FlowFit", "least_squares"]

_POINTS_MAX: Final = 1 << 16


@dataclass(frozen=True)
class Fit:
    """A straight line through ``n`` points: slope with its standard error, intercept, share of variance explained."""

    n: int
    slope: float
    slope_error: float
    intercept: float
    r2: float


class FlowFit:
    """Points (order-flow imbalance, trade imbalance, move of the mid) of successive intervals of one width.

    An interval counts when it held an event, both its ends had a two-sided quote of the same session, and the touch
    could be compared throughout (no cleared book, gap, or crossed state inside it).

    Parameters
    ----------
    seconds
        Width of an interval in rows of one second.
    """

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._left: NDArray[Any] | None = None
        self._before: tuple[int, int] | None = None  # mid2 and session of the interval before
        self._moments = {name: np.zeros(6) for name in ("ofi", "traded")}
        self._points: list[NDArray[np.float64]] = []
        self._n_kept = 0
        self._keep_every = 1

    def see(self, seconds: NDArray[Any]) -> None:
        """Take in further rows of one second."""
        rows = seconds.copy() if self._left is None else np.concatenate([self._left, seconds])
        if not rows.size:
            return
        group = rows["index"] // self.seconds
        whole = int(np.searchsorted(group, group[-1]))
        self._left = rows[whole:].copy()
        self._take(rows[:whole])

    def finish(self) -> None:
        """Count the last interval too."""
        if self._left is not None:
            self._take(self._left)
            self._left = None

    def _take(self, rows: NDArray[Any]) -> None:
        if not rows.size:
            return
        rows = rows[: halve(rows, rows.size, self.seconds)]
        mid2, session = rows["mid2_last"], rows["session"]
        first = self._before if self._before is not None else (MISSING, 0)
        before = np.concatenate([[first[0]], mid2[:-1]])
        session_before = np.concatenate([[first[1]], session[:-1]])
        self._before = (int(mid2[-1]), int(session[-1]))
        good = (mid2 != MISSING) & (before != MISSING) & (session == session_before) & (rows["breaks"] == 0)
        good &= rows["crossed"] == 0
        move = np.where(good, mid2 - np.where(good, before, 0), 0)[good] / 2
        points = np.stack([rows["ofi"][good], (rows["bought"] - rows["sold"])[good], move], axis=1).astype(np.float64)
        for i, name in enumerate(("ofi", "traded")):
            x, y = points[:, i], points[:, 2]
            self._moments[name] += (x.size, x.sum(), y.sum(), (x * x).sum(), (x * y).sum(), (y * y).sum())
        self._keep(points)

    def _keep(self, points: NDArray[np.float64]) -> None:
        self._points.append(points)
        self._n_kept += points.shape[0]
        if self._n_kept <= _POINTS_MAX:
            return
        every = np.concatenate(self._points)
        # Thin out the crowd, keep what stands out.
        keep = np.arange(every.shape[0]) % 2 == 0
        for column in range(3):
            size = np.abs(every[:, column])
            keep |= size >= np.quantile(size, 0.999)
        self._points = [every[keep]]
        self._n_kept = int(keep.sum())

    def points(self) -> NDArray[np.float64]:
        """Return points: ofi in lots, bought less sold in lots, move of the mid in 1e-9; thinned out when very many."""
        return np.concatenate(self._points) if self._points else np.zeros((0, 3))

    def fit(self, name: str = "ofi") -> Fit | None:
        """Return the line through all points, None with fewer than three or without spread in them."""
        return least_squares(self._moments[name])


def least_squares(moments: NDArray[np.float64]) -> Fit | None:
    """Fit a line from the sums (n, x, y, xx, xy, yy).

    >>> least_squares(np.array([3, 6.0, 12.0, 14.0, 28.0, 56.0])).slope
    2.0
    """
    n, x, y, xx, xy, yy = moments.tolist()
    if n < 3:
        return None
    sxx, sxy, syy = xx - x * x / n, xy - x * y / n, yy - y * y / n
    if sxx <= 1e-12 * max(xx, 1e-300) or syy <= 1e-12 * max(yy, 1e-300):
        return None
    slope = sxy / sxx
    r2 = min(max(sxy * sxy / (sxx * syy), 0.0), 1.0)
    return Fit(int(n), slope, (syy * (1 - r2) / (n - 2) / sxx) ** 0.5, (y - slope * x) / n, r2)
