"""Which trades and tickers are missing, told twice, or numbered anew, by the venue's own ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["REACH", "SeenIds"]

REACH: Final = 10**6
"""Ids this far behind the highest are no repeats: the venue numbers anew, as its test networks do each month."""


class SeenIds:
    """Remembers the highest id of each stream, by any number that stands for one.

    Parameters
    ----------
    note
        Counts what was noticed.
    once
        Say which ids were seen before: two connections that stand beside each other tell everything twice.

    Examples
    --------
    >>> seen = SeenIds(lambda what, n: print(n, what) if n else None, once=True)
    >>> trades = np.ones(4, np.bool_)
    >>> gap, repeated = seen.advance(np.zeros(4, np.int64), np.array([5, 6, 6, 9]), trades, ~trades)
    2 trades missing by their ids
    1 trade ids that repeat or run backwards
    >>> gap.tolist(), repeated.tolist()
    ([False, False, False, True], [False, False, True, False])
    """

    def __init__(self, note: Callable[[str, int], None], *, once: bool) -> None:
        self._note, self._once = note, once
        self._highest: dict[int, int] = {}

    def save(self) -> NDArray[np.int64]:
        """Return a copy of the memory."""
        return np.array(list(self._highest.items()), np.int64).reshape(-1, 2)

    def restore(self, state: NDArray[np.int64]) -> None:
        """Take up a memory that :meth:`save` returned."""
        self._highest = dict(state.tolist())

    def advance(
        self, stream: NDArray[np.int64], number: NDArray[np.int64], trade: NDArray[np.bool_], ticker: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Take in messages; return which are trades with others missing before them, and which were told before."""
        gap, repeated = np.zeros(stream.size, np.bool_), np.zeros(stream.size, np.bool_)
        numbered = np.flatnonzero((trade | ticker) if self._once else trade)
        keys = stream[numbered]
        for key in np.unique(keys).tolist():
            mine = numbered[keys == key]
            seen = number[mine]
            before = self._highest.get(key, int(seen[0]) - 1)
            highest = np.maximum.accumulate(np.concatenate([np.array([before]), seen]))
            step = seen - highest[:-1]
            is_trade = bool(trade[mine[0]])
            if self._once and (step < -REACH).any():
                highest, step, anew = _restarted(before, seen)
                gap[mine[anew]] = is_trade
                self._note("ids that begin anew", int(anew.sum()))
            self._highest[key] = int(highest[-1])
            if self._once:
                repeated[mine[step < 1]] = True
            if not is_trade:
                self._note("tickers told twice", int((step < 1).sum()))
                continue
            gap[mine[step > 1]] = True
            self._note("trades missing by their ids", int((step[step > 1] - 1).sum()))
            self._note("trade ids that repeat or run backwards", int((step < 1).sum()))
        return gap, repeated


def _restarted(before: int, seen: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the highest ids, from before the first on, the steps to each, and which begin anew (with a step of 1)."""
    highest, steps, anew = [before], [], []
    for number in seen.tolist():
        step = number - highest[-1]
        anew.append(step < -REACH)
        steps.append(1 if anew[-1] else step)
        highest.append(number if anew[-1] else max(number, highest[-1]))
    return np.array(highest, np.int64), np.array(steps, np.int64), np.array(anew, np.bool_)
