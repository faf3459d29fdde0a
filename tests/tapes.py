"""Random tapes for tests: every kind of event, tidy or wild, from a seed."""

from __future__ import annotations

import numpy as np

from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, SideSource, empty_events

TICK = 250_000_000
MID = 4_000 * TICK


def random_levels(seed: int, n: int, *, depth: int = 12, instrument_id: int = 1) -> Events:
    """Level sets, quotes and trades around a wandering mid; messages of 1-4 records; the book may cross."""
    rng = np.random.default_rng(seed)
    e = empty_events(n)
    e["ts_event_ns"] = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(0, 5_000_000, n))
    e["ts_recv_ns"] = e["ts_event_ns"] + rng.integers(1_000, 300_000, n)
    e["instrument_id"] = np.where(rng.random(n) < 0.05, instrument_id + 1, instrument_id)
    e["kind"] = rng.choice([Kind.LEVEL, Kind.TRADE, Kind.QUOTE, Kind.CLEAR], n, p=[0.7, 0.2, 0.098, 0.002])
    side = rng.choice([1, -1], n)  # int64: the column itself is int8, too small for a price
    e["side"] = side
    mid = MID + TICK * np.cumsum(rng.integers(-1, 2, n))
    e["price"] = mid - side * TICK * rng.integers(0, depth, n)
    e["qty_lots"] = rng.integers(0, 40, n) * (rng.random(n) < 0.8)
    e["count"] = np.where(rng.random(n) < 0.5, rng.integers(1, 9, n), COUNT_MISSING)
    e["sequence"] = np.arange(n)
    trade = e["kind"] == Kind.TRADE
    e["qty_lots"][trade] = rng.integers(1, 30, trade.sum())
    e["side"][trade] = rng.choice([1, 0, -1], trade.sum(), p=[0.45, 0.1, 0.45])
    e["side_source"][trade] = SideSource.VENUE
    quote_gone = (e["kind"] == Kind.QUOTE) & (rng.random(n) < 0.03)
    e["price"][quote_gone] = MISSING
    e["qty_lots"][quote_gone] = MISSING
    e["flags"] = np.where(rng.random(n) < 0.6, int(Flag.LAST), 0)
    e["flags"][-1] |= Flag.LAST
    return e


def random_orders(seed: int, n: int, *, depth: int = 10, instrument_id: int = 1, wild: float = 0.02) -> Events:
    """Order events: adds, partial and whole cancels, modifies, executions with their trades.

    A share ``wild`` of them is wrong on purpose: unknown ids, too large quantities, repeated adds.
    """
    rng = np.random.default_rng(seed)
    e = empty_events(n)
    e["instrument_id"] = instrument_id
    e["ts_event_ns"] = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(0, 3_000_000, n))
    e["ts_recv_ns"] = e["ts_event_ns"] + rng.integers(1_000, 300_000, n)
    e["sequence"] = np.arange(n)
    e["flags"] = np.where(rng.random(n) < 0.7, int(Flag.LAST), 0)
    e["flags"][-1] |= Flag.LAST
    live: dict[int, list[int]] = {}  # id -> [side, price, qty]
    next_id = 1
    for i in range(n):
        row = e[i]
        roll = rng.random()
        if roll < 0.45 or len(live) < 8:
            side = int(rng.choice([1, -1]))
            price = MID - side * TICK * int(rng.integers(1, depth + 1))
            qty = int(rng.integers(1, 20))
            row["kind"], row["order_id"], row["side"], row["price"], row["qty_lots"] = (
                Kind.ADD,
                next_id,
                side,
                price,
                qty,
            )
            live[next_id] = [side, price, qty]
            next_id += 1
        else:
            order_id = int(rng.choice(list(live)))
            side, price, qty = live[order_id]
            row["order_id"], row["side"], row["price"] = order_id, side, price
            if roll < 0.72:
                take = qty if rng.random() < 0.7 else int(rng.integers(1, qty + 1))
                row["kind"], row["qty_lots"] = Kind.CANCEL, take
            elif roll < 0.85:
                new_price = price + TICK * int(rng.integers(-1, 2)) if rng.random() < 0.4 else price
                take = qty - int(rng.integers(1, 20))  # may grow or shrink
                row["kind"], row["price"], row["qty_lots"] = Kind.MODIFY, new_price, qty - take
                live[order_id][1] = new_price
            else:
                take = int(rng.integers(1, qty + 1))
                row["kind"], row["qty_lots"] = Kind.EXECUTE, take
            live[order_id][2] -= take
            if live[order_id][2] <= 0:
                del live[order_id]
        if rng.random() < wild:
            which = int(rng.integers(0, 3))
            if which == 0:
                row["order_id"] = 10_000_000 + i
            elif which == 1:
                row["qty_lots"] = row["qty_lots"] + 1_000
            else:
                row["order_id"] = max(1, next_id - 1)
    return e


def random_anything(seed: int, n: int, *, instrument_id: int = 1) -> Events:
    """Every kind and flag in any order on few prices and ids, with a few values that no feed should ever send."""
    rng = np.random.default_rng(seed)
    e = empty_events(n)
    e["instrument_id"] = np.where(rng.random(n) < 0.03, instrument_id + 1, instrument_id)
    e["ts_event_ns"] = 1_700_000_000_000_000_000 + np.cumsum(rng.integers(-1_000_000, 30_000_000, n))
    e["ts_recv_ns"] = np.where(rng.random(n) < 0.7, e["ts_event_ns"] + rng.integers(-1_000, 300_000, n), MISSING)
    e["ts_event_ns"] = np.where(rng.random(n) < 0.01, rng.choice([MISSING, 0, 2**62, -5]), e["ts_event_ns"])
    kinds = [Kind.LEVEL, Kind.QUOTE, Kind.ADD, Kind.CANCEL, Kind.MODIFY, Kind.EXECUTE]
    e["kind"] = rng.choice(kinds, n, p=[0.2, 0.08, 0.3, 0.17, 0.15, 0.1])
    rare = rng.random(n) < 0.05
    e["kind"][rare] = rng.choice([0, Kind.TRADE, Kind.CLEAR, Kind.STATUS, 77], rare.sum(), p=[0.1, 0.4, 0.2, 0.2, 0.1])
    side = rng.choice([1, -1], n)
    e["side"] = np.where(rng.random(n) < 0.03, 0, side)
    e["price"] = MID - side * TICK * rng.integers(-2, 9, n)
    odd = rng.random(n) < 0.02
    e["price"][odd] = rng.choice([MISSING, 0, MID + 7, -MID, MISSING + 1, 2**63 - 1, MID + TICK * 64 * 4096], odd.sum())
    e["qty_lots"] = rng.integers(0, 12, n)
    odd = rng.random(n) < 0.03
    e["qty_lots"][odd] = rng.choice([MISSING, -1, 2**60, 2**61, 2**61 + 1, 2**63 - 1], odd.sum())
    e["order_id"] = rng.integers(0, 40, n)
    e["order_id"][rng.random(n) < 0.02] = 2**64 - 1
    e["count"] = rng.choice([COUNT_MISSING, COUNT_MISSING - 1, 0, 1, 2, 5], n)
    flags = np.where(rng.random(n) < 0.6, int(Flag.LAST), 0)
    for flag, share in ((Flag.SNAPSHOT, 0.1), (Flag.INFO, 0.08), (Flag.TOB, 0.02), (Flag.VIEW, 0.1), (Flag.GAP, 0.02)):
        flags |= np.where(rng.random(n) < share, int(flag), 0)
    e["flags"] = flags
    e["sequence"] = np.arange(n)
    return e
