"""Rows of Tardis CSV files become events: one maker a type (see :mod:`tapebook.readers.tardis` for the rules)."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.market.events import MISSING, Events, Flag, Kind, Side, SideSource, empty_events
from tapebook.market.quarantine import Quarantine
from tapebook.readers.columns import OK, fixed_point
from tapebook.readers.fields import lots, note, prices
from tapebook.readers.rows import Rows
from tapebook.readers.tardis_rows import MessageEnds, Stamped
from tapebook.venues.views import Views

_SIDES: Final = {b"buy": Side.BUY, b"sell": Side.SELL, b"unknown": Side.UNKNOWN, b"bid": Side.BID, b"ask": Side.ASK}


class Maker(Protocol):
    """Turns the rows of one type into events; sets ``stamps.keep`` to false for rows that it quarantined."""

    def advance(self, rows: Rows, stamps: Stamped, quarantine: Quarantine) -> Events:
        """Return the events of some rows, as far as they are complete."""
        ...

    def finish(self) -> Events:
        """Return what was held back."""
        ...


def sides(rows: Rows, stamps: Stamped, quarantine: Quarantine, allowed: tuple[bytes, ...]) -> NDArray[np.int8]:
    """Read the ``side`` column."""
    encoded = pc.dictionary_encode(rows["side"])
    values = encoded.dictionary.to_pylist()
    index = encoded.indices.to_numpy()
    bad = stamps.keep & ~np.array([v in allowed for v in values], np.bool_)[index]
    if bad.any():
        wanted = ", ".join(word.decode() for word in allowed)
        rows.reject(quarantine, bad, "bad side", expected=wanted, name="side")
        stamps.keep[bad] = False
    by_value: NDArray[np.int8] = np.array([_SIDES.get(v, Side.UNKNOWN) for v in values], np.int8)
    by_row: NDArray[np.int8] = by_value[index]
    return by_row


class Trades:
    """Rows of ``trades``."""

    def __init__(self, notes: dict[str, int], *, consecutive: bool) -> None:
        self._notes = notes
        self._ends = MessageEnds()
        self._consecutive = consecutive
        self._last_id: dict[int, int] = {}

    def advance(self, rows: Rows, stamps: Stamped, quarantine: Quarantine) -> Events:
        """See :class:`Maker`."""
        price = prices(rows, "price", quarantine, stamps.keep)
        qty = lots(rows, "amount", quarantine, stamps.keep, stamps.lot_e9)
        side = sides(rows, stamps, quarantine, (b"buy", b"sell", b"unknown"))
        number, ok = fixed_point(rows["id"], 0)
        chosen = np.flatnonzero(stamps.keep)
        events = stamps.events(chosen)
        events["kind"] = Kind.TRADE
        events["price"], events["qty_lots"], events["side"] = price[chosen], qty[chosen], side[chosen]
        events["side_source"] = np.where(side[chosen] != 0, int(SideSource.VENUE), int(SideSource.NONE))
        events["sequence"] = np.where(ok == OK, number, MISSING)[chosen]
        if self._consecutive:
            self._mark_gaps(events)
        return self._ends.advance(events)

    def finish(self) -> Events:
        """See :class:`Maker`."""
        return self._ends.finish()

    def _mark_gaps(self, events: Events) -> None:
        ids = events["instrument_id"]
        for who in np.unique(ids).tolist():
            mine = np.flatnonzero((ids == who) & (events["sequence"] != MISSING))
            if not mine.size:
                continue
            seen = events["sequence"][mine]
            step = np.diff(seen, prepend=self._last_id.get(who, int(seen[0]) - 1))
            events["flags"][mine[step > 1]] |= np.uint16(Flag.GAP)
            note(self._notes, "trades missing by their ids", int((step[step > 1] - 1).sum()))
            note(self._notes, "trade ids that repeat or run backwards", int((step < 1).sum()))
            self._last_id[who] = int(seen[-1])


class Quotes:
    """Rows of ``quotes`` and ``book_ticker``."""

    def advance(self, rows: Rows, stamps: Stamped, quarantine: Quarantine) -> Events:
        """See :class:`Maker`."""
        price = [prices(rows, name, quarantine, stamps.keep, optional=True) for name in ("bid_price", "ask_price")]
        qty = [
            lots(rows, name, quarantine, stamps.keep, stamps.lot_e9, optional=True)
            for name in ("bid_amount", "ask_amount")
        ]
        chosen = np.flatnonzero(stamps.keep)
        events = stamps.events(np.repeat(chosen, 2))
        events["kind"] = Kind.QUOTE
        for i, side in enumerate((Side.BID, Side.ASK)):
            events["side"][i::2] = side
            events["price"][i::2] = price[i][chosen]
            events["qty_lots"][i::2] = np.where(price[i] == MISSING, MISSING, qty[i])[chosen]
        events["flags"][1::2] = int(Flag.LAST)
        return events

    def finish(self) -> Events:
        """See :class:`Maker`."""
        return empty_events(0)


class Changes:
    """Rows of ``incremental_book_L2``."""

    def __init__(self, notes: dict[str, int]) -> None:
        self._notes = notes
        self._ends = MessageEnds()
        self._in_snapshot: dict[int, bool] = {}
        self._lost = False  # a row just before could not be read

    def advance(self, rows: Rows, stamps: Stamped, quarantine: Quarantine) -> Events:
        """See :class:`Maker`."""
        price = prices(rows, "price", quarantine, stamps.keep)
        qty = lots(rows, "amount", quarantine, stamps.keep, stamps.lot_e9)
        side = sides(rows, stamps, quarantine, (b"bid", b"ask"))
        is_snapshot = pc.equal(rows["is_snapshot"], b"true").to_numpy(zero_copy_only=False)
        bad = stamps.keep & ~is_snapshot & ~pc.equal(rows["is_snapshot"], b"false").to_numpy(zero_copy_only=False)
        if bad.any():
            rows.reject(quarantine, bad, "bad is_snapshot", expected="true or false", name="is_snapshot")
            stamps.keep[bad] = False
        chosen = np.flatnonzero(stamps.keep)
        starts = self._starts(stamps.instrument_id[chosen], is_snapshot[chosen])
        lost = np.zeros(rows.n, np.bool_)
        lost[1:] = stamps.keep[1:] & ~stamps.keep[:-1]
        if rows.n:
            lost[0] = self._lost and stamps.keep[0]
            self._lost = not stamps.keep[-1]

        # One more record, the CLEAR, in front of each row where a snapshot starts.
        from_row = np.repeat(chosen, 1 + starts)
        clear = np.zeros(from_row.size, np.bool_)
        clear[(np.arange(chosen.size) + np.cumsum(starts) - starts)[starts]] = True
        events = stamps.events(from_row)
        events["kind"] = np.where(clear, int(Kind.CLEAR), int(Kind.LEVEL))
        events["price"] = np.where(clear, MISSING, price[from_row])
        events["qty_lots"] = np.where(clear, MISSING, qty[from_row])
        events["side"] = np.where(clear, 0, side[from_row])
        flags = np.where(is_snapshot[from_row], int(Flag.SNAPSHOT), 0)
        events["flags"] = flags | np.where(lost[from_row], int(Flag.GAP), 0)
        note(self._notes, "snapshots", int(starts.sum()))
        return self._ends.advance(events)

    def finish(self) -> Events:
        """See :class:`Maker`."""
        return self._ends.finish()

    def _starts(self, ids: NDArray[np.uint32], is_snapshot: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say in which rows ``is_snapshot`` of an instrument turns from false (or nothing) to true."""
        starts = np.zeros(ids.size, np.bool_)
        for who in np.unique(ids).tolist():
            mine = np.flatnonzero(ids == who)
            now = is_snapshot[mine]
            before = np.concatenate([[self._in_snapshot.get(who, False)], now[:-1]])
            starts[mine] = now & ~before
            if who not in self._in_snapshot and not now[0]:
                note(self._notes, "books that start without a snapshot", 1)
            self._in_snapshot[who] = bool(now[-1])
        return starts


