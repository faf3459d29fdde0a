"""The laws of operators, as functions that any operator can be put through.

Each raises :class:`AssertionError` with the first difference. ``tests/contracts`` runs them over everything that is
registered; a user's own operator can be checked the same way:

    check_chunks(lambda: MyOperator(...), events, cuts=[10, 11, 500])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from tapebook.market.events import Events, clock_ns
from tapebook.market.operators import Operator, Rows, concat_rows


def same_rows(a: Rows, b: Rows, what: str) -> None:
    """Assert that two sets of rows agree to the last bit (NaNs by their bits too)."""
    assert list(a) == list(b), f"{what}: columns {list(a)} and {list(b)}"
    for name, left in a.items():
        right = b[name]
        assert left.dtype == right.dtype, f"{what}: {name} is {left.dtype} and {right.dtype}"
        assert left.shape == right.shape, f"{what}: {name} has {left.shape} and {right.shape}"
        bits_left = np.ascontiguousarray(left).view(np.uint8).reshape(left.shape[0], -1) if left.size else left
        bits_right = np.ascontiguousarray(right).view(np.uint8).reshape(right.shape[0], -1) if right.size else right
        if left.size and not np.array_equal(bits_left, bits_right):
            row = int(np.flatnonzero((bits_left != bits_right).any(axis=1))[0])
            raise AssertionError(f"{what}: {name} differs first in row {row}: {left[row]!r} and {right[row]!r}")


def pieces(events: Events, cuts: Sequence[int]) -> list[Events]:
    """Cut ``events`` at the given places (sorted or not, repeated cuts give empty blocks)."""
    edges = [0, *sorted(min(max(c, 0), events.size) for c in cuts), events.size]
    return [events[a:b] for a, b in pairwise(edges)]


def check_chunks(make: Callable[[], Operator], events: Events, cuts: Sequence[int]) -> None:
    """Chunk law: any cut of the tape gives the same rows, bit for bit."""
    whole = make().advance(events)
    operator = make()
    parts = [operator.advance(block) for block in pieces(events, cuts)]
    same_rows(whole, concat_rows(parts), f"chunk law, cuts {list(cuts)[:8]}")


def check_restart(make: Callable[[], Operator], events: Events, cut: int) -> None:
    """Restart: saved at ``cut`` and restored into a new operator, the rest is the same, bit for bit."""
    first, rest = pieces(events, [cut])
    operator = make()
    operator.advance(first)
    state = operator.save()
    heir = make()
    heir.restore({name: array.copy() for name, array in state.items()})
    expected = operator.advance(rest)
    for name, array in state.items():  # the saved state is a copy: going on must not have changed it
        assert not np.shares_memory(array, operator.save()[name]), f"restart: save() handed out live memory of {name}"
    same_rows(expected, heir.advance(rest), f"restart at {cut}")


def check_causality(make: Callable[[], Operator], events: Events, cut: int, changed: Events) -> None:
    """Causality: putting ``changed`` in place of all events from ``cut`` on alters no row made before.

    Rows are matched by count, not by time: the rows that exist after the first ``cut`` events must be a prefix of the
    rows of either future. Also no row may be stamped later than the last event seen.
    """
    operator = make()
    before = operator.advance(events[:cut])
    if cut and before["ts_ns"].size:
        latest = int(clock_ns(events[:cut]).max())
        assert int(before["ts_ns"].max()) <= latest, f"causality: a row is stamped after the last event, {latest}"
    for future in (events[cut:], changed):
        rows = make().advance(np.concatenate([events[:cut], future]))
        n = before["ts_ns"].size
        same_rows(before, {name: column[:n] for name, column in rows.items()}, f"causality at {cut}")


def check_untouched(make: Callable[[], Operator], events: Events) -> None:
    """Leave the input untouched, and take a read-only block."""
    frozen = events.copy()
    frozen.setflags(write=False)
    make().advance(frozen)
    assert frozen.tobytes() == events.tobytes(), "an operator changed its input"


def check_all(
    make: Callable[[], Operator], events: Events, *, changed: Events | None = None, cuts: int = 8, seed: int = 1
) -> None:
    """Put an operator through every law on one tape: what the author of a new one calls in a test.

    Parameters
    ----------
    make
        Makes the operator anew each time.
    events
        The tape; some hundred events are enough, with trades, quotes and messages of several records among them.
    changed
        A future that might have come instead; by default these events backwards.
    cuts, seed
        How many random places to cut at, and from which seed.

    Raises
    ------
    AssertionError
        With the law that is broken and the first difference.
    """
    places = np.random.default_rng(seed).integers(0, events.size + 1, cuts).tolist()
    other = events[::-1][:200] if changed is None else changed
    check_untouched(make, events)
    check_chunks(make, events, places)
    check_chunks(make, events[:50], list(range(50)))  # event by event, as live
    for cut in places[:3]:
        check_restart(make, events, cut)
        check_causality(make, events, cut, other)
