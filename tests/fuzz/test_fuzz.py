"""A short run of the fuzzing, and the inputs that once broke something. The long run: ``scripts/fuzz``."""

from __future__ import annotations

import random
import sys

import numpy as np
import pytest

from tapebook.market.instruments import InstrumentTable
from tapebook.venues.mt5 import wire
from tapebook.venues.mt5.parse import Parser
from tests.fuzz.engine import Coverage, Mutator, fuzz, joined, split
from tests.fuzz.targets import TARGETS, Tally

EACH = [pytest.param(name, id=name) for name in TARGETS]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the watchdog is an alarm")
@pytest.mark.parametrize("name", EACH)
def test_no_frame_breaks_anything(name: str) -> None:
    found = fuzz(TARGETS[name], frames=12_000, seconds=9.0, seed=4)
    assert found.crashes == []
    assert found.frames > 1_000
    assert found.corpus > len(TARGETS[name].corpus())  # what reached new lines was kept
    assert found.tally.rejected > found.frames // 5
    assert found.tally.events > 50


@pytest.mark.parametrize("name", EACH)
def test_the_corpus_itself_keeps_every_promise(name: str) -> None:
    tally = Tally()
    for frames in TARGETS[name].corpus():
        TARGETS[name].check(frames, tally)
    assert tally.events > 10


def test_sequences_survive_being_files_and_mutations_are_drawn_from_the_seed() -> None:
    pool = TARGETS["projectx"].corpus()
    assert [split(joined(frames)) for frames in pool] == pool
    first, again = (Mutator(random.Random(3))(pool[0], pool) for _ in range(2))
    assert first == again
    assert first != pool[0]


def test_coverage_tells_what_is_new() -> None:
    cover, target = Coverage(TARGETS["projectx"].files), TARGETS["projectx"]
    quote, book = target.corpus()[0], target.corpus()[11]
    assert cover.run(lambda: target.check(quote, Tally()))
    assert not cover.run(lambda: target.check(quote, Tally()))
    assert cover.run(lambda: target.check(book, Tally()))


def test_a_terminal_with_one_book_of_two_can_be_saved() -> None:
    """Found by fuzzing: memories of symbols with and without a book had to be of one shape."""
    book = wire.write_frame(wire.Book("WDOU26", ((wire.SELL, 5400.5, 4.0), (wire.BUY, 5400.0, 3.0))))
    parser, heir = (Parser(["WINQ26", "WDOU26"], InstrumentTable()) for _ in range(2))
    parser.advance(book, 1_786_000_000_000_000_000)
    state = parser.save()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    heir.restore(state)
    assert heir.advance(book, 1_786_000_001_000_000_000).size == 0  # it is known
