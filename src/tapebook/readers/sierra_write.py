"""Events into Sierra Chart's files: ``.scid`` for its charts, ``.depth`` for its historical depth graph and replay.

What is written is what :mod:`tapebook.readers.scid` and :mod:`tapebook.readers.sierra_depth` describe, so that a file
that is read and written again is the same to the byte. Put the files into Sierra Chart's data folder (depth into
``MarketDepthData`` below it) under the symbol's name, with Sierra Chart not collecting that symbol.

Sierra Chart keeps less than a tape: whole volumes, 32-bit prices, microseconds, no order ids. Whatever did not fit is
counted in :class:`Written`; nothing is left out without being counted there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from tapebook.kernels import scid as kernel
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import COUNT_MISSING, MISSING, PRICE_SCALE, Events, Flag, Kind, Side
from tapebook.market.instruments import Instrument
from tapebook.market.tape import Tape
from tapebook.readers.sierra_binary import DEPTH, DEPTH_RECORD, SCID, SCID_RECORD, multiplier_of

__all__ = ["Written", "write_depth", "write_scid"]

_LAST: Final = np.uint16(Flag.LAST)
_GROUP_GAP_US: Final = 1000
_HELD_EVENTS_MAX: Final = 1 << 20
_DAY_US: Final = 86_400_000_000


@dataclass
class Written:
    """What a writer wrote and what it could not.

    Attributes
    ----------
    records
        How many records stand in the file.
    notes
        Counts of what did not fit, by name.
    """

    records: int = 0
    notes: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, n: int) -> None:
        """Count ``n`` more of something, if it is any."""
        if n:
            self.notes[name] = self.notes.get(name, 0) + n


def write_scid(
    tape: Tape,
    path: Path,
    *,
    instrument_id: int | None = None,
    price_multiplier: Decimal | None = None,
    lots_per_unit: int = 1,
) -> Written:
    """Write the trades of a tape, each with the quote before it, as a ``.scid`` file.

    Parameters
    ----------
    tape
        Trades, and quotes if it has any (without them bid and ask are 0, which means none).
    path
        The file to write; it is complete or not there at all.
    instrument_id
        Whose trades; not needed where the tape has one instrument.
    price_multiplier
        The multiplier that the file is to be read with: prices are stored divided by it.
    lots_per_unit
        How many lots make one unit of Sierra Chart's whole volumes (more than 1 for crypto).

    Returns
    -------
    Written
        Notes: ``stamps_moved`` (later by at least 1 us, so that no two are equal and none goes back),
        ``prices_inexact`` (a 32-bit float cannot tell them apart), ``volumes_rounded``, ``events_left_out`` (not
        trades or quotes).

    Raises
    ------
    ConfigurationError
        If a volume does not fit 32 bits.

    Examples
    --------
    >>> import tempfile
    >>> from tapebook.market.events import empty_events
    >>> from tapebook.market.instruments import InstrumentTable
    >>> from tapebook.market.tape import Origin
    >>> e = empty_events(1)
    >>> e["kind"], e["price"], e["qty_lots"], e["side"] = Kind.TRADE, 4_781_250_000_000, 3, Side.BUY
    >>> e["ts_event_ns"], e["instrument_id"], e["flags"] = 1_703_541_600_000_000_000, 1, Flag.LAST
    >>> es = InstrumentTable({1: Instrument(symbol="ESH4", venue="CME", tick_e9=250_000_000)})
    >>> tape = Tape(origin=Origin(name="x", format="x"), read=lambda n: iter([e]), instruments=es)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_scid(tape, Path(folder) / "ESH24-CME.scid").records
    1
    """
    wanted, instrument = _which(tape, instrument_id)
    writer = _ScidWriter(instrument, *multiplier_of(price_multiplier), lots_per_unit)
    with _renamed_into_place(path) as file:
        file.write(SCID.header())
        for block in _whole_messages(tape, wanted):
            records = writer.records(block)
            file.write(records.tobytes())
            writer.written.records += records.size
    return writer.written


@dataclass
class _ScidWriter:
    instrument: Instrument
    num: int
    den: int
    lots_per_unit: int
    written: Written = field(default_factory=Written)
    bid: int = MISSING
    ask: int = MISSING
    last_us: int = -(2**62)

    def records(self, block: Events) -> NDArray[np.void]:
        """Return the records of whole messages."""
        kind = block["kind"]
        self.written.note("events_left_out", int(((kind != Kind.TRADE) & (kind != Kind.QUOTE)).sum()))
        at = np.flatnonzero(kind == Kind.TRADE)
        bid, ask = self._quote_at(block, at, Side.BID), self._quote_at(block, at, Side.ASK)
        records = np.zeros(at.size, SCID_RECORD)
        trades = block[at]
        records["stamp_us"] = self._stamps(trades["ts_event_ns"])
        records["open"] = self._marks(block, at, records["stamp_us"])
        for name, price in (("high", ask), ("low", bid), ("close", trades["price"])):
            records[name] = self._stored(price)
        records["n_trades"] = 1
        volume = self._volumes(trades["qty_lots"])
        records["volume"] = volume
        records["bid_volume"] = np.where(trades["side"] < 0, volume, 0)
        records["ask_volume"] = np.where(trades["side"] > 0, volume, 0)
        return records

    def _quote_at(self, block: Events, at: NDArray[np.int64], side: Side) -> NDArray[np.int64]:
        """Return the price of the last quote of ``side`` before each place."""
        mine = (block["kind"] == Kind.QUOTE) & (block["side"] == side)
        known = np.concatenate([[self.bid if side == Side.BID else self.ask], block["price"][mine]])
        prices: NDArray[np.int64] = known[np.cumsum(mine)[at]]
        if side == Side.BID:
            self.bid = int(known[-1])
        else:
            self.ask = int(known[-1])
        return prices

    def _stamps(self, ts_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return strictly rising microseconds, as Sierra Chart counts them."""
        wanted = ts_ns // 1000 + kernel.UNIX_OF_SIERRA_US
        steps = np.arange(wanted.size)
        floor = self.last_us + 1
        stamps: NDArray[np.int64] = np.maximum(np.maximum.accumulate(wanted - steps), floor) + steps
        if stamps.size:
            self.last_us = int(stamps[-1])
        self.written.note("stamps_moved", int((stamps != wanted).sum()))
        return stamps

    def _marks(self, block: Events, at: NDArray[np.int64], stamp_us: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what stands in Open: the marks of the first and last trade of one aggressive order, or 0."""
        message = np.concatenate([[0], np.cumsum((block["flags"] & _LAST) != 0)[:-1]])[at] if at.size else at
        side = block["side"][at]
        together = np.zeros(at.size, np.bool_)  # with the trade before it
        together[1:] = (message[1:] == message[:-1]) & (side[1:] == side[:-1]) & (side[1:] != 0)
        together[1:] &= np.diff(stamp_us) <= _GROUP_GAP_US
        followed = np.append(together[1:], False)
        marks = np.zeros(at.size, np.float32)
        marks[~together & followed] = kernel.FIRST_SUB_TRADE
        marks[together & ~followed] = kernel.LAST_SUB_TRADE
        return marks

    def _stored(self, price: NDArray[np.int64]) -> NDArray[np.float32]:
        known = price != MISSING
        stored = np.where(known, price / PRICE_SCALE * self.den / self.num, 0.0).astype(np.float32)
        back = np.full(price.size, MISSING, np.int64)
        kernel.prices_of_f32(stored, self.instrument.tick_e9, self.num, self.den, back)
        self.written.note("prices_inexact", int((known & (back != price)).sum()))
        return stored

    def _volumes(self, qty_lots: NDArray[np.int64]) -> NDArray[np.int64]:
        qty = np.where(qty_lots == MISSING, 0, qty_lots)
        volume: NDArray[np.int64] = (qty + self.lots_per_unit // 2) // self.lots_per_unit
        self.written.note("volumes_rounded", int((volume * self.lots_per_unit != qty_lots).sum()))
        if volume.size and (int(volume.max()) > 2**31 - 1 or int(volume.min()) < 0):
            raise ConfigurationError(
                "a volume does not fit Sierra Chart's 32 bits",
                expected="0 to 2147483647",
                found=str(int(volume.max())),
                where=self.instrument.symbol,
                remedy=f"give lots_per_unit (one lot is {self.instrument.lot})",
            )
        return volume


def write_depth(
    tape: Tape, path: Path, *, instrument_id: int | None = None, price_multiplier: Decimal | None = None
) -> Written:
    """Write the levels of a tape as a ``.depth`` file; the tape must be of one UTC day, as such files are.

    Parameters
    ----------
    tape
        LEVEL and CLEAR events; orders (L3) have to be made into levels first.
    path, instrument_id, price_multiplier
        As in :func:`write_scid`. Sierra Chart looks for ``SYMBOL.YYYY-MM-DD.depth``.

    Returns
    -------
    Written
        Notes: ``prices_inexact``, ``counts_capped`` (orders beyond 65535), ``events_left_out`` (no levels).

    Raises
    ------
    ConfigurationError
        If the tape spans more than one UTC day, or a quantity does not fit 32 bits.
    """
    wanted, instrument = _which(tape, instrument_id)
    num, den = multiplier_of(price_multiplier)
    written = Written()
    known: tuple[set[int], set[int]] = (set(), set())  # prices with a level: bids, asks
    day = -1
    with _renamed_into_place(path) as file:
        file.write(DEPTH.header())
        for block in tape.blocks():
            mine = block[block["instrument_id"] == wanted]
            levels = mine[(mine["kind"] == Kind.LEVEL) | (mine["kind"] == Kind.CLEAR)]
            written.note("events_left_out", int(mine.size - levels.size))
            if not levels.size:
                continue
            records = _depth_records(levels, known, instrument, num, den, written)
            days = records["stamp_us"] // _DAY_US
            day = int(days[0]) if day < 0 else day
            if (days != day).any():
                raise ConfigurationError(
                    "the tape spans more than one UTC day",
                    expected="one day: a .depth file holds one",
                    where=str(path),
                    remedy="cut the tape at midnight UTC",
                )
            file.write(records.tobytes())
            written.records += records.size
    return written


def _depth_records(
    levels: Events, known: tuple[set[int], set[int]], instrument: Instrument, num: int, den: int, written: Written
) -> NDArray[np.void]:
    records = np.zeros(levels.size, DEPTH_RECORD)
    records["stamp_us"] = levels["ts_event_ns"] // 1000 + kernel.UNIX_OF_SIERRA_US
    records["flags"] = (levels["flags"] & _LAST) != 0
    command = np.zeros(levels.size, np.uint8)
    rows = zip(
        levels["kind"].tolist(),
        levels["side"].tolist(),
        levels["price"].tolist(),
        levels["qty_lots"].tolist(),
        strict=True,
    )
    for i, (kind, side, price, qty) in enumerate(rows):
        if kind == Kind.CLEAR:
            command[i] = 1
            for prices in known:
                prices.clear()
            continue
        ask = side < 0
        prices = known[ask]
        if qty <= 0:
            command[i] = 6 + ask
            prices.discard(price)
        elif price in prices:
            command[i] = 4 + ask
        else:
            command[i] = 2 + ask
            prices.add(price)
    records["command"] = command
    set_ = (command >= 2) & (command <= 5)
    qty = levels["qty_lots"][set_]
    if qty.size and int(qty.max()) > 2**31 - 1:
        raise ConfigurationError(
            "a quantity does not fit Sierra Chart's 32 bits",
            expected="0 to 2147483647",
            found=str(int(qty.max())),
            where=instrument.symbol,
        )
    records["quantity"][set_] = qty
    count = np.where(levels["count"] == COUNT_MISSING, 0, levels["count"])
    written.note("counts_capped", int((count[set_] > 65535).sum()))
    records["n_orders"][set_] = np.minimum(count[set_], 65535)
    priced = command > 1
    price_e9 = levels["price"][priced]
    stored = (price_e9 / PRICE_SCALE * den / num).astype(np.float32)
    back = np.full(price_e9.size, MISSING, np.int64)
    kernel.prices_of_f32(stored, instrument.tick_e9, num, den, back)
    written.note("prices_inexact", int((back != price_e9).sum()))
    records["price"][priced] = stored
    return records


def _which(tape: Tape, instrument_id: int | None) -> tuple[int, Instrument]:
    if instrument_id is None:
        tape.instruments.only()
        instrument_id = next(iter(tape.instruments))
    return instrument_id, tape.instruments[instrument_id]


def _whole_messages(tape: Tape, instrument_id: int) -> Iterator[Events]:
    """Stream the events of one instrument, cut only between messages (or after a million events without an end)."""
    held: list[Events] = []
    n_held = 0
    for block in tape.blocks():
        mine = block[block["instrument_id"] == instrument_id]
        ends = np.flatnonzero(mine["flags"] & _LAST)
        if ends.size:
            cut = int(ends[-1]) + 1
            yield np.concatenate([*held, mine[:cut]])
            held, n_held, mine = [], 0, mine[cut:]
        if mine.size:
            held.append(mine)
            n_held += mine.size
        if n_held > _HELD_EVENTS_MAX:
            yield np.concatenate(held)
            held, n_held = [], 0
    if held:
        yield np.concatenate(held)


@contextmanager
def _renamed_into_place(path: Path) -> Iterator[IO[bytes]]:
    """Write to a file beside ``path`` that takes its name when it is complete, and vanishes if it never is."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
