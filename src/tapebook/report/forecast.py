"""What the touch says about the next seconds.

Is the microprice nearer to the future mid than the mid is, and where does the mid go from a given imbalance? The
future is the mid ``ahead_s`` seconds after the end of a second. It is used to judge, never to make a feature.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import MISSING

__all__ = ["Forecast"]

BINS: Final = 10


class Forecast:
    """Errors of mid and microprice against the later mid, and the mean move by imbalance, over rows of one second."""

    def __init__(self, ahead_s: int = 5) -> None:
        self.ahead_s = ahead_s
        self._left: NDArray[Any] | None = None
        self.n = 0
        self._errors = np.zeros(2)  # squared error of the mid and of the microprice, in 1e-18
        self._by_bin = np.zeros((BINS, 4))  # n, move, moves up, moves down

    def see(self, seconds: NDArray[Any]) -> None:
        """Take in further rows of one second."""
        rows = seconds if self._left is None else np.concatenate([self._left, seconds])
        if not rows.size:
            return
        index = rows["index"]
        known = int(np.searchsorted(index, index[-1] - self.ahead_s, side="right"))
        future = np.searchsorted(index, index[:known] + self.ahead_s, side="right") - 1
        now, then = rows[:known], rows[future]
        self._left = rows[known:].copy()
        good = (now["ask_px"] != MISSING) & (now["bid_px"] != MISSING) & (now["bid_px"] < now["ask_px"])
        good &= (then["mid2_last"] != MISSING) & (then["session"] == now["session"]) & np.isfinite(now["microprice"])
        good &= np.isfinite(now["imbalance"])
        now, then = now[good], then[good]
        mid = (now["bid_px"] + now["ask_px"]) / 2
        later = then["mid2_last"] / 2
        self.n += mid.size
        self._errors += (((later - mid) ** 2).sum(), ((later - now["microprice"]) ** 2).sum())
        bins = np.clip(((now["imbalance"] + 1) / 2 * BINS).astype(np.int64), 0, BINS - 1)
        move = later - mid
        for column, weight in enumerate((np.ones(move.size), move, move > 0, move < 0)):
            self._by_bin[:, column] += np.bincount(bins, weights=weight, minlength=BINS)

    def errors_e9(self) -> tuple[float, float]:
        """Return the root mean squared error of the mid and of the microprice, in 1e-9; NaN without rows."""
        if not self.n:
            return float("nan"), float("nan")
        mid, micro = np.sqrt(self._errors / self.n).tolist()
        return mid, micro

    def by_imbalance(self) -> list[dict[str, float]]:
        """Return, for each tenth of [-1, 1]: seconds, the mean move in 1e-9, the shares of moves up and down."""
        table = []
        for i, (n, move, up, down) in enumerate(self._by_bin.tolist()):
            table.append(
                {
                    "imbalance_from": round(-1 + 2 * i / BINS, 9),
                    "imbalance_to": round(-1 + 2 * (i + 1) / BINS, 9),
                    "seconds": n,
                    "move_e9": move / n if n else float("nan"),
                    "up": up / n if n else float("nan"),
                    "down": down / n if n else float("nan"),
                }
            )
        return table