class Snapshots:
    """Rows of ``book_snapshot_N``."""

    def __init__(self, notes: dict[str, int], n_levels: int) -> None:
        self._notes = notes
        self._n = n_levels
        self._views = Views(n_levels)

    def advance(self, rows: Rows, stamps: Stamped, quarantine: Quarantine) -> Events:
        """See :class:`Maker`."""
        price = np.empty((rows.n, 2, self._n), np.int64)
        qty = np.empty((rows.n, 2, self._n), np.int64)
        for i, side in enumerate(("bids", "asks")):
            for k in range(self._n):
                price[:, i, k] = prices(rows, f"{side}[{k}].price", quarantine, stamps.keep, optional=True)
                qty[:, i, k] = lots(rows, f"{side}[{k}].amount", quarantine, stamps.keep, stamps.lot_e9, optional=True)
        chosen = np.flatnonzero(stamps.keep)
        parts = []
        for changes in self._views.advance(price[chosen], qty[chosen], None, stamps.instrument_id[chosen]):
            from_row = chosen[changes.row]
            events = stamps.events(from_row)
            for name in ("kind", "side", "price", "qty_lots", "flags"):
                events[name] = changes.events[name]
            odd = changes.odd[changes.row - changes.first_row]
            events["flags"][odd] |= np.uint16(Flag.MAYBE_BAD)
            note(self._notes, "rows whose levels are not in order", int(changes.odd.sum()))
            if events.size:
                events["flags"][np.append(from_row[1:] != from_row[:-1], True)] |= np.uint16(Flag.LAST)
            parts.append(events)
        return np.concatenate(parts) if parts else empty_events(0)

    def finish(self) -> Events:
        """See :class:`Maker`."""
        return empty_events(0)
