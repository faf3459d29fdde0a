"""Which of the ticks that a question brings are new: pure.

The terminal answers with whole seconds of its server's clock, and several ticks share a millisecond, so that every
question asks for the second of the newest tick again. Its list of ticks only grows at the end: of the rows from that
second on, as many as were there before are passed over. Where the row at that place is not the one that was there (the
terminal loaded its history anew), everything after the last tick known by its time is taken, and it is told.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["TickPoll"]


class TickPoll:
    """Follows the ticks of one symbol.

    Parameters
    ----------
    from_ms
        Where to begin, by the server's clock; ticks of before are passed over.

    Examples
    --------
    >>> from tapebook.venues.mt5.wire import TICK
    >>> def at(*times):
    ...     rows = np.zeros(len(times), TICK)
    ...     rows["time_msc"] = times
    ...     return rows
    >>> poll = TickPoll(5_000)
    >>> poll.take(at(5_200, 5_300, 5_300))["time_msc"].tolist(), poll.from_s
    ([5200, 5300, 5300], 5)
    >>> poll.take(at(5_200, 5_300, 5_300, 5_300, 6_100))["time_msc"].tolist(), poll.from_s
    ([5300, 6100], 6)
    """

    def __init__(self, from_ms: int) -> None:
        self.from_s = from_ms // 1000
        self.reloaded = 0  # how often the terminal's history was another one
        self._begin_ms = from_ms
        self._known = 0  # rows at or after from_s that were seen
        self._newest: NDArray[Any] | None = None

    def take(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of an answer (of a question from ``from_s`` on) that are new, in order."""
        ms = rows["time_msc"]
        known = self._known
        if self._newest is None:
            new = rows[ms >= self._begin_ms]
        elif rows.size >= known and rows[known - 1].tobytes() == self._newest.tobytes():
            new = rows[known:]
        else:
            self.reloaded += 1
            new = rows[ms > self._newest["time_msc"]]
        if new.size:
            self._newest = new[-1].copy()
            self.from_s = int(new["time_msc"][-1]) // 1000
        if self._newest is not None:
            self._known = int(np.count_nonzero(ms >= self.from_s * 1000))
        return new
