"""Golden pairs: what a venue sends, and the events that it means. Each venue's lie in ``golden_<venue>.py``."""

from __future__ import annotations

from dataclasses import dataclass, field

from tapebook.market.events import COUNT_MISSING, MISSING, Events

Row = tuple[int, int, int, int, int, int, int, int]
"""kind, side, price, qty_lots, ts_event_ns, flags, channel, side_source"""


@dataclass(frozen=True)
class Golden:
    """One message and its events; ``before`` are messages that came first, whose events do not count here."""

    name: str
    frame: bytes
    rows: tuple[Row, ...]
    before: tuple[bytes, ...] = ()
    quarantined: tuple[str, ...] = ()  # reasons
    notes: dict[str, int] = field(default_factory=dict)  # among others
    instrument_id: int = 1
    sequences: tuple[int, ...] = ()  # where the venue numbers its messages
    details: tuple[int, ...] = ()  # where they are not all 0


def rows_of(events: Events, ts_recv_ns: int, pair: Golden) -> tuple[Row, ...]:
    """Return events as golden rows; what every event of a venue has is checked on the way."""
    n = events.size
    assert (events["ts_recv_ns"] == ts_recv_ns).all()
    assert (events["instrument_id"] == pair.instrument_id).all()
    assert (events["order_id"] == 0).all()
    assert (events["count"] == COUNT_MISSING).all()
    assert events["sequence"].tolist() == list(pair.sequences or (MISSING,) * n)
    assert events["detail"].tolist() == list(pair.details or (0,) * n)
    names = ("kind", "side", "price", "qty_lots", "ts_event_ns", "flags", "channel", "side_source")
    return tuple(zip(*(events[name].tolist() for name in names), strict=True))
