"""Frames of a fan-out become events again: the source's, to the last bit, with instruments of this side's table.

Pure: what is missing between two frames is for the session to see (:mod:`tapebook.venues.redis.session`); it then calls
:meth:`Parser.reset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from tapebook.market.errors import ReaderError, SchemaMismatch
from tapebook.market.events import Events, Flag, Kind, empty_events
from tapebook.market.instruments import Instrument, InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import Quarantine
from tapebook.venues.redis.wire import ContractTable, decode

__all__ = ["Parser"]

_BOOK_CHANNEL: Final = 1  # in which every venue numbers its book
_EMPTY: Final = empty_events(0)


class Parser:
    """The fold.

    Parameters
    ----------
    contracts
        Ids of those that are wanted; none: all.
    instruments
        Gets an entry for each contract that a table names.
    quarantine
        Where frames go that were not understood.
    notes
        Counts of what was noticed.
    """

    def __init__(
        self,
        contracts: Sequence[str],
        instruments: InstrumentTable,
        *,
        quarantine: Quarantine | None = None,
        notes: dict[str, int] | None = None,
    ) -> None:
        self._wanted = frozenset(contracts)
        self._instruments = instruments
        self._quarantine = quarantine if quarantine is not None else Quarantine()
        self._notes = notes if notes is not None else {}
        self._known: dict[str, Instrument] = {}
        self._ids: dict[str, int] = {}

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one frame and return its events; they keep the times of the source."""
        if not payload:
            self._note("empty frames")
            return _EMPTY
        try:
            found = decode(payload)
        except (ReaderError, SchemaMismatch) as error:
            self._reject(error.message, error.expected, error.found, payload, ts_recv_ns)
            return _EMPTY
        if isinstance(found, ContractTable):
            self._note("contract tables")
            for contract, instrument in found.contracts.items():
                self._learn(contract, instrument, payload, ts_recv_ns)
            return _EMPTY
        if self._wanted and found.contract not in self._wanted:
            self._note("blocks of other contracts")
            return _EMPTY
        instrument_id = self._ids.get(found.contract)
        if instrument_id is None:
            self._reject(
                "events of a contract that no table names",
                ", ".join(self._known) or "a contract table first",
                found.contract,
                payload,
                ts_recv_ns,
            )
            return _EMPTY
        found.events["instrument_id"] = instrument_id
        return found.events

    def reset(self, ts_recv_ns: int, contract: str | None = None) -> Events:
        """Return a CLEAR with GAP of all contracts, or one: blocks are missing, and what stood may not stand."""
        ids = [i for name, i in self._ids.items() if contract is None or name == contract]
        events = empty_events(len(ids))
        events["instrument_id"], events["ts_recv_ns"] = ids, ts_recv_ns
        events["kind"], events["channel"] = Kind.CLEAR, _BOOK_CHANNEL
        events["flags"] = int(Flag.GAP | Flag.LAST)
        return events

    def save(self) -> State:
        """Return a copy of the whole memory."""
        return {"contracts": np.frombuffer(msgspec.json.encode(self._known), np.uint8).copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._known, self._ids = {}, {}
        for contract, instrument in msgspec.json.decode(
            state["contracts"].tobytes(), type=dict[str, Instrument]
        ).items():
            self._learn(contract, instrument, b"", 0)

    def _learn(self, contract: str, instrument: Instrument, payload: bytes, ts_recv_ns: int) -> None:
        if self._wanted and contract not in self._wanted:
            return
        known = self._known.setdefault(contract, instrument)
        if known != instrument:
            self._reject("a contract that became another", repr(known), repr(instrument), payload, ts_recv_ns)
            return
        if contract not in self._ids:
            self._ids[contract] = self._instruments.add(instrument)

    def _note(self, text: str) -> None:
        self._notes[text] = self._notes.get(text, 0) + 1

    def _reject(self, reason: str, expected: str, found: str, raw: bytes, ts_recv_ns: int) -> None:
        where = f"a frame of a fan-out, received at {ts_recv_ns}"
        self._quarantine.add(reason, expected=expected, found=found, where=where, raw=raw)
