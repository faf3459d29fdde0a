"""A slow, obvious order book: the oracle that simulated tapes are checked with, and what the stylised facts watch.

Orders live in a dict by id, levels in a dict by price, and each side's prices in a heap that forgets late. With
``strict`` every rule of an order-level tape is asserted: no id twice, no cancel or execution of what does not rest,
executions in price-time priority, never crossed, and trades equal to executions message by message.
"""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import MISSING, Events, Flag, Kind

NAMES: Final = ("ts_event_ns", "kind", "side", "price", "qty_lots", "order_id", "flags")


class SmallBook:
    """Orders and levels of one instrument.

    ``watch`` feeds a block and leaves one row per observable state in ``touch``: time, best bid, its quantity, best
    ask, its quantity, orders at the best bid and ask (0 where a side is empty).
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.orders: dict[int, tuple[int, int, int]] = {}  # id -> side, price, qty
        self.levels: dict[int, dict[int, int]] = {1: {}, -1: {}}  # side -> price -> qty
        self.counts: dict[int, dict[int, int]] = {1: {}, -1: {}}  # side -> price -> orders
        self.queues: dict[int, dict[int, int]] = {}  # price -> id -> qty, in time priority (strict only)
        self.best: dict[int, int | None] = {1: None, -1: None}
        self._heaps: dict[int, list[int]] = {1: [], -1: []}  # -side * price of every level that was ever there
        self.touch: list[tuple[int, int, int, int, int, int, int]] = []
        self.life_ns: list[int] = []  # of orders that left by a whole cancel
        self.ids_seen: set[int] = set()
        self.traded = 0  # lots of TRADE records
        self.executed = 0  # lots of EXECUTE records
        self.removed = 0  # resting lots that left by execution
        self._born: dict[int, int] = {}
        self._message: dict[tuple[int, int], int] = {}  # (price, aggressor) -> traded minus executed in this message

    def watch(self, events: Events) -> None:
        """Apply ``events`` in order."""
        rows = zip(*(events[name].tolist() for name in NAMES), strict=True)
        for ts_ns, kind, side, price, qty, order_id, flags in rows:
            self.apply(ts_ns, kind, side, price, qty, order_id, flags)
            if flags & Flag.LAST:
                self._observe(ts_ns)

    def apply(self, ts_ns: int, kind: int, side: int, price: int, qty: int, order_id: int, flags: int) -> None:
        """Apply one event."""
        if kind == Kind.ADD:
            if self.strict:
                assert order_id not in self.orders, f"id {order_id} added twice"
                assert qty > 0, f"add of {qty} lots"
                opposite = self.best[-side]
                assert opposite is None or (opposite - price) * side > 0, f"add of side {side} at {price} crosses"
            self._put(order_id, side, price, qty)
            self._born[order_id] = ts_ns
            self.ids_seen.add(order_id)
        elif kind == Kind.CANCEL:
            self._take(order_id, price, qty, "cancel")
            if order_id not in self.orders and order_id in self._born:
                self.life_ns.append(ts_ns - self._born.pop(order_id))
        elif kind == Kind.MODIFY:
            self._modify(order_id, side, price, qty)
        elif kind == Kind.EXECUTE:
            self.executed += qty
            if self.strict:
                self._check_priority(order_id, side, price, qty)
                self._message[price, -side] = self._message.get((price, -side), 0) - qty
            if not flags & Flag.INFO:
                self.removed += qty
                self._take(order_id, price, qty, "execution")
        elif kind == Kind.TRADE:
            self.traded += qty
            if self.strict:
                assert qty > 0, f"trade of {qty} lots"
                self._message[price, side] = self._message.get((price, side), 0) + qty
        elif kind == Kind.LEVEL:
            self._set_level(side, price, qty)
        elif kind == Kind.QUOTE:
            self.levels[side].clear()
            self._heaps[side].clear()
            self.best[side] = None
            if price != MISSING:
                self._set_level(side, price, max(qty, 1))
        elif kind == Kind.CLEAR:
            self.orders.clear()
            self.queues.clear()
            for side_of in (*self.levels.values(), *self.counts.values()):
                side_of.clear()
            self.best = {1: None, -1: None}
            self._heaps = {1: [], -1: []}

    def _observe(self, ts_ns: int) -> None:
        bid, ask = self.best[1], self.best[-1]
        if self.strict:
            assert bid is None or ask is None or bid < ask, f"crossed: {bid} {ask} at {ts_ns}"
            assert not any(self._message.values()), f"trades and executions differ at {ts_ns}: {self._message}"
            self._message.clear()
        self.touch.append(
            (
                ts_ns,
                bid or 0,
                self.levels[1].get(bid, 0) if bid is not None else 0,
                ask or 0,
                self.levels[-1].get(ask, 0) if ask is not None else 0,
                self.counts[1].get(bid, 0) if bid is not None else 0,
                self.counts[-1].get(ask, 0) if ask is not None else 0,
            )
        )

    def _check_priority(self, order_id: int, side: int, price: int, qty: int) -> None:
        assert order_id in self.orders, f"execution of {order_id}, which does not rest"
        assert self.orders[order_id][0] == side, f"execution of {order_id} on the wrong side"
        assert price == self.best[side], f"execution at {price}, best is {self.best[side]}"
        assert next(iter(self.queues[price])) == order_id, f"execution of {order_id}, which is not first in its queue"
        assert 0 < qty <= self.orders[order_id][2], f"execution of {qty} lots of {self.orders[order_id][2]}"

    def _put(self, order_id: int, side: int, price: int, qty: int) -> None:
        self.orders[order_id] = (side, price, qty)
        self.queues.setdefault(price, {})[order_id] = qty
        self.counts[side][price] = self.counts[side].get(price, 0) + 1
        self._set_level(side, price, self.levels[side].get(price, 0) + qty)

    def _take(self, order_id: int, price: int, qty: int, what: str) -> None:
        known = self.orders.get(order_id)
        if known is None:  # an order that the source never added: only its level is known
            assert not self.strict, f"{what} of {order_id}, which does not rest"
            side = 1 if price in self.levels[1] else -1
            if price in self.levels[side]:
                self._set_level(side, price, self.levels[side][price] - qty)
            return
        side, at, rest = known
        if self.strict:
            assert at == price, f"{what} of {order_id} at {price}, it rests at {at}"
            assert 0 < qty <= rest, f"{what} of {qty} lots of {rest}"
        qty = min(qty, rest)
        self._set_level(side, at, self.levels[side][at] - qty)
        if qty < rest:
            self.orders[order_id] = (side, at, rest - qty)
            self.queues[at][order_id] = rest - qty
            return
        del self.orders[order_id]
        queue = self.queues[at]
        del queue[order_id]
        if not queue:
            del self.queues[at]
        self.counts[side][at] -= 1

    def _modify(self, order_id: int, side: int, price: int, qty: int) -> None:
        known = self.orders.get(order_id)
        if known is None:
            assert not self.strict, f"modify of {order_id}, which does not rest"
            self._put(order_id, side, price, qty)
            return
        was_side, was_price, was_qty = known
        if self.strict:
            assert was_side == side, f"modify of {order_id} changes its side"
            opposite = self.best[-side]
            assert opposite is None or (opposite - price) * side > 0, f"modify to {price} crosses"
        if was_price == price and qty <= was_qty:  # keeps its place in the queue
            self._set_level(side, price, self.levels[side][price] + qty - was_qty)
            self.orders[order_id] = (side, price, qty)
            self.queues[price][order_id] = qty
            return
        self._take(order_id, was_price, was_qty, "modify")
        self._put(order_id, side, price, qty)

    def _set_level(self, side: int, price: int, qty: int) -> None:
        levels = self.levels[side]
        best = self.best[side]
        if qty > 0:
            if price not in levels:
                heapq.heappush(self._heaps[side], -side * price)
            levels[price] = qty
            if best is None or (price - best) * side > 0:
                self.best[side] = price
            return
        levels.pop(price, None)
        if price == best:
            heap = self._heaps[side]
            while heap and -side * heap[0] not in levels:
                heapq.heappop(heap)
            self.best[side] = -side * heap[0] if heap else None


def touch_columns(book: SmallBook) -> dict[str, NDArray[np.int64]]:
    """Return the observed touch as columns."""
    table = np.array(book.touch, dtype=np.int64).reshape(-1, 7)
    names = ("ts_ns", "bid", "bid_qty", "ask", "ask_qty", "bid_orders", "ask_orders")
    return {name: table[:, i] for i, name in enumerate(names)}
