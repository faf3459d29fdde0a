"""What a venue's folder offers to those above: a name, and how its bytes become events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np

from tapebook.market.events import Events, empty_events
from tapebook.market.operators import State

__all__ = ["BatchParser", "CountingParser", "FrameParser", "Frames", "Venue", "advance_all", "advance_counted"]


class FrameParser(Protocol):
    """A fold over a venue's frames, in the order in which they came; it sees no clock and no socket."""

    def advance(self, payload: bytes, ts_recv_ns: int) -> Events:
        """Take in one frame and return its events. Never raises for what a frame holds (unless ``--strict``)."""
        ...

    def save(self) -> State:
        """Return a copy of the whole memory."""
        ...

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        ...


Frames: TypeAlias = Iterable[tuple[bytes, int]]
"""Frames, each with the time when it came."""


@runtime_checkable
class BatchParser(Protocol):
    """A parser that is faster over many frames at once."""

    def advance_many(self, frames: Frames) -> Events:
        """Take in many frames; the same events as :meth:`FrameParser.advance` on each."""
        ...


@runtime_checkable
class CountingParser(Protocol):
    """A parser that is faster over many frames at once, and can say which events are which frame's."""

    def advance_counted(self, frames: Frames) -> tuple[Events, list[int]]:
        """Take in many frames; return the events, and the number of them that each frame completed."""
        ...


def advance_all(parser: FrameParser, frames: Frames) -> Events:
    """Take in many frames and return the events of all of them."""
    if isinstance(parser, BatchParser):
        return parser.advance_many(frames)
    return advance_counted(parser, frames)[0]


def advance_counted(parser: FrameParser, frames: Frames) -> tuple[Events, list[int]]:
    """Take in many frames; return the events and how many each frame completed, as a journal's positions need it."""
    if isinstance(parser, CountingParser):
        return parser.advance_counted(frames)
    blocks = [parser.advance(payload, ts_recv_ns) for payload, ts_recv_ns in frames]
    return np.concatenate(blocks) if blocks else empty_events(0), [block.size for block in blocks]


@dataclass(frozen=True)
class Venue:
    """A venue as the registry knows it.

    Attributes
    ----------
    name
        What ``--venue`` takes.
    title
        For people.
    parser
        Makes a parser: ``parser(contracts, instruments, quarantine=…, notes=…)``. It never raises for what a frame
        holds, unless the quarantine is strict; the table of instruments gets an entry for each contract.
    contracts
        Names of two contracts as the venue writes them: examples in help texts, and what the shared tests subscribe.
    record_end
        The bytes that end a record, where frames are a stream that may be cut anywhere; empty where every frame is a
        message of its own.
    """

    name: str
    title: str
    parser: Callable[..., FrameParser]
    contracts: tuple[str, ...]
    record_end: bytes = b""
