"""Short tapes, written as one line an event."""

from __future__ import annotations

from tapebook.market.events import MISSING, Events, Flag, Kind, Side, empty_events

PX = 1_000_000_000
BID, ASK = Side.BID, Side.ASK


def tape(*rows: Events) -> Events:
    e = empty_events(len(rows))
    for i, row in enumerate(rows):
        e[i] = row[0]
    return e


def event(
    kind: Kind,
    side: int = 0,
    price: float | None = None,
    qty: int | None = None,
    *,
    order_id: int = 0,
    count: int | None = None,
    flags: Flag = Flag.LAST,
    ts: int = 0,
    instrument_id: int = 1,
) -> Events:
    e = empty_events(1)
    e["kind"], e["side"], e["flags"], e["order_id"], e["ts_event_ns"] = kind, side, flags, order_id, ts
    e["price"] = MISSING if price is None else round(price * PX)
    e["qty_lots"] = MISSING if qty is None else qty
    e["instrument_id"] = instrument_id
    if count is not None:
        e["count"] = count
    return e


def add(order_id: int, side: int, price: float, qty: int, flags: Flag = Flag.LAST, *, ts: int = 0) -> Events:
    return event(Kind.ADD, side, price, qty, order_id=order_id, flags=flags, ts=ts)


def cancel(order_id: int, side: int, price: float, qty: int, flags: Flag = Flag.LAST) -> Events:
    return event(Kind.CANCEL, side, price, qty, order_id=order_id, flags=flags)


def execute(order_id: int, side: int, price: float, qty: int, flags: Flag = Flag.LAST) -> Events:
    return event(Kind.EXECUTE, side, price, qty, order_id=order_id, flags=flags)


def modify(order_id: int, side: int, price: float, qty: int, flags: Flag = Flag.LAST) -> Events:
    return event(Kind.MODIFY, side, price, qty, order_id=order_id, flags=flags)


def level(
    side: int, price: float, qty: int, count: int | None = None, flags: Flag = Flag.LAST, *, ts: int = 0
) -> Events:
    return event(Kind.LEVEL, side, price, qty, count=count, flags=flags, ts=ts)


def quote(side: int, price: float | None, qty: int | None, flags: Flag = Flag.LAST) -> Events:
    return event(Kind.QUOTE, side, price, qty, flags=flags)
