"""When to try again, and when to stop trying: small rules that are put together with ``|``, ``&`` and ``+``.

A rule is asked after a failure and knows how many there were in a row and since when. Chance is an argument: the same
generator gives the same waits.

>>> import random
>>> wait = delays(0, 2, 10, then=30) & at_least(1) | at_most(20)
>>> [wait(Failures(n, 0.0), random.Random(1)) for n in (1, 2, 3, 4)]
[1.0, 2.0, 10.0, 20.0]
>>> stop = after_failures(3) | after_s(60)
>>> stop(Failures(2, 5.0)), stop(Failures(2, 61.0))
(False, True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

__all__ = [
    "NEVER",
    "Chance",
    "Failures",
    "Stop",
    "Streak",
    "Wait",
    "after_failures",
    "after_s",
    "at_least",
    "at_most",
    "delays",
    "doubling",
    "jittered",
]

_S: Final = 1_000_000_000


class Chance(Protocol):
    """What draws: ``random.Random`` and ``numpy.random.Generator`` both do."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


class Failures(NamedTuple):
    """What happened so far."""

    n: int  # in a row, from 1
    for_s: float  # since the first of them


@dataclass(frozen=True)
class Wait:
    """How many seconds to wait; ``a | b`` is the shorter wait, ``a & b`` the longer, ``a + b`` both."""

    rule: Callable[[Failures, Chance], float]

    def __call__(self, failures: Failures, chance: Chance) -> float:
        """Return the seconds to wait."""
        return self.rule(failures, chance)

    def __or__(self, other: Wait) -> Wait:
        return Wait(lambda f, c: min(self(f, c), other(f, c)))

    def __and__(self, other: Wait) -> Wait:
        return Wait(lambda f, c: max(self(f, c), other(f, c)))

    def __add__(self, other: Wait) -> Wait:
        return Wait(lambda f, c: self(f, c) + other(f, c))


@dataclass(frozen=True)
class Stop:
    """Whether to give up; ``a | b`` where either says so, ``a & b`` where both do."""

    rule: Callable[[Failures], bool]

    def __call__(self, failures: Failures) -> bool:
        """Return whether to give up."""
        return self.rule(failures)

    def __or__(self, other: Stop) -> Stop:
        return Stop(lambda f: self(f) or other(f))

    def __and__(self, other: Stop) -> Stop:
        return Stop(lambda f: self(f) and other(f))


def delays(*first_s: float, then: float) -> Wait:
    """Wait the named times one after the other, and ``then`` seconds each time after that."""
    return Wait(lambda f, _: float(first_s[f.n - 1] if f.n <= len(first_s) else then))


def doubling(first_s: float, longest_s: float) -> Wait:
    """Wait twice as long each time.

    >>> import random
    >>> [doubling(1, 5)(Failures(n, 0.0), random.Random(1)) for n in (1, 2, 3, 4, 5000)]
    [1.0, 2.0, 4.0, 5.0, 5.0]
    """
    return Wait(lambda f, _: float(min(first_s * 2.0 ** min(f.n - 1, 60), longest_s)))


def jittered(wait: Wait, share: float = 0.5) -> Wait:
    """Draw the wait between ``1 - share`` and 1 of what ``wait`` says, so that clients do not come back all at once."""
    return Wait(lambda f, c: wait(f, c) * (1.0 - share * c.random()))


def at_least(s: float) -> Wait:
    """Wait ``s`` seconds; with ``&`` a lower bound."""
    return Wait(lambda _f, _c: float(s))


def at_most(s: float) -> Wait:
    """Wait ``s`` seconds; with ``|`` an upper bound."""
    return at_least(s)


def after_failures(n: int) -> Stop:
    """Give up after ``n`` failures in a row."""
    return Stop(lambda f: f.n >= n)


def after_s(s: float) -> Stop:
    """Give up when nothing worked for ``s`` seconds."""
    return Stop(lambda f: f.for_s >= s)


class Streak:
    """Counts failures in a row, and says how long to wait after each.

    Parameters
    ----------
    wait, stop
        The rules.
    chance
        Draws the waits.
    steady_s
        A connection that stood so long ends the row: what comes after it is a first failure again.

    Examples
    --------
    >>> import random
    >>> streak = Streak(delays(1, then=5), after_failures(3), random.Random(1), steady_s=30)
    >>> [streak.failed(i * 10**9) for i in (0, 1)], streak.failed(99 * 10**9, opened_ns=2 * 10**9)
    ([1.0, 5.0], 1.0)
    >>> streak.failed(100 * 10**9), streak.failed(101 * 10**9)
    (5.0, None)
    """

    def __init__(self, wait: Wait, stop: Stop, chance: Chance, *, steady_s: float) -> None:
        self._n = 0
        self._wait, self._stop, self._chance, self._steady_ns = wait, stop, chance, steady_s * _S
        self._first_ns = 0

    def failed(self, now_ns: int, opened_ns: int = 0) -> float | None:
        """Count a failure; return how many seconds to wait, None to give up.

        Parameters
        ----------
        now_ns
            By a clock that does not jump.
        opened_ns
            When the connection that failed was opened; 0: it never was.
        """
        if opened_ns and now_ns - opened_ns >= self._steady_ns:
            self._n = 0
        if self._n == 0:
            self._first_ns = now_ns
        self._n += 1
        failures = Failures(self._n, (now_ns - self._first_ns) / _S)
        return None if self._stop(failures) else self._wait(failures, self._chance)


NEVER: Final = Stop(lambda _: False)
"""Go on for ever: what a recorder does."""
