"""Successive views of the best N levels become LEVEL events that say only what changed.

Vendors publish books as rows that each show the whole top: Databento's MBP-10, Tardis' ``book_snapshot_N``, Sierra
Chart's DOM columns. :class:`Views` compares each row with the one before it and gives the changes, so that a book built
from the events equals the row, after every row:

* a price in both rows with another quantity (or order count), or a new price inside the old view: LEVEL;
* a price that is missing although the new view reaches beyond it (or is not full): LEVEL with quantity 0;
* a price beyond the reach of a full view: nobody knows what happened to it. It leaves the view: LEVEL with quantity 0
  and :attr:`Flag.VIEW`. The same for one that appears beyond the reach of the full view before: LEVEL with its
  quantity and Flag.VIEW. Nothing happened at the venue, and a flow measure must not count it.
* the first row of an instrument, and the first after :meth:`Views.forget`: CLEAR, then all levels, with Flag.SNAPSHOT.

A row that is not strictly ordered (prices repeated or out of order) is taken as it is and marked in
:attr:`Changes.odd`: the caller says so with Flag.MAYBE_BAD or refuses it.

Cost, measured with the events made: 11 to 16 ns per shown level (160 ns a row of 5 levels a side, 290 ns of 10, 860 ns
of 40) where neighbouring rows have most prices in common. In the worst case, nothing in common, the search is quadratic
in the number of levels: 1.8 µs a row of 10 levels a side, 11 µs of 40.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels.snapshots import CLEARED, INTO_VIEW, OUT_OF_VIEW, diff_views
from tapebook.market.events import COUNT_MISSING, MISSING, Events, Flag, Kind, empty_events

_RECORDS_MAX = 1 << 20


@dataclass(frozen=True)
class Changes:
    """What changed, one entry a change, in order of rows.

    Attributes
    ----------
    row
        Which row of the input made each event (ascending).
    events
        CLEAR and LEVEL events: kind, side, price, qty_lots, count and flags (SNAPSHOT, VIEW) are set. The rest (times,
        instrument, LAST) is for the caller: ``events["ts_event_ns"] = ts_event_ns[changes.row]``.
    odd
        For each input row, whether a side was not strictly ordered.
    first_row, n_rows
        Which rows of the input these are.
    """

    row: NDArray[np.int64]
    events: Events
    odd: NDArray[np.bool_]
    first_row: int
    n_rows: int


class Views:
    """Remembers the last view of each instrument and turns the next rows into changes.

    Parameters
    ----------
    n_levels
        Levels a side that a row shows.

    Examples
    --------
    >>> views = Views(2)
    >>> price = np.array([[[99, 98], [101, 102]], [[100, 99], [101, 102]]])
    >>> qty = np.array([[[5, 6], [7, 8]], [[1, 5], [7, 8]]])
    >>> (changes,) = views.advance(price, qty)
    >>> for row, e in zip(changes.row.tolist(), changes.events):
    ...     print(row, Kind(e["kind"]).name, e["side"], e["price"], e["qty_lots"], Flag(int(e["flags"])).name)
    0 CLEAR 0 -9223372036854775808 -9223372036854775808 SNAPSHOT
    0 LEVEL 1 99 5 SNAPSHOT
    0 LEVEL 1 98 6 SNAPSHOT
    0 LEVEL -1 101 7 SNAPSHOT
    0 LEVEL -1 102 8 SNAPSHOT
    1 LEVEL 1 98 0 VIEW
    1 LEVEL 1 100 1 None
    """

    def __init__(self, n_levels: int) -> None:
        self.n_levels = n_levels
        self._slots: dict[int, int] = {}
        self._started = np.zeros(0, np.int8)
        self._price = np.zeros((0, 2, n_levels), np.int64)
        self._qty = np.zeros((0, 2, n_levels), np.int64)
        self._count = np.zeros((0, 2, n_levels), np.uint32)

    def forget(self, instrument_id: int = 0) -> None:
        """Take the next row of an instrument as a first one (after a gap, a halt, a venue's clear)."""
        if instrument_id in self._slots:
            self._started[self._slots[instrument_id]] = 0

    def save(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the last views, and which instruments they are of."""
        return {
            "view_of": np.array(list(self._slots), np.int64),
            "view_started": self._started.copy(),
            "view_price": self._price.copy(),
            "view_qty": self._qty.copy(),
            "view_count": self._count.copy(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take up the views that :meth:`save` returned."""
        self._slots = {key: place for place, key in enumerate(state["view_of"].tolist())}
        self._started = state["view_started"].copy()
        self._price, self._qty = state["view_price"].copy(), state["view_qty"].copy()
        self._count = state["view_count"].copy()

    def advance(
        self,
        price: NDArray[np.int64],
        qty: NDArray[np.int64],
        count: NDArray[np.uint32] | None = None,
        instrument_id: NDArray[np.uint32] | None = None,
    ) -> Iterator[Changes]:
        """Compare rows with what stood before them.

        Parameters
        ----------
        price, qty
            int64 of shape (rows, 2, levels): bids in ``[:, 0]``, asks in ``[:, 1]``, best first. A level that is not
            there has the price MISSING; one with a quantity of 0 or less, or a MISSING one, counts as not there.
        count
            Orders at each level; all missing where None.
        instrument_id
            Whose row each is; all of one instrument (0) where None.

        Yields
        ------
        Changes
            Successive runs of rows, cut so that memory stays bounded. Take all of them: the memory of the last view
            moves on as they are taken.
        """
        n_rows = price.shape[0]
        slot = np.zeros(n_rows, np.int64) if instrument_id is None else self._slot(instrument_id)
        if instrument_id is None:
            self._slot(np.zeros(1, np.uint32))
        price = np.where(qty > 0, price, MISSING)  # MISSING itself is below 0
        if count is None:
            count = np.full(price.shape, COUNT_MISSING, np.uint32)
        step = max(1, _RECORDS_MAX // (4 * self.n_levels + 1))
        for start in range(0, n_rows, step):
            part = slice(start, start + step)
            yield self._changes(price[part], qty[part], count[part], slot[part], start)

    def _changes(
        self,
        price: NDArray[np.int64],
        qty: NDArray[np.int64],
        count: NDArray[np.uint32],
        slot: NDArray[np.int64],
        first_row: int,
    ) -> Changes:
        n_rows = slot.size
        n_max = n_rows * (4 * self.n_levels + 1)
        row, what, side = np.empty(n_max, np.int64), np.empty(n_max, np.int8), np.empty(n_max, np.int8)
        new_price, new_qty, new_count = np.empty(n_max, np.int64), np.empty(n_max, np.int64), np.empty(n_max, np.uint32)
        odd = np.zeros(n_rows, np.int8)
        fresh = np.zeros(n_rows, np.bool_)
        n = diff_views(
            np.ascontiguousarray(price),
            np.ascontiguousarray(qty),
            np.ascontiguousarray(count),
            slot,
            self._started,
            self._price,
            self._qty,
            self._count,
            row,
            what,
            side,
            new_price,
            new_qty,
            new_count,
            odd,
        )
        events = empty_events(n)
        what = what[:n]
        cleared = what == CLEARED
        fresh[row[:n][cleared]] = True
        events["kind"] = np.where(cleared, Kind.CLEAR, Kind.LEVEL)
        events["side"] = side[:n]
        events["price"] = new_price[:n]
        events["qty_lots"] = new_qty[:n]
        events["count"] = np.where(cleared, COUNT_MISSING, new_count[:n])
        view = (what == OUT_OF_VIEW) | (what == INTO_VIEW)
        snapshot = fresh[row[:n]]
        events["flags"] = np.where(view, int(Flag.VIEW), 0) | np.where(snapshot, int(Flag.SNAPSHOT), 0)
        return Changes(row[:n] + first_row, events, odd.astype(np.bool_), first_row, n_rows)

    def _slot(self, instrument_id: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Return the place of each row's instrument in the memory, making room for new ones."""
        ids, inverse = np.unique(instrument_id, return_inverse=True)
        for key in ids.tolist():
            self._slots.setdefault(key, len(self._slots))
        n_new = len(self._slots) - self._started.size
        if n_new:
            shape = (n_new, 2, self.n_levels)
            self._started = np.concatenate([self._started, np.zeros(n_new, np.int8)])
            self._price = np.concatenate([self._price, np.full(shape, MISSING, np.int64)])
            self._qty = np.concatenate([self._qty, np.zeros(shape, np.int64)])
            self._count = np.concatenate([self._count, np.zeros(shape, np.uint32)])
        places = np.array([self._slots[key] for key in ids.tolist()], np.int64)
        return places[inverse]


def in_row_order(*parts: tuple[NDArray[np.int64], Events]) -> tuple[NDArray[np.int64], Events]:
    """Put events made from the same rows by different hands in order of rows, and set LAST on each row's last event.

    Within a row the parts keep the order of the arguments: trades before the book that they left, for example.

    >>> trade, level = empty_events(1), empty_events(2)
    >>> trade["kind"], level["kind"] = Kind.TRADE, Kind.LEVEL
    >>> rows, events = in_row_order((np.array([4]), trade), (np.array([3, 4]), level))
    >>> rows.tolist(), events["kind"].tolist(), (events["flags"] & int(Flag.LAST)).tolist()
    ([3, 4, 4], [2, 1, 2], [1, 0, 1])
    """
    rows = np.concatenate([row for row, _ in parts])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    events: Events = np.concatenate([events for _, events in parts])[order]
    if rows.size:
        last = np.append(rows[1:] != rows[:-1], True)
        events["flags"] = np.where(last, events["flags"] | int(Flag.LAST), events["flags"] & ~np.uint16(Flag.LAST))
    return rows, events
