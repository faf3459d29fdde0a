"""A captured session read back: as events from its database, or decoded anew from its journal. Both are the same tape.

What the commands about sessions, and ``tapebook analyze SESSION``, are built on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tapebook.capture.decode import Decoder
from tapebook.capture.rows import from_rows
from tapebook.capture.settings import JOURNAL, SessionFile, load_session
from tapebook.market.errors import StoreError
from tapebook.market.events import Events
from tapebook.market.tape import Origin, Tape
from tapebook.store.batches import Rows
from tapebook.store.capture_rows import rows_in_order
from tapebook.store.database import Database, Session, TableRows, open_database
from tapebook.store.journal_read import JournalReader
from tapebook.store.schema import TableName

__all__ = ["database_tape", "events_of", "journal_tape", "session_in"]

_FRAMES: Final = 4_000


def session_in(database: Database, name: str) -> Session:
    """Return a database's session.

    Raises
    ------
    StoreError
        If it has none of that name.
    """
    known = database.sessions()
    found = next((session for session in known if session.name == name), None)
    if found is None:
        names = ", ".join(session.name for session in known[-5:])
        raise StoreError("the database has no such session", expected=names, found=repr(name), where=database.url)
    return found


def database_tape(folder: Path, *, database: str = "") -> Tape:
    """Return what a session's database holds.

    Parameters
    ----------
    folder
        The session's.
    database
        Its URL, where it is another than ``session.json`` says (a password, a copy).
    """
    about = load_session(folder)
    decoder = Decoder(about.sources)
    url = database or about.database
    tape = Tape(origin=_origin(folder, about), read=lambda _: iter(()), instruments=decoder.table)

    def read(events_max: int) -> Iterator[Events]:
        with open_database(url) as base:
            session = session_in(base, about.name)
            for stretch in rows_in_order(base, session, rows_wanted=events_max):
                yield events_of(stretch.tables, decoder)

    tape.read = read
    return tape


def journal_tape(folder: Path) -> Tape:
    """Return what a session's journal holds, decoded anew; bad records go to the tape's quarantine."""
    about = load_session(folder)
    table = Decoder(about.sources).table
    tape = Tape(origin=_origin(folder, about), read=lambda _: iter(()), instruments=table)

    def read(_: int) -> Iterator[Events]:
        decoder = Decoder(about.sources)
        with JournalReader(folder / JOURNAL) as reader:
            while frames := reader.read(_FRAMES):
                decoder.feed(frames)
                decoded = decoder.build()
                for row in decoded.batch.quality:
                    tape.quarantine.add(
                        row.finding,
                        expected=row.expected,
                        found=row.found,
                        where=f"frame {row.sequence} of the journal",
                        raw=row.raw_payload or b"",
                    )
                if decoded.events.size:
                    yield decoded.events
        tape.notes.update(decoder.notes)

    tape.read = read
    return tape


def events_of(tables: Mapping[TableName, TableRows], decoder: Decoder) -> Events:
    """Return the events of rows as a database gives them; ``decoder`` knows the session's contracts."""
    places = {contract: i for i, contract in enumerate(decoder.contracts)}
    found: dict[TableName, Rows] = {}
    for table, part in tables.items():
        if part.rows.size:
            codes: NDArray[np.int32] = np.array([places[contract] for contract in part.contracts], np.int32)
            rows = part.rows.copy()
            rows["contract"] = codes[rows["contract"]]
            found[table] = rows
    return from_rows(found, decoder.instrument_of)[0]


def _origin(folder: Path, about: SessionFile) -> Origin:
    return Origin(name=about.name, format="capture", venue=about.venue, details={"folder": str(folder)})
