"""The event: one fixed-size record that says who said what when.

Every reader, venue and simulator makes these records, and everything above reads nothing else. The layout is a file
format (the lake and the journal store it), so it is versioned by :data:`EVENT_SCHEMA_VERSION` and its offsets are
pinned by a test.

Four rules that everything relies on:

* Prices are int64 in units of 1e-9, quantities int64 in the instrument's lot. No float is ever a key.
* A field that the source did not give holds its *missing* constant, never a guess: :data:`MISSING` for every int64
  (it is numpy's NaT, so ``events["ts_recv_ns"].view("M8[ns]")`` shows ``NaT``), :data:`COUNT_MISSING` for ``count``,
  0 for ``order_id``.
* Records of one venue message stand together and the last of them carries :attr:`Flag.LAST`. A book is *observable*
  only after a record with that flag: between the two sides of a quote, or inside a depth update, it may look crossed.
* ``side`` of a trade is the aggressor (+1 bought, -1 sold, 0 unknown); of a book record it is the side of the book
  (+1 bid, -1 ask).

What each kind carries:

========  =====================================================================================================
TRADE     a print on the tape: price, qty_lots, side, side_source; ``order_id`` is the resting or aggressing order's
          id where the venue tells it. Never changes a book.
LEVEL     the aggregated quantity at a price is now ``qty_lots`` (0: gone); ``count`` orders where known
QUOTE     the best price of ``side`` is now ``price`` with ``qty_lots`` (either may be MISSING: side empty or size
          not told). A two-sided quote is two records, the second with LAST.
ADD       order ``order_id`` of ``qty_lots`` joins the back of the queue at ``price``
CANCEL    ``qty_lots`` leave order ``order_id`` at ``price`` (partial or whole)
MODIFY    order ``order_id`` now stands at ``price`` with ``qty_lots``
EXECUTE   ``qty_lots`` of resting order ``order_id`` at ``price`` traded and left the book; ``side`` is the resting
          order's. With Flag.INFO it only tells of the fill (a CANCEL or MODIFY that removes it follows).
CLEAR     forget the book of this instrument (``side`` 0: both sides, else that side)
STATUS    the market's phase changed to ``detail`` (see :class:`Phase`)
========  =====================================================================================================
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

EVENT_SCHEMA_VERSION: Final = 1
"""Version of the record layout; stored in every file that holds events."""

PRICE_SCALE: Final = 1_000_000_000
"""Units of ``price`` in one unit of the quoted currency (1e-9 each, as DBN has it)."""

MISSING: Final = int(np.iinfo(np.int64).min)
"""A price, quantity, time or sequence that the source did not give (numpy's NaT)."""

COUNT_MISSING: Final = int(np.iinfo(np.uint32).max)
"""An order count that the source did not give."""

EVENT: Final = np.dtype(
    [
        ("ts_event_ns", "<i8"),  # the venue's time, ns since 1970 UTC
        ("ts_recv_ns", "<i8"),  # ours (or the recorder's) at the first byte; MISSING where a file has none
        ("price", "<i8"),  # 1e-9 units
        ("qty_lots", "<i8"),  # the instrument's lots
        ("order_id", "<u8"),  # the venue's id of the order; 0 none
        ("sequence", "<i8"),  # the venue's sequence number of the message
        ("instrument_id", "<u4"),  # key in the tape's InstrumentTable
        ("count", "<u4"),  # orders at the level
        ("flags", "<u2"),  # Flag bits
        ("channel", "<u2"),  # the venue's channel: sequences count within one
        ("kind", "u1"),  # Kind
        ("side", "i1"),  # Side
        ("side_source", "u1"),  # SideSource
        ("detail", "u1"),  # STATUS: Phase; TRADE: TradeCondition; else 0
    ]
)
"""One event: 64 bytes, one cache line, naturally aligned, little-endian."""

Events: TypeAlias = NDArray[np.void]
"""A one-dimensional array of :data:`EVENT`, in arrival order. A *block* of a tape."""


class Kind(IntEnum):
    """What an event says."""

    TRADE = 1
    LEVEL = 2
    QUOTE = 3
    ADD = 4
    CANCEL = 5
    MODIFY = 6
    EXECUTE = 7
    CLEAR = 8
    STATUS = 9


class Side(IntEnum):
    """Aggressor of a trade; side of a book record."""

    BUY = 1
    BID = 1
    UNKNOWN = 0
    SELL = -1
    ASK = -1


class SideSource(IntEnum):
    """Who says which side the aggressor was on."""

    NONE = 0
    VENUE = 1
    QUOTE_RULE = 2
    LEE_READY = 3
    TICK_RULE = 4
    BULK = 5


class Phase(IntEnum):
    """Market phase told by a STATUS event."""

    UNKNOWN = 0
    PRE_OPEN = 1
    OPEN = 2
    HALT = 3
    CLOSE = 4
    AUCTION = 5
    QUOTING = 6  # quoting resumed, trading not yet


class TradeCondition(IntEnum):
    """Kind of print, in ``detail`` of a TRADE."""

    REGULAR = 0
    HIDDEN = 1  # against a hidden order: no visible level changed
    CROSS = 2  # auction or cross print
    OFF_BOOK = 3  # block, negotiated, reported late
    DERIVED = 4  # inferred from a cumulative volume or last price, not a venue print


class Flag(IntFlag):
    """Bits of ``flags``."""

    LAST = 1 << 0  # last record of the venue's message: the book may be looked at
    SNAPSHOT = 1 << 1  # part of a snapshot, not news
    VIEW = 1 << 2  # the level entered or left the depth the source shows; nothing happened at the venue
    INFO = 1 << 3  # tells of a change that another record makes: the book does not act on it
    MAYBE_BAD = 1 << 4  # the source itself doubts the book here, or the reader had to correct it
    BAD_TS_RECV = 1 << 5  # the source says that its receive time is off
    TOB = 1 << 6  # top of book only: a LEVEL that replaces the whole side
    GAP = 1 << 7  # messages are missing before this record
    REDUCED_PRECISION = 1 << 8  # the source rounded a value (its own digits are kept exactly)


def empty_events(n: int) -> Events:
    """``n`` events with every optional field missing: fill in what the source gave.

    >>> e = empty_events(2)
    >>> int(e["ts_recv_ns"][0]) == MISSING, int(e["count"][1]) == COUNT_MISSING, int(e["flags"][0])
    (True, True, 0)
    """
    events = np.zeros(n, dtype=EVENT)
    for name in ("ts_event_ns", "ts_recv_ns", "price", "qty_lots", "sequence"):
        events[name] = MISSING
    events["count"] = COUNT_MISSING
    return events


def clock_ns(events: Events) -> NDArray[np.int64]:
    """Return the time that orders decisions: ``ts_recv_ns``, or ``ts_event_ns`` where nothing was received.

    >>> e = empty_events(2)
    >>> e["ts_event_ns"] = [5, 6]
    >>> e["ts_recv_ns"][1] = 9
    >>> clock_ns(e).tolist()
    [5, 9]
    """
    recv: NDArray[np.int64] = events["ts_recv_ns"]
    return np.where(recv == MISSING, events["ts_event_ns"], recv)
