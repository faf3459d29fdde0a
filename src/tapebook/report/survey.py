"""Which instrument of a tape to analyse, on which price grid, and whether its calendar's hours fit: a look beforehand.

A tape of one instrument costs one block; of several, one counting pass over all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from tapebook.features.touch import trading_hours
from tapebook.kernels.quality import gcd
from tapebook.market.errors import ConfigurationError, ReaderError
from tapebook.market.events import MISSING, Events, Flag, Kind, clock_ns
from tapebook.market.instruments import Instrument
from tapebook.market.tape import BLOCK_EVENTS, Tape

__all__ = ["Choice", "choose"]

_OUTSIDE_HOURS_MAX: Final = 0.2  # of the prints: more than this, and the calendar is not this market's
_PRICES_LOOKED_AT: Final = 4 * BLOCK_EVENTS
_TICKS_A_PRICE_MAX: Final = 50_000_000  # a grid finer than this share of the price is no grid


@dataclass
class _Seen:
    """What was seen of one instrument."""

    events: int = 0
    trades: int = 0
    looked_at: int = 0
    outside_hours: int = 0
    in_hours: int = 0
    gcd_e9: int = 0
    first_price: int = 0
    first_ns: int = MISSING
    last_ns: int = MISSING


@dataclass(frozen=True)
class Choice:
    """The instrument to analyse, what to know before the pass, and the others on the tape."""

    instrument_id: int
    instrument: Instrument
    tick_seen: bool  # the tick is not the catalogue's but the one its prices show
    hours: bool  # whether the calendar's hours fit
    span_ns: int  # a guess of the tape's length
    others: list[dict[str, Any]] = field(default_factory=list)


def choose(tape: Tape, symbol: str = "", *, whole: bool = False) -> Choice:
    """Look at a tape and choose: the named instrument, or the one with the most trades (events, where none trades).

    Parameters
    ----------
    tape
        Read from its start, as far as needed.
    symbol
        Symbol, or ``VENUE:SYMBOL``.
    whole
        Look at all of it even if its first block shows one instrument only.

    Raises
    ------
    ConfigurationError
        If no instrument of the tape has that symbol.
    ReaderError
        If the tape holds no events.
    """
    seen: dict[int, _Seen] = {}
    done, total = 0, 0
    for events in tape.blocks():
        for instrument_id in np.unique(events["instrument_id"]).tolist():
            mine = events[events["instrument_id"] == instrument_id]
            _look(seen.setdefault(instrument_id, _Seen()), mine, tape.instruments.get(instrument_id))
        done, total = tape.progress.done_bytes, tape.progress.total_bytes
        if not whole and len(seen) == 1 and len(tape.instruments) <= 1:
            break
    if not seen:
        raise ReaderError(
            "the tape holds no events",
            expected="trades, quotes or a book",
            found=f"{tape.quarantine.total} unreadable records" if tape.quarantine.total else "nothing",
            where=tape.origin.name,
            remedy="look at it with tapebook info",
        )
    chosen = _named(tape, seen, symbol) if symbol else max(seen, key=lambda k: (seen[k].trades, seen[k].events, -k))
    instrument = _instrument(tape, chosen)
    look = seen[chosen]
    tick_seen = not instrument.tick_e9 and bool(look.gcd_e9)
    if tick_seen:
        instrument = msgspec.structs.replace(instrument, tick_e9=look.gcd_e9)
    prints = look.outside_hours + look.in_hours
    elapsed = look.last_ns - look.first_ns if look.first_ns != MISSING else 0
    return Choice(
        chosen,
        instrument,
        tick_seen,
        hours=look.outside_hours <= _OUTSIDE_HOURS_MAX * prints,
        span_ns=int(elapsed * max(total / done, 1.0)) if done else elapsed,
        others=[_row(tape, k, s) for k, s in sorted(seen.items(), key=lambda p: -p[1].trades) if k != chosen],
    )


def _look(seen: _Seen, events: Events, instrument: Instrument | None) -> None:
    trades = events["kind"] == Kind.TRADE
    seen.events += events.size
    seen.trades += int(trades.sum())
    live = (events["flags"] & Flag.SNAPSHOT) == 0
    stamps = clock_ns(events[live])
    stamps = stamps[stamps != MISSING]
    if stamps.size:
        seen.first_ns = int(stamps[0]) if seen.first_ns == MISSING else seen.first_ns
        seen.last_ns = int(stamps[-1])
    if seen.looked_at >= _PRICES_LOOKED_AT:
        return
    seen.looked_at += events.size
    if instrument is not None and instrument.calendar != "24-7" and trades.any():
        inside = trading_hours(instrument.calendar, clock_ns(events[trades]))
        seen.in_hours += int(inside.sum())
        seen.outside_hours += int(inside.size - inside.sum())
    if instrument is None or not instrument.tick_e9:
        prices = np.unique(np.abs(events["price"][events["price"] != MISSING]))
        if prices.size:
            seen.first_price = seen.first_price or int(prices[-1])
            for price in prices.tolist():
                seen.gcd_e9 = gcd(seen.gcd_e9, price)
            if seen.gcd_e9 * _TICKS_A_PRICE_MAX < seen.first_price:
                seen.gcd_e9 = 0


def _instrument(tape: Tape, instrument_id: int) -> Instrument:
    return tape.instruments.get(instrument_id) or Instrument(symbol=f"#{instrument_id}", venue=tape.origin.venue)


def _named(tape: Tape, seen: dict[int, _Seen], symbol: str) -> int:
    wanted = symbol.upper()
    for key in sorted(seen, key=lambda k: -seen[k].events):
        instrument = _instrument(tape, key)
        if wanted in (instrument.symbol.upper(), f"{instrument.venue}:{instrument.symbol}".upper(), f"#{key}"):
            return key
    there = sorted(_instrument(tape, key).symbol for key in seen)
    raise ConfigurationError(
        "no such instrument on this tape",
        expected=", ".join(there[:20]) + (" …" if len(there) > 20 else ""),
        found=symbol,
        where=tape.origin.name,
        remedy="name one of these with --instrument",
    )


def _row(tape: Tape, instrument_id: int, seen: _Seen) -> dict[str, Any]:
    instrument = _instrument(tape, instrument_id)
    return {
        "id": instrument_id,
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "events": seen.events,
        "trades": seen.trades,
    }
