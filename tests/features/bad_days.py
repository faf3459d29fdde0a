"""Orderly trading days in three dialects, and the ways in which a real feed spoils them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tapebook.market.events import MISSING, Events, Flag, Kind, Phase, SideSource, empty_events

TICK: Final = 250_000_000
SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
START_NS: Final = 19_700 * DAY + 36_000 * SECOND
"""Ten o'clock UTC: hours from either end of the day."""

DIALECTS: Final = ("orders", "levels", "quotes")
DEPTH: Final = 10
_LAST, _NONE = int(Flag.LAST), 0

Record = tuple[int, int, int, int, int, int, int, int]
"""Stamp, kind, side, price, lots, order, flags, detail."""


class Market:
    """A market that keeps ten levels a side, telling what happens in one dialect.

    ``orders``: adds, cancels and executions. ``levels``: levels set. ``quotes``: both best prices. Prints in each.
    """

    def __init__(self, dialect: str, seed: int = 1, *, mid_ticks: int = 4_000) -> None:
        self.dialect, self.rng, self.now, self.mid_ticks = dialect, np.random.default_rng(seed), START_NS, mid_ticks
        self.records: list[Record] = []
        self.sides: tuple[dict[int, list[list[int]]], ...] = ({}, {})  # price in ticks -> orders: [id, lots]
        self._ids, self._told = 0, [(MISSING, MISSING)] * 2
        for s in (0, 1):
            self.fill(s)
        self.end()

    # What happens.

    def moments(self, n: int, *, trades: bool = True) -> None:
        """Let ``n`` things happen, a message each."""
        for _ in range(n):
            self.now += 1_000_000 * int(self.rng.exponential(400) + 1)
            roll, s = self.rng.random(), int(self.rng.integers(0, 2))
            if roll < 0.3 and trades:
                self.trade(s)
            elif roll < 0.5 and self.best(1) - self.best(0) > 1:
                self.join(s, self.best(s) + (-1 if s else 1), int(self.rng.integers(5, 40)))
            else:
                px = sorted(self.sides[s], reverse=s == 0)[int(self.rng.integers(0, DEPTH))]
                if self.rng.random() < 0.5 or self.lots(s, px) < 2:
                    self.join(s, px, int(self.rng.integers(1, 20)))
                else:
                    self.leave(s, px, int(self.rng.integers(1, self.lots(s, px))))
            self.end()

    def trade(self, s: int) -> None:
        """Let somebody take a part of the best level of a side, or all of it."""
        px = self.best(s)
        here = self.lots(s, px)
        qty = here if self.rng.random() < 0.3 else int(self.rng.integers(1, here + 1))
        self.tell(Kind.TRADE, 1 if s else -1, px * TICK, qty)
        self.leave(s, px, qty, Kind.EXECUTE)
        for side in (0, 1):
            while len(self.sides[side]) < DEPTH:
                far = max(self.sides[1]) + 1 if side else min(self.sides[0]) - 1
                self.join(side, far, int(self.rng.integers(5, 40)))

    def join(self, s: int, px: int, qty: int) -> None:
        """Add an order."""
        self._ids += 1
        self.sides[s].setdefault(px, []).append([self._ids, qty])
        if self.dialect == "orders":
            self.tell(Kind.ADD, -1 if s else 1, px * TICK, qty, order_id=self._ids)
        elif self.dialect == "levels":
            self.tell(Kind.LEVEL, -1 if s else 1, px * TICK, self.lots(s, px))

    def leave(self, s: int, px: int, qty: int, kind: int = Kind.CANCEL) -> None:
        """Take lots off the front of a level."""
        level = self.sides[s][px]
        while qty > 0:
            take = min(qty, level[0][1])
            level[0][1] -= take
            qty -= take
            if self.dialect == "orders":
                self.tell(kind, -1 if s else 1, px * TICK, take, order_id=level[0][0])
            if level[0][1] == 0:
                level.pop(0)
        if self.dialect == "levels":
            self.tell(Kind.LEVEL, -1 if s else 1, px * TICK, self.lots(s, px))
        if not level:
            del self.sides[s][px]

    def empty(self, s: int) -> None:
        """Take everything off a side, a message each."""
        for px in sorted(self.sides[s], reverse=s == 0):
            self.now += 10_000_000
            self.leave(s, px, self.lots(s, px))
            self.end()

    def fill(self, s: int) -> None:
        """Put ten levels on an empty side, next to the other side."""
        other = self.sides[1 - s]
        first = (max(other) + 1 if s else min(other) - 1) if other else self.mid_ticks
        for k in range(DEPTH):
            self.join(s, first + (k if s else -k), int(self.rng.integers(5, 40)))

    def prints(self, n: int = 6, **told: Any) -> None:
        """Let prints come that move no level."""
        for k in range(n):
            self.now += 100_000_000
            self.tell(**{"kind": Kind.TRADE, "side": 1 - 2 * (k % 2), "price": self.mid_ticks * TICK, "qty": 3} | told)
            self.end()

    # How it is told.

    def best(self, s: int) -> int:
        """Best price of a side in ticks."""
        return min(self.sides[1]) if s else max(self.sides[0])

    def lots(self, s: int, px: int) -> int:
        """Lots of a level."""
        return sum(order[1] for order in self.sides[s].get(px, []))

    def tell(
        self, kind: int, side: int, price: int, qty: int, *, order_id: int = 0, flags: int = _NONE, detail: int = 0
    ) -> None:
        """Append a record."""
        self.records.append((self.now, int(kind), side, price, qty, order_id, flags, detail))

    def end(self, flags: int = _NONE) -> None:
        """End a message; in quotes, tell the best prices if they are others."""
        if self.dialect == "quotes":
            best = [(self.best(s), self.lots(s, self.best(s))) if self.sides[s] else (MISSING, MISSING) for s in (0, 1)]
            if best != self._told:
                for s, (px, qty) in enumerate(best):
                    self.tell(Kind.QUOTE, -1 if s else 1, MISSING if px == MISSING else px * TICK, qty, flags=flags)
            self._told = best
        if self.records:
            *first, last_flags, detail = self.records[-1]
            self.records[-1] = (*first, last_flags | _LAST, detail)  # type: ignore[assignment]  # mypy loses the length

    def tell_all(self, flags: int = _NONE) -> None:
        """Tell the whole book again."""
        self._told = [(0, 0)] * 2
        for s in (0, 1):
            for px in sorted(self.sides[s], reverse=s == 0):
                if self.dialect == "levels":
                    self.tell(Kind.LEVEL, -1 if s else 1, px * TICK, self.lots(s, px), flags=flags)
                elif self.dialect == "orders":
                    for order_id, qty in self.sides[s][px]:
                        self.tell(Kind.ADD, -1 if s else 1, px * TICK, qty, order_id=order_id, flags=flags)
        self.end(flags)

    def stamp(self, first: int, ts_ns: int) -> None:
        """Damage the stamps of all records from ``first`` on."""
        self.records[first:] = [(ts_ns, *record[1:]) for record in self.records[first:]]

    def events(self) -> Events:
        """Return everything as events of instrument 1."""
        e = empty_events(len(self.records))
        names = ("ts_event_ns", "kind", "side", "price", "qty_lots", "order_id", "flags", "detail")
        for name, column in zip(names, zip(*self.records, strict=True), strict=True):
            e[name] = column
        e["ts_recv_ns"] = e["ts_event_ns"]
        e["instrument_id"], e["sequence"] = 1, np.arange(e.size)
        e["side_source"][e["kind"] == Kind.TRADE] = SideSource.VENUE
        return e


