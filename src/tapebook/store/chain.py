"""Tapes cut down to some instruments, and several tapes one after the other as one."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from tapebook.market.errors import ConfigurationError
from tapebook.market.events import Events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.parquet import ROW_GROUP_EVENTS
from tapebook.market.tape import Origin, Tape

__all__ = ["Chain", "only"]


def only(tape: Tape, symbols: Collection[str]) -> Tape:
    """Return the events of some instruments of a tape.

    Raises
    ------
    ConfigurationError
        When it has been read to its end, if it held none of them.
    """
    kept = InstrumentTable()

    def read(events_max: int) -> Iterator[Events]:
        found = False
        for block in tape.blocks(events_max):
            for i, instrument in tape.instruments.items():
                if instrument.symbol in symbols and i not in kept:
                    kept.add(instrument, i)
            chosen = block[np.isin(block["instrument_id"], list(kept))]
            if chosen.size:
                found = True
                yield chosen
        if not found:
            there = sorted({i.symbol for i in tape.instruments.values()})
            raise ConfigurationError(
                "the tape holds no such instrument",
                expected=", ".join(there[:20]) + (" …" if len(there) > 20 else ""),
                found=", ".join(sorted(symbols)),
                where="--instrument",
                remedy="name one of those (tapebook info lists them)",
            )

    return Tape(
        origin=tape.origin,
        read=read,
        instruments=kept,
        quarantine=tape.quarantine,
        progress=tape.progress,
        notes=tape.notes,
    )


class Chain:
    """Several tapes one after the other, with one table of instruments."""

    def __init__(self, tapes: Sequence[Tape]) -> None:
        self.tapes = tapes
        self.instruments = InstrumentTable()
        self.n_changed = 0

    @property
    def origin(self) -> Origin:
        """Where the only tape comes from, or all of them."""
        if len(self.tapes) == 1:
            return self.tapes[0].origin
        schemas = sorted({t.origin.schema for t in self.tapes})
        venues = {t.origin.venue for t in self.tapes}
        return Origin(
            name="+".join(t.origin.name for t in self.tapes),
            format="several",
            schema="+".join(schemas),
            venue=venues.pop() if len(venues) == 1 else "",
        )

    def blocks(self) -> Iterator[Events]:
        """Yield the events; an id that an earlier tape gave to another instrument is changed."""
        table: dict[int, Instrument] = {}
        for tape in self.tapes:
            new_id: dict[int, int] = {}
            for block in tape.blocks():
                ids = block["instrument_id"]
                for own in np.unique(ids).tolist():
                    if own not in new_id:
                        instrument = tape.instruments.get(own)
                        new_id[own] = own if instrument is None else _place(table, own, instrument)
                changes = {own: new for own, new in new_id.items() if own != new}
                if changes:
                    changed = ids.copy()
                    for own, new in changes.items():
                        changed[ids == own] = new
                    self.n_changed += int((changed != ids).sum())
                    block = block.copy()  # noqa: PLW2901 - the tape's own block stays as it is
                    block["instrument_id"] = changed
                self.instruments = InstrumentTable(table)
                yield block
            for own, instrument in tape.instruments.items():  # those that nothing was said of
                if own not in new_id:
                    _place(table, own, instrument)
            self.instruments = InstrumentTable(table)

    def groups(self) -> Iterator[Events]:
        """Yield the events in row groups."""
        waiting: list[Events] = []
        n_waiting = 0
        for block in self.blocks():
            waiting.append(block)
            n_waiting += block.size
            if n_waiting >= ROW_GROUP_EVENTS:
                whole = np.concatenate(waiting)
                cut = n_waiting - n_waiting % ROW_GROUP_EVENTS
                for start in range(0, cut, ROW_GROUP_EVENTS):
                    yield whole[start : start + ROW_GROUP_EVENTS]
                waiting, n_waiting = ([whole[cut:].copy()] if cut < n_waiting else []), n_waiting - cut
        if n_waiting:
            yield np.concatenate(waiting)


def _place(table: dict[int, Instrument], own: int, instrument: Instrument) -> int:
    """Enter an instrument under its own id, or where it stands already, or under a free one."""
    key = (instrument.venue, instrument.symbol)
    there = table.get(own)
    if there is None or (there.venue, there.symbol) == key:
        table[own] = instrument
        return own
    known = next((i for i, x in table.items() if (x.venue, x.symbol) == key), None)
    new = max(table) + 1 if known is None else known
    table[new] = instrument
    return new
