"""A captured session's rows as a database gives them, and the events that they stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tapebook.capture.decode import Decoder
from tapebook.capture.rows import from_rows
from tapebook.market.errors import StoreError
from tapebook.market.events import Events
from tapebook.store.batches import Rows
from tapebook.store.database import Database, Session, TableRows
from tapebook.store.schema import TableName

__all__ = ["events_of", "session_in"]


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
