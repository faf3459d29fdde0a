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


def rows_of(events: Events, ts_recv_ns: int, instrument_id: int) -> tuple[Row, ...]:
    """Return events as golden rows; what every event of a venue has is checked on the way."""
    assert (events["ts_recv_ns"] == ts_recv_ns).all()
    assert (events["instrument_id"] == instrument_id).all()
    assert (events["order_id"] == 0).all()
    assert (events["sequence"] == MISSING).all()
    assert (events["count"] == COUNT_MISSING).all()
    assert (events["detail"] == 0).all()
    names = ("kind", "side", "price", "qty_lots", "ts_event_ns", "flags", "channel", "side_source")
    return tuple(zip(*(events[name].tolist() for name in names), strict=True))
