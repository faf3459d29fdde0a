"""Several sorted streams of events become one, block by block, in bounded memory.

Used twice: the files of one source by their position on the tape, and then several sources by the clock. A stream is
opened only when its first key can be next, so that a year of daily files has one or two open at a time.

Cost: nothing where streams do not overlap (blocks pass through as they are), else a stable sort per block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.market.events import EVENT, MISSING, Events, Flag, clock_ns

Keyed = tuple[NDArray[np.int64], Events]
"""Events and the key of each, equally long, keys never falling."""

_NO_KEYS: Final = np.empty(0, np.int64)
_NO_EVENTS: Final = np.empty(0, EVENT)


@dataclass
class Stream:
    """One input: what opens it, and a key that none of its keys is below."""

    first_key: int
    open: Callable[[], Iterator[Keyed]]
    _blocks: Iterator[Keyed] | None = None
    _keys: NDArray[np.int64] = field(default_factory=lambda: _NO_KEYS)
    _events: Events = field(default_factory=lambda: _NO_EVENTS)

    def fill(self) -> bool:
        """Have something at hand; return whether there is anything left."""
        if self._blocks is None:
            self._blocks = self.open()
        while not self._keys.size:
            block = next(self._blocks, None)
            if block is None:
                self._blocks = iter(())
                return False
            self._keys, self._events = block
        return True

    @property
    def last_key(self) -> int:
        """Key of the last event at hand."""
        return int(self._keys[-1])

    def take(self, key: int, *, up_to: bool) -> Keyed:
        """Hand over what is at hand below ``key`` (and at it, if ``up_to``)."""
        n = int(np.searchsorted(self._keys, key, side="right" if up_to else "left"))
        taken = self._keys[:n], self._events[:n]
        if n == self._keys.size:  # an empty slice would keep the whole block in memory, and a lake has many files
            self._keys, self._events = _NO_KEYS, _NO_EVENTS
        else:
            self._keys, self._events = self._keys[n:], self._events[n:]
        return taken


def merge(streams: Sequence[Stream]) -> Iterator[Keyed]:
    """Yield the events of all streams in the order of their keys; equal keys in the order of the streams.

    >>> def stream(*keys: int) -> Stream:
    ...     return Stream(keys[0], lambda: iter([(np.array(keys, np.int64), np.zeros(len(keys), EVENT))]))
    >>> [k for keys, _ in merge([stream(1, 4, 5), stream(2, 3, 9)]) for k in keys.tolist()]
    [1, 2, 3, 4, 5, 9]
    """
    rank = {id(stream): i for i, stream in enumerate(streams)}
    waiting = sorted(streams, key=lambda s: (s.first_key, rank[id(s)]), reverse=True)
    active: list[Stream] = []
    while waiting or active:
        active = [stream for stream in active if stream.fill()]
        if not active:
            if waiting:
                active.append(waiting.pop())
            continue
        # Everything below the smallest last key is known to be complete: later blocks hold nothing before it. At the
        # key itself, streams after the one whose block ends there must wait for what it still has.
        turn = min(active, key=lambda s: (s.last_key, rank[id(s)]))
        key = turn.last_key
        if waiting and waiting[-1].first_key <= key:
            active.append(waiting.pop())
            continue
        active.sort(key=lambda s: rank[id(s)])
        pieces = [stream.take(key, up_to=rank[id(stream)] <= rank[id(turn)]) for stream in active]
        pieces = [piece for piece in pieces if piece[0].size]
        if len(pieces) == 1:
            yield pieces[0]
            continue
        keys = np.concatenate([k for k, _ in pieces])
        order = np.argsort(keys, kind="stable")
        yield keys[order], np.concatenate([e for _, e in pieces])[order]


def message_clock(blocks: Iterator[Events]) -> Iterator[Keyed]:
    """Key a source's events by the clock so that merging keeps their order and tears no message apart.

    The key is the latest clock so far at the start of the message (records of one message end with Flag.LAST): it never
    falls, although a source's own stamps may, and it looks at nothing that comes later.

    >>> from tapebook.market.events import empty_events
    >>> e = empty_events(4)
    >>> e["ts_event_ns"] = [5, 9, 7, 8]
    >>> e["flags"] = [0, Flag.LAST, Flag.LAST, Flag.LAST]
    >>> [keys.tolist() for keys, _ in message_clock(iter([e[:1], e[1:]]))]
    [[5], [5, 9, 9]]
    """
    latest = MISSING
    key = MISSING
    begins = True
    for events in blocks:
        so_far = np.maximum.accumulate(np.maximum(clock_ns(events), latest))
        starts = np.empty(events.size, bool)
        starts[0] = begins
        starts[1:] = (events["flags"][:-1] & Flag.LAST) != 0
        at = np.maximum.accumulate(np.where(starts, np.arange(events.size), -1))
        keys = np.where(at >= 0, so_far[at], key)
        latest, key = int(so_far[-1]), int(keys[-1])
        begins = bool(events["flags"][-1] & Flag.LAST)
        yield keys, events
