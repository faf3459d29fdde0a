"""The venue's rules hold on any simulated tape: an oracle book that asserts them takes every event."""

from __future__ import annotations

import numpy as np
import pytest

from tapebook.market.events import Events, Kind
from tapebook.simulator import PRESETS, Preset, simulate
from tests.simulator.small import SMALL_BTC, SMALL_ES, SMALL_NQ
from tests.simulator.small_book import SmallBook

EVERYTHING = (
    "sweep@5",
    "sweep@7:side=sell:levels=6",
    "quote_stuffing@9:duration_s=0.5:side=sell",
    "wash_trades@10",
    "iceberg@12:duration_s=60",
    "layering@30",
    "layering@40:side=bid",
    "iceberg@75:native=true:side=ask:duration_s=30",
    "liquidity_evaporation@110",
    "informed_flow@125:side=sell",
    "flash_crash@160",
    "flash_crash@210:side=1",
)


def replay(events: Events) -> SmallBook:
    book = SmallBook(strict=True)
    book.watch(events)
    return book


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_no_rule_is_broken_whatever_is_planted(preset: Preset, seed: int) -> None:
    tape = simulate(preset, seed, 260, EVERYTHING)
    book = replay(tape.events())
    assert book.traded == book.executed > 1000
    assert len(book.touch) > 10_000


@pytest.mark.uncompiled
@pytest.mark.parametrize("preset", [SMALL_ES, SMALL_NQ, SMALL_BTC], ids=["es", "nq", "btc"])
def test_no_rule_is_broken_in_a_small_market(preset: Preset) -> None:
    episodes = (
        "sweep@0.2:levels=3",
        "quote_stuffing@0.1:duration_s=0.02",
        "layering@0.3:hold_s=0.05:duration_s=0.5",
        "wash_trades@0.1:duration_s=1",
        "iceberg@0.5:duration_s=0.6:lots=20:peak_lots=3",
        "iceberg@1.2:duration_s=0.6:lots=20:peak_lots=3:native=true:side=sell",
        "liquidity_evaporation@2:fade_s=0.1:hold_s=0.2:recover_s=0.1",
        "informed_flow@2.4:lead_s=0.2",
        "flash_crash@2.7:fall_s=0.1:hold_s=0.05:recover_s=0.1:ticks=5",
    )
    tape = simulate(preset, 1, 6, episodes)
    book = replay(tape.events())
    assert book.traded == book.executed > 10
    found = set(tape.truth()["kind"].to_pylist())
    assert found >= {"sweep", "quote_stuffing", "iceberg", "liquidity_evaporation", "informed_flow", "flash_crash"}


def test_trades_executions_and_the_quantity_that_leaves_agree() -> None:
    plain = replay(simulate("es", 8, 300).events())
    assert plain.traded == plain.executed == plain.removed
    # A native refill is told by INFO: the quantity comes from the iceberg's reserve, not from the book.
    tape = simulate("es", 8, 300, ["iceberg@60:native=true"])
    native = replay(tape.events())
    refills = sum(1 for e in tape.blocks() for k in e["kind"][e["flags"] & 8 != 0] if k == Kind.EXECUTE)
    assert native.traded == native.executed == native.removed + refills
    assert refills > 10


def broken(events: Events, kind: Kind, field: str, change: int) -> Events:
    """Return the tape with one field of one event of ``kind`` changed."""
    wrong = events.copy()
    at = np.flatnonzero((wrong["kind"] == kind) & (wrong["flags"] & 2 == 0))
    if kind == Kind.ADD:  # one that is heard of again
        at = at[np.isin(wrong["order_id"][at], wrong["order_id"][wrong["kind"] == Kind.CANCEL])]
    i = at[at.size // 2]
    wrong[field][i] = int(wrong[field][i]) + change
    return wrong


@pytest.mark.parametrize(
    ("kind", "field", "change"),
    [
        (Kind.TRADE, "qty_lots", 1),
        (Kind.EXECUTE, "qty_lots", 1000),
        (Kind.EXECUTE, "order_id", 7),
        (Kind.CANCEL, "order_id", -5_000_000),
        (Kind.CANCEL, "price", 250_000_000),
        (Kind.CANCEL, "qty_lots", 1000),
        (Kind.ADD, "qty_lots", -100_000),
        (Kind.ADD, "order_id", -20_000),
    ],
)
def test_the_oracle_sees_a_single_wrong_field(kind: Kind, field: str, change: int) -> None:
    events = simulate("es", 9, 60).events()
    replay(events)
    with pytest.raises((AssertionError, KeyError)):
        replay(broken(events, kind, field, change))
