"""The benchmark of books says what it measured, with and without recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tapebook.bench import benchmarks, book


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_EVENTS", 3_000), ("_PEER_EVENTS", 500), ("_PEER_ASKED_EVENTS", 100), ("_LIVE_RUNS", 50)):
        monkeypatch.setattr(book, name, value)
    monkeypatch.setattr(book, "_SIMULATED", {"a simulated ES": "sim:es?duration_s=5&seed=1"})


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_figures_are_complete_without_recordings() -> None:
    assert benchmarks()["book"] is book.run
    figures = book.run(None)
    assert {f["name"] for f in figures} == {"book_l2", "book_touch", "book_l3", "book_rows", "book_live"}
    for f in figures:
        assert set(f) == {"name", "what", "ours", "unit", "n_events", "peer", "peer_name", "ratio"}
        assert f["ours"] > 0
        assert f["n_events"] > 0
        assert (f["peer"] is None) == (f["ratio"] is None) == (f["peer_name"] is None)


@pytest.mark.recording
@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_figures_name_the_recordings(recording: Callable[[str], Path]) -> None:
    folder = recording("README.md").parent
    said = " ".join(f["what"] for f in book.run(folder))
    for name in (*book._BY_LEVEL, *book._BY_ORDER):
        assert name in said
