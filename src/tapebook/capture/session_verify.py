"""Is a captured session whole: its journal's checksums and numbers, and every row of its database beside its frames."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from tapebook.capture.session_tape import decoded_journal
from tapebook.capture.sessions import Captured, load_pruned, open_database_of
from tapebook.market.quarantine import Quarantine
from tapebook.market.tape import Progress
from tapebook.store.batches import Batch
from tapebook.store.capture_verify import Difference, verify_batches
from tapebook.venues.credentials import masked

__all__ = ["Verdict", "verify_captured"]

_TOLD = 20


@dataclass(kw_only=True)
class Verdict:
    """What a verification found.

    Attributes
    ----------
    name
        Of the session.
    ok
        Nothing is wrong. A database that is only behind (``capture --recover`` brings it up) is not wrong while the
        session runs or was killed.
    problems
        What is wrong, for people, the worst first.
    frames, missing_frames
        Of the journal: those that are whole, and numbers that no frame has.
    torn
        The journal's last record is not whole: it was never acknowledged, and is no problem.
    bad_records
        Damage, by kind.
    rows, missing, extra, different, unverifiable, behind
        As :class:`~tapebook.store.capture_verify.Verified`; None where there is no database.
    differences
        The first of them.
    """

    name: str
    ok: bool = True
    problems: list[str] = field(default_factory=list)
    frames: int = 0
    missing_frames: int = 0
    torn: str = ""
    bad_records: dict[str, int] = field(default_factory=dict)
    rows: int | None = None
    missing: int | None = None
    extra: int | None = None
    different: int | None = None
    unverifiable: int | None = None
    behind: int | None = None
    differences: list[dict[str, Any]] = field(default_factory=list)


def verify_captured(session: Captured, *, progress: Progress | None = None) -> Verdict:
    """Compare a session's database with its journal decoded anew, and the journal with its own checksums.

    Raises
    ------
    StoreError
        If there is nothing to compare: no journal (and no lake), or a database that cannot be opened.
    """
    pruned = load_pruned(session.folder) if session.folder is not None else None
    if pruned is not None and pruned.done:
        return _lake(session, pruned.lake, pruned.source, progress)
    out = Verdict(name=session.label)
    quarantine = Quarantine(keep=0)
    counted = _Counted(session, quarantine, progress)
    if session.has_database:
        base, stored = open_database_of(session)
        with base:
            found = verify_batches(counted, base, stored, differences_kept=_TOLD)
        # A comparison ends with the journal, but what it is given may not have been read to the end.
        for name in ("rows", "missing", "extra", "different", "unverifiable", "behind"):
            setattr(out, name, getattr(found, name))
        out.differences = [_plain(one) for one in found.differences]
    else:
        for _ in counted:
            pass
        if session.complete:
            out.problems.append(f"the database is gone: {session.shown}")
    out.frames, out.missing_frames = counted.frames, counted.missing
    out.torn = quarantine.truncated
    out.bad_records = {reason: n for reason, n in quarantine.counts.items() if reason != "missing journal frames"}
    _judge(out, session)
    return out


def _judge(out: Verdict, session: Captured) -> None:
    for n, text in (
        (out.missing, "rows are missing from the database"),
        (out.extra, "rows of the database are not in the journal (or doubled)"),
        (out.different, "rows of the database differ from the journal"),
        (out.unverifiable, "rows of the database come from frames that the journal has no more"),
        (out.missing_frames, "frames are missing from the journal"),
    ):
        if n:
            out.problems.append(f"{n:,} {text}")
    out.problems += [f"{n:,} times in the journal: {reason}" for reason, n in out.bad_records.items()]
    if out.behind and session.state not in ("running", "killed") and session.complete:
        out.problems.append(f"{out.behind:,} frames of the journal are not in the database, which was said to be whole")
    out.ok = not out.problems


class _Counted:
    """Batches of the journal as the comparison takes them, counted on the way."""

    def __init__(self, session: Captured, quarantine: Quarantine, progress: Progress | None) -> None:
        self._session, self._quarantine, self._progress = session, quarantine, progress
        self.frames = self.missing = self._last = 0

    def __iter__(self) -> Iterator[tuple[Batch, AbstractSet[int]]]:
        decoded = decoded_journal(self._session, quarantine=self._quarantine, progress=self._progress)
        for frames, part, decoder in decoded:
            self.frames += len(frames)
            self.missing += decoder.last_sequence - self._last - len(frames)
            self._last = decoder.last_sequence
            yield part.batch, {frame.sequence for frame in frames}


def _plain(one: Difference) -> dict[str, Any]:
    return {
        "table": one.table,
        "sequence": one.sequence,
        "row_index": one.row_index,
        "journalled": _texts(one.journalled),
        "stored": _texts(one.stored),
    }


def _texts(values: tuple[Any, ...] | None) -> list[Any] | None:
    if values is None:
        return None
    return [repr(v) if isinstance(v, bytes) else masked(v) if isinstance(v, str) else v for v in values]


def _lake(session: Captured, lake: str, source: str, progress: Progress | None) -> Verdict:
    """Verify a pruned session: the checksums of its import."""
    from tapebook.store.lake import Lake

    out = Verdict(name=session.label)
    if source:
        if source not in Lake(lake).sources():
            out.problems.append(f"the lake {lake} does not have the session's import {source}")
        else:
            tape = Lake(lake).tape(sources=source, mix=True)
            if progress is not None:
                tape.progress = progress
            for _ in tape.blocks():  # each byte is compared with its checksum before it is decoded
                pass
    out.ok = not out.problems
    return out
