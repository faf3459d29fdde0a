"""Pauses inside open sessions, sessions that begin late or end early, and completeness in percent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING
from tapebook.market.instruments import Instrument
from tapebook.market.sessions import SessionPhase, calendar
from tapebook.quality.findings import Finding

_EDGE_NS: Final = 15 * 60 * 1_000_000_000
"""A session whose first event is later than this after its opening began without the recorder."""


@dataclass
class Silence:
    """Watches the clock of one instrument's events.

    Only time in which the venue is open counts. A pause is cut at session edges: the night between two sessions is no
    silence.
    """

    instrument: Instrument
    silent_ns: int
    pauses: list[tuple[int, int]] = field(default_factory=list)  # start, end of the longest ones
    n_pauses: int = 0
    paused_ns: int = 0
    first_pause_ns: int = MISSING
    first_ns: int = MISSING
    last_ns: int = MISSING

    _KEEP: Final = 20

    def see(self, stamps: NDArray[np.int64]) -> None:
        """Take in the clock of the next events."""
        stamps = stamps[stamps != MISSING]
        if not stamps.size:
            return
        if self.last_ns == MISSING:
            self.first_ns = int(stamps[0])
            self.last_ns = int(stamps[0])
        running = np.maximum.accumulate(np.concatenate([[self.last_ns], stamps]))
        gaps = np.diff(running)
        self.last_ns = int(running[-1])
        for i in np.flatnonzero(gaps > self.silent_ns).tolist():
            self._pause(int(running[i]), int(running[i + 1]))

    def _pause(self, start: int, end: int) -> None:
        for open_ns, close_ns in open_spans(self.instrument.calendar, start, end):
            length = close_ns - open_ns
            if length <= self.silent_ns:
                continue
            self.n_pauses += 1
            self.paused_ns += length
            if self.first_pause_ns == MISSING:
                self.first_pause_ns = open_ns
            self.pauses.append((open_ns, close_ns))
            self.pauses.sort(key=lambda p: p[0] - p[1])
            del self.pauses[self._KEEP :]

    def completeness(self) -> float:
        """Return the share of open time between first and last event that is free of silence; NaN if never open."""
        spans = open_spans(self.instrument.calendar, self.first_ns, self.last_ns) if self.first_ns != MISSING else []
        total = sum(b - a for a, b in spans)
        return 1 - self.paused_ns / total if total else float("nan")

    def findings(self) -> list[Finding]:
        """Return silent periods and sessions seen in part."""
        if self.first_ns == MISSING:
            return []
        found = []
        if self.n_pauses:
            longest = self.pauses[0]
            found.append(
                Finding(
                    name="silent",
                    severity="warning" if self.completeness() < 0.99 else "info",
                    count=self.n_pauses,
                    share=1 - self.completeness(),
                    symbol=self.instrument.symbol,
                    first_ts_ns=self.first_pause_ns,
                    details={
                        "longer_than_s": self.silent_ns / 1e9,
                        "in_all_s": self.paused_ns / 1e9,
                        "longest_s": (longest[1] - longest[0]) / 1e9,
                        "longest_from_ns": longest[0],
                    },
                )
            )
        return found + self._edges()

    def _edges(self) -> list[Finding]:
        if self.instrument.calendar == "24-7":
            return []
        found = []
        first = _open_session(self.instrument.calendar, self.first_ns)
        if first is not None and self.first_ns - first[0] > _EDGE_NS:
            found.append(self._edge("session_start_missing", self.first_ns, self.first_ns - first[0]))
        last = _open_session(self.instrument.calendar, self.last_ns)
        if last is not None and last[1] - self.last_ns > _EDGE_NS:
            found.append(self._edge("session_end_missing", self.last_ns, last[1] - self.last_ns))
        return found

    def _edge(self, name: str, at_ns: int, missing_ns: int) -> Finding:
        return Finding(
            name=name,
            severity="info",
            count=1,
            symbol=self.instrument.symbol,
            first_ts_ns=at_ns,
            details={"missing_s": missing_ns / 1e9},
        )


def open_spans(calendar_name: str, start_ns: int, end_ns: int) -> list[tuple[int, int]]:
    """Return the parts of a time span in which the venue is open."""
    if calendar_name == "24-7":
        return [(start_ns, end_ns)] if end_ns > start_ns else []
    spans = []
    try:
        sessions = calendar(calendar_name).sessions_between(start_ns, max(end_ns, start_ns + 1))
    except ConfigurationError:  # a damaged stamp outside the calendar's years: nothing is known to be open there
        return []
    for session in sessions:
        a, b = max(session.open_ns, start_ns), min(session.close_ns, end_ns)
        if b > a:
            spans.append((a, b))
    return spans


def _open_session(calendar_name: str, at_ns: int) -> tuple[int, int] | None:
    """Return the session that is open at a time."""
    phase = calendar(calendar_name).phases(np.array([at_ns]), outside="missing")[0]
    if phase not in (SessionPhase.OPEN, SessionPhase.RTH):
        return None
    for session in calendar(calendar_name).sessions_between(at_ns, at_ns + 1):
        if session.open_ns <= at_ns <= session.close_ns:
            return session.open_ns, session.close_ns
    return None
