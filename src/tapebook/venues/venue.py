"""What a venue's folder offers to those above: a name, and how its bytes become events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tapebook.market.events import Events
from tapebook.market.operators import State

__all__ = ["FrameParser", "Venue"]


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


@dataclass(frozen=True)
class Venue:
    """A venue as the registry knows it.

    Attributes
    ----------
    name
        Its folder, and what ``--venue`` takes.
    title
        For people.
    parser
        Makes a parser: ``parser(contracts, instruments, quarantine=…, notes=…)``. It never raises for what a frame
        holds, unless the quarantine is strict; the table of instruments gets an entry for each contract.
    contracts
        Names of two contracts as the venue writes them: examples in help texts, and what the shared tests subscribe.
    """

    name: str
    title: str
    parser: Callable[..., FrameParser]
    contracts: tuple[str, ...]