def one_sided(m: Market) -> None:
    """The asks go, and come back."""
    m.empty(1)
    m.prints()
    m.join(0, m.best(0) + 2, 5)
    m.end()
    m.prints()
    m.fill(1)
    m.end()


def empty_book(m: Market) -> None:
    """Both sides go; minutes later another market stands there."""
    m.empty(1)
    m.empty(0)
    m.prints()
    m.now += 100 * SECOND
    m.prints()
    m.fill(1)
    m.end()
    m.fill(0)
    m.end()


def _bid_at(m: Market, ticks_through: int) -> None:
    px = m.best(1) + ticks_through
    m.join(0, px, 7)
    m.end()
    for _ in range(5):
        m.prints(3)
        m.join(1, max(m.sides[1]) + 1, 5)
        m.end()
    m.leave(0, px, m.lots(0, px))
    m.end()


def crossed(m: Market) -> None:
    """A bid stands above the asks for a while."""
    _bid_at(m, 3)


def locked(m: Market) -> None:
    """A bid stands at the best ask for a while."""
    _bid_at(m, 0)


def prints_of_nothing(m: Market) -> None:
    """Prints of no lots, of fewer than none, without a price, without a size, without a side."""
    px = m.best(1) * TICK
    for price, qty, side in (
        (px, 0, 1),
        (px, MISSING, 1),
        (px, -5, -1),
        (MISSING, 5, 1),
        (MISSING, MISSING, 0),
        (px, 5, 0),
    ):
        m.prints(3, price=price, qty=qty, side=side)


