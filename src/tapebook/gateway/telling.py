"""One contract while a tape is told: what was said of it so far, and what a change of its book makes news."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from tapebook.book.snapshots import Snapshots
from tapebook.gateway.encode import Entry, QuoteState, Shape, Writer
from tapebook.gateway.figures import Stamps
from tapebook.gateway.listings import Listing
from tapebook.market.events import MISSING, Events, Flag
from tapebook.venues.projectx.wire import DomType

__all__ = [
    "DEPTH",
    "QUOTES",
    "TRADES",
    "Change",
    "Form",
    "Message",
    "Nature",
    "Telling",
    "changes_of",
    "clear",
    "differ",
    "tell_quote",
    "tell_touch",
]

QUOTES, TRADES, DEPTH = 0, 1, 2
"""Channels; a stream is three times the contract's place plus the channel."""

DEPTH_OF_ORDERS: Final = 10
_LAST: Final = int(Flag.LAST)
_ASK, _BID, _RESET = int(DomType.ASK), int(DomType.BID), int(DomType.RESET)


class Message(NamedTuple):
    """One record of the hub (by the documentation's shape: several), and what it says in our units."""

    ts_ns: int  # when it is due, by the source's clock; never falls
    stream: int
    record: bytes  # with its separator
    news: tuple[Any, ...]  # trade: time, price, size; quote: bid, ask; depth: entries


class Change(NamedTuple):
    """What a venue message changed in the best levels: the whole row where prices did, else the sizes that did."""

    row: list[int] | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a tape is told.

    Attributes
    ----------
    depth
        Levels a side; 0: all that the source tells, and ten where it tells orders.
    prints
        Whether the depth channel repeats each trade as a Trade entry, as the venue's does.
    contracts
        Contract ids by symbol (of a tape with one instrument: also under the empty name); the others are made from
        the instrument.
    tick_e9
        Tick that the contracts tell; 0: the instrument's.
    """

    shape: Shape = Shape.OBSERVED
    stamps: Stamps = Stamps.HUNDRED_NS
    depth: int = 0
    prints: bool = False
    contracts: Mapping[str, str] = field(default_factory=dict)
    tick_e9: int = 0


@dataclass(frozen=True)
class Nature:
    """What the beginning of a tape says of one instrument."""

    orders: bool = False
    quotes: bool = False
    depth_channels: frozenset[int] = frozenset()
    tick_e9: int = 0
    first_ns: int = 0


class Telling:
    """One contract while the tape is told."""

    def __init__(self, listing: Listing, nature: Nature, form: Form, instrument_id: int) -> None:
        self.writer = Writer(listing, shape=form.shape, digits=form.stamps.digits)
        self.through_book = nature.orders or form.depth > 0
        self.own_quotes = nature.quotes
        self.depth_channels = nature.depth_channels - {0}
        self.n_levels = (form.depth or DEPTH_OF_ORDERS) if self.through_book else 1
        self.book = Snapshots(listing.instrument, instrument_id, levels=self.n_levels)
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})  # what the depth channel has told: bids, asks
        self.quote = QuoteState()
        self.pending: list[Entry] = []
        self.told: dict[int, int] = {}  # quote being told: price by side
        self.row = np.full(self.n_levels * 4, MISSING, np.int64)
        self.printed: dict[int, int] = {}


def changes_of(contract: Telling, block: Events, instrument_id: int) -> dict[int, Change]:
    """Return what is not as in the row of the book before it, by the place of its event in the block."""
    mine = np.flatnonzero(block["instrument_id"] == instrument_id)
    events = block[mine]
    rows = contract.book.advance(events)
    at = mine[(events["flags"] & _LAST) != 0]
    if not at.size:
        return {}
    n = contract.n_levels
    names = [f"{s}_{what}_{i:02d}" for what in ("px", "sz") for s in ("bid", "ask") for i in range(n)]
    table = np.empty((at.size + 1, 4 * n), np.int64)
    table[0] = contract.row
    for k, name in enumerate(names):
        table[1:, k] = rows[name]
    contract.row = table[-1].copy()
    unlike = table[1:] != table[:-1]
    table = table[1:]
    moved = unlike[:, : 2 * n].any(axis=1)  # other prices; the rows that are left have other sizes at most
    whole = np.flatnonzero(moved)
    out: dict[int, Change] = {
        i: Change(told_row, ()) for i, told_row in zip(at[whole].tolist(), table[whole].tolist(), strict=True)
    }
    if contract.through_book:
        unlike[:, 2 * n :] &= ~moved[:, None] & (table[:, 2 * n :] != MISSING)
        which, column = np.nonzero(unlike[:, 2 * n :])
        sides = np.where(column < n, _BID, _ASK)
        prices, sizes = table[which, column], table[which, column + 2 * n]
        told = zip(sides.tolist(), prices.tolist(), sizes.tolist(), strict=True)
        for i, (kind, price, size) in zip(at[which].tolist(), told, strict=True):
            entry = Entry(kind, price, size)
            out[i] = Change(None, (*out[i].entries, entry) if i in out else (entry,))
    return out


def differ(contract: Telling, change: Change) -> None:
    """Append what leads from the levels told so far to those of the book."""
    if change.row is None:
        for entry in change.entries:
            contract.levels[entry.type == _ASK][entry.price] = entry.volume
        contract.pending += change.entries
        return
    n = contract.n_levels
    row = change.row
    for side, kind in enumerate((_BID, _ASK)):
        old, start = contract.levels[side], side * n
        new = dict(zip(row[start : start + n], row[start + 2 * n : start + 3 * n], strict=True))
        new.pop(MISSING, None)
        if MISSING in new.values():
            new = {price: size for price, size in new.items() if size != MISSING}
        if old == new:
            continue
        contract.pending += [Entry(kind, price, 0) for price in old if price not in new]
        contract.pending += [Entry(kind, price, size) for price, size in new.items() if old.get(price) != size]
        contract.levels[side].clear()
        contract.levels[side].update(new)


def clear(contract: Telling, side: int) -> None:
    """Append what forgets the book, or one side of it."""
    if side == 0:
        contract.pending.append(Entry(_RESET, 0, 0))
        contract.levels[0].clear()
        contract.levels[1].clear()
        return
    levels = contract.levels[side < 0]
    contract.pending += [Entry(_BID if side > 0 else _ASK, price, 0) for price in levels]
    levels.clear()


def tell_quote(contract: Telling, place: int, due: int, ts: int, out: list[Message]) -> None:
    """Tell a quote of the tape: the sides that changed; both where only sizes did."""
    state, told = contract.quote, contract.told
    contract.told = {}
    bid, ask = told.get(1, state.bid), told.get(-1, state.ask)
    sides = [bid != state.bid, ask != state.ask]
    if not any(sides):
        sides = [1 in told, -1 in told]
    state.bid, state.ask = bid, ask
    record = contract.writer.quote(ts, state, bid=sides[0], ask=sides[1])
    out.append(Message(due, place + QUOTES, record, (bid, ask)))


def tell_touch(contract: Telling, row: list[int] | None, place: int, due: int, ts: int, out: list[Message]) -> None:
    """Tell the touch of the book where it moved."""
    if row is None:
        return
    state = contract.quote
    bid, ask = row[0], row[contract.n_levels]
    sides = bid != state.bid, ask != state.ask
    if any(sides):
        state.bid, state.ask = bid, ask
        record = contract.writer.quote(ts, state, bid=sides[0], ask=sides[1])
        out.append(Message(due, place + QUOTES, record, (bid, ask)))
