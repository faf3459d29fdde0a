"""DBN records, streamed: a window over the file, and the two ways to go through it.

:func:`events` drives the kernel that turns records into events; :func:`rows` collects the records of one type, as numpy
arrays, for tables. Both quarantine what is bad with its place in the (decompressed) file, and hold 2 MiB of the file at
a time, however large it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import dbn_words as words
from tapebook.kernels.dbn import close_messages, decode, find_rows
from tapebook.kernels.dbn_words import Bytes, Memory
from tapebook.market.errors import TruncatedFile
from tapebook.market.events import EVENT, Events
from tapebook.market.quarantine import Quarantine
from tapebook.readers.databento_records import NAMES, PHASES, Plan
from tapebook.readers.databento_symbols import Names

_WINDOW_BYTES: Final = 1 << 21
_BLOCK_EVENTS_MIN: Final = 4096
_BAD_MAX: Final = 256
_RAW_BYTES_MAX: Final = 65536

_WRONG: Final = {
    words.BAD_LENGTH: ("record length does not fit its type", "the length of its type"),
    words.BAD_TYPE: ("record type not of this file", "a record type of the file's schema"),
    words.BAD_ACTION: ("bad action", "an action of this record type"),
    words.BAD_SIDE: ("bad side", "B or A (or N where no side is possible)"),
    words.BAD_TIME: ("bad time", "a time within int64, and one at least"),
    words.BAD_PRICE: ("undefined price", "a price"),
    words.BAD_SIZE: ("undefined size", "a size"),
    words.BAD_LEVELS: ("levels out of order", "strictly ordered levels, best first"),
    words.BAD_STATUS: ("bad status action", "a status action from 0 to 15"),
}


class Records(Protocol):
    """Records in memory, some at a time: of a DBN file, or made from the rows of a CSV."""

    widths: Bytes
    size: int  # bytes that are there
    final: bool  # no more will come
    done_bytes: int  # bytes dropped so far

    def refill(self, used: int) -> None:
        """Drop the first ``used`` bytes and get more."""
        ...

    def where(self, at: int) -> str:
        """Return a place for an error."""
        ...

    def raw(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes of the source at a place (fewer at its end)."""
        ...

    def rest(self, at: int) -> int:
        """Read to the end and return how many bytes stand from ``at`` on."""
        ...


