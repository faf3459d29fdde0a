"""An exchange in 60 lines that knows its whole book, and writes what LOBSTER would show of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Row = list[int]
NO_ASK, NO_BID = 9_999_999_999, -9_999_999_999


@dataclass
class Exchange:
    """Orders by id: side, price (1e-4) and size; the book is their sum."""

    orders: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def levels(self, side: int) -> list[tuple[int, int]]:
        sums: dict[int, int] = {}
        for s, price, size in self.orders.values():
            if s == side:
                sums[price] = sums.get(price, 0) + size
        return sorted(sums.items(), reverse=side > 0)

    def row(self, n: int) -> Row:
        asks = (self.levels(-1) + [(NO_ASK, 0)] * n)[:n]
        bids = (self.levels(1) + [(NO_BID, 0)] * n)[:n]
        return [x for ask, bid in zip(asks, bids, strict=True) for x in (*ask, *bid)]


def random_day(seed: int, n_messages: int, n_levels: int, *, thin: bool = False) -> tuple[list[str], list[Row]]:
    """Messages and book rows of a day: only what touches the shown levels is told, as LOBSTER does it."""
    rng = np.random.default_rng(seed)
    exchange = Exchange()
    far = 4 if thin else 25  # how many prices a side may have
    for i in range(1, 4 if thin else 30):
        side = int(rng.choice([1, -1]))
        exchange.orders[i] = (side, 1_000_000 - side * 100 * int(rng.integers(1, far)), int(rng.integers(1, 9)) * 10)
    messages: list[str] = []
    rows: list[Row] = []
    next_id, ns = 1000, 34_200 * 10**9
    while len(messages) < n_messages:
        ns += int(rng.integers(1, 10**8))
        before = exchange.row(n_levels)
        roll = rng.random()
        if roll < 0.02:
            kind, order, size, price, side = 7, 0, 0, int(rng.integers(-1, 2)), -1
        elif roll < 0.06:
            kind, order, size, price, side = 5, 0, int(rng.integers(1, 90)), 1_000_050, int(rng.choice([1, -1]))
        elif roll < 0.07:
            kind, order, size, price, side = 6, 0, int(rng.integers(1, 90)), 1_000_000, -1
        elif roll < (0.3 if len(exchange.orders) > 20 else 0.6) or not exchange.orders:
            side = int(rng.choice([1, -1]))
            kind, order, size = 1, next_id, int(rng.integers(1, 9)) * 10
            price = 1_000_000 - side * 100 * int(rng.integers(1, far))
            exchange.orders[order] = (side, price, size)
            next_id += 1
        else:
            order = int(rng.choice(list(exchange.orders)))
            side, price, held = exchange.orders[order]
            kind = int(rng.choice([2, 3, 3, 3, 4]))
            best = exchange.levels(side)[0][0]
            if kind == 4 and price != best:
                kind = 3
            size = held if kind == 3 else int(rng.integers(1, held + 1))
            if kind == 2 and size == held:
                kind = 3
            if size == held:
                del exchange.orders[order]
            else:
                exchange.orders[order] = (side, price, held - size)
        after = exchange.row(n_levels)
        if kind in (1, 2, 3, 4) and before == after:
            continue  # beyond the shown levels: not told
        messages.append(f"{ns // 10**9}.{ns % 10**9:09d},{kind},{order},{size},{price},{side}")
        rows.append(after)
    return messages, rows


def levels_of(row: Row, side: int) -> dict[int, int]:
    """One side of a book row as price -> size."""
    first = 0 if side < 0 else 2
    pairs = zip(row[first::4], row[first + 1 :: 4], strict=True)
    return {price: size for price, size in pairs if price not in (NO_ASK, NO_BID)}
