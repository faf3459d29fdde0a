"""The book from its definition: dicts, and ``sorted`` to see it. Slow and obvious; keep it so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapebook.market.events import MISSING, Events, Flag, Kind

LOTS_MAX = 2**61
COUNT_MAX = 2**30
BOOK_KINDS = {Kind.LEVEL, Kind.QUOTE, Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE}


@dataclass
class Rest:
    """A level: known orders in the order of their priority, and an anonymous rest (None: unknown)."""

    orders: dict[int, int] = field(default_factory=dict)
    lots: int | None = 0
    count: int | None = 0

    @property
    def total(self) -> int:
        return MISSING if self.lots is None else self.lots + sum(self.orders.values())

    @property
    def n_orders(self) -> int:
        return MISSING if self.count is None else self.count + len(self.orders)

    @property
    def gone(self) -> bool:
        return not self.orders and self.lots == 0


class OracleBook:
    """``by_order=False`` is the ladder: ids mean nothing, and MODIFY cannot be followed."""

    def __init__(self, *, by_order: bool = True, always_to_back: bool = False) -> None:
        self.by_order, self.always_to_back = by_order, always_to_back
        self.sides: dict[int, dict[int, Rest]] = {1: {}, -1: {}}
        self.where: dict[int, tuple[int, int]] = {}
        self.quoted: dict[int, int | None] = {1: None, -1: None}
        self.counts: Counter[str] = Counter()

    # What can be asked -----------------------------------------------------------------------------------------------

    def levels(self, side: int) -> list[tuple[int, int, int]]:
        best_first = sorted(self.sides[side], reverse=side > 0)
        return [(p, self.sides[side][p].total, self.sides[side][p].n_orders) for p in best_first]

    def best(self, side: int) -> int | None:
        prices = self.sides[side]
        return (max(prices) if side > 0 else min(prices)) if prices else None

    def row(self, n: int) -> list[int]:
        absent = (MISSING, MISSING, MISSING)
        sides = [(self.levels(s) + [absent] * n)[:n] for s in (1, -1)]
        return [value for pair in zip(*sides, strict=True) for level in pair for value in level]

    def touch(self) -> list[int]:
        row = self.row(1)
        return [row[0], row[1] if row[0] != MISSING else 0, row[3], row[4] if row[3] != MISSING else 0]

    # What happens ----------------------------------------------------------------------------------------------------

    def apply(self, e: Any) -> None:
        kind, side, price, qty = (int(e[name]) for name in ("kind", "side", "price", "qty_lots"))
        flags, order_id = int(e["flags"]), int(e["order_id"])
        count = None if int(e["count"]) > COUNT_MAX else int(e["count"])
        self.counts["events"] += 1
        self._act(kind, side, price, qty, count, flags, order_id)
        if flags & Flag.LAST:
            self.counts["observed"] += 1
            bid, ask = self.best(1), self.best(-1)
            if bid is not None and ask is not None:
                self.counts["crossed"] += bid > ask
                self.counts["locked"] += bid == ask

    def _act(self, kind: int, side: int, price: int, qty: int, count: int | None, flags: int, order_id: int) -> None:
        if kind == Kind.TRADE:
            self.counts["trades"] += 1
        elif kind == Kind.STATUS:
            pass
        elif flags & Flag.INFO:
            self.counts["told_only"] += 1
        elif kind == Kind.CLEAR:
            self.counts["clears"] += 1
            for s in (1, -1):
                if side * s >= 0:
                    self._clear(s)
        elif kind not in BOOK_KINDS:
            self.counts["bad_kinds"] += 1
        elif side not in (1, -1):
            self.counts["bad_sides"] += 1
        elif price == MISSING:
            if kind == Kind.QUOTE or flags & Flag.TOB:
                self.counts["quotes"] += 1
                self._clear(side)
            else:
                self.counts["bad_prices"] += 1
        elif (
            qty > LOTS_MAX
            or (qty < 0 and not (kind == Kind.QUOTE and qty == MISSING))
            or (qty == 0 and kind in (Kind.ADD, Kind.CANCEL, Kind.EXECUTE))
        ):
            self.counts["bad_quantities"] += 1
        else:
            if flags & Flag.TOB:
                self._clear(side)
                if kind != Kind.LEVEL:
                    kind, count = Kind.LEVEL, None
            self._change(kind, side, price, qty, count, flags, order_id)

    def _change(self, kind: int, side: int, price: int, qty: int, count: int | None, flags: int, order_id: int) -> None:
        if kind == Kind.LEVEL:
            self.counts["levels_set"] += 1
            self._set(side, price, qty, count)
            self._confirm(side, price)
        elif kind == Kind.QUOTE:
            self.counts["quotes"] += 1
            stale = [p for p in self.sides[side] if (p - price) * side > 0 or (p == self.quoted[side] and p != price)]
            for p in sorted(stale):
                self._set(side, p, 0, None)
            if price not in self.sides[side] and qty != 0:
                self.quoted[side] = price
            self._set(side, price, qty, count)
        elif kind == Kind.ADD:
            self.counts["adds"] += 1
            self._add(side, price, qty, order_id, flags)
        elif kind == Kind.MODIFY:
            self._modify(side, price, qty, order_id)
        else:
            word = "cancels" if kind == Kind.CANCEL else "executions"
            self.counts[word] += 1
            self._take(side, price, qty, order_id, word)

    def _add(self, side: int, price: int, qty: int, order_id: int, flags: int) -> None:
        if not self.by_order or order_id == 0:
            rest = self.sides[side].setdefault(price, Rest())
            if rest.lots is not None and rest.lots + qty > LOTS_MAX:
                self.counts["bad_quantities"] += 1
                return
            rest.lots = None if rest.lots is None else rest.lots + qty
            rest.count = None if rest.count is None else rest.count + 1
            self._confirm(side, price)
            return
        if order_id in self.where:
            self.counts["restated_adds" if flags & Flag.SNAPSHOT else "repeated_adds"] += 1
            self._leave(order_id)
        self._join(side, price, qty, order_id)

    def _join(self, side: int, price: int, qty: int, order_id: int) -> None:
        rest = self.sides[side].get(price, Rest())
        if sum(rest.orders.values()) + qty > LOTS_MAX:
            self.counts["bad_quantities"] += 1
            return
        self.sides[side][price] = rest
        rest.orders[order_id] = qty
        self.where[order_id] = side, price
        self._confirm(side, price)

    def _modify(self, side: int, price: int, qty: int, order_id: int) -> None:
        if not self.by_order:
            self.counts["skipped_modifies"] += 1
            return
        self.counts["modifies"] += 1
        if order_id not in self.where:
            if qty == 0 or order_id == 0:
                self.counts["bad_quantities"] += 1
            else:
                self.counts["unknown_modifies"] += 1
                self._join(side, price, qty, order_id)
            return
        if qty == 0:
            self.counts["modifies_to_nothing"] += 1
            self._leave(order_id)
            return
        old_side, old_price = self.where[order_id]
        orders = self.sides[old_side][old_price].orders
        there = self.sides[side].get(price, Rest()).orders
        if sum(q for k, q in there.items() if k != order_id) + qty > LOTS_MAX:
            self.counts["bad_quantities"] += 1
        elif (old_side, old_price) == (side, price) and qty <= orders[order_id] and not self.always_to_back:
            orders[order_id] = qty
        elif (old_side, old_price) == (side, price):
            del orders[order_id]
            orders[order_id] = qty
        else:
            self._leave(order_id)
            self._join(side, price, qty, order_id)

    def _take(self, side: int, price: int, qty: int, order_id: int, word: str) -> None:
        if self.by_order and order_id in self.where:
            side_of, price_of = self.where[order_id]
            self.counts["misplaced"] += (side_of, price_of) != (side, price)
            orders = self.sides[side_of][price_of].orders
            if qty < orders[order_id]:
                orders[order_id] -= qty
                return
            self.counts["over_" + word] += qty > orders[order_id]
            self._leave(order_id)
            return
        rest = self.sides[side].get(price)
        if rest is not None and rest.lots is None:
            self.counts["anonymous_takes"] += 1
        elif rest is None or rest.lots is None or (rest.lots < qty and self.by_order):
            self.counts["orphan_" + word] += 1
        else:
            self.counts["anonymous_takes"] += self.by_order
            self.counts["over_" + word] += qty > rest.lots
            rest.lots = max(rest.lots - qty, 0)
            rest.count = 0 if rest.lots == 0 else None
            self._close_if_gone(side, price)

    def _set(self, side: int, price: int, total: int, count: int | None) -> None:
        rest = self.sides[side].setdefault(price, Rest())
        if total == MISSING:
            if rest.gone:
                rest.lots, rest.count = None, count
            return
        anonymous_before = not rest.orders
        while sum(rest.orders.values()) > total:
            self.counts["forgotten_orders"] += 1
            del self.where[list(rest.orders)[-1]]
            rest.orders.popitem()
        rest.lots = total - sum(rest.orders.values())
        others = None if count is None or count <= len(rest.orders) else count - len(rest.orders)
        rest.count = count if anonymous_before else (0 if rest.lots == 0 else others)
        self._close_if_gone(side, price)

    def _leave(self, order_id: int) -> None:
        side, price = self.where.pop(order_id)
        del self.sides[side][price].orders[order_id]
        self._close_if_gone(side, price)

    def _close_if_gone(self, side: int, price: int) -> None:
        if self.sides[side][price].gone:
            del self.sides[side][price]
            self._confirm(side, price)

    def _confirm(self, side: int, price: int) -> None:
        """The level is gone, or more than a quote now: the next quote must not take it for its own."""
        if self.quoted[side] == price:
            self.quoted[side] = None

    def _clear(self, side: int) -> None:
        self.where = {k: place for k, place in self.where.items() if place[0] != side}
        self.sides[side].clear()
        self.quoted[side] = None


def replay(events: Events, n_levels: int, **options: bool) -> tuple[np.ndarray[Any, Any], OracleBook]:
    """Return the book's best levels after each event with LAST, and the book at the end."""
    book = OracleBook(**options)
    rows = []
    for e in events:
        book.apply(e)
        if int(e["flags"]) & Flag.LAST:
            rows.append(book.row(n_levels))
    return np.array(rows, np.int64).reshape(-1, 6 * n_levels), book
