"""Bars and footprints as operators: one fold gives both, on a recorded day and live.

A bar is known, and told, with the event that closes it: a time bar with the first event at or after its end, a range
bar with the trade that opens the next one. The bar that is still open when a tape ends is not told by ``advance``;
:meth:`Bars.flush` gives it where somebody wants it. The end of a session always closes a bar.

Conservation: over any tape, the volumes of the bars (with the flushed one) add up to the volume of the trades, and the
cells of a bar to the bar; ``tests/bars`` holds both on recordings.

Measured on one core (2.5 GHz server): see docs/bars.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.bars.rules import BarRule
from tapebook.book import BestBook
from tapebook.kernels import bar_state as kernel
from tapebook.kernels.bar_trade import find_cell
from tapebook.kernels.bars import advance_bars, emit
from tapebook.kernels.touch import CLOCK_N, CLOCK_NOW, steady_clock
from tapebook.market.events import MISSING, Events, Flag
from tapebook.market.instruments import Instrument
from tapebook.market.operators import Column, Rows, State, check_state, register
from tapebook.market.sessions import calendar

_TABLE: Final = 64
_NONE: Final = np.zeros(0, np.int64)


class SessionClock:
    """Tells each event's time, trade date (days since 1970, MISSING without one) and when that session opened.

    The time is the venue's, but never goes back and does not follow a single wild stamp
    (:func:`~tapebook.kernels.touch.steady_clock`); an event without a stamp has the time of the one before it.
    """

    def __init__(self, calendar_name: str) -> None:
        self._calendar = calendar(calendar_name)
        self.memory = np.zeros(CLOCK_N, np.int64)
        self.memory[CLOCK_NOW] = MISSING
        self._opens: dict[int, int] = {MISSING: 0}

    def of(self, events: Events) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (time, session, opening time) of every event."""
        times = np.empty(events.size, np.int64)
        steady_clock(events["ts_event_ns"], self.memory, times)
        days = self._calendar.trade_dates(times, outside="missing")
        session = days.astype("M8[D]").astype(np.int64)
        opens = np.empty(session.size, np.int64)
        edges = np.flatnonzero(session[1:] != session[:-1]) + 1  # a block seldom holds more than one
        for a, b in pairwise([0, *edges.tolist(), session.size]):
            if b > a:
                opens[a:b] = self._open_of(int(session[a]))
        return times, session, opens

    def _open_of(self, day: int) -> int:
        if day not in self._opens:
            self._opens[day] = self._calendar.session(np.datetime64(day, "D")).open_ns
        return self._opens[day]


