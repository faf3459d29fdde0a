"""Aggressive orders out of a tape, as the events of a Hawkes process: one per order, of one session, in seconds.

The fills of one aggressive order are one event: left apart, they would excite each other with a gap of zero and pass
for self-excitation. Time is the venue's stamp (what the market did) or the receive stamp (what a live feature sees),
on the steady clock that one damaged stamp cannot move.

Orders that share a stamp because the clock is coarse (milliseconds at some venues) are spread evenly over one step of
that clock, in their order: at a gap of zero the likelihood of an ever faster kernel has no end.

One session at a time: a night is no quiet market, and a baseline that had to explain it would be wrong by day. The
window runs from the first to the last order of the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import trade_days
from tapebook.kernels import hawkes as kernel
from tapebook.kernels import touch
from tapebook.market.errors import ConfigurationError, DataQualityError
from tapebook.market.events import MISSING, clock_ns
from tapebook.market.instruments import Instrument
from tapebook.market.tape import Tape

__all__ = ["Clock", "Orders", "orders_of"]

Clock: TypeAlias = Literal["event", "receive"]

_S: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The aggressive orders of one session.

    Attributes
    ----------
    times_s
        Seconds since ``start_ns``, ascending.
    types
        0 bought, 1 sold.
    horizon_s
        Length of the window: to the last order.
    merged, passed
        Fills that belong to an order before them; prints without an aggressor, crosses and off-book prints. Of all
        sessions.
    resolution_ns, spread
        Step of the clock, and orders that were moved within one.
    sessions
        Orders by trade date; ``session`` is the one taken.
    """

    instrument: Instrument
    times_s: NDArray[np.float64]
    types: NDArray[np.int64]
    start_ns: int
    horizon_s: float
    merged: int
    passed: int
    resolution_ns: int
    spread: int
    session: str
    sessions: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return what is not the orders themselves, JSON-able."""
        return {
            "symbol": self.instrument.symbol,
            "venue": self.instrument.venue,
            "orders": int(self.times_s.size),
            "bought": int((self.types == 0).sum()),
            "sold": int((self.types == 1).sum()),
            "start_ns": self.start_ns,
            "horizon_s": self.horizon_s,
            "merged_fills": self.merged,
            "passed_prints": self.passed,
            "resolution_ns": self.resolution_ns,
            "spread_orders": self.spread,
            "session": self.session,
            "sessions": self.sessions,
        }


def orders_of(
    tape: Tape, *, instrument: str = "", session: str = "", clock: Clock = "event", merge_ns: int = 0
) -> Orders:
    """Read the aggressive orders of one instrument and session.

    Parameters
    ----------
    instrument
        Its symbol; empty takes the one with the most orders.
    session
        Trade date, YYYY-MM-DD; empty takes the one with the most orders.
    clock
        ``event`` for the venue's time, ``receive`` for ours.
    merge_ns
        How much later than the print before it (on the same side) a fill of one order may be stamped.

    Raises
    ------
    ConfigurationError
        If there is no such instrument or session.
    DataQualityError
        If no print has an aggressor.
    """
    if merge_ns < 0:
        raise ConfigurationError("a negative time to merge fills in", expected="0 or more ns", found=str(merge_ns))
    streams: dict[int, _Stream] = {}
    for block in tape.blocks():
        for instrument_id in np.unique(block["instrument_id"]).tolist():
            known = tape.instruments.get(instrument_id)
            if known is None or (instrument and known.symbol != instrument):
                continue
            streams.setdefault(instrument_id, _Stream(known.calendar)).fold(
                block[block["instrument_id"] == instrument_id], clock, merge_ns
            )
    if not streams:
        raise ConfigurationError(
            "no such instrument on this tape",
            expected=", ".join(sorted(i.symbol for i in tape.instruments.values())[:12]) or "an instrument",
            found=instrument or "no events",
            where=tape.origin.name,
        )
    chosen, stream = max(streams.items(), key=lambda pair: pair[1].n)
    if stream.n == 0:
        raise DataQualityError(
            "no print of this tape has an aggressor",
            expected="trades with a side",
            found=f"{int(stream.order[kernel.ORDER_PASSED])} prints without one",
            where=tape.origin.name,
            remedy="use a source that tells the aggressor, or classify the trades first",
        )
    return stream.take(tape.instruments[chosen], session)


class _Stream:
    """The orders of one instrument while the tape is read."""

    def __init__(self, calendar: str) -> None:
        self.calendar = calendar
        self.n = 0
        self.order = np.zeros(kernel.ORDER_N, np.int64)
        self.order[kernel.ORDER_STAMP] = MISSING
        self._clock = np.zeros(touch.CLOCK_N, np.int64)
        self._clock[touch.CLOCK_NOW] = MISSING
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def fold(self, events: NDArray[np.void], clock: Clock, merge_ns: int) -> None:
        stamp = np.ascontiguousarray(events["ts_event_ns"])
        steady = np.empty(events.size, np.int64)
        touch.steady_clock(stamp if clock == "event" else clock_ns(events), self._clock, steady)
        places, times_ns = np.empty(events.size, np.int64), np.empty(events.size, np.int64)
        n = kernel.aggressive_orders(events, stamp, steady, merge_ns, self.order, places, times_ns)
        self.n += n
        self._parts.append((times_ns[:n].copy(), np.where(events["side"][places[:n]] > 0, 0, 1)))

    def take(self, instrument: Instrument, session: str) -> Orders:
        times_ns, types = (np.concatenate([p[i] for p in self._parts]) for i in (0, 1))
        stamped = times_ns != MISSING
        times_ns, types = np.maximum.accumulate(times_ns[stamped]), types[stamped]
        days = trade_days(self.calendar, times_ns)
        dates, counts = np.unique(days, return_counts=True)
        names = [str(np.datetime64(int(d), "D")) if d != MISSING else "unknown" for d in dates]
        sessions = dict(zip(names, counts.tolist(), strict=True))
        if session and session not in sessions:
            raise ConfigurationError(
                "no orders in that session", expected=", ".join(names[:12]), found=session, where="--session"
            )
        if not sessions:
            raise DataQualityError("no order has a time", expected="stamped trades", found=f"{self.n} without")
        name = session or max(sessions, key=lambda s: sessions[s])
        inside = days == dates[names.index(name)]
        times_ns, types = times_ns[inside], types[inside]
        start_ns = int(times_ns[0])
        resolution_ns = _resolution(times_ns)
        times_s, spread = _spread(times_ns - start_ns, resolution_ns)
        return Orders(
            instrument=instrument,
            times_s=times_s,
            types=types,
            start_ns=start_ns,
            horizon_s=float(times_s[-1]),
            merged=int(self.order[kernel.ORDER_MERGED]),
            passed=int(self.order[kernel.ORDER_PASSED]),
            resolution_ns=resolution_ns,
            spread=spread,
            session=name,
            sessions=sessions,
        )


def _resolution(times_ns: NDArray[np.int64]) -> int:
    """Return the step of the clock: what (nearly) all stamps are multiples of."""
    for step in (1_000_000_000, 1_000_000, 1_000):
        if (times_ns % step == 0).mean() > 0.999:
            return step
    return 1


def _spread(since_ns: NDArray[np.int64], resolution_ns: int) -> tuple[NDArray[np.float64], int]:
    """Return seconds in which no two orders share a time, and how many were moved.

    >>> _spread(np.array([0, 0, 1_000_000]), 1_000_000)
    (array([0.    , 0.0005, 0.001 ]), 1)
    """
    first = np.concatenate([[True], np.diff(since_ns) > 0])
    group = np.cumsum(first) - 1
    starts = np.flatnonzero(first)
    size = np.diff(np.append(starts, since_ns.size))
    rank = np.arange(since_ns.size) - starts[group]
    moved = rank / size[group] * resolution_ns
    return (since_ns + moved) * _S, int((rank > 0).sum())
