"""Captured sessions made without a capture: a journal of made-up frames, and a database that follows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tapebook.capture.recover import recover_session
from tapebook.capture.settings import JOURNAL, SessionFile, SourceSettings, save_session
from tapebook.market.events import Events
from tapebook.market.tape import Tape
from tapebook.store.journal import Journal, JournalSettings
from tapebook.store.journal_format import Frame
from tests.capture.some_frames import CONTRACT, SOURCES, T0, frames_of

SEGMENTS = JournalSettings(segment_bytes=256 << 10, block_bytes=32 << 10, background=False)


MES = CONTRACT.replace("MNQ", "MES")
TWO = [SourceSettings(number=0, venue="projectx", line="market", contracts=[*SOURCES[0].contracts, {"id": MES}])]


def of_two(frames: list[Frame]) -> list[Frame]:
    """Return frames of which every third record is the other contract's."""
    out = []
    n = 0
    for frame in frames:
        parts = frame.payload.split(b"\x1e")
        for i in range(len(parts)):
            n += 1
            if n % 3 == 0:
                parts[i] = parts[i].replace(b"MNQ", b"MES")
        out.append(frame._replace(payload=b"\x1e".join(parts)))
    return out


def make_journal(
    folder: Path, frames: list[Frame], *, name: str = "", sources: list[SourceSettings] = SOURCES
) -> Journal:
    """Return the open journal of a new session, with these frames in it."""
    name = name or folder.name
    (folder / JOURNAL).mkdir(parents=True)
    about = SessionFile(
        name=name, sources=sources, database=str(folder / "capture.db"), keep_raw=False, started_ns=T0, state="running"
    )
    save_session(folder, about)
    journal = Journal(folder / JOURNAL, identity=name, settings=SEGMENTS)
    journal.append((frame.ts_recv_ns, frame.source, frame.kind, frame.payload) for frame in frames)
    return journal


def make_session(
    home: Path, name: str = "monday", n: int = 3_000, seed: int = 1, *, database: str = "", state: str = "ended"
) -> Path:
    """Return the folder of a session that has ended, whole in its journal and its database."""
    import msgspec

    from tapebook.capture.settings import load_session, without_password

    folder = home / name
    frames = frames_of(n, seed)
    make_journal(folder, frames).close()
    about = load_session(folder)
    url = database or about.database
    ended = msgspec.structs.replace(about, state=state, ended_ns=frames[-1].ts_recv_ns, database=without_password(url))
    save_session(folder, ended)
    recover_session(folder, database=url)
    return folder


def all_events(tape: Tape) -> Events:
    return np.concatenate([block.copy() for block in tape.blocks()])


def same(a: Events, b: Events) -> bool:
    return a.tobytes() == b.tobytes()
