"""What captured sessions hold, as frames decoded anew and as a tape.

The journal is the truth: a session's events are its journal decoded. The database holds the same rows (tested, and
:mod:`tapebook.capture.session_verify` compares them), which is quicker to ask for a short time, and all there is where
only a database is at hand. A session that was pruned (:mod:`tapebook.capture.session_prune`) is read from its lake.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from tapebook.capture.decode import Decoded, Decoder
from tapebook.capture.read import events_of
from tapebook.capture.sessions import Captured, load_pruned, open_database_of
from tapebook.market.errors import ConfigurationError, StoreError
from tapebook.market.events import Events, clock_ns
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Origin, Progress, Tape
from tapebook.store.capture_rows import rows_in_order
from tapebook.store.journal_files import segments
from tapebook.store.journal_format import Frame
from tapebook.store.journal_read import JournalReader

__all__ = ["Choice", "From", "decoded_journal", "session_tape"]

From: TypeAlias = Literal["", "journal", "database", "lake"]

_FRAMES: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which part of a session is wanted.

    Attributes
    ----------
    contract
        A contract id or a symbol; empty: all.
    start_ns, end_ns
        Received from when to before when, ns since 1970 UTC.
    """

    contract: str = ""
    start_ns: int | None = None
    end_ns: int | None = None


def decoded_journal(
    session: Captured, *, quarantine: Quarantine | None = None, progress: Progress | None = None
) -> Iterator[tuple[list[Frame], Decoded, Decoder]]:
    """Yield a journal's frames, a few thousand at a time, and what they become; last, the numbers no frame has.

    A session that is being captured is read up to where it stands.

    Parameters
    ----------
    session
        What to read.
    quarantine
        Where damage to the journal is told.
    progress
        Told how far it is.
    """
    journal = session.journal
    if journal is None:
        raise StoreError(
            "the session has no journal",
            where=str(session.folder or session.shown),
            remedy="read its database (--from database)",
        )
    decoder = Decoder(session.sources)
    meter = _Meter(journal, progress or Progress())
    with JournalReader(journal, quarantine=quarantine) as reader:
        # At the end of a journal that is being written a record may stand half finished: nobody calls that torn.
        live = session.state == "running"
        each = iter(reader)
        while frames := reader.read(_FRAMES) if live else list(islice(each, _FRAMES)):
            decoder.feed(frames)
            meter.at(decoder.last_sequence)
            yield frames, decoder.build(), decoder
        if reader.statistics().last_sequence > decoder.last_sequence:
            decoder.skip_to(reader.statistics().last_sequence)
            yield [], decoder.build(), decoder


def session_tape(
    session: Captured, *, source: From = "", choice: Choice | None = None, quarantine: Quarantine | None = None
) -> Tape:
    """Return a session's events.

    Parameters
    ----------
    session
        What to read.
    source
        ``journal`` or ``database``: the same events; empty: the journal, the lake of a pruned session, else the
        database.
    choice
        Which part of it.
    quarantine
        Where frames that were not understood go.
    """
    choice = choice or Choice()
    if not source:
        there = "lake" if session.state == "pruned" else "journal" if session.journal is not None else "database"
        source = there  # type: ignore[assignment] # mypy does not see that each is one of the three words
    decoder = Decoder(session.sources)
    chosen = _chosen(decoder, choice.contract, session)
    tape = Tape(
        origin=Origin(
            name=session.name,
            format="capture",
            schema=source,
            venue=session.venue,
            details={"folder": str(session.folder)} if session.folder is not None else {"database": session.shown},
        ),
        read=lambda _: iter(()),
        instruments=decoder.table,
        quarantine=quarantine if quarantine is not None else Quarantine(),
    )
    if source == "lake":
        return _lake_tape(session, tape, chosen, choice)

    def read(events_max: int) -> Iterator[Events]:
        blocks = _journal_events(session, tape) if source == "journal" else _rows(events_max)
        for events in blocks:
            part = _part(events, chosen, choice)
            if part.size:
                yield part

    def _rows(events_max: int) -> Iterator[Events]:
        base, stored = open_database_of(session)
        with base:
            contract_id = decoder.contracts[int(decoder.contract_of[chosen])][0] if chosen is not None else None
            for stretch in rows_in_order(
                base,
                stored,
                contract_id=contract_id,
                start_ns=choice.start_ns,
                end_ns=choice.end_ns,
                rows_wanted=events_max,
            ):
                yield events_of(stretch.tables, decoder)

    tape.read = read
    return tape


