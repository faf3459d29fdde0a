"""Features of the catalogue at some hundreds of moments of a tape, and the volume buckets behind VPIN.

Both thin themselves out as a tape grows, so that memory does not: moments by doubling the interval of which the last
row is kept, buckets by putting neighbours together (signed imbalances add up).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.features.catalogue import Catalogue
from tapebook.features.touch import View
from tapebook.market.events import MISSING, Events
from tapebook.market.instruments import Instrument

__all__ = ["COLUMNS", "N_VPIN", "OverTime", "VolumeBuckets"]

COLUMNS: Final = (
    "realised_volatility_bp",
    "hawkes_buy_per_s",
    "hawkes_sell_per_s",
    "hawkes_self_excitation",
    "kyle_lambda",
)
"""What is kept of the catalogue."""

N_VPIN: Final = 50
"""Buckets in a VPIN."""

_MOMENTS_MAX: Final = 600
_BUCKETS_MAX: Final = 512
_SECOND_NS: Final = 1_000_000_000
_PIECE: Final = 16_384


class OverTime:
    """Folds the catalogue and keeps the last row of each interval."""

    def __init__(self, instrument: Instrument, instrument_id: int, *, hours: bool = True) -> None:
        self._catalogue = Catalogue(instrument, instrument_id, hours=hours)
        self.width_ns = _SECOND_NS
        self._index = np.zeros(0, np.int64)
        self._rows = np.zeros((0, 1 + len(COLUMNS)))

    def see(self, view: View) -> None:
        """Take in the events of a view."""
        for start in range(0, view.n, _PIECE):
            part = slice(start, start + _PIECE)
            clock_ns = view.clock_ns[part]
            rows = self._catalogue.advance(view.events[part])
            timed = clock_ns != MISSING
            index = clock_ns[timed] // self.width_ns
            last = np.flatnonzero(np.diff(index, append=np.iinfo(np.int64).max))
            at = np.flatnonzero(timed)[last]
            table = np.column_stack([clock_ns[at], *(rows[name][at] for name in COLUMNS)])
            self._keep(np.concatenate([self._index, index[last]]), np.concatenate([self._rows, table]))

    def _keep(self, index: NDArray[np.int64], rows: NDArray[np.float64]) -> None:
        while True:
            last = np.flatnonzero(np.diff(index, append=np.iinfo(np.int64).max))
            index, rows = index[last], rows[last]
            if index.size <= 2 * _MOMENTS_MAX:
                break
            self.width_ns *= 2
            index = index // 2
        self._index, self._rows = index, rows

    def document(self) -> dict[str, Any]:
        """Return the moments as columns: ``ts_ns`` and :data:`COLUMNS`."""
        columns: dict[str, Any] = {"ts_ns": (self._index * self.width_ns + self.width_ns - 1).tolist()}
        return columns | {name: self._rows[:, 1 + k].tolist() for k, name in enumerate(COLUMNS)}


class VolumeBuckets:
    """Folds prints into buckets of equal volume, each print split over them, and keeps their signed imbalance.

    Examples
    --------
    >>> from tapebook.market.events import empty_events
    >>> e = empty_events(3)
    >>> e["qty_lots"], e["side"] = [3, 2, 1], [1, -1, 1]
    >>> buckets = VolumeBuckets()
    >>> buckets.see(e, np.array([10, 20, 30]))
    >>> buckets.lots, buckets.imbalance.tolist(), buckets.closed_ns.tolist()
    (1, [1, 1, 1, -1, -1, 1], [10, 10, 10, 20, 20, 30])
    """

    def __init__(self) -> None:
        self.lots = 1
        self.imbalance = np.zeros(0, np.int64)
        self.closed_ns = np.zeros(0, np.int64)
        self._volume = 0  # of the whole tape, and what was bought less what was sold
        self._signed = 0
        self._told = 0  # signed volume at the end of the last closed bucket
        self._squares = 0.0
        self._prints = 0

    def see(self, trades: Events, clock_ns: NDArray[np.int64]) -> None:
        """Take in prints."""
        # Damaged sizes would make a tape of one bucket: what is beyond a billion lots counts as that.
        lots = np.clip(trades["qty_lots"], 0, 1_000_000_000)
        if not lots.size or not lots.any():
            return
        side = trades["side"].astype(np.int64)
        self._prints += lots.size
        self._squares += float((lots.astype(np.float64) ** 2).sum())
        volume = self._volume + np.cumsum(lots)
        signed = self._signed + np.cumsum(lots * side)
        self._coarsen((int(volume[-1]) // self.lots) - self._volume // self.lots)
        ends = np.arange(self._volume // self.lots + 1, int(volume[-1]) // self.lots + 1, dtype=np.int64) * self.lots
        if ends.size:
            i = np.searchsorted(volume, ends)
            at_end = signed[i] - side[i] * (volume[i] - ends)
            self.imbalance = np.concatenate([self.imbalance, np.diff(at_end, prepend=self._told)])
            self.closed_ns = np.concatenate([self.closed_ns, clock_ns[i]])
            self._told = int(at_end[-1])
        self._volume, self._signed = int(volume[-1]), int(signed[-1])

    def _coarsen(self, more: int) -> None:
        """Double the size of a bucket until there is room for ``more``; buckets stay aligned to the tape's volume."""
        while self.imbalance.size + more > 2 * _BUCKETS_MAX:
            n = self.imbalance.size // 2
            odd = self.imbalance[2 * n :]  # half of a bucket that is open now
            self._told -= int(odd.sum())
            self.imbalance = self.imbalance[: 2 * n].reshape(n, 2).sum(axis=1)
            self.closed_ns = self.closed_ns[1 : 2 * n : 2]
            self.lots *= 2
            more = more // 2 + 1

    def vpin(self) -> NDArray[np.float64]:
        """Return VPIN at the end of each bucket; NaN before there are :data:`N_VPIN` of them."""
        total = np.cumsum(np.abs(self.imbalance))
        found = np.full(total.size, np.nan)
        if total.size >= N_VPIN:
            before = np.concatenate([[0], total[:-N_VPIN]])
            found[N_VPIN - 1 :] = (total[N_VPIN - 1 :] - before) / (N_VPIN * self.lots)
        return found

    def null(self) -> float:
        """Return the VPIN that independent sides of the same prints would give, sqrt(2 E[q^2] / (pi E[q] V))."""
        if not self._volume:
            return float("nan")
        return float(min(np.sqrt(2 * self._squares / (np.pi * self._volume * self.lots)), 1.0))

    def document(self, lot: float = 1.0) -> dict[str, Any]:
        """Return the buckets' size in base units, VPIN by bucket and the level of independent sides."""
        vpin = self.vpin()
        known = np.isfinite(vpin)
        return {
            "bucket": self.lots * lot,
            "buckets": int(self.imbalance.size),
            "in_a_vpin": N_VPIN,
            "null": self.null(),
            "ts_ns": self.closed_ns[known].tolist(),
            "vpin": vpin[known].tolist(),
        }
