"""What can go wrong on request: each fault counted, and drawn from one seeded generator.

=============  =========================================================================================================
fault          what happens
=============  =========================================================================================================
lose           a record is not sent
duplicate      a record is sent twice
reorder        a record is sent after the next one
delay          a record, and with it all after it, waits ``ms`` (100)
malformed      a record is sent cut in half, so that it is no JSON
split          a record is cut over two messages of the socket
merge          ``n`` records (10) go in one message of the socket
silent         a stream of a contract says nothing for ``for_s`` (30), while its connection lives
reset          the depth channel sends a Reset and the whole book
drop           sockets are cut
close          sockets get a Close record with an error, and are closed
half_open      sockets stay open, and neither read nor write, for ``for_s`` (0: as long as the client stays)
throttle       REST answers 429 for ``for_s`` (5)
expire         every token so far is expired
restart        every socket is cut; REST answers 503 and hubs 404 for ``for_s`` (2)
=============  =========================================================================================================

The first seven act on records: on a ``share`` of them, or (without a share) on the next ``n`` (1). All others happen
once, at once or ``at_s`` after the beginning of the play, or again and again, ``every_s`` on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from tapebook.market.errors import ConfigurationError
from tapebook.venues.signalr import SEPARATOR

__all__ = ["KINDS", "Fault", "Faults", "Held", "Piece", "parse_fault"]

_S: Final = 1_000_000_000
ON_RECORDS: Final = ("lose", "duplicate", "reorder", "delay", "malformed", "split", "merge")
ON_STREAMS: Final = ("silent", "reset")
ON_SOCKETS: Final = ("drop", "close", "half_open")
ON_SERVER: Final = ("throttle", "expire", "restart")
KINDS: Final = (*ON_RECORDS, *ON_STREAMS, *ON_SOCKETS, *ON_SERVER)
_FOR_S: Final = {"silent": 30.0, "throttle": 5.0, "restart": 2.0}
CHANNELS: Final = ("quotes", "trades", "depth")


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault, as an option or an admin call says it; see the module for what the fields mean to which."""

    fault: str
    share: float = 0.0
    n: int = 0
    ms: float = 100.0
    at_s: float = 0.0
    every_s: float = 0.0
    for_s: float = -1.0
    contract: str = ""  # all
    channel: str = ""  # quotes, trades, depth; all
    hub: str = ""  # market, user; both

    def __post_init__(self) -> None:
        for name, good in (
            ("fault", self.fault in KINDS),
            ("share", 0 <= self.share <= 1),
            ("channel", self.channel in ("", *CHANNELS)),
            ("hub", self.hub in ("", "market", "user")),
            ("n", self.n >= 0),
            ("ms", self.ms >= 0),
            ("at_s", self.at_s >= 0),
            ("every_s", self.every_s >= 0),
        ):
            if not good:
                expected = {"fault": ", ".join(KINDS), "channel": ", ".join(CHANNELS), "hub": "market, user"}
                raise ConfigurationError(
                    f"not a {name} of a fault",
                    expected=expected.get(name, "a number from 0 (share: to 1)"),
                    found=repr(getattr(self, name)),
                )

    @property
    def lasts_s(self) -> float:
        """How long it lasts."""
        return self.for_s if self.for_s >= 0 else _FOR_S.get(self.fault, 0.0)