# ---- parts ---------------------------------------------------------------------------------------------------------


def _journal_events(session: Captured, tape: Tape) -> Iterator[Events]:
    notes: dict[str, int] = {}
    for _, decoded, decoder in decoded_journal(session, quarantine=tape.quarantine, progress=tape.progress):
        for row in decoded.batch.quality:
            tape.quarantine.add(
                row.finding,
                expected=row.expected,
                found=row.found,
                where=f"frame {row.sequence} of the journal",
                raw=row.raw_payload or b"",
            )
        notes = decoder.notes
        if decoded.events.size:
            yield decoded.events
    tape.notes.update(notes)


def _lake_tape(session: Captured, tape: Tape, chosen: int | None, choice: Choice) -> Tape:
    from tapebook.store.lake import Lake

    pruned = load_pruned(session.folder) if session.folder is not None else None
    if pruned is None:
        raise StoreError("the session was not pruned", where=session.name, remedy="read its journal")
    if not pruned.source:
        return tape
    stored = Lake(pruned.lake).tape(sources=pruned.source)

    def read(events_max: int) -> Iterator[Events]:
        for events in stored.read(events_max):
            part = _part(events, chosen, choice)
            if part.size:
                yield part

    # The lake keeps instrument ids; those of the decoder are the ones that its events were written with.
    tape.read, tape.progress = read, stored.progress
    return tape


def _part(events: Events, chosen: int | None, choice: Choice) -> Events:
    if chosen is None and choice.start_ns is None and choice.end_ns is None:
        return events
    keep = np.ones(events.size, np.bool_)
    if chosen is not None:
        keep &= events["instrument_id"] == chosen
    clock = clock_ns(events)
    if choice.start_ns is not None:
        keep &= clock >= choice.start_ns
    if choice.end_ns is not None:
        keep &= clock < choice.end_ns
    return events if keep.all() else events[keep]


def _chosen(decoder: Decoder, contract: str, session: Captured) -> int | None:
    """Return the ``instrument_id`` of a contract id or symbol; None for all."""
    if not contract:
        return None
    for i, names in enumerate(decoder.contracts):
        if contract in names:
            return int(decoder.instrument_of[i])
    known = ", ".join(contract_id for contract_id, _ in decoder.contracts)
    raise ConfigurationError("the session has no such contract", expected=known, found=contract, where=session.name)


class _Meter:
    """Turns frames' numbers into bytes of the journal's files."""

    def __init__(self, journal: Path, progress: Progress) -> None:
        self._progress = progress
        self._firsts: list[int] = []
        self._bytes: list[int] = []
        for segment in segments(journal):
            try:
                size = segment.path.stat().st_size
            except FileNotFoundError:  # sealed this very moment
                size = 0
            self._firsts.append(segment.first_sequence)
            self._bytes.append(size)
        progress.total_bytes = sum(self._bytes)

    def at(self, sequence: int) -> None:
        """Note how far it is: the segments that are done, and of the one in hand what its share is."""
        done = sum(1 for first in self._firsts if first <= sequence) - 1
        if done < 0:
            return
        share = 0.5
        if done + 1 < len(self._firsts):
            first, following = self._firsts[done], self._firsts[done + 1]
            share = (sequence + 1 - first) / max(following - first, 1)
        self._progress.done_bytes = sum(self._bytes[:done]) + int(share * self._bytes[done])
