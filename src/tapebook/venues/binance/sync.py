"""When a Binance order book may be believed: snapshot and diffs put together, as a small machine without any I/O.

Binance sends changes of levels (*diffs*) on one connection, and the whole book (a *snapshot*) on request on another.
Diffs are numbered: each tells the first and last update id it covers (``U``, ``u``), the futures also the last id of
the diff before it (``pu``). A snapshot tells the last id it contains (``lastUpdateId``, L here). The documentation
("How to manage a local order book correctly") gives two rules, and this machine follows them word for word:

===============  ============================================  ===========================================
..               spot                                          USD-M and COIN-M futures
===============  ============================================  ===========================================
drop diffs with  u <= L                                        u < L
first applied    U <= L + 1 <= u                               U <= L <= u
then each needs  U == u before + 1                             pu == u before
===============  ============================================  ===========================================

One addition for the futures: their ids have holes, so that L may fall between two diffs (``pu <= L < U``). The second
of them is then the next change after the snapshot, and it bridges.

The states::

    empty --diff--> buffering --snapshot--> live            (a buffered diff bridges it)
                                        --> syncing         (no diff behind it yet) --diff--> live
    empty --snapshot--> syncing
    live --diff that does not follow--> stale --snapshot--> live, syncing

*Syncing*, a diff that leaves a gap behind the snapshot throws the machine back to buffering: a newer snapshot is
needed. *Buffering* and *stale*, a snapshot older than the buffer reaches back is of no use and is passed over. Nothing
is passed on unless the book is live, and what comes before its turn waits: a diff with its payload, whatever the caller
made of it.

Diffs that repeat what is known (``u`` not beyond the last one) are passed over in every state, unless they lie so far
behind (:data:`REPEATED_MAX`) that the venue must have begun to number anew: that is a gap. At most
:data:`BUFFERED_MAX` diffs wait; then the oldest are dropped, which a later snapshot notices if it needed them.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import Enum
from typing import Final, Generic, TypeVar

import msgspec

__all__ = ["BUFFERED_MAX", "REPEATED_MAX", "BookState", "DepthSync", "Diff", "Memory", "Rule", "Step"]

REPEATED_MAX: Final = 10**9
"""How far an update id may lie behind the last one and be a repeat; further, the venue numbers anew: a gap."""

BUFFERED_MAX: Final = 10_000
"""Diffs that wait for a snapshot: a quarter of an hour of 100 ms diffs, two minutes of the busiest stream."""

T = TypeVar("T")


class Rule(Enum):
    """How diffs follow a snapshot and each other."""

    SPOT = "spot"
    FUTURES = "futures"  # USD-M and COIN-M


class BookState(Enum):
    """What is known of the book."""

    EMPTY = "empty"
    BUFFERING = "buffering"
    SYNCING = "syncing"
    LIVE = "live"
    STALE = "stale"


class Step(msgspec.Struct, Generic[T], frozen=True):
    """What a message means for the book, in this order.

    Attributes
    ----------
    lost
        The book that was live must be forgotten: messages are missing before this one.
    snapshot
        The snapshot to start from: the one just given, or one that was waiting for its first diff.
    diffs
        Diffs to apply after that, oldest first; the last one may be the one just given.
    """

    lost: bool = False
    snapshot: T | None = None
    diffs: tuple[T, ...] = ()


class Diff(msgspec.Struct, Generic[T], frozen=True):
    """A diff that waits: ``U``, ``u``, ``pu`` and what to apply."""

    first: int
    last: int
    before: int | None
    payload: T


class Memory(msgspec.Struct, Generic[T], frozen=True):
    """All that a machine knows, counts aside."""

    state: BookState
    last: int
    snapshot_id: int
    snapshot: T | None
    waiting: tuple[Diff[T], ...]


class DepthSync(Generic[T]):
    """The machine for one instrument.

    Attributes
    ----------
    state
        Where it stands.
    transitions
        How often each change of state happened, by ``"from -> to: reason"``.
    ignored
        How many messages were passed over, by reason.

    Examples
    --------
    >>> sync: DepthSync[str] = DepthSync(Rule.SPOT)
    >>> sync.diff(5, 6, None, "a"), sync.diff(7, 9, None, "b")
    (Step(lost=False, snapshot=None, diffs=()), Step(lost=False, snapshot=None, diffs=()))
    >>> sync.snapshot(7, "book at 7")
    Step(lost=False, snapshot='book at 7', diffs=('b',))
    >>> sync.diff(12, 13, None, "d")
    Step(lost=True, snapshot=None, diffs=())
    >>> sync.state
    <BookState.STALE: 'stale'>
    >>> list(sync.transitions)
    ['empty -> buffering: first diff', 'buffering -> live: snapshot bridged', 'live -> stale: gap']
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.state = BookState.EMPTY
        self.transitions: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.expected = ""  # after a gap: what should have come
        self._buffer: deque[Diff[T]] = deque()
        self._snapshot_id = 0
        self._snapshot: T | None = None
        self._last = -1  # the last update id of the newest diff seen in an unbroken run

    @property
    def waiting(self) -> int:
        """How many diffs wait for a snapshot."""
        return len(self._buffer)

    def diff(self, first: int, last: int, before: int | None, payload: T) -> Step[T]:
        """Take a diff: ``U``, ``u``, ``pu`` (None on spot) and what to apply."""
        diff = Diff(first, last, before, payload)
        if self._last >= 0 and self._last - REPEATED_MAX <= last <= self._last:
            self.ignored["diff that repeats what is known"] += 1
            return Step()
        follows = self._last < 0 or self._follows(diff)
        if not follows:
            self.expected = f"U {self._last + 1}" if self.rule is Rule.SPOT else f"pu {self._last}"
        self._last = last
        if self.state is BookState.LIVE:
            if follows:
                return Step(diffs=(payload,))
            self._go(BookState.STALE, "gap")
            self._hold(diff)
            return Step(lost=True)
        if not follows:
            # What was held cannot be continued: no snapshot joins on it any more.
            self._buffer.clear()
            self.ignored["diffs before a gap, no snapshot yet"] += 1
        if self.state is BookState.EMPTY:
            self._go(BookState.BUFFERING, "first diff")
        if self.state is BookState.SYNCING:
            return self._behind_snapshot(diff)
        self._hold(diff)
        return Step()

    def snapshot(self, last_update_id: int, payload: T) -> Step[T]:
        """Take a snapshot: ``lastUpdateId`` and the book."""
        if self.state is BookState.LIVE:
            self.ignored["snapshot while the book is live"] += 1
            return Step()
        while self._buffer and self._stale(self._buffer[0], last_update_id):
            self._buffer.popleft()
        if not self._buffer:
            if self._last > last_update_id:
                self.ignored["snapshot older than the diffs"] += 1
                return Step()
            self._snapshot_id, self._snapshot = last_update_id, payload
            self._go(BookState.SYNCING, "snapshot")
            return Step()
        if not self._bridges(self._buffer[0], last_update_id):
            self.ignored["snapshot older than the diffs"] += 1
            return Step()
        diffs = tuple(diff.payload for diff in self._buffer)
        self._buffer.clear()
        self._go(BookState.LIVE, "snapshot bridged")
        return Step(snapshot=payload, diffs=diffs)

    def lose(self, reason: str) -> Step[T]:
        """Forget everything: the connection broke, or the caller knows that a message is missing."""
        was_live = self.state is BookState.LIVE
        self._buffer.clear()
        self._snapshot = None
        self._last = -1
        if self.state in (BookState.LIVE, BookState.STALE):
            self._go(BookState.STALE, reason)
        elif self.state is BookState.SYNCING:
            self._go(BookState.BUFFERING, reason)
        return Step(lost=was_live)

    def save(self) -> Memory[T]:
        """Return the whole memory; payloads are handed out as they are."""
        return Memory(self.state, self._last, self._snapshot_id, self._snapshot, tuple(self._buffer))

    def restore(self, memory: Memory[T]) -> None:
        """Take up a memory that :meth:`save` returned."""
        self.state, self._last = memory.state, memory.last
        self._snapshot_id, self._snapshot = memory.snapshot_id, memory.snapshot
        self._buffer = deque(memory.waiting)

    def _behind_snapshot(self, diff: Diff[T]) -> Step[T]:
        if self._stale(diff, self._snapshot_id):
            self.ignored["diff that the snapshot contains"] += 1
            return Step()
        snapshot, self._snapshot = self._snapshot, None
        if self._bridges(diff, self._snapshot_id):
            self._go(BookState.LIVE, "diff bridged")
            return Step(snapshot=snapshot, diffs=(diff.payload,))
        self._go(BookState.BUFFERING, "gap behind the snapshot")
        self._hold(diff)
        return Step()

    def _follows(self, diff: Diff[T]) -> bool:
        if self.rule is Rule.SPOT:
            return diff.first == self._last + 1
        return diff.before == self._last

    def _stale(self, diff: Diff[T], snapshot_id: int) -> bool:
        return diff.last <= snapshot_id if self.rule is Rule.SPOT else diff.last < snapshot_id

    def _bridges(self, diff: Diff[T], snapshot_id: int) -> bool:
        if self.rule is Rule.SPOT:
            return diff.first <= snapshot_id + 1 <= diff.last
        lower = diff.first if diff.before is None else min(diff.first, diff.before)
        return lower <= snapshot_id <= diff.last

    def _hold(self, diff: Diff[T]) -> None:
        self._buffer.append(diff)
        if len(self._buffer) > BUFFERED_MAX:
            self._buffer.popleft()
            self.ignored["diff dropped: too many wait for a snapshot"] += 1

    def _go(self, state: BookState, reason: str) -> None:
        if state is not self.state:
            self.transitions[f"{self.state.value} -> {state.value}: {reason}"] += 1
        self.state = state
