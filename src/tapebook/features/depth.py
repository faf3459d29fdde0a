"""What features of the book's depth look at: the best levels of both sides before and after each event.

A :class:`DepthFeed` is a :class:`~tapebook.features.touch.TouchFeed` that sees deeper: its :class:`DepthView` has
everything that a touch view has (a fold over the touch takes either), and the levels. Most events leave the levels as
they are, so a block is told as the few books it goes through and, for each event, which of them stands around it; a
side is read again only where an event may have changed it (:mod:`tapebook.kernels.book_levels`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tapebook.features.folds import Alone, FoldOf, Folds
from tapebook.features.touch import Timed, TouchFeed, View
from tapebook.kernels.book_levels import SEEN_N, SEEN_THREAD, fold_levels
from tapebook.kernels.book_state import NEED, NOTHING
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Events, Flag, Kind, clock_ns, empty_events
from tapebook.market.instruments import Instrument
from tapebook.market.operators import State

__all__ = ["LEVELS_MAX", "DepthFeed", "DepthFold", "DepthOperator", "DepthTogether", "DepthView", "depth_view_of"]

LEVELS_MAX = 100
"""The deepest view: what is asked of every level costs time for each of them."""


@dataclass(frozen=True)
class DepthView(View):
    """A view with depth: ``books[which[i]]`` stood before event ``i``, ``books[which[i + 1]]`` stands after it.

    Attributes
    ----------
    n_levels
        Levels of a side.
    books
        (books, 4 * n_levels): bid prices, bid sizes, ask prices, ask sizes, each best first. A level that is not there
        has the price MISSING and the size 0, a size that was not told is MISSING.
    which
        One place longer than the events: rows of ``books``.
    at
        The events that changed a level in view, or broke the thread: where features make rows.
    """

    n_levels: int
    books: NDArray[np.int64]
    which: NDArray[np.int64]
    at: NDArray[np.int64]

    @property
    def before(self) -> NDArray[np.int64]:
        """The book that stood before each change, as a row of ``books``."""
        rows: NDArray[np.int64] = self.which[self.at]
        return rows

    @property
    def after(self) -> NDArray[np.int64]:
        """The book that stands after each change, as a row of ``books``."""
        rows: NDArray[np.int64] = self.which[self.at + 1]
        return rows


DepthFold: TypeAlias = FoldOf[DepthView]
"""A feature of the depth without its feed."""


class DepthFeed(TouchFeed):
    """Turns blocks of a tape into views of one instrument with the best levels, building its book on the way.

    Parameters
    ----------
    instrument, instrument_id
        Whose events to look at.
    levels
        How many levels of a side to see.
    hours
        As for :class:`~tapebook.features.touch.TouchFeed`.

    Raises
    ------
    ConfigurationError
        If ``levels`` is out of range.
    """

    def __init__(self, instrument: Instrument, instrument_id: int, *, levels: int = 10, hours: bool = True) -> None:
        if not 1 <= levels <= LEVELS_MAX:
            raise ConfigurationError("levels of a side", expected=f"1 to {LEVELS_MAX}", found=str(levels))
        super().__init__(instrument, instrument_id, hours=hours)
        self.n_levels = levels
        self._kept = _no_book(levels)
        self._marks = np.zeros(SEEN_N, np.int64)

    def see(self, events: Events) -> DepthView:
        """Fold a block into the book and return the view of it."""
        timed = self.time(events)
        return self.view(timed, 0, timed.events.size)

    def view(self, timed: Timed, start: int, stop: int) -> DepthView:
        """Fold ``timed.events[start:stop]`` into the book and return the view of it."""
        block = timed.events[start:stop]
        n = block.size
        books = np.empty((n + 1, self._kept.size), np.int64)
        books[0] = self._kept
        which, thread = np.zeros(n + 1, np.int64), np.empty(n + 1, np.int64)
        thread[0] = self._marks[SEEN_THREAD]
        place, row = 0, 0
        while True:
            arrays = self.book.memory.arrays
            place, row = fold_levels(
                *arrays, block, place, n, self.n_levels, row, self._marks, books, which[1:], thread[1:], 0
            )
            if arrays.head[NEED] == NOTHING:
                break
            self.book.memory.make_room(block, place)
        self._kept = books[row].copy()
        return _view(timed, start, stop, self.n_levels, books[: row + 1], which, thread)

    def _own(self) -> State:
        return super()._own() | {"kept": self._kept, "marks": self._marks}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        kept, marks = state.get("kept", self._kept), state.get("marks", self._marks)
        if kept.shape != self._kept.shape or marks.shape != self._marks.shape:  # told before anything is changed
            raise OperatorError(
                "depth feed: saved with another depth",
                expected=f"{self.n_levels} levels",
                found=f"{kept.size // 4}",
                remedy="restore with the number of levels it was saved with",
            )
        super().restore(state)
        self._kept = state["kept"].copy()
        self._marks = state["marks"].copy()


class DepthTogether(Folds[DepthView]):
    """Many features of the depth over one feed."""

    def __init__(
        self,
        instrument: Instrument,
        instrument_id: int,
        folds: Mapping[str, DepthFold],
        *,
        levels: int = 10,
        hours: bool = True,
    ) -> None:
        self.feed = DepthFeed(instrument, instrument_id, levels=levels, hours=hours)
        super().__init__(self.feed, folds)


class DepthOperator(Alone[DepthView]):
    """A feature of the depth as an operator of its own."""

    def __init__(self, instrument: Instrument, instrument_id: int, fold: DepthFold, *, levels: int = 10) -> None:
        super().__init__(DepthFeed(instrument, instrument_id, levels=levels), fold)


def depth_view_of(
    books: Sequence[tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]],
    *,
    levels: int = 0,
    every_ns: int = 1_000_000_000,
) -> DepthView:
    """Return a view in which event ``i`` brings ``books[i]``: for examples and tests.

    A book is its bids and its asks as (price in 1e-9, size), best first. The first event comes at time 0, nothing stood
    before. ``levels`` 0 takes the deepest side.

    >>> view = depth_view_of([([(99, 5), (98, 7)], [(101, 4)])])
    >>> view.books[1, :4].tolist(), view.ask_sz.tolist()
    ([99, 98, 5, 7], [0, 4])
    """
    n = len(books)
    depth = levels or max((len(side) for book in books for side in book), default=1)
    rows = np.tile(_no_book(depth), (n + 1, 1))
    for i, book in enumerate(books):
        for s, side in enumerate(book):
            for m, (price, size) in enumerate(side[:depth]):
                rows[i + 1, 2 * s * depth + m] = price
                rows[i + 1, (2 * s + 1) * depth + m] = size
    events = empty_events(n)
    events["kind"], events["flags"] = Kind.LEVEL, Flag.LAST
    events["ts_event_ns"] = np.arange(n) * every_ns
    ts_ns = clock_ns(events)
    timed = Timed(events, ts_ns, ts_ns, np.zeros(n, np.int64), np.ones(n, np.bool_))
    return _view(timed, 0, n, depth, rows, np.arange(n + 1), np.zeros(n + 1, np.int64))


def _view(
    timed: Timed,
    start: int,
    stop: int,
    levels: int,
    books: NDArray[np.int64],
    which: NDArray[np.int64],
    thread: NDArray[np.int64],
) -> DepthView:
    part = slice(start, stop)
    bid_px, bid_sz, ask_px, ask_sz = (books[which, j * levels] for j in range(4))
    at = np.flatnonzero((which[1:] != which[:-1]) | (thread[1:] != thread[:-1]))
    return DepthView(
        timed.events[part],
        timed.ts_ns[part],
        timed.clock_ns[part],
        timed.session[part],
        timed.trading[part],
        bid_px,
        bid_sz,
        ask_px,
        ask_sz,
        thread,
        levels,
        books,
        which,
        at,
    )


def _no_book(levels: int) -> NDArray[np.int64]:
    book = np.zeros(4 * levels, np.int64)
    book[:levels] = book[2 * levels : 3 * levels] = MISSING
    return book
