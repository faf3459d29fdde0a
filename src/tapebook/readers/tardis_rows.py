"""What all of Tardis' CSV files have in common: whose row it is, its two times, its messages.

Every file starts with the columns ``exchange, symbol, timestamp, local_timestamp``; times are microseconds since 1970
UTC, the venue's and Tardis' own at arrival. Files of grouped symbols (``PERPETUALS``, ``OPTIONS``) hold many
instruments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from tapebook.market.catalog import canonical_venue, instrument_for
from tapebook.market.events import Events, Flag, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.quarantine import Quarantine
from tapebook.readers.columns import epoch_times
from tapebook.readers.rows import Rows

KEYS: Final = ("exchange", "symbol", "timestamp", "local_timestamp")

_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9 _./:-]{0,63}")

CONSECUTIVE: Final = frozenset({"BINANCE", "BINANCE-USDM", "BINANCE-COINM", "COINBASE"})
"""Venues whose trade ids count one by one for each symbol, so that a hole is a missing trade."""


@dataclass
class Whose:
    """Knows the instruments of a file, and gives each row its own."""

    instruments: InstrumentTable
    symbol: str = ""  # overrules the file's
    venue: str = ""
    lot_e9: NDArray[np.int64] = field(default_factory=lambda: np.ones(1, np.int64))  # by instrument id
    exchange: bytes = b""  # of the first row: a file is of one exchange
    _ids: dict[bytes, int] = field(default_factory=dict)

    def of(
        self, rows: Rows, quarantine: Quarantine, keep: NDArray[np.bool_], ts_ns: NDArray[np.int64]
    ) -> NDArray[np.uint32]:
        """Return the instrument id of each row; rows with a name that is none are quarantined."""
        encoded = {name: pc.dictionary_encode(rows[name]) for name in KEYS[:2]}
        index = {name: column.indices.to_numpy() for name, column in encoded.items()}
        for name, column in encoded.items():
            values = column.dictionary.to_pylist()
            if name == "exchange" and not self.exchange and _NAME.fullmatch(values[0]):
                self.exchange = values[0]
            good = np.array(
                [bool(_NAME.fullmatch(v)) and (name == "symbol" or v == self.exchange) for v in values], np.bool_
            )
            bad = keep & ~good[index[name]]
            if bad.any():
                wanted = "a symbol" if name == "symbol" else f"{self.exchange.decode()}, as in the rows before"
                rows.reject(quarantine, bad, f"bad {name}", expected=wanted, name=name)
                keep &= ~bad
        symbol = index["symbol"]
        ids = np.zeros(len(encoded["symbol"].dictionary), np.uint32)
        present, first = np.unique(symbol[keep], return_index=True)
        for value, place in zip(present.tolist(), first.tolist(), strict=True):
            text = encoded["symbol"].dictionary[value].as_py()
            if text not in self._ids:
                self._ids[text] = self.add(text.decode(), int(ts_ns[keep][place]))
            ids[value] = self._ids[text]
        by_row: NDArray[np.uint32] = ids[symbol]
        return by_row

    def add(self, symbol: str, on_ns: int | None = None) -> int:
        """Return the id of a symbol of this file."""
        venue = self.venue or canonical_venue(self.exchange.decode())
        instrument = instrument_for(self.symbol or symbol, venue, on_ns=on_ns)
        who = self.instruments.add(instrument)
        if who >= self.lot_e9.size:
            self.lot_e9 = np.concatenate([self.lot_e9, np.ones(who + 1 - self.lot_e9.size, np.int64)])
        self.lot_e9[who] = instrument.lot_e9
        return who


@dataclass(frozen=True)
class Stamped:
    """The four common columns of some rows; ``keep`` is false where they could not be read."""

    keep: NDArray[np.bool_]
    ts_event_ns: NDArray[np.int64]
    ts_recv_ns: NDArray[np.int64]
    instrument_id: NDArray[np.uint32]
    lot_e9: NDArray[np.int64]

    def events(self, rows: NDArray[np.int64]) -> Events:
        """Return events with the times and instruments of the given rows."""
        events = empty_events(rows.size)
        events["ts_event_ns"] = self.ts_event_ns[rows]
        events["ts_recv_ns"] = self.ts_recv_ns[rows]
        events["instrument_id"] = self.instrument_id[rows]
        return events


def stamped(rows: Rows, whose: Whose, quarantine: Quarantine) -> Stamped:
    """Read the common columns; a row with a bad time or name is quarantined."""
    keep = np.ones(rows.n, np.bool_)
    event_ns, ok = epoch_times(rows["timestamp"], 3)
    rows.require(quarantine, keep, ok, "timestamp")
    recv_ns, ok = epoch_times(rows["local_timestamp"], 3)
    rows.require(quarantine, keep, ok, "local_timestamp")
    ids = whose.of(rows, quarantine, keep, event_ns)
    return Stamped(keep, event_ns, recv_ns, ids, whose.lot_e9[ids])


class MessageEnds:
    """Sets LAST on the last event of each message: rows of one instrument that arrived at the same microsecond.

    The very last event of a block is held back, because the next block says whether its message goes on.
    """

    def __init__(self) -> None:
        self._held: Events = empty_events(0)

    def advance(self, events: Events) -> Events:
        """Return the events whose message's end is known."""
        if not events.size:
            return events
        both: Events = np.concatenate([self._held, events])
        same = np.ones(both.size - 1, np.bool_)
        for name in ("ts_recv_ns", "instrument_id"):
            column = both[name]
            same &= column[1:] == column[:-1]
        both["flags"][:-1][~same] |= np.uint16(Flag.LAST)
        self._held = both[-1:].copy()
        return both[:-1]

    def finish(self) -> Events:
        """Return what was held back."""
        held, self._held = self._held, empty_events(0)
        held["flags"] |= np.uint16(Flag.LAST)
        return held
