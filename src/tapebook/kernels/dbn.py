"""DBN records to events, at memory speed (face: :mod:`tapebook.readers.dbn`).

:func:`decode` walks over the bytes of whole records, whatever their mix, and stops where it cannot go on alone: more
bytes or more room needed, an instrument it has not met, a record that is the caller's business, or bytes that are no
record. The reason stands in ``memory.head[WHY]``; called again, it goes on at ``memory.head[AT]``.

**Where a message ends.** The vendor marks the last record of a venue event for each instrument (F_LAST). Two things
are made good here, both by looking one message ahead, never further:

* A record that says nothing of the book (action N, or ten levels that did not change) becomes no event; if it carries
  the mark, the message's last event gets it.
* Where the mark is missing (snapshots of CME before February 2024 end without it), the message ends where neither the
  venue's nor the receive time of the next record is its own, or where a snapshot ends: the last event of each
  instrument in it gets LAST, and that is counted. Both times, because a CME event is spread over packets (one venue
  time) and a NASDAQ packet holds several messages of which only the last is marked (one receive time).

So an event without LAST may still get it: ``open_at`` tells which ones wait, and the caller holds them back.

Records whose header is damaged are skipped if the next header stands where it should; else decoding is BROKEN, because
nothing in the format allows to find the next record.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import dbn_words as w
from tapebook.kernels import lean_helper, lean_kernel
from tapebook.kernels.dbn_book import put_depth, put_mbp_1, put_quotes, put_tbbo
from tapebook.kernels.dbn_orders import put_mbo, put_status
from tapebook.kernels.dbn_words import Bytes, Instruments, Int, Memory, put_trade


@lean_helper
def header_fits(b: Bytes, at: Int, size: Int, final: bool, lengths: NDArray[np.int64]) -> int:
    """Return whether a record may begin at ``at``: 1 yes, 0 no, -1 not enough bytes to tell."""
    if at == size:
        return 1 if final else -1
    if at + 16 > size:
        return 0 if final else -1
    head = np.int64(b.u32[at >> 2])
    length = (head & 255) * 4
    return 1 if length != 0 and lengths[(head >> 8) & 255] == length else 0


@lean_helper
def next_record(
    b: Bytes, at: Int, size: Int, final: bool, lengths: NDArray[np.int64], stride: Int, head: NDArray[np.int64]
) -> int:
    """Return the length of the record at ``at``, 0 where bytes are missing, or minus what is bad about it.

    A bad record is ``head[SKIP]`` bytes long if the next one stands behind it, else ``head[SKIP]`` is 0.
    """
    if at + 16 > size:
        return 0
    word = np.int64(b.u32[at >> 2])
    length = (word & 255) * 4
    expected = lengths[(word >> 8) & 255]
    if length == expected and length != 0:
        return length if at + length <= size else 0
    # Something is wrong. Either the length or the type is; the place where the next record begins tells which.
    bad = w.BAD_TYPE if expected == 0 else w.BAD_LENGTH
    for guess in (expected, stride, length):
        if guess < 16 or guess % 8 != 0:
            continue
        fits = header_fits(b, at + guess, size, final, lengths) if at + guess <= size else (0 if final else -1)
        if fits == -1:
            return 0
        if fits == 1:
            head[w.SKIP] = guess
            return -bad
    head[w.SKIP] = 0
    return -bad


@lean_helper
def find_instrument(table: Instruments, head: NDArray[np.int64], key: Int, ts_ns: Int) -> int:
    """Return the row of ``key`` at ``ts_ns``, or -1. The row used last is tried first, then halving."""
    row = head[w.ROW]
    n = head[w.N_ROWS]
    if row < n and table.key[row] == key and table.start_ns[row] <= ts_ns < table.end_ns[row]:
        return row
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if table.key[middle] < key or (table.key[middle] == key and table.start_ns[middle] <= ts_ns):
            low = middle + 1
        else:
            high = middle
    row = low - 1
    if row < 0 or table.key[row] != key or ts_ns >= table.end_ns[row]:
        return -1
    head[w.ROW] = row
    return row


@lean_kernel
def close_messages(memory: Memory, out: Any) -> None:
    """Give LAST to every event that waits for the end of its message."""
    head = memory.head
    for k in range(head[w.N_OPEN]):
        slot = memory.open_slots[k]
        out["flags"][memory.open_at[slot]] |= w.LAST
        memory.open_at[slot] = -1
        head[w.N_CLOSED] += 1
    head[w.N_OPEN] = 0


@lean_helper
def _set_open(memory: Memory, slot: Int, event: Int) -> None:
    """Note that ``event`` is the last one so far of the instrument's message."""
    if memory.open_at[slot] < 0:
        memory.open_slots[memory.head[w.N_OPEN]] = slot
        memory.head[w.N_OPEN] += 1
    memory.open_at[slot] = event


