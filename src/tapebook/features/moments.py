"""Where the rows of a sampled table fall: at every event, at every trade, on a clock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tapebook.features.touch import Timed
from tapebook.kernels import sampling as kernel
from tapebook.kernels.touch import trades_of
from tapebook.market.errors import ConfigurationError
from tapebook.market.events import MISSING, Flag
from tapebook.market.operators import Column, Rows, State, check_state

__all__ = ["EveryEvent", "EveryNs", "EveryTrade", "Moments", "Places", "parse_every"]

_UNITS_NS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@dataclass(frozen=True)
class Places:
    """Samples of a block.

    Attributes
    ----------
    at
        How many events of the block each sample has seen; never falling.
    ts_ns
        Its stamp.
    more
        Further columns of the rows: those that the moments' ``columns`` name.
    """

    at: NDArray[np.int64]
    ts_ns: NDArray[np.int64]
    more: Rows = field(default_factory=dict)


class Moments(Protocol):
    """Says where samples fall; its memory is plain arrays."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns that it adds to the rows."""
        ...

    def find(self, timed: Timed) -> Places:
        """Return the samples that a block of one instrument's events makes."""
        ...

    def save(self) -> State:
        """Return a copy of the memory."""
        ...

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        ...


class _Stateless:
    """Moments without a memory and without columns of their own."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """None."""
        return ()

    def save(self) -> State:
        """Return the memory: there is none."""
        return {}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""


class EveryEvent(_Stateless):
    """A row after each observable event (the last record of a message), as a book's rows stand."""

    def find(self, timed: Timed) -> Places:
        """Return the places after each observable event."""
        at = np.flatnonzero(timed.events["flags"] & int(Flag.LAST))
        return Places(at + 1, timed.ts_ns[at])


class EveryTrade(_Stateless):
    """A row after each print that has a price and a size."""

    def find(self, timed: Timed) -> Places:
        """Return the places after each print."""
        events = timed.events
        at = np.empty(events.size, np.int64)
        n = trades_of(events["kind"], events["price"], events["qty_lots"], at)
        return Places(at[:n] + 1, timed.ts_ns[at[:n]])


class EveryNs:
    """A row at each multiple of ``every_ns`` since 1970 on the steady clock, for what was known at that boundary.

    It is made when the first event past the boundary arrives, without that event, and stamped with the boundary. An
    interval without an event makes no row: the row before still holds, so a night costs nothing. The last boundary of a
    tape stays unmade, because nothing shows that it has passed.
    """

    def __init__(self, every_ns: int) -> None:
        if not 0 < every_ns <= 1 << 60:
            raise ConfigurationError("sampling step", expected="1 to 2**60 ns", found=str(every_ns))
        self.every_ns = every_ns
        self._state = np.full(1, MISSING, np.int64)

    @property
    def columns(self) -> tuple[Column, ...]:
        """None."""
        return ()

    def find(self, timed: Timed) -> Places:
        """Return the boundaries that the events pass."""
        at, ts_ns = np.empty(timed.events.size, np.int64), np.empty(timed.events.size, np.int64)
        n = kernel.pass_boundaries(timed.clock_ns, self.every_ns, self._state, at, ts_ns)
        return Places(at[:n], ts_ns[:n])

    def save(self) -> State:
        """Return a copy of the memory."""
        return {"waits": self._state.copy()}

    def restore(self, state: State) -> None:
        """Take up a memory that :meth:`save` returned."""
        check_state(state, {"waits": self._state}, "samples")
        self._state = state["waits"].copy()


def parse_every(text: str) -> Moments:
    """Read ``event``, ``trade``, or a duration (``100ms``, ``1s``, ``5m``).

    >>> parse_every("trade").__class__.__name__, parse_every("1.5s").every_ns
    ('EveryTrade', 1500000000)

    Raises
    ------
    ConfigurationError
        If it is none of these.
    """
    if text == "event":
        return EveryEvent()
    if text == "trade":
        return EveryTrade()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", text)
    ns = Decimal(match[1]) * _UNITS_NS[match[2]] if match else Decimal(0)
    if ns <= 0 or ns != int(ns) or ns > 1 << 60:
        raise ConfigurationError(
            "no such sampling step",
            expected="event, trade, a duration such as 100ms, 1s, 5m, or bar=KIND:SIZE",
            found=text,
            where="--every",
        )
    return EveryNs(int(ns))
