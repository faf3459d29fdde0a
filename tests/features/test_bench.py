"""The benchmarks of features say what they measured, with and without peers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tapebook.bench import (
    _figures,
    bars,
    benchmarks,
    catalogue,
    classification,
    fracdiff,
    hawkes,
    ofi,
    technical,
    vpin,
)

PARTS = {"name", "what", "ours", "unit", "n_events", "peer", "peer_name", "ratio"}
SMALL: dict[ModuleType, dict[str, Any]] = {
    bars: {"_TRADES": 3_000},
    catalogue: {"_SIMULATED": {"a simulated ES": "sim:es?duration_s=5&seed=1"}, "_LIVE_EVENTS": 50},
    classification: {"_PRINTS": 3_000},
    fracdiff: {"_VALUES": 9_000},
    hawkes: {"_EVENTS": 2_000},
    ofi: {"_EVENTS": 3_000},
    technical: {"_PRICES": 3_000},
    vpin: {"_PRINTS": 9_000, "_BUCKETS": 100},
}
PEERS = {
    "bars": {"P": {"footprint": 1.0, "tick": 1.0}},
    "fracdiff": {"P": {"K282": 1.0}, "Q": {"K1458": 2.0}},
    "hawkes": {"P": {"fit": 1.0}, "tick": {"likelihood_gradient": 1.0}},
    "technical": {"P": {"rsi": 1.0, "macd": 1.0, "bollinger": 1.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("module", SMALL, ids=lambda m: m.__name__.rpartition(".")[2])
def test_figures_are_complete(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert benchmarks()[module.__name__.rpartition(".")[2]] is module.run
    for name, value in SMALL[module].items():
        monkeypatch.setattr(module, name, value)
    asked = hasattr(module, "ask")
    if asked:  # the peers themselves take long to load
        monkeypatch.setattr(module, "ask", lambda job, **_: PEERS[job])
    figures = module.run(None)
    assert figures
    assert not asked or any(f["peer_name"] for f in figures)
    for f in figures:
        assert set(f) == PARTS
        assert f["ours"] > 0
        assert f["n_events"] > 0
        assert (f["peer"] is None) == (f["ratio"] is None) == (f["peer_name"] is None)


def test_a_ratio_above_one_is_ahead_whatever_the_unit() -> None:
    faster = _figures.figure("a", what="a", ours=30.0, unit="events/s", n=1, peer=10.0, peer_name="p")
    sooner = _figures.figure("a", what="a", ours=10.0, unit="s", n=1, peer=30.0, peer_name="p")
    assert faster["ratio"] == sooner["ratio"] == 3.0
    alone = _figures.figures_beside("a", what="a", ours=1.0, unit="s", n=1, peers=[])
    assert [f["peer_name"] for f in alone] == [None]
    beside = _figures.figures_beside("a", what="a", ours=1.0, unit="s", n=1, peers=[("P", 2.0), ("Q x", 3.0)])
    assert [f["name"] for f in beside] == ["a_p", "a_q"]


@pytest.mark.slow
def test_peers_measure_themselves_in_a_process_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAPEBOOK_PEERS_PYTHON", raising=False)
    found = _figures.ask("technical", x=np.cumsum(np.random.default_rng(1).standard_normal(500)) + 100.0)
    assert "polars" in found  # the program's own
    assert set(found["polars"]) == {"rsi", "macd", "bollinger"}  # the five columns of ours
    assert all(seconds > 0 for told in found.values() for seconds in told.values())


def test_peers_that_cannot_be_asked_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    nobody = str(tmp_path / "no-python")
    monkeypatch.setattr(sys, "executable", nobody)
    monkeypatch.delenv("TAPEBOOK_PEERS_PYTHON", raising=False)
    assert _figures.ask("hawkes", times=np.arange(3.0)) == {}
    assert nobody in capfd.readouterr().err
