"""Streams that fall silent while their connection looks healthy.

On this venue the streams of a contract stop one by one now and then. A stream is silent when nothing came on it for its
time while another stream of the same contract spoke; a market that is closed or asleep, where none speaks, is not. What
is done about it goes in steps, one each time the stream's time passes again:

1. call the Subscribe method again (harmless where nothing was wrong),
2. unsubscribe and subscribe,
3. connect anew; only for a stream that did speak once, since an account without level-2 data never hears depth.

A contract may be quoted for minutes without a trade: trades get a longer time, and never more than the first step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from tapebook.venues.projectx.subscribe import ALL_CHANNELS, Channel

__all__ = ["SILENT_S", "Silent", "Step", "StreamWatch"]

SILENT_S: Final[Mapping[Channel, float]] = {Channel.QUOTES: 15.0, Channel.DEPTH: 15.0, Channel.TRADES: 120.0}
_S: Final = 1_000_000_000


class Step(IntEnum):
    """What to do about a silent stream."""

    AGAIN = 1
    ANEW = 2
    RECONNECT = 3


class Silent(NamedTuple):
    """A stream that fell silent, and what to do."""

    contract: str
    channel: Channel
    step: Step
    for_s: float


class StreamWatch:
    """Knows when each stream spoke last.

    >>> watch = StreamWatch(["CON.F.US.EP.Z26"])
    >>> watch.connected(0)
    >>> for s in (1, 14, 20):
    ...     watch.heard("CON.F.US.EP.Z26", Channel.QUOTES, s * 10**9)
    >>> [(s.channel.name, s.step.name) for s in watch.due(20 * 10**9)]
    [('DEPTH', 'AGAIN')]
    """

    def __init__(
        self,
        contracts: Iterable[str],
        channels: Iterable[Channel] = ALL_CHANNELS,
        silent_s: Mapping[Channel, float] = SILENT_S,
    ) -> None:
        self._span = {channel: round(silent_s[channel] * _S) for channel in channels}
        self._contracts = tuple(contracts)
        self._spoke: dict[tuple[str, Channel], int] = {}  # on this connection
        self._acted: dict[tuple[str, Channel], int] = {}  # when it was subscribed, or a step taken
        self._step: dict[tuple[str, Channel], int] = {}
        self._ever: set[tuple[str, Channel]] = set()

    def connected(self, now_ns: int) -> None:
        """Begin anew: everything was subscribed just now."""
        self._spoke.clear()
        self._step.clear()
        self._acted = {(contract, channel): now_ns for contract in self._contracts for channel in self._span}

    def heard(self, contract: str, channel: Channel, now_ns: int) -> None:
        """Note that a stream spoke."""
        self._spoke[contract, channel] = now_ns

    def due(self, now_ns: int) -> list[Silent]:
        """Return the streams to do something about; each is then left alone for its time."""
        out: list[Silent] = []
        for key, acted in self._acted.items():
            contract, channel = key
            span = self._span[channel]
            spoke = self._spoke.get(key)
            if spoke is not None:
                self._ever.add(key)
                if now_ns - spoke < span:
                    self._step.pop(key, None)
                    continue
            since = acted if spoke is None else max(acted, spoke)
            if now_ns - since < span or not self._others_spoke(key, now_ns - span):
                continue
            step = min(self._step.get(key, 0) + 1, self._last_step(key))
            self._step[key] = step
            self._acted[key] = now_ns
            out.append(Silent(contract, channel, Step(step), (now_ns - (spoke or since)) / _S))
        return out

    def _others_spoke(self, key: tuple[str, Channel], after_ns: int) -> bool:
        contract, channel = key
        return any(self._spoke.get((contract, other), after_ns) > after_ns for other in self._span if other != channel)

    def _last_step(self, key: tuple[str, Channel]) -> int:
        if key[1] is Channel.TRADES:
            return Step.AGAIN
        return Step.RECONNECT if key in self._ever else Step.ANEW