def prints_below_zero(m: Market) -> None:
    """Prints at zero and below it."""
    m.prints(5, price=0)
    m.prints(5, price=-37_630_000_000)


def damaged_stamps(m: Market) -> None:
    """No stamps for a while; then wild ones, a message each."""
    first = len(m.records)
    m.moments(20)
    m.stamp(first, MISSING)
    now = m.now
    for wild in (0, -5, 1 << 62, now + 40 * DAY, now - 40 * DAY, now - 3 * SECOND, (1 << 63) - 1):
        first = len(m.records)
        while len(m.records) < first + 2:  # more records than one, all of the same stamp
            m.trade(int(m.rng.integers(0, 2)))
        m.end()
        m.stamp(first, wild)
        m.moments(2)


def cleared(m: Market) -> None:
    """The book is cleared, and comes back as a snapshot."""
    m.tell(Kind.CLEAR, 0, MISSING, MISSING, flags=_LAST)
    m.prints()
    m.tell_all(int(Flag.SNAPSHOT))


def cleared_for_good(m: Market) -> None:
    """The book is cleared, and what stands there afterwards is news."""
    m.tell(Kind.CLEAR, 0, MISSING, MISSING, flags=_LAST)
    m.now += 2 * SECOND
    m.tell_all()


def messages_missing(m: Market) -> None:
    """A hole in the numbers of the messages."""
    m.tell_all(int(Flag.GAP) | int(Flag.SNAPSHOT))


def halted(m: Market) -> None:
    """Trading stops, prints and changes come all the same, and it goes on."""
    m.tell(Kind.STATUS, 0, MISSING, MISSING, flags=_LAST, detail=int(Phase.HALT))
    m.prints()
    m.moments(10)
    m.now += 60 * SECOND
    m.tell(Kind.STATUS, 0, MISSING, MISSING, flags=_LAST, detail=int(Phase.OPEN))


def silent(m: Market) -> None:
    """Nothing comes for three hours."""
    m.now += 3 * 3_600 * SECOND


def stub_quotes(m: Market) -> None:
    """Nobody quotes but at a tick and at two hundred thousand."""
    m.empty(1)
    m.empty(0)
    m.join(1, 800_000, 1)
    m.join(0, 1, 1)
    m.end()
    m.prints()
    m.leave(1, 800_000, 1)
    m.leave(0, 1, 1)
    m.end()
    m.fill(0)
    m.fill(1)
    m.end()


def day_without_trades(m: Market) -> None:
    """A day of quotes between two others."""
    m.now += DAY - 1_000 * SECOND
    m.moments(600, trades=False)
    m.now += DAY - 1_000 * SECOND


def day_without_quotes(m: Market) -> None:
    """A day of prints between two others."""
    m.now += DAY - 1_000 * SECOND
    m.prints(300)
    m.now += DAY - 1_000 * SECOND


STRETCHES: Final[tuple[Callable[[Market], None], ...]] = (
    one_sided,
    empty_book,
    crossed,
    locked,
    prints_of_nothing,
    prints_below_zero,
    damaged_stamps,
    cleared,
    cleared_for_good,
    messages_missing,
    halted,
    silent,
    stub_quotes,
    day_without_trades,
    day_without_quotes,
)