class QuoteBefore:
    """Tells the bid and ask that could be observed before each event of a block (MISSING where there was none)."""

    def __init__(self, instrument: Instrument, instrument_id: int) -> None:
        self._book = BestBook(instrument, instrument_id)
        self._before = np.array([MISSING, MISSING], np.int64)

    def of(self, events: Events) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Fold a block; return bid and ask before each event."""
        touch = self._book.advance(events)[:, (0, 2)]
        observed = (events["flags"] & int(Flag.LAST)) != 0
        place = np.maximum.accumulate(np.where(observed, np.arange(events.size), -1))
        before = np.concatenate([[-1], place])
        stood = np.where(
            (before >= 0)[:, None], touch[np.maximum(before, 0)] if touch.size else self._before, self._before
        )
        self._before = stood[-1].copy()
        return np.ascontiguousarray(stood[:-1, 0]), np.ascontiguousarray(stood[:-1, 1])

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return {"quote": self._before.copy(), **{f"book_{k}": v for k, v in self._book.save().items()}}

    def restore(self, state: State) -> None:
        """Take up a saved memory."""
        self._before[:] = state["quote"]
        self._book.restore({k.removeprefix("book_"): v for k, v in state.items() if k.startswith("book_")})


class Bars:
    """Fold trades into bars, and into footprint cells if asked for.

    Parameters
    ----------
    instrument, instrument_id
        Whose trades.
    rule
        When a bar closes.
    cells
        Whether footprint cells are kept.
    quotes
        Whether a book is kept beside the trades, so that a bar knows its first and last quote (missing otherwise).

    Examples
    --------
    >>> from tapebook.market.events import empty_events, Kind
    >>> es = Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000)
    >>> trades = empty_events(4)
    >>> trades["instrument_id"], trades["kind"] = 1, Kind.TRADE
    >>> trades["ts_event_ns"] = [10, 20, 30, 40]
    >>> trades["price"] = [4_000_000_000_000, 4_000_250_000_000, 4_000_250_000_000, 4_000_000_000_000]
    >>> trades["qty_lots"], trades["side"] = [1, 2, 3, 4], [1, 1, -1, -1]
    >>> bars, cells = Bars(es, 1, BarRule.parse("tick:2"), cells=True).fold(trades)
    >>> bars["volume"].tolist(), bars["delta"].tolist(), bars["vwap"].tolist()
    ([3, 7], [3, -7], [4000166666666.6665, 4000107142857.143])
    >>> cells[["bar", "price", "bid", "ask"]].tolist()
    [(0, 4000000000000, 0, 1), (0, 4000250000000, 0, 2), (1, 4000000000000, 4, 0), (1, 4000250000000, 3, 0)]
    """

    def __init__(
        self,
        instrument: Instrument,
        instrument_id: int,
        rule: BarRule,
        *,
        cells: bool = False,
        quotes: bool = False,
    ) -> None:
        self._id = instrument_id
        self._par = rule.parameters(instrument, cells=cells)
        self._quotes = QuoteBefore(instrument, instrument_id) if quotes else None
        self._clock = SessionClock(instrument.calendar)
        self._ints = np.zeros(kernel.N_INTS, np.int64)
        for place in (kernel.SESSION_NOW, kernel.NOW_NS, kernel.LAST_PRICE, kernel.BRICK_PX):
            self._ints[place] = MISSING
        self._ints[kernel.QTY_LEFT] = -1
        self._floats = np.zeros(kernel.N_FLOATS)
        self._floats[kernel.E_T] = rule.size if rule.kind in ("imbalance", "runs") else 0.0
        self._floats[kernel.E_P] = 0.5
        self._table = _empty_table(_TABLE if cells else 2)
        self._used = np.zeros(self._table.size, np.int64)

    def fold(self, events: Events) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Fold a block; return the bars it closed (:data:`~tapebook.kernels.bar_state.BAR`) and their cells."""
        times, session, opens = self._clock.of(events)
        bid, ask = self._quotes.of(events) if self._quotes is not None else (_NONE, _NONE)
        bars = np.empty(max(16, events.size // 8), kernel.BAR)
        cells = np.empty(max(64, events.size // 2) if self._par[kernel.P_CELLS] else 0, kernel.CELL)
        filled = np.zeros(2, np.int64)
        at, status = 0, -1
        while status != kernel.DONE:
            at, status = advance_bars(
                events,
                at,
                self._id,
                times,
                session,
                opens,
                bid,
                ask,
                self._par,
                self._ints,
                self._floats,
                self._table,
                self._used,
                bars,
                cells,
                filled,
            )
            if status == kernel.BARS_FULL:
                bars = _grown(bars, 2 * bars.size)
            elif status == kernel.CELLS_FULL:
                cells = _grown(cells, 2 * cells.size + int(self._ints[kernel.N_CELLS]))
            elif status == kernel.TABLE_FULL:
                self._grow_table()
        return bars[: filled[0]], cells[: filled[1]]

    def flush(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Return the bar that is still open, as it stands, and close it."""
        bars, cells = np.empty(1, kernel.BAR), np.empty(int(self._ints[kernel.N_CELLS]), kernel.CELL)
        if not self._ints[kernel.OPEN_NOW] or not self._ints[kernel.TRADES]:
            return bars[:0], cells[:0]
        emit(
            self._ints,
            self._floats,
            self._par,
            self._table,
            self._used,
            int(self._ints[kernel.NOW_NS]),
            kernel.FLUSH,
            bars,
            0,
            cells,
            0,
        )
        return bars, cells

    def advance(self, events: Events) -> Rows:
        """Return the bars that ``events`` closed, as columns."""
        bars, _ = self.fold(events)
        return {name: np.ascontiguousarray(bars[name]) for name in kernel.BAR.names or ()}

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return {
            "ints": self._ints.copy(),
            "floats": self._floats.copy(),
            "table": self._table.copy(),
            "used": self._used.copy(),
            "session": self._clock.memory.copy(),
            **(self._quotes.save() if self._quotes is not None else {}),
        }

    def restore(self, state: State) -> None:
        """Take up a saved memory."""
        check_state(state, self.save(), "bars")
        self._ints[:] = state["ints"]
        self._floats[:] = state["floats"]
        self._table = state["table"].copy()
        self._used = state["used"].copy()
        self._clock.memory[:] = state["session"]
        if self._quotes is not None:
            self._quotes.restore(state)

    def _grow_table(self) -> None:
        """Double the hash table of the open bar's cells, in the same order of arrival."""
        old, places = self._table, self._used[: self._ints[kernel.N_CELLS]].copy()
        self._table = _empty_table(2 * old.size)
        self._used = np.zeros(self._table.size, np.int64)
        for k, place in enumerate(places.tolist()):
            slot = find_cell(self._table, int(old["price"][place]))
            self._table[slot] = old[place]
            self._used[k] = slot


class Footprint:
    """The cells of the bars: volume sold at the bid and bought at the ask, by price.

    One row per bar and price, in order of price, told when the bar closes.
    """

    def __init__(self, instrument: Instrument, instrument_id: int, rule: BarRule) -> None:
        self._bars = Bars(instrument, instrument_id, rule, cells=True)

    def advance(self, events: Events) -> Rows:
        """Return the cells of the bars that ``events`` closed, as columns."""
        bars, cells = self._bars.fold(events)
        rows: dict[str, NDArray[Any]] = {"ts_ns": np.repeat(bars["ts_ns"], _cells_per_bar(bars, cells))}
        return rows | {name: np.ascontiguousarray(cells[name]) for name in kernel.CELL.names or ()}

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return self._bars.save()

    def restore(self, state: State) -> None:
        """Take up a saved memory."""
        self._bars.restore(state)


def _cells_per_bar(bars: NDArray[np.void], cells: NDArray[np.void]) -> NDArray[np.int64]:
    first = int(bars["bar"][0]) if bars.size else 0
    return np.bincount(cells["bar"] - first, minlength=bars.size)


def _empty_table(size: int) -> NDArray[np.void]:
    table = np.zeros(size, kernel.CELL)
    table["price"] = MISSING
    return table


def _grown(rows: NDArray[np.void], size: int) -> NDArray[np.void]:
    grown = np.empty(size, rows.dtype)
    grown[: rows.size] = rows
    return grown


BAR_COLUMNS: Final = (
    Column("ts_ns", "ns", "when the bar was known: the clock of the event that closed it"),
    Column("bar", "", "counts from 0"),
    Column("start_ns", "ns", "start of the interval (time bars) or first trade, venue time"),
    Column("end_ns", "ns", "end of the interval (time bars) or last trade, venue time"),
    Column("open", "1e-9", "first price"),
    Column("high", "1e-9", "highest price"),
    Column("low", "1e-9", "lowest price"),
    Column("close", "1e-9", "last price"),
    Column("volume", "lots", "traded"),
    Column("buy", "lots", "bought by the aggressor (at the ask)"),
    Column("sell", "lots", "sold by the aggressor (at the bid)"),
    Column("trades", "", "prints"),
    Column("delta", "lots", "bought less sold"),
    Column("delta_max", "lots", "highest running delta, at least 0"),
    Column("delta_min", "lots", "lowest running delta, at most 0"),
    Column("vwap", "1e-9", "volume-weighted average price; NaN without volume"),
    Column("bid_first", "1e-9", "best bid before the first trade"),
    Column("ask_first", "1e-9", "best ask before the first trade"),
    Column("bid_last", "1e-9", "best bid before the last event of the bar"),
    Column("ask_last", "1e-9", "best ask before the last event of the bar"),
    Column("theta", "unit", "imbalance or run at the close (information-driven bars), else NaN"),
    Column("threshold", "unit", "what theta was compared with, else NaN"),
    Column("session", "days", "trade date, days since 1970"),
    Column("cause", "", "why it closed: 0 its rule, 1 end of session, 2 end of interval, 3 end of the tape"),
    Column("empty", "", "1 for an interval without a trade"),
)
CELL_COLUMNS: Final = (
    Column("ts_ns", "ns", "when the bar of the cell was known"),
    Column("bar", "", "the bar"),
    Column("price", "1e-9", "the row of the footprint"),
    Column("bid", "lots", "sold at the bid"),
    Column("ask", "lots", "bought at the ask"),
    Column("unknown", "lots", "of unknown side"),
    Column("n_bid", "", "prints that sold"),
    Column("n_ask", "", "prints that bought"),
    Column("n_unknown", "", "prints of unknown side"),
    Column("first_ns", "ns", "first print, venue time"),
    Column("last_ns", "ns", "last print, venue time"),
)

_MINUTE: Final = BarRule(kind="time", size=60e9)

register("bars", lambda i, k: Bars(i, k, _MINUTE, quotes=True), columns=BAR_COLUMNS, needs=frozenset({"trades"}))
register("footprint", lambda i, k: Footprint(i, k, _MINUTE), columns=CELL_COLUMNS, needs=frozenset({"trades"}))
