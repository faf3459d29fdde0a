"""Where the fields of DBN records stand, and how one event is written.

A run of records lies in memory four times over: the same bytes seen as uint8, uint32, int64 and uint64
(:class:`Bytes`). Every record starts on a multiple of 8 bytes, so each field is one aligned load. Offsets are those of
DBN versions 1 to 3; the record types that carry events have the same layout in all of them.

Undefined values: times and prices hold the largest number of their type. A time read as int64 is then -1.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import lean_helper
from tapebook.market import events as words

Int: TypeAlias = Any
"""An integer in a kernel: int64 compiled, numpy's or Python's uncompiled."""


class Bytes(NamedTuple):
    """The same bytes in four widths."""

    u8: NDArray[np.uint8]
    u32: NDArray[np.uint32]
    i64: NDArray[np.int64]
    u64: NDArray[np.uint64]


class Instruments(NamedTuple):
    """Which instrument a publisher's number means, and when: rows sorted by key and start."""

    key: NDArray[np.int64]  # publisher << 32 | the vendor's instrument id
    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]  # exclusive
    instrument_id: NDArray[np.int64]  # ours
    slot: NDArray[np.int64]  # ours again, counted from 0


class Memory(NamedTuple):
    """What decoding remembers from one call to the next."""

    head: NDArray[np.int64]  # places below
    open_at: NDArray[np.int64]  # by slot: the event that waits for the end of its message, -1 none
    open_slots: NDArray[np.int64]  # the slots that have one
    view_n: NDArray[np.int64]  # (slots, 2): levels shown last, -1 before the first view
    view_price: NDArray[np.int64]  # (slots, 2, 10)
    view_qty: NDArray[np.int64]
    view_count: NDArray[np.int64]


# Places in ``head``.
AT: Final = 0  # byte of the next record
N_OUT: Final = 1  # events written
N_BAD: Final = 2  # bad records noted
WHY: Final = 3  # why decoding stopped
N_OPEN: Final = 4  # messages that wait for their end
MESSAGE_NS: Final = 5  # venue time of the message that is being read
MESSAGE_SLOT: Final = 6  # its instrument where it is part of a snapshot, -1 else
ROW: Final = 7  # row of ``Instruments`` used last
N_ROWS: Final = 8
SKIP: Final = 9  # bytes of a bad record
ASKED_KEY: Final = 10  # the instrument that is asked for
ASKED_NS: Final = 11
ASKED_SLOT: Final = 12
N_NEUTRAL: Final = 13  # records that say nothing of the book
N_CLOSED: Final = 14  # messages whose end the vendor did not mark
N_UNEXPLAINED: Final = 15  # level changes that the record's action does not explain
N_RECORDS: Final = 16  # records that became events
MESSAGE_RECV_NS: Final = 17  # when that message was received
HEAD_SIZE: Final = 18

# Why decoding stopped.
NEED_BYTES: Final = 0
NEED_ROOM: Final = 1
NEED_INSTRUMENT: Final = 2
NEED_VIEW: Final = 3
HANDED_OVER: Final = 4  # a record for the caller stands at AT, SKIP bytes long
BAD_FULL: Final = 5
BROKEN: Final = 6  # the bytes at AT are no record, and none can be found behind them

# What becomes of a record type.
FOREIGN: Final = 0  # not of this file
HAND_OVER: Final = 1
PASS_OVER: Final = 2
MBO: Final = 3
TRADE: Final = 4
QUOTE: Final = 5
TRADE_AND_QUOTE: Final = 6
DEPTH: Final = 7
SAMPLED_QUOTE: Final = 8
CONSOLIDATED_QUOTE: Final = 9
CONSOLIDATED_TRADE_AND_QUOTE: Final = 10
CONSOLIDATED_SAMPLED_QUOTE: Final = 11
STATUS: Final = 12
TABLE_ROW: Final = 13

# What is wrong with a record.
BAD_LENGTH: Final = 1
BAD_TYPE: Final = 2
BAD_ACTION: Final = 3
BAD_SIDE: Final = 4
BAD_TIME: Final = 5
BAD_PRICE: Final = 6
BAD_SIZE: Final = 7
BAD_LEVELS: Final = 8
BAD_STATUS: Final = 9