@lean_helper
def _set_closed(memory: Memory, slot: Int) -> None:
    """Note that the instrument's message is over."""
    head = memory.head
    memory.open_at[slot] = -1
    for k in range(head[w.N_OPEN]):
        if memory.open_slots[k] == slot:
            memory.open_slots[k] = memory.open_slots[head[w.N_OPEN] - 1]
            head[w.N_OPEN] -= 1
            return


@lean_kernel
def decode(
    b: Bytes,
    size: Int,
    final: bool,
    lengths: NDArray[np.int64],  # by record type: bytes of its records, 0 not of this file
    roles: NDArray[np.uint8],  # by record type: what becomes of it
    stride: Int,  # bytes of every record of this file, 0 where they differ
    phases: NDArray[np.uint8],  # by status action: the phase, 0 where the action alone does not tell
    instruments: Instruments,
    memory: Memory,
    bad: NDArray[np.int64],  # (n, 3): byte, length and what is bad
    passed: NDArray[np.int64],  # by record type: records passed over
    out: Any,
) -> None:
    """Turn records into events until something is needed (see the module)."""
    head = memory.head
    at = head[w.AT]
    n = head[w.N_OUT]
    why = w.NEED_BYTES
    while True:
        if n + w.EVENTS_PER_RECORD_MAX > out.size:
            why = w.NEED_ROOM
            break
        length = next_record(b, at, size, final, lengths, stride, head)
        if length == 0:
            break
        if length < 0:
            if head[w.SKIP] == 0:
                why = w.BROKEN
                break
            if head[w.N_BAD] == bad.shape[0]:
                why = w.BAD_FULL
                break
            bad[head[w.N_BAD], 0] = at
            bad[head[w.N_BAD], 1] = head[w.SKIP]
            bad[head[w.N_BAD], 2] = -length
            head[w.N_BAD] += 1
            at += head[w.SKIP]
            continue
        rtype = np.int64(b.u8[at + 1])
        role = roles[rtype]
        if role == w.HAND_OVER:
            head[w.SKIP] = length
            why = w.HANDED_OVER
            break
        if role == w.PASS_OVER:
            passed[rtype] += 1
            at += length
            continue
        # Times. Undefined is missing; beyond int64 is bad.
        ts_event = b.i64[(at >> 3) + 1]
        ts_recv = b.i64[(at >> 3) + (5 if role == w.MBO else 2 if role == w.STATUS else 4)]
        wrote = 0
        if role in (w.SAMPLED_QUOTE, w.CONSOLIDATED_SAMPLED_QUOTE):
            # ts_event is the last trade's, ts_recv the end of the interval: the moment this quote is told for.
            ts_event = ts_recv
            ts_recv = np.int64(w.UNDEFINED_TIME)
        if ts_event < w.UNDEFINED_TIME or ts_recv < w.UNDEFINED_TIME or (ts_event & ts_recv) == w.UNDEFINED_TIME:
            wrote = -w.BAD_TIME
        else:
            when = ts_event if ts_recv == w.UNDEFINED_TIME else ts_recv
            word = np.int64(b.u32[at >> 2])
            key = ((word >> 16) << 32) | np.int64(b.u32[(at >> 2) + 1])
            row = find_instrument(instruments, head, key, when)
            if row < 0:
                head[w.ASKED_KEY] = key
                head[w.ASKED_NS] = when
                why = w.NEED_INSTRUMENT
                break
            who = instruments.instrument_id[row]
            slot = instruments.slot[row]
            if ts_event == w.UNDEFINED_TIME:
                ts_event = np.int64(w.MISSING)
            if ts_recv == w.UNDEFINED_TIME:
                ts_recv = np.int64(w.MISSING)
            raw = np.int64(b.u8[at + (36 if role == w.MBO else 30)]) if role != w.STATUS else 0
            flags = w.FLAGS[raw]
            whole = False  # the record is a message of its own, whatever its flags
            if role == w.MBO:
                wrote = put_mbo(b, at, out, n, flags, ts_event, ts_recv, who)
            elif role == w.QUOTE:
                wrote = put_mbp_1(b, at, out, n, flags, ts_event, ts_recv, who, True)
            elif role == w.DEPTH:
                if slot >= memory.view_n.shape[0]:
                    head[w.ASKED_SLOT] = slot
                    why = w.NEED_VIEW
                    break
                wrote = put_depth(b, at, out, n, flags, ts_event, ts_recv, who, slot, memory)
            elif role == w.CONSOLIDATED_QUOTE:
                wrote = put_mbp_1(b, at, out, n, flags, ts_event, ts_recv, who, False)
            elif role == w.STATUS:
                wrote = put_status(b, at, out, n, ts_event, ts_recv, who, phases)
                whole = True
            else:
                whole = True
                if role == w.TRADE:
                    told = b.u8[at + 28] == 84  # T: a trades record has no other action
                    wrote = put_trade(b, at, out, n, flags, ts_event, ts_recv, who) if told else -w.BAD_ACTION
                elif role in (w.TRADE_AND_QUOTE, w.CONSOLIDATED_TRADE_AND_QUOTE):
                    wrote = put_tbbo(b, at, out, n, flags, ts_event, ts_recv, who, role == w.TRADE_AND_QUOTE)
                    if wrote == 3:
                        out["flags"][n + 1] |= w.LAST  # the quote stood before the trade: a message of its own
                else:
                    counted = role == w.SAMPLED_QUOTE
                    sequence = np.int64(b.u32[(at >> 2) + 11]) if counted else w.MISSING
                    wrote = put_quotes(b, at, out, n, flags, ts_event, ts_recv, who, sequence, counted)
        if wrote < 0:
            if head[w.N_BAD] == bad.shape[0]:
                why = w.BAD_FULL
                break
            bad[head[w.N_BAD], 0] = at
            bad[head[w.N_BAD], 1] = length
            bad[head[w.N_BAD], 2] = -wrote
            head[w.N_BAD] += 1
            at += length
            continue
        # Where the vendor forgot to mark the end of the message before this record, mark it now.
        part_of = slot if raw & w.RAW_SNAPSHOT else -1
        if head[w.N_OPEN] > 0 and (
            part_of != head[w.MESSAGE_SLOT]
            or (
                part_of < 0
                and (ts_event != head[w.MESSAGE_NS] or ts_event == w.MISSING)
                and (ts_recv != head[w.MESSAGE_RECV_NS] or ts_recv == w.MISSING)
            )
        ):
            close_messages(memory, out)
        head[w.MESSAGE_SLOT] = part_of
        head[w.MESSAGE_NS] = ts_event
        head[w.MESSAGE_RECV_NS] = ts_recv
        last = n + wrote - 1
        if wrote == 0:
            head[w.N_NEUTRAL] += 1
            last = memory.open_at[slot]
        if whole or raw & w.RAW_LAST:
            if last >= 0:
                out["flags"][last] |= w.LAST
            if not whole and memory.open_at[slot] >= 0:
                _set_closed(memory, slot)
        elif wrote > 0:
            _set_open(memory, slot, last)
        head[w.N_RECORDS] += 1
        n += wrote
        at += length
    head[w.AT] = at
    head[w.N_OUT] = n
    head[w.WHY] = why


