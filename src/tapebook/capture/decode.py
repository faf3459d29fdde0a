"""A journal's frames become batches of rows: one fold, the same for live capture, recovery and reading back.

Which rows a frame makes depends on the frames before it and on nothing else, however they are cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tapebook.capture.checks import Checks
from tapebook.capture.notes import Note, read_note
from tapebook.capture.rows import to_rows
from tapebook.capture.settings import SourceSettings
from tapebook.capture.sources import LiveParser, RunParser, parsers_for
from tapebook.market.errors import StoreError
from tapebook.market.events import EVENT, Events, empty_events
from tapebook.market.instruments import InstrumentTable
from tapebook.market.operators import State
from tapebook.market.quarantine import BadRecord, Quarantine
from tapebook.store.batches import Batch, GapRow, QualityRow
from tapebook.store.journal_format import Frame, FrameKind

__all__ = ["Decoded", "Decoder", "Memory"]

Memory = dict[str, State]

_FRAME: Final = int(FrameKind.FRAME)
_EMPTY: Final = empty_events(0)


class _Line(NamedTuple):
    settings: SourceSettings
    parser: LiveParser
    quarantine: Quarantine
    names: dict[str, int]  # contract id -> index of contracts
    run: Callable[[Sequence[tuple[bytes, int]]], tuple[Events, list[int], list[int]]] | None = None  # of many frames


@dataclass
class Decoded:
    """What frames became since the last batch."""

    events: Events
    sequence: NDArray[np.int64]
    batch: Batch


@dataclass
class _Open:
    """What is being collected."""

    blocks: list[Events] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    n_events: int = 0
    gaps: list[tuple[int, tuple[Any, ...]]] = field(default_factory=list)
    findings: list[tuple[int, int, tuple[Any, ...]]] = field(default_factory=list)
    raw: dict[int, bytes] = field(default_factory=dict)


class Decoder:
    """The fold.

    Parameters
    ----------
    sources
        What the journal's source numbers stand for.
    keep_raw
        Put each frame's bytes into the batch.
    after
        The next batch covers the frames from behind this one on.

    Attributes
    ----------
    contracts
        (contract id, symbol) that rows' ``contract`` is the index of.
    notes
        Counts of what parsers noticed.
    clocks
        The last estimate of each source's clock.
    """

    def __init__(self, sources: Sequence[SourceSettings], *, keep_raw: bool = False, after: int = 0) -> None:
        self.table = InstrumentTable()
        self.contracts: list[tuple[str, str]] = []
        self.notes: dict[str, int] = {}
        self.clocks: dict[int, Note] = {}
        self._keep_raw = keep_raw
        self._first = after + 1
        self._last = after
        self._received: int | None = None
        self._lines: dict[int, _Line] = {}
        self._checks = Checks()
        instruments: dict[int, int] = {}
        taken: dict[str, str] = {}
        for source, parsed in zip(sources, parsers_for(sources, self.table, self.notes), strict=True):
            names = {}
            for contract_id, instrument_id in parsed.instruments:
                # A name that two venues use is told apart by the venue's.
                name = (
                    contract_id
                    if taken.setdefault(contract_id, source.venue) == source.venue
                    else (f"{source.venue}:{contract_id}")
                )
                if instrument_id not in instruments:
                    instruments[instrument_id] = len(self.contracts)
                    self.contracts.append((name, self.table[instrument_id].symbol))
                names[contract_id] = instruments[instrument_id]
            self._lines[source.number] = _Line(
                source,
                parsed.parser,
                parsed.quarantine,
                names,
                parsed.parser.advance_run if isinstance(parsed.parser, RunParser) else None,
            )
        self.contract_of = np.full(max(instruments, default=0) + 1, -1, np.int32)
        self.contract_of[list(instruments)] = list(instruments.values())
        self.instrument_of = np.zeros(len(self.contracts), np.uint32)
        self.instrument_of[list(instruments.values())] = list(instruments)
        self._open = _Open()

    @property
    def last_sequence(self) -> int:
        """The last frame taken in."""
        return self._last

    @property
    def n_rows(self) -> int:
        """Rows collected for the next batch, about: an event each."""
        return self._open.n_events + len(self._open.gaps) + len(self._open.findings)

    @property
    def pending(self) -> bool:
        """Whether frames were taken in since the last batch."""
        return self._last >= self._first

    def feed(self, frames: Sequence[Frame]) -> None:
        """Take in frames."""
        open_ = self._open
        blocks, numbers, sizes = open_.blocks, open_.frames, open_.sizes
        keep_raw = self._keep_raw
        last, at = self._last, -1
        done = 0
        for place, frame in enumerate(frames):
            if place < done:
                continue
            sequence, ts_recv_ns, source, kind, payload = frame
            if sequence != last + 1 and last:
                self._missing(frame, last)
            last = sequence
            if source != at:
                line, at = self._line(frame), source
                advance, rejected = line.parser.advance, line.quarantine.records
            if line.run is not None and kind == _FRAME:
                done = self._run_from(frames, place, line)
                last, at = frames[done - 1].sequence, -1
                continue
            events = advance(payload, ts_recv_ns) if kind == _FRAME else self._note(frame, line)
            n = len(events)
            if n:
                blocks.append(events)
                numbers.append(sequence)
                sizes.append(n)
                open_.n_events += n
            if rejected:
                self._quarantined(frame, line)
            if keep_raw:
                open_.raw[sequence] = payload
        if frames:
            self._last = last
            self._received = frames[-1].ts_recv_ns

    def _run_from(self, frames: Sequence[Frame], start: int, line: _Line) -> int:
        """Take in the frames of one parser from a place on, as many as follow each other; return where they end."""
        assert line.run is not None
        mine = {number for number, other in self._lines.items() if other.run == line.run}
        last, stop = frames[start].sequence, start + 1
        while stop < len(frames):
            frame = frames[stop]
            if frame.kind != _FRAME or frame.sequence != last + 1 or frame.source not in mine:
                break
            last, stop = frame.sequence, stop + 1
        taken, open_ = frames[start:stop], self._open
        events, sizes, rejected = line.run([(frame.payload, frame.ts_recv_ns) for frame in taken])
        if len(events):
            open_.blocks.append(events)
            open_.frames += [frame.sequence for frame, size in zip(taken, sizes, strict=True) if size]
            open_.sizes += [size for size in sizes if size]
            open_.n_events += len(events)
        for place, record in zip(rejected, line.quarantine.records, strict=True):
            self._found(taken[place], record)
        line.quarantine.records.clear()
        if self._keep_raw:
            open_.raw.update((frame.sequence, frame.payload) for frame in taken)
        return stop

    def skip_to(self, sequence: int) -> None:
        """Let the next batch cover the numbers up to ``sequence``, which no frame has."""
        self._last = max(self._last, sequence)

    def build(self) -> Decoded:
        """Return what was collected since the last batch, and begin the next one."""
        open_, self._open = self._open, _Open()
        sizes = np.array(open_.sizes, np.int64)
        # As bytes: numpy's own way looks at the fields of each block, which costs more than to decode it.
        events = np.frombuffer(b"".join(open_.blocks), EVENT) if open_.blocks else _EMPTY  # type: ignore[arg-type] # numpy does not say that arrays are buffers
        sequence = np.repeat(np.array(open_.frames, np.int64), sizes)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        row_index = np.arange(events.size) - starts
        # A frame that lost frames stand before has two blocks: its own events go on where the other's end.
        if len(set(open_.frames)) < len(open_.frames):
            first = np.searchsorted(sequence, sequence)
            row_index = np.arange(events.size) - first
        for found in self._checks.advance(events):
            at = int(sequence[found.at])
            name = self.contracts[self.contract_of[found.instrument_id]][0]
            values = (int(events["ts_recv_ns"][found.at]), name, found.finding, found.expected, found.found, None)
            open_.findings.append((at, 1, values))
        gaps, quality = self._numbered(open_, sequence)
        batch = Batch(
            first_sequence=self._first,
            last_sequence=self._last,
            received_timestamp=self._received,
            contracts=tuple(self.contracts),
            tables=to_rows(events, sequence, row_index, self.contract_of),
            raw=open_.raw,
            gaps=gaps,
            quality=quality,
        )
        self._first, self._received = self._last + 1, None
        return Decoded(events, sequence, batch)

    def save(self) -> Memory:
        """Return a copy of the whole memory; between a :meth:`build` and the next :meth:`feed`."""
        memory: Memory = {f"source {number}": line.parser.save() for number, line in self._lines.items()}
        memory["checks"] = self._checks.save()
        memory["place"] = {"last": np.array([self._last], np.int64)}
        return memory

    def restore(self, memory: Memory) -> None:
        """Take up a memory that :meth:`save` returned, of a decoder with the same sources."""
        for number, line in self._lines.items():
            line.parser.restore(memory[f"source {number}"])
        self._checks.restore(memory["checks"])
        self._last = int(memory["place"]["last"][0])
        self._first, self._received, self._open = self._last + 1, None, _Open()

    def _line(self, frame: Frame) -> _Line:
        line = self._lines.get(frame.source)
        if line is None:
            raise StoreError(
                "a frame of an unknown source",
                expected=f"one of {sorted(self._lines)}",
                found=str(frame.source),
                where=f"frame {frame.sequence} of the journal",
                remedy="the session's file and its journal do not belong together",
            )
        return line

    # ---- one frame -------------------------------------------------------------------------------------------------

    def _note(self, frame: Frame, line: _Line) -> Events:
        """Take in a record that is no frame."""
        note = read_note(frame.payload)
        sequence, ts_recv_ns = frame.sequence, frame.ts_recv_ns
        contract = self.contracts[line.names[note.contract]][0] if note.contract in line.names else note.contract
        if frame.kind == FrameKind.CONNECT:
            if note.since_ns:
                self._gap(frame, note.since_ns, ts_recv_ns, "", "the connection was lost", note.text)
            return line.parser.reset(ts_recv_ns)
        if frame.kind == FrameKind.GAP:
            self._gap(frame, note.since_ns or None, ts_recv_ns, contract, note.what, f"{note.channel} {note.text}")
            if not note.contract:
                return line.parser.reset(ts_recv_ns)
            return line.parser.reset(ts_recv_ns, note.contract) if note.channel in ("", "depth") else _EMPTY
        if frame.kind == FrameKind.CLOCK:
            self.clocks[frame.source] = note
        elif note.what in ("refused", "unreadable"):
            found = (ts_recv_ns, contract, f"{line.settings.name}: {note.what}", "", note.text, None)
            self._open.findings.append((sequence, 0, found))
        return _EMPTY

    def _gap(
        self, frame: Frame, begin_ns: int | None, end_ns: int | None, contract: str, reason: str, detail: str
    ) -> None:
        values = (begin_ns, end_ns, frame.source, contract, reason, detail.strip())
        self._open.gaps.append((frame.sequence, values))

    def _missing(self, frame: Frame, last: int) -> None:
        """Note that the journal lost frames: whose they were nobody knows, so every book begins anew."""
        detail = f"frames {last + 1} to {frame.sequence - 1}"
        self._gap(frame, None, frame.ts_recv_ns, "", "frames are missing from the journal", detail)
        for line in self._lines.values():
            events = line.parser.reset(frame.ts_recv_ns)
            if len(events):
                self._open.blocks.append(events)
                self._open.frames.append(frame.sequence)
                self._open.sizes.append(len(events))
                self._open.n_events += len(events)
            self._quarantined(frame, line)

    def _quarantined(self, frame: Frame, line: _Line) -> None:
        for record in line.quarantine.records:
            self._found(frame, record)
        line.quarantine.records.clear()

    def _found(self, frame: Frame, record: BadRecord) -> None:
        values = (frame.ts_recv_ns, "", record.reason, record.expected, record.found, record.raw)
        self._open.findings.append((frame.sequence, 0, values))

    def _numbered(self, open_: _Open, sequence: NDArray[np.int64]) -> tuple[list[GapRow], list[QualityRow]]:
        """Give gaps and findings their places behind the events of their frames."""
        if not (open_.gaps or open_.findings):
            return [], []
        following: dict[int, int] = {}

        def place(number: int) -> int:
            if number not in following:
                begin, end = np.searchsorted(sequence, [number, number + 1])
                following[number] = int(end - begin)
            following[number] += 1
            return following[number] - 1

        gaps = [
            GapRow(number, place(number), begin, end, source, _clean(contract), _clean(reason), _clean(detail))
            for number, (begin, end, source, contract, reason, detail) in open_.gaps
        ]
        quality = [
            QualityRow(number, place(number), ts, *(_clean(text) for text in texts), raw)  # type: ignore[call-arg,arg-type] # mypy does not count what a star brings
            for number, _, (ts, *texts, raw) in sorted(open_.findings, key=lambda finding: finding[:2])
        ]
        return gaps, quality


def _clean(text: str) -> str:
    """Return text that every database takes."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")[:2000]
