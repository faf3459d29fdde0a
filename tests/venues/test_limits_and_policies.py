"""Rate limits and rules for trying again: pure, so that every second can be tried."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.market.errors import ConfigurationError
from tapebook.venues.limits import Window
from tapebook.venues.policies import (
    NEVER,
    Failures,
    after_failures,
    after_s,
    at_least,
    at_most,
    delays,
    doubling,
    jittered,
)

S = 10**9


@given(st.integers(1, 8), st.integers(1, 20), st.lists(st.integers(0, 8 * S), max_size=80))
def test_no_span_of_time_ever_holds_more_than_the_limit(n: int, span_s: int, pauses: list[int]) -> None:
    window = Window(n, span_s, share=1)
    now, passed = 0, []
    for pause in pauses:
        now += pause
        while wait := window.take(now):
            assert wait > 0
            now += wait  # to wait as long as was said is enough
        passed.append(now)
    for t in passed:
        assert sum(t <= other < t + span_s * S for other in passed) <= n


def test_only_a_share_of_the_limit_is_used_and_never_nothing() -> None:
    assert Window(200, 60).n == 170
    assert Window(50, 30).n == 42
    assert Window(1, 1).n == 1
    for bad in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.0), (1, 1, 1.1)):
        with pytest.raises(ConfigurationError):
            Window(bad[0], bad[1], share=bad[2])


def test_a_closed_window_lets_nothing_pass_until_then() -> None:
    window = Window(5, 1, share=1)
    window.close(10 * S)
    window.close(3 * S)  # an earlier end does not open it
    assert window.take(4 * S) == 6 * S
    assert window.take(10 * S) == 0


def test_windows_hold_together_and_take_in_all_or_in_none() -> None:
    both = Window(1, 1, share=1) & Window(2, 60, share=1) & Window(9, 1, share=1)
    assert [both.take(t * S) for t in (0, 0, 1, 2)] == [0, S, 0, 58 * S]
    both.close(100 * S)
    assert both.take(70 * S) == 30 * S


@given(st.integers(1, 10_000), st.floats(0, 1e6), st.integers())
def test_rules_are_put_together_as_written(n: int, for_s: float, seed: int) -> None:
    failures = Failures(n, for_s)
    a, b = delays(0, 2, then=30), doubling(1, 100)
    x, y = (rule(failures, random.Random(seed)) for rule in (a, b))
    assert (a | b)(failures, random.Random(seed)) == min(x, y)
    assert (a & b)(failures, random.Random(seed)) == max(x, y)
    assert (a + b)(failures, random.Random(seed)) == x + y
    assert 1 <= (b & at_least(1) | at_most(50))(failures, random.Random(seed)) <= 50
    assert 0.5 * y <= jittered(b)(failures, random.Random(seed)) <= y
    assert jittered(b)(failures, random.Random(seed)) == jittered(b)(failures, random.Random(seed))
    p, q = after_failures(5), after_s(60)
    assert (p | q)(failures) == (n >= 5 or for_s >= 60)
    assert (p & q)(failures) == (n >= 5 and for_s >= 60)
    assert not NEVER(failures)
