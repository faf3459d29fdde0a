"""Clocks: decisions see the time of the last event; the wall clock stands here and nowhere else (ruff checks it)."""

from __future__ import annotations

import time
from typing import Protocol

from tapebook.market.events import MISSING, Events, clock_ns


class Clock(Protocol):
    """Tells the time in ns since 1970 UTC."""

    def now_ns(self) -> int:
        """Return the current time."""
        ...


class WallClock:
    """The machine's clock, for the edge of the program: receive stamps, file names, timeouts."""

    def now_ns(self) -> int:
        """Return the machine's time."""
        return time.time_ns()  # noqa: TID251 - the one place where the wall clock is read


class EventClock:
    """Stands at the receive time of the last event it was shown, live and in replay; never goes back.

    >>> from tapebook.market.events import empty_events
    >>> clock = EventClock()
    >>> block = empty_events(2)
    >>> block["ts_event_ns"] = [7, 5]
    >>> clock.see(block)
    >>> clock.now_ns()
    7
    """

    def __init__(self) -> None:
        self._now_ns = MISSING

    def see(self, events: Events) -> None:
        """Move to the latest time of ``events``."""
        if events.size:
            self._now_ns = max(self._now_ns, int(clock_ns(events).max()))

    def now_ns(self) -> int:
        """Return the time of the last event (MISSING before the first)."""
        return self._now_ns
