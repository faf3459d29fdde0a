"""What is watched while data come in: a fold over events, with the same findings however they are cut into batches.

* a book, or the quotes, that stay crossed (or that the venue's parser doubts: one-sided) for longer than a moment;
* stamps of the venue that go back, within one channel of one contract.

Prices off the grid and records that cannot be read are found by the parsers themselves, streams that fall silent by the
session. Each finding stands for a stretch: the next one of its sort comes when the first has ended, or a minute later.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapebook.capture.rows import DEPTH_CHANNEL
from tapebook.market.events import MISSING, Events, Flag, Kind
from tapebook.market.operators import State

__all__ = ["CROSSED_NS", "Checks", "Found"]

CROSSED_NS: Final = 1_000_000_000
"""A crossed book that lives shorter is two messages on their way."""

BACK_NS: Final = 1_000_000_000
"""Stamps of one venue come from several clocks; less than this back is what they differ by."""

_QUIET_NS: Final = 60_000_000_000
_QUOTE: Final = int(Kind.QUOTE)
_LAST, _MAYBE_BAD = int(Flag.LAST), int(Flag.MAYBE_BAD)
_SINCE, _TOLD = range(2)  # of a book
_TOP, _TOLD_BACK = range(2)  # of stamps


class Found(NamedTuple):
    """A finding, and the event that shows it."""

    at: int  # index into the events
    instrument_id: int
    finding: str
    expected: str
    found: str


class Checks:
    """The fold. Memory: two numbers for each (instrument, channel).

    >>> from tapebook.market.events import empty_events
    >>> events = empty_events(2)
    >>> events["instrument_id"], events["ts_recv_ns"], events["ts_event_ns"] = 1, [1, 2], [9 * 10**9, 5 * 10**9]
    >>> [found.finding for found in Checks().advance(events)]
    ["the venue's time goes back"]
    """

    def __init__(self) -> None:
        self._books: dict[tuple[int, int], list[int]] = {}
        self._stamps: dict[tuple[int, int], list[int]] = {}

    def advance(self, events: Events) -> list[Found]:
        """Take in events and return what was found, in their order."""
        if not events.size:
            return []
        key = events["instrument_id"].astype(np.int64) << 16 | events["channel"]
        found: list[Found] = []
        for one in np.unique(key).tolist():
            where = np.flatnonzero(key == one)
            name = one >> 16, one & 0xFFFF
            mine = events if where.size == events.size else events[where]
            self._back(name, mine, where, found)
            self._crossed(name, mine, where, found)
        found.sort()
        return found

    def save(self) -> State:
        """Return a copy of the memory."""
        return {name: _table(memory) for name, memory in (("books", self._books), ("stamps", self._stamps))}

    def restore(self, state: State) -> None:
        """Take up a memory."""
        for memory, name in ((self._books, "books"), (self._stamps, "stamps")):
            memory.clear()
            memory.update({(a, b): [c, d] for a, b, c, d in state[name].tolist()})

    def _back(self, name: tuple[int, int], events: Events, where: NDArray[np.intp], out: list[Found]) -> None:
        memory = self._stamps.setdefault(name, [MISSING, MISSING])
        stamps = events["ts_event_ns"]
        top = np.maximum.accumulate(np.maximum(stamps, memory[_TOP]))
        for i in np.flatnonzero((stamps != MISSING) & (top - BACK_NS > stamps)).tolist():
            now = int(events["ts_recv_ns"][i])
            if memory[_TOLD_BACK] == MISSING or now - memory[_TOLD_BACK] >= _QUIET_NS:
                memory[_TOLD_BACK] = now
                back_s = int(top[i] - stamps[i]) / 1e9
                text = f"{back_s:.3f} s before one that came earlier (channel {name[1]})"
                out.append(Found(int(where[i]), name[0], "the venue's time goes back", "no more than 1 s", text))
        memory[_TOP] = int(top[-1])

    def _crossed(self, name: tuple[int, int], events: Events, where: NDArray[np.intp], out: list[Found]) -> None:
        memory = self._books.get(name, [MISSING, 0])
        bad, last = _doubtful(name[1], events)
        if memory[_SINCE] == MISSING and not bad.any():
            return
        at = np.flatnonzero(last)
        if not at.size:
            return
        ts, bad = events["ts_recv_ns"][at], bad[at]
        # Where a stretch begins: at the first event, and where it turns from good to bad or back.
        begins = np.concatenate(([0], np.flatnonzero(bad[1:] != bad[:-1]) + 1, [at.size])).tolist()
        for begin, end in pairwise(begins):
            if not bad[begin]:
                memory = [MISSING, 0]
                continue
            if memory[_SINCE] == MISSING:
                memory = [int(ts[begin]), 0]
            if memory[_TOLD] or ts[end - 1] - memory[_SINCE] < CROSSED_NS:
                continue
            memory = [memory[_SINCE], 1]
            late = begin + int(np.argmax(ts[begin:end] - memory[_SINCE] >= CROSSED_NS))
            what = "the book" if name[1] == DEPTH_CHANNEL else "the quote"
            text = f"{(int(ts[late]) - memory[_SINCE]) / 1e9:.1f} s so far"
            found = Found(int(where[at[late]]), name[0], f"{what} stays crossed or one-sided", "bid below ask", text)
            out.append(found)
        self._books[name] = memory


def _doubtful(channel: int, events: Events) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return, for each event, whether the book is doubtful after it, and whether it may be looked at."""
    last = (events["flags"] & _LAST) != 0
    bad = (events["flags"] & _MAYBE_BAD) != 0
    if channel != DEPTH_CHANNEL:
        quote = events["kind"] == _QUOTE
        ask = quote & (events["side"] == -1) & last
        ask[0] = False  # a message is never cut, so its bid stands before it
        bid = np.roll(events["price"], 1)
        pair = ask & np.roll(quote & (events["side"] == 1), 1)
        bad = pair & (bid != MISSING) & (events["price"] != MISSING) & (bid > events["price"])
        last = last & quote
    return bad, last


def _table(memory: dict[tuple[int, int], Sequence[int]] | dict[tuple[int, int], list[int]]) -> NDArray[np.int64]:
    return np.array([[*key, *values] for key, values in memory.items()], np.int64).reshape(-1, 4)