LEVELS: Final = 10
EVENTS_PER_RECORD_MAX: Final = 2 + 4 * LEVELS
"""A trade, a clear, and every level of the old view gone with every one of the new view set."""

MISSING: Final = words.MISSING
COUNT_MISSING: Final = words.COUNT_MISSING
UNDEFINED_PRICE: Final = int(np.iinfo(np.int64).max)
UNDEFINED_SIZE: Final = int(np.iinfo(np.uint32).max)
UNDEFINED_TIME: Final = -1
A_TRADE, A_LEVEL, A_QUOTE, AN_ADD, A_CANCEL, A_MODIFY, AN_EXECUTION, A_CLEAR, A_STATUS = (int(k) for k in words.Kind)
LAST: Final = int(words.Flag.LAST)
SNAPSHOT: Final = int(words.Flag.SNAPSHOT)
VIEW: Final = int(words.Flag.VIEW)
INFO: Final = int(words.Flag.INFO)
TOB: Final = int(words.Flag.TOB)
VENUE: Final = int(words.SideSource.VENUE)

# The vendor's flag bits.
RAW_LAST, RAW_TOB, RAW_SNAPSHOT, RAW_MBP, RAW_BAD_TS_RECV, RAW_MAYBE_BAD = 128, 64, 32, 16, 8, 4


def _flag_table() -> NDArray[np.int64]:
    """Return our flags for each byte of the vendor's, LAST and TOB aside: those depend on the record."""
    pairs = (
        (RAW_SNAPSHOT, words.Flag.SNAPSHOT),
        (RAW_BAD_TS_RECV, words.Flag.BAD_TS_RECV),
        (RAW_MAYBE_BAD, words.Flag.MAYBE_BAD),
    )
    return np.array([sum(int(ours) for theirs, ours in pairs if raw & theirs) for raw in range(256)], np.int64)


FLAGS: Final = _flag_table()


@lean_helper
def put(
    out: Any,
    n: Int,
    kind: Int,
    side: Int,
    price: Int,
    qty_lots: Int,
    count: Int,
    flags: Int,
    ts_event_ns: Int,
    ts_recv_ns: Int,
    instrument_id: Int,
    sequence: Int,
) -> None:
    """Write event ``n`` with the fields that all records have; the rest is none."""
    out["ts_event_ns"][n] = ts_event_ns
    out["ts_recv_ns"][n] = ts_recv_ns
    out["price"][n] = price
    out["qty_lots"][n] = qty_lots
    out["order_id"][n] = 0
    out["sequence"][n] = sequence
    out["instrument_id"][n] = instrument_id
    out["count"][n] = count
    out["flags"][n] = flags
    out["channel"][n] = 0
    out["kind"][n] = kind
    out["side"][n] = side
    out["side_source"][n] = 0
    out["detail"][n] = 0


@lean_helper
def side_of(letter: Int) -> int:
    """Return +1 for B, -1 for A, 0 for N, 2 for anything else."""
    if letter == 66:
        return 1
    if letter == 65:
        return -1
    if letter == 78:
        return 0
    return 2


@lean_helper
def put_trade(b: Bytes, at: Int, out: Any, n: Int, flags: Int, ts_event: Int, ts_recv: Int, who: Int) -> int:
    """Write the print of a trades, MBP or CMBP record (the same places in all of them); return 1, or minus what is bad.

    CMBP records have no sequence; the caller takes it out again.
    """
    price = b.i64[(at >> 3) + 2]
    size = np.int64(b.u32[(at >> 2) + 6])
    side = side_of(np.int64(b.u8[at + 29]))
    if side == 2:
        return -BAD_SIDE
    if price == UNDEFINED_PRICE:
        return -BAD_PRICE
    if size == UNDEFINED_SIZE:
        return -BAD_SIZE
    put(
        out,
        n,
        A_TRADE,
        side,
        price,
        size,
        COUNT_MISSING,
        flags,
        ts_event,
        ts_recv,
        who,
        np.int64(b.u32[(at >> 2) + 11]),
    )
    if side != 0:
        out["side_source"][n] = VENUE
    return 1
