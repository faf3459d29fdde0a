"""DBN records, as the vendor's library decodes them into Python objects, to events: one `if` a case, whole lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import databento_dbn as dbn

from tapebook.market.events import COUNT_MISSING, MISSING, Flag, Kind, Phase, SideSource

UNDEF = (1 << 63) - 1
TIME_UNDEF = (1 << 64) - 1
SIZE_UNDEF = (1 << 32) - 1
SIDES = {"A": -1, "B": 1, "N": 0}
PHASES = {
    1: Phase.PRE_OPEN,
    2: Phase.AUCTION,
    3: Phase.QUOTING,
    4: Phase.AUCTION,
    5: Phase.AUCTION,
    7: Phase.OPEN,
    8: Phase.HALT,
    9: Phase.HALT,
    10: Phase.HALT,
    11: Phase.CLOSE,
    12: Phase.CLOSE,
    13: Phase.CLOSE,
    15: Phase.HALT,
}


@dataclass
class Event:
    kind: int
    side: int
    price: int
    qty_lots: int
    sequence: int
    ts_event_ns: int
    ts_recv_ns: int
    number: int  # the vendor's instrument id
    flags: int
    count: int = COUNT_MISSING
    order_id: int = 0
    channel: int = 0
    side_source: int = 0
    detail: int = 0


@dataclass
class Twin:
    schema: str
    views: dict[int, tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]] = field(default_factory=dict)

    def events(self, records: list[Any]) -> list[Event]:
        made = [self.record(r) for r in records]
        self.mark_ends(records, made)
        return [e for part in made for e in part]

    def record(self, r: Any) -> list[Event]:
        ts_event, ts_recv = time(r.ts_event), time(r.ts_recv)
        if isinstance(r, (dbn.BBOMsg, dbn.CBBOMsg)):
            ts_event, ts_recv = ts_recv, MISSING
        raw = getattr(r, "flags", 0)
        flags = sum(
            int(ours) for bit, ours in ((32, Flag.SNAPSHOT), (8, Flag.BAD_TS_RECV), (4, Flag.MAYBE_BAD)) if raw & bit
        )
        sequence = getattr(r, "sequence", MISSING)

        def make(kind: Kind, side: int, price: int, qty: int, **rest: Any) -> Event:
            return Event(
                **{
                    "kind": int(kind),
                    "side": side,
                    "price": price,
                    "qty_lots": qty,
                    "sequence": sequence,
                    "ts_event_ns": ts_event,
                    "ts_recv_ns": ts_recv,
                    "number": r.instrument_id,
                    "flags": flags,
                }
                | rest
            )

        def clear(side: int, **rest: Any) -> Event:
            return make(Kind.CLEAR, side, MISSING, MISSING, **rest)

        def trade() -> Event:
            side = SIDES[str(r.side)]
            return make(Kind.TRADE, side, r.price, r.size, side_source=int(SideSource.VENUE) if side else 0)

        def quotes() -> list[Event]:
            level = r.levels[0]
            both = []
            for side, px, sz, ct in (
                (1, level.bid_px, level.bid_sz, getattr(level, "bid_ct", COUNT_MISSING)),
                (-1, level.ask_px, level.ask_sz, getattr(level, "ask_ct", COUNT_MISSING)),
            ):
                if px == UNDEF:
                    both.append(make(Kind.QUOTE, side, MISSING, MISSING))
                else:
                    both.append(make(Kind.QUOTE, side, px, MISSING if sz == SIZE_UNDEF else sz, count=ct))
            return both

        if isinstance(r, dbn.StatusMsg):
            phase = PHASES.get(int(r.action))
            if phase is None:
                phase = Phase.OPEN if r.is_trading is True else Phase.QUOTING if r.is_quoting is True else Phase.UNKNOWN
            return [make(Kind.STATUS, 0, MISSING, MISSING, detail=int(phase))]
        if isinstance(r, (dbn.BBOMsg, dbn.CBBOMsg)):
            return quotes()
        action = str(r.action)
        if isinstance(r, dbn.MBOMsg):
            more = {"order_id": r.order_id, "channel": r.channel_id}
            side = SIDES[str(r.side)]
            if action == "N":
                return []
            if action == "R":
                return [clear(side, channel=r.channel_id)]
            if action == "T":
                one = trade()
                one.order_id, one.channel = r.order_id, r.channel_id
                return [one]
            if action == "F":
                return [make(Kind.EXECUTE, side, r.price, r.size, **more | {"flags": flags | Flag.INFO})]
            if raw & (64 | 16):
                tob = Flag.TOB if raw & 64 else 0
                if tob and r.price == UNDEF:
                    return [clear(side, channel=r.channel_id, flags=flags | tob)]
                qty = 0 if action == "C" else r.size
                return [make(Kind.LEVEL, side, r.price, qty, channel=r.channel_id, flags=flags | tob)]
            kind = {"A": Kind.ADD, "C": Kind.CANCEL, "M": Kind.MODIFY}[action]
            return [make(kind, side, MISSING if r.price == UNDEF else r.price, r.size, **more)]
        if isinstance(r, dbn.TradeMsg):
            return [trade()]
        if isinstance(r, dbn.MBP10Msg):
            made = [trade()] if action == "T" else []
            levels = []
            fresh = r.instrument_id not in self.views or action == "R"
            if r.instrument_id not in self.views:
                flags |= Flag.SNAPSHOT
                made = [
                    make(Kind.TRADE, e.side, e.price, e.qty_lots, side_source=e.side_source, flags=e.flags)
                    for e in made
                ]
            if fresh:
                levels.append(clear(0))
                self.views[r.instrument_id] = ({}, {})
            for side, old, new in zip((1, -1), self.views[r.instrument_id], self.sides(r), strict=True):
                for price in sorted(old.keys() | new.keys(), reverse=side > 0):
                    if price not in new:
                        beyond = len(new) == 10 and all(price * side < p * side for p in new)
                        levels.append(
                            make(Kind.LEVEL, side, price, 0, count=0, flags=flags | (Flag.VIEW if beyond else 0))
                        )
                    elif price not in old:
                        beyond = len(old) == 10 and all(price * side < p * side for p in old)
                        qty, count = new[price]
                        levels.append(
                            make(Kind.LEVEL, side, price, qty, count=count, flags=flags | (Flag.VIEW if beyond else 0))
                        )
                    elif new[price] != old[price]:
                        levels.append(make(Kind.LEVEL, side, price, new[price][0], count=new[price][1]))
            self.views[r.instrument_id] = self.sides(r)
            return made + levels
        # MBP-1, TBBO, CMBP-1, TCBBO
        if self.schema in ("tbbo", "tcbbo"):
            return [*quotes(), trade()]
        return [*([trade()] if action == "T" else [clear(0)] if action == "R" else []), *quotes()]

    @staticmethod
    def sides(r: Any) -> tuple[dict[int, tuple[int, int]], dict[int, tuple[int, int]]]:
        bids = {x.bid_px: (x.bid_sz, x.bid_ct) for x in r.levels if x.bid_px != UNDEF}
        asks = {x.ask_px: (x.ask_sz, x.ask_ct) for x in r.levels if x.ask_px != UNDEF}
        return bids, asks

    def mark_ends(self, records: list[Any], made: list[list[Event]]) -> None:
        own = (dbn.TradeMsg, dbn.BBOMsg, dbn.CBBOMsg, dbn.StatusMsg)
        waiting: dict[int, Event] = {}
        for i, (r, events) in enumerate(zip(records, made, strict=True)):
            if isinstance(r, own) or self.schema in ("tbbo", "tcbbo"):
                events[-1].flags |= Flag.LAST
                if self.schema in ("tbbo", "tcbbo"):
                    events[1].flags |= Flag.LAST
            else:
                if events:
                    waiting[r.instrument_id] = events[-1]
                if r.flags & 128 and r.instrument_id in waiting:
                    waiting.pop(r.instrument_id).flags |= Flag.LAST
            if i + 1 == len(records) or self.ends_between(r, records[i + 1]):
                for event in waiting.values():
                    event.flags |= Flag.LAST
                waiting.clear()

    @staticmethod
    def ends_between(a: Any, b: Any) -> bool:
        part_a = a.instrument_id if getattr(a, "flags", 0) & 32 else None
        part_b = b.instrument_id if getattr(b, "flags", 0) & 32 else None
        if part_a != part_b:
            return True
        return part_a is None and a.ts_event != b.ts_event and a.ts_recv != b.ts_recv


def time(ns: int) -> int:
    return MISSING if ns == TIME_UNDEF else ns
