"""What can go wrong with a replay of Binance on request; drawn from one seeded generator, timed by the recording.

=========  =============================================================================================================
fault      what happens
=========  =============================================================================================================
lose       messages are left out: a ``share`` of all, or the next ``n`` (1)
drop       all connections are cut without a word
shutdown   ``serverShutdown`` is announced on every connection, as before a restart of the venue
=========  =============================================================================================================

``at_s`` says when, in seconds of the recording from its first message on; ``every_s`` again and again, on average. So
the same seed does the same to the same messages at every speed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from random import Random
from typing import Any, Final

import msgspec

from tapebook.market.errors import ConfigurationError

__all__ = ["KINDS", "BinanceFault", "BinanceFaults", "parse_binance_fault"]

KINDS: Final = ("lose", "drop", "shutdown")
_S: Final = 1_000_000_000


class BinanceFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault; see the module for what the fields mean."""

    fault: str
    share: float = 0.0
    n: int = 1
    at_s: float = 0.0
    every_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.fault not in KINDS:
            raise ConfigurationError("not a fault", expected=", ".join(KINDS), found=repr(self.fault))
        if not (0 <= self.share <= 1 and self.n >= 1 and self.at_s >= 0 and self.every_s >= 0):
            raise ConfigurationError(
                "not a fault", expected="share from 0 to 1, n from 1, at_s and every_s from 0", found=repr(self)
            )


def parse_binance_fault(text: str) -> BinanceFault:
    """Read a fault as an option writes it: ``KIND``, or ``KIND:field=value,field=value``.

    >>> parse_binance_fault("drop:every_s=30").every_s
    30.0
    """
    kind, _, rest = text.partition(":")
    told: dict[str, Any] = {"fault": kind.strip()}
    for part in rest.split(",") if rest else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in BinanceFault.__struct_fields__[1:]:
            fields = ", ".join(BinanceFault.__struct_fields__[1:])
            raise ConfigurationError("not a fault", expected=f"KIND:field=value with {fields}", found=repr(text))
        told[name] = value
    try:
        return msgspec.convert(told, BinanceFault, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError("not a fault", expected="numbers", found=repr(text), where=str(error)) from None


class BinanceFaults:
    """The faults of one play.

    Examples
    --------
    >>> faults = BinanceFaults([parse_binance_fault("lose:n=2,at_s=1"), parse_binance_fault("drop:at_s=2")], seed=1)
    >>> s = 10**9
    >>> [(faults.due(t * s), faults.loses()) for t in (5, 6, 7, 8)]
    [([], False), ([], True), (['drop'], True), ([], False)]
    """

    def __init__(self, faults: Iterable[BinanceFault] = (), *, seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._random = Random(seed)
        self._faults = tuple(faults)
        self._due: list[tuple[int, BinanceFault]] = []  # from the first message on
        self._first_ns: int | None = None
        self._share = 0.0
        self._next = 0

    def due(self, now_ns: int) -> list[str]:
        """Return what happens before a message of this time: ``drop``, ``shutdown``."""
        if self._first_ns is None:
            self._first_ns = now_ns
            for fault in self._faults:
                waits = round(fault.at_s * _S) if fault.at_s or not fault.every_s else self._step(fault)
                self._due.append((waits, fault))
        now, out = now_ns - self._first_ns, []
        for i, (when, fault) in enumerate(self._due):
            if when > now:
                continue
            self._due[i] = (now + self._step(fault) if fault.every_s else 1 << 62, fault)
            if fault.fault != "lose":
                out.append(fault.fault)
            elif fault.share:
                self._share = fault.share
            else:
                self._next += fault.n
        self.counts.update(out)
        return out

    def loses(self) -> bool:
        """Whether the next message is left out."""
        lost = self._next > 0 or (self._share > 0 and self._random.random() < self._share)
        self._next -= self._next > 0
        self.counts["lose"] += lost
        return lost

    def _step(self, fault: BinanceFault) -> int:
        return round(fault.every_s * _S * (0.5 + self._random.random()))
