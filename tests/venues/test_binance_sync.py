from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapebook.venues.binance import sync as binance_sync
from tapebook.venues.binance.sync import BookState, DepthSync, Rule, Step

pytestmark = pytest.mark.uncompiled


@dataclass(frozen=True)
class Diff:
    first: int
    last: int
    before: int | None
    levels: dict[int, int]


@dataclass(frozen=True)
class Snap:
    last: int
    book: dict[int, int]


def history(rule: Rule, seed: int, n: int) -> tuple[list[Diff], dict[int, dict[int, int]]]:
    """What a venue sends, and its whole book after every diff and (for snapshots) at the ids between them."""
    rng = np.random.default_rng(seed)
    book: dict[int, int] = {}
    at: dict[int, dict[int, int]] = {}
    diffs, last = [], 1000
    for _ in range(n):
        first = last + 1 if rule is Rule.SPOT else last + 1 + int(rng.integers(0, 4))
        end = first + int(rng.integers(0, 5))
        levels: dict[int, int] = {}
        for i in range(last + 1, end + 1):
            if i >= first:  # ids between two futures diffs belong to other instruments: nothing happens here
                price, qty = int(rng.integers(0, 6)), int(rng.integers(0, 4))
                levels[price] = qty
                book = {**book, price: qty}
            at[i] = {p: q for p, q in book.items() if q}
        diffs.append(Diff(first, end, None if rule is Rule.SPOT else last, levels))
        last = end
    return diffs, at


def apply(book: dict[int, int] | None, step: Step[Diff | Snap]) -> dict[int, int] | None:
    if step.lost:
        book = None
    if step.snapshot is not None:
        assert isinstance(step.snapshot, Snap)
        book = dict(step.snapshot.book)
    for diff in step.diffs:
        assert isinstance(diff, Diff)
        assert book is not None, "a diff was passed on without a snapshot before it"
        book = {p: q for p, q in {**book, **diff.levels}.items() if q}
    return book


@given(st.sampled_from(list(Rule)), st.integers(0, 2**32), st.floats(0, 0.3), st.floats(0, 0.3))
def test_the_book_that_is_passed_on_is_the_venues_whatever_is_lost_repeated_or_swapped(
    rule: Rule, seed: int, loss: float, swaps: float
) -> None:
    diffs, at = history(rule, seed, 60)
    rng = np.random.default_rng(seed)
    sent: list[Diff | Snap] = []
    for diff in diffs:
        roll = rng.random()
        if roll >= loss:
            sent += [diff, diff] if roll > 0.97 else [diff]
        if rng.random() < 0.15:  # an answer to a request; it may be late or early
            moment = int(np.clip(diff.last + rng.integers(-8, 9), 1001, diffs[-1].last))
            sent.append(Snap(moment, at[moment]))
    for i in range(len(sent) - 1):
        if rng.random() < swaps / 4:
            sent[i], sent[i + 1] = sent[i + 1], sent[i]
    sync: DepthSync[Diff | Snap] = DepthSync(rule)
    book: dict[int, int] | None = None
    last_applied = 0
    for message in sent:
        if isinstance(message, Diff):
            step = sync.diff(message.first, message.last, message.before, message)
        else:
            step = sync.snapshot(message.last, message)
        book = apply(book, step)
        assert (book is not None) == (sync.state is BookState.LIVE)
        if isinstance(step.snapshot, Snap):
            last_applied = step.snapshot.last
        last_applied = max([last_applied, *(d.last for d in step.diffs)])
        if book is not None:
            assert book == at[last_applied]


