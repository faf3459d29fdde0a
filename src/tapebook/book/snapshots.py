"""N levels a side for each observable event or each sampled moment, and the touch alone: operators over any tape.

One book serves all tapes (:mod:`tapebook.book.orders` reads levels, quotes and orders), so nothing has to be guessed
about a tape before it is read and the chunk law holds by itself.

Rows
    A row stands only where the book may be observed: after a record with LAST, of whatever kind (a trade that leaves
    the book alone makes a row as well: rows then pair with the venue's messages). ``ts_ns`` is the clock of that event.
    Columns are named and ordered as in Databento's MBP-10: price, size, count; bid then ask at each depth. All are
    int64 (1e-9, lots, orders); where there is no level, or its size or count was not told, MISSING.
Samples
    With ``every_ns`` a row stands at each multiple of it since 1970 for the state after the last observable event at or
    before that boundary, stamped with the boundary; ``ts_event_ns`` and ``ts_recv_ns`` are those of that event. The row
    is made when the first event *after* the boundary arrives: until then the state at the boundary is not final, and
    no row looks ahead. Boundaries in whose interval nothing was observed make no row (the last one still holds), so a
    night costs nothing and a damaged stamp makes no million rows; the last boundary of a tape stays unmade because
    nothing shows that it has passed. The clock is :func:`~tapebook.kernels.touch.steady_clock`.
"""

from __future__ import annotations

import numpy as np

from tapebook.book.memory import Memory
from tapebook.book.statistics import BookStatistics
from tapebook.kernels.book_rows import BUCKET, EVERY, SAMPLER_SIZE, TS_COLUMNS, fold_samples, fold_snapshots
from tapebook.kernels.book_state import NEED, NOTHING
from tapebook.kernels.touch import CLOCK_N, CLOCK_NOW, steady_clock
from tapebook.market.errors import ConfigurationError, OperatorError
from tapebook.market.events import MISSING, Events, clock_ns
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register

__all__ = ["Snapshots", "Touch", "level_columns"]


def level_columns(n_levels: int) -> list[str]:
    """Return the names of the level columns, in order.

    >>> level_columns(1)
    ['bid_px_00', 'bid_sz_00', 'bid_ct_00', 'ask_px_00', 'ask_sz_00', 'ask_ct_00']
    """
    return [f"{side}_{what}_{i:02d}" for i in range(n_levels) for side in ("bid", "ask") for what in ("px", "sz", "ct")]


