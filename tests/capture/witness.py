"""The journal as the witness: what a database must hold, no more and no less, is what the journal decodes to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tapebook.capture.decode import Decoder
from tapebook.capture.read import session_in
from tapebook.capture.session_tape import From, session_tape
from tapebook.capture.sessions import captured
from tapebook.capture.settings import JOURNAL, load_session
from tapebook.market.events import Events
from tapebook.store.database import open_database
from tapebook.store.journal_format import Frame
from tapebook.store.journal_read import JournalReader


def journalled(folder: Path) -> list[Frame]:
    with JournalReader(folder / JOURNAL) as reader:
        return list(reader)


def events_in(folder: Path, source: From = "database", url: str = "") -> Events:
    return session_tape(captured(str(folder), database=url), source=source).events()


def assert_complete(folder: Path, url: str = "") -> Events:
    """Compare every table of the database with one uninterrupted decode of the journal; return the events."""
    about = load_session(folder)
    frames = journalled(folder)
    decoder = Decoder(about.sources, keep_raw=about.keep_raw)
    decoder.feed(frames)
    decoded = decoder.build()
    events = events_in(folder, url=url)
    assert events.size == decoded.events.size
    assert events.tobytes() == decoded.events.tobytes()
    with open_database(url or about.database) as base:
        session = session_in(base, about.name)
        assert base.watermark(session) == frames[-1].sequence
        assert base.gaps(session) == decoded.batch.gaps
        assert base.quality(session) == decoded.batch.quality
        for table, rows in decoded.batch.tables.items():
            found = [part.rows for part in base.read(session, table)]
            there = np.concatenate(found) if found else rows[:0]
            for name in ("sequence", "row_index", "received_timestamp"):
                assert there[name].tolist() == rows[name].tolist()
    return events