def parse_fault(text: str) -> Fault:
    """Read a fault as an option writes it: ``KIND``, or ``KIND:field=value,field=value``.

    >>> parse_fault("silent:channel=depth,at_s=3").lasts_s, parse_fault("duplicate:share=0.01").share
    (30.0, 0.01)
    """
    kind, _, rest = text.partition(":")
    told: dict[str, Any] = {"fault": kind.strip().replace("-", "_")}
    for part in rest.split(",") if rest else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in Fault.__struct_fields__ or name == "fault":
            fields = ", ".join(Fault.__struct_fields__[1:])
            raise ConfigurationError("not a fault", expected=f"KIND:field=value with {fields}", found=repr(text))
        told[name] = value
    try:
        return msgspec.convert(told, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError("not a fault", expected="numbers", found=repr(text), where=str(error)) from None


class Piece(NamedTuple):
    """A message of the socket, and how long it waits first."""

    payload: bytes
    wait_ns: int = 0


class Held:
    """What one connection holds back between two calls."""

    def __init__(self) -> None:
        self.swapped = b""  # sent after the next record
        self.merged: list[bytes] = []
        self.merge_n = 0


class _Timed(NamedTuple):
    due_ns: int
    fault: Fault


class Faults:
    """The faults that are on.

    Parameters
    ----------
    seed
        Of the generator.

    Examples
    --------
    >>> faults = Faults(1)
    >>> faults.add(parse_fault("duplicate:n=1"), 0)
    >>> [piece.payload for piece in faults.treat([(0, b"a"), (0, b"b")], Held())]
    [b'a', b'a', b'b']
    >>> faults.counts
    {'duplicate': 1}
    """

    def __init__(self, seed: int = 0) -> None:
        self.random = Random(seed)
        self.counts: dict[str, int] = {}
        self.streams_of: Callable[[Fault], frozenset[int]] = lambda _fault: frozenset()
        self._on: list[tuple[Fault, frozenset[int]]] = []
        self._next: list[list[Any]] = []  # how many records are left, fault, streams
        self._timed: list[_Timed] = []
        self._waiting: list[Fault] = []  # for the beginning of the play
        self._silent: list[tuple[int, frozenset[int]]] = []
        self._began_ns = -1

    @property
    def on_records(self) -> bool:
        """Whether records have to be looked at one by one."""
        return bool(self._on or self._next or self._silent)

    def listed(self) -> list[Fault]:
        """Return what is on."""
        timed = [timed.fault for timed in self._timed]
        return [f for f, _ in self._on] + [one[1] for one in self._next] + timed + self._waiting

    def add(self, fault: Fault, now_ns: int) -> None:
        """Switch a fault on."""
        if fault.fault in ON_RECORDS and not fault.at_s:
            self._start(fault)
        elif (fault.at_s or fault.every_s) and self._began_ns < 0:
            self._waiting.append(fault)
        else:
            base = max(self._began_ns, 0) if fault.at_s else now_ns
            due = base + round(fault.at_s * _S)
            if fault.every_s and not fault.at_s:
                due += self._step(fault)
            self._timed.append(_Timed(due, fault))

    def begin(self, now_ns: int) -> None:
        """Note that the play begins."""
        self._began_ns = now_ns
        waiting, self._waiting = self._waiting, []
        for fault in waiting:
            self.add(fault, now_ns)

    def clear(self) -> None:
        """Switch everything off; what was counted stays."""
        self._on, self._next, self._timed, self._waiting, self._silent = [], [], [], [], []

    def due(self, now_ns: int) -> list[Fault]:
        """Return what is to happen now; the caller makes it happen."""
        self._silent = [(until, streams) for until, streams in self._silent if until > now_ns]
        happening = [timed for timed in self._timed if timed.due_ns <= now_ns]
        if not happening:
            return []
        self._timed = [timed for timed in self._timed if timed.due_ns > now_ns]
        out = []
        for _, fault in happening:
            if fault.every_s:
                self._timed.append(_Timed(now_ns + self._step(fault), fault))
            if fault.fault in ON_RECORDS:
                self._start(fault)
            else:
                out.append(fault)
        return out

    def silence(self, fault: Fault, now_ns: int) -> None:
        """Let streams say nothing."""
        self.count("silent")
        lasts_s = fault.lasts_s or 1e9
        self._silent.append((now_ns + round(lasts_s * _S), self.streams_of(fault)))

    def count(self, what: str, n: int = 1) -> None:
        """Count what happened."""
        self.counts[what] = self.counts.get(what, 0) + n

    def treat(self, records: Iterable[tuple[int, bytes]], held: Held) -> list[Piece]:
        """Return what a connection is sent instead of these records, each with its stream."""
        out: list[Piece] = []
        for stream, record in records:
            if any(stream in streams for _, streams in self._silent):
                self.count("records of silent streams")
                continue
            self._one(stream, record, held, out)
        return out

    def _one(self, stream: int, record: bytes, held: Held, out: list[Piece]) -> None:
        kinds = {fault.fault: fault for fault in self._drawn(stream)}
        for kind in kinds:
            self.count(kind)
        if "lose" in kinds:
            return
        if "malformed" in kinds:
            record = record[: len(record) // 2] + SEPARATOR
        wait_ns = round(kinds["delay"].ms * 1e6) if "delay" in kinds else 0
        if "merge" in kinds and not held.merge_n:
            held.merge_n = kinds["merge"].n or 10
        if "reorder" in kinds and not held.swapped:
            held.swapped = record
            return
        twice = [record, record] if "duplicate" in kinds else [record]
        if held.swapped:
            twice.append(held.swapped)
            held.swapped = b""
        for one in twice:
            if held.merge_n:
                held.merged.append(one)
                if len(held.merged) >= held.merge_n:
                    out.append(Piece(b"".join(held.merged), wait_ns))
                    held.merged, held.merge_n = [], 0
            elif "split" in kinds and len(one) > 1:
                cut = self.random.randrange(1, len(one))
                out += [Piece(one[:cut], wait_ns), Piece(one[cut:])]
            else:
                out.append(Piece(one, wait_ns))
            wait_ns = 0

    def _drawn(self, stream: int) -> list[Fault]:
        drawn = [
            fault
            for fault, streams in self._on
            if (not streams or stream in streams) and self.random.random() < fault.share
        ]
        for one in self._next:
            left, fault, streams = one
            if left and (not streams or stream in streams):
                one[0] -= 1
                drawn.append(fault)
        if self._next and not all(one[0] for one in self._next):
            self._next = [one for one in self._next if one[0]]
        return drawn

    def _start(self, fault: Fault) -> None:
        streams = self.streams_of(fault) if fault.contract or fault.channel else frozenset()
        if fault.share:
            self._on.append((fault, streams))
        else:
            self._next.append([1 if fault.fault == "merge" else fault.n or 1, fault, streams])

    def _step(self, fault: Fault) -> int:
        return round(fault.every_s * _S * (0.5 + self.random.random()))