class Snapshots:
    """The best ``levels`` of each side, a row for each observable event or each sampled moment.

    Parameters
    ----------
    instrument, instrument_id
        Whose book.
    levels
        Depth of a row, at least 1.
    every_ns
        Sampling step; 0: every observable event.

    Raises
    ------
    ConfigurationError
        If ``levels`` or ``every_ns`` is out of range.
    """

    def __init__(self, instrument: Instrument, instrument_id: int, *, levels: int = 10, every_ns: int = 0) -> None:
        if not 1 <= levels <= 1000:
            raise ConfigurationError("levels of a snapshot", expected="1 to 1000", found=str(levels))
        if not 0 <= every_ns <= 1 << 60:
            raise ConfigurationError("sampling step", expected="0 to 2**60 ns", found=str(every_ns))
        self.levels = levels
        self.every_ns = every_ns
        self.memory = Memory(tick_e9=instrument.tick_e9, instrument_id=instrument_id)
        self.names = ["ts_ns", "ts_event_ns", "ts_recv_ns", *level_columns(levels)]
        self._sampler = np.zeros(SAMPLER_SIZE, np.int64)
        self._sampler[EVERY] = every_ns
        self._sampler[BUCKET] = MISSING
        self._kept = np.full((6 * levels, 1), MISSING, np.int64)
        self._clock = np.zeros(CLOCK_N, np.int64)
        self._clock[CLOCK_NOW] = MISSING

    def advance(self, events: Events) -> Rows:
        """Fold a block and return its rows."""
        n = events.size
        # A column more than fits, an odd number of cache lines: columns a power of two apart would share a few sets of
        # the cache and evict each other (measured: 245 ns a row of 10 levels, 107 ns so).
        out = np.empty((TS_COLUMNS + 6 * self.levels, 8 * ((n + 7) // 8 | 1)), np.int64)
        start, rows = 0, 0
        if self.every_ns:
            mine = self._mine(events)
            clock = np.empty(n, np.int64)
            stamps = clock_ns(events)
            if mine is None:
                steady_clock(stamps, self._clock, clock)
            else:
                own = np.empty(int(mine.sum()), np.int64)
                steady_clock(stamps[mine], self._clock, own)
                clock[mine] = own
        while True:
            book = self.memory.arrays
            who = self.memory.instrument_id
            if self.every_ns:
                start, rows = fold_samples(
                    *book, events, who, start, self.levels, out, rows, clock, self._sampler, self._kept
                )
            else:
                start, rows = fold_snapshots(*book, events, who, start, self.levels, out, rows)
            if book.head[NEED] == NOTHING:
                return dict(zip(self.names, out[:, :rows], strict=True))
            self.memory.make_room(events, start)

    def _mine(self, events: Events) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        """Return which events are this instrument's, None if all are."""
        mine = events["instrument_id"] == self.memory.instrument_id
        return None if mine.all() else mine

    def statistics(self) -> BookStatistics:
        """Return what the book counted so far."""
        return self.memory.statistics()

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return self.memory.save() | {name: array.copy() for name, array in self._own().items()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, self._own(), "snapshots")
        parameters = (state["kept"].shape, state["sampler"].shape, state["clock"].shape, int(state["sampler"][EVERY]))
        mine = (self._kept.shape, self._sampler.shape, self._clock.shape, self.every_ns)
        if parameters != mine:
            raise OperatorError("snapshots: saved with other parameters", expected=str(mine), found=str(parameters))
        self.memory.restore(state, "snapshots")
        self._sampler = state["sampler"].copy()
        self._kept = state["kept"].copy()
        self._clock = state["clock"].copy()

    def _own(self) -> State:
        return {"sampler": self._sampler, "kept": self._kept, "clock": self._clock}


class Touch:
    """The best bid and ask (price, size, count), a row for each observable event.

    Examples
    --------
    >>> from tapebook.market.events import Flag, Kind, empty_events
    >>> e = empty_events(2)
    >>> e["kind"], e["flags"], e["side"], e["instrument_id"] = Kind.QUOTE, [0, Flag.LAST], [1, -1], 1
    >>> e["price"], e["qty_lots"], e["ts_event_ns"] = [99, 101], [5, 7], [10, 11]
    >>> rows = Touch(Instrument(symbol="X", venue="Y"), 1).advance(e)
    >>> {name: column.tolist() for name, column in rows.items() if "ct" not in name and "recv" not in name}
    {'ts_ns': [11], 'ts_event_ns': [11], 'bid_px': [99], 'bid_sz': [5], 'ask_px': [101], 'ask_sz': [7]}
    """

    def __init__(self, instrument: Instrument, instrument_id: int) -> None:
        self._snapshots = Snapshots(instrument, instrument_id, levels=1)
        self._snapshots.names = [name.removesuffix("_00") for name in self._snapshots.names]

    def advance(self, events: Events) -> Rows:
        """Fold a block and return its rows."""
        return self._snapshots.advance(events)

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return self._snapshots.save()

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._snapshots.restore(state)


def _columns(n_levels: int) -> tuple[Column, ...]:
    times = (
        Column("ts_ns", "ns", "when the row stands: the clock of its event, or the sampled boundary"),
        Column("ts_event_ns", "ns", "the venue's time of the last event in it"),
        Column("ts_recv_ns", "ns", "its receive time"),
    )
    units = {"px": "1e-9", "sz": "lots", "ct": "orders"}
    words = {"px": "price", "sz": "quantity", "ct": "number of orders"}
    levels = []
    for name in level_columns(n_levels):
        side, what, depth = name.split("_")
        levels.append(Column(name, units[what], f"{words[what]} at depth {int(depth)} of the {side}s, best is 0"))
    return times + tuple(levels)


_ANY = frozenset({"quotes", "levels", "orders"})
_SAMPLE_NS = 100_000_000


def _sampled(instrument: Instrument, instrument_id: int) -> Snapshots:
    return Snapshots(instrument, instrument_id, every_ns=_SAMPLE_NS)


register("book", Snapshots, columns=_columns(10), needs=_ANY)
register("book_sampled", _sampled, columns=_columns(10), needs=_ANY)
register(
    "bbo",
    Touch,
    columns=tuple(Column(c.name.removesuffix("_00"), c.unit, c.meaning) for c in _columns(1)),
    needs=_ANY,
)
