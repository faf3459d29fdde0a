"""Frames as a ProjectX gateway sends them: made up, and with everything in them that can go wrong."""

from __future__ import annotations

import random
from typing import Any

from tapebook.bench._capture_sender import CONTRACT, records
from tapebook.capture.notes import Note, write_note
from tapebook.capture.settings import SourceSettings
from tapebook.store.journal_format import Frame, FrameKind

__all__ = ["CONTRACT", "SOURCES", "T0", "frames_of"]

SOURCES = [SourceSettings(number=0, venue="projectx", line="market", contracts=[{"id": CONTRACT, "tickSize": 0.25}])]
T0 = 1_790_000_000 * 10**9


def frames_of(n: int, seed: int = 1) -> list[Frame]:
    """Return a journal's frames: records cut and joined, rubbish, reconnects, silences, a lost stretch."""
    chance = random.Random(seed)
    made, _ = records(n, seed)
    out: list[Frame] = []
    i, now, number, rest = 0, T0, 0, b""

    def add(kind: FrameKind, payload: bytes) -> None:
        nonlocal number
        number += 1
        out.append(Frame(number, now, 0, int(kind), payload))

    add(FrameKind.CONNECT, write_note(Note(what="connected", connection=1)))
    while i < n:
        now += chance.randrange(1, 20_000_000)
        dice = chance.random()
        take = chance.choice([1, 1, 1, 2, 5])
        data, i, rest = rest + b"".join(made[i : i + take]), i + take, b""
        if dice < 0.05:
            cut = chance.randrange(1, len(data))
            data, rest = data[:cut], data[cut:]
        elif dice < 0.08:
            data += chance.choice([b"rubbish\x1e", made[0][:-20] + b"\x1e", b'{"type":6}\x1e', b"\xff\xfe\x1e"])
        add(FrameKind.FRAME, data)
        if dice > 0.995:
            rest = b""
            since = now
            add(FrameKind.DISCONNECT, write_note(Note(what="lost", text="gone", since_ns=since)))
            now += 1_500_000_000
            add(FrameKind.CONNECT, write_note(Note(what="connected", connection=2, since_ns=since)))
            add(FrameKind.SUBSCRIBE, write_note(Note(what="subscribed")))
        elif dice > 0.99:
            note: dict[str, Any] = {"contract": CONTRACT, "channel": chance.choice(["depth", "trades"])}
            add(FrameKind.GAP, write_note(Note(what="silent", since_ns=now - 10**9, **note)))
        elif dice > 0.985:
            number += chance.randrange(1, 4)  # the journal lost them
        elif dice > 0.98:
            add(FrameKind.CLOCK, write_note(Note(what="clock", offset_ns=5, error_ns=9, samples=1)))
            add(FrameKind.NOTE, write_note(Note(what="refused", text="no such contract")))
    return out
