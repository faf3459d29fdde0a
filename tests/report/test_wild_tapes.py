"""Whatever events arrive, a report is made of them: random tapes of every kind, and sound ones with flipped bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tapebook.market.events import EVENT, Events
from tapebook.market.instruments import Instrument
from tapebook.report.analyze import analyze
from tests.features.histories import UNIT, random_history
from tests.report.test_analyze import check, tape_of
from tests.tapes import TICK, random_anything, random_levels, random_orders

ES = Instrument(symbol="ESH4", venue="CME", tick_e9=TICK, root="ES", calendar="CME", kind="future")
FIELDS = ("ts_event_ns", "ts_recv_ns", "price", "qty_lots", "kind", "side", "flags", "detail")


def flipped(events: Events, seed: int, n: int) -> Events:
    """Flip ``n`` bits of fields that a report looks at (the instrument stays: it would only be another tape)."""
    rng = np.random.default_rng(seed)
    raw = events.copy()
    as_bytes = raw.view(np.uint8).reshape(raw.size, EVENT.itemsize)
    for _ in range(n):
        name = FIELDS[int(rng.integers(0, len(FIELDS)))]
        dtype, offset = EVENT.fields[name][:2]  # type: ignore[index]  # EVENT has fields
        place = offset + int(rng.integers(0, dtype.itemsize))
        as_bytes[rng.integers(0, raw.size), place] ^= 1 << int(rng.integers(0, 8))
    return raw


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [random_levels, random_orders, random_anything])
def test_random_tapes_make_a_report(make: object, seed: int, tmp_path: Path) -> None:
    events = make(seed, 600)  # type: ignore[operator]  # each makes a tape of a seed and a length
    check(analyze(tape_of(events, {1: ES}), tmp_path, instrument="ESH4"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_flipped_bits_make_a_report(seed: int, tmp_path: Path) -> None:
    events, _ = random_history(seed, 500)
    plain = Instrument(symbol="X", venue="Y", tick_e9=UNIT if seed % 2 else 0)
    check(analyze(tape_of(flipped(events, seed, 1 + 3 * seed), {1: plain}), tmp_path))