class Window:
    """The part of a DBN file that is being decoded, at the start of an aligned buffer."""

    def __init__(self, stream: BufferedReader, file: str, first_byte: int) -> None:
        self._stream = stream
        self.file = file
        self.done_bytes = 0
        self._first_byte = first_byte  # where the records begin in the file
        self.size = 0
        self.final = False
        self._u8 = np.empty(_WINDOW_BYTES, np.uint8)
        self.widths = Bytes(self._u8, self._u8.view(np.uint32), self._u8.view(np.int64), self._u8.view(np.uint64))

    def refill(self, used: int) -> None:
        """Drop the first ``used`` bytes and read as much again."""
        left = self.size - used
        self._u8[:left] = self._u8[used : self.size].copy()
        self.done_bytes += used
        room = self._u8[left:]
        n = self._stream.readinto(room.data)
        self.size = left + n
        self.final = n < room.size

    def raw(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes at a place of the buffer (fewer at its end)."""
        return self._u8[at : min(at + size, self.size)].tobytes()

    def where(self, at: int) -> str:
        """Return a place for an error."""
        return f"{self.file}, byte {self._first_byte + self.done_bytes + at}"

    def rest(self, at: int) -> int:
        """Read to the end of the file and return how many bytes stand from ``at`` on."""
        n = self.size - at
        while chunk := self._stream.read(_WINDOW_BYTES):
            n += len(chunk)
        return n


def new_memory(n_slots: int) -> Memory:
    """Return the kernel's memory before the first record."""
    slots = max(64, n_slots)
    head = np.zeros(words.HEAD_SIZE, np.int64)
    head[words.MESSAGE_SLOT] = -1
    empty = np.zeros((0, 2, words.LEVELS), np.int64)
    open_at = np.full(slots, -1, np.int64)
    return Memory(head, open_at, np.zeros(slots, np.int64), np.zeros((0, 2), np.int64), empty, empty, empty)


def with_views(memory: Memory, n: int) -> Memory:
    """Return ``memory`` with room for the last views of ``n`` instruments."""
    more = max(16, n - memory.view_n.shape[0], memory.view_n.shape[0])

    def longer(array: NDArray[np.int64], fill: int) -> NDArray[np.int64]:
        return np.concatenate([array, np.full((more, *array.shape[1:]), fill, np.int64)])

    return memory._replace(
        view_n=longer(memory.view_n, -1),
        view_price=longer(memory.view_price, 0),
        view_qty=longer(memory.view_qty, 0),
        view_count=longer(memory.view_count, 0),
    )


def note_bad(bad: NDArray[np.int64], n: int, window: Records, quarantine: Quarantine) -> None:
    """Put bad records into the quarantine."""
    for at, length, what in bad[:n].tolist():
        reason, expected = _WRONG[what]
        rtype, stated = int(window.widths.u8[at + 1]), int(window.widths.u8[at]) * 4
        found = f"record type {rtype:#04x} of {stated} bytes"
        if what not in (words.BAD_LENGTH, words.BAD_TYPE):
            found = f"{NAMES.get(rtype, rtype)} record {window.raw(at, length)[16:].hex(' ')}"
        quarantine.add(reason, expected=expected, found=found, where=window.where(at), raw=window.raw(at, length))


def note_broken(window: Records, at: int, quarantine: Quarantine, notes: dict[str, int]) -> None:
    """Tell that the rest of the file cannot be followed: records have no mark to find the next one by."""
    raw = window.raw(at, _RAW_BYTES_MAX)
    where = window.where(at)
    left = window.rest(at)
    notes["bytes_unread"] = left
    quarantine.add(
        "no record where one should begin; the rest of the file is left unread",
        expected="a record header, here or one record later",
        found=f"{raw[:16].hex(' ')}, {left} bytes to the end",
        where=where,
        raw=raw,
    )


def note_tail(window: Records, at: int, quarantine: Quarantine) -> None:
    """Tell of bytes at the end that are less than a record."""
    if at < window.size and not quarantine.truncated:
        quarantine.truncate(
            TruncatedFile(
                "the file ends inside a record",
                expected="whole records",
                found=f"{window.size - at} bytes of one",
                where=window.where(at),
                remedy="fetch the file again",
            )
        )


def events(
    window: Records,
    plan: Plan,
    names: Names,
    events_max: int,
    quarantine: Quarantine,
    notes: dict[str, int],
    hand_over: Callable[[NDArray[np.uint8]], None],
) -> Iterator[Events]:
    """Stream the events of a window's records in blocks of ``events_max`` (or 4096, if that is more).

    ``hand_over`` gets the bytes of records that are the caller's business.
    """
    block = max(events_max, _BLOCK_EVENTS_MIN)
    out = np.empty(block + words.EVENTS_PER_RECORD_MAX, EVENT)
    memory = new_memory(names.n_slots)
    head = memory.head
    head[words.N_ROWS] = names.n_rows
    bad = np.zeros((_BAD_MAX, 3), np.int64)
    passed = np.zeros(256, np.int64)
    broken = False
    while not broken:
        decode(
            window.widths,
            window.size,
            window.final,
            plan.lengths,
            plan.roles,
            plan.stride,
            PHASES,
            names.rows,
            memory,
            bad,
            passed,
            out,
        )
        note_bad(bad, int(head[words.N_BAD]), window, quarantine)
        head[words.N_BAD] = 0
        why, at = int(head[words.WHY]), int(head[words.AT])
        if why == words.NEED_BYTES:
            if window.final:
                note_tail(window, at, quarantine)
                break
            window.refill(at)
            head[words.AT] = 0
        elif why == words.NEED_ROOM:
            ready = _ready(memory)
            if ready < block:  # a message longer than the block: it has to stay in one piece
                out = np.concatenate([out, np.empty(out.size, EVENT)])
                continue
            ready -= ready % block
            yield out[:ready]
            out = _carry_over(out, memory, ready, block)
        elif why == words.NEED_INSTRUMENT:
            memory = names.serve(memory, int(head[words.ASKED_KEY]), int(head[words.ASKED_NS]))
        elif why == words.NEED_VIEW:
            memory = with_views(memory, int(head[words.ASKED_SLOT]) + 1)
        elif why == words.HANDED_OVER:
            size = int(head[words.SKIP])
            hand_over(window.widths.u8[at : at + size])
            head[words.N_ROWS] = names.n_rows
            head[words.AT] = at + size
        elif why == words.BROKEN:
            broken = True
            note_broken(window, at, quarantine, notes)
    close_messages(memory, out)
    _note_counts(head, passed, names, notes)
    if head[words.N_OUT]:
        yield out[: int(head[words.N_OUT])]


def _ready(memory: Memory) -> int:
    """Return how many events are final: those before the first that may still get LAST."""
    waiting = memory.open_at[memory.open_slots[: int(memory.head[words.N_OPEN])]]
    return int(waiting.min()) if waiting.size else int(memory.head[words.N_OUT])


def _carry_over(out: Events, memory: Memory, done: int, block: int) -> Events:
    """Return a new buffer that begins with the events that are not yet given out."""
    n = int(memory.head[words.N_OUT])
    fresh = np.empty(max(block, n - done) + words.EVENTS_PER_RECORD_MAX, EVENT)
    fresh[: n - done] = out[done:n]
    memory.head[words.N_OUT] = n - done
    memory.open_at[memory.open_slots[: int(memory.head[words.N_OPEN])]] -= done
    return fresh


def _note_counts(head: NDArray[np.int64], passed: NDArray[np.int64], names: Names, notes: dict[str, int]) -> None:
    for name, place in (
        ("book_neutral_records", words.N_NEUTRAL),
        ("messages_without_end_mark", words.N_CLOSED),
        ("unexplained_level_changes", words.N_UNEXPLAINED),
    ):
        if head[place]:
            notes[name] = int(head[place])
    note_passed(passed, notes)
    notes.update(names.notes)


def note_passed(passed: NDArray[np.int64], notes: dict[str, int]) -> None:
    """Tell of record types that the caller's kind of source has no place for."""
    for rtype in np.flatnonzero(passed).tolist():
        notes[f"passed_over_{NAMES.get(rtype, hex(rtype))}"] = int(passed[rtype])


def rows(
    window: Records,
    plan: Plan,
    fields: np.dtype[Any],
    quarantine: Quarantine,
    notes: dict[str, int],
    hand_over: Callable[[NDArray[np.uint8]], None],
    *,
    bytes_max: int = 0,
) -> Iterator[NDArray[Any]]:
    """Stream the records of the plan's row type as arrays of ``fields``; ``bytes_max`` ends it there."""
    head = np.zeros(words.HEAD_SIZE, np.int64)
    bad = np.zeros((_BAD_MAX, 3), np.int64)
    passed = np.zeros(256, np.int64)
    found = np.zeros(_BLOCK_EVENTS_MIN, np.int64)
    span = np.arange(fields.itemsize)
    while True:
        find_rows(
            window.widths,
            window.size,
            window.final,
            plan.lengths,
            plan.roles,
            plan.stride,
            head,
            bad,
            passed,
            found,
        )
        note_bad(bad, int(head[words.N_BAD]), window, quarantine)
        n, why, at = int(head[words.N_OUT]), int(head[words.WHY]), int(head[words.AT])
        head[words.N_BAD] = head[words.N_OUT] = 0
        if n:
            yield window.widths.u8[found[:n, None] + span].reshape(-1).view(fields)
        if why == words.NEED_BYTES:
            if window.final or 0 < bytes_max <= window.done_bytes:
                note_tail(window, at, quarantine)
                break
            window.refill(at)
            head[words.AT] = 0
        elif why == words.HANDED_OVER:
            size = int(head[words.SKIP])
            hand_over(window.widths.u8[at : at + size])
            head[words.AT] = at + size
        elif why == words.BROKEN:
            note_broken(window, at, quarantine, notes)
            break
    note_passed(passed, notes)
