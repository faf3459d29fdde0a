"""Frames of a MetaTrader 5 terminal become events: pure, the same bytes and stamps always give the same events.

======  =======  =======================================================================================================
frame   channel  events
======  =======  =======================================================================================================
Ticks   1        TRADE and QUOTE by what the flags say changed, as the reader of the terminal's own exports has them
                 (:mod:`tapebook.readers.mt5`): a trade before the quotes that it left, LAST on a tick's last record,
                 no side where the bits of both are set. QUOTE with INFO while samples make the book
Book    2        LEVEL for what differs from the sample before (:mod:`tapebook.venues.views`), CLEAR first where there
                 is none; ``ts_event_ns`` is missing: the terminal does not say when
======  =======  =======================================================================================================

Times are the broker server's wall clock; its zone is an argument and they leave here as UTC. Prices are doubles in the
terminal: they come back to the grid of the symbol's digits, and one that lies on no grid is quarantined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import mt5 as kernel
from tapebook.kernels.text import OK
from tapebook.market.catalog import instrument_for
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import COUNT_MISSING, EVENT, MISSING, Events, Flag, Kind, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.market.zones import local_to_utc, zone_of
from tapebook.venues.decimals import plausible
from tapebook.venues.mt5 import wire
from tapebook.venues.views import Views

__all__ = ["LEVELS_MAX", "Parser"]

LEVELS_MAX: Final = 32
"""Lines a side that are followed; terminals show 5 to 20."""

_TICK_CHANNEL: Final = 1
_BOOK_CHANNEL: Final = 2
_NOTES: Final = (
    (kernel.NO_NEWS, "ticks without news"),
    (kernel.WITHOUT_SIDE, "trades without a side"),
    (kernel.BOTH_SIDES, "trades with both sides"),
    (kernel.UNKNOWN_BITS, "ticks with unknown flags"),
    (kernel.WITHOUT_VOLUME, "trades without a volume"),
    (kernel.UNFLAGGED, "quotes that flags do not tell"),
)


class _Symbol:
    """One symbol: its grid, and what the last tick and the last sample said."""

    def __init__(self, who: int, grid_e9: int, lot_e9: int) -> None:
        self.who, self.grid_e9, self.lot_e9 = who, grid_e9, lot_e9
        self.ticks = np.full(kernel.N_STATE, MISSING, np.int64)
        self.views = Views(LEVELS_MAX)
        self.has_book = False


class Parser:
    """Turns frames into events; its whole memory is plain arrays.

    Parameters
    ----------
    contracts
        Symbols as the broker writes them, or what ``symbol_info`` says of them. Frames of others are quarantined.
    instruments
        Table of the tape; it gets an entry for each symbol.
    zone
        Where the server's clock hangs: ``America/Sao_Paulo`` at brokers of B3, ``NY+7`` at most others.
    venue
        As the catalogue calls the market.
    quarantine
        Where bad records go.
    notes
        Counts of what was noticed.

    Examples
    --------
    >>> parser = Parser(["WINQ26"], InstrumentTable())
    >>> frame = wire.write_frame(wire.Book("WINQ26", ((wire.SELL, 130_005.0, 4.0), (wire.BUY, 130_000.0, 3.0))))
    >>> events = parser.advance(frame, 1_786_000_000_000_000_000)
    >>> [(Kind(e["kind"]).name, int(e["side"]), int(e["qty_lots"])) for e in events]
    [('CLEAR', 0, -9223372036854775808), ('LEVEL', 1, 3), ('LEVEL', -1, 4)]
    """

    def __init__(
        self,
        contracts: Iterable[str | Mapping[str, Any]],
        instruments: InstrumentTable,
        *,
        zone: str | ZoneInfo = "America/Sao_Paulo",
        venue: str = "",
        quarantine: Quarantine | None = None,
        notes: dict[str, int] | None = None,
    ) -> None:
        self.instruments = instruments
        self.quarantine = quarantine if quarantine is not None else Quarantine()
        self.notes = notes if notes is not None else {}
        self._zone = zone_of(zone) if isinstance(zone, str) else zone
        self._symbols: dict[str, _Symbol] = {}
        for contract in contracts:
            named = {"id": contract} if isinstance(contract, str) else dict(contract)
            name = str(named["id"])
            if name in self._symbols:
                continue
            digits, step = named.get("digits"), named.get("volume_step")
            lot = round(float(step) * 1e9) if step else 1_000_000_000
            if digits is None:
                instrument = instrument_for(name, venue, lot_e9=lot)
                grid = math.gcd(instrument.tick_e9, 1_000_000_000) if instrument.tick_e9 else 10  # a double has no more
            else:
                grid = 10 ** (9 - int(digits))
                tick = round(float(named.get("trade_tick_size") or 0) * 1e9)
                instrument = instrument_for(name, venue, tick_e9=tick or grid, lot_e9=lot)
            self._symbols[name] = _Symbol(instruments.add(instrument), grid, instrument.lot_e9)
        if not self._symbols:
            raise ConfigurationError("no symbols", expected="one at least, such as WINQ26", found="none")

    @property
    def instrument_ids(self) -> dict[str, int]:
        """Return which instrument each symbol is."""
        return {name: symbol.who for name, symbol in self._symbols.items()}

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one frame and return its events."""
        where = f"received {ts_recv_ns} ns"
        if not payload:
            self._note("empty frames")
            return empty_events(0)
        try:
            frame = wire.read_frame(payload)
        except (msgspec.MsgspecError, ValueError) as error:
            self._reject("a frame that cannot be read", "Ticks, Book or Symbol", str(error), where, payload)
            return empty_events(0)
        symbol = self._symbols.get(frame.symbol)
        if symbol is None:
            expected = ", ".join(self._symbols)
            self._reject("a symbol that is not subscribed", expected, repr(frame.symbol), where, payload)
            return empty_events(0)
        if isinstance(frame, wire.Ticks):
            events = self._ticks(symbol, frame.rows, where, payload)
        elif isinstance(frame, wire.Book):
            events = self._book(symbol, frame.lines, where, payload)
        else:
            self._note("descriptions of symbols")
            return empty_events(0)
        events["ts_recv_ns"] = ts_recv_ns
        return events

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:
        """Return a CLEAR with GAP for each book that stood: what happened meanwhile is not known."""
        lost = []
        for name, symbol in self._symbols.items():
            if contract in (None, name):
                symbol.ticks[kernel.S_BID] = symbol.ticks[kernel.S_ASK] = MISSING
                if symbol.has_book:
                    symbol.has_book = False
                    symbol.views.forget()
                    lost.append(symbol.who)
        events = empty_events(len(lost))
        events["kind"] = int(Kind.CLEAR)
        events["ts_event_ns"] = MISSING
        events["ts_recv_ns"] = ts_recv_ns
        events["instrument_id"] = lost
        events["channel"] = _BOOK_CHANNEL
        events["flags"] = int(Flag.GAP | Flag.LAST)
        return events

    def save(self) -> State:
        """Return a copy of the whole memory (``notes`` and the quarantine are their owner's)."""
        symbols = list(self._symbols.values())
        views = [(i, symbol.views.save()) for i, symbol in enumerate(symbols)]
        return {
            "ticks": np.array([symbol.ticks for symbol in symbols]),
            "has_book": np.array([symbol.has_book for symbol in symbols]),
            **{f"{name} {i}": array for i, view in views for name, array in view.items()},
        }

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned, of a parser with the same symbols."""
        for i, symbol in enumerate(self._symbols.values()):
            symbol.ticks = state["ticks"][i].copy()
            symbol.has_book = bool(state["has_book"][i])
            symbol.views.restore({name: state[f"{name} {i}"] for name in symbol.views.save()})

    def _ticks(self, symbol: _Symbol, data: bytes, where: str, payload: bytes) -> Events:
        try:
            rows = wire.ticks_of(data)
        except ValueError as error:
            self._reject("ticks that are no whole rows", f"{wire.TICK.itemsize} bytes each", str(error), where, payload)
            return empty_events(0)
        if not rows.size:
            self._note("frames without ticks")
        wall = rows["time_msc"]
        bounded = np.where((wall > 0) & (wall < 1 << 43), wall, 0) * 1_000_000
        ts = local_to_utc(bounded, self._zone)
        prices, good = {}, plausible(ts)
        for name in ("bid", "ask", "last"):
            prices[name], fits = on_grid(rows[name], symbol.grid_e9)
            good &= fits
        real = np.where(rows["volume_real"] != 0, rows["volume_real"], rows["volume"].astype(np.float64))
        lots, whole = on_grid(real, symbol.lot_e9)
        lots //= symbol.lot_e9
        good &= whole
        out = np.empty(3 * rows.size, EVENT)
        tallies = np.zeros(kernel.N_TALLIES, np.int64)
        no_price = np.zeros(rows.size, np.bool_)
        ok = np.full(rows.size, OK, np.int8)
        flags = rows["flags"].astype(np.int64)
        n = kernel.events_of_ticks(
            ts, prices["bid"], ok, prices["ask"], ok, prices["last"], ok, lots, ok, flags, ok, good, symbol.who,
            symbol.ticks, tallies, no_price, out,
        )  # fmt: skip
        for row in np.flatnonzero(~good).tolist():
            expected = f"times of our day, prices on a grid of {symbol.grid_e9}e-9, lots of {symbol.lot_e9}e-9"
            self._reject("a tick that cannot be", expected, str(rows[row]), where, rows[row].tobytes())
        for row in np.flatnonzero(no_price).tolist():
            self._reject("a trade without a price", "last", str(rows[row]), where, rows[row].tobytes())
        for i, text in _NOTES:
            self._note(text, int(tallies[i]))
        events: Events = out[:n]
        events["channel"] = _TICK_CHANNEL
        if symbol.has_book:
            events["flags"][events["kind"] == Kind.QUOTE] |= np.uint16(Flag.INFO)
        return events

    def _book(self, symbol: _Symbol, lines: tuple[wire.Line, ...], where: str, payload: bytes) -> Events:
        kinds = np.array([line[0] for line in lines], np.int64)
        price, fits = on_grid(np.array([line[1] for line in lines], np.float64), symbol.grid_e9)
        qty, whole = on_grid(np.array([line[2] for line in lines], np.float64), symbol.lot_e9)
        limit = (kinds == wire.BUY) | (kinds == wire.SELL)
        self._note("lines of market orders", int((~limit).sum()))
        if not (fits & whole)[limit].all():
            expected = f"prices on a grid of {symbol.grid_e9}e-9, lots of {symbol.lot_e9}e-9"
            self._reject("a book that cannot be", expected, str(lines)[:200], where, payload)
            return empty_events(0)
        shown = np.full((1, 2, LEVELS_MAX), MISSING, np.int64)
        size = np.zeros((1, 2, LEVELS_MAX), np.int64)
        for k, (kind, sign) in enumerate(((wire.BUY, -1), (wire.SELL, 1))):
            mine = np.flatnonzero(kinds == kind)
            mine = mine[np.argsort(sign * price[mine], kind="stable")][:LEVELS_MAX]
            shown[0, k, : mine.size] = price[mine]
            size[0, k, : mine.size] = qty[mine] // symbol.lot_e9
        blocks = []
        for changes in symbol.views.advance(shown, size):
            self._note("books out of order", int(changes.odd.sum()))
            blocks.append(changes.events)
        events: Events = np.concatenate(blocks)
        symbol.has_book = True
        events["ts_event_ns"] = MISSING
        events["instrument_id"] = symbol.who
        events["count"] = COUNT_MISSING  # also of a level that is gone: nobody tells orders here
        events["channel"] = _BOOK_CHANNEL
        if events.size:
            events["flags"][-1] |= np.uint16(Flag.LAST)
        else:
            self._note("books that change nothing")
        return events

    def _reject(self, reason: str, expected: str, found: str, where: str, raw: bytes) -> None:
        self.quarantine.add(reason, expected=expected, found=found, where=where, raw=raw)

    def _note(self, text: str, n: int = 1) -> None:
        if n:
            self.notes[text] = self.notes.get(text, 0) + n


def on_grid(values: NDArray[np.float64], grid_e9: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return doubles as int64 in 1e-9, on the grid that they lie on but for a double's noise; and which do.

    >>> price, good = on_grid(np.array([130_000.000000001, 1.5, -1.0, np.nan]), 1_000_000_000)
    >>> price.tolist(), good.tolist()
    ([130000000000000, 0, 0, 0], [True, False, False, False])
    """
    steps = np.where(np.isfinite(values) & (np.abs(values) < 9e9), values, -1.0) * (1e9 / grid_e9)
    whole = np.rint(steps)
    good = (np.abs(steps - whole) < 1e-3) & (whole >= 0) & (whole * grid_e9 < 9.2e18)
    return np.where(good, whole, 0).astype(np.int64) * grid_e9, good
