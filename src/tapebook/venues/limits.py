"""Rate limits kept on our side: a request that the venue would refuse is not sent, it waits.

The clock is an argument, so the same calls at the same times get the same answers.
"""

from __future__ import annotations

from collections import deque

from tapebook.market.errors import ConfigurationError

__all__ = ["Window", "Windows"]


class Window:
    """At most ``n`` requests in any ``span_s`` seconds. Venues seldom say whether their window slides: this one does.

    Parameters
    ----------
    n, span_s
        The venue's limit.
    share
        The part of it that is used: two clients, or a clock that differs, must not reach the venue's own limit.

    Examples
    --------
    >>> window = Window(2, 30, share=1)
    >>> [window.take(s * 10**9) / 1e9 for s in (0, 10, 20, 30)]
    [0.0, 0.0, 10.0, 0.0]
    """

    def __init__(self, n: int, span_s: float, *, share: float = 0.85) -> None:
        if n < 1 or span_s <= 0 or not 0 < share <= 1:
            raise ConfigurationError("not a rate limit", expected="n >= 1, span_s > 0, 0 < share <= 1")
        self.n = max(int(n * share), 1)
        self.span_ns = round(span_s * 1e9)
        self._taken: deque[int] = deque()
        self._closed_until_ns = -(1 << 62)

    def wait_ns(self, now_ns: int) -> int:
        """Return how long the next request has to wait."""
        while self._taken and self._taken[0] <= now_ns - self.span_ns:
            self._taken.popleft()
        full = self._taken[0] + self.span_ns - now_ns if len(self._taken) >= self.n else 0
        return max(full, self._closed_until_ns - now_ns, 0)

    def take(self, now_ns: int) -> int:
        """Take a place and return 0; or take none and return how many ns to wait before asking again."""
        wait = self.wait_ns(now_ns)
        if wait == 0:
            self._taken.append(now_ns)
        return wait

    def close(self, until_ns: int) -> None:
        """Let nothing pass until then: the venue said that it was too much."""
        self._closed_until_ns = max(self._closed_until_ns, until_ns)

    def __and__(self, other: Window) -> Windows:
        return Windows(self, other)


class Windows:
    """Several limits that hold at once.

    >>> both = Window(1, 1, share=1) & Window(2, 60, share=1)
    >>> [both.take(s * 10**9) / 1e9 for s in (0, 0, 1, 2)]
    [0.0, 1.0, 0.0, 58.0]
    """

    def __init__(self, *windows: Window) -> None:
        self.windows = windows

    def __and__(self, other: Window) -> Windows:
        return Windows(*self.windows, other)

    def take(self, now_ns: int) -> int:
        """Take a place in each and return 0; or none, and return how many ns to wait."""
        wait = max(window.wait_ns(now_ns) for window in self.windows)
        if wait == 0:
            for window in self.windows:
                window.take(now_ns)
        return wait

    def close(self, until_ns: int) -> None:
        """Let nothing pass until then."""
        for window in self.windows:
            window.close(until_ns)
