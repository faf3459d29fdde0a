"""What is watched live is found once, wherever the batches end."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.capture.checks import Checks
from tapebook.market.events import Events, Flag, Kind, empty_events

S = 10**9


def levels(bad: list[bool], step_ns: int = 100_000_000) -> Events:
    events = empty_events(len(bad))
    events["kind"], events["channel"], events["instrument_id"] = Kind.LEVEL, 1, 1
    events["ts_recv_ns"] = np.arange(len(bad)) * step_ns + S
    events["ts_event_ns"] = events["ts_recv_ns"]
    events["flags"] = np.where(bad, Flag.MAYBE_BAD | Flag.LAST, Flag.LAST)
    return events


@pytest.mark.parametrize("cut", [0, 1, 5, 10, 11, 12, 25])
def test_a_book_that_stays_crossed_is_told_once(cut: int) -> None:
    events = levels([False] * 2 + [True] * 20 + [False] * 3 + [True] * 5 + [False] + [True] * 11)
    checks = Checks()
    found = [(f.at, f.finding) for f in checks.advance(events[:cut])]
    found += [(f.at + cut, f.finding) for f in checks.advance(events[cut:])]
    assert found == [(12, "the book stays crossed or one-sided"), (41, "the book stays crossed or one-sided")]


def test_a_quote_that_stays_crossed_is_told() -> None:
    events = empty_events(60)
    events["kind"], events["channel"], events["instrument_id"] = Kind.QUOTE, 2, 1
    events["side"] = [1, -1] * 30
    events["price"] = [11, 10] * 30
    events["flags"] = [0, Flag.LAST] * 30
    events["ts_recv_ns"] = np.repeat(np.arange(30), 2) * S // 10
    assert [f.at for f in Checks().advance(events)] == [21]
    events["price"] = [10, 10] * 30  # locked is not crossed
    assert Checks().advance(events) == []


def test_stamps_that_go_back_are_told_once_a_minute() -> None:
    events = levels([False] * 1000)
    events["ts_event_ns"][500:] -= 5 * S
    checks = Checks()
    found = checks.advance(events[:600]) + checks.advance(events[600:])
    assert [f.finding for f in found] == ["the venue's time goes back"]
    assert found[0].at == 500


def test_its_memory_can_be_kept() -> None:
    events = levels([True] * 30)
    checks, other = Checks(), Checks()
    checks.advance(events[:8])
    other.restore(checks.save())
    assert other.advance(events[8:]) == checks.advance(events[8:])
