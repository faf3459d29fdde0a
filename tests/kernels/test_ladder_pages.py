"""Pages of levels: masks, the memo and the directory."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tapebook.book import BookStatistics, Ladder
from tapebook.kernels import book_state, lean_kernel
from tapebook.kernels.bits import highest_bit
from tapebook.market.events import Events, Flag, Kind, Side, empty_events

pytestmark = pytest.mark.uncompiled

PAGE_TICKS = 64


def highest_bits(
    masks: np.ndarray[tuple[int], np.dtype[np.int64]], out: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    for i in range(masks.size):
        out[i] = highest_bit(masks[i])


def test_the_highest_bit_is_found_compiled_and_not() -> None:
    rng = np.random.default_rng(1)
    masks = rng.integers(-(2**63), 2**63 - 1, 500)
    masks = np.concatenate([masks >> rng.integers(0, 60, 500), np.int64(1) << np.arange(64)])
    masks = masks[masks != 0]
    out = np.empty(masks.size, np.int64)
    lean_kernel(highest_bits)(masks, out)
    assert out.tolist() == [(m & (2**64 - 1)).bit_length() - 1 for m in masks.tolist()]
    assert out.tolist() == [highest_bit(m) for m in masks.tolist()]


def test_counters_statistics_and_their_places_are_one_list() -> None:
    places = {name: getattr(book_state, f"N_{name.upper()}") for name in book_state.COUNTS}
    assert list(places.values()) == list(range(book_state.FIRST_COUNT, book_state.FIRST_COUNT + len(places)))
    assert max(places.values()) < book_state.HEAD_SIZE
    fields = [f.name for f in dataclasses.fields(BookStatistics)]
    assert fields == [*book_state.COUNTS, "n_bid_levels", "n_ask_levels", "n_orders"]


def levels_at(ticks: np.ndarray[tuple[int], np.dtype[np.int64]], qty: int = 5) -> Events:
    e = empty_events(ticks.size)
    e["kind"], e["side"], e["flags"], e["price"], e["qty_lots"] = Kind.LEVEL, Side.BID, Flag.LAST, ticks, qty
    return e


@pytest.mark.parametrize("stride", [1, 63, 64, 65, PAGE_TICKS * 4096, PAGE_TICKS * 4096 * 4096])
def test_pages_that_share_a_place_of_the_memo_are_told_apart(stride: int) -> None:
    ticks = (np.arange(300) - 150) * stride
    rng = np.random.default_rng(2)
    ladder = Ladder(tick_e9=1)
    ladder.advance(levels_at(rng.permutation(ticks)))
    ladder.check()
    assert [level.price for level in ladder.levels(Side.BID)] == ticks[::-1].tolist()
    gone = rng.permutation(ticks)[:200]
    ladder.advance(levels_at(gone, 0))
    ladder.check()
    left = sorted(set(ticks.tolist()) - set(gone.tolist()), reverse=True)
    assert [level.price for level in ladder.levels(Side.BID)] == left
    ladder.advance(levels_at(gone, 7))
    ladder.check()
    assert len(ladder.levels(Side.BID)) == ticks.size


@pytest.mark.parametrize("seed", range(5))
def test_best_falls_from_page_to_page(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ticks = np.unique(rng.integers(-5_000, 5_000, 80))
    ladder = Ladder(tick_e9=1)
    ladder.advance(levels_at(rng.permutation(ticks)))
    for i in range(ticks.size - 1, 0, -1):
        best = ladder.best_bid
        assert best is not None
        assert best.price == ticks[i]
        ladder.advance(levels_at(ticks[i : i + 1], 0))
        ladder.check()
