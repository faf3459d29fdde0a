"""How fast the market runs: the source's time against the machine's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tapebook.market.errors import ConfigurationError

__all__ = ["MAX", "Pacer", "parse_speed"]

MAX: Final = 0.0
"""Speed that is as fast as the slowest client takes it."""


def parse_speed(text: str) -> float:
    """Read a speed: a factor, or ``max``.

    >>> parse_speed("10"), parse_speed("max") == MAX
    (10.0, True)
    """
    if text.strip().lower() == "max":
        return MAX
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 < speed < 1e6:
        raise ConfigurationError("not a speed", expected="a factor above 0, such as 1 or 10, or max", found=repr(text))
    return speed


@dataclass
class Pacer:
    """Says which moment of the source has come.

    >>> pacer = Pacer(10.0)
    >>> pacer.begin(1_000, 50)
    >>> pacer.reached(53), pacer.wait_ns(1_100, 53)
    (1030, 7)
    """

    speed: float
    _source_ns: int = 0
    _timer_ns: int = 0

    def begin(self, source_ns: int, timer_ns: int) -> None:
        """Let the source stand at ``source_ns`` now."""
        self._source_ns, self._timer_ns = source_ns, timer_ns

    def reached(self, timer_ns: int) -> int:
        """Return the source's time at a time of the timer."""
        return self._source_ns + int((timer_ns - self._timer_ns) * self.speed)

    def wait_ns(self, source_ns: int, timer_ns: int) -> int:
        """Return how long it is until the source is there."""
        return max(int((source_ns - self._source_ns) / self.speed) - (timer_ns - self._timer_ns), 0)
