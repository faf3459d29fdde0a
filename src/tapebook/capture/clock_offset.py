"""How far a venue's clock is from ours, by what its web server says; and how far that may be off.

A web server writes whole seconds into ``Date``; Binance answers with ``serverTime`` in milliseconds.

A date of D seconds, asked at a and answered at b by our clock, says that the clock of the venue showed D to D + 1 s
at some moment in between. So its offset (theirs minus ours) lies between D - b and D + 1 s - a. Each answer cuts
that stretch: asked at different parts of a second they leave little more than the way there and back.
"""

from __future__ import annotations

import contextlib
from collections import deque
from email.utils import parsedate_to_datetime
from typing import Annotated, Final

import httpx
import msgspec

from tapebook.market.clock import Clock

__all__ = ["ClockOffset", "ask_date"]

_S: Final = 1_000_000_000
_MS: Final = 1_000_000
_KEPT: Final = 64
_PATIENCE_S: Final = 5.0


class ClockOffset:
    """The stretch in which the offset lies.

    Examples
    --------
    >>> offset, s = ClockOffset(), 10**9
    >>> offset.add(100 * s, 100 * s + 10, 100 * s)  # asked and answered within 10 ns, the date says 100 s
    >>> offset.bounds_ns
    (-10, 1000000000)
    >>> offset.add(102 * s - 20, 102 * s - 10, 102 * s)  # 20 ns before 102 s by our clock, theirs shows 102 s already
    >>> offset.bounds_ns
    (10, 1000000000)
    """

    def __init__(self) -> None:
        self._stretches: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self.bounds_ns = (-(10**18), 10**18)
        self.samples = 0

    def add(self, asked_ns: int, answered_ns: int, date_ns: int, step_ns: int = _S) -> None:
        """Take in an answer, in steps of a second or finer.

        One that does not fit the ones before says that a clock was set: they are forgotten.
        """
        new = date_ns - answered_ns, date_ns + step_ns - asked_ns
        self._stretches.append(new)
        low = max(stretch[0] for stretch in self._stretches)
        high = min(stretch[1] for stretch in self._stretches)
        if low > high:
            self._stretches.clear()
            self._stretches.append(new)
            low, high = new
        self.bounds_ns = low, high
        self.samples = len(self._stretches)


class _Told(msgspec.Struct):
    serverTime: Annotated[int, msgspec.Meta(gt=0, lt=1 << 43)]  # noqa: N815 - Binance's name


async def ask_date(address: str, clock: Clock) -> tuple[int, int, int, int] | None:
    """Return when it was asked, when it was answered, the time told and its step in ns; None where none was told."""
    try:
        async with httpx.AsyncClient(timeout=_PATIENCE_S) as client:
            await client.get(address)  # the connection is made; only the way of the next one counts
            asked = clock.now_ns()
            answer = await client.get(address)
            answered = clock.now_ns()
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            told = msgspec.json.decode(answer.content, type=_Told)
            return asked, answered, told.serverTime * _MS, _MS
        date = parsedate_to_datetime(answer.headers["Date"])
    except (httpx.HTTPError, httpx.InvalidURL, OSError, KeyError, ValueError, TypeError):
        return None
    return asked, answered, int(date.timestamp()) * _S, _S