@given(st.sampled_from(list(Rule)), st.integers(0, 2**32), st.integers(0, 20))
def test_without_loss_the_first_snapshot_of_the_buffered_time_makes_it_live_for_good(
    rule: Rule, seed: int, when: int
) -> None:
    diffs, at = history(rule, seed, 40)
    sync: DepthSync[Diff | Snap] = DepthSync(rule)
    for diff in diffs[:when]:
        assert sync.diff(diff.first, diff.last, diff.before, diff) == Step()
    moment = diffs[when].last
    sync.snapshot(moment, Snap(moment, at[moment]))
    for diff in diffs[when:]:
        sync.diff(diff.first, diff.last, diff.before, diff)
        if diff.last > moment:
            assert sync.state is BookState.LIVE


@pytest.mark.parametrize(
    ("rule", "first", "last", "before", "snapshot", "live"),
    [
        (Rule.SPOT, 10, 12, None, 8, False),  # U > L + 1: fetch again
        (Rule.SPOT, 10, 12, None, 9, True),  # U == L + 1
        (Rule.SPOT, 10, 12, None, 11, True),
        (Rule.SPOT, 10, 12, None, 12, False),  # contained: wait for the next one
        (Rule.FUTURES, 10, 12, 7, 6, False),
        (Rule.FUTURES, 10, 12, 7, 7, True),  # between the diffs: pu <= L < U
        (Rule.FUTURES, 10, 12, 7, 10, True),
        (Rule.FUTURES, 10, 12, 7, 12, True),  # u == L is not dropped (u < L is)
        (Rule.FUTURES, 10, 12, 7, 13, False),
    ],
)
def test_the_first_diff_has_to_bridge_the_snapshot(
    rule: Rule, first: int, last: int, before: int | None, snapshot: int, live: bool
) -> None:
    buffered: DepthSync[str] = DepthSync(rule)
    buffered.diff(first, last, before, "diff")
    step = buffered.snapshot(snapshot, "book")
    assert (buffered.state is BookState.LIVE, step) == (live, Step(False, "book", ("diff",)) if live else Step())
    waiting: DepthSync[str] = DepthSync(rule)
    waiting.snapshot(snapshot, "book")
    step = waiting.diff(first, last, before, "diff")
    assert (waiting.state is BookState.LIVE, step) == (live, Step(False, "book", ("diff",)) if live else Step())


def test_every_transition_is_counted_with_its_reason() -> None:
    sync: DepthSync[str] = DepthSync(Rule.SPOT)
    sync.snapshot(5, "too early")
    sync.diff(8, 9, None, "gap")
    sync.snapshot(6, "still too early")
    sync.snapshot(8, "good")
    sync.diff(11, 12, None, "gap")
    assert sync.expected == "U 10"
    sync.snapshot(11, "good")
    sync.snapshot(11, "not needed")
    assert sync.lose("connection closed").lost
    assert dict(sync.transitions) == {
        "empty -> syncing: snapshot": 1,
        "syncing -> buffering: gap behind the snapshot": 1,
        "buffering -> live: snapshot bridged": 1,
        "live -> stale: gap": 1,
        "stale -> live: snapshot bridged": 1,
        "live -> stale: connection closed": 1,
    }
    assert dict(sync.ignored) == {"snapshot older than the diffs": 1, "snapshot while the book is live": 1}


def test_not_more_than_so_many_diffs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binance_sync, "BUFFERED_MAX", 10)
    sync: DepthSync[int] = DepthSync(Rule.SPOT)
    for i in range(15):
        sync.diff(i, i, None, i)
    assert sync.waiting == 10
    assert sync.snapshot(3, 0) == Step()  # it would need diff 4, which is gone
    assert sync.snapshot(6, 0).diffs == tuple(range(7, 15))


@pytest.mark.parametrize("rule", list(Rule))
def test_a_diff_that_comes_twice_is_passed_over(rule: Rule) -> None:
    sync: DepthSync[str] = DepthSync(rule)
    sync.diff(5, 6, 4, "a")
    sync.snapshot(5, "book")
    assert sync.diff(5, 6, 4, "a") == Step()
    assert sync.diff(7, 8, 6, "b") == Step(diffs=("b",))
    assert dict(sync.ignored) == {"diff that repeats what is known": 1}