@lean_kernel
def find_rows(
    b: Bytes,
    size: Int,
    final: bool,
    lengths: NDArray[np.int64],
    roles: NDArray[np.uint8],
    stride: Int,
    head: NDArray[np.int64],
    bad: NDArray[np.int64],
    passed: NDArray[np.int64],
    found: NDArray[np.int64],  # bytes where records for the table begin
) -> None:
    """Find the records whose role is TABLE_ROW; stops for the same reasons as :func:`decode`."""
    at = head[w.AT]
    n = head[w.N_OUT]
    why = w.NEED_BYTES
    while True:
        if n == found.size:
            why = w.NEED_ROOM
            break
        length = next_record(b, at, size, final, lengths, stride, head)
        if length == 0:
            break
        if length < 0:
            if head[w.SKIP] == 0:
                why = w.BROKEN
                break
            if head[w.N_BAD] == bad.shape[0]:
                why = w.BAD_FULL
                break
            bad[head[w.N_BAD], 0] = at
            bad[head[w.N_BAD], 1] = head[w.SKIP]
            bad[head[w.N_BAD], 2] = -length
            head[w.N_BAD] += 1
            at += head[w.SKIP]
            continue
        role = roles[b.u8[at + 1]]
        if role == w.HAND_OVER:
            head[w.SKIP] = length
            why = w.HANDED_OVER
            break
        if role == w.TABLE_ROW:
            found[n] = at
            n += 1
        else:
            passed[b.u8[at + 1]] += 1
        at += length
    head[w.AT] = at
    head[w.N_OUT] = n
    head[w.WHY] = why
